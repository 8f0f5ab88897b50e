//! From the event times that were seen to the watermark.
//!
//! Every `WATERMARK` of a query is a node in its plan through which rows pass unchanged while their
//! event times are noted. After batch N the newest time seen at a node, less its delay, is the
//! node's own watermark; the query's is the least of them (or the greatest, by policy), never
//! falls, and counts from batch N+1 on. The rule is Spark's, `spark.sql.streaming
//! .multipleWatermarkPolicy` included: a node that has seen nothing in this run counts as 1970.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayRef};
use datafusion::physical_plan::ExecutionPlan;

use super::noting::{Note, NotingExec};
use crate::checkpoint::WatermarkRow;
use crate::error::Result;
use crate::operators::late::event_times;
use crate::time::{EventTimeMicros, Millis, micros_to_millis};

/// The event times that passed one watermark node in one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Seen {
    /// How many rows passed.
    pub rows: u64,
    /// The oldest event time.
    pub min_us: EventTimeMicros,
    /// The newest event time.
    pub max_us: EventTimeMicros,
    /// The newest event time that may move the watermark: that of no row too far in the future.
    pub newest_us: Option<EventTimeMicros>,
    /// Which row had it, from 0, the first if several.
    pub newest_row: u64,
    /// How many rows were too far in the future to move it.
    pub too_new: u64,
    /// Their sum, for the average.
    pub sum_us: i128,
    /// How many of the rows have none, which counts as 1970.
    pub nulls: u64,
}

impl Seen {
    /// Notes a column of event times (timestamps in microseconds, or windows of them, whose end
    /// counts). Spark reads a missing time as 1970, and so does this.
    fn note(&mut self, column: &ArrayRef, not_after: EventTimeMicros) -> Result<()> {
        let micros = event_times(column)?;
        self.nulls += micros.null_count() as u64;
        for row in 0..micros.len() {
            let time = if micros.is_null(row) { 0 } else { micros.value(row) };
            let first = self.rows == 0;
            self.min_us = if first { time } else { self.min_us.min(time) };
            self.max_us = if first { time } else { self.max_us.max(time) };
            if time > not_after {
                self.too_new += 1;
            } else if self.newest_us.is_none_or(|newest| time > newest) {
                (self.newest_us, self.newest_row) = (Some(time), self.rows);
            }
            self.sum_us += i128::from(time);
            self.rows += 1;
        }
        Ok(())
    }

    /// The average event time, in milliseconds.
    pub fn avg_ms(&self) -> Millis {
        match i128::from(self.rows) {
            0 => 0,
            rows => micros_to_millis((self.sum_us / rows) as i64),
        }
    }
}

/// What one watermark node notes, shared by the plan and the engine.
#[derive(Debug, Clone, Default)]
pub struct Observer(Arc<Mutex<Noted>>);

#[derive(Debug)]
struct Noted {
    seen: Seen,
    /// Later event times move nothing.
    not_after: EventTimeMicros,
}

impl Default for Noted {
    fn default() -> Self {
        Self { seen: Seen::default(), not_after: EventTimeMicros::MAX }
    }
}

impl Observer {
    /// Takes what was seen since the last call.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut self.lock().seen)
    }

    /// Puts a node on a plan that notes the event times in one of its columns.
    pub fn on(&self, input: Arc<dyn ExecutionPlan>, column: usize) -> Arc<dyn ExecutionPlan> {
        let name = input.schema().field(column).name().clone();
        let observer = self.clone();
        let note: Note = Arc::new(move |batch| {
            observer.note(batch.column(column))?;
            Ok(batch)
        });
        NotingExec::on(input, ("WatermarkExec", name), None, note)
    }

    fn note(&self, column: &ArrayRef) -> Result<()> {
        let mut noted = self.lock();
        let not_after = noted.not_after;
        noted.seen.note(column, not_after)
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the watermarks of several nodes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The slowest counts: nothing is lost.
    #[default]
    Min,
    /// The fastest counts: nothing waits.
    Max,
}

/// The watermark of a query, from batch to batch.
#[derive(Debug)]
pub struct Tracker {
    policy: Policy,
    nodes: Vec<Node>,
    global_ms: Millis,
    /// The row that has set it.
    row: Option<WatermarkRow>,
}

#[derive(Debug)]
struct Node {
    delay_ms: Millis,
    observer: Observer,
    watermark_ms: Option<Millis>,
    row: Option<WatermarkRow>,
    /// What it saw in the newest batch.
    seen: Seen,
}

/// Where one watermark of a query stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// How far it stays behind the newest event time.
    pub delay_ms: Millis,
    /// What it saw in the newest batch.
    pub seen: Seen,
    /// The newest event time of this run less the delay; `None`: no row has come in this run.
    pub watermark_ms: Option<Millis>,
}

impl Tracker {
    /// A tracker for these nodes (their delays in milliseconds), which starts at `global_ms`, set by
    /// this row.
    pub fn new(
        policy: Policy,
        nodes: Vec<(Millis, Observer)>,
        global_ms: Millis,
        row: Option<WatermarkRow>,
    ) -> Self {
        let node = |(delay_ms, observer)| Node {
            delay_ms,
            observer,
            watermark_ms: None,
            row: None,
            seen: Seen::default(),
        };
        Self { policy, nodes: nodes.into_iter().map(node).collect(), global_ms, row }
    }

    /// Whether the query has a watermark at all.
    pub fn exists(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// The watermark that the next batch runs with.
    pub fn watermark_ms(&self) -> Millis {
        self.global_ms
    }

    /// Where each of them stands.
    pub fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.nodes.iter().map(|node| Mark {
            delay_ms: node.delay_ms,
            seen: node.seen,
            watermark_ms: node.watermark_ms,
        })
    }

    /// The row that has set that watermark; `None`: none has yet.
    pub fn row(&self) -> Option<&WatermarkRow> {
        self.row.as_ref()
    }

    /// In the batch that begins no event time later than this moves a watermark, in milliseconds.
    pub fn guard(&self, not_after_ms: Millis) {
        for node in &self.nodes {
            node.observer.lock().not_after = not_after_ms.saturating_mul(1000);
        }
    }

    /// Raises the watermark above what any row has made it: the stream has ended.
    pub fn raise(&mut self, to_ms: Millis) {
        if to_ms > self.global_ms {
            (self.global_ms, self.row) = (to_ms, None);
        }
    }

    /// Takes in what the batch has seen; gives the times of the first node that saw any. `newest`
    /// says which row the newest one was that a node (by its number) saw.
    pub fn advance(
        &mut self,
        mut newest: impl FnMut(usize, &Seen) -> Result<Option<WatermarkRow>>,
    ) -> Result<Option<Seen>> {
        let mut first = None;
        for (number, node) in self.nodes.iter_mut().enumerate() {
            let seen = node.observer.take();
            node.seen = seen;
            if seen.rows == 0 {
                continue;
            }
            first.get_or_insert(seen);
            let Some(newest_us) = seen.newest_us else { continue };
            let candidate = micros_to_millis(newest_us).saturating_sub(node.delay_ms);
            if node.watermark_ms.is_none_or(|watermark| candidate > watermark) {
                node.watermark_ms = Some(candidate);
                // What is behind the watermark already moves nothing.
                node.row = if candidate > self.global_ms { newest(number, &seen)? } else { None };
            }
        }
        let of_node = |node: &&Node| node.watermark_ms.unwrap_or(0);
        let chosen = match self.policy {
            Policy::Min => self.nodes.iter().min_by_key(of_node),
            Policy::Max => self.nodes.iter().max_by_key(of_node),
        };
        if let Some((ms, node)) = chosen.map(|node| (of_node(&node), node))
            && ms > self.global_ms
        {
            (self.global_ms, self.row) = (ms, node.row.clone());
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;

    fn see(observer: &Observer, micros: &[i64]) {
        let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(micros.to_vec()));
        observer.note(&column).unwrap();
    }

    fn two(policy: Policy) -> (Observer, Observer, Tracker) {
        let (a, b) = (Observer::default(), Observer::default());
        let tracker = Tracker::new(policy, vec![(1, a.clone()), (2, b.clone())], 0, None);
        (a, b, tracker)
    }

    #[test]
    fn never_falls() {
        let (a, b, mut tracker) = two(Policy::Max);
        see(&a, &[10_000]);
        tracker.advance(|_, _| Ok(None)).unwrap();
        assert_eq!(tracker.watermark_ms(), 9);
        see(&b, &[3_000]);
        tracker.advance(|_, _| Ok(None)).unwrap();
        assert_eq!(tracker.watermark_ms(), 9);
    }

    #[test]
    fn a_silent_stream_holds_the_slowest_at_1970() {
        let (a, b, mut tracker) = two(Policy::Min);
        see(&a, &[10_000]);
        tracker.advance(|_, _| Ok(None)).unwrap();
        assert_eq!(tracker.watermark_ms(), 0);
        see(&b, &[8_000]);
        tracker.advance(|_, _| Ok(None)).unwrap();
        assert_eq!(tracker.watermark_ms(), 6);
    }
}
