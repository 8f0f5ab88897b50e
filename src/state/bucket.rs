//! A bucket: rows with distinct keys, found by key.
//!
//! The rows lie in [`Segments`] and a hash index says for each key which row of which segment is its
//! newest. To replace a row is to write a new one and to forget the old one's place, so a batch
//! costs the rows it touches.

use arrow::array::{ArrayRef, RecordBatch};
use hashbrown::HashTable;

use super::key;
use super::lookup::Lookup;
use super::segments::{Move, Place, Segment, Segments, lost};
use crate::error::{Error, Result};

/// Where a key's row lies, in 16 bytes; the key itself is only in the row.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    place: Place,
}

/// Rows with distinct keys. The first `keys` columns of every batch are the key.
pub(super) struct Bucket {
    keys: usize,
    /// Each row is tagged with the hash of its key.
    segments: Segments<u64>,
    index: HashTable<Entry>,
}

impl Bucket {
    pub(super) fn new(keys: usize) -> Self {
        Self { keys, segments: Segments::new(), index: HashTable::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.segments.memory_bytes() + self.index.allocation_size()
    }

    /// Prepares to look up these (normalised) keys.
    pub(super) fn lookup(&self, keys: &[ArrayRef]) -> Lookup {
        Lookup::new(keys.to_vec(), self.segments.numbers())
    }

    /// Where the row of a key lies.
    pub(super) fn find(&self, lookup: &mut Lookup, hash: u64, key: usize) -> Result<Option<Place>> {
        let same = |e: &Entry| e.hash == hash && lookup.same(&self.segments, key, e.place);
        let found = self.index.find(hash, same).map(|e| e.place);
        lookup.checked(found)
    }

    /// The batch in which a place found by [`Bucket::find`] is a row.
    pub(super) fn segment(&self, number: u32) -> Option<&RecordBatch> {
        self.segments.get(number).map(|s| &s.rows)
    }

    /// Adds rows or replaces those of the same key; gives how many were replaced.
    ///
    /// At most [`SEGMENT_ROWS`](super::segments::SEGMENT_ROWS) rows, whose buffers belong to nobody
    /// else (see [`own`](super::own::own)).
    pub(super) fn put(&mut self, rows: RecordBatch, hashes: Vec<u64>) -> Result<usize> {
        let keys = rows.columns()[..self.keys].to_vec();
        let segment = self.segments.add(rows, hashes.clone());
        let mut replaced = Vec::new();
        let mut lookup = Lookup::new(keys, self.segments.numbers());
        for (row, hash) in hashes.into_iter().enumerate() {
            let place = Place { segment, row: row as u32 };
            let same = |e: &Entry| e.hash == hash && lookup.same(&self.segments, row, e.place);
            let found = self.index.find_mut(hash, same);
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
        let Self { segments, index, .. } = self;
        segments.forget(&replaced, &mut |step| follow(index, step))?;
        segments.tidy(segment, &mut |step| follow(index, step))?;
        Ok(replaced.len())
    }

    /// Removes the rows whose time (in `column`) is at or before `until`; gives how many went and
    /// the oldest time that stays.
    pub(super) fn remove_until(&mut self, column: usize, until: i64) -> Result<(usize, i64)> {
        let (mut gone, mut oldest) = (Vec::new(), i64::MAX);
        for (segment, held) in self.segments.iter() {
            let times = key::times(held.rows.column(column))?;
            for (row, hash) in held.live() {
                let time = times.value(row as usize);
                if time <= until {
                    gone.push((hash, Place { segment, row }));
                } else {
                    oldest = oldest.min(time);
                }
            }
        }
        for &(hash, place) in &gone {
            match self.index.find_entry(hash, |e| e.place == place) {
                Ok(entry) => drop(entry.remove()),
                Err(_) => return Err(lost()),
            }
        }
        let places: Vec<Place> = gone.into_iter().map(|(_, place)| place).collect();
        let Self { segments, index, .. } = self;
        segments.forget(&places, &mut |step| follow(index, step))?;
        Ok((places.len(), oldest))
    }

    /// All rows, a batch a segment.
    pub(super) fn rows(&self) -> Result<Vec<RecordBatch>> {
        self.segments.iter().map(|(_, segment)| Segment::live_rows(segment)).collect()
    }
}

/// Lets the index point to the new place of a row.
fn follow(index: &mut HashTable<Entry>, (hash, was, is): Move<u64>) -> Result<()> {
    index.find_mut(hash, |e| e.place == was).ok_or_else(lost)?.place = is;
    Ok(())
}
