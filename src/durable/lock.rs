//! One owner at a time: a file that is locked as long as a process lives.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::fault;

/// A file that one process holds until it lets go or dies, however it dies.
///
/// The operating system keeps the lock, the file only says who holds it; so nothing is left behind
/// that somebody would have to remove. Whoever lets go empties the file: a name in it that nobody
/// holds is that of a process that was cut off.
#[derive(Debug)]
pub struct Lock {
    held: File,
    path: PathBuf,
    was_cut_off: bool,
}

impl Lock {
    /// Takes the lock, within a moment or not at all, and writes into the file who holds it.
    /// `Ok(Err(holder))`: it is held by another, who wrote this about itself.
    pub fn take(path: &Path, holder: &str) -> Result<Result<Lock, String>> {
        let mut open = OpenOptions::new();
        open.create(true).read(true).write(true).truncate(false);
        let opened = fault::before("write", path).and_then(|()| open.open(path));
        let mut file = opened.map_err(|e| Error::io("open", path, e))?;
        if !try_for_a_moment(&file).map_err(|e| Error::io("lock", path, e))? {
            let mut other = String::new();
            let _ = file.read_to_string(&mut other);
            return Ok(Err(other.trim().to_string()));
        }
        let before = file.metadata().map_err(|e| Error::io("read", path, e))?.len();
        file.set_len(0)
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(|e| Error::io("write", path, e))?;
        Ok(Ok(Lock { held: file, path: path.to_owned(), was_cut_off: before > 0 }))
    }

    /// Whether the file that is held is still the one of that name. If not, somebody removed it
    /// or put another in its place, and another process may believe that it is the only one.
    pub fn is_ours(&self) -> bool {
        match (self.held.metadata(), std::fs::metadata(&self.path)) {
            (Ok(held), Ok(named)) => is_same(&held, &named),
            _ => false,
        }
    }

    /// Whether the one who held it before was cut off, and never let go.
    pub fn was_cut_off(&self) -> bool {
        self.was_cut_off
    }

    /// Whether a process holds the lock at this moment. Nothing is written, and who is just about to
    /// take it is held up for less than it waits.
    pub fn is_held(path: &Path) -> bool {
        let lock = File::open(path).map(|file| file.try_lock_shared());
        matches!(lock, Ok(Err(TryLockError::WouldBlock)))
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Other systems do not let a file be removed that is held open.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock itself goes with the file, whatever comes of this.
        let _ = self.held.set_len(0);
    }
}

/// Tries for a fifth of a second: a process that was killed holds its locks until the system has
/// taken it down, and whoever starts its successor at once should not be told that it still runs.
fn try_for_a_moment(file: &File) -> io::Result<bool> {
    for _ in 0..20 {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
    Ok(false)
}
