//! Numbers written and read by Spark's patterns: `to_char(1234.5, '9G999D99')`, `to_number('$5', '$9')`.
//!
//! A pattern is `MI`, `S` or `$` in front, digits `0` and `9` with `,` (or `G`) between and one `.`
//! (or `D`), and `MI`, `S` or `PR` behind.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use super::scalar::{Answer, Function, Gives, Row, Value, refused};
use super::time_cast;
use crate::calendar::TimePattern;
use crate::error::Error;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("to_char to_varchar", "any text", Gives::Text, to_char),
    Function::new("to_number", "text text", Gives::Of(number), |r| {
        let pattern = NumberPattern::read(r.text(1))?;
        pattern.parse(r.text(0)).map(Value::Whole).ok_or_else(|| {
            refused(
                "INVALID_FORMAT.MISMATCH_INPUT",
                format!("the text '{}' does not fit the pattern '{}'", r.text(0), r.text(1)),
            )
        })
    }),
    Function::new("try_to_number", "text text", Gives::Of(number), |r| {
        Ok(NumberPattern::read(r.text(1))?.parse(r.text(0)).into())
    }),
];

/// DECIMAL with just the digits of the pattern, which has to be a constant.
fn number(_: &[DataType], constants: &[Option<&ScalarValue>]) -> DataType {
    let pattern = match constants {
        [_, Some(ScalarValue::Utf8(Some(pattern)))] => NumberPattern::read(pattern).ok(),
        _ => None,
    };
    let Some(pattern) = pattern else { return DataType::Decimal128(38, 0) };
    let places = pattern.fraction.len();
    let digits = pattern.whole_digits() + places;
    DataType::Decimal128(digits.clamp(1, 38) as u8, places.min(38) as i8)
}

fn to_char(r: &Row) -> Answer {
    let (Some((array, row)), form) = (r.raw(0), r.text(1)) else { return Ok(Value::Null) };
    let one = array.slice(row, 1);
    match one.data_type() {
        DataType::Date32 | DataType::Timestamp(..) => {
            let instant = time_cast::instants(&one, r.zone())?.value(0);
            Ok(TimePattern::to_write(form)?.write(instant, r.zone()).into())
        }
        DataType::Binary => of_bytes(one.as_binary::<i32>().value(0), form),
        _ => {
            let text = plain_digits(&one)?;
            Ok(NumberPattern::read(form)?.write(&text).into())
        }
    }
}

fn of_bytes(bytes: &[u8], form: &str) -> Answer {
    Ok(match form.to_lowercase().as_str() {
        "hex" => super::numbers::hex_of(bytes).into(),
        "base64" => super::encoding::base64(bytes).into(),
        "utf-8" => String::from_utf8_lossy(bytes).into_owned().into(),
        _ => {
            return Err(refused(
                "INVALID_PARAMETER_VALUE.BINARY_FORMAT",
                format!("bytes are written as 'hex', 'base64' or 'utf-8', not as '{form}'"),
            ));
        }
    })
}

/// A number as digits with a point, whatever its type.
fn plain_digits(one: &ArrayRef) -> Result<String, Error> {
    let decimal = match one.data_type() {
        DataType::Float32 | DataType::Float64 | DataType::Utf8 => {
            arrow::compute::cast(&arrow::compute::cast(one, &DataType::Float64)?, &DataType::Utf8)?
        }
        _ => arrow::compute::cast(one, &DataType::Utf8)?,
    };
    Ok(decimal.as_string::<i32>().value(0).to_owned())
}

/// The sign that a pattern asks for.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    None,
    /// `S`: `+` or `-`.
    Always,
    /// `MI`: a blank or `-`.
    Minus,
    /// `PR`: `<12>` is less than zero.
    Brackets,
}

struct NumberPattern {
    text: String,
    before: Sign,
    dollar: bool,
    /// `0`, `9` and `,` before the point.
    whole: Vec<char>,
    point: bool,
    /// `0` and `9` behind it.
    fraction: Vec<char>,
    after: Sign,
}

impl NumberPattern {
    fn read(text: &str) -> Result<Self, Error> {
        let upper = text.to_uppercase();
        let mut rest = upper.as_str();
        let twice = |one: &[char]| upper.matches(one).count() > 1;
        match () {
            () if upper.is_empty() => return Err(unknown("EMPTY", text)),
            () if !upper.contains(['0', '9']) => return Err(unknown("WRONG_NUM_DIGIT", text)),
            () if twice(&['.', 'D']) || twice(&['$']) => {
                return Err(unknown("WRONG_NUM_TOKEN", text));
            }
            () => {}
        }
        let before = match () {
            () if cut(&mut rest, "MI") => Sign::Minus,
            () if cut(&mut rest, "S") => Sign::Always,
            () => Sign::None,
        };
        let dollar = cut(&mut rest, "$");
        let is_whole = |c: char| matches!(c, '0' | '9' | ',' | 'G');
        let (whole, tail) = rest.split_at(rest.find(|c| !is_whole(c)).unwrap_or(rest.len()));
        rest = tail;
        let point = cut(&mut rest, ".") || cut(&mut rest, "D");
        let end = rest.find(|c| !matches!(c, '0' | '9')).unwrap_or(rest.len());
        let (fraction, tail) = rest.split_at(if point { end } else { 0 });
        let after = match tail {
            "" => Sign::None,
            "S" if before == Sign::None => Sign::Always,
            "MI" if before == Sign::None => Sign::Minus,
            "PR" if before == Sign::None => Sign::Brackets,
            _ => return Err(unknown("UNEXPECTED_TOKEN", text)),
        };
        let whole: Vec<char> = whole.chars().map(|c| if c == 'G' { ',' } else { c }).collect();
        if whole.split(|c| *c == ',').any(<[char]>::is_empty) && whole.contains(&',') {
            return Err(unknown("CONT_THOUSANDS_SEPS", text));
        }
        let pattern = Self {
            text: text.to_owned(),
            before,
            dollar,
            whole,
            point,
            fraction: fraction.chars().collect(),
            after,
        };
        let digits = pattern.whole_digits() + pattern.fraction.len();
        match digits {
            1..=38 => Ok(pattern),
            _ => Err(unknown("WRONG_NUM_DIGIT", text)),
        }
    }

    fn whole_digits(&self) -> usize {
        self.whole.iter().filter(|c| **c != ',').count()
    }
}

/// Takes a beginning away, if it is there.
fn cut(rest: &mut &str, beginning: &str) -> bool {
    match rest.strip_prefix(beginning) {
        Some(tail) => {
            *rest = tail;
            true
        }
        None => false,
    }
}

fn unknown(why: &str, pattern: &str) -> Error {
    let condition = format!("INVALID_FORMAT.{why}");
    Error::sql(condition, format!("'{pattern}' is no pattern of numbers"))
        .hint("write digits as 0 and 9 with , and one . between, as in '$99,999.00' or '999MI'")
}

impl NumberPattern {
    /// A number put into the pattern; `#` stands for each digit where it has no room.
    fn write(&self, number: &str) -> String {
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (digits, places) = number.split_once('.').unwrap_or((number, ""));
        // A zero is written in front of a fraction only.
        let room = self.whole_digits();
        let digits = match digits.trim_start_matches('0') {
            "" if room > 0 && !self.fraction.is_empty() => "0",
            digits => digits,
        };
        let places = places.trim_end_matches('0');
        if digits.len() > room || places.len() > self.fraction.len() {
            let hidden = |c: char| if matches!(c, '0' | '9') { '#' } else { c };
            let text = self.text.to_uppercase();
            return text
                .chars()
                .map(|c| {
                    hidden(match c {
                        'G' => ',',
                        'D' => '.',
                        c => c,
                    })
                })
                .collect();
        }
        let mut text = String::new();
        let mut given = digits.chars().rev().peekable();
        for (at, sign) in self.whole.iter().enumerate().rev() {
            // A digit before this place is written, or will be.
            let zero = self.whole[..=at].contains(&'0');
            text.push(match sign {
                ',' if given.peek().is_some() || zero => ',',
                ',' => ' ',
                _ => given.next().unwrap_or(if zero { '0' } else { ' ' }),
            });
        }
        let whole: String = text.chars().rev().collect();
        let blanks = whole.len() - whole.trim_start().len();
        let (sign, end) = match (self.before, self.after, negative) {
            (Sign::Always, _, true) | (Sign::Minus, _, true) => ("-", ""),
            (Sign::Always, _, false) => ("+", ""),
            (Sign::Minus, _, false) => (" ", ""),
            (_, Sign::Always | Sign::Minus, true) => ("", "-"),
            (_, Sign::Always, false) => ("", "+"),
            (_, Sign::Minus, false) => ("", " "),
            (_, Sign::Brackets, true) => ("<", ">"),
            (_, Sign::Brackets, false) => ("", "  "),
            (_, _, true) => ("-", ""),
            (_, _, false) => ("", ""),
        };
        // A point with nothing behind it leaves its place free.
        let point = match (self.point, self.fraction.is_empty()) {
            (true, false) => ".",
            (true, true) => " ",
            (false, _) => "",
        };
        let places = format!("{places:0<width$}", width = self.fraction.len());
        let (blanks, whole) = whole.split_at(blanks);
        match self.dollar {
            true => format!("{sign}${blanks}{whole}{point}{places}{end}"),
            false => format!("{blanks}{sign}{whole}{point}{places}{end}"),
        }
    }

    /// The digits of a text that fits the pattern, all places of the pattern counted.
    fn parse(&self, text: &str) -> Option<i128> {
        let mut rest = text.trim();
        let mut negative = false;
        if self.before != Sign::None {
            negative = cut(&mut rest, "-");
            let _ = !negative && self.before == Sign::Always && cut(&mut rest, "+");
        }
        match self.after {
            Sign::Brackets if rest.starts_with('<') => {
                rest = rest.strip_prefix('<')?.strip_suffix('>')?;
                negative = true;
            }
            Sign::Always | Sign::Minus => {
                if let Some(head) = rest.strip_suffix('-') {
                    (rest, negative) = (head, true);
                } else if self.after == Sign::Always {
                    rest = rest.strip_suffix('+').unwrap_or(rest);
                }
            }
            _ => {}
        }
        if self.dollar && !cut(&mut rest, "$") {
            return None;
        }
        let (whole, places) = rest.split_once('.').unwrap_or((rest, ""));
        let known = |digits: &str| digits.chars().all(|c| c.is_ascii_digit());
        let point = rest.contains('.');
        if (point && !self.point) || places.len() > self.fraction.len() || !known(places) {
            return None;
        }
        let whole = self.whole_of(whole)?;
        if whole.is_empty() && places.is_empty() {
            return None;
        }
        let all = format!("{whole}{places:0<width$}", width = self.fraction.len());
        let n: i128 = all.parse().ok()?;
        Some(if negative { -n } else { n })
    }

    /// The digits before the point. Each group between commas has at most as many as the pattern's,
    /// counted from the right, and just as many where that begins with `0`.
    fn whole_of(&self, text: &str) -> Option<String> {
        let mut given = if text.is_empty() { vec![] } else { text.rsplit(',').collect() };
        if !self.whole.contains(&',') && given.is_empty() {
            given.push("");
        }
        let known = |group: &&str| group.chars().all(|c| c.is_ascii_digit());
        let pattern = self.whole.rsplit(|c| *c == ',');
        let mut groups = given.iter();
        for pattern in pattern {
            let group = groups.next().filter(|group| known(group));
            let digits = group.map_or(0, |group| group.len());
            let exact = pattern.first() == Some(&'0');
            if digits > pattern.len() || (exact && digits < pattern.len()) {
                return None;
            }
        }
        let whole: String = given.iter().rev().copied().collect();
        (groups.next().is_none() && known(&whole.as_str())).then_some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_into_a_pattern_and_comes_back() {
        for (pattern, number, text) in [
            ("999", "454", "454"),
            ("000D00", "454", "454.00"),
            ("99G999", "12454", "12,454"),
            ("$99.99", "78.12", "$78.12"),
            ("99G999D9S", "-12454.8", "12,454.8-"),
            ("99G999.9PR", "-454.8", "   <454.8>"),
            ("00G000.0S", "-454.8", "00,454.8-"),
            ("99,9999", "12454", " 1,2454"),
            ("9999.", "4542", "4542 "),
            ("9.9", "4.67", "#.#"),
        ] {
            let read = NumberPattern::read(pattern).unwrap();
            assert_eq!(read.write(number), text, "{pattern}");
            let places = read.fraction.len() as i32;
            if text.contains('#') {
                continue;
            }
            let back = read.parse(text).unwrap() as f64 / 10_f64.powi(places);
            assert_eq!(back, number.parse::<f64>().unwrap(), "{pattern}");
        }
        let read = |pattern: &str, text| NumberPattern::read(pattern).unwrap().parse(text);
        assert_eq!(read("999,999,0", "1,3,6"), Some(136));
        for (pattern, text) in [("09", "4"), ("0,9", "45"), ("$99", "45"), ("999PR", "<454")] {
            assert_eq!(read(pattern, text), None, "{text} by {pattern}");
        }
        assert!(NumberPattern::read("9x9").is_err());
    }
}
