//! Rows of a table that lie on disk, since memory is not to hold them all.
//!
//! ```text
//! rows that were not touched for longest ──encoded, in the order of their hashes──▶ a page a leaf
//! ```
//!
//! A *leaf* is a range of hashes, and a *page* some rows of it that went to disk together. A leaf that
//! has many pages, or mostly rows that have been replaced since, is written anew as one page, or as
//! several leaves where it has grown. So what is written follows what goes to disk, a few times
//! over, and no batch waits for the whole. Of a page memory holds a bit a row (whether it was
//! replaced), some bits by which most keys that are not in it are known, and where every few rows
//! lie: about two bytes a row.
//!
//! What lies here is no part of what survives: the file has no name, is never synced, and goes with
//! the process, however that ends. The truth is in the changes and snapshots.
//!
//! Where there may be several rows a key, rows go to disk and come back as they lie together in
//! memory (see `whole`).
//!
//! Takes rows with their hashes, gives rows by key; *never* decides which rows go to disk.

mod encoding;
mod filter;
mod leaf;
mod page;
mod scratch;
#[cfg(test)]
mod tests;
mod whole;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};

pub(super) use self::encoding::Encoding;
use self::leaf::Leaf;
pub(super) use self::page::Frozen;
use self::scratch::Scratch;
pub(super) use self::whole::Whole;
use super::StateShape;
use super::segments::lost;
use crate::error::Result;

/// A leaf is written anew as leaves of at most so many rows.
const LEAF_ROWS: usize = if cfg!(test) { 8 } else { 8 * 1024 };

/// Where the rows of one table go to disk, and in which form.
pub(super) struct Overflow {
    /// For rows that are found on disk by their key.
    encoding: Option<Encoding>,
    folder: PathBuf,
    /// Made when the first row goes to disk.
    scratch: Mutex<Option<Arc<Scratch>>>,
}

impl Overflow {
    /// For the rows of a table; `None`: there is one a key, and no such form for them or no key to find
    /// them by.
    pub(super) fn new(shape: &StateShape, folder: PathBuf) -> Result<Option<Self>> {
        let encoding = match shape.is_unique() {
            true => Encoding::new(&shape.schema, shape.keys)?,
            false => None,
        };
        let is_possible = encoding.is_some() || !shape.is_unique();
        Ok(is_possible.then(|| Self { encoding, folder, scratch: Mutex::default() }))
    }

    fn encoding(&self) -> Result<&Encoding> {
        self.encoding.as_ref().ok_or_else(lost)
    }

    /// Bytes that rows take on disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        let scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        scratch.as_ref().map_or(0, |scratch| scratch.used())
    }

    fn scratch(&self) -> Result<Arc<Scratch>> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        match &*scratch {
            Some(made) => Ok(made.clone()),
            None => Ok(scratch.insert(Arc::new(Scratch::new(&self.folder)?)).clone()),
        }
    }
}

/// Where a row on disk lies; good until the next [`Spilled::add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SpilledPlace {
    leaf: u64,
    page: u32,
    row: u32,
}

/// A row that was found on disk.
pub(super) struct SpilledRow {
    /// Which of the sought keys it has.
    pub(super) probe: u32,
    pub(super) place: SpilledPlace,
    /// Encoded.
    pub(super) bytes: Vec<u8>,
}

/// Rows on disk with distinct keys.
pub(super) struct Spilled {
    to: Arc<Overflow>,
    /// Each under the least hash that it may hold.
    leaves: BTreeMap<u64, Leaf>,
    len: usize,
    memory: usize,
}

impl Spilled {
    pub(super) fn new(to: Arc<Overflow>) -> Self {
        Self { to, leaves: BTreeMap::from([(0, Leaf::default())]), len: 0, memory: 0 }
    }

    /// Rows that are not forgotten.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes held in memory for them.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory + self.leaves.len() * size_of::<(u64, Leaf)>()
    }

    /// Takes rows whose keys it does not hold, with their hashes.
    pub(super) fn add(&mut self, batches: &[(RecordBatch, Vec<(u32, u64)>)]) -> Result<()> {
        let encoded = batches.iter().map(|(rows, _)| self.to.encoding()?.rows(rows));
        let encoded = encoded.collect::<Result<Vec<_>>>()?;
        let mut rows: Vec<(u64, &[u8])> = Vec::new();
        for (encoded, (_, picked)) in encoded.iter().zip(batches) {
            rows.extend(picked.iter().map(|&(row, hash)| (hash, encoded.row(row as usize).data())));
        }
        rows.sort_unstable_by_key(|(hash, _)| *hash);
        self.len += rows.len();
        let mut from = 0;
        while let Some(&(hash, _)) = rows.get(from) {
            let (least, until) = self.leaf_of(hash)?;
            let count = rows[from..].partition_point(|(hash, _)| until.is_none_or(|u| *hash < u));
            self.add_to(least, &rows[from..from + count])?;
            from += count;
        }
        Ok(())
    }

    /// The rows of some keys: `keys` encoded, `wanted` the hash of each one sought and its position
    /// in `keys`.
    pub(super) fn find(
        &self,
        keys: &arrow::row::Rows,
        mut wanted: Vec<(u64, u32)>,
    ) -> Result<Vec<SpilledRow>> {
        wanted.sort_unstable();
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(&(hash, _)) = wanted.get(from) {
            let (least, until) = self.leaf_of(hash)?;
            let count = wanted[from..].partition_point(|(hash, _)| until.is_none_or(|u| *hash < u));
            let leaf = self.leaves.get(&least).ok_or_else(lost)?;
            leaf.find(least, keys, &wanted[from..from + count], &mut found)?;
            from += count;
        }
        Ok(found)
    }

    /// Keys as [`Spilled::find`] takes them.
    pub(super) fn encode_keys(&self, keys: &[ArrayRef]) -> Result<arrow::row::Rows> {
        self.to.encoding()?.keys(keys)
    }

    /// Rows that were found, as Arrow.
    pub(super) fn decode<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<RecordBatch> {
        self.to.encoding()?.batch(rows)
    }

    /// Forgets rows that were found.
    pub(super) fn forget(&mut self, places: &[SpilledPlace]) -> Result<()> {
        for place in places {
            let leaf = self.leaves.get_mut(&place.leaf).ok_or_else(lost)?;
            leaf.forget(place.page, place.row)?;
        }
        self.len -= places.len();
        Ok(())
    }

    /// All rows, in parts of about a leaf; good for ever, whatever becomes of the rows meanwhile.
    pub(super) fn frozen(&self) -> impl Iterator<Item = Frozen> + '_ {
        let full = self.leaves.values().filter(|leaf| leaf.live() > 0);
        full.map(|leaf| leaf.frozen(&self.to))
    }

    /// The least hash of the leaf that may hold a hash, and that of the next one.
    fn leaf_of(&self, hash: u64) -> Result<(u64, Option<u64>)> {
        let (&least, _) = self.leaves.range(..=hash).next_back().ok_or_else(lost)?;
        let after = Range { start: hash, end: u64::MAX };
        let next = match hash {
            u64::MAX => None,
            _ => self.leaves.range(after.start + 1..).next().map(|(&least, _)| least),
        };
        Ok((least, next))
    }

    fn add_to(&mut self, least: u64, rows: &[(u64, &[u8])]) -> Result<()> {
        let scratch = self.to.scratch()?;
        let leaf = self.leaves.get_mut(&least).ok_or_else(lost)?;
        self.memory -= leaf.memory_bytes();
        if leaf.has_room_for(rows.len()) {
            leaf.add(&scratch, rows)?;
            self.memory += leaf.memory_bytes();
            return Ok(());
        }
        // What was there is read, and everything written anew.
        let pages = leaf.read()?;
        let mut all: Vec<(u64, &[u8])> = rows.to_vec();
        for page in &pages {
            all.extend(page.rows());
        }
        all.sort_unstable_by_key(|(hash, _)| *hash);
        self.leaves.remove(&least);
        let size = all.len().div_ceil(all.len().div_ceil(LEAF_ROWS).max(1));
        let (mut least, mut rest) = (least, &all[..]);
        while !rest.is_empty() {
            // Rows of one hash stay together.
            let mut count = size.min(rest.len());
            while count < rest.len() && rest[count].0 == rest[count - 1].0 {
                count += 1;
            }
            let (now, after) = rest.split_at(count);
            let mut leaf = Leaf::default();
            leaf.add(&scratch, now)?;
            self.memory += leaf.memory_bytes();
            self.leaves.insert(least, leaf);
            least = after.first().map_or(least, |(hash, _)| *hash);
            rest = after;
        }
        Ok(())
    }
}
