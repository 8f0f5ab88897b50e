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
//! * [`deduplicate`]: the first row of each key.
//! * [`join`]: rows of two streams that belong together.
//! * [`limit`]: the first rows of all.
//! * [`session`]: groups by sessions, which merge as rows come.
//! * [`partial`]: the three DataFusion plans that make, merge and finish partial aggregates.
//! * `panes`: from panes to the windows that overlap.
//! * [`late`]: the one rule for "too late".

pub mod aggregate;
pub mod deduplicate;
pub mod join;
pub mod late;
pub mod limit;
mod panes;
pub mod partial;
pub mod session;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;

use crate::batch::{BatchId, Coming};
use crate::error::{Error, Result};
use crate::state::StateStore;

pub use crate::state::StateShape;
use crate::time::{Millis, micros_to_millis_up};
use crate::window::WindowSpec;

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

/// What one batch did in an operator.
#[derive(Default)]
pub struct Processed {
    /// The rows that come out.
    pub output: Vec<RecordBatch>,
    /// More of them, behind those, where they are too many to be held at once.
    pub coming: Option<Coming>,
    /// Rows of state that were written.
    pub updated: usize,
    /// Rows of state that the watermark removed.
    pub removed: usize,
    /// What came too late: rows, or groups for an aggregation, as Spark counts.
    pub late: usize,
    /// Rows whose key had been there before.
    pub duplicates: Vec<Duplicate>,
    /// Rows that the operator let fall because the query says so (LIMIT): the last ones of all that
    /// went in.
    pub surplus: usize,
    /// Rows that the watermark let go without a partner, and that came out with NULLs for one.
    pub unmatched: usize,
}

/// A row whose key had been there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// Which one of all rows that went in, from 0.
    pub row: u64,
    /// The batch whose row came out in its place.
    pub first: Option<BatchId>,
}

/// By what a row of one input of an operator is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateBy {
    /// The column of its event time.
    pub column: usize,
    /// The windows that the event time is in; the row is late for each of those whose end the
    /// watermark has reached. `None`: it is late once the watermark has reached the time itself.
    pub windows: Option<WindowSpec>,
}

/// The one table or input of an operator that has just one.
pub fn only<T>(items: impl IntoIterator<Item = T>) -> Result<T> {
    let mut items = items.into_iter();
    match (items.next(), items.next()) {
        (Some(item), None) => Ok(item),
        _ => Err(Error::internal("an operator was given another number of inputs than it has")),
    }
}

/// An operator with memory.
pub trait Operator: Send {
    /// Spark's name for it in progress reports.
    fn name(&self) -> &'static str;

    /// What it keeps: one table, or one for each side of a join.
    fn state_shapes(&self) -> Vec<StateShape>;

    /// The schema of the rows that come out.
    fn output_schema(&self) -> SchemaRef;

    /// Runs one batch: `states` are the tables of [`Operator::state_shapes`], `inputs` the rows of
    /// each input, both in their order.
    fn process(
        &mut self,
        states: &mut [StateStore],
        inputs: Vec<Vec<RecordBatch>>,
        watermarks: Watermarks,
    ) -> Result<Processed>;

    /// For each input, by what its rows are late; `None`, or no entry: they never are.
    fn late_by(&self) -> Vec<Option<LateBy>> {
        vec![]
    }

    /// Whether a batch without data has something to do once the watermark has risen.
    fn waits_for_watermark(&self) -> bool;

    /// Whether rows are held back that come out once the watermark has risen.
    fn holds_back(&self) -> bool {
        false
    }

    /// The watermark of the input, in milliseconds, with which the last of the rows held back now
    /// comes out, of those that come out up to `not_after_ms`; `None`: none of these is held back.
    fn holds_back_until_ms(
        &self,
        states: &[StateStore],
        not_after_ms: Millis,
    ) -> Result<Option<Millis>> {
        let mut until_ms = None;
        for state in states.iter().filter(|_| self.holds_back()) {
            let last_us = state.table().last_time(not_after_ms.saturating_mul(1000))?;
            until_ms = until_ms.max(last_us.map(micros_to_millis_up));
        }
        Ok(until_ms)
    }

    /// Whether what comes out is the whole result each time, not what is new (complete mode).
    fn gives_whole_result(&self) -> bool {
        false
    }

    /// Told that only groups for which this holds are wanted: a predicate over the grouping columns
    /// of the result. An operator may leave the others out from the start, so that they are not
    /// kept; they are filtered above in any case.
    fn only_wanted(&mut self, _predicate: Arc<dyn PhysicalExpr>) {}

    /// The watermark of the rows that come out, from that of the rows that go in, both in
    /// milliseconds: lower where rows are held back for longer than the watermark asks.
    fn output_watermark_ms(&self, input_ms: Millis) -> Millis {
        input_ms
    }
}
