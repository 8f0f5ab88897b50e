//! What tries that died have left in a table's folder: half-written files under hidden names, and
//! data files that no version names.
//!
//! Takes the folder and the query; gives the names of what is surely the query's own and of no use,
//! or removes it. What a name does not prove to be the query's is never touched: another program may
//! write into the same table.

use std::path::{Path, PathBuf};

use twox_hash::XxHash64;

use crate::batch::BatchId;
use crate::durable::{self, Disk};
use crate::error::Result;

/// Eight digits that stand for a query in the names of its files.
pub(super) fn tag(app_id: &str) -> String {
    format!("{:08x}", XxHash64::oneshot(0, app_id.as_bytes()) as u32)
}

/// Removes the hidden files of writers that are gone. Nothing is ever read from them.
pub(super) fn remove_temporaries(disk: Disk, table: &Path, tag: &str) -> Result<()> {
    temporaries(table, tag)?.iter().try_for_each(|path| disk.remove(path))
}

/// The hidden files of writers that are gone: those of this query's data, since only one process
/// writes for a query, and those of the log whose process is no more.
pub(super) fn temporaries(table: &Path, tag: &str) -> Result<Vec<PathBuf>> {
    let names = |folder: PathBuf| -> Result<Vec<PathBuf>> {
        let names = durable::names(&folder)?;
        let hidden = names.into_iter().filter(|name| durable::is_temporary(name));
        let left = hidden.filter(|name| batch_of(&name[1..], tag).is_some() || is_dead(name));
        Ok(left.map(|name| folder.join(name)).collect())
    };
    Ok([names(table.to_path_buf())?, names(table.join("_delta_log"))?].concat())
}

/// The data files that a query has written for the batch `first` or a later one.
pub(super) fn data_files(table: &Path, tag: &str, first: BatchId) -> Result<Vec<PathBuf>> {
    let names = durable::names(table)?.into_iter();
    let of_query = names.filter(|name| batch_of(name, tag).is_some_and(|batch| batch >= first));
    Ok(of_query.map(|name| table.join(name)).collect())
}

/// The batch in the name of a query's data file.
fn batch_of(name: &str, tag: &str) -> Option<BatchId> {
    let (batch, rest) = name.strip_prefix("part-")?.split_once('-')?;
    rest.strip_prefix(tag)?.strip_prefix('-').filter(|rest| rest.contains(".parquet"))?;
    batch.parse().ok()
}

/// Whether the process whose number is in the name of a hidden file is known to be gone.
fn is_dead(name: &str) -> bool {
    let Some(process) = name
        .strip_suffix(".tmp")
        .and_then(|name| name.rsplit_once('.'))
        .and_then(|(_, number)| number.split('-').next()?.parse::<u32>().ok())
    else {
        return false;
    };
    let processes = Path::new("/proc");
    processes.join("self").exists() && !processes.join(process.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_left_over_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path();
        std::fs::create_dir(table.join("_delta_log")).unwrap();
        let (ours, me) = (tag("query"), std::process::id());
        // No process has this number: it is more than there can be.
        let dead = u32::MAX;
        let files = [
            (format!(".part-0000000007-{ours}-x.parquet.{me}-1.tmp"), true),
            (format!(".part-0000000007-00000000-x.parquet.{me}-1.tmp"), false),
            (format!("_delta_log/.00000000000000000009.json.{dead}-0.tmp"), true),
            (format!("_delta_log/.00000000000000000009.json.{me}-0.tmp"), false),
            ("_delta_log/.s3-optimization-0".into(), false),
            (format!("part-0000000006-{ours}-x.parquet"), false),
            (format!("part-0000000007-{ours}-x.parquet"), true),
            ("part-00000-c1c4-c000.snappy.parquet".into(), false),
        ];
        files.iter().for_each(|(name, _)| std::fs::write(table.join(name), b"").unwrap());
        let mut found = temporaries(table, &ours).unwrap();
        found.extend(data_files(table, &ours, 7).unwrap());
        for (name, expected) in files {
            assert_eq!(found.contains(&table.join(&name)), expected, "{name}");
        }
    }
}
