//! A schema from the data: takes the first lines of some files, gives the columns that Spark's
//! inference gives for those lines, and says how much it has looked at.
//!
//! Whole numbers are BIGINT (DECIMAL beyond it), other numbers DOUBLE, texts STRING also where they
//! look like times, unless the options `prefersDecimal`, `primitivesAsString` and `inferTimestamp`
//! say otherwise; an empty text says as little as NULL. What differs from line to line becomes the narrowest type for all, at last
//! STRING. Columns are sorted by name. If a line is no JSON object, the column of corrupt records
//! is one of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::cursor::{Broken, Cursor, Token};
use super::lines::Lines;
use super::{JsonOptions, Mode};
use crate::error::{Error, Result};
use crate::sources::bytes;

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
    /// Digits in all, and behind the point.
    Decimal(u8, i8),
    Double,
    Text,
    Timestamp,
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
        let bytes = options.encoding.text(&bytes);
        read += 1;
        complete &= whole;
        for line in Lines::new(&bytes, &options.line_end) {
            // The last line that was cut off is no line.
            if (!whole && line.end == bytes.len()) || lines >= LINES {
                complete = false;
                break;
            }
            lines += 1;
            let text = std::str::from_utf8(&bytes[line.start..line.end])
                .map_err(|_| Broken { at: 0, what: "is not UTF-8" });
            match (text.and_then(|text| row(text, options)), options.mode) {
                (Ok(Seen::Struct(fields)), _) => merge_fields(&mut columns, fields),
                (Ok(Seen::Null), _) => {}
                (_, Mode::Permissive) => {
                    columns.insert(options.corrupt_record.clone(), Seen::Text);
                }
                (_, Mode::DropMalformed) => {}
                (_, Mode::FailFast) => {
                    return Err(Error::files(
                        "FAILED_READ_FILE.NO_HINT",
                        format!("{}, line {}: is no JSON object", path.display(), line.number),
                    )
                    .hint("mend the line, or leave out the option mode"));
                }
            }
        }
    }
    let schema = Arc::new(Schema::new(fields(&columns, options.inference.drop_all_null)));
    Ok(Inferred { schema, lines, files: read, complete })
}

/// The type of the value that a text of JSON holds; `None`: it is no JSON.
pub fn type_of_text(text: &str, options: &JsonOptions) -> Option<DataType> {
    let mut cursor = Cursor::with(text, options.syntax);
    if cursor.next_byte().is_none() {
        return Some(DataType::Utf8);
    }
    data_type(&value(&mut cursor, options, 1).ok()?, options.inference.drop_all_null)
}

/// The beginning of a file, and whether that is all of it.
fn first_bytes(path: &PathBuf) -> Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
    let read = bytes::unpacked(path, file)?.take(BYTES).read_to_end(&mut bytes);
    read.map_err(|e| match bytes::is_packed(path) {
        true => bytes::damaged(path, e),
        false => Error::io("read", path, e),
    })?;
    let whole = (bytes.len() as u64) < BYTES;
    Ok((bytes, whole))
}

/// The fields of a line, or of all the objects of the array that it is; a line of comments is NULL.
fn row(text: &str, options: &JsonOptions) -> Result<Seen, Broken> {
    let mut cursor = Cursor::with(text, options.syntax);
    if cursor.next_byte().is_none() {
        return Ok(Seen::Null);
    }
    match value(&mut cursor, options, 1)? {
        Seen::Null => Ok(Seen::Text),
        Seen::List(item) => Ok(*item),
        other => Ok(other),
    }
}

fn value(cursor: &mut Cursor, options: &JsonOptions, depth: usize) -> Result<Seen, Broken> {
    if depth > DEEPEST {
        return cursor.broken("is nested too deep");
    }
    let mut first = true;
    Ok(match cursor.token()? {
        Token::Null => Seen::Null,
        Token::Array => {
            let mut item = Seen::Null;
            while cursor.element(first)? {
                first = false;
                item = merge(item, value(cursor, options, depth + 1)?);
            }
            Seen::List(Box::new(item))
        }
        Token::Object => {
            let mut fields = BTreeMap::new();
            while let Some(name) = cursor.field(first)? {
                first = false;
                let name = name.text()?.into_owned();
                fields.insert(name, value(cursor, options, depth + 1)?);
            }
            Seen::Struct(fields)
        }
        Token::Text(text) => text_type(&text.text()?, options),
        _ if options.inference.primitives_as_string => Seen::Text,
        Token::Bool(_) => Seen::Bool,
        Token::Whole(text) if text.parse::<i64>().is_ok() => Seen::Long,
        Token::Whole(text) => decimal(text).unwrap_or(Seen::Double),
        Token::Fraction(text) if options.inference.prefers_decimal => {
            decimal(text).unwrap_or(Seen::Double)
        }
        Token::Fraction(_) => Seen::Double,
    })
}

fn text_type(text: &str, options: &JsonOptions) -> Seen {
    if text.is_empty() {
        return Seen::Null;
    }
    let decimal = || decimal(text).filter(|_| options.inference.prefers_decimal);
    let time = || options.inference.timestamps && options.times.timestamp(text).is_some();
    decimal().unwrap_or_else(|| if time() { Seen::Timestamp } else { Seen::Text })
}

/// The DECIMAL that holds a number exactly; `None`: it has too many digits, or is none.
fn decimal(text: &str) -> Option<Seen> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0').len().max(1) as i32;
    let scale = (fraction.len() as i32).checked_sub(exponent)?;
    // Zeros that an exponent stands for are digits too.
    let (digits, scale) = if scale < 0 { (digits.checked_sub(scale)?, 0) } else { (digits, scale) };
    let precision = digits.max(scale);
    (precision <= 38).then_some(Seen::Decimal(precision as u8, scale as i8))
}

/// The narrowest type for both.
fn merge(a: Seen, b: Seen) -> Seen {
    use Seen::{Decimal, Double, List, Long, Null, Struct, Text};
    match (a, b) {
        (a, b) if a == b => a,
        (Null, other) | (other, Null) => other,
        (Double, Long | Decimal(..)) | (Long | Decimal(..), Double) => Double,
        (Decimal(p, s), Long) | (Long, Decimal(p, s)) => wider((p, s), (20, 0)),
        (Decimal(p, s), Decimal(q, t)) => wider((p, s), (q, t)),
        (List(a), List(b)) => List(Box::new(merge(*a, *b))),
        (Struct(mut a), Struct(b)) => {
            merge_fields(&mut a, b);
            Struct(a)
        }
        _ => Text,
    }
}

/// The DECIMAL that holds both, or DOUBLE.
fn wider((p, s): (u8, i8), (q, t): (u8, i8)) -> Seen {
    let scale = s.max(t);
    let whole = (p as i8 - s).max(q as i8 - t);
    match whole + scale {
        precision @ ..=38 => Seen::Decimal(precision as u8, scale),
        _ => Seen::Double,
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

fn fields(columns: &BTreeMap<String, Seen>, drop_null: bool) -> Fields {
    let named = columns.iter().filter(|(name, _)| !name.is_empty());
    named
        .filter_map(|(name, seen)| Some(Field::new(name, data_type(seen, drop_null)?, true)))
        .collect()
}

/// `None`: an object that never had a field is no column, and with `drop_null` neither is what was
/// never anything but NULL.
fn data_type(seen: &Seen, drop_null: bool) -> Option<DataType> {
    Some(match seen {
        Seen::Null if drop_null => return None,
        Seen::Null | Seen::Text => DataType::Utf8,
        Seen::Bool => DataType::Boolean,
        Seen::Long => DataType::Int64,
        Seen::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
        Seen::Double => DataType::Float64,
        Seen::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Seen::List(item) => {
            let item = data_type(item, drop_null)?;
            DataType::List(Arc::new(Field::new_list_field(item, true)))
        }
        Seen::Struct(of) => match fields(of, drop_null) {
            fields if fields.is_empty() => return None,
            fields => DataType::Struct(fields),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::json::Inference;

    fn inferred(text: &str) -> Inferred {
        inferred_with(text, Inference::default())
    }

    fn inferred_with(text: &str, inference: Inference) -> Inferred {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let options = JsonOptions { inference, ..JsonOptions::default() };
        infer(&[file.path().to_owned()], &options).unwrap()
    }

    fn columns(text: &str) -> Vec<(String, DataType)> {
        columns_with(text, Inference::default())
    }

    fn columns_with(text: &str, inference: Inference) -> Vec<(String, DataType)> {
        let fields = inferred_with(text, inference).schema.fields().clone();
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
