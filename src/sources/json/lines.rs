//! Bytes into lines: takes a file's bytes, gives the range of each line that is not blank, with
//! its number. A line ends at `\n`, `\r\n` or `\r`, as in Spark, or at the separator that the option
//! `lineSep` names; a byte order mark before the first line is no part of it.

/// Where a line lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sources) struct Line {
    /// From 1.
    pub number: u64,
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte; the line end is not part of the line.
    pub end: usize,
}

/// Where a line ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LineEnd {
    /// At `\n`, `\r\n` or `\r`.
    #[default]
    Any,
    /// At these bytes, which are at least one.
    At(Vec<u8>),
    /// Nowhere: the file is one line, whatever it holds.
    Never,
}

impl LineEnd {
    /// Where the line that starts here ends, and where the next one starts.
    fn end_of(&self, bytes: &[u8], start: usize) -> (usize, usize) {
        match self {
            LineEnd::Never => (bytes.len(), bytes.len()),
            LineEnd::Any => {
                let end = line_end(bytes, start);
                let next = match bytes.get(end..end + 2) {
                    Some(b"\r\n") => end + 2,
                    _ => end + 1,
                };
                (end, next)
            }
            LineEnd::At(separator) => {
                let mut places = bytes[start..].windows(separator.len());
                let end = places.position(|found| found == separator);
                let end = end.map_or(bytes.len(), |found| start + found);
                (end, end + separator.len())
            }
        }
    }

    /// All lines of a part of a file, blank ones too.
    pub(in crate::sources) fn lines<'a>(
        &'a self,
        is_first: bool,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> {
        let marked = is_first && bytes.starts_with(BYTE_ORDER_MARK);
        let mut at = if marked { BYTE_ORDER_MARK.len() } else { 0 };
        std::iter::from_fn(move || {
            let start = at;
            (start < bytes.len()).then(|| {
                let (end, next) = self.end_of(bytes, start);
                at = next;
                &bytes[start..end]
            })
        })
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The lines of a file that are not blank.
pub(in crate::sources) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    number: u64,
    end: &'a LineEnd,
}

impl<'a> Lines<'a> {
    /// The lines of a whole file.
    pub fn new(bytes: &'a [u8], end: &'a LineEnd) -> Self {
        Self::after(0, bytes, end)
    }

    /// The lines of a part of a file, which so many lines stand before.
    pub fn after(number: u64, bytes: &'a [u8], end: &'a LineEnd) -> Self {
        let marked = number == 0 && bytes.starts_with(BYTE_ORDER_MARK);
        let at = if marked { BYTE_ORDER_MARK.len() } else { 0 };
        Self { bytes, at, number, end }
    }

    /// The number of the last line that was passed, blank or not.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        while self.at < self.bytes.len() {
            let start = self.at;
            let (end, next) = self.end.end_of(self.bytes, start);
            self.at = next;
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
        Lines::new(bytes, &LineEnd::Any).map(|l| (l.number, &bytes[l.start..l.end])).collect()
    }

    #[test]
    fn ends_at_each_kind_of_line_end_and_skips_blank_lines() {
        let found = lines(b"a long first line\nb\r\n\r\n  \nc\rd");
        let expected: [(u64, &[u8]); 4] =
            [(1, b"a long first line"), (2, b"b"), (5, b"c"), (6, b"d")];
        assert_eq!(found, expected);
    }

    #[test]
    fn ends_at_a_separator_only_where_there_is_one() {
        let end = LineEnd::At(b";;".to_vec());
        let bytes = b"a\r\n;;;b;;;;c";
        let found: Vec<_> = Lines::new(bytes, &end).map(|l| &bytes[l.start..l.end]).collect();
        assert_eq!(found, [&b"a\r\n"[..], b";b", b"c"]);
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
