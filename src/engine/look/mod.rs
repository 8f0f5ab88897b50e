//! A look at a query from outside: takes a planned query, gives what its checkpoint, its state and its
//! folders say at one moment.
//!
//! The query may run meanwhile in another process. Nothing is locked, made, changed or removed by looking:
//! what a batch has made permanent never changes, so a look is right for the newest batch that was done
//! when it began. Where an old file is removed while it is sought, the look begins anew.
//!
//! * [`stream`]: what a stream has given, what waits, what is left out.
//! * [`kept`]: for which times an operator keeps rows, and what frees them.
//! * [`probe`]: how many rows each step of the query lets through.
//! * [`marks`]: where the watermark stands, which source holds it, what would move it.

pub mod kept;
pub mod marks;
pub mod probe;
pub mod stream;

use std::collections::BTreeSet;

use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::LogicalPlan;

use crate::batch::BatchId;
use crate::calendar::Zone;
use crate::checkpoint::View;
use crate::error::Result;
use crate::operators::StateShape;
use crate::progress::StreamingQueryProgress;
use crate::sinks::OutputMode;
use crate::sql::QueryPlan;
use crate::state::{StateStore, StateTable};
use crate::time::{EventTimeMicros, Millis, readable_micros};

use self::stream::StreamLook;
use super::assemble::{Assembly, assemble};
use super::pipeline::{Pipeline, PlannedQuery, Project};
use super::trigger::Trigger;
use super::upstream::input_watermarks_ms;
use super::watermark::Policy;

/// So often a look begins anew before it gives up.
const LOOKS: usize = 5;

/// A query as it is at one moment.
pub struct Look {
    /// The name of the streaming table.
    pub name: String,
    /// What of the result is written.
    pub mode: OutputMode,
    /// When batches start, as the text says.
    pub trigger: Trigger,
    /// How several watermarks become one.
    pub policy: Policy,
    /// Whether a risen watermark alone makes a batch.
    pub no_data_batches: bool,
    /// Whether every operator runs with the query's own watermark.
    pub one_watermark: bool,
    /// The plan of its text.
    pub plan: QueryPlan,
    /// What a batch runs.
    pub assembly: Assembly,
    /// Its streams, in the order of the query's text.
    pub streams: Vec<StreamLook>,
    /// Whether it has ever been started.
    pub was_started: bool,
    /// What its checkpoint says; empty where it has never been started.
    pub past: View,
    /// For each operator its tables, after the newest batch that is done.
    pub states: Vec<Vec<StateTable>>,
    /// When the look began.
    pub now: Millis,
    /// The project that it lies in.
    pub project: Project,
}

impl Pipeline {
    /// A look at one of the queries.
    ///
    /// # Errors
    ///
    /// Those of planning; a checkpoint or a state that is damaged. A folder of input that is missing is
    /// none: it is what is seen.
    pub fn look(&self, query: &PlannedQuery) -> Result<Look> {
        let session = crate::sql::session(&query.plan.zone).state();
        let assembly = assemble(&query.plan, query.mode, &session)?;
        let folder = self.project.checkpoint(&query.name);
        let now = self.project.clock.now();
        let mut left = LOOKS;
        let (past, states, streams, was_started) = loop {
            left -= 1;
            let past = View::read(&folder)?;
            let was_started = past.is_some();
            let past = past.unwrap_or_default();
            let states = match states(&assembly, &folder, past.done()) {
                Err(error) if error.condition() == "STATE_FILE_MISSING" && left > 0 => continue,
                states => states?,
            };
            let streams = self.streams(query, &assembly, &past);
            // What waits is what no batch has taken, so no batch may have been decided meanwhile.
            if left == 0 || !past.is_running || !past.is_outdated(&folder)? {
                break (past, states, streams, was_started);
            }
        };
        Ok(Look {
            name: query.name.clone(),
            mode: query.mode,
            trigger: query.trigger,
            policy: query.settings.policy,
            no_data_batches: query.settings.no_data_batches,
            one_watermark: query.settings.one_watermark,
            plan: query.plan.clone(),
            assembly,
            streams,
            was_started,
            past,
            states,
            now,
            project: self.project.clone(),
        })
    }
}

/// Where a table of an operator's state lies.
pub fn state_folder(
    checkpoint: &std::path::Path,
    stage: usize,
    shape: &StateShape,
) -> std::path::PathBuf {
    checkpoint.join("state").join(stage.to_string()).join(shape.name)
}

/// The state of each operator after a batch; `None`: before the first one.
pub fn states(
    assembly: &Assembly,
    checkpoint: &std::path::Path,
    version: Option<BatchId>,
) -> Result<Vec<Vec<StateTable>>> {
    let table = |stage: usize, shape: StateShape| match version {
        Some(version) => StateStore::look(state_folder(checkpoint, stage, &shape), shape, version),
        None => StateTable::new(shape),
    };
    let stages = assembly.stages.iter().enumerate();
    stages
        .map(|(number, stage)| {
            let shapes = stage.operator.state_shapes().into_iter();
            shapes.map(|shape| table(number, shape)).collect()
        })
        .collect()
}

impl Look {
    /// The zone whose clocks the query means.
    pub fn zone(&self) -> &Zone {
        &self.plan.zone
    }

    /// An event time as the query's clocks show it.
    pub fn time(&self, micros: EventTimeMicros) -> String {
        readable_micros(self.zone().clock(micros))
    }

    /// A time in milliseconds as the query's clocks show it.
    pub fn time_ms(&self, millis: Millis) -> String {
        self.time(millis.saturating_mul(1000))
    }

    /// Whether the query has a watermark.
    pub fn has_watermark(&self) -> bool {
        !self.assembly.watermarks.is_empty()
    }

    /// The watermark that the next batch runs with, in milliseconds: 0 where nothing has moved it.
    pub fn watermark_ms(&self) -> Millis {
        let commit = self.past.newest_commit.as_ref();
        commit.and_then(|(_, commit)| commit.next_batch_watermark_ms).unwrap_or(0)
    }

    /// The report of a batch, if it is still kept.
    pub fn report(&self, batch: BatchId) -> Option<&StreamingQueryProgress> {
        let at = self.past.progress.binary_search_by_key(&batch, |report| report.batch_id).ok()?;
        self.past.progress.get(at)
    }

    /// The watermark that a batch ran with; `None`: nobody knows any more.
    pub fn batch_watermark_ms(&self, batch: BatchId) -> Option<Millis> {
        if let Some(offsets) = self.past.offsets.get(&batch) {
            return Some(offsets.batch_watermark_ms.unwrap_or(0));
        }
        let watermark = self.report(batch)?.watermark.as_deref()?;
        millis_of(watermark)
    }

    /// The watermark by which a batch took rows as late: that of the batch before.
    pub fn late_watermark_ms(&self, batch: BatchId) -> Option<Millis> {
        match batch.checked_sub(1) {
            _ if self.one_watermark => self.batch_watermark_ms(batch),
            None => Some(0),
            Some(before) => self.batch_watermark_ms(before),
        }
    }

    /// The watermark of each operator's input when the query's is `global_ms`.
    pub fn input_watermarks_ms(&self, global_ms: Millis) -> Vec<Millis> {
        match self.one_watermark {
            true => vec![global_ms; self.assembly.stages.len()],
            false => input_watermarks_ms(&self.assembly.stages, global_ms),
        }
    }

    /// Whether what an operator gives can still be left out behind it, by a condition or another operator.
    pub fn goes_on_behind(&self, stage: usize) -> bool {
        let asks = |node: &LogicalPlan| {
            let groups = |below: &LogicalPlan| Ok(matches!(below, LogicalPlan::Aggregate(_)));
            Ok(matches!(node, LogicalPlan::Filter(filter) if filter.input.exists(groups)?))
        };
        stage + 1 < self.assembly.stages.len() || self.plan.plan.exists(asks).unwrap_or(false)
    }

    /// The oldest batch that ran with a watermark of at least `global_ms`, as far as is known; and whether it is
    /// the first, or older ones of which nothing is known any more may have done so before.
    pub fn first_batch_at(&self, global_ms: Millis) -> Option<(BatchId, bool)> {
        let done = self.past.done()?;
        let reported = self.past.progress.iter().map(|report| report.batch_id);
        let known =
            reported.chain(self.past.offsets.keys().copied()).filter(|batch| *batch <= done);
        let known: BTreeSet<BatchId> = known.collect();
        let reached =
            |batch: &&BatchId| self.batch_watermark_ms(**batch).is_some_and(|ms| ms >= global_ms);
        let first = *known.iter().find(reached)?;
        Some((first, first == 0 || known.contains(&(first - 1))))
    }
}

/// The milliseconds of a time in a report.
pub fn millis_of(iso: &str) -> Option<Millis> {
    let time = chrono::DateTime::parse_from_rfc3339(iso).ok()?;
    Some(time.timestamp_millis())
}
