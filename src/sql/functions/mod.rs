//! The functions that Spark has and DataFusion lacks or spells otherwise.
//!
//! A function that is only called differently is rewritten in the parsed query
//! ([`respell_call`]); one that is missing is a scalar function of ours.

mod access;
mod array;
mod array_value;
mod batch_time;
mod definition;
mod higher_order;
mod json;
mod json_text;
mod lambda;
mod lists;
mod map_lambda;
mod maps;
mod order;
mod respell;
mod sequence;
mod time_text;
mod type_name;
mod widen;
mod window;

pub(super) use access::Access;
pub use batch_time::BatchTime;
pub(super) use batch_time::batch_time_functions;
pub(super) use lambda::{fields_of_parameters, named_zip};
pub(super) use respell::{function_alias, respell_call};
pub(super) use time_text::{date_format, to_timestamp};
pub(super) use window::{window_list, window_time, window_udf};

use std::sync::Arc;

use datafusion::logical_expr::{HigherOrderUDF, ScalarUDF};

/// The name of `window(…)`.
pub const WINDOW: &str = "window";
/// The name of `window_time(…)`.
pub const WINDOW_TIME: &str = "window_time";

/// The scalar functions that every session knows.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        type_name::type_of(),
        window_udf(),
        window_time(),
        window_list(),
        date_format(),
        to_timestamp(),
    ]
}

/// The scalar functions over arrays, maps and structs.
pub(super) fn collection_functions() -> Vec<Arc<ScalarUDF>> {
    let defined = [
        array::functions(),
        array_value::functions(),
        maps::functions(),
        order::functions(),
        sequence::functions(),
        json::functions(),
        json_text::functions(),
    ];
    let defined = defined.into_iter().flatten().map(definition::Definition::function);
    defined.chain([datafusion_spark::function::array::shuffle()]).collect()
}

/// The functions that take lambdas.
pub(super) fn higher_order_functions() -> Vec<Arc<HigherOrderUDF>> {
    let defined = [lambda::functions(), map_lambda::functions()];
    defined.into_iter().flatten().map(higher_order::HigherOrder::function).collect()
}

/// `a[0]` and `m['k']`.
fn subscript() -> Arc<ScalarUDF> {
    array_value::subscript_rules().function()
}

/// `map(key, value, …)`.
fn map() -> Arc<ScalarUDF> {
    maps::map_rules().function()
}
