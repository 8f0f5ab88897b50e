//! Generator: a seed and a preset → `input/`.
//!
//! *Takes* a preset, a seed, how many rows are late, doubled or broken, and a clock. *Gives* JSON
//! files, batch by batch, each of them whole from the moment it has a name, and a report of what
//! was done to the rows. It *never* waits (pacing is the caller's: [`Generator::every`]), never
//! reads a clock of its own, and never replaces a batch that is there.
//!
//! - [`options`](GenerateOptions), `parse`: what can be asked
//! - `events`, `day17`, `users`: the presets, a file each
//! - `stream`: what the presets have in common: batches, the present of each, late event times
//! - `draw`: chance that repeats itself; `lines`: text without allocation
//! - `faults`: lines that break, rows that come twice
//! - `writer`: numbered files

mod day17;
mod draw;
mod events;
mod faults;
mod lines;
mod options;
mod parse;
mod stream;
mod users;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::time::SharedClock;

pub use faults::{BrokenLine, Fault};
pub use options::{Format, GenerateOptions, Preset};
pub use parse::{parse_duration, parse_duration_range, parse_fraction, parse_time};
pub use users::users_batch;

use lines::Lines;
use stream::{Batch, Timeline};

/// What was written for one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchReport {
    /// The number of the batch, as in its file names and its keys.
    pub batch: u64,
    /// One for each stream of the preset.
    pub streams: Vec<StreamReport>,
}

/// What was written for one stream in one batch. The file has `rows + duplicates` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// What the stream is called: `events`, `impressions`, `clicks`, `users`.
    pub stream: &'static str,
    /// The file.
    pub path: PathBuf,
    /// New rows, late and broken ones among them.
    pub rows: usize,
    /// How many of them are late.
    pub late: usize,
    /// How many rows follow that were there before.
    pub duplicates: usize,
    /// Which of the new rows are broken lines.
    pub corrupt: Vec<BrokenLine>,
}

/// Writes the batches of a preset into its folders.
pub struct Generator {
    maker: Maker,
    folders: Vec<PathBuf>,
    next: u64,
    left: Option<u64>,
}

impl Generator {
    /// Checks the options, makes the folders and finds the number of the first batch: the one
    /// after the highest that is there. The clock is read once a batch, unless there is a start.
    pub fn new(options: GenerateOptions, clock: SharedClock) -> Result<Self> {
        let out = options.out.clone();
        let left = options.batches.or(options.preset.batches());
        let maker = Maker::new(options, clock)?;
        let streams = maker.options.preset.streams();
        let folders: Vec<PathBuf> = streams.iter().map(|stream| out.join(stream.folder)).collect();
        let next = writer::prepare(&folders)
            .map_err(|e| e.hint("give --out a folder that can be made and written to"))?;
        Ok(Self { maker, folders, next, left })
    }

    /// How long the caller should wait between two batches; zero: not at all.
    pub fn every(&self) -> Duration {
        self.maker.options.every()
    }

    /// Makes and writes the next batch. `None`: all are written.
    pub fn next_batch(&mut self) -> Result<Option<BatchReport>> {
        if self.left == Some(0) {
            return Ok(None);
        }
        let table = self.maker.options.preset == Preset::Users;
        let batch = if table { 0 } else { self.next };
        let mut folders = self.folders.iter();
        let mut streams = Vec::with_capacity(self.folders.len());
        self.maker.make(batch, |made| {
            let folder = folders.next().ok_or_else(|| Error::internal("a stream has no folder"))?;
            let path = match table {
                true => writer::write_table(folder, users::FILE, made.bytes)?,
                false => writer::write_batch(folder, batch, made.bytes)?,
            };
            streams.push(StreamReport {
                stream: made.stream,
                path,
                rows: made.rows,
                late: made.late,
                duplicates: made.duplicates,
                corrupt: made.corrupt,
            });
            Ok(())
        })?;
        self.next += 1;
        self.left = self.left.map(|left| left - 1);
        Ok(Some(BatchReport { batch, streams }))
    }
}

/// Makes batches in memory: the generator without its files.
pub struct Maker {
    options: GenerateOptions,
    timeline: Timeline,
    clean: Lines,
    arriving: Lines,
    scratch: Lines,
}

/// One stream's part of a batch, as it arrives.
pub struct Made<'a> {
    /// What the stream is called.
    pub stream: &'static str,
    /// The lines, each with its newline.
    pub bytes: &'a [u8],
    /// New rows, late and broken ones among them.
    pub rows: usize,
    /// How many of them are late.
    pub late: usize,
    /// How many rows follow that were there before.
    pub duplicates: usize,
    /// Which of the new rows are broken lines.
    pub corrupt: Vec<BrokenLine>,
}

impl Maker {
    /// Checks the options; `out` and `batches` mean nothing here.
    pub fn new(options: GenerateOptions, clock: SharedClock) -> Result<Self> {
        options.check()?;
        if options.format == Format::Delta {
            return Err(Error::internal("the generator was asked for a Delta table"));
        }
        let timeline = Timeline::new(&options, clock);
        let [clean, arriving, scratch] = Default::default();
        Ok(Self { options, timeline, clean, arriving, scratch })
    }

    /// Makes batch `number` of each stream and hands it over, in the order of the preset. What it
    /// gives does not depend on the batches that were made before.
    pub fn make(
        &mut self,
        number: u64,
        mut take: impl FnMut(Made<'_>) -> Result<()>,
    ) -> Result<()> {
        let now = self.timeline.begin(number);
        for stream in self.options.preset.streams() {
            let (options, timeline) = (&self.options, &self.timeline);
            let batch = Batch { options, timeline, stream, number, now };
            self.clean.clear();
            (stream.write)(&batch, &mut self.clean);
            let corrupt = faults::broken_lines(&batch);
            let mut duplicates = 0;
            let hurt = !corrupt.is_empty() || options.duplicates > 0.0;
            if hurt {
                let (clean, out) = (&self.clean, &mut self.arriving);
                out.clear();
                faults::break_lines(&batch, clean, &corrupt, out);
                duplicates = faults::repeat_lines(&batch, clean, &corrupt, &mut self.scratch, out);
            }
            take(Made {
                stream: stream.name,
                bytes: if hurt { &self.arriving } else { &self.clean }.bytes(),
                rows: batch.rows(),
                late: batch.late_rows(),
                duplicates,
                corrupt,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
