//! Columns that are the same in each row of a file: those of its partition, which stand in its path
//! as `key=value`, and the hidden column `_metadata`, which tells about the file itself.
//!
//! A declared column gets its values from the path where the path has a partition of its name. The
//! hidden column stands behind all others in the schema of a source; a query that does not name it
//! never asks for it, and so it costs nothing.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::batch::with_rows;
use crate::error::{Error, Result};
use crate::sources::csv;
use crate::sources::listing::{self, unescaped};
use crate::sources::taken::Taken;

/// The hidden column's name, which is Spark's.
pub const HIDDEN: &str = "_metadata";

/// The value of a partition that stands for NULL.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// What the hidden column tells about a file.
fn about_file() -> Fields {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    [
        ("file_path", DataType::Utf8),
        ("file_name", DataType::Utf8),
        ("file_size", DataType::Int64),
        ("file_block_start", DataType::Int64),
        ("file_block_length", DataType::Int64),
        ("file_modification_time", time),
    ]
    .into_iter()
    .map(|(name, data_type)| Field::new(name, data_type, false))
    .collect()
}

/// The hidden column.
pub fn hidden_column() -> Field {
    Field::new(HIDDEN, DataType::Struct(about_file()), false)
}

/// The schema with the hidden column behind the others; a table that has a column of its name keeps
/// that one.
pub fn with_hidden(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    if schema.column_with_name(HIDDEN).is_none() {
        fields.push(Arc::new(hidden_column()));
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Whether this is the hidden column, and not one that the user declared.
fn is_hidden(field: &Field) -> bool {
    field.name() == HIDDEN && *field.data_type() == DataType::Struct(about_file())
}

/// The schema without the hidden column.
pub fn without_hidden(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().filter(|f| !is_hidden(f)).cloned().collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Which columns of a reading do not come out of the files.
#[derive(Debug)]
pub(super) struct Constants {
    /// All columns.
    schema: SchemaRef,
    /// Those that the readers of files give.
    pub of_files: SchemaRef,
    /// Whether the path has any: with `recursiveFileLookup` a folder is just a folder.
    partitions: bool,
}

/// A column and its one value.
pub(super) type Constant = (usize, ArrayRef);

impl Constants {
    pub fn new(schema: SchemaRef, partitions: bool) -> Self {
        Self { of_files: without_hidden(&schema), schema, partitions }
    }

    /// Whether a path may have partitions.
    pub fn partitions(&self) -> bool {
        self.partitions
    }

    /// The columns that are the same in each row of a file.
    pub fn of(&self, project: &Path, folder: &Path, file: &Taken) -> Result<Vec<Constant>> {
        let mut constants = Vec::new();
        let below = file.path.strip_prefix(folder).unwrap_or(&file.path);
        for (column, value) in listing::partitions(below).filter(|_| self.partitions) {
            if let Some((place, field)) = self.schema.column_with_name(&column) {
                constants.push((place, partition_value(field, &value, file)?));
            }
        }
        if let Some(place) = self.schema.fields().iter().position(|f| is_hidden(f)) {
            constants.push((place, Arc::new(metadata(&project.join(&file.path), file))));
        }
        Ok(constants)
    }

    /// What a reader gave, with the constants of its file in their places.
    pub fn put_on(&self, batch: &RecordBatch, constants: &[Constant]) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut of_file = batch.columns().iter();
        let first = UInt32Array::from(vec![0; rows]);
        let column = |(place, field): (usize, &Arc<Field>)| {
            let from_file = if is_hidden(field) { None } else { of_file.next() };
            match (constants.iter().find(|(at, _)| *at == place), from_file) {
                (Some((_, value)), _) => Ok(take(value, &first, None)?),
                (None, Some(column)) => Ok(column.clone()),
                (None, None) => Err(Error::internal("a column of a file has no values")),
            }
        };
        let columns = self.schema.fields().iter().enumerate().map(column);
        with_rows(&self.schema, columns.collect::<Result<_>>()?, rows)
    }
}

/// The value of a partition in the type of its column.
fn partition_value(field: &Field, written: &str, file: &Taken) -> Result<ArrayRef> {
    let text = unescaped(written);
    let text = (text != NULL_PARTITION).then_some(text);
    let value = csv::column_of_texts(field.data_type(), &[text.as_deref()])?;
    if value.is_null(0) && text.is_some() {
        return Err(Error::input(
            "INVALID_PARTITION_VALUE",
            format!(
                "{} is in the partition {}={written}, which is no value of its column's type",
                file.path.display(),
                field.name()
            ),
        )
        .hint("correct the type of the column, or take the folder away"));
    }
    Ok(value)
}

/// The struct of one file.
fn metadata(path: &Path, file: &Taken) -> StructArray {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let size = i64::try_from(file.size).unwrap_or(i64::MAX);
    let time = TimestampMicrosecondArray::from(vec![file.mtime.saturating_mul(1000)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![format!("file:{}", escaped(&whole.to_string_lossy()))])),
        Arc::new(StringArray::from(vec![name.map(|name| escaped(&name)).unwrap_or_default()])),
        Arc::new(Int64Array::from(vec![size])),
        Arc::new(Int64Array::from(vec![0])),
        Arc::new(Int64Array::from(vec![size])),
        Arc::new(time.with_timezone("UTC")),
    ];
    StructArray::new(about_file(), columns, None)
}

/// A path as a URI has it: what may not stand there as `%XX`.
fn escaped(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '%'
            | ' '
            | '"'
            | '<'
            | '>'
            | '\\'
            | '^'
            | '`'
            | '{'
            | '|'
            | '}'
            | '#'
            | '?'
            | '['
            | ']'
            | '\0'..='\x1f'
            | '\x7f' => uri += &format!("%{:02X}", u32::from(c)),
            c => uri.push(c),
        }
    }
    uri
}
