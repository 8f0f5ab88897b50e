//! An instant as the text that a pattern describes.

use chrono::{Datelike, Timelike};

use super::{DAYS, MONTHS, Part};
use crate::calendar::{Zone, naive};

/// The text of all parts; those in brackets are written too.
pub(super) fn text(parts: &[Part], instant: i64, zone: &Zone) -> String {
    let written = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Optional(inner) => text(inner, instant, zone),
        Part::Field(letter, count) => field(*letter, *count, instant, zone),
    };
    parts.iter().map(written).collect()
}

fn field(letter: char, count: usize, instant: i64, zone: &Zone) -> String {
    let time = naive(zone.clock(instant));
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
        'V' => zone.id(),
        'z' => zone.abbreviation(instant),
        _ => offset(letter, count, zone.offset_at(instant)),
    }
}

fn offset(letter: char, count: usize, offset: i64) -> String {
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
