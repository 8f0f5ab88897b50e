//! Numbers and values put into text by a format: `format_number`, `format_string`.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};

use super::columns;
use super::scalar::{Answer, Function, Gives, Row, Value, refused};
use super::value::room;
use crate::error::Error;
use crate::sql::casts::double_text;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("format_number", "number any", Gives::Text, format_number),
    Function::new("format_string printf", "text any*", Gives::Text, format_string).seeing_nulls(),
];

/// `format_number(12332.1, 2)` is `12,332.10`; the second argument may be a pattern `#,##0.00`.
fn format_number(r: &Row) -> Answer {
    let Some((how, row)) = r.raw(1) else { return Ok(Value::Null) };
    let form = match how.data_type() {
        DataType::Utf8 => NumberForm::read(how.as_string::<i32>().value(row)),
        _ => {
            let places = arrow::compute::cast(&how.slice(row, 1), &DataType::Int64)?;
            let Ok(places) = usize::try_from(places.as_primitive::<Int64Type>().value(0)) else {
                return Ok(Value::Null);
            };
            let places = places.min(MOST_PLACES);
            NumberForm { group: 3, whole: 1, least: places, most: places, ..NumberForm::default() }
        }
    };
    let fixed = match r.type_of(0) {
        DataType::Decimal128(_, scale) => {
            let digits = r.digits(0);
            decimal_fixed(digits, (*scale).max(0) as usize, form.most)
        }
        given if given.is_integer() => decimal_fixed(r.digits(0), 0, form.most),
        _ => match r.double(0) {
            x if x.is_nan() => return Ok("NaN".into()),
            x if x.is_infinite() => return Ok(if x > 0.0 { "∞" } else { "-∞" }.into()),
            x => format!("{x:.*}", form.most),
        },
    };
    Ok(form.write(&fixed).into())
}

/// Java writes no more places of a number.
const MOST_PLACES: usize = 340;

/// The digits of a decimal with so many places, half to the even.
fn decimal_fixed(digits: i128, scale: usize, places: usize) -> String {
    let (sign, digits) = (if digits < 0 { "-" } else { "" }, digits.unsigned_abs());
    let digits = match 10_u128.checked_pow(scale.saturating_sub(places) as u32) {
        Some(by) => {
            let (quotient, rest) = (digits / by, digits % by);
            let up = rest * 2 > by || (rest * 2 == by && quotient % 2 == 1);
            quotient + u128::from(up && by > 1)
        }
        None => 0,
    };
    let text = format!("{digits:0>width$}", width = scale.min(places) + 1);
    let (whole, fraction) = text.split_at(text.len() - scale.min(places));
    let point = if places > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction:0<places$}")
}

/// A pattern of Java's `DecimalFormat`.
#[derive(Default)]
struct NumberForm {
    before: String,
    after: String,
    /// Digits between two commas; 0 is none.
    group: usize,
    whole: usize,
    least: usize,
    most: usize,
}

impl NumberForm {
    fn read(pattern: &str) -> Self {
        let is_digit = |c: char| matches!(c, '#' | '0' | ',' | '.');
        let positive = pattern.split(';').next().unwrap_or(pattern);
        if positive.is_empty() {
            return Self { group: 3, whole: 1, most: 3, ..Self::default() };
        }
        let start = positive.find(is_digit).unwrap_or(positive.len());
        let end = positive.rfind(is_digit).map_or(start, |end| end + 1);
        let (whole, fraction) = match positive[start..end].split_once('.') {
            Some((whole, fraction)) => (whole, fraction),
            None => (&positive[start..end], ""),
        };
        let zeros = |text: &str| text.matches('0').count();
        Self {
            before: positive[..start].replace('\'', ""),
            after: positive[end..].replace('\'', ""),
            group: whole.rsplit_once(',').map_or(0, |(_, group)| group.len()),
            whole: zeros(whole),
            least: zeros(fraction),
            most: fraction.len(),
        }
    }

    fn write(&self, fixed: &str) -> String {
        let (sign, fixed) = match fixed.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", fixed),
        };
        let (whole, fraction) = fixed.split_once('.').unwrap_or((fixed, ""));
        let whole = format!("{:0>width$}", whole.trim_start_matches('0'), width = self.whole);
        let optional = fraction.get(self.least..).unwrap_or("").trim_end_matches('0').len();
        let fraction = &fraction[..fraction.len().min(self.least + optional)];
        let point = if fraction.is_empty() { "" } else { "." };
        let whole = if self.group > 0 { grouped(&whole, self.group) } else { whole };
        format!("{sign}{}{whole}{point}{fraction}{}", self.before, self.after)
    }
}

/// A comma before each group of digits.
fn grouped(digits: &str, group: usize) -> String {
    let mut out = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(group) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// One `%…` of a format of Java's.
#[derive(Default)]
struct Field {
    flags: String,
    width: usize,
    precision: Option<usize>,
}

fn format_string(r: &Row) -> Answer {
    if r.is_null(0) {
        return Ok(Value::Null);
    }
    let text = r.text(0);
    let wrong = |what: &str| {
        refused("INVALID_PARAMETER_VALUE.FORMAT", format!("the format '{text}' {what}"))
    };
    let (mut out, mut next) = (String::new(), 1);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let mut digits = take(after, |c| c.is_ascii_digit());
        let mut at = None;
        let mut signs = after;
        if let Some(tail) = after[digits.len()..].strip_prefix('$') {
            at = digits.parse::<usize>().ok();
            signs = tail;
        }
        let flags = take(signs, |c| "-#+ 0,(".contains(c));
        signs = &signs[flags.len()..];
        digits = take(signs, |c| c.is_ascii_digit());
        signs = &signs[digits.len()..];
        let mut field = Field { flags: flags.to_owned(), ..Field::default() };
        field.width = digits.parse().unwrap_or(0);
        if let Some(tail) = signs.strip_prefix('.') {
            let digits = take(tail, |c| c.is_ascii_digit());
            let places = digits.parse().ok().filter(|places| *places <= usize::from(u16::MAX));
            field.precision = Some(places.ok_or_else(|| wrong("asks for too many places"))?);
            signs = &tail[digits.len()..];
        }
        let Some(letter) = signs.chars().next() else {
            return Err(wrong("ends inside a field"));
        };
        rest = &signs[letter.len_utf8()..];
        let value = match letter {
            '%' => "%".to_owned(),
            'n' => "\n".to_owned(),
            _ => {
                let i = at.unwrap_or(next);
                next += usize::from(at.is_none());
                if i == 0 || !r.has(i) {
                    return Err(wrong(&format!("asks for a value {i} that is not there")));
                }
                field.value(r, i, letter)?.ok_or_else(|| {
                    let given = crate::sql::types::spark_name(r.type_of(i)).to_uppercase();
                    wrong(&format!("has %{letter} for a {given}"))
                })?
            }
        };
        room(1, field.width)?;
        out.push_str(&field.padded(&value));
    }
    out.push_str(rest);
    Ok(out.into())
}

fn take(text: &str, wanted: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !wanted(c)).unwrap_or(text.len())]
}

impl Field {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    fn padded(&self, value: &str) -> String {
        // The formatter of the standard library takes no width of more than 16 bits.
        let missing = self.width.saturating_sub(value.chars().count());
        match () {
            () if self.has('-') => format!("{value}{}", " ".repeat(missing)),
            () if self.has('0') => {
                let (sign, digits) = value.split_at(usize::from(value.starts_with(['-', '+'])));
                format!("{sign}{}{digits}", "0".repeat(missing))
            }
            () => format!("{}{value}", " ".repeat(missing)),
        }
    }

    /// The value as text; `None` if this letter does not take its type.
    fn value(&self, r: &Row, i: usize, letter: char) -> Result<Option<String>, Error> {
        let Some((array, row)) = r.raw(i) else { return Ok(None) };
        let value = array.slice(row, 1);
        let null = r.is_null(i);
        let text = match letter.to_ascii_lowercase() {
            'b' if null => "false".to_owned(),
            'b' if value.data_type() == &DataType::Boolean => {
                value.as_boolean().value(0).to_string()
            }
            'b' => "true".to_owned(),
            's' | 'd' | 'x' | 'o' | 'f' | 'e' | 'g' | 'c' if null => "null".to_owned(),
            's' => {
                // Java prints what Spark keeps of a time: its days, or its microseconds.
                let value = match value.data_type() {
                    DataType::Date32 => arrow::compute::cast(&value, &DataType::Int32)?,
                    DataType::Timestamp(..) => arrow::compute::cast(&value, &DataType::Int64)?,
                    _ => value,
                };
                let text = columns::text(&value, r.zone())?.value(0).to_owned();
                text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
            }
            'd' | 'x' | 'o' | 'c' if value.data_type().is_integer() => {
                self.whole(&value, letter)?
            }
            'f' | 'e' => match value.data_type() {
                DataType::Float32 | DataType::Float64 => {
                    let x = arrow::compute::cast(&value, &DataType::Float64)?;
                    self.double(x.as_primitive::<Float64Type>().value(0), letter)
                }
                DataType::Decimal128(_, scale) if letter == 'f' => {
                    let digits = value.as_primitive::<Decimal128Type>().value(0);
                    let places = self.precision.unwrap_or(6);
                    self.signed(&decimal_fixed(digits, (*scale).max(0) as usize, places))
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(if letter.is_ascii_uppercase() { text.to_uppercase() } else { text }))
    }

    fn whole(&self, value: &dyn Array, letter: char) -> Result<String, Error> {
        let narrow = value.data_type() != &DataType::Int64;
        let wide = arrow::compute::cast(value, &DataType::Int64)?;
        let n = wide.as_primitive::<Int64Type>().value(0);
        Ok(match letter.to_ascii_lowercase() {
            'd' => self.signed(&n.to_string()),
            'x' if narrow => format!("{:x}", n as i32),
            'x' => format!("{n:x}"),
            'o' if narrow => format!("{:o}", n as i32),
            'o' => format!("{n:o}"),
            _ => u32::try_from(n).ok().and_then(char::from_u32).unwrap_or('?').to_string(),
        })
    }

    fn double(&self, x: f64, letter: char) -> String {
        let places = self.precision.unwrap_or(6);
        if !x.is_finite() {
            return double_text(x);
        }
        if letter == 'f' {
            return self.signed(&format!("{x:.places$}"));
        }
        let text = format!("{x:.places$e}");
        match text.split_once('e') {
            Some((digits, exponent)) => {
                let n: i32 = exponent.parse().unwrap_or(0);
                format!("{digits}e{}{:02}", if n < 0 { '-' } else { '+' }, n.abs())
            }
            None => text,
        }
    }

    /// Sign and commas as the flags want them.
    fn signed(&self, number: &str) -> String {
        let (negative, digits) = match number.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, number),
        };
        let (whole, fraction) = match digits.find('.') {
            Some(point) => digits.split_at(point),
            None => (digits, ""),
        };
        let whole = if self.has(',') { grouped(whole, 3) } else { whole.to_owned() };
        match negative {
            true if self.has('(') => format!("({whole}{fraction})"),
            true => format!("-{whole}{fraction}"),
            false if self.has('+') => format!("+{whole}{fraction}"),
            false if self.has(' ') => format!(" {whole}{fraction}"),
            false => format!("{whole}{fraction}"),
        }
    }
}
