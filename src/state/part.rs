//! All rows of a table, a part at a time.
//!
//! A part is known by what holds its rows, in memory or on disk, and is made only when it is asked
//! for: so all rows can be had without holding all at once, by another thread too, and as they were
//! at one moment, whatever becomes of the table meanwhile.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;

use super::own::own;
use super::segments::{Held, pick};
use super::spill::Frozen;
use crate::error::Result;

/// Some rows of a table.
pub(super) enum Part {
    /// Rows in memory; which of them, or all.
    Held(RecordBatch, Option<BooleanArray>),
    /// Some rows of some segments: the segment and the row in it.
    Picked(Arc<Vec<Held>>, Vec<(usize, usize)>),
    /// Rows on disk.
    Spilled(Frozen),
}

impl Part {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Part::Held(rows, None) => rows.num_rows(),
            Part::Held(_, Some(live)) => live.true_count(),
            Part::Picked(_, picks) => picks.len(),
            Part::Spilled(rows) => rows.len(),
        }
    }

    fn rows(self) -> Result<RecordBatch> {
        match self {
            Part::Held(rows, None) => Ok(rows),
            Part::Held(rows, Some(live)) => Ok(filter_record_batch(&rows, &live)?),
            Part::Picked(segments, picks) => own(pick(&segments, &picks)?),
            Part::Spilled(rows) => rows.rows(),
        }
    }
}

/// Rows of a table as they were when they were asked for; each step makes some thousand of them.
#[derive(Default)]
pub struct Parts(std::vec::IntoIter<Part>);

impl Parts {
    pub(super) fn of(parts: Vec<Part>) -> Self {
        Self(parts.into_iter())
    }

    /// How many rows each of the parts that are left has.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        self.0.as_slice().iter().map(Part::len)
    }
}

impl Iterator for Parts {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        self.0.next().map(Part::rows)
    }
}
