//! `strandline generate`: JSON files drop into a folder.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::interrupt::Interrupt;
use super::say;
use crate::engine::tables::write_table;
use crate::error::Result;
use crate::generate::{
    BatchReport, Format, GenerateOptions, Generator, Preset, parse_duration, parse_duration_range,
    parse_fraction, parse_time, users_batch,
};
use crate::time::SystemClock;

/// Drop JSON files into a folder, as a live system would.
#[derive(Args)]
#[command(after_help = "Presets:
  events   the streaming demo: 100 events a batch, a batch every 5 s, endless; files in DIR
  day17    the workshop: 10 batches of events, impressions and clicks; DIR/events, DIR/impressions, DIR/clicks
  users    the still table for joins: 1000 users; DIR/users.json

Examples:
  strandline generate events --out input/events
  strandline generate day17 --out input --seed 1 --every 0s
  strandline generate events --out input/events --batches 20 --every 0s --late 0.1 --late-by 5m..30m
  strandline generate users --out data/users --format delta

The same preset, seed, start and options give the same bytes.")]
pub struct Generate {
    /// What to make.
    #[arg(value_enum)]
    preset: PresetName,
    /// The folder that the files go into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the draws begin from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The present of the first batch, as 2026-01-01T12:00:00 [default: the clock]
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// How many batches [default: the preset's]
    #[arg(long)]
    batches: Option<u64>,
    /// How many rows a batch [default: the preset's]
    #[arg(long)]
    rows: Option<usize>,
    /// How long from batch to batch; 0s: as fast as possible [default: the preset's]
    #[arg(long, value_name = "DURATION")]
    every: Option<String>,
    /// Which part of the rows is late, from 0 to 1 [default: the preset's]
    #[arg(long, value_name = "FRACTION")]
    late: Option<String>,
    /// How late they are.
    #[arg(long, value_name = "MIN..MAX")]
    late_by: Option<String>,
    /// Which part of the rows comes a second time, from 0 to 1
    #[arg(long, value_name = "FRACTION", default_value = "0")]
    duplicates: String,
    /// Which part of the rows is a broken line, from 0 to 1
    #[arg(long, value_name = "FRACTION", default_value = "0")]
    corrupt: String,
    /// What the users table is written as.
    #[arg(long, value_enum, default_value = "json")]
    format: FormatName,
    /// Say nothing about each batch.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PresetName {
    Events,
    Day17,
    Users,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatName {
    Json,
    Delta,
}

impl Generate {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let options = self.options()?;
        options.check()?;
        if options.format == Format::Delta {
            let rows = users_batch(options.seed, options.rows.unwrap_or(1000))?;
            let count = rows.num_rows();
            write_table(&options.out, rows)?;
            say(format_args!("users: {count} rows → {} (Delta)", options.out.display()));
            return Ok(());
        }
        let total = options.batches.or(options.preset.batches());
        let mut generator = Generator::new(options, std::sync::Arc::new(SystemClock))?;
        let every = generator.every();
        let (wake, sleeper) = std::sync::mpsc::channel();
        let interrupt = Interrupt::listen(move || {
            let _ = wake.send(());
        })?;
        // Thousands of lines a second tell nobody anything: then a bar says how far it is.
        let paced = every > Duration::ZERO;
        let bar = (!paced && !self.quiet).then(|| bar(total));
        let mut written = Totals::default();
        while let Some(report) = generator.next_batch()? {
            written.add(&report);
            match &bar {
                Some(bar) => bar.inc(1),
                None if self.quiet => {}
                None => say(describe(&report)),
            }
            let last = total.is_some_and(|total| written.batches == total);
            if interrupt.is_set() || last || (paced && sleeper.recv_timeout(every).is_ok()) {
                break;
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        if !self.quiet {
            say(written);
        }
        Ok(())
    }

    fn options(&self) -> Result<GenerateOptions> {
        let preset = match self.preset {
            PresetName::Events => Preset::Events,
            PresetName::Day17 => Preset::Day17,
            PresetName::Users => Preset::Users,
        };
        let mut options = GenerateOptions::new(preset, &self.out);
        options.format = match self.format {
            FormatName::Json => Format::Json,
            FormatName::Delta => Format::Delta,
        };
        options.seed = self.seed;
        options.batches = self.batches;
        options.rows = self.rows;
        options.start = self.start.as_deref().map(parse_time).transpose()?;
        options.every = self.every.as_deref().map(parse_duration).transpose()?;
        options.late = self.late.as_deref().map(parse_fraction).transpose()?;
        options.late_by = self.late_by.as_deref().map(parse_duration_range).transpose()?;
        options.duplicates = parse_fraction(&self.duplicates)?;
        options.corrupt = parse_fraction(&self.corrupt)?;
        Ok(options)
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let style = |template: &str| {
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    };
    match total {
        Some(total) => {
            ProgressBar::new(total).with_style(style("{bar:40} {pos} of {len} batches, {eta} left"))
        }
        None => ProgressBar::new_spinner().with_style(style("{spinner} {pos} batches")),
    }
}

fn describe(report: &BatchReport) -> String {
    let streams = report.streams.iter().map(|stream| {
        let mut text = format!("{} {}", stream.rows + stream.duplicates, stream.stream);
        let mut odd = vec![];
        for (count, what) in
            [(stream.late, "late"), (stream.duplicates, "twice"), (stream.corrupt.len(), "broken")]
        {
            if count > 0 {
                odd.push(format!("{count} {what}"));
            }
        }
        if !odd.is_empty() {
            text.push_str(&format!(" ({})", odd.join(", ")));
        }
        text
    });
    format!("batch {}: {}", report.batch, streams.collect::<Vec<_>>().join(", "))
}

#[derive(Default)]
struct Totals {
    batches: u64,
    rows: usize,
    files: usize,
    late: usize,
    duplicates: usize,
    corrupt: usize,
}

impl Totals {
    fn add(&mut self, report: &BatchReport) {
        self.batches += 1;
        for stream in &report.streams {
            self.files += 1;
            self.rows += stream.rows + stream.duplicates;
            self.late += stream.late;
            self.duplicates += stream.duplicates;
            self.corrupt += stream.corrupt.len();
        }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rows in {} files ({} late, {} twice, {} broken)",
            self.rows, self.files, self.late, self.duplicates, self.corrupt
        )
    }
}
