//! An interval literal as Spark writes it in the name of a column: `INTERVAL '01:30' HOUR TO MINUTE`.

use datafusion::sql::sqlparser::ast::{self, Expr, Value};

use crate::error::Span;
use crate::sql::interval::Interval;
use crate::sql::text::SourceText;

/// The units of each of Spark's two kinds of interval, from the longest.
const UNITS: [&[&str]; 2] = [&["YEAR", "MONTH"], &["DAY", "HOUR", "MINUTE", "SECOND"]];

/// The literal with the units that stand in the text; as it is where they cannot be seen.
pub(super) fn of(written: &ast::Interval, text: Option<&SourceText>) -> String {
    spelt(written, text).unwrap_or_else(|| written.to_string())
}

fn spelt(written: &ast::Interval, text: Option<&SourceText>) -> Option<String> {
    let Expr::Value(value) = written.value.as_ref() else { return None };
    let Value::SingleQuotedString(length) = &value.value else { return None };
    let length = Interval::parse(length).ok()?;
    let text = text?;
    let Span { start, end } = text.span(value.span)?;
    let units = text.slice(Span { start, end }).to_uppercase();
    let units: Vec<&str> = units.split(|c: char| !c.is_ascii_alphabetic()).collect();
    let kind = UNITS[usize::from(length.months == 0)];
    let named = |unit: &&str| {
        let also: &[&str] = match *unit {
            "DAY" => &["WEEK", "WEEKS"],
            "SECOND" => &["MILLISECOND", "MILLISECONDS", "MICROSECOND", "MICROSECONDS"],
            _ => &[],
        };
        units
            .iter()
            .any(|word| word.strip_suffix('S').unwrap_or(word) == *unit || also.contains(word))
    };
    let first = kind.iter().position(&named)?;
    let last = kind.iter().rposition(named)?;
    let range = match first == last {
        true => kind[first].to_owned(),
        false => format!("{} TO {}", kind[first], kind[last]),
    };
    Some(format!("INTERVAL '{}' {range}", digits(length, &kind[first..=last])))
}

/// The numbers of the units; the first holds all that is longer.
fn digits(length: Interval, units: &[&str]) -> String {
    let micros = i128::from(length.days) * 86_400_000_000 + i128::from(length.micros);
    let negative = if length.months < 0 || micros < 0 { "-" } else { "" };
    let (months, micros) = (length.months.unsigned_abs(), micros.unsigned_abs());
    let mut text = String::new();
    for (place, unit) in units.iter().enumerate() {
        let (size, whole) = match *unit {
            "YEAR" => (12, 0),
            "MONTH" => (1, 12),
            "DAY" => (86_400_000_000, 0),
            "HOUR" => (3_600_000_000, 86_400_000_000),
            "MINUTE" => (60_000_000, 3_600_000_000),
            _ => (1_000_000, 60_000_000),
        };
        let all = if matches!(*unit, "YEAR" | "MONTH") { u128::from(months) } else { micros };
        let rest = if place == 0 { all } else { all % whole };
        text += match (place, *unit) {
            (0, _) => "",
            (_, "MONTH") => "-",
            (_, "HOUR") => " ",
            _ => ":",
        };
        text += &match *unit {
            "YEAR" | "MONTH" | "DAY" => (rest / size).to_string(),
            _ => format!("{:02}", rest / size),
        };
        if *unit == "SECOND" && rest % size > 0 {
            let fraction = format!(".{:06}", rest % size);
            text += fraction.trim_end_matches('0');
        }
    }
    negative.to_owned() + &text
}
