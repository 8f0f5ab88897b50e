//! What can be asked of the generator, and what it refuses.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::generate::parse::{LAST_START, LONGEST};
use crate::generate::stream::Stream;
use crate::generate::{day17, events, users};
use crate::time::Millis;

/// A set of streams that is made together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The streaming demo's stream: 100 rows every 5 s, without end.
    Events,
    /// The workshop's events, impressions and clicks: 10 batches, 1 s apart.
    Day17,
    /// The still table of 1,000 users that `events` joins with.
    Users,
}

impl Preset {
    /// All presets.
    pub const ALL: [Preset; 3] = [Preset::Events, Preset::Day17, Preset::Users];

    /// What the user calls it.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Events => "events",
            Preset::Day17 => "day17",
            Preset::Users => "users",
        }
    }

    /// How many batches it makes when nobody says; `None`: it does not end.
    pub fn batches(self) -> Option<u64> {
        match self {
            Preset::Events => None,
            Preset::Day17 => Some(10),
            Preset::Users => Some(1),
        }
    }

    /// How far its batches lie apart when nobody says.
    pub fn every(self) -> Duration {
        match self {
            Preset::Events => Duration::from_secs(5),
            Preset::Day17 => Duration::from_secs(1),
            Preset::Users => Duration::ZERO,
        }
    }

    pub(crate) fn streams(self) -> &'static [Stream] {
        match self {
            Preset::Events => events::STREAMS,
            Preset::Day17 => day17::STREAMS,
            Preset::Users => users::STREAMS,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(preset) = Self::ALL.into_iter().find(|preset| preset.name() == text) {
            return Ok(preset);
        }
        let nearest = Self::ALL.into_iter().find(|p| strsim::jaro_winkler(p.name(), text) > 0.8);
        let hint = match nearest {
            Some(preset) => format!("did you mean '{preset}'?"),
            None => format!("the presets are {}", Self::ALL.map(Preset::name).join(", ")),
        };
        Err(Error::usage("UNKNOWN_PRESET", format!("there is no preset '{text}'")).hint(hint))
    }
}

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON lines, the only form of a stream.
    #[default]
    Json,
    /// A Delta table, for `users`. The generator does not write it: the caller takes
    /// [`users_batch`](crate::generate::users_batch) and writes it with a sink.
    Delta,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "json" => Ok(Format::Json),
            "delta" => Ok(Format::Delta),
            _ => Err(Error::usage("UNKNOWN_FORMAT", format!("there is no format '{text}'"))
                .hint("the formats are json, delta")),
        }
    }
}

/// What to make. All of it but `out` decides about bytes: with a [`start`](Self::start), the same
/// preset, seed and options give the same files on every machine, whatever the pacing.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Which streams.
    pub preset: Preset,
    /// The folder to write into. A preset of several streams makes a folder for each in it.
    pub out: PathBuf,
    /// How to write.
    pub format: Format,
    /// How many batches to add to what is there; `None`: as the preset says.
    pub batches: Option<u64>,
    /// New rows in a batch of the preset's first stream; its other streams follow in proportion.
    /// `None`: as the preset says.
    pub rows: Option<usize>,
    /// How far batches lie apart; zero: as fast as possible. `None`: as the preset says.
    pub every: Option<Duration>,
    /// The fraction of rows that are late, in each stream; `None`: as the preset says.
    pub late: Option<f64>,
    /// By how much a late row is late: more than the first, at most the second; where both are
    /// the same, just that. `None`: 5 to 30 minutes.
    pub late_by: Option<(Duration, Duration)>,
    /// How many rows come a second time, as a fraction of the new rows, which they are added to.
    /// They repeat rows of the same batch or of one of the five before it, as this run's seed and
    /// options make them.
    pub duplicates: f64,
    /// The fraction of new rows that arrive as a broken line.
    pub corrupt: f64,
    /// Decides about everything that looks like chance.
    pub seed: u64,
    /// The present of batch 0. Batch N is `N × every` later (the preset's `every` where that of
    /// the options is zero). `None`: each batch is as old as the clock says when it is made.
    pub start: Option<Millis>,
}

/// The most rows that a batch may have: it is made in memory, in about 1.2 GB then.
const MOST_ROWS: usize = 10_000_000;

impl GenerateOptions {
    /// A preset as it is, with seed 42.
    pub fn new(preset: Preset, out: impl Into<PathBuf>) -> Self {
        Self {
            preset,
            out: out.into(),
            format: Format::default(),
            batches: None,
            rows: None,
            every: None,
            late: None,
            late_by: None,
            duplicates: 0.0,
            corrupt: 0.0,
            seed: 42,
            start: None,
        }
    }

    /// How long to wait between two batches.
    pub fn every(&self) -> Duration {
        match self.preset {
            Preset::Users => Duration::ZERO,
            _ => self.every.unwrap_or(self.preset.every()),
        }
    }

    /// How far two batches lie apart in event time when there is a start.
    pub(crate) fn event_time_step(&self) -> Duration {
        self.every.filter(|every| !every.is_zero()).unwrap_or(self.preset.every())
    }

    /// Refuses what cannot be made, or what would do nothing. Condition `INVALID_OPTION`.
    pub fn check(&self) -> Result<()> {
        self.check_ranges()?;
        let lateness = self.late.is_some() || self.late_by.is_some();
        if self.preset == Preset::Users {
            if lateness {
                return Err(refused("users are no stream: they have no event time to be late by")
                    .hint("leave out --late and --late-by"));
            }
            if self.batches.is_some_and(|batches| batches != 1) {
                return Err(refused("users are a still table: one batch is all there is")
                    .hint("leave out --batches; --rows says how many users there are"));
            }
        }
        if self.late_by.is_some() && self.late.is_none() && self.preset == Preset::Events {
            return Err(refused("no row of events is late, so --late-by would do nothing")
                .hint("say how many are: --late 0.1"));
        }
        if self.format == Format::Delta {
            if self.preset != Preset::Users {
                return Err(refused(format!("{} is a stream of JSON files", self.preset)).hint(
                    "leave out --format; to get a Delta table, run a pipeline over the files",
                ));
            }
            if self.duplicates > 0.0 || self.corrupt > 0.0 {
                return Err(refused("a Delta table has no lines to double or to break")
                    .hint("leave out --duplicates and --corrupt, or write JSON"));
            }
        }
        Ok(())
    }

    fn check_ranges(&self) -> Result<()> {
        let fractions = [
            ("late", self.late.unwrap_or(0.0)),
            ("duplicates", self.duplicates),
            ("corrupt", self.corrupt),
        ];
        for (name, fraction) in fractions {
            if !(0.0..=1.0).contains(&fraction) {
                return Err(refused(format!("--{name} {fraction} is not between 0 and 1"))
                    .hint("a fraction of the rows is meant: 0.1 is one row in ten"));
            }
        }
        let (min, max) = self.late_by.unwrap_or_default();
        if min > max || max > LONGEST || self.every.is_some_and(|every| every > LONGEST) {
            return Err(refused("a duration is longer than 1000 days, or a range goes backwards")
                .hint("write ranges like 5m..30m"));
        }
        if self.rows.is_some_and(|rows| rows == 0 || rows > MOST_ROWS) {
            return Err(refused(format!("a batch has 1 to {MOST_ROWS} rows"))
                .hint("make more batches to get more rows"));
        }
        if self.batches == Some(0) {
            return Err(refused("no batches would be made").hint("give --batches at least 1"));
        }
        if self.start.is_some_and(|start| !(0..=LAST_START).contains(&start)) {
            return Err(refused("--start lies outside the years 1970 to 9999")
                .hint("write it like 2026-01-01T12:00:00Z"));
        }
        Ok(())
    }
}

fn refused(message: impl Into<String>) -> Error {
    Error::usage("INVALID_OPTION", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_preset_is_met_with_its_name() {
        assert_eq!("day17".parse::<Preset>().unwrap(), Preset::Day17);
        let hint =
            |text: &str| text.parse::<Preset>().unwrap_err().hint_text().unwrap().to_string();
        assert_eq!(hint("event"), "did you mean 'events'?");
        assert_eq!(hint("nonsense"), "the presets are events, day17, users");
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        let refused = |preset, change: fn(&mut GenerateOptions)| {
            let mut options = GenerateOptions::new(preset, "out");
            options.check().unwrap();
            change(&mut options);
            let error = options.check().unwrap_err();
            assert!(error.hint_text().is_some() && error.exit_code() == 2, "{error}");
        };
        refused(Preset::Users, |o| o.late = Some(0.1));
        refused(Preset::Users, |o| o.batches = Some(2));
        refused(Preset::Events, |o| o.late_by = Some((Duration::ZERO, Duration::ZERO)));
        refused(Preset::Events, |o| o.format = Format::Delta);
        refused(Preset::Events, |o| o.corrupt = 1.5);
        refused(Preset::Events, |o| o.duplicates = f64::NAN);
        refused(Preset::Day17, |o| o.rows = Some(0));
        refused(Preset::Day17, |o| o.batches = Some(0));
    }
}
