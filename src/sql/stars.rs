//! `*` among the arguments of a function: `struct(*)`, `hash(t.*)`, `to_json(struct(*, 1 AS n))`.
//!
//! It is done in three moves. Before parsing, [`mark`] puts a name in place of such a star, which the
//! parser takes in any call. In the parsed query, [`call`] makes an array literal of a call that has one,
//! since that is what the planner hands over together with the columns that there are. While
//! planning, [`Stars`] makes the call again, with those columns as arguments.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as PlanResult;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::{Expr, lit};
use datafusion::sql::sqlparser::ast::{
    Array, Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, Value,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::catalog::Scope;
use super::tokens::is_word;
use crate::error::Error;

/// What stands before the star, or before the name of the function; no name that a user types holds it.
pub(super) const MARK: &str = "\u{1}all of ";
const STAR: &str = "*";
/// What Spark calls the column of a file's name and time, which is in no `*`.
const HIDDEN: &str = "_metadata";

/// Puts names in place of the stars that are arguments. The star of `count(*)` stays.
pub(super) fn mark(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // For each open parenthesis, whether it is that of a call.
    let mut calls = vec![false];
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen => calls.push(opens_call(&tokens[..at], tokens.get(at + 1))),
            Token::RParen if calls.len() > 1 => drop(calls.pop()),
            Token::Mul if calls.last() == Some(&true) && ends_argument(tokens.get(at + 1)) => {
                let (before, qualifier) = qualified(&out);
                if begins_argument(before) && (!qualifier.is_empty() || !counts_rows(before)) {
                    let value = format!("{MARK}{qualifier}{STAR}");
                    let word = Word { value, quote_style: Some('`'), keyword: Keyword::NoKeyword };
                    out.truncate(before.len());
                    out.push(TokenWithSpan { token: Token::Word(word), span: token.span });
                    continue;
                }
            }
            _ => {}
        }
        out.push(token.clone());
    }
    out
}

/// What stands before a star, and its `t.` if it has one.
fn qualified(tokens: &[TokenWithSpan]) -> (&[TokenWithSpan], String) {
    match tokens {
        [before @ .., TokenWithSpan { token: Token::Word(table), .. }, period]
            if period.token == Token::Period =>
        {
            (before, format!("{}.", table.value))
        }
        before => (before, String::new()),
    }
}

fn opens_call(before: &[TokenWithSpan], after: Option<&TokenWithSpan>) -> bool {
    const NO_FUNCTION: [&str; 19] = [
        "AND", "AS", "BY", "ELSE", "EXCEPT", "FROM", "HAVING", "IN", "NOT", "ON", "OR", "OVER",
        "SELECT", "SETS", "THEN", "USING", "VALUES", "WHEN", "WHERE",
    ];
    const QUERY: [&str; 4] = ["FROM", "SELECT", "VALUES", "WITH"];
    let query = after.is_some_and(|token| QUERY.iter().any(|word| is_word(token, word)));
    let function = before.last().is_some_and(|token| {
        matches!(token.token, Token::Word(_))
            && !NO_FUNCTION.iter().any(|word| is_word(token, word))
    });
    function && !query
}

fn begins_argument(before: &[TokenWithSpan]) -> bool {
    before.last().is_some_and(|token| {
        matches!(token.token, Token::LParen | Token::Comma) || is_word(token, "DISTINCT")
    })
}

fn ends_argument(after: Option<&TokenWithSpan>) -> bool {
    after.is_some_and(|token| matches!(token.token, Token::RParen | Token::Comma))
}

fn counts_rows(before: &[TokenWithSpan]) -> bool {
    matches!(before, [.., name, open] if open.token == Token::LParen && is_word(name, "COUNT"))
}

/// Makes an array literal of a call with a star among its arguments: a text that holds the name of the
/// function, then the arguments, with a text for each star.
pub(super) fn call(expr: &mut SqlExpr) {
    let SqlExpr::Function(call) = expr else { return };
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return };
    let FunctionArguments::List(list) = &call.args else { return };
    let text = |text: String| SqlExpr::Value(Value::SingleQuotedString(text).into());
    let mut elem = vec![text(format!("{MARK}{}", name.value.to_lowercase()))];
    let mut stars = 0;
    for arg in &list.args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg else { return };
        elem.push(match arg {
            SqlExpr::Identifier(star) if star.value.starts_with(MARK) => {
                stars += 1;
                text(star.value.clone())
            }
            arg => arg.clone(),
        });
    }
    if stars > 0 {
        *expr = SqlExpr::Array(Array { elem, named: true });
    }
}

/// Plans the calls that [`call`] has put aside.
pub(super) struct Stars(pub(super) Arc<Scope>);

impl fmt::Debug for Stars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stars")
    }
}

impl ExprPlanner for Stars {
    fn plan_array_literal(
        &self,
        exprs: Vec<Expr>,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<Vec<Expr>>> {
        let Some(name) = exprs.first().and_then(marked) else {
            return Ok(PlannerResult::Original(exprs));
        };
        let Some(function) = self.0.scalar_function(name) else {
            let what = format!("{name}(…) with a * is not supported here");
            return Err(Error::sql("INVALID_USAGE_OF_STAR_OR_REGEX", what)
                .hint(format!("name the columns: {name}(a, b)"))
                .into());
        };
        let args = match name {
            "named_struct" => fields(&exprs[1..], schema)?,
            _ => arguments(&exprs[1..], schema)?,
        };
        let call = ScalarFunction::new_udf(function, args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

/// What stands behind the mark of a text.
fn marked(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => text.strip_prefix(MARK),
        _ => None,
    }
}

fn arguments(exprs: &[Expr], schema: &DFSchema) -> PlanResult<Vec<Expr>> {
    let mut args = vec![];
    for expr in exprs {
        match marked(expr) {
            Some(star) => args.extend(columns(star, schema)?.into_iter().map(|(_, value)| value)),
            None => args.push(expr.clone()),
        }
    }
    Ok(args)
}

/// Names and values of `struct(…)`. What has no name is called by its place among what was written, and
/// not by its place in the struct: so it is in Spark.
fn fields(pairs: &[Expr], schema: &DFSchema) -> PlanResult<Vec<Expr>> {
    let mut args = vec![];
    for pair in pairs.chunks(2) {
        match pair.get(1).and_then(marked) {
            Some(star) => {
                let columns = columns(star, schema)?.into_iter();
                args.extend(columns.flat_map(|(name, value)| [lit(name), value]));
            }
            None => args.extend_from_slice(pair),
        }
    }
    Ok(args)
}

/// The columns that `*`, `t.*` or `s.*` of a struct `s` stands for, with their names.
fn columns(star: &str, schema: &DFSchema) -> PlanResult<Vec<(String, Expr)>> {
    let of = star.strip_suffix(STAR).and_then(|of| of.strip_suffix('.'));
    // What a function that makes rows has put beside the tables, under a number, is in no `*`.
    let numbered = |table: &str| {
        table
            .strip_prefix('\u{1}')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let meant = schema.iter().filter(|(table, field)| match (of, table) {
        (Some(of), Some(table)) => table.table() == of && field.name() != HIDDEN,
        (None, Some(table)) => !numbered(table.table()) && field.name() != HIDDEN,
        (of, None) => of.is_none(),
    });
    let mut columns: Vec<(String, Expr)> =
        meant.map(|column| (column.1.name().clone(), Expr::Column(column.into()))).collect();
    let struct_ = of.and_then(|of| schema.iter().find(|(_, field)| field.name() == of));
    if let Some(column) = struct_.filter(|_| columns.is_empty())
        && let DataType::Struct(fields) = column.1.data_type()
    {
        let value = Expr::Column(column.into());
        let field = |name: &String| (name.clone(), get_field(value.clone(), name.as_str()));
        columns = fields.iter().map(|of| field(of.name())).collect();
    }
    if columns.is_empty() {
        let what = format!("there are no columns for {star}");
        let hint = "write * for all columns, or the name of a table or struct before .*";
        return Err(Error::sql("CANNOT_RESOLVE_STAR_EXPAND", what).hint(hint).into());
    }
    let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(columns),
        // Of a join with USING the column would have to come once, and the planner does not say so here.
        Some(twice) => {
            let what = format!("two columns for {star} are called '{}'", twice[0]);
            let hint = "write t.* with the name of a table, or name the columns";
            Err(Error::sql("AMBIGUOUS_REFERENCE", what).hint(hint).into())
        }
    }
}
