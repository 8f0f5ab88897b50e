//! Pairs of rows side by side, and whether the condition holds for them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use crate::batch::with_rows;
use crate::error::{Error, Result};

/// The rows of a pair side by side.
pub(super) struct Joined {
    schema: SchemaRef,
    residual: Option<Arc<dyn PhysicalExpr>>,
}

impl Joined {
    /// The left's columns, then the right's; `residual` is over these.
    pub(super) fn new(
        left: &SchemaRef,
        right: &SchemaRef,
        residual: Option<Arc<dyn PhysicalExpr>>,
    ) -> Self {
        let fields = left.fields().iter().chain(right.fields());
        // What was kept is said to be able to be NULL.
        let nullable = |f: &FieldRef| Field::new(f.name(), f.data_type().clone(), true);
        let schema = Arc::new(Schema::new(fields.map(nullable).collect::<Vec<_>>()));
        Self { schema, residual }
    }

    /// Row by row, left and right side by side; and for each pair whether the condition holds
    /// (`None`: for all of them).
    pub(super) fn pairs(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
    ) -> Result<(RecordBatch, Option<BooleanArray>)> {
        let columns = left.columns().iter().chain(right.columns()).cloned().collect();
        let pairs = with_rows(&self.schema, columns, left.num_rows())?;
        let Some(residual) = &self.residual else { return Ok((pairs, None)) };
        let holds = residual.evaluate(&pairs)?.into_array(pairs.num_rows())?;
        let holds = truths(&holds)?;
        let all = holds.true_count() == pairs.num_rows();
        Ok((pairs, (!all).then_some(holds)))
    }
}

/// For each row whether a condition holds; where it is NULL it does not.
pub(super) fn truths(condition: &ArrayRef) -> Result<BooleanArray> {
    let holds = condition
        .as_boolean_opt()
        .ok_or_else(|| Error::internal("the condition of a join is no truth"))?;
    Ok(if holds.null_count() > 0 { prep_null_mask_filter(holds) } else { holds.clone() })
}
