//! Rows → one Parquet file of a Delta table, and back.
//!
//! A file is made whole in memory and then put under its final name in one step, so a full disk
//! leaves nothing behind. The name carries the batch, the query and a random part: two tries of one
//! batch never meet, and what a try that died has left can be known (`leftovers`).

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::SchemaRef;
use deltalake::kernel::Add;
use deltalake::parquet::arrow::ProjectionMask;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::parquet::errors::ParquetError;

use super::encode::{encode, is_large};
use super::stats;
use crate::batch::BatchId;
use crate::durable::Disk;
use crate::error::{Error, Result};
use crate::share::both;
use crate::time::{Clock, SystemClock};

/// What the name of a file begins with: `part-0000000007-1f0c33a2`.
pub(super) struct Name<'a> {
    pub batch: BatchId,
    /// Of the query, see [`super::leftovers::tag`].
    pub tag: &'a str,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "part-{:010}-{}", self.batch, self.tag)
    }
}

/// Writes rows of the table's schema into a new file of the table; gives the log's word for it.
pub(super) fn write(
    disk: Disk,
    table: &Path,
    name: &Name<'_>,
    schema: &SchemaRef,
    rows: &[RecordBatch],
) -> Result<Add> {
    let failed = |e: ParquetError| Error::internal(format!("rows do not become Parquet: {e}"));
    let (encode, describe) = (|| encode(schema, rows), || stats::describe(schema, rows));
    let (bytes, stats) = match is_large(rows) {
        true => both(encode, describe),
        false => (encode(), describe()),
    };
    let bytes = bytes.map_err(failed)?;
    let name = format!("{name}-{}.parquet", uuid::Uuid::new_v4());
    let path = table.join(&name);
    if !disk.create(&path, &bytes)? {
        return Err(Error::internal(format!("the new name {} is taken", path.display())));
    }
    Ok(Add {
        path: name,
        partition_values: HashMap::new(),
        size: bytes.len() as i64,
        modification_time: SystemClock.now(),
        data_change: true,
        stats: Some(stats?),
        ..Add::default()
    })
}

/// Reads the rows of a file as one batch of the table's schema.
///
/// Another program may have written the file: columns are found by name and cast to the table's
/// types, and one that the file lacks is NULL, as the protocol says.
pub(super) fn read(path: &Path, wanted: &SchemaRef) -> Result<RecordBatch> {
    let failed = |e: ParquetError| {
        Error::sink("FAILED_READ_FILE", format!("cannot read {}: {e}", path.display()))
            .hint("the file belongs to the table; restore it from a copy")
    };
    let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    let present = builder.schema().clone();
    let roots = wanted.fields().iter().filter_map(|f| present.index_of(f.name()).ok());
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(rows.clamp(1, 65_536))
        .build()
        .map_err(failed)?;
    let parts = reader.map(|part| in_shape(part?, wanted)).collect::<Result<Vec<_>>>()?;
    Ok(concat_batches(wanted, &parts)?)
}

fn in_shape(part: RecordBatch, wanted: &SchemaRef) -> Result<RecordBatch> {
    let columns = wanted
        .fields()
        .iter()
        .map(|field| {
            Ok(match part.column_by_name(field.name()) {
                Some(found) => cast(found, field.data_type())?,
                None => new_null_array(field.data_type(), part.num_rows()),
            })
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    Ok(RecordBatch::try_new(wanted.clone(), columns)?)
}
