//! `window(ts, size[, slide[, start]])` and `session_window(ts, gap)` in a query: which shapes Spark
//! takes, and where a plan asks for one.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::scalar::ScalarValue;

use super::functions;
use super::interval::Interval;
use super::types;
use crate::error::{Error, Result};
use crate::window::WindowSpec;

/// A window that an expression asks for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The time, or the window column, that is put into a window.
    pub(super) time: Expr,
    /// Into which.
    pub(super) shape: Shape,
    /// The call as it stands.
    pub(super) call: ScalarFunction,
}

/// Which windows are asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Those of `window(…)`.
    Grid(WindowSpec),
    /// Those that `session_window(…)` makes of rows with this gap.
    Session { gap: Expr },
}

/// Two calls that mean the same, however they are written, ask for one window.
impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        (&self.time, &self.shape) == (&other.time, &other.shape)
    }
}

impl Asked {
    /// What an expression asks for, alone or under an alias; `None` if it is something else.
    pub(super) fn of(expr: &Expr) -> Result<Option<Self>> {
        let mut inner = expr;
        while let Expr::Alias(alias) = inner {
            inner = &alias.expr;
        }
        let Expr::ScalarFunction(call) = inner else { return Ok(None) };
        let shape = match (call.name(), call.args.as_slice()) {
            (functions::WINDOW, [_, shape @ ..]) => Shape::Grid(WindowSpec::of_arguments(shape)?),
            (functions::SESSION_WINDOW, [_, gap]) => Shape::Session { gap: gap.clone() },
            _ => return Ok(None),
        };
        Ok(Some(Self { time: call.args[0].clone(), shape, call: call.clone() }))
    }

    /// Whether a function of this name asks for a window.
    pub(super) fn is_window_function(name: &str) -> bool {
        name == functions::WINDOW || name == functions::SESSION_WINDOW
    }

    /// Whether one time may be in several of the windows.
    pub(super) fn overlaps(&self) -> bool {
        matches!(self.shape, Shape::Grid(spec) if !spec.is_tumbling())
    }

    /// Whether no row can be in one: the gap of the sessions is no length of time, for every row.
    pub(super) fn is_never(&self) -> bool {
        matches!(&self.shape, Shape::Session { gap: Expr::Literal(gap, _) } if gap.is_null())
    }

    /// The call as an expression.
    pub(super) fn call(&self) -> Expr {
        Expr::ScalarFunction(self.call.clone())
    }
}

/// A call of `session_window` with its types checked and a constant gap read; any other call as it
/// is. Text that is no interval is no gap, as in Spark, and no error.
pub(super) fn settled_session(
    mut call: ScalarFunction,
    schema: &DFSchema,
) -> Result<ScalarFunction> {
    let (functions::SESSION_WINDOW, [time, gap]) = (call.func.name(), call.args.as_mut_slice())
    else {
        return Ok(call);
    };
    // Text is read by the function itself, which knows what Spark takes for an interval.
    if let Expr::Cast(cast) = gap
        && matches!(cast.field.data_type(), DataType::Interval(_))
        && cast.expr.get_type(schema)? == DataType::Utf8
    {
        *gap = std::mem::take(cast.expr.as_mut());
    }
    let time = time.get_type(schema)?;
    if functions::time_of(&time).is_none() {
        return Err(Error::sql(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            format!(
                "session_window needs a time, found {}",
                types::spark_name(&time).to_uppercase()
            ),
        )
        .hint("give it a TIMESTAMP: session_window(to_timestamp(column), '5 minutes')"));
    }
    if let Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text), _) = gap {
        let gap_read = text.as_deref().and_then(|text| Interval::parse(text).ok());
        let value = gap_read.and_then(|gap| {
            let (months, days) = (gap.months.try_into().ok()?, gap.days.try_into().ok()?);
            Some(IntervalMonthDayNano::new(months, days, gap.micros.checked_mul(1000)?))
        });
        *gap = Expr::Literal(ScalarValue::IntervalMonthDayNano(value), None);
        return Ok(call);
    }
    let of_type = gap.get_type(schema)?;
    let taken = match &of_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Interval(_) => !gap.exists(|part| Ok(is_standard_interval(part)))?,
        _ => false,
    };
    if taken {
        return Ok(call);
    }
    let what = format!(
        "the gap of a session_window is {}, not a text such as '5 minutes'",
        types::spark_name(&of_type).to_uppercase()
    );
    Err(Error::sql("_LEGACY_ERROR_TEMP_1040", what).hint(
        "write the gap as text, session_window(ts, '5 minutes'), also in CASE; Spark takes no \
         INTERVAL literal here",
    ))
}

/// Whether a value is of one of the two kinds of interval that Spark's SQL standard has; DataFusion
/// has one type for all kinds.
fn is_standard_interval(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(_)), _) => true,
        Expr::ScalarFunction(call) => {
            ["make_dt_interval", "make_ym_interval"].contains(&call.name())
        }
        _ => false,
    }
}

/// What SQL says of a window: the numbers and what they mean are in [`crate::window`].
impl WindowSpec {
    /// Windows that do not overlap.
    pub fn tumbling(size_us: i64) -> Result<Self> {
        Self::new(size_us, size_us, 0)
    }

    /// Windows of any shape that Spark takes.
    pub fn new(size_us: i64, slide_us: i64, start_us: i64) -> Result<Self> {
        let out_of_range = |what: String| {
            Error::sql("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", what)
                .hint("write, for example, window(ts, '5 minutes')")
        };
        let constraint = |what: String, hint: &str| {
            Error::sql("DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION", what).hint(hint)
        };
        if size_us <= 0 {
            return Err(out_of_range("the size of a window must be longer than 0".to_owned()));
        }
        if slide_us <= 0 {
            return Err(out_of_range("the slide of a window must be longer than 0".to_owned()));
        }
        if slide_us > size_us {
            return Err(constraint(
                "the slide of a window is longer than its size, so rows between would be lost"
                    .to_owned(),
                "window(ts, size, slide): make the slide at most as long as the size",
            ));
        }
        if start_us.unsigned_abs() >= slide_us.unsigned_abs() {
            return Err(constraint(
                "the start of a window must be shorter than its slide".to_owned(),
                "window(ts, size, slide, start): the start only shifts the grid, by less than one \
                 slide",
            ));
        }
        Ok(Self { size_us, slide_us, start_us })
    }

    /// The time and the shape of a `window(…)` call, alone or under an alias; `None` if the
    /// expression is something else.
    pub fn of(expr: &Expr) -> Result<Option<(Expr, Self)>> {
        let mut inner = expr;
        while let Expr::Alias(alias) = inner {
            inner = &alias.expr;
        }
        let Expr::ScalarFunction(call) = inner else { return Ok(None) };
        if call.func.name() != functions::WINDOW {
            return Ok(None);
        }
        let [time, shape @ ..] = call.args.as_slice() else {
            return Err(wrong_arguments());
        };
        Ok(Some((time.clone(), Self::of_arguments(shape)?)))
    }

    /// The shape from the arguments behind the time: texts, intervals, or microseconds.
    pub(super) fn of_arguments(shape: &[Expr]) -> Result<Self> {
        let lengths = shape.iter().map(constant_micros).collect::<Result<Vec<_>>>()?;
        match lengths.as_slice() {
            [size] => Self::new(*size, *size, 0),
            [size, slide] => Self::new(*size, *slide, 0),
            [size, slide, start] => Self::new(*size, *slide, *start),
            _ => Err(wrong_arguments()),
        }
    }
}

fn wrong_arguments() -> Error {
    Error::sql("WRONG_NUM_ARGS", "window takes a time and one to three lengths of time")
        .hint("write window(ts, size), window(ts, size, slide) or window(ts, size, slide, start)")
}

/// A constant length of time in microseconds.
fn constant_micros(expr: &Expr) -> Result<i64> {
    let not_constant = || {
        Error::sql("WINDOW_DURATION", "the lengths of a window must be constant lengths of time")
            .hint("write them as text: window(ts, '10 minutes', '5 minutes')")
    };
    let expr = match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        Expr::Cast(cast) => cast.expr.as_ref(),
        other => other,
    };
    let Expr::Literal(value, _) = expr else { return Err(not_constant()) };
    let interval = match value {
        ScalarValue::Int64(Some(micros)) => return Ok(*micros),
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => Interval::parse(text)
            .map_err(|what| {
                Error::sql("CANNOT_PARSE_INTERVAL", what)
                    .hint("write a length of time such as '5 minutes' or '1 hour 30 minutes'")
            })?,
        ScalarValue::IntervalMonthDayNano(Some(v)) => {
            Interval { months: v.months.into(), days: v.days.into(), micros: v.nanoseconds / 1000 }
        }
        _ => return Err(not_constant()),
    };
    interval.fixed_micros().ok_or_else(|| {
        Error::sql("_LEGACY_ERROR_TEMP_3231", "a window cannot be months or years long")
            .hint("months differ in length: write days, for example '30 days'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn a_boundary_belongs_to_the_window_that_starts_there() {
        let five = WindowSpec::tumbling(5 * MINUTE).unwrap();
        assert_eq!(five.windows(5 * MINUTE).collect::<Vec<_>>(), [(5 * MINUTE, 10 * MINUTE)]);
        assert_eq!(five.windows(5 * MINUTE - 1).collect::<Vec<_>>(), [(0, 5 * MINUTE)]);
        assert_eq!(five.windows(-1).collect::<Vec<_>>(), [(-5 * MINUTE, 0)]);
    }

    #[test]
    fn sliding_windows_overlap_and_a_slide_need_not_divide_the_size() {
        let ten_four = WindowSpec::new(10 * MINUTE, 4 * MINUTE, 0).unwrap();
        let starts =
            |t: i64| ten_four.windows(t * MINUTE).map(|w| w.0 / MINUTE).collect::<Vec<_>>();
        assert_eq!(starts(9), [8, 4, 0]);
        assert_eq!(starts(11), [8, 4]);
    }

    #[test]
    fn the_start_shifts_the_grid() {
        let shifted = WindowSpec::new(10 * MINUTE, 10 * MINUTE, -3 * MINUTE).unwrap();
        assert_eq!(shifted.last_start(0), -3 * MINUTE);
        assert_eq!(shifted.last_start(7 * MINUTE), 7 * MINUTE);
    }

    #[test]
    fn impossible_shapes_are_refused() {
        assert!(WindowSpec::tumbling(0).is_err());
        assert!(WindowSpec::new(10, 20, 0).is_err());
        assert!(WindowSpec::new(10, 0, 0).is_err());
        assert!(WindowSpec::new(10, 10, -10).is_err());
    }
}
