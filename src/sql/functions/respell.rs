//! Functions that DataFusion has under another name or in another form.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, NullTreatment, ObjectNamePart,
    TrimWhereField, Value,
};
use datafusion::sql::sqlparser::parser::Parser;

use crate::sql::dialect::Spark;

/// Rewrites a call whose form differs. `{0}` is the first argument.
pub(in crate::sql) fn respell_call(expr: &mut Expr) {
    if let Some(respelt) = special_form(expr).or_else(|| named_struct(expr)) {
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
        ("if", 3) => "CASE WHEN {0} THEN {1} ELSE {2} END",
        // The result has the type of the first argument, whatever the second is.
        ("nullif", 2) => "CASE WHEN {0} = {1} THEN NULL ELSE {0} END",
        ("nvl2", 3) => "CASE WHEN {0} IS NOT NULL THEN {1} ELSE {2} END",
        ("isnull", 1) => "(({0}) IS NULL)",
        ("isnotnull", 1) => "(({0}) IS NOT NULL)",
        ("equal_null", 2) => "(({0}) IS NOT DISTINCT FROM ({1}))",
        ("nullifzero", 1) => "CASE WHEN {0} = 0 THEN NULL ELSE {0} END",
        ("zeroifnull", 1) => "coalesce({0}, 0)",
        ("map", 0) => "map_from_arrays(array(), array())",
        ("nvl" | "ifnull", 2) => "coalesce({0}, {1})",
        ("like", 2) => "(({0}) LIKE ({1}))",
        ("ilike", 2) => "(({0}) ILIKE ({1}))",
        ("negative", 1) => "(-({0}))",
        ("positive", 1) => "(+({0}))",
        ("input_file_name", 0) => "concat('file://', substring(_metadata.file_path, 6))",
        ("input_file_block_start", 0) => "_metadata.file_block_start",
        ("input_file_block_length", 0) => "_metadata.file_block_length",
        ("unix_timestamp", 0) => "unix_timestamp(current_timestamp())",
        (
            "date_add" | "dateadd" | "timestampadd" | "date_diff" | "datediff" | "timestampdiff",
            3,
        ) => match args[0] {
            Expr::Identifier(_) => "{name}('{0}', {1}, {2})",
            _ => return,
        },
        ("decode", 3..) => {
            *expr = match decoded(&args) {
                Some(cases) => cases,
                None => return,
            };
            return;
        }
        ("pmod", 2) => {
            "(CASE WHEN ({0}) % ({1}) < 0 THEN (({0}) % ({1}) + ({1})) % ({1}) ELSE ({0}) % ({1}) END)"
        }
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

/// A tree written as text has lost the escapes inside its literals: they are put back.
pub(super) fn parsed(text: &str) -> Option<Expr> {
    Parser::new(&Spark::default())
        .try_with_sql(&text.replace('\\', "\\\\"))
        .and_then(|mut parser| parser.parse_expr())
        .ok()
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

/// `decode(e, a, x, b, y, z)`: x where e is a, y where it is b, or else z. NULL is NULL here.
fn decoded(args: &[&Expr]) -> Option<Expr> {
    let (value, rest) = args.split_first()?;
    let pairs = rest.chunks_exact(2);
    let other = pairs.remainder().first().map(|e| format!(" ELSE {e}")).unwrap_or_default();
    let cases = pairs
        .map(|pair| format!(" WHEN ({value}) IS NOT DISTINCT FROM ({}) THEN {}", pair[0], pair[1]));
    parsed(&format!("CASE{}{other} END", cases.collect::<String>()))
}

/// What has a syntax of its own, as a call: `a COLLATE UTF8_BINARY`, `EXTRACT(YEAR FROM ts)`, `TRIM(BOTH 'x' FROM y)`,
/// `SUBSTRING(s FROM 2 FOR 3)`, `a RLIKE b`.
fn special_form(expr: &Expr) -> Option<Expr> {
    let call = |name: &str, args: &[Option<&Expr>]| {
        let args: Vec<String> = args.iter().flatten().map(|arg| arg.to_string()).collect();
        parsed(&format!("{name}({})", args.join(", ")))
    };
    match expr {
        Expr::Extract { field, expr, .. } => {
            let field = field.to_string().trim_matches('\'').to_lowercase();
            parsed(&format!("date_part('{field}', {expr})"))
        }
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            // Without a beginning there is at least a length.
            let first = parsed("1")?;
            let from = substring_from.as_deref().unwrap_or(&first);
            call("`substring`", &[Some(expr), Some(from), substring_for.as_deref()])
        }
        Expr::Position { expr, r#in } => call("locate", &[Some(expr), Some(r#in)]),
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => call(
            "`overlay`",
            &[Some(expr), Some(overlay_what), Some(overlay_from), overlay_for.as_deref()],
        ),
        Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
            let name = match trim_where {
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
                _ => "`trim`",
            };
            call(name, &[trim_what.as_deref(), Some(expr)])
        }
        Expr::Like { negated, expr, pattern, escape_char: Some(escape), .. } => {
            let not = if *negated { "NOT " } else { "" };
            parsed(&format!("{not}`like`({expr}, {pattern}, {escape})"))
        }
        Expr::ILike { negated, expr, pattern, escape_char: Some(escape), .. } => {
            let not = if *negated { "NOT " } else { "" };
            parsed(&format!("{not}`ilike`({expr}, {pattern}, {escape})"))
        }
        Expr::Collate { expr, collation } => {
            let name = collation.to_string().replace(['`', '\''], "");
            parsed(&format!("collate({expr}, '{name}')"))
        }
        Expr::RLike { negated, expr, pattern, .. } => {
            let not = if *negated { "NOT " } else { "" };
            parsed(&format!("{not}regexp_like({expr}, {pattern})"))
        }
        _ => None,
    }
}
