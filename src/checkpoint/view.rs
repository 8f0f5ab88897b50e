//! A checkpoint as one looks at it from outside, also while another process runs the query.
//!
//! Takes the folder, gives what was decided and done at one moment. Nothing is locked, made or changed by
//! looking. The files of a batch never change once they are there, but old ones are removed: where one
//! goes while it is looked for, the look begins anew.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::history::History;
use super::log::{self, BatchLog, Commit, Found, Offsets};
use super::open::{METADATA, METADATA_KIND, Metadata};
use super::progress;
use crate::batch::BatchId;
use crate::durable::Lock;
use crate::error::{Error, Result};
use crate::progress::StreamingQueryProgress;

/// So often a look begins anew before it gives up.
const LOOKS: usize = 5;

/// What a checkpoint says.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The query's identity.
    pub query_id: String,
    /// Whether a process runs the query.
    pub is_running: bool,
    /// What was decided for the batches that are still told one by one: all that is newer, and one more
    /// than is done where a batch is under way.
    pub offsets: BTreeMap<BatchId, Offsets>,
    /// The newest batch that is done, and how it ended.
    pub newest_commit: Option<(BatchId, Commit)>,
    /// What each source gave, with the batch; batches that took nothing from it are left out. Of a source
    /// that goes on from its newest decision, older ones may be missing.
    pub takes: Vec<Vec<(BatchId, Value)>>,
    /// The reports of the newest batches, oldest first.
    pub progress: Vec<StreamingQueryProgress>,
}

impl View {
    /// The checkpoint in a folder; `None`: the query has never been started.
    ///
    /// # Errors
    ///
    /// `CHECKPOINT_CORRUPT`, `CHECKPOINT_FORMAT`, or the disk says no.
    pub fn read(folder: &Path) -> Result<Option<View>> {
        let query_id = match log::read::<Metadata>(&folder.join(METADATA), METADATA_KIND)? {
            Found::Whole(metadata) => metadata.id,
            Found::Missing => return Ok(None),
            Found::Torn(why) => {
                return Err(log::corrupt(folder, format!("{METADATA} is not whole ({why})")));
            }
        };
        for _ in 0..LOOKS {
            if let Some(view) = Self::look(folder, &query_id)? {
                return Ok(Some(view));
            }
        }
        Err(Error::in_use(
            "CHECKPOINT_CHANGES",
            format!("{} changed faster than it could be read", folder.display()),
        )
        .hint("try again"))
    }

    /// `None`: a file went away meanwhile.
    fn look(folder: &Path, query_id: &str) -> Result<Option<View>> {
        // What is done first: what was decided for it is there then.
        let commits = BatchLog::list(folder, "commits")?;
        let decided = BatchLog::list(folder, "offsets")?;
        let mut newest_commit = None;
        for &batch in commits.batches().iter().rev() {
            match commits.read::<Commit>(batch)? {
                Found::Whole(commit) => {
                    newest_commit = Some((batch, commit));
                    break;
                }
                // Torn by a crash: the batch will be run again.
                Found::Torn(_) => {}
                Found::Missing => return Ok(None),
            }
        }
        let end = newest_commit.as_ref().map_or(0, |(batch, _)| batch + 1);
        let mut offsets = BTreeMap::new();
        for &batch in decided.batches().range(..=end) {
            match decided.read::<Offsets>(batch)? {
                Found::Whole(found) => drop(offsets.insert(batch, found)),
                Found::Torn(_) if batch == end => {}
                Found::Torn(why) => {
                    let what = format!("{} is not whole ({why})", decided.path(batch).display());
                    return Err(log::corrupt(folder, what));
                }
                Found::Missing => return Ok(None),
            }
        }
        let mut progress = progress::read(folder)?;
        progress.retain(|report| report.batch_id < end);
        let sources = offsets.values().next_back().map_or(0, |offsets| offsets.sources.len());
        let takes = (0..sources).map(|source| takes(folder, source, &offsets));
        Ok(Some(View {
            query_id: query_id.to_owned(),
            is_running: Lock::is_held(&folder.join("LOCK")),
            takes: takes.collect::<Result<_>>()?,
            offsets,
            newest_commit,
            progress,
        }))
    }

    /// Whether a batch has been decided or done since.
    pub fn is_outdated(&self, folder: &Path) -> Result<bool> {
        let newest = |name| Ok::<_, Error>(BatchLog::list(folder, name)?.newest());
        let known = self.offsets.keys().next_back().copied();
        Ok(newest("offsets")? != known || newest("commits")? != self.done())
    }

    /// The newest batch that is done.
    pub fn done(&self) -> Option<BatchId> {
        self.newest_commit.as_ref().map(|(batch, _)| *batch)
    }

    /// A batch that is decided and not done: under way, or where the process died.
    pub fn under_way(&self) -> Option<(BatchId, &Offsets)> {
        let next = self.done().map_or(0, |batch| batch + 1);
        self.offsets.get(&next).map(|offsets| (next, offsets))
    }
}

/// What a source gave to all batches, told one by one or archived.
fn takes(
    folder: &Path,
    source: usize,
    offsets: &BTreeMap<BatchId, Offsets>,
) -> Result<Vec<(BatchId, Value)>> {
    let (history, archive) = History::read(folder, source)?;
    let mut takes = archive.takes;
    let newer = offsets.range(history.next..);
    takes.extend(
        newer.filter_map(|(&batch, decided)| Some((batch, decided.clone().take_of(source)?))),
    );
    Ok(takes)
}
