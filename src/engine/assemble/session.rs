//! A grouping by sessions over a stream, as a stage.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Aggregate as AggregateNode, LogicalPlan};

use super::Cutter;
use super::about::{About, names};
use super::aggregate::single_aggregate;
use crate::error::Result;
use crate::operators::partial::PartialAggregates;
use crate::operators::session::Sessions;
use crate::sql::event_time_delay;

impl Cutter<'_> {
    /// The group at `session` is a session; see [`crate::operators::session`].
    pub(super) fn sessions(
        &mut self,
        node: AggregateNode,
        session: usize,
        output: SchemaRef,
    ) -> Result<LogicalPlan> {
        let watermarked = event_time_delay(output.field(session)).is_some();
        let time = watermarked.then(|| node.group_expr[session].clone().unalias());
        let (counted, inflow) = self.arriving(&node.input, time, None)?;
        let exec = self.planner.plan(&with_bounds(&node, counted, session)?)?;
        let aggregates = PartialAggregates::of(single_aggregate(&exec)?, self.task.clone())?;
        let make = aggregates.make_plan().clone();
        let about = About::Sessions {
            keys: names(
                node.group_expr.iter().enumerate().filter(|(i, _)| *i != session).map(|e| e.1),
            ),
            delay_us: event_time_delay(output.field(session)),
            emit: self.emit(),
        };
        let operator = Sessions::new(aggregates, session, watermarked, self.emit(), output);
        Ok(self.stage(
            vec![make],
            vec![inflow],
            operator,
            about,
            &[node.input.as_ref()],
            &node.schema,
        ))
    }
}

/// The same aggregation over a session's end and start, behind the other groups.
fn with_bounds(node: &AggregateNode, input: LogicalPlan, session: usize) -> Result<LogicalPlan> {
    let mut groups = node.group_expr.clone();
    let session = groups.remove(session).unalias();
    groups.push(get_field(session.clone(), "end").alias("__session_end"));
    groups.push(get_field(session, "start").alias("__session_start"));
    let aggregate = AggregateNode::try_new(Arc::new(input), groups, node.aggr_expr.clone())?;
    Ok(LogicalPlan::Aggregate(aggregate))
}
