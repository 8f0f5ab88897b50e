//! The event times that reach an operator, row by row, from which follows how late each row is.
//!
//! An aggregation meets groups, not rows. So the plan that feeds an operator is given one more node,
//! through which rows pass unchanged: below the aggregation, where they are still rows.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use datafusion::error::Result as PlanResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};

use crate::engine::assemble::Stage;
use crate::engine::noting::{Note, NotingExec};
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
            let on = |input: &Arc<dyn ExecutionPlan>, time: Arc<dyn PhysicalExpr>| {
                let (noted, about) = (noted.clone(), time.to_string());
                let note: Note = Arc::new(move |batch| {
                    note(&noted, &time, windows, &batch)?;
                    Ok(batch)
                });
                NotingExec::on(input.clone(), ("EventTimesExec", about), None, note)
            };
            let groups = plan.downcast_ref::<AggregateExec>();
            let group = groups.and_then(|exec| Some((exec, exec.group_expr().expr().get(column)?)));
            *plan = match group {
                Some((exec, (time, _))) => {
                    let children = vec![on(exec.input(), time.clone())];
                    let how = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                    plan.clone().replace_children(children, how)?
                }
                None => {
                    let name = plan.schema().field(column).name().clone();
                    on(plan, Arc::new(Column::new(&name, column)))
                }
            };
            all.push(noted);
        }
        Ok(all)
    }
}

/// Notes when each row of a batch is late, if its event time is that of `time`.
fn note(
    noted: &EventTimes,
    time: &Arc<dyn PhysicalExpr>,
    windows: Option<WindowSpec>,
    batch: &RecordBatch,
) -> Result<()> {
    let times = late::event_times(&time.evaluate(batch)?.into_array(batch.num_rows())?)?;
    let mut noted = noted.0.lock().unwrap_or_else(PoisonError::into_inner);
    // The newest of its windows is the last to be closed.
    let until = |time| windows.map_or(time, |w: WindowSpec| w.last_start(time) + w.size_us);
    noted.extend(times.iter().flatten().map(until));
    Ok(())
}
