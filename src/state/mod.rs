//! State: what operators remember → `checkpoints/<query>/state/<operator>/`.
//!
//! An operator's memory is rows with a key. [`StateTable`] holds them as Arrow, found by key and let
//! go by the watermark; [`StateStore`] is a table whose every batch is one small file, so that what
//! was known after any recent batch can be had again. Both *take* and *give* Arrow rows; they
//! *never* know what the columns mean, which watermark is right, or when a batch ends.
//!
//! - `shape`: which columns there are, and whether there is one row a key or any number
//! - `table`: rows by key, of either kind
//! - `unique`: one row a key, in buckets by the time at which they go
//! - `bucket`: rows with a hash index over them
//! - `multimap`: any number of rows a key, linked to chains
//! - `absent`: which of some rows are new
//! - `segments`: where rows lie, and how what is forgotten is tidied away
//! - `lookup`: many keys on their way through an index
//! - `own`: rows without the buffers of the batch they came in
//! - `memory`: how much of it state may take, and `room`, what a table has of it
//! - `spill`: rows on disk, since memory is not to hold them
//! - `part`: all rows of a table, a part at a time
//! - `key`: when two keys are the same
//! - `store`: the table's log of changes, its snapshots, and the way back from them
//! - `snapshot`: one that is written while batches go on
//! - `file`: what is in a change and in a snapshot

mod absent;
mod bucket;
mod file;
mod key;
mod lookup;
mod memory;
mod multimap;
mod own;
mod part;
mod room;
mod segments;
mod shape;
mod snapshot;
mod spill;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod unique;

pub use bucket::Merge;
pub use key::normalise;
pub use memory::Memory;
pub use multimap::{Finder, Found, RowId};
pub use part::Parts;
pub use shape::StateShape;
pub use store::{Sealed, StateStore};
pub use table::{Put, StateTable};
