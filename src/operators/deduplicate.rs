//! Of rows with the same key the first one comes out; the others are duplicates.
//!
//! What is kept is the key of each row that came out, until the watermark says that no duplicate
//! can be in time any more:
//!
//! ```text
//! rows of the batch
//!   → without those that are late                 by their event time, be it in the key or not
//!   → without those whose key is kept, or came earlier in the batch
//!   → their keys are kept, with the batch         until the time that `Forget` says
//!   → out
//! ```
//!
//! Both kinds are Spark's: `dropDuplicates` keeps a key until the watermark passes the event time
//! *in the key*, and for ever if there is none; `dropDuplicatesWithinWatermark` keeps it until the
//! watermark passes the event time of the row that came out, plus the delay of the watermark.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_arrays};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::late::{event_times, in_time};
use super::{Duplicate, LateBy, Operator, Processed, StateShape, Watermarks, only};
use crate::batch::{BatchId, with_rows};
use crate::error::Result;
use crate::share::share;
use crate::state::StateStore;

/// When a key is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget {
    /// Never: the key holds no event time.
    Never,
    /// When the watermark reaches the event time, a column of the key.
    AtEventTime,
    /// When the watermark reaches the event time of the row that came out, plus the delay of the
    /// watermark, in microseconds.
    After(i64),
}

/// Rows of so many bytes are looked for and put into state at once.
const AT_ONCE: usize = if cfg!(test) { 1024 } else { 32 * 1024 * 1024 };

/// Rows that are in time.
struct InTime {
    rows: RecordBatch,
    /// Which one of all rows that went in was the first of the batch that they came in.
    first: u64,
    /// Which ones of that batch they are; `None`: all.
    left: Option<Vec<u64>>,
}

impl InTime {
    /// For each row, which one it is of all that went in.
    fn numbers(&self) -> impl Iterator<Item = u64> {
        let number = |row: usize| self.left.as_ref().map_or(row as u64, |left| left[row]);
        (0..self.rows.num_rows()).map(move |row| self.first + number(row))
    }
}

/// Spark's `dedupe` and `dedupeWithinWatermark`.
pub struct Deduplicate {
    schema: SchemaRef,
    keys: Vec<usize>,
    event_time: Option<usize>,
    forget: Forget,
}

impl Deduplicate {
    /// Rows of `schema`, of which these columns are the key, and this one the event time with a
    /// watermark.
    pub fn new(
        schema: SchemaRef,
        keys: Vec<usize>,
        event_time: Option<usize>,
        forget: Forget,
    ) -> Self {
        Self { schema, keys, event_time, forget }
    }

    /// The rows of state for some rows: the key, then the time at which it is forgotten, then the
    /// batch.
    fn kept(&self, rows: &RecordBatch, shape: &StateShape, batch: BatchId) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> =
            self.keys.iter().map(|&key| rows.column(key).clone()).collect();
        if let (Some(time), Some(delay_us)) = (self.event_time, self.delay_us()) {
            let times = event_times(rows.column(time))?;
            let until: Int64Array = match self.forget {
                // Spark reads a time that is missing as 1970 when it adds the delay.
                Forget::After(_) => times
                    .iter()
                    .map(|time| Some(time.unwrap_or(0).saturating_add(delay_us)))
                    .collect(),
                _ => times.unary(|time| time.saturating_add(delay_us)),
            };
            columns.push(Arc::new(until));
        }
        columns.push(Arc::new(Int64Array::from(vec![batch as i64; rows.num_rows()])));
        with_rows(&shape.schema, columns, rows.num_rows())
    }

    /// Lets the first row of each key out.
    fn take_first(
        &self,
        state: &mut StateStore,
        shape: &StateShape,
        parts: Vec<InTime>,
        done: &mut Processed,
    ) -> Result<()> {
        let kept = parts.iter().map(|part| self.kept(&part.rows, shape, state.batch()));
        let keys = concat_batches(&shape.schema, &kept.collect::<Result<Vec<_>>>()?)?;
        let first = state.put_new(&keys)?;
        done.updated += first.len();
        let mut is_first = vec![false; keys.num_rows()];
        first.values().iter().for_each(|&row| is_first[row as usize] = true);
        if first.len() < keys.num_rows() {
            let again = (0..).zip(&is_first).filter(|(_, is_first)| !**is_first);
            let again = UInt32Array::from_iter_values(again.map(|(row, _)| row));
            let sought = take_arrays(&keys.columns()[..shape.lookup], &again, None)?;
            let batches = state.table().value_of_each(&sought, again.len(), shape.keys)?;
            let batches = batches.as_primitive::<Int64Type>().iter();
            let numbers = parts.iter().flat_map(InTime::numbers).zip(&is_first);
            let numbers = numbers.filter(|(_, is_first)| !**is_first).map(|(number, _)| number);
            done.duplicates.extend(numbers.zip(batches).map(|(row, batch)| Duplicate {
                row,
                first: batch.and_then(|batch| BatchId::try_from(batch).ok()),
            }));
        }
        let is_first = BooleanArray::from(is_first);
        let mut at = 0;
        let parts = parts.into_iter().map(|part| {
            let is_first = is_first.slice(at, part.rows.num_rows());
            at += part.rows.num_rows();
            (part.rows, is_first)
        });
        let out = share(parts.collect(), |(rows, is_first)| filter_record_batch(&rows, &is_first));
        for rows in out {
            done.output.extend(Some(rows?).filter(|rows| rows.num_rows() > 0));
        }
        Ok(())
    }

    fn delay_us(&self) -> Option<i64> {
        match self.forget {
            Forget::Never => None,
            Forget::AtEventTime => Some(0),
            Forget::After(delay_us) => Some(delay_us),
        }
    }

    fn state_shape(&self) -> StateShape {
        let key = |&column: &usize| {
            let field = self.schema.field(column);
            Field::new(field.name(), field.data_type().clone(), true)
        };
        let mut fields: Vec<Field> = self.keys.iter().map(key).collect();
        let mut lookup = fields.len();
        let expiry = (self.event_time.is_some() && self.forget != Forget::Never).then_some(lookup);
        if expiry.is_some() {
            fields.push(Field::new("until", DataType::Int64, true));
        }
        // Where the event time is in the key, rows of the same key are forgotten at the same time.
        if self.forget == Forget::AtEventTime {
            lookup = fields.len();
        }
        let keys = fields.len();
        fields.push(Field::new("batch", DataType::Int64, true));
        StateShape {
            name: "keys",
            keys,
            lookup,
            schema: Arc::new(Schema::new(fields)),
            expiry,
            grain_us: None,
        }
    }
}

impl Operator for Deduplicate {
    fn name(&self) -> &'static str {
        match self.forget {
            Forget::After(_) => "dedupeWithinWatermark",
            _ => "dedupe",
        }
    }

    fn state_shapes(&self) -> Vec<StateShape> {
        vec![self.state_shape()]
    }

    fn output_schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn process(
        &mut self,
        states: &mut [StateStore],
        inputs: Vec<Vec<RecordBatch>>,
        marks: Watermarks,
    ) -> Result<Processed> {
        let (state, shape) = (only(states)?, self.state_shape());
        let mut done = Processed::default();
        let (mut before, mut parts, mut held) = (0, Vec::new(), 0);
        for rows in only(inputs)? {
            let first = before;
            before += rows.num_rows() as u64;
            let in_time = match self.event_time {
                Some(time) => Some(in_time(rows.column(time), marks.late_ms)?),
                None => None,
            };
            let part = match in_time.filter(|in_time| in_time.true_count() < rows.num_rows()) {
                None => InTime { rows, first, left: None },
                Some(in_time) => {
                    done.late += rows.num_rows() - in_time.true_count();
                    let left = in_time.values().set_indices().map(|row| row as u64).collect();
                    InTime { rows: filter_record_batch(&rows, &in_time)?, first, left: Some(left) }
                }
            };
            let bytes = part.rows.get_array_memory_size();
            if held > 0 && held + bytes > AT_ONCE {
                self.take_first(state, &shape, std::mem::take(&mut parts), &mut done)?;
                held = 0;
            }
            held += bytes;
            parts.push(part);
        }
        self.take_first(state, &shape, parts, &mut done)?;
        if shape.expiry.is_some() {
            done.removed = state.expire(marks.evict_ms.saturating_mul(1000))?;
        }
        Ok(done)
    }

    fn late_by(&self) -> Vec<Option<LateBy>> {
        vec![self.event_time.map(|column| LateBy { column, windows: None })]
    }

    /// Always, as in Spark: even where nothing is forgotten, a risen watermark goes on to what
    /// comes after.
    fn waits_for_watermark(&self) -> bool {
        true
    }
}
