//! What `SET key = value` statements say about the queries of a file.
//!
//! Takes Spark's own keys. A key that decides about answers is either obeyed or refused; any other
//! one (`spark.sql.shuffle.partitions` …) is about how Spark works inside, and means nothing here.
//! Settings are not pinned: a query that starts again runs with what its file says now, as in Spark.

use super::watermark::Policy;
use crate::calendar::Zone;
use crate::error::{Error, Result};
use crate::sql::{Checks, Setting, TIME_ZONE, nearest};

/// The settings that the queries of a file run with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How several watermarks become one.
    pub policy: Policy,
    /// Whether a risen watermark alone makes a batch.
    pub no_data_batches: bool,
    /// Whether every operator runs with the query's own watermark, by which a row is late too
    /// (`spark.sql.streaming.statefulOperator.allowMultiple` = false); else each has the watermark
    /// of its rows, and what is late is decided by the one before.
    pub one_watermark: bool,
    /// Which operators a query may have.
    pub checks: Checks,
    /// Whose clocks and dates the queries mean (`spark.sql.session.timeZone`), by default UTC.
    /// Windows begin by UTC in every zone.
    pub zone: Zone,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::Min,
            no_data_batches: true,
            one_watermark: false,
            checks: Checks::default(),
            zone: Zone::default(),
        }
    }
}

/// Keys that would change answers and that only have this value here.
const FIXED: [(&str, &str); 4] = [
    ("spark.sql.ansi.enabled", "true"),
    ("spark.sql.caseSensitive", "false"),
    ("spark.sql.timestampType", "TIMESTAMP_LTZ"),
    ("spark.sql.legacy.timeParserPolicy", "CORRECTED"),
];

impl Settings {
    /// The settings that `SET` statements give; the last of a key counts.
    ///
    /// # Errors
    ///
    /// `INVALID_CONF_VALUE…`: a value that the key does not take. `UNSUPPORTED_FEATURE`: a value that
    /// would change answers in a way that is not built. Both with the place of the statement.
    pub fn of(given: &[&Setting]) -> Result<Self> {
        let last = |key: &str| given.iter().rev().find(|s| s.key.eq_ignore_ascii_case(key));
        for (key, only) in FIXED {
            match last(key) {
                Some(setting) if !setting.value.trim().eq_ignore_ascii_case(only) => {
                    return Err(not_built(setting, only));
                }
                _ => {}
            }
        }
        let word = |key: &str| last(key).map(|s| (s, s.value.trim().to_lowercase()));
        let policy = match word("spark.sql.streaming.multipleWatermarkPolicy") {
            None => Policy::Min,
            Some((setting, word)) => match word.as_str() {
                "min" => Policy::Min,
                "max" => Policy::Max,
                _ => return Err(wrong(setting, "min or max")),
            },
        };
        let switch = |key: &str| match word(key) {
            None => Ok(true),
            Some((setting, word)) => word.parse().map_err(|_| wrong(setting, "true or false")),
        };
        Ok(Self {
            policy,
            no_data_batches: switch("spark.sql.streaming.noDataMicroBatches.enabled")?,
            one_watermark: !switch("spark.sql.streaming.statefulOperator.allowMultiple")?,
            checks: Checks {
                operations: switch("spark.sql.streaming.unsupportedOperationCheck")?,
                correctness: switch(
                    "spark.sql.streaming.statefulOperator.checkCorrectness.enabled",
                )?,
            },
            zone: last(TIME_ZONE).map_or_else(|| Ok(Zone::default()), |s| zone(s))?,
        })
    }
}

fn zone(setting: &Setting) -> Result<Zone> {
    Zone::named(&setting.value).map_err(|_| {
        let wanted = setting.value.trim().replace(' ', "_");
        let city = |zone: &'static str| zone.rsplit('/').next().unwrap_or(zone);
        let near = nearest(&wanted, Zone::names()).or_else(|| {
            let near = nearest(&wanted, Zone::names().map(city))?;
            Zone::names().find(|zone| city(zone) == near)
        });
        let hint = match near {
            Some(near) => format!("did you mean '{near}'?"),
            None => "write a zone as in 'America/New_York', 'UTC' or '+02:00'".to_owned(),
        };
        let what = format!("{} cannot be '{}': there is no such zone", setting.key, setting.value);
        Error::sql("INVALID_CONF_VALUE.TIME_ZONE", what).hint(hint).at(setting.place.clone())
    })
}

fn wrong(setting: &Setting, allowed: &str) -> Error {
    let what = format!("{} cannot be '{}'", setting.key, setting.value);
    Error::sql("INVALID_CONF_VALUE", what)
        .hint(format!("write {allowed}"))
        .at(setting.place.clone())
}

fn not_built(setting: &Setting, only: &str) -> Error {
    let Setting { key, value, place } = setting;
    let what = format!("{key} = {value} is not supported: it is always {only}");
    Error::sql("UNSUPPORTED_FEATURE", what)
        .hint(format!("leave the SET out, or set it to {only}"))
        .at(place.clone())
}
