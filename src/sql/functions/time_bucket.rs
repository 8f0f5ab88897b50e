//! `time_bucket(width, time[, origin])`: the beginning of the bucket in which a time lies, of buckets
//! that follow each other from the origin on, which is 1970 if none is given.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    TimestampMicrosecondType,
};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;

use super::definition::{Call, Definition, mismatch, wrong_count};
use super::scalar::overflow;
use crate::calendar::{DAY, Zone};
use crate::error::Error;
use crate::sql::types::{timestamp, timestamp_ntz};

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let gives = |types: &[DataType]| Ok(types.get(1).cloned().unwrap_or(DataType::Null));
    vec![Definition { name: "time_bucket", takes, gives, value: buckets }]
}

fn takes(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let (width, times) = match types {
        [width, _] | [width, _, _] => (width, &types[1..]),
        _ => return Err(wrong_count("an interval, a time and perhaps an origin", types.len())),
    };
    if !matches!(width, DataType::Interval(_) | DataType::Null) {
        return Err(mismatch("an INTERVAL", width));
    }
    let of_clock = times.contains(&timestamp_ntz());
    let time = if of_clock { timestamp_ntz() } else { timestamp() };
    if let Some(other) = times.iter().find(|t| **t != time && !t.is_null()) {
        return Err(mismatch("two TIMESTAMPs, or two TIMESTAMP_NTZs,", other));
    }
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    Ok([interval, time.clone(), time].into_iter().take(types.len()).collect())
}

fn buckets(call: &Call) -> PlanResult<ArrayRef> {
    let Some(widths) = call.args[0].as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return exec_err!("a bucket has the width of an interval");
    };
    let times = call.args[1].as_primitive::<TimestampMicrosecondType>();
    let origins =
        call.args.get(2).map(|origins| origins.as_primitive::<TimestampMicrosecondType>());
    let utc = Zone::default();
    let DataType::Timestamp(_, of_instants) = call.gives else { return exec_err!("a time") };
    // A time without a zone is what a clock shows already.
    let zone = if of_instants.is_some() { call.zone } else { &utc };
    let begin = |row: usize| {
        let origin = match origins {
            Some(origins) if origins.is_null(row) => return Ok(None),
            Some(origins) => origins.value(row),
            None => zone.instant(0),
        };
        if widths.is_null(row) || times.is_null(row) {
            return Ok(None);
        }
        let (width, time) = (widths.value(row), times.value(row));
        // Hours go on when clocks are changed, days begin by the clock.
        if width.months == 0 && micros(width) < DAY {
            return bucket(width, time, origin).map(Some);
        }
        let begin = bucket(width, zone.clock(time), zone.clock(origin))?;
        Ok(Some(zone.instant(begin)))
    };
    let begins = (0..call.rows).map(begin).collect::<Result<TimestampMicrosecondArray, Error>>()?;
    Ok(Arc::new(begins.with_timezone_opt(of_instants.clone())))
}

/// The part of a width that is no months.
fn micros(width: IntervalMonthDayNano) -> i64 {
    i64::from(width.days) * DAY + width.nanoseconds / 1000
}

/// The beginning of the bucket of a time, all by one clock.
fn bucket(width: IntervalMonthDayNano, time: i64, origin: i64) -> Result<i64, Error> {
    let far = || overflow("the bucket is too far from its origin");
    match (width.months, micros(width)) {
        (0, micros @ 1..) => {
            let away = time.checked_sub(origin).ok_or_else(far)?.rem_euclid(micros);
            time.checked_sub(away).ok_or_else(far)
        }
        (months @ 1.., 0) => {
            let utc = Zone::default();
            let after = |count: i64| utc.plus(origin, count.checked_mul(months.into())?, 0, 0);
            // A month has 28 to 31 days: begin behind the time, and count down to what fits.
            let (shortest, longest) = (i64::from(months) * 28 * DAY, i64::from(months) * 31 * DAY);
            let away = time.checked_sub(origin).ok_or_else(far)?;
            let mut count = away.div_euclid(if away < 0 { longest } else { shortest }) + 1;
            loop {
                let begin = after(count).ok_or_else(far)?;
                if begin <= time {
                    return Ok(begin);
                }
                count -= ((begin - time) / longest).max(1);
            }
        }
        _ => Err(Error::sql(
            "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE",
            "the width of a bucket is more than nothing, in months or in days and what is shorter",
        )
        .hint("write a width as in INTERVAL 15 MINUTES or INTERVAL 1 MONTH")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_in_its_bucket_of_months() {
        let month = IntervalMonthDayNano::new(1, 0, 0);
        let last_of_january = 30 * DAY;
        for day in -2000..2000 {
            let begin = bucket(month, day * DAY, last_of_january).unwrap();
            assert!(begin <= day * DAY && day * DAY < begin + 31 * DAY, "{day}: {begin}");
        }
    }
}
