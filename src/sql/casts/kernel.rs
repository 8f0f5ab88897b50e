//! One column of one type → the same rows in another type.
//!
//! Arrow's own cast does the work where it means what Spark means. It makes NULL of what does not
//! fit, so a NULL that was not there before is the value to complain about.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Date32Array, Decimal128Array,
    Float32Array, Float64Array, Int64Array, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{self, CastOptions};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, i256,
};
use datafusion::error::Result as PlanResult;

use super::Misfit;
use super::number::{NoDecimal, parse_boolean, parse_decimal, parse_double, rescaled};
use super::number_text::double_text;
use super::text::{column_text, shown};
use crate::calendar::{DAY, Zone, read_clock, read_days, read_instant};
use crate::error::Error;
use crate::sql::types::spark_name;

const SECOND: i64 = 1_000_000;

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// Whether Spark has this cast in ANSI mode.
pub(super) fn possible(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    match (from, to) {
        (D::Null, _) | (_, D::Utf8) => true,
        (from, to) if from == to => true,
        (D::Utf8, D::Boolean | D::Binary | D::Date32 | D::Timestamp(..) | D::Interval(_)) => true,
        (D::Utf8 | D::Boolean, to) if is_number(to) => true,
        (from, D::Boolean | D::Timestamp(_, Some(_))) if is_number(from) => true,
        (D::Timestamp(_, Some(_)), to) if is_number(to) => true,
        (from, to) if is_number(from) && is_number(to) => true,
        (D::Date32, D::Timestamp(..)) | (D::Timestamp(..), D::Date32 | D::Timestamp(..)) => true,
        (D::List(a), D::List(b)) => possible(a.data_type(), b.data_type()),
        (D::Struct(a), D::Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| possible(a.data_type(), b.data_type()))
        }
        (D::Map(a, _), D::Map(b, _)) => possible(a.data_type(), b.data_type()),
        // Types that Spark does not have come out of DataFusion's own functions.
        (from, to) => {
            !from.is_nested()
                && !to.is_nested()
                && compute::can_cast_types(from, to)
                && !spark_has(from)
        }
    }
}

/// Whether values of the type are instants.
fn has_zone(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

fn spark_has(data_type: &DataType) -> bool {
    use DataType as D;
    data_type.is_signed_integer()
        || matches!(
            data_type,
            D::Float32
                | D::Float64
                | D::Decimal128(..)
                | D::Boolean
                | D::Utf8
                | D::Binary
                | D::Date32
                | D::Timestamp(TimeUnit::Microsecond, _)
                | D::Duration(_)
                | D::Interval(_)
        )
}

/// Whether DataFusion's cast gives what Spark gives for every value.
pub(super) fn never_fails(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    let bits = |t: &D| [D::Int8, D::Int16, D::Int32, D::Int64].iter().position(|x| x == t);
    match (from, to) {
        (D::Null, _) => true,
        (D::Float32 | D::Float64, D::Float32 | D::Float64) => true,
        (from, D::Float32 | D::Float64) if from.is_integer() => true,
        // Between an instant and what a clock shows stands the session's zone.
        (from, to) if has_zone(from) != has_zone(to) => false,
        (D::Date32, D::Timestamp(TimeUnit::Microsecond, None)) => true,
        (D::Timestamp(..), D::Date32 | D::Timestamp(..)) => true,
        (from, D::Utf8) => {
            from.is_integer() || matches!(from, D::Boolean | D::LargeUtf8 | D::Utf8View)
        }
        (D::Interval(_), _) | (_, D::Interval(_)) => true,
        (from, to) => match (bits(from), bits(to)) {
            (Some(from), Some(to)) => from <= to,
            _ => !from.is_nested() && !spark_has(from),
        },
    }
}

/// The column as another type; `zone` stands between instants and dates, clocks and texts. The
/// error names the first value that does not fit.
pub(in crate::sql) fn cast_column(
    column: &ArrayRef,
    to: &DataType,
    misfit: Misfit,
    zone: &Zone,
) -> PlanResult<ArrayRef> {
    use DataType as D;
    let from = column.data_type();
    let result: ArrayRef = match (from, to) {
        (from, to) if from == to => return Ok(column.clone()),
        (D::Null, _) => return Ok(new_null_array(to, column.len())),
        (_, D::Utf8) => return Ok(Arc::new(column_text(column, zone)?)),
        (D::List(_) | D::Struct(_) | D::Map(..), _) => return nested(column, to, misfit, zone),
        (D::Utf8, _) => return from_text(column, to, misfit, zone),
        (D::Boolean, D::Decimal128(..)) => {
            let digits = compute::cast(column, &D::Int32)?;
            return cast_column(&digits, to, misfit, zone);
        }
        (D::Decimal128(..), D::Boolean) => {
            let numbers = column.as_primitive::<Decimal128Type>().iter();
            Arc::new(numbers.map(|n| n.map(|n| n != 0)).collect::<BooleanArray>())
        }
        (D::Float32 | D::Float64, D::Decimal128(precision, scale)) => {
            return double_to_decimal(column, *precision, *scale, misfit);
        }
        (D::Decimal128(_, from), D::Decimal128(precision, scale)) => {
            let fit = |n| {
                rescaled(i256::from_i128(n), i32::from(*from), i32::from(*scale))
                    .filter(|n| super::fits(*n, *precision))
            };
            let numbers =
                column.as_primitive::<Decimal128Type>().unary_opt::<_, Decimal128Type>(fit);
            Arc::new(numbers.with_precision_and_scale(*precision, *scale)?)
        }
        (D::Decimal128(_, scale), D::Float32 | D::Float64) => {
            decimal_to_double(column, *scale, to)?
        }
        (D::Timestamp(..), to) if is_number(to) => return from_timestamp(column, to, misfit),
        (from, D::Timestamp(..)) if is_number(from) => to_timestamp(column, to)?,
        (D::Timestamp(TimeUnit::Microsecond, Some(_)), D::Date32) => {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            let day = |time| i32::try_from(zone.clock(time).div_euclid(DAY)).ok();
            Arc::new(times.unary_opt::<_, Date32Type>(day))
        }
        (D::Timestamp(TimeUnit::Microsecond, Some(_)), D::Timestamp(_, None)) => {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            Arc::new(times.unary::<_, TimestampMicrosecondType>(|time| zone.clock(time)))
        }
        (D::Timestamp(TimeUnit::Microsecond, None), D::Timestamp(_, Some(_))) => {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            let times = times.unary::<_, TimestampMicrosecondType>(|clock| zone.instant(clock));
            Arc::new(times.with_data_type(to.clone()))
        }
        (D::Date32, D::Timestamp(_, Some(_))) => {
            let instant = |day| zone.instant(i64::from(day) * DAY);
            let days = column.as_primitive::<Date32Type>();
            let times = days.unary::<_, TimestampMicrosecondType>(instant);
            Arc::new(times.with_data_type(to.clone()))
        }
        _ => compute::cast_with_options(
            column,
            to,
            &CastOptions { safe: true, ..Default::default() },
        )?,
    };
    all_fit(column, result, misfit)
}

/// Fails where a value has become NULL.
fn all_fit(column: &ArrayRef, result: ArrayRef, misfit: Misfit) -> PlanResult<ArrayRef> {
    if misfit == Misfit::Null || result.null_count() == column.null_count() {
        return Ok(result);
    }
    let lost = (0..column.len()).find(|&row| column.is_valid(row) && result.is_null(row));
    let value = lost.map_or_else(|| "a value".to_owned(), |row| shown(column, row));
    Err(does_not_fit(&value, column.data_type(), result.data_type()).into())
}

fn does_not_fit(value: &str, from: &DataType, to: &DataType) -> Error {
    let (from, name) = (spark_name(from).to_uppercase(), spark_name(to).to_uppercase());
    let hint = format!("write try_cast(… AS {name}) to get NULL instead, or choose a wider type");
    let what = format!("the {from} {value} does not fit into {name}");
    match to {
        DataType::Decimal128(..) => {
            Error::input("NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION", what)
        }
        _ => Error::input("CAST_OVERFLOW", what),
    }
    .hint(hint)
}

fn no_such_text(value: &str, to: &DataType) -> Error {
    let name = spark_name(to).to_uppercase();
    let what = format!("the STRING '{value}' is not a valid {name}");
    Error::input("CAST_INVALID_INPUT", what)
        .hint(format!("write try_cast(… AS {name}) to get NULL instead, or correct the value"))
}

fn from_text(
    column: &ArrayRef,
    to: &DataType,
    misfit: Misfit,
    zone: &Zone,
) -> PlanResult<ArrayRef> {
    use DataType as D;
    let texts = column.as_string::<i32>();
    Ok(match to {
        D::Int8 => Arc::new(parsed_integers::<Int8Type>(texts, to, misfit)?),
        D::Int16 => Arc::new(parsed_integers::<Int16Type>(texts, to, misfit)?),
        D::Int32 => Arc::new(parsed_integers::<Int32Type>(texts, to, misfit)?),
        D::Int64 => Arc::new(parsed_integers::<Int64Type>(texts, to, misfit)?),
        D::Float64 => Arc::new(parsed(texts, to, misfit, parse_double)?.collect::<Float64Array>()),
        D::Float32 => {
            let numbers = parsed(texts, to, misfit, parse_double)?;
            Arc::new(numbers.map(|n| n.map(|n| n as f32)).collect::<Float32Array>())
        }
        D::Boolean => Arc::new(parsed(texts, to, misfit, parse_boolean)?.collect::<BooleanArray>()),
        D::Date32 => Arc::new(parsed(texts, to, misfit, read_days)?.collect::<Date32Array>()),
        D::Timestamp(_, at) => {
            let read = |text: &str| match at {
                Some(_) => read_instant(text, zone),
                None => read_clock(text, true),
            };
            let times = parsed(texts, to, misfit, read)?.collect::<TimestampMicrosecondArray>();
            Arc::new(times.with_timezone_opt(at.clone()))
        }
        D::Decimal128(precision, scale) => parsed_decimals(texts, *precision, *scale, misfit)?,
        _ => compute::cast(column, to)?,
    })
}

fn parsed_integers<T: ArrowPrimitiveType>(
    texts: &StringArray,
    to: &DataType,
    misfit: Misfit,
) -> PlanResult<PrimitiveArray<T>>
where
    T::Native: std::str::FromStr,
{
    let parse = |text: &str| text.trim().parse::<T::Native>().ok();
    Ok(parsed(texts, to, misfit, parse)?.collect())
}

fn parsed<V>(
    texts: &StringArray,
    to: &DataType,
    misfit: Misfit,
    parse: impl Fn(&str) -> Option<V>,
) -> PlanResult<std::vec::IntoIter<Option<V>>> {
    let mut values = Vec::with_capacity(texts.len());
    for text in texts {
        let value = text.and_then(&parse);
        if let (Some(text), None, Misfit::Fails) = (text, &value, misfit) {
            return Err(no_such_text(text, to).into());
        }
        values.push(value);
    }
    Ok(values.into_iter())
}

fn parsed_decimals(
    texts: &StringArray,
    precision: u8,
    scale: i8,
    misfit: Misfit,
) -> PlanResult<ArrayRef> {
    let to = DataType::Decimal128(precision, scale);
    let mut values = Vec::with_capacity(texts.len());
    for text in texts {
        values.push(match text.map(|text| (text, parse_decimal(text, precision, scale))) {
            None => None,
            Some((_, Ok(value))) => Some(value),
            Some((_, Err(_))) if misfit == Misfit::Null => None,
            Some((text, Err(NoDecimal::Malformed))) => return Err(no_such_text(text, &to).into()),
            Some((text, Err(NoDecimal::TooLarge))) => {
                return Err(does_not_fit(&format!("'{text}'"), &DataType::Utf8, &to).into());
            }
        });
    }
    Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale)?))
}

/// A DOUBLE counts as the decimal number that it is written as; NaN and the infinities are NULL.
fn double_to_decimal(
    column: &ArrayRef,
    precision: u8,
    scale: i8,
    misfit: Misfit,
) -> PlanResult<ArrayRef> {
    let float = *column.data_type() == DataType::Float32;
    let texts = if float {
        column_text(column, &Zone::default())?
    } else {
        let numbers = column.as_primitive::<Float64Type>();
        numbers.iter().map(|n| n.map(double_text)).collect()
    };
    let finite: StringArray = texts
        .iter()
        .map(|text| text.filter(|text| !matches!(*text, "NaN" | "Infinity" | "-Infinity")))
        .collect();
    parsed_decimals(&finite, precision, scale, misfit)
}

fn decimal_to_double(column: &ArrayRef, scale: i8, to: &DataType) -> PlanResult<ArrayRef> {
    // Up to here both the number and the power of ten are exact, so the quotient is the nearest one.
    const EXACT: u128 = 1 << 53;
    let by = 10_f64.powi(i32::from(scale));
    let nearest = |n: i128| match n.unsigned_abs() < EXACT && (0..=22).contains(&scale) {
        true => n as f64 / by,
        false => format!("{n}e-{scale}").parse().unwrap_or(f64::NAN),
    };
    let numbers = column.as_primitive::<Decimal128Type>().unary::<_, Float64Type>(nearest);
    Ok(compute::cast(&numbers, to)?)
}

/// Seconds since 1970; whole ones are rounded down also before it.
fn from_timestamp(column: &ArrayRef, to: &DataType, misfit: Misfit) -> PlanResult<ArrayRef> {
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let seconds: ArrayRef = match to {
        DataType::Float32 | DataType::Float64 => {
            Arc::new(times.unary::<_, Float64Type>(|t| t as f64 / SECOND as f64))
        }
        DataType::Decimal128(..) => {
            let micros = times.unary::<_, Decimal128Type>(i128::from);
            Arc::new(micros.with_precision_and_scale(20, 6)?)
        }
        _ => Arc::new(times.unary::<_, Int64Type>(|t| t.div_euclid(SECOND))),
    };
    let result = cast_column(&seconds, to, Misfit::Null, &Zone::default())?;
    all_fit(column, result, misfit)
}

fn to_timestamp(column: &ArrayRef, to: &DataType) -> PlanResult<ArrayRef> {
    let micros: Int64Array = match column.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let seconds = compute::cast(column, &DataType::Float64)?;
            let micros = |s: f64| s.is_finite().then_some((s * SECOND as f64) as i64);
            seconds.as_primitive::<Float64Type>().unary_opt(micros)
        }
        DataType::Decimal128(_, scale) => {
            let micros = |n| {
                let micros = i256::from_i128(n).checked_mul(i256::from_i128(SECOND.into()))?;
                let by = i256::from_i128(10).checked_pow(u32::try_from(*scale).ok()?)?;
                i64::try_from(micros.checked_div(by)?.to_i128()?).ok()
            };
            column.as_primitive::<Decimal128Type>().unary_opt(micros)
        }
        _ => {
            let seconds = compute::cast(column, &DataType::Int64)?;
            // Spark stops at the ends of what a timestamp can hold.
            seconds.as_primitive::<Int64Type>().unary(|s: i64| s.saturating_mul(SECOND))
        }
    };
    Ok(compute::cast(&micros, to)?)
}

/// Element by element; the outer shape stays.
fn nested(column: &ArrayRef, to: &DataType, misfit: Misfit, zone: &Zone) -> PlanResult<ArrayRef> {
    Ok(match (column.data_type(), to) {
        (DataType::List(_), DataType::List(item)) => {
            let list = column.as_list::<i32>();
            let items = cast_column(list.values(), item.data_type(), misfit, zone)?;
            let offsets = list.offsets().clone();
            Arc::new(ListArray::try_new(item.clone(), offsets, items, list.nulls().cloned())?)
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let row = column.as_struct();
            let columns = row
                .columns()
                .iter()
                .zip(fields)
                .map(|(column, field)| cast_column(column, field.data_type(), misfit, zone))
                .collect::<PlanResult<Vec<_>>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, row.nulls().cloned())?)
        }
        (DataType::Map(..), DataType::Map(entry, sorted)) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = nested(&entries, entry.data_type(), misfit, zone)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            let entries = entries.as_struct().clone();
            Arc::new(MapArray::try_new(entry.clone(), offsets, entries, nulls, *sorted)?)
        }
        _ => compute::cast(column, to)?,
    })
}
