//! Rows of which there is one a key, in memory.
//!
//! A row that has a time lies in a *bucket* of rows whose times are near to each other, so that
//! what the watermark passes is dropped bucket by bucket, index and all, without a look at its rows.
//! Buckets make themselves: one that grows beyond some thousand rows is cut in two at its median time,
//! until it holds one time only. So ten windows of a million keys become ten buckets, a million
//! events that each have a time of their own become some hundred, and nine rows stay one. At most
//! one bucket is ever let go in part, and that one is small.
//!
//! Takes and gives Arrow rows; knows nothing of files.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_null_array,
};
use arrow::compute::{
    concat_batches, filter_record_batch, interleave, interleave_record_batch, take_record_batch,
};
use arrow::datatypes::SchemaRef;

use super::bucket::Bucket;
use super::key;
use super::lookup::Lookup;
use super::own::own;
use super::segments::SEGMENT_ROWS;
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
        let timeless = Bucket::new(keys);
        Self { schema: schema.clone(), keys, expiry, timeless, timed: BTreeMap::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let timed = self.timed.values().map(|b| size_of::<Timed>() + b.rows.memory_bytes());
        self.timeless.memory_bytes() + timed.sum::<usize>()
    }

    /// See [`StateTable::get`](super::StateTable::get).
    pub(super) fn get(&self, keys: &[ArrayRef]) -> Result<RecordBatch> {
        let count = keys.first().map_or(1, |column| column.len());
        let keys: Vec<ArrayRef> = keys.iter().map(key::normalise).collect();
        let hashes = key::hashes(&keys, count)?;
        let times = self.times(&keys)?;
        let mut lookups: BTreeMap<Name, Lookup> = BTreeMap::new();
        let (mut seen, mut batches, mut numbers) = (HashSet::new(), Vec::new(), BTreeMap::new());
        let mut picked = Vec::new();
        for (row, &hash) in hashes.iter().enumerate() {
            let Some((name, bucket)) = self.bucket_of(times.as_ref(), row) else { continue };
            let lookup = lookups.entry(name).or_insert_with(|| bucket.lookup(&keys));
            let Some(place) = bucket.find(lookup, hash, row)? else { continue };
            if !seen.insert((name, place)) {
                continue;
            }
            let number = *numbers.entry((name, place.segment)).or_insert(batches.len());
            if number == batches.len() {
                batches.extend(bucket.segment(place.segment));
            }
            picked.push((number, place.row as usize));
        }
        if picked.is_empty() {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        Ok(interleave_record_batch(&batches, &picked)?)
    }

    /// For each key, the value that its row has in a column; NULL where it has no row.
    pub(super) fn each(&self, keys: &[ArrayRef], count: usize, column: usize) -> Result<ArrayRef> {
        let keys: Vec<ArrayRef> = keys.iter().map(key::normalise).collect();
        let hashes = key::hashes(&keys, count)?;
        let times = self.times(&keys)?;
        let mut lookups: BTreeMap<Name, Lookup> = BTreeMap::new();
        // Number 0 stands for what is not there.
        let mut values = vec![new_null_array(self.schema.field(column).data_type(), 1)];
        let (mut numbers, mut picked) = (BTreeMap::new(), Vec::with_capacity(count));
        for (row, &hash) in hashes.iter().enumerate() {
            picked.push((0, 0));
            let Some((name, bucket)) = self.bucket_of(times.as_ref(), row) else { continue };
            let lookup = lookups.entry(name).or_insert_with(|| bucket.lookup(&keys));
            let Some(place) = bucket.find(lookup, hash, row)? else { continue };
            let number = *numbers.entry((name, place.segment)).or_insert(values.len());
            if number == values.len() {
                values
                    .extend(bucket.segment(place.segment).map(|rows| rows.column(column).clone()));
            }
            picked[row] = (number, place.row as usize);
        }
        let values: Vec<&dyn Array> = values.iter().map(|array| array.as_ref()).collect();
        Ok(interleave(&values, &picked)?)
    }

    /// For each of `count` normalised keys, whether it has a row.
    pub(super) fn contains(&self, keys: &[ArrayRef], count: usize) -> Result<Vec<bool>> {
        let hashes = key::hashes(keys, count)?;
        let times = self.times(keys)?;
        let mut lookups: BTreeMap<Name, Lookup> = BTreeMap::new();
        let mut contains = vec![false; count];
        for (row, &hash) in hashes.iter().enumerate() {
            let Some((name, bucket)) = self.bucket_of(times.as_ref(), row) else { continue };
            let lookup = lookups.entry(name).or_insert_with(|| bucket.lookup(keys));
            contains[row] = bucket.find(lookup, hash, row)?.is_some();
        }
        Ok(contains)
    }

    /// See [`StateTable::put`](super::StateTable::put).
    pub(super) fn put(&mut self, rows: &RecordBatch) -> Result<Put> {
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
        self.make_room(times.as_ref());
        let mut replaced = 0;
        for (name, picks) in self.by_bucket(times.as_ref(), rows.num_rows()) {
            for picks in picks.chunks(SEGMENT_ROWS) {
                let part = take_record_batch(&rows, &UInt32Array::from(picks.to_vec()))?;
                let hashes: Vec<u64> = picks.iter().map(|&row| hashes[row as usize]).collect();
                replaced += self.put_into(name, own(part)?, hashes)?;
            }
            if let Some(least) = name {
                self.cut(least)?;
            }
        }
        let inserted = rows.num_rows() - replaced;
        self.len += inserted;
        Ok(Put { inserted, replaced })
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
            for rows in bucket.rows.rows()? {
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
    pub(super) fn expired(&self, watermark_us: i64) -> Result<Vec<RecordBatch>> {
        let Some(column) = self.expiry else { return Ok(Vec::new()) };
        let mut expired = Vec::new();
        for bucket in self.timed.values().take_while(|b| b.oldest <= watermark_us) {
            let rows = bucket.rows.rows()?;
            if bucket.oldest == bucket.newest {
                expired.extend(rows);
                continue;
            }
            let rows = concat_batches(&self.schema, &rows)?;
            let times = key::times(rows.column(column))?;
            let mut order: Vec<u32> = (0..times.len() as u32).collect();
            order.retain(|&row| times.value(row as usize) <= watermark_us);
            order.sort_by_key(|&row| times.value(row as usize));
            expired.push(take_record_batch(&rows, &UInt32Array::from(order))?);
        }
        Ok(expired)
    }

    /// See [`StateTable::expire`](super::StateTable::expire).
    pub(super) fn expire(&mut self, watermark_us: i64) -> Result<usize> {
        let Some(column) = self.expiry else { return Ok(0) };
        let mut removed = 0;
        while let Some(mut first) = self.timed.first_entry() {
            let bucket = first.get_mut();
            if bucket.newest <= watermark_us {
                removed += first.remove().rows.len();
                continue;
            }
            if bucket.oldest <= watermark_us {
                let (gone, oldest) = bucket.rows.remove_until(column, watermark_us)?;
                bucket.oldest = oldest;
                removed += gone;
            }
            break;
        }
        self.len -= removed;
        Ok(removed)
    }

    /// All rows: those with a time about oldest first, then those without.
    pub(super) fn rows(&self) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        for bucket in self.timed.values() {
            rows.extend(bucket.rows.rows()?);
        }
        rows.extend(self.timeless.rows()?);
        Ok(rows)
    }

    fn times(&self, keys: &[ArrayRef]) -> Result<Option<Int64Array>> {
        self.expiry.map(|column| key::times(&keys[column])).transpose()
    }

    /// The bucket that would hold a row.
    fn bucket_of(&self, times: Option<&Int64Array>, row: usize) -> Option<(Name, &Bucket)> {
        match times.filter(|t| t.is_valid(row)) {
            None => Some((None, &self.timeless)),
            Some(times) => {
                let (&least, bucket) = self.timed.range(..=times.value(row)).next_back()?;
                Some((Some(least), &bucket.rows))
            }
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
        for row in 0..rows {
            if let Some((name, _)) = self.bucket_of(times, row) {
                picks.entry(name).or_default().push(row as u32);
            }
        }
        picks
    }

    /// Puts rows into the bucket of that name; gives how many were replaced.
    fn put_into(&mut self, name: Name, rows: RecordBatch, hashes: Vec<u64>) -> Result<usize> {
        let (Some(least), Some(column)) = (name, self.expiry) else {
            return self.timeless.put(rows, hashes);
        };
        let bucket = self.timed.entry(least).or_insert_with(|| Timed::new(self.keys));
        for &time in key::times(rows.column(column))?.values() {
            bucket.oldest = bucket.oldest.min(time);
            bucket.newest = bucket.newest.max(time);
        }
        bucket.rows.put(rows, hashes)
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
            let batches = whole.rows.rows()?;
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
