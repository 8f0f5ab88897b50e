//! Text, dates and times into each other, as Spark's casts do it in the zone of the session.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;

use super::columns::invalid_cast;
use crate::calendar::{DAY, Zone, date_text, read_days, read_instant, timestamp_text};
use crate::error::Error;

/// Days since 1970 of dates, times and texts.
pub(super) fn days(array: &ArrayRef, zone: &Zone) -> PlanResult<Int64Array> {
    match array.data_type() {
        DataType::Date32 => Ok(array.as_primitive::<Date32Type>().unary(i64::from)),
        DataType::Utf8 => read(array.as_string(), "DATE", |text| read_days(text).map(i64::from)),
        _ => Ok(clock_times(array, zone)?.unary(|time| time.div_euclid(DAY))),
    }
}

/// Microseconds since 1970, as instants.
pub(super) fn instants(array: &ArrayRef, zone: &Zone) -> PlanResult<Int64Array> {
    match array.data_type() {
        DataType::Timestamp(_, Some(_)) => Ok(times(array)),
        DataType::Timestamp(_, None) => Ok(times(array).unary(|time| zone.instant(time))),
        DataType::Date32 => {
            let dates = array.as_primitive::<Date32Type>();
            Ok(dates.unary(|day| zone.instant(i64::from(day) * DAY)))
        }
        DataType::Utf8 => read(array.as_string(), "TIMESTAMP", |text| read_instant(text, zone)),
        DataType::Null => Ok(Int64Array::new_null(array.len())),
        other => exec_err!("expected a time, found {other}"),
    }
}

/// Microseconds since 1970 that a clock shows.
pub(super) fn clock_times(array: &ArrayRef, zone: &Zone) -> PlanResult<Int64Array> {
    match array.data_type() {
        DataType::Timestamp(_, None) => Ok(times(array)),
        DataType::Date32 => Ok(array.as_primitive::<Date32Type>().unary(|d| i64::from(d) * DAY)),
        _ => Ok(instants(array, zone)?.unary(|time| zone.clock(time))),
    }
}

fn times(array: &ArrayRef) -> Int64Array {
    array.as_primitive::<TimestampMicrosecondType>().unary(|time| time)
}

fn read(
    texts: &StringArray,
    type_name: &str,
    read: impl Fn(&str) -> Option<i64>,
) -> PlanResult<Int64Array> {
    let read = |text: &str| read(text).ok_or_else(|| invalid_cast(text, type_name));
    Ok(texts.iter().map(|text| text.map(read).transpose()).collect::<Result<_, Error>>()?)
}

/// Dates and times as `CAST(… AS STRING)` writes them.
pub(super) fn texts(array: &ArrayRef, zone: &Zone) -> PlanResult<StringArray> {
    if let Some(days) = array.as_primitive_opt::<Date32Type>() {
        return Ok(days.iter().map(|days| days.map(date_text)).collect());
    }
    Ok(clock_times(array, zone)?.iter().map(|clock| clock.map(timestamp_text)).collect())
}
