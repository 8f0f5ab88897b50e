//! Which row a row replaces, and when it is settled: the key columns and the event time.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, NullArray, RecordBatch};
use arrow::compute::{is_null, nullif};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::{Error, Result};
use crate::time::EventTimeMicros;

/// A key, as 128 bits of hash under seeds of this process: two keys do not meet in it.
pub(super) type Key = u128;

/// The columns of a table that make a key, and the one with the event time.
pub(super) struct KeyColumns {
    keys: Vec<usize>,
    event_time: Option<usize>,
    encoder: RowConverter,
    seeds: [RandomState; 2],
}

/// Rows with their keys and times.
pub(super) struct KeyedRows {
    pub rows: RecordBatch,
    /// The keys in a form that compares as they do; NULL is a key like others.
    pub encoded: Rows,
    pub keys: Vec<Key>,
    times: Option<ArrayRef>,
}

impl KeyColumns {
    /// Key columns of a table, by position. No key column: all rows have the same key.
    pub fn new(schema: &SchemaRef, keys: Vec<usize>, event_time: Option<usize>) -> Result<Self> {
        let mut fields = Vec::new();
        for &key in &keys {
            let field = schema.fields().get(key).ok_or_else(|| {
                Error::internal(format!("key column {key} of {} columns", schema.fields().len()))
            })?;
            fields.push(SortField::new(field.data_type().clone()));
        }
        if fields.is_empty() {
            fields.push(SortField::new(DataType::Null));
        }
        if event_time.is_some_and(|column| !keys.contains(&column)) {
            return Err(Error::internal("the event time is not one of the key columns"));
        }
        let seeds = [RandomState::new(), RandomState::new()];
        let columns = Self { keys, event_time, encoder: RowConverter::new(fields)?, seeds };
        columns.of(RecordBatch::new_empty(schema.clone()))?;
        Ok(columns)
    }

    /// Whether the watermark ever settles a row.
    pub fn have_time(&self) -> bool {
        self.event_time.is_some()
    }

    /// Works out the keys and times of rows.
    pub fn of(&self, rows: RecordBatch) -> Result<KeyedRows> {
        let mut columns: Vec<ArrayRef> =
            self.keys.iter().map(|&key| rows.column(key).clone()).collect();
        if columns.is_empty() {
            columns.push(Arc::new(NullArray::new(rows.num_rows())));
        }
        let encoded = self.encoder.convert_columns(&columns)?;
        let keys = encoded
            .iter()
            .map(|row| {
                let [high, low] = [0, 1].map(|seed| self.seeds[seed].hash_one(row.as_ref()));
                (Key::from(high) << 64) | Key::from(low)
            })
            .collect();
        let times = self.times_of(&rows)?;
        Ok(KeyedRows { rows, encoded, keys, times })
    }

    /// The event times of rows: the column itself, or the end of the window in it.
    fn times_of(&self, rows: &RecordBatch) -> Result<Option<ArrayRef>> {
        let Some(column) = self.event_time.and_then(|at| rows.columns().get(at)) else {
            return Ok(None);
        };
        let times = match column.as_struct_opt() {
            Some(window) => match (window.column_by_name("end"), column.null_count()) {
                (Some(end), 1..) => Some(nullif(end, &is_null(column)?)?),
                (end, _) => end.cloned(),
            },
            None => Some(column.clone()),
        };
        times
            .filter(|t| matches!(t.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)))
            .map(Some)
            .ok_or_else(|| Error::internal("the event time column holds no time"))
    }

    /// Where a file's statistics speak of the event time.
    pub fn time_path(&self, schema: &SchemaRef) -> Vec<String> {
        let Some(field) = self.event_time.and_then(|at| schema.fields().get(at)) else {
            return vec![];
        };
        match field.data_type() {
            DataType::Struct(_) => vec![field.name().clone(), "end".into()],
            _ => vec![field.name().clone()],
        }
    }
}

impl KeyedRows {
    /// The event time of a row, where it has one.
    pub fn time(&self, row: usize) -> Option<EventTimeMicros> {
        let times = self.times.as_ref()?.as_primitive_opt::<TimestampMicrosecondType>()?;
        times.is_valid(row).then(|| times.value(row))
    }

    /// The earliest event time of all rows.
    pub fn earliest(&self) -> Option<EventTimeMicros> {
        (0..self.keys.len()).filter_map(|row| self.time(row)).min()
    }

    /// The latest event time; `None` where some row has none.
    pub fn latest(&self) -> Option<EventTimeMicros> {
        let times = (0..self.keys.len()).map(|row| self.time(row));
        times.collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}
