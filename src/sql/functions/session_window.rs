//! `session_window(ts, gap)` as a function of a plan.
//!
//! Takes a time and a gap; gives the session that the row would be if it were alone: from its time
//! to its time plus the gap, or NULL if the row is in no session (no time, no gap, or a gap that is
//! not longer than nothing). Sessions that touch are merged by the engine's operator, never here.
//!
//! A gap is text that Spark reads as an interval, or an interval of the calendar. Text that is no
//! interval is no gap, as in Spark. Days and months are those of the session's time zone.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, StringArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Field, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    TimestampMicrosecondType,
};
use chrono::offset::LocalResult;
use chrono::{DateTime, Months, NaiveDateTime, Offset, TimeDelta, TimeZone};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::SESSION_WINDOW;
use super::window::{time_of, window_field, window_type};
use crate::error::Error;
use crate::sql::interval::Interval;
use crate::sql::watermark::SESSION;
use crate::time::EventTimeMicros;

/// `session_window(ts, gap)` → struct of `start` and `end`.
pub(in crate::sql) fn session_window_udf() -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::from(SessionWindow { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionWindow {
    signature: Signature,
}

impl ScalarUDFImpl for SessionWindow {
    fn name(&self) -> &str {
        SESSION_WINDOW
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Wrong types go through: what is said of them is said by `windows`, in Spark's words.
    fn coerce_types(&self, arguments: &[DataType]) -> PlanResult<Vec<DataType>> {
        let [time, gap] = arguments else {
            return plan_err!("session_window() needs a time and a gap");
        };
        let gap = match gap {
            DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            other => other.clone(),
        };
        Ok(vec![time_of(time).unwrap_or_else(|| time.clone()), gap])
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        match arguments {
            [time, _] => Ok(window_type(time)),
            _ => plan_err!("session_window() needs a time and a gap"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let field = Field::new(self.name(), self.return_type(&types)?, true);
        Ok(Arc::new(window_field(field, args.arg_fields.first(), SESSION)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let [time, gap] = args.args.as_slice() else {
            return exec_err!("session_window() needs a time and a gap");
        };
        let times = time.to_array(args.number_rows)?;
        let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
            return exec_err!("session_window() over {}", times.data_type());
        };
        let zone = match times.timezone() {
            Some(_) => args.config_options.execution.time_zone.as_deref(),
            None => None,
        };
        let zone: Tz = zone.unwrap_or("+00:00").parse()?;
        let sessions = match gap {
            ColumnarValue::Scalar(gap) => {
                let gap = gaps(&gap.to_array_of_size(1)?)?(0);
                sessions(times, |_| gap, zone)
            }
            ColumnarValue::Array(column) => sessions(times, gaps(column)?, zone),
        };
        Ok(ColumnarValue::Array(Arc::new(sessions?)))
    }
}

/// What gives the gap of each row; `None` where it has none.
fn gaps(column: &ArrayRef) -> PlanResult<Box<dyn FnMut(usize) -> Option<Interval> + '_>> {
    if let Some(texts) = column.as_string_opt::<i32>() {
        return Ok(Box::new(gaps_in_texts(texts)));
    }
    match column.as_primitive_opt::<IntervalMonthDayNanoType>() {
        Some(gaps) => Ok(Box::new(|row| gaps.is_valid(row).then(|| interval(gaps.value(row))))),
        None => exec_err!("session_window() with a gap of {}", column.data_type()),
    }
}

fn interval(value: IntervalMonthDayNano) -> Interval {
    Interval {
        months: value.months.into(),
        days: value.days.into(),
        micros: value.nanoseconds / 1000,
    }
}

/// Neighbours often have the same gap: the last text is read once.
fn gaps_in_texts(texts: &StringArray) -> impl FnMut(usize) -> Option<Interval> + '_ {
    let mut last: Option<(&str, Option<Interval>)> = None;
    move |row| {
        let text = texts.is_valid(row).then(|| texts.value(row))?;
        match last {
            Some((known, gap)) if known == text => gap,
            _ => {
                let gap = Interval::parse(text).ok();
                last = Some((text, gap));
                gap
            }
        }
    }
}

/// The session of each row alone; NULL for a row that is in none.
fn sessions(
    times: &TimestampMicrosecondArray,
    mut gap: impl FnMut(usize) -> Option<Interval>,
    zone: Tz,
) -> PlanResult<StructArray> {
    let mut ends = Vec::with_capacity(times.len());
    let mut valid = Vec::with_capacity(times.len());
    for (row, time) in times.iter().enumerate() {
        let end = match time.zip(gap(row)) {
            Some((time, gap)) => Some(plus(time, gap, zone).ok_or_else(too_far)?),
            None => None,
        };
        let end = end.filter(|&end| time.is_some_and(|start| start < end));
        ends.push(end.unwrap_or_default());
        valid.push(end.is_some());
    }
    let DataType::Struct(fields) = window_type(times.data_type()) else {
        return exec_err!("a session is a struct");
    };
    let ends = TimestampMicrosecondArray::from(ends)
        .with_timezone_opt(times.timezone().map(str::to_owned));
    let columns: Vec<ArrayRef> = vec![Arc::new(times.clone()), Arc::new(ends)];
    Ok(StructArray::try_new(fields, columns, Some(NullBuffer::from(valid)))?)
}

fn too_far() -> Error {
    Error::input("DATETIME_OVERFLOW", "a session would end after the last time that there is")
        .hint("shorten the gap, or leave out rows of such times with WHERE")
}

/// A time plus an interval: months and days by the calendar of a zone, then the rest by the clock.
/// `None`: there is no such time.
fn plus(time: EventTimeMicros, gap: Interval, zone: Tz) -> Option<EventTimeMicros> {
    if gap.months == 0 && gap.days == 0 {
        return time.checked_add(gap.micros);
    }
    let here = DateTime::from_timestamp_micros(time)?.with_timezone(&zone);
    let months = Months::new(u32::try_from(gap.months.unsigned_abs()).ok()?);
    let local = match gap.months < 0 {
        true => here.naive_local().checked_sub_months(months)?,
        false => here.naive_local().checked_add_months(months)?,
    };
    let local = local.checked_add_signed(TimeDelta::try_days(gap.days)?)?;
    let utc = local - TimeDelta::seconds(offset(local, &here, zone).into());
    utc.and_utc().timestamp_micros().checked_add(gap.micros)
}

/// How many seconds a zone is ahead of UTC when its clocks show a time: where they show it twice, as
/// they were at `before`, or else the first time; where they jump over it, as before the jump.
fn offset(local: NaiveDateTime, before: &DateTime<Tz>, zone: Tz) -> i32 {
    let was = before.offset().fix().local_minus_utc();
    match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(one) => one.fix().local_minus_utc(),
        LocalResult::Ambiguous(_, second) if second.fix().local_minus_utc() == was => was,
        LocalResult::Ambiguous(first, _) => first.fix().local_minus_utc(),
        LocalResult::None => {
            let day_before = local - TimeDelta::days(1);
            zone.offset_from_utc_datetime(&day_before).fix().local_minus_utc()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a session in New York, as text with the offset of its zone.
    fn in_new_york(time: &str, gap: &str) -> String {
        let zone: Tz = "America/New_York".parse().unwrap();
        let time = DateTime::parse_from_rfc3339(time).unwrap().timestamp_micros();
        let end = plus(time, Interval::parse(gap).unwrap(), zone).unwrap();
        DateTime::from_timestamp_micros(end).unwrap().with_timezone(&zone).to_rfc3339()
    }

    // All of these are what Spark 4.2.1 says.
    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        for (time, gap, end) in [
            ("2026-01-31T07:00:00-05:00", "1 month", "2026-02-28T07:00:00-05:00"),
            ("2026-03-07T07:00:00-05:00", "1 day", "2026-03-08T07:00:00-04:00"),
            ("2026-03-07T07:00:00-05:00", "24 hours", "2026-03-08T08:00:00-04:00"),
            // The clocks jump from 02:00 to 03:00.
            ("2026-03-07T02:30:00-05:00", "1 day", "2026-03-08T03:30:00-04:00"),
            ("2026-03-07T02:30:00-05:00", "1 day 2 hours", "2026-03-08T05:30:00-04:00"),
            // 01:30 comes twice.
            ("2026-10-31T01:30:00-04:00", "1 day", "2026-11-01T01:30:00-04:00"),
            ("2026-10-31T01:30:00-04:00", "1 day 2 hours", "2026-11-01T02:30:00-05:00"),
            ("2026-10-31T08:00:00-04:00", "1 month", "2026-11-30T08:00:00-05:00"),
        ] {
            assert_eq!(in_new_york(time, gap), end, "{time} + {gap}");
        }
    }

    #[test]
    fn a_session_beyond_the_last_time_is_an_error() {
        let times = TimestampMicrosecondArray::from(vec![i64::MAX - 1]);
        let day = Interval { days: 1, ..Interval::default() };
        let second = Interval { micros: 1_000_000, ..Interval::default() };
        for gap in [day, second] {
            let error = sessions(&times, |_| Some(gap), "+00:00".parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("last time"), "{error}");
        }
    }
}
