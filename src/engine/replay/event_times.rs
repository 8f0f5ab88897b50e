//! The event times that reach an operator, row by row, from which follows how late each row is.
//!
//! An aggregation meets groups, not rows. So the plan that feeds an operator is given one more node,
//! through which rows pass unchanged: below the aggregation, where they are still rows.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::Array;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use crate::engine::assemble::Stage;
use crate::error::Result;
use crate::operators::LateBy;
use crate::operators::late;
use crate::time::EventTimeMicros;
use crate::window::WindowSpec;

/// For each row that reached one input of an operator since it was last asked: the time that the
/// watermark must reach for the row to be late, for all of its windows. Rows without event time,
/// which are never late, are left out.
#[derive(Debug, Clone, Default)]
pub(super) struct EventTimes(Arc<Mutex<Vec<EventTimeMicros>>>);

impl EventTimes {
    /// Takes what has arrived since the last call.
    pub(super) fn take(&self) -> Vec<EventTimeMicros> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts the node into each plan of a stage whose rows can be late.
    pub(super) fn of(stage: &mut Stage) -> PlanResult<Vec<EventTimes>> {
        let mut all = vec![];
        for (plan, by) in stage.plans.iter_mut().zip(stage.operator.late_by()) {
            let Some(LateBy { column, windows }) = by else { continue };
            let noted = EventTimes::default();
            let note = |input: &Arc<dyn ExecutionPlan>, time| -> Arc<dyn ExecutionPlan> {
                let (input, noted) = (input.clone(), noted.clone());
                Arc::new(EventTimesExec { input, time, windows, noted })
            };
            let groups = plan.downcast_ref::<AggregateExec>();
            let group = groups.and_then(|exec| Some((exec, exec.group_expr().expr().get(column)?)));
            *plan = match group {
                Some((exec, (time, _))) => {
                    let children = vec![note(exec.input(), time.clone())];
                    let how = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                    plan.clone().replace_children(children, how)?
                }
                None => {
                    let name = plan.schema().field(column).name().clone();
                    note(plan, Arc::new(Column::new(&name, column)))
                }
            };
            all.push(noted);
        }
        Ok(all)
    }
}

/// The node: rows pass unchanged, their event times are noted.
#[derive(Debug)]
struct EventTimesExec {
    input: Arc<dyn ExecutionPlan>,
    time: Arc<dyn PhysicalExpr>,
    windows: Option<WindowSpec>,
    noted: EventTimes,
}

impl EventTimesExec {
    fn note(&self, batch: &arrow::array::RecordBatch) -> Result<()> {
        let times = late::event_times(&self.time.evaluate(batch)?.into_array(batch.num_rows())?)?;
        let mut noted = self.noted.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.extend((0..times.len()).filter(|&row| times.is_valid(row)).map(|row| {
            let time = times.value(row);
            // The newest of its windows is the last to be closed.
            self.windows.map_or(time, |windows| windows.last_start(time) + windows.size_us)
        }));
        Ok(())
    }
}

impl DisplayAs for EventTimesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventTimesExec: {}", self.time)
    }
}

impl ExecutionPlan for EventTimesExec {
    fn name(&self) -> &'static str {
        "EventTimesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            input: children.swap_remove(0),
            time: self.time.clone(),
            windows: self.windows,
            noted: self.noted.clone(),
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let node = Self {
            input: self.input.clone(),
            time: self.time.clone(),
            windows: self.windows,
            noted: self.noted.clone(),
        };
        let rows = self.input.execute(partition, task)?.map(move |batch| {
            let batch = batch?;
            node.note(&batch)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), rows)))
    }
}
