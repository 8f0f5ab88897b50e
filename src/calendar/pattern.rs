//! Spark's patterns of dates and times: `yyyy-MM-dd HH:mm:ss.SSS`, `EEE, d MMM`, `'T'`, `[…]`.
//!
//! A pattern is letters that repeat, text in single quotes, signs that stand for themselves, and
//! parts in brackets that may be missing when text is read. A letter that Spark does not know is an
//! error, not a guess. Names of months, days and halves of a day are English.

mod read;
mod write;

use super::Zone;
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

/// The English name of a month, from 1.
pub(crate) fn month_name(month: u32) -> &'static str {
    MONTHS.get(month as usize - 1).copied().unwrap_or("")
}

/// The English name of a day of the week, from Monday as 0.
pub(crate) fn day_name(day: u32) -> &'static str {
    DAYS.get(day as usize).copied().unwrap_or("")
}

/// A pattern, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimePattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A letter and how often it stands there.
    Field(char, usize),
    Optional(Vec<Part>),
}

impl TimePattern {
    /// A pattern to write times by.
    ///
    /// # Errors
    ///
    /// `INVALID_DATETIME_PATTERN…`, `INCONSISTENT_BEHAVIOR_CROSS_VERSION…`: it is no pattern.
    pub fn to_write(text: &str) -> Result<Self, Error> {
        Self::new(text, &|letter, count| known(letter, count))
    }

    /// A pattern to read times by, which knows fewer letters.
    ///
    /// # Errors
    ///
    /// As [`Self::to_write`].
    pub fn to_read(text: &str) -> Result<Self, Error> {
        Self::new(text, &|letter, count| known(letter, count) && !"EFQq".contains(letter))
    }

    fn new(text: &str, known: &dyn Fn(char, usize) -> bool) -> Result<Self, Error> {
        let mut signs = text.chars().peekable();
        let mut open: Vec<Vec<Part>> = vec![Vec::new()];
        let wrong = |condition: &'static str, what: &str| {
            Error::sql(condition, format!("the pattern '{text}' {what}"))
                .hint("use yyyy MM dd HH mm ss SSS a, and text in 'quotes'")
        };
        while let Some(sign) = signs.next() {
            let part = match sign {
                '\'' => match quoted(&mut signs) {
                    Some(text) => Part::Text(text),
                    None => return Err(wrong(INVALID, "has a ' without its end")),
                },
                '[' => {
                    open.push(Vec::new());
                    continue;
                }
                ']' => match (open.pop(), open.is_empty()) {
                    (Some(inner), false) => Part::Optional(inner),
                    _ => return Err(wrong(OLDER, "closes a bracket that is not open")),
                },
                '{' | '}' | '#' => {
                    return Err(wrong(OLDER, &format!("has {sign}, which is reserved")));
                }
                letter if letter.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while signs.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    if !known(letter, count) {
                        let letters = String::from(letter).repeat(count);
                        let what = format!("has '{letters}', which is not supported");
                        return Err(wrong(refusal(letter), &what));
                    }
                    Part::Field(letter, count)
                }
                other => Part::Text(other.to_string()),
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
        Ok(Self(open.pop().unwrap_or_default()))
    }

    /// An instant as text.
    pub fn write(&self, instant: i64, zone: &Zone) -> String {
        write::text(&self.0, instant, zone)
    }

    /// The instant of a text; one that names no zone is in `zone`. A part that the text does not
    /// name is that of 1970-01-01 00:00.
    pub fn instant(&self, text: &str, zone: &Zone) -> Option<i64> {
        let found = read::all(&self.0, text)?;
        found.instant(zone)
    }

    /// What the clock shows by a text. The zone that it names is not looked at; whether it may name
    /// one at all is `may_name_zone`.
    pub fn clock(&self, text: &str, may_name_zone: bool) -> Option<i64> {
        let found = read::all(&self.0, text)?;
        if may_name_zone || !found.names_zone() { found.clock() } else { None }
    }

    /// Days since 1970 of the date in a text.
    pub fn days(&self, text: &str) -> Option<i32> {
        i32::try_from(read::all(&self.0, text)?.days()?).ok()
    }
}

const INVALID: &str = "INVALID_DATETIME_PATTERN.WITH_SUGGESTION";

/// Spark names those apart that an older Spark understood.
const OLDER: &str = "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION";

/// What stands between single quotes; two of them are one.
fn quoted(signs: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match signs.next()? {
            '\'' if signs.next_if_eq(&'\'').is_some() => text.push('\''),
            '\'' if text.is_empty() => return Some("'".to_owned()),
            '\'' => return Some(text),
            sign => text.push(sign),
        }
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

fn refusal(letter: char) -> &'static str {
    match letter {
        'y' | 'Y' | 'w' | 'W' | 'u' | 'M' | 'L' | 'E' | 'a' | 'F' | 'D' | 'd' | 'H' | 'h' => OLDER,
        'e' | 'c' => "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_WEEK_BASED_PATTERN",
        _ => "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::timestamp_text;

    fn text(pattern: &str) -> String {
        TimePattern::to_write(pattern).unwrap().write(1_767_571_628_123_000, &Zone::default())
    }

    #[test]
    fn writes_as_spark_does() {
        assert_eq!(text("yyyy-MM-dd HH:mm:ss.SSS"), "2026-01-05 00:07:08.123");
        assert_eq!(text("dd/MM/yy hh:mm a"), "05/01/26 12:07 AM");
        assert_eq!(text("EEEE, MMM d"), "Monday, Jan 5");
        assert_eq!(text("yyyy-MM-dd'T'HH''XXX"), "2026-01-05T00'Z");
        assert_eq!(text("D QQQ Z"), "5 Q1 +0000");
        let new_york = Zone::named("America/New_York").unwrap();
        let pattern = TimePattern::to_write("HH VV z O XXX").unwrap();
        let written = pattern.write(1_767_571_628_123_000, &new_york);
        assert_eq!(written, "19 America/New_York EST GMT-5 -05:00");
    }

    fn read(pattern: &str, text: &str) -> Option<String> {
        let instant = TimePattern::to_read(pattern).unwrap().instant(text, &Zone::default())?;
        Some(timestamp_text(instant))
    }

    #[test]
    fn reads_what_has_the_form() {
        for (pattern, text, expected) in [
            ("dd/MM/yyyy HH:mm:ss", "02/01/2026 03:04:05", "2026-01-02 03:04:05"),
            ("M/d/yyyy h:mm a", "1/2/2026 12:04 am", "2026-01-02 00:04:00"),
            ("M/d/yyyy h:mm a", "11/12/2026 3:04 PM", "2026-11-12 15:04:00"),
            ("M/d/yyyy h:mm", "1/2/2026 3:04", "2026-01-02 03:04:00"),
            ("M/d/yy", "12/31/99", "2099-12-31 00:00:00"),
            ("yyyyMMddHHmmss", "20260102030405", "2026-01-02 03:04:05"),
            ("yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]", "2026-01-02T03:04:05", "2026-01-02 03:04:05"),
            (
                "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]",
                "2026-01-02T03:04:05.12+02:00",
                "2026-01-02 01:04:05.12",
            ),
            ("yyyy-MM-dd HH:mm:ssX", "2026-01-02 03:04:05Z", "2026-01-02 03:04:05"),
            ("d MMM yyyy", "2 jan 2026", "2026-01-02 00:00:00"),
            ("MMMM d, yyyy", "January 2, 2026", "2026-01-02 00:00:00"),
            ("yyyy-DDD", "2024-366", "2024-12-31 00:00:00"),
            ("HH:mm", "03:04", "1970-01-01 03:04:00"),
            ("y-M-d", "26-1-2", "0026-01-02 00:00:00"),
            ("yyyy-MM-dd", "-2026-01-02", "-2026-01-02 00:00:00"),
            ("yyyy-MM-dd", "+10000-01-02", "+10000-01-02 00:00:00"),
            ("yyyy-MM-dd HH z", "2026-01-02 03 PST", "2026-01-02 11:00:00"),
            ("yyyy-MM-dd HH VV", "2026-01-02 03 +01:00", "2026-01-02 02:00:00"),
            ("yyyy-MM-dd HH O", "2026-01-02 03 GMT+1", "2026-01-02 02:00:00"),
            ("yyyy-MM-dd HH Z", "2026-01-02 03 +0100", "2026-01-02 02:00:00"),
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
            ("yyyyMMddHHmmssSSS", "20260102030405123"),
            ("ss.SSS", "01.1234"),
            ("h:mm a", "13:04 PM"),
            ("yyyy-MM-dd XXX", "2026-01-02 +0200"),
            ("yyyy-MM-dd HH VV", "2026-01-02 03 PST"),
            ("yyyy-MM-dd HH z", "2026-01-02 03 UTC+1"),
            ("yyyy-DDD", "2026-366"),
            ("d MMM yyyy", "2 é 2026"),
        ] {
            assert_eq!(read(pattern, text), None, "{pattern} {text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_pattern() {
        for pattern in ["YYYY-MM-dd", "yyyy-MM-dd b", "yyyy]", "'T", "EEE", "#", "ddd", "yyyy-ww"] {
            assert!(TimePattern::to_read(pattern).is_err(), "{pattern}");
        }
    }
}
