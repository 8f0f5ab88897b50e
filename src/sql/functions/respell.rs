//! Functions that DataFusion has under another name or in another form.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, NullTreatment, ObjectNamePart,
    UnaryOperator, Value,
};
use datafusion::sql::sqlparser::parser::Parser;

use crate::sql::dialect::Spark;

/// DataFusion's name of a function that takes the same arguments.
pub(in crate::sql) fn function_alias(name: &str) -> Option<&'static str> {
    Some(match name {
        "ucase" => "upper",
        "lcase" => "lower",
        "len" => "length",
        "char" => "chr",
        "ifnull" => "nvl",
        "sign" => "signum",
        "ceiling" => "ceil",
        _ => return None,
    })
}

/// Rewrites a call whose form differs. `{0}` is the first argument.
pub(in crate::sql) fn respell_call(expr: &mut Expr) {
    if let Some(respelt) = negative_substring(expr).or_else(|| named_struct(expr)) {
        *expr = respelt;
        return;
    }
    let Expr::Function(call) = expr else { return };
    ignore_nulls(call);
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return };
    let FunctionArguments::List(list) = &call.args else { return };
    if call.over.is_some() || call.filter.is_some() {
        return;
    }
    let args: Vec<&Expr> = list
        .args
        .iter()
        .filter_map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    let template = match (name.value.to_lowercase().as_str(), args.len()) {
        ("count_if", 1) => "count(CASE WHEN {0} THEN 1 END)",
        ("if" | "iff", 3) => "CASE WHEN {0} THEN {1} ELSE {2} END",
        // The result has the type of the first argument, whatever the second is.
        ("nullif", 2) => "CASE WHEN {0} = {1} THEN NULL ELSE {0} END",
        ("nvl2", 3) => "CASE WHEN {0} IS NOT NULL THEN {1} ELSE {2} END",
        ("year" | "month" | "day" | "hour" | "minute" | "quarter", 1) => {
            "CAST(date_part('{name}', {0}) AS INT)"
        }
        ("try_to_timestamp", 1) => "TRY_CAST({0} AS TIMESTAMP)",
        ("try_to_date", 1) => "TRY_CAST({0} AS DATE)",
        ("to_timestamp", 1) => "CAST({0} AS TIMESTAMP)",
        ("to_date", 1) => "CAST({0} AS DATE)",
        ("unix_timestamp", 1) => "CAST({0} AS BIGINT)",
        ("date_trunc", 2) => match date_trunc(args[0]) {
            Some(template) => template,
            None => return,
        },
        ("pmod", 2) => "((({0}) % ({1})) + ({1})) % ({1})",
        _ => return,
    };
    let mut text = template.replace("{name}", &name.value.to_lowercase());
    for (at, arg) in args.iter().enumerate() {
        text = text.replace(&format!("{{{at}}}"), &arg.to_string());
    }
    if let Some(parsed) = parsed(&text) {
        *expr = parsed;
    }
}

/// `first(v, true)` is `first(v) IGNORE NULLS`.
fn ignore_nulls(call: &mut Function) {
    let name = call.name.to_string().to_lowercase();
    let takes_one =
        ["first", "first_value", "last", "last_value", "any_value"].contains(&name.as_str());
    let FunctionArguments::List(list) = &mut call.args else { return };
    if !takes_one || list.args.len() != 2 {
        return;
    }
    if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) = list.args.last()
        && let Value::Boolean(ignore) = value.value
    {
        list.args.pop();
        call.null_treatment = ignore.then_some(NullTreatment::IgnoreNulls);
    }
}

pub(super) fn parsed(text: &str) -> Option<Expr> {
    Parser::new(&Spark).try_with_sql(text).and_then(|mut parser| parser.parse_expr()).ok()
}

/// The fields of `struct(a, t.b, c AS d, e + 1)`, and of `(a, t.b)`, are called `a`, `b`, `d` and `col4`.
fn named_struct(expr: &Expr) -> Option<Expr> {
    let values = match expr {
        Expr::Struct { values, fields } if fields.is_empty() => values,
        Expr::Tuple(values) => values,
        _ => return None,
    };
    let fields = values.iter().enumerate().map(|(at, value)| {
        let (value, name) = match value {
            Expr::Named { expr, name } => (expr.as_ref(), name.value.clone()),
            Expr::Identifier(name) => (value, name.value.clone()),
            Expr::CompoundIdentifier(path) => (value, path.last()?.value.clone()),
            _ => (value, format!("col{}", at + 1)),
        };
        Some(format!("{}, {value}", Value::SingleQuotedString(name)))
    });
    let fields = fields.collect::<Option<Vec<_>>>()?;
    parsed(&format!("named_struct({})", fields.join(", ")))
}

/// Spark's short names of units, and NULL for what is no unit.
fn date_trunc(unit: &Expr) -> Option<&'static str> {
    let Expr::Value(value) = unit else { return None };
    let Value::SingleQuotedString(unit) = &value.value else { return None };
    match unit.to_lowercase().as_str() {
        "yyyy" | "yy" => Some("date_trunc('year', {1})"),
        "mon" | "mm" => Some("date_trunc('month', {1})"),
        "dd" => Some("date_trunc('day', {1})"),
        "year" | "quarter" | "month" | "week" | "day" | "hour" | "minute" | "second"
        | "millisecond" | "microsecond" => None,
        _ => Some("nullif({1}, {1})"),
    }
}

/// `substring(s, -3)` counts from the end; in DataFusion only `right(s, 3)` does.
fn negative_substring(expr: &Expr) -> Option<Expr> {
    let Expr::Substring { expr, substring_from: Some(from), substring_for: None, .. } = expr else {
        return None;
    };
    let Expr::UnaryOp { op: UnaryOperator::Minus, expr: count } = from.as_ref() else {
        return None;
    };
    parsed(&format!("right({expr}, {count})"))
}
