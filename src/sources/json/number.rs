//! Numbers and bytes out of JSON text, exact or not at all: an overflow gives `None`, never a
//! number that is near.

use crate::sources::csv::Words;

/// A whole number that a BIGINT holds.
#[inline]
pub(super) fn whole(text: &str) -> Option<i64> {
    let digits = text.as_bytes();
    let (negative, digits) = match digits.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, digits),
    };
    if digits.len() > 18 {
        return text.parse().ok();
    }
    let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

/// A whole number that a smaller type holds.
#[inline]
pub(super) fn narrow<T: TryFrom<i64>>(text: &str) -> Option<T> {
    T::try_from(whole(text)?).ok()
}

/// A TINYINT: Spark's reader takes all eight bits, so that 128 to 255 are negative.
pub(super) fn tiny(text: &str) -> Option<i8> {
    match whole(text)? {
        value @ 128..=255 => Some(value as u8 as i8),
        value => i8::try_from(value).ok(),
    }
}

/// A DOUBLE; beyond its range it is infinite.
#[inline]
pub(super) fn double(text: &str) -> Option<f64> {
    short_double(text.as_bytes()).or_else(|| text.parse().ok()).or_else(|| not_finite(text))
}

/// The number that at most 15 digits and a point mean. Digits and power of ten are both exact as a
/// DOUBLE then, and one division rounds once: the nearest DOUBLE, as the long way finds it (Clinger,
/// "How to Read Floating Point Numbers Accurately", 1990).
#[inline]
fn short_double(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let (mut value, mut point) = (0u64, None);
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() && at > 0 => point = Some(at),
            _ => return None,
        }
    }
    let behind = point.map_or(0, |at| digits.len() - at - 1);
    if point.is_none() && digits.len() > 15 {
        return None;
    }
    let value = value as f64 / POWERS[behind];
    Some(if negative { -value } else { value })
}

/// A FLOAT; beyond its range it is infinite.
pub(super) fn float(text: &str) -> Option<f32> {
    text.parse().ok().or_else(|| not_finite(text).map(|value| value as f32))
}

/// The numbers that Spark takes from a string for DOUBLE: those that JSON cannot write.
pub(super) fn not_finite(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" | "+Infinity" | "+INF" => Some(f64::INFINITY),
        "-Infinity" | "-INF" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// A DOUBLE as a plain text writes it: Java's numbers, and the words of the table for those that are
/// not finite.
pub(super) fn plain(text: &str, words: &Words) -> Option<f64> {
    match text {
        _ if text == words.nan || text == "NaN" => Some(f64::NAN),
        _ if text == words.infinity => Some(f64::INFINITY),
        _ if text == words.minus_infinity => Some(f64::NEG_INFINITY),
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => {
            let text = java_text(text);
            let digits = text.bytes().any(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        }
    }
}

/// What Java reads of a number's text: not the blanks around it, nor the letter of its type.
pub(super) fn java_text(text: &str) -> &str {
    text.trim().trim_end_matches(['d', 'D', 'f', 'F'])
}

/// A decimal out of a string, in which commas between the digits do not count.
pub(super) fn decimal_text(text: &str, precision: u8, scale: i8) -> Option<i128> {
    match text.contains(',') {
        true => decimal(&text.replace(',', ""), precision, scale),
        false => decimal(text, precision, scale),
    }
}

/// The longest exponent of a decimal: Spark's reader takes none that is longer.
const LONGEST_EXPONENT: u32 = 100_000;

/// A decimal number times 10^scale, rounded half up (away from zero) to the scale; `None` if it is
/// none or has more digits than `precision`.
pub(super) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    if exponent.unsigned_abs() > LONGEST_EXPONENT {
        return None;
    }
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // Digits from this one on are behind the last place that is kept.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value: i128 = 0;
    let mut place = 0;
    let mut round_up = false;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        if place < kept {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        } else if place == kept {
            round_up = digit >= b'5';
        }
        place += 1;
    }
    if value != 0 {
        let zeros = u32::try_from((kept - place).max(0)).ok()?;
        value = value.checked_mul(10i128.checked_pow(zeros)?)?;
    }
    value = value.checked_add(i128::from(round_up))?;
    let fits = value < 10i128.checked_pow(u32::from(precision))?;
    fits.then_some(if negative { -value } else { value })
}

/// Appends the bytes of a base64 text; `false`, with nothing appended, if it is none. Blanks and
/// line ends between two groups of four digits do not count.
pub(super) fn base64(text: &str, bytes: &mut Vec<u8>) -> bool {
    if text.bytes().any(|b| b <= b' ') {
        let mut joined = String::with_capacity(text.len());
        for part in text.split(|c: char| c <= ' ') {
            if !joined.len().is_multiple_of(4) && !part.is_empty() {
                return false;
            }
            joined.push_str(part);
        }
        return base64(&joined, bytes);
    }
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return false;
    }
    let before = bytes.len();
    for group in digits.as_bytes().chunks(4) {
        let mut bits: u32 = 0;
        for &digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => {
                    bytes.truncate(before);
                    return false;
                }
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_exact_or_none() {
        assert_eq!(whole("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(whole("9223372036854775808"), None);
        assert_eq!(narrow::<i32>("2147483648"), None);
        assert_eq!(narrow::<i8>("-128"), Some(-128));
    }

    #[test]
    fn a_decimal_is_rounded_half_up_and_never_cut_to_fit() {
        assert_eq!(decimal("1.005", 5, 2), Some(101));
        assert_eq!(decimal("-1.005", 5, 2), Some(-101));
        assert_eq!(decimal("0.004", 5, 2), Some(0));
        assert_eq!(decimal("0.0004", 5, 2), Some(0));
        assert_eq!(decimal("12e2", 6, 2), Some(120_000));
        assert_eq!(decimal("999.99", 5, 2), Some(99_999));
        assert_eq!(decimal("999.995", 5, 2), None);
        assert_eq!(decimal("12345678901234567890", 38, 0), Some(12_345_678_901_234_567_890));
        assert_eq!(decimal("1e-400", 5, 2), Some(0));
        assert_eq!(decimal("1e400", 38, 0), None);
        assert_eq!(decimal("0e400", 38, 0), Some(0));
        assert_eq!(decimal("x", 5, 2), None);
        assert_eq!(decimal("", 5, 2), None);
    }

    #[test]
    fn a_short_double_is_the_one_that_the_long_way_finds() {
        for text in
            ["0", "-0", "0.0", "1.", "0.1", "-12.3456", "999999999999999", "0.00000000000001"]
        {
            let bits = short_double(text.as_bytes()).map(f64::to_bits);
            assert_eq!(bits, Some(text.parse::<f64>().unwrap().to_bits()), "{text}");
        }
        for other in ["", "-", ".5", "1e5", "1.2.3", "NaN", "9007199254740993", "+1"] {
            assert_eq!(short_double(other.as_bytes()), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_double_is_the_nearest(text in "-?[0-9]{1,17}(\\.[0-9]{0,17})?(e-?[0-9]{1,2})?") {
            let bits = double(&text).map(f64::to_bits);
            proptest::prop_assert_eq!(bits, Some(text.parse::<f64>().unwrap().to_bits()));
        }
    }

    #[test]
    fn base64_takes_whole_groups_only() {
        let mut bytes = b"x".to_vec();
        assert!(base64("aGVsbG8=", &mut bytes));
        assert_eq!(bytes, b"xhello");
        for bad in ["aGVsbG8", "aGV*", "a===", "===="] {
            assert!(!base64(bad, &mut bytes), "{bad}");
        }
        assert!(base64("", &mut bytes));
        assert_eq!(bytes, b"xhello");
    }
}
