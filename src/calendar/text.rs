//! Text into dates and times by Spark's rules for casts, and back: `None` where a text is none.
//!
//! A timestamp is `yyyy[-[m]m[-[d]d[(T| )[h]h[:[m]m[:[s]s[.fraction][zone]]]]]]`; the year has 4 to
//! 6 digits, a fraction is cut to microseconds, a zone may follow the seconds only. A time of day
//! alone, which Spark gives today's date, is not taken: the answer would depend on the day of the
//! run.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Timelike};

use super::zone::{Rules, Zone};
use super::{SECOND, day_number};

/// Days since 1970-01-01 of a text that begins with a date; what follows a `T` or a blank is
/// not looked at.
pub(crate) fn read_days(text: &str) -> Option<i32> {
    let mut text = Text::new(text);
    let days = text.date()?;
    match text.next() {
        None | Some(b'T' | b' ') => i32::try_from(days).ok(),
        Some(_) => None,
    }
}

/// The instant of a text; one that names no zone is in `zone`.
pub(crate) fn read_instant(text: &str, zone: &Zone) -> Option<i64> {
    let (clock, micros, named) = Text::new(text).clock()?;
    let rules = if named.is_empty() { zone.rules() } else { Rules::named(named)? };
    join(clock.checked_sub(rules.offset_on(clock))?, micros)
}

/// What the clock shows by a text. The zone that a text names is not looked at; whether it may name
/// one at all is `may_name_zone`.
pub(crate) fn read_clock(text: &str, may_name_zone: bool) -> Option<i64> {
    let (clock, micros, named) = Text::new(text).clock()?;
    let fits = named.is_empty() || may_name_zone && Rules::named(named).is_some();
    if fits { join(clock, micros) } else { None }
}

fn join(seconds: i64, micros: i64) -> Option<i64> {
    seconds.checked_mul(SECOND)?.checked_add(micros)
}

/// `2026-01-31`; from the year 10000 on with a sign.
pub(crate) fn date_text(days: i32) -> String {
    match NaiveDate::default().checked_add_signed(TimeDelta::days(days.into())) {
        Some(date) => day_text(date),
        None => format!("{days} days after 1970-01-01"),
    }
}

/// `2026-01-31 12:00:00.25`: a fraction without zeros at its end, or none.
pub(crate) fn timestamp_text(clock: i64) -> String {
    let Some(time) = DateTime::from_timestamp_micros(clock) else {
        return format!("{clock} microseconds after 1970-01-01");
    };
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let mut text = format!("{} {hour:02}:{minute:02}:{second:02}", day_text(time.date_naive()));
    let micros = time.nanosecond() / 1000;
    if micros > 0 {
        text.push_str(format!(".{micros:06}").trim_end_matches('0'));
    }
    text
}

fn day_text(date: NaiveDate) -> String {
    let (sign, year) = match date.year() {
        year @ 10_000.. => ("+", year),
        year @ ..0 => ("-", -year),
        year => ("", year),
    };
    format!("{sign}{year:04}-{:02}-{:02}", date.month(), date.day())
}

/// A text and how far it is read.
struct Text<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}'), at: 0 }
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

    /// Seconds of the clock since 1970, the microseconds behind them, and the name of a zone.
    fn clock(mut self) -> Option<(i64, i64, &'a str)> {
        if let Some(seconds) = self.usual_form() {
            let micros = if self.takes(b'.') { self.fraction() } else { 0 };
            return Some((seconds, micros, self.text.get(self.at..)?.trim()));
        }
        let days = self.date()?;
        let (seconds, micros) = match self.next() {
            None => (0, 0),
            Some(b'T' | b' ') => self.time_of_day()?,
            Some(_) => return None,
        };
        let zone = self.text.get(self.at..)?.trim();
        Some((days.checked_mul(86_400)?.checked_add(seconds)?, micros, zone))
    }

    /// Seconds of the clock since 1970 of `yyyy-mm-ddThh:mm:ss`, the form of nearly all texts, which
    /// is worth a look of its own: all its digits have their places. `None`, with nothing taken: the
    /// text has another form, or is no time.
    fn usual_form(&mut self) -> Option<i64> {
        let (head, rest) = self.text.as_bytes().split_first_chunk::<19>()?;
        let signs = [head[4], head[7], head[13], head[16]];
        let parted = signs == *b"--::" && matches!(head[10], b'T' | b' ');
        if !parted || rest.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let digits = |at: usize| {
            let (tens, ones) = (head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0'));
            (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
        };
        let days = day_number(digits(0)? * 100 + digits(2)?, digits(5)?, digits(8)?)?;
        let (hour, minute, second) = (digits(11)?, digits(14)?, digits(17)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        self.at = head.len();
        Some(days * 86_400 + hour * 3600 + minute * 60 + second)
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
            if self.takes(b'-') { self.number(1, 2)? } else { return day_number(year, 1, 1) };
        let day = if self.takes(b'-') { self.number(1, 2)? } else { 1 };
        day_number(year, month, day)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<String> {
        Some(timestamp_text(read_instant(text, &Zone::default())?))
    }

    #[test]
    fn takes_the_forms_that_spark_takes() {
        for (text, expected) in [
            ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05"),
            ("2026-01-02 03:04:05", "2026-01-02 03:04:05"),
            ("2026-1-2 3:4:5.6", "2026-01-02 03:04:05.6"),
            ("2026-01-02T03:04:05.", "2026-01-02 03:04:05"),
            ("2026-01-02T03:04:05.123456789Z", "2026-01-02 03:04:05.123456"),
            ("2026-01-02T03:04:05+02:00", "2026-01-02 01:04:05"),
            ("2026-01-02T03:04:05-0800", "2026-01-02 11:04:05"),
            ("2026-01-02T03:04:05+5", "2026-01-01 22:04:05"),
            ("2026-01-02 03:04:05 +2:00", "2026-01-02 01:04:05"),
            ("2026-01-02 03:04:05+02:00:30", "2026-01-02 01:03:35"),
            ("2026-01-02 03:04:05 UTC", "2026-01-02 03:04:05"),
            ("2026-01-02T03:04:05 GMT+1", "2026-01-02 02:04:05"),
            ("2026-01-02T03:04:05 PST", "2026-01-02 11:04:05"),
            ("2026-01-02T03:04:05Europe/Berlin", "2026-01-02 02:04:05"),
            ("2026-07-02T03:04:05 Europe/Berlin", "2026-07-02 01:04:05"),
            ("2026-03-29T02:30:00 Europe/Berlin", "2026-03-29 01:30:00"),
            (" \t2026-01-02\n", "2026-01-02 00:00:00"),
            ("2026-01-02T03:04", "2026-01-02 03:04:00"),
            ("2026-01-02 03", "2026-01-02 03:00:00"),
            ("2026-1", "2026-01-01 00:00:00"),
            ("2026", "2026-01-01 00:00:00"),
            ("+2026-01-02", "2026-01-02 00:00:00"),
            ("-0001-01-01", "-0001-01-01 00:00:00"),
            ("012026-01-01", "+12026-01-01 00:00:00"),
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
            "2026-",
            "2026-01-02T03:04Z",
            "2026-01-02T03Z",
            "2026-01-02T",
            "2026-01-02 3:",
            "2026-01-02  03:04:05",
            "2026-02-29",
            "2026-01-02T24:00:00",
            "2026-01-02T03:04:60",
            "2026-01-02T03:04:05+19:00",
            "2026-01-02T03:04:05utc",
            "02/01/2026",
            "2026-01-02T03:04:05 Nowhere/City",
            "2026-01-02x",
            "999999-01-01",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
        let last = read_instant("294247-01-10T04:00:54.775807Z", &Zone::default());
        assert_eq!(last, Some(i64::MAX));
        assert_eq!(at("294247-01-10T04:00:54.775808Z"), None);
    }

    #[test]
    fn a_clock_leaves_the_zone_aside() {
        let clock = |text, may_name_zone| read_clock(text, may_name_zone).map(timestamp_text);
        let text = "2026-01-02T03:04:05-05:00";
        assert_eq!(clock(text, true).as_deref(), Some("2026-01-02 03:04:05"));
        assert_eq!(clock(text, false), None);
        assert_eq!(clock("2026-01-02T03:04:05 Nowhere", true), None);
    }

    #[test]
    fn cuts_a_date_from_a_longer_text() {
        for text in ["2026-01-02", "2026-1-2", "2026-01-02T23:59:59-05:00", "2026-01-02 late"] {
            assert_eq!(read_days(text), Some(20_455), "{text}");
        }
        assert_eq!(read_days("2026"), Some(20_454));
        assert_eq!(read_days("300000-01-01"), Some(108_853_222));
        for text in ["02/01/2026", "2026-01-02x", "19700102", "70-01-02", ""] {
            assert_eq!(read_days(text), None, "{text}");
        }
    }
}
