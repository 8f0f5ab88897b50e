//! `+ - * / %` and DIV over decimals: exact in 256 bits, then rounded half up to the result's scale.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, i256};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{ColumnarValue, Operator};

use super::{overflow, zero_divisor};
use crate::error::Error;
use crate::sql::casts::{Misfit, divided_half_up, fits, rescaled};
use crate::sql::types::spark_name;

/// Scales of the two arguments and of the result.
struct Scales {
    left: i32,
    right: i32,
    result: i32,
}

/// Computes row by row. `result` is a DECIMAL, or BIGINT for DIV.
pub(super) fn compute(
    op: Operator,
    a: &ColumnarValue,
    b: &ColumnarValue,
    result: &DataType,
    misfit: Misfit,
) -> PlanResult<ColumnarValue> {
    let scale = |t: &DataType| match t {
        DataType::Decimal128(_, scale) => i32::from(*scale),
        _ => 0,
    };
    let scales =
        Scales { left: scale(&a.data_type()), right: scale(&b.data_type()), result: scale(result) };
    let arrays = ColumnarValue::values_to_arrays(&[a.clone(), b.clone()])?;
    let [a, b] = arrays.as_slice() else { return exec_err!("{op} takes two numbers") };
    let pairs = a.as_primitive::<Decimal128Type>().iter().zip(b.as_primitive::<Decimal128Type>());
    let divides = matches!(op, Operator::Divide | Operator::Modulo | Operator::IntegerDivide);
    let fit = |value: i128| match result {
        DataType::Decimal128(precision, _) => fits(value, *precision),
        _ => i64::try_from(value).is_ok(),
    };
    let mut values: Vec<Option<i128>> = Vec::with_capacity(a.len());
    for (a, b) in pairs {
        let (Some(a), Some(b)) = (a, b) else {
            values.push(None);
            continue;
        };
        let value = match divides && b == 0 {
            true => None,
            false => one(op, a, b, &scales).filter(|value| fit(*value)),
        };
        if value.is_none() && misfit == Misfit::Fails {
            return Err(
                if divides && b == 0 { zero_divisor(op) } else { too_large(op, result) }.into()
            );
        }
        values.push(value);
    }
    let column: ArrayRef = match result {
        DataType::Decimal128(precision, scale) => {
            Arc::new(Decimal128Array::from(values).with_precision_and_scale(*precision, *scale)?)
        }
        _ => Arc::new(values.into_iter().map(|v| v.map(|v| v as i64)).collect::<Int64Array>()),
    };
    Ok(ColumnarValue::Array(column))
}

fn too_large(op: Operator, result: &DataType) -> Error {
    if *result == DataType::Int64 {
        return overflow("div", result);
    }
    let name = spark_name(result).to_uppercase();
    let try_it = match op {
        Operator::Plus => "try_add",
        Operator::Minus => "try_subtract",
        Operator::Multiply => "try_multiply",
        Operator::Modulo => "try_mod",
        _ => "try_divide",
    };
    Error::input(
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        format!("the result of a {op} b does not fit into {name}"),
    )
    .hint(format!("write {try_it}(a, b) to get NULL instead, or CAST a side AS DOUBLE"))
}

/// One result; the divisor is not zero. `None`: it is beyond 38 digits.
fn one(op: Operator, a: i128, b: i128, scales: &Scales) -> Option<i128> {
    let Scales { left, right, result } = *scales;
    let common = left.max(right);
    // Most sums and products need no more than the arguments do.
    match op {
        Operator::Plus if left == right && common == result => return a.checked_add(b),
        Operator::Minus if left == right && common == result => return a.checked_sub(b),
        Operator::Multiply if left + right == result => {
            if let Some(product) = a.checked_mul(b) {
                return Some(product);
            }
        }
        _ => {}
    }
    let (a, b) = (i256::from_i128(a), i256::from_i128(b));
    let raised = |value: i256, by: i32| {
        value.checked_mul(i256::from_i128(10).checked_pow(u32::try_from(by).ok()?)?)
    };
    let aligned = || Some((raised(a, common - left)?, raised(b, common - right)?));
    match op {
        Operator::Plus => {
            let (a, b) = aligned()?;
            rescaled(a.checked_add(b)?, common, result)
        }
        Operator::Minus => {
            let (a, b) = aligned()?;
            rescaled(a.checked_sub(b)?, common, result)
        }
        Operator::Multiply => rescaled(a.checked_mul(b)?, left + right, result),
        Operator::Divide => divided_half_up(raised(a, result - left + right)?, b)?.to_i128(),
        Operator::Modulo => {
            let (a, b) = aligned()?;
            rescaled(a.checked_rem(b)?, common, result)
        }
        _ => {
            let (a, b) = aligned()?;
            a.checked_div(b)?.to_i128()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_rounded_half_up() {
        let result = |op, a, b, left, right, result| one(op, a, b, &Scales { left, right, result });
        assert_eq!(result(Operator::Plus, 125, 5, 2, 1, 2), Some(175));
        assert_eq!(result(Operator::Multiply, 125, 125, 2, 2, 4), Some(15_625));
        assert_eq!(result(Operator::Divide, 2, 3, 0, 0, 6), Some(666_667));
        assert_eq!(result(Operator::Divide, -2, 3, 0, 0, 6), Some(-666_667));
        assert_eq!(result(Operator::Modulo, -75, 20, 1, 1, 1), Some(-15));
        assert_eq!(result(Operator::IntegerDivide, 75, 2, 1, 0, 0), Some(3));
        assert_eq!(result(Operator::Multiply, i128::MAX, 10, 0, 0, 0), None);
    }
}
