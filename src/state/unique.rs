//! Rows of which there is one a key, in memory.
//!
//! A row that has a time lies in a *bucket* of rows whose times are near to each other, so that
//! what the watermark passes is dropped bucket by bucket, index and all, without a look at its rows.
//! Buckets make themselves: one that grows beyond some thousand rows is cut in two at its median time,
//! until it holds one time only. So ten windows of a million keys become ten buckets, a million
//! events that each have a time of their own become some hundred, and nine rows stay one. At most
//! one bucket is ever let go in part, and that one is small.
//!
//! When memory is used up the segments that were not added to for longest go to disk, out of
//! whichever buckets they are in.
//!
//! Takes and gives Arrow rows.

mod located;

use std::collections::BTreeMap;
use std::ops::Bound;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;

use super::bucket::Bucket;
use super::key;
use super::own::own;
use super::part::{Part, Parts};
use super::room::Room;
use super::segments::{SEGMENT_ROWS, lost, oldest};
use super::{Put, StateShape};
use crate::error::Result;

/// A bucket with more rows than this, of more than one time, is cut in two. (Tests live with few
/// rows and want to see it happen.)
const BUCKET_ROWS: usize = if cfg!(test) { 4 } else { 16 * 1024 };

/// Rows of which there is one a key.
pub(super) struct Unique {
    schema: SchemaRef,
    keys: usize,
    expiry: Option<usize>,
    /// Rows without a time: they stay.
    timeless: Bucket,
    /// Each under the least time that it may hold; it may hold all up to the next one's.
    timed: BTreeMap<i64, Timed>,
    len: usize,
    /// Bytes in memory of all buckets.
    held: usize,
    /// Counts what was put in: the age of rows.
    puts: u64,
}

/// A bucket and the times that are in it.
struct Timed {
    rows: Bucket,
    oldest: i64,
    newest: i64,
}

impl Timed {
    fn new(keys: usize) -> Self {
        Self { rows: Bucket::new(keys), oldest: i64::MAX, newest: i64::MIN }
    }

    /// Whether it holds so many rows of one time that others had better stay out.
    fn is_full_of_one_time(&self) -> bool {
        self.oldest == self.newest && self.rows.len() >= BUCKET_ROWS
    }
}

/// Which bucket: `None` is that of the rows without a time.
type Name = Option<i64>;

impl Unique {
    pub(super) fn new(shape: &StateShape) -> Self {
        let StateShape { ref schema, keys, expiry, .. } = *shape;
        let (schema, timeless) = (schema.clone(), Bucket::new(keys));
        Self { schema, keys, expiry, timeless, timed: BTreeMap::new(), len: 0, held: 0, puts: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.held + self.timed.len() * size_of::<(i64, Timed)>()
    }

    /// See [`StateTable::put`](super::StateTable::put). Keeps to the room there is in memory.
    pub(super) fn put(&mut self, rows: &RecordBatch, room: &mut Room) -> Result<Put> {
        if rows.num_rows() == 0 {
            return Ok(Put::default());
        }
        let mut columns = rows.columns().to_vec();
        for column in &mut columns[..self.keys] {
            *column = key::normalise(column);
        }
        let hashes = key::hashes(&columns[..self.keys], rows.num_rows())?;
        let times = self.times(&columns[..self.keys])?;
        let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.look_ahead(times.as_ref());
        self.make_room(times.as_ref());
        self.puts += 1;
        let mut replaced = 0;
        for (name, picks) in self.by_bucket(times.as_ref(), rows.num_rows()) {
            for picks in picks.chunks(SEGMENT_ROWS) {
                let part = take_record_batch(&rows, &UInt32Array::from(picks.to_vec()))?;
                let hashes: Vec<u64> = picks.iter().map(|&row| hashes[row as usize]).collect();
                replaced += self.put_into(name, own(part)?, hashes)?;
                self.spill(room)?;
            }
            if let Some(least) = name {
                self.cut(least)?;
                self.spill(room)?;
            }
        }
        let inserted = rows.num_rows() - replaced;
        self.len += inserted;
        Ok(Put { inserted, replaced })
    }

    /// Sends rows to disk until what is held in memory fits.
    fn spill(&mut self, room: &mut Room) -> Result<()> {
        while let Some((target, to)) = room.target(self.memory_bytes()) {
            let mut held: Vec<(u64, (Name, u32), usize)> = Vec::new();
            let timeless = std::iter::once((None, &self.timeless));
            for (name, bucket) in
                timeless.chain(self.timed.iter().map(|(n, b)| (Some(*n), &b.rows)))
            {
                let ages = bucket.ages();
                held.extend(ages.map(|(age, number, bytes)| (age, (name, number), bytes)));
            }
            if held.is_empty() {
                return Ok(());
            }
            let mut going: BTreeMap<Name, Vec<u32>> = BTreeMap::new();
            for (name, number) in oldest(held, self.memory_bytes().saturating_sub(target)) {
                going.entry(name).or_default().push(number);
            }
            for (name, numbers) in going {
                self.change(name, |bucket| bucket.spill(&numbers, &to))?;
            }
        }
        Ok(())
    }

    /// See [`StateTable::last_time`](super::StateTable::last_time).
    pub(super) fn last_time(&self, not_after: i64) -> Result<Option<i64>> {
        let Some(column) = self.expiry else { return Ok(None) };
        let held = self.timed.values().rev().filter(|bucket| bucket.rows.len() > 0);
        for bucket in held.filter(|bucket| bucket.oldest <= not_after) {
            if bucket.newest <= not_after {
                return Ok(Some(bucket.newest));
            }
            let mut last = None;
            for rows in Parts::of(bucket.rows.parts().collect()) {
                let rows = rows?;
                let times = key::times(rows.column(column))?;
                last = last.max(times.values().iter().copied().filter(|t| *t <= not_after).max());
            }
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }

    /// See [`StateTable::expired`](super::StateTable::expired).
    pub(super) fn expired(&self, watermark_us: i64) -> Result<Parts> {
        let Some(column) = self.expiry else { return Ok(Parts::of(Vec::new())) };
        let mut expired = Vec::new();
        for bucket in self.timed.values().take_while(|b| b.oldest <= watermark_us) {
            let parts = bucket.rows.parts();
            if bucket.oldest == bucket.newest {
                expired.extend(parts);
                continue;
            }
            // Of several times: there are not many.
            let rows = Parts::of(parts.collect()).collect::<Result<Vec<_>>>()?;
            let rows = concat_batches(&self.schema, &rows)?;
            let times = key::times(rows.column(column))?;
            let mut order: Vec<u32> = (0..times.len() as u32).collect();
            order.retain(|&row| times.value(row as usize) <= watermark_us);
            order.sort_by_key(|&row| times.value(row as usize));
            let rows = take_record_batch(&rows, &UInt32Array::from(order))?;
            expired.push(Part::Held(rows, None));
        }
        Ok(Parts::of(expired))
    }

    /// See [`StateTable::expire`](super::StateTable::expire).
    pub(super) fn expire(&mut self, watermark_us: i64) -> Result<usize> {
        let Some(column) = self.expiry else { return Ok(0) };
        let mut removed = 0;
        while let Some(mut first) = self.timed.first_entry() {
            let bucket = first.get_mut();
            if bucket.newest <= watermark_us {
                self.held -= bucket.rows.memory_bytes();
                removed += first.remove().rows.len();
                continue;
            }
            if bucket.oldest <= watermark_us {
                self.held -= bucket.rows.memory_bytes();
                let (gone, oldest) = bucket.rows.remove_until(column, watermark_us)?;
                self.held += bucket.rows.memory_bytes();
                bucket.oldest = oldest;
                removed += gone;
            }
            break;
        }
        self.len -= removed;
        Ok(removed)
    }

    /// All rows: those with a time about oldest first, then those without.
    pub(super) fn parts(&self) -> Parts {
        let timed = self.timed.values().flat_map(|bucket| bucket.rows.parts());
        Parts::of(timed.chain(self.timeless.parts()).collect())
    }

    fn times(&self, keys: &[ArrayRef]) -> Result<Option<Int64Array>> {
        self.expiry.map(|column| key::times(&keys[column])).transpose()
    }

    /// The bucket that would hold rows of a time, and up to which time (exclusive); there may be none.
    fn bucket_of(&self, time: i64) -> Option<(i64, Option<i64>)> {
        let (&least, _) = self.timed.range(..=time).next_back()?;
        let after = (Bound::Excluded(least), Bound::Unbounded);
        Some((least, self.timed.range(after).next().map(|(&next, _)| next)))
    }

    /// Which bucket would hold each row; `None`: there is none.
    fn buckets_of(&self, times: Option<&Int64Array>, rows: usize) -> Vec<Option<Name>> {
        let Some(times) = times else { return vec![Some(None); rows] };
        // Rows of a batch mostly have about the same time, but not in order: they go into a few buckets.
        let mut recent: [Option<(i64, Option<i64>)>; 4] = [None; 4];
        let mut oldest = 0;
        let mut of_time = |time: i64| {
            let holds = |(least, next): &&(i64, Option<i64>)| {
                *least <= time && next.is_none_or(|n| time < n)
            };
            if let Some((least, _)) = recent.iter().flatten().find(holds) {
                return Some(Some(*least));
            }
            let found = self.bucket_of(time)?;
            recent[oldest] = Some(found);
            oldest = (oldest + 1) % recent.len();
            Some(Some(found.0))
        };
        times.iter().map(|time| time.map_or(Some(None), &mut of_time)).collect()
    }

    fn bucket(&self, name: Name) -> Result<&Bucket> {
        match name {
            None => Ok(&self.timeless),
            Some(least) => Ok(&self.timed.get(&least).ok_or_else(lost)?.rows),
        }
    }

    /// Changes a bucket, and counts what memory it takes then.
    fn change<T>(
        &mut self,
        name: Name,
        change: impl FnOnce(&mut Bucket) -> Result<T>,
    ) -> Result<T> {
        let bucket = match name {
            None => &mut self.timeless,
            Some(least) => &mut self.timed.get_mut(&least).ok_or_else(lost)?.rows,
        };
        self.held -= bucket.memory_bytes();
        let changed = change(bucket);
        self.held += bucket.memory_bytes();
        changed
    }

    /// Makes buckets for rows that are newer than all that are kept, as many as they will fill. Time
    /// mostly goes on, and otherwise the newest bucket would be cut in two, and its rows put once more, for
    /// each batch that comes.
    fn look_ahead(&mut self, times: Option<&Int64Array>) {
        const ENOUGH: usize = BUCKET_ROWS / 4;
        let Some((_, last)) = self.timed.last_key_value() else { return };
        let newest = last.newest;
        if last.rows.len() < ENOUGH {
            return;
        }
        let newer = times.into_iter().flatten().flatten().filter(|time| *time > newest);
        let mut newer: Vec<i64> = newer.collect();
        if newer.len() < ENOUGH {
            return;
        }
        self.timed.insert(newest + 1, Timed::new(self.keys));
        let mut rest = &mut newer[..];
        for left in (1..rest.len().div_ceil(BUCKET_ROWS)).rev() {
            let count = rest.len() / (left + 1);
            let (earlier, &mut next, later) = rest.select_nth_unstable(count);
            // None stays empty.
            if earlier.iter().any(|time| *time < next) {
                self.timed.insert(next, Timed::new(self.keys));
            }
            rest = later;
        }
    }

    /// Sees to it that there is a bucket for each of these times.
    fn make_room(&mut self, times: Option<&Int64Array>) {
        for time in times.into_iter().flatten().flatten() {
            let (least, only) = match self.timed.range(..=time).next_back() {
                None => {
                    self.timed.insert(i64::MIN, Timed::new(self.keys));
                    continue;
                }
                Some((&least, b)) if b.is_full_of_one_time() => (least, b.oldest),
                Some(_) => continue,
            };
            if time > only {
                self.timed.insert(only + 1, Timed::new(self.keys));
            } else if time < only
                && let Some(full) = self.timed.remove(&least)
            {
                self.timed.insert(only, full);
                self.timed.insert(least, Timed::new(self.keys));
            }
        }
    }

    /// The numbers of the rows that go into each bucket.
    fn by_bucket(&self, times: Option<&Int64Array>, rows: usize) -> BTreeMap<Name, Vec<u32>> {
        let mut picks: BTreeMap<Name, Vec<u32>> = BTreeMap::new();
        let names = self.buckets_of(times, rows);
        let mut from = 0;
        for run in names.chunk_by(|one, next| one == next) {
            let to = from + run.len();
            if let Some(name) = run[0] {
                picks.entry(name).or_default().extend(from as u32..to as u32);
            }
            from = to;
        }
        picks
    }

    /// Puts rows into the bucket of that name; gives how many were replaced.
    fn put_into(&mut self, name: Name, rows: RecordBatch, hashes: Vec<u64>) -> Result<usize> {
        if let (Some(least), Some(column)) = (name, self.expiry) {
            let bucket = self.timed.entry(least).or_insert_with(|| Timed::new(self.keys));
            for &time in key::times(rows.column(column))?.values() {
                bucket.oldest = bucket.oldest.min(time);
                bucket.newest = bucket.newest.max(time);
            }
        }
        let now = self.puts;
        self.change(name, |bucket| bucket.put(rows, hashes, now))
    }

    /// Cuts a bucket in two at its median time, and the halves again, while one is too large and
    /// holds more than one time.
    fn cut(&mut self, least: i64) -> Result<()> {
        let Some(column) = self.expiry else { return Ok(()) };
        let mut large = vec![least];
        while let Some(least) = large.pop() {
            let is_large = |b: &Timed| b.rows.len() > BUCKET_ROWS && b.oldest < b.newest;
            if !self.timed.get(&least).is_some_and(is_large) {
                continue;
            }
            let Some(whole) = self.timed.remove(&least) else { continue };
            self.held -= whole.rows.memory_bytes();
            let batches = Parts::of(whole.rows.parts().collect()).collect::<Result<Vec<_>>>()?;
            let mut times = Vec::with_capacity(whole.rows.len());
            for batch in &batches {
                times.extend_from_slice(key::times(batch.column(column))?.values());
            }
            let middle = times.len() / 2;
            let (_, &mut median, later) = times.select_nth_unstable(middle);
            // The first half must be a real one: not all rows may be at or after the cut.
            let later = later.iter().copied().filter(|&t| t > whole.oldest).min();
            let at = if median > whole.oldest { median } else { later.unwrap_or(whole.newest) };
            for batch in batches {
                let times = key::times(batch.column(column))?;
                for (name, early) in [(least, true), (at, false)] {
                    let half = BooleanArray::from_iter(
                        times.values().iter().map(|&t| Some((t < at) == early)),
                    );
                    let half = own(filter_record_batch(&batch, &half)?)?;
                    if half.num_rows() > 0 {
                        let hashes = key::hashes(&half.columns()[..self.keys], half.num_rows())?;
                        self.put_into(Some(name), half, hashes)?;
                    }
                }
            }
            large.extend([least, at]);
        }
        Ok(())
    }
}
