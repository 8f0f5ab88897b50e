//! Rows as a person or a program reads them: a table, JSON lines, CSV.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use arrow::json::LineDelimitedWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::calendar::Zone;
use crate::error::Result;
use crate::time::readable_micros;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    Table,
    /// One JSON object a row.
    Json,
    /// Comma-separated values with a header.
    Csv,
}

/// Writes rows in a format: for people in a zone, for programs in UTC with its sign.
pub fn write(
    out: &mut dyn Write,
    format: Format,
    schema: &SchemaRef,
    rows: &[RecordBatch],
    zone: &Zone,
) -> Result<()> {
    match format {
        Format::Table => {
            let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
            let ending = if count == 1 { "row" } else { "rows" };
            writeln!(out, "{}\n{count} {ending}", render(schema, rows, zone)?)
                .map_err(|e| crate::error::Error::io("write to", "standard output".as_ref(), e))?;
        }
        Format::Json => {
            let mut writer = LineDelimitedWriter::new(out);
            rows.iter().try_for_each(|batch| writer.write(batch))?;
            writer.finish()?;
        }
        Format::Csv => {
            let mut writer = WriterBuilder::new().with_header(true).build(out);
            if rows.is_empty() {
                writer.write(&RecordBatch::new_empty(schema.clone()))?;
            }
            for batch in rows {
                writer.write(&flat(batch)?)?;
            }
        }
    }
    Ok(())
}

/// The rows as a table of text, instants by the clocks of a zone.
pub fn render(schema: &SchemaRef, rows: &[RecordBatch], zone: &Zone) -> Result<Table> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(schema.fields().iter().map(|field| field.name().clone()));
    for (column, field) in table.column_iter_mut().zip(schema.fields()) {
        if field.data_type().is_numeric() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for batch in rows {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| cell(column, row, zone));
            table.add_row(cells.collect::<Result<Vec<_>>>()?);
        }
    }
    Ok(table)
}

/// One value as text: times without zone and needless zeros, windows as `start → end`.
pub fn cell(column: &ArrayRef, row: usize, zone: &Zone) -> Result<String> {
    if column.is_null(row) {
        return Ok("NULL".into());
    }
    if let DataType::Timestamp(TimeUnit::Microsecond, at) = column.data_type() {
        let micros = arrow::compute::cast(&column.slice(row, 1), &DataType::Int64)?;
        let time = micros.as_primitive::<Int64Type>().value(0);
        return Ok(readable_micros(if at.is_some() { zone.clock(time) } else { time }));
    }
    if let Some((start, end)) = column.as_any().downcast_ref().and_then(window) {
        let (start, end) = (cell(start, row, zone)?, cell(end, row, zone)?);
        let same_day = start.get(..10) == end.get(..10);
        return Ok(format!("{start} → {}", if same_day { end[10..].trim_start() } else { &end }));
    }
    let options = FormatOptions::default().with_null("NULL");
    Ok(ArrayFormatter::try_new(column.as_ref(), &options)?.value(row).to_string())
}

/// The two columns of a window of time.
fn window(column: &StructArray) -> Option<(&ArrayRef, &ArrayRef)> {
    match column.columns() {
        [start, end]
            if column.column_names() == ["start", "end"]
                && matches!(start.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) =>
        {
            Some((start, end))
        }
        _ => None,
    }
}

/// CSV has no nesting: structs and lists become text.
fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut columns: Vec<(String, ArrayRef)> = vec![];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let column = if field.data_type().is_nested() {
            let text = (0..column.len()).map(|row| cell(column, row, &Zone::default()).map(Some));
            let text: Vec<Option<String>> = text.collect::<Result<_>>()?;
            std::sync::Arc::new(arrow::array::StringArray::from(text)) as ArrayRef
        } else {
            column.clone()
        };
        columns.push((field.name().clone(), column));
    }
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))?)
}
