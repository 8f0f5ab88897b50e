//! Keyed rows in memory, which the watermark lets go: one a key, or any number.
//!
//! Takes and gives Arrow rows; knows nothing of files that matter.

use std::path::Path;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;

use super::bucket::Merge;
use super::memory::Memory;
use super::multimap::{Finder, Found, Multimap, RowId};
use super::part::{Part, Parts};
use super::room::Room;
use super::shape::StateShape;
use super::unique::Unique;
use crate::error::{Error, Result};

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
    shape: StateShape,
    rows: Rows,
    room: Room,
}

enum Rows {
    Unique(Unique),
    Several(Multimap),
}

impl StateTable {
    /// An empty table.
    ///
    /// Keys are compared as Spark groups: NULL = NULL, NaN = NaN, -0.0 = 0.0 (and are stored as
    /// 0.0). With no key columns there is at most one row. A row whose `expiry` is at or before the
    /// watermark is let go; one whose time is NULL stays for ever.
    pub fn new(shape: StateShape) -> Result<Self> {
        shape.check()?;
        let rows = match shape.is_unique() {
            true => Rows::Unique(Unique::new(&shape)),
            false => Rows::Several(Multimap::new(shape.clone())),
        };
        Ok(Self { shape, rows, room: Room::default() })
    }

    /// [`StateTable::new`], within the bounds of `memory`. What does not fit goes to disk, into the file
    /// system of `folder`.
    pub(super) fn within(shape: StateShape, memory: &Memory, folder: &Path) -> Result<Self> {
        let room = Room::new(&shape, memory, folder.to_owned())?;
        Ok(Self { room, ..Self::new(shape)? })
    }

    /// The columns of the rows and what they are for.
    pub fn shape(&self) -> &StateShape {
        &self.shape
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.shape.schema
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::Unique(rows) => rows.len(),
            Rows::Several(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held in memory: rows, index, and what replaced rows still take.
    pub fn memory_bytes(&self) -> usize {
        match &self.rows {
            Rows::Unique(rows) => rows.memory_bytes(),
            Rows::Several(rows) => rows.memory_bytes(),
        }
    }

    /// Bytes of rows that lie on disk, since memory is not to hold them.
    pub fn spilled_bytes(&self) -> u64 {
        self.room.disk_bytes()
    }

    /// Holds the table to the limit of its memory, under this name.
    pub(super) fn check_memory(&mut self, name: &str) -> Result<()> {
        self.room.set(self.memory_bytes());
        self.room.check(name, self.len())
    }

    /// The rows of some keys, given as the key columns: each once, in the order of its first
    /// occurrence there; a key without a row is left out. The cost follows `keys` alone.
    ///
    /// Without key columns (`&[]`) this is the one row, if there is one. Only where there is one
    /// row a key; see [`StateTable::find`] for the others.
    pub fn get(&self, keys: &[ArrayRef]) -> Result<RecordBatch> {
        self.shape.fits(keys, self.shape.keys, "looked up")?;
        match &self.rows {
            Rows::Unique(rows) => rows.get(keys),
            Rows::Several(_) => Err(self.other_kind("one row of each key was asked for")),
        }
    }

    /// Seeks all rows that have the lookup columns `keys`, for each row of these. The cost follows
    /// `keys` and the matches, not the state: only where there may be several rows a key.
    ///
    /// `ranges`, one for each row of `keys`, says which expiry times a match may have: from, to,
    /// both inclusive, in microseconds. A row without a time is in no range.
    pub fn find(&self, keys: &[ArrayRef], ranges: Option<Vec<(i64, i64)>>) -> Result<Finder<'_>> {
        self.shape.fits(keys, self.shape.lookup, "looked up")?;
        let count = keys.first().map_or(1, |column| column.len());
        self.several()?.find(keys, count, ranges)
    }

    /// [`StateTable::find`], all at once.
    pub fn find_all(&self, keys: &[ArrayRef]) -> Result<Found> {
        Ok(self.find(keys, None)?.next(usize::MAX)?.unwrap_or_default())
    }

    /// For each of `count` rows of lookup columns, the value that a row with them has in a column;
    /// NULL where there is none. The cost follows `keys` and the matches.
    pub fn value_of_each(
        &self,
        keys: &[ArrayRef],
        count: usize,
        column: usize,
    ) -> Result<ArrayRef> {
        if let Rows::Unique(rows) = &self.rows {
            return rows.each(keys, count, column);
        }
        let found = self.find_all(keys)?;
        let mut which: Vec<Option<u32>> = vec![None; count];
        for (row, &probe) in found.probe.iter().enumerate() {
            which[probe as usize] = Some(row as u32);
        }
        let values = self.take(&found.rows)?.column(column).clone();
        Ok(take(&values, &UInt32Array::from(which), None)?)
    }

    /// The columns of rows that were found, in the order of `rows`, as often as they are named.
    pub fn take(&self, rows: &[RowId]) -> Result<RecordBatch> {
        self.several()?.take(rows)
    }

    /// Whether [`StateStore::mark`](super::StateStore::mark) was called for a row.
    pub fn is_marked(&self, row: RowId) -> Result<bool> {
        self.several()?.is_marked(row)
    }

    /// [`StateTable::put`] where there is one row a key, which `merge` makes of the row that is there and its
    /// new one. Gives the rows as they are now, in any order.
    pub(super) fn merge(
        &mut self,
        rows: &RecordBatch,
        merge: &Merge<'_>,
    ) -> Result<Vec<RecordBatch>> {
        self.shape.fits(rows.columns(), self.shape.schema.fields().len(), "stored")?;
        match &mut self.rows {
            Rows::Unique(unique) => Ok(unique.put(rows, Some(merge), &mut self.room)?.1),
            Rows::Several(_) => Err(self.other_kind("one row of each key was to be merged")),
        }
    }

    /// Adds rows; where there is one a key, a row whose key is there takes the other's place, and
    /// keys are unique within `rows`. The cost follows `rows` alone (amortised).
    ///
    /// After an error the table is not to be used any more: a part of the rows may be in it.
    pub fn put(&mut self, rows: &RecordBatch) -> Result<Put> {
        self.shape.fits(rows.columns(), self.shape.schema.fields().len(), "stored")?;
        match &mut self.rows {
            Rows::Unique(unique) => Ok(unique.put(rows, None, &mut self.room)?.0),
            Rows::Several(_) => {
                self.add(rows)?;
                Ok(Put { inserted: rows.num_rows(), replaced: 0 })
            }
        }
    }

    /// Puts those rows whose key is not there, of several with one key the first; gives their numbers.
    /// Only where there is one row a key. The cost follows `rows` alone (amortised).
    ///
    /// After an error the table is not to be used any more.
    pub(super) fn put_new(&mut self, rows: &RecordBatch) -> Result<UInt32Array> {
        self.shape.fits(rows.columns(), self.shape.schema.fields().len(), "stored")?;
        match &mut self.rows {
            Rows::Unique(unique) => unique.put_new(rows, &mut self.room),
            Rows::Several(_) => Err(self.other_kind("a row of each key was to be put")),
        }
    }

    /// Adds rows where there may be several a key; says which they are now, in the order of `rows`,
    /// and their numbers.
    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<(Vec<RowId>, Vec<i64>)> {
        self.shape.fits(rows.columns(), self.shape.schema.fields().len(), "stored")?;
        let first = self.several()?.next_number();
        let numbers: Vec<i64> = (first..first + rows.num_rows() as i64).collect();
        Ok((self.add_numbered(rows, &numbers)?, numbers))
    }

    /// [`StateTable::add`], under these numbers, which no row has.
    pub(super) fn add_numbered(
        &mut self,
        rows: &RecordBatch,
        numbers: &[i64],
    ) -> Result<Vec<RowId>> {
        match &mut self.rows {
            Rows::Several(several) => several.add(rows, numbers, &mut self.room),
            Rows::Unique(_) => Err(self.other_kind("rows were to be added")),
        }
    }

    /// The rows that a watermark (in microseconds) lets go, oldest first; removes nothing.
    pub fn expired(&self, watermark_us: i64) -> Result<Parts> {
        match &self.rows {
            Rows::Unique(rows) => rows.expired(watermark_us),
            Rows::Several(rows) => {
                let rows = self.take(&rows.expired(watermark_us))?;
                let parts = (rows.num_rows() > 0).then_some(Part::Held(rows, None));
                Ok(Parts::of(parts.into_iter().collect()))
            }
        }
    }

    /// The last time, in microseconds and up to this one, at which a row goes that is not marked;
    /// `None`: there is no such row. The cost follows the state where there may be several rows a
    /// key.
    pub fn last_time(&self, not_after_us: i64) -> Result<Option<i64>> {
        match &self.rows {
            Rows::Unique(rows) => rows.last_time(not_after_us),
            Rows::Several(rows) => Ok(rows.last_time(not_after_us)),
        }
    }

    /// Which rows a watermark (in microseconds) lets go, oldest first: only where there may be
    /// several rows a key.
    pub fn expired_rows(&self, watermark_us: i64) -> Result<Vec<RowId>> {
        Ok(self.several()?.expired(watermark_us))
    }

    /// Removes the rows that a watermark (in microseconds) lets go; gives how many went. The cost
    /// follows what is removed.
    pub fn expire(&mut self, watermark_us: i64) -> Result<usize> {
        match &mut self.rows {
            Rows::Unique(rows) => rows.expire(watermark_us),
            Rows::Several(rows) => rows.expire(watermark_us),
        }
    }

    /// All rows: where there is one a key, those with a time about oldest first, then those
    /// without; where there may be several, in the order in which they came.
    pub fn rows(&self) -> Result<Parts> {
        match &self.rows {
            Rows::Unique(rows) => Ok(rows.parts()),
            Rows::Several(rows) => Ok(rows.frozen()?.1),
        }
    }

    /// The rows behind, where there may be several a key.
    pub(super) fn multimap(&self) -> Option<&Multimap> {
        match &self.rows {
            Rows::Unique(_) => None,
            Rows::Several(rows) => Some(rows),
        }
    }

    /// The rows behind, where there may be several a key.
    pub(super) fn several_mut(&mut self) -> Result<&mut Multimap> {
        let error = self.other_kind("several rows of a key were to be changed");
        self.multimap_mut().ok_or(error)
    }

    /// The rows behind, where there may be several a key.
    pub(super) fn multimap_mut(&mut self) -> Option<&mut Multimap> {
        match &mut self.rows {
            Rows::Unique(_) => None,
            Rows::Several(rows) => Some(rows),
        }
    }

    fn several(&self) -> Result<&Multimap> {
        self.multimap().ok_or_else(|| self.other_kind("several rows of a key were asked for"))
    }

    fn other_kind(&self, asked: &str) -> Error {
        let kind = if self.shape.is_unique() { "there is one" } else { "there may be several" };
        Error::internal(format!("{asked}, in a state where {kind}"))
    }
}
