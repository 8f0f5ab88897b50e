//! What lies in the folders of a script's tables.
//!
//! A table's folder holds what the script has put there, one file at a time, each newer than all
//! before. A still table that the script gives no rows is the user's: it is copied from the user's
//! project before the pipeline is planned. The folder of a stream is never copied, nor a table that
//! the pipeline itself writes. Nothing is written outside of the temporary project.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::binary;
use crate::engine::pipeline::{Pipeline, Project};
use crate::error::{Error, Result};
use crate::sql::{self, Statement, TableDefinition, TableFormat};

/// The time of the first file, 2026-01-01T00:00:00Z, in seconds; each later file is a second newer.
const FIRST_FILE: u64 = 1_767_225_600;

/// Where a source may move its files to, if it is told to.
const ARCHIVE: &str = "sourceArchiveDir";

/// The folders of the tables of a project.
pub(super) struct Input {
    project: Project,
    /// The project that still tables are copied from.
    lender: Option<PathBuf>,
    /// The tables that the pipelines so far have declared, by their names in lower case.
    tables: BTreeMap<String, TableDefinition>,
    /// Files for tables that no pipeline has declared yet.
    waiting: Vec<(String, String)>,
    /// How many files there were.
    files: u64,
}

impl Input {
    /// No table yet.
    pub(super) fn new(project: Project, lender: Option<PathBuf>) -> Self {
        Self { project, lender, tables: BTreeMap::new(), waiting: vec![], files: 0 }
    }

    /// Makes the folders of the tables that a pipeline declares, with what is the user's and with
    /// the files that waited for them.
    pub(super) fn declare(&mut self, pipeline: &sql::Pipeline) -> Result<()> {
        let streams = pipeline.streams();
        let given: Vec<String> = self.waiting.iter().map(|(table, _)| key(table)).collect();
        let (mut without, mut borrowed) = (vec![], vec![]);
        for statement in &pipeline.statements {
            let table = match statement {
                Statement::Table(table) => table,
                Statement::StreamingTable(query) => {
                    without.push(self.project.table(&query.name));
                    continue;
                }
                _ => continue,
            };
            let (name, folder) = (key(&table.name), self.folder(table)?);
            let is_stream = streams.contains(&name);
            if table.format != TableFormat::Delta && (is_stream || self.lender.is_none()) {
                make(&folder)?;
            }
            if is_stream {
                without.push(folder);
            } else if !given.contains(&name) {
                borrowed.push(table);
            }
            self.tables.insert(name, table.clone());
        }
        borrowed.into_iter().try_for_each(|table| self.borrow(table, &without))?;
        for (table, lines) in std::mem::take(&mut self.waiting) {
            self.drop_file(&table, &lines)?;
        }
        Ok(())
    }

    /// A still table of which nothing is there is a mistake of the script, or of where it is played.
    pub(super) fn check_still_tables(&self, pipeline: &Pipeline) -> Result<()> {
        let Some(lender) = &self.lender else { return Ok(()) };
        let reads = pipeline.queries.iter().flat_map(|query| &query.plan.reads);
        for read in reads.filter(|read| !read.streaming) {
            let Some(table) = self.tables.get(&key(&read.table)) else { continue };
            let folder = self.folder(table)?;
            let is_written = pipeline.queries.iter().any(|q| self.project.table(&q.name) == folder);
            if is_written || folder.exists() {
                continue;
            }
            let (name, there) = (&table.name, lender.join(&table.location));
            let what =
                format!("the script gives {name} no rows, and {} is not there", there.display());
            return Err(Error::input("STILL_TABLE_NOT_FOUND", what).hint(format!(
                "write `add {name}` with its rows before `pipeline`, or name the project that has \
                 it with --project"
            )));
        }
        Ok(())
    }

    /// Drops one file of these lines into a table's folder; for a table of Parquet or Delta they
    /// are JSON, and become rows. A file for a table that no pipeline has declared waits for the first that is declared.
    pub(super) fn add(&mut self, table: &str, lines: &str, is_planned: bool) -> Result<()> {
        if is_planned || self.tables.contains_key(&key(table)) {
            return self.drop_file(table, lines);
        }
        self.waiting.push((table.to_owned(), lines.to_owned()));
        Ok(())
    }

    fn drop_file(&mut self, table: &str, lines: &str) -> Result<()> {
        let (name, below) = table.split_once('/').unwrap_or((table, ""));
        let definition = self.tables.get(&key(name)).ok_or_else(|| self.unknown(name))?;
        if leads_out(below) {
            return Err(outside(table));
        }
        let folder = self.folder(definition)?;
        if definition.format == TableFormat::Delta {
            let rows = binary::rows(definition, lines)?;
            binary::append_delta(self.project.disk, &folder, self.files, rows)?;
            self.files += 1;
            return Ok(());
        }
        let mut path = folder.join(below);
        if path.extension().is_none() || below.is_empty() {
            path.push(format!("{:04}.{}", self.files, extension(definition.format)));
        }
        path.parent().map(make).transpose()?;
        match definition.format {
            TableFormat::Parquet => {
                binary::write_parquet(&path, &binary::rows(definition, lines)?)?;
            }
            _ => fs::write(&path, lines).map_err(|e| Error::io("write", &path, e))?,
        }
        let time = UNIX_EPOCH + Duration::from_secs(FIRST_FILE + self.files);
        let file = File::options().write(true).open(&path);
        let dated = file.and_then(|file| file.set_modified(time));
        dated.map_err(|e| Error::io("date", &path, e))?;
        self.files += 1;
        Ok(())
    }

    fn unknown(&self, name: &str) -> Error {
        let error = Error::usage("TABLE_OR_VIEW_NOT_FOUND", format!("no table {name} is declared"));
        match sql::nearest(name, self.tables.values().map(|table| table.name.as_str())) {
            Some(near) => error.hint(format!("did you mean '{near}'?")),
            None => error.hint("rows are added to what CREATE TABLE … USING declares"),
        }
    }

    /// The folder of a table, in the temporary project.
    fn folder(&self, table: &TableDefinition) -> Result<PathBuf> {
        let archive = table.options.get(ARCHIVE);
        if leads_out(&table.location) || archive.is_some_and(leads_out) {
            return Err(outside(&format!("the table {}", table.name)));
        }
        Ok(self.project.folder.join(&table.location))
    }

    /// Copies a still table of the user's project into this one, if it is there, but for these
    /// folders.
    fn borrow(&self, table: &TableDefinition, without: &[PathBuf]) -> Result<()> {
        let Some(lender) = &self.lender else { return Ok(()) };
        let from = lender.join(&table.location);
        let to = self.folder(table)?;
        if from.exists() { copy(&from, &to, without) } else { Ok(()) }
    }
}

/// How a file of a table is called at its end.
fn extension(format: TableFormat) -> &'static str {
    match format {
        TableFormat::Json => "json",
        TableFormat::Csv => "csv",
        TableFormat::Text => "txt",
        TableFormat::Parquet | TableFormat::Delta => "parquet",
    }
}

/// What a table is found by: names have no case, and a folder below a table is not its name.
fn key(table: &str) -> String {
    table.split('/').next().unwrap_or(table).to_lowercase()
}

/// Whether a path leaves the folder from which it is named.
pub(super) fn leads_out(path: &str) -> bool {
    let stays = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !Path::new(path).components().all(stays)
}

/// The error that something names a path that [`leads_out`].
pub(super) fn outside(what: &str) -> Error {
    Error::usage("OUTSIDE_OF_PROJECT", format!("{what} leads out of the project's folder"))
        .hint("a test touches nothing outside of its own project: write a path relative to it")
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, e))
}

/// Copies a file, or a folder with all that it holds but what would become one of `without`.
fn copy(from: &Path, to: &Path, without: &[PathBuf]) -> Result<()> {
    if without.iter().any(|folder| folder == to) {
        return Ok(());
    }
    if from.is_file() {
        to.parent().map(make).transpose()?;
        return fs::copy(from, to).map(drop).map_err(|e| Error::io("copy", from, e));
    }
    make(to)?;
    for name in crate::durable::names(from)? {
        copy(&from.join(&name), &to.join(&name), without)?;
    }
    Ok(())
}
