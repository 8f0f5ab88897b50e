//! One column on its way from JSON text to Arrow: plain vectors that can be cut back.
//!
//! A line may turn out to be broken after half of its fields are taken, and a field may come
//! twice. So a column is not an Arrow builder, which only grows, but the vectors that an Arrow
//! array is made of: [`Column::truncate`] takes back what a bad line left, and nothing has to be
//! held apart until a line is known to be good.
//!
//! Which JSON value fits which type is Spark's rule. A value that does not fit is not an error of
//! the text: it is walked over, and becomes NULL (in an array or map, the whole array or map).

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray,
    NullBufferBuilder, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Fields, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

use super::cursor::{Broken, Cursor, Token};
use super::entries::Entries;
use super::number;
use super::object::Object;
use crate::error::{Error, Result};
use crate::sources::csv::Words;
use crate::sources::time_forms::TimeForms;

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is in the column.
    Whole,
    /// It is in the column, with NULL for a part that has the wrong type.
    Partly,
    /// It has the wrong type and was walked over; nothing is in the column.
    Not,
}

/// A growing column of one type.
pub(in crate::sources) struct Column {
    data_type: DataType,
    valid: NullBufferBuilder,
    values: Values,
}

enum Values {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    /// INT.
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>, u8, i8),
    Date(Vec<i32>, Arc<TimeForms>),
    /// Microseconds; whether the column has a zone.
    Timestamp(Vec<i64>, bool, Arc<TimeForms>),
    Text(Bytes),
    Binary(Bytes),
    List(FieldRef, Vec<i32>, Box<Column>),
    Struct(Fields, Box<Object>),
    Map(Box<Entries>),
}

/// Byte strings, one behind the other.
struct Bytes {
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl Bytes {
    fn new() -> Self {
        Self { ends: vec![0], bytes: Vec::new() }
    }

    /// Closes the string that was appended to `bytes`.
    fn close(&mut self) {
        self.ends.push(self.bytes.len() as i32);
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len + 1);
        self.bytes.truncate(self.ends[len] as usize);
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        (finish_offsets(&mut self.ends), Buffer::from_vec(std::mem::take(&mut self.bytes)))
    }
}

pub(super) fn finish_offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(ends, vec![0])))
}

impl Column {
    /// An empty column. Types that Spark's DDL cannot name are refused.
    pub fn new(data_type: &DataType, times: &Arc<TimeForms>) -> Result<Self> {
        let values = match data_type {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => {
                Values::Decimal(Vec::new(), *precision, *scale)
            }
            DataType::Date32 => Values::Date(Vec::new(), times.clone()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Values::Timestamp(Vec::new(), zone.is_some(), times.clone())
            }
            DataType::Utf8 => Values::Text(Bytes::new()),
            DataType::Binary => Values::Binary(Bytes::new()),
            DataType::List(item) => {
                Values::List(item.clone(), vec![0], Box::new(Column::new(item.data_type(), times)?))
            }
            DataType::Struct(fields) => {
                Values::Struct(fields.clone(), Box::new(Object::new(fields, times)?))
            }
            DataType::Map(entry, _) => match Entries::new(entry, times)? {
                Some(entries) => Values::Map(Box::new(entries)),
                None => return Err(unreadable(data_type)),
            },
            _ => return Err(unreadable(data_type)),
        };
        Ok(Self { data_type: data_type.clone(), valid: NullBufferBuilder::new(1024), values })
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// Appends NULL.
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Boolean(values) => values.append(false),
            Values::Int8(values) => values.push(0),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) | Values::Date(values, _) => values.push(0),
            Values::Int64(values) | Values::Timestamp(values, ..) => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal(values, ..) => values.push(0),
            Values::Text(values) | Values::Binary(values) => values.close(),
            Values::List(_, ends, items) => ends.push(items.len() as i32),
            Values::Struct(_, object) => object.push_null(),
            Values::Map(entries) => entries.close(),
        }
        self.valid.append_null();
    }

    /// Appends a text to a column of texts (the raw line, for `_corrupt_record`).
    pub fn push_text(&mut self, text: &str) {
        match &mut self.values {
            Values::Text(values) => {
                values.bytes.extend_from_slice(text.as_bytes());
                values.close();
                self.valid.append_non_null();
            }
            _ => self.push_null(),
        }
    }

    /// Appends the value that a plain text means, as CSV has it; `false`: it does not fit, and nothing
    /// is appended.
    pub fn push_plain(&mut self, text: &str, words: &Words) -> bool {
        let fits = match &mut self.values {
            Values::Boolean(values) => match text {
                _ if text.eq_ignore_ascii_case("true") => {
                    values.append(true);
                    true
                }
                _ if text.eq_ignore_ascii_case("false") => {
                    values.append(false);
                    true
                }
                _ => false,
            },
            Values::Int8(values) => push(values, text.parse().ok()),
            Values::Int16(values) => push(values, text.parse().ok()),
            Values::Int32(values) => push(values, text.parse().ok()),
            Values::Int64(values) => push(values, text.parse().ok()),
            Values::Float32(values) => push(
                values,
                number::plain(text, words).map(|v| match v {
                    // Each type has its own nearest number.
                    v if v.is_finite() => number::java_text(text).parse().unwrap_or(v as f32),
                    v => v as f32,
                }),
            ),
            Values::Float64(values) => push(values, number::plain(text, words)),
            Values::Decimal(values, p, s) => push(values, number::decimal_text(text, *p, *s)),
            Values::Date(values, times) => push(values, times.date(text)),
            Values::Timestamp(values, true, times) => push(values, times.timestamp(text)),
            Values::Timestamp(values, false, times) => push(values, times.timestamp_ntz(text)),
            Values::Text(values) | Values::Binary(values) => {
                values.bytes.extend_from_slice(text.as_bytes());
                values.close();
                true
            }
            Values::List(..) | Values::Struct(..) | Values::Map(_) => false,
        };
        if fits {
            self.valid.append_non_null();
        }
        fits
    }

    /// Cuts the column back to `len` values, and takes away what half a value left behind them.
    pub fn truncate(&mut self, len: usize) {
        if len > self.len() {
            return;
        }
        match &mut self.values {
            Values::Boolean(values) => values.truncate(len),
            Values::Int8(values) => values.truncate(len),
            Values::Int16(values) => values.truncate(len),
            Values::Int32(values) | Values::Date(values, _) => values.truncate(len),
            Values::Int64(values) | Values::Timestamp(values, ..) => values.truncate(len),
            Values::Float32(values) => values.truncate(len),
            Values::Float64(values) => values.truncate(len),
            Values::Decimal(values, ..) => values.truncate(len),
            Values::Text(values) | Values::Binary(values) => values.truncate(len),
            Values::List(_, ends, items) => {
                ends.truncate(len + 1);
                items.truncate(ends[len] as usize);
            }
            Values::Struct(_, object) => object.truncate(len),
            Values::Map(entries) => entries.truncate(len),
        }
        self.valid.truncate(len);
    }

    /// Takes the next value of the text. After `Broken` the column may hold half of it.
    pub(super) fn take(&mut self, cursor: &mut Cursor) -> Result<Fit, Broken> {
        cursor.next_byte();
        let start = cursor.position();
        let token = cursor.token()?;
        let fits = match (&mut self.values, token) {
            (_, Token::Null) => {
                self.push_null();
                return Ok(Fit::Whole);
            }
            (Values::List(_, ends, items), Token::Array) => {
                let fit = take_elements(cursor, items, ends)?;
                return Ok(self.closed(fit));
            }
            (Values::Struct(_, object), Token::Object) => {
                let fit = object.take(cursor)?;
                return Ok(self.closed(fit));
            }
            (Values::Map(entries), Token::Object) => {
                let fit = entries.take(cursor)?;
                return Ok(self.closed(fit));
            }
            (Values::Text(values), Token::Text(text)) => {
                text.append_to(&mut values.bytes)?;
                values.close();
                true
            }
            (Values::Text(values), _) => {
                cursor.skip_rest(token, 1)?;
                values.bytes.extend_from_slice(cursor.since(start).as_bytes());
                values.close();
                true
            }
            (_, Token::Object | Token::Array) => {
                cursor.skip_rest(token, 1)?;
                false
            }
            (values, scalar) => values.push_scalar(scalar, cursor.syntax().non_numeric)?,
        };
        if fits {
            self.valid.append_non_null();
        }
        Ok(if fits { Fit::Whole } else { Fit::Not })
    }

    /// Takes a value in place of the one at `row`, the last one, which stays if this one does not
    /// fit.
    #[cold]
    pub(super) fn take_again(&mut self, cursor: &mut Cursor, row: usize) -> Result<Fit, Broken> {
        let start = cursor.clone();
        let fit = self.take(cursor)?;
        if fit == Fit::Not {
            return Ok(fit);
        }
        self.truncate(row);
        *cursor = start;
        self.take(cursor)
    }

    /// A value with parts was taken, or was not.
    fn closed(&mut self, fit: Fit) -> Fit {
        if fit != Fit::Not {
            self.valid.append_non_null();
        }
        fit
    }

    /// The array of what was taken; the column is empty again.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let nulls = self.valid.finish();
        let data_type = &self.data_type;
        Ok(match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(values, nulls, data_type),
            Values::Int16(values) => primitive::<Int16Type>(values, nulls, data_type),
            Values::Int32(values) => primitive::<Int32Type>(values, nulls, data_type),
            Values::Int64(values) => primitive::<Int64Type>(values, nulls, data_type),
            Values::Float32(values) => primitive::<Float32Type>(values, nulls, data_type),
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, data_type),
            Values::Decimal(values, ..) => primitive::<Decimal128Type>(values, nulls, data_type),
            Values::Date(values, _) => primitive::<Date32Type>(values, nulls, data_type),
            Values::Timestamp(values, ..) => {
                primitive::<TimestampMicrosecondType>(values, nulls, data_type)
            }
            Values::Text(values) => {
                let (offsets, bytes) = values.finish();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Binary(values) => {
                let (offsets, bytes) = values.finish();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Values::List(field, ends, items) => Arc::new(ListArray::try_new(
                field.clone(),
                finish_offsets(ends),
                items.finish()?,
                nulls,
            )?),
            Values::Struct(fields, object) => {
                let len = object.len();
                let columns = object.finish()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, len)?)
            }
            Values::Map(entries) => entries.finish(nulls)?,
        })
    }
}

impl Values {
    /// Appends a boolean, number or text; `false`: it does not fit, and nothing is appended.
    #[inline]
    fn push_scalar(&mut self, token: Token, non_numeric: bool) -> Result<bool, Broken> {
        Ok(match (self, token) {
            (Values::Boolean(values), Token::Bool(value)) => {
                values.append(value);
                true
            }
            (Values::Int64(values), Token::Whole(text)) => push(values, number::whole(text)),
            (Values::Int32(values), Token::Whole(text)) => push(values, number::narrow(text)),
            (Values::Int16(values), Token::Whole(text)) => push(values, number::narrow(text)),
            (Values::Int8(values), Token::Whole(text)) => push(values, number::tiny(text)),
            (Values::Float64(values), Token::Whole("-0")) => push(values, Some(0.0)),
            (Values::Float32(values), Token::Whole("-0")) => push(values, Some(0.0)),
            (Values::Float64(values), Token::Whole(text) | Token::Fraction(text)) => {
                push(values, number::double(text))
            }
            (Values::Float32(values), Token::Whole(text) | Token::Fraction(text)) => {
                push(values, number::float(text))
            }
            (Values::Float64(values), Token::Text(text)) if non_numeric => {
                push(values, number::not_finite(&text.text()?))
            }
            (Values::Float32(values), Token::Text(text)) if non_numeric => {
                push(values, number::not_finite(&text.text()?).map(|v| v as f32))
            }
            (Values::Decimal(values, p, s), Token::Whole(text) | Token::Fraction(text)) => {
                push(values, number::decimal(text, *p, *s))
            }
            (Values::Decimal(values, p, s), Token::Text(text)) => {
                push(values, number::decimal_text(&text.text()?, *p, *s))
            }
            (Values::Timestamp(values, zoned, times), Token::Text(text)) => {
                let text = text.text()?;
                push(
                    values,
                    if *zoned { times.timestamp(&text) } else { times.timestamp_ntz(&text) },
                )
            }
            (Values::Timestamp(values, true, _), Token::Whole(text)) => {
                push(values, number::whole(text).and_then(|s| s.checked_mul(1_000_000)))
            }
            (Values::Date(values, times), Token::Text(text)) => {
                push(values, times.date_or_days(&text.text()?))
            }
            (Values::Binary(values), Token::Text(text)) => {
                let fits = number::base64(&text.text()?, &mut values.bytes);
                if fits {
                    values.close();
                }
                fits
            }
            _ => false,
        })
    }
}

#[inline]
fn push<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            values.push(value);
            true
        }
        None => false,
    }
}

/// Takes the elements of an array up to its end.
fn take_elements(
    cursor: &mut Cursor,
    items: &mut Column,
    ends: &mut Vec<i32>,
) -> Result<Fit, Broken> {
    let before = items.len();
    let mut fit = Fit::Whole;
    let mut first = true;
    while cursor.element(first)? {
        first = false;
        fit = match fit {
            Fit::Not => {
                cursor.skip()?;
                Fit::Not
            }
            _ => worse(fit, items.take(cursor)?),
        };
    }
    match fit {
        Fit::Not => items.truncate(before),
        _ => ends.push(items.len() as i32),
    }
    Ok(fit)
}

pub(super) fn worse(a: Fit, b: Fit) -> Fit {
    match (a, b) {
        (Fit::Not, _) | (_, Fit::Not) => Fit::Not,
        (Fit::Whole, Fit::Whole) => Fit::Whole,
        _ => Fit::Partly,
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    let full = std::mem::replace(values, Vec::with_capacity(values.len()));
    let array = PrimitiveArray::<T>::new(ScalarBuffer::from(full), nulls);
    Arc::new(array.with_data_type(data_type.clone()))
}

pub(super) fn unreadable(data_type: &DataType) -> Error {
    Error::sql(
        "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
        format!("JSON cannot be read as {data_type}"),
    )
    .hint("use one of Spark's types: STRING, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, DATE, …")
}
