//! The first n rows of a stream, over the whole life of the query.
//!
//! What is kept is how many rows have come out. Spark counts so too: `LIMIT 3` gives three rows in
//! all, not three a batch.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::{Operator, Processed, StateShape, Watermarks, only};
use crate::error::Result;
use crate::state::StateStore;

/// Spark's `globalLimit`.
pub struct Limit {
    schema: SchemaRef,
    rows: usize,
}

impl Limit {
    /// The first `rows` rows of `schema`.
    pub fn new(schema: SchemaRef, rows: usize) -> Self {
        Self { schema, rows }
    }
}

impl Operator for Limit {
    fn name(&self) -> &'static str {
        "globalLimit"
    }

    fn state_shapes(&self) -> Vec<StateShape> {
        let passed = Field::new("passed", DataType::Int64, false);
        vec![StateShape {
            name: "count",
            schema: Arc::new(Schema::new(vec![passed])),
            keys: 0,
            lookup: 0,
            expiry: None,
            grain_us: None,
        }]
    }

    fn output_schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn process(
        &mut self,
        states: &mut [StateStore],
        inputs: Vec<Vec<RecordBatch>>,
        _: Watermarks,
    ) -> Result<Processed> {
        let state = only(states)?;
        let kept = state.table().get(&[])?;
        let before = match kept.num_rows() {
            0 => 0,
            _ => kept.column(0).as_primitive::<Int64Type>().value(0) as usize,
        };
        let mut passed = before;
        let (mut output, mut surplus) = (vec![], 0);
        for rows in only(inputs)? {
            let take = rows.num_rows().min(self.rows.saturating_sub(passed));
            passed += take;
            surplus += rows.num_rows() - take;
            if take > 0 {
                output.push(rows.slice(0, take));
            }
        }
        if passed > before || kept.num_rows() == 0 {
            let count = Arc::new(Int64Array::from(vec![passed as i64]));
            state.put(&RecordBatch::try_new(state.table().schema().clone(), vec![count])?)?;
        }
        let updated = usize::from(passed > before);
        Ok(Processed { updated, output, surplus, ..Processed::default() })
    }

    fn waits_for_watermark(&self) -> bool {
        false
    }
}
