//! `+ - * /` over dates, times and intervals: Spark's types for them, out of DataFusion's operators.
//!
//! A DATE and an interval with hours are a TIMESTAMP, a DATE and whole days a DATE. An interval that
//! is written out says which it is; any other is taken for one with hours.

use arrow::datatypes::DataType;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;

use super::of_times;
use crate::error::Error;
use crate::sql::casts::{self, Misfit};
use crate::sql::{coercion, functions, types};

/// A side of an operator, and its type.
type Side<'a> = (Expr, &'a DataType);

/// The operation as Spark means it; `None` where DataFusion means the same, or where no side is a
/// time.
pub(in crate::sql) fn times(
    (left, a): Side,
    op: Operator,
    (right, b): Side,
) -> PlanResult<Option<Expr>> {
    use DataType as D;
    use Operator as O;
    let days = |t: &D| matches!(t, D::Int8 | D::Int16 | D::Int32);
    let number = |t: &D| coercion::is_number(t);
    Ok(match (a, op, b) {
        (D::Date32, O::Plus, n) if days(n) => call("date_add", left, right),
        (D::Date32, O::Minus, n) if days(n) => call("date_sub", left, right),
        (n, O::Plus, D::Date32) if days(n) => call("date_add", right, left),
        (D::Date32, O::Plus | O::Minus, n) if number(n) => return Err(no_days(n)),
        (D::Date32, O::Plus, n @ D::Utf8) => return Err(no_days(n)),
        // Beside a time a text is one.
        (D::Date32 | D::Timestamp(..), O::Minus, D::Utf8) => {
            let right = casts::cast(right, b, a, Misfit::Fails)?;
            times((left, a), op, (right, a))?
        }
        (D::Utf8, O::Minus, D::Date32 | D::Timestamp(..)) => {
            let left = casts::cast(left, a, b, Misfit::Fails)?;
            times((left, b), op, (right, b))?
        }
        (D::Interval(_), O::Plus, D::Date32 | D::Timestamp(..)) => {
            let (date, interval) = (right.clone(), left.clone());
            let turned = times((right, b), op, (left, a))?;
            Some(turned.unwrap_or_else(|| of_times(op, date, interval)))
        }
        (D::Date32, O::Plus | O::Minus, D::Interval(_)) if has_hours(&right) => {
            let left = casts::cast(left, a, &types::timestamp(), Misfit::Fails)?;
            Some(of_times(op, left, right))
        }
        (D::Date32 | D::Timestamp(..), O::Minus, D::Date32 | D::Timestamp(..)) => {
            let clock = types::timestamp_ntz();
            let to = if *a == clock && *b == clock { clock } else { types::timestamp() };
            let left = casts::cast(left, a, &to, Misfit::Fails)?;
            let right = casts::cast(right, b, &to, Misfit::Fails)?;
            Some(of_times(op, left, right))
        }
        // A text is a time here and a text again afterwards.
        (D::Utf8, O::Plus | O::Minus, D::Interval(_)) => {
            let time = casts::cast(left, a, &types::timestamp(), Misfit::Fails)?;
            let moved = of_times(op, time, right);
            Some(casts::cast(moved, &types::timestamp(), &D::Utf8, Misfit::Fails)?)
        }
        (D::Interval(_), O::Multiply, n) if number(n) => call("multiply_interval", left, right),
        (n, O::Multiply, D::Interval(_)) if number(n) => call("multiply_interval", right, left),
        (D::Interval(_), O::Divide, n) if number(n) => call("divide_interval", left, right),
        _ => None,
    })
}

fn no_days(found: &DataType) -> datafusion::error::DataFusionError {
    let found = types::spark_name(found).to_uppercase();
    Error::sql("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", format!("{found} is no number of days"))
        .hint("add an INT of days, or an INTERVAL")
        .into()
}

/// A call of one of Spark's functions, or of one that only an operator calls.
fn call(name: &str, left: Expr, right: Expr) -> Option<Expr> {
    let function = functions::table_function(name)?;
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![left, right])))
}

/// Whether an interval is one of hours, minutes or seconds, or may be.
fn has_hours(interval: &Expr) -> bool {
    match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(written)), _) => {
            written.nanoseconds != 0
        }
        Expr::Negative(inner) => has_hours(inner),
        // What is made of months, days and hours has to be without hours beside a DATE.
        Expr::ScalarFunction(call) => {
            !matches!(call.func.name(), "make_ym_interval" | "make_interval")
        }
        _ => true,
    }
}
