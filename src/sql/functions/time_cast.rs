//! Text, dates and times into each other, as Spark's casts do it in the zone of the session.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use chrono::{Datelike, NaiveDate};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;

use super::columns::invalid_cast;
use super::zone::{Zone, naive};
use crate::error::Error;

/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000;

/// Days since 1970 of dates, times and texts.
pub(super) fn days(array: &ArrayRef, zone: &Zone) -> PlanResult<Int64Array> {
    match array.data_type() {
        DataType::Date32 => Ok(array.as_primitive::<Date32Type>().unary(i64::from)),
        DataType::Utf8 => read(array.as_string(), "DATE", read_days),
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
    let read = |text: &str| read(text.trim()).ok_or_else(|| invalid_cast(text, type_name));
    Ok(texts.iter().map(|text| text.map(read).transpose()).collect::<Result<_, Error>>()?)
}

/// A date at the beginning of a text; what follows a `T` or a blank is not looked at.
pub(super) fn read_days(text: &str) -> Option<i64> {
    let (date, rest) = take_date(text)?;
    matches!(rest.as_bytes().first(), None | Some(b'T' | b' ')).then_some(date)
}

/// `yyyy[-[m]m[-[d]d[(T| )[h]h:[m]m[:[s]s[.fraction]][zone]]]]` as an instant.
pub(super) fn read_instant(text: &str, zone: &Zone) -> Option<i64> {
    let (date, rest) = take_date(text)?;
    if rest.is_empty() {
        return Some(zone.instant(date.checked_mul(DAY)?));
    }
    let rest = rest.strip_prefix(['T', ' '])?;
    let (hours, rest) = take_number(rest, 2)?;
    let (minutes, rest) = match rest.strip_prefix(':') {
        Some(rest) => take_number(rest, 2)?,
        None => (0, rest),
    };
    let (seconds, rest) = match rest.strip_prefix(':') {
        Some(rest) => take_number(rest, 2)?,
        None => (0, rest),
    };
    let (micros, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            (format!("{:0<6.6}", &rest[..digits]).parse::<i64>().ok()?, &rest[digits..])
        }
        None => (0, rest),
    };
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let of_day = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros;
    let clock = date.checked_mul(DAY)?.checked_add(of_day)?;
    match rest.trim() {
        "" => Some(zone.instant(clock)),
        named => Zone::named(named).ok().map(|zone| zone.instant(clock)),
    }
}

fn take_date(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = take_number(text, 6)?;
    if text.len() - rest.len() < 4 {
        return None;
    }
    let (month, rest) = match rest.strip_prefix('-') {
        Some(rest) => take_number(rest, 2)?,
        None => (1, rest),
    };
    let (day, rest) = match rest.strip_prefix('-') {
        Some(rest) => take_number(rest, 2)?,
        None => (1, rest),
    };
    Some((day_number(year, month, day)?, rest))
}

fn take_number(text: &str, most: usize) -> Option<(i64, &str)> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

/// Days since 1970 of a date that exists.
pub(super) fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let part = |n| u32::try_from(n).ok();
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, part(month)?, part(day)?)?;
    Some(i64::from(date.num_days_from_ce()) - 719_163)
}

/// Dates and times as `CAST(… AS STRING)` writes them.
pub(super) fn texts(array: &ArrayRef, zone: &Zone) -> PlanResult<StringArray> {
    let date_only = array.data_type() == &DataType::Date32;
    let clocks = clock_times(array, zone)?;
    Ok(clocks.iter().map(|clock| Some(text_of(clock?, date_only))).collect())
}

fn text_of(clock: i64, date_only: bool) -> String {
    let time = naive(clock);
    if date_only {
        return time.format("%Y-%m-%d").to_string();
    }
    let text = time.format("%Y-%m-%d %H:%M:%S.%6f").to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_spark_casts_it() {
        let utc = Zone::named("UTC").unwrap();
        for (text, instant) in [
            ("1970-01-02", Some(DAY)),
            ("1970", Some(0)),
            ("1970-1-1 1:2:3.5", Some(3_723_500_000)),
            ("1970-01-01T00:00:00+01:00", Some(-3_600_000_000)),
            ("1970-01-01 24:00:00", None),
            ("1970-02-30", None),
            ("", None),
        ] {
            assert_eq!(read_instant(text, &utc), instant, "{text}");
        }
        assert_eq!(read_days("0001-01-01x"), None);
        assert_eq!(read_days("0001-01-01T?"), Some(-719_162));
    }

    #[test]
    fn clocks_that_go_forward_skip_an_hour() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let clock = |text| read_instant(text, &Zone::named("UTC").unwrap()).unwrap();
        let instant = |text| berlin.instant(clock(text));
        assert_eq!(instant("2026-03-29 02:30:00"), clock("2026-03-29 01:30:00"));
        assert_eq!(instant("2026-10-25 02:30:00"), clock("2026-10-25 00:30:00"));
        assert_eq!(berlin.clock(clock("2026-07-01 12:00:00")), clock("2026-07-01 14:00:00"));
    }
}
