//! `session_window(ts, gap)` as a function of a plan.
//!
//! Takes a time and a gap; gives the session that the row would be if it were alone: from its time
//! to its time plus the gap, or NULL if the row is in no session (no time, no gap, or a gap that is
//! not longer than nothing). Sessions that touch are merged by the engine's operator, never here.
//!
//! A gap is text that Spark reads as an interval, or an interval of the calendar. Text that is no
//! interval is no gap, as in Spark. Days and months are those of the session's time zone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Field, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    TimestampMicrosecondType,
};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::SESSION_WINDOW;
use super::window::{time_of, window_field, window_type};
use crate::calendar::Zone;
use crate::error::Error;
use crate::sql::interval::Interval;
use crate::sql::optimizer::session_zone;
use crate::sql::watermark::SESSION;

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
            Some(_) => session_zone(&args.config_options)?,
            None => Zone::default(),
        };
        let sessions = match gap {
            ColumnarValue::Scalar(gap) => {
                let gap = gaps(&gap.to_array_of_size(1)?)?(0);
                sessions(times, |_| gap, &zone)
            }
            ColumnarValue::Array(column) => sessions(times, gaps(column)?, &zone),
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
    zone: &Zone,
) -> PlanResult<StructArray> {
    let mut ends = Vec::with_capacity(times.len());
    let mut valid = Vec::with_capacity(times.len());
    for (row, time) in times.iter().enumerate() {
        let end = match time.zip(gap(row)) {
            Some((time, gap)) => {
                Some(zone.plus(time, gap.months, gap.days, gap.micros).ok_or_else(too_far)?)
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_beyond_the_last_time_is_an_error() {
        let times = TimestampMicrosecondArray::from(vec![i64::MAX - 1]);
        let day = Interval { days: 1, ..Interval::default() };
        let second = Interval { micros: 1_000_000, ..Interval::default() };
        for gap in [day, second] {
            let error = sessions(&times, |_| Some(gap), &Zone::default()).unwrap_err();
            assert!(error.to_string().contains("last time"), "{error}");
        }
    }
}
