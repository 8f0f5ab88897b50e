//! `to_json`: a struct, array or map as a text of JSON.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use datafusion::error::Result as PlanResult;

use super::definition::{Call, Definition, wrong_count};
use super::widen::plain;
use crate::calendar::{TimePattern, Zone};
use crate::error::Error;
use crate::sql::casts::{double_text, float_text};
use crate::sql::types::spark_name;

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let string = |_: &[DataType]| Ok(DataType::Utf8);
    vec![Definition { name: "to_json", takes, gives: string, value: to_json }]
}

fn takes(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types {
        [nested] if nested.is_nested() => Ok(vec![plain(nested)]),
        [other] => {
            let what = format!(
                "to_json takes a STRUCT, ARRAY or MAP, not {}",
                spark_name(other).to_uppercase()
            );
            Err(Error::sql("DATATYPE_MISMATCH.INVALID_JSON_SCHEMA", what)
                .hint("put the value into a struct: to_json(struct(value))")
                .into())
        }
        [_, _] => Err(Error::sql("UNSUPPORTED_FEATURE", "to_json takes no options yet")
            .hint("format the columns before: to_json(struct(date_format(ts, 'yyyy') AS year))")
            .into()),
        _ => Err(wrong_count("one value", types.len())),
    }
}

fn to_json(call: &Call) -> PlanResult<ArrayRef> {
    let values = &call.args[0];
    let mut texts = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let mut text = String::new();
        texts.push(match values.is_valid(row) {
            true => {
                write(values, row, call.zone, &mut text)?;
                Some(text)
            }
            false => None,
        });
    }
    Ok(Arc::new(StringArray::from(texts)))
}

/// Appends one value.
fn write(values: &ArrayRef, row: usize, zone: &Zone, out: &mut String) -> PlanResult<()> {
    if values.is_null(row) || *values.data_type() == DataType::Null {
        out.push_str("null");
        return Ok(());
    }
    match values.data_type() {
        DataType::Struct(fields) => {
            let columns = values.as_struct().columns().iter().zip(fields);
            let known = columns.filter(|(column, _)| {
                column.is_valid(row) && *column.data_type() != DataType::Null
            });
            between(out, '{', '}', known, |out, (column, field)| {
                quote(field.name(), out);
                out.push(':');
                write(column, row, zone, out)
            })
        }
        DataType::List(_) => {
            let items = values.as_list::<i32>().value(row);
            between(out, '[', ']', 0..items.len(), |out, at| write(&items, at, zone, out))
        }
        DataType::Map(..) => {
            let entries = values.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            between(out, '{', '}', 0..entries.len(), |out, at| {
                quote(&array_value_to_string(keys, at)?, out);
                out.push(':');
                write(values, at, zone, out)
            })
        }
        _ => scalar(values, row, zone, out),
    }
}

fn between<T>(
    out: &mut String,
    open: char,
    close: char,
    parts: impl Iterator<Item = T>,
    mut part: impl FnMut(&mut String, T) -> PlanResult<()>,
) -> PlanResult<()> {
    out.push(open);
    for (at, value) in parts.enumerate() {
        if at > 0 {
            out.push(',');
        }
        part(out, value)?;
    }
    out.push(close);
    Ok(())
}

fn scalar(values: &ArrayRef, row: usize, zone: &Zone, out: &mut String) -> PlanResult<()> {
    let number = |out: &mut String, finite: bool, text: String| match finite {
        true => out.push_str(&text),
        false => quote(&text, out),
    };
    match values.data_type() {
        DataType::Utf8 => quote(values.as_string::<i32>().value(row), out),
        DataType::Float64 => {
            let value = values.as_primitive::<Float64Type>().value(row);
            number(out, value.is_finite(), double_text(value));
        }
        DataType::Float32 => {
            let value = values.as_primitive::<Float32Type>().value(row);
            number(out, value.is_finite(), float_text(value));
        }
        DataType::Timestamp(TimeUnit::Microsecond, at) => {
            let time = values.as_primitive::<TimestampMicrosecondType>().value(row);
            let (zone, pattern) = match at {
                Some(_) => (zone, "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"),
                None => (&Zone::default(), "yyyy-MM-dd'T'HH:mm:ss.SSS"),
            };
            quote(&TimePattern::to_write(pattern)?.write(time, zone), out);
        }
        DataType::Binary => quote(&base64(values.as_binary::<i32>().value(row)), out),
        data_type if data_type.is_numeric() || *data_type == DataType::Boolean => {
            out.push_str(&array_value_to_string(values, row)?);
        }
        _ => quote(&array_value_to_string(values, row)?, out),
    }
    Ok(())
}

/// Appends a text in quotes, with the escapes that JSON asks for and no others.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(*three.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { digit.into() } else { '=' });
        }
    }
    text
}
