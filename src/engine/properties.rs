//! What the TBLPROPERTIES of a streaming table say, apart from its output mode and trigger.

use crate::durable::Durability;
use crate::error::{Error, Result};
use crate::machine;
use crate::sql::{Interval, Options};
use crate::state::Memory;
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

/// The properties `state.memory` and `state.limit`, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StateMemory {
    budget: Option<u64>,
    limit: Option<u64>,
}

impl StateMemory {
    pub(super) fn of(properties: &Options) -> Result<Self> {
        let bytes = |key: &str| match properties.get(key) {
            None => Ok(None),
            Some(text) => match bytes(text) {
                Some(bytes) => Ok(Some(bytes)),
                None => {
                    let hint = "write a number and a unit, such as '256MB' or '1GiB'";
                    Err(invalid(properties, key, text, hint))
                }
            },
        };
        Ok(Self { budget: bytes("state.memory")?, limit: bytes("state.limit")? })
    }

    /// The memory of a query's state, of which there are so many in the process. By default state goes
    /// to disk once it takes half of the machine's memory. Whatever was said, all of it takes no more
    /// than four fifths: the kernel ends who takes more than there is.
    pub(super) fn for_one_of(self, queries: usize) -> Memory {
        let machine = machine::memory_bytes();
        let half = machine.map(|bytes| bytes / 2 / queries.max(1) as u64);
        Memory::new(self.budget.or(half), self.limit, machine.map(|bytes| bytes / 5 * 4))
    }
}

/// A number of bytes: `1000000`, `256MB`, `1GiB`; a kilobyte is 1024 bytes, as in Spark.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &lower[number.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    let bytes = number.trim().parse::<u64>().ok()?.checked_mul(factor)?;
    (bytes > 0).then_some(bytes)
}

fn invalid(properties: &Options, key: &str, value: &str, hint: &str) -> Error {
    let what = format!("'{value}' is no value of {key}");
    properties.locate(Error::sql("INVALID_PROPERTY_VALUE", what).about(key).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_have_units() {
        assert_eq!(bytes("1000"), Some(1000));
        assert_eq!(bytes("256MB"), Some(256 << 20));
        assert_eq!(bytes(" 256 mb "), Some(256 << 20));
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        assert_eq!(bytes("2g"), Some(2 << 30));
        for wrong in ["", "MB", "0", "-1", "1 XB", "1.5g", "99999999999 TB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
