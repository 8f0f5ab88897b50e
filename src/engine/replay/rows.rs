//! Many rows, each as often as it is there, and how they differ from others.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use crate::error::Result;

/// A row in Arrow's row format, whose order is that of its values.
pub(super) type Row = Box<[u8]>;

/// Rows → bytes, and back. NULLs and nested values have a form too.
pub(super) struct Encoder {
    schema: SchemaRef,
    converter: RowConverter,
}

/// Rows of one side that the other does not have.
#[derive(Debug, Clone, Default)]
pub struct Difference {
    /// Only on the one side.
    pub left: Vec<RecordBatch>,
    /// Only on the other side.
    pub right: Vec<RecordBatch>,
}

impl Difference {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.counts() == (0, 0)
    }

    /// How many rows there are on each side.
    pub fn counts(&self) -> (usize, usize) {
        let rows = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum();
        (rows(&self.left), rows(&self.right))
    }
}

impl Encoder {
    /// For rows of this schema.
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        Ok(Self { schema: schema.clone(), converter })
    }

    /// For some columns of the rows of a schema.
    pub(super) fn of_columns(schema: &SchemaRef, columns: &[usize]) -> Result<Self> {
        Self::new(&Arc::new(schema.project(columns)?))
    }

    /// The rows of a batch with these columns, in whatever of their types they have.
    pub(super) fn encode(&self, batch: &RecordBatch) -> Result<Vec<Row>> {
        let fields = self.schema.fields();
        if fields.is_empty() {
            return Ok(vec![Row::default(); batch.num_rows()]);
        }
        let columns = batch.columns().iter().zip(fields).map(|(column, field)| {
            match column.data_type() == field.data_type() {
                true => Ok(column.clone()),
                false => cast(column, field.data_type()),
            }
        });
        let rows = self.converter.convert_columns(&columns.collect::<Result<Vec<_>, _>>()?)?;
        Ok(rows.iter().map(|row| row.as_ref().into()).collect())
    }

    /// The rows again.
    pub(super) fn decode<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Result<RecordBatch> {
        let parser = self.converter.parser();
        let rows: Vec<_> = rows.map(|row| parser.parse(row)).collect();
        let count = rows.len();
        let columns = self.converter.convert_rows(rows)?;
        crate::batch::with_rows(&self.schema, columns, count)
    }
}

/// Rows, each with the number of times that it is there; less than none where rows were taken away
/// that were not there.
#[derive(Default)]
pub(super) struct Bag(BTreeMap<Row, i64>);

impl Bag {
    /// Adds rows (or takes them away) so many times.
    pub(super) fn add(&mut self, rows: impl IntoIterator<Item = Row>, times: i64) {
        use std::collections::btree_map::Entry;
        for row in rows {
            match self.0.entry(row) {
                Entry::Vacant(vacant) => {
                    vacant.insert(times);
                }
                Entry::Occupied(mut there) => {
                    *there.get_mut() += times;
                    if *there.get() == 0 {
                        there.remove();
                    }
                }
            }
        }
    }

    /// All rows, as often as they are there.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().flat_map(|(row, times)| std::iter::repeat_n(row, (*times).max(0) as usize))
    }

    /// What is left: rows that are there on the left, rows that were taken away on the right.
    pub(super) fn difference(&self, encoder: &Encoder) -> Result<Difference> {
        let side = |sign: i64| -> Result<Vec<RecordBatch>> {
            let times =
                |(row, times): (_, i64)| std::iter::repeat_n(row, (times * sign).max(0) as usize);
            let rows: Vec<&Row> = self.0.iter().map(|(r, n)| (r, *n)).flat_map(times).collect();
            match rows.is_empty() {
                true => Ok(vec![]),
                false => Ok(vec![encoder.decode(rows.into_iter())?]),
            }
        };
        Ok(Difference { left: side(1)?, right: side(-1)? })
    }
}
