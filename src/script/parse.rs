//! From the text of a script to its blocks.
//!
//! A block is some verbs, `---`, and what is expected of them, up to an empty line. A line that
//! begins with two spaces belongs to the verb above it, one that begins with `#` is for people.

use std::path::Path;
use std::sync::Arc;

use super::verb::{Verb, not_understood};
use crate::error::{Error, Place, Result, Span};

/// What ends the verbs of a block.
const RULE: &str = "---";

/// A script, taken apart.
#[derive(Debug)]
pub struct Script {
    /// Its first line, if that is for people.
    pub claim: String,
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// What follows the last block.
    pub rest: String,
}

/// Some verbs, and what is expected of them.
#[derive(Debug)]
pub struct Block {
    /// The number of its first verb's line, from 1.
    pub line: usize,
    /// Its text from after the block before up to `---`.
    pub head: String,
    /// The lines of the verbs, without those below them.
    pub titles: Vec<String>,
    /// What is to be done.
    pub verbs: Vec<Verb>,
    /// The lines that are expected.
    pub expected: Vec<String>,
    /// Whether an empty line follows.
    pub is_followed: bool,
}

/// A verb whose lines are still being read.
struct Open<'a> {
    line: usize,
    span: Span,
    title: &'a str,
    body: String,
}

impl Script {
    /// Takes a script apart. `name` is what errors call it, `folder` the one that it lies in.
    ///
    /// # Errors
    ///
    /// `SCRIPT_NOT_UNDERSTOOD` and those of what the verbs name, with the place.
    pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Script> {
        let whole: Arc<str> = text.into();
        let at = |error: Error, span: Span| match error.place() {
            Some(_) => error,
            None => error.at(Place { name: name.to_owned(), text: whole.clone(), span }),
        };
        let claim = text.lines().next().and_then(|line| line.strip_prefix('#'));
        let claim = claim.unwrap_or_default().trim().to_owned();
        let (mut blocks, mut head, mut open) = (Vec::new(), String::new(), Vec::<Open>::new());
        let (mut lines, mut start) = (text.lines().enumerate(), 0);
        while let Some((number, line)) = lines.next() {
            let span = Span { start, end: start + line.len() };
            start += line.len() + 1;
            head.push_str(line);
            head.push('\n');
            if line == RULE {
                let (mut expected, mut is_followed) = (Vec::new(), false);
                for (_, line) in lines.by_ref() {
                    start += line.len() + 1;
                    is_followed = line.is_empty();
                    if is_followed {
                        break;
                    }
                    expected.push(line.to_owned());
                }
                let verbs = open.iter().map(|verb| {
                    Verb::read(verb.title, &verb.body, folder).map_err(|e| at(e, verb.span))
                });
                blocks.push(Block {
                    line: open.first().map_or(number + 1, |verb| verb.line),
                    verbs: verbs.collect::<Result<_>>()?,
                    titles: open.drain(..).map(|verb| verb.title.to_owned()).collect(),
                    head: std::mem::take(&mut head),
                    expected,
                    is_followed,
                });
            } else if let (Some(body), Some(verb)) = (line.strip_prefix("  "), open.last_mut()) {
                verb.body.push_str(body);
                verb.body.push('\n');
            } else if !line.is_empty() && !line.starts_with('#') {
                open.push(Open { line: number + 1, span, title: line, body: String::new() });
            }
        }
        if let Some(verb) = open.first() {
            let what = format!("nothing is expected of '{}'", verb.title);
            let hint = format!("end the script with a line {RULE}; --update writes what comes");
            return Err(at(not_understood(what).hint(hint), verb.span));
        }
        if blocks.is_empty() {
            let what = "the script does nothing";
            return Err(at(not_understood(what), Span { start: 0, end: 0 }));
        }
        Ok(Script { claim, blocks, rest: head })
    }
}
