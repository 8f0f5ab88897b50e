//! A search in a multimap: the rows of many keys, piece by piece.
//!
//! Takes hashes and keys, and for each perhaps a range of time; gives pairs of a key's position and a
//! row. Never holds more than one piece.

use super::{Multimap, NEVER, NONE, RowId};
use crate::error::{Error, Result};
use crate::state::lookup::Lookup;

/// No search looks at more stretches of time than this for one row: the grain was chosen wrongly.
const STRETCHES: i64 = 1024;

/// Rows that were found, and for which of the sought keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The position of the key among those that were sought; ascending.
    pub probe: Vec<u32>,
    /// A row with that key.
    pub rows: Vec<RowId>,
}

/// A search for the rows of many keys, which gives what it finds piece by piece.
pub struct Finder<'a> {
    map: &'a Multimap,
    hashes: Vec<u64>,
    ranges: Option<Vec<(i64, i64)>>,
    lookup: Lookup,
    /// Which key is being sought.
    probe: usize,
    /// The stretches of time that are still to be looked at for it, from and to.
    stretches: (i64, i64),
    /// The row of the chain that is to be looked at next.
    row: u32,
}

impl<'a> Finder<'a> {
    /// `hashes`: one a key of `lookup`; `ranges`: one a key, or none.
    pub(super) fn new(
        map: &'a Multimap,
        hashes: Vec<u64>,
        ranges: Option<Vec<(i64, i64)>>,
        lookup: Lookup,
    ) -> Result<Self> {
        let mut finder =
            Self { map, hashes, ranges, lookup, probe: 0, stretches: (1, 0), row: NONE };
        finder.enter(0)?;
        Ok(finder)
    }

    /// The next matches, at most `limit`, in the order of the keys; `None`: there are no more.
    pub fn next(&mut self, limit: usize) -> Result<Option<Found>> {
        let mut found = Found::default();
        while found.rows.len() < limit {
            if self.row == NONE {
                if !self.next_chain()? {
                    break;
                }
                continue;
            }
            let id = self.row;
            let row = &self.map.rows[id as usize];
            self.row = row.older;
            let in_range = self.ranges.as_ref().is_none_or(|ranges| {
                let (from, to) = ranges[self.probe];
                row.time != NEVER && from <= row.time && row.time <= to
            });
            if in_range && self.lookup.same(&self.map.segments, self.probe, row.place) {
                found.probe.push(self.probe as u32);
                found.rows.push(RowId(id));
            }
        }
        self.lookup.checked((!found.rows.is_empty()).then_some(found))
    }

    /// Goes to the next chain in which the rows of a key may be.
    fn next_chain(&mut self) -> Result<bool> {
        loop {
            let (at, last) = self.stretches;
            if at <= last {
                self.stretches.0 += 1;
                let grain = self.map.shape.grain_us.unwrap_or(1);
                let time = at.saturating_mul(grain);
                let hash = self.map.chain_hash(self.hashes[self.probe], time);
                let chain = self.map.chains.find(hash, |chain| chain.hash == hash);
                if let Some(chain) = chain {
                    self.row = chain.newest;
                    return Ok(true);
                }
                continue;
            }
            if self.probe + 1 >= self.hashes.len() {
                return Ok(false);
            }
            self.enter(self.probe + 1)?;
        }
    }

    /// Begins with a key: which stretches of time are to be looked at.
    fn enter(&mut self, probe: usize) -> Result<()> {
        self.probe = probe;
        self.stretches = match (self.map.shape.grain_us, &self.ranges) {
            _ if probe >= self.hashes.len() => (1, 0),
            (Some(grain), Some(ranges)) => {
                let (from, to) = ranges[probe];
                // The first stretch may begin before the least number there is.
                (from.div_euclid(grain).max(i64::MIN / grain), to.div_euclid(grain))
            }
            _ => (0, 0),
        };
        if self.stretches.1.saturating_sub(self.stretches.0) > STRETCHES {
            return Err(Error::internal("a range of time is much longer than its grain"));
        }
        Ok(())
    }
}
