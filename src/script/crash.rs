//! A death in a test: what is in memory is lost, what is on disk stays.
//!
//! The process of the test lives on, so the batch is cut off by an error and all queries are dropped.
//! Nothing is written on the way out but the end of the locks; the name in a lock, by which the next
//! start knows of the death, is put back.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use super::world::World;
use crate::batch::BatchId;
use crate::engine::query::{Query, StepReport};
use crate::engine::steps::{CrashPoint, Step};
use crate::error::{Error, Result};
use crate::sources::Admit;

/// The condition of the error that ends a batch in place of a real death.
const CUT_OFF: &str = "CUT_OFF";

/// What came of a wish to crash.
#[derive(Debug)]
pub struct Crashed {
    /// The batches that ended before.
    pub reports: Vec<StepReport>,
    /// After which step of which batch the process died; `None`: it did not, as there was nothing
    /// to do.
    pub moment: Option<(Step, BatchId)>,
}

impl World {
    /// Runs batches of a query (without a name: of the first) until the process dies, right after a
    /// step.
    pub fn crash(&mut self, name: Option<&str>, point: CrashPoint) -> Result<Crashed> {
        let query = self.query(name)?;
        let moment = Arc::new(Mutex::new(None));
        let died = moment.clone();
        query.after_each_step(Box::new(move |step, batch| {
            if !point.is(step, batch) {
                return Ok(());
            }
            *died.lock().unwrap_or_else(PoisonError::into_inner) = Some((step, batch));
            Err(Error::storage(CUT_OFF, "the process was cut off"))
        }));
        let mut reports = vec![];
        match step_on(query, &mut reports) {
            Ok(()) => query.after_each_step(Box::new(|_, _| Ok(()))),
            Err(error) if error.condition() == CUT_OFF => self.die()?,
            Err(error) => return Err(error),
        }
        let moment = *moment.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Crashed { reports, moment })
    }

    fn die(&mut self) -> Result<()> {
        for name in self.stop() {
            let lock = self.project.checkpoint(&name).join("LOCK");
            fs::write(&lock, "cut off").map_err(|e| Error::io("write", &lock, e))?;
        }
        Ok(())
    }
}

fn step_on(query: &mut Query, reports: &mut Vec<StepReport>) -> Result<()> {
    while let Some(report) = query.step(Admit::Limited)? {
        let batch = report.progress.batch_id;
        reports.push(report);
        query.took_effect(Step::Report, batch)?;
    }
    Ok(())
}
