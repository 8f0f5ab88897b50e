//! Replay: a run computed again, from what its checkpoint says was decided.
//!
//! A run is its list of decided batches: which files each one read, its time, its watermark. So it
//! can be computed again at any time, with the same operators over a fresh state, and must give the
//! same rows. This part *takes* a planned query and the recording of its checkpoint, *runs* the
//! batches in a temporary folder, and *gives* what comes out, beside what the query once wrote. It
//! *never* touches the query's own checkpoint or table, and takes no lock: the query may run
//! meanwhile.
//!
//! - `rerun`: a query that runs the batches it is told to, away from its checkpoint
//! - `shared`: sources that several such queries read once
//! - `event_times`: the event times that reach an operator, from which follows how late rows are
//! - `answers`: the whole result of a run, and how two of them differ
//! - `rows`: many rows, and what another lot of rows has that they have not
//! - [`check`]: batch by batch against the table that the query wrote
//! - [`moves`]: what a batch did to what is kept: windows opened, updated, closed
//! - [`change`]: the same run with one thing changed
//! - [`what_if`]: the same input under several delays of the watermark

mod answers;
pub mod change;
pub mod check;
mod event_times;
pub mod moves;
mod rerun;
mod rows;
mod shared;
pub mod what_if;

pub use answers::AnswerDifference;
pub use check::{Checked, Outcome, Replay};
pub use rows::Difference;
