//! The files that a batch takes, as its decision writes them down and as they are read by it.
//!
//! A [`Take`] of a folder is `{"files":[{"path":"input/events/1.json","size":1234,"mtime":1767225600000}, …]}`:
//! paths relative to the project folder where they lie below it, sizes in bytes, times in
//! milliseconds since 1970 UTC. A path that is not UTF-8 is there twice: readable in `path`, and
//! its bytes in hexadecimal digits in `raw`, which counts. Where the file system tells when a file
//! was born, `inode` and `born` (nanoseconds since 1970 UTC) say which file it is, whatever it will
//! be called. A file that is not as its decision says when it is read is an error: the batch would
//! not be the same.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Take;
use super::json::shown;
use crate::error::{Error, Result};
use crate::fault;

/// A file that a batch takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Relative to the project if below it.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// Milliseconds since 1970 UTC.
    pub mtime: i64,
    /// Which file it is, whatever its name; `None`: the file system does not tell.
    pub identity: Option<Identity>,
}

/// What stays the same about a file when it is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its number in the file system, which is given again when the file is gone.
    pub inode: u64,
    /// When it was created, in nanoseconds since 1970 UTC.
    pub born: i64,
}

/// A file of a batch, open for reading, which must be as its decision says.
pub(super) struct Opened<'a> {
    file: File,
    taken: &'a Taken,
}

impl<'a> Opened<'a> {
    /// Opens a file.
    pub fn new(project: &Path, taken: &'a Taken) -> Result<Self> {
        fault::before_input("read").map_err(|e| unreadable(taken, e))?;
        // Before it is opened: to open a pipe that took its place would wait for a writer.
        check_unchanged(project, taken)?;
        let file = File::open(project.join(&taken.path)).map_err(|e| unreadable(taken, e))?;
        Ok(Self { file, taken })
    }

    /// The bytes as they lie on the disk, from the beginning.
    pub fn bytes(&mut self) -> Result<impl Read> {
        self.file.rewind().map_err(|e| self.unreadable(e))?;
        Ok(Read::by_ref(&mut self.file).take(self.taken.size))
    }

    /// What the decision says about it.
    pub fn taken(&self) -> &'a Taken {
        self.taken
    }

    /// The error for a read that failed.
    fn unreadable(&self, error: std::io::Error) -> Error {
        unreadable(self.taken, error)
    }

    /// After all was read: nobody has changed the file meanwhile, so what was read is of one piece.
    pub fn check(&self) -> Result<()> {
        let about = self.file.metadata().map_err(|e| self.unreadable(e))?;
        self.taken.check(&about)
    }
}

/// The bytes of a file, which must be as its decision says.
pub(super) fn read_exactly(project: &Path, taken: &Taken, bytes: &mut Vec<u8>) -> Result<()> {
    let mut opened = Opened::new(project, taken)?;
    bytes.clear();
    let read = opened.bytes()?.read_to_end(bytes);
    read.map_err(|e| opened.unreadable(e))?;
    opened.check()
}

/// A file must be as its decision says.
pub(super) fn check_unchanged(project: &Path, taken: &Taken) -> Result<()> {
    let about = fs::metadata(project.join(&taken.path)).map_err(|e| unreadable(taken, e))?;
    taken.check(&about)
}

fn unreadable(taken: &Taken, error: std::io::Error) -> Error {
    let shown = shown(&taken.path);
    match error.kind() {
        ErrorKind::NotFound => Error::files(
            "SOURCE_FILE_MISSING",
            format!("the file {shown} belongs to this batch, but it is gone"),
        )
        .hint(
            "put it back as it was, with its time (cp -p), and start again: the run continues where \
             it stopped; or go on without its rows, with the table's option \
             ignoreMissingFiles = 'true'",
        ),
        _ => Error::files("SOURCE_FILE_UNREADABLE", format!("cannot read {shown}: {error}"))
            .hint("when the cause is gone, start again: the run continues where it stopped")
            .caused_by(error),
    }
}

fn changed(taken: &Taken) -> Error {
    Error::files(
        "SOURCE_FILE_CHANGED",
        format!(
            "the file {} belongs to this batch with {} bytes, but it was changed since",
            shown(&taken.path),
            taken.size
        ),
    )
    .hint(
        "put it back as it was, with its time (cp -p), and start again; or move it to a new name, \
         where all of it is read as a new file, and go on without what it was, with the table's \
         option ignoreMissingFiles = 'true'. Write files under a hidden name (.name) and rename \
         them when they are complete: then this does not happen",
    )
}

pub(super) fn millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// Nanoseconds since 1970 UTC.
pub(super) fn nanos(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

impl Taken {
    fn check(&self, about: &Metadata) -> Result<()> {
        let modified = about.modified().map(millis).map_err(|e| unreadable(self, e))?;
        match about.is_file() && about.len() == self.size && modified == self.mtime {
            true => Ok(()),
            false => Err(changed(self)),
        }
    }

    /// Whether the content is another one.
    pub fn differs(&self, other: &Self) -> bool {
        (self.size, self.mtime) != (other.size, other.mtime)
    }

    /// The file as a decision holds it.
    pub fn to_json(&self) -> Take {
        let path = self.path.to_string_lossy();
        let mut file = json!({ "path": path, "size": self.size, "mtime": self.mtime });
        if self.path.to_str().is_none() {
            let bytes = self.path.as_os_str().as_encoded_bytes();
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            file["raw"] = hex.into();
        }
        if let Some(Identity { inode, born }) = self.identity {
            file["inode"] = inode.into();
            file["born"] = born.into();
        }
        file
    }

    fn from_json(file: &Take) -> Option<Self> {
        let path = match file.get("raw") {
            Some(hex) => path_from_bytes(from_hex(hex.as_str()?)?)?,
            None => PathBuf::from(file.get("path")?.as_str()?),
        };
        let inode = file.get("inode").and_then(Take::as_u64);
        let born = file.get("born").and_then(Take::as_i64);
        Some(Self {
            path,
            size: file.get("size")?.as_u64()?,
            mtime: file.get("mtime")?.as_i64()?,
            identity: inode.zip(born).map(|(inode, born)| Identity { inode, born }),
        })
    }
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|p| (p[0] * 16 + p[1]) as u8).collect())
}

/// The path of these bytes, which need not be UTF-8.
#[cfg(unix)]
pub(super) fn path_from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
pub(super) fn path_from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

/// The files that a decision holds.
pub fn taken_files(take: &Take) -> Result<Vec<Taken>> {
    let files = take.get("files").and_then(Take::as_array);
    let files = files.and_then(|files| files.iter().map(Taken::from_json).collect());
    files.ok_or_else(|| {
        Error::storage(
            "CHECKPOINT_UNREADABLE",
            format!("a batch was decided with something that is no list of files: {take}"),
        )
        .hint("the checkpoint belongs to another kind of source, or was changed by hand")
    })
}
