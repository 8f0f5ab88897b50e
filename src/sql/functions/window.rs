//! `window(…)` and `window_time(…)` as functions of a plan.
//!
//! In a grouping `window(…)` is a mark for the engine's operator, which assigns rows to windows
//! itself; in a projection it is evaluated here. Overlapping windows become several rows there:
//! the planner then calls `window_list` and unnests it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, ListArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};

use super::{WINDOW, WINDOW_TIME};
use crate::sql::types;
use crate::sql::watermark::{EVENT_TIME_DELAY, GRID, WINDOW_KIND};
use crate::window::WindowSpec;

/// The name of the function that gives all windows of a time.
pub(in crate::sql) const WINDOW_LIST: &str = "window_list";

/// The type of a window over times of this type, or over windows of such times.
pub(super) fn window_type(time: &DataType) -> DataType {
    let time = match (window_end(time), time) {
        (Some(end), _) => end.data_type().clone(),
        (None, time) => time_of(time).unwrap_or_else(types::timestamp),
    };
    DataType::Struct(Fields::from(vec![
        Field::new("start", time.clone(), true),
        Field::new("end", time, true),
    ]))
}

/// The `end` of a type that is a window.
fn window_end(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::Struct(fields) if fields.len() == 2 && fields[0].name() == "start" => {
            Some(&fields[1]).filter(|end| matches!(end.data_type(), DataType::Timestamp(..)))
        }
        _ => None,
    }
}

/// The type of time that an argument is taken as; `None` if it is neither a time nor a window.
///
/// A window column gets `window_time` around it later: see `windows`.
pub(in crate::sql) fn time_of(argument: &DataType) -> Option<DataType> {
    match argument {
        DataType::Timestamp(_, zone) => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        DataType::Utf8 | DataType::Date32 | DataType::Null => Some(types::timestamp()),
        window if window_end(window).is_some() => Some(window.clone()),
        _ => None,
    }
}

/// `window(ts, size[, slide[, start]])` → struct of `start` and `end`.
pub(in crate::sql) fn window_udf() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Window { list: false, signature: signature() }))
}

/// All windows of a time, as a list.
pub(in crate::sql) fn window_list() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Window { list: true, signature: signature() }))
}

/// `window_time(w)` → the last microsecond that belongs to the window.
pub(in crate::sql) fn window_time() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(WindowTime { signature: signature() }))
}

fn signature() -> Signature {
    Signature::user_defined(Volatility::Immutable)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Window {
    list: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Window {
    fn name(&self) -> &str {
        if self.list { WINDOW_LIST } else { WINDOW }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> PlanResult<Vec<DataType>> {
        let [time, shape @ ..] = arguments else {
            return plan_err!("window() needs a time and a size");
        };
        let Some(time) = time_of(time) else {
            return plan_err!(
                "Cannot coerce {} to TIMESTAMP: window() needs a time",
                types::spark_name(time).to_uppercase()
            );
        };
        let mut types = vec![time];
        types.extend(shape.iter().cloned());
        Ok(types)
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        let Some(time) = arguments.first() else { return plan_err!("window() needs a time") };
        let window = window_type(time);
        Ok(if self.list {
            DataType::List(Arc::new(Field::new("item", window, false)))
        } else {
            window
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let field = Field::new(self.name(), self.return_type(&types)?, false);
        Ok(Arc::new(window_field(field, args.arg_fields.first(), GRID)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let shape: Vec<Expr> = args
            .args
            .get(1..)
            .unwrap_or_default()
            .iter()
            .map(|a| match a {
                ColumnarValue::Scalar(value) => Ok(lit(value.clone())),
                ColumnarValue::Array(_) => exec_err!("the lengths of a window must be constant"),
            })
            .collect::<PlanResult<_>>()?;
        let spec = WindowSpec::of_arguments(&shape)?;
        let Some(time) = args.args.first() else { return exec_err!("window() needs a time") };
        let times = time.to_array(args.number_rows)?;
        let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
            return exec_err!("window() over {}", times.data_type());
        };
        let windows =
            if self.list { all_windows(&spec, times) } else { last_windows(&spec, times) };
        Ok(ColumnarValue::Array(windows?))
    }
}

/// The last window of each time.
fn last_windows(spec: &WindowSpec, times: &TimestampMicrosecondArray) -> PlanResult<ArrayRef> {
    let start: TimestampMicrosecondArray = times.unary(|t| spec.last_start(t));
    let end: TimestampMicrosecondArray = times.unary(|t| spec.last_start(t) + spec.size_us);
    Ok(Arc::new(window_struct(times, start, end)?))
}

fn window_struct(
    like: &TimestampMicrosecondArray,
    start: TimestampMicrosecondArray,
    end: TimestampMicrosecondArray,
) -> PlanResult<StructArray> {
    let DataType::Struct(fields) = window_type(like.data_type()) else {
        return exec_err!("a window is a struct");
    };
    let zone = like.timezone().map(str::to_owned);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(start.with_timezone_opt(zone.clone())),
        Arc::new(end.with_timezone_opt(zone)),
    ];
    Ok(StructArray::try_new(fields, columns, None)?)
}

/// All windows of each time, oldest first; a null time has none.
fn all_windows(spec: &WindowSpec, times: &TimestampMicrosecondArray) -> PlanResult<ArrayRef> {
    let (mut starts, mut ends, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    let mut valid = BooleanBufferBuilder::new(times.len());
    for time in times {
        let before = starts.len();
        if let Some(time) = time {
            let mut windows: Vec<(i64, i64)> = spec.windows(time).collect();
            windows.reverse();
            for (start, end) in windows {
                starts.push(start);
                ends.push(end);
            }
        }
        valid.append(time.is_some());
        lengths.push(starts.len() - before);
    }
    let windows = window_struct(times, starts.into(), ends.into())?;
    let item = Arc::new(Field::new("item", windows.data_type().clone(), false));
    let nulls = NullBuffer::new(valid.finish());
    let nulls = Some(nulls).filter(|n| n.null_count() > 0);
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(windows), nulls)?))
}

/// The field of a window of some kind over an argument.
pub(super) fn window_field(field: Field, argument: Option<&FieldRef>, kind: &str) -> Field {
    let mut field = carry_event_time(field, argument);
    field.metadata_mut().insert(WINDOW_KIND.to_owned(), kind.to_owned());
    field
}

/// The field with the mark of event time that an argument carries.
fn carry_event_time(field: Field, argument: Option<&FieldRef>) -> Field {
    match argument.and_then(|a| a.metadata().get(EVENT_TIME_DELAY)) {
        Some(delay) => field.with_metadata([(EVENT_TIME_DELAY.to_owned(), delay.clone())].into()),
        None => field,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowTime {
    signature: Signature,
}

impl ScalarUDFImpl for WindowTime {
    fn name(&self) -> &str {
        WINDOW_TIME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> PlanResult<Vec<DataType>> {
        self.return_type(arguments)?;
        Ok(arguments.to_vec())
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        match arguments {
            [window] => match window_end(window) {
                Some(end) => Ok(end.data_type().clone()),
                None => plan_err!(
                    "No function matches window_time({}): it takes a window",
                    types::spark_name(window)
                ),
            },
            _ => plan_err!("No function matches window_time: it takes one window"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        let field = Field::new(WINDOW_TIME, self.return_type(&types)?, nullable);
        Ok(Arc::new(carry_event_time(field, args.arg_fields.first())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let Some(window) = args.args.first() else {
            return exec_err!("window_time() needs a window");
        };
        let windows = window.to_array(args.number_rows)?;
        let end = windows.as_struct_opt().and_then(|w| w.columns().get(1).cloned());
        let ends = end.as_ref().and_then(|e| e.as_primitive_opt::<TimestampMicrosecondType>());
        let Some(ends) = ends else {
            return exec_err!("window_time() over {}", windows.data_type());
        };
        let times: TimestampMicrosecondArray = ends.unary(|end| end - 1);
        let times = times.with_timezone_opt(ends.timezone().map(str::to_owned));
        Ok(ColumnarValue::Array(Arc::new(times)))
    }
}
