//! Many keys on their way through one bucket's index.

use arrow::array::ArrayRef;

use super::bucket::{Entry, Segment, lost};
use super::key::Comparison;
use crate::error::{Error, Result};

/// Keys that are being looked up in one bucket, with the comparisons made so far: one a segment
/// that holds a likely match.
pub(super) struct Lookup<'a> {
    keys: &'a [ArrayRef],
    segments: &'a [Option<Segment>],
    comparisons: Vec<Option<Comparison>>,
    failed: Option<Error>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(keys: &'a [ArrayRef], segments: &'a [Option<Segment>]) -> Self {
        let comparisons = (0..segments.len()).map(|_| None).collect();
        Self { keys, segments, comparisons, failed: None }
    }

    /// Whether an entry of the index is that of key number `key`.
    pub(super) fn same(&mut self, hash: u64, key: usize, entry: &Entry) -> bool {
        if entry.hash != hash {
            return false;
        }
        let number = entry.place.segment as usize;
        let (Some(Some(segment)), Some(made)) =
            (self.segments.get(number), self.comparisons.get_mut(number))
        else {
            self.failed = Some(lost());
            return false;
        };
        if made.is_none() {
            match Comparison::new(self.keys, &segment.rows) {
                Ok(comparison) => *made = Some(comparison),
                Err(error) => self.failed = Some(error),
            }
        }
        made.as_ref().is_some_and(|c| c.same(key, entry.place.row as usize))
    }

    /// What was found, unless a comparison could not be made on the way.
    pub(super) fn checked<T>(&mut self, found: T) -> Result<T> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }
}
