//! Sinks: batches → `data/`.
//!
//! A sink *takes* the result rows of one batch under the batch's number and *gives* a table in which
//! they are once, however often the batch is written: a batch that is already there is left alone.
//! It *never* decides what a batch holds.

mod console;
pub mod delta;
mod memory;

use std::fmt;
use std::str::FromStr;

use arrow::array::RecordBatch;

use crate::batch::BatchId;
use crate::error::{Error, Result};
use crate::time::Millis;

pub use console::ConsoleSink;
pub use delta::{DeltaSink, DeltaSinkOptions};
pub use memory::MemorySink;

/// What of the result is written in each batch, as in Spark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// Rows that will never change, once.
    Append,
    /// Rows that are new or have changed.
    Update,
    /// The whole result, each time.
    Complete,
}

impl fmt::Display for OutputMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OutputMode::Append => "append",
            OutputMode::Update => "update",
            OutputMode::Complete => "complete",
        })
    }
}

impl FromStr for OutputMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "append" => Ok(OutputMode::Append),
            "update" => Ok(OutputMode::Update),
            "complete" => Ok(OutputMode::Complete),
            _ => Err(Error::sql(
                "STREAMING_OUTPUT_MODE.INVALID",
                format!("'{text}' is not an output mode"),
            )
            .hint("write 'append', 'update' or 'complete'")),
        }
    }
}

/// What a query's checkpoint remembers of its table, by which the table is known again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The table's identity; `None`: the query has not written into one yet, or by a program that did
    /// not note it.
    pub id: Option<String>,
    /// The newest batch that is done: a table must be there, and hold it.
    pub committed: Option<BatchId>,
    /// What a person has said of the table.
    pub accepted: Option<Accepted>,
}

/// That the table is right as it was found, though the checkpoint tells another story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The newest version of the table when that was said.
    pub version: u64,
    /// Up to this batch nothing is written into it again, whatever it holds.
    pub batch: Option<BatchId>,
}

impl Expected {
    /// Whether a person has said that this batch counts as written.
    pub fn is_accepted(&self, batch: Option<BatchId>) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| accepted.batch >= batch)
    }
}

/// The result of one batch, on its way into a sink.
#[derive(Debug, Clone)]
pub struct OutputBatch {
    /// The batch's number: its transaction.
    pub id: BatchId,
    /// The rows, with the schema that the sink was opened with. May be empty.
    pub rows: Vec<RecordBatch>,
    /// The watermark of the batch, in milliseconds: in update mode, rows whose event time is at or
    /// before it will not change any more. `None`: the query has no watermark.
    pub watermark: Option<Millis>,
}

/// The rows of a batch that are too many to be held at once, a part at a time.
pub type Parts<'a> = dyn Iterator<Item = Result<RecordBatch>> + 'a;

/// Where a query's result goes.
pub trait Sink: Send {
    /// What progress calls it: `DeltaSink[data/events]`.
    fn description(&self) -> String;

    /// The identity of the table that is written to, which another table at its place does not have;
    /// `None`: it has none.
    fn table_id(&self) -> Option<&str> {
        None
    }

    /// The newest batch of this query that the sink holds. Asked once, at start.
    fn newest_batch(&mut self) -> Result<Option<BatchId>>;

    /// Whether it still knows the newest batch after the process has ended; a console does not.
    fn remembers(&self) -> bool {
        true
    }

    /// Writes a batch. When this returns the rows are permanent, and visible to others.
    ///
    /// A batch that is already there is not written again; its rows must be those that are there
    /// (`BATCH_CHANGED`), as far as the sink can tell.
    fn write(&mut self, batch: &OutputBatch) -> Result<()>;

    /// Whether a result that is too large to be held at once can be written with
    /// [`Sink::write_parts`]. Where it cannot, it is held all the same.
    fn takes_parts(&self) -> bool {
        false
    }

    /// As [`Sink::write`], for a batch whose rows come a part at a time.
    fn write_parts(&mut self, _batch: BatchId, _parts: &mut Parts<'_>) -> Result<()> {
        Err(Error::internal("this sink takes a batch as a whole"))
    }
}
