//! Bytes into lines: takes a file's bytes, gives the range of each line that is not blank, with
//! its number. A line ends at `\n`, `\r\n` or `\r`, as in Spark; a byte order mark before the
//! first line is no part of it.

/// Where a line lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub number: u64,
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte; the line end is not part of the line.
    pub end: usize,
}

/// The lines of a file that are not blank.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    number: u64,
    whole: bool,
}

impl<'a> Lines<'a> {
    /// With `whole` the file is one line, whatever it holds.
    pub fn new(bytes: &'a [u8], whole: bool) -> Self {
        let at = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Self { bytes, at, number: 0, whole }
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        while self.at < self.bytes.len() {
            let start = self.at;
            let end = if self.whole { self.bytes.len() } else { line_end(self.bytes, start) };
            self.at = match self.bytes.get(end..end + 2) {
                Some(b"\r\n") => end + 2,
                _ => end + 1,
            };
            self.number += 1;
            let blank =
                self.bytes[start..end].iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
            if !blank {
                return Some(Line { number: self.number, start, end });
            }
        }
        None
    }
}

/// Offset of the next `\n` or `\r`, or of the end. Looks at eight bytes at a time.
fn line_end(bytes: &[u8], from: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The lowest bit set marks the first byte that is zero.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = from;
    for chunk in bytes[from..].chunks_exact(8) {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        let found = zero(word ^ u64::from_ne_bytes([b'\n'; 8]))
            | zero(word ^ u64::from_ne_bytes([b'\r'; 8]));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|b| matches!(b, b'\n' | b'\r'));
    rest.map_or(bytes.len(), |found| at + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(u64, &[u8])> {
        Lines::new(bytes, false).map(|l| (l.number, &bytes[l.start..l.end])).collect()
    }

    #[test]
    fn ends_at_each_kind_of_line_end_and_skips_blank_lines() {
        let found = lines(b"a long first line\nb\r\n\r\n  \nc\rd");
        let expected: [(u64, &[u8]); 4] =
            [(1, b"a long first line"), (2, b"b"), (5, b"c"), (6, b"d")];
        assert_eq!(found, expected);
    }

    #[test]
    fn strips_a_byte_order_mark_at_the_start_only() {
        let found = lines(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb\n");
        let expected: [(u64, &[u8]); 2] = [(1, b"a"), (2, b"\xEF\xBB\xBFb")];
        assert_eq!(found, expected);
    }

    #[test]
    fn finds_the_first_line_end_whatever_is_around_it() {
        for before in 0..20 {
            for after in 0..20 {
                let mut bytes = vec![0x0b; before];
                bytes.push(b'\n');
                bytes.extend(vec![0x0a; after]);
                assert_eq!(line_end(&bytes, 0), before);
            }
        }
        assert_eq!(line_end(b"no end in here", 0), 14);
    }
}
