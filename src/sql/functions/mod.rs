//! The functions that Spark has and DataFusion lacks or spells otherwise.
//!
//! A function that is only called differently is rewritten in the parsed query
//! ([`respell_call`]); one that is missing is a scalar function of ours.

mod batch_time;
mod divide;
mod number_text;
mod respell;
mod time_text;
mod window;

pub use batch_time::BatchTime;
pub(super) use batch_time::batch_time_functions;
pub(super) use divide::divide;
pub(super) use number_text::number_text;
pub(super) use respell::{function_alias, respell_call};
pub(super) use time_text::{date_format, timestamp_text, to_timestamp};
pub(super) use window::{window_list, window_time, window_udf};

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

/// The name of `window(…)`.
pub const WINDOW: &str = "window";
/// The name of `window_time(…)`.
pub const WINDOW_TIME: &str = "window_time";

/// The scalar functions that every session knows.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![window_udf(), window_time(), window_list(), date_format(), to_timestamp()]
}
