//! One side of a join: where things are among the columns that arrive, and among those kept.
//!
//! The plan of a side gives the stream's own columns and, behind them, what the join has to know of
//! a row. What is kept is the key first and each value once:
//!
//! ```text
//! arrives:  own columns …, keys …, [holds]
//! kept:     keys …, time, own columns that are not a key …
//! ```
//!
//! The time is that by which a row is let go, in microseconds; NULL where there is none.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::super::StateShape;
use super::super::late::event_times;
use super::matching::truths;
use crate::batch::with_rows;
use crate::error::Result;
use crate::time::{Millis, micros_to_millis_up};

/// What the plan of a side gives.
#[derive(Debug, Clone)]
pub struct Arriving {
    /// All columns: the stream's own, one for each key, and perhaps one that says whether the
    /// condition on this side alone holds.
    pub schema: SchemaRef,
    /// How many of them are the stream's own.
    pub own: usize,
    /// For each key, whether NULL is equal to NULL (`<=>`).
    pub null_equal: Vec<bool>,
    /// For each of the stream's own columns, the key that is the very same, if one is.
    pub twins: Vec<Option<usize>>,
    /// The column of event time (a timestamp or a window) by which a row can be late.
    pub late: Option<usize>,
    /// The column of event time by which a row is let go and found near in time.
    pub time: Option<usize>,
    /// Whether the last column says whether the condition on this side alone holds.
    pub holds: bool,
}

/// One side of a join.
pub struct JoinSide {
    arriving: Arriving,
    own: SchemaRef,
    state: SchemaRef,
    /// For each column that is kept behind the time, which one it is on arrival.
    kept_from: Vec<usize>,
    /// For each of the stream's own columns, which one it is in state.
    own_in_state: Vec<usize>,
    /// `None`: what is kept never goes.
    expires: Option<Expires>,
}

/// When a kept row goes: when its time is at or before the least of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expires {
    /// The watermark and so many milliseconds more.
    pub behind_ms: Option<Millis>,
    /// No later than this time, in milliseconds.
    pub at_most_ms: Option<Millis>,
}

/// Rows that may have a match.
pub(super) struct Seeking {
    /// Which of the arriving rows.
    pub(super) rows: Vec<u32>,
    /// Their keys.
    pub(super) keys: Vec<ArrayRef>,
    /// Their times, in microseconds.
    pub(super) times: Int64Array,
}

impl JoinSide {
    /// `expires`: when what is kept goes; `None`: never.
    pub fn new(arriving: Arriving, expires: Option<Expires>) -> Self {
        let keys = arriving.null_equal.len();
        let mut kept_from: Vec<usize> = Vec::new();
        let own_in_state = (0..arriving.own)
            .map(|column| {
                arriving.twins.get(column).copied().flatten().unwrap_or_else(|| {
                    kept_from.push(column);
                    keys + kept_from.len()
                })
            })
            .collect();
        // Which columns can be NULL changes with the plan, not with what is kept.
        let nullable = |column: usize| {
            let field = arriving.schema.field(column);
            Field::new(field.name(), field.data_type().clone(), true)
        };
        let mut fields: Vec<Field> = (arriving.own..arriving.own + keys).map(nullable).collect();
        fields.push(Field::new("time", DataType::Int64, true));
        fields.extend(kept_from.iter().copied().map(nullable));
        let own = &arriving.schema.fields()[..arriving.own];
        Self {
            own: Arc::new(Schema::new(own.to_vec())),
            state: Arc::new(Schema::new(fields)),
            arriving,
            kept_from,
            own_in_state,
            expires,
        }
    }

    /// The stream's own columns.
    pub(super) fn own(&self) -> &SchemaRef {
        &self.own
    }

    fn keys(&self) -> usize {
        self.arriving.null_equal.len()
    }

    /// The column by which a row can be late.
    pub(super) fn late_column(&self) -> Option<usize> {
        self.arriving.late
    }

    /// The times by which arriving rows are let go.
    fn times(&self, rows: &RecordBatch) -> Result<Int64Array> {
        match self.arriving.time {
            Some(column) => event_times(rows.column(column)),
            None => Ok(Int64Array::new_null(rows.num_rows())),
        }
    }

    fn key_columns<'a>(&self, rows: &'a RecordBatch) -> &'a [ArrayRef] {
        &rows.columns()[self.arriving.own..self.arriving.own + self.keys()]
    }

    /// For each row whether the condition on this side alone holds; `None`: there is none.
    pub(super) fn holds(&self, rows: &RecordBatch) -> Result<Option<BooleanArray>> {
        if !self.arriving.holds {
            return Ok(None);
        }
        rows.columns().last().map(truths).transpose()
    }

    /// The stream's own columns of arriving rows.
    pub(super) fn own_columns(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        with_rows(&self.own, rows.columns()[..self.arriving.own].to_vec(), rows.num_rows())
    }

    /// Those of the arriving rows whose keys can be equal to others.
    pub(super) fn seeking(&self, rows: &RecordBatch) -> Result<Seeking> {
        let keys = self.key_columns(rows);
        let times = self.times(rows)?;
        let never: Vec<_> = keys
            .iter()
            .zip(&self.arriving.null_equal)
            .filter(|(_, null_equal)| !**null_equal)
            .filter_map(|(key, _)| key.logical_nulls().filter(|nulls| nulls.null_count() > 0))
            .collect();
        let seeks = |row: &u32| never.iter().all(|nulls| nulls.is_valid(*row as usize));
        let seeking: Vec<u32> = (0..rows.num_rows() as u32).filter(seeks).collect();
        if seeking.len() == rows.num_rows() {
            return Ok(Seeking { rows: seeking, keys: keys.to_vec(), times });
        }
        let picked = UInt32Array::from(seeking.clone());
        let keys = keys.iter().map(|key| take(key, &picked, None)).collect::<Result<_, _>>()?;
        let times = take(&times, &picked, None)?;
        Ok(Seeking { rows: seeking, keys, times: times.as_primitive::<Int64Type>().clone() })
    }

    /// Arriving rows as they are kept.
    pub(super) fn kept_of(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = self.key_columns(rows).to_vec();
        columns.push(Arc::new(self.times(rows)?));
        columns.extend(self.kept_from.iter().map(|&column| rows.column(column).clone()));
        with_rows(&self.state, columns, rows.num_rows())
    }

    /// The stream's own columns of rows that were kept.
    pub(super) fn own_of_kept(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.own_in_state.iter().map(|&column| rows.column(column).clone());
        with_rows(&self.own, columns.collect(), rows.num_rows())
    }

    /// So many rows of NULLs.
    pub(super) fn nulls(&self, rows: usize) -> Result<RecordBatch> {
        let fields = self.own.fields().iter();
        let fields: Vec<Field> = fields.map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let columns = fields.iter().map(|f| new_null_array(f.data_type(), rows)).collect();
        with_rows(&Arc::new(Schema::new(fields)), columns, rows)
    }

    /// When what is kept goes; `None`: never.
    pub fn rule(&self) -> Option<Expires> {
        self.expires
    }

    /// Whether the watermark lets rows go.
    pub(super) fn expires(&self) -> bool {
        self.expires.is_some()
    }

    /// Kept rows go whose time, in microseconds, is at or before this.
    pub(super) fn state_watermark_us(&self, watermark_ms: Millis) -> Option<i64> {
        let Expires { behind_ms, at_most_ms } = self.expires?;
        let behind_ms = behind_ms.map(|ms| watermark_ms.saturating_add(ms));
        Some(behind_ms.into_iter().chain(at_most_ms).min()?.saturating_mul(1000))
    }

    /// The watermark, in milliseconds, with which a kept row of this time (in microseconds) goes;
    /// `None`: what goes does not wait for the watermark.
    pub(super) fn goes_at_ms(&self, time_us: i64) -> Option<Millis> {
        Some(micros_to_millis_up(time_us).saturating_sub(self.expires?.behind_ms?))
    }

    /// For each row, in the form in which it is kept, whether it would go at this watermark.
    pub(super) fn passed(&self, stored: &RecordBatch, watermark_ms: Millis) -> Result<Vec<bool>> {
        let until = self.state_watermark_us(watermark_ms);
        let times = stored.column(self.keys()).as_primitive::<Int64Type>();
        Ok(times.iter().map(|t| t.zip(until).is_some_and(|(t, until)| t <= until)).collect())
    }

    /// What is kept. `grain_us`: rows are sought within a range of time of about that length.
    pub(super) fn state_shape(&self, name: &'static str, grain_us: Option<i64>) -> StateShape {
        StateShape {
            name,
            schema: self.state.clone(),
            keys: self.keys() + 1,
            lookup: self.keys(),
            expiry: Some(self.keys()),
            grain_us,
        }
    }
}
