//! State: what operators remember → `checkpoints/<query>/state/<operator>/`.
//!
//! An operator's memory is rows with a key. [`StateTable`] holds them as Arrow, found by key and let
//! go by the watermark; [`StateStore`] is a table whose every batch is one small file, so that what
//! was known after any recent batch can be had again. Both *take* and *give* Arrow rows; they
//! *never* know what the columns mean, which watermark is right, or when a batch ends.
//!
//! - [`table`]: rows by key, in buckets by the time at which they go
//! - [`store`]: the table's log of changes, its snapshots, and the way back from them
//! - `bucket`: segments of rows with a hash index over them
//! - `lookup`: many keys on their way through that index
//! - `own`: rows without the buffers of the batch they came in
//! - `key`: when two keys are the same
//! - `file`: what is in a change and in a snapshot

mod bucket;
mod file;
mod key;
mod lookup;
mod own;
pub mod store;
pub mod table;
#[cfg(test)]
mod tests;

pub use store::{Sealed, StateStore};
pub use table::{Put, StateTable};
