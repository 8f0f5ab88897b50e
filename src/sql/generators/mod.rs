//! Functions that make several rows of one: `explode`, `posexplode`, `inline`, `stack`, `json_tuple`,
//! each also in the SELECT list, and their `_outer` forms.
//!
//! It is done in two moves. In the parsed query, [`take`] takes the generators of a SELECT out and
//! leaves relations in FROM whose alias is the number of the generator. While planning, a relation
//! with such an alias is planned by [`Generators`]: the rows of what stands below it, each as often as the
//! generator says, with the generator's columns beside it.

mod groups;
mod plan;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Join,
    JoinConstraint, JoinOperator, ObjectName, Select, SelectItem, SelectItemQualifiedWildcardKind,
    TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

pub(super) use self::plan::Generators;
use super::names;
use crate::error::{Error, Result};

/// The first character of an alias that stands for a generator; no name that a user types holds it.
const MARK: &str = "\u{1}rows of ";
/// The first character of the name of a column that only the SELECT that was rewritten names.
const HIDDEN: char = '\u{1}';

/// A call that makes rows.
#[derive(Debug, Clone)]
pub(super) struct Generator {
    /// The function without `_outer`.
    function: &'static str,
    args: Vec<SqlExpr>,
    /// Whether a row for which there would be none gets one of NULLs.
    outer: bool,
    /// What the columns can be qualified by.
    relation: String,
    /// The names of the columns; empty: those that the function gives them.
    columns: Vec<String>,
}

/// `s.*`: a row stays one row, with the fields of a struct beside it.
const FIELDS: &str = "fields";

const FUNCTIONS: [&str; 5] = ["explode", "posexplode", "inline", "stack", "json_tuple"];

fn generator(expr: &SqlExpr) -> Option<Generator> {
    let SqlExpr::Function(call) = expr else { return None };
    let name = call.name.0.first().and_then(|part| part.as_ident())?.value.to_lowercase();
    let FunctionArguments::List(list) = &call.args else { return None };
    made(&name, &list.args)
}

fn made(name: &str, args: &[FunctionArg]) -> Option<Generator> {
    let (name, outer) = match name.strip_suffix("_outer") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let function = FUNCTIONS.iter().find(|known| **known == name)?;
    if outer && ["stack", "json_tuple"].contains(function) {
        return None;
    }
    let args = args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
            let mut expr = expr.clone();
            names::prepare_expression(&mut expr);
            Some(expr)
        }
        _ => None,
    });
    let args = args.collect::<Option<Vec<_>>>()?;
    Some(Generator { function, args, outer, relation: String::new(), columns: vec![] })
}

/// Whether a call makes rows.
pub(super) fn makes_rows(expr: &SqlExpr) -> bool {
    generator(expr).is_some()
}

/// Takes the generators out of a SELECT: those of its LATERAL VIEWs, of LATERAL tables and of its
/// list of columns.
pub(super) fn take(
    select: &mut Select,
    relations: &[String],
    found: &mut Vec<Generator>,
) -> Result<()> {
    let first = found.len();
    groups::below(select);
    for tables in &mut select.from {
        groups::as_subquery(&mut tables.relation);
        tables.joins.iter_mut().for_each(|join| groups::as_subquery(&mut join.relation));
    }
    for tables in &mut select.from {
        tables.joins.retain(|join| match table_function(&join.relation) {
            Some(generator) => {
                found.push(generator);
                false
            }
            None => true,
        });
    }
    if select.from.len() > 1 {
        select.from.retain(|tables| match table_function(&tables.relation) {
            Some(generator) if tables.joins.is_empty() => {
                found.push(generator);
                false
            }
            _ => true,
        });
    }
    for view in std::mem::take(&mut select.lateral_views) {
        let Some(mut generator) = generator(&view.lateral_view) else {
            // The planner refuses what is no generator.
            select.lateral_views.push(view);
            continue;
        };
        generator.outer |= view.outer;
        generator.relation = view.lateral_view_name.to_string().replace('`', "");
        generator.columns = view.lateral_col_alias.into_iter().map(|name| name.value).collect();
        found.push(generator);
    }
    let views = found[first..].iter().map(|view| view.relation.clone());
    let relations: Vec<String> = relations.iter().cloned().chain(views).collect();
    in_list(select, &relations, found);
    nowhere_else(select)?;
    for number in first..found.len() {
        let from = std::mem::take(&mut select.from);
        let mut tables = from.into_iter();
        let Some(mut below) = tables.next().or_else(groups::one_row) else { break };
        below.joins.extend(tables.map(|table| Join {
            relation: TableFactor::NestedJoin { table_with_joins: Box::new(table), alias: None },
            global: false,
            join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
        }));
        let name = Ident::with_quote('`', format!("{MARK}{number}"));
        let alias = TableAlias { explicit: true, name, columns: vec![], at: None };
        let relation =
            TableFactor::NestedJoin { table_with_joins: Box::new(below), alias: Some(alias) };
        select.from = vec![TableWithJoins { relation, joins: vec![] }];
    }
    Ok(())
}

/// `LATERAL explode(…) AS v(x)` in FROM.
fn table_function(table: &TableFactor) -> Option<Generator> {
    let TableFactor::Function { lateral: true, name, args, alias, .. } = table else { return None };
    let mut generator = made(&name.to_string().to_lowercase(), args)?;
    if let Some(alias) = alias {
        generator.relation = alias.name.value.clone();
        generator.columns = alias.columns.iter().map(|column| column.name.value.clone()).collect();
    }
    Some(generator)
}

/// The generators in the list of columns become relations whose columns the list names.
fn in_list(select: &mut Select, relations: &[String], found: &mut Vec<Generator>) {
    let grouped = is_grouped(select);
    let items = std::mem::take(&mut select.projection);
    let before = found.len();
    let mut projection = Vec::with_capacity(items.len());
    for item in items {
        if let Some((struct_, options)) = struct_of_wildcard(&item, relations) {
            let relation = format!("{HIDDEN}{}", found.len());
            projection.push(whole(&relation, options));
            let (args, columns) = (vec![struct_], vec![]);
            found.push(Generator { function: FIELDS, args, outer: false, relation, columns });
            continue;
        }
        let (expr, aliases) = match &item {
            SelectItem::UnnamedExpr(expr) => (expr, vec![]),
            SelectItem::ExprWithAlias { expr, alias } => (expr, vec![alias.clone()]),
            SelectItem::ExprWithAliases { expr, aliases } => (expr, aliases.clone()),
            _ => {
                projection.push(item);
                continue;
            }
        };
        let Some(mut generator) = generator(expr).filter(|_| !grouped) else {
            projection.push(item);
            continue;
        };
        generator.relation = format!("{HIDDEN}{}", found.len());
        generator.columns = aliases
            .iter()
            .enumerate()
            .map(|(at, _)| format!("{HIDDEN}{}.{at}", found.len()))
            .collect();
        if aliases.is_empty() {
            projection.push(whole(&generator.relation, Default::default()));
        }
        for (alias, column) in aliases.into_iter().zip(&generator.columns) {
            let expr = SqlExpr::Identifier(Ident::with_quote('`', column));
            projection.push(SelectItem::ExprWithAlias { expr, alias });
        }
        found.push(generator);
    }
    // `*` means what it meant before there were more relations.
    if found.len() > before {
        let named = name_of_rows(select).into_iter().collect::<Vec<_>>();
        let relations = if relations.is_empty() { &named } else { relations };
        projection = projection
            .into_iter()
            .flat_map(|item| match item {
                SelectItem::Wildcard(options) => {
                    relations.iter().map(|name| whole(name, options.clone())).collect()
                }
                item => vec![item],
            })
            .collect();
    }
    select.projection = projection;
}

fn is_grouped(select: &Select) -> bool {
    match &select.group_by {
        GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
        GroupByExpr::All(_) => true,
    }
}

/// Gives the one subquery in FROM a name if it has none, so that its columns can be told from those
/// of generators.
fn name_of_rows(select: &mut Select) -> Option<String> {
    let [TableWithJoins { relation: TableFactor::Derived { alias, .. }, joins }] =
        select.from.as_mut_slice()
    else {
        return None;
    };
    if alias.is_some() || !joins.is_empty() {
        return None;
    }
    let name = format!("{HIDDEN}rows");
    let ident = Ident::with_quote('`', &name);
    *alias = Some(TableAlias { explicit: true, name: ident, columns: vec![], at: None });
    Some(name)
}

/// Refuses generators that stand where they make no rows.
fn nowhere_else(select: &mut Select) -> Result<()> {
    let mut calls = Calls(false);
    let _ = select.projection.visit(&mut calls);
    if calls.0 {
        return Err(match is_grouped(select) {
            true => Error::sql(
                "UNSUPPORTED_FEATURE",
                "explode(…) beside GROUP BY is not supported here",
            )
            .hint("aggregate in a subquery in FROM, and make rows of its result outside"),
            false => Error::sql(
                "UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS",
                "a function that makes rows stands inside an expression",
            )
            .hint("give its column a name: SELECT x + 1 FROM t LATERAL VIEW explode(items) v AS x"),
        });
    }
    let _ = select.selection.visit(&mut calls);
    let _ = select.having.visit(&mut calls);
    match calls.0 {
        true => Err(Error::sql(
            "UNSUPPORTED_GENERATOR.OUTSIDE_SELECT",
            "a function that makes rows stands outside of the list of columns",
        )
        .hint("write it as a table: FROM t LATERAL VIEW explode(items) v AS x WHERE x > 1")),
        false => Ok(()),
    }
}

/// Whether there is a call of a generator.
struct Calls(bool);

impl VisitorMut for Calls {
    type Break = ();

    fn pre_visit_select(&mut self, _: &mut Select) -> ControlFlow<()> {
        // What stands in a subquery is looked at there.
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        self.0 |= generator(expr).is_some();
        if self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The struct `s` of `s.*`, when no table is called so, and what is left out of it.
fn struct_of_wildcard(
    item: &SelectItem,
    relations: &[String],
) -> Option<(SqlExpr, WildcardAdditionalOptions)> {
    let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) =
        item
    else {
        return None;
    };
    let path = name.0.iter().map(|part| part.as_ident().cloned()).collect::<Option<Vec<_>>>()?;
    let struct_ = match path.as_slice() {
        [one] if relations.contains(&one.value) => return None,
        [one] => SqlExpr::Identifier(one.clone()),
        _ => SqlExpr::CompoundIdentifier(path),
    };
    Some((struct_, options.clone()))
}

fn whole(relation: &str, options: WildcardAdditionalOptions) -> SelectItem {
    let name = ObjectName::from(vec![Ident::with_quote('`', relation)]);
    SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
}
