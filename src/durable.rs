//! The only place that makes a file permanent.
//!
//! A crash, and a power cut too, may fall between any two instructions. So a file that matters
//! comes to be in one step, under its final name, whole: it is written under a hidden name, synced,
//! linked or renamed to its name, and the folder is synced after it. A file of the checkpoint also
//! carries its own proof in its first line (see [`seal`]), so that half a file, or an empty one,
//! is never read as if it were whole.
//!
//! Takes bytes and a path; gives a file that survives; never decides what is written or when.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};

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
        let linked = fs::hard_link(&temporary, path);
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
        fs::rename(&temporary, path).map_err(|e| {
            let _ = fs::remove_file(&temporary);
            Error::io("rename to", path, e)
        })?;
        self.sync_parent(path)
    }

    /// Syncs a file that a library wrote under a name nobody reads yet, and its folder.
    pub fn make_permanent(&self, path: &Path) -> Result<()> {
        if self.durability == Durability::Full {
            File::open(path).and_then(|f| f.sync_all()).map_err(|e| Error::io("sync", path, e))?;
        }
        self.sync_parent(path)
    }

    /// Makes a folder and those above it.
    pub fn create_folder(&self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            self.create_folder(parent)?;
        }
        match fs::create_dir(path) {
            Ok(()) => self.sync_parent(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(e) => Err(Error::io("create the folder", path, e)),
        }
    }

    /// Adds bytes to the end of a file, making it where it is missing.
    ///
    /// An append is not one step: a crash can leave a part of it, which the reader of the file has
    /// to recognise (a sealed record does).
    pub fn append(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let is_new = !path.exists();
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| Error::io("append to", path, e))?;
        file.write_all(bytes)
            .and_then(|()| match self.durability {
                Durability::Full => file.sync_all(),
                Durability::Fast => Ok(()),
            })
            .map_err(|e| Error::io("append to", path, e))?;
        if is_new { self.sync_parent(path) } else { Ok(()) }
    }

    /// Removes a file that is not needed any more; one that is not there is as good.
    pub fn remove(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
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
        fs::rename(path, &aside).map_err(|e| Error::io("rename", path, e))?;
        self.sync_parent(&aside)?;
        Ok(aside)
    }

    fn write_temporary(&self, path: &Path, bytes: &[u8]) -> Result<PathBuf> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
        let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()));
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            match self.durability {
                Durability::Full => file.sync_all(),
                Durability::Fast => Ok(()),
            }
        });
        written.map_err(|e| {
            let _ = fs::remove_file(&temporary);
            Error::io("write", path, e)
        })?;
        Ok(temporary)
    }

    fn sync_parent(&self, path: &Path) -> Result<()> {
        if self.durability == Durability::Fast {
            return Ok(());
        }
        let parent = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        File::open(parent)
            .and_then(|f| f.sync_all())
            .map_err(|e| Error::io("sync the folder", parent, e))
    }
}

/// The first word of every sealed file.
const MAGIC: &str = "strandline";

/// The version of the sealed format that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// Puts the proof of wholeness before a body: one line of text, then the body as it is.
///
/// ```text
/// strandline 1 offsets 57 8f3c01aa
/// {"batchWatermarkMs":0, …
/// ```
///
/// The line says the format version, the kind of file, the length of the body in bytes and its
/// CRC-32C in hexadecimal. It is text, so that a person can read a checkpoint with `cat`.
pub fn seal(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut sealed =
        format!("{MAGIC} {FORMAT_VERSION} {kind} {} {:08x}\n", body.len(), crc32c::crc32c(body))
            .into_bytes();
    sealed.extend_from_slice(body);
    sealed
}

/// Why sealed bytes are not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealError {
    /// Empty, cut short, or not the bytes that were sealed: what a torn write leaves.
    Torn(String),
    /// Whole, but of another kind or of a newer format.
    Foreign(String),
}

/// Takes one sealed body from the head of `bytes`; gives it and what follows it.
pub fn unseal<'a>(kind: &str, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), SealError> {
    let torn = |what: &str| SealError::Torn(what.to_string());
    if bytes.is_empty() {
        return Err(torn("the file is empty"));
    }
    let newline = bytes
        .iter()
        .take(200)
        .position(|&b| b == b'\n')
        .ok_or_else(|| torn("the first line is not whole"))?;
    let line =
        std::str::from_utf8(&bytes[..newline]).map_err(|_| torn("the first line is not text"))?;
    let words: Vec<&str> = line.split(' ').collect();
    let [magic, version, found_kind, length, crc] = words[..] else {
        return Err(torn("the first line is not one of strandline's"));
    };
    if magic != MAGIC {
        return Err(torn("the first line is not one of strandline's"));
    }
    if version.parse::<u32>().map_or(true, |v| v == 0 || v > FORMAT_VERSION) {
        return Err(SealError::Foreign(format!(
            "written in format {version}, this program reads up to {FORMAT_VERSION}"
        )));
    }
    if found_kind != kind {
        return Err(SealError::Foreign(format!("holds {found_kind}, not {kind}")));
    }
    let length: usize = length.parse().map_err(|_| torn("the length is not a number"))?;
    let rest = &bytes[newline + 1..];
    if rest.len() < length {
        return Err(SealError::Torn(format!(
            "holds {} bytes of {length}: it was cut short",
            rest.len()
        )));
    }
    let (body, after) = rest.split_at(length);
    if crc != format!("{:08x}", crc32c::crc32c(body)) {
        return Err(torn("the checksum is not that of the content"));
    }
    Ok((body, after))
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
    match File::open(path).and_then(|mut f| f.read_to_end(&mut bytes)) {
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
    let entries = match fs::read_dir(folder) {
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

/// A file that one process holds until it lets go or dies, however it dies.
///
/// The operating system keeps the lock, the file only says who holds it; so nothing is left behind
/// that somebody would have to remove. Whoever lets go empties the file: a name in it that nobody
/// holds is that of a process that was cut off.
#[derive(Debug)]
pub struct Lock {
    held: File,
    was_cut_off: bool,
}

impl Lock {
    /// Takes the lock, within a moment or not at all, and writes into the file who holds it.
    /// `Ok(Err(holder))`: it is held by another, who wrote this about itself.
    pub fn take(path: &Path, holder: &str) -> Result<Result<Lock, String>> {
        let open =
            OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path);
        let mut file = open.map_err(|e| Error::io("open", path, e))?;
        if !try_for_a_moment(&file).map_err(|e| Error::io("lock", path, e))? {
            let mut other = String::new();
            let _ = file.read_to_string(&mut other);
            return Ok(Err(other.trim().to_string()));
        }
        let before = file.metadata().map_err(|e| Error::io("read", path, e))?.len();
        file.set_len(0)
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(|e| Error::io("write", path, e))?;
        Ok(Ok(Lock { held: file, was_cut_off: before > 0 }))
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
