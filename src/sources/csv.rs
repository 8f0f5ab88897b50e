//! CSV files into batches, for still tables: takes a file and the wanted schema, gives rows with
//! that schema. Columns are matched by their place, as in Spark; an empty value is NULL, and so is
//! one that does not fit its type.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::json::times;
use super::options::{Options, Rule};
use crate::error::{Error, Result};

/// Spark's options of a CSV table and what becomes of them here.
pub(super) const OPTIONS: &[(&str, Rule)] = &[
    ("header", Rule::Honoured),
    ("sep", Rule::Honoured),
    ("delimiter", Rule::Honoured),
    ("quote", Rule::Honoured),
    ("escape", Rule::Honoured),
    ("comment", Rule::Honoured),
    ("encoding", Rule::Only("UTF-8")),
    ("enforceSchema", Rule::Only("true")),
    ("inferSchema", Rule::Only("false")),
    ("mode", Rule::Only("PERMISSIVE")),
    ("multiLine", Rule::Only("false")),
    ("nullValue", Rule::Only("")),
];

/// The options of a CSV table.
#[derive(Debug, Clone)]
pub(super) struct CsvOptions {
    header: bool,
    separator: u8,
    quote: u8,
    escape: Option<u8>,
    comment: Option<u8>,
}

impl CsvOptions {
    pub fn from_options(options: &Options) -> Result<Self> {
        let byte = |name: &str| match options.get(name).map(str::as_bytes) {
            None => Ok(None),
            Some([byte]) => Ok(Some(*byte)),
            Some(b"\\t") => Ok(Some(b'\t')),
            Some(_) => Err(options.invalid(name, "one character")),
        };
        let separator = match byte("sep")? {
            None => byte("delimiter")?,
            separator => separator,
        };
        Ok(Self {
            header: options.flag("header", false)?,
            separator: separator.unwrap_or(b','),
            quote: byte("quote")?.unwrap_or(b'"'),
            // Spark's escape is a backslash.
            escape: byte("escape")?.or(Some(b'\\')).filter(|e| *e != b'"'),
            comment: byte("comment")?,
        })
    }

    fn reader(&self, schema: SchemaRef) -> arrow::csv::ReaderBuilder {
        let mut reader = arrow::csv::ReaderBuilder::new(schema)
            .with_header(self.header)
            .with_delimiter(self.separator)
            .with_quote(self.quote)
            .with_truncated_rows(true)
            .with_batch_size(8192);
        if let Some(escape) = self.escape {
            reader = reader.with_escape(escape);
        }
        if let Some(comment) = self.comment {
            reader = reader.with_comment(comment);
        }
        reader
    }
}

/// The columns of a file, all STRING: named by its header, or `_c0`, `_c1` …
pub(super) fn header(file: File, shown: &str, options: &CsvOptions) -> Result<SchemaRef> {
    let mut line = String::new();
    BufReader::new(file).read_line(&mut line).map_err(|e| unreadable(shown, e))?;
    let format = arrow::csv::reader::Format::default()
        .with_header(options.header)
        .with_delimiter(options.separator)
        .with_quote(options.quote);
    let (found, _) =
        format.infer_schema(line.as_bytes(), Some(1)).map_err(|e| unreadable(shown, e))?;
    let text = |(place, field): (usize, &Arc<Field>)| {
        let name = if options.header { field.name().clone() } else { format!("_c{place}") };
        Field::new(name, DataType::Utf8, true)
    };
    let fields: Vec<_> = found.fields().iter().enumerate().map(text).collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// The rows of a file.
pub(super) fn read(
    file: File,
    shown: &str,
    schema: &SchemaRef,
    options: &CsvOptions,
) -> Result<Vec<RecordBatch>> {
    let as_text: Vec<_> =
        schema.fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, true)).collect();
    let reader = options.reader(Arc::new(Schema::new(as_text)));
    let reader = reader.build(file).map_err(|e| unreadable(shown, e))?;
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| unreadable(shown, e))?;
        let typed = batch.columns().iter().zip(schema.fields()).map(|(c, f)| typed(c, f));
        let columns = typed.collect::<Result<_>>()?;
        batches.push(RecordBatch::try_new(schema.clone(), columns)?);
    }
    Ok(batches)
}

/// A column of texts in the type of the field; what does not fit is NULL.
fn typed(texts: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let read = || texts.as_string::<i32>().iter();
    Ok(match field.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = read().map(|text| times::micros(text?, zone.is_some()));
            let array: TimestampMicrosecondArray = micros.collect();
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        DataType::Date32 => {
            let array: Date32Array = read().map(|text| times::days(text?)).collect();
            Arc::new(array)
        }
        other => cast_with_options(texts, other, &CastOptions::default())?,
    })
}

fn unreadable(shown: &str, error: impl std::fmt::Display) -> Error {
    Error::input("FAILED_READ_FILE.NO_HINT", format!("cannot read {shown}: {error}"))
        .hint("mend the file, or look at the options sep, quote, escape and header")
}
