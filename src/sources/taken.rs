//! The files that a batch takes, as its decision writes them down and as they are read by it.
//!
//! A [`Take`] of a folder is `{"files":[{"path":"input/events/1.json","size":1234,"mtime":1767225600000}, …]}`:
//! paths relative to the project folder where they lie below it, sizes in bytes, times in
//! milliseconds since 1970 UTC. A path that is not UTF-8 is there twice: readable in `path`, and
//! its bytes in hexadecimal digits in `raw`, which counts. A file that is not as its decision says
//! when it is read is an error: the batch would not be the same.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Take;
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
}

/// The bytes of a file, which must be as its decision says.
pub(super) fn read_exactly(project: &Path, taken: &Taken, bytes: &mut Vec<u8>) -> Result<()> {
    check_unchanged(project, taken)?;
    bytes.clear();
    let file = File::open(project.join(&taken.path)).map_err(|e| unreadable(taken, e))?;
    file.take(taken.size).read_to_end(bytes).map_err(|e| unreadable(taken, e))?;
    match bytes.len() as u64 == taken.size {
        true => Ok(()),
        false => Err(changed(taken)),
    }
}

/// A file must be as its decision says.
pub(super) fn check_unchanged(project: &Path, taken: &Taken) -> Result<()> {
    let about = fault::before_input("read").and_then(|()| fs::metadata(project.join(&taken.path)));
    let about = about.map_err(|e| unreadable(taken, e))?;
    let modified = about.modified().map(millis).map_err(|e| unreadable(taken, e))?;
    if !about.is_file() || about.len() != taken.size || modified != taken.mtime {
        return Err(changed(taken));
    }
    Ok(())
}

fn unreadable(taken: &Taken, error: std::io::Error) -> Error {
    let shown = taken.path.display();
    match error.kind() {
        ErrorKind::NotFound => Error::files(
            "SOURCE_FILE_MISSING",
            format!("the file {shown} belongs to this batch, but it is gone"),
        )
        .hint("put it back as it was, and start again: the run continues where it stopped"),
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
            taken.path.display(),
            taken.size
        ),
    )
    .hint(
        "put it back as it was, with its time, and start again; write new rows into new files, \
         under a hidden name (.name) that is renamed when the file is complete",
    )
}

pub(super) fn millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

impl Taken {
    /// The file as a decision holds it.
    pub fn to_json(&self) -> Take {
        let path = self.path.to_string_lossy();
        let mut file = json!({ "path": path, "size": self.size, "mtime": self.mtime });
        if self.path.to_str().is_none() {
            let bytes = self.path.as_os_str().as_encoded_bytes();
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            file["raw"] = hex.into();
        }
        file
    }

    fn from_json(file: &Take) -> Option<Self> {
        let path = match file.get("raw") {
            Some(hex) => path_from_bytes(from_hex(hex.as_str()?)?)?,
            None => PathBuf::from(file.get("path")?.as_str()?),
        };
        Some(Self { path, size: file.get("size")?.as_u64()?, mtime: file.get("mtime")?.as_i64()? })
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
        Error::checkpoint(
            "CHECKPOINT_UNREADABLE",
            format!("a batch was decided with something that is no list of files: {take}"),
        )
        .hint("the checkpoint belongs to another kind of source, or was changed by hand")
    })
}
