//! Spark's patterns of dates and times: `yyyy-MM-dd HH:mm:ss.SSS`, `EEE, d MMM`, `'T'`, `[…]`.
//!
//! A pattern is letters that repeat, text in single quotes, signs that stand for themselves, and
//! parts in brackets that may be missing when text is read. A letter that Spark does not know is an
//! error, not a guess.

use chrono::{Datelike, NaiveDate, Timelike};

use super::time_cast::{DAY, day_number};
use super::zone::{Zone, naive};
use crate::error::Error;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A pattern that has been read.
#[derive(Debug)]
pub(super) struct TimePattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Literal(String),
    Field(char, usize),
    Optional(Vec<Part>),
}

/// What a text says about a time.
#[derive(Debug, Default, Clone)]
struct Found {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    half_hour: Option<i64>,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    zone: Option<Zone>,
}

impl TimePattern {
    /// Reads a pattern.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        let mut signs = text.chars().peekable();
        let mut open: Vec<Vec<Part>> = vec![Vec::new()];
        let wrong = |condition: &'static str, what: String| {
            Error::sql(condition, format!("the pattern '{text}' {what}"))
                .hint("use yyyy MM dd HH mm ss SSS EEE a, and text in 'quotes'")
        };
        while let Some(sign) = signs.next() {
            let part = match sign {
                '\'' if signs.next_if_eq(&'\'').is_some() => Part::Literal("'".to_owned()),
                '\'' => Part::Literal(signs.by_ref().take_while(|c| *c != '\'').collect()),
                '[' => {
                    open.push(Vec::new());
                    continue;
                }
                ']' => match (open.pop(), open.is_empty()) {
                    (Some(inner), false) => Part::Optional(inner),
                    _ => {
                        let what = "closes a bracket that is not open".to_owned();
                        return Err(wrong("INVALID_DATETIME_PATTERN", what));
                    }
                },
                letter if letter.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while signs.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    if !known(letter, count) {
                        let letters = String::from(letter).repeat(count);
                        let what = format!("holds '{letters}', which is not supported");
                        return Err(wrong(refusal(letter), what));
                    }
                    Part::Field(letter, count)
                }
                other => Part::Literal(other.to_string()),
            };
            if let Some(parts) = open.last_mut() {
                parts.push(part);
            }
        }
        // What is still open at the end counts as closed.
        while open.len() > 1 {
            let inner = open.pop().unwrap_or_default();
            if let Some(parts) = open.last_mut() {
                parts.push(Part::Optional(inner));
            }
        }
        Ok(Self { text: text.to_owned(), parts: open.pop().unwrap_or_default() })
    }

    /// A time of the clock as text; `offset` is how many seconds it is ahead of UTC.
    pub(super) fn write(&self, clock: i64, zone: &Zone, offset: i32) -> String {
        let mut out = String::new();
        write_parts(&self.parts, clock, zone, offset, &mut out);
        out
    }

    /// An instant from text. A part that the text does not name is that of 1970-01-01 00:00.
    pub(super) fn instant(&self, text: &str, zone: &Zone) -> Result<i64, Error> {
        let found = self.found(text).and_then(|found| Some((found.clock()?, found.zone)));
        match found {
            Some((clock, named)) => Ok(named.as_ref().unwrap_or(zone).instant(clock)),
            None => Err(self.refusal(text)),
        }
    }

    /// What the clock shows by a text, whatever zone it names.
    pub(super) fn clock(&self, text: &str) -> Result<i64, Error> {
        self.found(text).and_then(|found| found.clock()).ok_or_else(|| self.refusal(text))
    }

    fn found(&self, text: &str) -> Option<Found> {
        let (found, rest) = read_parts(&self.parts, text, Found::default())?;
        rest.is_empty().then_some(found)
    }

    fn refusal(&self, text: &str) -> Error {
        let what = format!("'{text}' is not a time of the form '{}'", self.text);
        Error::input("CANNOT_PARSE_TIMESTAMP", what).hint(
            "correct the pattern, use try_to_timestamp() to get NULL, or filter such rows out",
        )
    }
}

/// The letters of Spark, each with the counts that it has a meaning for.
fn known(letter: char, count: usize) -> bool {
    let most = match letter {
        'y' => 6,
        'S' => 9,
        'X' | 'x' | 'Z' => 5,
        'M' | 'L' | 'Q' | 'q' | 'E' | 'z' | 'G' => 4,
        'D' => 3,
        'd' | 'h' | 'K' | 'k' | 'H' | 'm' | 's' => 2,
        'V' => return count == 2,
        'O' => return count == 1 || count == 4,
        'F' | 'a' => 1,
        _ => 0,
    };
    count <= most
}

/// Spark names letters apart that an older Spark understood.
fn refusal(letter: char) -> &'static str {
    match letter {
        'Y' | 'w' | 'W' | 'u' | 'M' | 'L' | 'E' | 'a' | 'F' | 'D' | 'd' | 'H' | 'h' => {
            "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION"
        }
        _ => "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
    }
}

fn write_parts(parts: &[Part], clock: i64, zone: &Zone, offset: i32, out: &mut String) {
    for part in parts {
        match part {
            Part::Literal(text) => out.push_str(text),
            Part::Optional(inner) => write_parts(inner, clock, zone, offset, out),
            Part::Field(letter, count) => {
                out.push_str(&written(*letter, *count, clock, zone, offset));
            }
        }
    }
}

fn written(letter: char, count: usize, clock: i64, zone: &Zone, offset: i32) -> String {
    let time = naive(clock);
    let number = |n: i64| format!("{n:0>count$}");
    let name = |names: &[&str], at: u32| {
        let name = names.get(at as usize).copied().unwrap_or("");
        if count == 4 { name.to_owned() } else { name.chars().take(3).collect() }
    };
    // Years before the first are counted backwards with an era.
    let year = match time.year() {
        year @ 1.. => year,
        year => 1 - year,
    };
    let half = i64::from(time.hour() % 12);
    match letter {
        'G' => (if time.year() > 0 { "AD" } else { "BC" }).to_owned(),
        'y' if count == 2 => format!("{:02}", year % 100),
        'y' if year > 9999 && count >= 4 => format!("+{year}"),
        'y' => number(year.into()),
        'M' | 'L' if count >= 3 => name(&MONTHS, time.month0()),
        'M' | 'L' => number(time.month().into()),
        'Q' | 'q' => match (time.month0() / 3 + 1, count) {
            (quarter, 1 | 2) => number(quarter.into()),
            (quarter, 3) => format!("Q{quarter}"),
            (1, _) => "1st quarter".to_owned(),
            (2, _) => "2nd quarter".to_owned(),
            (3, _) => "3rd quarter".to_owned(),
            (quarter, _) => format!("{quarter}th quarter"),
        },
        'd' => number(time.day().into()),
        'D' => number(time.ordinal().into()),
        'F' => ((time.day0() % 7) + 1).to_string(),
        'E' => name(&DAYS, time.weekday().num_days_from_monday()),
        'a' => (if time.hour() < 12 { "AM" } else { "PM" }).to_owned(),
        'H' => number(time.hour().into()),
        'k' => number(if time.hour() == 0 { 24 } else { time.hour().into() }),
        'K' => number(half),
        'h' => number(if half == 0 { 12 } else { half }),
        'm' => number(time.minute().into()),
        's' => number(time.second().into()),
        'S' => format!("{:09}", time.nanosecond()).chars().take(count).collect(),
        'V' | 'z' => zone.name().to_owned(),
        _ => offset_text(letter, count, offset),
    }
}

fn offset_text(letter: char, count: usize, offset: i32) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    match (letter, count) {
        ('X', _) | ('Z', 5) if offset == 0 => "Z".to_owned(),
        ('O', _) | ('Z', 4) if offset == 0 => "GMT".to_owned(),
        ('O', 1) if minutes == 0 => format!("GMT{sign}{hours}"),
        ('O', 1) => format!("GMT{sign}{hours}:{minutes:02}"),
        ('O', _) | ('Z', 4) => format!("GMT{sign}{hours:02}:{minutes:02}"),
        ('X' | 'x', 1) if minutes == 0 => format!("{sign}{hours:02}"),
        ('X' | 'x', 3 | 5) | ('Z', 5) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}{minutes:02}"),
    }
}

/// Reads parts from the beginning of a text; gives what is left of it.
fn read_parts<'a>(parts: &[Part], text: &'a str, found: Found) -> Option<(Found, &'a str)> {
    let (mut found, mut rest) = (found, text);
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Literal(literal) => {
                let head = rest.get(..literal.len())?;
                rest = head.eq_ignore_ascii_case(literal).then(|| &rest[literal.len()..])?;
            }
            Part::Optional(inner) => {
                if let Some((more, left)) = read_parts(inner, rest, found.clone()) {
                    (found, rest) = (more, left);
                }
            }
            Part::Field(letter, count) => {
                // Digits that belong to the fields that follow without a sign between.
                let reserved = parts[at + 1..].iter().map_while(|part| match part {
                    Part::Field(letter, count) if is_fixed(*letter, *count) => Some(*count),
                    _ => None,
                });
                rest = found.take(*letter, *count, rest, reserved.sum())?;
            }
        }
    }
    Some((found, rest))
}

fn is_fixed(letter: char, count: usize) -> bool {
    count == 2 && "yMdHhKkms".contains(letter) || letter == 'S' || (letter == 'D' && count == 3)
}

impl Found {
    /// Reads one field.
    fn take<'a>(
        &mut self,
        letter: char,
        count: usize,
        text: &'a str,
        reserved: usize,
    ) -> Option<&'a str> {
        let run = text.bytes().take_while(u8::is_ascii_digit).count();
        let digits = |least: usize, most: usize| {
            let width = run.saturating_sub(reserved).min(most);
            let number = text[..width].parse::<i64>().ok().filter(|_| width >= least)?;
            Some((number, &text[width..]))
        };
        let small = || if count == 1 { digits(1, 19) } else { digits(count, count) };
        let (number, rest) = match letter {
            'y' if count == 2 => digits(2, 2).map(|(n, rest)| (2000 + n, rest))?,
            'y' if count == 1 => digits(1, 10)?,
            'y' => match text.strip_prefix('+') {
                Some(more) => {
                    let run = more.bytes().take_while(u8::is_ascii_digit).count();
                    (more[..run].parse().ok()?, &more[run..])
                }
                None => digits(count, count).filter(|_| run - reserved.min(run) <= count)?,
            },
            'M' | 'L' if count >= 3 => named(&MONTHS, count, text).map(|(n, r)| (n + 1, r))?,
            'E' => named(&DAYS, count, text)?,
            'a' => named(&["AM", "PM"], 4, text)?,
            'S' => {
                let width = run.min(count);
                let fraction = text.get(..width).filter(|f| !f.is_empty())?;
                (format!("{fraction:0<6.6}").parse().ok()?, &text[width..])
            }
            'G' => named(&["BC", "AD"], 4, text)?,
            'V' | 'z' | 'O' | 'X' | 'x' | 'Z' => return self.take_zone(letter, count, text),
            'Q' | 'q' | 'F' => return None,
            _ => small()?,
        };
        match letter {
            'y' => self.year = Some(number),
            'M' | 'L' => self.month = Some(number),
            'd' => self.day = Some(number),
            'D' => self.day_of_year = Some(number),
            'H' if number < 24 => self.hour = Some(number),
            'k' if (1..=24).contains(&number) => self.hour = Some(number % 24),
            'h' if (1..=12).contains(&number) => self.half_hour = Some(number % 12),
            'K' if number < 12 => self.half_hour = Some(number),
            'a' => self.afternoon = Some(number == 1),
            'm' if number < 60 => self.minute = number,
            's' if number < 60 => self.second = number,
            'S' => self.micros = number,
            'E' | 'G' => {}
            _ => return None,
        }
        Some(rest)
    }

    fn take_zone<'a>(&mut self, letter: char, count: usize, text: &'a str) -> Option<&'a str> {
        let is_zone = |c: char| c.is_ascii_alphanumeric() || "/_+-:".contains(c);
        let end = text.find(|c| !is_zone(c)).unwrap_or(text.len());
        let name = &text[..end];
        let fits = match letter {
            'V' | 'z' => true,
            'O' => name.starts_with("GMT"),
            'X' if name == "Z" => true,
            'Z' if count == 4 => name.starts_with("GMT"),
            'Z' if count == 5 && name == "Z" => true,
            'X' | 'x' if count == 1 => name.len() == 3 || name.len() == 5,
            'X' | 'x' if count == 3 || count == 5 => name.len() == 6,
            'Z' if count == 5 => name.len() == 6,
            _ => name.len() == 5 && !name.contains(':'),
        };
        let offset = !matches!(letter, 'X' | 'x') || name == "Z" || name.starts_with(['+', '-']);
        self.zone = Some(Zone::named(name).ok().filter(|_| fits && offset && !name.is_empty())?);
        Some(&text[end..])
    }

    /// Microseconds that the clock shows.
    fn clock(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let day = match self.day_of_year {
            Some(day) => {
                let date = NaiveDate::from_yo_opt(year.try_into().ok()?, day.try_into().ok()?)?;
                i64::from(date.num_days_from_ce()) - 719_163
            }
            None => day_number(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let half = self.half_hour.unwrap_or(0) + if self.afternoon == Some(true) { 12 } else { 0 };
        let hour = self.hour.unwrap_or(half);
        let seconds = (hour * 60 + self.minute) * 60 + self.second;
        day.checked_mul(DAY)?.checked_add(seconds * 1_000_000 + self.micros)
    }
}

/// The number of a name that a text begins with, in any case.
fn named<'a>(names: &[&str], count: usize, text: &'a str) -> Option<(i64, &'a str)> {
    names.iter().enumerate().find_map(|(at, name)| {
        let name = if count == 4 { name } else { &name[..3] };
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| (at as i64, &text[name.len()..]))
    })
}

/// The English name of a month, from 1.
pub(super) fn month_name(month: u32) -> &'static str {
    MONTHS.get(month as usize - 1).copied().unwrap_or("")
}

/// The English name of a day of the week, from Monday as 0.
pub(super) fn day_name(day: u32) -> &'static str {
    DAYS.get(day as usize).copied().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pattern: &str) -> String {
        let utc = Zone::named("UTC").unwrap();
        TimePattern::read(pattern).unwrap().write(1_767_571_628_123_000, &utc, 0)
    }

    #[test]
    fn writes_as_spark_does() {
        assert_eq!(text("yyyy-MM-dd HH:mm:ss.SSS"), "2026-01-05 00:07:08.123");
        assert_eq!(text("dd/MM/yy hh:mm a"), "05/01/26 12:07 AM");
        assert_eq!(text("EEEE, MMM d"), "Monday, Jan 5");
        assert_eq!(text("yyyy-MM-dd'T'HH''XXX"), "2026-01-05T00'Z");
        assert_eq!(text("D QQQ Z"), "5 Q1 +0000");
        assert!(TimePattern::read("yyyy-ww").is_err());
        assert!(TimePattern::read("]").is_err());
    }

    #[test]
    fn reads_by_a_pattern() {
        let utc = Zone::named("UTC").unwrap();
        let read = |text, pattern| TimePattern::read(pattern).unwrap().instant(text, &utc);
        assert_eq!(read("20260105000708", "yyyyMMddHHmmss").unwrap(), 1_767_571_628_000_000);
        assert_eq!(read("05.01 2026", "dd.MM yyyy").unwrap(), 1_767_571_200_000_000);
        assert_eq!(read("1/5/26 1 am", "M/d/yy h a").unwrap(), 1_767_574_800_000_000);
        assert_eq!(read("2026-01-05+01:00", "yyyy-MM-dd[XXX]").unwrap(), 1_767_567_600_000_000);
        assert_eq!(read("2026-01-05", "yyyy-MM-dd[ HH:mm]").unwrap(), 1_767_571_200_000_000);
        for (text, pattern) in [("x", "yyyy"), ("2026-1-5", "yyyy-MM-dd"), ("20261", "yyyy")] {
            let error = read(text, pattern).unwrap_err();
            assert_eq!(error.condition(), "CANNOT_PARSE_TIMESTAMP");
        }
    }
}
