//! Text: parts of it, places in it, what is around it. Positions count characters from 1.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use super::columns;
use super::scalar::{Answer, Function, Gives, Row, Value, refused};
use super::value::room;
use crate::error::Error;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("ascii", "text", Gives::Int, |r| {
        Ok((r.text(0).chars().next().map_or(0, u32::from) as i32).into())
    }),
    Function::new("chr char", "whole", Gives::Text, |r| {
        let letter = |n: i64| char::from((n & 0xff) as u8).to_string();
        Ok((if r.whole(0) < 0 { String::new() } else { letter(r.whole(0)) }).into())
    }),
    Function::new("bit_length", "either", Gives::Int, |r| Ok((r.bytes(0).len() as i64 * 8).into())),
    Function::new("octet_length", "either", Gives::Int, |r| Ok((r.bytes(0).len() as i64).into())),
    Function::new("length char_length character_length len", "either", Gives::Int, |r| {
        let count = if is_binary(r) { r.bytes(0).len() } else { r.text(0).chars().count() };
        Ok((count as i64).into())
    }),
    Function::new("upper ucase", "text", Gives::Text, |r| Ok(r.text(0).to_uppercase().into())),
    Function::new("lower lcase", "text", Gives::Text, |r| Ok(r.text(0).to_lowercase().into())),
    Function::new("initcap", "text", Gives::Text, |r| {
        let words = r.text(0).split(' ').map(|word| {
            let lower = word.to_lowercase();
            let mut letters = lower.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string());
            first.unwrap_or_default() + letters.as_str()
        });
        Ok(words.collect::<Vec<_>>().join(" ").into())
    }),
    Function::new("btrim", "text text?", Gives::Text, |r| {
        Ok(trimmed(r.text(0), r.text_or(1, " "), true, true).into())
    }),
    // With two arguments the signs to cut off come first.
    Function::new("trim", "text text?", Gives::Text, |r| {
        let (signs, text) = trim_arguments(r);
        Ok(trimmed(text, signs, true, true).into())
    }),
    Function::new("ltrim", "text text?", Gives::Text, |r| {
        let (signs, text) = trim_arguments(r);
        Ok(trimmed(text, signs, true, false).into())
    }),
    Function::new("rtrim", "text text?", Gives::Text, |r| {
        let (signs, text) = trim_arguments(r);
        Ok(trimmed(text, signs, false, true).into())
    }),
    Function::new("concat_ws", "text any*", Gives::Text, concat_ws).seeing_nulls(),
    Function::new("contains", "either either", Gives::Bool, |r| {
        let (all, part) = (r.bytes(0), r.bytes(1));
        let found = part.is_empty() || all.windows(part.len()).any(|window| window == part);
        Ok(found.into())
    }),
    Function::new("startswith", "either either", Gives::Bool, |r| {
        Ok(r.bytes(0).starts_with(r.bytes(1)).into())
    }),
    Function::new("endswith", "either either", Gives::Bool, |r| {
        Ok(r.bytes(0).ends_with(r.bytes(1)).into())
    }),
    Function::new("elt", "whole text+", Gives::Text, elt).seeing_nulls(),
    Function::new("find_in_set", "text text", Gives::Int, |r| {
        let (word, set) = (r.text(0), r.text(1));
        let at = set.split(',').position(|part| part == word).map_or(0, |at| at as i64 + 1);
        Ok((if word.contains(',') { 0 } else { at }).into())
    }),
    Function::new("instr", "text text", Gives::Int, |r| Ok(place(r.text(0), r.text(1), 1).into())),
    Function::new("locate position", "text text whole?", Gives::Int, |r| {
        if r.has(2) && r.is_null(2) {
            return Ok(0.into());
        }
        if r.is_null(0) || r.is_null(1) {
            return Ok(Value::Null);
        }
        Ok(place(r.text(1), r.text(0), r.whole_or(2, 1)).into())
    })
    .seeing_nulls(),
    Function::new("left", "either whole", Gives::Of(same_text), |r| part(r, 1, r.whole(1).max(0))),
    Function::new("right", "either whole", Gives::Of(same_text), |r| {
        let count = r.whole(1);
        if count <= 0 { part(r, 1, 0) } else { part(r, -count, i64::MAX) }
    }),
    Function::new("substring substr", "either whole whole?", Gives::Of(same_text), |r| {
        part(r, r.whole(1), r.whole_or(2, i64::MAX))
    }),
    Function::new("substring_index", "text text whole", Gives::Text, substring_index),
    Function::new("split_part", "text text whole", Gives::Text, split_part),
    Function::new("lpad", "either whole either?", Gives::Of(same_text), |r| padded(r, true)),
    Function::new("rpad", "either whole either?", Gives::Of(same_text), |r| padded(r, false)),
    Function::new("overlay", "either either whole whole?", Gives::Of(same_text), overlay),
    Function::new("repeat", "text whole", Gives::Text, |r| {
        let count = usize::try_from(r.whole(1)).unwrap_or(0);
        room(r.text(0).len(), count)?;
        Ok(r.text(0).repeat(count).into())
    }),
    Function::new("space", "whole", Gives::Text, |r| {
        let count = usize::try_from(r.whole(0)).unwrap_or(0);
        room(1, count)?;
        Ok(" ".repeat(count).into())
    }),
    Function::new("replace", "text text text?", Gives::Text, |r| {
        let (text, search) = (r.text(0), r.text(1));
        if r.text(2).len() > search.len() {
            room(r.text(2).len(), text.matches(search).count())?;
        }
        Ok((if search.is_empty() { text.to_owned() } else { text.replace(search, r.text(2)) })
            .into())
    }),
    Function::new("translate", "text text text", Gives::Text, |r| {
        let (from, to): (Vec<char>, Vec<char>) =
            (r.text(1).chars().collect(), r.text(2).chars().collect());
        let other = |c| match from.iter().position(|f| *f == c) {
            Some(at) => to.get(at).copied(),
            None => Some(c),
        };
        Ok(r.text(0).chars().filter_map(other).collect::<String>().into())
    }),
    Function::new("levenshtein", "text text whole?", Gives::Int, |r| {
        let distance = strsim::levenshtein(r.text(0), r.text(1)) as i64;
        let most = r.whole_or(2, i64::MAX);
        Ok((if distance > most { -1 } else { distance }).into())
    }),
    Function::new("soundex", "text", Gives::Text, |r| Ok(soundex(r.text(0)).into())),
    Function::new("luhn_check", "text", Gives::Bool, |r| Ok(luhn(r.text(0)).into())),
    Function::new("quote", "text", Gives::Text, |r| {
        let text = r.text(0).replace('\\', "\\\\").replace('\'', "\\'");
        Ok(format!("'{text}'").into())
    }),
    Function::new("collate", "string collation", Gives::Text, |r| {
        known_collation(r.text(1))?;
        Ok(r.text(0).into())
    }),
    Function::new("collation", "string", Gives::Text, |_| Ok("SYSTEM.BUILTIN.UTF8_BINARY".into()))
        .seeing_nulls(),
    Function::new("mask", "text text? text? text? text?", Gives::Text, mask).seeing_nulls(),
];

/// Texts are compared byte by byte here, as Spark does unless it is told otherwise.
pub(super) fn known_collation(name: &str) -> Result<(), Error> {
    match name.eq_ignore_ascii_case("UTF8_BINARY") {
        true => Ok(()),
        false => Err(Error::sql(
            "UNSUPPORTED_FEATURE",
            format!("the collation {name} is not there: texts are compared as UTF8_BINARY"),
        )
        .hint("compare lower(a) with lower(b) where upper and lower case are to be the same")),
    }
}

/// BINARY stays BINARY, everything else becomes STRING.
fn same_text(types: &[DataType], _: &[Option<&ScalarValue>]) -> DataType {
    match types.first() {
        Some(given) if given.is_binary() => DataType::Binary,
        _ => DataType::Utf8,
    }
}

fn is_binary(r: &Row) -> bool {
    r.type_of(0).is_binary()
}

fn trim_arguments<'a>(r: &'a Row) -> (&'a str, &'a str) {
    if r.has(1) { (r.text(0), r.text(1)) } else { (" ", r.text(0)) }
}

fn trimmed<'a>(text: &'a str, signs: &str, left: bool, right: bool) -> &'a str {
    let cut = |c: char| signs.contains(c);
    let text = if left { text.trim_start_matches(cut) } else { text };
    if right { text.trim_end_matches(cut) } else { text }
}

/// The items that are not NULL, those of arrays one by one.
fn concat_ws(r: &Row) -> Answer {
    if r.is_null(0) {
        return Ok(Value::Null);
    }
    let mut items: Vec<String> = Vec::new();
    for i in 1..r.len() {
        let Some((array, row)) = r.raw(i).filter(|_| !r.is_null(i)) else { continue };
        let values = match array.data_type() {
            DataType::List(_) => array.as_list::<i32>().value(row),
            _ => array.slice(row, 1),
        };
        let texts = columns::text(&values, r.zone())?;
        items.extend(texts.iter().flatten().map(str::to_owned));
    }
    Ok(items.join(r.text(0)).into())
}

fn elt(r: &Row) -> Answer {
    if r.is_null(0) {
        return Ok(Value::Null);
    }
    let (n, count) = (r.whole(0), r.len() - 1);
    match usize::try_from(n).ok().filter(|n| (1..=count).contains(n)) {
        Some(n) if r.is_null(n) => Ok(Value::Null),
        Some(n) => Ok(r.text(n).into()),
        None => Err(refused(
            "INVALID_ARRAY_INDEX",
            format!("elt() has {count} values, not a value {n}"),
        )),
    }
}

/// Where a part begins, at `from` or after; 0 if nowhere.
fn place(text: &str, part: &str, from: i64) -> i64 {
    if from < 1 {
        return 0;
    }
    if part.is_empty() {
        return 1;
    }
    let Some((start, _)) = text.char_indices().nth(from as usize - 1) else { return 0 };
    match text[start..].find(part) {
        Some(at) => text[..start + at].chars().count() as i64 + 1,
        None => 0,
    }
}

/// `count` characters (or bytes) from a position on; a negative one counts from the end.
fn part(r: &Row, position: i64, count: i64) -> Answer {
    if is_binary(r) {
        let bytes = r.bytes(0);
        let (start, end) = range(bytes.len(), position, count);
        return Ok(bytes[start..end].to_vec().into());
    }
    let text = r.text(0);
    let (start, end) = range(text.chars().count(), position, count);
    Ok(text.chars().skip(start).take(end - start).collect::<String>().into())
}

fn range(length: usize, position: i64, count: i64) -> (usize, usize) {
    let length = length as i64;
    let start = match position {
        1.. => position - 1,
        0 => 0,
        _ => length.saturating_add(position),
    };
    let end = start.saturating_add(count).clamp(0, length);
    let start = start.clamp(0, end);
    (start as usize, end as usize)
}

fn substring_index(r: &Row) -> Answer {
    let (text, delimiter, count) = (r.text(0), r.text(1), r.whole(2));
    if count == 0 || delimiter.is_empty() {
        return Ok("".into());
    }
    let nth = count.unsigned_abs() as usize - 1;
    Ok(match count {
        1.. => match overlapping(text, delimiter).nth(nth) {
            Some(at) => &text[..at],
            None => text,
        },
        _ => match overlapping(text, delimiter).rev().nth(nth) {
            Some(at) => &text[at + delimiter.len()..],
            None => text,
        },
    }
    .into())
}

/// Where a part begins, also inside itself: `aa` is twice in `aaa`.
fn overlapping<'a>(text: &'a str, part: &'a str) -> impl DoubleEndedIterator<Item = usize> + 'a {
    text.char_indices().map(|(at, _)| at).filter(move |at| text[*at..].starts_with(part))
}

fn split_part(r: &Row) -> Answer {
    let (text, delimiter, n) = (r.text(0), r.text(1), r.whole(2));
    if n == 0 {
        return Err(refused(
            "INVALID_INDEX_OF_ZERO",
            "split_part() counts parts from 1, or from -1 backwards, not from 0".to_owned(),
        ));
    }
    let parts: Vec<&str> =
        if delimiter.is_empty() { vec![text] } else { text.split(delimiter).collect() };
    let at = if n > 0 { n - 1 } else { parts.len() as i64 + n };
    let part = usize::try_from(at).ok().and_then(|at| parts.get(at).copied());
    Ok(part.unwrap_or("").into())
}

/// Filled up, or cut, to a length.
fn padded(r: &Row, left: bool) -> Answer {
    let length = usize::try_from(r.whole(1)).unwrap_or(0);
    if !r.text_or(2, " ").is_empty() || is_binary(r) {
        room(1, length)?;
    }
    if is_binary(r) {
        let (bytes, pad) = (r.bytes(0), if r.has(2) { r.bytes(2) } else { &[0] });
        return Ok(filled(bytes, pad, length, left).into());
    }
    let text: Vec<char> = r.text(0).chars().collect();
    let pad: Vec<char> = r.text_or(2, " ").chars().collect();
    Ok(filled(&text, &pad, length, left).into_iter().collect::<String>().into())
}

fn filled<T: Copy>(all: &[T], pad: &[T], length: usize, left: bool) -> Vec<T> {
    let missing = length.saturating_sub(all.len());
    let filling = pad.iter().copied().cycle().take(if pad.is_empty() { 0 } else { missing });
    let kept = all.iter().copied().take(length);
    if left { filling.chain(kept).collect() } else { kept.chain(filling).collect() }
}

fn overlay(r: &Row) -> Answer {
    fn over<T: Copy>(all: &[T], by: &[T], position: i64, count: i64) -> Vec<T> {
        let count = if count < 0 { by.len() as i64 } else { count };
        let (start, end) = range(all.len(), 1, position - 1);
        let (after, all_end) = range(all.len(), position.saturating_add(count), i64::MAX);
        [&all[start..end.max(start)], by, &all[after..all_end]].concat()
    }
    let (position, count) = (r.whole(2), r.whole_or(3, -1));
    if is_binary(r) {
        return Ok(over(r.bytes(0), r.bytes(1), position, count).into());
    }
    let chars = |i| r.text(i).chars().collect::<Vec<char>>();
    Ok(over(&chars(0), &chars(1), position, count).iter().collect::<String>().into())
}

/// The American code of how a word sounds; what begins with no letter is left as it is.
fn soundex(text: &str) -> String {
    const CODES: &[u8; 26] = b"01230127022455012623017202";
    let code = |c: char| match c.to_ascii_uppercase() {
        letter @ 'A'..='Z' => Some(char::from(CODES[letter as usize - 'A' as usize])),
        _ => None,
    };
    let Some(first) = text.chars().next() else { return String::new() };
    let Some(mut last) = code(first) else { return text.to_owned() };
    let mut out = String::from(first.to_ascii_uppercase());
    for letter in text.chars().skip(1) {
        match code(letter) {
            Some('7') => {}
            Some(digit) => {
                if digit != '0' && digit != last {
                    out.push(digit);
                }
                last = digit;
            }
            None => last = '0',
        }
        if out.len() == 4 {
            break;
        }
    }
    format!("{out:0<4}")
}

fn luhn(text: &str) -> bool {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| !digits.is_empty()) else { return false };
    let sum: u32 = (digits.iter().rev().enumerate())
        .map(|(at, digit)| match digit * (1 + at as u32 % 2) {
            two @ 10.. => two - 9,
            one => one,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Letters and digits under a mask; a mask that is NULL leaves its kind as it is.
fn mask(r: &Row) -> Answer {
    if r.is_null(0) {
        return Ok(Value::Null);
    }
    let under = |i: usize, usual: Option<char>| -> Result<Option<char>, Error> {
        if !r.has(i) {
            return Ok(usual);
        }
        if r.is_null(i) {
            return Ok(None);
        }
        let mut letters = r.text(i).chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Ok(Some(letter)),
            _ => Err(refused(
                "DATATYPE_MISMATCH.INPUT_SIZE_NOT_ONE",
                format!("mask() takes one letter for each kind, not '{}'", r.text(i)),
            )),
        }
    };
    let (upper, lower) = (under(1, Some('X'))?, under(2, Some('x'))?);
    let (digit, other) = (under(3, Some('n'))?, under(4, None)?);
    let masked = r.text(0).chars().map(|c| match c {
        c if c.is_uppercase() => upper.unwrap_or(c),
        c if c.is_lowercase() => lower.unwrap_or(c),
        c if c.is_numeric() => digit.unwrap_or(c),
        c => other.unwrap_or(c),
    });
    Ok(masked.collect::<String>().into())
}
