//! `GROUPING SETS`, `ROLLUP` and `CUBE` as one plain grouping, which a stream can keep in state.
//!
//! Each row is repeated once a grouping set, with NULL for the keys that the set lacks and with the
//! set's number as one more key. That is Spark's plan too (its Expand), so the groups in state are
//! the same, and a window that is in every set still closes its groups:
//!
//! ```text
//! input → keys as columns → × the numbers of the sets → keys the set lacks become NULL → group
//! ```
//!
//! A set's number has a bit for each key that it lacks, the last key the lowest: what Spark gives
//! for `grouping_id()`. A key's own bit is `grouping(key)`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, not_impl_err};
use datafusion::error::Result as PlanResult;
use datafusion::functions_nested::expr_fn::make_array;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, powerset};
use datafusion::logical_expr::{
    Accumulator, Aggregate, AggregateUDF, AggregateUDFImpl, Expr, ExprSchemable, GroupingSet,
    LogicalPlan, LogicalPlanBuilder, Signature, TypeSignature, Volatility, lit, when,
};

use super::watermark::{EVENT_TIME_DELAY, event_time_delay};
use crate::error::Error;

/// The key that holds the number of the grouping set.
const SET: &str = "grouping_id()";
const GROUPING: &str = "grouping";
const GROUPING_ID: &str = "grouping_id";

/// Rewrites the whole plan.
pub(super) fn explicit(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(_)] => expanded(aggregate).map(Transformed::yes),
            _ => Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// A key of the grouping, and the numbers of the sets that lack it.
struct Key {
    expr: Expr,
    column: String,
    lacking: Vec<Expr>,
}

fn expanded(aggregate: Aggregate) -> PlanResult<LogicalPlan> {
    let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
    let sets = sets(&aggregate.group_expr)?;
    let numbers: Vec<i64> = sets.iter().map(|set| number(&keys, set)).collect();
    if (1..numbers.len()).any(|at| numbers[..at].contains(&numbers[at])) {
        return Err(Error::sql("UNSUPPORTED_FEATURE", "the same grouping set is there twice")
            .hint("leave one of them out")
            .into());
    }
    let keys: Vec<Key> = keys
        .iter()
        .enumerate()
        .map(|(at, expr)| {
            let bit = 1 << (keys.len() - 1 - at);
            let lacking = numbers.iter().filter(|number| **number & bit != 0).map(|n| lit(*n));
            Key {
                expr: (*expr).clone(),
                column: format!("__group_{at}"),
                lacking: lacking.collect(),
            }
        })
        .collect();
    let input = repeated(aggregate.input.as_ref().clone(), &keys, &numbers)?;
    let is_grouping = |expr: &Expr| grouping_call(expr).is_some();
    let values = aggregate.aggr_expr.iter().filter(|expr| !is_grouping(expr)).cloned();
    let groups = keys.iter().map(|key| key.column.as_str()).chain([SET]);
    let grouped = LogicalPlanBuilder::from(input)
        .aggregate(groups.map(named).collect::<Vec<_>>(), values.collect::<Vec<_>>())?;

    // The columns are called what they were called before.
    let fields: Vec<_> = aggregate.schema.iter().collect();
    let mut columns = Vec::with_capacity(fields.len());
    for ((qualifier, field), key) in fields.iter().zip(&keys) {
        columns.push(named(&key.column).alias_qualified(qualifier.cloned(), field.name()));
    }
    // Behind the keys stands DataFusion's own number of the set.
    for ((_, field), expr) in fields.iter().skip(keys.len() + 1).zip(&aggregate.aggr_expr) {
        let column = match grouping_call(expr) {
            Some(arguments) => grouping(arguments, &keys)?,
            None => named(field.name()),
        };
        columns.push(column.alias(field.name()));
    }
    grouped.project(columns)?.build()
}

fn named(column: &str) -> Expr {
    Expr::Column(Column::new_unqualified(column))
}

/// The keys of each set.
fn sets(group_expr: &[Expr]) -> PlanResult<Vec<Vec<&Expr>>> {
    Ok(match group_expr {
        [Expr::GroupingSet(GroupingSet::Rollup(keys))] => {
            (0..=keys.len()).rev().map(|length| keys[..length].iter().collect()).collect()
        }
        [Expr::GroupingSet(GroupingSet::Cube(keys))] => powerset(keys)?,
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => {
            sets.iter().map(|set| set.iter().collect()).collect()
        }
        _ => vec![],
    })
}

fn number(keys: &[&Expr], set: &[&Expr]) -> i64 {
    keys.iter().fold(0, |number, key| number << 1 | i64::from(!set.contains(key)))
}

/// The input, each row once a set.
fn repeated(input: LogicalPlan, keys: &[Key], numbers: &[i64]) -> PlanResult<LogicalPlan> {
    let own: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut columns = own.clone();
    columns.extend(keys.iter().map(|key| key.expr.clone().alias(&key.column)));
    columns.push(make_array(numbers.iter().map(|number| lit(*number)).collect()).alias(SET));
    let with_keys = LogicalPlanBuilder::from(input).project(columns)?.build()?;
    let fields = with_keys.schema().clone();
    let repeated =
        LogicalPlanBuilder::from(with_keys).unnest_column(Column::new_unqualified(SET))?;

    let mut columns = own;
    for key in keys {
        let column = named(&key.column);
        let (_, field) = column.to_field(fields.as_ref())?;
        // Neither unnesting nor CASE keeps the mark of event time.
        let mark = event_time_delay(&field).map(|delay| {
            FieldMetadata::new([(EVENT_TIME_DELAY.to_owned(), delay.to_string())].into())
        });
        let value = match key.lacking.is_empty() {
            true => column,
            false => when(named(SET).in_list(key.lacking.clone(), true), column).end()?,
        };
        columns.push(value.alias_with_metadata(&key.column, mark));
    }
    columns.push(named(SET));
    repeated.project(columns)?.build()
}

/// The arguments, if an aggregate is `grouping(…)` or `grouping_id(…)`; those of the second are
/// empty, since they can only be all keys.
fn grouping_call(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Alias(alias) => grouping_call(&alias.expr),
        Expr::AggregateFunction(call) if call.func.name() == GROUPING => Some(&call.params.args),
        Expr::AggregateFunction(call) if call.func.name() == GROUPING_ID => Some(&[]),
        _ => None,
    }
}

fn grouping(arguments: &[Expr], keys: &[Key]) -> PlanResult<Expr> {
    let [argument] = arguments else { return Ok(named(SET)) };
    match keys.iter().find(|key| key.expr == *argument) {
        Some(key) if key.lacking.is_empty() => Ok(lit(0_i8)),
        Some(key) => {
            when(named(SET).in_list(key.lacking.clone(), false), lit(1_i8)).otherwise(lit(0_i8))
        }
        None => Err(Error::sql(
            "GROUPING_COLUMN_MISMATCH",
            format!("grouping({argument}) asks for what is no key of the GROUP BY"),
        )
        .hint("name one of the keys of GROUPING SETS, ROLLUP or CUBE")
        .into()),
    }
}

/// `grouping_id()`, so that the planner knows it; [`explicit`] puts its meaning in its place.
pub(super) fn grouping_id() -> Arc<AggregateUDF> {
    let shapes = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    let signature = Signature::one_of(shapes, Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(GroupingId { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct GroupingId {
    signature: Signature,
}

impl AggregateUDFImpl for GroupingId {
    fn name(&self) -> &str {
        GROUPING_ID
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Int64)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        not_impl_err!("grouping_id() without GROUPING SETS, ROLLUP or CUBE")
    }
}
