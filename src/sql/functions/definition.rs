//! A scalar function in three rules: which types it takes, which type it gives, and its values.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use crate::calendar::Zone;
use crate::error::Error;
use crate::sql::optimizer::session_zone;
use crate::sql::types::spark_name;

/// The rules of a function. What `takes` gives, it also takes, unchanged.
pub(super) struct Definition {
    /// The name in SQL, in lower case.
    pub(super) name: &'static str,
    /// From the types of a call's arguments to those that `value` is handed.
    pub(super) takes: fn(&[DataType]) -> PlanResult<Vec<DataType>>,
    /// The type of the result, from the types that `value` is handed.
    pub(super) gives: fn(&[DataType]) -> PlanResult<DataType>,
    /// The values, row by row.
    pub(super) value: fn(&Call) -> PlanResult<ArrayRef>,
}

/// The arguments of some rows.
pub(super) struct Call<'a> {
    /// One array an argument, each of `rows` values.
    pub(super) args: &'a [ArrayRef],
    /// The type of the result.
    pub(super) gives: &'a DataType,
    /// How many rows there are.
    pub(super) rows: usize,
    /// The zone of the session.
    pub(super) zone: &'a Zone,
}

impl Definition {
    /// The function as DataFusion knows functions.
    pub(super) fn function(self) -> Arc<ScalarUDF> {
        // Without arguments there is nothing to convert, and DataFusion does not ask.
        let calls = vec![TypeSignature::UserDefined, TypeSignature::Nullary];
        let signature = Signature::one_of(calls, Volatility::Immutable);
        Arc::new(ScalarUDF::from(Defined { definition: self, signature }))
    }
}

/// The error for an argument of a type that a function does not take.
pub(super) fn mismatch(wanted: &str, found: &DataType) -> datafusion::error::DataFusionError {
    let what =
        format!("the function takes {wanted} here, not {}", spark_name(found).to_uppercase());
    Error::sql("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", what)
        .hint("convert the argument with CAST(… AS …), or look at its type in CREATE TABLE")
        .into()
}

/// The error for a call with too few or too many arguments.
pub(super) fn wrong_count(wanted: &str, found: usize) -> datafusion::error::DataFusionError {
    let what = format!("the function takes {wanted}, and the call has {found}");
    Error::sql("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", what)
        .hint("look the function up in Spark's documentation")
        .into()
}

struct Defined {
    definition: Definition,
    signature: Signature,
}

impl std::fmt::Debug for Defined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Definition({})", self.definition.name)
    }
}

impl PartialEq for Defined {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for Defined {}

impl Hash for Defined {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl ScalarUDFImpl for Defined {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    // The planner replaces an error from here by one of its own: `return_type` says it instead.
    fn coerce_types(&self, types: &[DataType]) -> PlanResult<Vec<DataType>> {
        Ok((self.definition.takes)(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> PlanResult<DataType> {
        (self.definition.gives)(&(self.definition.takes)(types)?)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|arg| arg.to_array(rows));
        let arrays = arrays.collect::<PlanResult<Vec<ArrayRef>>>()?;
        let zone = session_zone(&args.config_options)?;
        let call = Call { args: &arrays, gives: args.return_field.data_type(), rows, zone: &zone };
        Ok(ColumnarValue::Array((self.definition.value)(&call)?))
    }
}
