//! Numbered files in the folders of a preset.
//!
//! Takes the lines of a batch; gives a file that appears whole, under a name that sorts after all
//! earlier ones; never replaces a batch that is there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::durable::{Disk, Durability};
use crate::error::{Error, Result};

/// Six digits: up to here, file names sort as their numbers do.
const LAST_BATCH: u64 = 999_999;

/// What is written can be made again from its seed, so nothing is synced.
fn disk() -> Disk {
    Disk::new(Durability::Fast)
}

/// Makes the folders where they are missing, and gives the number of the first batch for which
/// none of them has a file.
pub(crate) fn prepare(folders: &[PathBuf]) -> Result<u64> {
    let mut next = 0;
    for folder in folders {
        disk().create_folder(folder)?;
        let entries = fs::read_dir(folder).map_err(|e| Error::io("list", folder, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("list", folder, e))?;
            if let Some(number) = entry.file_name().to_str().and_then(number_of) {
                next = next.max(number + 1);
            }
        }
    }
    Ok(next)
}

/// Writes a batch; gives its path.
pub(crate) fn write_batch(folder: &Path, number: u64, bytes: &[u8]) -> Result<PathBuf> {
    if number > LAST_BATCH {
        return Err(Error::input(
            "TOO_MANY_BATCHES",
            format!("{} holds batch {LAST_BATCH}, the last one there can be", folder.display()),
        )
        .hint("give --out another folder, or make larger batches with --rows"));
    }
    let path = folder.join(format!("batch_{number:06}.json"));
    if disk().create(&path, bytes)? {
        return Ok(path);
    }
    Err(Error::storage("PATH_ALREADY_EXISTS", format!("{} is there already", path.display()))
        .hint("another generator writes into this folder: stop one, or give --out another folder"))
}

/// Writes a still table, in place of the one that is there; gives its path.
pub(crate) fn write_table(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    disk().replace(&path, bytes)?;
    Ok(path)
}

/// The number in `batch_000007.json`.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("batch_")?.strip_suffix(".json")?;
    let only_digits = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|number| only_digits && *number <= LAST_BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbering_follows_the_highest_file_and_no_other_name() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().join("a"), folder.path().join("b")];
        assert_eq!(prepare(&folders).unwrap(), 0);
        for name in ["batch_000003.json", "batch_x.json", ".batch_000009.json.1.tmp", "c.json"] {
            fs::write(folders[1].join(name), "").unwrap();
        }
        assert_eq!(prepare(&folders).unwrap(), 4);
    }

    #[test]
    fn a_batch_that_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = write_batch(folder.path(), 7, b"first").unwrap();
        let error = write_batch(folder.path(), 7, b"second").unwrap_err();
        assert_eq!(error.condition(), "PATH_ALREADY_EXISTS");
        assert_eq!(fs::read(path).unwrap(), b"first");
        let full = write_batch(folder.path(), LAST_BATCH + 1, b"").unwrap_err();
        assert_eq!(full.condition(), "TOO_MANY_BATCHES");
    }
}
