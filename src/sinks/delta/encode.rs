//! Rows → the bytes of one Parquet file.
//!
//! A column is encoded and compressed without the others, which is most of the work of a large batch:
//! two threads share the columns then, the largest first. The bytes are the same as of one thread.

use std::cmp::Reverse;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, compute_leaves,
};
use deltalake::parquet::basic::Compression;
use deltalake::parquet::errors::Result;
use deltalake::parquet::file::properties::WriterProperties;

use crate::share::share;

/// Whether so many rows are worth a second thread: fewer are encoded before it is there.
pub(super) fn is_large(rows: &[RecordBatch]) -> bool {
    rows.iter().map(RecordBatch::num_rows).sum::<usize>() >= 20_000
}

/// The file of these rows, in one row group.
pub(super) fn encode(schema: &SchemaRef, rows: &[RecordBatch]) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("strandline version {}", env!("CARGO_PKG_VERSION")))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties))?;
    if !is_large(rows) || schema.fields().len() < 2 {
        rows.iter().try_for_each(|part| writer.write(part))?;
        writer.close()?;
        return Ok(bytes);
    }
    let (mut file, columns) = writer.into_serialized_writer()?;
    let columns = columns.create_column_writers(0)?;
    let mut group = file.next_row_group()?;
    let work = |column: Column<'_>| Ok((column.place, column.encode(rows)?));
    let encoded = share(by_field(schema, columns, rows)?, work).into_iter();
    let mut encoded = encoded.collect::<Result<Vec<_>>>()?;
    encoded.sort_unstable_by_key(|(place, _)| *place);
    for chunk in encoded.into_iter().flat_map(|(_, chunks)| chunks) {
        chunk.append_to_row_group(&mut group)?;
    }
    group.close()?;
    file.close()?;
    Ok(bytes)
}

/// A column of the schema, and the writers of the columns that it has in Parquet: several for a
/// struct.
struct Column<'a> {
    place: usize,
    field: &'a FieldRef,
    writers: Vec<ArrowColumnWriter>,
}

/// The columns, the largest first.
fn by_field<'a>(
    schema: &'a SchemaRef,
    writers: Vec<ArrowColumnWriter>,
    rows: &[RecordBatch],
) -> Result<Vec<Column<'a>>> {
    let mut writers = writers.into_iter();
    let mut columns = Vec::new();
    for (place, field) in schema.fields().iter().enumerate() {
        let leaves = match rows.first() {
            Some(first) => compute_leaves(field, first.column(place))?.len(),
            None => 0,
        };
        columns.push(Column { place, field, writers: writers.by_ref().take(leaves).collect() });
    }
    let size = |column: &Column<'_>| -> usize {
        rows.iter().map(|part| part.column(column.place).get_array_memory_size()).sum()
    };
    columns.sort_by_cached_key(|column| Reverse(size(column)));
    Ok(columns)
}

impl Column<'_> {
    fn encode(mut self, rows: &[RecordBatch]) -> Result<Vec<ArrowColumnChunk>> {
        for part in rows {
            let leaves = compute_leaves(self.field, part.column(self.place))?;
            for (leaf, writer) in leaves.iter().zip(&mut self.writers) {
                writer.write(leaf)?;
            }
        }
        self.writers.into_iter().map(ArrowColumnWriter::close).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, StructArray};
    use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn rows(from: i64, count: i64) -> RecordBatch {
        let numbers = || from..from + count;
        let text = |n: i64| (n % 7 != 0).then(|| format!("row {n}"));
        let texts: ArrayRef = Arc::new(numbers().map(text).collect::<StringArray>());
        let floats: ArrayRef =
            Arc::new(numbers().map(|n| Some(n as f64 / 4.0)).collect::<Float64Array>());
        let whole: ArrayRef = Arc::new(numbers().map(Some).collect::<Int64Array>());
        let both = StructArray::try_from(vec![("n", whole.clone()), ("f", floats)]).unwrap();
        RecordBatch::try_from_iter([
            ("both", Arc::new(both) as ArrayRef),
            ("t", texts),
            ("n", whole),
        ])
        .unwrap()
    }

    #[test]
    fn what_two_threads_encode_is_read_as_it_was() {
        let parts = [rows(0, 15_000), rows(15_000, 12_345)];
        let schema = parts[0].schema();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&encode(&schema, &parts).unwrap()).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 1);
        let read = reader.with_batch_size(50_000).build().unwrap().next().unwrap().unwrap();
        let all = arrow::compute::concat_batches(&schema, &parts).unwrap();
        assert_eq!(read, all);
    }
}
