//! Spark's spelling of SQL, for the tokeniser and the parser of the `sqlparser` crate.
//!
//! Backquotes quote a name, both other quotes make a string, a backslash escapes in a string. The
//! parser crate's own Spark dialect is nearly that; this one answers for it where they differ.

use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence, SparkSqlDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::casts;

/// Spark SQL, for one text.
#[derive(Debug, Default)]
pub(super) struct Spark {
    /// How often an expression was begun.
    tries: AtomicUsize,
}

/// So often an expression is begun, at most: a few times for each word that a statement may have. Where
/// something is wrong inside CASE, CAST and their like, the parser crate reads what they hold once more
/// as something else; nested in each other twenty times that is a million tries, before it says what
/// is wrong.
const MOST_TRIES: usize = 400_000;

impl Dialect for Spark {
    fn dialect(&self) -> std::any::TypeId {
        std::any::TypeId::of::<SparkSqlDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }

    // The two wildcards of LIKE keep their backslash, as in Spark.
    fn ignores_wildcard_escapes(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    // Spark's shifts bind less than a sum and more than `&`; `||` binds as `+` does.
    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match parser.peek_token_ref().token {
            Token::ShiftLeft | Token::ShiftRight => Some(Ok(SHIFT)),
            Token::StringConcat => Some(Ok(self.prec_value(Precedence::PlusMinus))),
            _ => None,
        }
    }

    // Every interval literal has become `INTERVAL 'text'` before the parser sees it.
    fn require_interval_qualifier(&self) -> bool {
        false
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_string_literal_concatenation(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_long_type_as_bigint(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_bang_not_operator(&self) -> bool {
        true
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    fn supports_map_literal_with_angle_brackets(&self) -> bool {
        true
    }

    fn supports_cte_without_as(&self) -> bool {
        true
    }

    // `EXTRACT(DOW_ISO FROM ts)`.
    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn supports_from_first_select(&self) -> bool {
        true
    }

    fn supports_select_item_multi_column_alias(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    // Spark lets these be names. Without quotes they are nearly always a slip, and then it is
    // here that something is missing.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        use Keyword as K;
        if self.tries.fetch_add(1, Ordering::Relaxed) > MOST_TRIES {
            return Some(Err(ParserError::RecursionLimitExceeded));
        }
        let next = parser.peek_token();
        match &next.token {
            Token::Tilde => {
                parser.next_token();
                let times = self.prec_value(Precedence::MulDivModOp);
                Some(parser.parse_subexpr(times).map(complement))
            }
            // `exists(array, x -> …)` is a function, `EXISTS (SELECT …)` is not.
            Token::Word(word) if word.keyword == K::EXISTS => exists_call(parser),
            Token::Word(word)
                if matches!(
                    word.keyword,
                    K::FROM | K::WHERE | K::GROUP | K::HAVING | K::ORDER | K::LIMIT | K::UNION
                ) =>
            {
                Some(parser.expected("an expression", next))
            }
            // They have a syntax of their own, and are called like every function as well.
            Token::Word(word)
                if matches!(
                    word.keyword,
                    K::ARRAY
                        | K::CEIL
                        | K::FLOOR
                        | K::OVERLAY
                        | K::POSITION
                        | K::SUBSTR
                        | K::SUBSTRING
                        | K::TRIM
                ) && parser.peek_nth_token(1).token == Token::LParen =>
            {
                let name = word.clone().into_ident(next.span);
                if word.keyword == K::TRIM
                    && let Some(blanks) = trim_of_blanks(parser)
                {
                    return Some(blanks);
                }
                let call = parser.maybe_parse(|parser| {
                    parser.next_token();
                    parser.parse_function(vec![name.clone()].into())
                });
                call.transpose()
            }
            _ => None,
        }
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        // The parser crate's dialect lets DIV take all that follows.
        if parser.parse_keyword(Keyword::DIV) {
            let times = self.prec_value(Precedence::MulDivModOp);
            return Some(parser.parse_subexpr(times).map(|right| Expr::BinaryOp {
                left: Box::new(expr.clone()),
                op: BinaryOperator::MyIntegerDivide,
                right: Box::new(right),
            }));
        }
        if let Some(call) = shift(parser) {
            return Some(
                parser.parse_subexpr(SHIFT).map(|by| casts::call(call, vec![expr.clone(), by])),
            );
        }
        quantified_like(parser, expr)
            .or_else(|| SparkSqlDialect.parse_infix(parser, expr, precedence))
    }
}

/// Between `&` (23) and `+` (30) in the parser crate's scale.
const SHIFT: u8 = 25;

/// `~a`, which the parser crate reads for PostgreSQL only.
fn complement(of: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: Box::new(of) }
}

/// The function of `<<`, `>>` or `>>>`, if one of them is next.
fn shift(parser: &mut Parser) -> Option<&'static str> {
    if parser.consume_token(&Token::ShiftLeft) {
        return Some("shiftleft");
    }
    if !parser.consume_token(&Token::ShiftRight) {
        return None;
    }
    // The parser crate reads `>>>` as two signs.
    Some(if parser.consume_token(&Token::Gt) { "shiftrightunsigned" } else { "shiftright" })
}

/// `TRIM(BOTH FROM text)`, which cuts off blanks.
fn trim_of_blanks(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let Token::Word(side) = parser.peek_nth_token(2).token else { return None };
    let name = match side.keyword {
        Keyword::BOTH => "trim",
        Keyword::LEADING => "ltrim",
        Keyword::TRAILING => "rtrim",
        _ => return None,
    };
    if !matches!(parser.peek_nth_token(3).token, Token::Word(w) if w.keyword == Keyword::FROM) {
        return None;
    }
    for _ in 0..4 {
        parser.next_token();
    }
    let text = parser.parse_expr();
    Some(text.and_then(|text| {
        parser.expect_token(&Token::RParen)?;
        Ok(casts::call(name, vec![text]))
    }))
}

/// `a LIKE ANY (b, c)`, `a NOT LIKE ALL (b, c)`, with SOME for ANY and ILIKE for LIKE, written out.
fn quantified_like(parser: &mut Parser, expr: &Expr) -> Option<Result<Expr, ParserError>> {
    let word = |parser: &Parser, at| match parser.peek_nth_token(at).token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let negated = word(parser, 0) == Keyword::NOT;
    let at = usize::from(negated);
    let like = word(parser, at);
    let any = match word(parser, at + 1) {
        Keyword::ANY | Keyword::SOME => true,
        Keyword::ALL => false,
        _ => return None,
    };
    let list = parser.peek_nth_token(at + 2).token == Token::LParen;
    if !matches!(like, Keyword::LIKE | Keyword::ILIKE) || !list {
        return None;
    }
    for _ in 0..at + 3 {
        parser.next_token();
    }
    let patterns = parser.parse_comma_separated(Parser::parse_expr);
    Some(patterns.and_then(|patterns| {
        parser.expect_token(&Token::RParen)?;
        let one = |pattern: Expr| {
            let (expr, pattern) = (Box::new(expr.clone()), Box::new(pattern));
            let (any, escape_char) = (false, None);
            match like {
                Keyword::LIKE => Expr::Like { negated, any, expr, pattern, escape_char },
                _ => Expr::ILike { negated, any, expr, pattern, escape_char },
            }
        };
        let op = if any { BinaryOperator::Or } else { BinaryOperator::And };
        let all = patterns.into_iter().map(one).reduce(|left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: op.clone(),
            right: Box::new(right),
        });
        let all = all.ok_or(ParserError::ParserError("LIKE takes a pattern".to_owned()))?;
        Ok(Expr::Nested(Box::new(all)))
    }))
}

fn exists_call(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let inner = [parser.peek_nth_token(1).token, parser.peek_nth_token(2).token];
    let subquery = |token: &Token| {
        matches!(token, Token::LParen | Token::Word(_))
            && !matches!(token, Token::Word(w) if !matches!(w.keyword, Keyword::SELECT | Keyword::WITH))
    };
    if inner[0] != Token::LParen || subquery(&inner[1]) {
        return None;
    }
    let name = parser.parse_object_name(false);
    Some(name.and_then(|name| parser.parse_function(name)))
}
