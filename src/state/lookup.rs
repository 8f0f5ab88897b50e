//! Many keys on their way through the rows of an index.

use std::collections::VecDeque;

use arrow::array::ArrayRef;

use super::key::Comparison;
use super::segments::{Place, Segments, lost};
use crate::error::{Error, Result};

/// Of so many segments on disk the columns of the key are in memory at a time.
const FROM_DISK: usize = if cfg!(test) { 2 } else { 64 };

/// Keys that are being looked up, with the comparisons made so far: one a segment that holds a
/// likely match.
pub(super) struct Lookup {
    keys: Vec<ArrayRef>,
    comparisons: Vec<Option<Comparison>>,
    /// The segments on disk among them, the oldest comparison first.
    from_disk: VecDeque<u32>,
    failed: Option<Error>,
}

impl Lookup {
    /// Prepares to look up (normalised) keys in so many segments.
    pub(super) fn new(keys: Vec<ArrayRef>, segments: usize) -> Self {
        let comparisons = (0..segments).map(|_| None).collect();
        Self { keys, comparisons, from_disk: VecDeque::new(), failed: None }
    }

    /// Whether the row at a place has key number `key`.
    pub(super) fn same<T: Copy>(
        &mut self,
        segments: &Segments<T>,
        key: usize,
        place: Place,
    ) -> bool {
        if self.comparisons.get(place.segment as usize).is_none_or(Option::is_none)
            && let Err(error) = self.compare_with(segments, place.segment)
        {
            self.failed = Some(error);
            return false;
        }
        let made = self.comparisons.get(place.segment as usize).and_then(Option::as_ref);
        made.is_some_and(|c| c.same(key, place.row as usize))
    }

    fn compare_with<T: Copy>(&mut self, segments: &Segments<T>, number: u32) -> Result<()> {
        let held = &segments.get(number).ok_or_else(lost)?.held;
        let made = Comparison::new(&self.keys, held.rows()?.columns())?;
        if held.in_memory().is_none() {
            self.from_disk.push_back(number);
            if self.from_disk.len() > FROM_DISK
                && let Some(oldest) = self.from_disk.pop_front()
            {
                self.comparisons[oldest as usize] = None;
            }
        }
        *self.comparisons.get_mut(number as usize).ok_or_else(lost)? = Some(made);
        Ok(())
    }

    /// What was found, unless a comparison could not be made on the way.
    pub(super) fn checked<T>(&mut self, found: T) -> Result<T> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }
}
