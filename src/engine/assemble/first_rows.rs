//! What lets only the first rows through, as stages: of each key, or of all.

use datafusion::logical_expr::{Expr, FetchType, Limit as LimitNode, LogicalPlan, SkipType};

use super::Cutter;
use super::about::About;
use crate::error::{Error, Result};
use crate::operators::deduplicate::{Deduplicate, Forget};
use crate::operators::limit::Limit;
use crate::sql::{DeduplicateNode, event_time_delay};

impl Cutter<'_> {
    /// A deduplication becomes a stage.
    pub(super) fn deduplicate(&mut self, node: &DeduplicateNode) -> Result<LogicalPlan> {
        let schema = node.input.schema();
        let event_time = match node.event_times()[..] {
            [] => None,
            [only] => Some(only),
            _ => return Err(two_event_times()),
        };
        let keys = node.keys.iter().map(|key| schema.index_of_column(key));
        let keys: Vec<usize> = keys.collect::<Result<_, _>>()?;
        let forget = match event_time {
            Some(time) if node.within_watermark => {
                Forget::After(event_time_delay(schema.field(time)).unwrap_or(0))
            }
            Some(time) if keys.contains(&time) => Forget::AtEventTime,
            _ => Forget::Never,
        };
        let time = event_time.map(|time| Expr::Column(schema.columns()[time].clone()));
        let (counted, inflow) = self.arriving(&node.input, time, None)?;
        let plan = self.planner.plan(&counted)?;
        let about = About::Duplicates {
            keys: node.keys.iter().map(|key| key.name.clone()).collect(),
            forget,
            event_time: event_time.map(|at| schema.field(at).name().clone()),
        };
        let operator = Deduplicate::new(plan.schema(), keys, event_time, forget);
        Ok(self.stage(vec![plan], vec![inflow], operator, about, &[&node.input], schema))
    }

    /// A LIMIT becomes a stage.
    pub(super) fn limit(&mut self, node: LimitNode) -> Result<LogicalPlan> {
        let (SkipType::Literal(0), FetchType::Literal(Some(rows))) =
            (node.get_skip_type()?, node.get_fetch_type()?)
        else {
            return Err(Error::sql(
                "INVALID_LIMIT_LIKE_EXPRESSION.IS_UNFOLDABLE",
                "the number of rows after LIMIT must be a number",
            )
            .hint("write LIMIT 10"));
        };
        let (counted, inflow) = self.arriving(&node.input, None, None)?;
        let plan = self.planner.plan(&counted)?;
        let operator = Limit::new(plan.schema(), rows);
        let about = About::Limit { rows };
        Ok(self.stage(
            vec![plan],
            vec![inflow],
            operator,
            about,
            &[&node.input],
            node.input.schema(),
        ))
    }
}

/// An operator that would have to go by two event times.
pub(super) fn two_event_times() -> Error {
    Error::sql(
        "_LEGACY_ERROR_TEMP_3077",
        "two columns carry event time with a watermark, and an operator can go by one only",
    )
    .hint("leave one of them out of the SELECT of a subquery below, or cast it away")
}
