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

mod incoming;
mod located;

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;

use super::StateShape;
use super::bucket::Bucket;
use super::key;
use super::own::own;
use super::part::{Part, Parts};
use super::room::Room;
use super::segments::{lost, oldest};
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

    /// Rows of these times come into it.
    fn widen(&mut self, times: impl Iterator<Item = i64>) {
        for time in times {
            self.oldest = self.oldest.min(time);
            self.newest = self.newest.max(time);
        }
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

    /// Puts rows into the bucket of that name; gives how many were replaced.
    fn put_into(&mut self, name: Name, rows: RecordBatch, hashes: Vec<u64>) -> Result<usize> {
        if let (Some(least), Some(column)) = (name, self.expiry)
            && let Some(bucket) = self.timed.get_mut(&least)
        {
            bucket.widen(key::times(rows.column(column))?.values().iter().copied());
        }
        let now = self.puts;
        self.change(name, |bucket| Ok(bucket.put(rows, hashes, now, None)?.1))
    }

    /// Cuts a bucket in two at its median time, and the halves again, while one is too large and
    /// holds more than one time.
    fn cut_in_two(&mut self, least: i64) -> Result<()> {
        let Some(column) = self.expiry else { return Ok(()) };
        let mut large = vec![least];
        while let Some(least) = large.pop() {
            let is_large = |b: &&Timed| b.rows.len() > BUCKET_ROWS && b.oldest < b.newest;
            let Some(bucket) = self.timed.get(&least).filter(is_large) else { continue };
            let mut times = Vec::with_capacity(bucket.rows.len());
            for rows in Parts::of(bucket.rows.parts().collect()) {
                times.extend_from_slice(key::times(rows?.column(column))?.values());
            }
            let middle = times.len() / 2;
            let (_, &mut median, later) = times.select_nth_unstable(middle);
            // The first half must be a real one: not all rows may be at or after the cut.
            let later = later.iter().copied().filter(|&t| t > bucket.oldest).min();
            let at = if median > bucket.oldest { median } else { later.unwrap_or(bucket.newest) };
            self.cut(least, &[at])?;
            large.extend([least, at]);
        }
        Ok(())
    }

    /// Cuts a bucket at some times, each of which begins a new one.
    fn cut(&mut self, least: i64, at: &[i64]) -> Result<()> {
        let Some(column) = self.expiry.filter(|_| !at.is_empty()) else { return Ok(()) };
        let whole = self.timed.remove(&least).ok_or_else(lost)?;
        self.held -= whole.rows.memory_bytes();
        let parts = std::iter::once(&least).chain(at);
        self.timed.extend(parts.map(|least| (*least, Timed::new(self.keys))));
        for rows in Parts::of(whole.rows.parts().collect()) {
            let rows = rows?;
            let times = key::times(rows.column(column))?;
            for (name, picks) in self.by_bucket(Some(&times), rows.num_rows()) {
                let part = own(take_record_batch(&rows, &UInt32Array::from(picks))?)?;
                let hashes = key::hashes(&part.columns()[..self.keys], part.num_rows())?;
                self.put_into(name, part, hashes)?;
            }
        }
        Ok(())
    }
}
