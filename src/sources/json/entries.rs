//! The entries of maps on their way from JSON text to Arrow.
//!
//! A key may come twice in one map; the later entry counts. It stands where it came, and the earlier
//! one is left out when the array is made.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, MapArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::compute::filter;
use arrow::datatypes::{DataType, FieldRef};
use hashbrown::HashMap;

use super::column::{Column, Fit, finish_offsets, unreadable, worse};
use super::cursor::{Broken, Cursor};
use crate::error::Result;
use crate::sources::time_forms::TimeForms;

/// The entries of maps, one map behind the other.
pub(super) struct Entries {
    field: FieldRef,
    ends: Vec<i32>,
    keys: Column,
    values: Column,
    /// Where the keys of the map that is being taken lie.
    places: HashMap<Box<[u8]>, usize>,
    /// Entries whose key came again in the same map, in rising order: the later one counts.
    replaced: Vec<usize>,
}

impl Entries {
    /// No maps. `field` is the type of an entry; JSON has no other keys than texts.
    pub(super) fn new(field: &FieldRef, times: &Arc<TimeForms>) -> Result<Option<Self>> {
        match field.data_type() {
            DataType::Struct(pair) if pair.len() == 2 && pair[0].data_type() == &DataType::Utf8 => {
                Ok(Some(Self {
                    field: field.clone(),
                    ends: vec![0],
                    keys: Column::new(&DataType::Utf8, times)?,
                    values: Column::new(pair[1].data_type(), times)?,
                    places: HashMap::new(),
                    replaced: Vec::new(),
                }))
            }
            _ => Ok(None),
        }
    }

    /// A map ends here.
    pub(super) fn close(&mut self) {
        self.ends.push(self.keys.len() as i32);
    }

    /// Cuts back to `maps` maps, and takes away what half a map left behind them.
    pub(super) fn truncate(&mut self, maps: usize) {
        self.ends.truncate(maps + 1);
        self.cut(self.ends[maps] as usize);
    }

    /// Cuts back to `len` entries.
    fn cut(&mut self, len: usize) {
        self.keys.truncate(len);
        self.values.truncate(len);
        self.replaced.truncate(self.replaced.partition_point(|entry| *entry < len));
    }

    /// Takes the entries of a map up to its end.
    pub(super) fn take(&mut self, cursor: &mut Cursor) -> Result<Fit, Broken> {
        let before = self.keys.len();
        self.places.clear();
        let mut fit = Fit::Whole;
        let mut first = true;
        while let Some(key) = cursor.field(first)? {
            first = false;
            if fit == Fit::Not {
                cursor.skip()?;
                continue;
            }
            let key = key.text()?;
            let place = self.keys.len();
            if let Some(earlier) = self.places.insert(key.as_bytes().into(), place) {
                let at = self.replaced.partition_point(|entry| *entry < earlier);
                self.replaced.insert(at, earlier);
            }
            self.keys.push_text(&key);
            fit = worse(fit, self.values.take(cursor)?);
        }
        match fit {
            Fit::Not => self.cut(before),
            _ => self.close(),
        }
        Ok(fit)
    }

    /// The maps as an array; there are none left.
    pub(super) fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let (mut keys, mut values) = (self.keys.finish()?, self.values.finish()?);
        if !self.replaced.is_empty() {
            let kept: BooleanArray =
                (0..keys.len()).map(|i| Some(self.replaced.binary_search(&i).is_err())).collect();
            keys = filter(&keys, &kept)?;
            values = filter(&values, &kept)?;
            for end in &mut self.ends {
                *end -= self.replaced.partition_point(|entry| (*entry as i32) < *end) as i32;
            }
            self.replaced.clear();
        }
        let DataType::Struct(pair) = self.field.data_type() else {
            return Err(unreadable(self.field.data_type()));
        };
        let entries = StructArray::try_new(pair.clone(), vec![keys, values], None)?;
        let offsets = finish_offsets(&mut self.ends);
        Ok(Arc::new(MapArray::try_new(self.field.clone(), offsets, entries, nulls, false)?))
    }
}
