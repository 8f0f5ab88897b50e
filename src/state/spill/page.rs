//! A page: rows that went to disk together, in the order of their hashes.
//!
//! ```text
//! block: CRC-32C of the rest, then for each of a few rows: hash, length, bytes
//! ```

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::row::Rows;

use super::filter::Filter;
use super::scratch::{Extent, Scratch};
use super::{Overflow, SpilledPlace, SpilledRow};
use crate::error::{Error, Result};

/// One row is read together with about so many others.
const BLOCK_ROWS: usize = if cfg!(test) { 3 } else { 32 };

/// What stands before the bytes of a row, and before a block.
const ROW_HEAD: usize = 12;
const BLOCK_HEAD: usize = 4;

/// Rows on disk, some of which are forgotten.
pub(super) struct Page {
    written: Arc<Written>,
    forgotten: Vec<u64>,
    live: usize,
}

/// What never changes of a page.
struct Written {
    extent: Extent,
    rows: usize,
    filter: Filter,
    /// The hash of the first row of each block.
    hashes: Vec<u64>,
    /// Where each block begins.
    begins: Vec<u32>,
}

impl Page {
    /// Writes rows, which are in the order of their hashes.
    pub(super) fn write(scratch: &Arc<Scratch>, rows: &[(u64, &[u8])]) -> Result<Self> {
        let mut bytes = Vec::new();
        let (mut hashes, mut begins) = (Vec::new(), Vec::new());
        for block in rows.chunks(BLOCK_ROWS) {
            let begin = u32::try_from(bytes.len()).map_err(|_| too_large())?;
            begins.push(begin);
            hashes.push(block[0].0);
            bytes.extend([0; BLOCK_HEAD]);
            for (hash, row) in block {
                let length = u32::try_from(row.len()).map_err(|_| too_large())?;
                bytes.extend(hash.to_le_bytes());
                bytes.extend(length.to_le_bytes());
                bytes.extend_from_slice(row);
            }
            let (head, rest) = bytes[begin as usize..].split_at_mut(BLOCK_HEAD);
            head.copy_from_slice(&crc32c::crc32c(rest).to_le_bytes());
        }
        let filter = Filter::of(rows.iter().map(|(hash, _)| *hash));
        let extent = scratch.write(&bytes)?;
        let written = Arc::new(Written { extent, rows: rows.len(), filter, hashes, begins });
        Ok(Self { written, forgotten: vec![0; rows.len().div_ceil(64)], live: rows.len() })
    }

    /// Rows that are not forgotten.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Rows, forgotten or not.
    pub(super) fn rows(&self) -> usize {
        self.written.rows
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let Written { filter, hashes, begins, .. } = &*self.written;
        size_of::<Self>()
            + size_of::<Written>()
            + size_of_val(&self.forgotten[..])
            + filter.memory_bytes()
            + size_of_val(&hashes[..])
            + size_of_val(&begins[..])
    }

    pub(super) fn forget(&mut self, row: u32) -> Result<()> {
        let word = self.forgotten.get_mut(row as usize / 64).ok_or_else(super::lost)?;
        let bit = 1 << (row % 64);
        if *word & bit != 0 {
            return Err(super::lost());
        }
        *word |= bit;
        self.live -= 1;
        Ok(())
    }

    /// Adds those of the sought keys (see [`Spilled::find`](super::Spilled::find)) that are here.
    pub(super) fn find(
        &self,
        place: impl Fn(u32) -> SpilledPlace,
        keys: &Rows,
        wanted: &[(u64, u32)],
        found: &mut Vec<SpilledRow>,
    ) -> Result<()> {
        let likely: Vec<(u64, u32)> = wanted
            .iter()
            .filter(|(hash, _)| self.written.filter.may_hold(*hash))
            .copied()
            .collect();
        if likely.is_empty() {
            return Ok(());
        }
        let blocks = self.written.hashes.len();
        // To read many blocks one by one takes longer than to read all of them.
        let whole = match likely.len() * 4 >= blocks {
            true => Some(self.written.extent.read(0, self.written.extent.length() as usize)?),
            false => None,
        };
        let mut last: (usize, Vec<u8>) = (usize::MAX, Vec::new());
        for (hash, probe) in likely {
            let key = keys.row(probe as usize).data();
            let first = self.written.hashes.partition_point(|least| *least < hash).max(1) - 1;
            for block in first..blocks {
                if self.written.hashes[block] > hash {
                    break;
                }
                let range = self.written.block(block);
                let bytes = match &whole {
                    Some(whole) => whole.get(range).ok_or_else(damaged)?,
                    None => {
                        if last.0 != block {
                            let bytes =
                                self.written.extent.read(range.start as u64, range.len())?;
                            last = (block, bytes);
                        }
                        &last.1
                    }
                };
                for (row, (held, bytes)) in rows_of(bytes)?.into_iter().enumerate() {
                    let row = (block * BLOCK_ROWS + row) as u32;
                    if held == hash && bytes.starts_with(key) && !is_set(&self.forgotten, row) {
                        found.push(SpilledRow { probe, place: place(row), bytes: bytes.to_vec() });
                    }
                }
            }
        }
        Ok(())
    }

    /// The rows as they are now; what is forgotten later is in it all the same.
    pub(super) fn frozen(&self) -> FrozenPage {
        let Self { written, forgotten, live } = self;
        FrozenPage { written: written.clone(), forgotten: forgotten.clone(), live: *live }
    }
}

impl Written {
    /// Which bytes a block takes.
    fn block(&self, number: usize) -> Range<usize> {
        let end =
            self.begins.get(number + 1).map_or(self.extent.length() as usize, |b| *b as usize);
        self.begins[number] as usize..end
    }
}

/// The rows of a page as they were at one moment.
pub(super) struct FrozenPage {
    written: Arc<Written>,
    forgotten: Vec<u64>,
    live: usize,
}

impl FrozenPage {
    pub(super) fn read(self) -> Result<ReadPage> {
        let bytes = self.written.extent.read(0, self.written.extent.length() as usize)?;
        let mut rows = Vec::with_capacity(self.live);
        for number in 0..self.written.begins.len() {
            let range = self.written.block(number);
            let block = bytes.get(range.clone()).ok_or_else(damaged)?;
            for (row, (hash, row_bytes)) in rows_of(block)?.into_iter().enumerate() {
                if !is_set(&self.forgotten, (number * BLOCK_ROWS + row) as u32) {
                    let from = row_bytes.as_ptr() as usize - bytes.as_ptr() as usize;
                    rows.push((hash, from..from + row_bytes.len()));
                }
            }
        }
        Ok(ReadPage { bytes, rows })
    }
}

/// A page in memory.
pub(super) struct ReadPage {
    bytes: Vec<u8>,
    rows: Vec<(u64, Range<usize>)>,
}

impl ReadPage {
    /// The rows that are not forgotten, with their hashes.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.rows.iter().map(|(hash, range)| (*hash, &self.bytes[range.clone()]))
    }
}

/// The rows of a leaf as they were at one moment.
pub(in crate::state) struct Frozen {
    pub(super) from: Arc<Overflow>,
    pub(super) pages: Vec<FrozenPage>,
}

impl Frozen {
    /// How many there are.
    pub(in crate::state) fn len(&self) -> usize {
        self.pages.iter().map(|page| page.live).sum()
    }

    /// Reads them.
    pub(in crate::state) fn rows(self) -> Result<RecordBatch> {
        let pages = self.pages.into_iter().map(FrozenPage::read).collect::<Result<Vec<_>>>()?;
        self.from.encoding()?.batch(pages.iter().flat_map(|page| page.rows().map(|(_, row)| row)))
    }
}

/// The rows of a block, with their hashes.
fn rows_of(block: &[u8]) -> Result<Vec<(u64, &[u8])>> {
    let (crc, mut rest) = block.split_first_chunk::<BLOCK_HEAD>().ok_or_else(damaged)?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c(rest) {
        return Err(damaged());
    }
    let mut rows = Vec::with_capacity(BLOCK_ROWS);
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<ROW_HEAD>().ok_or_else(damaged)?;
        let (hash, length) = head.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte));
        let length = number(length) as usize;
        let row = after.get(..length).ok_or_else(damaged)?;
        rows.push((number(hash), row));
        rest = &after[length..];
    }
    Ok(rows)
}

fn is_set(bits: &[u64], row: u32) -> bool {
    bits.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
}

pub(super) fn damaged() -> Error {
    Error::storage(
        "STATE_SPILL_CORRUPT",
        "rows of state that went to disk came back changed: the disk or the memory is not sound",
    )
    .hint("start again: the state is read from the checkpoint, which checks itself")
}

fn too_large() -> Error {
    Error::internal("rows of state of more than 4 GiB were to go to disk at once")
}
