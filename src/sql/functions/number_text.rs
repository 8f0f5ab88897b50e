//! A DOUBLE or FLOAT as text: the shortest digits that read back as the same number, as Java (and so
//! Spark) writes them: `1.0`, `0.001`, and from 10 million on or below a thousandth `1.0E7`, `1.0E-4`.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

/// `number_text(DOUBLE)` and `number_text(FLOAT)`.
pub(in crate::sql) fn number_text() -> Arc<ScalarUDF> {
    let one = |number| TypeSignature::Exact(vec![number]);
    let signature = Signature::one_of(
        vec![one(DataType::Float32), one(DataType::Float64)],
        Volatility::Immutable,
    );
    Arc::new(ScalarUDF::from(NumberText { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NumberText {
    signature: Signature,
}

impl ScalarUDFImpl for NumberText {
    fn name(&self) -> &str {
        "number_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [numbers] = arrays.as_slice() else { return exec_err!("number_text takes a number") };
        // Rust's `{:e}` has the shortest digits of each type, one of them before the point.
        let texts: StringArray = if let Some(numbers) = numbers.as_primitive_opt::<Float64Type>() {
            numbers.iter().map(|n| n.map(java_double)).collect()
        } else if let Some(numbers) = numbers.as_primitive_opt::<Float32Type>() {
            numbers.iter().map(|n| n.map(java_float)).collect()
        } else {
            return exec_err!("number_text takes a number, not {}", numbers.data_type());
        };
        Ok(ColumnarValue::Array(Arc::new(texts)))
    }
}

/// A DOUBLE as Java writes it.
pub(super) fn java_double(number: f64) -> String {
    java(&format!("{number:e}"), number.abs())
}

/// A FLOAT as Java writes it.
pub(super) fn java_float(number: f32) -> String {
    java(&format!("{number:e}"), number.abs().into())
}

/// From `-1.25e3` to `-1250.0`; `size` is the absolute value.
fn java(scientific: &str, size: f64) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return match scientific {
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            nan => nan.to_owned(),
        };
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    if size != 0.0 && !(1e-3..1e7).contains(&size) {
        return format!("{sign}{whole}.{fraction}E{exponent}");
    }
    // Between a thousandth and 10 million there are at most seven places to move the point by.
    let digits = mantissa.replace('.', "");
    match exponent.parse::<isize>().unwrap_or(0) {
        left @ ..0 => {
            let zeros = "0".repeat(left.unsigned_abs() - 1);
            format!("{sign}0.{zeros}{digits}")
        }
        right => {
            let before = right.unsigned_abs() + 1;
            let padded = format!("{digits:0<before$}");
            let (before, after) = padded.split_at(before);
            format!("{sign}{before}.{}", if after.is_empty() { "0" } else { after })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::java;

    #[test]
    fn doubles_are_written_as_java_writes_them() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1250.5, "-1250.5"),
            (0.001, "0.001"),
            (0.0123, "0.0123"),
            (0.0009, "9.0E-4"),
            (9_999_999.5, "9999999.5"),
            (1e7, "1.0E7"),
            (-1.25e300, "-1.25E300"),
            (5e-324, "5.0E-324"),
            (100.0, "100.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(java(&format!("{number:e}"), number.abs()), text);
        }
    }
}
