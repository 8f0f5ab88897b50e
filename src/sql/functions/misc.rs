//! What is left: errors on purpose, identifiers, bitmaps, who and where one is.

use arrow::datatypes::DataType;

use super::scalar::{Function, Gives, Row, refused};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("assert_true", "bool text?", Gives::Of(|_, _| DataType::Null), |r| {
        if !r.is_null(0) && r.bool(0) {
            return Ok(super::scalar::Value::Null);
        }
        Err(raised(if r.has(1) { r.text(1) } else { "assert_true() found what is not true" }))
    })
    .seeing_nulls(),
    Function::new("raise_error", "text", Gives::Of(|_, _| DataType::Null), |r| {
        Err(raised(r.text(0)))
    })
    .seeing_nulls(),
    Function::new("uuid", "", Gives::Text, |_| Ok(uuid::Uuid::new_v4().to_string().into()))
        .volatile(),
    Function::new("current_catalog", "", Gives::Text, |_| Ok("spark_catalog".into())),
    Function::new("current_database current_schema", "", Gives::Text, |_| Ok("default".into())),
    Function::new("current_user user session_user", "", Gives::Text, |_| {
        let name = ["USER", "LOGNAME"].into_iter().find_map(|key| std::env::var(key).ok());
        Ok(name.unwrap_or_else(|| "root".to_owned()).into())
    }),
    // The Spark whose answers these are, and in the place of its revision what answers.
    Function::new("version", "", Gives::Text, |_| {
        Ok(concat!("4.2.1 strandline-", env!("CARGO_PKG_VERSION")).into())
    }),
    // All of a batch is one partition here.
    Function::new("spark_partition_id", "", Gives::Int, |_| Ok(0.into())).volatile(),
    Function::new("bitmap_bucket_number", "whole", Gives::Long, |r| {
        let n = r.whole(0);
        Ok((if n > 0 { 1 + (n - 1) / BITMAP } else { n / BITMAP }).into())
    }),
    Function::new("bitmap_bit_position", "whole", Gives::Long, |r| {
        let n = r.whole(0);
        Ok((if n > 0 { (n - 1) % BITMAP } else { n.wrapping_neg() % BITMAP }).into())
    }),
    Function::new("bitmap_count", "bytes", Gives::Long, |r: &Row| {
        Ok(r.bytes(0).iter().map(|byte| i64::from(byte.count_ones())).sum::<i64>().into())
    }),
];

/// Bits of a bitmap.
const BITMAP: i64 = 32_768;

fn raised(message: &str) -> Error {
    refused("USER_RAISED_EXCEPTION", message.to_owned())
}
