//! Days, clocks and time zones, and the texts that name them: takes text, gives microseconds or
//! days since 1970 UTC, and the way back, by Spark's rules.
//!
//! An *instant* counts microseconds since 1970-01-01T00:00:00 UTC. A *clock* counts the
//! microseconds that a clock on the wall shows, as if it hung in Greenwich. A [`Zone`] makes one of
//! the other; `text` reads and writes what casts do, `pattern` what a pattern of letters says.

mod pattern;
mod text;
mod zone;

pub(crate) use self::pattern::{TimePattern, day_name, month_name};
pub(crate) use self::text::{date_text, read_clock, read_days, read_instant, timestamp_text};
pub use self::zone::Zone;

use chrono::{DateTime, NaiveDateTime, Utc};

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400 * SECOND;

/// Microseconds of a clock as a date and a time; beyond the years that chrono has, 1970.
pub(crate) fn naive(clock: i64) -> NaiveDateTime {
    DateTime::<Utc>::from_timestamp_micros(clock).unwrap_or_default().naive_utc()
}

/// Days since 1970-01-01, or `None` if there is no such day. The calendar goes on without end in
/// both directions, also where chrono's does not.
pub(crate) fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    const EPOCH: i64 = 719_468;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last one of its year.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let before = era.checked_mul(146_097)?;
    before.checked_add(of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for days in (-1_000_000..1_000_000).step_by(97) {
            let date = chrono::NaiveDate::from_epoch_days(days).unwrap();
            let (year, month, day) = (date.format("%Y"), date.format("%m"), date.format("%d"));
            let part = |text: String| text.parse::<i64>().unwrap();
            let (year, month, day) =
                (part(year.to_string()), part(month.to_string()), part(day.to_string()));
            assert_eq!(day_number(year, month, day), Some(i64::from(days)), "{date}");
        }
        assert_eq!(day_number(2026, 2, 29), None);
        assert_eq!(day_number(i64::MIN, 1, 1), None);
    }
}
