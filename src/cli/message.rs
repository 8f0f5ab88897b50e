//! An error as a person reads it: what, where in the text, and what to do.

use std::fmt;
use std::io::IsTerminal;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};

use crate::error::Error;

/// Prints an error to standard error, with colour only on a terminal and without `NO_COLOR`.
pub fn show(error: &Error) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let theme = if colour { GraphicalTheme::unicode() } else { plain() };
    let width = console::Term::stderr().size().1.clamp(80, 120) as usize;
    let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_context_lines(1);
    let mut text = String::new();
    match handler.render_report(&mut text, &Message::of(error)) {
        Ok(()) => super::tell(text.trim()),
        Err(_) => super::tell(format_args!("{error:?}")),
    }
}

fn plain() -> GraphicalTheme {
    let mut theme = GraphicalTheme::unicode_nocolor();
    theme.characters.error = "error:".into();
    theme
}

#[derive(Debug)]
struct Message {
    text: String,
    hint: Option<String>,
    source: Option<NamedSource<String>>,
    label: Option<LabeledSpan>,
}

impl Message {
    fn of(error: &Error) -> Self {
        let place = error.place();
        Self {
            text: format!("[{}] {}", error.condition(), error.message()),
            hint: error.hint_text().map(str::to_string),
            source: place.map(|p| NamedSource::new(&p.name, p.text.to_string())),
            label: place.map(|p| {
                let length = p.span.end.saturating_sub(p.span.start).max(1);
                LabeledSpan::new(Some("here".into()), p.span.start, length)
            }),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Message {}

impl Diagnostic for Message {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.label
            .clone()
            .map(|label| Box::new(std::iter::once(label)) as Box<dyn Iterator<Item = _>>)
    }
}
