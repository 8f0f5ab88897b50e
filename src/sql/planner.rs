//! Operators while a query is planned: before DataFusion asks whether it knows them for those types.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, ScalarUDF, and, binary_expr, or};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::casts::{self, Misfit};
use super::types::spark_name;
use super::{arithmetic, coercion, functions, literals};
use crate::error::Error;

/// Makes `+ - * / %` and DIV over numbers and text our own functions, brings dates and intervals to
/// types that can be added, and refuses what Spark refuses.
#[derive(Debug)]
pub(super) struct SparkArithmetic;

impl ExprPlanner for SparkArithmetic {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        let expr = RawBinaryExpr { op, left: narrowed(left), right: narrowed(right) };
        let types = (expr.left.get_type(schema), expr.right.get_type(schema));
        let (Ok(a), Ok(b)) = types else { return Ok(PlannerResult::Original(expr)) };
        let planned = match &expr.op {
            BinaryOperator::And | BinaryOperator::Or => logic(&expr, &a, &b)?,
            BinaryOperator::StringConcat => joined(&expr, &a, &b)?,
            BinaryOperator::BitwiseAnd | BinaryOperator::BitwiseOr | BinaryOperator::BitwiseXor => {
                Some(bits(&expr, &a, &b)?)
            }
            op if compares(op) => {
                no_maps(op, &a, &b)?;
                truths(op, &expr, &a, &b)?
            }
            op => match arithmetic_operator(op) {
                Some(op) => computed(op, &expr, &a, &b)?,
                None => None,
            },
        };
        Ok(match planned {
            Some(planned) => PlannerResult::Planned(planned),
            None => PlannerResult::Original(expr),
        })
    }
}

/// A number that is written out has the narrowest type that holds it.
fn narrowed(side: Expr) -> Expr {
    match side {
        Expr::Literal(value, metadata) => {
            let narrow = literals::narrowed(&value).unwrap_or(value);
            Expr::Literal(narrow, metadata)
        }
        other => other,
    }
}

fn arithmetic_operator(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        BinaryOperator::MyIntegerDivide | BinaryOperator::DuckIntegerDivide => {
            Operator::IntegerDivide
        }
        _ => return None,
    })
}

fn compares(op: &BinaryOperator) -> bool {
    use BinaryOperator as B;
    matches!(op, B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq | B::Spaceship)
}

fn computed(
    op: Operator,
    expr: &RawBinaryExpr,
    a: &DataType,
    b: &DataType,
) -> PlanResult<Option<Expr>> {
    let (left, right) = (expr.left.clone(), expr.right.clone());
    if let Some(of_times) = arithmetic::times((left, a), op, (right, b))? {
        return Ok(Some(of_times));
    }
    let texts = *a == DataType::Utf8 && *b == DataType::Utf8;
    let ours = coercion::arithmetic(op, a, b).is_some() || texts;
    let function = arithmetic::binary(op).filter(|_| ours);
    Ok(function.map(|function| call(function, expr)))
}

fn call(function: Arc<ScalarUDF>, expr: &RawBinaryExpr) -> Expr {
    let args = vec![expr.left.clone(), expr.right.clone()];
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}

/// AND and OR read a text as a BOOLEAN, and nothing else.
fn logic(expr: &RawBinaryExpr, a: &DataType, b: &DataType) -> PlanResult<Option<Expr>> {
    let truth = |t: &DataType| matches!(t, DataType::Boolean | DataType::Null);
    if truth(a) && truth(b) {
        return Ok(None);
    }
    if ![a, b].into_iter().all(|t| truth(t) || *t == DataType::Utf8) {
        let names = [a, b].map(|t| spark_name(t).to_uppercase());
        return Err(refused(
            "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
            format!("{} takes two BOOLEANs, not {}", expr.op, names.join(" and ")),
        ));
    }
    let truth = |side: &Expr, from: &DataType| {
        casts::cast(side.clone(), from, &DataType::Boolean, Misfit::Fails)
    };
    let (left, right) = (truth(&expr.left, a)?, truth(&expr.right, b)?);
    Ok(Some(if expr.op == BinaryOperator::And { and(left, right) } else { or(left, right) }))
}

/// `||` over arrays and over BINARY; everything else is joined as text.
fn joined(expr: &RawBinaryExpr, a: &DataType, b: &DataType) -> PlanResult<Option<Expr>> {
    let list = |t: &DataType| matches!(t, DataType::List(_));
    let bytes = *a == DataType::Binary && *b == DataType::Binary;
    if list(a) || list(b) || bytes {
        return Ok(Some(call(functions::concat(), expr)));
    }
    if [a, b].into_iter().any(DataType::is_nested) {
        return Ok(None);
    }
    let text = |side: &Expr, from: &DataType| {
        casts::cast(side.clone(), from, &DataType::Utf8, Misfit::Fails)
    };
    let (left, right) = (text(&expr.left, a)?, text(&expr.right, b)?);
    Ok(Some(binary_expr(left, Operator::StringConcat, right)))
}

/// Beside a BOOLEAN a text is one.
fn truths(
    op: &BinaryOperator,
    expr: &RawBinaryExpr,
    a: &DataType,
    b: &DataType,
) -> PlanResult<Option<Expr>> {
    use DataType::{Boolean, Utf8};
    let operator = match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Spaceship => Operator::IsNotDistinctFrom,
        _ => return Ok(None),
    };
    if !matches!((a, b), (Utf8, Boolean) | (Boolean, Utf8)) {
        return Ok(None);
    }
    let left = casts::cast(expr.left.clone(), a, &Boolean, Misfit::Fails)?;
    let right = casts::cast(expr.right.clone(), b, &Boolean, Misfit::Fails)?;
    Ok(Some(binary_expr(left, operator, right)))
}

/// `& | ^` take whole numbers, in the wider type of both; a text counts as BIGINT.
fn bits(expr: &RawBinaryExpr, a: &DataType, b: &DataType) -> PlanResult<Expr> {
    let whole = |t: &DataType| t.is_integer() || matches!(t, DataType::Null);
    let common = coercion::common_type(a, b).filter(whole);
    let Some(common) = common else {
        let names = [a, b].map(|t| spark_name(t).to_uppercase());
        return Err(refused(
            "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
            format!("& | ^ and ~ take whole numbers, not {}", names.join(" and ")),
        ));
    };
    let op = match expr.op {
        BinaryOperator::BitwiseAnd => Operator::BitwiseAnd,
        BinaryOperator::BitwiseOr => Operator::BitwiseOr,
        _ => Operator::BitwiseXor,
    };
    let left = casts::cast(expr.left.clone(), a, &common, Misfit::Fails)?;
    let right = casts::cast(expr.right.clone(), b, &common, Misfit::Fails)?;
    Ok(binary_expr(left, op, right))
}

/// No map is equal to another one in Spark, or before it.
fn no_maps(op: &BinaryOperator, a: &DataType, b: &DataType) -> PlanResult<()> {
    match [a, b].into_iter().find(|t| holds_map(t)) {
        Some(map) => Err(refused(
            "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE",
            format!("{op} does not take {}", spark_name(map).to_uppercase()),
        )),
        None => Ok(()),
    }
}

fn holds_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::List(item) => holds_map(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_map(field.data_type())),
        _ => false,
    }
}

fn refused(condition: &'static str, what: String) -> datafusion::error::DataFusionError {
    Error::sql(condition, what).hint("convert the value first, or compare parts of it").into()
}
