//! Text → tokens, each with its place; and a cursor that walks over them.
//!
//! Here Spark's lexical habits end: both kinds of string become one, and every interval literal
//! becomes `INTERVAL 'text'` in the one form that DataFusion reads.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::dialect::Spark;
use super::interval::Interval;
use super::text::SourceText;
use crate::error::{Result, Span};

/// The tokens of a text, without white space and comments.
pub(super) fn tokenize(text: &SourceText) -> Result<Vec<TokenWithSpan>> {
    let tokens =
        Tokenizer::new(&Spark::default(), &text.text).tokenize_with_location().map_err(|e| {
            let start = text.byte(e.location).unwrap_or(text.text.len());
            let what = format!("cannot read this: {}", e.message.to_lowercase());
            text.syntax(Span { start, end: start }, what, "close the quote or the comment")
        })?;
    let mut clean: Vec<TokenWithSpan> = tokens
        .into_iter()
        .filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF))
        .map(|mut t| {
            if let Token::DoubleQuotedString(string) = t.token {
                t.token = Token::SingleQuotedString(string);
            }
            t
        })
        .collect();
    super::complexity::check(text, &clean)?;
    super::literals::normalise(text, &mut clean);
    normalise_intervals(text, &mut clean)?;
    Ok(clean)
}

/// Makes every `INTERVAL` literal an `INTERVAL 'text'`.
fn normalise_intervals(text: &SourceText, tokens: &mut Vec<TokenWithSpan>) -> Result<()> {
    let mut at = 0;
    while at < tokens.len() {
        if is_word(&tokens[at], "INTERVAL")
            && let Some((interval, after)) = interval_at(text, tokens, at + 1)?
        {
            let span = tokens[at + 1].span.union(&tokens[after - 1].span);
            let literal = Token::SingleQuotedString(interval.to_arrow_text());
            tokens.splice(at + 1..after, [TokenWithSpan { token: literal, span }]);
        }
        at += 1;
    }
    Ok(())
}

/// Reads the parts after `INTERVAL`: gives the interval and the position behind it.
fn interval_at(
    text: &SourceText,
    tokens: &[TokenWithSpan],
    start: usize,
) -> Result<Option<(Interval, usize)>> {
    let mut at = start;
    let mut whole = Interval::default();
    loop {
        let negative = matches!(tokens.get(at).map(|t| &t.token), Some(Token::Minus));
        let signed = negative || matches!(tokens.get(at).map(|t| &t.token), Some(Token::Plus));
        let number_at = at + usize::from(signed);
        let (number, quoted) = match tokens.get(number_at).map(|t| &t.token) {
            Some(Token::Number(number, false)) => (number, false),
            Some(Token::SingleQuotedString(string)) => (string, true),
            _ => break,
        };
        let unit = tokens.get(number_at + 1).and_then(word).filter(|w| is_unit(w));
        let end_unit = tokens
            .get(number_at + 3)
            .and_then(word)
            .filter(|w| is_unit(w) && is_word(&tokens[number_at + 2], "TO"));
        let (part, after) = match (unit, end_unit) {
            (Some(from), Some(to)) => (Interval::of_range(number, from, to), number_at + 4),
            (Some(unit), None) => (Interval::of(number.trim(), unit), number_at + 2),
            (None, _) if quoted => (Interval::parse(number), number_at + 1),
            (None, _) => (Err(format!("the interval {number} lacks a unit")), number_at + 1),
        };
        let place = || span_of(text, &tokens[start..after]);
        const HINT: &str = "write, for example, INTERVAL 10 MINUTES";
        let part = part.map_err(|what| text.syntax(place(), what, HINT))?;
        let part = if negative { part.negated() } else { part };
        let sum = whole.plus(part);
        whole = sum.ok_or_else(|| text.syntax(place(), "the interval is too long", HINT))?;
        at = after;
    }
    Ok((at > start).then_some((whole, at)))
}

fn is_unit(word: &str) -> bool {
    Interval::of("0", word).is_ok()
}

/// The text of an unquoted word.
pub(super) fn word(token: &TokenWithSpan) -> Option<&str> {
    match &token.token {
        Token::Word(w) if w.quote_style.is_none() => Some(&w.value),
        _ => None,
    }
}

/// Whether the token is this word, in any case and without quotes.
pub(super) fn is_word(token: &TokenWithSpan, expected: &str) -> bool {
    word(token).is_some_and(|w| w.eq_ignore_ascii_case(expected))
}

/// The bytes from the first of some tokens to the last.
pub(super) fn span_of(text: &SourceText, tokens: &[TokenWithSpan]) -> Span {
    let first = tokens.first().and_then(|t| text.span(t.span));
    let last = tokens.last().and_then(|t| text.span(t.span));
    match (first, last) {
        (Some(first), Some(last)) => Span { start: first.start, end: last.end.max(first.end) },
        _ => Span { start: text.text.len(), end: text.text.len() },
    }
}

/// Runs the parser crate over some tokens, which it must use up.
pub(super) fn parse_whole<T>(
    text: &SourceText,
    tokens: &[TokenWithSpan],
    parse: impl FnOnce(&mut Parser) -> std::result::Result<T, ParserError>,
) -> Result<T> {
    let dialect = Spark::default();
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens.to_vec());
    let parsed = parse(&mut parser).and_then(|done| match parser.peek_token().token {
        Token::EOF => Ok(done),
        _ => parser.expected("the end of the statement", parser.peek_token()),
    });
    parsed.map_err(|e| super::errors::from_parser(text, tokens, &parser, e))
}

/// Walks over the tokens of one statement.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a SourceText,
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a SourceText, tokens: &'a [TokenWithSpan]) -> Self {
        Self { text, tokens, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<&'a TokenWithSpan> {
        self.tokens.get(self.at)
    }

    /// Where the cursor stands.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Moves to a position that [`Cursor::position`] gave, or one behind it.
    pub(super) fn go_to(&mut self, position: usize) {
        self.at = position;
    }

    pub(super) fn next(&mut self) -> Option<&'a TokenWithSpan> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    /// All that is left; the cursor is at the end afterwards.
    pub(super) fn rest(&mut self) -> &'a [TokenWithSpan] {
        let rest = &self.tokens[self.at.min(self.tokens.len())..];
        self.at = self.tokens.len();
        rest
    }

    /// Takes these words if they are next.
    pub(super) fn take(&mut self, words: &[&str]) -> bool {
        let ahead = self.tokens.get(self.at..self.at + words.len());
        let there = ahead.is_some_and(|a| a.iter().zip(words).all(|(t, w)| is_word(t, w)));
        if there {
            self.at += words.len();
        }
        there
    }

    /// Takes a mark such as `(` or `,` if it is next.
    pub(super) fn take_mark(&mut self, mark: &Token) -> bool {
        let there = self.peek().is_some_and(|t| t.token == *mark);
        self.at += usize::from(there);
        there
    }

    /// Takes a mark, which must be next.
    pub(super) fn expect_mark(&mut self, mark: &Token, hint: &str) -> Result<()> {
        if self.take_mark(mark) { Ok(()) } else { Err(self.unexpected(&format!("'{mark}'"), hint)) }
    }

    /// Takes a name: a word or something in backquotes; of `a.b.c` the last part, as there is one
    /// catalog and one schema.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        let mut name = self.name_part(what)?;
        while self.take_mark(&Token::Period) {
            name = self.name_part(what)?;
        }
        Ok(name)
    }

    fn name_part(&mut self, what: &str) -> Result<String> {
        match self.peek().map(|t| &t.token) {
            Some(Token::Word(w)) => {
                self.at += 1;
                Ok(w.value.clone())
            }
            _ => Err(self.unexpected(what, "a name with other signs stands in `backquotes`")),
        }
    }

    /// Takes a string.
    pub(super) fn string(&mut self, what: &str, hint: &str) -> Result<String> {
        match self.peek().map(|t| &t.token) {
            Some(Token::SingleQuotedString(string)) => {
                self.at += 1;
                Ok(string.clone())
            }
            _ => Err(self.unexpected(what, hint)),
        }
    }

    /// The tokens up to the `)` that closes what is open here, without it; the cursor is behind it.
    pub(super) fn until_closed(&mut self) -> Result<&'a [TokenWithSpan]> {
        let start = self.at;
        let mut depth = 0;
        while let Some(token) = self.next() {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => return Ok(&self.tokens[start..self.at - 1]),
                Token::RParen => depth -= 1,
                _ => {}
            }
        }
        Err(self.unexpected("')'", "close the parenthesis"))
    }

    /// The bytes of the next token; behind the last one, the end of the statement.
    pub(super) fn here(&self) -> Span {
        match self.peek() {
            Some(token) => span_of(self.text, std::slice::from_ref(token)),
            None => {
                let end = span_of(self.text, self.tokens).end;
                Span { start: end, end }
            }
        }
    }

    /// The error that something else should stand here.
    pub(super) fn unexpected(&self, expected: &str, hint: &str) -> crate::error::Error {
        let found = match self.peek() {
            Some(_) => format!("found '{}'", self.text.slice(self.here())),
            None => "the statement ends".to_owned(),
        };
        self.text.syntax(self.here(), format!("expected {expected}, {found}"), hint)
    }
}

/// Whether a word ends a table factor, so that it is no alias.
pub(super) fn ends_table(token: &TokenWithSpan) -> bool {
    use datafusion::sql::sqlparser::keywords::RESERVED_FOR_TABLE_ALIAS;
    match &token.token {
        Token::Word(w) => {
            w.keyword != Keyword::NoKeyword && RESERVED_FOR_TABLE_ALIAS.contains(&w.keyword)
        }
        _ => true,
    }
}
