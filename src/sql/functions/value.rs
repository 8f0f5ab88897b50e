//! What a function says about a row, and the array that the answers make.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    ListBuilder, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;

use crate::error::Error;

/// The result of one row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Text(String),
    Texts(Vec<String>),
    Bytes(Vec<u8>),
    Bool(bool),
    /// A whole number, a date in days, a time in microseconds, or the digits of a decimal.
    Whole(i128),
    Double(f64),
    Interval(IntervalMonthDayNano),
}

macro_rules! value_from {
    ($($from:ty => $value:expr),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(from: $from) -> Self {
                #[allow(clippy::redundant_closure_call)]
                $value(from)
            }
        })*
    };
}

value_from! {
    String => Value::Text,
    &str => |s: &str| Value::Text(s.to_owned()),
    Vec<String> => Value::Texts,
    Vec<u8> => Value::Bytes,
    bool => Value::Bool,
    i32 => |n| Value::Whole(i128::from(n)),
    i64 => |n| Value::Whole(i128::from(n)),
    i128 => Value::Whole,
    f64 => Value::Double,
    IntervalMonthDayNano => Value::Interval,
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(from: Option<T>) -> Self {
        from.map_or(Value::Null, Into::into)
    }
}

/// The values as an array of a type. A whole number that the type cannot hold is an error.
pub(super) fn built(values: Vec<Value>, gives: &DataType) -> PlanResult<ArrayRef> {
    macro_rules! wholes {
        ($array:ty) => {
            Arc::new(values.iter().map(whole).collect::<PlanResult<$array>>()?)
        };
    }
    Ok(match gives {
        DataType::Utf8 => {
            let texts = values.into_iter().map(|value| match value {
                Value::Text(text) => Some(text),
                _ => None,
            });
            Arc::new(texts.collect::<StringArray>())
        }
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            for value in values {
                builder.append_option(match value {
                    Value::Bytes(bytes) => Some(bytes),
                    Value::Text(text) => Some(text.into_bytes()),
                    _ => None,
                });
            }
            Arc::new(builder.finish())
        }
        DataType::List(_) => {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for value in values {
                builder.append_option(match value {
                    Value::Texts(texts) => Some(texts.into_iter().map(Some)),
                    _ => None,
                });
            }
            Arc::new(builder.finish())
        }
        DataType::Null => arrow::array::new_null_array(gives, values.len()),
        DataType::Boolean => {
            let bools = values.iter().map(|value| match value {
                Value::Bool(yes) => Some(*yes),
                _ => None,
            });
            Arc::new(bools.collect::<BooleanArray>())
        }
        DataType::Float64 => Arc::new(values.iter().map(double).collect::<Float64Array>()),
        DataType::Float32 => {
            let floats = values.iter().map(|value| double(value).map(|n| n as f32));
            Arc::new(floats.collect::<Float32Array>())
        }
        DataType::Int8 => wholes!(Int8Array),
        DataType::Int16 => wholes!(Int16Array),
        DataType::Int32 => wholes!(Int32Array),
        DataType::Int64 => wholes!(Int64Array),
        DataType::Date32 => wholes!(Date32Array),
        DataType::Timestamp(_, zone) => {
            let times =
                values.iter().map(whole).collect::<PlanResult<TimestampMicrosecondArray>>()?;
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        DataType::Decimal128(precision, scale) => {
            let digits = values.iter().map(whole).collect::<PlanResult<Decimal128Array>>()?;
            let decimals = digits.with_precision_and_scale(*precision, *scale)?;
            decimals.validate_decimal_precision(*precision).map_err(|_| {
                overflow(&format!("the result does not fit DECIMAL({precision},{scale})"))
            })?;
            Arc::new(decimals)
        }
        DataType::Interval(_) => {
            let intervals = values.iter().map(|value| match value {
                Value::Interval(interval) => Some(*interval),
                _ => None,
            });
            Arc::new(intervals.collect::<IntervalMonthDayNanoArray>())
        }
        other => return exec_err!("no function of ours gives {other}"),
    })
}

fn whole<T: TryFrom<i128>>(value: &Value) -> PlanResult<Option<T>> {
    match value {
        Value::Whole(n) => match T::try_from(*n) {
            Ok(n) => Ok(Some(n)),
            Err(_) => Err(overflow(&format!("{n} does not fit the type of the result")).into()),
        },
        _ => Ok(None),
    }
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Double(n) => Some(*n),
        _ => None,
    }
}

/// A result is too large for its type.
pub(super) fn overflow(what: &str) -> Error {
    Error::input("ARITHMETIC_OVERFLOW", what)
        .hint("use a wider type, as in CAST(value AS BIGINT), or filter such rows out")
}

/// The most bytes that the texts of a result have in one batch: where an offset of Arrow ends.
pub(super) const MOST_BYTES: usize = i32::MAX as usize;
/// The most bytes of one text that a function makes longer.
const LONGEST_TEXT: usize = 1 << 28;

/// A result is longer than it can be held.
pub(super) fn too_long(what: String) -> Error {
    Error::input("COLLECTION_SIZE_LIMIT_EXCEEDED.FUNCTION", what)
        .hint("lower the number in the call, or filter such rows out before")
}

/// Refuses a text of `count` times so many bytes before it is made, if it is absurdly long.
pub(super) fn room(bytes: usize, count: usize) -> Result<(), Error> {
    match bytes.checked_mul(count) {
        Some(all) if all <= LONGEST_TEXT => Ok(()),
        _ => Err(too_long(format!("a text gets longer than {LONGEST_TEXT} bytes"))),
    }
}

impl Value {
    /// Bytes of its text.
    pub(super) fn size(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Texts(texts) => texts.iter().map(String::len).sum(),
            _ => 0,
        }
    }
}
