//! Instants plus and minus intervals in a zone whose clocks are not those of UTC.
//!
//! Takes the plan of a query whose calls mean what Spark means, gives one in which such sums are
//! calls of a function that knows the session's zone: a day and a month are those of its clocks. By
//! Spark's rule every 24 hours of an interval are a day, too, and the distance of two instants is
//! that of their clocks. DataFusion's own operators count in UTC; in a session in UTC they stay.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DurationMicrosecondArray, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, exec_err, plan_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::optimizer::session_zone;
use crate::calendar::{DAY, Zone};
use crate::error::Error;

/// The plan with all such sums as calls, if the zone is not UTC.
pub(super) fn explicit(plan: LogicalPlan, zone: &Zone) -> PlanResult<LogicalPlan> {
    if zone.is_utc() {
        return Ok(plan);
    }
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        let preserver = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let changed = expr.transform_up(|inner| call(inner, &schema))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(rewritten.data)
}

fn call(expr: Expr, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
        return Ok(Transformed::no(expr));
    };
    let (mut left, mut right) = (*left, *right);
    let (a, b) = (left.get_type(schema)?, right.get_type(schema)?);
    match (op, is_instant(&a), is_instant(&b)) {
        (Operator::Plus, false, true) if is_interval(&a) => std::mem::swap(&mut left, &mut right),
        (Operator::Plus | Operator::Minus, true, false) if is_interval(&b) => {}
        (Operator::Minus, true, true) => {}
        _ => {
            let (left, right) = (Box::new(left), Box::new(right));
            return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
        }
    }
    let signature = Signature::any(2, Volatility::Immutable);
    let function = Arc::new(ScalarUDF::from(Moved { op, signature }));
    let call = ScalarFunction::new_udf(function, vec![left, right]);
    Ok(Transformed::yes(Expr::ScalarFunction(call)))
}

/// Which operator a call stands for.
pub(super) fn operator(call: &ScalarFunction) -> Option<Operator> {
    call.func.inner().downcast_ref::<Moved>().map(|moved| moved.op)
}

fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, Some(_)))
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
}

/// `+` or `-` in the session's zone.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Moved {
    op: Operator,
    signature: Signature,
}

impl ScalarUDFImpl for Moved {
    fn name(&self) -> &str {
        if self.op == Operator::Plus { "time_plus" } else { "time_minus" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        match arguments {
            [_, other] if is_instant(other) => Ok(DataType::Duration(TimeUnit::Microsecond)),
            [instant, _] => Ok(instant.clone()),
            _ => plan_err!("{} takes a time and an interval", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let zone = session_zone(&args.config_options)?;
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let [left, right] = args.args.as_slice() else {
            return exec_err!("{} takes a time and an interval", self.name());
        };
        let (left, right) = (left.to_array(rows)?, right.to_array(rows)?);
        let result = match right.data_type() {
            DataType::Timestamp(..) => distances(&left, &right, &zone),
            _ => moved(&left, &right, if self.op == Operator::Plus { 1 } else { -1 }, &zone)?,
        };
        Ok(match constant {
            true => {
                ColumnarValue::Scalar(datafusion::scalar::ScalarValue::try_from_array(&result, 0)?)
            }
            false => ColumnarValue::Array(result),
        })
    }
}

fn moved(times: &ArrayRef, by: &ArrayRef, sign: i64, zone: &Zone) -> PlanResult<ArrayRef> {
    let whole = DataType::Interval(IntervalUnit::MonthDayNano);
    let by = arrow::compute::cast(by, &whole)?;
    let by = by.as_primitive::<IntervalMonthDayNanoType>();
    let starts = times.as_primitive::<TimestampMicrosecondType>();
    let plus = |(time, by): (Option<i64>, Option<_>)| match (time, by) {
        (Some(time), Some(by)) => {
            let by: arrow::datatypes::IntervalMonthDayNano = by;
            let (months, days, micros) = (by.months, by.days, by.nanoseconds / 1000);
            let (days, micros) = (i64::from(days) + micros / DAY, micros % DAY);
            let end = zone.plus(time, sign * i64::from(months), sign * days, sign * micros);
            end.map(Some).ok_or_else(too_far)
        }
        _ => Ok(None),
    };
    let ends = starts.iter().zip(by).map(plus).collect::<Result<TimestampMicrosecondArray, _>>()?;
    Ok(Arc::new(ends.with_data_type(times.data_type().clone())))
}

fn distances(ends: &ArrayRef, starts: &ArrayRef, zone: &Zone) -> ArrayRef {
    let ends = ends.as_primitive::<TimestampMicrosecondType>();
    let starts = starts.as_primitive::<TimestampMicrosecondType>();
    let distance = |(end, start): (Option<i64>, Option<i64>)| {
        Some(zone.clock(end?).saturating_sub(zone.clock(start?)))
    };
    Arc::new(ends.iter().zip(starts).map(distance).collect::<DurationMicrosecondArray>())
}

fn too_far() -> Error {
    Error::input("DATETIME_OVERFLOW", "a time plus an interval is after the last time there is")
        .hint("shorten the interval, or leave out rows of such times with WHERE")
}
