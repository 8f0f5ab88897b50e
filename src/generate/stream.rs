//! What a preset says about one of its streams, and one batch of it that is about to be made.
//!
//! Takes the options and the clock; gives each batch its present and its draws; never holds rows.

use std::collections::VecDeque;
use std::time::Duration;

use crate::generate::draw::{Draws, Picks, Purpose, share};
use crate::generate::lines::Lines;
use crate::generate::options::GenerateOptions;
use crate::time::{Millis, SharedClock};

/// A stream of a preset.
pub(crate) struct Stream {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Its folder under the folder that the user named; empty where it is that folder.
    pub(crate) folder: &'static str,
    /// Keeps the draws of the streams apart. Part of what a seed means: never change one.
    pub(crate) tag: u64,
    /// Rows of a batch, unless `rows` says otherwise.
    pub(crate) rows: usize,
    /// The fraction of late rows, unless `late` says otherwise.
    pub(crate) late: f64,
    /// A field, and a JSON value of a type that does not fit it.
    pub(crate) wrong_type: (&'static str, &'static str),
    /// Writes the rows of a batch, exactly [`Batch::rows`] lines.
    pub(crate) write: fn(&Batch<'_>, &mut Lines),
}

/// By how much a late row is late, unless `late_by` says otherwise.
const LATE_BY: (Duration, Duration) = (Duration::from_secs(5 * 60), Duration::from_secs(30 * 60));

/// How far back a duplicate reaches, in batches.
pub(crate) const DUPLICATE_REACH: u64 = 5;

/// How far back a row refers to a row of another stream, in batches.
pub(crate) const REFERENCE_REACH: u64 = 2;

/// One batch of one stream.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) options: &'a GenerateOptions,
    pub(crate) timeline: &'a Timeline,
    pub(crate) stream: &'static Stream,
    pub(crate) number: u64,
    pub(crate) now: Millis,
}

impl Batch<'_> {
    /// An earlier (or the same) batch of this or another stream; `None` where nobody knows any more
    /// what its present was.
    pub(crate) fn of(&self, stream: &'static Stream, number: u64) -> Option<Self> {
        let now = self.timeline.now_of(number)?;
        Some(Self { stream, number, now, ..*self })
    }

    /// How many new rows the batch has. `rows` is meant for the first stream of a preset; the
    /// others follow in proportion.
    pub(crate) fn rows(&self) -> usize {
        let first = self.options.preset.streams()[0].rows;
        match self.options.rows {
            Some(rows) => (rows.saturating_mul(self.stream.rows) / first).max(1),
            None => self.stream.rows,
        }
    }

    /// How many of them are late.
    pub(crate) fn late_rows(&self) -> usize {
        self.share(self.options.late.unwrap_or(self.stream.late))
    }

    /// How many rows of this batch a fraction marks.
    pub(crate) fn share(&self, fraction: f64) -> usize {
        share(fraction, self.rows(), self.number)
    }

    /// The draws of this batch for a purpose.
    pub(crate) fn draws(&self, purpose: Purpose) -> Draws {
        Draws::new(self.options.seed, self.stream.tag, self.number, purpose)
    }

    /// The event times of the rows, in steps of `unit` milliseconds.
    pub(crate) fn event_times(&self, unit: Millis) -> EventTimes {
        let (min, max) = self.options.late_by.unwrap_or(LATE_BY);
        let min = (min.as_millis() as i64 + unit - 1) / unit;
        let max = max.as_millis() as i64 / unit;
        EventTimes {
            now: self.now - self.now.rem_euclid(unit),
            unit,
            late: Picks::new(self.draws(Purpose::Late), self.rows(), self.late_rows()),
            min,
            span: (max - min).max(0) as u64,
        }
    }
}

/// Gives each row of a batch its event time: a fresh one, or a late one.
pub(crate) struct EventTimes {
    /// The present of the batch, a multiple of `unit`.
    pub(crate) now: Millis,
    unit: Millis,
    late: Picks,
    min: i64,
    span: u64,
}

impl EventTimes {
    /// Asked once for each row: the time of a late row, which lies more than the minimum and at
    /// most the maximum before the present; `None`: the row is not late.
    pub(crate) fn late(&mut self) -> Option<Millis> {
        if !self.late.next() {
            return None;
        }
        let more = if self.span == 0 { 0 } else { 1 + self.late.draws().below(self.span) as i64 };
        Some(self.now - (self.min + more) * self.unit)
    }

    /// Asked once for each row instead of [`EventTimes::late`]: its time, which is less than
    /// `fresh` units before the present where the row is not late.
    pub(crate) fn next(&mut self, draws: &mut Draws, fresh: u64) -> Millis {
        let fresh = self.now - draws.below(fresh) as i64 * self.unit;
        self.late().unwrap_or(fresh)
    }
}

/// The present of each batch.
///
/// With a start it is computed. Without one it is read from the clock when a batch is begun, and
/// remembered for as long as a later batch may ask (a duplicate of a row that refers to a row).
pub(crate) struct Timeline {
    start: Option<Millis>,
    every: Millis,
    clock: SharedClock,
    begun: VecDeque<(u64, Millis)>,
}

impl Timeline {
    pub(crate) fn new(options: &GenerateOptions, clock: SharedClock) -> Self {
        let every = options.event_time_step().as_millis() as Millis;
        Self { start: options.start, every, clock, begun: VecDeque::new() }
    }

    /// The present of a batch that is made now.
    pub(crate) fn begin(&mut self, number: u64) -> Millis {
        if let Some(now) = self.now_of(number) {
            return now;
        }
        let now = self.clock.now();
        self.begun.push_back((number, now));
        if self.begun.len() as u64 > DUPLICATE_REACH + REFERENCE_REACH + 1 {
            self.begun.pop_front();
        }
        now
    }

    fn now_of(&self, number: u64) -> Option<Millis> {
        match self.start {
            Some(start) => Some(
                start.saturating_add(self.every.saturating_mul(number.min(i64::MAX as u64) as i64)),
            ),
            None => self.begun.iter().find(|(begun, _)| *begun == number).map(|(_, now)| *now),
        }
    }
}
