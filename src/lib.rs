//! Spark's streaming SQL in one binary.
#![doc = include_str!("README.md")]

pub mod batch;
pub mod calendar;
pub mod checkpoint;
pub mod cli;
pub mod durable;
pub mod engine;
pub mod error;
pub mod fault;
pub mod generate;
mod json;
pub mod machine;
pub mod operators;
pub mod plan;
pub mod progress;
pub mod script;
mod share;
pub mod sinks;
pub mod sources;
pub mod sql;
pub mod state;
pub mod time;
pub mod window;

pub use engine::closing::Closing;
pub use engine::context::StreamContext;
pub use engine::handle::StreamingQuery;
pub use engine::trigger::Trigger;

/// What a program that runs streams needs: `use strandline::prelude::*;`.
///
/// Expressions are DataFusion's. The functions that are named most are here; all others are in
/// [`crate::functions`].
pub mod prelude {
    pub use crate::engine::closing::Closing;
    pub use crate::engine::context::StreamContext;
    pub use crate::engine::frame::StreamFrame;
    pub use crate::engine::handle::StreamingQuery;
    pub use crate::engine::trigger::Trigger;
    pub use crate::error::{Error, Result};
    pub use crate::functions::{avg, count, count_all, current_timestamp, max, min, sum};
    pub use crate::functions::{session_window, window, window_sliding};
    pub use datafusion::prelude::{Expr, JoinType, cast, col, ident, lit, when};
}

/// All functions of expressions: DataFusion's, and those that only a stream has.
pub mod functions {
    pub use crate::sql::frame::{current_timestamp, session_window, window, window_sliding};
    pub use datafusion::functions::expr_fn::*;
    pub use datafusion::functions_aggregate::count::count_all;
    pub use datafusion::functions_aggregate::expr_fn::*;
}
