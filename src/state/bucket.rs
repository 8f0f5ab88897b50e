//! A bucket: rows with distinct keys, found by key.
//!
//! The rows lie in [`Segments`] and a hash index says for each key which row of which segment is its
//! newest. To replace a row is to write a new one and to forget the old one's place, so a batch
//! costs the rows it touches.
//!
//! Segments may be sent to disk (see [`super::spill`]); a key then has its row either here or there.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

use super::key::{self, Comparison};
use super::lookup::Lookup;
use super::own::own;
use super::part::Part;
use super::segments::{Move, Place, SEGMENT_ROWS, Segments, lost};
use super::spill::{Overflow, Spilled, SpilledPlace};
use crate::error::{Error, Result};

/// Where a key's row lies, in 16 bytes; the key itself is only in the row.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    place: Place,
}

/// What makes one row of the row that is kept of a key and its new one: takes some kept rows, for each
/// which of the new rows has its key, and the new rows; gives these, merged, in their order. Two threads
/// may use it.
pub type Merge<'a> =
    dyn Fn(&RecordBatch, &[usize], &RecordBatch) -> Result<RecordBatch> + Sync + 'a;

/// Rows with distinct keys. The first `keys` columns of every batch are the key.
pub(super) struct Bucket {
    keys: usize,
    /// Each row is tagged with the hash of its key.
    segments: Segments<u64>,
    index: HashTable<Entry>,
    spilled: Option<Box<Spilled>>,
}

impl Bucket {
    pub(super) fn new(keys: usize) -> Self {
        Self { keys, segments: Segments::new(), index: HashTable::new(), spilled: None }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len() + self.spilled.as_ref().map_or(0, |spilled| spilled.len())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let spilled = self.spilled.as_ref().map_or(0, |spilled| spilled.memory_bytes());
        self.segments.memory_bytes() + self.index.allocation_size() + spilled
    }

    /// The rows that lie on disk.
    pub(super) fn spilled(&self) -> Option<&Spilled> {
        self.spilled.as_deref()
    }

    /// The age, number and bytes of each segment in memory.
    pub(super) fn ages(&self) -> impl Iterator<Item = (u64, u32, usize)> {
        self.segments.ages(0)
    }

    /// Prepares to look up these (normalised) keys.
    pub(super) fn lookup(&self, keys: &[ArrayRef]) -> Lookup {
        Lookup::new(keys.to_vec(), self.segments.numbers())
    }

    /// Where the row of a key lies, if it is in memory.
    pub(super) fn find(&self, lookup: &mut Lookup, hash: u64, key: usize) -> Result<Option<Place>> {
        let same = |e: &Entry| e.hash == hash && lookup.same(&self.segments, key, e.place);
        let found = self.index.find(hash, same).map(|e| e.place);
        lookup.checked(found)
    }

    /// The batch in which a place found by [`Bucket::find`] is a row.
    pub(super) fn segment(&self, number: u32) -> Option<&RecordBatch> {
        self.segments.get(number)?.held.in_memory()
    }

    /// Adds rows or replaces those of the same key, with which `merge` merges them first; gives the rows as
    /// they are now, and how many replaced another. `now` is the age of the rows.
    ///
    /// At most [`SEGMENT_ROWS`] rows, whose buffers belong to nobody else (see
    /// [`own`](super::own::own)).
    pub(super) fn put(
        &mut self,
        mut rows: RecordBatch,
        hashes: Vec<u64>,
        now: u64,
        merge: Option<&Merge<'_>>,
    ) -> Result<(RecordBatch, usize)> {
        let keys = rows.columns()[..self.keys].to_vec();
        let segment = self.segments.next_number();
        if self.index.is_empty() {
            self.index.reserve(hashes.len(), |e| e.hash);
        }
        let (mut replaced, mut replacing, mut absent) = (Vec::new(), Vec::new(), Vec::new());
        let mut lookup = Lookup::new(keys.clone(), self.segments.numbers());
        let among = Comparison::new(&keys, &keys)?;
        for (row, &hash) in hashes.iter().enumerate() {
            let place = Place { segment, row: row as u32 };
            let same = |e: &Entry| {
                e.hash == hash
                    && match e.place.segment == segment {
                        true => among.same(row, e.place.row as usize),
                        false => lookup.same(&self.segments, row, e.place),
                    }
            };
            let entry = self.index.entry(hash, same, |e| e.hash);
            lookup.checked(())?;
            match entry {
                Slot::Occupied(mut entry) => {
                    let was = std::mem::replace(&mut entry.get_mut().place, place);
                    if was.segment == segment {
                        return Err(Error::internal("a key came twice in one put into state"));
                    }
                    replaced.push(was);
                    replacing.push(row);
                }
                Slot::Vacant(entry) => {
                    entry.insert(Entry { hash, place });
                    if self.spilled.is_some() {
                        absent.push((hash, row as u32));
                    }
                }
            }
        }
        let on_disk = self.take_spilled(&keys, absent)?;
        if let Some(merge) = merge {
            if !replaced.is_empty() {
                rows = own(merge(&self.segments.pick(&replaced)?, &replacing, &rows)?)?;
            }
            if let Some((kept, replacing)) = &on_disk {
                rows = own(merge(kept, replacing, &rows)?)?;
            }
        }
        self.segments.now = now;
        self.segments.add(rows.clone(), hashes);
        let Self { segments, index, .. } = self;
        segments.forget(&replaced, &mut |step| follow(index, step))?;
        segments.tidy(segment, &mut |step| follow(index, step))?;
        Ok((rows, replaced.len() + on_disk.map_or(0, |(_, rows)| rows.len())))
    }

    /// Puts in those of some rows whose key is not there, of several with one key the first; gives
    /// their numbers.
    ///
    /// `picks` are the numbers of at most [`SEGMENT_ROWS`] of `rows`, `hashes` those of all of them.
    pub(super) fn put_new(
        &mut self,
        rows: &RecordBatch,
        hashes: &[u64],
        picks: &[u32],
        now: u64,
    ) -> Result<Vec<u32>> {
        let keys = &rows.columns()[..self.keys];
        let on_disk = self.on_disk(keys, hashes, picks)?;
        if self.index.is_empty() {
            self.index.reserve(picks.len(), |e| e.hash);
        }
        let (mut new, mut tags) =
            (Vec::with_capacity(picks.len()), Vec::with_capacity(picks.len()));
        let segment = self.segments.next_number();
        let mut lookup = Lookup::new(keys.to_vec(), self.segments.numbers());
        let among = Comparison::new(keys, keys)?;
        for &row in picks {
            let hash = hashes[row as usize];
            let same = |e: &Entry| {
                e.hash == hash
                    && match e.place.segment == segment {
                        true => among.same(row as usize, new[e.place.row as usize] as usize),
                        false => lookup.same(&self.segments, row as usize, e.place),
                    }
            };
            let entry = self.index.entry(hash, same, |e| e.hash);
            lookup.checked(())?;
            if let Slot::Vacant(vacant) = entry
                && !on_disk.contains(&row)
            {
                let place = Place { segment, row: new.len() as u32 };
                vacant.insert(Entry { hash, place });
                new.push(row);
                tags.push(hash);
            }
        }
        if new.is_empty() {
            return Ok(new);
        }
        let part = take_record_batch(rows, &UInt32Array::from(new.clone()))?;
        let Self { segments, index, .. } = self;
        segments.now = now;
        segments.add(own(part)?, tags);
        segments.tidy(segment, &mut |step| follow(index, step))?;
        Ok(new)
    }

    /// Which of some rows, given by number, have a row on disk.
    fn on_disk(&self, keys: &[ArrayRef], hashes: &[u64], picks: &[u32]) -> Result<HashSet<u32>> {
        let Some(spilled) = self.spilled() else { return Ok(HashSet::new()) };
        let wanted = picks.iter().map(|&row| (hashes[row as usize], row)).collect();
        let found = spilled.find(&spilled.encode_keys(keys)?, wanted)?;
        Ok(found.into_iter().map(|row| row.probe).collect())
    }

    /// Takes the rows on disk of some keys, given by hash and position; gives them with the positions.
    fn take_spilled(
        &mut self,
        keys: &[ArrayRef],
        wanted: Vec<(u64, u32)>,
    ) -> Result<Option<(RecordBatch, Vec<usize>)>> {
        let Some(spilled) = self.spilled.as_mut().filter(|_| !wanted.is_empty()) else {
            return Ok(None);
        };
        let found = spilled.find(&spilled.encode_keys(keys)?, wanted)?;
        if found.is_empty() {
            return Ok(None);
        }
        let rows = spilled.decode(found.iter().map(|row| row.bytes.as_slice()))?;
        let places: Vec<SpilledPlace> = found.iter().map(|row| row.place).collect();
        spilled.forget(&places)?;
        Ok(Some((rows, found.iter().map(|row| row.probe as usize).collect())))
    }

    /// Sends the rows of some segments to disk.
    pub(super) fn spill(&mut self, numbers: &[u32], to: &Arc<Overflow>) -> Result<()> {
        let mut rows = Vec::with_capacity(numbers.len());
        for &segment in numbers {
            let held = self.segments.remove(segment)?;
            let live: Vec<(u32, u64)> = held.live().collect();
            for &(row, hash) in &live {
                match self.index.find_entry(hash, |e| e.place == Place { segment, row }) {
                    Ok(entry) => drop(entry.remove()),
                    Err(_) => return Err(lost()),
                }
            }
            rows.push((held.held.rows()?, live));
        }
        let spilled = self.spilled.get_or_insert_with(|| Box::new(Spilled::new(to.clone())));
        spilled.add(&rows)?;
        if self.index.len() < self.index.capacity() / 4 {
            self.index.shrink_to(2 * self.index.len(), |e| e.hash);
        }
        Ok(())
    }

    /// Brings the rows on disk back into memory.
    fn unspill(&mut self) -> Result<()> {
        let Some(spilled) = self.spilled.take() else { return Ok(()) };
        for part in spilled.frozen() {
            let rows = part.rows()?;
            let hashes = key::hashes(&rows.columns()[..self.keys], rows.num_rows())?;
            for (at, hashes) in hashes.chunks(SEGMENT_ROWS).enumerate() {
                let from = (at * SEGMENT_ROWS) as u32;
                let picks = UInt32Array::from_iter_values(from..from + hashes.len() as u32);
                let now = self.segments.now;
                self.put(take_record_batch(&rows, &picks)?, hashes.to_vec(), now, None)?;
            }
        }
        Ok(())
    }

    /// Removes the rows whose time (in `column`) is at or before `until`; gives how many went and
    /// the oldest time that stays. Reads all rows.
    pub(super) fn remove_until(&mut self, column: usize, until: i64) -> Result<(usize, i64)> {
        self.unspill()?;
        let (mut gone, mut oldest) = (Vec::new(), i64::MAX);
        for (segment, held) in self.segments.iter() {
            let times = key::times(held.held.rows()?.column(column))?;
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

    /// All rows as they are now.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let held = self.segments.iter();
        let held =
            held.filter_map(|(_, s)| Some(Part::Held(s.held.in_memory()?.clone(), s.live_bits())));
        held.chain(self.spilled().into_iter().flat_map(Spilled::frozen).map(Part::Spilled))
    }
}

/// Lets the index point to the new place of a row.
fn follow(index: &mut HashTable<Entry>, (hash, was, is): Move<u64>) -> Result<()> {
    index.find_mut(hash, |e| e.place == was).ok_or_else(lost)?.place = is;
    Ok(())
}
