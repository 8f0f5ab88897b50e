//! Rows on their way into their buckets.
//!
//! They are grouped by the bucket that their time belongs to, and each bucket takes its own at once. Buckets know nothing
//! of each other, so where there are many rows two threads share them.

use arrow::array::{Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{max, min, take_record_batch};

use super::{BUCKET_ROWS, Name, Timed, Unique};
use crate::error::Result;
use crate::share::share;
use crate::state::Put;
use crate::state::bucket::{Bucket, Merge};
use crate::state::key;
use crate::state::own::own;
use crate::state::room::Room;
use crate::state::segments::{SEGMENT_ROWS, lost};

/// Fewer rows than this are not worth a second thread.
const WORTH_TWO: usize = if cfg!(test) { 8 } else { 8 * 1024 };

/// So many rows of a batch are worth a cut before they come.
const MANY: usize = BUCKET_ROWS / 4;

/// So many rows are put in before the memory is looked at, by buckets that take at most half of them.
const AT_ONCE: usize = 8 * SEGMENT_ROWS;

/// Rows of a put, prepared.
struct Incoming {
    /// With normalised keys.
    rows: RecordBatch,
    /// Those of the keys.
    hashes: Vec<u64>,
    times: Option<Int64Array>,
}

impl Unique {
    /// See [`StateTable::put`](crate::state::StateTable::put) and
    /// [`StateTable::merge`](crate::state::StateTable::merge). Gives the rows as they are kept now, in any
    /// order. Keeps to the room there is in memory.
    pub(in crate::state) fn put(
        &mut self,
        rows: &RecordBatch,
        merge: Option<&Merge<'_>>,
        room: &mut Room,
    ) -> Result<(Put, Vec<RecordBatch>)> {
        let incoming = self.incoming(rows)?;
        let (rows, hashes, now) = (&incoming.rows, &incoming.hashes, self.puts);
        let done = self.distribute(&incoming, room, |bucket, picks| {
            let part = take_record_batch(rows, &UInt32Array::from(picks.to_vec()))?;
            let hashes = picks.iter().map(|&row| hashes[row as usize]).collect();
            bucket.put(own(part)?, hashes, now, merge)
        })?;
        let (put, replaced): (Vec<RecordBatch>, Vec<usize>) = done.into_iter().unzip();
        let replaced = replaced.into_iter().sum();
        let inserted = rows.num_rows() - replaced;
        self.len += inserted;
        Ok((Put { inserted, replaced }, put))
    }

    /// See [`StateTable::put_new`](crate::state::StateTable::put_new). Keeps to the room there is in
    /// memory.
    pub(in crate::state) fn put_new(
        &mut self,
        rows: &RecordBatch,
        room: &mut Room,
    ) -> Result<UInt32Array> {
        let incoming = self.incoming(rows)?;
        let (rows, hashes, now) = (&incoming.rows, &incoming.hashes, self.puts);
        let new = self.distribute(&incoming, room, |bucket, picks| {
            bucket.put_new(rows, hashes, picks, now)
        })?;
        let mut is_new = vec![false; rows.num_rows()];
        new.into_iter().flatten().for_each(|row| is_new[row as usize] = true);
        let new = (0..).zip(is_new).filter_map(|(row, is_new)| is_new.then_some(row));
        let new = UInt32Array::from(new.collect::<Vec<u32>>());
        self.len += new.len();
        Ok(new)
    }

    fn incoming(&mut self, rows: &RecordBatch) -> Result<Incoming> {
        self.puts += 1;
        let mut columns = rows.columns().to_vec();
        for column in &mut columns[..self.keys] {
            *column = key::normalise(column);
        }
        let hashes = key::hashes(&columns[..self.keys], rows.num_rows())?;
        let times = self.times(&columns[..self.keys])?;
        let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
        Ok(Incoming { rows, hashes, times })
    }

    /// Gives the rows to their buckets: `put` is called with a bucket and which of the rows are its
    /// own, at most as many as a segment holds.
    fn distribute<T: Send>(
        &mut self,
        incoming: &Incoming,
        room: &mut Room,
        put: impl Fn(&mut Bucket, &[u32]) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let rows = incoming.rows.num_rows();
        let groups = match &incoming.times {
            Some(times) => {
                self.look_ahead(times);
                self.make_room(times)?
            }
            None => self.by_bucket(None, rows),
        };
        let at_once = if rows < WORTH_TWO { 1 } else { AT_ONCE };
        let pieces = groups
            .iter()
            .flat_map(|(name, picks)| picks.chunks(AT_ONCE / 2).map(|picks| (*name, picks)));
        let pieces: Vec<(Name, &[u32])> = pieces.collect();
        let (mut left, mut done) = (&pieces[..], Vec::new());
        while !left.is_empty() {
            // Each bucket once.
            let others = left.windows(2).take_while(|two| two[0].0 != two[1].0).count() + 1;
            let mut sum = 0;
            let fitting = left.iter().take_while(|(_, picks)| {
                sum += picks.len();
                sum <= at_once
            });
            let (round, rest) = left.split_at(others.min(fitting.count().max(1)));
            done.extend(self.put_round(round, &put)?);
            self.spill(room)?;
            let next = rest.first().map(|(name, _)| name);
            for least in round.iter().filter(|(name, _)| Some(name) != next).filter_map(|r| r.0) {
                self.cut_in_two(least)?;
            }
            self.spill(room)?;
            left = rest;
        }
        Ok(done)
    }

    /// Gives rows to some buckets at the same time.
    fn put_round<T: Send>(
        &mut self,
        round: &[(Name, &[u32])],
        put: impl Fn(&mut Bucket, &[u32]) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let mut taken = Vec::with_capacity(round.len());
        for &(name, picks) in round {
            let nothing = Bucket::new(self.keys);
            let bucket = self.change(name, |bucket| Ok(std::mem::replace(bucket, nothing)))?;
            taken.push((name, bucket, picks));
        }
        let put = share(taken, |(name, mut bucket, picks)| {
            let done = picks.chunks(SEGMENT_ROWS).map(|picks| put(&mut bucket, picks));
            let done: Result<Vec<T>> = done.collect();
            (name, bucket, done)
        });
        let mut all = Vec::with_capacity(round.len());
        for (name, bucket, done) in put {
            self.change(name, |place| {
                *place = bucket;
                Ok(())
            })?;
            all.extend(done?);
        }
        Ok(all)
    }

    /// Makes a bucket for rows that are newer than all that are kept. Time mostly goes on, and otherwise
    /// the newest bucket would be cut in two, and its rows put once more, for each batch that comes.
    fn look_ahead(&mut self, times: &Int64Array) {
        let Some((_, last)) = self.timed.last_key_value() else { return };
        let newest = last.newest;
        let newer = || times.iter().flatten().filter(|time| *time > newest).count();
        if last.rows.len() >= MANY && newer() >= MANY {
            self.timed.insert(newest + 1, Timed::new(self.keys));
        }
    }

    /// Groups rows by their buckets; makes those that are missing, cuts those that would grow too
    /// large, and tells all which times come.
    fn make_room(&mut self, times: &Int64Array) -> Result<Vec<(Name, Vec<u32>)>> {
        if let Some(oldest) = min(times)
            && self.timed.range(..=oldest).next_back().is_none()
        {
            self.timed.insert(i64::MIN, Timed::new(self.keys));
        }
        let mut groups = self.by_bucket(Some(times), times.len());
        let before = self.timed.len();
        for (name, picks) in &groups {
            let Some(least) = *name else { continue };
            let bucket = self.timed.get(&least).ok_or_else(lost)?;
            let of_picks = || picks.iter().map(|&row| times.value(row as usize));
            if bucket.is_full_of_one_time() {
                self.keep_out(least, bucket.oldest, of_picks())?;
            } else if picks.len() >= MANY {
                let at = borders(bucket.rows.len() + picks.len(), of_picks());
                self.cut(least, &at)?;
            }
        }
        if self.timed.len() > before {
            groups = self.by_bucket(Some(times), times.len());
        }
        for (name, picks) in &groups {
            if let Some(bucket) = name.and_then(|least| self.timed.get_mut(&least)) {
                bucket.widen(picks.iter().map(|&row| times.value(row as usize)));
            }
        }
        Ok(groups)
    }

    /// Makes buckets for times other than the only one of a bucket that is full.
    fn keep_out(
        &mut self,
        least: i64,
        only: i64,
        mut times: impl Iterator<Item = i64> + Clone,
    ) -> Result<()> {
        if times.clone().any(|time| time > only) {
            self.timed.insert(only + 1, Timed::new(self.keys));
        }
        if times.any(|time| time < only) {
            let full = self.timed.insert(least, Timed::new(self.keys)).ok_or_else(lost)?;
            self.timed.insert(only, full);
        }
        Ok(())
    }

    /// The numbers of the rows that belong to each bucket; those of which there is no bucket are left
    /// out.
    pub(super) fn by_bucket(
        &self,
        times: Option<&Int64Array>,
        rows: usize,
    ) -> Vec<(Name, Vec<u32>)> {
        let (oldest, newest) = match times.map(|times| (min(times), max(times))) {
            Some((Some(oldest), Some(newest))) => (oldest, newest),
            _ if rows == 0 => return Vec::new(),
            _ => return vec![(None, (0..rows as u32).collect())],
        };
        let of = |time: i64| self.timed.range(..=time).next_back().map(|(&least, _)| least);
        // Those that the rows may belong to; of very many buckets those that they do.
        let mut least: Vec<i64> = match rows < self.timed.len() {
            true => times.into_iter().flatten().flatten().filter_map(of).collect(),
            false => {
                let first = of(oldest).unwrap_or(oldest);
                self.timed.range(first..=newest).map(|(&least, _)| least).collect()
            }
        };
        least.sort_unstable();
        least.dedup();
        // Group 0 is before the first bucket, the last one is that of the rows without a time.
        let mut groups: Vec<Vec<u32>> = vec![Vec::new(); least.len() + 2];
        let time_of = |row: usize| times.filter(|times| times.is_valid(row)).map(|t| t.value(row));
        let mut row = 0;
        while row < rows {
            let Some(time) = time_of(row) else {
                groups[least.len() + 1].push(row as u32);
                row += 1;
                continue;
            };
            let group = least.partition_point(|&least| least <= time);
            let from = group.checked_sub(1).map_or(i64::MIN, |at| least[at]);
            let until = least.get(group);
            let is_there = |time| from <= time && until.is_none_or(|&until| time < until);
            // Rows of a bucket often stand together.
            let other = (row + 1..rows).find(|&other| !time_of(other).is_some_and(is_there));
            let end = other.unwrap_or(rows);
            groups[group].extend(row as u32..end as u32);
            row = end;
        }
        let names = least.into_iter().map(Some).chain([None]);
        names.zip(groups.into_iter().skip(1)).filter(|(_, picks)| !picks.is_empty()).collect()
    }
}

/// Where to cut a bucket of so many rows, given the times of most of them: into parts that are about three
/// quarters full, none of them empty.
fn borders(rows: usize, times: impl Iterator<Item = i64>) -> Vec<i64> {
    /// Of so many times one is looked at.
    const SAMPLE: usize = if cfg!(test) { 1 } else { 16 };
    if rows <= BUCKET_ROWS {
        return Vec::new();
    }
    let mut sample: Vec<i64> = times.step_by(SAMPLE).collect();
    sample.sort_unstable();
    let parts = rows.div_ceil(BUCKET_ROWS / 4 * 3);
    let mut borders: Vec<i64> =
        sample.iter().step_by(sample.len().div_ceil(parts)).copied().collect();
    borders.dedup();
    // Before the first one there is none of them.
    borders.drain(..1);
    borders
}
