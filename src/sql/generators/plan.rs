//! A generator in a plan: from the rows below it, and its arguments, to an unnested list.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{
    Column, DFSchema, NullHandling, ScalarValue, TableReference, UnnestOptions,
};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::expr::{HigherOrderFunction, Lambda, LambdaVariable, ScalarFunction};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarUDF, lit,
};
use datafusion::sql::sqlparser::ast::TableFactor;

use super::{FIELDS, Generator, MARK};
use crate::error::{Error, Result};

/// The column of the list's items, while it is unnested.
const ITEM: &str = "\u{1}item";
/// The column of their places.
const PLACE: &str = "\u{1}place";

/// Plans the relations that stand for these generators.
#[derive(Debug)]
pub(in crate::sql) struct Generators(pub(in crate::sql) Arc<[Generator]>);

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
        below.push(places_of(list.clone(), &schema, context)?.alias(PLACE));
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

/// The place of each item in a list: `transform(list, (item, place) -> place)`.
fn places_of(
    list: Expr,
    schema: &DFSchema,
    context: &mut dyn RelationPlannerContext,
) -> PlanResult<Expr> {
    let place = LambdaVariable::new("place".into(), None);
    let params = vec!["item".into(), place.name.clone()];
    let lambda = Expr::Lambda(Lambda::new(params, Expr::LambdaVariable(place)));
    let transform = context.context_provider().get_higher_order_meta("transform");
    let transform =
        transform.ok_or_else(|| Error::internal("the function transform is missing"))?;
    let places = HigherOrderFunction::new(transform, vec![list, lambda]);
    Ok(Expr::HigherOrderFunction(places).resolve_lambda_variables(schema)?.data)
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
    schema: &DFSchema,
    function: &dyn Fn(&str) -> Result<Arc<ScalarUDF>>,
) -> PlanResult<Expr> {
    let call = |name: &str, args: Vec<Expr>| {
        Ok::<Expr, Error>(Expr::ScalarFunction(ScalarFunction::new_udf(function(name)?, args)))
    };
    match (generator.function, args.as_slice()) {
        ("json_tuple", [_, _, ..]) => Ok(call("array", vec![call("json_tuple", args)?])?),
        ("stack", [Expr::Literal(rows, _), _, ..]) => {
            let rows = rows.cast_to(&DataType::Int32)?;
            let ScalarValue::Int32(Some(rows @ 1..)) = rows else {
                return Err(mismatch("stack(n, …) makes n rows, 1 or more"));
            };
            let values = args.split_off(1);
            let width = values.len().div_ceil(rows as usize);
            let structs = values.chunks(width).map(|row| {
                let row = row.iter().cloned().map(Some).chain(std::iter::repeat(None)).take(width);
                let fields = row.enumerate().flat_map(|(at, value)| {
                    let value = value.unwrap_or(lit(ScalarValue::Null));
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

fn mismatch(what: &str) -> DataFusionError {
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
