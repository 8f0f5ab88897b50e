//! JSON lines straight into Arrow: takes the bytes of files, gives batches of the columns that a
//! query needs, and each line that is no row as a [`BadRecord`](super::BadRecord); never lets a broken line take its
//! neighbours with it.
//!
//! ```text
//! bytes ─ lines.rs ─► lines ─ crate::json ─► values ─ object.rs, column.rs ─► columns ─ decoder.rs ─► batches
//! ```
//!
//! What a line means is Spark's rule, for its three modes (option `mode`):
//!
//! | | a line that is no JSON object | a value of the wrong type |
//! |---|---|---|
//! | PERMISSIVE (default) | a row of NULLs, and a bad record | NULL; the row is counted as mistyped |
//! | DROPMALFORMED | no row, a bad record | no row, a bad record |
//! | FAILFAST | an error | an error |
//!
//! In PERMISSIVE mode the column named by `columnNameOfCorruptRecord`, if the schema has it, holds
//! the text of both kinds of line. Only columns that are read are checked for their type; whether
//! a line is JSON is checked always. Text behind the object of a line is not read, as in Spark, but
//! it is a bad record here.

mod column;
mod decoder;
mod infer;
mod lines;
mod number;
mod object;
pub mod texts;
pub(super) mod times;

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

pub use decoder::JsonDecoder;
pub use infer::{Inferred, infer, type_of_text};

use super::options::{Options, Rule};
use crate::error::Result;
use crate::json as cursor;

/// What happens to a line that is no row: Spark's option `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It gives a row of NULLs.
    #[default]
    Permissive,
    /// It gives no row.
    DropMalformed,
    /// It ends the query.
    FailFast,
}

/// The options of a JSON table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonOptions {
    /// What happens to a line that is no row.
    pub mode: Mode,
    /// The column that holds the text of such a line, if the schema has it.
    pub corrupt_record: String,
    /// A file is one document, over several lines, instead of one on each line.
    pub multi_line: bool,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self { mode: Mode::default(), corrupt_record: "_corrupt_record".into(), multi_line: false }
    }
}

/// Spark's options of a JSON table and what becomes of them here.
pub(super) const OPTIONS: &[(&str, Rule)] = &[
    ("mode", Rule::Honoured),
    ("columnNameOfCorruptRecord", Rule::Honoured),
    ("multiLine", Rule::Honoured),
    ("allowBackslashEscapingAnyCharacter", Rule::Only("false")),
    ("allowComments", Rule::Only("false")),
    ("allowNonNumericNumbers", Rule::Only("true")),
    ("allowNumericLeadingZeros", Rule::Only("false")),
    ("allowSingleQuotes", Rule::Only("true")),
    ("allowUnquotedControlChars", Rule::Only("false")),
    ("allowUnquotedFieldNames", Rule::Only("false")),
    ("compression", Rule::Only("none")),
    ("dateFormat", Rule::Only("yyyy-MM-dd")),
    ("dropFieldIfAllNull", Rule::Only("false")),
    ("enableDateTimeParsingFallback", Rule::Only("true")),
    ("encoding", Rule::Only("UTF-8")),
    ("charset", Rule::Only("UTF-8")),
    ("inferTimestamp", Rule::Only("false")),
    ("lineSep", Rule::Only("\n")),
    ("locale", Rule::Only("en-US")),
    ("prefersDecimal", Rule::Only("false")),
    ("primitivesAsString", Rule::Only("false")),
    ("samplingRatio", Rule::Only("1.0")),
    ("timeZone", Rule::Only("UTC")),
    ("timestampFormat", Rule::Only("yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]")),
    ("timestampNTZFormat", Rule::Only("yyyy-MM-dd'T'HH:mm:ss[.SSS]")),
];

impl JsonOptions {
    /// The JSON options among those of a table.
    pub(super) fn from_options(options: &Options) -> Result<Self> {
        let mode = match options.get("mode").map(str::to_ascii_uppercase).as_deref() {
            None | Some("PERMISSIVE") => Mode::Permissive,
            Some("DROPMALFORMED") => Mode::DropMalformed,
            Some("FAILFAST") => Mode::FailFast,
            Some(_) => {
                return Err(options.invalid("mode", "PERMISSIVE, DROPMALFORMED or FAILFAST"));
            }
        };
        let default = Self::default();
        Ok(Self {
            mode,
            corrupt_record: options
                .get("columnNameOfCorruptRecord")
                .map_or(default.corrupt_record, str::to_owned),
            multi_line: options.flag("multiLine", false)?,
        })
    }
}

/// The schema with every field, also of structs, lists and maps, nullable: what a file may lack.
pub fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(|f| Arc::new(nullable_field(f))).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The same field, and all fields in it, nullable: what a source gives may always be absent.
fn nullable_field(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| Arc::new(nullable_field(f))).collect())
        }
        DataType::List(item) => DataType::List(Arc::new(nullable_field(item))),
        DataType::Map(entry, sorted) => match entry.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                let pair = Fields::from(vec![pair[0].clone(), Arc::new(nullable_field(&pair[1]))]);
                let entry = entry.as_ref().clone().with_data_type(DataType::Struct(pair));
                DataType::Map(Arc::new(entry), *sorted)
            }
            _ => field.data_type().clone(),
        },
        other => other.clone(),
    };
    field.clone().with_data_type(data_type).with_nullable(true)
}

/// The text of a file as the user would name it; bytes that are no UTF-8 are replaced.
pub(super) fn shown(path: &std::path::Path) -> Arc<str> {
    match path.to_string_lossy() {
        Cow::Borrowed(name) => name.into(),
        Cow::Owned(name) => name.into(),
    }
}

#[cfg(test)]
mod tests;
