//! The start of the pane that a row falls into, as a function of DataFusion.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::window::WindowSpec;

/// The start of the pane (see [`WindowSpec::pane_start`]) of a time in microseconds; the type is the
/// time's, NULL gives NULL.
pub fn pane_start(time: Expr, spec: WindowSpec) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::from(PaneStart { spec, signature }).call(vec![time])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PaneStart {
    spec: WindowSpec,
    signature: Signature,
}

impl ScalarUDFImpl for PaneStart {
    fn name(&self) -> &str {
        "pane_start"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = arguments.args[0].to_array(arguments.number_rows)?;
        let micros = cast(&times, &DataType::Int64)?;
        let starts: Int64Array =
            micros.as_primitive::<Int64Type>().unary(|time| self.spec.pane_start(time));
        Ok(ColumnarValue::Array(cast(&(Arc::new(starts) as ArrayRef), times.data_type())?))
    }
}
