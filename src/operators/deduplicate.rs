//! Of rows with the same key the first one comes out; the others are duplicates.
//!
//! What is kept is the key of each row that came out, until the watermark says that no duplicate
//! can be in time any more:
//!
//! ```text
//! rows of the batch
//!   → without those that are late                 by their event time, be it in the key or not
//!   → without those whose key is kept, or came earlier in the batch
//!   → their keys are kept                         until the time that `Forget` says
//!   → out
//! ```
//!
//! Both kinds are Spark's: `dropDuplicates` keeps a key until the watermark passes the event time
//! *in the key*, and for ever if there is none; `dropDuplicatesWithinWatermark` keeps it until the
//! watermark passes the event time of the row that came out, plus the delay of the watermark.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::late::{drop_late, event_times};
use super::{Operator, Processed, StateShape, Watermarks, only};
use crate::batch::with_rows;
use crate::error::Result;
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

    /// The rows of state for some rows: the key, then the time at which it is forgotten.
    fn kept(&self, rows: &RecordBatch, shape: &StateShape) -> Result<RecordBatch> {
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
        with_rows(&shape.schema, columns, rows.num_rows())
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
        StateShape {
            name: "keys",
            keys: fields.len(),
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
        for mut rows in only(inputs)? {
            if let Some(time) = self.event_time {
                let (in_time, late) = drop_late(rows, time, marks.late_ms)?;
                done.late += late;
                rows = in_time;
            }
            let first = state.put_new(&self.kept(&rows, &shape)?)?;
            done.updated += first.len();
            done.duplicates += rows.num_rows() - first.len();
            if !first.is_empty() {
                done.output.push(take_record_batch(&rows, &first)?);
            }
        }
        if shape.expiry.is_some() {
            done.removed = state.expire(marks.evict_ms.saturating_mul(1000))?;
        }
        Ok(done)
    }

    /// Always, as in Spark: even where nothing is forgotten, a risen watermark goes on to what
    /// comes after.
    fn waits_for_watermark(&self) -> bool {
        true
    }
}
