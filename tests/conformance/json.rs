//! Result rows as Spark's `DataFrame.toJSON` writes them: takes Arrow rows, gives JSON objects in
//! which NULL fields are left out and timestamps are cut to milliseconds.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::array_value_to_string;
use serde_json::{Map, Number, Value, json};
use strandline::time::{iso_millis, micros_to_millis};

/// The rows of these batches, one object each.
pub fn rows(batches: &[RecordBatch]) -> Vec<Value> {
    let mut rows = vec![];
    for batch in batches {
        let all = StructArray::from(batch.clone());
        rows.extend((0..all.len()).map(|row| object(&all, row)));
    }
    rows
}

fn object(fields: &StructArray, row: usize) -> Value {
    let present = fields.fields().iter().zip(fields.columns()).filter(|(_, c)| !c.is_null(row));
    Value::Object(present.map(|(f, column)| (f.name().clone(), value(column, row))).collect())
}

fn value(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        // A FLOAT is written with its own shortest digits, not with those of the DOUBLE it widens to.
        DataType::Float32 => float(&array.as_primitive::<Float32Type>().value(row).to_string()),
        DataType::Float64 => float(&array.as_primitive::<Float64Type>().value(row).to_string()),
        DataType::Decimal128(..) => {
            float(&array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => json!(base64(array.as_binary::<i32>().value(row))),
        DataType::Date32 => {
            let date = array.as_primitive::<Date32Type>().value_as_date(row);
            json!(date.map(|date| date.to_string()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let time = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let text = iso_millis(micros_to_millis(time));
            json!(if zone.is_some() { &text } else { text.trim_end_matches('Z') })
        }
        DataType::Struct(_) => object(array.as_struct(), row),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|item| value(&items, item)).collect()
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let entry = |i| (array_value_to_string(keys, i).unwrap(), value(values, i));
            Value::Object((0..entries.len()).map(entry).collect::<Map<_, _>>())
        }
        _ => json!(array_value_to_string(array, row).unwrap()),
    }
}

fn float(digits: &str) -> Value {
    let number: f64 = digits.parse().unwrap();
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => json!("NaN"),
        None if number > 0.0 => json!("Infinity"),
        None => json!("-Infinity"),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let six = bits >> (18 - 6 * digit) & 63;
            text.push(if digit > group.len() { '=' } else { DIGITS[six as usize] as char });
        }
    }
    text
}
