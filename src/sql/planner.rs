//! Arithmetic while a query is planned: before DataFusion asks whether it can add those types.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::arithmetic;
use super::coercion;

/// Makes `+ - * / %` and DIV over numbers and text our own functions.
#[derive(Debug)]
pub(super) struct SparkArithmetic;

impl ExprPlanner for SparkArithmetic {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<RawBinaryExpr>> {
        let op = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            BinaryOperator::MyIntegerDivide | BinaryOperator::DuckIntegerDivide => {
                Operator::IntegerDivide
            }
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let types = (expr.left.get_type(schema), expr.right.get_type(schema));
        let (Ok(a), Ok(b)) = types else { return Ok(PlannerResult::Original(expr)) };
        let texts = a == DataType::Utf8 && b == DataType::Utf8;
        let ours = coercion::arithmetic(op, &a, &b).is_some() || texts;
        match arithmetic::binary(op).filter(|_| ours) {
            Some(function) => {
                let call = ScalarFunction::new_udf(function, vec![expr.left, expr.right]);
                Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
            }
            None => Ok(PlannerResult::Original(expr)),
        }
    }
}
