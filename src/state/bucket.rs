//! A bucket: rows with distinct keys, found by key.
//!
//! The rows lie in *segments* (Arrow batches that never change) and a hash index says for each key
//! which row of which segment is its newest. To replace a row is to write a new one and to forget
//! the old one's place. So a batch costs the rows it touches, and what it leaves behind is tidied at
//! a cost that those rows have paid for:
//!
//! - A segment of which more than half is forgotten is written anew without that half.
//! - Small segments lie on a stack on which each is more than twice as long as the next one; a new
//!   one that breaks this is merged with its neighbour, and so on. A row is copied at most
//!   log2([`SEGMENT_ROWS`]) times, and after 5,000 batches of 9 rows there are 12 segments.
//! - A segment that has grown to [`SEGMENT_ROWS`] is left alone, so no batch ever waits for a
//!   large copy.

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use hashbrown::HashTable;

use super::key;
use super::lookup::Lookup;
use super::own::own;
use crate::error::{Error, Result};

/// A segment of so many rows is not merged any more. (Few in tests, which want to see it happen.)
pub(super) const SEGMENT_ROWS: usize = if cfg!(test) { 16 } else { 32 * 1024 };

/// Nor is one of so many bytes: the 32-bit offsets of Arrow's text columns end at 2 GiB.
const SEGMENT_BYTES: usize = 64 * 1024 * 1024;

/// Where a key's row lies, in 16 bytes; the key itself is only in the row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) hash: u64,
    pub(super) place: Place,
}

/// A row of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) row: u32,
}

pub(super) struct Segment {
    pub(super) rows: RecordBatch,
    live: BooleanBufferBuilder,
    dead: usize,
    bytes: usize,
}

impl Segment {
    fn live_rows(&self) -> Result<RecordBatch> {
        if self.dead == 0 {
            return Ok(self.rows.clone());
        }
        let live = BooleanArray::from(self.live.finish_cloned());
        Ok(filter_record_batch(&self.rows, &live)?)
    }
}

/// Rows with distinct keys. The first `keys` columns of every batch are the key.
pub(super) struct Bucket {
    keys: usize,
    /// By number; the numbers of segments that are gone are used again.
    segments: Vec<Option<Segment>>,
    free: Vec<u32>,
    /// The small segments, each more than twice as long as the next.
    stack: Vec<u32>,
    index: HashTable<Entry>,
    bytes: usize,
}

impl Bucket {
    pub(super) fn new(keys: usize) -> Self {
        let (segments, free, stack) = (Vec::new(), Vec::new(), Vec::new());
        Self { keys, segments, free, stack, index: HashTable::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes
            + self.index.allocation_size()
            + self.segments.capacity() * size_of::<Option<Segment>>()
    }

    /// Prepares to look up these (normalised) keys.
    pub(super) fn lookup<'a>(&'a self, keys: &'a [ArrayRef]) -> Lookup<'a> {
        Lookup::new(keys, &self.segments)
    }

    /// Where the row of a key lies.
    pub(super) fn find(&self, lookup: &mut Lookup, hash: u64, key: usize) -> Result<Option<Place>> {
        let found = self.index.find(hash, |e| lookup.same(hash, key, e)).map(|e| e.place);
        lookup.checked(found)
    }

    /// The batch in which a place found by [`Bucket::find`] is a row.
    pub(super) fn segment(&self, number: u32) -> Option<&RecordBatch> {
        self.segments.get(number as usize)?.as_ref().map(|s| &s.rows)
    }

    /// Adds rows or replaces those of the same key; gives how many were replaced.
    ///
    /// At most [`SEGMENT_ROWS`] rows, whose buffers belong to nobody else (see [`own`]).
    pub(super) fn put(&mut self, rows: RecordBatch, hashes: &[u64]) -> Result<usize> {
        let keys = rows.columns()[..self.keys].to_vec();
        let segment = self.add(rows);
        let mut replaced = Vec::new();
        let mut lookup = Lookup::new(&keys, &self.segments);
        for (row, &hash) in hashes.iter().enumerate() {
            let place = Place { segment, row: row as u32 };
            let found = self.index.find_mut(hash, |e| lookup.same(hash, row, e));
            match lookup.checked(found)? {
                Some(entry) if entry.place.segment == segment => {
                    return Err(Error::internal("a key came twice in one put into state"));
                }
                Some(entry) => replaced.push(std::mem::replace(&mut entry.place, place)),
                None => {
                    self.index.insert_unique(hash, Entry { hash, place }, |e| e.hash);
                }
            }
        }
        self.forget(&replaced)?;
        self.stack(segment)?;
        Ok(replaced.len())
    }

    /// Removes the rows whose time (in `column`) is at or before `until`; gives how many went and
    /// the oldest time that stays.
    pub(super) fn remove_until(&mut self, column: usize, until: i64) -> Result<(usize, i64)> {
        let (mut gone, mut oldest) = (Vec::new(), i64::MAX);
        for (number, segment) in self.segments.iter().enumerate() {
            let Some(segment) = segment else { continue };
            let times = key::times(segment.rows.column(column))?;
            let mut late = vec![false; times.len()];
            for (row, &time) in times.values().iter().enumerate() {
                if !segment.live.get_bit(row) {
                    continue;
                }
                late[row] = time <= until;
                if !late[row] {
                    oldest = oldest.min(time);
                }
            }
            if !late.contains(&true) {
                continue;
            }
            let rows = late.iter().enumerate().filter(|(_, late)| **late).map(|(row, _)| row);
            let places = rows.map(|row| Place { segment: number as u32, row: row as u32 });
            let going = segment.rows.project(&(0..self.keys).collect::<Vec<_>>())?;
            let going = filter_record_batch(&going, &BooleanArray::from(late.clone()))?;
            let hashes = key::hashes(going.columns(), going.num_rows())?;
            gone.extend(hashes.into_iter().zip(places));
        }
        for &(hash, place) in &gone {
            match self.index.find_entry(hash, |e| e.place == place) {
                Ok(entry) => drop(entry.remove()),
                Err(_) => return Err(lost()),
            }
        }
        let places: Vec<Place> = gone.into_iter().map(|(_, place)| place).collect();
        self.forget(&places)?;
        Ok((places.len(), oldest))
    }

    /// All rows, a batch a segment.
    pub(super) fn rows(&self) -> Result<Vec<RecordBatch>> {
        self.segments.iter().flatten().map(Segment::live_rows).collect()
    }

    /// Keeps a batch under a number. Its rows have no place in the index yet.
    fn add(&mut self, rows: RecordBatch) -> u32 {
        let count = rows.num_rows();
        let mut live = BooleanBufferBuilder::new(count);
        live.append_n(count, true);
        let bytes = rows.get_array_memory_size() + live.capacity() / 8;
        self.bytes += bytes;
        let segment = Some(Segment { rows, live, dead: 0, bytes });
        match self.free.pop() {
            Some(number) => {
                self.segments[number as usize] = segment;
                number
            }
            None => {
                self.segments.push(segment);
                (self.segments.len() - 1) as u32
            }
        }
    }

    /// Puts a new segment on the stack and merges until each is more than twice the next.
    fn stack(&mut self, number: u32) -> Result<()> {
        let mut top = number;
        loop {
            let (rows, bytes) = self.size(top)?;
            if rows >= SEGMENT_ROWS || bytes >= SEGMENT_BYTES {
                return Ok(());
            }
            match self.stack.last() {
                Some(&below) if self.size(below)?.0 <= 2 * rows => {
                    top = match self.rewrite(&[below, top])? {
                        Some(merged) => merged,
                        None => return Ok(()),
                    };
                }
                _ => {
                    self.stack.push(top);
                    return Ok(());
                }
            }
        }
    }

    fn size(&self, number: u32) -> Result<(usize, usize)> {
        let segment = self.segments.get(number as usize).and_then(Option::as_ref);
        segment.map(|s| (s.rows.num_rows(), s.bytes)).ok_or_else(lost)
    }

    /// Marks rows as dead that the index does not know any more, and rewrites the segments of which
    /// more than half are.
    fn forget(&mut self, places: &[Place]) -> Result<()> {
        let mut crowded = Vec::new();
        for place in places {
            let segment = self.segments.get_mut(place.segment as usize).and_then(Option::as_mut);
            let segment = segment.ok_or_else(lost)?;
            segment.live.set_bit(place.row as usize, false);
            segment.dead += 1;
            if segment.dead == segment.rows.num_rows() / 2 + 1 {
                crowded.push(place.segment);
            }
        }
        let mut rewritten = Vec::new();
        for number in crowded {
            rewritten.extend(self.rewrite(&[number])?);
        }
        rewritten.into_iter().try_for_each(|number| self.stack(number))
    }

    /// Writes the live rows of some segments as one new segment; `None`: there were none.
    fn rewrite(&mut self, numbers: &[u32]) -> Result<Option<u32>> {
        let mut old = Vec::with_capacity(numbers.len());
        for &number in numbers {
            let segment = self.segments.get_mut(number as usize).and_then(Option::take);
            let segment = segment.ok_or_else(lost)?;
            self.bytes -= segment.bytes;
            self.stack.retain(|&other| other != number);
            old.push(segment);
        }
        let mut origins = Vec::new();
        for (from, segment) in old.iter().enumerate() {
            let live = (0..segment.rows.num_rows()).filter(|&row| segment.live.get_bit(row));
            origins.extend(live.map(|row| (from, row)));
        }
        let new = if origins.is_empty() { None } else { Some(self.join(numbers, &old, &origins)?) };
        // Only now may the numbers be used again: until here the index held them.
        self.free.extend_from_slice(numbers);
        Ok(new)
    }

    /// Makes one segment of some rows of others and lets the index point to it.
    fn join(
        &mut self,
        numbers: &[u32],
        old: &[Segment],
        origins: &[(usize, usize)],
    ) -> Result<u32> {
        let batches: Vec<&RecordBatch> = old.iter().map(|s| &s.rows).collect();
        let rows = own(interleave_record_batch(&batches, origins)?)?;
        let hashes = key::hashes(&rows.columns()[..self.keys], rows.num_rows())?;
        let segment = self.add(rows);
        for (row, (&(from, old_row), hash)) in origins.iter().zip(hashes).enumerate() {
            let was = Place { segment: numbers[from], row: old_row as u32 };
            let entry = self.index.find_mut(hash, |e| e.place == was).ok_or_else(lost)?;
            entry.place = Place { segment, row: row as u32 };
        }
        Ok(segment)
    }
}

/// The index points to a row that is not there, or the other way round.
pub(super) fn lost() -> Error {
    Error::internal("the index of a state table and its rows do not agree")
}
