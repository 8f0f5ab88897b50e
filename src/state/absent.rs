//! Of some rows those whose key is not kept yet, each key once, where there may be several rows a key.

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use hashbrown::HashTable;

use super::key::{self, Comparison};
use super::table::StateTable;
use crate::error::Result;

impl StateTable {
    /// The numbers of those of `rows` whose lookup columns no kept row has, of several with the same
    /// ones the first. The cost follows `rows` alone.
    pub(super) fn absent(&self, rows: &RecordBatch) -> Result<UInt32Array> {
        let shape = self.shape();
        shape.fits(rows.columns(), shape.schema.fields().len(), "looked for")?;
        let keys: Vec<ArrayRef> =
            rows.columns()[..shape.lookup].iter().map(key::normalise).collect();
        let hashes = key::hashes(&keys, rows.num_rows())?;
        let mut kept = vec![false; rows.num_rows()];
        for probe in self.find_all(&keys)?.probe {
            kept[probe as usize] = true;
        }
        let same = Comparison::new(&keys, &keys)?;
        let mut firsts: HashTable<u32> = HashTable::with_capacity(rows.num_rows());
        let mut absent = Vec::new();
        for (row, &hash) in hashes.iter().enumerate() {
            let is_same =
                |&first: &u32| hashes[first as usize] == hash && same.same(row, first as usize);
            if kept[row] || firsts.find(hash, is_same).is_some() {
                continue;
            }
            firsts.insert_unique(hash, row as u32, |&first| hashes[first as usize]);
            absent.push(row as u32);
        }
        Ok(UInt32Array::from(absent))
    }
}
