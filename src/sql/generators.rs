//! Functions that make several rows of one: `explode`, `posexplode`, `inline`, `stack`, `json_tuple`,
//! each also in the SELECT list, and their `_outer` forms.
//!
//! It is done in two moves. In the parsed query, [`take`] takes the generators of a SELECT out and
//! leaves relations in FROM whose alias is the number of the generator. While planning, a relation
//! with such an alias is planned by [`Generators`]: the rows of what stands below it, each as often as the
//! generator says, with the generator's columns beside it.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, NullHandling, TableReference, UnnestOptions};
use datafusion::error::Result as PlanResult;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::expr::{HigherOrderFunction, Lambda, LambdaVariable, ScalarFunction};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarUDF, lit,
};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    ObjectName, Select, SelectItem, SelectItemQualifiedWildcardKind, TableAlias, TableFactor,
    TableWithJoins, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::names;
use crate::error::{Error, Result};

/// The first character of an alias that stands for a generator; no name that a user types holds it.
const MARK: &str = "\u{1}rows of ";
/// The first character of the name of a column that only the SELECT that was rewritten names.
const HIDDEN: char = '\u{1}';
const ITEM: &str = "\u{1}item";
const PLACE: &str = "\u{1}place";

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

/// Takes the generators out of a SELECT: those of its LATERAL VIEWs, of LATERAL tables and of its
/// list of columns.
pub(super) fn take(
    select: &mut Select,
    relations: &[String],
    found: &mut Vec<Generator>,
) -> Result<()> {
    let first = found.len();
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
    in_list(select, relations, found);
    nowhere_else(select)?;
    for number in first..found.len() {
        let from = std::mem::take(&mut select.from);
        let mut tables = from.into_iter();
        let Some(mut below) = tables.next() else { break };
        below.joins.extend(tables.map(|table| datafusion::sql::sqlparser::ast::Join {
            relation: TableFactor::NestedJoin { table_with_joins: Box::new(table), alias: None },
            global: false,
            join_operator: datafusion::sql::sqlparser::ast::JoinOperator::CrossJoin(
                datafusion::sql::sqlparser::ast::JoinConstraint::None,
            ),
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
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
        GroupByExpr::All(_) => true,
    };
    let items = std::mem::take(&mut select.projection);
    let before = found.len();
    let mut projection = Vec::with_capacity(items.len());
    for item in items {
        if let Some(struct_) = struct_of_wildcard(&item, relations) {
            let relation = format!("{HIDDEN}{}", found.len());
            projection.push(whole(&relation));
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
            projection.push(whole(&generator.relation));
        }
        for (alias, column) in aliases.into_iter().zip(&generator.columns) {
            let expr = SqlExpr::Identifier(Ident::with_quote('`', column));
            projection.push(SelectItem::ExprWithAlias { expr, alias });
        }
        found.push(generator);
    }
    // `*` means what it meant before there were more relations.
    if found.len() > before {
        projection = projection
            .into_iter()
            .flat_map(|item| match item {
                SelectItem::Wildcard(_) => relations.iter().map(|name| whole(name)).collect(),
                item => vec![item],
            })
            .collect();
    }
    select.projection = projection;
}

/// Refuses generators that stand where they make no rows.
fn nowhere_else(select: &mut Select) -> Result<()> {
    let mut calls = Calls(false);
    let _ = select.projection.visit(&mut calls);
    if calls.0 {
        let grouped = match &select.group_by {
            GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
            GroupByExpr::All(_) => true,
        };
        return Err(match grouped {
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

/// The struct `s` of `s.*`, when no table is called so.
fn struct_of_wildcard(item: &SelectItem, relations: &[String]) -> Option<SqlExpr> {
    let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
    else {
        return None;
    };
    let path = name.0.iter().map(|part| part.as_ident().cloned()).collect::<Option<Vec<_>>>()?;
    match path.as_slice() {
        [one] if relations.contains(&one.value) => None,
        [one] => Some(SqlExpr::Identifier(one.clone())),
        _ => Some(SqlExpr::CompoundIdentifier(path)),
    }
}

fn whole(relation: &str) -> SelectItem {
    let name = ObjectName::from(vec![Ident::with_quote('`', relation)]);
    SelectItem::QualifiedWildcard(
        SelectItemQualifiedWildcardKind::ObjectName(name),
        Default::default(),
    )
}

/// Plans the relations that stand for these generators.
#[derive(Debug)]
pub(super) struct Generators(pub(super) Arc<[Generator]>);

impl RelationPlanner for Generators {
    fn plan_relation(
        &self,
        mut relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> PlanResult<RelationPlanning> {
        let TableFactor::NestedJoin { alias, .. } = &mut relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let number = alias.as_ref().and_then(|a| a.name.value.strip_prefix(MARK)?.parse().ok());
        let Some(generator) = number.and_then(|number: usize| self.0.get(number)) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        *alias = None;
        let below = context.plan(relation)?;
        let plan = plan(generator, below, context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

/// The rows of `input`, each as often as the generator says, and the generator's columns.
fn plan(
    generator: &Generator,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> PlanResult<LogicalPlan> {
    let schema = input.schema().clone();
    let args = generator.args.iter().map(|arg| context.sql_to_expr(arg.clone(), &schema));
    let args = args.collect::<PlanResult<Vec<_>>>()?;
    let function = |name: &str| match context.context_provider().get_function_meta(name) {
        Some(function) => Ok(function),
        None => Err(Error::internal(format!("the function {name} is missing"))),
    };
    if generator.function == FIELDS {
        return fields(generator, args, input);
    }
    if args
        .iter()
        .any(|arg| arg.exists(|e| Ok(matches!(e, Expr::AggregateFunction(_)))).unwrap_or(false))
    {
        let what = format!("an aggregate inside {}(…) is not supported here", generator.function);
        return Err(Error::sql("UNSUPPORTED_FEATURE", what)
            .hint("aggregate in a subquery in FROM, and make rows of its result outside")
            .into());
    }
    let of_map =
        matches!(args.first().map(|arg| arg.get_type(&schema)), Some(Ok(DataType::Map(..))));
    let list = list_of(generator, args, &schema, &function)?;
    let columns = columns_of(generator, list.get_type(&schema)?, of_map)?;
    let mut below: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let mut above = below.clone();
    if generator.function == "posexplode" {
        let item = LambdaVariable::new("item".into(), None);
        let place = LambdaVariable::new("place".into(), None);
        let params = vec![item.name, place.name.clone()];
        let body = Expr::LambdaVariable(place);
        let lambda = Expr::Lambda(Lambda::new(params, body));
        let transform = context.context_provider().get_higher_order_meta("transform");
        let transform =
            transform.ok_or_else(|| Error::internal("the function transform is missing"))?;
        let places = HigherOrderFunction::new(transform, vec![list.clone(), lambda]);
        let places = Expr::HigherOrderFunction(places).resolve_lambda_variables(&schema)?.data;
        below.push(places.alias(PLACE));
    }
    below.push(list.alias(ITEM));
    let unnested: Vec<Column> = below[above.len()..]
        .iter()
        .map(|e| Column::new_unqualified(e.schema_name().to_string()))
        .collect();
    let nulls =
        if generator.outer { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
    let plan = LogicalPlanBuilder::from(input)
        .project(below)?
        .unnest_columns_with_options(unnested, UnnestOptions::new().with_null_handling(nulls))?;
    let relation =
        (!generator.relation.is_empty()).then(|| TableReference::bare(generator.relation.as_str()));
    above.extend(columns.into_iter().map(|(name, part)| {
        let item = Expr::Column(Column::new_unqualified(ITEM));
        let value = match part {
            Part::Place => Expr::Column(Column::new_unqualified(PLACE)),
            Part::Whole => item,
            Part::Field(field) => get_field(item, field),
        };
        value.alias_qualified(relation.clone(), name)
    }));
    plan.project(above)?.build()
}

/// The rows of `input` with the fields of a struct beside them.
fn fields(generator: &Generator, args: Vec<Expr>, input: LogicalPlan) -> PlanResult<LogicalPlan> {
    let schema = input.schema().clone();
    let mut columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    for arg in args {
        let DataType::Struct(fields) = arg.get_type(&schema)? else {
            return Err(mismatch("only the fields of a STRUCT can be listed with .*"));
        };
        let relation = TableReference::bare(generator.relation.as_str());
        columns.extend(fields.iter().map(|field| {
            let value = get_field(arg.clone(), field.name().as_str());
            value.alias_qualified(Some(relation.clone()), field.name())
        }));
    }
    LogicalPlanBuilder::from(input).project(columns)?.build()
}

/// Where the value of a column comes from.
enum Part {
    /// The place of the item in the list.
    Place,
    /// The item.
    Whole,
    /// A field of the item.
    Field(String),
}

/// The list of which each item makes a row.
fn list_of(
    generator: &Generator,
    mut args: Vec<Expr>,
    schema: &datafusion::common::DFSchema,
    function: &dyn Fn(&str) -> Result<Arc<ScalarUDF>>,
) -> PlanResult<Expr> {
    let call = |name: &str, args: Vec<Expr>| {
        Ok::<Expr, Error>(Expr::ScalarFunction(ScalarFunction::new_udf(function(name)?, args)))
    };
    match (generator.function, args.as_slice()) {
        ("json_tuple", [_, _, ..]) => Ok(call("array", vec![call("json_tuple", args)?])?),
        ("stack", [Expr::Literal(rows, _), _, ..]) => {
            let rows = rows.cast_to(&DataType::Int32)?;
            let datafusion::common::ScalarValue::Int32(Some(rows @ 1..)) = rows else {
                return Err(mismatch("stack(n, …) makes n rows, 1 or more"));
            };
            let values = args.split_off(1);
            let width = values.len().div_ceil(rows as usize);
            let structs = values.chunks(width).map(|row| {
                let row = row.iter().cloned().map(Some).chain(std::iter::repeat(None)).take(width);
                let fields = row.enumerate().flat_map(|(at, value)| {
                    let value = value.unwrap_or(lit(datafusion::common::ScalarValue::Null));
                    [lit(format!("col{at}")), value]
                });
                call("named_struct", fields.collect())
            });
            let structs = structs.collect::<Result<Vec<_>, _>>()?;
            Ok(call("array", structs)?)
        }
        ("explode" | "posexplode" | "inline", [list]) => {
            let data_type = list.get_type(schema)?;
            match (&data_type, generator.function) {
                (DataType::Map(..), "explode" | "posexplode") => Ok(call("map_entries", args)?),
                (DataType::List(item), _)
                    if generator.function != "inline"
                        || matches!(item.data_type(), DataType::Struct(_)) =>
                {
                    Ok(args.swap_remove(0))
                }
                (_, "inline") => Err(mismatch("inline(…) takes an ARRAY of STRUCTs")),
                _ => Err(mismatch("explode(…) takes an ARRAY or a MAP")),
            }
        }
        (name, args) => Err(Error::sql(
            "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
            format!("{name}(…) does not take {} arguments", args.len()),
        )
        .hint("write explode(array), inline(array of structs), stack(n, value, …) or json_tuple(text, key, …)")
        .into()),
    }
}

fn mismatch(what: &str) -> datafusion::error::DataFusionError {
    Error::sql("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", what)
        .hint("look at the argument's type in CREATE TABLE")
        .into()
}

/// The generator's columns by their names.
fn columns_of(
    generator: &Generator,
    list: DataType,
    of_map: bool,
) -> PlanResult<Vec<(String, Part)>> {
    let DataType::List(item) = list else { return Err(mismatch("explode(…) takes an ARRAY")) };
    let mut columns = match (item.data_type(), generator.function) {
        (DataType::Struct(fields), "inline" | "stack" | "json_tuple") => {
            let field = |name: &String| (name.clone(), Part::Field(name.clone()));
            fields.iter().map(|f| field(f.name())).collect()
        }
        _ if of_map => vec![
            ("key".to_owned(), Part::Field("key".into())),
            ("value".to_owned(), Part::Field("value".into())),
        ],
        _ => vec![("col".to_owned(), Part::Whole)],
    };
    if generator.function == "posexplode" {
        columns.insert(0, ("pos".to_owned(), Part::Place));
    }
    if generator.columns.is_empty() {
        return Ok(columns);
    }
    if generator.columns.len() != columns.len() {
        let (given, there) = (generator.columns.len(), columns.len());
        let what = format!("{} gives {there} columns, and {given} names", generator.function);
        return Err(Error::sql("UDTF_ALIAS_NUMBER_MISMATCH", what)
            .hint("name each of its columns: AS (a, b), or none of them")
            .into());
    }
    let named =
        columns.into_iter().zip(&generator.columns).map(|((_, part), name)| (name.clone(), part));
    Ok(named.collect())
}
