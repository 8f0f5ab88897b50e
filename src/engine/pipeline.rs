//! From a pipeline file to the queries that it describes.
//!
//! A project is a folder with `input/`, `data/` and `checkpoints/`; every path in a pipeline is
//! relative to it. The streaming tables of a file are planned in the order of the text, since one
//! can read another that stands before it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;

pub use super::declared::Table;
use super::declared::{Place, columns_fact, in_zone};
use super::json_functions;
use super::properties::{Most, StateMemory, durability, future_guard_ms, keeps_rejected};
use super::query::{OpenRejected, OpenSink, Origin, Query, QueryParts, RejectedRows};
use super::rejected;
use super::result::sink_schema;
use super::settings::Settings;
use super::trigger::Trigger;
use crate::calendar::Zone;
use crate::durable::{Disk, Durability};
use crate::error::{Error, Result};
use crate::sinks::OutputMode;
use crate::sinks::delta::{DeltaSink, DeltaSinkOptions};
use crate::sources::files::constants::hidden_column;
use crate::sql::{
    self, Catalog, QueryPlan, Statement, StreamingTableDefinition, TableFormat, TableRead,
};
use crate::time::{Millis, SharedClock};

/// A folder with `input/`, `data/` and `checkpoints/`, and what its queries run on.
#[derive(Clone)]
pub struct Project {
    /// The folder.
    pub folder: PathBuf,
    /// The way to the disk.
    pub disk: Disk,
    /// Where batch times come from.
    pub clock: SharedClock,
}

impl std::fmt::Debug for Project {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Project({})", self.folder.display())
    }
}

impl Project {
    /// Where the table of a query lies.
    pub fn table(&self, name: &str) -> PathBuf {
        self.folder.join("data").join(name)
    }

    /// Where the checkpoint of a query lies.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.folder.join("checkpoints").join(name)
    }
}

/// A planned pipeline: everything about it that needs no checkpoint.
pub struct Pipeline {
    pub(super) project: Project,
    /// What errors call the text; the path of the file, if it is one.
    name: String,
    /// The tables that the text declares.
    pub tables: Vec<Table>,
    /// The streaming queries, in the order of the text.
    pub queries: Vec<PlannedQuery>,
    /// The zone that the text sets.
    pub zone: Zone,
}

/// A streaming query before it is opened.
pub struct PlannedQuery {
    /// The name of the streaming table.
    pub name: String,
    /// The plan of its text.
    pub plan: QueryPlan,
    /// What of the result is written.
    pub mode: OutputMode,
    /// When batches start, as the text says.
    pub trigger: Trigger,
    /// The streaming tables of the same file that it reads.
    pub upstream: Vec<String>,
    /// The columns of the result.
    pub schema: SchemaRef,
    /// What its batches survive.
    pub durability: Durability,
    pub(super) settings: Settings,
    /// How many rejected rows of a batch are kept; `None`: none, and there is no table of them.
    keeps_rejected: Option<Most>,
    future_guard_ms: Option<Millis>,
    state_memory: StateMemory,
}

/// What is to be different in one query of a pipeline from what the text says.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The query's name.
    pub query: String,
    /// The delay of its watermarks, all of them, in microseconds.
    pub watermark_delay_us: Option<i64>,
    /// What of its result is written.
    pub mode: Option<OutputMode>,
}

impl Pipeline {
    /// Plans a pipeline's text. `name` is what errors call it: the path of its file, if it has one.
    pub fn plan(project: &Project, name: &str, text: &str) -> Result<Pipeline> {
        Self::plan_changed(project, name, text, &Changes::default())
    }

    /// Plans a pipeline's text with something in it changed.
    pub fn plan_changed(
        project: &Project,
        name: &str,
        text: &str,
        changes: &Changes,
    ) -> Result<Pipeline> {
        let parsed = sql::parse(name, text)?;
        let set = parsed.statements.iter().filter_map(|statement| match statement {
            Statement::Set(setting) => Some(setting),
            _ => None,
        });
        let settings = Settings::of(&set.collect::<Vec<_>>())?;
        let mut catalog = Catalog::new(&parsed, settings.zone.clone());
        catalog.add_functions(json_functions::functions());
        let mut tables = vec![];
        let mut queries: Vec<PlannedQuery> = vec![];
        for statement in &parsed.statements {
            match statement {
                Statement::Table(definition) => {
                    let mut definition = definition.clone();
                    in_zone(&mut definition, &settings.zone);
                    let table = Table::of(project, &definition, &parsed.statements)?;
                    catalog.add_table(&definition.name, table.schema.clone());
                    if definition.format != TableFormat::Delta {
                        catalog.hide(&definition.name, hidden_column());
                    }
                    tables.push(table);
                }
                Statement::StreamingTable(definition) => {
                    let settings = settings.clone();
                    let query = plan_query(&catalog, definition, &queries, settings, changes)?;
                    catalog.add_table(&definition.name, query.schema.clone());
                    queries.push(query);
                }
                Statement::View(_) | Statement::Set(_) | Statement::Database => {}
            }
        }
        if queries.is_empty() {
            return Err(Error::sql(
                "RUN_EMPTY_PIPELINE",
                format!("{name} has no CREATE STREAMING TABLE, so there is nothing to run"),
            )
            .hint("add CREATE STREAMING TABLE name AS SELECT … FROM STREAM …"));
        }
        let (project, name) = (project.clone(), name.to_owned());
        Ok(Pipeline { project, name, tables, queries, zone: settings.zone })
    }

    /// The query of this name, in any case.
    ///
    /// # Errors
    ///
    /// `QUERY_NOT_FOUND` lists those that there are.
    pub fn query(&self, name: &str) -> Result<&PlannedQuery> {
        let named = |query: &&PlannedQuery| query.name.eq_ignore_ascii_case(name);
        self.queries.iter().find(named).ok_or_else(|| {
            let known: Vec<&str> = self.queries.iter().map(|query| query.name.as_str()).collect();
            let what = format!("{} has no streaming table '{name}'", self.name);
            let hint = match sql::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("it has {}", known.join(", ")),
            };
            Error::usage("QUERY_NOT_FOUND", what).hint(hint)
        })
    }

    /// The project that the pipeline was planned in.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Opens one of the queries on its checkpoint and its Delta table.
    pub fn open(&self, query: &PlannedQuery) -> Result<Query> {
        let project = &self.project;
        let disk = query.disk(project.disk);
        let open_sink = delta_sink(project.table(&query.name), disk);
        let table = project.table(&rejected_table(&query.name));
        let rejected = query.rejected(Some(rejected_sink(table, disk)));
        let checkpoint = project.checkpoint(&query.name);
        self.open_with(query, self.origins(query)?, checkpoint, open_sink, rejected, true)
    }

    /// Opens one of the queries on its checkpoint and a sink of the caller's.
    pub fn open_into(&self, query: &PlannedQuery, open_sink: OpenSink<'_>) -> Result<Query> {
        let checkpoint = self.project.checkpoint(&query.name);
        let rejected = query.rejected(None);
        self.open_with(query, self.origins(query)?, checkpoint, open_sink, rejected, false)
    }

    /// Opens one of the queries on another checkpoint than its own, and whatever sink, reading
    /// from these origins. `rejects`: whether its reports tell the rejected rows.
    pub(super) fn open_apart(
        &self,
        query: &PlannedQuery,
        origins: Vec<Origin>,
        checkpoint: PathBuf,
        open_sink: OpenSink<'_>,
        rejects: bool,
    ) -> Result<Query> {
        let rejected = if rejects { query.rejected(None) } else { RejectedRows::Off };
        self.open_with(query, origins, checkpoint, open_sink, rejected, true)
    }

    /// Where the rows of each read of a query come from.
    pub(super) fn origins(&self, query: &PlannedQuery) -> Result<Vec<Origin>> {
        query.plan.reads.iter().map(|read| self.origin(read)).collect()
    }

    fn open_with(
        &self,
        query: &PlannedQuery,
        origins: Vec<Origin>,
        checkpoint: PathBuf,
        open_sink: OpenSink<'_>,
        rejected: RejectedRows,
        replaces_rows: bool,
    ) -> Result<Query> {
        Query::open(QueryParts {
            name: query.name.clone(),
            plan: query.plan.clone(),
            origins,
            mode: query.mode,
            open_sink,
            replaces_rows,
            checkpoint,
            pipeline: self.file(),
            disk: query.disk(self.project.disk),
            clock: self.project.clock.clone(),
            policy: query.settings.policy,
            no_data_batches: query.settings.no_data_batches,
            one_watermark: query.settings.one_watermark,
            source_facts: self.inferred_columns(query),
            future_guard_ms: query.future_guard_ms,
            memory: query.state_memory.for_one_of(self.queries.len()),
            rejected,
        })
    }

    /// The file that the text is from, if it is from one: relative to the project if below it.
    fn file(&self) -> Option<PathBuf> {
        let file = std::path::absolute(&self.name).ok().filter(|file| file.is_file())?;
        let folder = match self.project.folder.as_os_str().is_empty() {
            true => std::env::current_dir().ok()?,
            false => std::path::absolute(&self.project.folder).ok()?,
        };
        Some(file.strip_prefix(&folder).map(Path::to_path_buf).unwrap_or(file))
    }

    /// Inferred columns stay what they were when the query first ran, whatever the files say later.
    fn inferred_columns(&self, query: &PlannedQuery) -> BTreeMap<String, String> {
        let read = |table: &&Table| {
            let reads = &query.plan.reads;
            table.inferred
                && reads.iter().any(|r| r.table.eq_ignore_ascii_case(&table.definition.name))
        };
        let tables = self.tables.iter().filter(read);
        tables
            .map(|table| (columns_fact(&table.definition.name), sql::ddl(&table.schema)))
            .collect()
    }

    pub(super) fn origin(&self, read: &TableRead) -> Result<Origin> {
        let same = |name: &str| name.eq_ignore_ascii_case(&read.table);
        if let Some(query) = self.queries.iter().find(|query| same(&query.name)) {
            let place = Place {
                project: &self.project.folder,
                location: format!("data/{}", query.name),
                format: TableFormat::Delta,
                schema: query.schema.clone(),
                options: read.options.clone(),
            };
            return place.origin(read.streaming);
        }
        let table = self.tables.iter().find(|table| same(&table.definition.name));
        let table = table.ok_or_else(|| {
            Error::internal(format!("the table {} was planned but not declared", read.table))
        })?;
        table.origin(&self.project, read)
    }
}

impl PlannedQuery {
    /// Its way to the disk: that of the project, unless it does without syncs.
    fn disk(&self, of_project: Disk) -> Disk {
        match self.durability {
            Durability::Full => of_project,
            Durability::Fast => Disk::new(Durability::Fast),
        }
    }

    /// Where its rejected rows go.
    fn rejected(&self, open: Option<OpenRejected>) -> RejectedRows {
        match self.keeps_rejected {
            Some(most) => RejectedRows::Kept { most, open, sink: None },
            None => RejectedRows::Off,
        }
    }
}

fn plan_query(
    catalog: &Catalog,
    definition: &StreamingTableDefinition,
    earlier: &[PlannedQuery],
    settings: Settings,
    changes: &Changes,
) -> Result<PlannedQuery> {
    let properties = &definition.properties;
    let mut mode: OutputMode = properties
        .get("outputMode")
        .unwrap_or("append")
        .parse()
        .map_err(|e: Error| properties.locate(e.about("outputMode")))?;
    let changed = definition.name.eq_ignore_ascii_case(&changes.query);
    if let Some(other) = changes.mode.filter(|_| changed) {
        mode = other;
    }
    let trigger = match properties.get("pipelines.trigger.interval") {
        Some(interval) => Trigger::parse_interval(interval)?,
        None => Trigger::default(),
    };
    let keeps_rejected = keeps_rejected(properties)?;
    let future_guard_ms = future_guard_ms(properties)?;
    let state_memory = StateMemory::of(properties)?;
    let plan = match changes.watermark_delay_us.filter(|_| changed) {
        Some(delay_us) => catalog.clone().with_watermark_delay(delay_us).plan(definition)?,
        None => catalog.plan(definition)?,
    };
    plan.check(sql_mode(mode), settings.checks)?;
    let schema = sink_schema(plan.plan.schema().as_arrow())?;
    let upstream = earlier
        .iter()
        .filter(|query| plan.reads.iter().any(|r| r.table.eq_ignore_ascii_case(&query.name)))
        .map(|query| query.name.clone())
        .collect();
    Ok(PlannedQuery {
        name: definition.name.clone(),
        plan,
        mode,
        trigger,
        upstream,
        schema,
        durability: durability(properties)?,
        settings,
        keeps_rejected,
        future_guard_ms,
        state_memory,
    })
}

/// The table of the rows that a query rejects.
pub fn rejected_table(query: &str) -> String {
    format!("{query}__rejected")
}

/// Makes the table of rejected rows in a folder.
pub(super) fn rejected_sink(path: PathBuf, disk: Disk) -> OpenRejected {
    Box::new(move |query_id, expected| {
        Ok(Box::new(DeltaSink::open(DeltaSinkOptions {
            path,
            app_id: query_id.to_string(),
            schema: rejected::schema(),
            mode: OutputMode::Append,
            keys: vec![],
            event_time: None,
            expected,
            // It tells the same rows whatever the query makes of the others.
            is_repeatable: true,
            disk,
        })?))
    })
}

/// Opens the Delta table in a folder, as a query asks for it.
pub(super) fn delta_sink(path: PathBuf, disk: Disk) -> OpenSink<'static> {
    Box::new(move |request| {
        Ok(Box::new(DeltaSink::open(DeltaSinkOptions {
            path,
            app_id: request.query_id.clone(),
            schema: request.schema.clone(),
            mode: request.mode,
            keys: request.keys.clone(),
            event_time: request.event_time,
            expected: request.expected.clone(),
            is_repeatable: request.is_repeatable,
            disk,
        })?))
    })
}

/// SQL has its own word for an output mode, since it knows nothing of sinks.
pub(super) fn sql_mode(mode: OutputMode) -> sql::Mode {
    match mode {
        OutputMode::Append => sql::Mode::Append,
        OutputMode::Update => sql::Mode::Update,
        OutputMode::Complete => sql::Mode::Complete,
    }
}
