//! `+ - * / %`, DIV, minus and `abs` over numbers, checked: what does not fit is an error or, for
//! `try_add` and its like, NULL.
//!
//! The types of both arguments have been brought together before ([`super::coercion`]), so that
//! integers and doubles go through Arrow's own kernels.

mod decimal;
mod times;

pub(super) use times::times;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Float64Array, Int64Array};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::error::ArrowError;
use datafusion::common::exec_err;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

use super::casts::{Misfit, cast_column};
use super::coercion;
use super::types::spark_name;
use crate::calendar::Zone;
use crate::error::Error;

/// One operation over one or two numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Arithmetic {
    pub(super) op: Op,
    pub(super) misfit: Misfit,
    name: &'static str,
    signature: Signature,
}

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    /// Of two numbers.
    Binary(Operator),
    /// `-a`.
    Negate,
    /// `abs(a)`.
    Abs,
    /// A double, and 0.0 in place of -0.0.
    PlainZero,
}

fn function(name: &'static str, op: Op, misfit: Misfit) -> Arc<ScalarUDF> {
    let arguments = if matches!(op, Op::Binary(_)) { 2 } else { 1 };
    let signature = Signature::any(arguments, Volatility::Immutable);
    Arc::new(ScalarUDF::from(Arithmetic { op, misfit, name, signature }))
}

/// `a op b` with checks.
pub(super) fn binary(op: Operator) -> Option<Arc<ScalarUDF>> {
    let name = match op {
        Operator::Plus => "add",
        Operator::Minus => "subtract",
        Operator::Multiply => "multiply",
        Operator::Divide => "divide",
        Operator::Modulo => "remainder",
        Operator::IntegerDivide => "div",
        _ => return None,
    };
    Some(function(name, Op::Binary(op), Misfit::Fails))
}

/// `-a` with a check.
pub(super) fn negate() -> Arc<ScalarUDF> {
    function("negative", Op::Negate, Misfit::Fails)
}

/// A double that compares as its number does.
pub(super) fn without_negative_zero() -> Arc<ScalarUDF> {
    function("plain_zero", Op::PlainZero, Misfit::Fails)
}

/// The operations that SQL can call by a name.
pub(super) fn named() -> Vec<Arc<ScalarUDF>> {
    use Operator as O;
    let checked = |name, op| function(name, Op::Binary(op), Misfit::Fails);
    let tried = |name, op| function(name, Op::Binary(op), Misfit::Null);
    vec![
        function("abs", Op::Abs, Misfit::Fails),
        negate(),
        checked("mod", O::Modulo),
        checked("div", O::IntegerDivide),
        tried("try_add", O::Plus),
        tried("try_subtract", O::Minus),
        tried("try_multiply", O::Multiply),
        tried("try_divide", O::Divide),
        tried("try_mod", O::Modulo),
    ]
}

/// The operation of a call.
pub(super) fn of_call(call: &ScalarFunction) -> Option<&Arithmetic> {
    call.func.inner().downcast_ref::<Arithmetic>()
}

impl Arithmetic {
    /// The type of the result, whatever the arguments are.
    fn result(&self, arguments: &[DataType]) -> Option<DataType> {
        match (self.op, arguments) {
            (Op::Binary(op), [a, b]) => match coercion::arithmetic(op, a, b) {
                Some(computation) => Some(computation.result),
                // Times and intervals are DataFusion's.
                None => BinaryTypeCoercer::new(a, &op, b).get_result_type().ok(),
            },
            (Op::Negate | Op::Abs | Op::PlainZero, [a]) => {
                coercion::negated(a).or_else(|| a.is_temporal().then(|| a.clone()))
            }
            _ => None,
        }
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> PlanResult<String> {
        let args: Vec<String> = args.iter().map(Expr::to_string).collect();
        Ok(self.written(&args))
    }

    fn schema_name(&self, args: &[Expr]) -> PlanResult<String> {
        let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(self.written(&args))
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        self.result(arguments).ok_or_else(|| {
            let types: Vec<String> = arguments.iter().map(spark_name).collect();
            let what = format!("{} cannot be computed of {}", self.name, types.join(" and "));
            Error::sql("DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE", what)
                .hint("convert with CAST(value AS TYPE) first")
                .into()
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        match (self.op, args.args.as_slice()) {
            (Op::Binary(op), [a, b]) => self.of_two(op, a, b, args.return_type()),
            (Op::Negate, [a]) => self.of_one(a, negated_column),
            (Op::Abs, [a]) => self.of_one(a, absolute_column),
            (Op::PlainZero, [a]) => self.of_one(a, plain_zero_column),
            _ => exec_err!("{} has the wrong number of arguments", self.name),
        }
    }
}

impl Arithmetic {
    fn written(&self, args: &[String]) -> String {
        match (self.op, self.misfit, args) {
            (Op::Binary(op), Misfit::Fails, [a, b]) => format!("({a} {op} {b})"),
            (Op::Negate, _, [a]) => format!("(- {a})"),
            _ => format!("{}({})", self.name, args.join(", ")),
        }
    }

    fn of_two(
        &self,
        op: Operator,
        a: &ColumnarValue,
        b: &ColumnarValue,
        result: &DataType,
    ) -> PlanResult<ColumnarValue> {
        if matches!(a.data_type(), DataType::Decimal128(..)) {
            return decimal::compute(op, a, b, result, self.misfit);
        }
        let whole = result.is_integer();
        if self.misfit == Misfit::Null {
            return if whole { tried_integers(op, a, b, result) } else { tried_doubles(op, a, b) };
        }
        if !whole && matches!(op, Operator::Divide | Operator::Modulo) {
            no_zero_divisor(op, a, b)?;
        }
        let kernel: fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError> = match op {
            Operator::Plus => numeric::add,
            Operator::Minus => numeric::sub,
            Operator::Multiply => numeric::mul,
            Operator::Modulo => numeric::rem,
            _ => numeric::div,
        };
        apply(a, b, kernel).map_err(|e| explained(e, op, result))
    }

    fn of_one(
        &self,
        a: &ColumnarValue,
        compute: fn(&ArrayRef) -> Result<ArrayRef, ArrowError>,
    ) -> PlanResult<ColumnarValue> {
        let failed = |e: ArrowError| -> DataFusionError {
            match e {
                ArrowError::ArithmeticOverflow(_) => overflow(self.name, &a.data_type()).into(),
                other => other.into(),
            }
        };
        match a {
            ColumnarValue::Array(column) => {
                Ok(ColumnarValue::Array(compute(column).map_err(failed)?))
            }
            ColumnarValue::Scalar(value) => {
                let one = compute(&value.to_array()?).map_err(failed)?;
                Ok(ColumnarValue::Scalar(datafusion::scalar::ScalarValue::try_from_array(&one, 0)?))
            }
        }
    }
}

fn negated_column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    numeric::neg(column)
}

fn absolute_column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    use arrow::compute::kernels::{cmp, zip};
    if column.data_type().is_floating() {
        let doubles = arrow::compute::cast(column, &DataType::Float64)?;
        let absolute: Float64Array = doubles.as_primitive::<Float64Type>().unary(f64::abs);
        return arrow::compute::cast(&absolute, column.data_type());
    }
    let zero = arrow::compute::cast(&Int64Array::from(vec![0]), column.data_type())?;
    let negative = cmp::lt(column, &arrow::array::Scalar::new(&zero))?;
    // The least number has no opposite; where nothing is negative nothing can overflow.
    if negative.true_count() == 0 {
        return Ok(column.clone());
    }
    zip::zip(&negative, &negated_column(column)?, column)
}

fn plain_zero_column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    // The sum of both zeros is the positive one.
    let zero = arrow::compute::cast(&Float64Array::from(vec![0.0]), column.data_type())?;
    numeric::add(column, &arrow::array::Scalar::new(&zero))
}

/// An error of Arrow's kernel in Spark's terms.
fn explained(error: DataFusionError, op: Operator, result: &DataType) -> DataFusionError {
    match error {
        DataFusionError::ArrowError(inner, _) => match *inner {
            ArrowError::DivideByZero => zero_divisor(op).into(),
            ArrowError::ArithmeticOverflow(_) => {
                let name = binary(op).map_or_else(|| op.to_string(), |f| f.name().to_owned());
                overflow(&name, result).into()
            }
            other => other.into(),
        },
        other => other,
    }
}

fn overflow(name: &str, result: &DataType) -> Error {
    let condition = match result {
        DataType::Int8 | DataType::Int16 if !matches!(name, "abs" | "negative") => {
            "BINARY_ARITHMETIC_OVERFLOW"
        }
        _ => "ARITHMETIC_OVERFLOW",
    };
    let wider = match result {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "BIGINT",
        _ => "DECIMAL(38,0) or DOUBLE",
    };
    let hint = match name {
        "add" | "subtract" | "multiply" => {
            format!("write try_{name}(a, b) to get NULL instead, or CAST a side AS {wider}")
        }
        _ => format!("CAST the argument AS {wider} first"),
    };
    let what =
        format!("the result of {name} does not fit into {}", spark_name(result).to_uppercase());
    Error::input(condition, what).hint(hint)
}

fn zero_divisor(op: Operator) -> Error {
    match op {
        Operator::Modulo => {
            Error::input("REMAINDER_BY_ZERO", "the remainder of a division by zero")
                .hint("write try_mod(a, b), or nullif(b, 0), to get NULL instead")
        }
        _ => Error::input("DIVIDE_BY_ZERO", "division by zero")
            .hint("write try_divide(a, b), or nullif(b, 0), to get NULL instead"),
    }
}

/// Arrow divides doubles by zero; Spark does not.
fn no_zero_divisor(op: Operator, a: &ColumnarValue, b: &ColumnarValue) -> PlanResult<()> {
    if let ColumnarValue::Scalar(value) = b {
        let zero = [Some(0.0), Some(-0.0)].map(|z| match value.data_type() {
            DataType::Float32 => datafusion::scalar::ScalarValue::Float32(z.map(|z| z as f32)),
            _ => datafusion::scalar::ScalarValue::Float64(z),
        });
        if !zero.contains(value) {
            return Ok(());
        }
    }
    let rows = match (a, b) {
        (ColumnarValue::Array(column), _) | (_, ColumnarValue::Array(column)) => column.len(),
        _ => 1,
    };
    let (a, b) = (a.to_array(rows)?, b.to_array(rows)?);
    let divisors = arrow::compute::cast(&b, &DataType::Float64)?;
    let divisors = divisors.as_primitive::<Float64Type>();
    let zero = |row: usize| divisors.value(row) == 0.0 && divisors.is_valid(row) && a.is_valid(row);
    if (0..rows).any(zero) { Err(zero_divisor(op).into()) } else { Ok(()) }
}

fn both(a: &ColumnarValue, b: &ColumnarValue, as_type: &DataType) -> PlanResult<[ArrayRef; 2]> {
    let arrays = ColumnarValue::values_to_arrays(&[a.clone(), b.clone()])?;
    match arrays.as_slice() {
        [a, b] => Ok([arrow::compute::cast(a, as_type)?, arrow::compute::cast(b, as_type)?]),
        _ => exec_err!("two arguments have become {}", arrays.len()),
    }
}

fn tried_integers(
    op: Operator,
    a: &ColumnarValue,
    b: &ColumnarValue,
    result: &DataType,
) -> PlanResult<ColumnarValue> {
    let compute: fn(i64, i64) -> Option<i64> = match op {
        Operator::Plus => i64::checked_add,
        Operator::Minus => i64::checked_sub,
        Operator::Multiply => i64::checked_mul,
        Operator::Modulo => |a, b| (b != 0).then(|| a.wrapping_rem(b)),
        _ => i64::checked_div,
    };
    let [a, b] = both(a, b, &DataType::Int64)?;
    let pairs = a.as_primitive::<Int64Type>().iter().zip(b.as_primitive::<Int64Type>());
    let wide: Int64Array = pairs.map(|(a, b)| compute(a?, b?)).collect();
    let wide: ArrayRef = Arc::new(wide);
    // Numbers know no zone.
    Ok(ColumnarValue::Array(cast_column(&wide, result, Misfit::Null, &Zone::default())?))
}

fn tried_doubles(op: Operator, a: &ColumnarValue, b: &ColumnarValue) -> PlanResult<ColumnarValue> {
    let compute: fn(f64, f64) -> Option<f64> = match op {
        Operator::Plus => |a, b| Some(a + b),
        Operator::Minus => |a, b| Some(a - b),
        Operator::Multiply => |a, b| Some(a * b),
        Operator::Modulo => |a, b| (b != 0.0).then_some(a % b),
        _ => |a, b| (b != 0.0).then_some(a / b),
    };
    let result = a.data_type();
    let [a, b] = both(a, b, &DataType::Float64)?;
    let pairs = a.as_primitive::<Float64Type>().iter().zip(b.as_primitive::<Float64Type>());
    let wide: Float64Array = pairs.map(|(a, b)| compute(a?, b?)).collect();
    Ok(ColumnarValue::Array(arrow::compute::cast(&wide, &result)?))
}

/// An operation on times as DataFusion knows it.
pub(super) fn of_times(op: Operator, a: Expr, b: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(a), op, Box::new(b)))
}
