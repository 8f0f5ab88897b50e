//! What goes wrong with rows on their way: lines that arrive broken, rows that arrive twice.
//!
//! Takes the lines of a batch as they should be; gives them as they arrive, and says what was done
//! to which. Which rows are hit is drawn apart from the rows: without faults the same seed gives
//! the same rows, whole.

use crate::generate::draw::{Picks, Purpose};
use crate::generate::lines::Lines;
use crate::generate::stream::{Batch, DUPLICATE_REACH};

/// How a line is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The second half of the line is missing, in part or whole: the writer died.
    Truncated,
    /// The closing brace is missing.
    MissingBrace,
    /// JSON, but one field holds a value of a type that does not fit it.
    WrongType,
    /// The line holds a byte that no UTF-8 text holds.
    BadUtf8,
}

impl Fault {
    /// All faults, each as likely as the others.
    pub const ALL: [Fault; 4] =
        [Fault::Truncated, Fault::MissingBrace, Fault::WrongType, Fault::BadUtf8];

    /// The fault in words.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Truncated => "truncated",
            Fault::MissingBrace => "missing brace",
            Fault::WrongType => "wrong type",
            Fault::BadUtf8 => "bad UTF-8",
        }
    }
}

/// A line that was broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenLine {
    /// Its number in the file, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Which lines of a batch are broken, in their order.
pub(crate) fn broken_lines(batch: &Batch<'_>) -> Vec<BrokenLine> {
    let count = batch.share(batch.options.corrupt);
    let mut picks = Picks::new(batch.draws(Purpose::Corrupt), batch.rows(), count);
    let mut broken = Vec::with_capacity(count);
    for row in 0..batch.rows() {
        if picks.next() {
            let fault = picks.draws().one_of(&Fault::ALL);
            broken.push(BrokenLine { line: row + 1, fault });
        }
    }
    broken
}

/// Copies the lines of a batch, those in `broken` with their faults.
pub(crate) fn break_lines(
    batch: &Batch<'_>,
    clean: &Lines,
    broken: &[BrokenLine],
    out: &mut Lines,
) {
    let mut next = broken.iter().peekable();
    for row in 0..clean.len() {
        let line = clean.line(row);
        match next.next_if(|broken| broken.line == row + 1) {
            Some(BrokenLine { fault, .. }) => {
                break_line(*fault, line, batch.stream.wrong_type, out)
            }
            None => out.end(line),
        }
    }
}

fn break_line(fault: Fault, line: &[u8], (field, value): (&str, &str), out: &mut Lines) {
    match fault {
        Fault::Truncated => out.end(&line[..line.len() * 2 / 3]),
        Fault::MissingBrace => out.end(line.strip_suffix(b"}").unwrap_or(line)),
        Fault::WrongType => {
            let key = format!("\"{field}\":");
            let start = find(line, key.as_bytes()).map_or(0, |at| at + key.len());
            let length = line[start..].iter().position(|b| matches!(b, b',' | b'}')).unwrap_or(0);
            out.text(&line[..start]);
            out.text(value);
            out.end(&line[start + length..]);
        }
        Fault::BadUtf8 => {
            let text = find(line, b":\"").map_or(0, |at| at + 2);
            let length = line[text..].iter().position(|b| *b == b'"').unwrap_or(0);
            out.text(&line[..text]);
            out.text(b"\xff");
            out.end(&line[text + length.min(1)..]);
        }
    }
}

fn find(line: &[u8], what: &[u8]) -> Option<usize> {
    line.windows(what.len()).position(|window| window == what)
}

/// Adds rows that were there before, byte for byte, at the end of a batch: half of them from this
/// batch, half from one of those shortly before it, which is made again for it in `scratch`. Never
/// one that arrived broken. Gives how many.
pub(crate) fn repeat_lines(
    batch: &Batch<'_>,
    clean: &Lines,
    broken: &[BrokenLine],
    scratch: &mut Lines,
    out: &mut Lines,
) -> usize {
    let mut draws = batch.draws(Purpose::Duplicates);
    let back = 1 + draws.below(DUPLICATE_REACH);
    let earlier = batch.number.checked_sub(back).and_then(|number| batch.of(batch.stream, number));
    let mut earlier_broken = Vec::new();
    if let Some(earlier) = &earlier {
        scratch.clear();
        (batch.stream.write)(earlier, scratch);
        earlier_broken = broken_lines(earlier);
    }
    let mut repeated = 0;
    for _ in 0..batch.share(batch.options.duplicates) {
        let from_earlier = draws.below(2) == 1 && earlier.is_some();
        let (from, broken): (&Lines, &[BrokenLine]) =
            if from_earlier { (scratch, &earlier_broken) } else { (clean, broken) };
        let row = draws.below(from.len() as u64) as usize;
        if let Some(whole) = next_whole(row, from.len(), broken) {
            out.end(from.line(whole));
            repeated += 1;
        }
    }
    repeated
}

/// The first row from `row` on, going round, that is not broken.
fn next_whole(row: usize, rows: usize, broken: &[BrokenLine]) -> Option<usize> {
    let is_whole =
        |row: &usize| broken.binary_search_by_key(&(row + 1), |broken| broken.line).is_err();
    (row..rows).chain(0..row).find(is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(fault: Fault) -> Vec<u8> {
        let mut out = Lines::default();
        let line = br#"{"id":"EVT00000000","value":12.30,"at":"2026-01-01 12:00:00"}"#;
        break_line(fault, line, ("value", "\"many\""), &mut out);
        out.line(0).to_vec()
    }

    #[test]
    fn each_fault_breaks_a_line_in_its_own_way() {
        let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes);
        assert!(json(&broken(Fault::Truncated)).is_err());
        assert!(json(&broken(Fault::MissingBrace)).is_err());
        assert!(json(&[&broken(Fault::MissingBrace)[..], b"}"].concat()).is_ok());
        assert_eq!(json(&broken(Fault::WrongType)).unwrap()["value"], "many");
        let bad = broken(Fault::BadUtf8);
        assert!(std::str::from_utf8(&bad).is_err());
        assert!(json(String::from_utf8_lossy(&bad).as_bytes()).is_ok());
    }
}
