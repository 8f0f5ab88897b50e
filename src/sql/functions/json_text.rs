//! `to_json`: a struct, array or map as a text of JSON.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::array_value_to_string;
use datafusion::error::Result as PlanResult;

use super::definition::{Call, Definition, wrong_count};
use super::json::strings;
use super::widen::plain;
use crate::calendar::{DAY, TimePattern, Zone};
use crate::error::Error;
use crate::sql::casts::{double_text, float_text};
use crate::sql::types::{map as map_of, spark_name};

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let string = |_: &[DataType]| Ok(DataType::Utf8);
    vec![Definition { name: "to_json", takes, gives: string, value: to_json }]
}

fn takes(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let (value, options) = match types {
        [value] => (value, None),
        [value, options] => (value, Some(options)),
        _ => return Err(wrong_count("a value and perhaps options", types.len())),
    };
    if !value.is_nested() {
        let what = format!(
            "to_json takes a STRUCT, ARRAY or MAP, not {}",
            spark_name(value).to_uppercase()
        );
        return Err(Error::sql("DATATYPE_MISMATCH.INVALID_JSON_SCHEMA", what)
            .hint("put the value into a struct: to_json(struct(value))")
            .into());
    }
    let texts = map_of(DataType::Utf8, DataType::Utf8);
    let wrong = |condition: &str, what: &str| {
        Error::sql(format!("INVALID_OPTIONS.{condition}"), what)
            .hint("write options as in to_json(value, map('dateFormat', 'dd.MM.yyyy'))")
    };
    match options {
        None => Ok(vec![plain(value)]),
        Some(map @ DataType::Map(..)) if plain(map) == texts => Ok(vec![plain(value), texts]),
        Some(DataType::Map(..)) => {
            Err(wrong("NON_STRING_TYPE", "the options of to_json are a map of texts").into())
        }
        Some(_) => Err(wrong("NON_MAP_FUNCTION", "the options of to_json are no map").into()),
    }
}

fn to_json(call: &Call) -> PlanResult<ArrayRef> {
    let values = &call.args[0];
    let style = Style::of(call)?;
    let mut texts = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let mut text = String::new();
        texts.push(match values.is_valid(row) {
            true => {
                style.write(values, row, 0, &mut text)?;
                Some(text)
            }
            false => None,
        });
    }
    Ok(Arc::new(StringArray::from(texts)))
}

/// How values are written.
struct Style {
    zone: Zone,
    time: TimePattern,
    clock_time: TimePattern,
    /// As casts write dates, if there is none.
    date: Option<TimePattern>,
    /// Fields that are NULL are written too.
    nulls: bool,
    /// The fields of an object stand in the order of their names.
    sorted: bool,
    /// With blanks and lines.
    pretty: bool,
    ascii: bool,
}

impl Style {
    /// The style that the options of a call ask for; those that are about reading mean nothing.
    fn of(call: &Call) -> PlanResult<Self> {
        let mut style = Self {
            zone: call.zone.clone(),
            time: TimePattern::to_write("yyyy-MM-dd'T'HH:mm:ss.SSSXXX")?,
            clock_time: TimePattern::to_write("yyyy-MM-dd'T'HH:mm:ss.SSS")?,
            date: None,
            nulls: false,
            sorted: false,
            pretty: false,
            ascii: false,
        };
        let options = call.args.get(1).and_then(|options| options.as_map_opt());
        let Some(options) = options.filter(|options| options.len() > 0 && options.is_valid(0))
        else {
            return Ok(style);
        };
        let options = options.value(0);
        let (keys, values) = (strings(options.column(0))?, strings(options.column(1))?);
        for (key, value) in keys.iter().zip(values) {
            let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
            let on = value.eq_ignore_ascii_case("true");
            match key.to_lowercase().as_str() {
                "timestampformat" => style.time = TimePattern::to_write(value)?,
                "timestampntzformat" => style.clock_time = TimePattern::to_write(value)?,
                "dateformat" => style.date = Some(TimePattern::to_write(value)?),
                "timezone" => style.zone = Zone::named(value)?,
                "ignorenullfields" => style.nulls = !on,
                "sortkeys" => style.sorted = on,
                "pretty" => style.pretty = on,
                "writenonasciicharacterascodepoint" => style.ascii = on,
                _ => {}
            }
        }
        Ok(style)
    }

    /// Appends one value that stands so deep in objects.
    fn write(
        &self,
        values: &ArrayRef,
        row: usize,
        depth: usize,
        out: &mut String,
    ) -> PlanResult<()> {
        if values.is_null(row) || *values.data_type() == DataType::Null {
            out.push_str("null");
            return Ok(());
        }
        match values.data_type() {
            DataType::Struct(fields) => {
                let columns = values.as_struct().columns().iter().zip(fields);
                let present = |column: &ArrayRef| {
                    column.is_valid(row) && *column.data_type() != DataType::Null
                };
                let known = columns.filter(|(column, _)| self.nulls || present(column));
                let known = known.map(|(column, field)| (field.name().clone(), column, row));
                self.object(known.collect(), depth, out)
            }
            DataType::List(_) => {
                let items = values.as_list::<i32>().value(row);
                let (open, between, close) =
                    if self.pretty { ("[ ", ", ", " ]") } else { ("[", ",", "]") };
                out.push_str(if items.is_empty() { open.trim_end() } else { open });
                for at in 0..items.len() {
                    out.push_str(if at > 0 { between } else { "" });
                    self.write(&items, at, depth, out)?;
                }
                out.push_str(close);
                Ok(())
            }
            DataType::Map(..) => {
                let entries = values.as_map().value(row);
                let (keys, values) = (entries.column(0), entries.column(1));
                let keys = key_texts(keys)?;
                let pair = |at| Ok((array_value_to_string(&keys, at)?, values, at));
                let pairs = (0..entries.len()).map(pair).collect::<PlanResult<Vec<_>>>()?;
                self.object(pairs, depth, out)
            }
            _ => self.scalar(values, row, out),
        }
    }

    /// Appends names, each with the value in a row of an array.
    fn object(
        &self,
        mut pairs: Vec<(String, &ArrayRef, usize)>,
        depth: usize,
        out: &mut String,
    ) -> PlanResult<()> {
        if self.sorted {
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let line = |depth: usize, out: &mut String| {
            if self.pretty {
                out.push('\n');
                out.push_str(&"  ".repeat(depth));
            }
        };
        out.push('{');
        for (at, (name, values, row)) in pairs.iter().enumerate() {
            out.push_str(if at > 0 { "," } else { "" });
            line(depth + 1, out);
            self.quote(name, out);
            out.push_str(if self.pretty { " : " } else { ":" });
            self.write(values, *row, depth + 1, out)?;
        }
        match pairs.is_empty() {
            true if self.pretty => out.push(' '),
            true => {}
            false => line(depth, out),
        }
        out.push('}');
        Ok(())
    }

    fn scalar(&self, values: &ArrayRef, row: usize, out: &mut String) -> PlanResult<()> {
        let number = |out: &mut String, finite: bool, text: String| match finite {
            true => out.push_str(&text),
            false => quote(&text, out),
        };
        match values.data_type() {
            DataType::Utf8 => self.quote(values.as_string::<i32>().value(row), out),
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
                let text = match at {
                    Some(_) => self.time.write(time, &self.zone),
                    None => self.clock_time.write(time, &Zone::default()),
                };
                self.quote(&text, out);
            }
            DataType::Date32 if self.date.is_some() => {
                let day = i64::from(values.as_primitive::<Date32Type>().value(row));
                let text = self.date.as_ref().map(|date| date.write(day * DAY, &Zone::default()));
                self.quote(&text.unwrap_or_default(), out);
            }
            DataType::Binary => quote(&base64(values.as_binary::<i32>().value(row)), out),
            data_type if data_type.is_numeric() || *data_type == DataType::Boolean => {
                out.push_str(&array_value_to_string(values, row)?);
            }
            _ => quote(&array_value_to_string(values, row)?, out),
        }
        Ok(())
    }

    fn quote(&self, text: &str, out: &mut String) {
        if !self.ascii || text.is_ascii() {
            return quote(text, out);
        }
        let mut quoted = String::new();
        quote(text, &mut quoted);
        for unit in quoted.encode_utf16() {
            match u8::try_from(unit).ok().filter(u8::is_ascii) {
                Some(letter) => out.push(letter.into()),
                None => {
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
}

/// The keys of a map as the names of fields: a time is what Spark keeps of it, a number.
fn key_texts(keys: &ArrayRef) -> PlanResult<ArrayRef> {
    Ok(match keys.data_type() {
        DataType::Float64 | DataType::Float32 => {
            Arc::new(super::columns::text(keys, &Zone::default())?)
        }
        DataType::Timestamp(..) => cast(keys, &DataType::Int64)?,
        DataType::Date32 => cast(keys, &DataType::Int32)?,
        _ => keys.clone(),
    })
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
