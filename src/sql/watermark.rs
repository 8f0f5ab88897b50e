//! `WATERMARK column DELAY OF interval` in a logical plan.
//!
//! The node changes no rows. It says where the maximum event time is observed, and it marks its
//! column: the field carries the delay as metadata, which flows through projections, aliases and
//! grouping keys, so that an operator further up sees which of its keys are event time. A filter
//! that does not touch the column moves below the node, as in Spark: rows that it removes do not
//! advance the watermark.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{Column, DFSchema, DFSchemaRef, plan_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    Expr, Extension, InvariantLevel, LogicalPlan, UserDefinedLogicalNodeCore,
};

use super::plan::is_streaming;
use super::types;
use crate::error::{Error, Result};

/// The key of a field's metadata that marks event time; the value is the delay in microseconds.
pub const EVENT_TIME_DELAY: &str = "strandline.eventTimeDelayMicros";

/// The watermark delay of a field that is event time, in microseconds: a timestamp that a
/// `WATERMARK` names, or a window over one. `None` for every other field.
pub fn event_time_delay(field: &Field) -> Option<i64> {
    match field.data_type() {
        DataType::Timestamp(_, _) | DataType::Struct(_) => {
            field.metadata().get(EVENT_TIME_DELAY)?.parse().ok()
        }
        _ => None,
    }
}

/// The key of a field's metadata that says that a struct is a window of event time, and of which
/// kind: [`GRID`] or [`SESSION`]. It flows as the mark of event time does, but belongs to windows
/// of any time. A struct of a start and an end is no window without it, as in Spark.
pub const WINDOW_KIND: &str = "strandline.window";
/// The kind of windows whose place does not depend on the rows: `window(…)`.
pub const GRID: &str = "grid";
/// The kind of windows that the rows make: `session_window(…)`.
pub const SESSION: &str = "session";

/// Whether a field is a window, of either kind.
pub fn is_window(field: &Field) -> bool {
    field.metadata().contains_key(WINDOW_KIND)
}

/// Whether a field is a session: grouping by it merges those that touch.
pub fn is_session(field: &Field) -> bool {
    field.metadata().get(WINDOW_KIND).is_some_and(|kind| kind == SESSION)
}

/// One `WATERMARK` clause of a query.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatermarkDefinition {
    /// The number of the clause in its query, from 0. A node that a plan holds twice (a common
    /// table expression that is read twice) has one number.
    pub index: usize,
    /// The event-time column as the query calls it.
    pub column: String,
    /// How far the watermark stays behind the largest event time, in microseconds.
    pub delay_us: i64,
}

/// The logical node of a [`WatermarkDefinition`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatermarkNode {
    /// What the clause stands behind.
    pub input: LogicalPlan,
    /// The event-time column in the input's schema.
    pub event_time: Column,
    /// The delay in microseconds, not negative.
    pub delay_us: i64,
    /// The number of the clause in its query.
    pub index: usize,
    schema: DFSchemaRef,
}

impl WatermarkNode {
    /// A watermark on a column of `input`, which must be a timestamp in microseconds.
    pub fn try_new(
        input: LogicalPlan,
        event_time: Column,
        delay_us: i64,
        index: usize,
    ) -> PlanResult<Self> {
        let marked = input.schema().index_of_column(&event_time)?;
        let fields = input.schema().iter().enumerate().map(|(at, (qualifier, field))| {
            let mut field = field.as_ref().clone();
            if at == marked {
                let mut metadata = field.metadata().clone();
                metadata.insert(EVENT_TIME_DELAY.to_owned(), delay_us.to_string());
                field = field.with_metadata(metadata);
            }
            (qualifier.cloned(), Arc::new(field))
        });
        let schema =
            DFSchema::new_with_metadata(fields.collect(), input.schema().metadata().clone())?
                .with_functional_dependencies(input.schema().functional_dependencies().clone())?;
        Ok(Self { input, event_time, delay_us, index, schema: Arc::new(schema) })
    }

    /// The node in a plan, if the plan's top is one.
    pub fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref::<Self>(),
            _ => None,
        }
    }

    /// What the clause says.
    pub fn definition(&self) -> WatermarkDefinition {
        WatermarkDefinition {
            index: self.index,
            column: self.event_time.name.clone(),
            delay_us: self.delay_us,
        }
    }

    /// The position of the event-time column in the input (and in the output).
    pub fn event_time_index(&self) -> PlanResult<usize> {
        self.schema.index_of_column(&self.event_time)
    }

    /// The node as a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

/// Puts a watermark on a column of a plan; `called` is what errors call the column, `next` gives the
/// number of the watermark in its query.
pub(super) fn mark(
    plan: LogicalPlan,
    column: Column,
    called: &str,
    delay_us: i64,
    next: impl FnOnce() -> usize,
) -> Result<LogicalPlan> {
    let field = plan.schema().field(plan.schema().index_of_column(&column)?);
    if !matches!(field.data_type(), DataType::Timestamp(TimeUnit::Microsecond, Some(_))) {
        let what = format!(
            "the event time '{called}' is {}, but a watermark needs a TIMESTAMP",
            types::spark_name(field.data_type()).to_uppercase()
        );
        return Err(Error::sql("EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE", what).hint(
            "write WATERMARK to_timestamp(column) AS name DELAY OF INTERVAL …, or declare the \
             column as TIMESTAMP",
        ));
    }
    // On a still table a watermark means nothing: as in Spark it is dropped in silence.
    if !is_streaming(&plan) {
        return Ok(plan);
    }
    if plan.schema().fields().iter().any(|field| event_time_delay(field).is_some()) {
        return Err(Error::sql("REDEFINED_WATERMARK", "this stream already has a watermark")
            .hint("keep one WATERMARK for each stream"));
    }
    Ok(WatermarkNode::try_new(plan, column, delay_us, next())?.into_plan())
}

impl PartialOrd for WatermarkNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.index, self.delay_us).partial_cmp(&(other.index, other.delay_us))
    }
}

impl UserDefinedLogicalNodeCore for WatermarkNode {
    fn name(&self) -> &str {
        "Watermark"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn check_invariants(&self, _: InvariantLevel) -> PlanResult<()> {
        Ok(())
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.event_time.clone())]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.event_time.name.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watermark: {} delay={} us", self.event_time, self.delay_us)
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> PlanResult<Self> {
        let event_time = match exprs.into_iter().next() {
            Some(Expr::Column(column)) => column,
            Some(Expr::Alias(alias)) => match *alias.expr {
                Expr::Column(column) => column,
                other => return plan_err!("a watermark needs a column, found {other}"),
            },
            other => return plan_err!("a watermark needs a column, found {other:?}"),
        };
        match inputs.into_iter().next() {
            Some(input) => Self::try_new(input, event_time, self.delay_us, self.index),
            None => plan_err!("a watermark needs an input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut columns = output_columns.to_vec();
        columns.push(self.event_time_index().ok()?);
        columns.sort_unstable();
        columns.dedup();
        Some(vec![columns])
    }
}
