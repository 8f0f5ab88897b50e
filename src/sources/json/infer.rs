//! A schema from the data: takes the first lines of some files, gives the columns that Spark's
//! inference gives for those lines, and says how much it has looked at.
//!
//! Whole numbers are BIGINT (DECIMAL beyond it), other numbers DOUBLE, texts STRING also where they
//! look like times; what differs from line to line becomes the narrowest type for all, at last
//! STRING. Columns are sorted by name. If a line is no JSON object, the column of corrupt records
//! is one of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::cursor::{Broken, Cursor, Token};
use super::lines::Lines;
use super::{JsonOptions, Mode};
use crate::error::{Error, Result};

/// Lines that are looked at.
const LINES: usize = 1_000;

/// Bytes of one file that are looked at.
const BYTES: u64 = 4 << 20;

/// As deep as values may be nested.
const DEEPEST: usize = 128;

/// A schema, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// The columns, sorted by name, all nullable.
    pub schema: SchemaRef,
    /// How many lines were looked at.
    pub lines: usize,
    /// How many files were looked at.
    pub files: usize,
    /// Whether that was all there is.
    pub complete: bool,
}

/// The type of what was seen so far in one place.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Null,
    Bool,
    Long,
    Decimal(u8),
    Double,
    Text,
    List(Box<Seen>),
    Struct(BTreeMap<String, Seen>),
}

/// The schema of the first 1,000 lines of these files, in this order.
pub fn infer(files: &[PathBuf], options: &JsonOptions) -> Result<Inferred> {
    let mut columns = BTreeMap::new();
    let (mut lines, mut read, mut complete) = (0, 0, true);
    for path in files {
        if lines >= LINES {
            complete = false;
            break;
        }
        let (bytes, whole) = first_bytes(path)?;
        read += 1;
        complete &= whole;
        for line in Lines::new(&bytes, options.multi_line) {
            // The last line that was cut off is no line.
            if (!whole && line.end == bytes.len()) || lines >= LINES {
                complete = false;
                break;
            }
            lines += 1;
            let text = std::str::from_utf8(&bytes[line.start..line.end])
                .map_err(|_| Broken { at: 0, what: "is not UTF-8" });
            match (text.and_then(row), options.mode) {
                (Ok(Seen::Struct(fields)), _) => merge_fields(&mut columns, fields),
                (_, Mode::Permissive) => {
                    columns.insert(options.corrupt_record.clone(), Seen::Text);
                }
                (_, Mode::DropMalformed) => {}
                (_, Mode::FailFast) => {
                    return Err(Error::input(
                        "FAILED_READ_FILE.NO_HINT",
                        format!("{}, line {}: is no JSON object", path.display(), line.number),
                    )
                    .hint("mend the line, or leave out the option mode"));
                }
            }
        }
    }
    let schema = Arc::new(Schema::new(fields(&columns)));
    Ok(Inferred { schema, lines, files: read, complete })
}

/// The type of the value that a text of JSON holds; `None`: it is no JSON.
pub fn type_of_text(text: &str) -> Option<DataType> {
    data_type(&value(&mut Cursor::new(text), 1).ok()?)
}

/// The beginning of a file, and whether that is all of it.
fn first_bytes(path: &PathBuf) -> Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES).read_to_end(&mut bytes));
    read.map_err(|e| Error::io("read", path, e))?;
    let whole = (bytes.len() as u64) < BYTES;
    Ok((bytes, whole))
}

/// The fields of a line, or of all the objects of the array that it is.
fn row(text: &str) -> Result<Seen, Broken> {
    let mut cursor = Cursor::new(text);
    match value(&mut cursor, 1)? {
        Seen::List(item) => Ok(*item),
        other => Ok(other),
    }
}

fn value(cursor: &mut Cursor, depth: usize) -> Result<Seen, Broken> {
    if depth > DEEPEST {
        return cursor.broken("is nested too deep");
    }
    let mut first = true;
    Ok(match cursor.token()? {
        Token::Null => Seen::Null,
        Token::Bool(_) => Seen::Bool,
        Token::Whole(text) if text.parse::<i64>().is_ok() => Seen::Long,
        Token::Whole(text) => match text.trim_start_matches('-').len() {
            digits @ ..=38 => Seen::Decimal(digits as u8),
            _ => Seen::Double,
        },
        Token::Fraction(_) => Seen::Double,
        Token::Text(_) => Seen::Text,
        Token::Array => {
            let mut item = Seen::Null;
            while cursor.element(first)? {
                first = false;
                item = merge(item, value(cursor, depth + 1)?);
            }
            Seen::List(Box::new(item))
        }
        Token::Object => {
            let mut fields = BTreeMap::new();
            while let Some(name) = cursor.field(first)? {
                first = false;
                let name = name.text()?.into_owned();
                fields.insert(name, value(cursor, depth + 1)?);
            }
            Seen::Struct(fields)
        }
    })
}

/// The narrowest type for both.
fn merge(a: Seen, b: Seen) -> Seen {
    use Seen::{Decimal, Double, List, Long, Null, Struct, Text};
    match (a, b) {
        (a, b) if a == b => a,
        (Null, other) | (other, Null) => other,
        (Double, Long | Decimal(_)) | (Long | Decimal(_), Double) => Double,
        (Decimal(p), Long) | (Long, Decimal(p)) => Decimal(p.max(20)),
        (Decimal(p), Decimal(q)) => Decimal(p.max(q)),
        (List(a), List(b)) => List(Box::new(merge(*a, *b))),
        (Struct(mut a), Struct(b)) => {
            merge_fields(&mut a, b);
            Struct(a)
        }
        _ => Text,
    }
}

fn merge_fields(into: &mut BTreeMap<String, Seen>, fields: BTreeMap<String, Seen>) {
    for (name, seen) in fields {
        let merged = match into.remove(&name) {
            Some(before) => merge(before, seen),
            None => seen,
        };
        into.insert(name, merged);
    }
}

fn fields(columns: &BTreeMap<String, Seen>) -> Fields {
    let typed = |(name, seen)| Some(Field::new(name, data_type(seen)?, true));
    columns.iter().filter_map(typed).collect()
}

/// `None`: an object that never had a field is no column.
fn data_type(seen: &Seen) -> Option<DataType> {
    Some(match seen {
        Seen::Null | Seen::Text => DataType::Utf8,
        Seen::Bool => DataType::Boolean,
        Seen::Long => DataType::Int64,
        Seen::Decimal(precision) => DataType::Decimal128(*precision, 0),
        Seen::Double => DataType::Float64,
        Seen::List(item) => DataType::List(Arc::new(Field::new_list_field(data_type(item)?, true))),
        Seen::Struct(of) => match fields(of) {
            fields if fields.is_empty() => return None,
            fields => DataType::Struct(fields),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(text: &str) -> Inferred {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        infer(&[file.path().to_owned()], &JsonOptions::default()).unwrap()
    }

    fn columns(text: &str) -> Vec<(String, DataType)> {
        let fields = inferred(text).schema.fields().clone();
        fields.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    }

    #[test]
    fn takes_the_narrowest_type_for_all_lines_sorted_by_name() {
        let found = columns(
            "{\"v\":1,\"id\":\"a\",\"t\":\"2026-01-01\",\"x\":null,\"e\":{}}\n\
             {\"v\":1.5,\"id\":2,\"b\":true,\"big\":12345678901234567890}\n",
        );
        let expected = [
            ("b", DataType::Boolean),
            ("big", DataType::Decimal128(20, 0)),
            ("id", DataType::Utf8),
            ("t", DataType::Utf8),
            ("v", DataType::Float64),
            ("x", DataType::Utf8),
        ];
        assert_eq!(found, expected.map(|(name, t)| (name.to_owned(), t)));
    }

    #[test]
    fn looks_into_objects_and_arrays() {
        let found =
            columns("{\"s\":{\"b\":1},\"l\":[1,2.5]}\n{\"s\":{\"a\":\"x\"},\"l\":[null]}\n");
        let item = Field::new_list_field(DataType::Float64, true);
        let inner =
            vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Int64, true)];
        assert_eq!(found[0], ("l".to_owned(), DataType::List(Arc::new(item))));
        assert_eq!(found[1], ("s".to_owned(), DataType::Struct(inner.into())));
    }

    #[test]
    fn a_broken_line_adds_the_corrupt_record_column() {
        assert_eq!(columns("{\"a\":1}\noops\n")[0].0, "_corrupt_record");
    }

    #[test]
    fn says_when_it_has_not_looked_at_everything() {
        assert!(inferred("{\"a\":1}\n").complete);
        let long = inferred(&"{\"a\":1}\n".repeat(1_001));
        assert_eq!((long.lines, long.complete), (1_000, false));
    }
}
