//! Rows for tables that are no text: JSON lines become a Parquet file, or a version of a Delta table.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::json::ReaderBuilder;
use deltalake::parquet::arrow::ArrowWriter;

use crate::durable::Disk;
use crate::error::{Error, Result};
use crate::sinks::{DeltaSink, DeltaSinkOptions, Expected, OutputBatch, OutputMode, Sink};
use crate::sql::TableDefinition;

/// JSON lines as rows of a table, whose columns must be declared.
pub(super) fn rows(table: &TableDefinition, lines: &str) -> Result<Vec<RecordBatch>> {
    let name = &table.name;
    let Some(schema) = &table.columns else {
        let what = format!("{name} declares no columns, so lines cannot become rows of it");
        return Err(Error::usage("COLUMNS_NOT_DECLARED", what)
            .hint(format!("write them: CREATE TABLE {name} (column TYPE, …) USING …")));
    };
    let reader = ReaderBuilder::new(schema.clone()).build(lines.as_bytes());
    let read = reader.and_then(Iterator::collect::<Result<Vec<RecordBatch>, _>>);
    read.map_err(|e| {
        Error::input("ROWS_NOT_READ", format!("the lines are no rows of {name}: {e}"))
            .hint("write a JSON object a line, with values of the declared types")
    })
}

/// Makes a Parquet file of rows.
pub(super) fn write_parquet(path: &Path, rows: &[RecordBatch]) -> Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let failed = |e| Error::internal(format!("rows do not become Parquet: {e}"));
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, first.schema(), None).map_err(failed)?;
    rows.iter().try_for_each(|part| writer.write(part)).map_err(failed)?;
    writer.close().map_err(failed)?;
    std::fs::write(path, bytes).map_err(|e| Error::io("write", path, e))
}

/// Adds rows to a Delta table as its next version; `number` is that of what is added.
pub(super) fn append_delta(
    disk: Disk,
    table: &Path,
    number: u64,
    rows: Vec<RecordBatch>,
) -> Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let mut sink = DeltaSink::open(DeltaSinkOptions {
        path: table.to_path_buf(),
        app_id: "script".into(),
        schema: first.schema(),
        mode: OutputMode::Append,
        keys: vec![],
        event_time: None,
        expected: Expected::default(),
        is_repeatable: true,
        disk,
    })?;
    sink.write(&OutputBatch { id: number, rows, watermark: None })
}
