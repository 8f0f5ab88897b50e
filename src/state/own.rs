//! Cuts a batch loose from buffers that it uses only a part of.
//!
//! Arrow's `take` and `interleave` copy what they pick, but of text and binary *views* they keep
//! every buffer whole: one row kept out of a large batch would keep all of that batch's text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::datatypes::DataType;

use crate::error::Result;

/// The same rows, whose views keep only their own text.
pub(super) fn own(rows: RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    if !schema.fields().iter().any(|f| holds_views(f.data_type())) {
        return Ok(rows);
    }
    let columns = rows.columns().iter().map(own_column).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn holds_views(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View | DataType::BinaryView => true,
        DataType::Struct(fields) => fields.iter().any(|f| holds_views(f.data_type())),
        DataType::List(field) => holds_views(field.data_type()),
        _ => false,
    }
}

fn own_column(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        DataType::Struct(fields) if !fields.is_empty() => {
            let whole = column.as_struct();
            let columns = whole.columns().iter().map(own_column).collect();
            Arc::new(StructArray::new(fields.clone(), columns, whole.nulls().cloned()))
        }
        DataType::List(field) => {
            let whole = column.as_list::<i32>();
            let values = own_column(whole.values());
            let (offsets, nulls) = (whole.offsets().clone(), whole.nulls().cloned());
            Arc::new(ListArray::new(field.clone(), offsets, values, nulls))
        }
        _ => column.clone(),
    }
}
