//! What a text says about a time, by a pattern.
//!
//! Reading is strict: `dd` is exactly two digits, `d` as many as there are, and nothing may be left
//! over. A run of `S` takes one digit or more, up to its length. A field that comes twice must say
//! the same twice.

use super::{MONTHS, Part};
use crate::calendar::zone::{Rules, Zone};
use crate::calendar::{DAY, SECOND, day_number};

/// The abbreviations that stand for a place when a text is read, as Java has them; each stands for
/// that of the other season too.
const SEASONS: [(&str, &str); 12] = [
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("MST", "America/Denver"),
    ("MDT", "America/Denver"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("EST", "America/New_York"),
    ("EDT", "America/New_York"),
    ("CET", "Europe/Paris"),
    ("CEST", "Europe/Paris"),
    ("BST", "Europe/London"),
    ("JST", "Asia/Tokyo"),
];

/// Digits of a number that may have as many as there are.
const ANY: usize = 18;

/// What a text says about a time.
#[derive(Debug, Default, Clone)]
pub(super) struct Found {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    /// 1 to 24.
    clock_hour: Option<i64>,
    /// 0 to 11.
    half_hour: Option<i64>,
    /// 1 to 12.
    clock_half_hour: Option<i64>,
    afternoon: Option<i64>,
    minute: Option<i64>,
    second: Option<i64>,
    micros: Option<i64>,
    zone: Option<Rules>,
}

/// What a text says that has this form and nothing behind it.
pub(super) fn all(parts: &[Part], text: &str) -> Option<Found> {
    let mut found = Found::default();
    let rest = found.take_all(parts, text)?;
    rest.is_empty().then_some(found)
}

impl Found {
    /// Days since 1970-01-01.
    pub(super) fn days(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let first = day_number(year, 1, 1)?;
        if let Some(day) = self.day_of_year {
            let length = day_number(year + 1, 1, 1)? - first;
            return (1..=length).contains(&day).then_some(first + day - 1);
        }
        day_number(year, self.month.unwrap_or(1), self.day.unwrap_or(1))
    }

    fn hours(&self) -> Option<i64> {
        let half = self.afternoon.unwrap_or(0) * 12;
        match (self.hour, self.clock_hour, self.clock_half_hour, self.half_hour) {
            (Some(hour @ 0..=23), ..) => {
                Some(hour).filter(|hour| self.afternoon.is_none_or(|later| hour / 12 == later))
            }
            (None, Some(hour @ 1..=24), ..) => Some(hour % 24),
            (None, None, Some(hour @ 1..=12), _) => Some(hour % 12 + half),
            (None, None, None, Some(hour @ 0..=11)) => Some(hour + half),
            (None, None, None, None) => Some(0),
            _ => None,
        }
    }

    fn seconds(&self) -> Option<i64> {
        let (minute, second) = (self.minute.unwrap_or(0), self.second.unwrap_or(0));
        let fits = (0..60).contains(&minute) && (0..60).contains(&second);
        let of_day = (self.hours().filter(|_| fits)? * 60 + minute) * 60 + second;
        self.days()?.checked_mul(DAY / SECOND)?.checked_add(of_day)
    }

    /// Microseconds that the clock shows.
    pub(super) fn clock(&self) -> Option<i64> {
        self.seconds()?.checked_mul(SECOND)?.checked_add(self.micros.unwrap_or(0))
    }

    /// The instant, in this zone where the text names none.
    pub(super) fn instant(&self, zone: &Zone) -> Option<i64> {
        let clock = self.seconds()?;
        let offset = self.zone.unwrap_or(zone.rules()).offset_on(clock);
        let seconds = clock.checked_sub(offset)?;
        seconds.checked_mul(SECOND)?.checked_add(self.micros.unwrap_or(0))
    }

    pub(super) fn names_zone(&self) -> bool {
        self.zone.is_some()
    }

    /// Takes parts one after the other from the beginning of a text; gives what follows them.
    fn take_all<'a>(&mut self, parts: &[Part], text: &'a str) -> Option<&'a str> {
        let mut rest = text;
        for (at, part) in parts.iter().enumerate() {
            match part {
                Part::Text(expected) => rest = after_word(rest, expected)?,
                Part::Optional(inner) => {
                    let mut with = self.clone();
                    if let Some(left) = with.take_all(inner, rest) {
                        (*self, rest) = (with, left);
                    }
                }
                Part::Field(letter, count) => {
                    // Digits of the fields right behind that always have as many.
                    let reserved = parts[at + 1..].iter().map_while(fixed_width).sum();
                    rest = self.take(*letter, *count, rest, reserved)?;
                }
            }
        }
        Some(rest)
    }

    /// Takes one field.
    fn take<'a>(
        &mut self,
        letter: char,
        count: usize,
        text: &'a str,
        reserved: usize,
    ) -> Option<&'a str> {
        let (number, rest) = match (letter, count) {
            ('y', 2) => digits(text, 2, 2, 0).map(|(year, rest)| (2000 + year, rest))?,
            ('y', _) => year(text, count, reserved)?,
            ('M' | 'L', 3 | 4) => named(&MONTHS, count, text).map(|(at, rest)| (at + 1, rest))?,
            ('a', _) => named(&["AM", "PM"], 4, text)?,
            ('G', _) => named(&["BC", "AD"], 4, text)?,
            ('S', _) => fraction(text, count)?,
            ('D', 2) => digits(text, 2, 3, reserved)?,
            ('V' | 'z' | 'O' | 'X' | 'x' | 'Z', _) => {
                let (zone, rest) = zone(letter, count, text)?;
                self.zone = Some(zone);
                return Some(rest);
            }
            (_, 1) => digits(text, 1, ANY, reserved)?,
            _ => digits(text, count, count, 0)?,
        };
        let place = match letter {
            'y' => &mut self.year,
            'M' | 'L' => &mut self.month,
            'd' => &mut self.day,
            'D' => &mut self.day_of_year,
            'H' => &mut self.hour,
            'k' => &mut self.clock_hour,
            'K' => &mut self.half_hour,
            'h' => &mut self.clock_half_hour,
            'a' => &mut self.afternoon,
            'm' => &mut self.minute,
            's' => &mut self.second,
            'S' => &mut self.micros,
            // Only the era that there is now.
            _ => return (number == 1).then_some(rest),
        };
        let same = place.is_none_or(|before| before == number);
        *place = Some(number);
        same.then_some(rest)
    }
}

fn fixed_width(part: &Part) -> Option<usize> {
    match part {
        Part::Field('M' | 'L' | 'd' | 'H' | 'h' | 'K' | 'k' | 'm' | 's' | 'y', 2) => Some(2),
        Part::Field('D', 3) => Some(3),
        _ => None,
    }
}

/// A number of so many digits, of which the last ones may belong to what follows.
fn digits(text: &str, fewest: usize, most: usize, reserved: usize) -> Option<(i64, &str)> {
    let run = text.bytes().take(most + reserved).take_while(u8::is_ascii_digit).count();
    let count = run.saturating_sub(reserved).max(fewest).min(run);
    let (number, rest) = text.split_at(count);
    Some((number.parse().ok()?, rest)).filter(|_| count >= fewest)
}

/// A year, which may be before year 0. More digits than `yyyy` asks for need a sign in front.
fn year(text: &str, fewest: usize, reserved: usize) -> Option<(i64, &str)> {
    if let Some(text) = text.strip_prefix('-') {
        return digits(text, fewest, ANY, reserved).map(|(year, rest)| (-year, rest));
    }
    let plus = text.strip_prefix('+').filter(|_| fewest >= 4);
    let unsigned = plus.unwrap_or(text);
    let (year, rest) = digits(unsigned, fewest, ANY, reserved)?;
    let count = unsigned.len() - rest.len();
    (fewest < 4 || (count > fewest) == plus.is_some()).then_some((year, rest))
}

/// Microseconds of the digits after a point.
fn fraction(text: &str, most: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(count);
    let kept = digits.get(..6).unwrap_or(digits);
    let value: i64 = kept.parse().ok()?;
    Some((value * 10_i64.pow(6 - kept.len() as u32), rest))
}

/// The number of a name that a text begins with, in any case.
fn named<'a>(names: &[&str], count: usize, text: &'a str) -> Option<(i64, &'a str)> {
    (0..).zip(names).find_map(|(at, name)| {
        let name = if count == 4 { name } else { &name[..3] };
        Some((at, after_word(text, name)?))
    })
}

/// What follows the word, in whatever case it is written.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let there = text.get(..word.len())?;
    there.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

fn zone(letter: char, count: usize, text: &str) -> Option<(Rules, &str)> {
    match (letter, count) {
        ('V' | 'z', _) => {
            let sign = |c: char| c.is_ascii_alphanumeric() || "/_+-:".contains(c);
            let (name, rest) = text.split_at(text.find(|c| !sign(c)).unwrap_or(text.len()));
            let season = SEASONS.iter().find(|(short, _)| *short == name);
            let offset = name.find(['+', '-']).filter(|_| !name.contains('/'));
            // Behind its sign an offset is written in full: +hh:mm or +hh:mm:ss.
            let short = offset.is_some_and(|at| ![6, 9].contains(&(name.len() - at)));
            match (letter, season) {
                _ if short => None,
                ('z', Some((_, place))) => Some((Rules::named(place)?, rest)),
                // Some are names of zones as well.
                ('V', Some(_)) if !["CET", "EET", "MET", "WET"].contains(&name) => None,
                _ => Some((Rules::named(name)?, rest)),
            }
        }
        ('O', _) | ('Z', 4) => {
            let name = text.strip_prefix("GMT")?;
            let end = name.find(|c: char| !(c.is_ascii_digit() || "+-:".contains(c)));
            let (offset, rest) = name.split_at(end.unwrap_or(name.len()));
            let fits = offset.is_empty() || letter == 'O' && count == 1 || offset.len() == 6;
            let offset = if offset.is_empty() { "Z" } else { offset };
            Some((Rules::named(offset).filter(|_| fits)?, rest))
        }
        _ => offset(letter, count, text),
    }
}

/// `+hh[mm]`, `+hhmm[ss]` or `+hh:mm[:ss]`, by the number of letters; `Z` where it is another word
/// for +00:00.
fn offset(letter: char, count: usize, text: &str) -> Option<(Rules, &str)> {
    if (letter == 'X' || letter == 'Z' && count == 5)
        && let Some(rest) = after_word(text, "Z")
    {
        return Some((Rules::Fixed(0), rest));
    }
    let colon = if letter == 'Z' { count == 5 } else { count == 3 || count == 5 };
    let digits = |at: usize| {
        let pair = text.get(at..at + 2)?;
        pair.bytes().all(|byte| byte.is_ascii_digit()).then_some(at + 2)
    };
    let next = |at: usize| match colon {
        true if text.as_bytes().get(at) != Some(&b':') => None,
        true => digits(at + 1),
        false => digits(at),
    };
    let hours = digits(1)?;
    let end = match (letter, count) {
        ('X' | 'x', 1) => next(hours).unwrap_or(hours),
        ('X' | 'x', 4 | 5) | ('Z', 5) => next(hours).map(|end| next(end).unwrap_or(end))?,
        _ => next(hours)?,
    };
    let (offset, rest) = text.split_at(end);
    let signed = offset.starts_with(['+', '-']);
    Some((Rules::named(offset).filter(|_| signed)?, rest))
}
