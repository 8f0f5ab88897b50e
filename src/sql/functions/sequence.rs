//! `sequence(start, stop[, step])`: whole numbers, dates or timestamps, both ends included.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{cast, kernels::cast as cast_kernel};
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit};
use chrono::{DateTime, Months, TimeDelta};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;

use super::array::{LONGEST, longer};
use super::definition::{Call, Definition, wrong_count};
use super::lists::Picks;
use super::widen::{common_of, list, plain};
use crate::error::Error;
use crate::sql::types::{spark_name, timestamp};

const DAY: i64 = 86_400_000_000;

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let gives = |types: &[DataType]| Ok(list(types.first().cloned().unwrap_or(DataType::Null)));
    vec![Definition { name: "sequence", takes, gives, value: sequence }]
}

fn takes(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let (ends, step) = match types {
        [_, _] => (types, None),
        [_, _, step] => (&types[..2], Some(step)),
        _ => return Err(wrong_count("a start, a stop and perhaps a step", types.len())),
    };
    let mut end = common_of(ends)?;
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let step_type = match &end {
        DataType::Null => {
            end = DataType::Int32;
            DataType::Int32
        }
        whole if whole.is_integer() => match step {
            Some(step) => {
                end = common_of([&end, step])?;
                end.clone()
            }
            None => end.clone(),
        },
        DataType::Date32 => interval,
        DataType::Timestamp(..) => {
            end = plain(&end);
            interval
        }
        other => {
            let what = format!("there is no sequence of {}", spark_name(other).to_uppercase());
            return Err(Error::sql("DATATYPE_MISMATCH.SEQUENCE_WRONG_INPUT_TYPES", what)
                .hint("give whole numbers, or dates or timestamps and an interval")
                .into());
        }
    };
    let step = step.map(|_| step_type);
    Ok([end.clone(), end].into_iter().chain(step).collect())
}

/// What is added again and again.
#[derive(Clone, Copy)]
enum Step {
    Number(i64),
    Time { months: i32, micros: i64 },
}

impl Step {
    /// The member after `count` steps; `None`: beyond what can be counted.
    fn member(self, start: i64, count: i64) -> Option<i64> {
        match self {
            Step::Number(step) => start.checked_add(step.checked_mul(count)?),
            Step::Time { months, micros } => {
                let months = i64::from(months).checked_mul(count)?;
                let date = DateTime::from_timestamp_micros(start)?;
                let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
                let date = match months < 0 {
                    true => date.checked_sub_months(by)?,
                    false => date.checked_add_months(by)?,
                };
                let micros = TimeDelta::microseconds(micros.checked_mul(count)?);
                Some(date.checked_add_signed(micros)?.timestamp_micros())
            }
        }
    }

    /// About how many steps lead from one value to another.
    fn steps(self, start: i64, stop: i64) -> u128 {
        let one = match self {
            Step::Number(step) => i128::from(step),
            Step::Time { months, micros } => {
                i128::from(months) * 28 * i128::from(DAY) + i128::from(micros)
            }
        };
        let way = (i128::from(stop) - i128::from(start)).unsigned_abs();
        way.checked_div(one.unsigned_abs()).unwrap_or(0)
    }

    fn direction(self) -> std::cmp::Ordering {
        match self {
            Step::Number(step) => step.cmp(&0),
            Step::Time { months, micros } => (i64::from(months) * 28 * DAY + micros).cmp(&0),
        }
    }
}

fn sequence(call: &Call) -> PlanResult<ArrayRef> {
    let item = call.args[0].data_type().clone();
    let numbers = item.is_integer();
    let (starts, stops) = (counted(&call.args[0])?, counted(&call.args[1])?);
    let mut members: Vec<i64> = Vec::new();
    let mut picks = Picks::new(call.rows);
    for row in 0..call.rows {
        if starts.is_null(row) || stops.is_null(row) {
            picks.null();
            continue;
        }
        let (start, stop) = (starts.value(row), stops.value(row));
        let step = match call.args.get(2) {
            None if numbers => Some(Step::Number(if start <= stop { 1 } else { -1 })),
            None => Some(Step::Time { months: 0, micros: if start <= stop { DAY } else { -DAY } }),
            Some(steps) => step_at(steps, row)?,
        };
        let Some(step) = step else {
            picks.null();
            continue;
        };
        if item == DataType::Date32
            && let Step::Time { micros, .. } = step
            && micros % DAY != 0
        {
            return Err(boundaries("a sequence of dates goes by whole days or months"));
        }
        if start != stop && step.direction() != stop.cmp(&start) {
            return Err(boundaries(
                "the step of a sequence does not lead from its start to its stop",
            ));
        }
        let steps = step.steps(start, stop);
        if steps >= LONGEST as u128 {
            return Err(longer("PARAMETER"));
        }
        picks.room(steps as usize)?;
        for count in 0.. {
            let Some(member) = step.member(start, count) else { break };
            if stop.cmp(&member) != stop.cmp(&start) && member != stop {
                break;
            }
            picks.push(members.len());
            members.push(member);
            if start == stop {
                break;
            }
        }
        picks.close();
    }
    let members: ArrayRef = Arc::new(Int64Array::from(members));
    let members = match numbers {
        true => cast(&members, &item)?,
        false => cast_kernel::cast(&cast(&members, &timestamp())?, &item)?,
    };
    picks.finish(&members)
}

/// Numbers as they are, times in microseconds.
fn counted(array: &ArrayRef) -> PlanResult<Int64Array> {
    let plain = match array.data_type().is_integer() {
        true => cast(array, &DataType::Int64)?,
        false => cast(&cast(array, &timestamp())?, &DataType::Int64)?,
    };
    Ok(plain.as_primitive::<Int64Type>().clone())
}

fn step_at(steps: &ArrayRef, row: usize) -> PlanResult<Option<Step>> {
    if steps.is_null(row) {
        return Ok(None);
    }
    if let Some(intervals) = steps.as_primitive_opt::<IntervalMonthDayNanoType>() {
        let step = intervals.value(row);
        let micros = i64::from(step.days) * DAY + step.nanoseconds / 1000;
        return Ok(Some(Step::Time { months: step.months, micros }));
    }
    match cast(steps, &DataType::Int64)?.as_primitive_opt::<Int64Type>() {
        Some(numbers) => Ok(Some(Step::Number(numbers.value(row)))),
        None => exec_err!("the step of a sequence is a number or an interval"),
    }
}

fn boundaries(what: &'static str) -> datafusion::error::DataFusionError {
    Error::input("INVALID_PARAMETER_VALUE", what)
        .hint("sequence(1, 10, 2) counts upwards, sequence(10, 1, -2) downwards")
        .into()
}
