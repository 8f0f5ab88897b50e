//! Keyed rows in memory, which the watermark lets go.
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
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::{
    concat_batches, filter_record_batch, interleave_record_batch, take_record_batch,
};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};

use hashbrown::HashTable;

use super::bucket::{Bucket, SEGMENT_ROWS};
use super::key;
use super::lookup::Lookup;
use super::own::own;
use crate::error::{Error, Result};

/// A bucket with more rows than this, of more than one time, is cut in two. (Tests live with few
/// rows and want to see it happen.)
const BUCKET_ROWS: usize = if cfg!(test) { 4 } else { 16 * 1024 };

/// What a [`StateTable::put`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Put {
    /// Rows whose key was new.
    pub inserted: usize,
    /// Rows that took the place of one with the same key.
    pub replaced: usize,
}

/// Keyed rows in memory.
pub struct StateTable {
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

impl StateTable {
    /// An empty table for rows of `schema`, whose first `keys` columns are the key.
    ///
    /// Keys are compared as Spark groups: NULL = NULL, NaN = NaN, -0.0 = 0.0 (and are stored as
    /// 0.0). With no key columns there is at most one row. `expiry` is the index of a key column of
    /// type timestamp in microseconds, or int64: a row whose time there is at or before the
    /// watermark is let go; one whose time is NULL stays for ever.
    pub fn new(schema: SchemaRef, keys: usize, expiry: Option<usize>) -> Result<Self> {
        let columns = schema.fields().len();
        if keys > columns {
            return Err(Error::internal(format!("{keys} keys in state rows of {columns} columns")));
        }
        if let Some(column) = expiry {
            let is_time = column < keys
                && matches!(
                    schema.field(column).data_type(),
                    DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Int64
                );
            if !is_time {
                return Err(Error::internal(format!(
                    "state rows cannot expire by column {column}: it is no time among the keys"
                )));
            }
        }
        let timeless = Bucket::new(keys);
        Ok(Self { schema, keys, expiry, timeless, timed: BTreeMap::new(), len: 0 })
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes held in memory: rows, index, and what replaced rows still take.
    pub fn memory_bytes(&self) -> usize {
        let timed = self.timed.values().map(|b| size_of::<Timed>() + b.rows.memory_bytes());
        self.timeless.memory_bytes() + timed.sum::<usize>()
    }

    /// The rows of some keys, given as the key columns: each once, in the order of its first
    /// occurrence there; a key without a row is left out. The cost follows `keys` alone.
    ///
    /// Without key columns (`&[]`) this is the one row, if there is one.
    pub fn get(&self, keys: &[ArrayRef]) -> Result<RecordBatch> {
        self.check(keys, self.keys, "looked up")?;
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

    /// The numbers of those of `rows` whose key is not there, of several with one key the first. The
    /// cost follows `rows` alone.
    pub fn absent(&self, rows: &RecordBatch) -> Result<UInt32Array> {
        self.check(rows.columns(), self.schema.fields().len(), "looked for")?;
        let keys: Vec<ArrayRef> = rows.columns()[..self.keys].iter().map(key::normalise).collect();
        let hashes = key::hashes(&keys, rows.num_rows())?;
        let times = self.times(&keys)?;
        let own = rows.project(&(0..self.keys).collect::<Vec<_>>())?;
        let own = RecordBatch::try_new_with_options(
            own.schema(),
            keys.clone(),
            &RecordBatchOptions::new().with_row_count(Some(rows.num_rows())),
        )?;
        let itself = key::Comparison::new(&keys, &own)?;
        let mut lookups: BTreeMap<Name, Lookup> = BTreeMap::new();
        let mut firsts: HashTable<u32> = HashTable::with_capacity(rows.num_rows());
        let mut new = Vec::new();
        for (row, &hash) in hashes.iter().enumerate() {
            if let Some((name, bucket)) = self.bucket_of(times.as_ref(), row) {
                let lookup = lookups.entry(name).or_insert_with(|| bucket.lookup(&keys));
                if bucket.find(lookup, hash, row)?.is_some() {
                    continue;
                }
            }
            let same =
                |&other: &u32| hashes[other as usize] == hash && itself.same(row, other as usize);
            if firsts.find(hash, same).is_none() {
                firsts.insert_unique(hash, row as u32, |&other| hashes[other as usize]);
                new.push(row as u32);
            }
        }
        Ok(UInt32Array::from(new))
    }

    /// Adds rows; one whose key is there takes the other's place. Keys are unique within `rows`.
    /// The cost follows `rows` alone (amortised).
    ///
    /// After an error the table is not to be used any more: a part of the rows may be in it.
    pub fn put(&mut self, rows: &RecordBatch) -> Result<Put> {
        self.check(rows.columns(), self.schema.fields().len(), "stored")?;
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
                replaced += self.put_into(name, own(part)?, &hashes)?;
            }
            if let Some(least) = name {
                self.cut(least)?;
            }
        }
        let inserted = rows.num_rows() - replaced;
        self.len += inserted;
        Ok(Put { inserted, replaced })
    }

    /// The rows that a watermark (in microseconds) lets go, oldest first; removes nothing.
    pub fn expired(&self, watermark_us: i64) -> Result<Vec<RecordBatch>> {
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

    /// Removes the rows that a watermark (in microseconds) lets go; gives how many went. The cost
    /// follows what is removed.
    pub fn expire(&mut self, watermark_us: i64) -> Result<usize> {
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
    pub fn rows(&self) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        for bucket in self.timed.values() {
            rows.extend(bucket.rows.rows()?);
        }
        rows.extend(self.timeless.rows()?);
        Ok(rows)
    }

    /// The caller's columns must be those that the table was made for.
    fn check(&self, columns: &[ArrayRef], expected: usize, doing: &str) -> Result<()> {
        let fields = self.schema.fields();
        let fits = columns.len() == expected
            && columns.iter().zip(fields).all(|(c, f)| c.data_type() == f.data_type());
        if fits {
            return Ok(());
        }
        let types: Vec<String> = columns.iter().map(|c| c.data_type().to_string()).collect();
        Err(Error::internal(format!(
            "state rows of ({}) {doing} in a table of {} keys and the columns {}",
            types.join(", "),
            self.keys,
            self.schema
        )))
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
    fn put_into(&mut self, name: Name, rows: RecordBatch, hashes: &[u64]) -> Result<usize> {
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
                        self.put_into(Some(name), half, &hashes)?;
                    }
                }
            }
            large.extend([least, at]);
        }
        Ok(())
    }
}
