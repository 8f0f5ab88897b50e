//! `typeof(value)`: Spark's name of a value's type.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::sql::types::spark_name;

/// `typeof(value)`.
pub(in crate::sql) fn type_of() -> Arc<ScalarUDF> {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::from(TypeOf { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf {
    signature: Signature,
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &str {
        "typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        match args.arg_fields.first() {
            Some(field) => {
                let name = spark_name(field.data_type());
                Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))))
            }
            None => exec_err!("typeof takes a value"),
        }
    }
}
