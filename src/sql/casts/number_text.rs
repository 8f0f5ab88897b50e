//! A DOUBLE or FLOAT as text: the shortest digits that read back as the same number, as Java (and so
//! Spark) writes them: `1.0`, `0.001`, and from 10 million on or below a thousandth `1.0E7`, `1.0E-4`.

/// A DOUBLE as text.
pub(in crate::sql) fn double_text(number: f64) -> String {
    // Rust's `{:e}` has the shortest digits of each type, one of them before the point.
    java(&format!("{number:e}"), number.abs())
}

/// A FLOAT as text.
pub(in crate::sql) fn float_text(number: f32) -> String {
    java(&format!("{number:e}"), number.abs().into())
}

/// From `-1.25e3` to `-1250.0`; `size` is the absolute value.
fn java(scientific: &str, size: f64) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return match scientific {
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            nan => nan.to_owned(),
        };
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    if size != 0.0 && !(1e-3..1e7).contains(&size) {
        return format!("{sign}{whole}.{fraction}E{exponent}");
    }
    // Between a thousandth and 10 million there are at most seven places to move the point by.
    let digits = mantissa.replace('.', "");
    match exponent.parse::<isize>().unwrap_or(0) {
        left @ ..0 => {
            let zeros = "0".repeat(left.unsigned_abs() - 1);
            format!("{sign}0.{zeros}{digits}")
        }
        right => {
            let before = right.unsigned_abs() + 1;
            let padded = format!("{digits:0<before$}");
            let (before, after) = padded.split_at(before);
            format!("{sign}{before}.{}", if after.is_empty() { "0" } else { after })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::java;

    #[test]
    fn doubles_are_written_as_java_writes_them() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1250.5, "-1250.5"),
            (0.001, "0.001"),
            (0.0123, "0.0123"),
            (0.0009, "9.0E-4"),
            (9_999_999.5, "9999999.5"),
            (1e7, "1.0E7"),
            (-1.25e300, "-1.25E300"),
            (5e-324, "5.0E-324"),
            (100.0, "100.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(java(&format!("{number:e}"), number.abs()), text);
        }
    }
}
