//! An argument of a function, brought to the kind that the function reads.
//!
//! Takes what the planner gives (an array, or one value for all rows); gives readers by row. The
//! conversions are Spark's implicit ones: text is a date or a number where one is wanted (and an
//! error if it is none), anything simple is text where text is wanted.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array,
    StringArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, TimeUnit};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::ColumnarValue;

use super::time_cast;
use crate::calendar::Zone;
use crate::error::Error;
use crate::sql::casts::{double_text, float_text};

/// What a function wants an argument to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text; numbers, times and so on are written as text.
    Text,
    /// Text, and nothing that would have to be written as one.
    String,
    /// A pattern of times, which is looked at before the first row if it is constant.
    Pattern,
    /// The name of a collation, of which there is one.
    Collation,
    /// Bytes; text gives its UTF-8.
    Bytes,
    /// Bytes where they are given, else text.
    Either,
    /// A whole number.
    Whole,
    /// A number with a fraction.
    Double,
    /// A number as it is: whole, decimal or double.
    Number,
    Bool,
    /// Days since 1970.
    Date,
    /// Microseconds since 1970, of an instant.
    Time,
    /// A time of which the clock is read: an instant in the session's zone, or without a zone.
    Local,
    /// [`Kind::Local`], or an interval as it is.
    LocalOrInterval,
    /// Whatever was given.
    Any,
}

impl Kind {
    /// The kind that the table of functions calls so.
    pub(super) fn named(word: &str) -> Self {
        match word {
            "text" => Kind::Text,
            "pattern" => Kind::Pattern,
            "string" => Kind::String,
            "collation" => Kind::Collation,
            "bytes" => Kind::Bytes,
            "either" => Kind::Either,
            "whole" => Kind::Whole,
            "double" => Kind::Double,
            "number" => Kind::Number,
            "bool" => Kind::Bool,
            "date" => Kind::Date,
            "time" => Kind::Time,
            "local" => Kind::Local,
            "local/interval" => Kind::LocalOrInterval,
            _ => Kind::Any,
        }
    }

    /// What a message calls it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Kind::Text | Kind::String | Kind::Pattern | Kind::Collation => "a STRING",
            Kind::Bytes | Kind::Either => "a BINARY or a STRING",
            Kind::Whole => "a whole number",
            Kind::Double | Kind::Number => "a number",
            Kind::Bool => "a BOOLEAN",
            Kind::Date => "a DATE",
            Kind::Time | Kind::Local => "a TIMESTAMP",
            Kind::LocalOrInterval => "a TIMESTAMP or an INTERVAL",
            Kind::Any => "a value",
        }
    }

    /// Whether Spark converts this type to the kind by itself.
    pub(super) fn accepts(self, given: &DataType) -> bool {
        let text = given.is_string();
        let time = matches!(given, DataType::Timestamp(..) | DataType::Date32);
        let bytes = given.is_binary();
        match self {
            _ if given.is_null() => true,
            Kind::Text | Kind::Pattern | Kind::Either => !given.is_nested(),
            Kind::String | Kind::Collation => text,
            Kind::Bytes => text || bytes,
            Kind::Whole | Kind::Double | Kind::Number => text || given.is_numeric(),
            Kind::Bool => text || matches!(given, DataType::Boolean),
            Kind::Date | Kind::Time | Kind::Local => text || time,
            Kind::LocalOrInterval => text || time || matches!(given, DataType::Interval(_)),
            Kind::Any => true,
        }
    }
}

/// One argument for all rows of a batch.
pub(super) struct Column {
    values: Values,
    /// One value stands for all rows.
    constant: bool,
}

enum Values {
    Text(StringArray),
    Bytes(BinaryArray),
    Whole(Int64Array),
    Double(Float64Array),
    Digits(Decimal128Array),
    Bool(BooleanArray),
    Raw(ArrayRef),
}

impl Column {
    /// Brings an argument to a kind.
    pub(super) fn new(value: &ColumnarValue, kind: Kind, zone: &Zone) -> PlanResult<Self> {
        let (array, constant) = match value {
            ColumnarValue::Array(array) => (array.clone(), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        let array = plain(&array)?;
        let values = match kind {
            Kind::Text | Kind::String | Kind::Pattern | Kind::Collation => {
                Values::Text(text(&array, zone)?)
            }
            Kind::Either if array.data_type() != &DataType::Binary => {
                Values::Text(text(&array, zone)?)
            }
            Kind::Bytes | Kind::Either => {
                Values::Bytes(cast(&array, &DataType::Binary)?.as_binary().clone())
            }
            Kind::Whole => Values::Whole(whole(&array)?),
            Kind::Double => Values::Double(double(&array)?),
            Kind::Number => match array.data_type() {
                DataType::Decimal128(..) => {
                    Values::Digits(array.as_primitive::<Decimal128Type>().clone())
                }
                given if given.is_integer() => Values::Whole(whole(&array)?),
                _ => Values::Double(double(&array)?),
            },
            Kind::Bool => Values::Bool(cast(&array, &DataType::Boolean)?.as_boolean().clone()),
            Kind::Date => Values::Whole(time_cast::days(&array, zone)?),
            Kind::Time => Values::Whole(time_cast::instants(&array, zone)?),
            Kind::LocalOrInterval if matches!(array.data_type(), DataType::Interval(_)) => {
                Values::Raw(array)
            }
            Kind::Local | Kind::LocalOrInterval => {
                Values::Whole(time_cast::clock_times(&array, zone)?)
            }
            Kind::Any => Values::Raw(array),
        };
        Ok(Self { values, constant })
    }

    fn at(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        let row = self.at(row);
        match &self.values {
            Values::Text(values) => values.is_null(row),
            Values::Bytes(values) => values.is_null(row),
            Values::Whole(values) => values.is_null(row),
            Values::Double(values) => values.is_null(row),
            Values::Digits(values) => values.is_null(row),
            Values::Bool(values) => values.is_null(row),
            Values::Raw(values) => values.is_null(row) || values.data_type().is_null(),
        }
    }

    pub(super) fn text(&self, row: usize) -> &str {
        match &self.values {
            Values::Text(values) => values.value(self.at(row)),
            _ => "",
        }
    }

    pub(super) fn bytes(&self, row: usize) -> &[u8] {
        match &self.values {
            Values::Bytes(values) => values.value(self.at(row)),
            Values::Text(values) => values.value(self.at(row)).as_bytes(),
            _ => &[],
        }
    }

    pub(super) fn whole(&self, row: usize) -> i64 {
        match &self.values {
            Values::Whole(values) => values.value(self.at(row)),
            _ => 0,
        }
    }

    pub(super) fn double(&self, row: usize) -> f64 {
        match &self.values {
            Values::Double(values) => values.value(self.at(row)),
            Values::Whole(values) => values.value(self.at(row)) as f64,
            _ => 0.0,
        }
    }

    pub(super) fn digits(&self, row: usize) -> i128 {
        match &self.values {
            Values::Digits(values) => values.value(self.at(row)),
            Values::Whole(values) => values.value(self.at(row)).into(),
            _ => 0,
        }
    }

    pub(super) fn bool(&self, row: usize) -> bool {
        match &self.values {
            Values::Bool(values) => values.value(self.at(row)),
            _ => false,
        }
    }

    pub(super) fn raw(&self, row: usize) -> Option<(&ArrayRef, usize)> {
        match &self.values {
            Values::Raw(values) => Some((values, self.at(row))),
            _ => None,
        }
    }
}

/// An array without dictionaries, views and long offsets.
fn plain(array: &ArrayRef) -> PlanResult<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, value) => plain(&cast(array, value)?),
        DataType::LargeUtf8 | DataType::Utf8View => cast(array, &DataType::Utf8),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            cast(array, &DataType::Binary)
        }
        DataType::Timestamp(unit, zone) if *unit != TimeUnit::Microsecond => {
            cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        _ => Ok(array.clone()),
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> PlanResult<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, to, &strict)?)
}

/// Anything simple as `CAST(… AS STRING)` writes it.
pub(super) fn text(array: &ArrayRef, zone: &Zone) -> PlanResult<StringArray> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().clone(),
        DataType::Float64 => {
            array.as_primitive::<Float64Type>().iter().map(|n| n.map(double_text)).collect()
        }
        DataType::Float32 => {
            array.as_primitive::<Float32Type>().iter().map(|n| n.map(float_text)).collect()
        }
        DataType::Timestamp(..) | DataType::Date32 => time_cast::texts(array, zone)?,
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().iter();
            bytes.map(|b| b.map(String::from_utf8_lossy)).collect()
        }
        _ => cast(array, &DataType::Utf8)?.as_string::<i32>().clone(),
    })
}

fn whole(array: &ArrayRef) -> PlanResult<Int64Array> {
    if let Some(texts) = array.as_string_opt::<i32>() {
        return numbers(texts, "BIGINT", |text| text.parse().ok());
    }
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn double(array: &ArrayRef) -> PlanResult<Float64Array> {
    if let Some(texts) = array.as_string_opt::<i32>() {
        return numbers(texts, "DOUBLE", |text| text.parse().ok());
    }
    Ok(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// Text read as numbers; what is none is an error.
fn numbers<T, A: FromIterator<Option<T>>>(
    texts: &StringArray,
    type_name: &str,
    read: fn(&str) -> Option<T>,
) -> PlanResult<A> {
    let read = |text: &str| read(text.trim()).ok_or_else(|| invalid_cast(text, type_name));
    Ok(texts.iter().map(|text| text.map(read).transpose()).collect::<Result<A, Error>>()?)
}

/// Text that is no value of a type.
pub(super) fn invalid_cast(text: &str, type_name: &str) -> Error {
    Error::input("CAST_INVALID_INPUT", format!("'{text}' is not a {type_name}"))
        .hint(format!("write TRY_CAST(… AS {type_name}) to get NULL instead"))
}
