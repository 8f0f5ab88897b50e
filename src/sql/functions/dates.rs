//! Dates: their parts, the distance between two, what lies some days or months away.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike, Weekday};
use datafusion::scalar::ScalarValue;

use super::intervals::{interval_at, part_of_interval};
use super::scalar::{Answer, Function, Gives, Row, Value, overflow, refused};
use crate::calendar::{DAY, day_name, day_number, month_name, naive};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("year", "date", Gives::Int, |r| Ok(date(r, 0)?.year().into())),
    Function::new("quarter", "date", Gives::Int, |r| part_of(r, "quarter")),
    Function::new("month", "date", Gives::Int, |r| part_of(r, "month")),
    Function::new("day dayofmonth", "date", Gives::Int, |r| part_of(r, "day")),
    Function::new("dayofweek", "date", Gives::Int, |r| part_of(r, "dayofweek")),
    Function::new("dayofyear", "date", Gives::Int, |r| part_of(r, "doy")),
    Function::new("weekday", "date", Gives::Int, |r| {
        Ok((date(r, 0)?.weekday().num_days_from_monday() as i32).into())
    }),
    Function::new("weekofyear", "date", Gives::Int, |r| part_of(r, "week")),
    Function::new("hour", "local", Gives::Int, |r| Ok((naive(r.whole(0)).hour() as i32).into())),
    Function::new(
        "minute",
        "local",
        Gives::Int,
        |r| Ok((naive(r.whole(0)).minute() as i32).into()),
    ),
    Function::new(
        "second",
        "local",
        Gives::Int,
        |r| Ok((naive(r.whole(0)).second() as i32).into()),
    ),
    Function::new("dayname", "date", Gives::Text, |r| {
        Ok(day_name(date(r, 0)?.weekday().num_days_from_monday())[..3].into())
    }),
    Function::new("monthname", "date", Gives::Text, |r| {
        Ok(month_name(date(r, 0)?.month())[..3].into())
    }),
    Function::new("extract date_part datepart", "text local/interval", Gives::Of(part_type), |r| {
        match interval_at(r, 1) {
            Some(interval) => part_of_interval(r.text(0), interval),
            None => part(r.text(0), naive(r.whole(1))),
        }
    }),
    Function::new("date_add dateadd", "date whole|text any any", Gives::Of(moved_type), |r| {
        if r.has(2) { super::times::added(r) } else { moved(r, r.whole(1)) }
    }),
    Function::new("date_sub", "date whole", Gives::Date, |r| moved(r, r.whole(1).saturating_neg())),
    Function::new(
        "datediff date_diff",
        "date date|text time time",
        Gives::Of(distance_type),
        |r| {
            if r.has(2) { super::times::distance(r) } else { Ok((r.whole(0) - r.whole(1)).into()) }
        },
    ),
    Function::new("add_months", "date whole", Gives::Date, |r| {
        Ok(day_of(months_later(date(r, 0)?, r.whole(1))?).into())
    }),
    Function::new("months_between", "local local bool?", Gives::Double, months_between),
    Function::new("last_day", "date", Gives::Date, |r| {
        let first = date(r, 0)?.with_day(1).unwrap_or_default();
        Ok((day_of(months_later(first, 1)?) - 1).into())
    }),
    Function::new("next_day", "date text", Gives::Date, next_day),
    Function::new("make_date", "whole whole whole", Gives::Date, |r| {
        let day = day_number(r.whole(0), r.whole(1), r.whole(2));
        Ok(day.ok_or_else(|| no_date(r.whole(0), r.whole(1), r.whole(2)))?.into())
    }),
    Function::new("trunc", "date text", Gives::Date, |r| {
        let day = naive(r.whole(0).saturating_mul(DAY));
        Ok(match r.text(1).to_lowercase().as_str() {
            unit @ ("year" | "yyyy" | "yy" | "quarter" | "month" | "mon" | "mm" | "week") => {
                truncated(day, unit).map(|time| day_of(time.date())).into()
            }
            _ => Value::Null,
        })
    }),
    Function::new("unix_date", "date", Gives::Int, |r| Ok(r.whole(0).into())),
    Function::new("date_from_unix_date", "whole", Gives::Date, |r| Ok(r.whole(0).into())),
    Function::new(
        "make_interval",
        "whole? whole? whole? whole? whole? whole? double?",
        Gives::Interval,
        |r| {
            interval(r, [r.whole(0), r.whole(1), r.whole(2), r.whole(3), r.whole(4), r.whole(5)], 6)
        },
    ),
    Function::new(
        "try_make_interval",
        "whole? whole? whole? whole? whole? whole? double?",
        Gives::Interval,
        |r| {
            let parts = [r.whole(0), r.whole(1), r.whole(2), r.whole(3), r.whole(4), r.whole(5)];
            Ok(interval(r, parts, 6).unwrap_or(Value::Null))
        },
    ),
    Function::new("make_dt_interval", "whole? whole? whole? double?", Gives::Interval, |r| {
        interval(r, [0, 0, 0, r.whole(0), r.whole(1), r.whole(2)], 3)
    }),
    Function::new("make_ym_interval", "whole? whole?", Gives::Interval, |r| {
        interval(r, [r.whole(0), r.whole(1), 0, 0, 0, 0], 2)
    }),
];

fn date(r: &Row, i: usize) -> Result<NaiveDate, Error> {
    date_of(r.whole(i))
}

fn date_of(day: i64) -> Result<NaiveDate, Error> {
    let from_ce = day.checked_add(719_163).and_then(|day| i32::try_from(day).ok());
    let date = from_ce.and_then(NaiveDate::from_num_days_from_ce_opt);
    date.ok_or_else(|| overflow("the date is too far away"))
}

/// Days since 1970.
fn day_of(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce()) - 719_163
}

fn no_date(year: i64, month: i64, day: i64) -> Error {
    let what = format!("there is no date {year:04}-{month:02}-{day:02}");
    refused("DATETIME_FIELD_OUT_OF_BOUNDS.WITH_SUGGESTION", what)
}

fn part_of(r: &Row, field: &str) -> Answer {
    part(field, NaiveDateTime::new(date(r, 0)?, Default::default()))
}

/// The type of a part: a second has a fraction.
fn part_type(types: &[DataType], values: &[Option<&ScalarValue>]) -> DataType {
    let field = values.first().copied().flatten().and_then(|v| v.try_as_str().flatten());
    match field.map(str::to_lowercase).as_deref() {
        Some("second" | "s" | "sec" | "seconds" | "secs") => DataType::Decimal128(8, 6),
        Some(part) if matches!(types.get(1), Some(DataType::Interval(_))) => match &part[..1] {
            "m" | "h" => DataType::Int8,
            _ => DataType::Int32,
        },
        _ => DataType::Int32,
    }
}

/// One part of a time.
fn part(field: &str, time: NaiveDateTime) -> Answer {
    let weekday = time.weekday();
    let part = match field.to_lowercase().as_str() {
        "year" | "y" | "years" | "yr" | "yrs" => time.year(),
        "yearofweek" => time.iso_week().year(),
        "quarter" | "qtr" => (time.month0() / 3 + 1) as i32,
        "month" | "mon" | "mons" | "months" => time.month() as i32,
        "week" | "w" | "weeks" => time.iso_week().week() as i32,
        "day" | "d" | "days" => time.day() as i32,
        "dayofweek" | "dow" => weekday.num_days_from_sunday() as i32 + 1,
        "dayofweek_iso" | "dow_iso" => weekday.number_from_monday() as i32,
        "doy" => time.ordinal() as i32,
        "hour" | "h" | "hours" | "hr" | "hrs" => time.hour() as i32,
        "minute" | "m" | "min" | "mins" | "minutes" => time.minute() as i32,
        // Microseconds: the digits of a DECIMAL(8,6).
        "second" | "s" | "sec" | "seconds" | "secs" => {
            (time.second() * 1_000_000 + time.nanosecond() / 1000) as i32
        }
        _ => {
            let what = format!("'{field}' is not a part of a time");
            return Err(Error::sql("INVALID_EXTRACT_FIELD", what).hint(
                "extract YEAR, QUARTER, MONTH, WEEK, DAY, DAYOFWEEK, DOY, HOUR, MINUTE or SECOND",
            ));
        }
    };
    Ok(part.into())
}

/// With a unit before, `date_add` answers a time.
fn moved_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> DataType {
    match types {
        [_, _, moved] => super::times::time_type(moved),
        _ => DataType::Date32,
    }
}

fn distance_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> DataType {
    if types.len() == 3 { DataType::Int64 } else { DataType::Int32 }
}

fn moved(r: &Row, days: i64) -> Answer {
    Ok(r.whole(0).saturating_add(days).into())
}

/// The same day some months later, or the last of a month that is shorter.
pub(super) fn months_later(date: NaiveDate, months: i64) -> Result<NaiveDate, Error> {
    let months = i32::try_from(months).ok().and_then(|months| match months {
        0.. => date.checked_add_months(chrono::Months::new(months as u32)),
        _ => date.checked_sub_months(chrono::Months::new(months.unsigned_abs())),
    });
    months.ok_or_else(|| overflow("the date is too far away"))
}

/// Whole months where both days are the same or both the last; else by 31 days a month.
fn months_between(r: &Row) -> Answer {
    let (a, b) = (naive(r.whole(0)), naive(r.whole(1)));
    let months = |t: NaiveDateTime| i64::from(t.year()) * 12 + i64::from(t.month0());
    let whole = (months(a) - months(b)) as f64;
    let is_last = |t: NaiveDateTime| t.date().succ_opt().is_none_or(|next| next.day() == 1);
    if a.day() == b.day() || (is_last(a) && is_last(b)) {
        return Ok(whole.into());
    }
    let seconds =
        |t: NaiveDateTime| f64::from(t.day()) * 86_400.0 + f64::from(t.num_seconds_from_midnight());
    let exact = whole + (seconds(a) - seconds(b)) / (31.0 * 86_400.0);
    let rounded = !r.has(2) || r.bool(2);
    Ok((if rounded { (exact * 1e8).round() / 1e8 } else { exact }).into())
}

fn next_day(r: &Row) -> Answer {
    let wanted = match r.text(1).to_lowercase().as_str() {
        "su" | "sun" | "sunday" => Weekday::Sun,
        "mo" | "mon" | "monday" => Weekday::Mon,
        "tu" | "tue" | "tuesday" => Weekday::Tue,
        "we" | "wed" | "wednesday" => Weekday::Wed,
        "th" | "thu" | "thursday" => Weekday::Thu,
        "fr" | "fri" | "friday" => Weekday::Fri,
        "sa" | "sat" | "saturday" => Weekday::Sat,
        other => {
            let what = format!("'{other}' is not a day of the week");
            return Err(refused("ILLEGAL_DAY_OF_WEEK", what));
        }
    };
    let away = (i64::from(wanted.num_days_from_monday())
        - i64::from(date(r, 0)?.weekday().num_days_from_monday()))
    .rem_euclid(7);
    Ok((r.whole(0) + if away == 0 { 7 } else { away }).into())
}

/// The beginning of the unit in which a time lies; `None` for what is no unit.
pub(super) fn truncated(time: NaiveDateTime, unit: &str) -> Option<NaiveDateTime> {
    let date = time.date();
    let midnight = |date: NaiveDate| date.and_time(Default::default());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let nanos = time.nanosecond();
    let at = |h, m, s, n| date.and_hms_nano_opt(h, m, s, n);
    match unit {
        "year" | "yyyy" | "yy" => date.with_day(1)?.with_month(1).map(midnight),
        "quarter" => date.with_day(1)?.with_month(date.month0() / 3 * 3 + 1).map(midnight),
        "month" | "mon" | "mm" => date.with_day(1).map(midnight),
        "week" => {
            let days = u64::from(date.weekday().num_days_from_monday());
            date.checked_sub_days(chrono::Days::new(days)).map(midnight)
        }
        "day" | "dd" => Some(midnight(date)),
        "hour" => at(hour, 0, 0, 0),
        "minute" => at(hour, minute, 0, 0),
        "second" => at(hour, minute, second, 0),
        "millisecond" => at(hour, minute, second, nanos / 1_000_000 * 1_000_000),
        "microsecond" => Some(time),
        _ => None,
    }
}

/// Years, months, weeks, days, hours, minutes, and seconds with a fraction.
fn interval(r: &Row, parts: [i64; 6], seconds: usize) -> Answer {
    let [years, months, weeks, days, hours, minutes] = parts;
    let too_long = || overflow("the interval is too long");
    let sum = |a: i64, by: i64, b: i64| a.checked_mul(by).and_then(|a| a.checked_add(b));
    let narrow = |n: Option<i64>| n.and_then(|n| i32::try_from(n).ok()).ok_or_else(too_long);
    let seconds = if r.has(seconds) { r.double(seconds) } else { 0.0 };
    let micros = (seconds * 1e6).round() as i64;
    let nanos = sum(hours, 60, minutes)
        .and_then(|minutes| sum(minutes, 60_000_000, micros))
        .and_then(|micros| micros.checked_mul(1000));
    Ok(Value::Interval(IntervalMonthDayNano::new(
        narrow(sum(years, 12, months))?,
        narrow(sum(weeks, 7, days))?,
        nanos.ok_or_else(too_long)?,
    )))
}

/// The constant text that an argument of the kind `any` is.
pub(super) fn raw_whole(r: &Row, i: usize) -> Result<i64, Error> {
    use arrow::datatypes::Int64Type;
    let Some((array, row)) = r.raw(i) else { return Ok(0) };
    let strict = arrow::compute::CastOptions { safe: false, ..Default::default() };
    let one = arrow::compute::cast_with_options(&array.slice(row, 1), &DataType::Int64, &strict)?;
    Ok(one.as_primitive::<Int64Type>().value(0))
}

/// [`date_of`] for other files.
pub(super) fn later(clock: i64, months: i64) -> Result<i64, Error> {
    let date = months_later(date_of(clock.div_euclid(DAY))?, months)?;
    Ok(day_of(date) * DAY + clock.rem_euclid(DAY))
}
