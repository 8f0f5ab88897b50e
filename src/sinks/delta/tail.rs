//! The newest part of a table's log: what follows its newest Delta checkpoint.
//!
//! Takes a folder; gives the newest version and what the query itself has committed last, and refuses
//! a log with a file that is empty or not whole: a reader that takes it for an empty commit would build
//! on a table that never was.

use std::path::{Path, PathBuf};

use super::log::{commit_path, lines, torn};
use crate::batch::BatchId;
use crate::durable;
use crate::error::Result;

/// The newest commits of a table.
#[derive(Debug)]
pub(super) struct Tail {
    /// The newest version.
    pub version: u64,
    /// The version of the newest whole Delta checkpoint; the tail begins after it.
    pub checkpoint: Option<u64>,
    /// What the query has committed last, if that is in the tail.
    pub ours: Option<Ours>,
    /// The newest version after it that takes the table back to an older one.
    pub restored: Option<u64>,
}

/// The newest commit of a query.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    pub batch: BatchId,
    pub version: u64,
    pub digest: Option<String>,
}

impl Tail {
    /// Reads the tail of the log; `None`: there is no table.
    ///
    /// # Errors
    ///
    /// `DELTA_LOG_TORN`: a commit is empty, not whole, or missing between two others.
    pub fn read(table: &Path, app_id: &str) -> Result<Option<Self>> {
        let files = LogFiles::list(table)?;
        let checkpoint = files.whole_checkpoints(table).next_back();
        Self::after(table, app_id, &files, checkpoint)
    }

    /// The same, as if there were only Delta checkpoints before a version.
    pub fn read_from_before(table: &Path, app_id: &str, version: u64) -> Result<Option<Self>> {
        let files = LogFiles::list(table)?;
        let checkpoint = files.whole_checkpoints(table).rfind(|found| *found < version);
        Self::after(table, app_id, &files, checkpoint)
    }

    fn after(
        table: &Path,
        app_id: &str,
        files: &LogFiles,
        checkpoint: Option<u64>,
    ) -> Result<Option<Self>> {
        let Some(version) = files.commits.last().copied().max(checkpoint) else { return Ok(None) };
        let first = checkpoint.map_or(0, |version| version + 1);
        let mut tail = Self { version, checkpoint, ours: None, restored: None };
        for version in (first..=version).rev() {
            let path = commit_path(table, version);
            let Some(bytes) = durable::read(&path)? else {
                // A checkpoint of another form, which others have written, stands for what is gone.
                if files.other_checkpoints && version < tail.version {
                    break;
                }
                return Err(torn(&path, "it is missing, though a later version is there"));
            };
            tail.take_in(version, &bytes, &path, app_id)?;
        }
        Ok(Some(tail))
    }

    /// Takes in a commit; newer ones came before.
    fn take_in(&mut self, version: u64, bytes: &[u8], path: &Path, app_id: &str) -> Result<()> {
        let (mut batch, mut digest, mut restores) = (None, None, false);
        for line in lines(bytes, path)? {
            if let Some(transaction) = line.txn.filter(|txn| txn.app_id == app_id) {
                batch = BatchId::try_from(transaction.version).ok();
            }
            if let Some(info) = line.commit_info {
                restores = info.restores();
                digest = info.output_digest;
            }
        }
        if self.ours.is_none() {
            self.ours = batch.map(|batch| Ours { batch, version, digest });
            if restores && self.restored.is_none() {
                self.restored = Some(version);
            }
        }
        Ok(())
    }
}

/// What lies in `_delta_log`.
#[derive(Debug, Default)]
pub(super) struct LogFiles {
    /// The versions that have a file of their own, ascending.
    pub commits: Vec<u64>,
    /// The versions of the Delta checkpoints in one file, ascending.
    pub checkpoints: Vec<u64>,
    /// Whether there is a checkpoint of several files, or of another form.
    pub other_checkpoints: bool,
}

impl LogFiles {
    /// Lists the log of a table.
    pub fn list(table: &Path) -> Result<Self> {
        let mut files = Self::default();
        for name in durable::names(&table.join("_delta_log"))? {
            let Some((digits, rest)) = name.split_at_checked(20) else { continue };
            let Ok(version) = digits.parse() else { continue };
            match rest {
                ".json" => files.commits.push(version),
                ".checkpoint.parquet" => files.checkpoints.push(version),
                other => files.other_checkpoints |= other.starts_with(".checkpoint."),
            }
        }
        files.commits.sort_unstable();
        files.checkpoints.sort_unstable();
        Ok(files)
    }

    /// Whether there is a table at all.
    pub fn is_table(&self) -> bool {
        !self.commits.is_empty() || !self.checkpoints.is_empty() || self.other_checkpoints
    }

    fn whole_checkpoints(&self, table: &Path) -> impl DoubleEndedIterator<Item = u64> {
        let whole = |version: &&u64| ends_as_parquet(&checkpoint_path(table, **version));
        self.checkpoints.iter().filter(whole).copied()
    }
}

/// Where the Delta checkpoint of a version is.
pub(super) fn checkpoint_path(table: &Path, version: u64) -> PathBuf {
    table.join("_delta_log").join(format!("{version:020}.checkpoint.parquet"))
}

/// Whether a file ends as a Parquet file does; one that was cut short, or never written, does not.
pub(super) fn ends_as_parquet(path: &Path) -> bool {
    use std::io::{Read, Seek, SeekFrom};
    let mut end = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-4))?;
        file.read_exact(&mut end)
    });
    read.is_ok() && &end == b"PAR1"
}
