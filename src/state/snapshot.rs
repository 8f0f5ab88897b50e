//! A snapshot that is being written while batches go on.
//!
//! Takes a table as it was at one moment; gives the file's size once it is there. Whoever does not
//! wait for it stops it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::StateShape;
use super::file::Everything;
use crate::batch::BatchId;
use crate::durable::Disk;
use crate::error::{Error, Result};

/// A snapshot on its way to the disk.
pub(super) struct Writing {
    /// The batch after which it is.
    pub(super) batch: BatchId,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Option<u64>>>>,
}

impl Writing {
    /// Begins to write the snapshot after a batch.
    pub(super) fn begin(
        everything: Everything,
        disk: Disk,
        path: PathBuf,
        batch: BatchId,
        shape: StateShape,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let write = move || everything.write(disk, &path, batch, &shape, &stopped);
        let thread = thread::Builder::new()
            .name(format!("snapshot {batch}"))
            .spawn(write)
            .map_err(|e| Error::limit("NO_THREAD", format!("cannot start a thread: {e}")))?;
        Ok(Self { batch, stop, thread: Some(thread) })
    }

    /// Whether it is there, or has failed.
    pub(super) fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for it; gives the file's size.
    pub(super) fn finish(mut self) -> Result<u64> {
        let panicked =
            || Error::internal("the thread that writes a snapshot of state has panicked");
        let Some(thread) = self.thread.take() else { return Err(panicked()) };
        thread.join().map_err(|_| panicked())??.ok_or_else(panicked)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
