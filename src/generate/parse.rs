//! Reading what is written after an option: `5s`, `5m..30m`, `0.1`, `2026-01-01T12:00:00Z`.
//!
//! Takes text; gives a number, or an error that says what would be right.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use crate::error::{Error, Result};
use crate::time::Millis;

/// The units of a duration, in milliseconds.
const UNITS: [(&str, f64); 5] =
    [("ms", 1.0), ("s", 1e3), ("m", 60e3), ("h", 3_600e3), ("d", 86_400e3)];

/// The longest duration that an option may name: 1,000 days.
pub(crate) const LONGEST: Duration = Duration::from_secs(1_000 * 86_400);

/// A duration: a number and its unit (`500ms`, `5s`, `1.5m`, `2h`, `1d`), at most 1,000 days, to
/// the millisecond. `0` needs no unit.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let wrong = |what: &str| {
        Error::usage("INVALID_DURATION", format!("'{text}' is not a duration: {what}"))
            .hint("write a number and ms, s, m, h or d, like 500ms, 5s or 2m")
    };
    let Ok(number) = number.parse::<f64>() else { return Err(wrong("it starts with no number")) };
    let unit = unit.trim();
    let millis = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, millis)) => number * millis,
        None if unit.is_empty() && number == 0.0 => 0.0,
        None if unit.is_empty() => return Err(wrong("the unit is missing")),
        None => return Err(wrong(&format!("'{unit}' is no unit"))),
    };
    if millis > LONGEST.as_millis() as f64 {
        return Err(wrong("it is longer than 1000 days"));
    }
    if millis > 0.0 && millis < 1.0 {
        return Err(wrong("it is shorter than a millisecond"));
    }
    Ok(Duration::from_millis(millis.round() as u64))
}

/// Two durations, `5m..30m`, the first not longer than the second.
pub fn parse_duration_range(text: &str) -> Result<(Duration, Duration)> {
    let wrong = |what: &str| {
        Error::usage("INVALID_RANGE", format!("'{text}' is not a range: {what}"))
            .hint("write the shortest and the longest duration, like 5m..30m")
    };
    let Some((min, max)) = text.split_once("..") else { return Err(wrong("there is no '..'")) };
    let (min, max) = (parse_duration(min)?, parse_duration(max)?);
    if min > max {
        return Err(wrong("it ends before it starts"));
    }
    Ok((min, max))
}

/// A fraction from 0 to 1: `0.1` or `10%`.
pub fn parse_fraction(text: &str) -> Result<f64> {
    let (number, whole) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text.trim(), 1.0),
    };
    match number.parse::<f64>() {
        Ok(number) if (0.0..=whole).contains(&number) => Ok(number / whole),
        _ => Err(Error::usage(
            "INVALID_FRACTION",
            format!("'{text}' is not a fraction between 0 and 1"),
        )
        .hint("write it like 0.1, or like 10%")),
    }
}

/// A time between the years 1970 and 9999, in milliseconds: `2026-01-01T12:00:00Z` (or with another
/// offset), `2026-01-01 12:00:00` or `2026-01-01`, which are UTC.
pub fn parse_time(text: &str) -> Result<Millis> {
    let trimmed = text.trim();
    let with_offset = || DateTime::parse_from_rfc3339(trimmed).ok().map(|time| time.to_utc());
    let in_utc = |format| NaiveDateTime::parse_from_str(trimmed, format).ok();
    let midnight = || trimmed.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    let time = with_offset().or_else(|| {
        in_utc("%Y-%m-%dT%H:%M:%S%.f")
            .or_else(|| in_utc("%Y-%m-%d %H:%M:%S%.f"))
            .or_else(midnight)
            .map(|time| time.and_utc())
    });
    match time.map(|time| time.timestamp_millis()) {
        Some(millis) if (0..=LAST_START).contains(&millis) => Ok(millis),
        _ => Err(Error::usage(
            "INVALID_TIME",
            format!("'{text}' is not a time between the years 1970 and 9999"),
        )
        .hint("write it like 2026-01-01T12:00:00Z")),
    }
}

/// 9999-12-31T23:59:59.999, in milliseconds.
pub(crate) const LAST_START: Millis = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_that_exists() {
        for (text, millis) in [
            ("5s", 5_000),
            ("0s", 0),
            ("0", 0),
            ("500ms", 500),
            ("2m", 120_000),
            ("1.5h", 5_400_000),
        ] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "5", "s", "-5s", "5 weeks", "1.2.3s", "1e9d", "99999999d", "0.1ms"] {
            let error = parse_duration(text).unwrap_err();
            assert_eq!((error.condition(), error.exit_code()), ("INVALID_DURATION", 2), "{text}");
        }
    }

    #[test]
    fn a_range_goes_up() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        assert_eq!(parse_duration_range("5m..30m").unwrap(), (minutes(5), minutes(30)));
        assert_eq!(parse_duration_range("5m").unwrap_err().condition(), "INVALID_RANGE");
        assert_eq!(parse_duration_range("30m..5m").unwrap_err().condition(), "INVALID_RANGE");
        assert_eq!(parse_duration_range("5..30m").unwrap_err().condition(), "INVALID_DURATION");
    }

    #[test]
    fn a_fraction_lies_between_nothing_and_all() {
        assert_eq!([parse_fraction("0.1").unwrap(), parse_fraction("10%").unwrap()], [0.1, 0.1]);
        for text in ["", "1.5", "-0.1", "101%", "NaN", "ten"] {
            assert_eq!(parse_fraction(text).unwrap_err().condition(), "INVALID_FRACTION", "{text}");
        }
    }

    #[test]
    fn a_time_is_utc_unless_it_says_otherwise() {
        for text in [
            "2026-01-01T12:00:00Z",
            "2026-01-01T14:00:00+02:00",
            "2026-01-01T12:00:00",
            "2026-01-01 12:00:00.000",
        ] {
            assert_eq!(parse_time(text).unwrap(), 1_767_268_800_000, "{text}");
        }
        assert_eq!(parse_time("2026-01-01").unwrap(), 1_767_225_600_000);
        assert_eq!(parse_time("noon").unwrap_err().condition(), "INVALID_TIME");
    }
}
