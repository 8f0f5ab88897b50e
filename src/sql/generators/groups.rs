//! Generators whose rows come from no table of the SELECT: those beside GROUP BY, which make rows
//! of the groups, and those that stand in FROM as tables.
//!
//! Both become subqueries, before the generators are taken out: `SELECT k, explode(collect_list(v))
//! FROM t GROUP BY k` makes rows of `SELECT k, collect_list(v) FROM t GROUP BY k`.

use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Query,
    Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins,
};
use datafusion::sql::sqlparser::parser::Parser;

use super::{HIDDEN, makes_rows};
use crate::sql::dialect::Spark;

/// Puts the groups of a SELECT that has generators in its list into a subquery below it. Its other
/// columns have names already. With HAVING, it stays as it is: Spark refuses it too.
pub(super) fn below(select: &mut Select) {
    let grouped = matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if !keys.is_empty());
    let makes = |item: &SelectItem| expression(item).is_some_and(makes_rows);
    if !grouped || select.having.is_some() || !select.projection.iter().any(makes) {
        return;
    }
    let Some((mut groups, outer)) = parsed("SELECT 1").zip(Some(select.clone())) else { return };
    let (mut inside, mut list, mut further) = (Vec::new(), Vec::new(), Vec::new());
    for (at, item) in outer.projection.iter().enumerate() {
        match item {
            _ if makes(item) => {
                let mut item = item.clone();
                let args = expression_mut(&mut item).into_iter().flat_map(arguments);
                for (place, arg) in args.enumerate() {
                    let name = Ident::with_quote('`', format!("{HIDDEN}group {at} {place}"));
                    let expr = std::mem::replace(arg, SqlExpr::Identifier(name.clone()));
                    let column = SelectItem::ExprWithAlias { expr, alias: name };
                    // The first stands for the call, so that GROUP BY 2 is what it was.
                    if place == 0 { inside.push(column) } else { further.push(column) }
                }
                list.push(item);
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                inside.push(item.clone());
                let expr = SqlExpr::Identifier(Ident::with_quote('`', &alias.value));
                list.push(SelectItem::ExprWithAlias { expr, alias: alias.clone() });
            }
            SelectItem::UnnamedExpr(expr) => {
                inside.push(item.clone());
                list.push(SelectItem::UnnamedExpr(expr.clone()));
            }
            _ => return,
        }
    }
    inside.extend(further);
    let mut above = match groups.body.as_ref() {
        SetExpr::Select(select) => select.as_ref().clone(),
        _ => return,
    };
    groups.body = Box::new(SetExpr::Select(Box::new(Select { projection: inside, ..outer })));
    above.projection = list;
    above.from = vec![derived(groups, "groups")];
    *select = above;
}

/// `explode(array(1, 2)) AS t(n)` in FROM, whose arguments name no column, is `(SELECT
/// explode(array(1, 2))) AS t(n)`.
pub(super) fn as_subquery(table: &mut TableFactor) {
    let TableFactor::Table { name, args: Some(args), alias, .. } = table else { return };
    let call = parsed(&format!("SELECT {name}()"));
    let Some(mut query) = call else { return };
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let Some(SelectItem::UnnamedExpr(SqlExpr::Function(call))) = select.projection.first_mut()
    else {
        return;
    };
    let FunctionArguments::List(list) = &mut call.args else { return };
    list.args = args.args.clone();
    if !select.projection.first().and_then(expression).is_some_and(makes_rows) {
        return;
    }
    let alias = alias.clone();
    *table = TableFactor::Derived { lateral: false, subquery: query, alias, sample: None };
}

/// What stands below a generator in a SELECT without FROM.
pub(super) fn one_row() -> Option<TableWithJoins> {
    Some(derived(parsed(&format!("SELECT 0 AS `{HIDDEN}none`"))?, "one"))
}

fn derived(subquery: Box<Query>, name: &str) -> TableWithJoins {
    let name = Ident::with_quote('`', format!("{HIDDEN}{name}"));
    let alias = Some(TableAlias { explicit: true, name, columns: vec![], at: None });
    let relation = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
    TableWithJoins { relation, joins: vec![] }
}

fn parsed(query: &str) -> Option<Box<Query>> {
    Parser::new(&Spark::default())
        .try_with_sql(query)
        .and_then(|mut parser| parser.parse_query())
        .ok()
}

fn expression(item: &SelectItem) -> Option<&SqlExpr> {
    match item {
        SelectItem::UnnamedExpr(expr)
        | SelectItem::ExprWithAlias { expr, .. }
        | SelectItem::ExprWithAliases { expr, .. } => Some(expr),
        _ => None,
    }
}

fn expression_mut(item: &mut SelectItem) -> Option<&mut SqlExpr> {
    match item {
        SelectItem::UnnamedExpr(expr)
        | SelectItem::ExprWithAlias { expr, .. }
        | SelectItem::ExprWithAliases { expr, .. } => Some(expr),
        _ => None,
    }
}

/// The arguments of a call.
fn arguments(call: &mut SqlExpr) -> Vec<&mut SqlExpr> {
    let SqlExpr::Function(call) = call else { return vec![] };
    let FunctionArguments::List(list) = &mut call.args else { return vec![] };
    let args = list.args.iter_mut().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    args.collect()
}
