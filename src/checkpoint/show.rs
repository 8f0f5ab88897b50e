//! A checkpoint for people: read only, without the lock, also while the query runs.

use std::path::Path;

use super::history::History;
use super::log::{self, BatchLog, Commit, Found, Offsets, corrupt};
use super::open::{METADATA, METADATA_KIND, Metadata};
use super::pinned::Pinned;
use crate::batch::BatchId;
use crate::error::{Error, Result};
use crate::time::Millis;

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The query's identity.
    pub query_id: String,
    /// The version of the program that made the checkpoint.
    pub engine_version: String,
    /// The facts that may not change.
    pub pinned: Pinned,
    /// The newest batch that was decided, and what was; `None`: there is none, or its file is torn.
    pub newest_offsets: Option<(BatchId, Offsets)>,
    /// The newest batch that is done.
    pub newest_commit: Option<BatchId>,
    /// The watermark of the next batch.
    pub watermark_ms: Option<Millis>,
    /// How many batches are archived for each source, in the order of the query text.
    pub archived_batches: Vec<BatchId>,
}

/// The facts that the checkpoint in `folder` holds a query to; `None`: there is no checkpoint, or
/// it cannot be read, which opening it will tell.
pub fn pinned_facts(folder: &Path) -> Option<Pinned> {
    match log::read::<Metadata>(&folder.join(METADATA), METADATA_KIND) {
        Ok(Found::Whole(metadata)) => Some(metadata.pinned),
        _ => None,
    }
}

/// What the checkpoint in `folder` says at this moment. Nothing is changed by looking.
pub fn summary(folder: &Path) -> Result<Summary> {
    let metadata = metadata(folder)?;
    let offsets = BatchLog::list(folder, "offsets")?;
    let commits = BatchLog::list(folder, "commits")?;
    let newest_offsets = match offsets.newest() {
        Some(batch) => whole::<Offsets>(offsets.read(batch)?).map(|offsets| (batch, offsets)),
        None => None,
    };
    let newest_commit = commits.newest();
    let watermark_ms = match newest_commit {
        Some(batch) => {
            whole::<Commit>(commits.read(batch)?).and_then(|commit| commit.next_batch_watermark_ms)
        }
        None => None,
    };
    let sources = newest_offsets.as_ref().map_or(0, |(_, offsets)| offsets.sources.len());
    let archived_batches = (0..sources)
        .map(|source| Ok(History::read(folder, source)?.0.next))
        .collect::<Result<_>>()?;
    Ok(Summary {
        query_id: metadata.id,
        engine_version: metadata.engine_version,
        pinned: metadata.pinned,
        newest_offsets,
        newest_commit,
        watermark_ms,
        archived_batches,
    })
}

/// The identity of the checkpoint in `folder`.
pub(super) fn metadata(folder: &Path) -> Result<Metadata> {
    match log::read(&folder.join(METADATA), METADATA_KIND)? {
        Found::Whole(metadata) => Ok(metadata),
        Found::Torn(why) => Err(corrupt(folder, format!("{METADATA} is not whole ({why})"))),
        Found::Missing => Err(Error::input(
            "PATH_NOT_FOUND",
            format!("{} is no checkpoint: it has no {METADATA}", folder.display()),
        )
        .hint("name a folder under checkpoints/")),
    }
}

fn whole<T>(found: Found<T>) -> Option<T> {
    match found {
        Found::Whole(value) => Some(value),
        Found::Missing | Found::Torn(_) => None,
    }
}
