//! A long file in pieces that end where a line does: takes bytes as they are read, gives pieces of
//! at most [`PIECE`] bytes, so that a file of any length, with lines of any length, needs no more
//! memory than that. A line that fits in no piece is passed over; its beginning is kept.

use std::io::{self, Read};

use super::json::KEPT_OF_TOO_LONG;

/// The longest piece in bytes. Files that are no longer are read in one.
pub(super) const PIECE: usize = 32 << 20;

/// A part of a file.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    /// Whole lines, and the offset of the first one's first byte.
    Lines { at: u64, bytes: &'a [u8] },
    /// A line that fits in no piece: its offset, its beginning and its length in bytes.
    TooLong { at: u64, kept: &'a [u8], length: u64 },
}

/// Cuts bytes into pieces.
pub(super) struct Pieces<'a, R> {
    from: R,
    buffer: &'a mut Vec<u8>,
    /// So many bytes of the buffer were given already.
    given: usize,
    /// The offset of the buffer's first byte.
    at: u64,
    ended: bool,
    most: usize,
    kept: Vec<u8>,
}

impl<'a, R: Read> Pieces<'a, R> {
    /// The pieces of what is read, with a buffer to use.
    pub fn new(from: R, buffer: &'a mut Vec<u8>) -> Self {
        Self::of_at_most(PIECE, from, buffer)
    }

    fn of_at_most(most: usize, from: R, buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        Self { from, buffer, given: 0, at: 0, ended: false, most, kept: Vec::new() }
    }

    /// The next piece; `None`: that was the last one.
    pub fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        self.consume(self.given)?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let cut = if self.ended { Some(self.buffer.len()) } else { last_cut(self.buffer) };
        match cut {
            Some(cut) => {
                self.given = cut;
                Ok(Some(Piece::Lines { at: self.at, bytes: &self.buffer[..cut] }))
            }
            None => self.pass_over().map(Some),
        }
    }

    /// Passes over the line at the front of the buffer, which does not end in it.
    fn pass_over(&mut self) -> io::Result<Piece<'_>> {
        self.kept = self.buffer[..self.buffer.len().min(KEPT_OF_TOO_LONG)].to_vec();
        let (at, mut length) = (self.at, 0);
        while !self.buffer.is_empty() {
            let end = self.buffer.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let passed = end.unwrap_or(self.buffer.len());
            length += passed as u64;
            self.consume(passed)?;
            if end.is_some() {
                break;
            }
        }
        self.given = if self.buffer.starts_with(b"\r\n") { 2 } else { self.buffer.len().min(1) };
        Ok(Piece::TooLong { at, kept: &self.kept, length })
    }

    /// Forgets bytes at the front and fills the buffer up.
    fn consume(&mut self, bytes: usize) -> io::Result<()> {
        self.given = 0;
        self.at += bytes as u64;
        self.buffer.drain(..bytes);
        while !self.ended && self.buffer.len() < self.most {
            let room = (self.most - self.buffer.len()) as u64;
            self.ended = Read::by_ref(&mut self.from).take(room).read_to_end(self.buffer)? == 0;
        }
        Ok(())
    }
}

/// Behind the last line end. A `\r` at the end may be half of one.
fn last_cut(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len() - 1;
    let ends = |(at, byte): (usize, &u8)| *byte == b'\n' || (*byte == b'\r' && at < last);
    bytes.iter().enumerate().rev().find(|found| ends(*found)).map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json::{LineEnd, Lines};
    use super::*;

    proptest! {
        /// However a text is cut, its lines are the same, but for those that are too long; and these
        /// have their length.
        #[test]
        fn pieces_hold_the_lines_of_the_whole(text in "[ab\n\r]{0,60}", most in 2usize..20) {
            let lines = |at: u64, bytes: &[u8], number: &mut u64| -> Vec<(u64, u64, u64)> {
                let mut lines = Lines::after(*number, bytes, &LineEnd::Any);
                let place = |start: usize, end: usize| (at + start as u64, at + end as u64);
                let found = lines.by_ref().map(|line| {
                    let (start, end) = place(line.start, line.end);
                    (line.number, start, end)
                });
                let found = found.collect();
                *number = lines.number();
                found
            };
            let expected = lines(0, text.as_bytes(), &mut 0);
            let mut buffer = Vec::new();
            let mut pieces = Pieces::of_at_most(most, text.as_bytes(), &mut buffer);
            let (mut number, mut found) = (0, vec![]);
            while let Some(piece) = pieces.next().unwrap() {
                match piece {
                    Piece::Lines { at, bytes } => {
                        prop_assert!(bytes.len() <= most);
                        found.extend(lines(at, bytes, &mut number));
                    }
                    Piece::TooLong { at, kept, length } => {
                        prop_assert!(length as usize + 1 >= most && kept.len() <= most);
                        number += 1;
                        found.push((number, at, at + length));
                    }
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
