//! Delta checkpoints: the log summed up in one Parquet file now and then, off the hot path.
//!
//! A reader starts from the newest checkpoint and replays the commits after it. A checkpoint names
//! every live file, so it is written in the background, never two at once, and the more seldom the
//! more files there are. A commit is durable without it: an error here is a warning, told once and
//! kept for whoever asks, and the next turn tries again. No old log file is removed.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::durable::{self, Disk};
use crate::error::{Error, Result};
use crate::plan;

/// Writes checkpoints of one table in the background.
pub(super) struct Checkpoints {
    disk: Disk,
    table: PathBuf,
    /// The version of the newest checkpoint (or of the last try).
    newest: u64,
    running: Option<JoinHandle<Result<()>>>,
    error: Option<Error>,
}

impl Checkpoints {
    /// Starts counting at the newest checkpoint that the table has.
    pub fn of(disk: Disk, table: &Path) -> Self {
        let newest = durable::read(&table.join("_delta_log/_last_checkpoint"))
            .ok()
            .flatten()
            .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
            .and_then(|hint| hint.get("version")?.as_u64());
        Self { disk, table: table.into(), newest: newest.unwrap_or(0), running: None, error: None }
    }

    /// Called after each commit: starts a checkpoint of `version` where it is time for one.
    ///
    /// It is time after 100 commits, Spark's and delta-rs' habit, or after a tenth as many commits
    /// as there are live files, or a fiftieth as many as the log has: then a commit's share of the
    /// work is never more than the lines of ten files and the names of fifty commits, which are all
    /// listed for a checkpoint, and the commits that a reader replays are never more than a tenth of the
    /// table or a fiftieth of its log.
    pub fn after_commit(&mut self, version: u64, active: usize) {
        let every = 100.max(active as u64 / 10).max(version / 50);
        if version.saturating_sub(self.newest) < every {
            return;
        }
        if self.running.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        self.collect();
        self.newest = version;
        let (disk, table) = (self.disk, self.table.clone());
        let thread = std::thread::Builder::new().name("delta-checkpoint".into());
        match thread.spawn(move || write(disk, &table, version)) {
            Ok(running) => self.running = Some(running),
            Err(e) => self.error = Some(Error::io("start a checkpoint of", &self.table, e)),
        }
    }

    /// Waits for a checkpoint that is being written, and gives the newest error there was.
    pub fn finish(&mut self) -> Option<Error> {
        self.collect();
        self.error.take()
    }

    fn collect(&mut self) {
        let Some(thread) = self.running.take() else { return };
        let died = || Error::internal("a Delta checkpoint ended in a panic");
        self.error = thread.join().unwrap_or_else(|_| Err(died())).err();
        if let Some(error) = &self.error {
            tracing::warn!("{error}; the table is whole without it, readers only start slower");
        }
    }
}

/// A process that ends in order leaves no half-written checkpoint behind.
impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.collect();
    }
}

fn write(disk: Disk, table: &Path, version: u64) -> Result<()> {
    let uri = table.to_string_lossy();
    plan::wait_apart(async {
        let url = deltalake::ensure_table_uri(uri)?;
        let table = deltalake::open_table_with_version(url, version).await?;
        deltalake::checkpoints::create_checkpoint(&table, None).await
    })?
    .map_err(|e| Error::from(e).context(format!("a checkpoint of {}", table.display())))?;
    let log = table.join("_delta_log");
    disk.make_permanent(&log.join(format!("{version:020}.checkpoint.parquet")))?;
    disk.make_permanent(&log.join("_last_checkpoint"))
}
