//! The functions that Spark has and DataFusion lacks or spells otherwise.
//!
//! A function that is only called differently is rewritten in the parsed query
//! ([`respell_call`]); one that is missing is a scalar function of ours. There are two ways to define
//! one. Over single values it is a line of a table, by subject (`text`, `dates`, `numbers` …), with an
//! answer for one row: `scalar` says what such a line is. Over arrays, maps and structs it works on
//! whole columns, since their types come from the arguments: `definition` and, with lambdas,
//! `higher_order`. `registry` knows all names.

mod access;
mod array;
mod array_sets;
mod array_value;
mod batch_time;
mod columns;
mod conditional;
mod dates;
mod definition;
mod encoding;
mod format;
mod hash;
mod higher_order;
mod intervals;
mod joined_in_order;
mod json;
mod json_text;
mod lambda;
mod like;
mod lists;
mod map_lambda;
mod maps;
mod misc;
mod number_text;
mod numbers;
mod order;
mod random;
mod regex;
mod registry;
mod respell;
mod rounding;
mod scalar;
mod sentences;
mod sequence;
mod session_window;
mod text;
mod time_bucket;
mod time_cast;
mod times;
mod type_name;
mod value;
mod widen;
mod window;

pub(super) use access::Access;
pub use batch_time::BatchTime;
pub(super) use batch_time::batch_time_functions;
pub(super) use conditional::decided;
pub(super) use joined_in_order::joined_in_order;
pub(super) use lambda::{fields_of_parameters, named_zip};
pub(super) use like::like_pattern;
pub(super) use registry::{is_spark, table_function, wrong_call};
pub(super) use respell::respell_call;
pub(super) use session_window::session_window_udf;
pub(super) use window::{time_of, window_list, window_time, window_udf};

use std::sync::Arc;

use datafusion::logical_expr::{HigherOrderUDF, ScalarUDF};

/// The name of `window(…)`.
pub const WINDOW: &str = "window";
/// The name of `session_window(…)`.
pub const SESSION_WINDOW: &str = "session_window";
/// The name of `window_time(…)`.
pub const WINDOW_TIME: &str = "window_time";

/// The scalar functions that every session knows.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let own =
        [type_name::type_of(), window_udf(), session_window_udf(), window_time(), window_list()];
    own.into_iter().chain(registry::table_functions()).collect()
}

/// The scalar functions over arrays, maps and structs.
pub(super) fn collection_functions() -> Vec<Arc<ScalarUDF>> {
    let defined = [
        array::functions(),
        array_sets::functions(),
        array_value::functions(),
        conditional::functions(),
        maps::functions(),
        order::functions(),
        sentences::functions(),
        sequence::functions(),
        time_bucket::functions(),
        json::functions(),
        json_text::functions(),
    ];
    let defined = defined.into_iter().flatten().map(definition::Definition::function);
    let spark = datafusion_spark::function::array::shuffle();
    defined.chain([spark, datafusion_spark::function::bitwise::bitwise_not()]).collect()
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

/// `concat(a, b)` over arrays, bytes or text.
pub(super) fn concat() -> Arc<ScalarUDF> {
    array::concat_rules().function()
}

/// `map(key, value, …)`.
fn map() -> Arc<ScalarUDF> {
    maps::map_rules().function()
}
