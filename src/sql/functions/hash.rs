//! Digests and hashes: of bytes (`md5`, `sha2`, `crc32`), and of values of any type (`hash`,
//! `xxhash64`), with Spark's seed and its way through nested types.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use twox_hash::XxHash64;

use super::numbers::hex_of;
use super::scalar::{Function, Gives, Row, refused};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("crc32", "bytes", Gives::Long, |r| {
        Ok(i64::from(crc32fast::hash(r.bytes(0))).into())
    }),
    Function::new("md5", "bytes", Gives::Text, |r| Ok(digest::<Md5>(r.bytes(0)).into())),
    Function::new("sha sha1", "bytes", Gives::Text, |r| Ok(digest::<Sha1>(r.bytes(0)).into())),
    Function::new("sha2", "bytes whole", Gives::Text, |r| {
        let bytes = r.bytes(0);
        let text = match r.whole(1) {
            224 => digest::<Sha224>(bytes),
            0 | 256 => digest::<Sha256>(bytes),
            384 => digest::<Sha384>(bytes),
            512 => digest::<Sha512>(bytes),
            _ => return Ok(super::scalar::Value::Null),
        };
        Ok(text.into())
    }),
    Function::new("hash", "any+", Gives::Int, |r| {
        let seed = all(r, 42, &|bytes: Bytes<'_>, seed| u64::from(murmur3(bytes, seed as u32)))?;
        Ok((seed as u32 as i32).into())
    })
    .seeing_nulls(),
    Function::new("xxhash64", "any+", Gives::Long, |r| {
        Ok((all(r, 42, &|bytes: Bytes<'_>, seed| XxHash64::oneshot(seed, bytes.0))? as i64).into())
    })
    .seeing_nulls(),
];

fn digest<D: Digest>(bytes: &[u8]) -> String {
    hex_of(&D::digest(bytes)).to_lowercase()
}

/// The bytes of one value.
struct Bytes<'a>(&'a [u8]);

type Step<'a> = dyn Fn(Bytes<'_>, u64) -> u64 + 'a;

/// The hash of one value is the seed of the next.
fn all(r: &Row, seed: u64, step: &Step<'_>) -> Result<u64, Error> {
    let mut seed = seed;
    for i in 0..r.len() {
        if let Some((array, row)) = r.raw(i) {
            seed = one(array, row, seed, step)?;
        }
    }
    Ok(seed)
}

/// NULL leaves the seed as it is. Numbers are hashed as 4 or 8 bytes.
fn one(array: &ArrayRef, row: usize, seed: u64, step: &Step<'_>) -> Result<u64, Error> {
    if array.is_null(row) || array.data_type().is_null() {
        return Ok(seed);
    }
    let four = |n: i32| step(Bytes(&n.to_le_bytes()), seed);
    let eight = |n: i64| step(Bytes(&n.to_le_bytes()), seed);
    Ok(match array.data_type() {
        DataType::Boolean => four(array.as_boolean().value(row).into()),
        DataType::Int8 => four(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => four(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => four(array.as_primitive::<Int32Type>().value(row)),
        DataType::Date32 => four(array.as_primitive::<Date32Type>().value(row)),
        DataType::Int64 => eight(array.as_primitive::<Int64Type>().value(row)),
        DataType::Timestamp(..) => {
            eight(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        // Adding 0.0 makes -0.0 the same as 0.0.
        DataType::Float32 => {
            four((array.as_primitive::<Float32Type>().value(row) + 0.0).to_bits() as i32)
        }
        DataType::Float64 => {
            eight((array.as_primitive::<Float64Type>().value(row) + 0.0).to_bits() as i64)
        }
        DataType::Decimal128(precision, _) => {
            let digits = array.as_primitive::<Decimal128Type>().value(row);
            match i64::try_from(digits) {
                Ok(digits) if *precision <= 18 => eight(digits),
                _ => step(Bytes(shortest(&digits.to_be_bytes())), seed),
            }
        }
        DataType::Utf8 => step(Bytes(array.as_string::<i32>().value(row).as_bytes()), seed),
        DataType::Binary => step(Bytes(array.as_binary::<i32>().value(row)), seed),
        DataType::Struct(_) => {
            let fields = array.as_struct().columns();
            fields.iter().try_fold(seed, |seed, field| one(field, row, seed, step))?
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).try_fold(seed, |seed, item| one(&items, item, seed, step))?
        }
        other => {
            let what = format!("a {} has no hash", crate::sql::types::spark_name(other));
            return Err(refused("DATATYPE_MISMATCH.HASH_MAP_TYPE", what));
        }
    })
}

/// The fewest bytes that hold a signed number, as Java's `BigInteger` writes it.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [first @ (0 | 0xff), second, ..] = bytes
        && (first ^ second) & 0x80 == 0
    {
        bytes = &bytes[1..];
    }
    bytes
}

/// 32-bit Murmur3, but each byte after the last whole word is mixed in as a word of its own.
fn murmur3(Bytes(bytes): Bytes<'_>, seed: u32) -> u32 {
    let mix = |hash: u32, word: u32| {
        let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    };
    let words = bytes.chunks_exact(4);
    let tail = words.remainder();
    let hash = words.fold(seed, |hash, word| {
        mix(hash, word.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)))
    });
    let hash = tail.iter().fold(hash, |hash, byte| mix(hash, *byte as i8 as u32));
    let hash = hash ^ bytes.len() as u32;
    let hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}
