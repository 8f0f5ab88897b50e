//! JSON lines, written by hand into one buffer.
//!
//! Takes the pieces of a row (text, numbers, times); gives bytes and where each line ends; never
//! allocates for a row. The pieces are written as they are: a text must not need escaping in JSON,
//! which holds for every value that the presets make.

use crate::time::Millis;

/// Lines of text, one after the other, each ending in a newline.
#[derive(Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    day: Day,
}

/// The day that was written last: rows of one batch are nearly all of the same day.
#[derive(Default)]
struct Day {
    number: Option<i64>,
    text: Vec<u8>,
}

const MILLIS_A_DAY: i64 = 86_400_000;

impl Lines {
    /// Forgets all lines and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// All lines.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many lines have ended.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A line without its newline; an empty one where there is none of that number.
    pub(crate) fn line(&self, index: usize) -> &[u8] {
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        &self.bytes[start..end - 1]
    }

    /// Text, as it is.
    pub(crate) fn text(&mut self, text: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(text.as_ref());
    }

    /// A number.
    pub(crate) fn number(&mut self, number: u64) {
        push_number(&mut self.bytes, number, 1);
    }

    /// A number with zeros before it up to `width` digits; a longer one keeps all its digits.
    pub(crate) fn padded(&mut self, number: u64, width: usize) {
        push_number(&mut self.bytes, number, width);
    }

    /// A number of hundredths with two decimals: `1234` gives `12.34`.
    pub(crate) fn hundredths(&mut self, number: u64) {
        self.number(number / 100);
        self.text(b".");
        self.padded(number % 100, 2);
    }

    /// `2026-01-01 12:00:00` in UTC, with this byte between day and time.
    pub(crate) fn seconds(&mut self, time: Millis, between: u8) {
        let day = time.div_euclid(MILLIS_A_DAY);
        if self.day.number != Some(day) {
            self.day.number = Some(day);
            self.day.text.clear();
            push_day(&mut self.day.text, day);
        }
        self.bytes.extend_from_slice(&self.day.text);
        let second = (time.rem_euclid(MILLIS_A_DAY) / 1_000) as u64;
        let [hour, minute, second] =
            [second / 3_600, second / 60 % 60, second % 60].map(|n| [digit(n / 10), digit(n)]);
        self.bytes.extend_from_slice(&[
            between, hour[0], hour[1], b':', minute[0], minute[1], b':', second[0], second[1],
        ]);
    }

    /// `2026-01-01T12:00:00.123` in UTC.
    pub(crate) fn iso_millis(&mut self, time: Millis) {
        self.seconds(time, b'T');
        let milli = time.rem_euclid(1_000) as u64;
        self.bytes.extend_from_slice(&[b'.', digit(milli / 100), digit(milli / 10), digit(milli)]);
    }

    /// Ends the line with this text and a newline.
    pub(crate) fn end(&mut self, text: impl AsRef<[u8]>) {
        self.text(text);
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }
}

/// The last decimal digit of a number.
fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

fn push_number(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while number > 0 {
        first -= 1;
        digits[first] = digit(number);
        number /= 10;
    }
    let first = first.min(digits.len() - width.min(digits.len()));
    out.extend_from_slice(&digits[first..]);
}

/// `2026-01-01`: the day of this number after 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last day of a year and months have a
/// simple rhythm of 153 days in 5; 146,097 days are 400 years.
fn push_day(out: &mut Vec<u8>, day: i64) {
    let since_0000_march = day + 719_468;
    let era = since_0000_march.div_euclid(146_097);
    let day_of_era = since_0000_march.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    push_number(out, year.unsigned_abs(), 4);
    out.push(b'-');
    push_number(out, month.unsigned_abs(), 2);
    out.push(b'-');
    push_number(out, day_of_month.unsigned_abs(), 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Lines)) -> String {
        let mut lines = Lines::default();
        write(&mut lines);
        String::from_utf8(lines.bytes).unwrap()
    }

    #[test]
    fn numbers_keep_their_digits_and_their_zeros() {
        assert_eq!(written(|l| l.number(0)), "0");
        assert_eq!(written(|l| l.number(u64::MAX)), u64::MAX.to_string());
        assert_eq!(written(|l| l.padded(7, 4)), "0007");
        assert_eq!(written(|l| l.padded(12_345, 4)), "12345");
        assert_eq!(written(|l| l.hundredths(10_005)), "100.05");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let days = (-800 * 366..800 * 366).step_by(13).chain(0..1_500);
        for time in days.map(|day: i64| day * MILLIS_A_DAY + day.rem_euclid(997) * 86_399) {
            let expected = chrono::DateTime::from_timestamp_millis(time).unwrap();
            assert_eq!(
                written(|l| l.iso_millis(time)),
                expected.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
            );
        }
        assert_eq!(written(|l| l.seconds(951_782_400_999, b' ')), "2000-02-29 00:00:00");
    }

    #[test]
    fn a_line_is_found_again_without_its_newline() {
        let mut lines = Lines::default();
        lines.end("one");
        lines.end("");
        lines.end("three");
        let found: Vec<&[u8]> = (0..4).map(|i| lines.line(i)).collect();
        assert_eq!(found, [&b"one"[..], b"", b"three", b""]);
    }
}
