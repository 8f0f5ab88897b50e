//! What lies in a folder: takes a folder, gives the names of the files in it and below it that are
//! input. A listing either succeeds whole or fails whole, so that a folder that cannot be read for
//! a moment is never taken for an empty one.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use super::glob::Glob;
use super::options::Options;
use crate::error::{Error, Result};

/// Which files of a folder are input.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// Sub-folders too, however deep.
    pub recursive: bool,
    /// Only names that match.
    pub glob: Option<Glob>,
}

impl Filter {
    /// Spark's options `pathGlobFilter` and `recursiveFileLookup`; sub-folders count by default.
    pub fn from_options(options: &Options) -> Result<Self> {
        let glob = match options.get("pathGlobFilter").map(Glob::new) {
            None => None,
            Some(Ok(glob)) => Some(glob),
            Some(Err(what)) => {
                return Err(
                    options.invalid("pathGlobFilter", &format!("a name pattern: it {what}"))
                );
            }
        };
        Ok(Self { recursive: options.flag("recursiveFileLookup", true)?, glob })
    }
}

/// A file as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Below the folder.
    pub name: PathBuf,
    /// In bytes.
    pub size: u64,
    /// When its content last changed.
    pub modified: SystemTime,
}

/// Hidden names of files and folders, Spark's rule and our own temporary files: who writes a file
/// under such a name and then renames it makes it appear whole.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
        || (name.starts_with('_') && !name.contains('='))
        || name.ends_with("._COPYING_")
        || name.ends_with(".tmp")
}

/// The names, relative to `folder`, of what may be input: no hidden names, no folders, nothing
/// that `seen` knows. A link to a folder is not followed. Whether a name is a regular file is for
/// [`look_at`] to say.
pub(super) fn names(
    folder: &Path,
    filter: &Filter,
    seen: &dyn Fn(&Path) -> bool,
) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let entries = match fs::read_dir(folder.join(&below)) {
            // A sub-folder may go while we look; the folder itself may not.
            Err(e) if e.kind() == ErrorKind::NotFound && !below.as_os_str().is_empty() => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let file_name = entry.file_name();
            // Most of what lies there has been read long ago: it goes first, and quickly.
            let at_top = below.as_os_str().is_empty();
            if at_top && seen(Path::new(&file_name)) {
                continue;
            }
            let name = file_name.to_string_lossy();
            if is_hidden(&name) {
                continue;
            }
            let path = match at_top {
                true => PathBuf::from(&file_name),
                false => below.join(&file_name),
            };
            let kind = entry.file_type()?;
            let is_input = || filter.glob.as_ref().is_none_or(|glob| glob.matches(&name));
            if kind.is_dir() {
                if filter.recursive {
                    folders.push(path);
                }
            } else if (kind.is_file() || kind.is_symlink())
                && is_input()
                && (at_top || !seen(&path))
            {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Size and time of a regular file, or of the one that a link leads to; `None`: there is none.
pub(super) fn look_at(folder: &Path, name: PathBuf) -> Option<Found> {
    let about = fs::metadata(folder.join(&name)).ok()?;
    if !about.is_file() {
        return None;
    }
    let modified = about.modified().ok()?;
    Some(Found { name, size: about.len(), modified })
}

/// All input files of a folder, oldest first, and by name where the times are equal.
pub(super) fn files(folder: &Path, filter: &Filter) -> io::Result<Vec<Found>> {
    let names = names(folder, filter, &|_| false)?;
    let mut found: Vec<_> = names.into_iter().filter_map(|name| look_at(folder, name)).collect();
    found.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
    Ok(found)
}

/// A path as the user wrote it, in its shortest form, relative to the project if it lies below.
pub(super) fn below_project(project: &Path, path: &str) -> PathBuf {
    let path = Path::new(path.strip_prefix("file://").unwrap_or(path));
    let short: PathBuf = path.components().filter(|c| *c != Component::CurDir).collect();
    match short.strip_prefix(project) {
        Ok(below) => below.to_owned(),
        Err(_) => short,
    }
}

/// Whether a table's folder is there. `shown` is how the user names it.
pub(super) fn check_folder(folder: &Path, shown: &str) -> Result<()> {
    match fs::metadata(folder) {
        Ok(about) if about.is_dir() => Ok(()),
        Ok(_) => Err(Error::input("PATH_NOT_A_FOLDER", format!("{shown} is not a folder"))
            .hint("name the folder that the files are in; pathGlobFilter chooses among them")),
        Err(e) => Err(cannot_list(folder, shown, e)),
    }
}

/// The error for a folder that cannot be listed. It may be tried again.
pub(super) fn cannot_list(folder: &Path, shown: &str, error: std::io::Error) -> Error {
    let (condition, hint) = match error.kind() {
        ErrorKind::NotFound if shown.contains(['*', '?', '[', '{']) => (
            "PATH_NOT_FOUND",
            "name the folder alone, and write the pattern into the option pathGlobFilter"
                .to_owned(),
        ),
        ErrorKind::NotFound => (
            "PATH_NOT_FOUND",
            format!("create it (mkdir -p {}), or correct the path of the table", folder.display()),
        ),
        ErrorKind::PermissionDenied => {
            ("PERMISSION_DENIED", "give this user the right to read it".to_owned())
        }
        _ => ("IO_ERROR", "when the cause is gone, the run continues where it stopped".to_owned()),
    };
    Error::input(condition, format!("cannot list the folder {shown}: {error}"))
        .hint(hint)
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(folder: &Path) -> Vec<String> {
        let filter = Filter { recursive: true, glob: None };
        let mut names: Vec<_> = files(folder, &filter)
            .unwrap()
            .into_iter()
            .map(|found| found.name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn finds_files_below_and_leaves_hidden_names() {
        let folder = tempfile::tempdir().unwrap();
        let input = ["a.json", "batch_0000/b.json", "k=1/c.json", "_k=1/d.json", "plain"];
        let hidden = [".a", "_b", "c._COPYING_", "d.tmp", "_temporary/e.json", ".git/f.json"];
        for name in input.iter().chain(&hidden) {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut expected = input.to_vec();
        expected.sort();
        assert_eq!(listed(folder.path()), expected);
    }

    #[cfg(unix)]
    #[test]
    fn follows_links_to_files_and_not_to_folders_and_leaves_what_is_no_file() {
        use std::os::unix::{fs::symlink, net::UnixListener};
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("a.json"), "{}").unwrap();
        symlink(elsewhere.path().join("a.json"), folder.path().join("link.json")).unwrap();
        symlink(elsewhere.path(), folder.path().join("folder")).unwrap();
        symlink(folder.path().join("nowhere"), folder.path().join("broken.json")).unwrap();
        let _socket = UnixListener::bind(folder.path().join("socket.json")).unwrap();
        assert_eq!(listed(folder.path()), ["link.json"]);
    }
}
