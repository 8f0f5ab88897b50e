//! The files that belong to a batch: takes each as it is decided, says of a name whether it is one
//! of them, and of a file whether it is one that was moved since. Also looks whether the newest of
//! them are still as they were read, for what is appended to them later is not read.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

use crate::sources::listing::{self, Look};
use crate::sources::taken::Taken;

/// So many of the newest files are looked at again.
const WATCHED: usize = 1_000;

/// The files of all batches, by their names below the folder.
pub(super) struct Seen {
    /// Whether the last part of a name is all that counts.
    name_only: bool,
    names: HashSet<Arc<OsStr>>,
    hasher: DefaultHashBuilder,
    /// For each file, by what it is itself (see [`Seen::itself`]), the name that it had.
    moved_from: HashMap<u64, Arc<OsStr>>,
    /// The newest files, as they were read.
    newest: VecDeque<Taken>,
}

impl Seen {
    pub fn new(name_only: bool) -> Self {
        Self {
            name_only,
            names: HashSet::new(),
            hasher: DefaultHashBuilder::default(),
            moved_from: HashMap::new(),
            newest: VecDeque::new(),
        }
    }

    /// A file belongs to a batch now. Its path is that below the folder.
    pub fn add(&mut self, file: Taken) {
        let whole: Arc<OsStr> = file.path.as_os_str().into();
        let key = key(self.name_only, &file.path);
        let name = if key == &*whole { whole.clone() } else { key.into() };
        self.names.insert(name);
        if let Some(itself) = self.itself(&file) {
            self.moved_from.insert(itself, whole);
        }
        if self.newest.len() == WATCHED {
            self.newest.pop_front();
        }
        self.newest.push_back(file);
    }

    /// Whether a file of this name belongs to a batch.
    pub fn has(&self, name: &Path) -> bool {
        self.names.contains(key(self.name_only, name))
    }

    /// Whether this file, whatever it is called now, belongs to a batch under a name that is no
    /// longer there: it was moved. Gives that name, and takes the new one as known.
    pub fn moved(&mut self, folder: &Path, file: &Taken) -> Option<PathBuf> {
        let before = self.moved_from.get(&self.itself(file)?)?;
        let before = PathBuf::from(&**before);
        // Where the old name is still there, this is a second name (a link): Spark reads it too.
        if !matches!(listing::look_at(folder, before.clone()), Look::Gone) {
            return None;
        }
        self.names.insert(key(self.name_only, &file.path).into());
        Some(before)
    }

    /// What makes a file itself and no other, though its name changes; `None`: that is not known.
    /// The time of its birth is in it, since numbers of inodes are given again.
    fn itself(&self, file: &Taken) -> Option<u64> {
        let identity = file.identity?;
        Some(self.hasher.hash_one((identity.inode, identity.born, file.size, file.mtime)))
    }

    /// Of the newest files those that are no longer as they were read: something was written to
    /// them or over them. Each is given once. One that is gone is no matter.
    pub fn changed(&mut self, folder: &Path) -> Vec<Taken> {
        let (mut same, mut changed) = (VecDeque::with_capacity(self.newest.len()), vec![]);
        for file in std::mem::take(&mut self.newest) {
            match listing::look_at(folder, file.path.clone()) {
                Look::File(now) if now.taken().differs(&file) => changed.push(now.taken()),
                Look::File(_) => same.push_back(file),
                Look::Gone | Look::NoFile(_) => {}
            }
        }
        self.newest = same;
        changed
    }
}

/// What tells one name from another.
fn key(name_only: bool, name: &Path) -> &OsStr {
    match name.file_name() {
        Some(file) if name_only => file,
        _ => name.as_os_str(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_written_to_a_file_after_it_was_read_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut seen = Seen::new(false);
        for name in ["appended", "as it was", "gone"] {
            fs::write(path(name), "{}").unwrap();
            let Look::File(found) = listing::look_at(folder.path(), name.into()) else { panic!() };
            seen.add(found.taken());
        }
        assert!(seen.changed(folder.path()).is_empty());
        fs::write(path("appended"), "{}{}").unwrap();
        fs::remove_file(path("gone")).unwrap();
        let changed = seen.changed(folder.path());
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].path, Path::new("appended"));
        assert!(seen.changed(folder.path()).is_empty());
    }
}
