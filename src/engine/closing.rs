//! The end of a quiet stream: how far the watermark has to rise for the last results to come out.
//!
//! Where nothing more comes, nothing moves the watermark, and the last windows stay open; so does
//! Spark. A query that is told that its stream has ended takes batches without data, each decided
//! like any other, with a watermark that no row has moved: the least that lets out everything that
//! the operators hold back *now*. What comes out of one operator may be held back by the next one, so
//! this goes on until none holds anything. A result that is not held back (in update and complete
//! mode, of an inner join) asks for nothing. Rows that come later and are older than that watermark are late.
//! Where a `futureGuard` is set, the watermark rises no further than that: one row of the year 2099
//! keeps its window, and the stream goes on.

use std::time::Duration;

use super::query::{Query, StepReport};
use crate::checkpoint::Raised;
use crate::error::Result;
use crate::sources::Admit;
use crate::time::Millis;

/// When a stream that nothing more comes from is taken to have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Closing {
    /// Never, as in Spark.
    #[default]
    Never,
    /// When the trigger [`AvailableNow`](super::trigger::Trigger::AvailableNow) has nothing more to
    /// do.
    AtEnd,
    /// When no batch has run for so long, under a trigger that goes on. The query goes on with what
    /// comes later.
    AfterIdle(Duration),
}

/// No watermark is later than this: the year 292,000 or so, in milliseconds.
const END_OF_TIME: Millis = Millis::MAX / 1000;

impl Query {
    /// When its stream is taken to have ended; to be said before it is started.
    pub fn close_stream(&mut self, closing: Closing) {
        self.closing = closing;
    }

    /// Runs at most one batch, like [`Query::step`]; where there is nothing to do, and results are
    /// held back until the watermark rises, it is one whose watermark is risen so far. Takes why the
    /// stream has ended, in words, for the decision. `None`: nothing is held back any more.
    pub fn step_to_end(&mut self, because: &str) -> Result<Option<StepReport>> {
        self.ending = Some(because.to_string());
        let report = self.step(Admit::Limited);
        self.ending = None;
        report
    }

    /// Whether results are ever held back until the watermark rises; else closing does nothing.
    pub fn holds_back(&self) -> bool {
        self.tracker.exists() && self.assembly.stages.iter().any(|s| s.operator.holds_back())
    }

    /// The decision to close, if the stream has ended and something waits for it. The batch would
    /// have this time.
    pub(super) fn raise(&self, batch_time_ms: Millis) -> Result<Option<Raised>> {
        let Some(because) = self.ending.clone() else { return Ok(None) };
        let to_ms = self.least_that_lets_out(batch_time_ms)?;
        let from_ms = self.tracker.watermark_ms();
        Ok(to_ms.map(|to_ms| Raised { from_ms, to_ms, because }))
    }

    /// The least watermark that lets out what is held back now, but for what is in a future that may
    /// not move a watermark. `None`: nothing is, or no watermark will ever let it out.
    fn least_that_lets_out(&self, batch_time_ms: Millis) -> Result<Option<Millis>> {
        if !self.tracker.exists() {
            return Ok(None);
        }
        let guard = |guard_ms| batch_time_ms.saturating_add(guard_ms);
        let not_after = self.input_watermarks_ms(self.future_guard_ms.map_or(END_OF_TIME, guard));
        let used = self.input_watermarks_ms(self.late_ms);
        let mut least = None;
        for (number, (stage, states)) in self.assembly.stages.iter().zip(&self.states).enumerate() {
            let until = stage.operator.holds_back_until_ms(states, not_after[number])?;
            if let Some(until) = until.filter(|until| *until > used[number]) {
                least = least.max(self.watermark_for(number, until));
            }
        }
        Ok(least)
    }

    /// The least watermark of the query with which the input of a stage has this one. An operator
    /// before it may give on a lower one than it gets, but never a lower one for a higher.
    fn watermark_for(&self, stage: usize, input_ms: Millis) -> Option<Millis> {
        let reaches = |global_ms| {
            self.input_watermarks_ms(global_ms).get(stage).is_some_and(|ms| *ms >= input_ms)
        };
        let (mut low, mut high) = (self.tracker.watermark_ms(), END_OF_TIME);
        if !reaches(high) {
            return None;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if reaches(middle) { high = middle } else { low = middle + 1 }
        }
        Some(low)
    }
}
