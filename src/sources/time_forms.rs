//! How the texts of a table become times: the options `timestampFormat`, `timestampNTZFormat`,
//! `dateFormat` and `timeZone`, as a reader asks for them.
//!
//! Without a format a text is read by the rules of a cast (`calendar/text.rs`). With one it must have
//! exactly that form.

use std::sync::Arc;

use super::options::{Options, Rule};
use crate::calendar::{TimePattern, Zone, read_clock, read_days, read_instant};
use crate::error::Result;

/// The forms of one table.
#[derive(Debug, Clone, Default)]
pub struct TimeForms {
    /// Of texts that name no zone.
    zone: Zone,
    timestamp: Option<Arc<TimePattern>>,
    timestamp_ntz: Option<Arc<TimePattern>>,
    date: Option<Arc<TimePattern>>,
}

/// The options of a table whose times are texts.
pub(super) const OPTIONS: &[(&str, Rule)] = &[
    ("dateFormat", Rule::Honoured),
    ("enableDateTimeParsingFallback", Rule::Only("true")),
    ("locale", Rule::Only("en-US")),
    ("timeZone", Rule::Honoured),
    ("timestampFormat", Rule::Honoured),
    ("timestampNTZFormat", Rule::Honoured),
];

impl TimeForms {
    /// What the options of a table say.
    pub(super) fn from_options(options: &Options) -> Result<Self> {
        let pattern = |name: &str| match options.get(name).map(TimePattern::to_read) {
            None => Ok(None),
            Some(Ok(pattern)) => Ok(Some(Arc::new(pattern))),
            Some(Err(error)) => Err(error.about(name)),
        };
        let zone = match options.get("timeZone") {
            None => Zone::default(),
            Some(name) => Zone::named(name).map_err(|_| {
                options.invalid("timeZone", "a zone, such as UTC, +01:00 or Europe/Berlin")
            })?,
        };
        Ok(Self {
            zone,
            timestamp: pattern("timestampFormat")?,
            timestamp_ntz: pattern("timestampNTZFormat")?,
            date: pattern("dateFormat")?,
        })
    }

    /// Microseconds since 1970 UTC of a TIMESTAMP.
    pub(super) fn timestamp(&self, text: &str) -> Option<i64> {
        match &self.timestamp {
            None => read_instant(text, &self.zone),
            Some(pattern) => pattern.instant(text, &self.zone),
        }
    }

    /// Microseconds since 1970 of a TIMESTAMP_NTZ: a text that names a zone is none.
    pub(super) fn timestamp_ntz(&self, text: &str) -> Option<i64> {
        match &self.timestamp_ntz {
            None => read_clock(text, false),
            Some(pattern) => pattern.clock(text, false),
        }
    }

    /// Days since 1970 of a DATE in JSON: where no format is set, a whole number in quotes counts
    /// days itself.
    pub(super) fn date_or_days(&self, text: &str) -> Option<i32> {
        self.date(text).or_else(|| text.parse().ok().filter(|_| self.date.is_none()))
    }

    /// Days since 1970 of a DATE.
    pub(super) fn date(&self, text: &str) -> Option<i32> {
        match &self.date {
            None => read_days(text),
            Some(pattern) => pattern.days(text),
        }
    }
}
