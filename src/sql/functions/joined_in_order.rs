//! `listagg(value, ',') WITHIN GROUP (ORDER BY key DESC)`, which is the list of the values sorted and
//! joined: DataFusion's aggregates are ordered by one key at most, and on a stream the order
//! has to be made when a group is written, not when its rows come.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, OrderByExpr,
};

use super::respell::parsed;

/// Writes such a call with functions that there are. Values that are NULL are left out; of none
/// the result is NULL.
pub(in crate::sql) fn joined_in_order(expr: &mut Expr) {
    if let Expr::Function(call) = expr
        && let Some(sorted) = sorted(call)
    {
        *expr = sorted;
    }
}

fn sorted(call: &Function) -> Option<Expr> {
    let name = call.name.to_string().to_lowercase();
    if !["listagg", "string_agg"].contains(&name.as_str()) || call.within_group.is_empty() {
        return None;
    }
    let FunctionArguments::List(list) = &call.args else { return None };
    let args = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.to_string()),
        _ => None,
    });
    let (value, between) = match args.collect::<Option<Vec<_>>>()?.as_slice() {
        _ if list.duplicate_treatment.is_some() => return None,
        [value] => (value.clone(), "''".to_owned()),
        [value, between] => (value.clone(), format!("coalesce({between}, '')")),
        _ => return None,
    };
    let value = match &call.filter {
        Some(filter) => format!("CASE WHEN {filter} THEN {value} END"),
        None => value,
    };
    let keys = call.within_group.iter().enumerate();
    let fields = keys.clone().map(|(at, key)| format!(", 'k{at}', {}", key.expr));
    let order = keys.map(|(at, key)| before(&format!("k{at}"), key));
    parsed(&format!(
        "CASE WHEN count({value}) > 0 THEN array_join(transform(array_sort(collect_list(\
         CASE WHEN ({value}) IS NOT NULL THEN named_struct('v', CAST({value} AS STRING){}) END), \
         (a, b) -> CASE {} ELSE 0 END), x -> x.v), {between}) END",
        fields.collect::<String>(),
        order.collect::<String>()
    ))
}

/// The branches of a CASE that compare a field of `a` and `b`.
fn before(field: &str, key: &OrderByExpr) -> String {
    let descending = key.options.asc == Some(false);
    let nulls_first = key.options.nulls_first.unwrap_or(!descending);
    let (less, more) = if descending { (1, -1) } else { (-1, 1) };
    let (null, some) = if nulls_first { (-1, 1) } else { (1, -1) };
    format!(
        "WHEN a.{field} IS NULL AND b.{field} IS NOT NULL THEN {null} \
         WHEN a.{field} IS NOT NULL AND b.{field} IS NULL THEN {some} \
         WHEN a.{field} < b.{field} THEN {less} WHEN a.{field} > b.{field} THEN {more} "
    )
}
