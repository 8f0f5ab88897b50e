//! Spark's streaming SQL in one binary.

pub mod batch;
pub mod checkpoint;
pub mod durable;
pub mod error;
pub mod generate;
pub mod operators;
pub mod plan;
pub mod progress;
pub mod sinks;
pub mod sources;
pub mod sql;
pub mod state;
pub mod time;
pub mod window;
