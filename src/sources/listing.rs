//! What lies in a folder: takes a folder, gives the names of the files in it and below it that are
//! input. A listing either succeeds whole or fails whole, so that a folder that cannot be read for
//! a moment is never taken for an empty one.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use super::glob::Glob;
use super::options::Options;
use super::taken::{Identity, Taken, millis, nanos};
use crate::error::{Error, Kind, Result};
use crate::fault;

/// Which files of a folder are input.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// Sub-folders too, however deep; else only those of partitions, `key=value`.
    pub recursive: bool,
    /// Only names that match.
    pub glob: Option<Glob>,
    /// The patterns in the table's path, one for each level below the folder that is listed.
    pub levels: Vec<Glob>,
}

impl Filter {
    /// Spark's options `pathGlobFilter` and `recursiveFileLookup`.
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
        let recursive = options.flag("recursiveFileLookup", false)?;
        Ok(Self { recursive, glob, levels: Vec::new() })
    }

    /// Whether a folder so many levels down is looked into.
    fn enters(&self, name: &str, level: usize) -> bool {
        match self.levels.get(level) {
            Some(pattern) => pattern.matches(name),
            None => self.recursive || is_partition(name),
        }
    }

    /// Whether a file so many levels down is input.
    fn takes(&self, name: &str, level: usize) -> bool {
        let by_path = match self.levels.get(level) {
            Some(pattern) => level + 1 == self.levels.len() && pattern.matches(name),
            None => true,
        };
        by_path && self.glob.as_ref().is_none_or(|glob| glob.matches(name))
    }
}

/// The folder to list for a table's path, and the patterns for the levels below it.
pub(super) fn parted(path: &Path, shown: &str) -> Result<(PathBuf, Vec<Glob>)> {
    let mut folder = PathBuf::new();
    let mut levels = Vec::new();
    for part in path.components() {
        let name = part.as_os_str().to_string_lossy();
        if levels.is_empty() && !name.contains(['*', '?', '[', '{']) {
            folder.push(part);
            continue;
        }
        levels.push(Glob::new(&name).map_err(|what| {
            Error::sql("PATH_NOT_FOUND", format!("the path {shown} {what}"))
                .hint("correct the pattern: * is any text, ? a character, [abc] one of a set")
        })?);
    }
    Ok((folder, levels))
}

/// `key=value`: the folder of a partition.
pub(super) fn is_partition(name: &str) -> bool {
    name.find('=').is_some_and(|at| at > 0)
}

/// The columns and values, as they are written, of the partitions that a file lies in.
pub(super) fn partitions(file: &Path) -> impl Iterator<Item = (String, String)> {
    file.parent().into_iter().flat_map(Path::components).filter_map(|part| {
        let name = part.as_os_str().to_string_lossy();
        let (column, value) = name.split_once('=').filter(|_| is_partition(&name))?;
        Some((unescaped(column), value.to_owned()))
    })
}

/// A partition's column or value, with `%XX` as the character that it stands for.
pub(super) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| *first == b'%');
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
    /// Whether something was done to its name after that: it was renamed to this one, or linked.
    pub renamed: bool,
    /// Which file it is.
    pub identity: Option<Identity>,
}

impl Found {
    /// The file as a decision holds it.
    pub fn taken(&self) -> Taken {
        let (path, size, mtime) = (self.name.clone(), self.size, millis(self.modified));
        Taken { path, size, mtime, identity: self.identity }
    }
}

/// What there is under a name.
#[derive(Debug)]
pub(super) enum Look {
    File(Found),
    /// Something that is no file, in words.
    NoFile(&'static str),
    /// Nothing.
    Gone,
}

/// What a listing found.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Names that may be input.
    pub files: Vec<PathBuf>,
    /// Names that would be input if they were files, and what they are instead.
    pub others: Vec<(PathBuf, &'static str)>,
}

/// Hidden names of files and folders, Spark's rule and our own temporary files: who writes a file
/// under such a name and then renames it makes it appear whole.
pub(super) fn is_hidden(name: &str) -> bool {
    // Summaries that other writers of Parquet leave: Spark does not count them as hidden.
    let summary = name.starts_with("_metadata") || name.starts_with("_common_metadata");
    name.starts_with('.')
        || (name.starts_with('_') && !name.contains('=') && !summary)
        || name.ends_with("._COPYING_")
        || name.ends_with(".tmp")
}

/// The names, relative to `folder`, of what may be input: no hidden names, no folders, nothing
/// that `seen` knows. A link to a folder is not followed. What a link leads to is for [`look_at`]
/// to say.
pub(super) fn names(
    folder: &Path,
    filter: &Filter,
    seen: &dyn Fn(&Path) -> bool,
) -> io::Result<Listed> {
    fault::before_input("list")?;
    let mut found = Listed::default();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((below, level)) = folders.pop() {
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
            if kind.is_dir() && filter.enters(&name, level) {
                folders.push((path, level + 1));
            } else if kind.is_dir() && path.extension().is_none()
                || !filter.takes(&name, level)
                || (!at_top && seen(&path))
            {
                // A sub-folder is no surprise, unless it is called like a file.
            } else if kind.is_file() || kind.is_symlink() {
                found.files.push(path);
            } else {
                found.others.push((path, no_file(kind)));
            }
        }
    }
    Ok(found)
}

/// What lies under a name, or where the link of that name leads.
pub(super) fn look_at(folder: &Path, name: PathBuf) -> Look {
    let path = folder.join(&name);
    let Ok(about) = fs::metadata(&path) else {
        return match fs::symlink_metadata(&path) {
            Ok(link) if link.is_symlink() => Look::NoFile("a link that leads nowhere"),
            _ => Look::Gone,
        };
    };
    if !about.is_file() {
        return Look::NoFile(match about.is_dir() {
            true => "a link to a folder, which is not followed",
            false => no_file(about.file_type()),
        });
    }
    let Ok(modified) = about.modified() else { return Look::Gone };
    let (renamed, identity) = beyond_content(&about);
    Look::File(Found { name, size: about.len(), modified, renamed, identity })
}

/// Whether something was done to a file after its content was written, and which file it is.
#[cfg(unix)]
fn beyond_content(about: &fs::Metadata) -> (bool, Option<Identity>) {
    use std::os::unix::fs::MetadataExt;
    let renamed = (about.ctime(), about.ctime_nsec()) > (about.mtime(), about.mtime_nsec());
    let born = about.created().ok().and_then(nanos);
    (renamed, born.map(|born| Identity { inode: about.ino(), born }))
}

#[cfg(not(unix))]
fn beyond_content(_: &fs::Metadata) -> (bool, Option<Identity>) {
    (false, None)
}

/// What something is that is no regular file and no link.
#[cfg(unix)]
fn no_file(kind: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a pipe (FIFO)",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn no_file(kind: fs::FileType) -> &'static str {
    if kind.is_dir() { "a folder" } else { "something else" }
}

/// All input files of a folder, oldest first, and by name where the times are equal.
pub(super) fn files(folder: &Path, filter: &Filter) -> io::Result<Vec<Found>> {
    let names = names(folder, filter, &|_| false)?.files.into_iter();
    let file = |name| match look_at(folder, name) {
        Look::File(found) => Some(found),
        Look::NoFile(_) | Look::Gone => None,
    };
    let mut found: Vec<_> = names.filter_map(file).collect();
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
        Ok(_) => Err(Error::input("PATH_NOT_A_FOLDER", format!("{shown} is not a folder")).hint(
            "name the folder that the files are in; a pattern, as in input/*.json, works too",
        )),
        Err(e) => Err(cannot_list(folder, shown, e)),
    }
}

/// The error for a folder that cannot be listed. It may be tried again.
pub(super) fn cannot_list(folder: &Path, shown: &str, error: std::io::Error) -> Error {
    let (kind, condition, hint) = match error.kind() {
        ErrorKind::NotFound => (
            Kind::Input,
            "PATH_NOT_FOUND",
            format!("create it (mkdir -p {}), or correct the path of the table", folder.display()),
        ),
        ErrorKind::PermissionDenied => (
            Kind::Storage,
            "PERMISSION_DENIED",
            "give this user the right to read it, and all folders in it".to_owned(),
        ),
        _ => (
            Kind::Storage,
            "IO_ERROR",
            "when the cause is gone, the run continues where it stopped".to_owned(),
        ),
    };
    Error::new(kind, condition, format!("cannot list the folder {shown}: {error}"))
        .hint(hint)
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(folder: &Path) -> Vec<String> {
        listed_by(folder, &Filter { recursive: true, glob: None, levels: vec![] })
    }

    fn listed_by(folder: &Path, filter: &Filter) -> Vec<String> {
        let mut names: Vec<_> = files(folder, filter)
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

    #[test]
    fn patterns_in_the_path_choose_folders_and_files_and_partitions_are_entered() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a1/x.json", "a2/x.csv", "a2/deep/y.json", "b/x.json", "a3/k=1/z.json"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let listed_at = |path: &str| {
            let (base, levels) = parted(&folder.path().join(path), path).unwrap();
            listed_by(&base, &Filter { recursive: false, glob: None, levels })
        };
        assert_eq!(listed_at("a*"), ["a1/x.json", "a2/x.csv", "a3/k=1/z.json"]);
        assert_eq!(listed_at("a*/*.json"), ["a1/x.json"]);
        assert_eq!(listed_at("{a1,b}/x.json"), ["a1/x.json", "b/x.json"]);
        assert!(listed_at("zz*").is_empty() && listed_at("").is_empty());
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
