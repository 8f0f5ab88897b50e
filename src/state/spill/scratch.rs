//! A file without a name that holds extents of bytes for as long as somebody wants them.
//!
//! Nothing in it survives the process, by design: the operating system gives the room back however
//! the process ends, and there is never a file to find, to trust or to remove.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::fault;

/// Extents begin and end at multiples of this, so that room is used again.
const UNIT: u64 = 4096;

/// The end of the file is given back in steps of at least so many bytes.
const GIVEN_BACK: u64 = 64 * 1024 * 1024;

/// A file without a name.
pub(super) struct Scratch {
    file: File,
    /// What its path would be, for messages and faults.
    path: PathBuf,
    room: Mutex<Room>,
}

/// Which parts of the file are free.
#[derive(Default)]
struct Room {
    /// Where free parts begin, and how long they are; no two touch, and none is at the end.
    free: BTreeMap<u64, u64>,
    end: u64,
    /// How long the file was made at most.
    length: u64,
    used: u64,
}

/// A part of the file that is in use until this goes.
pub(super) struct Extent {
    scratch: Arc<Scratch>,
    at: u64,
    length: u64,
}

impl Scratch {
    /// A new one, in the file system of a folder.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder)
            .map_err(|e| Error::io("make a temporary file in", folder, e))?;
        Ok(Self { file, path: folder.join("spill"), room: Mutex::default() })
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> u64 {
        self.room.lock().unwrap_or_else(PoisonError::into_inner).used
    }

    /// Keeps bytes until what is given goes.
    pub(super) fn write(self: &Arc<Self>, bytes: &[u8]) -> Result<Extent> {
        let length = bytes.len() as u64;
        let at = self.room.lock().unwrap_or_else(PoisonError::into_inner).take(length);
        let extent = Extent { scratch: self.clone(), at, length };
        fault::before("write", &self.path)
            .and_then(|()| write_all_at(&self.file, bytes, at))
            .map_err(|e| Error::io("send rows of state to", &self.path, e))?;
        Ok(extent)
    }
}

impl Extent {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Some of its bytes.
    pub(super) fn read(&self, from: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let Scratch { file, path, .. } = &*self.scratch;
        fault::before("read", path)
            .and_then(|()| read_exact_at(file, &mut bytes, self.at + from))
            .map_err(|e| Error::io("read rows of state back from", path, e))?;
        Ok(bytes)
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        let mut room = self.scratch.room.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(length) = room.give_back(self.at, self.length) {
            // Where that fails the room is taken for longer, and that is all.
            let _ = self.scratch.file.set_len(length);
        }
    }
}

impl Room {
    /// The smallest free part that is long enough, or the end.
    fn take(&mut self, length: u64) -> u64 {
        let length = in_units(length);
        self.used += length;
        let fitting = self.free.iter().filter(|(_, free)| **free >= length);
        let Some((&at, &free)) = fitting.min_by_key(|(_, free)| **free) else {
            let at = self.end;
            self.end += length;
            self.length = self.length.max(self.end);
            return at;
        };
        self.free.remove(&at);
        if free > length {
            self.free.insert(at + length, free - length);
        }
        at
    }

    /// Gives a part back; says how long the file is to be, where it can be much shorter.
    fn give_back(&mut self, at: u64, length: u64) -> Option<u64> {
        let length = in_units(length);
        self.used -= length;
        let (mut from, mut to) = (at, at + length);
        if let Some((&before, &free)) = self.free.range(..at).next_back()
            && before + free == at
        {
            self.free.remove(&before);
            from = before;
        }
        if let Some(free) = self.free.remove(&to) {
            to += free;
        }
        if to < self.end {
            self.free.insert(from, to - from);
            return None;
        }
        self.end = from;
        if self.length - self.end < GIVEN_BACK && self.end > 0 {
            return None;
        }
        self.length = self.end;
        Some(self.end)
    }
}

fn in_units(length: u64) -> u64 {
    length.div_ceil(UNIT) * UNIT
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(not(unix))]
fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        done += std::os::windows::fs::FileExt::seek_write(file, &bytes[done..], at + done as u64)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let rest = &mut bytes[done..];
        match std::os::windows::fs::FileExt::seek_read(file, rest, at + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_again_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Arc::new(Scratch::new(folder.path()).unwrap());
        let mut kept: Vec<(u8, Extent)> = Vec::new();
        for round in 0u8..200 {
            let length = 1 + usize::from(round) * 977 % 20_000;
            kept.push((round, scratch.write(&vec![round; length]).unwrap()));
            if round % 3 > 0 {
                kept.swap_remove(usize::from(round) * 31 % kept.len());
            }
            for (what, extent) in &kept {
                let bytes = extent.read(0, extent.length() as usize).unwrap();
                assert!(bytes.iter().all(|byte| byte == what), "{what} in round {round}");
            }
        }
        let used: u64 = kept.iter().map(|(_, extent)| in_units(extent.length())).sum();
        assert_eq!(scratch.used(), used);
        let length = scratch.file.metadata().unwrap().len();
        assert!(length < 2 * used, "{length} bytes for {used}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
        kept.clear();
        assert_eq!((scratch.used(), scratch.file.metadata().unwrap().len()), (0, 0));
    }
}
