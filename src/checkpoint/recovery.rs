//! What to do next, from what `offsets/` and `commits/` hold, and what the sink holds.
//!
//! `o` is the newest decided batch, `c` the newest that is done, `t` the newest that the sink holds.
//!
//! | found | meaning | what follows |
//! |---|---|---|
//! | nothing, `t` none | a new query | batch 0 is planned |
//! | `o = c = t` | stopped between batches | batch `o+1` is planned |
//! | `o = c+1`, `t = c` | died in batch `o`, before its output | `o` is run again, as decided |
//! | `o = c+1`, `t = o` | died after the output | the same; the sink compares, and writes nothing |
//! | `offsets/o` torn, no commit, `t = o-1` | died while deciding | set aside, `o` is planned |
//! | `offsets/o` torn, `t >= o` | nobody knows what the sink holds | refused: `CHECKPOINT_CORRUPT` |
//! | `commits/c` torn, `o = c` | died while ending batch `c` | set aside, `c` is run again |
//! | `t > o` | the checkpoint is an older copy, or lost | refused: `SINK_AHEAD` |
//! | `t < c` | the table was set back, or lost commits | refused: `SINK_BEHIND` |
//! | a commit without its offsets, a gap, torn older files | something was removed | refused: `CHECKPOINT_CORRUPT` |
//!
//! Two more rows are judged before this, when the table is opened (`sinks/delta/open.rs`): another
//! table at its place (`SINK_OTHER_TABLE`), and a log with a torn commit (`DELTA_LOG_TORN`). Nothing is
//! set aside before everything has been judged: a refusal leaves the disk as it was.
//!
//! What is built on is made permanent first: the process that wrote it may have died between writing
//! it and having it confirmed, and a power cut must not take away what later files lean on.

use std::path::Path;

use super::log::{BatchLog, Commit, Found, Offsets, WatermarkRow, corrupt};
use crate::batch::BatchId;
use crate::durable::Disk;
use crate::error::{Error, Result};
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

/// What the sink says of the query's batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// What the sink is called.
    pub sink: String,
    /// The newest batch that it holds, or that counts as held.
    pub newest: Option<BatchId>,
    /// The newest batch of which it holds something: rejected rows are written before the result.
    pub begun: Option<BatchId>,
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

/// The recovery table. Torn newest files are set aside on the way. `held`: what the sink says; `None`:
/// it is one that remembers nothing.
pub(super) fn recover(
    folder: &Path,
    disk: Disk,
    offsets: &mut BatchLog,
    commits: &mut BatchLog,
    held: Option<&Held>,
) -> Result<Recovery> {
    check_tail(folder, offsets, commits)?;
    let Some(newest) = offsets.newest() else {
        check_held(held, None, None)?;
        return Ok(Recovery::Fresh);
    };
    match offsets.read::<Offsets>(newest)? {
        Found::Whole(decided) => after(folder, disk, offsets, commits, newest, decided, held),
        Found::Missing => Err(missing(folder, offsets, newest)),
        Found::Torn(why) if commits.newest() == Some(newest) => {
            Err(torn(folder, offsets, newest, &why))
        }
        Found::Torn(why) if held.is_some_and(|held| held.begun >= Some(newest)) => {
            let what = format!(
                "{} is not whole ({why}), and the sink holds its batch: what that batch has read \
                 cannot be known",
                offsets.path(newest).display()
            );
            Err(corrupt(folder, what))
        }
        Found::Torn(why) => {
            let Some(before) = newest.checked_sub(1) else {
                check_held(held, None, None)?;
                offsets.set_aside(disk, newest, &why)?;
                return Ok(Recovery::Fresh);
            };
            let decided = require(folder, offsets, before)?;
            let recovery = after(folder, disk, offsets, commits, before, decided, held)?;
            offsets.set_aside(disk, newest, &why)?;
            Ok(recovery)
        }
    }
}

/// What follows when `decided` is the newest decision, of batch `newest`.
fn after(
    folder: &Path,
    disk: Disk,
    offsets: &BatchLog,
    commits: &mut BatchLog,
    newest: BatchId,
    decided: Offsets,
    held: Option<&Held>,
) -> Result<Recovery> {
    disk.make_permanent(&offsets.path(newest))?;
    if commits.newest() == Some(newest) {
        match commits.read::<Commit>(newest)? {
            Found::Whole(commit) => {
                check_held(held, Some(newest), Some(newest))?;
                disk.make_permanent(&commits.path(newest))?;
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
            Found::Torn(why) => {
                check_held(held, newest.checked_sub(1), Some(newest))?;
                commits.set_aside(disk, newest, &why)?;
            }
            Found::Missing => return Err(missing(folder, commits, newest)),
        }
    }
    let before = newest.checked_sub(1);
    check_held(held, before, Some(newest))?;
    let previous = match before {
        Some(before) => require(folder, offsets, before)?.watermark(),
        None => Watermark::default(),
    };
    Ok(Recovery::Rerun { batch: newest, offsets: decided, previous })
}

/// Sink and checkpoint must tell the same story: the sink holds each batch that is done, and none that
/// was not decided.
fn check_held(
    held: Option<&Held>,
    committed: Option<BatchId>,
    decided: Option<BatchId>,
) -> Result<()> {
    let Some(Held { sink, newest, begun }) = held else { return Ok(()) };
    let show = |batch: Option<BatchId>| match batch {
        None => "none".to_owned(),
        Some(batch) => format!("batch {batch}"),
    };
    if *begun > decided {
        let what = format!(
            "{sink} holds {} of this query, but the newest that the checkpoint knows is {}",
            show(*begun),
            show(decided)
        );
        return Err(Error::sink("SINK_AHEAD", what).hint(
            "the checkpoint was lost or is an older copy: bring the newer one back; or go on from the \
             older one with `strandline checkpoint repair CHECKPOINT --accept-sink`, which reads again \
             what it does not know; or start over with --start-over",
        ));
    }
    if *newest < committed {
        let first = newest.map_or(0, |batch| batch + 1);
        let what = format!(
            "the checkpoint says that {} is done, but the newest that {sink} holds is {}: {} missing",
            show(committed),
            show(*newest),
            match committed {
                Some(last) if last > first => format!("the batches {first} to {last} are"),
                _ => format!("batch {first} is"),
            }
        );
        return Err(Error::sink("SINK_BEHIND", what).hint(
            "the table was set back, replaced, or lost its newest commits: bring it back; or read again \
             what it lacks with `strandline checkpoint repair CHECKPOINT --roll-back`; or go on without \
             it with --accept-sink; or start over with --start-over",
        ));
    }
    Ok(())
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
