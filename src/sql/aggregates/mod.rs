//! Spark's aggregate functions: those that DataFusion lacks or answers differently, and Spark's
//! names for the others.
//!
//! Each has a partial state that can be merged, so that the engine can cut it into batches.

mod avg;
mod distinct;
mod extreme;
mod extreme_by;
mod kept;
mod moments;
mod sum;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::Result as PlanResult;
use datafusion::functions_aggregate as df;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::COUNT_STAR_EXPANSION;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable};
use datafusion::scalar::ScalarValue;

use super::casts::{self, Misfit};

/// What a session registers; a name that is there already is replaced.
pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    let alias = |function: Arc<AggregateUDF>, names: &[&'static str]| {
        Arc::new(function.as_ref().clone().with_aliases(names.iter().copied()))
    };
    let mut all = vec![
        sum::sum(),
        sum::try_sum(),
        alias(avg::avg(), &["mean"]),
        avg::try_avg(),
        alias(df::first_last::first_value_udaf(), &["first", "any_value"]),
        alias(df::first_last::last_value_udaf(), &["last"]),
        alias(df::bool_and_or::bool_and_udaf(), &["every"]),
        alias(df::bool_and_or::bool_or_udaf(), &["some", "any"]),
        alias(df::stddev::stddev_udaf(), &["stddev_samp", "std"]),
        alias(df::variance::var_samp_udaf(), &["var_samp", "variance"]),
        moments::skewness(),
        moments::kurtosis(),
        extreme::min(),
        extreme::max(),
        extreme_by::min_by(),
        extreme_by::max_by(),
        distinct::approx_count_distinct(),
    ];
    all.extend(kept::functions());
    all
}

/// Aggregates that compute with numbers read a text as a DOUBLE. `count(1)` stays as DataFusion
/// knows it.
pub(super) fn with_numbers(mut call: AggregateFunction, schema: &DFSchema) -> PlanResult<Expr> {
    if call.func.name() == "count"
        && let [Expr::Literal(value, _)] = call.params.args.as_mut_slice()
        && *value == ScalarValue::Int32(Some(1))
    {
        *value = COUNT_STAR_EXPANSION;
    }
    let numbers = matches!(
        call.func.name(),
        "sum"
            | "avg"
            | "try_sum"
            | "try_avg"
            | "stddev"
            | "stddev_pop"
            | "var"
            | "var_pop"
            | "skewness"
            | "kurtosis"
            | "corr"
            | "covar_samp"
            | "covar_pop"
            | "median"
            | "percentile"
            | "percentile_cont"
    );
    if numbers {
        for arg in &mut call.params.args {
            if arg.get_type(schema)? == DataType::Utf8 {
                let text = std::mem::take(arg);
                *arg = casts::cast(text, &DataType::Utf8, &DataType::Float64, Misfit::Fails)?;
            }
        }
    }
    Ok(Expr::AggregateFunction(call))
}
