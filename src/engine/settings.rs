//! What `SET key = value` statements say about the queries of a file.
//!
//! Takes Spark's own keys. A key that decides about answers is either obeyed or refused; any other
//! one (`spark.sql.shuffle.partitions` …) is about how Spark works inside, and means nothing here.

use std::collections::BTreeMap;

use super::watermark::Policy;
use crate::error::{Error, Result};
use crate::sql::{Checks, Statement};

/// The settings that the queries of a file run with.
#[derive(Debug, Clone, Copy)]
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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::Min,
            no_data_batches: true,
            one_watermark: false,
            checks: Checks::default(),
        }
    }
}

/// Keys that would change answers and that only have this value here.
const FIXED: [(&str, &str); 5] = [
    ("spark.sql.session.timeZone", "UTC"),
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
    /// `INVALID_CONF_VALUE`: a value that the key does not take. `UNSUPPORTED_FEATURE`: a value that
    /// would change answers in a way that is not built.
    pub fn of(statements: &[Statement]) -> Result<Self> {
        let mut found = BTreeMap::new();
        for statement in statements {
            if let Statement::Set(setting) = statement {
                found.insert(setting.key.to_ascii_lowercase(), setting.value.trim());
            }
        }
        let value = |key: &str| found.get(&key.to_ascii_lowercase()).copied();
        for (key, only) in FIXED {
            let utc = |v: &str| only == "UTC" && ["Etc/UTC", "Z", "+00:00", "GMT"].contains(&v);
            match value(key) {
                Some(v) if !v.eq_ignore_ascii_case(only) && !utc(v) => {
                    return Err(not_built(key, v, only));
                }
                _ => {}
            }
        }
        let key = "spark.sql.streaming.multipleWatermarkPolicy";
        let policy = match value(key).map(str::to_lowercase).as_deref() {
            None | Some("min") => Policy::Min,
            Some("max") => Policy::Max,
            Some(other) => return Err(wrong(key, other, "min or max")),
        };
        let switch = |key: &str| match value(key).map(str::to_lowercase).as_deref() {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(wrong(key, other, "true or false")),
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
        })
    }
}

fn wrong(key: &str, value: &str, allowed: &str) -> Error {
    Error::sql("INVALID_CONF_VALUE", format!("{key} cannot be '{value}'"))
        .hint(format!("write {allowed}"))
}

fn not_built(key: &str, value: &str, only: &str) -> Error {
    Error::sql(
        "UNSUPPORTED_FEATURE",
        format!("{key} = {value} is not supported: it is always {only}"),
    )
    .hint(format!("leave the SET out, or set it to {only}"))
}
