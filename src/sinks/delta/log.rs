//! The Delta log of one table, as its writer sees it: a version counter and put-if-absent.
//!
//! A commit is one file, `_delta_log/<version>.json`, that comes to be whole or not at all. The
//! writer knows the newest version because it wrote it, so a commit lists nothing, loads nothing
//! and costs the same at version 10 and at 100,000. Only where the name is taken has somebody else
//! committed: then their commits are read, one file each, and the next free version is tried.
//!
//! An entry is its own proof: each try has another text. So where a put answers an error or that the
//! name is taken, what lies there tells whether it is ours. If it is, and the disk has not confirmed it,
//! the attempt ends with an error: to call the batch done would be wrong if a power cut then took the
//! entry away, and to sync the same open folder once more says nothing after a sync that failed. The
//! next attempt begins from the disk: it finds the batch in the log, opens what it leans on anew, syncs
//! it, and only then calls the batch done.

use std::path::{Path, PathBuf};

use deltalake::kernel::{Add, Remove, Transaction};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::durable::{self, Disk};
use crate::error::{Error, Result};
use crate::sinks::OutputMode;

/// A data file that a version of the table holds.
#[derive(Debug, Clone)]
pub(super) struct LiveFile {
    pub path: String,
    pub size: i64,
    pub stats: Option<String>,
}

impl LiveFile {
    /// A file that another commit added. A writer that replaces files must be able to take its
    /// rows as they stand in it.
    fn of(add: Add, mode: OutputMode) -> Result<Self> {
        if add.deletion_vector.is_some() && mode != OutputMode::Append {
            return Err(deletion_vector(&add.path));
        }
        Ok(add.into())
    }
}

impl From<Add> for LiveFile {
    fn from(add: Add) -> Self {
        Self { path: add.path, size: add.size, stats: add.stats }
    }
}

/// Rows of a file were deleted in another file, which this writer does not read.
pub(super) fn deletion_vector(path: &str) -> Error {
    Error::sink(
        "DELTA_UNSUPPORTED_DELETION_VECTOR",
        format!("rows of {path} were deleted by another program with a deletion vector"),
    )
    .hint("run REORG TABLE … APPLY (PURGE) on the table and start again")
}

/// What one commit of somebody else did, as far as it concerns us.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    pub added: Vec<LiveFile>,
    pub removed: Vec<String>,
    pub transactions: Vec<Transaction>,
}

/// What a commit says about itself, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommitInfo {
    pub operation: Option<String>,
    /// See [`super::digest`].
    pub output_digest: Option<String>,
}

impl CommitInfo {
    /// Whether the commit takes the table back to an older version.
    pub fn restores(&self) -> bool {
        self.operation.as_deref() == Some("RESTORE")
    }
}

/// What the metadata of a table begins with.
#[derive(Debug, Deserialize)]
pub(super) struct TableIdentity {
    pub id: String,
}

/// One line of a commit; what is not named here does not concern a writer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub add: Option<Add>,
    pub remove: Option<Remove>,
    pub txn: Option<Transaction>,
    pub commit_info: Option<CommitInfo>,
    pub meta_data: Option<TableIdentity>,
    protocol: Option<IgnoredAny>,
}

/// The writer's end of a table's log.
pub(super) struct Log {
    disk: Disk,
    table: PathBuf,
    mode: OutputMode,
    /// The newest version that is known.
    version: u64,
    table_id: String,
}

impl Log {
    /// The log of a table whose newest version is known.
    pub fn at(disk: Disk, table: &Path, mode: OutputMode, version: u64, table_id: String) -> Self {
        Self { disk, table: table.to_path_buf(), mode, version, table_id }
    }

    /// The newest version that is known.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The table's identity, made when it was created.
    pub fn table_id(&self) -> &str {
        &self.table_id
    }

    /// Puts an entry at the next version. `Ok(false)`: somebody else has that version.
    pub fn put(&mut self, entry: &[u8]) -> Result<bool> {
        // One look at the version before: a table that was deleted (and perhaps made anew) under a
        // running query would otherwise get a commit behind a gap, which no reader ever sees.
        let newest = commit_path(&self.table, self.version);
        if !newest.exists() {
            return Err(Error::sink(
                "DELTA_TABLE_REPLACED",
                format!(
                    "{} is gone: the table was deleted or replaced while the query ran",
                    newest.display()
                ),
            )
            .hint("restore the table, or start the query anew with another checkpoint"));
        }
        let path = commit_path(&self.table, self.version + 1);
        let is_ours = || matches!(durable::read(&path), Ok(Some(there)) if there == entry);
        match self.disk.create(&path, entry) {
            Ok(true) => {}
            // A file system over a network can do a link, lose its answer, and do it again.
            Ok(false) if is_ours() => self.disk.make_permanent(&path)?,
            Ok(false) => return Ok(false),
            Err(error) if is_ours() => return Err(unconfirmed(&path, error)),
            Err(error) => return Err(error),
        }
        self.version += 1;
        Ok(true)
    }

    /// Reads the commits after the newest known version; afterwards they are known, all of them
    /// or (where one is not acceptable) none.
    pub fn catch_up(&mut self) -> Result<Vec<Foreign>> {
        let mut commits = Vec::new();
        loop {
            let version = self.version + 1 + commits.len() as u64;
            let path = commit_path(&self.table, version);
            let Some(bytes) = durable::read(&path)? else {
                self.version = version - 1;
                return Ok(commits);
            };
            let mut commit = Foreign::default();
            for line in lines(&bytes, &path)? {
                if line.protocol.is_some() {
                    return Err(changed("DELTA_PROTOCOL_CHANGED", "protocol", &path, version));
                }
                if line.commit_info.is_some_and(|info| info.restores()) {
                    return Err(restored(&self.table, version));
                }
                if line.meta_data.is_some() {
                    return Err(changed("DELTA_METADATA_CHANGED", "metadata", &path, version));
                }
                if let Some(add) = line.add {
                    commit.added.push(LiveFile::of(add, self.mode)?);
                }
                commit.removed.extend(line.remove.map(|r| r.path));
                commit.transactions.extend(line.txn);
            }
            commits.push(commit);
        }
    }
}

fn unconfirmed(path: &Path, error: Error) -> Error {
    let what = format!(
        "{} is there, but the disk has not confirmed that it stays: {}",
        path.display(),
        error.message()
    );
    Error::storage("DELTA_COMMIT_UNCONFIRMED", what)
        .hint("start again: what is in the table's log then decides, and no batch is written twice")
        .caused_by(error)
}

/// The table was taken back to an older version.
pub(super) fn restored(table: &Path, version: u64) -> Error {
    Error::sink(
        "SINK_REWOUND",
        format!(
            "version {version} of {} has taken the table back to an older version (RESTORE)",
            table.display()
        ),
    )
    .hint(
        "the rows of some batches are gone, and the checkpoint goes on after them: go on without \
         them with `strandline checkpoint repair CHECKPOINT --accept-sink`, or start over with \
         --start-over",
    )
}

fn changed(condition: &'static str, what: &str, path: &Path, version: u64) -> Error {
    Error::sink(
        condition,
        format!(
            "version {version} changed the table's {what} while the query ran ({})",
            path.display()
        ),
    )
    .hint("start the query again: it then checks the table as it is now")
}

/// The lines of a whole commit; a file that is not one is named.
pub(super) fn lines(bytes: &[u8], path: &Path) -> Result<Vec<Line>> {
    let lines = bytes
        .split(|&b| b == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .map(|line| serde_json::from_slice(line).map_err(|e| torn(path, e)))
        .collect::<Result<Vec<Line>>>()?;
    if lines.is_empty() { Err(torn(path, "it is empty")) } else { Ok(lines) }
}

/// A commit that is not whole.
pub(super) fn torn(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::sink("DELTA_LOG_TORN", format!("{} is not a whole commit: {why}", path.display())).hint(
        "a power cut can leave such a file; where it is the newest one, \
             `strandline checkpoint repair` moves it aside, else bring it back from a copy",
    )
}

/// Where the commit of a version is.
pub(super) fn commit_path(table: &Path, version: u64) -> PathBuf {
    table.join("_delta_log").join(format!("{version:020}.json"))
}
