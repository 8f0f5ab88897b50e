//! Which event time the rows of a `UNION` carry: that of its first branch, as in Spark.
//!
//! DataFusion keeps what all branches agree on, and branches whose watermarks have different delays do
//! not agree. So the columns of the others are marked as those of the first.

use std::sync::Arc;

use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Union};

use super::watermark::{EVENT_TIME_DELAY, event_time_delay};

/// Rewrites the whole plan.
pub(super) fn explicit(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        Ok(Transformed::yes(match node {
            LogicalPlan::Union(union) => marked_as_the_first(union)?,
            other => other.recompute_schema()?,
        }))
    })?;
    Ok(rewritten.data)
}

fn marked_as_the_first(union: Union) -> PlanResult<LogicalPlan> {
    let Some(first) = union.inputs.first().map(|input| delays(input)) else {
        return Ok(LogicalPlan::Union(union));
    };
    let mut inputs = Vec::with_capacity(union.inputs.len());
    for input in union.inputs {
        let own = delays(&input);
        inputs.push(if own == first { input } else { Arc::new(marked(&input, &own, &first)?) });
    }
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
}

fn delays(plan: &LogicalPlan) -> Vec<Option<i64>> {
    plan.schema().fields().iter().map(|field| event_time_delay(field)).collect()
}

/// The same columns with other marks. A mark cannot be taken away, so it is made to say nothing.
fn marked(
    plan: &LogicalPlan,
    own: &[Option<i64>],
    marks: &[Option<i64>],
) -> PlanResult<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().zip(own.iter().zip(marks));
    let columns = columns.map(|(column, (own, mark))| {
        if own == mark {
            return Expr::Column(column);
        }
        let text = mark.map_or(String::new(), |delay| delay.to_string());
        let metadata = FieldMetadata::new([(EVENT_TIME_DELAY.to_owned(), text)].into());
        let (relation, name) = (column.relation.clone(), column.name.clone());
        Expr::Column(column).alias_qualified_with_metadata(relation, name, Some(metadata))
    });
    LogicalPlanBuilder::from(plan.clone()).project(columns.collect::<Vec<_>>())?.build()
}
