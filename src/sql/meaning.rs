//! Where Spark means something else than DataFusion by the same expression.
//!
//! Done on the plan before types are coerced, because it depends on types: `7 / 2` is 3.5 in
//! Spark, dividing by zero is an error, a timestamp cast to a number is seconds and cast to text
//! has no `T`, a large DOUBLE cast to text is `1.0E8`.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::{BinaryExpr, Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, lit,
};

use super::functions::{divide, number_text, timestamp_text};
use super::types;

/// Rewrites the whole plan.
pub(super) fn of_spark(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        let preserver = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let changed = expr.transform_up(|inner| spark_expr(inner, &schema))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(rewritten.data)
}

/// Casts output columns whose type Spark (and Delta) does not have to the one that it has.
pub(super) fn storable(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let target = |data_type: &DataType| match data_type {
        DataType::UInt8 | DataType::UInt16 => Some(DataType::Int32),
        DataType::UInt32 | DataType::UInt64 => Some(DataType::Int64),
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Some(DataType::Utf8),
        DataType::BinaryView | DataType::LargeBinary => Some(DataType::Binary),
        DataType::Date64 => Some(DataType::Date32),
        DataType::Timestamp(TimeUnit::Microsecond, _) => None,
        DataType::Timestamp(_, None) => Some(types::timestamp_ntz()),
        DataType::Timestamp(_, Some(_)) => Some(types::timestamp()),
        _ => None,
    };
    let schema = plan.schema().clone();
    if schema.fields().iter().all(|field| target(field.data_type()).is_none()) {
        return Ok(plan);
    }
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match target(field.data_type()) {
            Some(to) => Ok(column.cast_to(&to, &schema)?.alias(field.name())),
            None => Ok(column),
        }
    });
    let columns = columns.collect::<PlanResult<Vec<Expr>>>()?;
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn spark_expr(expr: Expr, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) => {
            let numbers = [left.get_type(schema), right.get_type(schema)];
            let [Ok(a), Ok(b)] = &numbers else {
                return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr {
                    left,
                    op: Operator::Divide,
                    right,
                })));
            };
            let whole = a.is_integer() && b.is_integer();
            let doubles =
                (a.is_floating() && b.is_numeric()) || (b.is_floating() && a.is_numeric());
            if whole || doubles {
                let sides = vec![double(*left, schema)?, double(*right, schema)?];
                return Ok(Transformed::yes(call(divide(), sides)));
            }
            let same = BinaryExpr { left, op: Operator::Divide, right };
            Ok(Transformed::no(Expr::BinaryExpr(same)))
        }
        Expr::Cast(Cast { expr, field }) => {
            let Ok(from) = expr.get_type(schema) else {
                return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
            };
            spark_cast(*expr, &from, field, schema)
        }
        other => Ok(Transformed::no(other)),
    }
}

fn spark_cast(
    expr: Expr,
    from: &DataType,
    field: arrow::datatypes::FieldRef,
    schema: &DFSchema,
) -> PlanResult<Transformed<Expr>> {
    const SECOND: i64 = 1_000_000;
    let micros =
        |expr: Expr| expr.cast_to(&types::timestamp(), schema)?.cast_to(&DataType::Int64, schema);
    let to = field.data_type().clone();
    let cast = |expr: Expr| Expr::Cast(Cast { expr: Box::new(expr), field });
    Ok(Transformed::yes(match (from, &to) {
        (DataType::Timestamp(..), to) if to.is_integer() => {
            // Whole seconds, rounded down also before 1970.
            let micros = micros(expr)?;
            let rest = (micros.clone() % lit(SECOND) + lit(SECOND)) % lit(SECOND);
            cast(floored(micros - rest, SECOND))
        }
        (DataType::Timestamp(..), to) if to.is_floating() => {
            let seconds = double(micros(expr)?, schema)?;
            cast(call(divide(), vec![seconds, lit(SECOND as f64)]))
        }
        (from, DataType::Timestamp(..)) if from.is_integer() => {
            cast(expr.cast_to(&DataType::Int64, schema)? * lit(SECOND))
        }
        (DataType::Timestamp(..), DataType::Utf8) => call(timestamp_text(), vec![expr]),
        (DataType::Float32 | DataType::Float64, DataType::Utf8) => call(number_text(), vec![expr]),
        (DataType::Utf8, to) if to.is_numeric() => {
            cast(call(datafusion::functions::string::btrim(), vec![expr]))
        }
        _ => return Ok(Transformed::no(cast(expr))),
    }))
}

/// An exact division of whole numbers.
fn floored(dividend: Expr, by: i64) -> Expr {
    Expr::BinaryExpr(BinaryExpr {
        left: Box::new(dividend),
        op: Operator::Divide,
        right: Box::new(lit(by)),
    })
}

fn double(expr: Expr, schema: &DFSchema) -> PlanResult<Expr> {
    expr.cast_to(&DataType::Float64, schema)
}

fn call(function: std::sync::Arc<datafusion::logical_expr::ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}
