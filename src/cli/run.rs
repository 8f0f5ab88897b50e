//! `strandline run`: the queries of a pipeline file, to the end or until Ctrl-C.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::fault::{self, CrashAt};
use super::interrupt::Interrupt;
use super::running::{Running, tell_files};
use super::{ProgressFormat, ProjectFolder, progress, read_text, tell};
use crate::durable::Durability;
use crate::engine::closing::Closing;
use crate::engine::handle::StreamingQuery;
use crate::engine::pipeline::{Pipeline, PlannedQuery};
use crate::engine::query::Query;
use crate::engine::trigger::{Trigger, duration};
use crate::error::Result;

/// Run the streaming queries of a pipeline file.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline run pipeline.sql --available-now
  strandline run pipeline.sql --trigger 5s
  strandline run pipeline.sql --progress json | jq .watermark
  strandline run pipeline.sql --available-now --close-at-end
  strandline run pipeline.sql --close-after-idle 30s
  strandline run pipeline.sql --available-now --crash-at 8@2

Each query writes the Delta table data/NAME and keeps checkpoints/NAME; started again, it goes on
where it stopped.

Closing: where nothing more comes, nothing moves the watermark, and the last windows stay open, as
in Spark. --close-at-end and --close-after-idle move it past all that is held back, in batches of
their own that stand in the checkpoint. Rows that come after that and are older than it are late.

Crashing: the steps of a batch are 1 ask, 2 decide, 3 read, 4 event-time, 5 quality, 6 operate,
7 seal, 8 write, 9 commit, 10 report (src/README.md says what each does). The process dies right
after the step, with no clean-up; the next start says what it found and what it does again.
Finer points lie before each call that touches the disk: offsets.link, state.sync#3 (the third time)
(docs/reliability.md names them).")]
pub struct Run {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Process what is there in as many batches as the source's limits ask for, then end.
    #[arg(long, group = "when")]
    available_now: bool,
    /// Process what is there in one batch, then end.
    #[arg(long, group = "when")]
    once: bool,
    /// Start a batch at every multiple of this interval, such as 5s [default: as soon as a file is there]
    #[arg(long, group = "when", value_name = "INTERVAL")]
    trigger: Option<String>,
    /// When all is processed, let out what still waits for the watermark: the last windows
    #[arg(long, requires = "available_now", conflicts_with_all = ["once", "trigger"])]
    close_at_end: bool,
    /// When nothing has come for so long, let out what still waits for the watermark, and go on
    #[arg(long, value_name = "INTERVAL", conflicts_with_all = ["available_now", "once"], value_parser = duration)]
    close_after_idle: Option<Duration>,
    /// Die right after this step of a batch, as by kill -9 [default for BATCH: the first to take it];
    /// or right before a call that touches the disk
    #[arg(long, value_name = "STEP[@BATCH] | POINT[#TIME]")]
    crash_at: Option<CrashAt>,
    /// How batches are reported.
    #[arg(long, value_enum, default_value = "plain")]
    progress: ProgressFormat,
    #[command(flatten)]
    project: ProjectFolder,
}

impl Run {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        if let Some(CrashAt::Point(moment)) = &self.crash_at {
            fault::die_at(moment.clone());
        }
        let project = self.project.open()?;
        let text = read_text(&self.pipeline)?;
        let name = self.pipeline.display().to_string();
        let pipeline = Pipeline::plan(&project, &name, &text)?;
        announce_inferred(&pipeline);
        let trigger = match (&self.trigger, self.available_now, self.once) {
            (Some(interval), ..) => Some(Trigger::parse_interval(interval)?),
            (None, true, _) => Some(Trigger::AvailableNow),
            (None, _, true) => Some(Trigger::Once),
            _ => None,
        };
        let running = Running::default();
        let stopper = running.clone();
        let interrupt = Interrupt::listen(move || stopper.request_stop())?;
        let format = self.progress;
        let start = |query: &PlannedQuery| {
            let trigger = trigger.unwrap_or(query.trigger);
            let opened = self.open(&pipeline, query)?;
            let on_batch = Box::new(move |report: &_| progress::show(format, report));
            running.add(StreamingQuery::start(opened, trigger, project.clock.clone(), on_batch)?);
            Ok(())
        };
        let tell_files_if_failed = |ended: &Result<()>| {
            if ended.is_err() {
                let checkpoint = |query: &PlannedQuery| project.checkpoint(&query.name);
                pipeline.queries.iter().for_each(|q| tell_files(&checkpoint(q), &q.name));
            }
        };
        if trigger.is_some_and(Trigger::ends) {
            let ended = run_to_the_end(&pipeline, &running, &interrupt, start);
            tell_files_if_failed(&ended);
            ended?;
            let idle = running.queries().iter().all(|query| query.last_progress().is_none());
            if idle && format == ProgressFormat::Plain {
                tell("note: nothing new, all queries are up to date");
            }
            if self.crash_at.is_some() {
                tell("note: the run has ended before the moment to crash at");
            }
            Ok(())
        } else {
            for query in &pipeline.queries {
                start(query)?;
            }
            if format == ProgressFormat::Plain {
                tell("note: waiting for files; Ctrl-C ends the run after the batch it is in");
            }
            let again = |name: &str| {
                let named = pipeline.queries.iter().find(|query| query.name == name);
                named.map_or(Ok(()), start)
            };
            let ended = running.keep_alive(&interrupt, again);
            tell_files_if_failed(&ended);
            ended
        }
    }
}

impl Run {
    /// Opens a query, says what the run before left of it, and prepares its end.
    fn open(&self, pipeline: &Pipeline, planned: &PlannedQuery) -> Result<Query> {
        let mut query = pipeline.open(planned)?;
        let name = planned.name.clone();
        if let Some(resumed) = query.resumed() {
            tell(format_args!("note: {name}: {resumed}"));
        }
        if planned.durability == Durability::Fast {
            tell(format_args!(
                "note: {name}: durability is fast: after a power cut the newest batches may be \
                 gone, or the checkpoint and the table may not fit; a killed process loses nothing"
            ));
        }
        let closing = match self.close_after_idle {
            Some(limit) => Closing::AfterIdle(limit),
            None if self.close_at_end => Closing::AtEnd,
            None => Closing::Never,
        };
        if closing != Closing::Never && !query.holds_back() {
            tell(format_args!(
                "note: {name}: no result waits for the watermark, so nothing is to be closed"
            ));
        }
        query.close_stream(closing);
        if let Some(CrashAt::Step(point)) = self.crash_at {
            query.after_each_step(Box::new(move |step, batch| {
                if point.is(step, batch) {
                    fault::crash_after(&name, step, batch);
                }
                Ok(())
            }));
        }
        Ok(query)
    }
}

fn announce_inferred(pipeline: &Pipeline) {
    for table in pipeline.tables.iter().filter(|table| table.inferred) {
        let columns = crate::sql::ddl(&table.schema);
        tell(format_args!("note: columns of {}, inferred: {columns}", table.definition.name));
    }
}

/// Starts each query when those that it reads have ended, so that what they wrote is there.
fn run_to_the_end(
    pipeline: &Pipeline,
    running: &Running,
    interrupt: &Interrupt,
    start: impl Fn(&PlannedQuery) -> Result<()>,
) -> Result<()> {
    let mut waiting: Vec<&PlannedQuery> = pipeline.queries.iter().collect();
    let mut ended = BTreeSet::new();
    while !waiting.is_empty() && !interrupt.is_set() {
        let (ready, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|query| query.upstream.iter().all(|u| ended.contains(u)));
        for query in &ready {
            start(query)?;
        }
        running.wait_for_all()?;
        ended.extend(ready.into_iter().map(|query| query.name.clone()));
        waiting = later;
    }
    Ok(())
}
