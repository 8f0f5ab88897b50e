//! Rows of which there is any number a key.
//!
//! The rows lie in [`Segments`]. Those that are found together are linked to a chain, from the
//! newest to the oldest, and a hash index knows the newest of each chain. So to add, to find and to
//! take out a row costs the same whether its key has one row or a hundred thousand. Where rows are
//! sought by time as well, a chain holds only the rows of one stretch of time (the *grain*): a hot
//! key is then many short chains, of which a search touches two or three.
//!
//! When memory is used up the segments that were not added to for longest go to disk, each as a whole: rows that
//! came together are sought, and let go, at about the same time. What finds them stays in memory.
//!
//! A row also has a *number*, by which the files speak of it, and a *mark* for its owner to set.
//!
//! Takes and gives Arrow rows; knows nothing of files.

mod finder;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

pub use self::finder::{Finder, Found};
use super::lookup::Lookup;
use super::own::own;
use super::part::{Part, Parts};
use super::room::Room;
use super::segments::{Move, Place, SEGMENT_ROWS, Segments, lost, oldest};
use super::{StateShape, key};
use crate::error::{Error, Result};

/// Segments of fewer rows do not go to disk: of them there are few, and many tiny ones there would be
/// worse than a little more memory.
const SPILLED_ROWS: usize = if cfg!(test) { 4 } else { 1024 };

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// The time of a row that has none. No range holds it and no watermark reaches it.
const NEVER: i64 = i64::MAX;

/// A row of a multimap, as [`Finder`] and `expired` give it. Good for as long as the row is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(u32);

/// What is known of a row besides its columns.
struct Row {
    hash: u64,
    number: i64,
    time: i64,
    place: Place,
    older: u32,
    newer: u32,
    live: bool,
    marked: bool,
}

/// A chain: all rows of one hash.
struct Chain {
    hash: u64,
    newest: u32,
}

/// Rows of which there is any number a key.
pub(super) struct Multimap {
    shape: StateShape,
    /// Each row is tagged with its index in `rows`.
    segments: Segments<u32>,
    rows: Vec<Row>,
    free: Vec<u32>,
    chains: HashTable<Chain>,
    /// The rows with a time, the oldest on top; may still name rows that were removed.
    times: BinaryHeap<Reverse<(i64, u32)>>,
    next_number: i64,
    /// Made when a file asks for rows by number, that is, while the state is read back.
    by_number: Option<HashMap<i64, u32>>,
}

impl Multimap {
    pub(super) fn new(shape: StateShape) -> Self {
        Self {
            shape,
            segments: Segments::new(),
            rows: Vec::new(),
            free: Vec::new(),
            chains: HashTable::new(),
            times: BinaryHeap::new(),
            next_number: 0,
            by_number: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.segments.memory_bytes()
            + self.rows.capacity() * size_of::<Row>()
            + self.chains.allocation_size()
            + self.times.capacity() * size_of::<Reverse<(i64, u32)>>()
    }

    /// The number that the next row gets.
    pub(super) fn next_number(&self) -> i64 {
        self.next_number
    }

    /// Adds rows under these numbers, one a row, which no row has. Keeps to the room there is in memory.
    pub(super) fn add(
        &mut self,
        rows: &RecordBatch,
        numbers: &[i64],
        room: &mut Room,
    ) -> Result<Vec<RowId>> {
        self.segments.now += 1;
        let mut columns = rows.columns().to_vec();
        for column in &mut columns[..self.shape.lookup] {
            *column = key::normalise(column);
        }
        let times = self.shape.expiry.map(|column| key::times(&columns[column])).transpose()?;
        let hashes = key::hashes(&columns[..self.shape.lookup], rows.num_rows())?;
        let rows = RecordBatch::try_new(self.shape.schema.clone(), columns)?;
        let (mut added, mut from) = (Vec::with_capacity(rows.num_rows()), 0);
        while from < rows.num_rows() {
            let count = SEGMENT_ROWS.min(rows.num_rows() - from);
            let mut ids = Vec::with_capacity(count);
            for (row, &hash) in hashes.iter().enumerate().skip(from).take(count) {
                let time = times.as_ref().filter(|t| t.is_valid(row)).map(|t| t.value(row));
                let number = *numbers.get(row).ok_or_else(lost)?;
                ids.push(self.link(hash, time.unwrap_or(NEVER), number)?);
            }
            // Not a slice, which would keep the whole batch.
            let picks = UInt32Array::from_iter_values(from as u32..(from + count) as u32);
            let part = own(take_record_batch(&rows, &picks)?)?;
            let segment = self.segments.add(part, ids.clone());
            added.extend(ids.iter().copied().map(RowId));
            for (row, id) in ids.into_iter().enumerate() {
                self.rows[id as usize].place = Place { segment, row: row as u32 };
            }
            let Self { segments, rows, .. } = self;
            segments.tidy(segment, &mut |step| follow(rows, step))?;
            from += count;
            self.spill(room)?;
        }
        Ok(added)
    }

    /// Sends segments to disk until what is held in memory fits, or there is nothing more to send: what
    /// finds the rows stays in memory, and so do small segments, which are still merged.
    fn spill(&mut self, room: &mut Room) -> Result<()> {
        while let Some((target, to)) = room.target(self.memory_bytes()) {
            let held: Vec<(u64, u32, usize)> = self.segments.ages(SPILLED_ROWS).collect();
            if held.is_empty() {
                return Ok(());
            }
            for number in oldest(held, self.memory_bytes().saturating_sub(target)) {
                self.segments.spill(number, &to)?;
            }
        }
        Ok(())
    }

    /// Seeks, for each row of the lookup columns `keys` (normalised here), the rows that have them.
    /// `ranges`, one a row: from which time to which, both inclusive, in microseconds.
    pub(super) fn find(
        &self,
        keys: &[ArrayRef],
        count: usize,
        ranges: Option<Vec<(i64, i64)>>,
    ) -> Result<Finder<'_>> {
        if self.shape.grain_us.is_some() && ranges.is_none() {
            return Err(Error::internal("rows with a grain of time are sought without a time"));
        }
        if ranges.as_ref().is_some_and(|ranges| ranges.len() != count) {
            return Err(Error::internal("not one range of time for each key that is sought"));
        }
        let keys: Vec<ArrayRef> = keys.iter().map(key::normalise).collect();
        let hashes = key::hashes(&keys, count)?;
        let lookup = Lookup::new(keys, self.segments.numbers());
        Finder::new(self, hashes, ranges, lookup)
    }

    /// The columns of rows, in the order of `ids`.
    pub(super) fn take(&self, ids: &[RowId]) -> Result<RecordBatch> {
        if ids.is_empty() {
            return Ok(RecordBatch::new_empty(self.shape.schema.clone()));
        }
        let places = ids.iter().map(|&id| Ok(self.row(id)?.place)).collect::<Result<Vec<_>>>()?;
        self.segments.pick(&places)
    }

    pub(super) fn is_marked(&self, id: RowId) -> Result<bool> {
        Ok(self.row(id)?.marked)
    }

    /// Marks rows; gives those that were not marked before, and their numbers.
    pub(super) fn mark(&mut self, ids: &[RowId]) -> Result<(Vec<RowId>, Vec<i64>)> {
        let (mut fresh, mut numbers) = (Vec::new(), Vec::new());
        for &id in ids {
            let row = self.rows.get_mut(id.0 as usize).filter(|row| row.live).ok_or_else(lost)?;
            if !std::mem::replace(&mut row.marked, true) {
                fresh.push(id);
                numbers.push(row.number);
            }
        }
        Ok((fresh, numbers))
    }

    /// Takes rows out, each named once or more often; gives their numbers.
    pub(super) fn remove(&mut self, ids: &[RowId]) -> Result<Vec<i64>> {
        let (mut numbers, mut places) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            let row = self.rows.get(id.0 as usize).ok_or_else(lost)?;
            if !row.live {
                continue;
            }
            numbers.push(row.number);
            places.push(row.place);
            self.unlink(id.0)?;
        }
        let Self { segments, rows, .. } = self;
        segments.forget(&places, &mut |step| follow(rows, step))?;
        if self.times.len() > 2 * self.len() + SEGMENT_ROWS {
            let rows = &self.rows;
            self.times.retain(|Reverse((time, id))| rows[*id as usize].is(*time));
        }
        Ok(numbers)
    }

    /// The rows of some numbers, as a file speaks of them; `None`: one of them is not there.
    pub(super) fn numbered(&mut self, numbers: &[i64]) -> Option<Vec<RowId>> {
        let rows = &self.rows;
        let by_number = self.by_number.get_or_insert_with(|| {
            let live = rows.iter().enumerate().filter(|(_, row)| row.live);
            live.map(|(id, row)| (row.number, id as u32)).collect()
        });
        numbers.iter().map(|number| by_number.get(number).copied().map(RowId)).collect()
    }

    /// The state has been read back: from now on nobody speaks of rows by number.
    pub(super) fn is_read_back(&mut self) {
        self.by_number = None;
    }

    /// See [`StateTable::last_time`](super::StateTable::last_time).
    pub(super) fn last_time(&self, not_after: i64) -> Option<i64> {
        let waiting = self.rows.iter().filter(|row| row.live && !row.marked && row.time != NEVER);
        waiting.map(|row| row.time).filter(|time| *time <= not_after).max()
    }

    /// The rows that a watermark lets go, oldest first; of the same time, in the order of arrival.
    pub(super) fn expired(&self, watermark_us: i64) -> Vec<RowId> {
        let number = |&(time, id): &(i64, u32)| (time, self.rows[id as usize].number, id);
        let mut expired: Vec<_> = self.past(watermark_us).iter().map(number).collect();
        expired.sort_unstable();
        expired.dedup();
        expired.into_iter().map(|(_, _, id)| RowId(id)).collect()
    }

    /// The times and ids of the rows that a watermark lets go, in no order; some more than once.
    fn past(&self, watermark_us: i64) -> Vec<(i64, u32)> {
        // The heap as a tree: what hangs below a row that stays, stays.
        let heap = self.times.as_slice();
        let (mut past, mut open) = (Vec::new(), vec![0]);
        while let Some(at) = open.pop() {
            let Some(&Reverse((time, id))) = heap.get(at) else { continue };
            if time > watermark_us {
                continue;
            }
            if self.rows[id as usize].is(time) {
                past.push((time, id));
            }
            open.extend([2 * at + 1, 2 * at + 2]);
        }
        past
    }

    /// Removes the rows that a watermark lets go; gives how many went.
    pub(super) fn expire(&mut self, watermark_us: i64) -> Result<usize> {
        let gone = self.past(watermark_us);
        if gone.len() > self.times.len() / 8 {
            self.times.retain(|Reverse((time, _))| *time > watermark_us);
        } else {
            while self.times.peek().is_some_and(|Reverse((time, _))| *time <= watermark_us) {
                self.times.pop();
            }
        }
        // As they lie in memory.
        let mut gone: Vec<RowId> = gone.into_iter().map(|(_, id)| RowId(id)).collect();
        gone.sort_unstable();
        Ok(self.remove(&gone)?.len())
    }

    /// All rows as they are now, in the order of their numbers, and the numbers of those in each part.
    pub(super) fn frozen(&self) -> Result<(Vec<Vec<i64>>, Parts)> {
        let live = self.rows.iter().enumerate().filter(|(_, row)| row.live);
        let mut numbered: Vec<(i64, u32)> = live.map(|(id, r)| (r.number, id as u32)).collect();
        numbered.sort_unstable();
        let (mut segments, mut position) = (Vec::new(), HashMap::new());
        for (number, segment) in self.segments.iter() {
            position.insert(number, segments.len());
            segments.push(segment.held.clone());
        }
        let segments = Arc::new(segments);
        let (mut numbers, mut parts) = (Vec::new(), Vec::new());
        for rows in numbered.chunks(SEGMENT_ROWS) {
            let picks = rows.iter().map(|(_, id)| {
                let Place { segment, row } = self.rows[*id as usize].place;
                Ok((*position.get(&segment).ok_or_else(lost)?, row as usize))
            });
            parts.push(Part::Picked(segments.clone(), picks.collect::<Result<_>>()?));
            numbers.push(rows.iter().map(|(number, _)| *number).collect());
        }
        Ok((numbers, Parts::of(parts)))
    }

    /// The numbers of the marked rows, ascending.
    pub(super) fn marked(&self) -> Vec<i64> {
        let marked = self.rows.iter().filter(|row| row.live && row.marked);
        let mut numbers: Vec<i64> = marked.map(|row| row.number).collect();
        numbers.sort_unstable();
        numbers
    }

    fn row(&self, id: RowId) -> Result<&Row> {
        self.rows.get(id.0 as usize).filter(|row| row.live).ok_or_else(lost)
    }

    /// The hash of a chain: of the lookup columns, and of the stretch of time.
    fn chain_hash(&self, keys: u64, time: i64) -> u64 {
        match self.shape.grain_us {
            None => keys,
            Some(grain) => {
                let stretch = time.div_euclid(grain) as u64;
                let mixed = (keys.rotate_left(23) ^ stretch).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                mixed ^ (mixed >> 29)
            }
        }
    }

    /// Makes a row, not yet at any place, the newest of its chain.
    fn link(&mut self, keys: u64, time: i64, number: i64) -> Result<u32> {
        let hash = self.chain_hash(keys, time);
        let place = Place { segment: u32::MAX, row: u32::MAX };
        let mut row =
            Row { hash, number, time, place, older: NONE, newer: NONE, live: true, marked: false };
        let id = match self.free.last() {
            Some(&id) => id,
            None => u32::try_from(self.rows.len())
                .ok()
                .filter(|&id| id != NONE)
                .ok_or_else(|| Error::internal("a state has more than 4 billion rows"))?,
        };
        match self.chains.entry(hash, |chain| chain.hash == hash, |chain| chain.hash) {
            Entry::Occupied(mut chain) => {
                row.older = std::mem::replace(&mut chain.get_mut().newest, id);
                self.rows[row.older as usize].newer = id;
            }
            Entry::Vacant(vacant) => drop(vacant.insert(Chain { hash, newest: id })),
        }
        match self.free.pop() {
            Some(id) => self.rows[id as usize] = row,
            None => self.rows.push(row),
        }
        if time != NEVER {
            self.times.push(Reverse((time, id)));
        }
        if let Some(by_number) = &mut self.by_number {
            by_number.insert(number, id);
        }
        self.next_number = self.next_number.max(number + 1);
        Ok(id)
    }

    /// Takes a row out of its chain; its place is still to be forgotten.
    fn unlink(&mut self, id: u32) -> Result<()> {
        let row = &mut self.rows[id as usize];
        row.live = false;
        let (hash, older, newer, number) = (row.hash, row.older, row.newer, row.number);
        if older != NONE {
            self.rows[older as usize].newer = newer;
        }
        if newer != NONE {
            self.rows[newer as usize].older = older;
        } else {
            let chain = self.chains.find_entry(hash, |chain| chain.hash == hash);
            let Ok(mut chain) = chain else { return Err(lost()) };
            if older != NONE {
                chain.get_mut().newest = older;
            } else {
                chain.remove();
            }
        }
        self.free.push(id);
        if let Some(by_number) = &mut self.by_number {
            by_number.remove(&number);
        }
        Ok(())
    }
}

impl Row {
    /// Whether this is a row of that time: what the heap names may be gone.
    fn is(&self, time: i64) -> bool {
        self.live && self.time == time
    }
}

/// A row has moved to another segment.
fn follow(rows: &mut [Row], (id, _, is): Move<u32>) -> Result<()> {
    rows.get_mut(id as usize).ok_or_else(lost)?.place = is;
    Ok(())
}
