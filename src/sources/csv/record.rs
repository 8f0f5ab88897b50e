//! CSV text into records: takes the text of a file, gives the values of one record after the other,
//! with the text that it was made of.
//!
//! What a quote means is Spark's rule. A value that begins with one ends at the next one behind which
//! a separator or the end follows; inside, an escape before a quote or before itself takes it as it
//! is. Where another character follows the closing quote, the quotes are a part of the value, which
//! then ends at the separator.

use std::borrow::Cow;

use super::CsvOptions;
use crate::error::Result;
use crate::sources::json::{Line, LineEnd, Lines};
use crate::sources::options::Options;

/// The characters that part and wrap values.
#[derive(Debug, Clone)]
pub(in crate::sources) struct Syntax {
    separator: String,
    quote: Option<char>,
    escape: Option<char>,
    comment: Option<char>,
    trim_start: bool,
    trim_end: bool,
}

impl Syntax {
    /// What the options of a table say.
    pub fn from_options(options: &Options) -> Result<Self> {
        let separator = options.get("sep").or(options.get("delimiter")).unwrap_or(",");
        let separator = separator.replace("\\t", "\t").replace("\\\\", "\\");
        if separator.is_empty() {
            let name = if options.get("sep").is_some() { "sep" } else { "delimiter" };
            return Err(options.invalid(name, "at least one character"));
        }
        let character = |name: &str, default: Option<char>| {
            let mut chars = match options.get(name) {
                None => return Ok(default),
                Some(text) => text.chars(),
            };
            match (chars.next(), chars.next()) {
                (None | Some('\0'), _) => Ok(None),
                (Some(c), None) => Ok(Some(c)),
                _ => Err(options.invalid(name, "one character")),
            }
        };
        Ok(Self {
            separator,
            quote: character("quote", Some('"'))?,
            escape: character("escape", Some('\\'))?,
            comment: character("comment", None)?,
            trim_start: options.flag("ignoreLeadingWhiteSpace", false)?,
            trim_end: options.flag("ignoreTrailingWhiteSpace", false)?,
        })
    }

    /// Whether a line says nothing: it is blank, or a comment.
    fn skips(&self, line: &str) -> bool {
        line.trim().is_empty() || self.comment.is_some_and(|comment| line.starts_with(comment))
    }
}

/// A record.
pub(in crate::sources) struct Record<'a> {
    /// Its first line, from 1.
    pub line: u64,
    /// Offset of its first byte in the text.
    pub start: usize,
    pub text: &'a str,
    /// `None`: nothing stands there, not even quotes.
    pub values: Vec<Option<Cow<'a, str>>>,
}

/// The records of a text, in order.
pub(in crate::sources) struct Records<'a> {
    text: &'a str,
    syntax: &'a Syntax,
    empty: &'a str,
    /// `None`: a record may have several lines.
    lines: Option<Lines<'a>>,
    at: usize,
    line: u64,
}

impl<'a> Records<'a> {
    pub fn new(text: &'a str, options: &'a CsvOptions) -> Self {
        let lines = (options.line_end != LineEnd::Never)
            .then(|| Lines::new(text.as_bytes(), &options.line_end));
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, syntax: &options.syntax, empty: &options.words.empty, lines, at, line: 0 }
    }

    fn next_of_lines(&mut self) -> Option<Record<'a>> {
        loop {
            let Line { number, start, end } = self.lines.as_mut()?.next()?;
            let text = self.text.get(start..end)?;
            if !self.syntax.skips(text) {
                let (values, _) = self.values(text, false);
                return Some(Record { line: number, start, text, values });
            }
        }
    }

    fn next_of_text(&mut self) -> Option<Record<'a>> {
        loop {
            let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
            let line_end = rest.find(['\n', '\r']).unwrap_or(rest.len());
            let (start, line) = (self.at, self.line + 1);
            let skips = self.syntax.skips(&rest[..line_end]);
            let (values, length) =
                if skips { (Vec::new(), line_end) } else { self.values(rest, true) };
            let text = &rest[..length];
            let behind = &rest[length..];
            let mark = if behind.starts_with("\r\n") { 2 } else { behind.len().min(1) };
            self.at += length + mark;
            self.line += 1 + text.matches('\n').count() as u64;
            if !skips {
                return Some(Record { line, start, text, values });
            }
        }
    }

    /// The values of the record that begins `text`, and the bytes that it takes. With `lines` it
    /// ends at a line end outside of quotes.
    fn values(&self, text: &'a str, lines: bool) -> (Vec<Option<Cow<'a, str>>>, usize) {
        let mut values = Vec::new();
        let mut at = 0;
        loop {
            let (value, end) = self.value(text, at, lines);
            values.push(value);
            if !text[end..].starts_with(&self.syntax.separator) {
                return (values, end);
            }
            at = end + self.syntax.separator.len();
        }
    }

    /// The value that begins here, and where it ends.
    fn value(&self, text: &'a str, start: usize, lines: bool) -> (Option<Cow<'a, str>>, usize) {
        let rest = &text[start..];
        let blank = |c: char| matches!(c, ' ' | '\t') && !self.syntax.separator.starts_with(c);
        let begin = start + rest.len() - rest.trim_start_matches(blank).len();
        let begin = if self.syntax.trim_start { begin } else { start };
        let mut plain = begin;
        if let Some(quote) = self.syntax.quote.filter(|quote| text[begin..].starts_with(*quote)) {
            match self.quoted(text, begin + quote.len_utf8(), quote, lines) {
                Ok((value, end)) if value.is_empty() => {
                    return (Some(Cow::Borrowed(self.empty)), end);
                }
                Ok((value, end)) => return (Some(value), end),
                Err(behind) => plain = behind,
            }
        }
        let end = plain + self.plain_length(&text[plain..], lines);
        let value = &text[begin..end];
        let value = if self.syntax.trim_end { value.trim_end_matches(blank) } else { value };
        ((!value.is_empty()).then_some(Cow::Borrowed(value)), end)
    }

    fn plain_length(&self, text: &str, lines: bool) -> usize {
        let line_end = if lines { text.find(['\n', '\r']) } else { None };
        let line = &text[..line_end.unwrap_or(text.len())];
        line.find(&self.syntax.separator).unwrap_or(line.len())
    }

    /// The value behind an opening quote, and where it ends. The error says behind which closing
    /// quote something else follows: then the quotes are a part of the value.
    fn quoted(
        &self,
        text: &'a str,
        start: usize,
        quote: char,
        lines: bool,
    ) -> Result<(Cow<'a, str>, usize), usize> {
        let escape = self.syntax.escape;
        let mut value = String::new();
        let mut taken = start;
        let mut chars = text[start..].char_indices().map(|(i, c)| (start + i, c)).peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            let escapes = Some(c) == escape
                && next.is_some_and(|next| next == quote || (Some(next) == escape && c != quote));
            if escapes {
                value.push_str(&text[taken..at]);
                taken = at + c.len_utf8();
                chars.next();
            } else if c == quote {
                value.push_str(&text[taken..at]);
                let behind = at + quote.len_utf8();
                let end = behind + blanks(&text[behind..], &self.syntax.separator);
                let closed = text[end..].is_empty()
                    || text[end..].starts_with(&self.syntax.separator)
                    || (lines && text[end..].starts_with(['\n', '\r']));
                return if closed { Ok((Cow::Owned(value), end)) } else { Err(behind) };
            }
        }
        value.push_str(&text[taken..]);
        Ok((Cow::Owned(value), text.len()))
    }
}

/// Bytes of blanks that may stand between a closing quote and the separator.
fn blanks(text: &str, separator: &str) -> usize {
    let blank = |c: char| matches!(c, ' ' | '\t') && !separator.starts_with(c);
    text.len() - text.trim_start_matches(blank).len()
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.lines.is_some() { self.next_of_lines() } else { self.next_of_text() }
    }
}
