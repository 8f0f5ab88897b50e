//! A function that takes lambdas, in rules: what it takes, what its lambdas are handed, what it
//! gives, and its values.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::take_arrays;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature,
    HigherOrderUDF, HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda,
    Volatility,
};

use super::widen::plain;
use crate::error::Error;

/// The rules of a function with lambdas.
pub(super) struct HigherOrder {
    /// The name in SQL, in lower case.
    pub(super) name: &'static str,
    /// From the types of the arguments that are no lambdas to those that `value` is handed.
    pub(super) takes: fn(&[DataType]) -> PlanResult<Vec<DataType>>,
    /// The parameters of each lambda, from the types that `value` is handed. A call may leave out
    /// lambdas at the end, and a lambda parameters at its end.
    pub(super) hands: fn(&[DataType]) -> PlanResult<Vec<Vec<DataType>>>,
    /// How many lambdas there must be.
    pub(super) least: usize,
    /// The type of the result, from those of the values and those of the lambdas' results.
    pub(super) gives: fn(&[DataType], &[DataType]) -> PlanResult<DataType>,
    /// The values, row by row.
    pub(super) value: fn(&LambdaCall) -> PlanResult<ArrayRef>,
}

/// The arguments of some rows.
pub(super) struct LambdaCall<'a> {
    /// One array for each argument that is no lambda.
    pub(super) values: Vec<ArrayRef>,
    /// The lambdas.
    pub(super) lambdas: Vec<&'a LambdaArgument>,
    /// The type of the result.
    pub(super) gives: &'a DataType,
    /// How many rows there are.
    pub(super) rows: usize,
}

impl LambdaCall<'_> {
    /// The result of a lambda for these parameters, all of the length of `owners`, which says for
    /// each the row that it belongs to: its other columns are those that the lambda sees.
    pub(super) fn evaluate(
        &self,
        lambda: usize,
        parameters: &[ArrayRef],
        owners: &arrow::array::UInt32Array,
    ) -> PlanResult<ArrayRef> {
        let Some(lambda) = self.lambdas.get(lambda) else {
            return datafusion::common::exec_err!("a lambda is missing");
        };
        let closures: Vec<_> = parameters.iter().map(|array| move || Ok(array.clone())).collect();
        let closures: Vec<&dyn Fn() -> PlanResult<ArrayRef>> =
            closures.iter().map(|c| c as &dyn Fn() -> PlanResult<ArrayRef>).collect();
        let result = lambda.evaluate(&closures, |seen| Ok(take_arrays(seen, owners, None)?))?;
        result.into_array(arrow::array::Array::len(owners))
    }
}

impl HigherOrder {
    /// The function as DataFusion knows functions.
    pub(super) fn function(self) -> Arc<HigherOrderUDF> {
        let signature = HigherOrderSignature::user_defined(Volatility::Immutable);
        Arc::new(HigherOrderUDF::new_from_impl(Defined { rules: self, signature }))
    }
}

struct Defined {
    rules: HigherOrder,
    signature: HigherOrderSignature,
}

impl std::fmt::Debug for Defined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HigherOrder({})", self.rules.name)
    }
}

impl PartialEq for Defined {
    fn eq(&self, other: &Self) -> bool {
        self.rules.name == other.rules.name
    }
}

impl Eq for Defined {}

impl Hash for Defined {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rules.name.hash(state);
    }
}

impl HigherOrderUDFImpl for Defined {
    fn name(&self) -> &str {
        self.rules.name
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    // The planner replaces an error from here by one of its own: `lambda_parameters` says it.
    fn coerce_value_types(&self, types: &[DataType]) -> PlanResult<Vec<DataType>> {
        Ok((self.rules.takes)(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn lambda_parameters(
        &self,
        _: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> PlanResult<LambdaParametersProgress> {
        let mut lambdas = 0;
        let mut types = Vec::new();
        for field in fields {
            match field {
                ValueOrLambda::Value(field) => types.push(field.data_type().clone()),
                ValueOrLambda::Lambda(_) => lambdas += 1,
            }
        }
        let hands = (self.rules.hands)(&(self.rules.takes)(&types)?)?;
        if !(self.rules.least..=hands.len()).contains(&lambdas) {
            let what = format!("{}(…) does not take {lambdas} lambda functions", self.rules.name);
            return Err(Error::sql("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", what)
                .hint("write it as in transform(items, x -> x + 1)")
                .into());
        }
        let field = |t| Arc::new(Field::new("", t, true));
        let named = hands.into_iter().take(lambdas).map(|ts| ts.into_iter().map(field).collect());
        Ok(LambdaParametersProgress::Complete(named.collect()))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> PlanResult<FieldRef> {
        let (mut values, mut results) = (Vec::new(), Vec::new());
        for field in args.arg_fields {
            match field {
                ValueOrLambda::Value(field) => values.push(field.data_type().clone()),
                ValueOrLambda::Lambda(field) => results.push(plain(field.data_type())),
            }
        }
        let values = (self.rules.takes)(&values)?;
        Ok(Arc::new(Field::new("", (self.rules.gives)(&values, &results)?, true)))
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> PlanResult<ColumnarValue> {
        let (mut values, mut lambdas) = (Vec::new(), Vec::new());
        for arg in &args.args {
            match arg {
                ValueOrLambda::Value(value) => values.push(value.to_array(args.number_rows)?),
                ValueOrLambda::Lambda(lambda) => lambdas.push(lambda),
            }
        }
        let gives = args.return_field.data_type();
        let call = LambdaCall { values, lambdas, gives, rows: args.number_rows };
        Ok(ColumnarValue::Array((self.rules.value)(&call)?))
    }
}
