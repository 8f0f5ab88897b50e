//! The text that a user wrote, and the way back from a token to its place in it.
//!
//! The parser counts lines and columns; our errors carry bytes. This file knows both, so that
//! nobody else has to.

use std::sync::Arc;

use datafusion::sql::sqlparser::tokenizer::{Location, Span as TokenSpan};

use crate::error::{Error, Place, Span};

/// A text with a name. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct SourceText {
    pub(super) name: Arc<str>,
    pub(super) text: Arc<str>,
    /// The byte at which each line starts.
    lines: Arc<[usize]>,
    /// Whether each character is one byte: then a column is found without walking to it.
    ascii: bool,
}

impl SourceText {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        Self { name: name.into(), text: text.into(), lines, ascii: text.is_ascii() }
    }

    /// The bytes of a token's span. Lines and columns count from 1; line 0 means nowhere.
    pub(super) fn span(&self, span: TokenSpan) -> Option<Span> {
        let start = self.byte(span.start)?;
        Some(Span { start, end: self.byte(span.end).unwrap_or(start).max(start) })
    }

    /// The byte at a line and column.
    pub(super) fn byte(&self, location: Location) -> Option<usize> {
        let line = usize::try_from(location.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(location.column).ok()?.checked_sub(1)?;
        let start = *self.lines.get(line)?;
        let rest = &self.text[start..];
        if self.ascii {
            return Some(start + column.min(rest.len()));
        }
        Some(start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at))
    }

    /// What the user wrote there.
    pub(super) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }

    /// The place of an error.
    pub(super) fn place(&self, span: Span) -> Place {
        Place { name: self.name.to_string(), text: self.text.clone(), span }
    }

    /// A syntax error at a place: what is wrong, and what to write.
    pub(super) fn syntax(&self, span: Span, what: impl Into<String>, hint: &str) -> Error {
        Error::sql("PARSE_SYNTAX_ERROR", what).hint(hint).at(self.place(span))
    }
}
