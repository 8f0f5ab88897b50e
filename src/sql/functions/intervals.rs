//! An interval multiplied or divided by a number: what `INTERVAL 1 HOUR * 2` calls.
//!
//! Months stay months; days and what is smaller are counted in microseconds, half of one rounds up.

use arrow::array::AsArray;
use arrow::datatypes::{IntervalMonthDayNano, IntervalMonthDayNanoType};

use super::scalar::{Answer, Function, Gives, Row, Value, overflow, refused};

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
    let Some((array, row)) = r.raw(0) else { return Ok(Value::Null) };
    let Some(intervals) = array.as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return Ok(Value::Null);
    };
    let one = intervals.value(row);
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
