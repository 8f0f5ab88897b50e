//! `round`, `bround`, `ceil`, `floor`: to a number of places, in decimal digits.
//!
//! A DOUBLE is rounded by the digits that it shows, not by the binary fraction that it is: 2.675 to
//! two places is 2.68. What comes out is typed as Spark types it: `ceil(DOUBLE)` is a BIGINT, a
//! decimal keeps as many places as are asked for.

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use super::scalar::{Answer, Function, Gives, Row, Value, overflow};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("round", "number whole?", Gives::Of(rounded_type), |r| rounded(r, Mode::HalfUp)),
    Function::new("bround", "number whole?", Gives::Of(rounded_type), |r| {
        rounded(r, Mode::HalfEven)
    }),
    Function::new("ceil ceiling", "number whole?", Gives::Of(whole_type), |r| whole(r, Mode::Up)),
    Function::new("floor", "number whole?", Gives::Of(whole_type), |r| whole(r, Mode::Down)),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    HalfUp,
    HalfEven,
    Up,
    Down,
}

/// The constant second argument: a number of places.
fn places(values: &[Option<&ScalarValue>]) -> i64 {
    match values.get(1).copied().flatten() {
        Some(value) => value.cast_to(&DataType::Int64).map_or(0, |value| match value {
            ScalarValue::Int64(Some(places)) => places,
            _ => 0,
        }),
        None => 0,
    }
}

fn rounded_type(types: &[DataType], values: &[Option<&ScalarValue>]) -> DataType {
    match types.first() {
        Some(DataType::Decimal128(p, s)) => decimal((*p).into(), (*s).into(), places(values)),
        Some(DataType::Utf8 | DataType::Null) | None => DataType::Float64,
        Some(other) => other.clone(),
    }
}

fn whole_type(types: &[DataType], values: &[Option<&ScalarValue>]) -> DataType {
    let given = types.first().unwrap_or(&DataType::Null);
    match (given, types.len()) {
        (DataType::Decimal128(p, s), 1) => decimal((*p).into(), (*s).into(), 0),
        (_, 1) => DataType::Int64,
        _ => {
            let (p, s) = as_decimal(given);
            decimal(p, s, places(values))
        }
    }
}

/// The decimal that holds every number of a type.
fn as_decimal(data_type: &DataType) -> (i64, i64) {
    match data_type {
        DataType::Decimal128(p, s) => ((*p).into(), (*s).into()),
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Float32 => (14, 7),
        whole if whole.is_integer() => (20, 0),
        _ => (30, 15),
    }
}

/// The type of a decimal after rounding: it may need one more digit before the point.
fn decimal(precision: i64, scale: i64, places: i64) -> DataType {
    let before = precision - scale + 1;
    let (precision, scale) = match places {
        ..0 => (before.max(1 - places), 0),
        _ => (before + scale.min(places), scale.min(places)),
    };
    DataType::Decimal128(precision.clamp(1, 38) as u8, scale as i8)
}

fn rounded(r: &Row, mode: Mode) -> Answer {
    let places = r.whole_or(1, 0);
    match r.type_of(0) {
        DataType::Decimal128(_, scale) => {
            decimal_rounded(r.digits(0), (*scale).into(), places, r.gives(), mode)
        }
        given if given.is_integer() => match places {
            0.. => Ok(r.whole(0).into()),
            _ => Ok(shifted(r.digits(0), -places, mode, r)?.into()),
        },
        DataType::Float32 => {
            let digits = format!("{:e}", r.double(0) as f32);
            Ok(digits_rounded(&digits, r.double(0), places, mode).into())
        }
        _ => {
            let x = r.double(0);
            Ok(digits_rounded(&format!("{x:e}"), x, places, mode).into())
        }
    }
}

fn whole(r: &Row, mode: Mode) -> Answer {
    let places = r.whole_or(1, 0);
    match (r.type_of(0), r.gives()) {
        (DataType::Decimal128(_, scale), gives) => {
            decimal_rounded(r.digits(0), (*scale).into(), places, gives, mode)
        }
        (given, DataType::Int64) if given.is_integer() => Ok(r.whole(0).into()),
        (_, DataType::Int64) => {
            let x = r.double(0);
            let x = if mode == Mode::Up { x.ceil() } else { x.floor() };
            // As Java narrows a double: NaN is 0, what is too large is the largest.
            Ok((x as i64).into())
        }
        (given, gives) if given.is_integer() => {
            decimal_rounded(r.digits(0), 0, places, gives, mode)
        }
        (_, gives) => {
            let digits = (r.double(0) * 1e15).round();
            if !digits.is_finite() || digits.abs() >= 1e30 {
                return Err(overflow(&format!("{} does not fit DECIMAL(30,15)", r.double(0))));
            }
            let text = format!("{:.15}", r.double(0));
            let exact = text.replace('.', "").parse::<i128>().unwrap_or(digits as i128);
            decimal_rounded(exact, 15, places, gives, mode)
        }
    }
}

fn decimal_rounded(digits: i128, scale: i64, places: i64, gives: &DataType, mode: Mode) -> Answer {
    let kept = match gives {
        DataType::Decimal128(_, scale) => i64::from(*scale),
        _ => 0,
    };
    let away = scale - places.min(scale);
    let rounded = divided(digits, away, mode);
    // What was rounded away before the point comes back as zeros.
    let zeros = (kept - (scale - away)).max(0);
    let back = power(zeros).and_then(|power| rounded.checked_mul(power));
    back.map(Value::from).ok_or_else(|| overflow("the rounded number does not fit a DECIMAL"))
}

fn shifted(digits: i128, away: i64, mode: Mode, r: &Row) -> Result<i128, Error> {
    let rounded = divided(digits, away, mode);
    let back = power(away).and_then(|power| rounded.checked_mul(power)).unwrap_or(0);
    let width = super::scalar::bits(r.type_of(0));
    match back.unsigned_abs() <= (1_u128 << (width - 1)) - u128::from(back >= 0) {
        true => Ok(back),
        false => Err(overflow(&format!("{digits} rounded does not fit its type"))),
    }
}

fn power(exponent: i64) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

/// A number without its last `away` digits.
fn divided(digits: i128, away: i64, mode: Mode) -> i128 {
    if away <= 0 {
        return digits;
    }
    let Some(by) = power(away) else {
        return match mode {
            Mode::Up if digits > 0 => 1,
            Mode::Down if digits < 0 => -1,
            _ => 0,
        };
    };
    let (quotient, rest) = (digits / by, digits % by);
    let half = rest.unsigned_abs().cmp(&(by.unsigned_abs() - rest.unsigned_abs()));
    let further = match mode {
        Mode::HalfUp => half.is_ge() && rest != 0,
        Mode::HalfEven => half.is_gt() || (half.is_eq() && quotient % 2 != 0),
        Mode::Up => rest > 0,
        Mode::Down => rest < 0,
    };
    quotient + if further { digits.signum() } else { 0 }
}

/// A double rounded by its shortest digits, given as `1.2345e-3`.
fn digits_rounded(scientific: &str, x: f64, places: i64, mode: Mode) -> f64 {
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return x };
    let (Ok(exponent), Ok(digits)) =
        (exponent.parse::<i64>(), mantissa.replace('.', "").parse::<i128>())
    else {
        return x;
    };
    let scale = mantissa.split_once('.').map_or(0, |(_, after)| after.len() as i64) - exponent;
    let away = scale - places;
    if away <= 0 {
        return x;
    }
    let rounded = divided(digits, away, mode);
    format!("{rounded}e{}", -places).parse().unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_rounded_by_the_digits_that_they_show() {
        let round = |x: f64, places, mode| digits_rounded(&format!("{x:e}"), x, places, mode);
        assert_eq!(round(2.675, 2, Mode::HalfUp), 2.68);
        assert_eq!(round(2.5, 0, Mode::HalfEven), 2.0);
        assert_eq!(round(-2.5, 0, Mode::HalfUp), -3.0);
        assert_eq!(round(12345.0, -3, Mode::HalfUp), 12000.0);
        assert_eq!(round(1e300, 2, Mode::HalfUp), 1e300);
        assert_eq!(round(1e-300, 2, Mode::HalfUp), 0.0);
    }

    #[test]
    fn a_rounded_decimal_may_need_one_more_digit() {
        assert_eq!(decimal(3, 2, 1), DataType::Decimal128(3, 1));
        assert_eq!(decimal(3, 2, -2), DataType::Decimal128(3, 0));
        assert_eq!(divided(-15, 1, Mode::Down), -2);
        assert_eq!(divided(25, 1, Mode::HalfEven), 2);
    }
}
