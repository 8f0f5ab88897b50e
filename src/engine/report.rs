//! From what a batch did to its progress report.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ledger::Account;
use super::query::Query;
use super::upstream::from_the_sink;
use super::watermark::{Mark, Seen};
use crate::batch::BatchId;
use crate::checkpoint::Offsets;
use crate::operators::Processed;
use crate::progress::{
    SinkProgress, SourceProgress, StateOperatorProgress, StreamingQueryProgress, WatermarkProgress,
};
use crate::sources::SourceRead;
use crate::state::StateStore;
use crate::time::{Millis, Stopwatch, iso_millis, micros_to_millis};

/// How long the steps of a batch took, by Spark's names: `addBatch` is reading, computing, state and
/// output in one.
pub struct Durations {
    total: Stopwatch,
    step: Stopwatch,
    steps: BTreeMap<String, u64>,
}

impl Durations {
    /// Starts with the trigger.
    pub fn start() -> Self {
        Self { total: Stopwatch::start(), step: Stopwatch::start(), steps: BTreeMap::new() }
    }

    /// A step ends here and the next one begins.
    pub fn mark(&mut self, step: &str) {
        self.steps.insert(step.to_string(), self.step.millis() as u64);
        self.step = Stopwatch::start();
    }

    /// The whole, with its fraction, and the steps.
    fn finish(mut self) -> (f64, BTreeMap<String, u64>) {
        let millis = self.total.millis();
        self.steps.insert("triggerExecution".into(), millis as u64);
        (millis, self.steps)
    }
}

/// What one stream gave to a batch.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// Rows.
    pub rows: usize,
    /// Lines that are no rows.
    pub corrupt: usize,
}

impl Given {
    /// What a read gave.
    pub fn of(read: &SourceRead) -> Self {
        let corrupt = read.bad.len();
        Self { rows: read.places.rows() as usize, corrupt }
    }
}

/// What one operator did in a batch, and how long it took, in milliseconds.
pub struct Operated {
    /// What it did.
    pub processed: Processed,
    /// Computing: late rows dropped, groups merged and kept, finished ones given out.
    pub updates_ms: u64,
    /// Removing what the watermark has passed.
    pub removals_ms: u64,
    /// Making its change of state permanent.
    pub commit_ms: u64,
}

/// What a finished batch did.
pub struct Ran<'a> {
    /// Its number.
    pub batch: BatchId,
    /// When its trigger started.
    pub started: Millis,
    /// The same, in ticks of the clock.
    pub ticks: Millis,
    /// What was decided.
    pub offsets: &'a Offsets,
    /// What each stream gave.
    pub given: &'a [Given],
    /// What each operator did.
    pub operated: &'a [Operated],
    /// What became of the rows.
    pub account: &'a Account,
    /// Rows handed to the sink.
    pub written: usize,
    /// The event times of the first watermark that saw any.
    pub seen: Option<Seen>,
    /// How long it took.
    pub took: Durations,
}

/// The report of a finished batch.
pub fn report(query: &Query, ran: Ran<'_>) -> StreamingQueryProgress {
    let Ran { started, offsets, given, .. } = ran;
    let (millis, steps) = ran.took.finish();
    let since = query.last_trigger_start.map(|last| (ran.ticks - last) as f64 / 1000.0);
    let arrival = |rows: usize| since.filter(|s| *s > 0.0).map_or(0.0, |s| round(rows as f64 / s));
    let processing = |rows: usize| round(rows as f64 / (millis.max(1.0) / 1000.0));
    let rows: usize = given.iter().map(|given| given.rows).sum();
    let watermark = offsets.batch_watermark_ms.map(iso_millis);
    let sources = query.streams.iter().zip(given).enumerate().map(|(number, (stream, given))| {
        let start = stream.last.clone().unwrap_or_default();
        let taken = offsets.sources.get(number).cloned().flatten();
        SourceProgress {
            description: stream.source.description(),
            latest_offset: Value::Null,
            end_offset: taken.unwrap_or_else(|| start.clone()),
            start_offset: start,
            metrics: BTreeMap::new(),
            num_input_rows: given.rows as u64,
            input_rows_per_second: arrival(given.rows),
            processed_rows_per_second: processing(given.rows),
            num_corrupt_rows: given.corrupt as u64,
        }
    });
    StreamingQueryProgress {
        id: query.id().to_string(),
        run_id: query.run_id.clone(),
        name: query.name.clone(),
        timestamp: iso_millis(started),
        batch_id: ran.batch,
        batch_duration: millis as u64,
        num_input_rows: rows as u64,
        rows: ran.account.rows,
        input_rows_per_second: arrival(rows),
        processed_rows_per_second: processing(rows),
        duration_ms: steps,
        event_time: event_time(ran.seen, &watermark),
        watermark,
        watermarks: query.tracker.marks().map(watermark_progress).collect(),
        state_operators: state_operators(query, ran.operated, ran.account),
        sources: sources.collect(),
        sink: SinkProgress {
            description: query.sink.description(),
            num_output_rows: ran.written as u64,
            metrics: BTreeMap::new(),
        },
        observed_metrics: BTreeMap::new(),
    }
}

fn event_time(seen: Option<Seen>, watermark: &Option<String>) -> BTreeMap<String, String> {
    let mut times = BTreeMap::new();
    let Some(watermark) = watermark else { return times };
    times.insert("watermark".into(), watermark.clone());
    if let Some(seen) = seen {
        times.insert("min".into(), iso_millis(micros_to_millis(seen.min_us)));
        times.insert("max".into(), iso_millis(micros_to_millis(seen.max_us)));
        times.insert("avg".into(), iso_millis(seen.avg_ms()));
    }
    times
}

fn watermark_progress(mark: Mark) -> WatermarkProgress {
    let has_time = mark.seen.rows > mark.seen.nulls;
    let time = |micros| has_time.then(|| iso_millis(micros_to_millis(micros)));
    WatermarkProgress {
        delay_ms: mark.delay_ms,
        num_rows: mark.seen.rows,
        num_null_rows: mark.seen.nulls,
        min_event_time: time(mark.seen.min_us),
        max_event_time: mark.seen.newest_us.and_then(time),
        watermark: mark.watermark_ms.map(iso_millis),
    }
}

/// The operator nearest to the sink comes first, and of two side by side the left one, as in Spark.
fn state_operators(
    query: &Query,
    operated: &[Operated],
    account: &Account,
) -> Vec<StateOperatorProgress> {
    let one = |number: usize| {
        let (states, done) = (&query.states[number], &operated[number]);
        let name = query.assembly.stages[number].operator.name();
        let memory_used_bytes = states.iter().map(|s| s.table().memory_bytes() as u64).sum();
        StateOperatorProgress {
            operator_name: name.to_string(),
            rows: account.operators.get(number).copied().unwrap_or_default(),
            num_rows_total: states.iter().map(|state| state.table().len() as u64).sum(),
            num_rows_updated: done.processed.updated as u64,
            num_rows_removed: done.processed.removed as u64,
            num_rows_dropped_by_watermark: done.processed.late as u64,
            memory_used_bytes,
            all_updates_time_ms: done.updates_ms,
            all_removals_time_ms: done.removals_ms,
            commit_time_ms: done.commit_ms,
            num_shuffle_partitions: 1,
            num_state_store_instances: states.len() as u64,
            custom_metrics: custom_metrics(name, states, memory_used_bytes, &done.processed),
        }
    };
    from_the_sink(&query.assembly.stages).into_iter().map(one).collect()
}

/// See [`StateOperatorProgress::custom_metrics`].
fn custom_metrics(
    operator: &str,
    states: &[StateStore],
    bytes: u64,
    done: &Processed,
) -> BTreeMap<String, i64> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let mut metrics = BTreeMap::from([("stateOnCurrentVersionSizeBytes".into(), count(bytes))]);
    let spilled = states.iter().map(|state| state.table().spilled_bytes()).sum();
    if spilled > 0 {
        metrics.insert("spilledBytes".into(), count(spilled));
    }
    for state in states {
        // An operator with one table calls it what it holds, and Spark calls it `default`.
        let table = if states.len() == 1 { "default" } else { state.table().shape().name };
        let after = state.newest_snapshot().map_or(-1, |batch| count(batch + 1));
        metrics.insert(format!("SnapshotLastUploaded.partition_0_{table}"), after);
    }
    if operator.starts_with("dedupe") {
        let duplicates = count(done.duplicates.len() as u64);
        metrics.insert("numDroppedDuplicateRows".into(), duplicates);
    }
    metrics
}

/// Rates have one decimal, as in Spark.
fn round(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}
