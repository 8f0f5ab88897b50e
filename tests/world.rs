//! A project in a temporary folder, on a clock that moves only when told to.
//!
//! Takes a pipeline's text and lines of JSON, gives step reports. The queries are opened through
//! the same door as by `strandline run`; only the sink may be one in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use serde_json::Value;
use strandline::durable::{Disk, Durability};
use strandline::engine::pipeline::{Pipeline, Project};
use strandline::engine::query::{Query, StepReport};
use strandline::engine::tables::Tables;
use strandline::error::{Error, Result};
use strandline::sinks::MemorySink;
use strandline::sources::Admit;
use strandline::time::ManualClock;

/// When the clock of a world starts: 2026-01-01T13:00:00Z, in milliseconds.
const START: i64 = 1_767_272_400_000;

/// The time of the first file, 2026-01-01T00:00:00Z, in seconds; each later file is a second newer.
const FIRST_FILE: u64 = 1_767_225_600;

/// Where results go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A sink in memory that outlives a restart.
    Memory,
    /// The Delta table `data/<name>`, as in the program.
    Delta,
}

/// A project, its pipeline and its open queries.
pub struct World {
    folder: tempfile::TempDir,
    /// The clock that batch times come from.
    pub clock: Arc<ManualClock>,
    /// The project.
    pub project: Project,
    pipeline: Option<Pipeline>,
    open: Vec<Query>,
    sinks: BTreeMap<String, MemorySink>,
    files: u64,
}

impl World {
    /// An empty project.
    pub fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let project = Project {
            folder: folder.path().to_path_buf(),
            disk: Disk::new(Durability::Fast),
            clock: clock.clone(),
        };
        let (open, sinks) = (vec![], BTreeMap::new());
        World { folder, clock, project, pipeline: None, open, sinks, files: 0 }
    }

    /// Plans a pipeline and makes `input/<table>` for each table that it declares.
    pub fn plan(&mut self, text: &str) -> Result<()> {
        self.stop();
        let pipeline = Pipeline::plan(&self.project, "pipeline.sql", text)?;
        for table in &pipeline.tables {
            fs::create_dir_all(self.input(&table.definition.name)).unwrap();
        }
        self.pipeline = Some(pipeline);
        Ok(())
    }

    /// Opens every query of the pipeline, each on its checkpoint.
    pub fn start(&mut self, output: Output) -> Result<()> {
        let pipeline = self.pipeline.as_ref().expect("a pipeline is planned before it is started");
        for planned in &pipeline.queries {
            let query = match output {
                Output::Delta => pipeline.open(planned)?,
                Output::Memory => {
                    let sink = self.sinks.entry(planned.name.clone()).or_default().clone();
                    pipeline.open_into(planned, Box::new(move |_| Ok(Box::new(sink))))?
                }
            };
            self.open.push(query);
        }
        Ok(())
    }

    /// Whether the queries are open.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Drops the queries, as the end of the process would.
    pub fn stop(&mut self) {
        self.open.clear();
    }

    /// Makes the last batch of every query look as if the process had died between writing the
    /// output (step 8) and the commit (step 9).
    pub fn die_before_commit(&mut self) {
        let batches: Vec<_> =
            self.open.iter().map(|q| (q.name().to_string(), q.next_batch())).collect();
        self.stop();
        for (name, next) in batches {
            let commit =
                self.project.checkpoint(&name).join("commits").join((next - 1).to_string());
            fs::remove_file(commit).unwrap();
        }
    }

    /// Drops one file into a table's folder, newer than all before it.
    pub fn add(&mut self, table: &str, lines: &str) {
        let path = self.input(table).join(format!("{:04}.json", self.files));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, lines).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(FIRST_FILE + self.files);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        self.files += 1;
    }

    /// One batch of a query (without a name: of the first), if there is one to run.
    pub fn step(&mut self, name: Option<&str>) -> Result<Option<StepReport>> {
        let wanted = |query: &&mut Query| name.is_none_or(|name| query.name() == name);
        let query = self.open.iter_mut().find(wanted);
        let query = query.ok_or_else(|| Error::usage("NOT_STARTED", "no such query is open"))?;
        query.step(Admit::Limited)
    }

    /// All batches that the first query can run now.
    pub fn run(&mut self) -> Result<Vec<StepReport>> {
        std::iter::from_fn(|| self.step(None).transpose()).collect()
    }

    /// The batches that the sink in memory of a query holds, in order.
    pub fn written(&self, name: &str) -> Vec<RecordBatch> {
        let batches = self.sinks.get(name).map(MemorySink::batches).unwrap_or_default();
        batches.into_iter().flat_map(|(_, rows)| rows).collect()
    }

    /// The rows that are in a Delta table now.
    pub fn table(&self, name: &str) -> Result<Vec<RecordBatch>> {
        let tables = Tables::open(&self.project, None)?;
        let mut rows = vec![];
        for question in strandline::sql::questions("table", &format!("SELECT * FROM {name}"))? {
            rows.extend(tables.ask(&question)?.rows);
        }
        Ok(rows)
    }

    /// The watermark that the next batch of a query will run with.
    pub fn next_watermark(&self, name: &str) -> Result<Option<i64>> {
        Ok(strandline::checkpoint::summary(&self.project.checkpoint(name))?.watermark_ms)
    }

    /// An error as a person reads it, without the name of the temporary folder.
    pub fn explain(&self, error: &Error) -> String {
        let hint = error.hint_text().map(|hint| format!("\nhelp: {hint}")).unwrap_or_default();
        let folder = self.folder.path().display().to_string();
        format!("error: {error}{hint}").replace(&folder, "PROJECT")
    }

    fn input(&self, table: &str) -> PathBuf {
        self.folder.path().join("input").join(table)
    }
}

/// Rows as JSON objects, NULLs included.
pub fn json(rows: &[RecordBatch]) -> Vec<Value> {
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(vec![]);
    rows.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
