//! What the TBLPROPERTIES of a streaming table say, apart from its output mode and trigger.

use crate::durable::Durability;
use crate::error::{Error, Result};
use crate::sql::{Interval, Options};
use crate::time::Millis;

/// How many rejected rows of a batch are kept: at most so many, or all.
pub(super) type Most = Option<usize>;

/// The properties `rejected.enabled` and `rejected.max_rows_per_batch`; `None`: rejected rows are
/// not kept.
pub(super) fn keeps_rejected(properties: &Options) -> Result<Option<Most>> {
    let (enabled, most) = ("rejected.enabled", "rejected.max_rows_per_batch");
    match properties.get(enabled) {
        None => {}
        Some(word) if word.eq_ignore_ascii_case("true") => {}
        Some(word) if word.eq_ignore_ascii_case("false") => return Ok(None),
        Some(word) => return Err(invalid(properties, enabled, word, "write 'true' or 'false'")),
    }
    match properties.get(most) {
        None => Ok(Some(None)),
        Some(rows) => match rows.parse() {
            Ok(rows) => Ok(Some(Some(rows))),
            Err(_) => {
                let hint = "write a number of rows, such as '1000'";
                Err(invalid(properties, most, rows, hint))
            }
        },
    }
}

/// The property `durability`.
pub(super) fn durability(properties: &Options) -> Result<Durability> {
    let key = "durability";
    match properties.get(key) {
        None => Ok(Durability::Full),
        Some(word) if word.eq_ignore_ascii_case("full") => Ok(Durability::Full),
        Some(word) if word.eq_ignore_ascii_case("fast") => Ok(Durability::Fast),
        Some(word) => Err(invalid(properties, key, word, "write 'full' or 'fast'")),
    }
}

/// The property `futureGuard`, in milliseconds.
pub(super) fn future_guard_ms(properties: &Options) -> Result<Option<Millis>> {
    let key = "futureGuard";
    let Some(text) = properties.get(key) else { return Ok(None) };
    match Interval::parse(text).ok().and_then(Interval::fixed_micros) {
        Some(micros) if micros >= 0 => Ok(Some(micros / 1000)),
        _ => {
            let hint = "write an interval without months, such as '1 hour'";
            Err(invalid(properties, key, text, hint))
        }
    }
}

fn invalid(properties: &Options, key: &str, value: &str, hint: &str) -> Error {
    let what = format!("'{value}' is no value of {key}");
    properties.locate(Error::sql("INVALID_PROPERTY_VALUE", what).about(key).hint(hint))
}
