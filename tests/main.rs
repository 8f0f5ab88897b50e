//! The tests of the whole, in one binary, since linking is what takes the time.
//!
//! - [`golden`]: scripts that read like claims, step by step (`tests/golden/<area>/*.test`)
//! - [`properties`]: claims that hold for any input
//! - [`join_properties`]: the same for joins of two streams
//! - [`conformance`]: what real Spark did, batch by batch (`tests/conformance/cases/*.json`)
//! - [`functions`]: what real Spark answered, function by function (`tests/functions/*.tsv`)
//! - [`progress`]: the whole reports of real Spark, key by key (`tests/progress/spark.json`)
//! - [`cli`]: the real binary in an empty folder
//! - [`why`]: the same, for each way in which a query can give nothing
//! - [`replay`]: runs computed again, and what longer delays would do
//! - [`crash`], [`closing`], [`scripts`]: the real binary that dies at a step, closes a stream, plays scripts
//! - [`recovery`]: what a start makes of each pair of checkpoint and table, and the ways out
//! - [`upgrades`]: checkpoints of earlier versions
//! - [`files`]: files that are not as they should be
//! - [`api`]: the API from Rust
//! - [`examples`]: every example runs, and does what its README says
//! - [`ladder`]: who may import whom, and who may do what
//!
//! The first two run in `strandline::script::World`: a project in a temporary folder.

mod api;
mod cli;
mod closing;
mod conformance;
mod crash;
mod examples;
mod files;
mod functions;
mod golden;
mod join_properties;
mod ladder;
mod progress;
mod properties;
mod recovery;
mod replay;
mod scripts;
mod upgrades;
mod why;
