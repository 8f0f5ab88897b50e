//! Where the rows of many keys are, in memory or on disk.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{interleave, interleave_record_batch};

use super::Unique;
use crate::error::Result;
use crate::state::key;
use crate::state::spill::Spilled;

/// Where the rows of some keys are.
struct Located {
    /// What holds them.
    batches: Vec<RecordBatch>,
    /// For each key the batch and the row in it; `None`: it has no row.
    places: Vec<Option<(usize, usize)>>,
}

impl Unique {
    /// See [`StateTable::get`](crate::state::StateTable::get).
    pub(in crate::state) fn get(&self, keys: &[ArrayRef]) -> Result<RecordBatch> {
        let count = keys.first().map_or(1, |column| column.len());
        let keys: Vec<ArrayRef> = keys.iter().map(key::normalise).collect();
        let Located { batches, places } = self.locate(&keys, count)?;
        let mut seen = HashSet::new();
        let picked: Vec<(usize, usize)> =
            places.into_iter().flatten().filter(|place| seen.insert(*place)).collect();
        if picked.is_empty() {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        Ok(interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &picked)?)
    }

    /// For each key, the value that its row has in a column; NULL where it has no row.
    pub(in crate::state) fn each(
        &self,
        keys: &[ArrayRef],
        count: usize,
        column: usize,
    ) -> Result<ArrayRef> {
        let keys: Vec<ArrayRef> = keys.iter().map(key::normalise).collect();
        let Located { batches, places } = self.locate(&keys, count)?;
        // Number 0 stands for what is not there.
        let nothing = new_null_array(self.schema.field(column).data_type(), 1);
        let mut values: Vec<&dyn Array> = vec![&nothing];
        values.extend(batches.iter().map(|batch| batch.column(column).as_ref() as &dyn Array));
        let picked: Vec<(usize, usize)> = places
            .into_iter()
            .map(|place| place.map_or((0, 0), |(batch, row)| (batch + 1, row)))
            .collect();
        Ok(interleave(&values, &picked)?)
    }

    fn locate(&self, keys: &[ArrayRef], count: usize) -> Result<Located> {
        let (mut batches, mut places) = (Vec::new(), vec![None; count]);
        let mut groups = self.by_bucket(self.times(keys)?.as_ref(), count);
        groups.retain(|(name, _)| !self.bucket(*name).is_ok_and(|bucket| bucket.len() == 0));
        if groups.is_empty() {
            return Ok(Located { batches, places });
        }
        let hashes = key::hashes(keys, count)?;
        for (name, picks) in groups {
            let bucket = self.bucket(name)?;
            let mut lookup = bucket.lookup(keys);
            let mut of_segments: HashMap<u32, usize> = HashMap::new();
            let mut not_in_memory = Vec::new();
            for row in picks {
                let hash = hashes[row as usize];
                let Some(place) = bucket.find(&mut lookup, hash, row as usize)? else {
                    not_in_memory.push((hash, row));
                    continue;
                };
                let number = *of_segments.entry(place.segment).or_insert(batches.len());
                if number == batches.len() {
                    batches.extend(bucket.segment(place.segment).cloned());
                }
                places[row as usize] = Some((number, place.row as usize));
            }
            if let Some(spilled) = bucket.spilled().filter(|_| !not_in_memory.is_empty()) {
                locate_on_disk(spilled, keys, not_in_memory, &mut batches, &mut places)?;
            }
        }
        Ok(Located { batches, places })
    }
}

/// Looks for keys of one bucket, given by hash and position, among its rows on disk.
fn locate_on_disk(
    spilled: &Spilled,
    keys: &[ArrayRef],
    wanted: Vec<(u64, u32)>,
    batches: &mut Vec<RecordBatch>,
    places: &mut [Option<(usize, usize)>],
) -> Result<()> {
    let found = spilled.find(&spilled.encode_keys(keys)?, wanted)?;
    // A key may be sought more than once, and is one row all the same.
    let (mut rows, mut first) = (Vec::with_capacity(found.len()), HashMap::new());
    for row in &found {
        let at = *first.entry(row.place).or_insert(rows.len());
        if at == rows.len() {
            rows.push(row.bytes.as_slice());
        }
        places[row.probe as usize] = Some((batches.len(), at));
    }
    if !rows.is_empty() {
        batches.push(spilled.decode(rows)?);
    }
    Ok(())
}
