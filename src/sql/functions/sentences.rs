//! `sentences(text)`: the words of each sentence, cut where Java cuts texts by default.
//!
//! A sentence ends behind `?` or `!`, behind a `.` and two blanks, and behind a `.` and one blank
//! unless a small letter or a number follows. A word is a run of letters and digits with single signs inside, like those of `don't`, `e-mail`
//! and `3,000.50`. What begins with another sign is no word and is left out, however it goes on.

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::Result as PlanResult;
use std::sync::Arc;

use super::definition::{Call, Definition, mismatch, wrong_count};
use super::json::strings;
use super::lists::Picks;
use super::widen::list;

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let gives = |_: &[DataType]| Ok(list(list(DataType::Utf8)));
    vec![Definition { name: "sentences", takes, gives, value: sentences }]
}

/// A text, and a language and a country, which make no difference.
fn takes(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types.iter().find(|t| t.is_nested()) {
        Some(nested) => Err(mismatch("a STRING", nested)),
        None if (1..=3).contains(&types.len()) => Ok(vec![DataType::Utf8; types.len()]),
        None => Err(wrong_count("a text, and perhaps a language and a country", types.len())),
    }
}

fn sentences(call: &Call) -> PlanResult<ArrayRef> {
    let mut all: Vec<&str> = Vec::new();
    let (mut inner, mut outer) = (Picks::new(call.rows), Picks::new(call.rows));
    let mut count = 0;
    for text in strings(&call.args[0])? {
        let Some(text) = text else {
            outer.null();
            continue;
        };
        for sentence in cut(text) {
            let words = words(sentence);
            inner.extend(all.len()..all.len() + words.len());
            inner.close();
            all.extend(words);
            outer.push(count);
            count += 1;
        }
        outer.close();
    }
    let words: ArrayRef = Arc::new(StringArray::from(all));
    outer.finish(&inner.finish(&words)?)
}

/// The sentences of a text, with all that stands between them.
fn cut(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut rest, mut at) = (text, 0);
    while let Some(c) = rest[at..].chars().next() {
        at += c.len_utf8();
        let ends = match c {
            '\u{2029}' => Some(at),
            '.' | '!' | '?' | '。' | '．' | '！' | '？' => end(rest, at, !".．".contains(c)),
            _ => None,
        };
        if let Some(ends) = ends {
            let (sentence, after) = rest.split_at(ends);
            parts.push(sentence);
            (rest, at) = (after, 0);
        }
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

/// Where a sentence ends whose first full stop stands before `at`, if it ends there.
fn end(text: &str, at: usize, mut clear: bool) -> Option<usize> {
    let after = text[at..].trim_start_matches(|c| {
        let stop = ".．!?。！？".contains(c);
        clear |= stop && !".．".contains(c);
        stop
    });
    let after = after.trim_start_matches(|c: char| "\"')]}»”’".contains(c));
    let next = after.trim_start_matches(|c: char| c.is_whitespace() && c != '\u{2029}');
    let goes_on = |c: char| c.is_lowercase() || c.is_numeric() || "$€£¥¢".contains(c);
    let far = match after.len() - next.len() {
        0 => false,
        1 => !next.starts_with(goes_on),
        _ => true,
    };
    (clear || far).then_some(text.len() - next.len())
}

/// The kinds of signs as far as words go by them.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Letter,
    Digit,
    /// A word of one script, which ends where another script begins.
    Hiragana,
    Katakana,
    Kanji,
    Other,
}

fn sign(c: char) -> Sign {
    match c {
        'ぁ'..='ゟ' => Sign::Hiragana,
        '゠'..='ヿ' => Sign::Katakana,
        '一'..='鿿' | '㐀'..='䶿' => Sign::Kanji,
        c if c.is_numeric() => Sign::Digit,
        c if c.is_alphabetic() || ('\u{300}'..='\u{36f}').contains(&c) => Sign::Letter,
        _ => Sign::Other,
    }
}

/// The words of a sentence.
fn words(sentence: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = sentence;
    while let Some(first) = rest.chars().next() {
        let before = if "$€£¥¢#.".contains(first) { first.len_utf8() } else { 0 };
        let length = (before + word(&rest[before..], before > 0)).max(first.len_utf8());
        let (word, after) = rest.split_at(length);
        if first.is_alphanumeric() {
            words.push(word);
        }
        rest = after;
    }
    words
}

/// How long the word at the beginning is; after the sign of a currency it is a number.
fn word(text: &str, number: bool) -> usize {
    let mut letters = text.char_indices().peekable();
    let Some(&(_, first)) = letters.peek() else { return 0 };
    let script = sign(first);
    if script == Sign::Other || (number && script != Sign::Digit) {
        return 0;
    }
    if !matches!(script, Sign::Letter | Sign::Digit) {
        return text.find(|c| sign(c) != script).unwrap_or(text.len());
    }
    let (mut end, mut last) = (0, script);
    while let Some((at, c)) = letters.next() {
        let kind = sign(c);
        if matches!(kind, Sign::Letter | Sign::Digit) {
            (end, last) = (at + c.len_utf8(), kind);
            continue;
        }
        let between = match last {
            Sign::Digit => "\"',.٫",
            _ => "\"'._-\u{ad}‐–—·‧",
        };
        let next = letters.peek().map(|(_, next)| sign(*next));
        if !between.contains(c) || next != Some(last) {
            if last == Sign::Digit && "%‰&¢".contains(c) {
                end = at + c.len_utf8();
            }
            break;
        }
    }
    end
}
