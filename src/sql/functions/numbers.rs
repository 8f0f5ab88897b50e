//! Mathematics: roots, logarithms, angles, other bases, buckets.
//!
//! Where a function has no answer in the real numbers Spark is not of one mind: a logarithm of 0 is
//! NULL, a root of -1 is NaN, an integer too large is an error.

use std::f64::consts;

use super::scalar::{Answer, Function, Gives, Row, Value, overflow, refused};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("e", "", Gives::Double, |_| Ok(consts::E.into())),
    Function::new("pi", "", Gives::Double, |_| Ok(consts::PI.into())),
    Function::new("acos", "double", Gives::Double, |r| Ok(r.double(0).acos().into())),
    Function::new("acosh", "double", Gives::Double, |r| {
        let x = r.double(0);
        Ok((x + (x * x - 1.0).sqrt()).ln().into())
    }),
    Function::new("asin", "double", Gives::Double, |r| Ok(r.double(0).asin().into())),
    Function::new("asinh", "double", Gives::Double, |r| Ok(r.double(0).asinh().into())),
    Function::new("atan", "double", Gives::Double, |r| Ok(r.double(0).atan().into())),
    // Adding 0.0 makes a zero positive.
    Function::new("atan2", "double double", Gives::Double, |r| {
        Ok((r.double(0) + 0.0).atan2(r.double(1) + 0.0).into())
    }),
    Function::new("atanh", "double", Gives::Double, |r| Ok(r.double(0).atanh().into())),
    Function::new("cbrt", "double", Gives::Double, |r| Ok(r.double(0).cbrt().into())),
    Function::new("cos", "double", Gives::Double, |r| Ok(r.double(0).cos().into())),
    Function::new("cosh", "double", Gives::Double, |r| Ok(r.double(0).cosh().into())),
    Function::new("cot", "double", Gives::Double, |r| Ok((1.0 / r.double(0).tan()).into())),
    Function::new("csc", "double", Gives::Double, |r| Ok((1.0 / r.double(0).sin()).into())),
    Function::new("degrees", "double", Gives::Double, |r| {
        Ok((r.double(0) * (180.0 / consts::PI)).into())
    }),
    Function::new("exp", "double", Gives::Double, |r| Ok(r.double(0).exp().into())),
    Function::new("expm1", "double", Gives::Double, |r| Ok(r.double(0).exp_m1().into())),
    Function::new("hypot", "double double", Gives::Double, |r| {
        Ok(r.double(0).hypot(r.double(1)).into())
    }),
    Function::new("ln", "double", Gives::Double, |r| Ok(positive(r.double(0)).map(f64::ln).into())),
    Function::new("log", "double double?", Gives::Double, |r| {
        if !r.has(1) {
            return Ok(positive(r.double(0)).map(f64::ln).into());
        }
        let both = positive(r.double(0)).zip(positive(r.double(1)));
        Ok(both.map(|(base, x)| x.ln() / base.ln()).into())
    }),
    Function::new("log10", "double", Gives::Double, |r| {
        Ok(positive(r.double(0)).map(f64::log10).into())
    }),
    Function::new("log1p", "double", Gives::Double, |r| {
        Ok(Some(r.double(0)).filter(|x| x.is_nan() || *x > -1.0).map(f64::ln_1p).into())
    }),
    Function::new("log2", "double", Gives::Double, |r| {
        Ok(positive(r.double(0)).map(f64::log2).into())
    }),
    Function::new("nanvl", "double double", Gives::Double, |r| {
        let first = r.double(0);
        if r.is_null(0) || (first.is_nan() && r.is_null(1)) {
            return Ok(Value::Null);
        }
        Ok((if first.is_nan() { r.double(1) } else { first }).into())
    })
    .seeing_nulls(),
    Function::new("isnan", "double", Gives::Bool, |r| {
        Ok((!r.is_null(0) && r.double(0).is_nan()).into())
    })
    .seeing_nulls(),
    Function::new("pow power", "double double", Gives::Double, |r| {
        Ok(r.double(0).powf(r.double(1)).into())
    }),
    Function::new("radians", "double", Gives::Double, |r| {
        Ok((r.double(0) / 180.0 * consts::PI).into())
    }),
    Function::new("rint", "double", Gives::Double, |r| Ok(r.double(0).round_ties_even().into())),
    Function::new("sec", "double", Gives::Double, |r| Ok((1.0 / r.double(0).cos()).into())),
    Function::new("sign signum", "double", Gives::Double, |r| {
        let x = r.double(0);
        Ok((if x == 0.0 || x.is_nan() { x } else { x.signum() }).into())
    }),
    Function::new("sin", "double", Gives::Double, |r| Ok(r.double(0).sin().into())),
    Function::new("sinh", "double", Gives::Double, |r| Ok(r.double(0).sinh().into())),
    Function::new("sqrt", "double", Gives::Double, |r| Ok(r.double(0).sqrt().into())),
    Function::new("tan", "double", Gives::Double, |r| Ok(r.double(0).tan().into())),
    Function::new("tanh", "double", Gives::Double, |r| Ok(r.double(0).tanh().into())),
    Function::new("factorial", "whole", Gives::Long, |r| {
        let n = r.whole(0);
        Ok((0..=20).contains(&n).then(|| (1..=n).product::<i64>()).into())
    }),
    Function::new("bin", "whole", Gives::Text, |r| Ok(format!("{:b}", r.whole(0)).into())),
    Function::new("conv", "text whole whole", Gives::Text, conv),
    Function::new("unhex", "text", Gives::Bytes, |r| Ok(unhex(r.text(0)).into())),
    Function::new("hex", "any", Gives::Text, hex),
    Function::new("width_bucket", "double double double whole", Gives::Long, width_bucket),
];

/// A number that has a logarithm; NaN passes.
fn positive(x: f64) -> Option<f64> {
    Some(x).filter(|x| x.is_nan() || *x > 0.0)
}

/// `conv('ff', 16, 10)`: digits up to the first that the base lacks, as 64 bits without a sign;
/// a negative target base shows them with one.
fn conv(r: &Row) -> Answer {
    let (text, from, to) = (r.text(0).trim(), r.whole(1), r.whole(2));
    let base = |n: i64| u32::try_from(n).ok().filter(|n| (2..=36).contains(n));
    let (Some(from), Some(target)) = (base(from), base(to.abs())) else { return Ok(Value::Null) };
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value: u64 = 0;
    for digit in digits.chars().map_while(|c| c.to_digit(from)) {
        let more = value.checked_mul(from.into()).and_then(|v| v.checked_add(digit.into()));
        value = more.ok_or_else(|| overflow(&format!("conv(): '{text}' does not fit 64 bits")))?;
    }
    let value = if negative { (value as i64).wrapping_neg() as u64 } else { value };
    let (sign, mut value) = match value as i64 {
        signed if to < 0 && signed < 0 => ("-", signed.unsigned_abs()),
        _ => ("", value),
    };
    let mut out = Vec::new();
    loop {
        let digit = char::from_digit((value % u64::from(target)) as u32, target).unwrap_or('0');
        out.push(digit.to_ascii_uppercase());
        value /= u64::from(target);
        if value == 0 {
            break;
        }
    }
    Ok(format!("{sign}{}", out.iter().rev().collect::<String>()).into())
}

/// Pairs of digits as bytes; an odd first digit stands alone. `None` where one is no digit.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|c| c.to_digit(16).map(|d| d as u8));
    let mut digits = digits.collect::<Option<Vec<u8>>>()?;
    if digits.len() % 2 == 1 {
        digits.insert(0, 0);
    }
    Some(
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect(),
    )
}

/// Bytes as pairs of digits.
pub(super) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn hex(r: &Row) -> Answer {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Int64Type};
    let Some((array, row)) = r.raw(0) else { return Ok(Value::Null) };
    Ok(match array.data_type() {
        DataType::Utf8 => hex_of(array.as_string::<i32>().value(row).as_bytes()).into(),
        DataType::Binary => hex_of(array.as_binary::<i32>().value(row)).into(),
        _ => {
            let one = arrow::compute::cast(&array.slice(row, 1), &DataType::Int64)?;
            format!("{:X}", one.as_primitive::<Int64Type>().value(0)).into()
        }
    })
}

fn width_bucket(r: &Row) -> Answer {
    let (x, low, high, count) = (r.double(0), r.double(1), r.double(2), r.whole(3));
    let bounds = low.is_finite() && high.is_finite() && low != high;
    if count <= 0 || count == i64::MAX || x.is_nan() || !bounds {
        return Ok(Value::Null);
    }
    let (below, above) = if low < high { (x < low, x >= high) } else { (x > low, x <= high) };
    Ok(match (below, above) {
        (true, _) => 0_i64,
        (_, true) => count + 1,
        _ => ((count as f64) * (x - low) / (high - low)) as i64 + 1,
    }
    .into())
}

pub(super) const BITS: &[Function] = &[
    Function::new("bit_count", "any", Gives::Int, |r| {
        use arrow::array::AsArray;
        use arrow::datatypes::{DataType, Int64Type};
        let Some((array, row)) = r.raw(0) else { return Ok(Value::Null) };
        let one = arrow::compute::cast(&array.slice(row, 1), &DataType::Int64)?;
        Ok((one.as_primitive::<Int64Type>().value(0).count_ones() as i32).into())
    }),
    Function::new(
        "bit_get getbit",
        "whole whole",
        Gives::Of(|_, _| arrow::datatypes::DataType::Int8),
        |r| {
            let width = super::scalar::bits(r.type_of(0));
            let at = r.whole(1);
            if !(0..width).contains(&at) {
                return Err(refused(
                    "INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE",
                    format!(
                        "a bit of this number has a position from 0 to {}, not {at}",
                        width - 1
                    ),
                ));
            }
            Ok((r.whole(0) >> at & 1).into())
        },
    ),
    Function::new("shiftleft", "whole whole", Gives::Of(shifted), |r| {
        let (x, by) = (r.whole(0), r.whole(1) as u32);
        Ok(if is_long(r) { x.wrapping_shl(by) } else { (x as i32).wrapping_shl(by).into() }.into())
    }),
    Function::new("shiftright", "whole whole", Gives::Of(shifted), |r| {
        let (x, by) = (r.whole(0), r.whole(1) as u32);
        Ok(if is_long(r) { x.wrapping_shr(by) } else { (x as i32).wrapping_shr(by).into() }.into())
    }),
    Function::new("shiftrightunsigned", "whole whole", Gives::Of(shifted), |r| {
        let (x, by) = (r.whole(0), r.whole(1) as u32);
        Ok(match is_long(r) {
            true => (x as u64).wrapping_shr(by) as i64,
            false => ((x as i32 as u32).wrapping_shr(by) as i32).into(),
        }
        .into())
    }),
];

fn is_long(r: &Row) -> bool {
    r.gives() == &arrow::datatypes::DataType::Int64
}

/// A BIGINT stays one, everything smaller becomes an INT.
fn shifted(
    types: &[arrow::datatypes::DataType],
    _: &[Option<&datafusion::scalar::ScalarValue>],
) -> arrow::datatypes::DataType {
    use arrow::datatypes::DataType;
    match types.first() {
        Some(DataType::Int64 | DataType::UInt64 | DataType::UInt32) => DataType::Int64,
        _ => DataType::Int32,
    }
}
