//! Where the result of a frame goes, and the start of its query: Spark's `DataStreamWriter`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use super::closing::Closing;
use super::frame::StreamFrame;
use super::handle::StreamingQuery;
use super::pipeline::{delta_sink, rejected_sink, rejected_table, sql_mode};
use super::properties::StateMemory;
use super::query::{OpenSink, Query, QueryParts, RejectedRows};
use super::trigger::Trigger;
use super::watermark::Policy;
use crate::error::{Error, Result};
use crate::sinks::{ConsoleSink, OutputMode};
use crate::sql::{self, Checks, Options};

/// What can be said with [`StreamWriter::option`].
const OPTIONS: [&str; 2] = ["path", "checkpointLocation"];

/// What is to be written, where and when. Ends with [`StreamWriter::start`].
///
/// ```no_run
/// # fn main() -> strandline::error::Result<()> {
/// # use strandline::prelude::*;
/// # let events = StreamContext::new(".")?.read_stream().load("input/events")?;
/// let query = events
///     .write_stream()
///     .query_name("raw_events")
///     .trigger(Trigger::AvailableNow)
///     .start()?;
/// query.await_termination()?;
/// # Ok(()) }
/// ```
pub struct StreamWriter {
    frame: StreamFrame,
    mode: String,
    trigger: Trigger,
    closing: Closing,
    name: String,
    format: String,
    options: Options,
    console: Option<Box<dyn Write + Send>>,
}

impl StreamWriter {
    pub(super) fn new(frame: StreamFrame) -> Self {
        Self {
            frame,
            mode: "append".to_owned(),
            trigger: Trigger::default(),
            closing: Closing::Never,
            name: String::new(),
            format: "delta".to_owned(),
            options: Options::new(),
            console: None,
        }
    }

    /// What of the result is written in each batch: `append` (rows that will not change, where
    /// nothing is said), `update` (rows that are new or have changed) or `complete` (all rows).
    pub fn output_mode(mut self, mode: &str) -> Self {
        self.mode = mode.to_owned();
        self
    }

    /// When batches start; where nothing is said, as soon as data is there.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.trigger = trigger;
        self
    }

    /// When the stream is taken to have ended: what still waits for the watermark, such as the last
    /// windows, comes out then. Where nothing is said, never. Rows that come after that and are
    /// older are late.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # use strandline::prelude::*;
    /// # let counts = StreamContext::new(".")?.read_stream().load("input/events")?;
    /// let query = counts
    ///     .write_stream()
    ///     .query_name("counts")
    ///     .trigger(Trigger::AvailableNow)
    ///     .closing(Closing::AtEnd)
    ///     .start()?;
    /// # Ok(()) }
    /// ```
    pub fn closing(mut self, closing: Closing) -> Self {
        self.closing = closing;
        self
    }

    /// The query's name: its table is `data/NAME`, its checkpoint `checkpoints/NAME`.
    pub fn query_name(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// `delta` (where nothing is said) or `memory`: kept for [`StreamContext::memory`](super::context::StreamContext::memory), for
    /// tests; another program cannot go on with such a query.
    pub fn format(mut self, format: &str) -> Self {
        self.format = format.to_owned();
        self
    }

    /// Shows each batch as text on this output of the program's instead of keeping it: Spark's
    /// format `console`.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # let events = strandline::StreamContext::new(".")?.read_stream().load("input/events")?;
    /// let query = events.write_stream().query_name("look").console(std::io::stdout()).start()?;
    /// # Ok(()) }
    /// ```
    pub fn console(mut self, out: impl Write + Send + 'static) -> Self {
        self.console = Some(Box::new(out));
        self
    }

    /// `path`: another folder for the table; `checkpointLocation`: another folder for the
    /// checkpoint. Both relative to the project.
    pub fn option(mut self, key: &str, value: &str) -> Self {
        self.options.set(key, value);
        self
    }

    /// Starts the query on a thread of its own. It goes on where its checkpoint says that it
    /// stopped. Dropping the handle stops it.
    pub fn start(mut self) -> Result<StreamingQuery> {
        let console = self.console.take();
        let project = &self.frame.context.project;
        self.check_words()?;
        let mode: OutputMode = self.mode.parse()?;
        let (plan, origins) = self.frame.query(&self.name)?;
        sql::check(&plan.plan, sql_mode(mode), Checks::default()).map_err(in_rust)?;
        let checkpoint = self.folder("checkpointLocation", project.checkpoint(&self.name));
        let to_delta = console.is_none() && self.format.eq_ignore_ascii_case("delta");
        let rejected = to_delta.then(|| {
            let table = self.folder("path", project.table(&self.name));
            let name = table.file_name().unwrap_or_default().to_string_lossy();
            rejected_sink(table.with_file_name(rejected_table(&name)), project.disk)
        });
        let mut query = Query::open(QueryParts {
            name: self.name.clone(),
            plan,
            origins,
            mode,
            replaces_rows: to_delta,
            open_sink: self.sink(console)?,
            checkpoint,
            pipeline: None,
            disk: project.disk,
            clock: project.clock.clone(),
            policy: Policy::Min,
            no_data_batches: true,
            one_watermark: false,
            source_facts: BTreeMap::new(),
            future_guard_ms: None,
            memory: StateMemory::default().for_one_of(1),
            rejected: RejectedRows::Kept { most: None, open: rejected, sink: None },
        })?;
        query.close_stream(self.closing);
        StreamingQuery::start(query, self.trigger, project.clock.clone(), Box::new(|_| {}))
    }

    fn check_words(&self) -> Result<()> {
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            let what = match self.name.as_str() {
                "" => "the query has no name".to_owned(),
                name => format!("'{name}' cannot be the name of a query"),
            };
            return Err(Error::usage("INVALID_QUERY_NAME", what)
                .hint("write query_name(\"my_table\"), of letters, digits and _: it names the table and the checkpoint"));
        }
        let known = |key: &str| OPTIONS.iter().any(|option| option.eq_ignore_ascii_case(key));
        match self.options.iter().find(|(key, _)| !known(key)) {
            Some((key, _)) => {
                Err(Error::usage("INVALID_OPTION", format!("'{key}' is not an option of a sink"))
                    .hint(format!("the options are {}", OPTIONS.join(", "))))
            }
            None => Ok(()),
        }
    }

    fn folder(&self, option: &str, default: PathBuf) -> PathBuf {
        let given = self.options.get(option);
        given.map_or(default, |path| self.frame.context.project.folder.join(path))
    }

    fn sink(&self, console: Option<Box<dyn Write + Send>>) -> Result<OpenSink<'_>> {
        let project = &self.frame.context.project;
        if let Some(out) = console {
            return Ok(Box::new(move |request| {
                Ok(Box::new(ConsoleSink::new(request.schema.clone(), out)))
            }));
        }
        match self.format.to_ascii_lowercase().as_str() {
            "delta" => Ok(delta_sink(self.folder("path", project.table(&self.name)), project.disk)),
            "memory" => {
                let sink = self.frame.context.memory_sink(&self.name);
                Ok(Box::new(move |_| Ok(Box::new(sink))))
            }
            other => Err(Error::usage(
                "DATA_SOURCE_NOT_FOUND",
                format!("'{other}' is not a format that a stream can be written in"),
            )
            .hint("the formats are delta and memory; .console(out) writes the batches as tables")),
        }
    }
}

/// The way out in words of SQL, with the calls that say the same.
fn in_rust(error: Error) -> Error {
    let calls =
        "in Rust: .with_watermark(column, delay), .group_by(vec![window(…)]), .output_mode(…)";
    let hint = error.hint_text().map_or(calls.to_owned(), |hint| format!("{hint} ({calls})"));
    error.hint(hint)
}
