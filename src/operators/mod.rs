//! Operators: batches → batches, with memory.
//!
//! An operator *takes* the rows of one batch, the watermarks that the batch runs with and the state
//! after the batch before; it *gives* the rows that come out and what it counted, and leaves the
//! state as it is after the batch. It is pure: the same rows, watermarks and state give the same
//! result. It *never* touches a file, a clock or a socket, and never makes its own state permanent.
//!
//! Work without memory (filter, project, functions, joins with a still table) is DataFusion's and
//! needs no operator.
//!
//! * [`aggregate`]: groups, with or without windows of event time.
//! * [`partial`]: the three DataFusion plans that make, merge and finish partial aggregates.
//! * [`late`]: the one rule for "too late".

pub mod aggregate;
pub mod late;
pub mod partial;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::state::StateStore;
use crate::time::Millis;

/// The two watermarks that a batch runs with (Spark: SPARK-42376).
///
/// They differ by one batch: what a batch may let go is decided by the newest watermark, what it
/// may still refuse as late by the one before, so that no row is refused that could have come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Rows at or before this are late: the watermark of the batch before. Milliseconds.
    pub late_ms: Millis,
    /// Rows at or before this are finished: the watermark of this batch. Milliseconds.
    pub evict_ms: Millis,
}

/// What an operator keeps: the columns of its state.
#[derive(Debug, Clone)]
pub struct StateShape {
    /// The columns, the key first.
    pub schema: SchemaRef,
    /// How many of them are the key.
    pub keys: usize,
    /// The key column whose value, in microseconds, the watermark must reach for the row to go.
    pub expiry: Option<usize>,
}

/// What one batch did in an operator.
#[derive(Debug, Clone, Default)]
pub struct Processed {
    /// The rows that come out.
    pub output: Vec<RecordBatch>,
    /// Rows of state that were written.
    pub updated: usize,
    /// Rows of state that the watermark removed.
    pub removed: usize,
    /// What came too late: rows, or groups for an aggregation, as Spark counts.
    pub late: usize,
}

/// An operator with memory.
pub trait Operator: Send {
    /// Spark's name for it in progress reports.
    fn name(&self) -> &'static str;

    /// What it keeps.
    fn state_shape(&self) -> StateShape;

    /// The schema of the rows that come out.
    fn output_schema(&self) -> SchemaRef;

    /// Runs one batch.
    fn process(
        &mut self,
        state: &mut StateStore,
        input: Vec<RecordBatch>,
        watermarks: Watermarks,
    ) -> Result<Processed>;

    /// Whether a batch without data has something to do once the watermark has risen.
    fn waits_for_watermark(&self) -> bool;
}
