//! `strandline demo`: four queries over a live stream, from an empty folder.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;

use super::interrupt::Interrupt;
use super::running::Running;
use super::screen::{Board, Screen};
use super::{ProjectFolder, progress, say};
use crate::durable::{Disk, Durability, read};
use crate::engine::handle::StreamingQuery;
use crate::engine::pipeline::{Pipeline, Project};
use crate::error::{Error, Result};
use crate::generate::{GenerateOptions, Generator, Preset};
use crate::time::{Clock, Millis, ScaledClock, SharedClock, Stopwatch, SystemClock};

/// The pipeline of the demo, as it is written into the folder.
const PIPELINE: &str = include_str!("demo.sql");

/// Seconds of wall clock between two batches.
const EVERY: Duration = Duration::from_millis(500);

/// Where the event time of the last run ended, so that the next one goes on from there.
const CLOCK_FILE: &str = "input/events/.clock";

/// Show four queries over a live stream, from an empty folder.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline demo
  strandline demo --for 20s
  strandline demo --for 20s --speed 300

Writes demo.sql, input/, data/ and checkpoints/ into the folder. Event time runs --speed times as
fast as the clock on the wall, so that windows of five minutes close while one watches.")]
pub struct Demo {
    /// End by itself after so long, such as 20s.
    #[arg(long = "for", value_name = "DURATION")]
    for_: Option<String>,
    /// How many seconds of event time pass in a second.
    #[arg(long, default_value_t = 120.0)]
    speed: f64,
    #[command(flatten)]
    project: ProjectFolder,
}

impl Demo {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        if !(self.speed > 0.0 && self.speed <= 100_000.0) {
            return Err(Error::usage("INVALID_SPEED", "--speed takes a number above 0")
                .hint("write for example --speed 120: two minutes of event time a second"));
        }
        let ends_after = self.for_.as_deref().map(crate::generate::parse_duration).transpose()?;
        let project = self.project.open()?;
        let disk = Disk::new(Durability::Fast);
        let (pipeline, clock) = prepare(&project, disk, self.speed)?;

        let screen = Screen::new();
        let board = Arc::new(Mutex::new(Board::new(&pipeline)));
        let running = Running::default();
        let (wake, sleeper) = std::sync::mpsc::channel();
        let interrupt = Interrupt::listen(move || {
            let _ = wake.send(());
        })?;
        for query in &pipeline.queries {
            let (board, live) = (board.clone(), screen.is_live());
            let on_batch = Box::new(move |report: &_| {
                let closed = board.lock().unwrap_or_else(PoisonError::into_inner).note(report);
                if !live {
                    progress::show(super::ProgressFormat::Plain, report);
                    closed.iter().for_each(say);
                }
            });
            let opened = pipeline.open(query)?;
            let wall: SharedClock = Arc::new(SystemClock);
            running.add(StreamingQuery::start(opened, query.trigger, wall, on_batch)?);
        }

        let mut generator = Generator::new(events(&project), clock.clone())?;
        let (watch, mut made) = (Stopwatch::start(), 0);
        let over = |watch: &Stopwatch| {
            ends_after.is_some_and(|limit| watch.millis() >= limit.as_secs_f64() * 1000.0)
        };
        while !interrupt.is_set() && !over(&watch) && running.all_active() {
            if watch.millis() >= made as f64 * EVERY.as_secs_f64() * 1000.0 {
                generator.next_batch()?;
                made += 1;
                let now = clock.now().to_string();
                disk.replace(&project.folder.join(CLOCK_FILE), now.as_bytes())?;
            }
            screen.draw(&board.lock().unwrap_or_else(PoisonError::into_inner), clock.now());
            let _ = sleeper.recv_timeout(Duration::from_millis(100));
        }
        running.request_stop();
        running.wait_for_all()?;
        screen.draw(&board.lock().unwrap_or_else(PoisonError::into_inner), clock.now());
        farewell(&project);
        Ok(())
    }
}

fn events(project: &Project) -> GenerateOptions {
    let mut options = GenerateOptions::new(Preset::Events, project.folder.join("input/events"));
    options.every = Some(Duration::ZERO);
    options.late = Some(0.02);
    options.late_by = Some((Duration::from_secs(120), Duration::from_secs(1800)));
    options
}

/// Makes what is missing in the folder, and the clock of the event time.
fn prepare(project: &Project, disk: Disk, speed: f64) -> Result<(Pipeline, SharedClock)> {
    let folder = &project.folder;
    for name in ["input/events", "input/users", "data", "checkpoints"] {
        disk.create_folder(&folder.join(name))?;
    }
    let file = folder.join("demo.sql");
    if !file.exists() {
        disk.replace(&file, PIPELINE.as_bytes())?;
    }
    if !folder.join("input/users/users.json").exists() {
        let users = GenerateOptions::new(Preset::Users, folder.join("input/users"));
        Generator::new(users, Arc::new(SystemClock))?.next_batch()?;
    }
    let text = super::read_text(&file)?;
    let pipeline = Pipeline::plan(project, &file.display().to_string(), &text)?;
    let start =
        last_event_time(folder)?.map_or(SystemClock.now(), |last| last.max(SystemClock.now()));
    Ok((pipeline, Arc::new(ScaledClock::new(Arc::new(SystemClock), start, speed))))
}

fn last_event_time(folder: &Path) -> Result<Option<Millis>> {
    let bytes = read(&folder.join(CLOCK_FILE))?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok()))
}

fn farewell(project: &Project) {
    let given = !project.folder.as_os_str().is_empty();
    let option =
        if given { format!(" --project {}", project.folder.display()) } else { String::new() };
    let (data, pipeline) = (project.folder.join("data"), project.folder.join("demo.sql"));
    say(format_args!(
        "
The tables are Delta tables under {}. Ask them:
  strandline sql{option} -c \"SELECT * FROM event_aggregates ORDER BY window, event_type\"
  strandline sql{option} -c \"SELECT country, count(*) AS events FROM enriched_events GROUP BY country\"
Ask why, and what was rejected:
  strandline why{option} {pipeline} user_activity
  strandline sql{option} -c \"SELECT file, line, late_by_ms, windows FROM event_aggregates__rejected LIMIT 5\"
Read and change the queries in {pipeline}; run them without the show:
  strandline run{option} {pipeline}",
        data.display(),
        pipeline = pipeline.display(),
    ));
}
