//! A Delta table as a stream: takes a table's folder, gives each row that was ever added, once.
//!
//! The stream begins with the whole table as it is at its start (a snapshot), and goes on commit
//! by commit. A place in it is a version and how many of that version's files are taken, so a
//! [`Take`] is `{"from":{"version":3,"index":0},"to":{"version":5,"index":2}}`: the files from the
//! first place up to, not including, the second; in a snapshot a place also says
//! `"snapshot":true`. Delta's rules hold: files that were only rewritten (`dataChange` false) are
//! not news; a commit that takes rows away stops the stream, unless `skipChangeCommits` says to
//! leave out such commits whole.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde_json::{Value, json};

use super::delta_log::{Commit, DataFile, DeltaLog, Version, is_type};
use super::listing::below_project;
use super::options::{Options, Rule};
use super::{Admit, Place, Source, SourceRead, Take, Watched, Writers, json as json_lines, whole};
use crate::error::{Error, Result};

/// Delta's options of a table that is read as a stream and what becomes of them here.
pub(super) const OPTIONS: &[(&str, Rule)] = &[
    ("path", Rule::Honoured),
    ("maxFilesPerTrigger", Rule::Honoured),
    ("maxBytesPerTrigger", Rule::Honoured),
    ("skipChangeCommits", Rule::Honoured),
    ("startingVersion", Rule::Honoured),
    ("excludeRegex", Rule::Only("")),
    ("failOnDataLoss", Rule::Only("true")),
    ("ignoreChanges", Rule::Only("false")),
    ("ignoreDeletes", Rule::Only("false")),
    ("readChangeFeed", Rule::Only("false")),
    ("schemaTrackingLocation", Rule::Only("")),
    ("startingTimestamp", Rule::Only("")),
    ("withEventTimeOrder", Rule::Only("false")),
];

/// Files of one batch, unless `maxFilesPerTrigger` says otherwise: Delta's default.
const MOST_FILES: u64 = 1000;

/// A place in the stream: all before it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    version: Version,
    /// How many files of the version are taken.
    index: u64,
    /// The version is read as a whole table, not as a commit.
    snapshot: bool,
}

/// Where a new stream begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// With the table as it is then.
    Snapshot,
    /// With what comes after the newest version.
    Latest,
    /// With this commit.
    Version(Version),
}

/// A Delta table on this machine, read as a stream.
pub struct DeltaSource {
    log: DeltaLog,
    schema: SchemaRef,
    projected: SchemaRef,
    most_files: u64,
    most_bytes: u64,
    skip_change_commits: bool,
    start: Start,
    /// `None`: the table did not exist yet.
    position: Option<Position>,
    /// Nothing from this version on is taken.
    end: Option<Version>,
    /// The files of the version that was read last: a big one is taken over many batches.
    last: Option<(Version, bool, Vec<DataFile>)>,
    /// Whether the first look at the log found it to be the one that the position is from.
    checked: bool,
}

impl DeltaSource {
    /// A table as a stream. `path` is as the user wrote it, relative to `project`; `schema` says
    /// the columns (see [`super::still::StillTable`] for those of a table that exists). The table
    /// need not exist yet.
    pub fn open(
        project: &Path,
        path: &str,
        schema: SchemaRef,
        options: &[(String, String)],
    ) -> Result<Self> {
        let options = Options::new(options, &[OPTIONS])?;
        let start = match options.get("startingVersion") {
            None => Start::Snapshot,
            Some(latest) if latest.eq_ignore_ascii_case("latest") => Start::Latest,
            Some(version) => Start::Version(
                version
                    .parse()
                    .map_err(|_| options.invalid("startingVersion", "a number or latest"))?,
            ),
        };
        let schema = json_lines::nullable(&schema);
        Ok(Self {
            log: DeltaLog::new(project.join(below_project(project, path)), path),
            projected: schema.clone(),
            schema,
            most_files: options.count("maxFilesPerTrigger")?.unwrap_or(MOST_FILES),
            most_bytes: options.bytes("maxBytesPerTrigger")?.unwrap_or(u64::MAX),
            skip_change_commits: options.flag("skipChangeCommits", false)?,
            start,
            position: None,
            end: None,
            last: None,
            checked: false,
        })
    }

    /// Where the next batch begins; `None`: there is no table yet.
    fn position(&mut self) -> Result<Option<Position>> {
        if self.position.is_none() && self.log.exists() {
            let commit = |version| Position { version, index: 0, snapshot: false };
            self.position = Some(match self.start {
                Start::Version(version) => commit(version),
                Start::Latest => commit(self.log.newest()?.map_or(0, |newest| newest + 1)),
                Start::Snapshot => {
                    let snapshot = self.log.snapshot(None)?;
                    let version = snapshot.version;
                    self.last = Some((version, true, snapshot.files));
                    Position { version, index: 0, snapshot: true }
                }
            });
        }
        Ok(self.position)
    }

    /// The files of the version at a place; `None`: there is no such version yet.
    fn files_at(&mut self, at: Position) -> Result<Option<&[DataFile]>> {
        let is_last = |last: &(Version, bool, _)| (last.0, last.1) == (at.version, at.snapshot);
        if !self.last.as_ref().is_some_and(is_last) {
            let files = if at.snapshot {
                self.log.snapshot(Some(at.version))?.files
            } else {
                match self.log.commit(at.version)? {
                    Some(commit) => self.news(at.version, commit)?,
                    None => return Ok(None),
                }
            };
            self.last = Some((at.version, at.snapshot, files));
        }
        Ok(self.last.as_ref().map(|(_, _, files)| files.as_slice()))
    }

    /// The files of a take, in their order.
    fn files_of(&mut self, take: &Take) -> Result<Vec<DataFile>> {
        let (mut at, to) = positions(take)?;
        let mut taken = vec![];
        while at.version < to.version || (at.version == to.version && at.index < to.index) {
            let most = if at.version == to.version { to.index } else { u64::MAX };
            let Some(files) = self.files_at(at)? else { return Err(self.cleaned(at.version)) };
            taken.extend(files.iter().take(most as usize).skip(at.index as usize).cloned());
            at = Position { version: at.version + 1, index: 0, snapshot: false };
        }
        Ok(taken)
    }

    /// The files of a commit whose rows are new, by Delta's rules.
    fn news(&self, version: Version, commit: Commit) -> Result<Vec<DataFile>> {
        if let Some(columns) = &commit.columns {
            self.check_columns(version, columns)?;
        }
        if !commit.removed {
            return Ok(commit.added);
        }
        if self.skip_change_commits {
            return Ok(Vec::new());
        }
        let (condition, what) = match commit.added.is_empty() {
            true => ("DELTA_SOURCE_IGNORE_DELETE", "deleted"),
            false => ("DELTA_SOURCE_TABLE_IGNORE_CHANGES", "changed"),
        };
        let shown = self.log.shown();
        Err(Error::input(
            condition,
            format!("version {version} of {shown} has {what} rows, and a stream can only add rows"),
        )
        .hint(
            "read a table that is only appended to, or write STREAM table WITH (skipChangeCommits = true) \
             to leave out such versions",
        ))
    }

    /// Whether rows of a table with these columns fit the schema of this stream.
    fn check_columns(&self, version: Version, columns: &[Value]) -> Result<()> {
        for column in columns {
            let name = column.get("name").and_then(Value::as_str).unwrap_or_default();
            let ours = self.schema.field_with_name(name).ok();
            let same = ours.zip(column.get("type")).is_some_and(|(o, t)| is_type(o.data_type(), t));
            if !same {
                let shown = self.log.shown();
                return Err(Error::input(
                    "DELTA_SCHEMA_CHANGED_WITH_VERSION",
                    format!("version {version} of {shown} changes the column '{name}'"),
                )
                .hint("start again: a new run reads the table with its new columns"));
            }
        }
        Ok(())
    }

    /// At the first look: is this the log that the place in the stream is from?
    fn check_log(&mut self, at: Position) -> Result<()> {
        if !self.checked && !self.log.has(at.version) {
            let newest = self.log.newest()?;
            if newest.is_some_and(|newest| newest >= at.version) {
                return Err(self.cleaned(at.version));
            }
            if newest.is_none_or(|newest| newest + 1 < at.version) {
                return Err(Error::files(
                    "DELTA_TABLE_ID_MISMATCH",
                    format!(
                        "{} has fewer versions than this query has read: it is another table now",
                        self.log.shown()
                    ),
                )
                .hint(
                    "put the table back, or delete the query's checkpoint and table to begin anew",
                ));
            }
        }
        self.checked = true;
        Ok(())
    }

    fn cleaned(&self, version: Version) -> Error {
        Error::files(
            "DELTA_LOG_FILE_NOT_FOUND_FOR_STREAMING_SOURCE",
            format!("the log of {} does not have version {version} any more", self.log.shown()),
        )
        .hint(
            "rows of that version may be lost: delete the query's checkpoint and table to begin \
             anew, and keep the log longer (delta.logRetentionDuration)",
        )
    }

    /// How far a batch from here goes.
    fn reach(&mut self, from: Position, admit: Admit) -> Result<(Position, u64)> {
        let (most_files, most_bytes) = match admit {
            Admit::Limited => (self.most_files, self.most_bytes),
            Admit::Everything => (u64::MAX, u64::MAX),
        };
        let end = self.end;
        let (mut at, mut count, mut bytes) = (from, 0, 0u64);
        while end.is_none_or(|end| at.version < end) {
            let files = match self.files_at(at) {
                Ok(Some(files)) => files,
                Ok(None) => break,
                // What lies before it is still good.
                Err(_) if count > 0 => break,
                Err(e) => return Err(e),
            };
            for file in files.iter().skip(at.index as usize) {
                bytes = bytes.saturating_add(file.size);
                if count >= most_files || (count > 0 && bytes > most_bytes) {
                    return Ok((at, count));
                }
                count += 1;
                at.index += 1;
            }
            at = Position { version: at.version + 1, index: 0, snapshot: false };
        }
        Ok((at, count))
    }
}

impl Source for DeltaSource {
    fn description(&self) -> String {
        format!("DeltaSource[{}]", self.log.shown())
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn project(&mut self, columns: &[usize]) -> Result<()> {
        self.projected = self.schema.project(columns)?.into();
        Ok(())
    }

    fn freeze(&mut self) -> Result<()> {
        let Some(at) = self.position()? else {
            self.end = Some(0);
            return Ok(());
        };
        let mut end = at.version + u64::from(at.snapshot);
        while self.log.has(end) {
            end += 1;
        }
        self.end = Some(end);
        Ok(())
    }

    fn next(&mut self, admit: Admit) -> Result<Option<Take>> {
        let Some(from) = self.position()? else { return Ok(None) };
        if !from.snapshot {
            self.check_log(from)?;
        }
        let (to, count) = self.reach(from, admit)?;
        if count == 0 {
            // Versions without news are left behind; a restart walks over them again.
            self.position = Some(to);
            return Ok(None);
        }
        Ok(Some(json!({ "from": from.to_json(), "to": to.to_json() })))
    }

    fn decided(&mut self, take: &Take) -> Result<()> {
        self.position = Some(positions(take)?.1);
        Ok(())
    }

    fn read(&mut self, take: &Take) -> Result<SourceRead> {
        let mut read = SourceRead::default();
        let schema = self.projected.clone();
        for file in self.files_of(take)? {
            let batches = self.log.read(&file, &schema)?;
            let rows = batches.iter().map(RecordBatch::num_rows).sum();
            read.places.all(&self.log.file_shown(&file).into(), rows);
            read.batches.extend(batches);
        }
        Ok(read)
    }

    fn whole_rows(&mut self, take: &Take, places: &[Place]) -> Result<Vec<Option<String>>> {
        let mut rows: Vec<Option<String>> = vec![None; places.len()];
        for file in self.files_of(take)? {
            let name = self.log.file_shown(&file);
            let wanted: Vec<usize> =
                (0..places.len()).filter(|&at| *places[at].file == *name).collect();
            if wanted.is_empty() {
                continue;
            }
            let lines: Vec<u64> = wanted.iter().map(|&at| places[at].line).collect();
            let found = whole::rows_of(&self.log.read(&file, &self.schema)?, &lines)?;
            wanted.into_iter().zip(found).for_each(|(at, row)| rows[at] = row);
        }
        Ok(rows)
    }

    fn watched(&self) -> Option<Watched> {
        Some(Watched { folder: self.log.folder(), writers: Writers::default() })
    }
}

impl Position {
    fn to_json(self) -> Value {
        let mut place = json!({ "version": self.version, "index": self.index });
        if self.snapshot {
            place["snapshot"] = true.into();
        }
        place
    }

    fn from_json(place: &Value) -> Option<Self> {
        Some(Self {
            version: place.get("version")?.as_u64()?,
            index: place.get("index")?.as_u64()?,
            snapshot: place.get("snapshot").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

fn positions(take: &Take) -> Result<(Position, Position)> {
    let from = take.get("from").and_then(Position::from_json);
    let to = take.get("to").and_then(Position::from_json);
    from.zip(to).ok_or_else(|| {
        Error::checkpoint(
            "CHECKPOINT_UNREADABLE",
            format!("a batch was decided with something that is no range of versions: {take}"),
        )
        .hint("the checkpoint belongs to another kind of source, or was changed by hand")
    })
}

#[cfg(test)]
mod tests;
