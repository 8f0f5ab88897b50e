//! Rows in segments: Arrow batches that never change, of which some rows are forgotten.
//!
//! An index of some kind says where each row lies; every row carries a *tag* by which that index
//! knows it again when the row is moved. What changes leave behind is tidied at a cost that the
//! changed rows have paid for:
//!
//! - A segment of which more than half is forgotten is written anew without that half.
//! - Small segments lie on a stack on which each is more than twice as long as the next one; a new
//!   one that breaks this is merged with its neighbour, and so on. A row is copied at most
//!   log2([`SEGMENT_ROWS`]) times, and after 5,000 batches of 9 rows there are 12 segments.
//! - A segment that has grown to three quarters of [`SEGMENT_ROWS`] is left alone, so no batch ever
//!   waits for a large copy, and rows that come back from a snapshot stay as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch, UInt32Array};
use arrow::compute::{interleave_record_batch, take_record_batch};

use super::own::own;
use super::spill::{Overflow, Whole};
use crate::error::{Error, Result};

/// Rows are put into segments of at most so many; one of three quarters of it is not merged any more.
/// (Few in tests, which want to see it happen.)
pub(super) const SEGMENT_ROWS: usize = if cfg!(test) { 16 } else { 32 * 1024 };

/// Nor is one of so many bytes: the 32-bit offsets of Arrow's text columns end at 2 GiB.
const SEGMENT_BYTES: usize = 64 * 1024 * 1024;

/// A row of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) row: u32,
}

/// The rows of a segment.
#[derive(Clone)]
pub(super) enum Held {
    Memory(RecordBatch),
    Disk(Arc<Whole>),
}

impl Held {
    /// The rows, read where they are on disk.
    pub(super) fn rows(&self) -> Result<RecordBatch> {
        match self {
            Held::Memory(rows) => Ok(rows.clone()),
            Held::Disk(rows) => rows.read(),
        }
    }

    /// The rows, if they are in memory.
    pub(super) fn in_memory(&self) -> Option<&RecordBatch> {
        match self {
            Held::Memory(rows) => Some(rows),
            Held::Disk(_) => None,
        }
    }
}

/// Rows of some segments, in the order of `picks`: the segment and the row in it. Of those on disk
/// only one is in memory at a time.
pub(super) fn pick(segments: &[Held], picks: &[(usize, usize)]) -> Result<RecordBatch> {
    let all_in_memory: Option<Vec<&RecordBatch>> = segments.iter().map(Held::in_memory).collect();
    if let Some(batches) = all_in_memory {
        return Ok(interleave_record_batch(&batches, picks)?);
    }
    let mut of_disk: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, (segment, _)) in picks.iter().enumerate() {
        if segments.get(*segment).is_some_and(|held| held.in_memory().is_none()) {
            of_disk.entry(*segment).or_default().push(at);
        }
    }
    let in_memory = |held: &Held| held.in_memory().cloned();
    let mut batches: Vec<Option<RecordBatch>> = segments.iter().map(in_memory).collect();
    let mut picks = picks.to_vec();
    for (segment, of_it) in of_disk {
        let wanted = of_it.iter().map(|&at| picks[at].1 as u32);
        let wanted = UInt32Array::from_iter_values(wanted);
        batches[segment] = Some(take_record_batch(&segments[segment].rows()?, &wanted)?);
        of_it.into_iter().enumerate().for_each(|(row, at)| picks[at].1 = row);
    }
    // Those on disk of which no row is picked are not there.
    let mut places = vec![0; batches.len()];
    let mut there: Vec<&RecordBatch> = Vec::with_capacity(batches.len());
    for (segment, rows) in batches.iter().enumerate() {
        places[segment] = there.len();
        there.extend(rows);
    }
    picks.iter_mut().for_each(|pick| pick.0 = places[pick.0]);
    Ok(interleave_record_batch(&there, &picks)?)
}

/// Which of some segments, each with its age and bytes, are to go so that so many bytes are freed: the
/// oldest, and at least one.
pub(super) fn oldest<T: Ord>(
    mut segments: Vec<(u64, T, usize)>,
    bytes: usize,
) -> impl Iterator<Item = T> {
    segments.sort_unstable();
    let mut left = bytes.max(1);
    segments.into_iter().map_while(move |(_, segment, freed)| {
        let goes = left > 0;
        left = left.saturating_sub(freed);
        goes.then_some(segment)
    })
}

/// Rows that lie together.
pub(super) struct Segment<T> {
    pub(super) held: Held,
    tags: Vec<T>,
    live: BooleanBufferBuilder,
    dead: usize,
    bytes: usize,
    /// When a row was last added.
    age: u64,
}

impl<T: Copy> Segment<T> {
    /// The rows that are not forgotten, with their numbers and tags.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, T)> + '_ {
        let rows = self.tags.iter().enumerate().filter(|(row, _)| self.live.get_bit(*row));
        rows.map(|(row, tag)| (row as u32, *tag))
    }

    /// Which rows are not forgotten; `None`: all.
    pub(super) fn live_bits(&self) -> Option<BooleanArray> {
        (self.dead > 0).then(|| BooleanArray::from(self.live.finish_cloned()))
    }
}

/// A row went to another place: its tag, where it was, where it is.
pub(super) type Move<T> = (T, Place, Place);

/// Segments by number.
pub(super) struct Segments<T> {
    /// The numbers of segments that are gone are used again.
    list: Vec<Option<Segment<T>>>,
    free: Vec<u32>,
    /// The small segments, each more than twice as long as the next.
    stack: Vec<u32>,
    bytes: usize,
    /// The age of what is added: a number that only rises.
    pub(super) now: u64,
}

impl<T: Copy> Segments<T> {
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), free: Vec::new(), stack: Vec::new(), bytes: 0, now: 0 }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes + self.list.capacity() * size_of::<Option<Segment<T>>>()
    }

    /// How many numbers there are, used or not.
    pub(super) fn numbers(&self) -> usize {
        self.list.len()
    }

    /// The number under which [`Segments::add`] keeps the next rows.
    pub(super) fn next_number(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.list.len() as u32)
    }

    pub(super) fn get(&self, number: u32) -> Option<&Segment<T>> {
        self.list.get(number as usize)?.as_ref()
    }

    /// All segments with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Segment<T>)> {
        let numbered = self.list.iter().enumerate();
        numbered.filter_map(|(number, s)| Some((number as u32, s.as_ref()?)))
    }

    /// Keeps rows, whose buffers belong to nobody else (see [`own`]), under a number. To be
    /// followed by [`Segments::tidy`] once the index knows them.
    pub(super) fn add(&mut self, rows: RecordBatch, tags: Vec<T>) -> u32 {
        let count = rows.num_rows();
        let mut live = BooleanBufferBuilder::new(count);
        live.append_n(count, true);
        let bytes =
            rows.get_array_memory_size() + live.capacity() / 8 + tags.capacity() * size_of::<T>();
        self.bytes += bytes;
        let held = Held::Memory(rows);
        let segment = Some(Segment { held, tags, live, dead: 0, bytes, age: self.now });
        let number = self.next_number();
        match self.free.pop() {
            Some(_) => self.list[number as usize] = segment,
            None => self.list.push(segment),
        }
        number
    }

    /// Puts a new segment on the stack and merges until each is more than twice the next.
    pub(super) fn tidy(
        &mut self,
        number: u32,
        moved: &mut impl FnMut(Move<T>) -> Result<()>,
    ) -> Result<()> {
        let mut top = number;
        loop {
            let (rows, bytes) = self.size(top)?;
            if rows >= SEGMENT_ROWS / 4 * 3 || bytes >= SEGMENT_BYTES {
                return Ok(());
            }
            match self.stack.last() {
                Some(&below) if self.size(below)?.0 <= 2 * rows => {
                    top = match self.rewrite(&[below, top], moved)? {
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

    /// The rows of some places, in their order.
    pub(super) fn pick(&self, places: &[Place]) -> Result<RecordBatch> {
        let mut held: Vec<Held> = Vec::new();
        let mut position = vec![usize::MAX; self.numbers()];
        let mut picks = Vec::with_capacity(places.len());
        for place in places {
            let at = position.get_mut(place.segment as usize).ok_or_else(lost)?;
            if *at == usize::MAX {
                *at = held.len();
                held.push(self.get(place.segment).ok_or_else(lost)?.held.clone());
            }
            picks.push((*at, place.row as usize));
        }
        pick(&held, &picks)
    }

    /// Forgets rows that the index does not know any more, and rewrites the segments of which more
    /// than half are forgotten.
    pub(super) fn forget(
        &mut self,
        places: &[Place],
        moved: &mut impl FnMut(Move<T>) -> Result<()>,
    ) -> Result<()> {
        let mut crowded = Vec::new();
        for place in places {
            let segment = self.list.get_mut(place.segment as usize).and_then(Option::as_mut);
            let segment = segment.ok_or_else(lost)?;
            segment.live.set_bit(place.row as usize, false);
            segment.dead += 1;
            if segment.dead == segment.tags.len() / 2 + 1 {
                crowded.push(place.segment);
            }
        }
        let mut rewritten = Vec::new();
        for number in crowded {
            rewritten.extend(self.rewrite(&[number], moved)?);
        }
        rewritten.into_iter().try_for_each(|number| self.tidy(number, moved))
    }

    /// The age, number and bytes of each segment in memory of at least so many rows.
    pub(super) fn ages(&self, rows: usize) -> impl Iterator<Item = (u64, u32, usize)> {
        let large = self.iter().filter(move |(_, segment)| segment.tags.len() >= rows);
        let held = large.filter(|(_, segment)| segment.held.in_memory().is_some());
        held.map(|(number, segment)| (segment.age, number, segment.bytes))
    }

    /// Sends the rows of a segment to disk. It keeps its number, and is not merged any more.
    pub(super) fn spill(&mut self, number: u32, to: &Arc<Overflow>) -> Result<()> {
        let segment = self.list.get_mut(number as usize).and_then(Option::as_mut);
        let segment = segment.ok_or_else(lost)?;
        let Held::Memory(rows) = &segment.held else { return Ok(()) };
        let freed = rows.get_array_memory_size();
        segment.held = Held::Disk(Arc::new(Whole::write(to, rows)?));
        segment.bytes -= freed;
        self.bytes -= freed;
        self.stack.retain(|&other| other != number);
        Ok(())
    }

    /// Takes a segment out; the index is not to know its rows any more.
    pub(super) fn remove(&mut self, number: u32) -> Result<Segment<T>> {
        let segment = self.detach(number)?;
        self.free.push(number);
        Ok(segment)
    }

    fn detach(&mut self, number: u32) -> Result<Segment<T>> {
        let segment = self.list.get_mut(number as usize).and_then(Option::take);
        let segment = segment.ok_or_else(lost)?;
        self.bytes -= segment.bytes;
        self.stack.retain(|&other| other != number);
        Ok(segment)
    }

    fn size(&self, number: u32) -> Result<(usize, usize)> {
        self.get(number).map(|s| (s.tags.len(), s.bytes)).ok_or_else(lost)
    }

    /// Writes the live rows of some segments as one new segment; `None`: there were none.
    fn rewrite(
        &mut self,
        numbers: &[u32],
        moved: &mut impl FnMut(Move<T>) -> Result<()>,
    ) -> Result<Option<u32>> {
        let mut old = Vec::with_capacity(numbers.len());
        for &number in numbers {
            old.push(self.detach(number)?);
        }
        let (mut origins, mut tags) = (Vec::new(), Vec::new());
        for (from, segment) in old.iter().enumerate() {
            for (row, tag) in segment.live() {
                origins.push((from, row as usize));
                tags.push(tag);
            }
        }
        let mut new = None;
        if !origins.is_empty() {
            let held: Vec<Held> = old.iter().map(|s| s.held.clone()).collect();
            let rows = own(pick(&held, &origins)?)?;
            let segment = self.add(rows, tags.clone());
            if let Some(Some(new)) = self.list.get_mut(segment as usize) {
                // To be moved is not to be used.
                new.age = old.iter().map(|s| s.age).max().unwrap_or(self.now);
            }
            for (row, ((from, old_row), tag)) in origins.into_iter().zip(tags).enumerate() {
                let was = Place { segment: numbers[from], row: old_row as u32 };
                moved((tag, was, Place { segment, row: row as u32 }))?;
            }
            new = Some(segment);
        }
        // Only now may the numbers be used again: until here the index held them.
        self.free.extend_from_slice(numbers);
        Ok(new)
    }
}

/// The index points to a row that is not there, or the other way round.
pub(super) fn lost() -> Error {
    Error::internal("the index of a state table and its rows do not agree")
}
