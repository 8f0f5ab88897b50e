//! Text → numbers and BOOLEAN, and numbers → DECIMAL, as Spark's CAST reads and rounds them.

use arrow::datatypes::i256;

/// Why a number is not a DECIMAL of the wanted size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoDecimal {
    /// The text is not a number.
    Malformed,
    /// It has too many digits before the point.
    TooLarge,
}

/// `true`, `t`, `yes`, `y`, `1` and their opposites, in any case.
pub(super) fn parse_boolean(text: &str) -> Option<bool> {
    let is_one_of = |words: [&str; 5]| words.iter().any(|w| w.eq_ignore_ascii_case(text.trim()));
    match () {
        () if is_one_of(["true", "t", "yes", "y", "1"]) => Some(true),
        () if is_one_of(["false", "f", "no", "n", "0"]) => Some(false),
        () => None,
    }
}

/// A DOUBLE as Java reads it: also `1e3`, `1.5d`, `Infinity`, `inf`, `nan`.
pub(super) fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let (sign, size) = match lower.strip_prefix('-') {
        Some(size) => (-1.0, size),
        None => (1.0, lower.strip_prefix('+').unwrap_or(&lower)),
    };
    match size {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let digits = size.strip_suffix(['d', 'f']).unwrap_or(size);
    let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if number { digits.parse::<f64>().ok().map(|n| sign * n) } else { None }
}

/// The unscaled value of a DECIMAL(precision, scale), rounded half up (away from zero).
pub(super) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Result<i128, NoDecimal> {
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => {
            let exponent = text[at + 1..].parse::<i64>().map_err(|_| NoDecimal::Malformed)?;
            (&text[..at], exponent)
        }
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !all_digits || whole.is_empty() && fraction.is_empty() {
        return Err(NoDecimal::Malformed);
    }
    let digits = format!("{whole}{fraction}");
    // How many of the digits stand before the last place that is kept.
    let kept = whole.len() as i64 + exponent.clamp(-10_000, 10_000) + i64::from(scale);
    let value = rounded(digits.trim_start_matches('0'), kept - zeros(&digits))?;
    let value = if negative { -value } else { value };
    if fits(value, precision) { Ok(value) } else { Err(NoDecimal::TooLarge) }
}

fn zeros(digits: &str) -> i64 {
    (digits.len() - digits.trim_start_matches('0').len()) as i64
}

/// The first `kept` of some digits as a number, rounded by the one that follows; `0` is put behind
/// where there are fewer.
fn rounded(digits: &str, kept: i64) -> Result<i128, NoDecimal> {
    if digits.is_empty() || kept < 0 {
        return Ok(0);
    }
    let kept = kept as usize;
    if kept > 38 {
        return Err(NoDecimal::TooLarge);
    }
    let shown = &digits[..kept.min(digits.len())];
    let mut value: i128 = shown.parse().unwrap_or(0);
    for _ in shown.len()..kept {
        value *= 10;
    }
    let up = digits.as_bytes().get(kept).is_some_and(|&digit| digit >= b'5');
    Ok(value + i128::from(up))
}

/// Whether an unscaled value has at most `precision` digits.
pub(in crate::sql) fn fits(value: i128, precision: u8) -> bool {
    10_i128.checked_pow(precision.into()).is_none_or(|limit| value.unsigned_abs() < limit as u128)
}

/// An unscaled value at another scale, rounded half up; `None`: it is beyond 38 digits.
pub(in crate::sql) fn rescaled(value: i256, from: i32, to: i32) -> Option<i128> {
    let ten = i256::from_i128(10);
    let power = |n: i32| ten.checked_pow(u32::try_from(n).ok()?);
    let value = if to >= from {
        value.checked_mul(power(to - from)?)?
    } else {
        // More than 76 digits away nothing is left.
        match power(from - to) {
            Some(by) => divided_half_up(value, by)?,
            None => i256::ZERO,
        }
    };
    value.to_i128()
}

/// A quotient rounded half up (away from zero).
pub(in crate::sql) fn divided_half_up(value: i256, by: i256) -> Option<i256> {
    let quotient = value.checked_div(by)?;
    let rest = value.checked_rem(by)?;
    let (rest, by_size) = (rest.wrapping_abs(), by.wrapping_abs());
    // Compared so, since twice the rest may be too large.
    if rest < by_size.wrapping_sub(rest) {
        return Some(quotient);
    }
    let up = value.is_negative() == by.is_negative();
    quotient.checked_add(if up { i256::ONE } else { i256::MINUS_ONE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_rounded_half_up_and_checked() {
        for (text, expected) in [
            ("1.255", Ok(126)),
            ("-1.255", Ok(-126)),
            (" 1.5 ", Ok(150)),
            ("1e2", Ok(10_000)),
            ("12e-3", Ok(1)),
            ("0.004", Ok(0)),
            ("0.005", Ok(1)),
            (".5", Ok(50)),
            ("999.994", Ok(99_999)),
            ("999.995", Err(NoDecimal::TooLarge)),
            ("12345.6", Err(NoDecimal::TooLarge)),
            ("1e99", Err(NoDecimal::TooLarge)),
            ("abc", Err(NoDecimal::Malformed)),
            ("", Err(NoDecimal::Malformed)),
            ("1e", Err(NoDecimal::Malformed)),
        ] {
            assert_eq!(parse_decimal(text, 5, 2), expected, "{text}");
        }
    }

    #[test]
    fn a_half_goes_away_from_zero() {
        let divided = |a: i128, b: i128| {
            divided_half_up(i256::from_i128(a), i256::from_i128(b)).and_then(|q| q.to_i128())
        };
        for (a, b, expected) in [(5, 2, 3), (-5, 2, -3), (5, -2, -3), (4, 3, 1), (-4, 3, -1)] {
            assert_eq!(divided(a, b), Some(expected), "{a} / {b}");
        }
    }
}
