//! Times as text and text as times, by Spark's patterns: `date_format`, `to_timestamp`.
//!
//! A pattern is letters that repeat (`yyyy-MM-dd HH:mm:ss.SSS`), text in single quotes, and other
//! signs that stand for themselves. It is translated once a call into the form that `chrono`
//! reads. A letter that has no translation is an error, not a guess.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::Error;
use crate::sql::types;

/// `date_format(time, pattern)`.
pub(in crate::sql) fn date_format() -> Arc<ScalarUDF> {
    function(Kind::Format, "date_format")
}

/// `to_timestamp(text, pattern)`; with one argument it is a cast.
pub(in crate::sql) fn to_timestamp() -> Arc<ScalarUDF> {
    function(Kind::Parse, "to_timestamp")
}

fn function(kind: Kind, name: &'static str) -> Arc<ScalarUDF> {
    let types = match kind {
        Kind::Format => vec![types::timestamp(), DataType::Utf8],
        Kind::Parse => vec![DataType::Utf8, DataType::Utf8],
    };
    let signature = Signature::exact(types, Volatility::Immutable);
    Arc::new(ScalarUDF::from(TimeText { kind, name, signature }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Format,
    Parse,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeText {
    kind: Kind,
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for TimeText {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(if self.kind == Kind::Parse { types::timestamp() } else { DataType::Utf8 })
    }

    // So that a wrong pattern is found before the first row.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        if let Some(Some(ScalarValue::Utf8(Some(pattern)))) = args.scalar_arguments.get(1) {
            chrono_format(pattern)?;
        }
        Ok(Arc::new(Field::new(self.name, self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let Some(value) = args.args.first() else {
            return exec_err!("{} needs a value", self.name);
        };
        let value = value.to_array(args.number_rows)?;
        let pattern = match args.args.get(1) {
            Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(pattern)))) => pattern,
            Some(ColumnarValue::Scalar(ScalarValue::Utf8(None))) => {
                let nulls = arrow::array::new_null_array(args.return_type(), args.number_rows);
                return Ok(ColumnarValue::Array(nulls));
            }
            _ => return exec_err!("the pattern of {} must be a constant text", self.name),
        };
        let format = chrono_format(pattern)?;
        let result = match self.kind {
            Kind::Parse => parsed(&value, &format, pattern)?,
            _ => formatted(&value, &format)?,
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn times(value: &ArrayRef) -> PlanResult<&TimestampMicrosecondArray> {
    match value.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => Ok(times),
        None => exec_err!("expected a timestamp, found {}", value.data_type()),
    }
}

fn formatted(value: &ArrayRef, format: &str) -> PlanResult<ArrayRef> {
    let text = times(value)?.iter().map(|time| {
        let time: DateTime<Utc> = DateTime::from_timestamp_micros(time?)?;
        Some(time.format(format).to_string())
    });
    Ok(Arc::new(text.collect::<StringArray>()))
}

fn parsed(value: &ArrayRef, format: &str, pattern: &str) -> PlanResult<ArrayRef> {
    let Some(texts) = value.as_string_opt::<i32>() else {
        return exec_err!("expected a text, found {}", value.data_type());
    };
    let mut times = Vec::with_capacity(texts.len());
    for text in texts {
        times.push(text.map(|text| micros(text, format, pattern)).transpose()?);
    }
    let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
    Ok(Arc::new(times))
}

fn micros(text: &str, format: &str, pattern: &str) -> Result<i64, Error> {
    if let Ok(time) = DateTime::parse_from_str(text, format) {
        return Ok(time.timestamp_micros());
    }
    let time = NaiveDateTime::parse_from_str(text, format).or_else(|e| {
        let midnight = |date: NaiveDate| date.and_hms_opt(0, 0, 0).ok_or(e);
        NaiveDate::parse_from_str(text, format).and_then(midnight)
    });
    match time {
        Ok(time) => Ok(time.and_utc().timestamp_micros()),
        Err(_) => Err(Error::input(
            "CANNOT_PARSE_TIMESTAMP",
            format!("'{text}' is not a time of the form '{pattern}'"),
        )
        .hint("correct the pattern, or filter such rows out before")),
    }
}

/// Spark's pattern as `chrono` writes it.
fn chrono_format(pattern: &str) -> Result<String, Error> {
    let mut out = String::new();
    let mut rest = pattern.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter == '\'' {
            quoted(&mut rest, &mut out);
            continue;
        }
        if !letter.is_ascii_alphabetic() {
            push_literal(letter, &mut out);
            continue;
        }
        let mut count = 1;
        while rest.next_if_eq(&letter).is_some() {
            count += 1;
        }
        let field = match (letter, count) {
            ('y' | 'u', 2) => "%y",
            ('y' | 'u', _) => "%Y",
            ('M' | 'L', 1) => "%-m",
            ('M' | 'L', 2) => "%m",
            ('M' | 'L', 3) => "%b",
            ('M' | 'L', 4) => "%B",
            ('d', 1) => "%-d",
            ('d', 2) => "%d",
            ('D', 1) => "%-j",
            ('D', 3) => "%j",
            ('H', 1) => "%-H",
            ('H', 2) => "%H",
            ('h', 1) => "%-I",
            ('h', 2) => "%I",
            ('m', 1) => "%-M",
            ('m', 2) => "%M",
            ('s', 1) => "%-S",
            ('s', 2) => "%S",
            ('S', 3) => "%3f",
            ('S', 6) => "%6f",
            ('S', 9) => "%9f",
            ('a', 1) => "%p",
            ('E', 1..=3) => "%a",
            ('E', 4) => "%A",
            ('X' | 'x', 3) => "%:z",
            ('X' | 'x' | 'Z', _) => "%z",
            _ => {
                let letters = String::from(letter).repeat(count);
                return Err(Error::sql(
                    "INVALID_DATETIME_PATTERN",
                    format!("the pattern '{pattern}' holds '{letters}', which is not supported"),
                )
                .hint("use yyyy MM dd HH mm ss SSS EEE a, and text in 'quotes'"));
            }
        };
        out.push_str(field);
    }
    Ok(out)
}

/// `'T'` is the letter itself, `''` is one quote.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    if rest.next_if_eq(&'\'').is_some() {
        out.push('\'');
        return;
    }
    for letter in rest.by_ref().take_while(|letter| *letter != '\'') {
        push_literal(letter, out);
    }
}

/// A sign that stands for itself; `%` has a meaning in `chrono`.
fn push_literal(letter: char, out: &mut String) {
    if letter == '%' {
        out.push('%');
    }
    out.push(letter);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pattern: &str) -> String {
        let time = DateTime::from_timestamp_micros(1_767_571_628_123_000).unwrap();
        time.format(&chrono_format(pattern).unwrap()).to_string()
    }

    #[test]
    fn formats_as_spark_does() {
        assert_eq!(text("yyyy-MM-dd HH:mm:ss.SSS"), "2026-01-05 00:07:08.123");
        assert_eq!(text("dd/MM/yy hh:mm a"), "05/01/26 12:07 AM");
        assert_eq!(text("EEEE, MMM d"), "Monday, Jan 5");
        assert_eq!(text("yyyy-MM-dd'T'HH"), "2026-01-05T00");
        assert_eq!(text("D"), "5");
        assert!(chrono_format("yyyy-QQ").is_err());
    }

    #[test]
    fn parses_by_a_pattern() {
        let read = |text, pattern| micros(text, &chrono_format(pattern).unwrap(), pattern);
        assert_eq!(read("20260105000708", "yyyyMMddHHmmss").unwrap(), 1_767_571_628_000_000);
        assert_eq!(read("05.01 2026", "dd.MM yyyy").unwrap(), 1_767_571_200_000_000);
        assert_eq!(read("x", "yyyy").unwrap_err().condition(), "CANNOT_PARSE_TIMESTAMP");
    }
}
