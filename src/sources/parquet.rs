//! One Parquet file into batches of given columns: takes a path and the wanted schema, gives rows
//! with exactly that schema. A column is found by its name; one that the file lacks is NULL; one
//! of another type is cast, or it is an error.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use crate::batch::with_rows;
use crate::error::{Error, Result};

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;

/// A column whose value is the same in each row of a file and stands outside of it: a partition.
pub(super) type Constants = [(String, Option<String>)];

/// The rows of a file. `shown` is how the user would name it.
pub(super) fn read(
    path: &Path,
    shown: &str,
    schema: &SchemaRef,
    constants: &Constants,
) -> Result<Vec<RecordBatch>> {
    let file = File::open(path).map_err(|e| cannot_open(shown, e))?;
    let damaged = |e: String| {
        Error::files("FAILED_READ_FILE.NO_HINT", format!("cannot read {shown}: {e}"))
            .hint("the file is damaged or no Parquet file: write it again, or take it away")
    };
    // Types as Parquet has them, not as the writer's Arrow schema wishes (views, dictionaries).
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .map_err(|e| damaged(e.to_string()))?;
    let there = builder.schema().clone();
    let wanted = schema.fields().iter().filter_map(|field| there.index_of(field.name()).ok());
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|e| damaged(e.to_string()))?;
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| damaged(e.to_string()))?;
        let batch = shaped(&batch, schema, constants).map_err(|e| e.context(shown))?;
        batches.push(batch);
    }
    Ok(batches)
}

/// The columns of `schema`, in its order and with its types.
fn shaped(batch: &RecordBatch, schema: &SchemaRef, constants: &Constants) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let column = |field: &Arc<Field>| -> Result<ArrayRef> {
        let constant = constants.iter().find(|(name, _)| name == field.name());
        let found: ArrayRef = match (constant, batch.column_by_name(field.name())) {
            (Some((_, value)), _) => Arc::new(StringArray::from(vec![value.as_deref(); rows])),
            (None, Some(column)) => column.clone(),
            (None, None) => return Ok(new_null_array(field.data_type(), rows)),
        };
        typed(&found, field)
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_>>()?;
    with_rows(schema, columns, rows)
}

/// The array in the type of the field.
fn typed(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let (from, to): (&DataType, &DataType) = (array.data_type(), field.data_type());
    if from == to {
        return Ok(array.clone());
    }
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &exact).map_err(|e| {
        Error::input(
            "CANNOT_MERGE_INCOMPATIBLE_DATA_TYPE",
            format!(
                "the column '{}' is {from} in the file and {to} in the table: {e}",
                field.name()
            ),
        )
        .hint("correct the type of the column in CREATE TABLE")
    })
}

fn cannot_open(shown: &str, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            Error::files("SOURCE_FILE_MISSING", format!("the file {shown} is gone"))
                .hint("was the table vacuumed or the folder cleaned? put the file back")
        }
        _ => Error::files("SOURCE_FILE_UNREADABLE", format!("cannot read {shown}: {error}"))
            .hint("when the cause is gone, start again: the run continues where it stopped"),
    }
}

/// The schema of a Parquet file, as rows of it are read here.
pub(super) fn schema(path: &Path, shown: &str) -> Result<SchemaRef> {
    let file = File::open(path).map_err(|e| cannot_open(shown, e))?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .map(|builder| micros(builder.schema()))
        .map_err(|e| {
            Error::files("FAILED_READ_FILE.NO_HINT", format!("cannot read {shown}: {e}"))
                .hint("the file is damaged or no Parquet file")
        })
}

/// The schema with all times in microseconds, and UTC where they have a zone.
fn micros(schema: &SchemaRef) -> SchemaRef {
    use arrow::datatypes::{Schema, TimeUnit};
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(_, zone) => {
            let zone = zone.as_ref().map(|_| "UTC".into());
            let micros = DataType::Timestamp(TimeUnit::Microsecond, zone);
            Arc::new(field.as_ref().clone().with_data_type(micros))
        }
        _ => field.clone(),
    };
    let fields: Vec<_> = schema.fields().iter().map(field).collect();
    Arc::new(Schema::new(fields))
}
