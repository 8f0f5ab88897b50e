//! One stream of a query, as one sees it from outside: what it has given, what waits, what is left out.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

use crate::batch::BatchId;
use crate::checkpoint::View;
use crate::error::{Error, Result};
use crate::sources::files::left_out::{self, LeftOut};
use crate::sources::{Admit, Source, SourceRead, Take, Taken, taken_files};
use crate::sql::{TableFormat, TableRead};

use super::super::assemble::Assembly;
use super::super::declared::{format_name, pairs};
use super::super::pipeline::{Pipeline, PlannedQuery};
use super::super::query::Origin;

/// One stream of a query.
pub struct StreamLook {
    /// Which of the plan's reads it is.
    pub read: usize,
    /// The table as the query calls it.
    pub table: String,
    /// Where its data lies, as the user wrote it: `input/events`.
    pub place: String,
    /// `json`, `csv`, `parquet`, `text` or `delta`.
    pub format: &'static str,
    /// Its options.
    pub options: Vec<(String, String)>,
    /// Whether a streaming query of the same file writes the table.
    pub upstream: bool,
    /// The stream itself; the error says why it cannot be opened.
    pub source: Result<Box<dyn Source>>,
    /// All that no batch has taken yet.
    pub waiting: Option<Take>,
    /// What each batch took.
    pub takes: Vec<(BatchId, Take)>,
    /// The files that are not input.
    pub left_out: Vec<LeftOut>,
    /// The folder that is listed.
    pub folder: PathBuf,
}

impl Pipeline {
    /// The streams of a query.
    pub(super) fn streams(
        &self,
        query: &PlannedQuery,
        assembly: &Assembly,
        past: &View,
    ) -> Vec<StreamLook> {
        let reads = query.plan.reads.iter().enumerate();
        // A read that the optimiser found useless is not in the plan, and is not read.
        let used = reads.filter(|(number, read)| {
            read.streaming && assembly.inputs.iter().any(|input| input.read == *number)
        });
        let streams = used.enumerate().map(|(source, (number, read))| {
            let takes = past.takes.get(source).cloned().unwrap_or_default();
            self.stream(number, read, takes)
        });
        streams.collect()
    }

    fn stream(&self, number: usize, read: &TableRead, takes: Vec<(BatchId, Take)>) -> StreamLook {
        let same = |name: &str| name.eq_ignore_ascii_case(&read.table);
        let declared = self.tables.iter().find(|table| same(&table.definition.name));
        let upstream = self.queries.iter().find(|query| same(&query.name));
        let (place, format, options) = match (upstream, declared) {
            (Some(query), _) => (format!("data/{}", query.name), "delta", vec![]),
            (None, Some(table)) => {
                let mut options = table.definition.options.clone();
                options.extend(&read.options);
                let definition = &table.definition;
                (definition.location.clone(), format_name(definition.format), pairs(&options))
            }
            (None, None) => (read.table.clone(), "delta", vec![]),
        };
        let is_files = declared.is_some_and(|t| t.definition.format != TableFormat::Delta);
        let project = &self.project.folder;
        let mut left = vec![];
        let mut folder = PathBuf::from(&place);
        if is_files {
            left = left_out::left_out(project, format, &place, &options).unwrap_or_default();
            folder = left_out::folder(project, &place).map_or(folder, |(folder, _)| folder);
        }
        let mut waiting = None;
        let source = self.opened(read, &takes).and_then(|mut source| {
            waiting = source.next(Admit::Everything)?;
            Ok(source)
        });
        StreamLook {
            read: number,
            table: read.table.clone(),
            place,
            format,
            options,
            upstream: upstream.is_some(),
            source,
            waiting,
            takes,
            left_out: left,
            folder,
        }
    }

    /// The stream as it is after these takes, with all its columns.
    fn opened(&self, read: &TableRead, takes: &[(BatchId, Take)]) -> Result<Box<dyn Source>> {
        match self.origin(read)? {
            Origin::Stream(mut source) => {
                takes.iter().try_for_each(|(_, take)| source.decided(take))?;
                let all = source.schema();
                let wanted = read.slot.schema().fields().iter();
                let columns = wanted.map(|field| all.index_of(field.name()));
                source.project(&columns.collect::<Result<Vec<_>, _>>()?)?;
                Ok(source)
            }
            Origin::Still(_) => Err(Error::internal("a stream was opened as a still table")),
        }
    }
}

impl StreamLook {
    /// The files that no batch has taken yet; none where the stream is no folder of files.
    pub fn waiting_files(&self) -> Vec<Taken> {
        self.waiting.as_ref().map(files_of).unwrap_or_default()
    }

    /// How many files all batches took.
    pub fn taken_files(&self) -> usize {
        self.takes.iter().map(|(_, take)| files_of(take).len()).sum()
    }

    /// The rows of a take, with all columns of the table.
    pub fn read(&mut self, take: &Take) -> Result<SourceRead> {
        match &mut self.source {
            Ok(source) => source.read(take),
            Err(error) => Err(Error::input(error.condition().to_owned(), error.message())),
        }
    }

    /// The rows of one of the files that batches take, with all columns of the table, and their places; `None`:
    /// the file has gone or changed.
    pub fn read_file(&mut self, file: &Taken) -> Option<(Vec<RowPlace>, Vec<RecordBatch>)> {
        let read = self.read(&serde_json::json!({ "files": [file.to_json()] })).ok()?;
        let has_lines = self.format != "parquet";
        let place = |row: u64| RowPlace {
            file: file.path.display().to_string(),
            line: read.places.find(row).map(|place| place.line).filter(|_| has_lines),
            row,
        };
        let places = (0..read.rows() as u64).map(place).collect();
        Some((places, read.batches))
    }

    /// Whether the folder that it looks into is there.
    pub fn folder_exists(&self, project: &Path) -> bool {
        project.join(&self.folder).is_dir()
    }
}

/// The files of a take; none where it is one of versions.
pub fn files_of(take: &Take) -> Vec<Taken> {
    taken_files(take).unwrap_or_default()
}

/// Where a row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPlace {
    /// The file, as the user would name it.
    pub file: String,
    /// Its line there, from 1, where the file has lines.
    pub line: Option<u64>,
    /// Which of the file's rows it is, from 0.
    pub row: u64,
}

impl std::fmt::Display for RowPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}", self.file),
            None => write!(f, "{}, row {}", self.file, self.row + 1),
        }
    }
}

/// One row of some batches that follow each other.
pub fn row_of(batches: &[RecordBatch], row: usize) -> Option<RecordBatch> {
    let mut before = 0;
    for batch in batches {
        if row < before + batch.num_rows() {
            return Some(batch.slice(row - before, 1));
        }
        before += batch.num_rows();
    }
    None
}
