//! Checkpoint: what has been decided → `checkpoints/<query>/{metadata.json, offsets, commits, sources}`.
//!
//! A query that stops, by itself or by a power cut, goes on from what lies here. The checkpoint
//! *takes* the decisions of the engine (what a batch reads, that it is done), makes each permanent
//! as one file, and *gives* them back after a restart. It *never* decides itself, never reads half a
//! file as if it were whole, and removes nothing but its own old files.
//!
//! ```text
//! metadata.json        who the query is, its pipeline file, and the facts that may not change
//! LOCK                 held by the process that runs the query
//! offsets/N            what batch N reads, its time and its watermark: batch N is fixed by it
//! commits/N            batch N is done; the watermark of batch N+1
//! sources/<i>/history  what source i gave to batches whose offsets are removed, and their times
//! progress             what the newest batches did, for people                  progress
//! state/<operator>/    see `crate::state`
//! ```
//!
//! - [`open`]: the folder, its lock, its identity
//! - [`log`]: `offsets/` and `commits/`, one file a batch
//! - [`recovery`]: what to do next, from what is there
//! - [`history`]: what was decided for batches long past
//! - [`recording`]: every decision since batch 0, without the lock
//! - [`pinned`]: what may not change
//! - [`tables`]: by what the query's tables are known again
//! - [`progress`]: the reports of the newest batches
//! - [`inspect`]: all of it, file by file, for who looks for faults, without the lock
//! - [`mend`]: what a person may change in it
//! - [`view`]: all of it for the parts that explain, without the lock

pub mod history;
pub mod inspect;
pub mod log;
pub mod mend;
pub mod open;
pub mod pinned;
pub mod progress;
pub mod recording;
pub mod recovery;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod view;

pub use inspect::{Inspection, Piece, pinned_facts};
pub use log::{Commit, Offsets, Raised, WatermarkRow};
pub use mend::Mending;
pub use open::{Checkpoint, Provenance};
pub use pinned::Pinned;
pub use progress::ProgressLog;
pub use recording::Recording;
pub use recovery::{Held, Recovery, Watermark};
pub use tables::{Accepted, KnownTable, Role};
pub use view::View;
