//! A checkpoint as it lies on the disk, file by file, damaged or not: what `checkpoint show` and
//! `checkpoint fsck` tell.
//!
//! Takes a folder; gives what each file is; refuses nothing and changes nothing. Which of it is a fault
//! is judged elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::history::History;
use super::log::{self, BatchLog, Commit, Found, Offsets};
use super::open::{METADATA, METADATA_KIND, Metadata, Provenance};
use super::pinned::Pinned;
use super::tables::{KnownTable, Role};
use crate::batch::BatchId;
use crate::durable::{self, Lock};
use crate::error::{Error, Result};

/// What a checkpoint holds.
#[derive(Debug)]
pub struct Inspection {
    /// Who the query is.
    pub identity: Identity,
    /// What is decided, by batch.
    pub offsets: BTreeMap<BatchId, Piece<Offsets>>,
    /// What is done, by batch.
    pub commits: BTreeMap<BatchId, Piece<Commit>>,
    /// The histories of the sources, in the order of the query text.
    pub histories: Vec<Piece<Past>>,
    /// Who holds the lock, in its own words; `None`: nobody.
    pub holder: Option<String>,
    /// Files that a death has left under hidden names.
    pub leftovers: Vec<PathBuf>,
    /// Files that were set aside since they could not be used.
    pub set_aside: Vec<PathBuf>,
}

/// `metadata.json`.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The query's identity.
    pub id: String,
    /// The program that has opened the checkpoint last.
    pub engine_version: String,
    /// The facts that may not change.
    pub pinned: Pinned,
    /// Where its text stands.
    pub origin: Provenance,
    /// What is known of its tables.
    pub tables: BTreeMap<Role, KnownTable>,
}

/// What a source gave to batches whose decisions are no longer kept one by one.
#[derive(Debug, Default)]
pub struct Past {
    /// The first batch that is not in it.
    pub next: BatchId,
    /// The takes, with their batches.
    pub takes: Vec<(BatchId, Value)>,
}

/// A file, whole or not.
#[derive(Debug)]
pub enum Piece<T> {
    /// Whole.
    Whole(T),
    /// Not whole; in words, why.
    Torn(String),
}

impl<T> Piece<T> {
    /// What is in it, if it is whole.
    pub fn whole(&self) -> Option<&T> {
        match self {
            Piece::Whole(value) => Some(value),
            Piece::Torn(_) => None,
        }
    }

    /// Why it cannot be used, if it is not whole.
    pub fn torn(&self) -> Option<&str> {
        match self {
            Piece::Whole(_) => None,
            Piece::Torn(why) => Some(why),
        }
    }
}

impl Inspection {
    /// Reads the checkpoint in a folder, also while a process holds it: what is written meanwhile may
    /// or may not be in it.
    ///
    /// # Errors
    ///
    /// `PATH_NOT_FOUND`: it is none. `CHECKPOINT_CORRUPT`: nobody can say whose it is.
    /// `CHECKPOINT_FORMAT`: a newer program wrote it.
    pub fn read(folder: &Path) -> Result<Self> {
        let identity = identity(folder)?;
        let holder = Lock::is_held(&folder.join("LOCK")).then(|| {
            let text = durable::read(&folder.join("LOCK")).ok().flatten().unwrap_or_default();
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        // What is done first: what was decided for it is there then.
        let commits = pieces(&BatchLog::list(folder, "commits")?)?;
        let offsets: BTreeMap<BatchId, Piece<Offsets>> =
            pieces(&BatchLog::list(folder, "offsets")?)?;
        let newest = offsets.values().rev().find_map(Piece::whole);
        let sources = newest.map_or(0, |offsets| offsets.sources.len());
        let histories = (0..sources).map(|source| past(folder, source)).collect::<Result<_>>()?;
        let (mut leftovers, mut set_aside) = (vec![], vec![]);
        for part in ["", "offsets", "commits", "sources"] {
            let folder = if part.is_empty() { folder.to_path_buf() } else { folder.join(part) };
            for name in durable::names(&folder)? {
                if durable::is_temporary(&name) {
                    leftovers.push(folder.join(name));
                } else if name.ends_with(".bad") || name.contains(".bad.") {
                    set_aside.push(folder.join(name));
                }
            }
        }
        Ok(Self { identity, offsets, commits, histories, holder, leftovers, set_aside })
    }

    /// The newest batch that was decided, whether its file is whole or not.
    pub fn newest_decided(&self) -> Option<BatchId> {
        self.offsets.keys().next_back().copied()
    }

    /// The newest batch that is done: whose file is whole.
    pub fn newest_done(&self) -> Option<BatchId> {
        self.commits
            .iter()
            .rev()
            .find(|(_, piece)| piece.whole().is_some())
            .map(|(batch, _)| *batch)
    }

    /// Everything that a source gave, with the batches.
    pub fn takes(&self, source: usize) -> Vec<(BatchId, &Value)> {
        let past = self.histories.get(source).and_then(Piece::whole);
        let next = past.map_or(0, |past| past.next);
        let archived = past.into_iter().flat_map(|past| &past.takes).map(|(b, take)| (*b, take));
        let recent = self.offsets.range(next..).filter_map(|(batch, piece)| {
            Some((*batch, piece.whole()?.sources.get(source)?.as_ref()?))
        });
        archived.chain(recent).collect()
    }
}

/// Who the query of a checkpoint is.
fn identity(folder: &Path) -> Result<Identity> {
    let metadata = metadata(folder)?;
    let Metadata { id, engine_version, pinned, origin, tables, .. } = metadata;
    Ok(Identity { id, engine_version, pinned, origin, tables })
}

fn pieces<T: serde::de::DeserializeOwned>(log: &BatchLog) -> Result<BTreeMap<BatchId, Piece<T>>> {
    let mut pieces = BTreeMap::new();
    for &batch in log.batches() {
        match log.read(batch)? {
            Found::Whole(value) => drop(pieces.insert(batch, Piece::Whole(value))),
            Found::Torn(why) => drop(pieces.insert(batch, Piece::Torn(why))),
            // Removed meanwhile: it is in the history.
            Found::Missing => {}
        }
    }
    Ok(pieces)
}

fn past(folder: &Path, source: usize) -> Result<Piece<Past>> {
    match History::read(folder, source) {
        Ok((history, archive)) => {
            Ok(Piece::Whole(Past { next: history.next, takes: archive.takes }))
        }
        Err(error) if error.condition() == "CHECKPOINT_CORRUPT" => {
            Ok(Piece::Torn(error.message().to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// The facts that the checkpoint in `folder` holds a query to; `None`: there is no checkpoint, or
/// it cannot be read, which opening it will tell.
pub fn pinned_facts(folder: &Path) -> Option<Pinned> {
    match log::read::<Metadata>(&folder.join(METADATA), METADATA_KIND) {
        Ok(Found::Whole(metadata)) => Some(metadata.pinned),
        _ => None,
    }
}

/// The identity of the checkpoint in `folder`.
pub(super) fn metadata(folder: &Path) -> Result<Metadata> {
    match log::read(&folder.join(METADATA), METADATA_KIND)? {
        Found::Whole(metadata) => Ok(metadata),
        Found::Torn(why) => Err(log::corrupt(folder, format!("{METADATA} is not whole ({why})"))),
        Found::Missing if !durable::names(&folder.join("offsets"))?.is_empty() => {
            Err(log::corrupt(folder, format!("{METADATA} is missing, but offsets/ is not empty")))
        }
        Found::Missing => Err(Error::usage(
            "PATH_NOT_FOUND",
            format!("{} is no checkpoint: it has no {METADATA}", folder.display()),
        )
        .hint("name a folder under checkpoints/")),
    }
}
