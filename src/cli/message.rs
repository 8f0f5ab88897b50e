//! An error as a person reads it: what, where in the text, and what to do.

use std::fmt;
use std::io::IsTerminal;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};

use crate::error::{Error, Place};

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

/// Whether a place can be drawn under its line: nobody reads a line of thousands of signs, and the
/// library cannot count to more than 65,535.
fn fits(place: &Place) -> bool {
    const LONGEST: usize = 4_000;
    let mut start = 0;
    place.text.split_inclusive('\n').all(|line| {
        let shown = start <= place.span.end && place.span.start <= start + line.len();
        start += line.len();
        !shown || line.len() < LONGEST
    })
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
        let place = error.place().filter(|place| fits(place));
        Self {
            text: match place {
                Some(_) => format!("[{}] {}", error.condition(), error.message()),
                // With the place in words, where there is one.
                None => error.to_string(),
            },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Span;

    #[test]
    fn a_place_in_a_line_that_is_too_long_to_draw_is_said_in_words() {
        let text = format!("SELECT 1\n{} x\n", "1+".repeat(100_000));
        let at = |start| {
            let place = Place {
                name: "q.sql".into(),
                text: text.as_str().into(),
                span: Span { start, end: start + 1 },
            };
            Message::of(&Error::sql("WRONG", "it is wrong").at(place))
        };
        assert!(at(3).source.is_some());
        let long = at(150_000);
        assert!(long.source.is_none() && long.text.ends_with("(q.sql:2:149992)"), "{}", long.text);
    }
}
