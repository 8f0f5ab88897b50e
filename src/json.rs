//! A walk over the JSON text of one line: takes UTF-8 bytes, gives one value after the other as a
//! slice of them, never copies and never builds a tree.
//!
//! The grammar is JSON and the liberties of a [`Syntax`]; by default Spark's reader takes names and
//! strings in single quotes, and `NaN`, `Infinity`, `-INF` and the like as numbers. A text that
//! breaks it is [`Broken`], with the place. A value that nobody needs is walked over with the same
//! care, since whether a line is whole must not depend on which columns a query reads.

mod syntax;

use std::borrow::Cow;

pub use self::syntax::Syntax;

/// As deep as values may be nested in each other; Spark's reader has the same limit.
const DEEPEST: usize = 1000;

/// The text is not JSON from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Offset in the text.
    pub at: usize,
    /// What is wrong, in words.
    pub what: &'static str,
}

/// The text between two quotes, as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quoted<'a> {
    written: &'a str,
    escaped: bool,
    at: usize,
}

impl<'a> Quoted<'a> {
    /// Appends the text that is meant.
    pub fn append_to(&self, bytes: &mut Vec<u8>) -> Result<(), Broken> {
        if self.escaped {
            return self.unescape(bytes);
        }
        bytes.extend_from_slice(self.written.as_bytes());
        Ok(())
    }

    /// The text that is meant.
    pub fn text(&self) -> Result<Cow<'a, str>, Broken> {
        if !self.escaped {
            return Ok(Cow::Borrowed(self.written));
        }
        let mut bytes = Vec::with_capacity(self.written.len());
        self.unescape(&mut bytes)?;
        String::from_utf8(bytes).map(Cow::Owned).map_err(|_| self.broken("is not UTF-8"))
    }

    fn broken(&self, what: &'static str) -> Broken {
        Broken { at: self.at, what }
    }

    fn unescape(&self, bytes: &mut Vec<u8>) -> Result<(), Broken> {
        let mut rest = self.written;
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at + 1..];
            let mut chars = rest.chars();
            let meant = match chars.next() {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('u') => {
                    rest = &rest[1..];
                    let c = self.unicode_escape(&mut rest)?;
                    chars = rest.chars();
                    c
                }
                Some(itself) => itself,
                None => return Err(self.broken("has a string that ends in a backslash")),
            };
            rest = chars.as_str();
            bytes.extend_from_slice(meant.encode_utf8(&mut [0; 4]).as_bytes());
        }
        bytes.extend_from_slice(rest.as_bytes());
        Ok(())
    }

    /// The character of `XXXX`, or of `XXXX\uXXXX` when it takes a pair of surrogates. Half a pair
    /// is a question mark, as in Spark.
    fn unicode_escape(&self, rest: &mut &str) -> Result<char, Broken> {
        let cut = self.broken("has \\u without four hexadecimal digits");
        let high = hex_unit(rest).ok_or(cut)?;
        if !(0xD800..0xE000).contains(&high) {
            return char::from_u32(high).ok_or(cut);
        }
        let low = rest.strip_prefix("\\u").and_then(|mut behind| {
            let low = hex_unit(&mut behind).filter(|low| (0xDC00..0xE000).contains(low))?;
            Some((low, behind))
        });
        match low {
            Some((low, behind)) if high < 0xDC00 => {
                *rest = behind;
                char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).ok_or(cut)
            }
            _ => Ok('?'),
        }
    }
}

/// How many bytes from the first are neither this quote nor a backslash nor a control character: up
/// to the first that is, or to the last whole eight, which are looked at together.
#[inline]
fn plain(bytes: &[u8], quote: u8) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The lowest bit set marks the first byte that is below `limit`; above it there may be others.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
    let equals = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let found = equals(word, quote) | equals(word, b'\\') | below(word, 0x20);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at
}

/// Takes four hexadecimal digits.
fn hex_unit(rest: &mut &str) -> Option<u32> {
    let unit = u32::from_str_radix(rest.get(..4)?, 16).ok()?;
    *rest = &rest[4..];
    Some(unit)
}

/// A value, or the beginning of one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Token<'a> {
    Null,
    Bool(bool),
    /// A number without fraction and exponent.
    Whole(&'a str),
    /// Any other number.
    Fraction(&'a str),
    Text(Quoted<'a>),
    /// `{`: fields follow.
    Object,
    /// `[`: elements follow.
    Array,
}

/// A place in a text.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    syntax: Syntax,
}

impl<'a> Cursor<'a> {
    /// A text of Spark's default grammar.
    pub fn new(text: &'a str) -> Self {
        Self::with(text, Syntax::default())
    }

    /// A text with these liberties.
    pub fn with(text: &'a str, syntax: Syntax) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, syntax }
    }

    /// What the text may hold besides JSON.
    pub fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// Offset of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The text from `start` to here.
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or("")
    }

    pub fn broken<T>(&self, what: &'static str) -> Result<T, Broken> {
        Err(Broken { at: self.at, what })
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next byte that is no blank; it is not taken.
    #[inline]
    pub fn next_byte(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'/') if self.syntax.comments && self.comment() => {}
                other => return other,
            }
        }
    }

    /// Takes a comment; `false`, with nothing taken: there is none, or it has no end.
    #[cold]
    fn comment(&mut self) -> bool {
        let rest = &self.bytes[self.at..];
        let length = match rest.get(1) {
            Some(b'/') => {
                let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
                Some(end.unwrap_or(rest.len()))
            }
            Some(b'*') => rest[2..].windows(2).position(|w| w == b"*/").map(|at| at + 4),
            _ => None,
        };
        self.at += length.unwrap_or(0);
        length.is_some()
    }

    /// Takes the next value; of an object or array the opening bracket alone.
    #[inline]
    pub fn token(&mut self) -> Result<Token<'a>, Broken> {
        match self.next_byte() {
            Some(b'"') => self.quoted(b'"').map(Token::Text),
            Some(b'\'') if self.syntax.single_quotes => self.quoted(b'\'').map(Token::Text),
            Some(b'{') => {
                self.at += 1;
                Ok(Token::Object)
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Token::Array)
            }
            Some(b'0'..=b'9') => self.number(self.at),
            Some(b'-' | b'+') => self.signed(),
            Some(b't') => self.word("true", Token::Bool(true)),
            Some(b'f') => self.word("false", Token::Bool(false)),
            Some(b'n') => self.word("null", Token::Null),
            Some(b'N') if self.syntax.non_numeric => self.not_finite(self.at, "NaN"),
            Some(b'I') if self.syntax.non_numeric => self.not_finite(self.at, "Infinity"),
            Some(_) => self.broken("has something that is no JSON value"),
            None => self.broken("ends before its value is complete"),
        }
    }

    /// Takes these bytes if they come next. What has been taken once by the grammar means the same
    /// where it stands again in the same place of an object.
    #[inline]
    pub fn takes(&mut self, expected: &[u8]) -> bool {
        let comes = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(expected));
        if comes {
            self.at += expected.len();
        }
        comes
    }

    /// In an object: takes the next field's name and its colon; `None`: the object ends here.
    #[inline]
    pub fn field(&mut self, first: bool) -> Result<Option<Quoted<'a>>, Broken> {
        if !self.another(first, b'}')? {
            return Ok(None);
        }
        let name = match self.next_byte() {
            Some(b'"') => self.quoted(b'"')?,
            Some(b'\'') if self.syntax.single_quotes => self.quoted(b'\'')?,
            None => return self.broken("ends inside an object"),
            _ if self.syntax.unquoted_names => self.unquoted()?,
            _ => return self.broken("has a field name without quotes"),
        };
        match self.next_byte() {
            Some(b':') => self.at += 1,
            None => return self.broken("ends inside an object"),
            _ => return self.broken("has no colon after a field name"),
        }
        Ok(Some(name))
    }

    /// In an array: whether another element follows; if not, the closing bracket is taken.
    #[inline]
    pub fn element(&mut self, first: bool) -> Result<bool, Broken> {
        self.another(first, b']')
    }

    #[inline]
    fn another(&mut self, first: bool, close: u8) -> Result<bool, Broken> {
        match self.next_byte() {
            Some(b) if b == close => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                match self.next_byte() {
                    Some(b) if b == close => self.broken("has a comma before a closing bracket"),
                    _ => Ok(true),
                }
            }
            Some(_) if first => Ok(true),
            Some(_) => self.broken("has no comma between two values"),
            None => self.broken("ends inside an object or array"),
        }
    }

    /// Walks over the next value.
    pub fn skip(&mut self) -> Result<(), Broken> {
        let token = self.token()?;
        self.skip_rest(token, 1)
    }

    /// Walks to the end of the value that `token` begins, `depth` levels down.
    pub fn skip_rest(&mut self, token: Token<'a>, depth: usize) -> Result<(), Broken> {
        if depth > DEEPEST {
            return self.broken("is nested too deep");
        }
        let mut first = true;
        match token {
            Token::Object => {
                while self.field(first)?.is_some() {
                    first = false;
                    let inner = self.token()?;
                    self.skip_rest(inner, depth + 1)?;
                }
            }
            Token::Array => {
                while self.element(first)? {
                    first = false;
                    let inner = self.token()?;
                    self.skip_rest(inner, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str, token: Token<'a>) -> Result<Token<'a>, Broken> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.broken("has something that is no JSON value");
        }
        self.at += word.len();
        match self.peek() {
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_') => {
                self.broken("has something that is no JSON value")
            }
            _ => Ok(token),
        }
    }

    fn not_finite(&mut self, start: usize, word: &'static str) -> Result<Token<'a>, Broken> {
        self.word(word, Token::Null)?;
        Ok(Token::Fraction(self.since(start)))
    }

    fn signed(&mut self) -> Result<Token<'a>, Broken> {
        let start = self.at;
        let minus = self.bytes[start] == b'-';
        self.at += 1;
        match self.peek() {
            Some(b'0'..=b'9') if minus => self.number(start),
            Some(b'I') if !self.syntax.non_numeric => self.broken("has a sign without a number"),
            Some(b'I') if self.bytes[self.at..].starts_with(b"INF") => {
                self.not_finite(start, "INF")
            }
            Some(b'I') => self.not_finite(start, "Infinity"),
            _ => self.broken("has a sign without a number"),
        }
    }

    /// A number whose digits begin here and whose sign, if any, at `start`.
    #[inline]
    fn number(&mut self, start: usize) -> Result<Token<'a>, Broken> {
        let first = self.at;
        self.digits();
        if self.bytes[first] == b'0' && self.at > first + 1 && !self.syntax.leading_zeros {
            return self.broken("has a number that begins with 0");
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            if !self.digits() {
                return self.broken("has a number that ends in its point");
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if !self.digits() {
                return self.broken("has a number without its exponent");
            }
        }
        match self.peek() {
            None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r') => {}
            _ => return self.broken("has a number with something behind it"),
        }
        let text = self.since(start);
        Ok(if whole { Token::Whole(text) } else { Token::Fraction(text) })
    }

    /// Takes digits; whether there was one.
    #[inline]
    fn digits(&mut self) -> bool {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at > start
    }

    /// The text between this quote and the next of its kind.
    #[inline]
    fn quoted(&mut self, quote: u8) -> Result<Quoted<'a>, Broken> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += self.bytes.get(self.at..).map_or(0, |rest| plain(rest, quote));
            match self.peek() {
                Some(b) if b == quote => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(0..=0x1f) if !self.syntax.control_chars => {
                    return self.broken("has a control character in a string");
                }
                Some(_) => self.at += 1,
                None => return self.broken("ends inside a string"),
            }
        }
        let quoted = Quoted { written: self.since(start), escaped, at: start };
        self.at += 1;
        Ok(quoted)
    }

    fn escape(&mut self) -> Result<(), Broken> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'\'') if self.syntax.single_quotes => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.bytes.get(self.at + 1..self.at + 5) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => {
                    self.at += 5;
                    Ok(())
                }
                _ => self.broken("has \\u without four hexadecimal digits"),
            },
            Some(_) if self.syntax.any_escape => {
                self.at += 1;
                Ok(())
            }
            _ => self.broken("has an unknown escape in a string"),
        }
    }

    /// A field name without quotes: letters and digits of Java's names, and a few signs.
    #[cold]
    fn unquoted(&mut self) -> Result<Quoted<'a>, Broken> {
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or("");
        let of_name = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '@' | '#' | '*' | '-' | '+')
        };
        let length = rest.find(|c| !of_name(c)).unwrap_or(rest.len());
        if length == 0 {
            return self.broken("has no field name");
        }
        self.at += length;
        Ok(Quoted { written: self.since(start), escaped: false, at: start })
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn the_first_byte_that_is_not_plain_is_found_wherever_it_stands() {
        for special in [b'"', b'\\', 0, 9, 0x1f] {
            for before in 0..24 {
                let mut bytes = vec![b'x'; before];
                bytes.push(special);
                bytes.extend([0x80, b'"', 0xff, b'\\', 0, b' ', b'!', b'#', b'y']);
                let found = plain(&bytes, b'"');
                // Behind the last whole eight the caller goes on byte by byte.
                assert!(found == before || found < before && bytes.len() - found < 8, "{before}");
            }
        }
        assert_eq!(plain("grüße \u{7f}'€ abcdefghijkl".as_bytes(), b'"'), 24);
    }
}
