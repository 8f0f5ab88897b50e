//! Many keys on their way through the rows of an index.

use arrow::array::ArrayRef;

use super::key::Comparison;
use super::segments::{Place, Segments, lost};
use crate::error::{Error, Result};

/// Keys that are being looked up, with the comparisons made so far: one a segment that holds a
/// likely match.
pub(super) struct Lookup {
    keys: Vec<ArrayRef>,
    comparisons: Vec<Option<Comparison>>,
    failed: Option<Error>,
}

impl Lookup {
    /// Prepares to look up (normalised) keys in so many segments.
    pub(super) fn new(keys: Vec<ArrayRef>, segments: usize) -> Self {
        Self { keys, comparisons: (0..segments).map(|_| None).collect(), failed: None }
    }

    /// Whether the row at a place has key number `key`.
    pub(super) fn same<T: Copy>(
        &mut self,
        segments: &Segments<T>,
        key: usize,
        place: Place,
    ) -> bool {
        let (Some(segment), Some(made)) =
            (segments.get(place.segment), self.comparisons.get_mut(place.segment as usize))
        else {
            self.failed = Some(lost());
            return false;
        };
        if made.is_none() {
            match Comparison::new(&self.keys, segment.rows.columns()) {
                Ok(comparison) => *made = Some(comparison),
                Err(error) => self.failed = Some(error),
            }
        }
        made.as_ref().is_some_and(|c| c.same(key, place.row as usize))
    }

    /// What was found, unless a comparison could not be made on the way.
    pub(super) fn checked<T>(&mut self, found: T) -> Result<T> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }
}
