//! Literals as Spark types them: a whole number is INT where it fits, `1.5` is DECIMAL, `1e3` DOUBLE,
//! `1L`, `1S`, `1Y`, `1D`, `1F` and `1BD` say their type, text takes Spark's escapes.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator,
    Value, visit_expressions_mut,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::casts;
use super::text::SourceText;

/// Rewrites numbers with a suffix as typed literals, and reads each text by Spark's rules.
pub(super) fn normalise(text: &SourceText, tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        let written = text.span(tokens[at].span).map_or("", |span| text.slice(span));
        if matches!(tokens[at].token, Token::SingleQuotedString(_)) && written.contains('\\') {
            tokens[at].token = Token::SingleQuotedString(unescaped(written));
        }
        if let Some(next) = tokens.get(at + 1).filter(|next| next.span.start == tokens[at].span.end)
        {
            let typed = match (&tokens[at].token, &next.token) {
                (Token::Number(digits, _), Token::Word(suffix)) => typed_number(digits, suffix),
                (Token::Word(r), Token::SingleQuotedString(_))
                    if r.value.eq_ignore_ascii_case("r") =>
                {
                    text.span(next.span).map(|span| vec![raw(text.slice(span))])
                }
                _ => None,
            };
            if let Some(typed) = typed {
                let span = tokens[at].span.union(&next.span);
                let typed = typed.into_iter().map(|token| TokenWithSpan { token, span });
                tokens.splice(at..at + 2, typed);
            }
        }
        at += 1;
    }
}

/// `1Y` as `TINYINT '1'`.
fn typed_number(digits: &str, suffix: &Word) -> Option<Vec<Token>> {
    if suffix.quote_style.is_some() {
        return None;
    }
    let (name, keyword) = match suffix.value.to_uppercase().as_str() {
        "L" => ("BIGINT", Keyword::BIGINT),
        "S" => ("SMALLINT", Keyword::SMALLINT),
        "Y" => ("TINYINT", Keyword::TINYINT),
        "D" => ("DOUBLE", Keyword::DOUBLE),
        "F" => ("FLOAT", Keyword::FLOAT),
        "BD" => ("DECIMAL", Keyword::DECIMAL),
        _ => return None,
    };
    let word = Word { value: name.to_owned(), quote_style: None, keyword };
    let mut tokens = vec![Token::Word(word)];
    if keyword == Keyword::DECIMAL {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let scale = fraction.len();
        let precision = (whole.trim_start_matches('0').len() + scale).max(1);
        tokens.extend([
            Token::LParen,
            Token::Number(precision.to_string(), false),
            Token::Comma,
            Token::Number(scale.to_string(), false),
            Token::RParen,
        ]);
    }
    tokens.push(Token::SingleQuotedString(digits.to_owned()));
    Some(tokens)
}

/// The text between the quotes as it stands there.
fn raw(written: &str) -> Token {
    let inside = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
    Token::SingleQuotedString(inside.to_owned())
}

/// The text that a string literal with backslashes stands for.
fn unescaped(written: &str) -> String {
    let quote = written.chars().next().unwrap_or('\'');
    let inside = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        if c == quote {
            // A quote is written twice.
            chars.next();
            text.push(c);
        } else if c == '\\' {
            escape(&mut chars, &mut text);
        } else {
            text.push(c);
        }
    }
    text
}

/// What stands behind a backslash.
fn escape(chars: &mut std::str::Chars<'_>, text: &mut String) {
    let rest = chars.as_str();
    let code = |digits: Option<&str>, radix| {
        digits.and_then(|d| u32::from_str_radix(d, radix).ok()).and_then(char::from_u32)
    };
    let coded = match rest.as_bytes().first() {
        Some(b'u') => code(rest.get(1..5), 16).map(|c| (c, 5)),
        Some(b'U') => code(rest.get(1..9), 16).map(|c| (c, 9)),
        Some(b'0'..=b'1') => code(rest.get(0..3), 8).map(|c| (c, 3)),
        _ => None,
    };
    if let Some((c, length)) = coded {
        text.push(c);
        *chars = rest[length..].chars();
        return;
    }
    match chars.next() {
        Some('0') => text.push('\0'),
        Some('b') => text.push('\u{8}'),
        Some('n') => text.push('\n'),
        Some('r') => text.push('\r'),
        Some('t') => text.push('\t'),
        Some('Z') => text.push('\u{1a}'),
        // The wildcards of LIKE keep theirs.
        Some(wildcard @ ('%' | '_')) => text.extend(['\\', wildcard]),
        Some(other) => text.push(other),
        None => {}
    }
}

/// Rewrites a number of a parsed query whose form says its type, and the sign before it.
pub(super) fn respell(expr: &mut SqlExpr) {
    let text = |text: String| SqlExpr::Value(Value::SingleQuotedString(text).into());
    let typed =
        |digits: String, name: &str| casts::call("cast", vec![text(digits), text(name.to_owned())]);
    match expr {
        SqlExpr::Value(value) => match &value.value {
            Value::Number(digits, true) => *expr = typed(digits.clone(), "bigint"),
            Value::Number(digits, false) if digits.contains(['e', 'E']) => {
                *expr = typed(digits.clone(), "double");
            }
            _ => {}
        },
        SqlExpr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: inner } => {
            *expr = casts::call("bitwise_not", vec![inner.as_ref().clone()]);
        }
        SqlExpr::UnaryOp { op: op @ UnaryOperator::BangNot, .. } => *op = UnaryOperator::Not,
        SqlExpr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => {
            if let Some((digits, name)) = casts::typed_literal(inner) {
                // The least number of a type has no opposite: the sign belongs to the literal.
                *expr = typed(format!("-{digits}"), name);
            } else if !matches!(inner.as_ref(), SqlExpr::Value(_) | SqlExpr::Interval(_)) {
                *expr = casts::call("negative", vec![inner.as_ref().clone()]);
            } else if let SqlExpr::Value(value) = inner.as_ref()
                && !matches!(value.value, Value::Number(..))
            {
                *expr = casts::call("negative", vec![inner.as_ref().clone()]);
            }
        }
        _ => {}
    }
}

/// Types the whole numbers in the arguments of a call with lambdas: what a lambda gives is settled
/// while the call is planned, before the rest of a plan is [`narrowed`].
pub(super) fn narrow_beside_lambdas(expr: &mut SqlExpr) {
    let SqlExpr::Function(Function { args: FunctionArguments::List(list), .. }) = expr else {
        return;
    };
    let lambda = |arg: &FunctionArg| {
        matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Lambda(_))))
    };
    if !list.args.iter().any(lambda) {
        return;
    }
    let _ = visit_expressions_mut(&mut list.args, |inner: &mut SqlExpr| {
        if let SqlExpr::Value(value) = inner
            && let Value::Number(digits, false) = &value.value
            && digits.parse::<i32>().is_ok()
        {
            let word =
                |text: &str| SqlExpr::Value(Value::SingleQuotedString(text.to_owned()).into());
            *inner = casts::call("cast", vec![word(digits), word("int")]);
        }
        ControlFlow::<()>::Continue(())
    });
}

/// A whole number in the narrowest of INT, BIGINT and DECIMAL that holds it.
pub(super) fn narrowed(value: &ScalarValue) -> Option<ScalarValue> {
    match value {
        ScalarValue::Int64(Some(n)) => i32::try_from(*n).ok().map(|n| ScalarValue::Int32(Some(n))),
        ScalarValue::UInt64(Some(n)) => {
            let precision = u8::try_from(n.to_string().len()).unwrap_or(20);
            Some(ScalarValue::Decimal128(Some(i128::from(*n)), precision, 0))
        }
        _ => None,
    }
}

/// Whether this is a number that is written out, perhaps cast, and is not zero.
pub(super) fn is_not_zero(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => {
            let double = value.cast_to(&DataType::Float64);
            matches!(double, Ok(ScalarValue::Float64(Some(n))) if n != 0.0)
        }
        Expr::Cast(cast) => is_not_zero(&cast.expr),
        Expr::ScalarFunction(call) if casts::is_cast(call) => call.args.iter().all(is_not_zero),
        _ => false,
    }
}

/// The DECIMAL with just the digits of a whole-number literal.
pub(super) fn own_digits(value: &ScalarValue) -> Option<DataType> {
    let n = match value {
        ScalarValue::Int8(Some(n)) => i64::from(*n),
        ScalarValue::Int16(Some(n)) => i64::from(*n),
        ScalarValue::Int32(Some(n)) => i64::from(*n),
        ScalarValue::Int64(Some(n)) => *n,
        _ => return None,
    };
    Some(DataType::Decimal128(n.unsigned_abs().to_string().len() as u8, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_spark() {
        for (written, text) in [
            (r"'a\nb'", "a\nb"),
            (r"'\u0041\101\x41'", "AAx41"),
            (r"'a%\_b'", r"a%\_b"),
            (r"'it\'s'", "it's"),
            (r"'a\\''b'", r"a\'b"),
            (r#""a\"b""#, "a\"b"),
        ] {
            assert_eq!(unescaped(written), text, "{written}");
        }
    }
}
