//! Calls in the names of columns: Spark writes out the arguments that were left out, and some
//! functions under another name.

use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    TrimWhereField,
};

use super::ColumnNames;

/// Functions that Spark writes in upper case.
const UPPER: [&str; 35] = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "cos",
    "cosh",
    "cot",
    "csc",
    "degrees",
    "e",
    "exp",
    "expm1",
    "hypot",
    "log10",
    "log1p",
    "log2",
    "pi",
    "power",
    "radians",
    "regexp",
    "regexp_like",
    "rlike",
    "sec",
    "signum",
    "sin",
    "sinh",
    "spark_partition_id",
    "sqrt",
    "tan",
    "tanh",
    "log",
];

/// Arguments that may be left out, with the place of the first and what Spark takes for each.
const DEFAULTS: [(&str, usize, &[&str]); 31] = [
    ("aggregate", 3, &[FINISH]),
    ("approx_percentile", 2, &["10000"]),
    ("bround", 1, &["0"]),
    ("from_unixtime", 1, &[FORMAT]),
    ("listagg", 1, &["NULL"]),
    ("locate", 2, &["1"]),
    ("lpad", 2, &[" "]),
    ("make_dt_interval", 0, &["0", "0", "0", "0.000000"]),
    ("make_interval", 0, &["0", "0", "0", "0", "0", "0", "0.000000"]),
    ("make_ym_interval", 0, &["0", "0"]),
    ("mask", 1, &["X", "x", "n", "NULL"]),
    ("months_between", 2, &["true"]),
    ("overlay", 3, &["-1"]),
    ("percentile", 2, &["1"]),
    ("percentile_approx", 2, &["10000"]),
    ("position", 2, &["1"]),
    ("reduce", 3, &[FINISH]),
    ("regexp_extract", 2, &["1"]),
    ("regexp_extract_all", 2, &["1"]),
    ("regexp_replace", 3, &["1"]),
    ("replace", 2, &[""]),
    ("round", 1, &["0"]),
    ("rpad", 2, &[" "]),
    ("sort_array", 1, &["true"]),
    ("split", 2, &["-1"]),
    ("string_agg", 1, &["NULL"]),
    ("str_to_map", 1, &[",", ":"]),
    ("substr", 2, &["2147483647"]),
    ("substring", 2, &["2147483647"]),
    ("to_unix_timestamp", 1, &[FORMAT]),
    ("unix_timestamp", 0, &["current_timestamp()", FORMAT]),
];

const FORMAT: &str = "yyyy-MM-dd HH:mm:ss";
const FINISH: &str = "lambdafunction(namedlambdavariable(), namedlambdavariable())";

impl ColumnNames<'_> {
    /// A call, also one that has a syntax of its own.
    pub(super) fn special_call(&self, expr: &Expr) -> String {
        match expr {
            Expr::Function(call) => self.call(call),
            Expr::Extract { field, expr, .. } => {
                format!("extract({field} FROM {})", self.text(expr))
            }
            Expr::Position { expr, r#in } => format!("locate({}, 1)", self.list([&**expr, r#in])),
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let parts = [Some(expr), substring_from.as_ref(), substring_for.as_ref()];
                let parts = parts.into_iter().flatten().map(|part| self.text(part)).collect();
                written(if *shorthand { "substr" } else { "substring" }, parts)
            }
            Expr::Trim { trim_where, trim_what, expr, .. } => {
                let side = trim_where.unwrap_or(TrimWhereField::Both);
                match (trim_what, side) {
                    (Some(what), side) => {
                        format!("TRIM({side} {} FROM {})", self.text(what), self.text(expr))
                    }
                    (None, TrimWhereField::Leading) => format!("ltrim({})", self.text(expr)),
                    (None, TrimWhereField::Trailing) => format!("rtrim({})", self.text(expr)),
                    (None, TrimWhereField::Both) => format!("trim({})", self.text(expr)),
                }
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let parts =
                    [Some(expr), Some(overlay_what), Some(overlay_from), overlay_for.as_ref()];
                let parts = parts.into_iter().flatten().map(|part| self.text(part)).collect();
                written("overlay", parts)
            }
            other => other.to_string().replace('`', ""),
        }
    }

    fn call(&self, call: &Function) -> String {
        let name = call.name.to_string().to_lowercase().replace('`', "");
        if super::super::window::Asked::is_window_function(&name) {
            return name;
        }
        let (args, distinct) = match &call.args {
            FunctionArguments::List(list) => {
                let args = list.args.iter().map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "count" => {
                        "1".into()
                    }
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.text(expr),
                    other => other.to_string(),
                });
                let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                (args.collect(), distinct)
            }
            _ => (vec![], false),
        };
        let mut text = written(&name, args);
        if distinct {
            text = text.replacen('(', "(DISTINCT ", 1);
        }
        if !call.within_group.is_empty() {
            text = text.replacen("string_agg(", "listagg(", 1);
            let full = text.starts_with("listagg(");
            let keys = call.within_group.iter().map(|key| {
                let falling = key.options.asc == Some(false);
                let order = match (full, falling, key.options.nulls_first.unwrap_or(!falling)) {
                    (false, true, _) => " DESC",
                    (false, false, _) => "",
                    (true, true, false) => " DESC NULLS LAST",
                    (true, true, true) => " DESC NULLS FIRST",
                    (true, false, true) => " ASC NULLS FIRST",
                    (true, false, false) => " ASC NULLS LAST",
                };
                self.text(&key.expr) + order
            });
            let keys: Vec<String> = keys.collect();
            text += &format!(" WITHIN GROUP (ORDER BY {})", keys.join(", "));
        }
        if let Some(filter) = &call.filter {
            text += &format!(" FILTER (WHERE {})", self.text(filter));
        }
        text
    }
}

/// A call with the texts of its arguments.
fn written(name: &str, mut args: Vec<String>) -> String {
    if let Some((_, first, defaults)) = DEFAULTS.iter().find(|(of, ..)| *of == name) {
        let given = args.len().saturating_sub(*first);
        args.extend(defaults.iter().skip(given).map(|default| (*default).to_owned()));
    }
    let name = match (name, args.as_slice()) {
        ("isnull", [value]) => return format!("({value} IS NULL)"),
        ("isnotnull", [value]) => return format!("({value} IS NOT NULL)"),
        ("positive", [value]) => return format!("(+ {value})"),
        ("div", [a, b]) => return format!("({a} div {b})"),
        ("if", args) => return format!("(IF({}))", args.join(", ")),
        ("datepart", [field, of]) => return format!("datepart({field} FROM {of})"),
        // A cast that was written as a call is not shown.
        (
            "boolean" | "tinyint" | "smallint" | "int" | "bigint" | "float" | "double" | "decimal"
            | "date" | "timestamp" | "binary" | "string",
            [value],
        ) => return value.clone(),
        ("first" | "last" | "any_value" | "first_value" | "last_value", [_, ..])
        | ("approx_count_distinct" | "from_json" | "from_csv", [_, ..]) => {
            args.truncate(1);
            name
        }
        ("log", [_]) => {
            args.insert(0, "E()".to_owned());
            name
        }
        ("ceil" | "floor", [_]) => return format!("{}({})", name.to_uppercase(), args.join(", ")),
        ("dateadd", [_, _]) => "date_add",
        ("dateadd", [_, _, _]) => "timestampadd",
        ("datediff", [_, _, _]) => "timestampdiff",
        ("curdate", _) => "current_date",
        ("current_database", _) => "current_schema",
        ("random", _) => "rand",
        ("array_agg", _) => "collect_list",
        _ => name,
    };
    let name = if UPPER.contains(&name) { name.to_uppercase() } else { name.to_owned() };
    format!("{name}({})", args.join(", "))
}
