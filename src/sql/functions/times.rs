//! Times: from text and to text, from numbers and to numbers, between zones, cut and moved.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::scalar::ScalarValue;

use super::dates::{later, raw_whole, truncated};
use super::scalar::{Answer, Function, Gives, Row, Value, overflow, refused};
use super::time_cast;
use crate::calendar::{DAY, TimePattern, Zone, day_number, naive};
use crate::error::Error;
use crate::sql::types;

/// The pattern of `unix_timestamp` and `from_unixtime`.
const USUAL: &str = "yyyy-MM-dd HH:mm:ss";

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("date_format", "time pattern", Gives::Text, |r| {
        Ok(written(r.whole(0), r.text(1), r.zone())?.into())
    }),
    Function::new("from_unixtime", "whole pattern?", Gives::Text, |r| {
        let instant = scaled(r.whole(0), 1_000_000)?;
        Ok(written(instant, r.text_or(1, USUAL), r.zone())?.into())
    }),
    Function::new("to_timestamp to_timestamp_ltz", "any pattern?", Gives::Time, |r| {
        Ok(instant(r, r.has(1).then(|| r.text(1)))?.into())
    }),
    Function::new("try_to_timestamp", "any pattern?", Gives::Time, |r| {
        Ok(instant(r, r.has(1).then(|| r.text(1))).ok().into())
    }),
    Function::new(
        "to_timestamp_ntz",
        "any pattern?",
        Gives::Of(|_, _| types::timestamp_ntz()),
        |r| match text(r) {
            Some(text) if r.has(1) => {
                let clock = TimePattern::to_read(r.text(1))?.clock(text, true);
                Ok(clock.ok_or_else(|| no_such_time(text, r.text(1)))?.into())
            }
            _ => Ok(r.zone().clock(instant(r, None)?).into()),
        },
    ),
    Function::new("to_date", "any pattern?", Gives::Date, |r| Ok(day(r)?.into())),
    Function::new("try_to_date", "any pattern?", Gives::Date, |r| Ok(day(r).ok().into())),
    Function::new("unix_timestamp to_unix_timestamp", "any pattern?", Gives::Long, |r| {
        let instant = instant(r, Some(r.text_or(1, USUAL)))?;
        // Towards 1970, unlike `unix_seconds`.
        Ok((instant / 1_000_000).into())
    }),
    Function::new("unix_seconds", "time", Gives::Long, |r| {
        Ok(r.whole(0).div_euclid(1_000_000).into())
    }),
    Function::new("unix_millis", "time", Gives::Long, |r| Ok(r.whole(0).div_euclid(1000).into())),
    Function::new("unix_micros", "time", Gives::Long, |r| Ok(r.whole(0).into())),
    Function::new("timestamp_seconds", "number", Gives::Time, timestamp_seconds),
    Function::new("timestamp_millis", "whole", Gives::Time, |r| {
        Ok(scaled(r.whole(0), 1000)?.into())
    }),
    Function::new("timestamp_micros", "whole", Gives::Time, |r| Ok(r.whole(0).into())),
    Function::new("date_trunc", "text time", Gives::Time, |r| {
        let clock = naive(r.zone().clock(r.whole(1)));
        let begin = truncated(clock, &r.text(0).to_lowercase());
        Ok(begin.map(|begin| r.zone().instant(begin.and_utc().timestamp_micros())).into())
    }),
    Function::new("from_utc_timestamp", "time text", Gives::Time, |r| {
        // The clock of the zone is shown as if it were that of UTC, whatever the session's zone is.
        Ok(Zone::named(r.text(1))?.clock(r.whole(0)).into())
    }),
    Function::new("to_utc_timestamp", "time text", Gives::Time, |r| {
        Ok(Zone::named(r.text(1))?.instant(r.whole(0)).into())
    }),
    Function::new(
        "convert_timezone",
        "text local|text text local",
        Gives::Of(|_, _| types::timestamp_ntz()),
        |r| {
            let last = r.len() - 1;
            let from = if last == 2 { &Zone::named(r.text(0))? } else { r.zone() };
            Ok(Zone::named(r.text(last - 1))?.clock(from.instant(r.whole(last))).into())
        },
    ),
    Function::new("current_timezone", "", Gives::Text, |r| Ok(r.zone().name().into())),
    Function::new("timestampadd", "text any any", Gives::Of(added_type), added),
    Function::new("timestampdiff", "text time time", Gives::Long, distance),
    Function::new("make_timestamp make_timestamp_ltz", MADE, Gives::Time, |r| {
        Ok(made_instant(r)?.into())
    }),
    Function::new("try_make_timestamp try_make_timestamp_ltz", MADE, Gives::Time, |r| {
        Ok(made_instant(r).ok().into())
    }),
    Function::new("make_timestamp_ntz", CLOCK, Gives::Of(|_, _| types::timestamp_ntz()), |r| {
        Ok(made(r)?.into())
    }),
    Function::new("try_make_timestamp_ntz", CLOCK, Gives::Of(|_, _| types::timestamp_ntz()), |r| {
        Ok(made(r).ok().into())
    }),
];

const CLOCK: &str = "whole whole whole whole whole double";
const MADE: &str = "whole whole whole whole whole double text?";

/// A timestamp without a zone stays one; dates and texts become instants.
pub(super) fn time_type(given: &DataType) -> DataType {
    match given {
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        _ => types::timestamp(),
    }
}

fn added_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> DataType {
    time_type(types.get(2).unwrap_or(&DataType::Null))
}

fn written(instant: i64, pattern: &str, zone: &Zone) -> Result<String, Error> {
    Ok(TimePattern::to_write(pattern)?.write(instant, zone))
}

fn scaled(number: i64, by: i64) -> Result<i64, Error> {
    number.checked_mul(by).ok_or_else(|| overflow(&format!("{number} is too far away for a time")))
}

/// The first argument, if it is text.
fn text<'a>(r: &'a Row) -> Option<&'a str> {
    use arrow::array::AsArray;
    let (array, row) = r.raw(0)?;
    Some(array.as_string_opt::<i32>()?.value(row))
}

fn by_pattern(text: &str, pattern: &str, zone: &Zone) -> Result<i64, Error> {
    let instant = TimePattern::to_read(pattern)?.instant(text, zone);
    instant.ok_or_else(|| no_such_time(text, pattern))
}

fn no_such_time(text: &str, pattern: &str) -> Error {
    let what = format!("'{text}' is not a time of the form '{pattern}'");
    Error::input("CANNOT_PARSE_TIMESTAMP", what)
        .hint("correct the pattern, use try_to_timestamp() to get NULL, or filter such rows out")
}

/// The first argument as an instant; text by a pattern, or else as a cast reads it.
fn instant(r: &Row, pattern: Option<&str>) -> Result<i64, Error> {
    match (text(r), pattern) {
        (Some(text), Some(pattern)) => by_pattern(text, pattern, r.zone()),
        _ => {
            let Some((array, row)) = r.raw(0) else { return Ok(0) };
            let one = array.slice(row, 1);
            if one.data_type().is_integer() {
                return scaled(raw_whole(r, 0)?, 1_000_000);
            }
            Ok(time_cast::instants(&one, r.zone())?.value(0))
        }
    }
}

fn day(r: &Row) -> Result<i64, Error> {
    match text(r) {
        Some(text) if r.has(1) => {
            let instant = by_pattern(text, r.text(1), r.zone())?;
            Ok(r.zone().clock(instant).div_euclid(DAY))
        }
        _ => {
            let Some((array, row)) = r.raw(0) else { return Ok(0) };
            Ok(time_cast::days(&array.slice(row, 1), r.zone())?.value(0))
        }
    }
}

fn timestamp_seconds(r: &Row) -> Answer {
    let far = || overflow("the number is too far away for a time");
    match r.type_of(0) {
        DataType::Decimal128(_, scale) => {
            let by = 10_i128.checked_pow((*scale).max(0) as u32).ok_or_else(far)?;
            let micros = r.digits(0).checked_mul(1_000_000).ok_or_else(far)?;
            Ok(micros.div_euclid(by).into())
        }
        given if given.is_integer() => Ok(scaled(r.whole(0), 1_000_000)?.into()),
        _ if !r.double(0).is_finite() => Ok(Value::Null),
        _ => Ok(((r.double(0) * 1e6) as i64).into()),
    }
}

/// Microseconds of a unit that always is as long; months of one that is not.
enum Length {
    Micros(i64),
    Months(i64),
}

fn length(unit: &str) -> Result<Length, Error> {
    use Length::{Micros, Months};
    Ok(match unit.to_lowercase().as_str() {
        "microsecond" => Micros(1),
        "millisecond" => Micros(1000),
        "second" => Micros(1_000_000),
        "minute" => Micros(60_000_000),
        "hour" => Micros(3_600_000_000),
        "day" | "dayofyear" => Micros(DAY),
        "week" => Micros(7 * DAY),
        "month" => Months(1),
        "quarter" => Months(3),
        "year" => Months(12),
        _ => {
            let what = format!("'{unit}' is not a unit of time");
            return Err(refused("INVALID_PARAMETER_VALUE.DATETIME_UNIT", what)
                .hint("write YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND …"));
        }
    })
}

/// `timestampadd(unit, count, time)`: days and longer by the clock, so that a day with a change of
/// the clock is one day.
pub(super) fn added(r: &Row) -> Answer {
    let Some((array, row)) = r.raw(2) else { return Ok(Value::Null) };
    let count = raw_whole(r, 1)?;
    let one = array.slice(row, 1);
    let far = || overflow("the time is too far away");
    let on_clock = |months: i64, micros: Option<i64>| -> Result<i64, Error> {
        let clock = time_cast::clock_times(&one, r.zone())?.value(0);
        let moved = later(clock, months)?.checked_add(micros.ok_or_else(far)?).ok_or_else(far)?;
        Ok(match r.gives() {
            DataType::Timestamp(_, None) => moved,
            _ => r.zone().instant(moved),
        })
    };
    Ok(match length(r.text(0))? {
        Length::Months(months) => on_clock(months.checked_mul(count).ok_or_else(far)?, Some(0))?,
        Length::Micros(micros) if micros >= DAY || r.gives() == &types::timestamp_ntz() => {
            on_clock(0, micros.checked_mul(count))?
        }
        Length::Micros(micros) => {
            let instant = time_cast::instants(&one, r.zone())?.value(0);
            micros.checked_mul(count).and_then(|by| instant.checked_add(by)).ok_or_else(far)?
        }
    }
    .into())
}

/// `timestampdiff(unit, start, end)`: how many whole units lie between.
pub(super) fn distance(r: &Row) -> Answer {
    let (a, b) = (r.whole(1), r.whole(2));
    let (start, end) = (r.zone().clock(a), r.zone().clock(b));
    Ok(match length(r.text(0))? {
        Length::Micros(micros) if micros < DAY => (b.saturating_sub(a) / micros).into(),
        Length::Micros(micros) => (end.saturating_sub(start) / micros).into(),
        Length::Months(months) => (whole_months(start, end)? / months).into(),
    })
}

fn whole_months(start: i64, end: i64) -> Result<i64, Error> {
    use chrono::Datelike;
    let months = |clock: i64| {
        let date = naive(clock).date();
        i64::from(date.year()) * 12 + i64::from(date.month0())
    };
    // Day of the month and time of the day say whether the last month is whole.
    let rest = |clock: i64| i64::from(naive(clock).day0()) * DAY + clock.rem_euclid(DAY);
    let between = months(end) - months(start);
    Ok(match between.signum() {
        1 if rest(end) < rest(start) => between - 1,
        -1 if rest(end) > rest(start) => between + 1,
        _ => between,
    })
}

fn made_instant(r: &Row) -> Result<i64, Error> {
    let clock = made(r)?;
    if r.has(6) { Ok(Zone::named(r.text(6))?.instant(clock)) } else { Ok(r.zone().instant(clock)) }
}

/// Year, month, day, hour, minute and seconds with a fraction; 60 seconds are a minute.
fn made(r: &Row) -> Result<i64, Error> {
    let (hour, minute) = (r.whole(3), r.whole(4));
    let micros = (r.double(5) * 1e6).round() as i64;
    let fits = (0..24).contains(&hour) && (0..60).contains(&minute);
    let day = day_number(r.whole(0), r.whole(1), r.whole(2)).filter(|_| fits);
    match day {
        Some(day) if (0..60_000_000).contains(&micros) || micros == 60_000_000 => {
            Ok(day * DAY + (hour * 60 + minute) * 60_000_000 + micros)
        }
        Some(_) if (60_000_000..61_000_000).contains(&micros) => Err(refused(
            "INVALID_FRACTION_OF_SECOND",
            format!("{} seconds are too many: 60 have no fraction", r.double(5)),
        )),
        _ => Err(refused(
            "DATETIME_FIELD_OUT_OF_BOUNDS.WITH_SUGGESTION",
            format!(
                "there is no time {:04}-{:02}-{:02} {hour:02}:{minute:02}:{}",
                r.whole(0),
                r.whole(1),
                r.whole(2),
                r.double(5)
            ),
        )),
    }
}
