//! Engine: one trigger from start to finish.
//!
//! The engine *takes* a planned query, its sources, its sink and its checkpoint, and *steps* on
//! command: [`query::Query::step`] runs at most one micro-batch. The trigger loop, the command
//! line, tests and replay are all callers of that one function. The engine *never* reads a clock of
//! its own and never sleeps inside a step.
//!
//! The ten steps of a micro-batch, in words (in code: `micro_batch.rs`):
//!
//! 1. ask each source how far it has got
//! 2. write `offsets/N`: the exact files or versions, batch time, watermark: *batch N is fixed*
//! 3. read and decode the batch
//! 4. stamp event time; find this batch's maximum
//! 5. judge quality (no rules yet)
//! 6. run the operators over state N−1, with the watermark fixed at the start of the batch
//! 7. seal state N
//! 8. write the output under the transaction (query id, N)
//! 9. write `commits/N` with the watermark of batch N+1
//! 10. report progress
//!
//! A crash before 2 leaves nothing. A crash between 2 and 9 leaves a batch that was decided and not
//! committed: it is run again from its own `offsets/N`, over state N−1, with the same watermark and
//! batch time, so it computes the same rows; if its output is in the table already, the sink sees
//! the transaction and leaves it alone.

mod agreement;
mod arrivals;
pub mod assemble;
pub mod closing;
pub mod context;
mod declared;
pub mod explain;
pub mod frame;
pub mod fsck;
pub mod handle;
mod json_functions;
mod leaf;
mod ledger;
pub mod look;
mod micro_batch;
mod noting;
mod pane;
pub mod pipeline;
mod properties;
pub mod query;
pub mod rejected;
pub mod replay;
mod report;
pub mod result;
pub mod resumed;
pub mod settings;
pub mod steps;
pub mod system;
pub mod tables;
mod trace;
pub mod trigger;
mod upstream;
pub mod watermark;
mod watermark_row;
pub mod why;
pub mod writer;
