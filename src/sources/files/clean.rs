//! What becomes of a file that has been read: the option `cleanSource`. Takes the files of a batch
//! that is never run again, moves or deletes them; one that cannot be is left, with a warning, since
//! no row depends on it.

use std::path::{Path, PathBuf};

use crate::durable;
use crate::error::{Error, Result};
use crate::sources::options::{Options, Rule};
use crate::sources::taken::Taken;

/// The options about files that have been read.
pub(super) const OPTIONS: &[(&str, Rule)] =
    &[("cleanSource", Rule::Honoured), ("sourceArchiveDir", Rule::Honoured)];

/// Puts files away.
#[derive(Debug)]
pub(super) struct Cleaner {
    project: PathBuf,
    /// Where files are moved to, under the whole path that they had; `None`: they are deleted.
    archive: Option<PathBuf>,
}

impl Cleaner {
    /// What the options of a table say; `None`: files stay. `folder` is the table's, relative to
    /// the project if below it.
    pub fn from_options(options: &Options, project: &Path, folder: &Path) -> Result<Option<Self>> {
        let archive = match options.get("cleanSource").map(str::to_ascii_lowercase).as_deref() {
            None | Some("off") => return Ok(None),
            Some("delete") => None,
            Some("archive") => Some(archive_folder(options, project, folder)?),
            Some(_) => return Err(options.invalid("cleanSource", "off, archive or delete")),
        };
        Ok(Some(Self { project: project.to_owned(), archive }))
    }

    /// Puts these files away.
    pub fn clean(&self, files: &[Taken]) {
        for file in files {
            let path = self.project.join(&file.path);
            let done = match &self.archive {
                None => std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e)),
                Some(archive) => durable::move_file(&path, &archived(archive, &path)),
            };
            match done {
                Err(error) if path.exists() => {
                    tracing::warn!(file = %path.display(), %error, "a file that was read stays");
                }
                _ => {}
            }
        }
    }
}

/// Where a file is moved to: the archive, and below it the file's whole path.
fn archived(archive: &Path, path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    archive.join(whole.strip_prefix("/").unwrap_or(&whole))
}

fn archive_folder(options: &Options, project: &Path, folder: &Path) -> Result<PathBuf> {
    let Some(archive) = options.get("sourceArchiveDir") else {
        return Err(Error::sql(
            "INVALID_OPTION",
            "cleanSource = 'archive' does not say where files are moved to",
        )
        .hint("set sourceArchiveDir to a folder outside of the table's")
        .about("cleanSource"));
    };
    let archive = project.join(archive.strip_prefix("file://").unwrap_or(archive));
    let folder = project.join(folder);
    if archive.starts_with(&folder) || folder.starts_with(&archive) {
        return Err(Error::sql(
            "INVALID_OPTION",
            "the folder sourceArchiveDir and that of the table overlap",
        )
        .hint("files that are moved would be read again: choose a folder outside of the table's")
        .about("sourceArchiveDir"));
    }
    Ok(archive)
}
