//! `a / b` as Spark means it: never a whole-number division, and division by zero is an error.

use std::sync::Arc;

use arrow::array::{AsArray, Float64Array};
use arrow::compute::kernels::arity::try_binary;
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// `divide(DOUBLE, DOUBLE)`.
pub(in crate::sql) fn divide() -> Arc<ScalarUDF> {
    let both = vec![DataType::Float64, DataType::Float64];
    let signature = Signature::exact(both, Volatility::Immutable);
    Arc::new(ScalarUDF::from(Divide { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Divide {
    signature: Signature,
}

impl ScalarUDFImpl for Divide {
    fn name(&self) -> &str {
        "divide"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else { return exec_err!("divide takes two numbers") };
        let (left, right) =
            (left.as_primitive_opt::<Float64Type>(), right.as_primitive_opt::<Float64Type>());
        let (Some(left), Some(right)) = (left, right) else {
            return exec_err!("divide takes two doubles");
        };
        let quotient: Float64Array =
            try_binary::<_, _, _, Float64Type>(left, right, |a: f64, b: f64| {
                if b == 0.0 { Err(ArrowError::DivideByZero) } else { Ok(a / b) }
            })?;
        Ok(ColumnarValue::Array(Arc::new(quotient)))
    }
}
