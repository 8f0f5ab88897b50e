//! One streaming query: what it is made of, and how it comes back after a stop or a crash.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;

use super::agreement::{agree, expected, is_repeatable};
use super::assemble::{Assembly, assemble};
use super::closing::Closing;
use super::resumed::Resumed;
use super::steps::{AfterStep, Step};
use super::watermark::{Policy, Tracker};
use crate::batch::BatchId;
use crate::checkpoint::{
    Checkpoint, Offsets, Pinned, ProgressLog, Provenance, Raised, Recovery, Role, Watermark,
    WatermarkRow,
};
use crate::durable::Disk;
use crate::error::Result;
use crate::operators::StateShape;
use crate::progress::StreamingQueryProgress;
use crate::sinks::{Expected, OutputMode, Sink};
use crate::sources::still::StillTable;
use crate::sources::{BadRecord, Source, Take, Watched};
use crate::sql::{QueryPlan, is_streaming};
use crate::state::{Memory, StateStore};
use crate::time::{Millis, SharedClock};
use crate::window::WindowSpec;

/// Where the rows of one read of the query come from.
pub enum Origin {
    /// A stream: each batch takes what is new.
    Stream(Box<dyn Source>),
    /// A still table: each batch sees all of it.
    Still(StillTable),
}

/// Makes the sink, once it is known what it is for.
pub type OpenSink<'a> = Box<dyn FnOnce(&SinkRequest) -> Result<Box<dyn Sink>> + 'a>;

/// What a sink has to know before it is opened.
pub struct SinkRequest {
    /// The query's identity: the name of its transactions.
    pub query_id: String,
    /// What the checkpoint remembers of the table.
    pub expected: Expected,
    /// Whether the same input gives the same rows.
    pub is_repeatable: bool,
    /// The columns.
    pub schema: arrow::datatypes::SchemaRef,
    /// What of the result is written.
    pub mode: OutputMode,
    /// In update mode: the columns that say which group a row is.
    pub keys: Vec<usize>,
    /// The column that the watermark has to reach for a row to be final.
    pub event_time: Option<usize>,
}

/// What a query is made of.
pub struct QueryParts<'a> {
    /// The name of the streaming table.
    pub name: String,
    /// The plan of its text.
    pub plan: QueryPlan,
    /// For each of the plan's reads, where the rows come from.
    pub origins: Vec<Origin>,
    /// What of the result is written.
    pub mode: OutputMode,
    /// Makes the sink.
    pub open_sink: OpenSink<'a>,
    /// Whether in update mode the sink replaces the older row of a group; else it just gets the
    /// newer one.
    pub replaces_rows: bool,
    /// The folder of the checkpoint.
    pub checkpoint: PathBuf,
    /// The pipeline file that the query stands in, as the checkpoint remembers it.
    pub pipeline: Option<PathBuf>,
    /// The way to the disk.
    pub disk: Disk,
    /// Where batch times come from.
    pub clock: SharedClock,
    /// How several watermarks become one.
    pub policy: Policy,
    /// Whether a risen watermark alone makes a batch.
    pub no_data_batches: bool,
    /// Whether every operator runs with the query's own watermark.
    pub one_watermark: bool,
    /// Facts about the sources that the checkpoint holds the query to, by name.
    pub source_facts: BTreeMap<String, String>,
    /// Where rejected rows go.
    pub rejected: RejectedRows,
    /// Event times so many milliseconds after the batch's time move no watermark; `None`: all do,
    /// as in Spark.
    pub future_guard_ms: Option<Millis>,
    /// What the state may take.
    pub memory: Memory,
}

/// Makes the sink of rejected rows, for the query of this identity, when the first one is there.
pub type OpenRejected = Box<dyn FnOnce(&str, Expected) -> Result<Box<dyn Sink>> + Send>;

/// Where rejected rows go.
pub enum RejectedRows {
    /// They are counted, and nothing else.
    Off,
    /// Into reports, and a table.
    Kept {
        /// So many of one batch, at most; `None`: all.
        most: Option<usize>,
        /// Makes the table; `None`: they go into reports alone, or it is made.
        open: Option<OpenRejected>,
        /// The table, once it is made.
        sink: Option<Box<dyn Sink>>,
    },
}

/// A streaming query that steps on command.
pub struct Query {
    pub(super) name: String,
    pub(super) run_id: String,
    pub(super) assembly: Assembly,
    pub(super) batch_time: crate::sql::BatchTime,
    /// One entry for each stream, in the order of the query's text.
    pub(super) streams: Vec<Stream>,
    pub(super) stills: Vec<Still>,
    /// For each stage the tables of its operator.
    pub(super) states: Vec<Vec<StateStore>>,
    pub(super) sink: Box<dyn Sink>,
    pub(super) checkpoint: Checkpoint,
    pub(super) progress: ProgressLog,
    pub(super) tracker: Tracker,
    pub(super) clock: SharedClock,
    pub(super) no_data_batches: bool,
    pub(super) one_watermark: bool,
    /// The next batch to decide.
    pub(super) next: BatchId,
    /// A batch that was decided and not finished, to be done first.
    pub(super) unfinished: Option<Offsets>,
    /// The watermark that the batch before ran with: what is late.
    pub(super) late_ms: Millis,
    /// The row that has set it.
    pub(super) late_row: Option<WatermarkRow>,
    pub(super) rejected_rows: RejectedRows,
    pub(super) future_guard_ms: Option<Millis>,
    /// Whether the watermark has risen so far that the next batch is due even without data.
    pub(super) no_data_batch_due: bool,
    /// The batch time before, which the next one never falls behind.
    pub(super) last_batch_time: Millis,
    /// When the batch before started, in ticks of the clock.
    pub(super) last_trigger_start: Option<Millis>,
    /// A batch failed half-way: what is in memory is no longer what the checkpoint says.
    pub(super) broken: bool,
    /// When the stream is taken to have ended.
    pub(super) closing: Closing,
    /// Why it has ended, while a batch may be decided that closes it.
    pub(super) ending: Option<String>,
    /// What was found at the start.
    resumed: Option<Resumed>,
    after_step: Option<AfterStep>,
}

/// A stream, and where its rows go.
pub(super) struct Stream {
    /// The table that is read.
    pub(super) name: String,
    pub(super) source: Box<dyn Source>,
    pub(super) slot: crate::batch::Slot,
    pub(super) last: Option<Take>,
    /// A stream before this one that reads the same of what both take: a join of a table with itself.
    pub(super) twin: Option<usize>,
}

/// A still table, and where its rows go.
pub(super) struct Still {
    /// The table that is read.
    pub(super) name: String,
    pub(super) table: StillTable,
    pub(super) columns: Vec<usize>,
    pub(super) slot: crate::batch::Slot,
    pub(super) filled: bool,
}

/// What one step did.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// The batch's report.
    pub progress: StreamingQueryProgress,
    /// The lines that were no rows.
    pub bad: Vec<BadRecord>,
    /// The rows that were rejected: see [`super::rejected::schema`].
    pub rejected: Option<arrow::array::RecordBatch>,
    /// The rows that went to the sink; of more than are held at once, the first ones.
    pub rows: Vec<arrow::array::RecordBatch>,
    /// The watermark of the next batch, in milliseconds; `None`: the query has none.
    pub next_watermark_ms: Option<Millis>,
    /// Whether the watermark was raised for this batch, since the stream had ended.
    pub raised: Option<Raised>,
}

impl Query {
    /// Opens a query: a new one, or one that goes on where its checkpoint says it stopped.
    pub fn open(parts: QueryParts<'_>) -> Result<Query> {
        let name = parts.name.clone();
        Self::open_parts(parts).map_err(|e| e.context(format!("query '{name}'")))
    }

    fn open_parts(parts: QueryParts<'_>) -> Result<Query> {
        let session = crate::sql::session(&parts.plan.zone).state();
        let assembly = assemble(&parts.plan, parts.mode, &session)?;
        if parts.replaces_rows {
            assembly.check_keys().map_err(|e| e.at(parts.plan.place.clone()))?;
        }
        let pinned = pin(&parts, &assembly);
        let mut checkpoint = Checkpoint::open(&parts.checkpoint, parts.disk, &pinned)?;
        checkpoint
            .note_origin(Provenance { query: parts.name.clone(), pipeline: parts.pipeline })?;
        let mut sink = (parts.open_sink)(&SinkRequest {
            expected: expected(&checkpoint, Role::Output),
            is_repeatable: is_repeatable(&parts.plan.plan),
            query_id: checkpoint.query_id().to_string(),
            schema: assembly.schema.clone(),
            mode: assembly.sink_mode,
            keys: assembly.keys.clone(),
            event_time: assembly.event_time,
        })?;
        // Before the history: what is torn is set aside here.
        let mut rejected_rows = parts.rejected;
        let held = agree(&mut checkpoint, sink.as_mut(), &mut rejected_rows)?;
        let recovery = checkpoint.recovery(held.as_ref())?;
        let (mut streams, stills) =
            join_origins(parts.origins, &parts.plan, &assembly, &checkpoint)?;
        streams.iter_mut().for_each(|stream| stream.source.keep_time(parts.clock.clone()));
        let newest_written = held.and_then(|held| held.newest);
        let cut_off = checkpoint.was_cut_off();
        let resumed = Resumed::of(&recovery, cut_off, &assembly, sink.as_ref(), newest_written);
        let no_data_batch_due =
            matches!(recovery, Recovery::Continue { no_data_batch_due: true, .. });
        let last_batch_time = recovery.last_batch_time_ms();
        let (next, unfinished, global, late): (BatchId, _, _, _) = match recovery {
            Recovery::Fresh => (0, None, Watermark::default(), Watermark::default()),
            Recovery::Continue { next, watermark, previous, .. } => {
                (next, None, watermark, previous)
            }
            Recovery::Rerun { batch, offsets, previous } => {
                (batch, Some(offsets.clone()), offsets.watermark(), previous)
            }
        };
        let states = open_states(
            &assembly,
            &parts.checkpoint,
            parts.disk,
            next.checked_sub(1),
            &parts.memory,
        )?;
        let clauses = assembly.watermarks.clone();
        let tracker = Tracker::new(parts.policy, clauses, global.ms.unwrap_or(0), global.row);
        Ok(Query {
            name: parts.name,
            run_id: uuid::Uuid::new_v4().to_string(),
            batch_time: parts.plan.batch_time.clone(),
            assembly,
            streams,
            stills,
            states,
            sink,
            progress: ProgressLog::open(checkpoint.folder())?,
            checkpoint,
            tracker,
            clock: parts.clock,
            no_data_batches: parts.no_data_batches,
            one_watermark: parts.one_watermark,
            next,
            last_batch_time,
            unfinished,
            late_ms: late.ms.unwrap_or(0),
            late_row: late.row,
            rejected_rows,
            future_guard_ms: parts.future_guard_ms,
            no_data_batch_due,
            last_trigger_start: None,
            broken: false,
            closing: Closing::Never,
            ending: None,
            resumed,
            after_step: None,
        })
    }

    /// The name of the streaming table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The query's identity, kept by its checkpoint.
    pub fn id(&self) -> &str {
        self.checkpoint.query_id()
    }

    /// The number of the next batch.
    pub fn next_batch(&self) -> BatchId {
        self.next
    }

    /// What the run before left, if it was cut off; a sentence for people.
    pub fn resumed(&self) -> Option<&Resumed> {
        self.resumed.as_ref()
    }

    /// From now on this is called when a step of a batch has taken effect.
    pub fn after_each_step(&mut self, then: AfterStep) {
        self.after_step = Some(then);
    }

    /// A step of a batch has taken effect. Step 10 is the caller's to tell, once the report that
    /// [`Query::step`] gave is out; the others are told by the engine.
    pub fn took_effect(&mut self, step: Step, batch: BatchId) -> Result<()> {
        match &mut self.after_step {
            Some(then) => then(step, batch),
            None => Ok(()),
        }
    }

    /// From now on nothing that arrives later is taken: the trigger `available-now`.
    pub fn freeze(&mut self) -> Result<()> {
        self.streams.iter_mut().try_for_each(|stream| stream.source.freeze())
    }

    /// The folders in which new data shows up.
    pub fn folders(&self) -> Vec<Watched> {
        self.streams.iter().filter_map(|stream| stream.source.watched()).collect()
    }

    /// How long to wait for files that may still be being written; `None`: there are none.
    pub fn waits(&self) -> Option<Duration> {
        self.streams.iter().filter_map(|stream| stream.source.waits()).max()
    }
}

/// Gives each origin its slot and columns, and each stream its past.
fn join_origins(
    origins: Vec<Origin>,
    plan: &QueryPlan,
    assembly: &Assembly,
    checkpoint: &Checkpoint,
) -> Result<(Vec<Stream>, Vec<Still>)> {
    let mut streams = vec![];
    let mut stills = vec![];
    for (read, origin) in origins.into_iter().enumerate() {
        // A read that the optimiser found useless is not in the plan, and is not read.
        let Some(input) = assembly.inputs.iter().find(|input| input.read == read) else {
            continue;
        };
        match origin {
            Origin::Stream(mut source) => {
                source.project(&input.columns)?;
                let history = checkpoint.history(streams.len())?;
                for take in &history {
                    source.decided(take)?;
                }
                let last = history.into_iter().next_back();
                let name = plan.reads[read].table.clone();
                let reads_as = source.reads_as();
                let is_twin =
                    |stream: &Stream| reads_as.is_some() && stream.source.reads_as() == reads_as;
                let twin = streams.iter().position(is_twin);
                streams.push(Stream { name, source, slot: input.slot.clone(), last, twin });
            }
            Origin::Still(table) => stills.push(Still {
                name: plan.reads[read].table.clone(),
                table,
                columns: input.columns.clone(),
                slot: input.slot.clone(),
                filled: false,
            }),
        }
    }
    Ok((streams, stills))
}

fn open_states(
    assembly: &Assembly,
    checkpoint: &std::path::Path,
    disk: Disk,
    version: Option<BatchId>,
    memory: &Memory,
) -> Result<Vec<Vec<StateStore>>> {
    let open = |number: usize, shape: StateShape| {
        let folder = checkpoint.join("state").join(number.to_string()).join(shape.name);
        StateStore::open(folder, disk, shape, version, memory)
    };
    let stages = assembly.stages.iter().enumerate();
    stages
        .map(|(number, stage)| {
            let shapes = stage.operator.state_shapes();
            shapes.into_iter().map(|shape| open(number, shape)).collect()
        })
        .collect()
}

/// The facts about a query that must not change while its checkpoint lives.
fn pin(parts: &QueryParts<'_>, assembly: &Assembly) -> Pinned {
    let mut facts = parts.source_facts.clone();
    for (number, input) in assembly.inputs.iter().enumerate() {
        let read = &parts.plan.reads[input.read];
        if read.streaming {
            facts.insert(format!("source {number}"), read.table.clone());
        }
    }
    for (number, stage) in assembly.stages.iter().enumerate() {
        facts.insert(format!("operator {number}"), stage.operator.name().to_string());
        for shape in stage.operator.state_shapes() {
            let column = |field: &std::sync::Arc<arrow::datatypes::Field>| {
                format!("{} {}", field.name(), crate::sql::spark_name(field.data_type()))
            };
            let columns: Vec<String> = shape.schema.fields().iter().map(column).collect();
            let (keys, values) = columns.split_at(shape.keys);
            let name = shape.name;
            facts.insert(format!("operator {number}, key of {name}"), keys.join(", "));
            facts.insert(format!("operator {number}, values of {name}"), values.join(", "));
        }
    }
    let windows = windows(&parts.plan.plan);
    if !windows.is_empty() {
        facts.insert("windows".to_string(), windows.join(", "));
    }
    let joins = joins(&parts.plan.plan);
    if !joins.is_empty() {
        facts.insert("joins of streams".to_string(), joins.join(", "));
    }
    facts.insert("output mode".to_string(), parts.mode.to_string());
    facts.insert("result columns".to_string(), crate::sql::ddl(&assembly.schema));
    Pinned(facts)
}

/// The kinds of a plan's joins of two streams, which keep different rows in the same columns.
fn joins(plan: &LogicalPlan) -> Vec<String> {
    let mut found = vec![];
    let _ = plan.apply(|node| {
        if let LogicalPlan::Join(join) = node
            && is_streaming(&join.left)
            && is_streaming(&join.right)
        {
            found.push(join.join_type.to_string().to_lowercase());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// The shapes of the windows that a plan groups by: state holds windows, so they must not change.
fn windows(plan: &LogicalPlan) -> Vec<String> {
    let mut found = vec![];
    let _ = plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            let shapes = aggregate.group_expr.iter().filter_map(|e| WindowSpec::of(e).ok()?);
            found.extend(shapes.map(|(_, shape)| {
                let seconds = |micros: i64| micros as f64 / 1e6;
                let (size, slide) = (seconds(shape.size_us), seconds(shape.slide_us));
                format!("{size} s every {slide} s from {} s", seconds(shape.start_us))
            }));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}
