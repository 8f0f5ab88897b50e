//! When two keys are the same: as in Spark's `GROUP BY`.
//!
//! NULL is equal to NULL, NaN to NaN, and -0.0 to 0.0. Floats are brought to one form before they
//! are stored, so that equal keys have equal bits and everything below may compare bits.

use std::sync::Arc;

use arrow::array::make_comparator;
use arrow::array::{Array, ArrayRef, AsArray, DynComparator, Int64Array, StructArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::hash_utils::{RandomState, create_hashes};

use crate::error::{Error, Result};

/// The one form of each key value: `0.0` for `-0.0`, one NaN for all.
///
/// Reaches into structs, not into lists: a list of floats as a key is rare enough to be compared
/// bit by bit.
pub fn normalise(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => Arc::new(
            column
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        ),
        DataType::Float64 => Arc::new(
            column
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        ),
        DataType::Struct(fields) if !fields.is_empty() => {
            let whole = column.as_struct();
            let columns = whole.columns().iter().map(normalise).collect();
            Arc::new(StructArray::new(fields.clone(), columns, whole.nulls().cloned()))
        }
        _ => column.clone(),
    }
}

/// One hash a row, over normalised key columns. Not for files: another build may hash otherwise.
pub(super) fn hashes(keys: &[ArrayRef], rows: usize) -> Result<Vec<u64>> {
    let mut hashes = vec![0; rows];
    create_hashes(keys, &RandomState::default(), &mut hashes)?;
    Ok(hashes)
}

/// The microseconds in a time column: a timestamp, or the number itself.
pub(super) fn times(column: &ArrayRef) -> Result<Int64Array> {
    if let Some(micros) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        return Ok(micros.reinterpret_cast::<Int64Type>());
    }
    column.as_primitive_opt::<Int64Type>().cloned().ok_or_else(|| {
        Error::internal(format!(
            "state expires by a column of type {}, which is no time in microseconds",
            column.data_type()
        ))
    })
}

/// Compares the rows of one set of key columns with those of another, column by column.
pub(super) struct Comparison(Vec<DynComparator>);

impl Comparison {
    /// Between `keys` and the first ones of `columns`.
    pub(super) fn new(keys: &[ArrayRef], columns: &[ArrayRef]) -> Result<Self> {
        let columns = keys.iter().zip(columns);
        let comparators = columns
            .map(|(left, right)| make_comparator(left, right, SortOptions::default()))
            .collect::<Result<_, _>>()?;
        Ok(Self(comparators))
    }

    /// Whether key `left` is the key of row `right`.
    pub(super) fn same(&self, left: usize, right: usize) -> bool {
        self.0.iter().all(|compare| compare(left, right).is_eq())
    }
}
