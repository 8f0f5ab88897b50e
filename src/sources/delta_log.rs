//! The log of a Delta table on this machine: takes the table's folder, gives what its versions
//! added, one commit at a time or as a snapshot. Reads, never writes.
//!
//! A commit is `_delta_log/<version, 20 digits>.json`, one action on each line. Whether the next
//! one is there is one question to the file system, however long the log is. Only a snapshot needs
//! more (checkpoints, replay), and that is left to deltalake.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use arrow::datatypes::{DataType, SchemaRef};
use serde::Deserialize;
use serde_json::Value;

use super::parquet;
use crate::error::{Error, Result};
use crate::plan;

/// The version of a table, from 0.
pub(super) type Version = u64;

/// A data file of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DataFile {
    /// As in the log, but with its URL escapes resolved: relative to the table's folder.
    path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// The partition that it belongs to.
    partition: Vec<(String, Option<String>)>,
    /// Some of its rows are deleted by a separate file.
    deletion_vector: bool,
}

/// What matters of one commit.
#[derive(Debug, Default)]
pub(super) struct Commit {
    /// Files whose rows are new.
    pub added: Vec<DataFile>,
    /// Whether rows were taken away.
    pub removed: bool,
    /// The table's columns, if the commit sets them: Delta's schema.
    pub columns: Option<Vec<Value>>,
}

/// All files of a version.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub version: Version,
    /// Oldest first.
    pub files: Vec<DataFile>,
    pub schema: SchemaRef,
}

/// The log of the table in a folder.
#[derive(Debug, Clone)]
pub(super) struct DeltaLog {
    /// The table's folder.
    table: PathBuf,
    /// How the user names it.
    shown: String,
}

#[derive(Deserialize)]
struct Action {
    add: Option<Add>,
    remove: Option<Remove>,
    #[serde(rename = "metaData")]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Add {
    path: String,
    #[serde(default)]
    size: u64,
    data_change: bool,
    #[serde(default)]
    partition_values: HashMap<String, Option<String>>,
    deletion_vector: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remove {
    data_change: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    schema_string: String,
    #[serde(default)]
    configuration: HashMap<String, Option<String>>,
}

impl DeltaLog {
    pub fn new(table: PathBuf, shown: &str) -> Self {
        Self { table, shown: shown.to_owned() }
    }

    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The folder that the log lies in.
    pub fn folder(&self) -> PathBuf {
        self.table.join("_delta_log")
    }

    fn commit_path(&self, version: Version) -> PathBuf {
        self.folder().join(format!("{version:020}.json"))
    }

    /// Whether the log has this version's own file.
    pub fn has(&self, version: Version) -> bool {
        self.commit_path(version).is_file()
    }

    /// Whether there is a table at all.
    pub fn exists(&self) -> bool {
        self.has(0) || self.folder().join("_last_checkpoint").is_file()
    }

    /// The newest version whose file is there; a look at the whole log.
    pub fn newest(&self) -> Result<Option<Version>> {
        let entries = match fs::read_dir(self.folder()) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(|e| Error::io("list", &self.folder(), e))?,
        };
        let version = |name: &str| match name.strip_suffix(".json") {
            Some(digits) if digits.len() == 20 => digits.parse().ok(),
            _ => None,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| version(&name)).max())
    }

    /// What a version did; `None`: there is no such version yet.
    pub fn commit(&self, version: Version) -> Result<Option<Commit>> {
        let path = self.commit_path(version);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|e| Error::io("read", &path, e))?,
        };
        let mut commit = Commit::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let action: Action =
                serde_json::from_str(line).map_err(|e| self.damaged(version, e))?;
            if let Some(add) = action.add.filter(|add| add.data_change) {
                commit.added.push(DataFile::from_add(add));
            }
            commit.removed |= action.remove.is_some_and(|remove| remove.data_change);
            if let Some(metadata) = action.metadata {
                self.check_configuration(|name| metadata.configuration.get(name)?.clone())?;
                let schema: Value = serde_json::from_str(&metadata.schema_string)
                    .map_err(|e| self.damaged(version, e))?;
                commit.columns = schema.get("fields").and_then(Value::as_array).cloned();
            }
        }
        Ok(Some(commit))
    }

    /// The whole table at a version, or at its newest one. The table must exist.
    pub fn snapshot(&self, version: Option<Version>) -> Result<Snapshot> {
        let path = self.table.to_str().ok_or_else(|| {
            Error::input("INVALID_PATH", format!("the path {} is not UTF-8", self.shown))
                .hint("rename the folder")
        })?;
        let load = async {
            let mut builder =
                deltalake::DeltaTableBuilder::from_url(deltalake::ensure_table_uri(path)?)?;
            if let Some(version) = version {
                builder = builder.with_version(version);
            }
            builder.load().await
        };
        let table = plan::wait(load)?.map_err(|e| Error::from(e).context(&self.shown))?;
        let state = table.snapshot()?;
        self.check_configuration(|name| state.metadata().configuration().get(name).cloned())?;
        let mut files: Vec<_> = state
            .log_data()
            .iter()
            .map(|view| {
                let file = DataFile {
                    path: PathBuf::from(&*view.path()),
                    size: view.size().try_into().unwrap_or(0),
                    partition: view.partition_values_map().into_iter().collect(),
                    deletion_vector: view.deletion_vector_descriptor().is_some(),
                };
                (view.modification_time(), file)
            })
            .collect();
        files.sort_by(|a, b| (a.0, &a.1.path).cmp(&(b.0, &b.1.path)));
        Ok(Snapshot {
            version: state.version(),
            files: files.into_iter().map(|(_, file)| file).collect(),
            schema: state.snapshot().arrow_schema(),
        })
    }

    /// A data file as the user would name it.
    pub fn file_shown(&self, file: &DataFile) -> String {
        format!("{}/{}", self.shown, file.path.display())
    }

    /// Reads a data file.
    pub fn read(
        &self,
        file: &DataFile,
        schema: &SchemaRef,
    ) -> Result<Vec<arrow::array::RecordBatch>> {
        let shown = self.file_shown(file);
        if file.deletion_vector {
            return Err(Error::input(
                "UNSUPPORTED_FEATURE.DELTA_DELETION_VECTORS",
                format!("{shown} has rows that are deleted by a deletion vector"),
            )
            .hint("run REORG TABLE … APPLY (PURGE) on the table with the engine that wrote it"));
        }
        parquet::read(&self.table.join(&file.path), &shown, schema, &file.partition)
    }

    fn check_configuration(&self, value: impl Fn(&str) -> Option<String>) -> Result<()> {
        match value("delta.columnMapping.mode").as_deref() {
            None | Some("none") => Ok(()),
            Some(mode) => Err(Error::input(
                "UNSUPPORTED_FEATURE.DELTA_COLUMN_MAPPING",
                format!("the table {} maps its columns by {mode}", self.shown),
            )
            .hint("copy it into a table without delta.columnMapping.mode")),
        }
    }

    fn damaged(&self, version: Version, error: serde_json::Error) -> Error {
        Error::files(
            "DELTA_LOG_DAMAGED",
            format!("the log of {} cannot be read at version {version}: {error}", self.shown),
        )
        .hint(format!("look at {}", self.commit_path(version).display()))
    }
}

impl DataFile {
    fn from_add(add: Add) -> Self {
        Self {
            path: resolved(&add.path),
            size: add.size,
            partition: add.partition_values.into_iter().collect(),
            deletion_vector: add.deletion_vector.is_some_and(|v| !v.is_null()),
        }
    }
}

/// Whether this is what Delta's schema calls the type.
pub(super) fn is_type(ours: &DataType, delta: &Value) -> bool {
    let name = match ours {
        DataType::Boolean => "boolean",
        DataType::Int8 => "byte",
        DataType::Int16 => "short",
        DataType::Int32 => "integer",
        DataType::Int64 => "long",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 => "string",
        DataType::Binary => "binary",
        DataType::Date32 => "date",
        DataType::Timestamp(_, Some(_)) => "timestamp",
        DataType::Timestamp(_, None) => "timestamp_ntz",
        DataType::Decimal128(p, s) => return *delta == format!("decimal({p},{s})"),
        DataType::List(item) => return is_type(item.data_type(), &delta["elementType"]),
        DataType::Map(entry, _) => {
            return match entry.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    is_type(pair[0].data_type(), &delta["keyType"])
                        && is_type(pair[1].data_type(), &delta["valueType"])
                }
                _ => false,
            };
        }
        DataType::Struct(fields) => {
            let theirs = delta.get("fields").and_then(Value::as_array);
            return theirs.is_some_and(|theirs| {
                theirs.len() == fields.len()
                    && fields.iter().zip(theirs).all(|(ours, theirs)| {
                        theirs["name"] == *ours.name().as_str()
                            && is_type(ours.data_type(), &theirs["type"])
                    })
            });
        }
        _ => return false,
    };
    delta == name
}

/// A path of the log: `%20` is a blank; an absolute one is `file:///…`.
fn resolved(path: &str) -> PathBuf {
    let path = path.strip_prefix("file://").unwrap_or(path).as_bytes();
    let digit = |at: usize| path.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut bytes = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        match (path[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    super::taken::path_from_bytes(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_path_of_the_log_is_resolved() {
        assert_eq!(resolved("k=a%20b/part-0%25.parquet"), Path::new("k=a b/part-0%.parquet"));
        assert_eq!(resolved("file:///data/x.parquet"), Path::new("/data/x.parquet"));
        assert_eq!(resolved("100%"), Path::new("100%"));
    }
}
