//! What one trigger did, under the keys of Spark's `StreamingQueryProgress`.
//!
//! Serialised it is Spark's JSON, and as there a map of numbers that is empty is left out. What is here
//! and not in Spark: `rows`, `watermark`, `watermarks` and `numCorruptRows`. Times are ISO-8601 text
//! in UTC, durations are milliseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The report of one micro-batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamingQueryProgress {
    /// The query's identity, kept by the checkpoint.
    pub id: String,
    /// New at each start.
    pub run_id: String,
    /// The name of the streaming table.
    pub name: String,
    /// When the trigger started.
    pub timestamp: String,
    /// The number of the batch.
    pub batch_id: u64,
    /// How long the trigger took, in milliseconds.
    pub batch_duration: u64,
    /// Rows read from all sources.
    pub num_input_rows: u64,
    /// What became of them; not one of Spark's keys.
    #[serde(default)]
    pub rows: RowCounts,
    /// `numInputRows` over the time since the trigger before started; 0 in a run's first.
    #[serde(default)]
    pub input_rows_per_second: f64,
    /// `numInputRows` over the trigger's duration.
    #[serde(default)]
    pub processed_rows_per_second: f64,
    /// How long each step took, in milliseconds, by Spark's names.
    pub duration_ms: BTreeMap<String, u64>,
    /// `avg`, `max`, `min` of the event times in the batch, and the `watermark` that it ran with;
    /// empty where the query has no watermark.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub event_time: BTreeMap<String, String>,
    /// The watermark that the batch ran with; null where the query has none.
    #[serde(default)]
    pub watermark: Option<String>,
    /// One entry for each `WATERMARK` of the query, in the order of its text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watermarks: Vec<WatermarkProgress>,
    /// The operators with memory, the one nearest to the sink first.
    pub state_operators: Vec<StateOperatorProgress>,
    /// One entry a source, in the order of the query text.
    pub sources: Vec<SourceProgress>,
    /// Where the result went.
    pub sink: SinkProgress,
    /// What `observe` saw; empty, since no query can ask for it yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub observed_metrics: BTreeMap<String, serde_json::Value>,
}

/// What became of the rows that a batch read, each counted once: `read` is the sum of
/// `contributed`, `filtered`, `late`, `duplicate`, `corrupt` and `cast_failed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Records in the files.
    pub read: u64,
    /// Rows that an operator took in, or that went to the sink.
    pub contributed: u64,
    /// Rows that the query itself leaves out: WHERE, a join with a still table, a window of no
    /// time, LIMIT.
    pub filtered: u64,
    /// Rows that the watermark had passed.
    pub late: u64,
    /// Rows whose key had been there before.
    pub duplicate: u64,
    /// Records that could not be read.
    pub corrupt: u64,
    /// Rows that came to nothing, and had a value that has not the type of its column.
    pub cast_failed: u64,
    /// Rows of earlier batches that a join let go without a partner, and gave out with NULLs. They
    /// are no part of the sum.
    pub unmatched_expired: u64,
    /// Rejected rows that the table of rejected rows does not hold, since it is capped or off.
    pub rejected_not_kept: u64,
}

impl RowCounts {
    /// Rows that came to nothing, and not because the query says so.
    pub fn rejected(&self) -> u64 {
        self.late + self.duplicate + self.corrupt + self.cast_failed
    }

    /// Whether each row that was read is counted once.
    pub fn adds_up(&self) -> bool {
        self.read == self.contributed + self.filtered + self.rejected()
    }
}

/// What became of the rows that went into one operator: `input` is the sum of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorRows {
    /// Rows that went in.
    pub input: u64,
    /// Rows that it took in, or let pass.
    pub contributed: u64,
    /// Rows beyond a LIMIT.
    pub filtered: u64,
    /// Rows that the watermark had passed.
    pub late: u64,
    /// Rows whose key had been there before.
    pub duplicate: u64,
}

/// One `WATERMARK` of the query: what it saw in a batch, and where it stands after it. The watermark of
/// the query is the least of them (or the greatest, by policy), and counts from the next batch on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatermarkProgress {
    /// How far it stays behind the newest event time, in milliseconds.
    pub delay_ms: i64,
    /// Rows that passed in this batch.
    pub num_rows: u64,
    /// Those of them whose event time is NULL, which counts as 1970.
    pub num_null_rows: u64,
    /// The oldest event time of the batch; absent where no row has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_event_time: Option<String>,
    /// The newest event time of the batch that may move the watermark; absent where no row has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_event_time: Option<String>,
    /// The newest event time of this run less the delay; null where no row has come in this run.
    pub watermark: Option<String>,
}

/// What one operator with memory did in a batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateOperatorProgress {
    /// Spark's name for the kind of operator: `stateStoreSave`, `dedupe` …
    pub operator_name: String,
    /// What became of the rows that went in; not one of Spark's keys.
    #[serde(default)]
    pub rows: OperatorRows,
    /// Rows kept after the batch.
    pub num_rows_total: u64,
    /// Rows put in this batch.
    pub num_rows_updated: u64,
    /// Milliseconds to compute the batch without the removals: update and emit.
    #[serde(default)]
    pub all_updates_time_ms: u64,
    /// Milliseconds to remove what the watermark has passed.
    #[serde(default)]
    pub all_removals_time_ms: u64,
    /// Rows that the watermark removed.
    pub num_rows_removed: u64,
    /// Rows (for aggregations: groups) that came too late.
    pub num_rows_dropped_by_watermark: u64,
    /// Bytes held in memory.
    pub memory_used_bytes: u64,
    /// Milliseconds to make the batch's change permanent.
    pub commit_time_ms: u64,
    /// Parts of the state that are worked on side by side: one.
    #[serde(default)]
    pub num_shuffle_partitions: u64,
    /// Tables of state that the operator has.
    #[serde(default)]
    pub num_state_store_instances: u64,
    /// Those of Spark's own numbers of its state stores that mean something here:
    ///
    /// * `stateOnCurrentVersionSizeBytes`: `memoryUsedBytes`, since no older version is in memory.
    /// * `SnapshotLastUploaded.partition_0_<table>`: after how many batches the newest snapshot of the
    ///   table was written; -1: there is none.
    /// * `spilledBytes`, where there are any: bytes on disk of rows that memory is not to hold; not one
    ///   of Spark's.
    /// * `numDroppedDuplicateRows`, of duplicates alone: rows whose key had been there before.
    ///
    /// What counts versions in a cache, and repairs of one, is left out: there is no such cache.
    #[serde(default)]
    pub custom_metrics: BTreeMap<String, i64>,
}

/// What one source gave to a batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceProgress {
    /// What it is: `FileStreamSource[input/events]`.
    pub description: String,
    /// How far the batch before had got.
    pub start_offset: serde_json::Value,
    /// How far this batch got.
    pub end_offset: serde_json::Value,
    /// The end of what the source offered; null, since a source stops looking at what a batch takes.
    #[serde(default)]
    pub latest_offset: serde_json::Value,
    /// Rows read.
    pub num_input_rows: u64,
    /// Rows a second since the trigger before; 0 in a run's first.
    #[serde(default)]
    pub input_rows_per_second: f64,
    /// Rows a second of this trigger's duration.
    #[serde(default)]
    pub processed_rows_per_second: f64,
    /// Lines that could not be read as a row.
    #[serde(default)]
    pub num_corrupt_rows: u64,
    /// Numbers of one kind of source alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, String>,
}

/// What went into the sink.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkProgress {
    /// What it is: `DeltaSink[data/events]`.
    pub description: String,
    /// Rows handed to the sink.
    pub num_output_rows: u64,
    /// Numbers of one kind of sink alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, String>,
}

impl StreamingQueryProgress {
    /// Rows dropped as too late, over all operators.
    pub fn late_rows(&self) -> u64 {
        self.state_operators.iter().map(|o| o.num_rows_dropped_by_watermark).sum()
    }

    /// Rows in state, over all operators.
    pub fn state_rows(&self) -> u64 {
        self.state_operators.iter().map(|o| o.num_rows_total).sum()
    }
}
