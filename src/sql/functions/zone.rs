//! Time zones: what the clock on the wall shows at an instant, and the way back, as in Java.

use arrow::array::timezone::Tz;
use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};

use crate::error::Error;

/// A time zone: a name with its rules, or a fixed distance from UTC.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    name: String,
    rules: Tz,
}

impl Zone {
    /// A zone as Spark writes it: `Europe/Berlin`, `UTC`, `Z`, `+02:00`, `GMT+2`.
    pub(super) fn named(name: &str) -> Result<Self, Error> {
        let unknown = || {
            Error::input("INVALID_TIMEZONE", format!("'{name}' is not a time zone"))
                .hint("write a zone as in 'Europe/Berlin' or '+02:00'")
        };
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name);
        let rules = match offset.as_bytes() {
            [] | b"Z" if !name.is_empty() => "+00:00".parse(),
            [b'+' | b'-', digits @ ..] => {
                let plain: Vec<&str> = offset[1..].split(':').collect();
                let (hours, minutes) = match plain.as_slice() {
                    [hours] if digits.len() <= 2 => (*hours, "00"),
                    [all] if digits.len() == 4 && all.is_ascii() => all.split_at(2),
                    [hours, minutes] => (*hours, *minutes),
                    _ => return Err(unknown()),
                };
                let fits = |text: &str, most: u32| text.parse::<u32>().is_ok_and(|n| n <= most);
                if !fits(hours, 18) || !fits(minutes, 59) {
                    return Err(unknown());
                }
                format!("{}{hours:0>2}:{minutes:0>2}", &offset[..1]).parse()
            }
            _ => name.parse(),
        };
        Ok(Self { name: name.to_owned(), rules: rules.map_err(|_| unknown())? })
    }

    /// The name as it was given.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Seconds that the zone is ahead of UTC at an instant.
    pub(super) fn offset_at(&self, instant: i64) -> i32 {
        let time = DateTime::from_timestamp_micros(instant).unwrap_or_default().naive_utc();
        self.rules.offset_from_utc_datetime(&time).fix().local_minus_utc()
    }

    /// The clock at an instant, as microseconds of a day count of its own.
    pub(super) fn clock(&self, instant: i64) -> i64 {
        instant.saturating_add(i64::from(self.offset_at(instant)) * 1_000_000)
    }

    /// The instant at which the clock shows this. Where it shows it twice, the first; where it
    /// never does, because clocks went forward, as much later as they went.
    pub(super) fn instant(&self, clock: i64) -> i64 {
        let local = naive(clock);
        let offset = match self.rules.offset_from_local_datetime(&local).earliest() {
            Some(offset) => offset.fix().local_minus_utc(),
            None => {
                let before = local - TimeDelta::days(1);
                self.rules.offset_from_utc_datetime(&before).fix().local_minus_utc()
            }
        };
        clock.saturating_sub(i64::from(offset) * 1_000_000)
    }
}

/// Microseconds of a clock as a date and a time.
pub(super) fn naive(clock: i64) -> NaiveDateTime {
    DateTime::<Utc>::from_timestamp_micros(clock).unwrap_or_default().naive_utc()
}
