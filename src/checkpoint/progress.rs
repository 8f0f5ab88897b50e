//! What the newest batches did: `checkpoints/<query>/progress`, one line of JSON a batch.
//!
//! Takes the report of each batch, gives back those of the newest ones, to whoever asks why. It is for
//! people and decides nothing: it is not synced, a line that a crash has torn is left out, and a report
//! that cannot be written ends no batch. Once the file is large it becomes `progress.old`, in the place of
//! the one before; so the size stays bounded, and a batch costs one line.

use std::path::{Path, PathBuf};

use crate::durable::{self, Disk, Durability};
use crate::error::Result;
use crate::progress::StreamingQueryProgress;

/// From this size on, in bytes, a new file is begun.
const LARGE: usize = 1024 * 1024;

const NEW: &str = "progress";
const OLD: &str = "progress.old";

/// The log of one query, written by the process that runs it.
#[derive(Debug)]
pub struct ProgressLog {
    folder: PathBuf,
    bytes: usize,
    /// What a crash has left has no end of line.
    torn: bool,
    failed: bool,
}

impl ProgressLog {
    /// The log in a checkpoint's folder, which need not hold one yet.
    pub fn open(checkpoint: &Path) -> Result<Self> {
        let bytes = durable::read(&checkpoint.join(NEW))?.unwrap_or_default();
        let torn = bytes.last().is_some_and(|last| *last != b'\n');
        Ok(Self { folder: checkpoint.to_owned(), bytes: bytes.len(), torn, failed: false })
    }

    /// Adds the report of a batch. What goes wrong is said once, and is no error of the batch.
    pub fn add(&mut self, progress: &StreamingQueryProgress) {
        if let Err(error) = self.append(progress)
            && !std::mem::replace(&mut self.failed, true)
        {
            tracing::warn!("{error}; `strandline why` will know less of these batches");
        }
    }

    fn append(&mut self, progress: &StreamingQueryProgress) -> Result<()> {
        let path = self.folder.join(NEW);
        if self.bytes > LARGE {
            durable::move_file(&path, &self.folder.join(OLD))?;
            (self.bytes, self.torn) = (0, false);
        }
        let mut line = if self.torn { "\n".to_owned() } else { String::new() };
        line += &serde_json::to_string(progress).unwrap_or_default();
        line.push('\n');
        Disk::new(Durability::Fast).append(&path, line.as_bytes())?;
        self.bytes += line.len();
        self.torn = false;
        Ok(())
    }
}

/// The reports that are kept, oldest first; of a batch that was reported twice, the newer one.
pub fn read(checkpoint: &Path) -> Result<Vec<StreamingQueryProgress>> {
    let mut reports: Vec<StreamingQueryProgress> = Vec::new();
    for name in [OLD, NEW] {
        let bytes = durable::read(&checkpoint.join(name))?.unwrap_or_default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Ok(report) = serde_json::from_slice::<StreamingQueryProgress>(line) else {
                continue;
            };
            reports.retain(|other| other.batch_id < report.batch_id);
            reports.push(report);
        }
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(batch_id: u64, name: &str) -> StreamingQueryProgress {
        StreamingQueryProgress { batch_id, name: name.into(), ..Default::default() }
    }

    fn batches(folder: &Path) -> Vec<u64> {
        read(folder).unwrap().iter().map(|report| report.batch_id).collect()
    }

    #[test]
    fn a_torn_line_is_left_out_and_the_next_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NEW);
        ProgressLog::open(folder.path()).unwrap().add(&report(0, "q"));
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"batchId\":1,\"na");
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(batches(folder.path()), [0]);
        ProgressLog::open(folder.path()).unwrap().add(&report(1, "q"));
        assert_eq!(batches(folder.path()), [0, 1]);
    }

    #[test]
    fn it_never_grows_beyond_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = ProgressLog::open(folder.path()).unwrap();
        let long = "x".repeat(200_000);
        (0..40).for_each(|batch| log.add(&report(batch, &long)));
        let size = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
        assert!(size(NEW) + size(OLD) < 3 * LARGE as u64);
        let kept = batches(folder.path());
        assert_eq!(kept.last(), Some(&39));
        assert!(kept.windows(2).all(|pair| pair[1] == pair[0] + 1), "{kept:?}");
    }
}
