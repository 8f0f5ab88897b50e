//! Random numbers and texts, another one in each row. Bits come from random UUIDs.
//!
//! A seed is refused: Spark's sequence for a seed depends on how it parted the rows.

use super::scalar::{Answer, Function, Gives, Row, Value, refused};
use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use crate::error::Error;
use crate::sql::coercion;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("rand random", "whole?", Gives::Double, |r| {
        unseeded(r, 0)?;
        Ok(fraction().into())
    })
    .seeing_nulls()
    .volatile(),
    Function::new("randn", "whole?", Gives::Double, |r| {
        unseeded(r, 0)?;
        // Box and Muller's way from even numbers to those of the bell curve.
        let distance = (-2.0 * (1.0 - fraction()).ln()).sqrt();
        Ok((distance * (std::f64::consts::TAU * fraction()).cos()).into())
    })
    .seeing_nulls()
    .volatile(),
    Function::new("uniform", "number number whole?", Gives::Of(between), uniform).volatile(),
    Function::new("randstr", "whole whole?", Gives::Text, |r| {
        unseeded(r, 1)?;
        let length = usize::try_from(r.whole(0)).map_err(|_| {
            refused(
                "INVALID_PARAMETER_VALUE.LENGTH",
                format!("randstr() takes a length from 0 on, not {}", r.whole(0)),
            )
        })?;
        const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let letter = |_| char::from(LETTERS[(fraction() * LETTERS.len() as f64) as usize]);
        Ok((0..length).map(letter).collect::<String>().into())
    })
    .volatile(),
];

fn unseeded(r: &Row, seed: usize) -> Result<(), Error> {
    if !r.has(seed) {
        return Ok(());
    }
    Err(Error::sql("UNSUPPORTED_FEATURE", "a seed for random values is not supported")
        .hint("leave the seed out; the values are others each time then"))
}

/// From 0 on, less than 1: 52 of the bits that a random UUID draws.
fn fraction() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128() & ((1 << 52) - 1);
    bits as f64 / (1_u64 << 52) as f64
}

fn between(types: &[DataType], _: &[Option<&ScalarValue>]) -> DataType {
    match types {
        [a, b, ..] => coercion::common_type(a, b).unwrap_or(DataType::Float64),
        _ => DataType::Float64,
    }
}

/// Of a range without its end, in the type of its ends.
fn uniform(r: &Row) -> Answer {
    unseeded(r, 2)?;
    let number = |i| match r.type_of(i) {
        DataType::Decimal128(_, scale) => r.digits(i) as f64 / 10_f64.powi(i32::from(*scale)),
        whole if whole.is_integer() => r.whole(i) as f64,
        _ => r.double(i),
    };
    let (low, high) = (number(0), number(1));
    let drawn = low + (high - low) * fraction();
    Ok(match r.gives() {
        DataType::Float32 | DataType::Float64 => drawn.into(),
        DataType::Decimal128(_, scale) => {
            Value::Whole((drawn * 10_f64.powi(i32::from(*scale))) as i128)
        }
        _ => Value::Whole(drawn.floor() as i128),
    })
}
