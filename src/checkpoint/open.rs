//! The folder of a query's decisions, opened by the one process that runs the query.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::history::{self, History};
use super::log::{self, BatchLog, Commit, Found, Offsets, corrupt};
use super::pinned::Pinned;
use super::recovery::{self, Held, RETAINED, Recovery};
use super::tables::{KnownTable, Role};
use crate::batch::BatchId;
use crate::durable::{Disk, FORMAT_VERSION, Lock, names};
use crate::error::{Error, Result};

/// `metadata.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    /// The query's identity, random: the application id of its transactions in the sink.
    pub(super) id: String,
    pub(super) format_version: u32,
    /// The program that has opened the checkpoint last: who cannot read it is told whom to ask.
    pub(super) engine_version: String,
    pub(super) pinned: Pinned,
    #[serde(default)]
    pub(super) origin: Provenance,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tables: BTreeMap<Role, KnownTable>,
}

/// Where the text of a query stands, for who has nothing but its checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The name of the streaming table.
    #[serde(default)]
    pub query: String,
    /// The pipeline file of the newest start: relative to the project if it lies below it. `None`:
    /// a program made the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PathBuf>,
}

const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) const METADATA: &str = "metadata.json";
pub(super) const METADATA_KIND: &str = "metadata";

/// `checkpoints/<query>/`, held by this process until it is dropped.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    disk: Disk,
    metadata: Metadata,
    is_new: bool,
    offsets: BatchLog,
    commits: BatchLog,
    /// The histories that [`Checkpoint::clean`] has written to, by source.
    histories: BTreeMap<usize, History>,
    lock: Lock,
}

impl Checkpoint {
    /// Opens the checkpoint in `folder`, or makes it, with a random query id and these facts.
    ///
    /// # Errors
    ///
    /// `CHECKPOINT_LOCKED`: another process runs the query. `CHECKPOINT_QUERY_CHANGED`: the
    /// checkpoint was made with other facts, and has decided a batch since. `CHECKPOINT_CORRUPT`: the identity is gone, the
    /// decisions are there.
    pub fn open(folder: &Path, disk: Disk, pinned: &Pinned) -> Result<Checkpoint> {
        disk.create_folder(folder)?;
        let lock = lock(folder)?;
        let path = folder.join(METADATA);
        let (metadata, is_new) = match log::read::<Metadata>(&path, METADATA_KIND)? {
            Found::Whole(mut metadata) => {
                let is_free = metadata.pinned != *pinned && nothing_decided(folder)?;
                if is_free {
                    metadata.pinned = pinned.clone();
                }
                metadata.pinned.require_same(pinned, folder)?;
                if is_free || metadata.engine_version != ENGINE_VERSION {
                    metadata.engine_version = ENGINE_VERSION.to_owned();
                    disk.replace(&path, &log::sealed(METADATA_KIND, &metadata)?)?;
                }
                if nothing_decided(folder)? {
                    // Who made the checkpoint may have died before its place was permanent.
                    disk.make_permanent(&path)?;
                    disk.make_permanent(folder)?;
                }
                (metadata, false)
            }
            Found::Torn(why) => {
                return Err(corrupt(folder, format!("{METADATA} is not whole ({why})")));
            }
            Found::Missing => (create(folder, disk, pinned)?, true),
        };
        disk.remove_temporaries(folder)?;
        for name in ["offsets", "commits"] {
            disk.create_folder(&folder.join(name))?;
            disk.remove_temporaries(&folder.join(name))?;
        }
        Ok(Checkpoint {
            folder: folder.to_path_buf(),
            disk,
            metadata,
            is_new,
            offsets: BatchLog::list(folder, "offsets")?,
            commits: BatchLog::list(folder, "commits")?,
            histories: BTreeMap::new(),
            lock,
        })
    }

    /// The query's identity: random, kept as long as the checkpoint is.
    pub fn query_id(&self) -> &str {
        &self.metadata.id
    }

    /// Writes down where the query's text stands, unless the checkpoint says so already.
    pub fn note_origin(&mut self, origin: Provenance) -> Result<()> {
        if self.metadata.origin == origin {
            return Ok(());
        }
        self.metadata.origin = origin;
        self.write_metadata()
    }

    /// Whether this call of [`Checkpoint::open`] made it.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// An error unless this process is still the only one that may write here.
    ///
    /// # Errors
    ///
    /// `CHECKPOINT_TAKEN_OVER`: the file that this process has locked is not there any more. Whoever
    /// made a new one may run the query, and has perhaps done what was about to be done here.
    pub fn require_owned(&self) -> Result<()> {
        if self.lock.is_ours() {
            return Ok(());
        }
        let lock = self.folder.join("LOCK");
        Err(Error::in_use(
            "CHECKPOINT_TAKEN_OVER",
            format!("{} was removed or replaced while this process held it", lock.display()),
        )
        .hint("make sure that no other process runs the query, then start again"))
    }

    /// Whether the process that held it before was cut off: it neither ended nor failed.
    pub fn was_cut_off(&self) -> bool {
        self.lock.was_cut_off()
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is known of one of the query's tables. Before a batch is decided nothing is held to it.
    pub fn table(&self, role: Role) -> KnownTable {
        match self.offsets.newest() {
            None => KnownTable::default(),
            Some(_) => self.metadata.tables.get(&role).cloned().unwrap_or_default(),
        }
    }

    /// Writes down the identity of a table, unless it is known. To be called before the first batch that
    /// writes into it is decided.
    pub fn note_table(&mut self, role: Role, id: &str) -> Result<()> {
        let known = self.metadata.tables.entry(role).or_default();
        if known.id.as_deref() == Some(id) {
            return Ok(());
        }
        known.id = Some(id.to_owned());
        self.write_metadata()
    }

    /// The newest batch that is done.
    pub fn newest_commit(&self) -> Option<BatchId> {
        self.commits.newest()
    }

    fn write_metadata(&self) -> Result<()> {
        let sealed = log::sealed(METADATA_KIND, &self.metadata)?;
        self.disk.replace(&self.folder.join(METADATA), &sealed)
    }

    /// How the query goes on; see [`recovery`] for the table. Torn newest files
    /// are set aside as `<N>.bad`. `held`: what the sink holds; `None`: it remembers nothing.
    pub fn recovery(&mut self, held: Option<&Held>) -> Result<Recovery> {
        recovery::recover(&self.folder, self.disk, &mut self.offsets, &mut self.commits, held)
    }

    /// What a source gave to every batch, in order; batches that took nothing from it are left out.
    /// Ask after [`Checkpoint::recovery`].
    pub fn history(&self, source: usize) -> Result<Vec<Value>> {
        let (history, archived) = History::read(&self.folder, source)?;
        let end = self.offsets.newest().map_or(0, |newest| newest + 1);
        let decisions = history::decisions(&self.folder, &self.offsets, history.next, end)?;
        let archived = archived.takes.into_iter().map(|(_, take)| take);
        Ok(archived
            .chain(decisions.into_iter().filter_map(|(_, mut d)| d.take_of(source)))
            .collect())
    }

    /// Fixes a batch: from here on it will read this, however often it is run.
    ///
    /// # Errors
    ///
    /// `CONCURRENT_STREAM_LOG_UPDATE`: the batch is fixed already.
    pub fn write_offsets(&mut self, batch: BatchId, offsets: &Offsets) -> Result<()> {
        self.require_owned()?;
        self.offsets.write(self.disk, batch, offsets)
    }

    /// Ends a batch: it will not be run again.
    ///
    /// # Errors
    ///
    /// `CONCURRENT_STREAM_LOG_UPDATE`: the batch was ended already.
    pub fn write_commit(&mut self, batch: BatchId, commit: &Commit) -> Result<()> {
        self.require_owned()?;
        self.commits.write(self.disk, batch, commit)
    }

    /// Removes the decisions of all but the newest hundred batches, once there are two hundred;
    /// before that, does nothing at no cost, so it can be called after every batch. What they took
    /// goes into the history of each of the query's sources, of which there are so many.
    pub fn clean(&mut self, sources: usize) -> Result<()> {
        let (Some(newest), Some(&oldest)) = (self.offsets.newest(), self.offsets.batches().first())
        else {
            return Ok(());
        };
        if newest - oldest + 1 < 2 * RETAINED {
            return Ok(());
        }
        // One more than is always needed: the newest may yet turn out to be torn.
        let end = newest - RETAINED;
        for source in 0..sources {
            // Taken out while it is written: after an error it is read from the disk again.
            let mut history = match self.histories.remove(&source) {
                Some(history) => history,
                // Who wrote it may have died before the disk had confirmed it.
                None => History::confirmed(&self.folder, self.disk, source)?,
            };
            if history.next < end {
                let decided = history::decisions(&self.folder, &self.offsets, history.next, end)?;
                history.append(self.disk, end, decided, source)?;
            }
            self.histories.insert(source, history);
        }
        self.offsets.remove_before(self.disk, end)?;
        self.commits.remove_before(self.disk, end)
    }
}

/// Whether no batch has ever been decided here: then the query may still be changed, since the facts
/// protect nothing yet. (A first start can fail after this, at its sink, or meet no data.)
fn nothing_decided(folder: &Path) -> Result<bool> {
    for name in ["offsets", "commits", "sources"] {
        if !names(&folder.join(name))?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the identity of a new checkpoint, in a folder that must not hold decisions of an old one.
fn create(folder: &Path, disk: Disk, pinned: &Pinned) -> Result<Metadata> {
    for name in ["offsets", "commits", "sources", "state"] {
        if !names(&folder.join(name))?.is_empty() {
            return Err(corrupt(
                folder,
                format!("{METADATA} is missing, but {name}/ is not empty"),
            ));
        }
    }
    let metadata = Metadata {
        id: uuid::Uuid::new_v4().to_string(),
        format_version: FORMAT_VERSION,
        engine_version: ENGINE_VERSION.to_owned(),
        pinned: pinned.clone(),
        origin: Provenance::default(),
        tables: BTreeMap::new(),
    };
    let bytes = log::sealed(METADATA_KIND, &metadata)?;
    if disk.create(&folder.join(METADATA), &bytes)? {
        Ok(metadata)
    } else {
        Err(Error::in_use(
            "CONCURRENT_STREAM_LOG_UPDATE",
            format!("another process has just made {}", folder.display()),
        )
        .hint("start again"))
    }
}

/// The lock, or who has it.
pub(super) fn lock(folder: &Path) -> Result<Lock> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "this machine" } else { host.trim() };
    let me = format!("process {} on {host}\n", std::process::id());
    Lock::take(&folder.join("LOCK"), &me)?.map_err(|holder| {
        let holder = if holder.is_empty() { "another process".to_string() } else { holder };
        Error::in_use("CHECKPOINT_LOCKED", format!("{} is in use by {holder}", folder.display()))
            .hint(
                "stop that process, or wait for its end, then start again; the lock goes with it, \
             there is nothing to remove",
            )
    })
}
