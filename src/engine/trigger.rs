//! When the next batch starts.

use std::time::Duration;

use crate::error::{Error, Result};

/// What makes a query start its next batch; the names are Spark's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trigger {
    /// As soon as something is there. Spark's default too.
    #[default]
    AsSoonAsPossible,
    /// At multiples of this interval on the clock; a missed tick is skipped.
    Every(Duration),
    /// One batch with everything that is there, then the end. Spark deprecates it.
    Once,
    /// As many batches as the source's limits ask for, over what is there at the start, then the end.
    AvailableNow,
}

impl Trigger {
    /// Whether the query ends by itself.
    pub fn ends(self) -> bool {
        matches!(self, Trigger::Once | Trigger::AvailableNow)
    }

    /// Reads an interval such as `5 seconds` ([`duration`]); `0s` is as soon as possible.
    pub fn parse_interval(text: &str) -> Result<Trigger> {
        let every = duration(text)?;
        Ok(if every.is_zero() { Trigger::AsSoonAsPossible } else { Trigger::Every(every) })
    }
}

/// Reads a length of time such as `5 seconds`, `5s`, `500ms`, `1 minute` or `0s`.
///
/// # Errors
///
/// `INVALID_INTERVAL`: it is none.
pub fn duration(text: &str) -> Result<Duration> {
    let trimmed = text.trim().to_ascii_lowercase();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let wrong = || {
        Error::usage("INVALID_INTERVAL", format!("'{text}' is not an interval of time"))
            .hint("write for example '5 seconds', '500ms' or '1 minute'")
    };
    let number: u64 = trimmed[..digits].parse().map_err(|_| wrong())?;
    let millis = match trimmed[digits..].trim() {
        "ms" | "millisecond" | "milliseconds" => 1,
        "" | "s" | "sec" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_usual_spellings() {
        let seconds = |n| Trigger::Every(Duration::from_secs(n));
        for (text, expected) in [
            ("5 seconds", seconds(5)),
            ("5s", seconds(5)),
            ("1 MINUTE", seconds(60)),
            ("500ms", Trigger::Every(Duration::from_millis(500))),
            ("0s", Trigger::AsSoonAsPossible),
        ] {
            assert_eq!(Trigger::parse_interval(text).unwrap(), expected, "{text}");
        }
        assert!(Trigger::parse_interval("soon").is_err());
    }
}
