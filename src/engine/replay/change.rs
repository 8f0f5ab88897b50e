//! The same run with one thing changed, beside the run as it was.
//!
//! Both compute every recorded batch from the same files at the same times. The one runs with the
//! watermarks that were recorded; the other with its own, since the change may move them. A batch
//! without data comes in the changed run where one came in the recorded run, if it has something to
//! do there, and at the end.

use std::path::Path;
use std::str::FromStr;

use serde_json::json;

use super::answers::{AnswerDifference, Answers};
use super::check::require_same;
use super::rerun::{Ran, Rerun};
use super::shared::{reuse, share};
use crate::checkpoint::{Offsets, Recording};
use crate::engine::pipeline::{Changes, Pipeline, PlannedQuery};
use crate::error::{Error, Result};
use crate::sinks::OutputMode;
use crate::sql::Interval;

/// One thing that can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The delay of every watermark of the query, in microseconds.
    WatermarkDelay(i64),
    /// What of the result is written.
    OutputMode(OutputMode),
    /// How many files of each source a batch takes.
    MaxFilesPerTrigger(usize),
}

impl FromStr for Change {
    type Err = Error;

    /// Reads `watermark delay = 2 minutes`, `output mode = update` or `maxFilesPerTrigger = 5`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage("INVALID_CHANGE", format!("'{text}' is nothing that can be changed")).hint(
                "write --with 'watermark delay = 2 minutes', --with 'maxFilesPerTrigger = 5' or \
                 --with 'output mode = update'",
            )
        };
        let (what, value) = text.split_once('=').ok_or_else(wrong)?;
        let (what, value) = (what.replace([' ', '_'], "").to_lowercase(), value.trim());
        match what.as_str() {
            "watermarkdelay" => Ok(Self::WatermarkDelay(delay_us(value)?)),
            "outputmode" => Ok(Self::OutputMode(value.parse()?)),
            "maxfilespertrigger" => {
                let most = value.parse().ok().filter(|most| *most > 0).ok_or_else(wrong)?;
                Ok(Self::MaxFilesPerTrigger(most))
            }
            _ => Err(wrong()),
        }
    }
}

/// Reads the delay of a watermark: `0s`, `90s`, `5m`, `2 minutes`. In microseconds.
pub fn delay_us(text: &str) -> Result<i64> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let unit = match unit.trim() {
        "ms" => "milliseconds",
        "" | "s" | "sec" => "seconds",
        "m" | "min" => "minutes",
        "h" => "hours",
        "d" => "days",
        other => other,
    };
    let delay = Interval::parse(&format!("{number} {unit}")).ok().and_then(Interval::delay_micros);
    delay.filter(|delay| *delay >= 0).ok_or_else(|| {
        Error::usage("INVALID_INTERVAL", format!("'{text}' is not a delay of a watermark"))
            .hint("write for example 0s, 90s, 5m, 2h or '2 minutes'")
    })
}

impl Change {
    /// What has to be changed in the plan of a query.
    pub fn of(self, query: &str) -> Changes {
        let mut changes = Changes { query: query.to_owned(), ..Changes::default() };
        match self {
            Self::WatermarkDelay(delay_us) => changes.watermark_delay_us = Some(delay_us),
            Self::OutputMode(mode) => changes.mode = Some(mode),
            Self::MaxFilesPerTrigger(_) => {}
        }
        changes
    }
}

/// A delay can be changed only where there is one.
pub(super) fn require_watermark(planned: &PlannedQuery) -> Result<()> {
    if !planned.plan.watermarks.is_empty() {
        return Ok(());
    }
    let what = format!("the query '{}' has no watermark: no delay changes it", planned.name);
    Err(Error::usage("WATERMARK_MISSING", what)
        .hint("write WATERMARK column DELAY OF INTERVAL … behind the stream in FROM"))
}

/// What one of the two runs came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Batches.
    pub batches: u64,
    /// Rows read.
    pub rows: u64,
    /// Rows that came too late.
    pub late: u64,
    /// The most rows that were kept after a batch.
    pub most_kept: u64,
}

/// Two runs of one query.
pub struct Comparison {
    /// The run as it was.
    pub before: Totals,
    /// The changed one.
    pub after: Totals,
    /// How the whole results differ.
    pub answers: AnswerDifference,
}

/// Two runs of one query, in the making.
pub struct Changed {
    batches: Vec<Offsets>,
    recut: Vec<Offsets>,
    runs: [Rerun; 2],
    totals: [Totals; 2],
    answers: [Answers; 2],
}

impl Changed {
    /// Opens both: `planned` of `pipeline`, and `changed` of `other`, which was planned with the
    /// change.
    pub fn open(
        (pipeline, planned): (&Pipeline, &PlannedQuery),
        (other, changed): (&Pipeline, &PlannedQuery),
        change: Change,
        checkpoint: &Path,
    ) -> Result<Self> {
        let recording = Recording::read(checkpoint)?;
        if matches!(change, Change::WatermarkDelay(_)) {
            require_watermark(planned)?;
        }
        let (origins, streams) = share(pipeline.origins(planned)?);
        let before = Rerun::open(pipeline, planned, origins, false)?;
        require_same(&before, &recording, checkpoint)?;
        let origins = reuse(other.origins(changed)?, &streams);
        let after = Rerun::open(other, changed, origins, false)?;
        let recut = match change {
            Change::MaxFilesPerTrigger(most) => recut(&recording.batches, most),
            _ => vec![],
        };
        let answers = [Answers::of(planned)?, Answers::of(changed)?];
        Ok(Self {
            batches: recording.batches,
            recut,
            runs: [before, after],
            totals: Default::default(),
            answers,
        })
    }

    /// How many batches there are to run.
    pub fn batches(&self) -> usize {
        self.batches.len() + self.recut.len()
    }

    /// Runs both to the end. `on_batch` is told of each batch; its error ends the run.
    pub fn run(mut self, mut on_batch: impl FnMut() -> Result<()>) -> Result<Comparison> {
        let same_batches = self.recut.is_empty();
        for decided in std::mem::take(&mut self.batches) {
            let ran = self.runs[0].run(&decided)?;
            self.note(0, ran)?;
            if same_batches {
                self.change(&decided)?;
            }
            on_batch()?;
        }
        for decided in std::mem::take(&mut self.recut) {
            self.change(&decided)?;
            on_batch()?;
        }
        let last = self.runs[1].query.last_batch_time;
        while self.runs[1].no_data_batch_due() {
            let nothing = self.runs[1].nothing();
            let ran = self.runs[1].run_by_itself(nothing, last)?;
            self.note(1, ran)?;
        }
        let [before, after] = self.totals;
        let [left, right] = self.answers;
        Ok(Comparison { before, after, answers: left.difference(&right)? })
    }

    /// A batch of the changed run.
    fn change(&mut self, decided: &Offsets) -> Result<()> {
        let has_data = decided.sources.iter().any(Option::is_some);
        if !has_data && !self.runs[1].no_data_batch_due() {
            return Ok(());
        }
        let (takes, time) = (decided.sources.clone(), decided.batch_timestamp_ms);
        let ran = self.runs[1].run_by_itself(takes, time)?;
        self.note(1, ran)
    }

    fn note(&mut self, run: usize, ran: Ran) -> Result<()> {
        let totals = &mut self.totals[run];
        totals.batches += 1;
        totals.rows += ran.report.progress.num_input_rows;
        totals.late += ran.report.progress.rows.late;
        totals.most_kept = totals.most_kept.max(self.runs[run].kept());
        self.answers[run].add(&ran.report.rows)
    }
}

/// The same files in batches of at most `most` of each source. A batch has the time of the recorded
/// one that its last file was in. What is not a list of files stays as it was cut.
fn recut(batches: &[Offsets], most: usize) -> Vec<Offsets> {
    let sources = batches.iter().map(|batch| batch.sources.len()).max().unwrap_or(0);
    let mut cut: Vec<Offsets> = vec![];
    for source in 0..sources {
        let mut takes: Vec<(serde_json::Value, i64)> = vec![];
        let mut files: Vec<(serde_json::Value, i64)> = vec![];
        for batch in batches {
            let Some(take) = batch.sources.get(source).and_then(Option::as_ref) else { continue };
            let time = batch.batch_timestamp_ms;
            match take.get("files").and_then(|files| files.as_array()) {
                Some(list) => files.extend(list.iter().map(|file| (file.clone(), time))),
                None => takes.push((take.clone(), time)),
            }
        }
        takes.extend(files.chunks(most).map(|chunk| {
            let time = chunk.last().map_or(0, |(_, time)| *time);
            let files: Vec<_> = chunk.iter().map(|(file, _)| file).collect();
            (json!({ "files": files }), time)
        }));
        cut.resize(cut.len().max(takes.len()), Offsets::default());
        for (batch, (take, time)) in cut.iter_mut().zip(takes) {
            batch.sources.resize(sources, None);
            if let Some(place) = batch.sources.get_mut(source) {
                *place = Some(take);
            }
            batch.batch_timestamp_ms = batch.batch_timestamp_ms.max(time);
        }
    }
    cut.iter_mut().for_each(|batch| batch.sources.resize(sources, None));
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_it_is_said() {
        let change = |text: &str| text.parse::<Change>();
        assert_eq!(
            change("watermark delay = 2 minutes").unwrap(),
            Change::WatermarkDelay(120_000_000)
        );
        assert_eq!(change("maxFilesPerTrigger=5").unwrap(), Change::MaxFilesPerTrigger(5));
        assert_eq!(change("output mode = update").unwrap(), Change::OutputMode(OutputMode::Update));
        for wrong in ["watermark", "watermark delay = soon", "maxFilesPerTrigger = 0", "x = 1"] {
            assert!(change(wrong).is_err(), "{wrong}");
        }
        for (text, seconds) in
            [("0s", 0), ("90s", 90), ("5m", 300), ("2 hours", 7200), ("1d", 86400)]
        {
            assert_eq!(delay_us(text).unwrap(), seconds * 1_000_000, "{text}");
        }
    }

    #[test]
    fn the_same_files_are_cut_anew() {
        let batch = |time, names: &[&str]| Offsets {
            batch_timestamp_ms: time,
            sources: vec![(!names.is_empty()).then(|| json!({ "files": names })), None],
            ..Offsets::default()
        };
        let cut = recut(&[batch(1, &["a"]), batch(2, &[]), batch(3, &["b", "c", "d", "e"])], 2);
        assert_eq!(cut, [batch(3, &["a", "b"]), batch(3, &["c", "d"]), batch(3, &["e"])]);
    }
}
