//! The only place that makes a file permanent.
//!
//! A crash, and a power cut too, may fall between any two instructions. So a file that matters
//! comes to be in one step, under its final name, whole: it is written under a hidden name, synced,
//! linked or renamed to its name, and the folder is synced after it. A file of the checkpoint also
//! carries its own proof in its first line (see [`sealed`]), so that half a file, or an empty one,
//! is never read as if it were whole.
//!
//! Takes bytes and a path; gives a file that survives; never decides what is written or when.
//! Before each call it passes a point at which a test can make it fail (see [`crate::fault`]).

mod lock;
pub mod sealed;
mod streamed;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub use lock::Lock;
pub use sealed::{FORMAT_VERSION, SealError, seal, unseal};
pub use streamed::open_sealed;

use crate::error::{Error, Result};
use crate::fault;

/// How much a committed batch survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Files and folders are synced: survives a power cut.
    #[default]
    Full,
    /// Nothing is synced: survives the death of the process, not of the machine.
    Fast,
}

/// The way to the disk. Cheap to copy; every part that writes is handed one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk {
    durability: Durability,
}

/// Distinguishes temporary files of one process.
static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

impl Disk {
    /// A disk with this durability.
    pub fn new(durability: Durability) -> Self {
        Self { durability }
    }

    /// Makes a file that did not exist. `Ok(false)`: the name is taken, and nothing was changed.
    ///
    /// This is put-if-absent: of several writers, in any processes, one gets `true`.
    pub fn create(&self, path: &Path, bytes: &[u8]) -> Result<bool> {
        let temporary = self.write_temporary(path, bytes)?;
        let linked = fault::before("link", path).and_then(|()| fs::hard_link(&temporary, path));
        let _ = fs::remove_file(&temporary);
        match linked {
            Ok(()) => {
                self.sync_parent(path)?;
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(Error::io("create", path, e)),
        }
    }

    /// Makes a file, or replaces the one of that name; a reader sees the old one or the new one.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = self.write_temporary(path, bytes)?;
        self.put_in_place(&temporary, path)
    }

    /// Gives a file that is whole its name.
    fn put_in_place(&self, temporary: &Path, path: &Path) -> Result<()> {
        let renamed = fault::before("rename", path).and_then(|()| fs::rename(temporary, path));
        renamed.map_err(|e| {
            let _ = fs::remove_file(temporary);
            Error::io("rename to", path, e)
        })?;
        self.sync_parent(path)
    }

    /// Syncs a file that a library wrote under a name nobody reads yet, and its folder.
    pub fn make_permanent(&self, path: &Path) -> Result<()> {
        if self.durability == Durability::Full {
            fault::before("sync", path)
                .and_then(|()| File::open(path)?.sync_all())
                .map_err(|e| Error::io("sync", path, e))?;
        }
        self.sync_parent(path)
    }

    /// Makes a folder and those above it.
    pub fn create_folder(&self, path: &Path) -> Result<()> {
        if !path.is_dir() {
            if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                self.create_folder(parent)?;
            }
            match fault::before("make-folder", path).and_then(|()| fs::create_dir(path)) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => {
                    return Err(Error::io("create the folder", path, e));
                }
                _ => {}
            }
        }
        // Also one that was there: who made it may have died before its name was permanent.
        self.sync_parent(path)
    }

    /// Adds bytes to the end of a file, making it where it is missing.
    ///
    /// An append is not one step: a crash can leave a part of it, which the reader of the file has
    /// to recognise (a sealed record does).
    pub fn append(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let is_new = !path.exists();
        let appended = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|file| self.write_all("append", &file, path, bytes));
        appended.map_err(|e| Error::io("append to", path, e))?;
        if is_new { self.sync_parent(path) } else { Ok(()) }
    }

    /// Removes a file that is not needed any more; one that is not there is as good.
    pub fn remove(&self, path: &Path) -> Result<()> {
        match fault::before("remove", path).and_then(|()| fs::remove_file(path)) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io("remove", path, e)),
        }
    }

    /// Removes the temporary files that a death has left in a folder. Only for who alone writes there.
    pub fn remove_temporaries(&self, folder: &Path) -> Result<()> {
        for name in names(folder)?.iter().filter(|name| is_temporary(name)) {
            self.remove(&folder.join(name))?;
        }
        Ok(())
    }

    /// Gives a file that cannot be used the name `<name>.bad`, or `<name>.bad.2` … where that is
    /// taken, so that a person can look at it; gives the new path.
    pub fn set_aside(&self, path: &Path) -> Result<PathBuf> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
        let mut aside = path.with_file_name(format!("{name}.bad"));
        let mut number = 2;
        while aside.exists() {
            aside = path.with_file_name(format!("{name}.bad.{number}"));
            number += 1;
        }
        fault::before("rename", path)
            .and_then(|()| fs::rename(path, &aside))
            .map_err(|e| Error::io("rename", path, e))?;
        self.sync_parent(&aside)?;
        Ok(aside)
    }

    fn write_temporary(&self, path: &Path, bytes: &[u8]) -> Result<PathBuf> {
        let temporary = temporary(path);
        let written =
            File::create(&temporary).and_then(|file| self.write_all("write", &file, path, bytes));
        written.map_err(|e| {
            let _ = fs::remove_file(&temporary);
            Error::io("write", path, e)
        })?;
        Ok(temporary)
    }

    /// Writes and syncs. Who is made to die at the point `call` leaves half of the bytes.
    fn write_all(
        &self,
        call: &'static str,
        mut file: &File,
        path: &Path,
        bytes: &[u8],
    ) -> io::Result<()> {
        let half = if fault::is_planned() { bytes.len() / 2 } else { 0 };
        let (first, second) = bytes.split_at(half);
        file.write_all(first)?;
        fault::before(call, path)?;
        file.write_all(second)?;
        self.sync(file, path)
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        if self.durability == Durability::Fast {
            return Ok(());
        }
        fault::before("sync", path)?;
        file.sync_all()
    }

    fn sync_parent(&self, path: &Path) -> Result<()> {
        if self.durability == Durability::Fast {
            return Ok(());
        }
        let here;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => {
                // The current folder by its name, which an error should tell.
                here = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
                here.parent().unwrap_or(Path::new("/"))
            }
        };
        fault::before("sync-folder", path)
            .and_then(|()| File::open(parent)?.sync_all())
            .map_err(|e| Error::io("sync the folder", parent, e))
    }
}

/// A name under which nobody looks for a file, beside its real one.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()))
}

/// Gives a file another place, making the folders to it. Not durable: after a crash it may be at
/// either place, whole.
pub fn move_file(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, e))?;
    }
    fs::rename(from, to).map_err(|e| Error::io("move", from, e))
}

/// Reads a whole file. `None`: there is none of that name.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let opened = fault::before("read", path).and_then(|()| File::open(path));
    match opened.and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path, e)),
    }
}

/// Whether a name is one that this module writes under before the file has its real one.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".tmp")
}

/// The names in a folder, in no order; none where there is no folder.
pub fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fault::before("list", folder).and_then(|()| fs::read_dir(folder)) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", folder, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("list", folder, e))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_comes_out_again() {
        let sealed = seal("offsets", b"{}");
        let (body, after) = unseal("offsets", &sealed).unwrap();
        assert_eq!((body, after), (&b"{}"[..], &b""[..]));
    }

    #[test]
    fn every_cut_is_seen() {
        let sealed = seal("commits", b"{\"nextBatchWatermarkMs\":0}");
        for cut in 0..sealed.len() {
            assert!(matches!(unseal("commits", &sealed[..cut]), Err(SealError::Torn(_))), "{cut}");
        }
    }

    #[test]
    fn every_flipped_byte_is_seen() {
        let sealed = seal("commits", b"{\"nextBatchWatermarkMs\":0}");
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(unseal("commits", &bad).is_err(), "{at}");
        }
    }

    #[test]
    fn one_creator_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("7");
        let disk = Disk::default();
        assert!(disk.create(&path, b"first").unwrap());
        assert!(!disk.create(&path, b"second").unwrap());
        assert_eq!(read(&path).unwrap().unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }
}
