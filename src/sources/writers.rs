//! What events tell about files that are being written: takes the events of a watch, says of a file,
//! by its name below the folder, what was done to it last. Knows only what happened while it watched, so it may know nothing; the
//! listing and the clock decide then.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

/// So many paths are remembered; when there are more they are forgotten, and files wait a little.
const MOST: usize = 10_000;

/// What was done to a file last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// Something was written to it, and it was not closed since.
    Written,
    /// It was closed by its writer.
    Closed,
    /// It came to its place under this name, with all that is in it.
    Moved,
}

/// What is known about the files of a folder, shared by a watch and a source.
#[derive(Debug, Clone, Default)]
pub struct Writers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    watching: bool,
    done: HashMap<PathBuf, Done>,
}

impl Writers {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on somebody tells what happens, or from now on nobody does.
    pub(super) fn watch(&self, watching: bool) {
        *self.lock() = Known { watching, done: HashMap::new() };
    }

    /// Whether somebody tells what happens.
    pub(super) fn is_watching(&self) -> bool {
        self.lock().watching
    }

    /// Something was done to a file.
    pub(super) fn note(&self, path: &Path, what: Done) {
        let mut known = self.lock();
        if known.done.len() >= MOST {
            known.done.clear();
        }
        known.done.insert(path.to_owned(), what);
    }

    /// What was done to a file last, as far as is known.
    pub(super) fn last(&self, path: &Path) -> Option<Done> {
        self.lock().done.get(path).copied()
    }

    /// The file is gone, or belongs to a batch: nobody asks about it again.
    pub(super) fn forget(&self, path: &Path) {
        self.lock().done.remove(path);
    }
}
