//! CSV into batches: takes the bytes of files, gives the columns that a query needs, and each record
//! that is no row as a bad record, by the same three modes as JSON.
//!
//! Columns are matched by their place, as in Spark; an empty value is NULL. A record with too few or
//! too many values is malformed; where a query reads only some columns Spark looks at those alone,
//! and so the count of values is not checked then.

mod reader;
mod record;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

pub(super) use self::reader::CsvReader;
pub(super) use self::record::Records;
use self::record::Syntax;
use super::bytes::{self, Encoding};
use super::json::{CORRUPT_RECORD, Column, LineEnd, Mode};
use super::options::{Options, Rule};
use super::time_forms::{self, TimeForms};
use crate::error::{Error, Result};

/// Spark's options of a CSV table and what becomes of them here.
pub(super) const OPTIONS: &[&[(&str, Rule)]] = &[RECORDS, time_forms::OPTIONS];

const RECORDS: &[(&str, Rule)] = &[
    ("header", Rule::Honoured),
    ("sep", Rule::Honoured),
    ("delimiter", Rule::Honoured),
    ("quote", Rule::Honoured),
    ("escape", Rule::Honoured),
    ("comment", Rule::Honoured),
    ("columnNameOfCorruptRecord", Rule::Honoured),
    ("emptyValue", Rule::Honoured),
    ("encoding", Rule::Honoured),
    ("charset", Rule::Honoured),
    ("enforceSchema", Rule::Honoured),
    ("ignoreLeadingWhiteSpace", Rule::Honoured),
    ("ignoreTrailingWhiteSpace", Rule::Honoured),
    ("lineSep", Rule::Honoured),
    ("mode", Rule::Honoured),
    ("multiLine", Rule::Honoured),
    ("nanValue", Rule::Honoured),
    ("negativeInf", Rule::Honoured),
    ("nullValue", Rule::Honoured),
    ("positiveInf", Rule::Honoured),
    ("inferSchema", Rule::Only("false")),
    ("unescapedQuoteHandling", Rule::Only("STOP_AT_DELIMITER")),
    ("compression", Rule::Ignored),
    ("maxColumns", Rule::Ignored),
    ("maxCharsPerColumn", Rule::Ignored),
    ("preferDate", Rule::Ignored),
    ("samplingRatio", Rule::Ignored),
];

/// The options of a CSV table.
#[derive(Debug, Clone)]
pub(super) struct CsvOptions {
    pub header: bool,
    /// Names in a header are not compared with those of the table.
    pub enforce_schema: bool,
    pub mode: Mode,
    pub corrupt_record: String,
    pub line_end: LineEnd,
    pub encoding: Encoding,
    pub syntax: Syntax,
    pub times: Arc<TimeForms>,
    pub words: Words,
}

/// Texts that stand for values which have no text of their own.
#[derive(Debug, Clone)]
pub(super) struct Words {
    pub null: String,
    /// What a pair of quotes with nothing in between means.
    pub empty: String,
    pub nan: String,
    pub infinity: String,
    pub minus_infinity: String,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            null: String::new(),
            empty: String::new(),
            nan: "NaN".into(),
            infinity: "Inf".into(),
            minus_infinity: "-Inf".into(),
        }
    }
}

impl CsvOptions {
    pub fn from_options(options: &Options) -> Result<Self> {
        let word = |name: &str, default: String| options.get(name).map_or(default, str::to_owned);
        let default = Words::default();
        Ok(Self {
            header: options.flag("header", false)?,
            enforce_schema: options.flag("enforceSchema", true)?,
            mode: Mode::from_options(options)?,
            corrupt_record: word("columnNameOfCorruptRecord", CORRUPT_RECORD.into()),
            line_end: LineEnd::from_options(options)?,
            encoding: Encoding::from_options(options)?,
            syntax: Syntax::from_options(options)?,
            times: Arc::new(TimeForms::from_options(options)?),
            words: Words {
                null: word("nullValue", default.null),
                empty: word("emptyValue", default.empty),
                nan: word("nanValue", default.nan),
                infinity: word("positiveInf", default.infinity),
                minus_infinity: word("negativeInf", default.minus_infinity),
            },
        })
    }
}

/// The columns of a file, all STRING: named by its header, or `_c0`, `_c1` …
pub(super) fn infer(path: &PathBuf, options: &CsvOptions) -> Result<SchemaRef> {
    let mut raw = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    bytes::unpack(path, &mut raw)?;
    let text = options.encoding.text(&raw);
    let text = String::from_utf8_lossy(&text);
    let mut records = Records::new(&text, options);
    let first = records.next().map(|record| record.values).unwrap_or_default();
    let mut fields: Vec<Field> = Vec::new();
    for (place, value) in first.iter().enumerate() {
        let name = value.as_deref().filter(|name| options.header && !name.is_empty());
        let same = |other: &Option<_>| {
            let other: &Option<std::borrow::Cow<str>> = other;
            other.as_deref().zip(name).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        // Of two columns with one name, each gets its place behind it.
        let name = match name {
            Some(name) if first.iter().filter(|other| same(other)).count() > 1 => {
                format!("{name}{place}")
            }
            Some(name) => name.to_owned(),
            None => format!("_c{place}"),
        };
        fields.push(Field::new(name, DataType::Utf8, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Texts in the type of a column; one that does not fit is NULL.
pub(super) fn column_of_texts(data_type: &DataType, texts: &[Option<&str>]) -> Result<ArrayRef> {
    let mut column = Column::new(data_type, &Arc::default())?;
    let words = Words::default();
    for text in texts {
        if !text.is_some_and(|text| column.push_plain(text, &words)) {
            column.push_null();
        }
    }
    column.finish()
}
