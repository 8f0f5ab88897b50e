//! Regular expressions: `regexp_*`, `RLIKE`, and `split`, over Rust's `regex`.
//!
//! Spark's patterns are Java's. What both have is translated where the letters differ; look-around
//! and back-references, which take exponential time, are refused by name.

use ::regex::{Captures, Regex, RegexBuilder};

use super::scalar::{Answer, Function, Gives, Row, Value, refused};
use super::value::room;
use crate::error::Error;

/// A pattern, ready to be matched; a copy is cheap.
#[derive(Clone)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Reads a Java pattern.
    pub(super) fn new(java: &str) -> Result<Self, Error> {
        match RegexBuilder::new(&translated(java)).size_limit(50_000_000).build() {
            Ok(regex) => Ok(Self(regex)),
            Err(_) => Err(Error::input(
                "INVALID_PARAMETER_VALUE.PATTERN",
                format!("'{java}' is not a regular expression that can be matched"),
            )
            .hint("look-around and back-references are not supported; \\\\ in SQL text is one \\")),
        }
    }

    fn group_index(&self, index: i64) -> Result<usize, Error> {
        let count = self.0.captures_len() - 1;
        usize::try_from(index).ok().filter(|index| *index <= count).ok_or_else(|| {
            refused(
                "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX",
                format!("the pattern has {count} groups, not a group {index}"),
            )
        })
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("rlike regexp_like regexp", "text text", Gives::Bool, |r| {
        Ok(r.pattern(1)?.0.is_match(r.text(0)).into())
    }),
    Function::new("regexp_count", "text text", Gives::Int, |r| {
        let count = r.pattern(1)?.0.find_iter(r.text(0)).count();
        Ok((count as i64).into())
    }),
    Function::new("regexp_extract", "text text whole?", Gives::Text, |r| {
        let pattern = r.pattern(1)?;
        let group = pattern.group_index(r.whole_or(2, 1))?;
        let found = pattern.0.captures(r.text(0));
        Ok(found.as_ref().map_or("", |found| group_text(found, group)).into())
    }),
    Function::new("regexp_extract_all", "text text whole?", Gives::Texts, |r| {
        let pattern = r.pattern(1)?;
        let group = pattern.group_index(r.whole_or(2, 1))?;
        let all = pattern.0.captures_iter(r.text(0));
        Ok(all.map(|found| group_text(&found, group).to_owned()).collect::<Vec<_>>().into())
    }),
    Function::new("regexp_instr", "text text whole?", Gives::Int, |r| {
        let text = r.text(0);
        let found = r.pattern(1)?.0.find(text).map_or(0, |m| text[..m.start()].chars().count() + 1);
        Ok((found as i64).into())
    }),
    Function::new("regexp_substr", "text text", Gives::Text, |r| {
        let pattern = r.pattern(1)?;
        Ok(pattern.0.find(r.text(0)).map(|found| found.as_str().to_owned()).into())
    }),
    Function::new("regexp_replace", "text text text whole?", Gives::Text, regexp_replace),
    Function::new("split", "text text whole?", Gives::Texts, split),
];

fn group_text<'a>(found: &Captures<'a>, group: usize) -> &'a str {
    found.get(group).map_or("", |group| group.as_str())
}

fn regexp_replace(r: &Row) -> Answer {
    let (text, pattern, by) = (r.text(0), r.pattern(1)?, r.text(2));
    let from = r.whole_or(3, 1);
    if from < 1 {
        return Err(refused(
            "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE",
            format!("regexp_replace() begins at a position from 1 on, not {from}"),
        ));
    }
    let Some((start, _)) = text.char_indices().nth(from as usize - 1) else {
        if from > 1 || !text.is_empty() {
            return Ok(text.into());
        }
        return Ok(replaced(&pattern.0, "", by)?.into());
    };
    let (kept, rest) = text.split_at(start);
    Ok(format!("{kept}{}", replaced(&pattern.0, rest, by)?).into())
}

fn replaced(pattern: &Regex, text: &str, by: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for found in pattern.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[end..whole.start()]);
        expand(&found, by, &mut out)?;
        end = whole.end();
        room(1, out.len())?;
    }
    out.push_str(&text[end..]);
    Ok(out)
}

/// `$1` is a group, with as many digits as there are groups; `\` takes the meaning from a sign.
fn expand(found: &Captures<'_>, by: &str, out: &mut String) -> Result<(), Error> {
    let no_group = |group: &str| {
        refused(
            "INVALID_REGEXP_REPLACE",
            format!("the replacement '{by}' names the group '{group}', which the pattern lacks"),
        )
    };
    let mut signs = by.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => out.extend(signs.next()),
            '$' if signs.next_if_eq(&'{').is_some() => {
                let name: String = signs.by_ref().take_while(|c| *c != '}').collect();
                out.push_str(found.name(&name).ok_or_else(|| no_group(&name))?.as_str());
            }
            '$' => {
                let digit = signs.next().and_then(|c| c.to_digit(10));
                let mut group = digit.ok_or_else(|| no_group("$"))? as usize;
                while let Some(more) = signs.peek().and_then(|c| c.to_digit(10))
                    && group * 10 + (more as usize) < found.len()
                {
                    group = group * 10 + more as usize;
                    signs.next();
                }
                if group >= found.len() {
                    return Err(no_group(&group.to_string()));
                }
                out.push_str(group_text(found, group));
            }
            sign => out.push(sign),
        }
    }
    Ok(())
}

/// Java's `split`: nothing is cut off before the first sign, and a limit counts the parts.
fn split(r: &Row) -> Answer {
    let (text, pattern, limit) = (r.text(0), r.pattern(1)?, r.whole_or(2, -1));
    let mut parts = Vec::new();
    let mut begin = 0;
    for found in pattern.0.find_iter(text) {
        if limit > 0 && parts.len() as i64 == limit - 1 {
            break;
        }
        if found.end() == 0 || (found.is_empty() && found.start() == text.len()) {
            continue;
        }
        parts.push(text[begin..found.start()].to_owned());
        begin = found.end();
    }
    parts.push(text[begin..].to_owned());
    Ok(Value::Texts(parts))
}

/// A Java pattern as `regex` reads it: `\d`, `\w`, `\s` are ASCII, `\Q…\E` quotes, classes of
/// POSIX have another form.
fn translated(java: &str) -> String {
    let mut out = String::with_capacity(java.len());
    let mut signs = java.chars().peekable();
    let mut in_class = 0_usize;
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                Some(letter @ ('d' | 'w' | 's')) => out.push_str(&ascii(letter, in_class > 0)),
                Some(letter @ ('D' | 'W' | 'S')) => {
                    out.push_str(&format!("[^{}]", ascii(letter.to_ascii_lowercase(), true)));
                }
                Some('Q') => {
                    let rest: String = signs.clone().collect();
                    let quoted = rest.split("\\E").next().unwrap_or(&rest).to_owned();
                    out.push_str(&::regex::escape(&quoted));
                    let skip = quoted.chars().count() + 2;
                    signs.by_ref().take(skip).for_each(drop);
                }
                Some('p') => {
                    let rest: String = signs.clone().collect();
                    match posix(&rest) {
                        Some((class, skip)) => {
                            out.push_str(&if in_class > 0 { class } else { format!("[{class}]") });
                            signs.by_ref().take(skip).for_each(drop);
                        }
                        None => out.push_str("\\p"),
                    }
                }
                Some('Z') => out.push_str("\\z"),
                Some('h') if in_class == 0 => out.push_str("[ \\t\\u{a0}]"),
                Some('R') => out.push_str("(?:\\r\\n|[\\n-\\r\\u{85}\\u{2028}\\u{2029}])"),
                Some('/') => out.push('/'),
                Some(other) if other.is_alphanumeric() || other.is_ascii() => {
                    out.push('\\');
                    out.push(other);
                }
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            '[' => {
                in_class += 1;
                out.push('[');
            }
            ']' => {
                in_class = in_class.saturating_sub(1);
                out.push(']');
            }
            sign => out.push(sign),
        }
    }
    out
}

fn ascii(letter: char, in_class: bool) -> String {
    let class = match letter {
        'd' => "0-9",
        'w' => "a-zA-Z0-9_",
        _ => " \\t\\n\\x0B\\f\\r",
    };
    if in_class { class.to_owned() } else { format!("[{class}]") }
}

/// `{Alpha}` and the like after `\p`, and how many signs that is.
fn posix(rest: &str) -> Option<(String, usize)> {
    let (name, _) = rest.strip_prefix('{')?.split_once('}')?;
    let class = match name {
        "Lower" | "Upper" | "Alpha" | "Digit" | "Alnum" | "Punct" | "Graph" | "Print" | "Blank"
        | "Cntrl" | "Space" => format!("[:{}:]", name.to_lowercase()),
        "XDigit" => "[:xdigit:]".to_owned(),
        "ASCII" => "[:ascii:]".to_owned(),
        "IsAlphabetic" => "\\p{Alphabetic}".to_owned(),
        "IsDigit" => "\\p{Nd}".to_owned(),
        _ => return None,
    };
    Some((class, name.len() + 2))
}
