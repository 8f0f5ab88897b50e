//! Sources: `input/` → batches.
//!
//! A source *takes* a place (a folder of files, a Delta table) and *gives* Arrow batches, in two
//! moves that a crash may part: [`Source::next`] says what the next batch would take, as JSON that
//! the engine writes into `offsets/N`; [`Source::read`] reads what such a decision says, today or
//! after a restart, always the same rows. A source *never* remembers anything on disk, never
//! prints, and never loses a line in silence: what is not a row comes back as a [`BadRecord`].

mod bytes;
mod csv;
pub mod delta;
mod delta_log;
pub mod files;
mod format;
mod glob;
pub mod json;
mod listing;
mod options;
mod parquet;
mod pieces;
mod places;
pub mod still;
mod taken;
mod text;
mod time_forms;
pub mod watch;
pub mod whole;
pub mod writers;

pub use taken::{Taken, taken_files};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::time::SharedClock;

pub use places::{Place, Places};
pub use writers::Writers;

/// What one batch takes from one source, as `offsets/N` holds it: file names, or versions.
pub type Take = serde_json::Value;

/// How much of what is there the next batch may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// As much as the source's own options allow (`maxFilesPerTrigger` …).
    Limited,
    /// Everything: the trigger `once` ignores the limits, as in Spark.
    Everything,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is no record of the format: nothing of it became a value.
    Corrupt,
    /// A value has not the type of its column, and the mode lets such lines fall.
    Mistyped,
    /// Text stands behind the record, which was read.
    Surplus,
}

/// A line that is not a row, or not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRecord {
    /// What kind of flaw it has.
    pub flaw: Flaw,
    /// The number in this read of the row that stands for it, which is all NULLs where the line is
    /// corrupt; `None`: it gave no row.
    pub row: Option<u64>,
    /// The file, as the user would name it.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: u64,
    /// Offset of the line's first byte in the file.
    pub offset: u64,
    /// What is wrong with it, in words.
    pub reason: String,
    /// The line as it is, without its line end.
    pub raw: Vec<u8>,
}

/// What a batch read from one source.
#[derive(Debug, Clone, Default)]
pub struct SourceRead {
    /// The rows, in the order of the files and lines, with the columns that were asked for.
    pub batches: Vec<RecordBatch>,
    /// The lines that are no rows.
    pub bad: Vec<BadRecord>,
    /// The rows that had a value of the wrong type, which is NULL now.
    pub mistyped: Vec<Mistyped>,
    /// Where each row stands.
    pub places: Places,
}

/// A row with a value that has not the type of its column, and is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistyped {
    /// Its number in this read.
    pub row: u64,
    /// The column, the first if several are concerned; `None`: the record has another number of
    /// values than the table has columns.
    pub column: Option<Arc<str>>,
}

impl SourceRead {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Puts what was read after this behind it.
    pub fn append(&mut self, mut after: SourceRead) {
        let shift = self.places.rows();
        after.bad.iter_mut().filter_map(|bad| bad.row.as_mut()).for_each(|row| *row += shift);
        after.mistyped.iter_mut().for_each(|mistyped| mistyped.row += shift);
        self.batches.append(&mut after.batches);
        self.bad.append(&mut after.bad);
        self.mistyped.append(&mut after.mistyped);
        self.places.append(after.places);
    }
}

/// A folder to be watched.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The folder; all below it is meant too.
    pub folder: PathBuf,
    /// Who is told which files are being written.
    pub writers: Writers,
}

/// Where a stream comes from.
pub trait Source: Send {
    /// What progress calls it: `FileStreamSource[input/events]`.
    fn description(&self) -> String;

    /// All columns that [`Source::project`] can ask for: those of the table, nullable, times in
    /// microseconds UTC; and behind them the hidden one that a folder of files has.
    fn schema(&self) -> SchemaRef;

    /// Reads only these columns of the full schema from now on, in this order. What a query does
    /// not need is neither decoded nor checked, as in Spark.
    fn project(&mut self, columns: &[usize]) -> Result<()>;

    /// From now on nothing that arrives later is taken: `available-now` has a last batch.
    fn freeze(&mut self) -> Result<()>;

    /// What the next batch would take; `None`: there is nothing new. Decides nothing.
    fn next(&mut self, admit: Admit) -> Result<Option<Take>>;

    /// `take` belongs to a batch now, decided by this run or by an earlier one: it is never
    /// offered again.
    fn decided(&mut self, take: &Take) -> Result<()>;

    /// Reads what a batch took.
    fn read(&mut self, take: &Take) -> Result<SourceRead>;

    /// All that the rows of a take depend on besides the take: of two sources that say the same, one
    /// can read for both. `None`: that is not known.
    fn reads_as(&self) -> Option<String> {
        None
    }

    /// The rows at these places of a take, whole and as JSON, whatever columns were asked for: a
    /// line of JSON as it is. In the order of `places`; `None` where there is none.
    fn whole_rows(&mut self, take: &Take, places: &[Place]) -> Result<Vec<Option<String>>>;

    /// A later batch than that of `take` is decided: what it took is never read again. By default
    /// nothing happens.
    fn done(&mut self, _take: &Take) -> Result<()> {
        Ok(())
    }

    /// From now on what may still be being written is waited for, by this clock. By default nothing
    /// ever is.
    fn keep_time(&mut self, _clock: SharedClock) {}

    /// How long to wait before asking again, since something is there that may still be being
    /// written; by the last [`Source::next`] or [`Source::freeze`]. After a freeze it is waited for
    /// once. `None`: there is no such thing.
    fn waits(&self) -> Option<Duration> {
        None
    }

    /// The folder to watch so that new data is seen at once; `None`: only polling helps.
    fn watched(&self) -> Option<Watched>;
}
