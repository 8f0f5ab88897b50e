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
mod entries;
mod infer;
mod lines;
mod number;
mod object;
mod syntax;
pub mod texts;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

pub(super) use column::Column;
pub use decoder::JsonDecoder;
pub(super) use decoder::KEPT_OF_TOO_LONG;
pub use infer::{Inferred, infer, type_of_text};
pub use lines::LineEnd;
pub(super) use lines::{Line, Lines};

use super::bytes::Encoding;
use super::options::{Options, Rule};
use super::time_forms::{self, TimeForms};
use crate::error::{Error, Result};
use crate::json::{self as cursor, Syntax};

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
#[derive(Debug, Clone)]
pub struct JsonOptions {
    /// What happens to a line that is no row.
    pub mode: Mode,
    /// The column that holds the text of such a line, if the schema has it.
    pub corrupt_record: String,
    /// Where a record ends: with `multiLine` nowhere, a file is one document.
    pub line_end: LineEnd,
    /// What a text may hold besides JSON.
    pub syntax: Syntax,
    /// How texts become times.
    pub times: Arc<TimeForms>,
    /// How bytes become text.
    pub(super) encoding: Encoding,
    /// What the columns are when none are declared.
    pub(super) inference: Inference,
}

/// How columns are told from the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Inference {
    /// Numbers and booleans are STRING.
    pub primitives_as_string: bool,
    /// Numbers with a fraction are DECIMAL where one holds them.
    pub prefers_decimal: bool,
    /// A field that is always NULL, or an empty array or object, is no column.
    pub drop_all_null: bool,
    /// Texts that look like times are TIMESTAMP.
    pub timestamps: bool,
}

/// Spark's word for the column of corrupt records.
pub(super) const CORRUPT_RECORD: &str = "_corrupt_record";

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            corrupt_record: CORRUPT_RECORD.into(),
            line_end: LineEnd::default(),
            syntax: Syntax::default(),
            times: Arc::default(),
            encoding: Encoding::default(),
            inference: Inference::default(),
        }
    }
}

/// Spark's options of a JSON table and what becomes of them here.
pub(super) const OPTIONS: &[&[(&str, Rule)]] = &[RECORDS, syntax::OPTIONS, time_forms::OPTIONS];

const RECORDS: &[(&str, Rule)] = &[
    ("mode", Rule::Honoured),
    ("columnNameOfCorruptRecord", Rule::Honoured),
    ("multiLine", Rule::Honoured),
    ("lineSep", Rule::Honoured),
    ("encoding", Rule::Honoured),
    ("charset", Rule::Honoured),
    ("dropFieldIfAllNull", Rule::Honoured),
    ("inferTimestamp", Rule::Honoured),
    ("prefersDecimal", Rule::Honoured),
    ("primitivesAsString", Rule::Honoured),
    // A file says itself how it is compressed, by its name; the rest is for writing.
    ("compression", Rule::Ignored),
    ("ignoreNullFields", Rule::Ignored),
    ("samplingRatio", Rule::Ignored),
];

impl Mode {
    /// The option `mode`.
    pub(super) fn from_options(options: &Options) -> Result<Self> {
        match options.get("mode").map(str::to_ascii_uppercase).as_deref() {
            None | Some("PERMISSIVE") => Ok(Mode::Permissive),
            Some("DROPMALFORMED") => Ok(Mode::DropMalformed),
            Some("FAILFAST") => Ok(Mode::FailFast),
            Some(_) => Err(options.invalid("mode", "PERMISSIVE, DROPMALFORMED or FAILFAST")),
        }
    }
}

impl LineEnd {
    /// The options `multiLine` and `lineSep`.
    pub(super) fn from_options(options: &Options) -> Result<Self> {
        match options.get("lineSep") {
            _ if options.flag("multiLine", false)? => Ok(LineEnd::Never),
            None => Ok(LineEnd::Any),
            Some("") => Err(options.invalid("lineSep", "at least one character")),
            Some(separator) => Ok(LineEnd::At(separator.as_bytes().to_vec())),
        }
    }
}

impl JsonOptions {
    /// The JSON options among those of a table.
    pub(super) fn from_options(options: &Options) -> Result<Self> {
        let corrupt_record = options.get("columnNameOfCorruptRecord").unwrap_or(CORRUPT_RECORD);
        Ok(Self {
            mode: Mode::from_options(options)?,
            corrupt_record: corrupt_record.to_owned(),
            line_end: LineEnd::from_options(options)?,
            syntax: syntax::from_options(options)?,
            times: Arc::new(TimeForms::from_options(options)?),
            encoding: Encoding::from_options(options)?,
            inference: Inference {
                primitives_as_string: options.flag("primitivesAsString", false)?,
                prefers_decimal: options.flag("prefersDecimal", false)?,
                drop_all_null: options.flag("dropFieldIfAllNull", false)?,
                timestamps: options.flag("inferTimestamp", false)?,
            },
        })
    }
}

/// The column of corrupt records must be able to hold a text.
pub(super) fn check_corrupt_record(schema: &Schema, name: &str) -> Result<()> {
    match schema.field_with_name(name) {
        Ok(field) if *field.data_type() != DataType::Utf8 => Err(Error::sql(
            "INVALID_CORRUPT_RECORD_TYPE",
            format!("the column '{name}' gets the text of bad records, but it is no STRING"),
        )
        .hint(format!(
            "declare it as {name} STRING, or name another with columnNameOfCorruptRecord"
        ))),
        _ => Ok(()),
    }
}

/// A query must read a column besides that of the corrupt records: by those of the others it is
/// told which records are corrupt (Spark's rule).
pub(super) fn check_columns_read(schema: &Schema, corrupt_record: &str) -> Result<()> {
    match schema.fields().iter().as_slice() {
        [only] if only.name() == corrupt_record => Err(Error::sql(
            "UNSUPPORTED_FEATURE.QUERY_ONLY_CORRUPT_RECORD_COLUMN",
            format!("the query reads no column but '{corrupt_record}'"),
        )
        .hint("read another column too: which records are corrupt depends on those that are read")),
        _ => Ok(()),
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

/// The name of a file as it is shown: in one line, whatever bytes it has. Different names are shown
/// differently: what is no character that can be printed is there as `\xNN`.
pub(super) fn shown(path: &std::path::Path) -> Arc<str> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let plain = |text: &str| !text.chars().any(char::is_control);
    if let Some(text) = path.to_str().filter(|text| plain(text)) {
        return text.into();
    }
    let mut text = String::new();
    let escaped = |bytes: &[u8]| bytes.iter().map(|b| format!("\\x{b:02X}")).collect::<String>();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character.is_control() {
                true => text += &escaped(character.encode_utf8(&mut [0; 4]).as_bytes()),
                false => text.push(character),
            }
        }
        text += &escaped(chunk.invalid());
    }
    text.into()
}

#[cfg(test)]
mod tests;
