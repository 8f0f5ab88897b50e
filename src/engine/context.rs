//! The front door from Rust: a project folder, and the tables that can be read from it.
//!
//! The names are those of Spark's `SparkSession`, `DataStreamReader` and `DataFrameReader`. What is
//! built here goes the same way as a pipeline's text: one plan, one checkpoint, one sink a query.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::frame::{Read, StreamFrame};
use super::handle::StreamingQuery;
use super::pipeline::{Pipeline, PlannedQuery, Project, Table};
use super::tables::Tables;
use crate::durable::Disk;
use crate::error::{Error, Result, Span};
use crate::sinks::MemorySink;
use crate::sql::{self, Options, TableDefinition, TableFormat, frame};
use crate::time::{SharedClock, SystemClock};

/// A project folder from which streams are read and into which queries write. Cheap to clone.
///
/// ```no_run
/// use strandline::prelude::*;
///
/// # fn main() -> Result<()> {
/// let ctx = StreamContext::new(".")?;
/// let query = ctx
///     .read_stream()
///     .format("json")
///     .schema("event_id STRING, event_type STRING, timestamp TIMESTAMP, value DOUBLE")
///     .load("input/events")?
///     .with_watermark("timestamp", "10 minutes")?
///     .group_by(vec![window(col("timestamp"), "5 minutes"), col("event_type")])
///     .agg(vec![count_all().alias("event_count"), avg(col("value")).alias("avg_value")])?
///     .write_stream()
///     .output_mode("update")
///     .query_name("event_aggregates")
///     .start()?;
/// query.await_termination()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StreamContext {
    pub(super) project: Project,
    memory: Arc<Mutex<BTreeMap<String, MemorySink>>>,
}

impl StreamContext {
    /// A context for the project in this folder, which must be there. All paths are relative to it.
    ///
    /// ```
    /// # fn main() -> strandline::error::Result<()> {
    /// let ctx = strandline::StreamContext::new(".")?;
    /// # Ok(()) }
    /// ```
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        if !folder.is_dir() {
            let what = format!("the project folder {} does not exist", folder.display());
            return Err(Error::usage("PATH_NOT_FOUND", what).hint("make it, or name another one"));
        }
        let (disk, clock) = (Disk::default(), Arc::new(SystemClock));
        Ok(Self { project: Project { folder, disk, clock }, memory: Arc::default() })
    }

    /// Takes batch times from another clock: one that stands still makes a test repeatable.
    ///
    /// ```
    /// # fn main() -> strandline::error::Result<()> {
    /// use std::sync::Arc;
    /// use strandline::time::ManualClock;
    /// let ctx = strandline::StreamContext::new(".")?.with_clock(Arc::new(ManualClock::at(0)));
    /// # Ok(()) }
    /// ```
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.project.clock = clock;
        self
    }

    /// Reads a table as a stream: each batch takes what is new. JSON lines or a Delta table.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # let ctx = strandline::StreamContext::new(".")?;
    /// let events = ctx
    ///     .read_stream()
    ///     .format("json")
    ///     .schema("event_id STRING, event_time TIMESTAMP")
    ///     .option("maxFilesPerTrigger", "1")
    ///     .load("input/events")?;
    /// # Ok(()) }
    /// ```
    pub fn read_stream(&self) -> Reader {
        Reader::new(self, true)
    }

    /// Reads a still table: each batch of a stream that is joined with it sees all of it. JSON
    /// lines, CSV, Parquet or a Delta table.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # let ctx = strandline::StreamContext::new(".")?;
    /// let users = ctx.read().format("json").load("input/users")?;
    /// # Ok(()) }
    /// ```
    pub fn read(&self) -> Reader {
        Reader::new(self, false)
    }

    /// The Delta table `data/NAME` as a still table: what a query of that name has written.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # let ctx = strandline::StreamContext::new(".")?;
    /// let users = ctx.table("users")?;
    /// # Ok(()) }
    /// ```
    pub fn table(&self, name: &str) -> Result<StreamFrame> {
        self.read().table(name)
    }

    /// Asks one question of the tables under `data/`, and gives its rows.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # let ctx = strandline::StreamContext::new(".")?;
    /// let rows = ctx.sql("SELECT event_type, count(*) FROM raw_events GROUP BY event_type")?;
    /// # Ok(()) }
    /// ```
    pub fn sql(&self, question: &str) -> Result<Vec<RecordBatch>> {
        let [question] = &sql::questions("the question", question)?[..] else {
            return Err(Error::sql("PARSE_SYNTAX_ERROR", "one question is needed here")
                .hint("ask them one by one; start_pipeline runs CREATE STREAMING TABLE"));
        };
        Ok(Tables::open(&self.project, None)?.ask(question)?.rows)
    }

    /// Starts the streaming queries of a pipeline's text, in the order of the text, with the
    /// triggers that it names.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # let ctx = strandline::StreamContext::new(".")?;
    /// let queries = ctx.start_pipeline(
    ///     "CREATE TABLE events (event_id STRING) USING json OPTIONS (path 'input/events');
    ///      CREATE STREAMING TABLE raw_events AS SELECT * FROM STREAM events;",
    /// )?;
    /// for query in &queries {
    ///     query.await_termination()?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn start_pipeline(&self, text: &str) -> Result<Vec<StreamingQuery>> {
        let pipeline = Pipeline::plan(&self.project, "the pipeline", text)?;
        let start = |query: &PlannedQuery| {
            let (opened, clock) = (pipeline.open(query)?, self.project.clock.clone());
            StreamingQuery::start(opened, query.trigger, clock, Box::new(|_| {}))
        };
        pipeline.queries.iter().map(start).collect()
    }

    /// The rows that a query with the format `memory` has written since this context was made, in
    /// the order of the batches; `None`: there is no such query.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # let ctx = strandline::StreamContext::new(".")?;
    /// for rows in ctx.memory("latest").unwrap_or_default() {
    ///     println!("{} rows", rows.num_rows());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn memory(&self, query_name: &str) -> Option<Vec<RecordBatch>> {
        let sinks = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let batches = sinks.get(query_name)?.batches();
        Some(batches.into_iter().flat_map(|(_, rows)| rows).collect())
    }

    /// The memory of a query, the same for each start of it.
    pub(super) fn memory_sink(&self, query_name: &str) -> MemorySink {
        let mut sinks = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.entry(query_name.to_owned()).or_default().clone()
    }
}

/// What is to be read: its format, columns and options. Ends with [`Reader::load`].
pub struct Reader {
    context: StreamContext,
    streaming: bool,
    format: String,
    columns: Columns,
    options: Options,
}

enum Columns {
    Inferred,
    Text(String),
    Schema(SchemaRef),
}

impl Reader {
    fn new(context: &StreamContext, streaming: bool) -> Self {
        Self {
            context: context.clone(),
            streaming,
            format: "json".to_owned(),
            columns: Columns::Inferred,
            options: Options::new(),
        }
    }

    /// What the files are: `json` (where nothing is said), `csv`, `parquet`, `text` or `delta`.
    pub fn format(mut self, format: &str) -> Self {
        self.format = format.to_owned();
        self
    }

    /// The columns, as in `CREATE TABLE`: `event_id STRING, value DOUBLE`. Without them, they are
    /// told from the files that are there.
    pub fn schema(mut self, columns: &str) -> Self {
        self.columns = Columns::Text(columns.to_owned());
        self
    }

    /// The columns as Arrow writes them. Times must be in microseconds, text must be `Utf8`.
    pub fn arrow_schema(mut self, schema: SchemaRef) -> Self {
        self.columns = Columns::Schema(schema);
        self
    }

    /// An option of the source, by Spark's name: `maxFilesPerTrigger`, `maxBytesPerTrigger`,
    /// `latestFirst`, `pathGlobFilter`, and those of the format.
    pub fn option(mut self, key: &str, value: &str) -> Self {
        self.options.set(key, value);
        self
    }

    /// The table in this folder. Its columns can be qualified with the folder's name: `input/users`
    /// has `users.name`.
    pub fn load(self, path: &str) -> Result<StreamFrame> {
        let name = Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        self.open(name.as_deref().unwrap_or(path), path)
    }

    /// The Delta table `data/NAME`, which a query of that name writes.
    pub fn table(self, name: &str) -> Result<StreamFrame> {
        self.format("delta").open(name, &format!("data/{name}"))
    }

    fn open(self, name: &str, path: &str) -> Result<StreamFrame> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let columns = match &self.columns {
            Columns::Inferred => None,
            Columns::Text(text) => Some(sql::parse_columns(text)?),
            Columns::Schema(schema) => Some(schema.clone()),
        };
        let definition = TableDefinition {
            name: path.to_owned(),
            columns,
            format: table_format(&self.format)?,
            location: path.to_owned(),
            options: self.options,
            span: Span::default(),
        };
        let table = Table::of(&self.context.project, &definition, &[])?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let read = frame::read(path, table.schema.clone(), self.streaming, number);
        let plan = frame::scan(&read, name)?;
        let read = Read { read, table: Arc::new(table) };
        Ok(StreamFrame { context: self.context, plan, reads: vec![read] })
    }
}

fn table_format(format: &str) -> Result<TableFormat> {
    match format.to_ascii_lowercase().as_str() {
        "json" => Ok(TableFormat::Json),
        "csv" => Ok(TableFormat::Csv),
        "parquet" => Ok(TableFormat::Parquet),
        "text" => Ok(TableFormat::Text),
        "delta" => Ok(TableFormat::Delta),
        other => {
            Err(Error::sql("DATA_SOURCE_NOT_FOUND", format!("'{other}' is not a format of tables"))
                .hint("the formats are json, csv, parquet, text and delta"))
        }
    }
}
