//! Whether a folder's file system has what a table needs: a second name for a file (a hard link).
//!
//! With it a file comes to be whole and only once, however many writers there are. Some file systems
//! (exFAT, some network and FUSE ones) have none, and that should be said at the start, in plain words,
//! not in the middle of the first commit as `Operation not permitted`.

use std::io::ErrorKind;
use std::path::Path;

use crate::durable::{Disk, Durability};
use crate::error::{Error, Result};

/// Makes a file in the table's folder, and removes it again. Nothing is synced: it is to be forgotten.
///
/// # Errors
///
/// `NO_HARD_LINKS`; or the disk says no for another reason.
pub(super) fn check_links(table: &Path) -> Result<()> {
    let disk = Disk::new(Durability::Fast);
    let (name, process) = (uuid::Uuid::new_v4(), std::process::id());
    let path = table.join(format!(".links-{name}.{process}-0.tmp"));
    let made = disk.create(&path, b"");
    disk.remove(&path)?;
    match made {
        Ok(_) => Ok(()),
        Err(error) if is_about_links(&error) => Err(Error::storage(
            "NO_HARD_LINKS",
            format!("the file system of {} has no hard links: {}", table.display(), error.message()),
        )
        .hint(
            "keep data/ and checkpoints/ on a file system that has them, such as ext4, XFS, APFS or \
             NTFS: choose its folder with --project",
        )
        .caused_by(error)),
        Err(error) => Err(error),
    }
}

/// The file could be written (another error would say so), and its second name could not.
fn is_about_links(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let Some(io) = source.and_then(|source| source.downcast_ref::<std::io::Error>()) else {
        return false;
    };
    let unknown = io.kind() == ErrorKind::Unsupported || io.kind() == ErrorKind::PermissionDenied;
    unknown && error.message().starts_with("cannot create ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_not_permitted_is_told_from_a_folder_that_is_not() {
        let io = |doing: &str, number: i32| {
            Error::io(doing, Path::new("x"), std::io::Error::from_raw_os_error(number))
        };
        let (not_permitted, no_access, no_such_call, no_space) = (1, 13, 95, 28);
        assert!(is_about_links(&io("create", not_permitted)));
        assert!(is_about_links(&io("create", no_such_call)));
        assert!(!is_about_links(&io("write", no_access)));
        assert!(!is_about_links(&io("create", no_space)));
    }

    #[test]
    fn a_usual_file_system_passes_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        check_links(folder.path()).unwrap();
        assert_eq!(crate::durable::names(folder.path()).unwrap().len(), 0);
    }
}
