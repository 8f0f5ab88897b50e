//! The name of a result column that the query gives none: the expression as Spark writes it.
//!
//! Takes a parsed expression before anything in it is respelt; gives text such as `(v + 1)`,
//! `count(1)` or `CAST((a + b) AS INT)`. Types are not known yet: where Spark's spelling depends on
//! one (`m[k]` of a map, `s.k` of a struct) the more frequent is given.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, DataType, Expr, Ident, LambdaFunction,
    Subscript, UnaryOperator, Value, ValueWithSpan,
};

use super::text::SourceText;
use super::types;

mod calls;
mod intervals;
#[cfg(test)]
mod tests;

/// What names are made of: the text, for literals as they stand in it, and what can qualify a column.
pub(super) struct ColumnNames<'a> {
    pub(super) text: Option<&'a SourceText>,
    pub(super) relations: &'a [String],
}

impl ColumnNames<'_> {
    /// The name of a column that is this expression; `None` where the planner's own is right.
    pub(super) fn of(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Identifier(_) => None,
            Expr::CompoundIdentifier(parts) => {
                let qualified = parts.len() == 2 && self.relations.contains(&parts[0].value);
                if qualified { None } else { last(parts) }
            }
            // A column that is cast keeps its name.
            Expr::Cast { expr: inner, .. } => match inner.as_ref() {
                Expr::Identifier(name) => Some(name.value.clone()),
                Expr::CompoundIdentifier(parts) if self.unqualified(parts).len() == 1 => {
                    last(parts)
                }
                _ => Some(self.text(expr)),
            },
            _ => Some(self.text(expr)),
        }
    }

    /// The parts of a name without the relation.
    fn unqualified<'p>(&self, parts: &'p [Ident]) -> &'p [Ident] {
        match parts {
            [relation, rest @ ..] if !rest.is_empty() => {
                if self.relations.contains(&relation.value) { rest } else { parts }
            }
            _ => parts,
        }
    }

    /// An expression as Spark writes it.
    pub(super) fn text(&self, expr: &Expr) -> String {
        match expr {
            Expr::Identifier(name) => name.value.clone(),
            Expr::CompoundIdentifier(parts) => {
                let parts = self.unqualified(parts).iter().map(|part| part.value.as_str());
                parts.collect::<Vec<_>>().join(".")
            }
            Expr::Nested(inner) => self.text(inner),
            Expr::Value(value) => literal(value),
            Expr::TypedString(typed) => typed_literal(&typed.data_type, &typed.value),
            Expr::Interval(written) => intervals::of(written, self.text),
            Expr::UnaryOp { op, expr } => self.unary(op, expr),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::Cast { kind, expr, data_type, .. } => {
                let call = if matches!(kind, CastKind::TryCast) { "TRY_CAST" } else { "CAST" };
                format!("{call}({} AS {})", self.text(expr), type_text(data_type))
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                access_chain.iter().fold(self.text(root), |text, access| match access {
                    AccessExpr::Dot(field) => format!("{text}.{}", self.text(field)),
                    AccessExpr::Subscript(Subscript::Index { index }) => {
                        format!("{text}[{}]", self.text(index))
                    }
                    AccessExpr::Subscript(other) => format!("{text}[{other}]"),
                })
            }
            Expr::Subquery(_) => "scalarsubquery()".into(),
            Expr::Exists { negated, .. } => not(*negated, "exists()".into()),
            Expr::Lambda(lambda) => self.lambda(lambda),
            Expr::Named { expr, name } => format!("{} AS {}", self.text(expr), name.value),
            Expr::Struct { values, fields } if fields.is_empty() => {
                format!("struct({})", self.list(values))
            }
            other => self.predicate(other).unwrap_or_else(|| self.special_call(other)),
        }
    }

    fn list<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> String {
        exprs.into_iter().map(|expr| self.text(expr)).collect::<Vec<_>>().join(", ")
    }

    fn unary(&self, op: &UnaryOperator, inner: &Expr) -> String {
        let text = self.text(inner);
        let number =
            matches!(inner, Expr::Value(value) if matches!(value.value, Value::Number(..)));
        match op {
            UnaryOperator::Minus if number => format!("-{text}"),
            UnaryOperator::BitwiseNot => format!("~{text}"),
            UnaryOperator::Not | UnaryOperator::BangNot => format!("(NOT {text})"),
            op => format!("({op} {text})"),
        }
    }

    fn binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> String {
        use BinaryOperator as B;
        let (a, b) = (self.text(left), self.text(right));
        match op {
            B::NotEq => format!("(NOT ({a} = {b}))"),
            B::StringConcat => format!("concat({a}, {b})"),
            B::MyIntegerDivide | B::DuckIntegerDivide => format!("({a} div {b})"),
            B::Plus | B::Minus if matches!(right, Expr::Interval(_)) => format!("{a} {op} {b}"),
            op => format!("({a} {op} {b})"),
        }
    }

    fn case(&self, operand: Option<&Expr>, whens: &[CaseWhen], or: Option<&Expr>) -> String {
        let whens = whens.iter().map(|when| {
            let condition = self.text(&when.condition);
            let condition = match operand {
                Some(operand) => format!("({} = {condition})", self.text(operand)),
                None => condition,
            };
            format!(" WHEN {condition} THEN {}", self.text(&when.result))
        });
        let whens: String = whens.collect();
        let or = or.map(|or| format!(" ELSE {}", self.text(or))).unwrap_or_default();
        format!("CASE{whens}{or} END")
    }

    /// Spark forgets the names of parameters.
    fn lambda(&self, lambda: &LambdaFunction) -> String {
        const VARIABLE: &str = "namedlambdavariable()";
        let names: Vec<&str> = lambda.params.iter().map(|p| p.name.value.as_str()).collect();
        let mut body = lambda.body.as_ref().clone();
        let _ = datafusion::sql::sqlparser::ast::visit_expressions_mut(&mut body, |expr| {
            if let Expr::Identifier(name) = expr
                && names.contains(&name.value.as_str())
            {
                name.value = VARIABLE.to_owned();
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
        format!("lambdafunction({}, {})", self.text(&body), vec![VARIABLE; names.len()].join(", "))
    }

    /// What is true or false.
    fn predicate(&self, expr: &Expr) -> Option<String> {
        Some(match expr {
            Expr::InList { expr, list, negated } => {
                not(*negated, format!("({} IN ({}))", self.text(expr), self.list(list)))
            }
            Expr::InSubquery { expr, negated, .. } => {
                not(*negated, format!("({} IN (listquery()))", self.text(expr)))
            }
            Expr::Between { expr, negated, low, high } => {
                let parts = self.list([expr.as_ref(), low, high]);
                not(*negated, format!("between({parts})"))
            }
            Expr::Like { negated, expr, pattern, escape_char, any: false } => {
                let escape = escape_char.as_ref();
                let escape = escape.map(|e| format!(" ESCAPE '{}'", literal(e)));
                let escape = escape.unwrap_or_default();
                let like = format!("{} LIKE {}{escape}", self.text(expr), self.text(pattern));
                not(*negated, like)
            }
            Expr::ILike { negated, expr, pattern, any: false, .. } => {
                not(*negated, format!("ilike({})", self.list([expr.as_ref(), pattern])))
            }
            Expr::RLike { negated, expr, pattern, .. } => {
                not(*negated, format!("RLIKE({})", self.list([expr.as_ref(), pattern])))
            }
            Expr::IsNull(inner) | Expr::IsUnknown(inner) => {
                format!("({} IS NULL)", self.text(inner))
            }
            Expr::IsNotNull(inner) | Expr::IsNotUnknown(inner) => {
                format!("({} IS NOT NULL)", self.text(inner))
            }
            Expr::IsTrue(inner) => format!("({} <=> true)", self.text(inner)),
            Expr::IsFalse(inner) => format!("({} <=> false)", self.text(inner)),
            Expr::IsNotTrue(inner) => format!("(NOT ({} <=> true))", self.text(inner)),
            Expr::IsNotFalse(inner) => format!("(NOT ({} <=> false))", self.text(inner)),
            Expr::IsNotDistinctFrom(a, b) => format!("({} <=> {})", self.text(a), self.text(b)),
            Expr::IsDistinctFrom(a, b) => format!("(NOT ({} <=> {}))", self.text(a), self.text(b)),
            _ => return None,
        })
    }
}

fn last(parts: &[Ident]) -> Option<String> {
    parts.last().map(|part| part.value.clone())
}

fn not(negated: bool, text: String) -> String {
    if negated { format!("(NOT {text})") } else { text }
}

fn literal(value: &ValueWithSpan) -> String {
    match &value.value {
        Value::SingleQuotedString(text) => text.clone(),
        Value::Null => "NULL".into(),
        Value::Number(digits, _) => number(digits),
        Value::HexStringLiteral(hex) => format!("X'{}'", hex.to_uppercase()),
        other => other.to_string(),
    }
}

fn number(digits: &str) -> String {
    match digits.parse::<f64>() {
        Ok(value) if digits.contains(['e', 'E']) => format!("{value:?}"),
        _ if digits.starts_with('.') => format!("0{digits}"),
        _ => digits.trim_end_matches('.').to_owned(),
    }
}

fn typed_literal(data_type: &DataType, value: &ValueWithSpan) -> String {
    match data_type {
        DataType::Date | DataType::Timestamp(..) | DataType::TimestampNtz(_) => {
            format!("{} '{}'", type_text(data_type), literal(value))
        }
        _ => literal(value),
    }
}

fn type_text(data_type: &DataType) -> String {
    match types::arrow_type(data_type) {
        Ok(known) => types::spark_name(&known).to_uppercase(),
        Err(_) => data_type.to_string(),
    }
}
