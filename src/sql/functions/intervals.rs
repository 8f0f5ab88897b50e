//! An interval multiplied or divided by a number, which `INTERVAL 1 HOUR * 2` calls, and the parts of one.
//!
//! Months stay months; days and what is smaller are counted in microseconds, half of one rounds up.

use arrow::array::AsArray;
use arrow::datatypes::{IntervalMonthDayNano, IntervalMonthDayNanoType};

use super::scalar::{Answer, Function, Gives, Row, Value, overflow, refused};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("multiply_interval", "any double", Gives::Interval, |r| {
        let by = r.double(1);
        scaled(r, |n| n * by)
    }),
    Function::new("divide_interval", "any double", Gives::Interval, |r| {
        let by = r.double(1);
        if by == 0.0 {
            return Err(refused(
                "INTERVAL_DIVIDED_BY_ZERO",
                "an interval is divided by zero".to_owned(),
            ));
        }
        scaled(r, |n| n / by)
    }),
];

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

fn scaled(r: &Row, by: impl Fn(f64) -> f64) -> Answer {
    let Some(one) = interval_at(r, 0) else { return Ok(Value::Null) };
    let too_long = || overflow("the interval is too long");
    let rounded = |n: f64| {
        let n = by(n);
        let n = (n.abs() + 0.5).floor().copysign(n);
        (n.abs() < i64::MAX as f64).then_some(n as i64).ok_or_else(too_long)
    };
    let micros = i64::from(one.days) as f64 * DAY as f64 + (one.nanoseconds / 1000) as f64;
    let (months, micros) = (rounded(f64::from(one.months))?, rounded(micros)?);
    let months = i32::try_from(months).map_err(|_| too_long())?;
    let days = i32::try_from(micros / DAY).map_err(|_| too_long())?;
    Ok(IntervalMonthDayNano::new(months, days, micros % DAY * 1000).into())
}

/// An argument that is an interval.
pub(super) fn interval_at(r: &Row, i: usize) -> Option<IntervalMonthDayNano> {
    let (array, row) = r.raw(i)?;
    Some(array.as_primitive_opt::<IntervalMonthDayNanoType>()?.value(row))
}

/// What stands in one place of an interval: its months are years and months, the rest is days,
/// hours, minutes and seconds.
pub(super) fn part_of_interval(field: &str, interval: IntervalMonthDayNano) -> Answer {
    let micros = i64::from(interval.days) * DAY + interval.nanoseconds / 1000;
    let part = match field.to_lowercase().as_str() {
        "year" | "y" | "years" | "yr" | "yrs" => i64::from(interval.months / 12),
        "month" | "mon" | "mons" | "months" => i64::from(interval.months % 12),
        "day" | "d" | "days" => micros / DAY,
        "hour" | "h" | "hours" | "hr" | "hrs" => micros % DAY / 3_600_000_000,
        "minute" | "m" | "min" | "mins" | "minutes" => micros % 3_600_000_000 / 60_000_000,
        // Microseconds: the digits of a DECIMAL(8,6).
        "second" | "s" | "sec" | "seconds" | "secs" => micros % 60_000_000,
        _ => {
            let what = format!("'{field}' is not a part of an interval");
            return Err(Error::sql("INVALID_EXTRACT_FIELD", what)
                .hint("extract YEAR, MONTH, DAY, HOUR, MINUTE or SECOND"));
        }
    };
    Ok(part.into())
}
