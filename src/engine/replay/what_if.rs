//! The same input under several delays of the watermark: what each costs, and what it loses.
//!
//! A longer delay loses fewer rows and makes every result wait longer. How much of both depends on
//! the rows, so it is measured: the query runs once for each delay, all of them side by side over
//! rows that are read once, and once more without any watermark, which loses nothing. All run in
//! append mode, where a result comes out when it is final. In the end the watermark passes
//! everything, so that what is still open has an answer too and can be compared.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::RecordBatch;

use super::answers::Answers;
use super::change::require_watermark;
use super::rerun::{Ran, Rerun};
use super::shared::{reuse, share};
use crate::checkpoint::{Offsets, Recording};
use crate::engine::pipeline::{Changes, Pipeline, Project};
use crate::error::{Error, Result};
use crate::operators::late::event_times;
use crate::sinks::OutputMode;
use crate::sources::{Admit, Take};
use crate::time::{Millis, micros_to_millis};

/// A watermark that every row is behind: the end of the year 9999.
const END_OF_TIME: Millis = 253_402_300_799_999;

/// The shares of the rows that a delay is sought for.
const SHARES: [f64; 3] = [0.99, 0.999, 1.0];

/// What one delay comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outlook {
    /// The delay, in milliseconds.
    pub delay_ms: Millis,
    /// Rows that came too late, for all of their windows.
    pub late: u64,
    /// Results that are missing, more, or other than without any loss.
    pub different: u64,
    /// Results that had come out by the end of the input.
    pub out: u64,
    /// How long results had to wait. `None`: none has come out, or they have no event time.
    pub wait: Option<Wait>,
    /// The most rows that were kept after a batch.
    pub most_kept: u64,
}

/// How far event time had gone on when a result came out: from the end of its window (or its own
/// event time) to the newest event time that was seen by then.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Wait {
    /// The mean, in milliseconds.
    pub mean_ms: f64,
    /// The longest, in milliseconds.
    pub worst_ms: Millis,
}

/// What all delays come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WhatIf {
    /// Batches of input.
    pub batches: u64,
    /// Whether they are those that the query has run, or those that it would run.
    pub recorded: bool,
    /// Rows read.
    pub rows: u64,
    /// Rows of these that came to an operator which refuses late ones: filters may have taken the
    /// others. Of operators that follow each other the one with the most rows counts.
    pub judged: u64,
    /// Results without any loss.
    pub results: u64,
    /// Each delay.
    pub outlooks: Vec<Outlook>,
    /// For some shares of the rows the least delay, in milliseconds, that keeps as many.
    pub keeps: Vec<(f64, Millis)>,
}

/// A query under several delays, before it has run.
pub struct Trial {
    /// Loses nothing: its watermark is held at its beginning.
    lossless: Run,
    runs: Vec<Run>,
    batches: Batches,
    lateness: Lateness,
    found: WhatIf,
}

/// The batches of input: those of a checkpoint, or what the sources give.
enum Batches {
    Recorded(std::vec::IntoIter<Offsets>),
    Fresh,
}

struct Run {
    rerun: Rerun,
    answers: Answers,
    outlook: Outlook,
    waits: (u64, f64),
}

impl Trial {
    /// Opens a query of a pipeline's text once for each delay (in microseconds). Where the query
    /// has run, its own batches are used; else its files, as the sources would give them.
    ///
    /// # Errors
    ///
    /// `WATERMARK_MISSING`: the query has no watermark that could have a delay. Those of planning
    /// it in append mode.
    pub fn open(
        project: &Project,
        (name, text): (&str, &str),
        query: &str,
        delays_us: &[i64],
    ) -> Result<Self> {
        let plan = |delay_us| {
            let changes = Changes {
                query: query.to_owned(),
                watermark_delay_us: Some(delay_us),
                mode: Some(OutputMode::Append),
            };
            Pipeline::plan_changed(project, name, text, &changes)
        };
        let longest = delays_us.iter().copied().max().unwrap_or(0);
        let pipeline = plan(longest).map_err(in_append_mode)?;
        let planned = pipeline.query(query)?;
        require_watermark(planned)?;
        let (origins, streams) = share(pipeline.origins(planned)?);
        let mut lossless = Run::open(&pipeline, query, origins, longest)?;
        let mut runs = vec![];
        for &delay_us in delays_us {
            let pipeline = plan(delay_us)?;
            let origins = reuse(pipeline.origins(pipeline.query(query)?)?, &streams);
            runs.push(Run::open(&pipeline, query, origins, delay_us)?);
        }
        let streams = lossless.rerun.query.streams.len();
        let recorded = recorded(&project.checkpoint(&planned.name), streams)?;
        let batches = match recorded {
            Some(batches) => Batches::Recorded(batches.into_iter()),
            None => {
                lossless.rerun.query.freeze()?;
                Batches::Fresh
            }
        };
        let found =
            WhatIf { recorded: matches!(batches, Batches::Recorded(_)), ..WhatIf::default() };
        Ok(Self { lossless, runs, batches, lateness: Lateness::default(), found })
    }

    /// How many batches there are, where that is known before.
    pub fn batches(&self) -> Option<usize> {
        match &self.batches {
            Batches::Recorded(batches) => Some(batches.len()),
            Batches::Fresh => None,
        }
    }

    /// Runs all to the end. `on_batch` is told of each batch; its error ends the run.
    pub fn run(mut self, mut on_batch: impl FnMut() -> Result<()>) -> Result<WhatIf> {
        let mut last = 0;
        while let Some(decided) = self.next_batch()? {
            last = decided.batch_timestamp_ms;
            let has_data = decided.sources.iter().any(Option::is_some);
            self.lossless(&decided)?;
            for run in &mut self.runs {
                if has_data || run.rerun.no_data_batch_due() {
                    run.batch(decided.sources.clone(), last)?;
                }
            }
            self.found.batches += u64::from(has_data);
            on_batch()?;
        }
        self.lossless.end(last)?;
        self.found.results = self.lossless.answers.len() as u64;
        for mut run in self.runs {
            while run.rerun.no_data_batch_due() {
                run.batch(run.rerun.nothing(), last)?;
            }
            run.outlook.out = run.answers.len() as u64;
            run.end(last)?;
            let different = self.lossless.answers.difference(&run.answers)?.count() as u64;
            let (count, sum) = run.waits;
            let mut outlook = Outlook { different, ..run.outlook };
            if let Some(wait) = &mut outlook.wait {
                wait.mean_ms = sum / count.max(1) as f64;
            }
            self.found.outlooks.push(outlook);
        }
        self.found.judged = self.lateness.judged();
        self.found.keeps = SHARES.map(|share| (share, self.lateness.keeps(share))).to_vec();
        Ok(self.found)
    }

    fn next_batch(&mut self) -> Result<Option<Offsets>> {
        let query = match &mut self.batches {
            Batches::Recorded(batches) => return Ok(batches.next()),
            Batches::Fresh => &mut self.lossless.rerun.query,
        };
        let mut sources = vec![];
        for stream in &mut query.streams {
            let take = stream.source.next(Admit::Limited)?;
            take.iter().try_for_each(|take| stream.source.decided(take))?;
            sources.push(take);
        }
        let batch_timestamp_ms = query.clock.now().max(query.last_batch_time);
        let has_data = sources.iter().any(Option::is_some);
        Ok(has_data.then(|| Offsets { batch_timestamp_ms, sources, ..Offsets::default() }))
    }

    /// A batch of the run that loses nothing, which also tells how late each row is.
    fn lossless(&mut self, decided: &Offsets) -> Result<()> {
        let run = &mut self.lossless;
        let held = Offsets { batch_watermark_ms: Some(0), ..decided.clone() };
        let ran = run.rerun.run(&held)?;
        self.found.rows += ran.report.progress.num_input_rows;
        run.answers.add(&ran.report.rows)?;
        let query = &run.rerun.query;
        let newest = self.lateness.newest_for_late_rows(query.one_watermark);
        let marks = query.input_watermarks_ms(newest);
        self.lateness.note(&ran.arrived, &marks);
        self.lateness.moves_to(run.newest_event_ms());
        Ok(())
    }
}

/// The checkpoint's batches, if the query has run.
fn recorded(checkpoint: &Path, streams: usize) -> Result<Option<Vec<Offsets>>> {
    if !checkpoint.join("commits").is_dir() {
        return Ok(None);
    }
    let batches = Recording::read(checkpoint)?.batches;
    if batches.iter().any(|batch| batch.sources.len() != streams) {
        let folder = checkpoint.display();
        let what = format!("{folder} is of a query that reads another number of streams");
        return Err(Error::changed("CHECKPOINT_QUERY_CHANGED", what)
            .hint("give the changed query another name: then its files are taken as it would"));
    }
    Ok(Some(batches).filter(|batches| !batches.is_empty()))
}

fn in_append_mode(error: Error) -> Error {
    match error.condition().starts_with("STREAMING_OUTPUT_MODE") {
        true => error.context(
            "what-if runs the query in append mode, where a result waits until it is final",
        ),
        false => error,
    }
}

impl Run {
    fn open(
        pipeline: &Pipeline,
        query: &str,
        origins: Vec<crate::engine::query::Origin>,
        delay_us: i64,
    ) -> Result<Self> {
        let planned = pipeline.query(query)?;
        Ok(Self {
            rerun: Rerun::open(pipeline, planned, origins, false)?,
            answers: Answers::of(planned)?,
            outlook: Outlook { delay_ms: micros_to_millis(delay_us), ..Outlook::default() },
            waits: (0, 0.0),
        })
    }

    /// The newest event time that was seen; of several streams, as the watermark counts them.
    fn newest_event_ms(&self) -> Millis {
        match self.rerun.query.tracker.watermark_ms() {
            0 => 0,
            watermark => watermark + self.outlook.delay_ms,
        }
    }

    fn batch(&mut self, takes: Vec<Option<Take>>, time: Millis) -> Result<()> {
        let Ran { report, .. } = self.rerun.run_by_itself(takes, time)?;
        self.outlook.late += report.progress.rows.late;
        self.outlook.most_kept = self.outlook.most_kept.max(self.rerun.kept());
        self.answers.add(&report.rows)?;
        report.rows.iter().try_for_each(|rows| self.note_waits(rows))
    }

    fn note_waits(&mut self, rows: &RecordBatch) -> Result<()> {
        let Some(column) = self.answers.event_time() else { return Ok(()) };
        let times = event_times(rows.column(column))?;
        let now = self.newest_event_ms();
        for time in times.iter().flatten() {
            let waited = now.saturating_sub(micros_to_millis(time)).max(0);
            let wait = self.outlook.wait.get_or_insert_default();
            wait.worst_ms = wait.worst_ms.max(waited);
            self.waits.0 += 1;
            self.waits.1 += waited as f64;
        }
        Ok(())
    }

    /// Lets out what is still open.
    fn end(&mut self, time: Millis) -> Result<()> {
        let ran = self.rerun.run(&Offsets {
            batch_watermark_ms: Some(END_OF_TIME),
            batch_timestamp_ms: time,
            sources: self.rerun.nothing(),
            ..Offsets::default()
        })?;
        self.answers.add(&ran.report.rows)
    }
}

/// How late rows are: by how much the newest event time was ahead of them when they were judged.
/// A delay that is longer keeps the row.
#[derive(Default)]
struct Lateness {
    /// The newest event times before the last two batches, as the two watermarks of a batch go.
    before: (Millis, Millis),
    /// Rows that came to each stage.
    rows: Vec<u64>,
    /// Rows by how late they are, in milliseconds; those that no delay would lose are left out.
    late: BTreeMap<Millis, u64>,
}

impl Lateness {
    fn newest_for_late_rows(&self, one_watermark: bool) -> Millis {
        if one_watermark { self.before.1 } else { self.before.0 }
    }

    fn moves_to(&mut self, newest: Millis) {
        self.before = (self.before.1, newest);
    }

    /// `arrived`: see [`super::event_times::EventTimes`]; `marks`: the watermark of each stage, if there
    /// were no delay.
    fn note(&mut self, arrived: &[Vec<i64>], marks: &[Millis]) {
        self.rows.resize(arrived.len(), 0);
        for ((times, mark), rows) in arrived.iter().zip(marks).zip(&mut self.rows) {
            *rows += times.len() as u64;
            for time in times {
                let late = micros_to_millis(mark.saturating_mul(1000).saturating_sub(*time));
                if *mark > 0 && late >= 0 {
                    *self.late.entry(late).or_default() += 1;
                }
            }
        }
    }

    fn judged(&self) -> u64 {
        self.rows.iter().copied().max().unwrap_or(0)
    }

    /// The least delay that keeps this share of the rows.
    fn keeps(&self, share: f64) -> Millis {
        let mut may_be_lost = (self.judged() as f64 * (1.0 - share) + 1e-9) as u64;
        for (late, rows) in self.late.iter().rev() {
            if *rows > may_be_lost {
                return late + 1;
            }
            may_be_lost -= rows;
        }
        0
    }
}
