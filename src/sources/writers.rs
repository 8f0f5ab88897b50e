//! What events tell about files that are being written: takes the events of a watch, says of a path
//! whether somebody has it open for writing, or has moved it whole to its place. Knows only what
//! happened while it watched, so it may say nothing; the listing and the clock decide then.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashSet;

/// So many paths are remembered of each kind; more is forgotten, which makes files wait a little.
const MOST: usize = 10_000;

/// Paths that are being written, shared by a watch and a source.
#[derive(Debug, Clone, Default)]
pub struct Writers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    open: HashSet<PathBuf>,
    moved: HashSet<PathBuf>,
}

impl Writers {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody writes to this file.
    pub(super) fn writes(&self, path: &Path) {
        remember(&mut self.lock().open, path);
    }

    /// Nobody writes to it any more: it was closed, or is gone.
    pub(super) fn ended(&self, path: &Path) {
        self.lock().open.remove(path);
    }

    /// It came to its place under this name, with all that is in it.
    pub(super) fn moved(&self, path: &Path) {
        let mut known = self.lock();
        known.open.remove(path);
        remember(&mut known.moved, path);
    }

    /// Whether the file is open for writing, as far as is known.
    pub(super) fn is_open(&self, path: &Path) -> bool {
        self.lock().open.contains(path)
    }

    /// Whether the file was moved to its place, as far as is known.
    pub(super) fn was_moved(&self, path: &Path) -> bool {
        self.lock().moved.contains(path)
    }

    /// The file belongs to a batch: nobody asks about it again.
    pub(super) fn forget(&self, path: &Path) {
        let mut known = self.lock();
        known.open.remove(path);
        known.moved.remove(path);
    }
}

fn remember(paths: &mut HashSet<PathBuf>, path: &Path) {
    if paths.len() >= MOST {
        paths.clear();
    }
    paths.insert(path.to_owned());
}
