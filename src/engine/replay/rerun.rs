//! A query that runs the batches it is told to, in a temporary folder, away from its checkpoint.

use std::path::PathBuf;

use super::event_times::EventTimes;
use crate::checkpoint::Offsets;
use crate::durable::{Disk, Durability};
use crate::engine::pipeline::{Pipeline, PlannedQuery};
use crate::engine::query::{Origin, Query, StepReport};
use crate::error::{Error, Result};
use crate::sinks::{OutputBatch, Sink};
use crate::sources::{Admit, Take};
use crate::time::{EventTimeMicros, Millis};

/// A query over a state of its own, whose result goes nowhere but into its reports.
pub(super) struct Rerun {
    pub(super) query: Query,
    /// For each stage, what comes to it.
    event_times: Vec<Vec<EventTimes>>,
    scratch: Scratch,
}

/// What one batch did.
pub(super) struct Ran {
    pub(super) report: StepReport,
    /// For each stage the times of [`EventTimes`], of all its inputs.
    pub(super) arrived: Vec<Vec<EventTimeMicros>>,
    /// For each stage the time up to which they were late.
    pub(super) late_to: Vec<EventTimeMicros>,
}

impl Rerun {
    /// Opens a query of a pipeline on an empty state, reading from these origins. `rejects`:
    /// whether the reports tell the rejected rows, for which their files are read once more.
    pub(super) fn open(
        pipeline: &Pipeline,
        planned: &PlannedQuery,
        origins: Vec<Origin>,
        rejects: bool,
    ) -> Result<Self> {
        let scratch = Scratch::new()?;
        let sink = Box::new(|_: &_| Ok(Box::new(Nowhere) as Box<dyn Sink>));
        let mut query = pipeline.open_apart(planned, origins, scratch.0.clone(), sink, rejects)?;
        let stages = query.assembly.stages.iter_mut();
        let event_times = stages.map(EventTimes::of).collect::<Result<_, _>>()?;
        Ok(Self { query, event_times, scratch })
    }

    /// The temporary folder that stands for the checkpoint.
    pub(super) fn folder(&self) -> &std::path::Path {
        &self.scratch.0
    }

    /// Runs the next batch as it was decided.
    pub(super) fn run(&mut self, decided: &Offsets) -> Result<Ran> {
        let query = &mut self.query;
        let evict_ms = decided.batch_watermark_ms.unwrap_or(0);
        let late_ms = if query.one_watermark { evict_ms } else { query.late_ms };
        let late_ms = query.input_watermarks_ms(late_ms);
        // Decisions that were archived do not tell which row had moved the watermark.
        let watermark_row = decided.watermark_row.clone().or_else(|| query.tracker.row().cloned());
        query.unfinished = Some(Offsets { watermark_row, ..decided.clone() });
        let report = query.step(Admit::Limited)?;
        let report = report.ok_or_else(|| Error::internal("a decided batch was not run"))?;
        let inputs = |stage: &Vec<EventTimes>| stage.iter().flat_map(EventTimes::take).collect();
        let arrived = self.event_times.iter().map(inputs).collect();
        let late_to = late_ms.iter().map(|late_ms| late_ms.saturating_mul(1000)).collect();
        Ok(Ran { report, arrived, late_to })
    }

    /// Runs the next batch with these takes, at this time, by the watermark of this query itself.
    pub(super) fn run_by_itself(&mut self, takes: Vec<Option<Take>>, time: Millis) -> Result<Ran> {
        let watermark = self.query.tracker.watermark_ms();
        self.run(&Offsets {
            batch_watermark_ms: self.query.tracker.exists().then_some(watermark),
            batch_timestamp_ms: time,
            sources: takes,
            ..Offsets::default()
        })
    }

    /// Whether the watermark has risen so far that a batch without data would do something.
    pub(super) fn no_data_batch_due(&self) -> bool {
        self.query.no_data_batch_due
    }

    /// The takes of a batch without data.
    pub(super) fn nothing(&self) -> Vec<Option<Take>> {
        vec![None; self.query.streams.len()]
    }

    /// Rows that are kept, over all operators.
    pub(super) fn kept(&self) -> u64 {
        self.query.states.iter().flatten().map(|state| state.table().len() as u64).sum()
    }
}

/// A folder of the system's for temporary files, which goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let name = format!("strandline-replay-{}", uuid::Uuid::new_v4());
        let folder = std::env::temp_dir().join(name);
        Disk::new(Durability::Fast).create_folder(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A sink that keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn description(&self) -> String {
        "nowhere".into()
    }

    fn newest_batch(&mut self) -> Result<Option<crate::batch::BatchId>> {
        Ok(None)
    }

    fn remembers(&self) -> bool {
        false
    }

    fn write(&mut self, _: &OutputBatch) -> Result<()> {
        Ok(())
    }
}
