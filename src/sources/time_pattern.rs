//! Texts read by a pattern of the options `timestampFormat`, `timestampNTZFormat`, `dateFormat`:
//! takes a pattern of letters once, gives for each text the local time and zone that it names.
//!
//! The letters are those of Spark's documentation; names of months and half days are English.
//! Reading is strict: `dd` is exactly two digits, `d` as many as there are, and nothing may be left
//! over. A run of `S` takes one digit or more, up to its length. What a pattern does not name is that of
//! 1970-01-01T00:00:00.

use super::times;

/// A pattern, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimePattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Number {
        field: Field,
        fewest: usize,
        most: usize,
    },
    YearOfCentury,
    MonthName {
        long: bool,
    },
    HalfDay,
    /// At most so many digits.
    Fraction(usize),
    /// `+hh[mm]`, `+hhmm` or `+hh:mm`; whether `Z` is another word for +00:00.
    Offset {
        letters: usize,
        z: bool,
    },
    /// A zone by its name; whether an abbreviation may stand for it.
    ZoneId {
        short: bool,
    },
    Optional(Vec<Part>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    /// 1 to 24.
    ClockHour,
    /// 0 to 11.
    HalfDayHour,
    /// 1 to 12.
    ClockHalfDayHour,
    Minute,
    Second,
}

/// Digits of a number that may have as many as there are.
const ANY: usize = 19;

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

/// The zones that an abbreviation stands for; each stands for that of the other season too, as in
/// Java.
const ABBREVIATIONS: [(&str, &str); 12] = [
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

/// What a text says.
#[derive(Debug, Clone, Default)]
pub(super) struct Parsed {
    fields: [Option<i64>; 10],
    afternoon: bool,
    micros: i64,
    /// The zone, as text that [`times::shift`] reads.
    pub zone: Option<String>,
}

impl TimePattern {
    /// The error says, in words, what is wrong with the pattern.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let mut chars = pattern.chars().peekable();
        let parts = parts(&mut chars, false)?;
        Ok(Self(parts))
    }

    /// What the text says; `None`: it does not have this form.
    pub fn parse(&self, text: &str) -> Option<Parsed> {
        let mut parsed = Parsed::default();
        let rest = take(&self.0, text, &mut parsed)?;
        rest.is_empty().then_some(parsed)
    }
}

impl Parsed {
    fn get(&self, field: Field) -> Option<i64> {
        self.fields[field as usize]
    }

    /// Days since 1970-01-01.
    pub fn days(&self) -> Option<i64> {
        let year = self.get(Field::Year).unwrap_or(1970);
        let first = times::date_days(year, 1, 1)?;
        if let Some(day) = self.get(Field::DayOfYear) {
            let length = times::date_days(year + 1, 1, 1)? - first;
            return (1..=length).contains(&day).then_some(first + day - 1);
        }
        let month = self.get(Field::Month).unwrap_or(1);
        times::date_days(year, month, self.get(Field::Day).unwrap_or(1))
    }

    /// Seconds of local time since 1970, and the microseconds behind them.
    pub fn local(&self) -> Option<(i64, i64)> {
        let half = i64::from(self.afternoon) * 12;
        let hour = match (self.get(Field::Hour), self.get(Field::ClockHour)) {
            (Some(hour @ 0..=23), _) => hour,
            (None, Some(hour @ 1..=24)) => hour % 24,
            (None, None) => match (self.get(Field::ClockHalfDayHour), self.get(Field::HalfDayHour))
            {
                (Some(hour @ 1..=12), _) => hour % 12 + half,
                (None, Some(hour @ 0..=11)) => hour + half,
                (None, None) => 0,
                _ => return None,
            },
            _ => return None,
        };
        let minute = self.get(Field::Minute).unwrap_or(0);
        let second = self.get(Field::Second).unwrap_or(0);
        if !(0..60).contains(&minute) || !(0..60).contains(&second) {
            return None;
        }
        let seconds = self.days()?.checked_mul(86_400)?;
        Some((seconds + hour * 3600 + minute * 60 + second, self.micros))
    }
}

fn parts(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    inside: bool,
) -> Result<Vec<Part>, String> {
    let mut parts: Vec<Part> = Vec::new();
    while let Some(c) = chars.next() {
        match c {
            '[' => parts.push(Part::Optional(self::parts(chars, true)?)),
            ']' if inside => return Ok(fixed_widths(parts)),
            ']' => return Err("has ] without [".into()),
            '\'' => parts.push(Part::Text(quoted(chars)?)),
            'a'..='z' | 'A'..='Z' => {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                parts.push(letters(c, count)?);
            }
            '{' | '}' | '#' => return Err(format!("has {c}, which is reserved")),
            c => parts.push(Part::Text(c.into())),
        }
    }
    if inside { Err("has [ without ]".into()) } else { Ok(fixed_widths(parts)) }
}

/// What stands between single quotes; two of them are one.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match chars.next() {
            Some('\'') if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            Some('\'') if text.is_empty() => return Ok("'".into()),
            Some('\'') => return Ok(text),
            Some(c) => text.push(c),
            None => return Err("has a ' without its end".into()),
        }
    }
}

fn letters(letter: char, count: usize) -> Result<Part, String> {
    let number = |field, most| match count {
        1 => Ok(Part::Number { field, fewest: 1, most: ANY }),
        n if n <= most => Ok(Part::Number { field, fewest: n, most: n }),
        _ => Err(format!("has too many letters {letter}")),
    };
    match (letter, count) {
        ('y', 2) => Ok(Part::YearOfCentury),
        ('y', 1..=6) => Ok(Part::Number { field: Field::Year, fewest: count, most: ANY }),
        ('M' | 'L', 3) => Ok(Part::MonthName { long: false }),
        ('M' | 'L', 4) => Ok(Part::MonthName { long: true }),
        ('M' | 'L', _) => number(Field::Month, 2),
        ('d', _) => number(Field::Day, 2),
        ('D', 2) => Ok(Part::Number { field: Field::DayOfYear, fewest: 2, most: 3 }),
        ('D', _) => number(Field::DayOfYear, 3),
        ('H', _) => number(Field::Hour, 2),
        ('k', _) => number(Field::ClockHour, 2),
        ('K', _) => number(Field::HalfDayHour, 2),
        ('h', _) => number(Field::ClockHalfDayHour, 2),
        ('m', _) => number(Field::Minute, 2),
        ('s', _) => number(Field::Second, 2),
        ('a', 1) => Ok(Part::HalfDay),
        ('S', 1..=9) => Ok(Part::Fraction(count)),
        ('X', 1..=3) => Ok(Part::Offset { letters: count, z: true }),
        ('x', 1..=3) => Ok(Part::Offset { letters: count, z: false }),
        ('Z', 1..=3) => Ok(Part::Offset { letters: 2, z: false }),
        ('V', 2) => Ok(Part::ZoneId { short: false }),
        ('z', 1..=3) => Ok(Part::ZoneId { short: true }),
        _ => {
            Err(format!("has {}, which texts cannot be read by", letter.to_string().repeat(count)))
        }
    }
}

/// A number of any width leaves as many digits as the numbers of fixed width right behind it need:
/// `yyyyMMdd`.
fn fixed_widths(mut parts: Vec<Part>) -> Vec<Part> {
    let mut behind = 0;
    for part in parts.iter_mut().rev() {
        match part {
            Part::Number { fewest, most, .. } if *most == ANY => {
                if behind > 0 {
                    *most = (*fewest).max(4).min(ANY - behind);
                }
                behind = 0;
            }
            Part::Number { most, .. } => behind += *most,
            Part::YearOfCentury => behind += 2,
            _ => behind = 0,
        }
    }
    parts
}

/// Takes the parts one after the other; gives what follows them.
fn take<'a>(parts: &[Part], text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    parts.iter().try_fold(text, |rest, part| take_part(part, rest, parsed))
}

fn take_part<'a>(part: &Part, text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    match part {
        Part::Text(expected) => after_word(text, expected),
        Part::Number { field: Field::Year, fewest, most } => {
            let (value, rest) = year(text, *fewest, *most)?;
            set(parsed, Field::Year, value)?;
            Some(rest)
        }
        Part::Number { field, fewest, most } => {
            let (value, rest) = digits(text, *fewest, *most)?;
            set(parsed, *field, value)?;
            Some(rest)
        }
        Part::YearOfCentury => {
            let (value, rest) = digits(text, 2, 2)?;
            set(parsed, Field::Year, 2000 + value)?;
            Some(rest)
        }
        Part::MonthName { long } => {
            let name = |name: &'static str| if *long { name } else { &name[..3] };
            let found = (1..)
                .zip(MONTHS)
                .find_map(|(number, month)| Some((number, after_word(text, name(month))?)));
            let (month, rest) = found?;
            set(parsed, Field::Month, month)?;
            Some(rest)
        }
        Part::HalfDay => {
            let rest = after_word(text, "AM").or_else(|| after_word(text, "PM"))?;
            parsed.afternoon = text.starts_with(['p', 'P']);
            Some(rest)
        }
        Part::Fraction(most) => {
            let digits = text.bytes().take(*most).take_while(u8::is_ascii_digit).count();
            let (fraction, rest) = text.split_at(digits);
            let kept = fraction.get(..6).unwrap_or(fraction);
            let value: i64 = kept.parse().ok()?;
            parsed.micros = value * 10i64.pow(6 - kept.len() as u32);
            Some(rest)
        }
        Part::Offset { letters, z } => offset(text, *letters, *z, parsed),
        Part::ZoneId { short } => {
            let sign = |c: char| c.is_ascii_alphanumeric() || "/_+-:".contains(c);
            let length = text.find(|c| !sign(c)).unwrap_or(text.len());
            let (zone, rest) = text.split_at(length);
            let named = ABBREVIATIONS.iter().find(|(name, _)| *short && *name == zone);
            let zone = named.map_or(zone, |(_, zone)| zone);
            parsed.zone = (!zone.is_empty()).then(|| zone.to_owned());
            parsed.zone.is_some().then_some(rest)
        }
        Part::Optional(parts) => {
            let before = parsed.clone();
            Some(take(parts, text, parsed).unwrap_or_else(|| {
                *parsed = before;
                text
            }))
        }
    }
}

fn set(parsed: &mut Parsed, field: Field, value: i64) -> Option<()> {
    let place = &mut parsed.fields[field as usize];
    let same = place.is_none_or(|before| before == value);
    *place = Some(value);
    same.then_some(())
}

/// A number of so many digits.
fn digits(text: &str, fewest: usize, most: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(count);
    Some((number.parse().ok()?, rest)).filter(|_| count >= fewest)
}

/// A year, which may be before year 0. More digits than `yyyy` asks for need a sign in front.
fn year(text: &str, fewest: usize, most: usize) -> Option<(i64, &str)> {
    if let Some(text) = text.strip_prefix('-') {
        return digits(text, fewest, most).map(|(year, rest)| (-year, rest));
    }
    let plus = text.strip_prefix('+').filter(|_| fewest >= 4);
    let (year, rest) = digits(plus.unwrap_or(text), fewest, most)?;
    let count = plus.unwrap_or(text).len() - rest.len();
    (fewest < 4 || (count > fewest) == plus.is_some()).then_some((year, rest))
}

fn offset<'a>(text: &'a str, letters: usize, z: bool, parsed: &mut Parsed) -> Option<&'a str> {
    if z && let Some(rest) = after_word(text, "Z") {
        parsed.zone = Some("Z".into());
        return Some(rest);
    }
    let number = |from: usize| {
        let digits = text.get(from..from + 2)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)
    };
    let sign = text.get(..1).filter(|s| ["+", "-"].contains(s))?;
    let hours = number(1)?;
    let (minutes, end) = match letters {
        1 => number(3).map_or(("00", 3), |minutes| (minutes, 5)),
        2 => (number(3)?, 5),
        _ => (text[3..].starts_with(':').then(|| number(4)).flatten()?, 6),
    };
    parsed.zone = Some(format!("{sign}{hours}:{minutes}"));
    text.get(end..)
}

/// What follows the word, in whatever case it is written.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let there = text.get(..word.len())?;
    there.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, text: &str) -> Option<String> {
        let parsed = TimePattern::new(pattern).unwrap().parse(text)?;
        let (seconds, micros) = parsed.local()?;
        let time = chrono::DateTime::from_timestamp_micros(seconds * 1_000_000 + micros)?;
        let zone = parsed.zone.unwrap_or_default();
        Some(format!("{}{zone}", time.format("%Y-%m-%d %H:%M:%S%.f")))
    }

    #[test]
    fn reads_what_has_the_form() {
        for (pattern, text, expected) in [
            ("dd/MM/yyyy HH:mm:ss", "02/01/2026 03:04:05", "2026-01-02 03:04:05"),
            ("M/d/yyyy h:mm a", "1/2/2026 12:04 am", "2026-01-02 00:04:00"),
            ("M/d/yyyy h:mm a", "11/12/2026 3:04 PM", "2026-11-12 15:04:00"),
            ("M/d/yy", "12/31/99", "2099-12-31 00:00:00"),
            ("yyyyMMddHHmmss", "20260102030405", "2026-01-02 03:04:05"),
            ("yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]", "2026-01-02T03:04:05", "2026-01-02 03:04:05"),
            (
                "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]",
                "2026-01-02T03:04:05.12+02:00",
                "2026-01-02 03:04:05.120+02:00",
            ),
            ("yyyy-MM-dd HH:mm:ssX", "2026-01-02 03:04:05Z", "2026-01-02 03:04:05Z"),
            ("d MMM yyyy", "2 jan 2026", "2026-01-02 00:00:00"),
            ("MMMM d, yyyy", "January 2, 2026", "2026-01-02 00:00:00"),
            ("yyyy-DDD", "2024-366", "2024-12-31 00:00:00"),
            ("HH:mm", "03:04", "1970-01-01 03:04:00"),
            ("y-M-d", "26-1-2", "0026-01-02 00:00:00"),
            ("yyyy-MM-dd", "-2026-01-02", "-2026-01-02 00:00:00"),
            ("yyyy-MM-dd", "+10000-01-02", "+10000-01-02 00:00:00"),
            ("yyyy-MM-dd HH z", "2026-01-02 03 PST", "2026-01-02 03:00:00America/Los_Angeles"),
        ] {
            assert_eq!(read(pattern, text).as_deref(), Some(expected), "{pattern} {text}");
        }
    }

    #[test]
    fn refuses_what_has_not() {
        for (pattern, text) in [
            ("dd/MM/yyyy", "2/1/2026"),
            ("dd/MM/yyyy", "31/02/2026"),
            ("dd/MM/yyyy", "02/01/2026 "),
            ("yyyy-MM-dd", "12026-01-02"),
            ("M/d/yy", "1/2/2026"),
            ("yyyy-MM-dd", "+2026-01-02"),
            ("ss.SSS", "01.1234"),
            ("h:mm a", "13:04 PM"),
            ("yyyy-MM-dd XXX", "2026-01-02 +0200"),
            ("yyyy-DDD", "2026-366"),
            ("d MMM yyyy", "2 é 2026"),
        ] {
            assert_eq!(read(pattern, text), None, "{pattern} {text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_pattern() {
        for pattern in ["YYYY-MM-dd", "yyyy-MM-dd b", "[yyyy", "yyyy]", "'T", "EEE", "#", "ddd"] {
            assert!(TimePattern::new(pattern).is_err(), "{pattern}");
        }
    }
}
