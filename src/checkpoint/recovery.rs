//! What to do next, from what `offsets/` and `commits/` hold.
//!
//! | found | meaning | what follows |
//! |---|---|---|
//! | nothing | a new query | batch 0 is planned |
//! | newest offsets N with its commit | stopped between batches | batch N+1 is planned |
//! | newest offsets N without its commit | died in batch N | batch N is run again, as decided |
//! | newest offsets N torn, no commit N | died while deciding batch N | set aside, N is planned |
//! | newest commit N torn | died while ending batch N | set aside, N is run again |
//! | a commit without its offsets, a gap, torn older files | something was removed | refused |
//!
//! Whether the sink already holds a batch is not known here: before it *plans* batch N, the caller
//! asks the sink, and refuses to go on if batch N or a later one is in it. (After a torn `offsets/N`
//! nobody could say what that batch had read.)

use std::path::Path;

use super::log::{BatchLog, Commit, Found, Offsets, WatermarkRow, corrupt};
use crate::batch::BatchId;
use crate::durable::Disk;
use crate::error::Result;
use crate::time::Millis;

/// So many batches stay in `offsets/` and `commits/` at least, as in Spark.
pub const RETAINED: u64 = 100;

/// How a query goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovery {
    /// Nothing has been decided yet: plan batch 0.
    Fresh,
    /// Plan the next batch.
    Continue {
        /// Its number. If the sink holds it or a later one, the checkpoint is not the sink's.
        next: BatchId,
        /// Its watermark.
        watermark: Watermark,
        /// The watermark of the batch before it: rows are late by that one.
        previous: Watermark,
        /// See [`Commit::no_data_batch_due`].
        no_data_batch_due: bool,
        /// The time of the batch before it, which it never falls behind.
        last_batch_time_ms: Millis,
    },
    /// Run a decided batch again.
    Rerun {
        /// Its number.
        batch: BatchId,
        /// What was decided.
        offsets: Offsets,
        /// The watermark of the batch before it: rows are late by that one.
        previous: Watermark,
    },
}

impl Recovery {
    /// The time of the newest batch that was decided: later ones are not before it, wherever the
    /// machine's clock has been set meanwhile. In milliseconds; 0: there is none.
    pub fn last_batch_time_ms(&self) -> Millis {
        match self {
            Recovery::Fresh => 0,
            Recovery::Continue { last_batch_time_ms, .. } => *last_batch_time_ms,
            Recovery::Rerun { offsets, .. } => offsets.batch_timestamp_ms,
        }
    }
}

/// A watermark, and the row that has set it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watermark {
    /// In milliseconds; `None`: the query has none.
    pub ms: Option<Millis>,
    /// `None`: no row has set it yet.
    pub row: Option<WatermarkRow>,
}

impl Offsets {
    /// The watermark that the batch runs with.
    pub fn watermark(&self) -> Watermark {
        Watermark { ms: self.batch_watermark_ms, row: self.watermark_row.clone() }
    }
}

/// The recovery table. Torn newest files are set aside on the way.
pub(super) fn recover(
    folder: &Path,
    disk: Disk,
    offsets: &mut BatchLog,
    commits: &mut BatchLog,
) -> Result<Recovery> {
    check_tail(folder, offsets, commits)?;
    let Some(newest) = offsets.newest() else { return Ok(Recovery::Fresh) };
    let decided = match offsets.read::<Offsets>(newest)? {
        Found::Whole(decided) => decided,
        Found::Missing => return Err(missing(folder, offsets, newest)),
        Found::Torn(why) if commits.newest() == Some(newest) => {
            return Err(torn(folder, offsets, newest, &why));
        }
        Found::Torn(why) => {
            offsets.set_aside(disk, newest, &why)?;
            let Some(before) = newest.checked_sub(1) else { return Ok(Recovery::Fresh) };
            let decided = require(folder, offsets, before)?;
            return after(folder, disk, offsets, commits, before, decided);
        }
    };
    after(folder, disk, offsets, commits, newest, decided)
}

/// What follows when `decided` is the newest decision, of batch `newest`.
fn after(
    folder: &Path,
    disk: Disk,
    offsets: &BatchLog,
    commits: &mut BatchLog,
    newest: BatchId,
    decided: Offsets,
) -> Result<Recovery> {
    if commits.newest() == Some(newest) {
        match commits.read::<Commit>(newest)? {
            Found::Whole(commit) => {
                return Ok(Recovery::Continue {
                    next: newest + 1,
                    watermark: Watermark {
                        ms: commit.next_batch_watermark_ms,
                        row: commit.next_watermark_row,
                    },
                    previous: decided.watermark(),
                    no_data_batch_due: commit.no_data_batch_due,
                    last_batch_time_ms: decided.batch_timestamp_ms,
                });
            }
            Found::Torn(why) => commits.set_aside(disk, newest, &why)?,
            Found::Missing => return Err(missing(folder, commits, newest)),
        }
    }
    let previous = match newest.checked_sub(1) {
        Some(before) => require(folder, offsets, before)?.watermark(),
        None => Watermark::default(),
    };
    Ok(Recovery::Rerun { batch: newest, offsets: decided, previous })
}

/// No commit without its offsets, and no gap among the batches that are always kept. (Before
/// those, a clean-up that a crash has cut short may leave some and remove others.)
fn check_tail(folder: &Path, offsets: &BatchLog, commits: &BatchLog) -> Result<()> {
    if let Some(committed) = commits.newest()
        && offsets.newest().is_none_or(|newest| newest < committed)
    {
        return Err(corrupt(
            folder,
            format!("commits/{committed} is there, offsets/{committed} is not"),
        ));
    }
    let Some(newest) = offsets.newest() else { return Ok(()) };
    for batch in (newest + 1).saturating_sub(RETAINED)..newest {
        for log in [offsets, commits] {
            if !log.batches().contains(&batch) {
                return Err(missing(folder, log, batch));
            }
        }
    }
    Ok(())
}

fn require(folder: &Path, offsets: &BatchLog, batch: BatchId) -> Result<Offsets> {
    match offsets.read(batch)? {
        Found::Whole(offsets) => Ok(offsets),
        Found::Missing => Err(missing(folder, offsets, batch)),
        Found::Torn(why) => Err(torn(folder, offsets, batch, &why)),
    }
}

fn missing(folder: &Path, log: &BatchLog, batch: BatchId) -> crate::error::Error {
    corrupt(
        folder,
        format!("{} is missing, though a later batch is there", log.path(batch).display()),
    )
}

fn torn(folder: &Path, log: &BatchLog, batch: BatchId, why: &str) -> crate::error::Error {
    corrupt(
        folder,
        format!("{} is not whole ({why}), though its batch was run", log.path(batch).display()),
    )
}
