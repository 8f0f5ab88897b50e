//! Files that lie where a stream looks, and are not its input: takes a folder's path and options, gives
//! each such file with the rule that leaves it out. For those who ask why nothing comes; reads no file.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::sources::format::Format;
use crate::sources::listing::{self, Filter, Look, below_project, parted};

/// So many files are looked at, at most.
const MOST: usize = 10_000;

/// A file that is not input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// As the user would name it.
    pub file: PathBuf,
    /// By which rule.
    pub rule: Rule,
}

/// Why a file is not input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Its name, or that of a folder on the way, is hidden.
    Hidden,
    /// Its name does not match the option `pathGlobFilter`, which is this.
    Filter(String),
    /// It does not match the pattern in the table's path.
    Path,
    /// It lies in a sub-folder.
    SubFolder,
    /// It is no file, but this.
    NoFile(&'static str),
}

/// The folder that is listed for a table's path, as the user would name it, and whether it is there.
pub fn folder(project: &Path, path: &str) -> Result<(PathBuf, bool)> {
    let (folder, _) = parted(&below_project(project, path), path)?;
    let exists = project.join(&folder).is_dir();
    Ok((folder, exists))
}

/// The files below the folder of a table that are not its input, by name.
pub fn left_out(
    project: &Path,
    format: &str,
    path: &str,
    options: &[(String, String)],
) -> Result<Vec<LeftOut>> {
    let (_, options) = Format::from_options(format, options, &super::options())?;
    let (folder, levels) = parted(&below_project(project, path), path)?;
    let filter = Filter { levels, ..Filter::from_options(&options)? };
    let root = project.join(&folder);
    let Ok(input) = listing::names(&root, &filter, &|_| false) else { return Ok(vec![]) };
    let input: std::collections::HashSet<PathBuf> = input.files.into_iter().collect();
    let glob = options.get("pathGlobFilter");
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&below)) else { continue };
        for entry in entries.flatten() {
            let name = below.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(name),
                Ok(kind) if kind.is_file() && input.contains(&name) => {}
                Ok(_) => {
                    let rule = match listing::look_at(&root, name.clone()) {
                        Look::File(_) if input.contains(&name) => continue,
                        Look::NoFile(what) => Rule::NoFile(what),
                        Look::File(_) | Look::Gone => rule(&name, &filter, glob),
                    };
                    found.push(LeftOut { file: folder.join(&name), rule });
                }
                Err(_) => {}
            }
        }
        if found.len() >= MOST {
            break;
        }
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

fn rule(name: &Path, filter: &Filter, glob: Option<&str>) -> Rule {
    let mut parts = name.components().map(|part| part.as_os_str().to_string_lossy());
    if parts.any(|part| listing::is_hidden(&part)) {
        return Rule::Hidden;
    }
    let file = name.file_name().map(|file| file.to_string_lossy()).unwrap_or_default();
    match (glob, &filter.glob) {
        (Some(text), Some(pattern)) if !pattern.matches(&file) => Rule::Filter(text.to_owned()),
        _ if !filter.levels.is_empty() => Rule::Path,
        _ => Rule::SubFolder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_the_rule_that_leaves_it_out() {
        let project = tempfile::tempdir().unwrap();
        for name in ["a.json", "b.csv", ".c.json", "deep/d.json"] {
            let path = project.path().join("in").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let rules = |path: &str, options: &[(&str, &str)]| -> Vec<(String, Rule)> {
            let options: Vec<_> =
                options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            let found = left_out(project.path(), "json", path, &options).unwrap();
            found.into_iter().map(|f| (f.file.display().to_string(), f.rule)).collect()
        };
        let name = |name: &str| format!("in/{name}");
        let filter = Rule::Filter("*.json".into());
        assert_eq!(
            rules("in", &[("pathGlobFilter", "*.json")]),
            [
                (name(".c.json"), Rule::Hidden),
                (name("b.csv"), filter),
                (name("deep/d.json"), Rule::SubFolder),
            ]
        );
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", project.path().join("in/link.json")).unwrap();
            let link = (name("link.json"), Rule::NoFile("a link that leads nowhere"));
            assert!(rules("in", &[]).contains(&link));
            std::fs::remove_file(project.path().join("in/link.json")).unwrap();
        }
        assert_eq!(
            rules("in/*.csv", &[]),
            [
                (name(".c.json"), Rule::Hidden),
                (name("a.json"), Rule::Path),
                (name("deep/d.json"), Rule::Path),
            ]
        );
    }
}
