//! A table as it lies on the disk, commit by commit and file by file, damaged or not: what
//! `checkpoint show` and `checkpoint fsck` tell.
//!
//! Takes a folder and a query; gives what the log says and what is wrong with it; refuses nothing that
//! is only damaged, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::log::{LiveFile, commit_path, lines};
use super::tail::LogFiles;
use super::{leftovers, open, stats};
use crate::batch::BatchId;
use crate::durable::{self, Disk};
use crate::error::{Error, Result};
use crate::sinks::OutputMode;

/// What a table holds.
#[derive(Debug, Default)]
pub struct TableFacts {
    /// Its identity; `None`: no commit that is there says it.
    pub id: Option<String>,
    /// The first version whose commit is there, and the newest.
    pub versions: Option<(u64, u64)>,
    /// The batches of the query, with the versions that hold them, in the order of the versions.
    pub batches: Vec<(BatchId, u64)>,
    /// Versions that took the table back to an older one.
    pub restores: Vec<u64>,
    /// Commits that are empty, not whole, or missing: the file, and what is wrong.
    pub torn: Vec<(PathBuf, String)>,
    /// The data files of the newest version, by name; empty where commits are torn.
    files: BTreeMap<String, LiveFile>,
    /// All data files that a commit speaks of.
    named: BTreeSet<String>,
}

/// Reads the log of the table in a folder; `None`: there is none.
pub fn inspect(table: &Path, app_id: &str) -> Result<Option<TableFacts>> {
    let log = LogFiles::list(table)?;
    if !log.is_table() {
        return Ok(None);
    }
    let mut facts = TableFacts::default();
    let (Some(&first), Some(&newest)) = (log.commits.first(), log.commits.last()) else {
        return Ok(Some(facts));
    };
    facts.versions = Some((first, newest));
    for version in first..=newest {
        let path = commit_path(table, version);
        match durable::read(&path)? {
            Some(bytes) => facts.take_in(version, &bytes, &path, app_id),
            None => facts.torn.push((path, "is missing, though a later version is there".into())),
        }
    }
    if first > 0 && facts.torn.is_empty() {
        // What was cleaned away is summed up in a Delta checkpoint.
        let found = open::find(Disk::default(), table, app_id, OutputMode::Complete)?;
        facts.id = Some(found.log.table_id().to_owned());
        facts.files = found.files.into_iter().map(|file| (file.path.clone(), file)).collect();
        facts.named.extend(facts.files.keys().cloned());
    }
    if !facts.torn.is_empty() {
        facts.files.clear();
    }
    Ok(Some(facts))
}

impl TableFacts {
    fn take_in(&mut self, version: u64, bytes: &[u8], path: &Path, app_id: &str) {
        let lines = match lines(bytes, path) {
            Ok(lines) => lines,
            Err(error) => return self.torn.push((path.to_owned(), cause(&error))),
        };
        for line in lines {
            if let Some(metadata) = line.meta_data {
                self.id = Some(metadata.id);
            }
            if line.commit_info.is_some_and(|info| info.restores()) {
                self.restores.push(version);
            }
            if let Some(txn) = line.txn.filter(|txn| txn.app_id == app_id)
                && let Ok(batch) = BatchId::try_from(txn.version)
            {
                self.batches.push((batch, version));
            }
            if let Some(remove) = line.remove {
                self.files.remove(&remove.path);
                self.named.insert(remove.path);
            }
            if let Some(add) = line.add {
                self.named.insert(add.path.clone());
                self.files.insert(add.path.clone(), add.into());
            }
        }
    }

    /// The newest batch of the query.
    pub fn newest_batch(&self) -> Option<BatchId> {
        self.batches.last().map(|(batch, _)| *batch)
    }

    /// Whether the newest commit is the one that cannot be read: nothing is built on it.
    pub fn newest_is_torn(&self) -> bool {
        let newest = self.versions.map(|(_, newest)| format!("{newest:020}.json"));
        let is_newest = |path: &PathBuf| newest.as_ref().is_some_and(|name| path.ends_with(name));
        self.torn.iter().any(|(path, _)| is_newest(path))
    }

    /// How many data files the newest version has, and how many bytes are in them.
    pub fn size(&self) -> (usize, u64) {
        let bytes = self.files.values().filter_map(|file| u64::try_from(file.size).ok());
        (self.files.len(), bytes.sum())
    }

    /// What is wrong with the data files of the newest version: each is read to its end.
    pub fn broken_files(&self, table: &Path) -> Vec<(PathBuf, String)> {
        let broken = |(name, file): (&String, &LiveFile)| {
            let path = table.join(name);
            Some((path.clone(), broken(&path, file)?))
        };
        self.files.iter().filter_map(broken).collect()
    }

    /// Files that dead tries of the query have left, of no use to anybody.
    pub fn leftovers(&self, table: &Path, app_id: &str) -> Result<Vec<PathBuf>> {
        let tag = leftovers::tag(app_id);
        let mut left = leftovers::temporaries(table, &tag)?;
        if self.torn.is_empty() {
            let is_unnamed = |path: &PathBuf| {
                let name = path.file_name().map(|name| name.to_string_lossy());
                name.is_some_and(|name| !self.named.contains(name.as_ref()))
            };
            left.extend(leftovers::data_files(table, &tag, 0)?.into_iter().filter(is_unnamed));
        }
        Ok(left)
    }
}

/// What is wrong with a data file, in words.
fn broken(path: &Path, file: &LiveFile) -> Option<String> {
    let size = match std::fs::metadata(path) {
        Ok(about) => about.len(),
        Err(error) => return Some(format!("cannot be read: {error}")),
    };
    if i64::try_from(size) != Ok(file.size) {
        return Some(format!("has {size} bytes, the log says {}", file.size));
    }
    match (rows(path), stats::known(file.stats.as_deref(), &[]).rows) {
        (Err(why), _) => Some(format!("cannot be read: {why}")),
        (Ok(rows), Some(said)) if rows != said => {
            Some(format!("has {rows} rows, the log says {said}"))
        }
        _ => None,
    }
}

fn rows(path: &Path) -> Result<usize, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build());
    let reader = reader.map_err(|e| e.to_string())?;
    reader.map(|batch| batch.map(|rows| rows.num_rows()).map_err(|e| e.to_string())).sum()
}

/// Why a commit is not whole, without the name of its file.
fn cause(error: &Error) -> String {
    let message = error.message();
    let after = message.split_once("is not a whole commit").map(|(_, why)| why);
    format!("is not a whole commit{}", after.unwrap_or_default())
}
