//! Text into times, by Spark's rules for casts: takes what stands in a JSON string, gives
//! microseconds or days since 1970 UTC, or `None` where Spark gives NULL.
//!
//! A timestamp is `yyyy[-[m]m[-[d]d[(T| )[h]h[:[m]m[:[s]s[.fraction][zone]]]]]]`; the year has 4 to
//! 6 digits, a fraction is cut to microseconds, a zone may follow the seconds only, and a text
//! without one is in the zone of its reader. A time of day alone, which Spark gives today's date, is not taken: the
//! answer would depend on the day of the run.

use arrow::array::timezone::Tz;
use chrono::{Offset, TimeZone};

const SECOND: i64 = 1_000_000;

/// Days since 1970-01-01 of a text that begins with a date; what follows a `T` or a blank is
/// not looked at, as in Spark.
pub(super) fn days(text: &str) -> Option<i32> {
    let mut text = Text::new(text);
    let days = text.date()?;
    match text.next() {
        None | Some(b'T' | b' ') => i32::try_from(days).ok(),
        Some(_) => None,
    }
}

/// The zone of texts that name none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Zone(Option<Tz>);

impl Zone {
    /// `UTC`, `+01:00`, `Europe/Berlin`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "UTC" | "GMT" | "Z" => Some(Self(None)),
            other => other.parse().ok().map(|zone| Self(Some(zone))),
        }
    }

    /// Seconds that it is ahead of UTC at a local time.
    pub fn shift(&self, local: i64) -> Option<i64> {
        self.0.map_or(Some(0), |zone| shift_of(zone, local))
    }
}

/// Microseconds since 1970 UTC of a text with a date, a time and a zone, the later ones optional.
/// Without a `zone` for texts that name none, one that names its own is refused: the column is a
/// TIMESTAMP_NTZ.
pub(super) fn micros(text: &str, zone: Option<&Zone>) -> Option<i64> {
    let mut text = Text::new(text);
    let days = text.date()?;
    let (seconds, micros) = match text.next() {
        None => (0, 0),
        Some(b'T' | b' ') => text.time_of_day()?,
        Some(_) => return None,
    };
    let local = days.checked_mul(86_400)?.checked_add(seconds)?;
    let rest = text.rest();
    let shift = match (rest.trim(), zone) {
        ("", None) => 0,
        ("", Some(zone)) => zone.shift(local)?,
        (_, None) => return None,
        (named, Some(_)) => shift(named, local)?,
    };
    join(local.checked_sub(shift)?, micros)
}

/// Seconds and the microseconds behind them.
pub(super) fn join(seconds: i64, micros: i64) -> Option<i64> {
    seconds.checked_mul(SECOND)?.checked_add(micros)
}

/// Seconds that a zone is ahead of UTC: `Z`, `+h[h][[:]mm]`, `UTC+…`, or a name like
/// `Europe/Berlin` with its rules at that local time.
pub(super) fn shift(zone: &str, local: i64) -> Option<i64> {
    let offset = match zone {
        "Z" => return Some(0),
        _ => ["UTC", "GMT", "UT"].iter().find_map(|p| zone.strip_prefix(p)).unwrap_or(zone),
    };
    match offset.as_bytes().first() {
        None => Some(0),
        Some(b'+') => offset_seconds(&offset[1..]),
        Some(b'-') => offset_seconds(&offset[1..]).map(|s| -s),
        Some(_) => shift_of(zone.parse().ok()?, local),
    }
}

fn shift_of(zone: Tz, local: i64) -> Option<i64> {
    let local = chrono::DateTime::from_timestamp(local, 0)?.naive_utc();
    // Where clocks go back a local time comes twice, and the first counts; where they go forward it
    // never comes, and the shift from before counts: both as in Java.
    let shift = zone.offset_from_local_datetime(&local).earliest().or_else(|| {
        let before = local - chrono::TimeDelta::hours(3);
        zone.offset_from_local_datetime(&before).earliest()
    })?;
    Some(i64::from(shift.fix().local_minus_utc()))
}

/// `h`, `hh`, `hhmm`, `h:mm`, `hh:mm` in seconds; at most 18 hours, as Java has it.
fn offset_seconds(text: &str) -> Option<i64> {
    let (hours, minutes) = match text.split_once(':') {
        Some(parts) => parts,
        None if text.len() == 4 && text.is_ascii() => text.split_at(2),
        None => (text, "0"),
    };
    let number = |text: &str| match text.len() {
        1 | 2 if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<i64>().ok(),
        _ => None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = hours * 3600 + minutes * 60;
    (minutes < 60 && seconds <= 18 * 3600).then_some(seconds)
}

/// A text and how far it is read.
struct Text<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.trim_matches(|c: char| c <= ' '), at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes the next byte.
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// A number of so many digits.
    fn number(&mut self, fewest: usize, most: usize) -> Option<i64> {
        let start = self.at;
        let mut value = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - start == most {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        (self.at - start >= fewest).then_some(value)
    }

    /// Whether this byte comes next; then it is taken.
    fn takes(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Days since 1970-01-01 of a date whose month and day may be absent.
    fn date(&mut self) -> Option<i64> {
        let negative = self.takes(b'-');
        if !negative {
            self.takes(b'+');
        }
        let year = self.number(4, 6)?;
        let year = if negative { -year } else { year };
        let month =
            if self.takes(b'-') { self.number(1, 2)? } else { return date_days(year, 1, 1) };
        let day = if self.takes(b'-') { self.number(1, 2)? } else { 1 };
        date_days(year, month, day)
    }

    /// Seconds and microseconds since midnight; what follows the seconds is left.
    fn time_of_day(&mut self) -> Option<(i64, i64)> {
        let hour = self.number(1, 2)?;
        let minute = if self.takes(b':') { self.number(1, 2)? } else { 0 };
        let mut second = 0;
        let mut micros = 0;
        if self.at < self.text.len() {
            if !self.takes(b':') {
                return None;
            }
            second = self.number(1, 2)?;
            if self.takes(b'.') {
                micros = self.fraction();
            }
        }
        let within = hour < 24 && minute < 60 && second < 60;
        within.then_some((hour * 3600 + minute * 60 + second, micros))
    }

    /// Microseconds of the digits after a point; those after the sixth are cut.
    fn fraction(&mut self) -> i64 {
        let mut value = 0;
        let mut unit = SECOND;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            unit /= 10;
            value += i64::from(digit - b'0') * unit;
            self.at += 1;
        }
        value
    }
}

/// Days since 1970-01-01, or `None` if there is no such day. The calendar goes on without end in
/// both directions, also where chrono's does not.
pub(super) fn date_days(year: i64, month: i64, day: i64) -> Option<i64> {
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
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<String> {
        let time = chrono::DateTime::from_timestamp_micros(micros(text, Some(&Zone::default()))?)?;
        Some(time.format("%Y-%m-%d %H:%M:%S%.f").to_string())
    }

    #[test]
    fn takes_the_forms_that_spark_takes() {
        for (text, expected) in [
            ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05"),
            ("2026-01-02 03:04:05", "2026-01-02 03:04:05"),
            ("2026-1-2 3:4:5", "2026-01-02 03:04:05"),
            ("2026-01-02T03:04:05.5Z", "2026-01-02 03:04:05.500"),
            ("2026-01-02T03:04:05.123456789Z", "2026-01-02 03:04:05.123456"),
            ("2026-01-02T03:04:05+02:00", "2026-01-02 01:04:05"),
            ("2026-01-02T03:04:05-0800", "2026-01-02 11:04:05"),
            ("2026-01-02T03:04:05+05", "2026-01-01 22:04:05"),
            ("2026-01-02 03:04:05 +02:00", "2026-01-02 01:04:05"),
            ("2026-01-02 03:04:05 UTC", "2026-01-02 03:04:05"),
            ("2026-01-02T03:04:05 GMT+1", "2026-01-02 02:04:05"),
            ("2026-01-02T03:04:05 Europe/Berlin", "2026-01-02 02:04:05"),
            ("2026-07-02T03:04:05 Europe/Berlin", "2026-07-02 01:04:05"),
            ("2026-03-29T02:30:00 Europe/Berlin", "2026-03-29 01:30:00"),
            (" 2026-01-02 ", "2026-01-02 00:00:00"),
            ("2026-01-02T03:04", "2026-01-02 03:04:00"),
            ("2026", "2026-01-01 00:00:00"),
            ("1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"),
        ] {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_spark_refuses() {
        for text in [
            "",
            "yesterday",
            "0",
            "1767268800",
            "2026-01-02T03:04Z",
            "2026-01-02T",
            "2026-02-29",
            "2026-01-02T24:00:00",
            "2026-01-02T03:04:60",
            "2026-01-02T03:04:05+19:00",
            "02/01/2026",
            "2026-01-02T03:04:05 Nowhere/City",
            "12:34:56",
            "2026-01-02x",
            "999999-01-01",
        ] {
            assert_eq!(micros(text, Some(&Zone::default())), None, "{text}");
        }
        assert_eq!(micros("2026-01-02T03:04:05Z", None), None);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for days in (-1_000_000..1_000_000).step_by(97) {
            let date = chrono::NaiveDate::from_epoch_days(days).unwrap();
            let (year, month, day) = (date.format("%Y"), date.format("%m"), date.format("%d"));
            let part = |text: String| text.parse::<i64>().unwrap();
            let (year, month, day) =
                (part(year.to_string()), part(month.to_string()), part(day.to_string()));
            assert_eq!(date_days(year, month, day), Some(i64::from(days)), "{date}");
        }
        assert_eq!(micros("294247-01-10T04:00:54.775807Z", Some(&Zone::default())), Some(i64::MAX));
        assert_eq!(micros("294247-01-10T04:00:54.775808Z", Some(&Zone::default())), None);
    }

    #[test]
    fn cuts_a_date_from_a_longer_text() {
        for text in ["2026-01-02", "2026-1-2", "2026-01-02T23:59:59-05:00", "2026-01-02 late"] {
            assert_eq!(days(text), Some(20_455), "{text}");
        }
        assert_eq!(days("2026"), Some(20_454));
        assert_eq!(days("02/01/2026"), None);
        assert_eq!(days("2026-01-02x"), None);
    }
}
