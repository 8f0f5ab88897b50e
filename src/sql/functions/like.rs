//! LIKE with a sign of the caller's that escapes: `like(text, pattern, '!')`.
//!
//! With two arguments, or without ESCAPE, it has become DataFusion's operator before, which knows the
//! backslash.

use super::scalar::{Answer, Function, Gives, Row, refused};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("like", "text text text?", Gives::Bool, |r| like(r, str::to_owned)),
    Function::new("ilike", "text text text?", Gives::Bool, |r| like(r, str::to_lowercase)),
];

/// Refuses a pattern that escapes what cannot be escaped.
pub(in crate::sql) fn like_pattern(pattern: &str, escape: Option<char>) -> Result<(), Error> {
    signs(pattern, escape.unwrap_or('\\')).map(drop)
}

/// A sign of a pattern.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Any,
    AnyOne,
    Letter(char),
}

fn like(r: &Row, letters: fn(&str) -> String) -> Answer {
    let mut escapes = r.text_or(2, "\\").chars();
    let (Some(escape), None) = (escapes.next(), escapes.next()) else {
        return Err(refused(
            "INVALID_ESCAPE_CHAR",
            format!("ESCAPE takes one letter, not '{}'", r.text(2)),
        ));
    };
    let text: Vec<char> = letters(r.text(0)).chars().collect();
    // Which sign escapes is asked of the pattern as it stands.
    let signs = signs(r.text(1), escape)?;
    let signs: Vec<Sign> = (signs.into_iter())
        .flat_map(|sign| match sign {
            Sign::Letter(c) => letters(&c.to_string()).chars().map(Sign::Letter).collect(),
            wild => vec![wild],
        })
        .collect();
    Ok(matches(&text, &signs).into())
}

fn signs(pattern: &str, escape: char) -> Result<Vec<Sign>, Error> {
    let mut signs = Vec::new();
    let mut letters = pattern.chars();
    while let Some(c) = letters.next() {
        signs.push(match c {
            c if c == escape => match letters.next() {
                Some(c) if c == escape || matches!(c, '%' | '_') => Sign::Letter(c),
                Some(c) => {
                    return Err(refused(
                        "INVALID_FORMAT.ESC_IN_THE_MIDDLE",
                        format!("in the pattern '{pattern}' the letter '{c}' cannot be escaped"),
                    ));
                }
                None => {
                    return Err(refused(
                        "INVALID_FORMAT.ESC_AT_THE_END",
                        format!("the pattern '{pattern}' escapes what is behind its end"),
                    ));
                }
            },
            '%' => Sign::Any,
            '_' => Sign::AnyOne,
            c => Sign::Letter(c),
        });
    }
    Ok(signs)
}

/// Goes back to the last `%` where a letter does not fit, which takes one letter more then.
fn matches(text: &[char], signs: &[Sign]) -> bool {
    let (mut at, mut sign, mut last) = (0, 0, None);
    while at < text.len() {
        match signs.get(sign) {
            Some(Sign::Any) => {
                last = Some((sign, at));
                sign += 1;
            }
            Some(one) if *one == Sign::AnyOne || *one == Sign::Letter(text[at]) => {
                (at, sign) = (at + 1, sign + 1);
            }
            _ => {
                let Some((any, from)) = last else { return false };
                last = Some((any, from + 1));
                (at, sign) = (from + 1, any + 1);
            }
        }
    }
    signs[sign..].iter().all(|sign| *sign == Sign::Any)
}
