//! Every decision of a query since batch 0: what a replay runs by.
//!
//! Takes the folder of a checkpoint, which a running query may hold at the same time; gives what was
//! decided for each batch that is done. Looks only: nothing is locked, set aside or removed.

use std::path::Path;

use super::history::{self, History};
use super::inspect::metadata;
use super::log::{BatchLog, Offsets};
use super::open::Provenance;
use super::pinned::Pinned;
use crate::batch::BatchId;
use crate::error::{Error, Result};

/// What a query has done, as its checkpoint tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The query's identity.
    pub query_id: String,
    /// Where its text stands.
    pub origin: Provenance,
    /// What was decided for each batch that is done, from batch 0 on.
    pub batches: Vec<Offsets>,
    pinned: Pinned,
}

impl Recording {
    /// Reads the checkpoint in `folder`.
    ///
    /// # Errors
    ///
    /// `PATH_NOT_FOUND`: it is no checkpoint. `CHECKPOINT_WITHOUT_TIMES`: an older version of the
    /// program has archived decisions without their times. `CHECKPOINT_CORRUPT`: one is missing.
    pub fn read(folder: &Path) -> Result<Self> {
        let metadata = metadata(folder)?;
        // Between two looks at it, a running query may move decisions into its history.
        let batches = decided(folder).or_else(|_| decided(folder))?;
        let (query_id, origin, pinned) = (metadata.id, metadata.origin, metadata.pinned);
        Ok(Self { query_id, origin, batches, pinned })
    }

    /// `CHECKPOINT_QUERY_CHANGED` unless a query with these facts could go on from `folder`, which
    /// this recording was read from.
    pub fn require_same(&self, now: &Pinned, folder: &Path) -> Result<()> {
        self.pinned.require_same(now, folder)
    }
}

fn decided(folder: &Path) -> Result<Vec<Offsets>> {
    let commits = BatchLog::list(folder, "commits")?;
    let offsets = BatchLog::list(folder, "offsets")?;
    let Some(newest) = commits.newest() else { return Ok(Vec::new()) };
    let (first, archived) = History::read(folder, 0)?;
    let recent = history::decisions(folder, &offsets, first.next.min(newest + 1), newest + 1)?;
    let sources = recent.first().map_or(0, |(_, offsets)| offsets.sources.len());
    let mut batches = Vec::with_capacity(archived.times.len() + recent.len());
    for (batch, times) in archived.times.into_iter().enumerate() {
        let (batch_timestamp_ms, batch_watermark_ms) =
            times.ok_or_else(|| without_times(folder, batch as BatchId))?;
        let sources = vec![None; sources];
        let times = Offsets { batch_watermark_ms, batch_timestamp_ms, ..Offsets::default() };
        batches.push(Offsets { sources, ..times });
    }
    for source in 0..sources {
        for (batch, take) in History::read(folder, source)?.1.takes {
            let decided = usize::try_from(batch).ok().and_then(|batch| batches.get_mut(batch));
            if let Some(place) = decided.and_then(|decided| decided.sources.get_mut(source)) {
                *place = Some(take);
            }
        }
    }
    batches.extend(recent.into_iter().map(|(_, offsets)| offsets));
    Ok(batches)
}

fn without_times(folder: &Path, batch: BatchId) -> Error {
    Error::input(
        "CHECKPOINT_WITHOUT_TIMES",
        format!(
            "the time of batch {batch} is not known: {} was kept by an older version of \
             strandline, which threw the times of old batches away",
            folder.display()
        ),
    )
    .hint(
        "the query can go on, but not be computed again; run it from the start in another project",
    )
}
