//! Rows as bytes, one after the other, so that one can be read without the others.
//!
//! Arrow's row format: each row is its columns' encodings in their order, and none of these is the
//! beginning of another one. So the bytes of a row begin with those of its key, and of no other.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::Result;

/// How the rows of a table become bytes.
pub(in crate::state) struct Encoding {
    schema: SchemaRef,
    rows: RowConverter,
    keys: RowConverter,
}

impl Encoding {
    /// For rows whose first `keys` columns are the key. `None`: there is no key, or a column of a type
    /// that has no such form.
    pub(super) fn new(schema: &SchemaRef, keys: usize) -> Result<Option<Self>> {
        let field = |f: &arrow::datatypes::FieldRef| SortField::new(f.data_type().clone());
        let fields: Vec<SortField> = schema.fields().iter().map(field).collect();
        if keys == 0 || !RowConverter::supports_fields(&fields) {
            return Ok(None);
        }
        let key = RowConverter::new(fields[..keys].to_vec())?;
        Ok(Some(Self { schema: schema.clone(), rows: RowConverter::new(fields)?, keys: key }))
    }

    pub(super) fn rows(&self, rows: &RecordBatch) -> Result<Rows> {
        Ok(self.rows.convert_columns(rows.columns())?)
    }

    /// (Normalised) keys, each the beginning of the bytes of its row.
    pub(super) fn keys(&self, keys: &[ArrayRef]) -> Result<Rows> {
        Ok(self.keys.convert_columns(keys)?)
    }

    pub(super) fn batch<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<RecordBatch> {
        let parser = self.rows.parser();
        let columns = self.rows.convert_rows(rows.into_iter().map(|row| parser.parse(row)))?;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
