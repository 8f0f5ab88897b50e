//! A project in a temporary folder, on a clock that moves only when told to.
//!
//! Takes a pipeline's text and lines for its tables, gives step reports. The queries are opened
//! through the same door as by `strandline run`; only the sink may be one in memory. The folder goes
//! when the world does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::input::{Input, leads_out, outside};
use crate::durable::{Disk, Durability};
use crate::engine::pipeline::{Pipeline, Project, rejected_table};
use crate::engine::query::{Query, StepReport};
use crate::engine::resumed::Resumed;
use crate::engine::tables::Tables;
use crate::error::{Error, Result};
use crate::sinks::MemorySink;
use crate::sources::Admit;
use crate::sql;
use crate::time::{ManualClock, Millis};

/// When the clock of a world starts: 2026-01-01T13:00:00Z, in milliseconds.
const START: Millis = 1_767_272_400_000;

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
    input: Input,
    pipeline: Option<Pipeline>,
    open: Vec<Query>,
    sinks: BTreeMap<String, MemorySink>,
}

impl World {
    /// An empty project. Still tables are copied from `lender`, if there is one.
    pub fn new(lender: Option<&Path>) -> Result<World> {
        let folder = tempfile::tempdir()
            .map_err(|e| Error::io("make a folder in", &std::env::temp_dir(), e))?;
        let clock = Arc::new(ManualClock::at(START));
        let project = Project {
            folder: folder.path().to_path_buf(),
            disk: Disk::new(Durability::Fast),
            clock: clock.clone(),
        };
        let input = Input::new(project.clone(), lender.map(Path::to_path_buf));
        let (open, sinks) = (vec![], BTreeMap::new());
        Ok(World { folder, clock, project, input, pipeline: None, open, sinks })
    }

    /// Plans a pipeline, whose tables have their folders and the rows that came before. `name` is
    /// what errors call it.
    pub fn plan(&mut self, name: &str, text: &str) -> Result<()> {
        self.stop();
        self.input.declare(&sql::parse(name, text)?)?;
        let pipeline = Pipeline::plan(&self.project, name, text)?;
        self.input.check_still_tables(&pipeline)?;
        self.pipeline = Some(pipeline);
        Ok(())
    }

    /// Opens every query of the pipeline, each on its checkpoint. Gives what those found that have
    /// something to say, with their names.
    pub fn start(&mut self, output: Output) -> Result<Vec<(String, Resumed)>> {
        self.open.clear();
        let pipeline = self.pipeline.as_ref();
        let pipeline = pipeline.ok_or_else(|| {
            Error::usage("NOT_STARTED", "there is no pipeline to start")
                .hint("write `pipeline` first")
        })?;
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
        let found = self.open.iter().filter_map(|query| {
            query.resumed().map(|resumed| (query.name().to_owned(), resumed.clone()))
        });
        Ok(found.collect())
    }

    /// Whether the queries are open.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether the pipeline has more than one query.
    pub fn has_several(&self) -> bool {
        self.pipeline.as_ref().is_some_and(|pipeline| pipeline.queries.len() > 1)
    }

    /// Drops the queries, as the end of the process would; gives their names.
    pub fn stop(&mut self) -> Vec<String> {
        self.open.drain(..).map(|query| query.name().to_owned()).collect()
    }

    /// Drops one file of these lines into a table's folder, newer than all before it; for a table of
    /// Parquet or Delta they are JSON, and become rows. What comes before a pipeline is planned waits for it.
    pub fn add(&mut self, table: &str, lines: &str) -> Result<()> {
        self.input.add(table, lines, self.pipeline.is_some())
    }

    /// One batch of a query (without a name: of the first), if there is one to run.
    pub fn step(&mut self, name: Option<&str>) -> Result<Option<StepReport>> {
        self.query(name)?.step(Admit::Limited)
    }

    /// All batches that a query (without a name: the first) can run now.
    pub fn run(&mut self, name: Option<&str>) -> Result<Vec<StepReport>> {
        let query = self.query(name)?;
        std::iter::from_fn(|| query.step(Admit::Limited).transpose()).collect()
    }

    /// All batches that any query can run now, in the order of the text: again, where one writes
    /// what an earlier one reads.
    pub fn run_all(&mut self) -> Result<Vec<StepReport>> {
        self.query(None)?;
        let mut reports = vec![];
        loop {
            let before = reports.len();
            for query in &mut self.open {
                while let Some(report) = query.step(Admit::Limited)? {
                    reports.push(report);
                }
            }
            if reports.len() == before {
                return Ok(reports);
            }
        }
    }

    /// Runs batches of a query (without a name: of the first) until nothing waits for the watermark.
    pub fn close(&mut self, name: Option<&str>) -> Result<Vec<StepReport>> {
        let query = self.query(name)?;
        std::iter::from_fn(|| query.step_to_end("the script says so").transpose()).collect()
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
        for question in sql::questions("table", &format!("SELECT * FROM {name}"))? {
            rows.extend(tables.ask(&question)?.rows);
        }
        Ok(rows)
    }

    /// The rows that a query (without a name: the first) has rejected so far, as they are in its
    /// table; none, if there is no table yet.
    pub fn rejected(&mut self, name: Option<&str>, output: Output) -> Result<Vec<RecordBatch>> {
        if output == Output::Memory {
            return Err(Error::usage("NO_TABLE", "rejected rows are kept beside a Delta table")
                .hint("write `pipeline into delta`, or `pipeline FILE.sql`"));
        }
        let table = rejected_table(self.query(name)?.name());
        if self.project.table(&table).exists() { self.table(&table) } else { Ok(vec![]) }
    }

    /// Removes a folder of the project.
    pub fn remove(&mut self, folder: &str) -> Result<()> {
        if leads_out(folder) {
            return Err(outside(folder));
        }
        let path = self.project.folder.join(folder);
        fs::remove_dir_all(&path).map_err(|e| Error::io("remove", &path, e))
    }

    /// An error as a person reads it, without the name of the temporary folder.
    pub fn explain(&self, error: &Error) -> String {
        let hint = error.hint_text().map(|hint| format!("\nhelp: {hint}")).unwrap_or_default();
        self.without_folder(&format!("error: {error}{hint}"))
    }

    /// A text without the name of the temporary folder, which is another one each time.
    pub fn without_folder(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "PROJECT")
    }

    pub(super) fn query(&mut self, name: Option<&str>) -> Result<&mut Query> {
        let wanted = |query: &&mut Query| name.is_none_or(|name| query.name() == name);
        self.open.iter_mut().find(wanted).ok_or_else(|| {
            let what = match name {
                Some(name) => format!("no query {name} is open"),
                None => "no query is open".to_owned(),
            };
            Error::usage("NOT_STARTED", what).hint("write `pipeline` or `start` before")
        })
    }
}
