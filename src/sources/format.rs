//! What the files of a table are, and how they become rows: takes a format's name and options,
//! gives a reader that takes one file after the other.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::csv::{self, CsvOptions, CsvReader};
use super::json::{self, JsonDecoder, JsonOptions, LineEnd};
use super::options::{Options, Rule};
use super::pieces::Piece;
use super::text::{self, TextReader};
use super::{SourceRead, bytes, parquet};
use crate::error::{Error, Result};

/// What the files of a table are, with the options that say how to read them.
#[derive(Debug, Clone)]
pub(super) enum Format {
    Json(JsonOptions),
    Csv(CsvOptions),
    Parquet,
    Text(LineEnd),
}

/// Options of a Parquet table.
const PARQUET_OPTIONS: &[(&str, Rule)] = &[("mergeSchema", Rule::Only("false"))];

impl Format {
    /// The format of that name; each option must be one of it, or one of `others`.
    pub fn from_options<'a>(
        name: &str,
        given: &'a [(String, String)],
        others: &[(&str, Rule)],
    ) -> Result<(Self, Options<'a>)> {
        let own: &[&[(&str, Rule)]] = match name.to_ascii_lowercase().as_str() {
            "json" => json::OPTIONS,
            "csv" => csv::OPTIONS,
            "parquet" => &[PARQUET_OPTIONS],
            "text" => &[text::OPTIONS],
            other => {
                return Err(Error::sql(
                    "DATA_SOURCE_NOT_FOUND",
                    format!("'{other}' is not a format of tables"),
                )
                .hint("write USING json, csv, parquet, text or delta"));
            }
        };
        let known: Vec<_> = std::iter::once(others).chain(own.iter().copied()).collect();
        let options = Options::new(given, &known)?;
        let format = match name.to_ascii_lowercase().as_str() {
            "json" => Format::Json(JsonOptions::from_options(&options)?),
            "csv" => Format::Csv(CsvOptions::from_options(&options)?),
            "parquet" => Format::Parquet,
            _ => Format::Text(text::line_end(&options)?),
        };
        Ok((format, options))
    }

    /// The name of the column of corrupt records, where the format has one.
    fn corrupt_record(&self) -> Option<&str> {
        match self {
            Format::Json(options) => Some(&options.corrupt_record),
            Format::Csv(options) => Some(&options.corrupt_record),
            Format::Parquet | Format::Text(_) => None,
        }
    }

    /// Whether a table of this format can have these columns.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        if let Format::Text(_) = self {
            return text::check(schema);
        }
        self.corrupt_record().map_or(Ok(()), |name| json::check_corrupt_record(schema, name))
    }

    /// Whether a query can read these columns and no others.
    pub fn check_read(&self, schema: &Schema) -> Result<()> {
        self.corrupt_record().map_or(Ok(()), |name| json::check_columns_read(schema, name))
    }

    /// The columns of these files, in this order, where the table declares none.
    pub fn infer(&self, files: &[std::path::PathBuf], shown: &str) -> Result<SchemaRef> {
        let nothing = || {
            Error::input(
                "UNABLE_TO_INFER_SCHEMA",
                format!("there is no file in {shown} from which to tell the columns"),
            )
            .hint("put a file there first, or write the columns: CREATE TABLE t (id STRING, …)")
        };
        match self {
            Format::Text(_) => {
                Ok(Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)])))
            }
            _ if files.is_empty() => Err(nothing()),
            Format::Json(options) => Ok(json::infer(files, options)?.schema),
            Format::Csv(options) => csv::infer(&files[0], options),
            Format::Parquet => parquet::schema(&files[0], &json::shown(&files[0])),
        }
    }

    /// The last bytes of a file that is complete, as far as the format says.
    pub fn complete_end(&self) -> &'static [u8] {
        match self {
            Format::Parquet => b"PAR1",
            Format::Json(_) | Format::Csv(_) | Format::Text(_) => b"\n",
        }
    }

    /// A reader of these columns of the table's `full` schema; the corrupt-record column apart,
    /// they are those of the files.
    pub fn reader(&self, full: &SchemaRef, schema: SchemaRef) -> Result<Reader> {
        Ok(match self {
            Format::Json(options) => {
                Reader::Json(Box::new(JsonDecoder::new(schema, options.clone())?))
            }
            Format::Csv(options) => {
                Reader::Csv(Box::new(CsvReader::new(full.clone(), schema, options.clone())?))
            }
            Format::Parquet => Reader::Parquet(schema, SourceRead::default()),
            Format::Text(end) => Reader::Text(TextReader::new(schema, end.clone())),
        })
    }
}

/// Reads files of one format.
pub(super) enum Reader {
    Json(Box<JsonDecoder>),
    Csv(Box<CsvReader>),
    Parquet(SchemaRef, SourceRead),
    Text(TextReader),
}

impl Reader {
    /// Takes a file: its path, how the user would name it, and its bytes as they lie on the disk.
    pub fn file(&mut self, path: &Path, shown: &Arc<str>, raw: &mut Vec<u8>) -> Result<()> {
        if let Reader::Parquet(schema, read) = self {
            let batches = parquet::read(path, shown, schema, &[])?;
            read.places.all(shown, batches.iter().map(RecordBatch::num_rows).sum());
            read.batches.extend(batches);
            return Ok(());
        }
        bytes::unpack(path, raw)?;
        self.text(shown, raw)
    }

    /// Takes a file that is unpacked already, whole.
    pub fn text(&mut self, shown: &Arc<str>, raw: &[u8]) -> Result<()> {
        match self {
            Reader::Json(decoder) => decoder.file(shown, raw),
            Reader::Csv(reader) => reader.file(shown, raw),
            Reader::Text(reader) => {
                reader.begin(shown);
                reader.lines(raw);
                Ok(())
            }
            Reader::Parquet(..) => Ok(()),
        }
    }

    /// Whether a file that begins so may be given in pieces: [`Reader::begin`], and then each
    /// [`Reader::piece`].
    pub fn takes_pieces(&self, beginning: &[u8]) -> bool {
        match self {
            Reader::Json(decoder) => decoder.takes_pieces(beginning),
            Reader::Text(reader) => reader.takes_pieces(),
            Reader::Csv(_) | Reader::Parquet(..) => false,
        }
    }

    /// The pieces from now on are of this file.
    pub fn begin(&mut self, shown: &Arc<str>) {
        match self {
            Reader::Json(decoder) => decoder.begin(shown),
            Reader::Text(reader) => reader.begin(shown),
            Reader::Csv(_) | Reader::Parquet(..) => {}
        }
    }

    /// Takes a part of a file, unpacked.
    pub fn piece(&mut self, piece: &Piece<'_>) -> Result<()> {
        match (self, piece) {
            (Reader::Json(decoder), Piece::Lines { at, bytes }) => decoder.lines(*at, bytes),
            (Reader::Json(decoder), Piece::TooLong { at, kept, length }) => {
                decoder.too_long(*at, kept, *length)
            }
            (Reader::Text(reader), Piece::Lines { bytes, .. }) => {
                reader.lines(bytes);
                Ok(())
            }
            (Reader::Text(reader), Piece::TooLong { at, kept, length }) => {
                reader.too_long(*at, kept, *length);
                Ok(())
            }
            (Reader::Csv(_) | Reader::Parquet(..), _) => Ok(()),
        }
    }

    /// Whether [`Reader::file`] looks at the bytes; else it opens the path itself.
    pub fn takes_bytes(&self) -> bool {
        !matches!(self, Reader::Parquet(..))
    }

    /// What was read since the last call.
    pub fn finish(&mut self) -> Result<SourceRead> {
        match self {
            Reader::Json(decoder) => decoder.finish(),
            Reader::Csv(reader) => reader.finish(),
            Reader::Parquet(_, read) => Ok(std::mem::take(read)),
            Reader::Text(reader) => reader.finish(),
        }
    }

    /// Forgets what was read since the last [`Reader::finish`]: after an error.
    pub fn clear(&mut self) {
        match self {
            Reader::Json(decoder) => decoder.clear(),
            Reader::Csv(reader) => reader.clear(),
            Reader::Parquet(_, read) => *read = SourceRead::default(),
            Reader::Text(reader) => reader.clear(),
        }
    }
}
