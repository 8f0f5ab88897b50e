//! An aggregation over a stream, as a stage.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::Column;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{
    Aggregate as AggregateNode, Expr, LogicalPlan, LogicalPlanBuilder, col,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

use super::Cutter;
use super::about::{About, names};
use super::first_rows::two_event_times;
use crate::engine::pane::pane_start;
use crate::engine::result::Groups;
use crate::error::{Error, Result};
use crate::operators::aggregate::{Aggregate, Emit, EventTime};
use crate::operators::partial::PartialAggregates;
use crate::sinks::OutputMode;
use crate::sql::{event_time_delay, is_session};
use crate::window::WindowSpec;

impl Cutter<'_> {
    /// The groups of the aggregation nearest to the sink are those that update mode replaces.
    pub(super) fn aggregate(&mut self, node: AggregateNode) -> Result<LogicalPlan> {
        let output: SchemaRef = Arc::new(node.schema.as_arrow().clone());
        let keys = &output.fields()[..node.group_expr.len()];
        let event_times = keys.iter().filter(|key| event_time_delay(key).is_some()).count();
        if event_times > 1 && self.mode != OutputMode::Complete {
            return Err(two_event_times());
        }
        if let Some(session) = (0..node.group_expr.len()).find(|&i| is_session(output.field(i))) {
            return self.sessions(node, session, output);
        }
        let event_time = event_time_of(&node)?;
        let delay_us = event_time.column().and_then(|i| event_time_delay(output.field(i)));
        let watermarked = delay_us.is_some();
        let input = with_panes(&node, event_time)?;
        let (time, window) = match event_time {
            _ if !watermarked => (None, None),
            EventTime::None => (None, None),
            EventTime::Window(i, window) => {
                (WindowSpec::of(&node.group_expr[i])?.map(|(time, _)| time), Some(window))
            }
            EventTime::Column(i) | EventTime::Ready(i) => {
                (Some(node.group_expr[i].clone().unalias()), None)
            }
        };
        let (counted, inflow) = self.arriving(&input, time, window)?;
        let exec = self.planner.plan(&over_panes(&node, counted, event_time)?)?;
        let aggregates = PartialAggregates::of(single_aggregate(&exec)?, self.task.clone())?;
        let emit = self.emit();
        let make = aggregates.make_plan().clone();
        let about = About::Groups { keys: names(&node.group_expr), event_time, delay_us, emit };
        let operator = Aggregate::new(aggregates, event_time, watermarked, emit, output);
        let stage = self.stage(
            vec![make],
            vec![inflow],
            operator,
            about,
            &[node.input.as_ref()],
            &node.schema,
        );
        self.groups = Some(Groups {
            names: node.schema.columns()[..node.group_expr.len()].to_vec(),
            event_time: watermarked.then_some(event_time),
        });
        Ok(stage)
    }

    /// Which groups come out in this query's output mode.
    pub(super) fn emit(&self) -> Emit {
        match self.mode {
            OutputMode::Append => Emit::Closed,
            OutputMode::Update => Emit::Touched,
            OutputMode::Complete => Emit::All,
        }
    }
}

/// Which group expression carries event time: a window, or a raw event-time column.
fn event_time_of(node: &AggregateNode) -> Result<EventTime> {
    let mut found = EventTime::None;
    for (i, expr) in node.group_expr.iter().enumerate() {
        if let Some((_, spec)) = WindowSpec::of(expr)? {
            if matches!(found, EventTime::Window(..)) {
                return Err(Error::sql(
                    "UNSUPPORTED_FEATURE",
                    "a query can group by one window of time only",
                )
                .hint("remove one of the window(...) expressions from GROUP BY"));
            }
            found = EventTime::Window(i, spec);
        } else if !matches!(found, EventTime::Window(..))
            && matches!(node.schema.field(i).data_type(), DataType::Struct(_))
            && event_time_delay(node.schema.field(i)).is_some()
        {
            found = EventTime::Ready(i);
        } else if matches!(found, EventTime::None)
            && event_time_delay(node.schema.field(i)).is_some()
            && matches!(
                node.schema.field(i).data_type(),
                DataType::Timestamp(TimeUnit::Microsecond, _)
            )
        {
            found = EventTime::Column(i);
        }
    }
    Ok(found)
}

/// The name of the column that holds the start of a row's pane.
const PANE: &str = "__pane";

/// The rows that are grouped, each with its pane where the groups are windows of time. Rows without
/// time fall out, as in Spark.
fn with_panes(node: &AggregateNode, event_time: EventTime) -> Result<LogicalPlan> {
    let input = node.input.as_ref().clone();
    let EventTime::Window(column, spec) = event_time else { return Ok(input) };
    let Some((time, _)) = WindowSpec::of(&node.group_expr[column])? else {
        return Err(Error::internal("a window group is not a window"));
    };
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(pane_start(time, spec).alias(PANE));
    let with_panes = LogicalPlanBuilder::from(input).project(columns)?;
    Ok(with_panes.filter(col(Column::from_name(PANE)).is_not_null())?.build()?)
}

/// The same aggregation over panes instead of windows. A window that was computed further down
/// becomes its end, and its start stands behind the other groups.
fn over_panes(
    node: &AggregateNode,
    input: LogicalPlan,
    event_time: EventTime,
) -> Result<LogicalPlan> {
    let mut groups = node.group_expr.clone();
    match event_time {
        EventTime::None | EventTime::Column(_) => {}
        EventTime::Window(column, _) => groups[column] = col(Column::from_name(PANE)),
        EventTime::Ready(column) => {
            let start = get_field(groups[column].clone(), "start").alias("__window_start");
            groups[column] = get_field(groups[column].clone(), "end").alias("__window_end");
            groups.push(start);
        }
    }
    let aggregate = AggregateNode::try_new(Arc::new(input), groups, node.aggr_expr.clone())?;
    Ok(LogicalPlan::Aggregate(aggregate))
}

/// The aggregation in a physical plan, from which its parts are taken: the complete one, or, where
/// the planner has cut it in two itself, the lower half.
pub(super) fn single_aggregate(plan: &Arc<dyn ExecutionPlan>) -> Result<&AggregateExec> {
    let mut node = plan;
    loop {
        if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
            use AggregateMode as M;
            match aggregate.mode() {
                M::Single | M::SinglePartitioned | M::Partial => return Ok(aggregate),
                M::Final | M::FinalPartitioned | M::PartialReduce => {}
            }
        }
        let children = node.children();
        let [child] = children[..] else {
            return Err(Error::internal("an aggregation was planned without an aggregation"));
        };
        node = child;
    }
}
