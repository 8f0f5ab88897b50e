//! A row in a line: `k=x n=2 window=[12:00, 12:05)`.
//!
//! Takes Arrow rows, gives lines, and the JSON between the two. The day on which scripts play is
//! left out.

use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use serde_json::Value;

use crate::error::{Error, Result};

/// Rows as JSON objects, NULLs included.
pub fn objects(rows: &[RecordBatch]) -> Result<Vec<Value>> {
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(vec![]);
    rows.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()?;
    let text = writer.into_inner();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let object = |line| {
        serde_json::from_slice(line)
            .map_err(|e| Error::internal(format!("a row was written as no JSON: {e}")))
    };
    lines.map(object).collect()
}

/// Rows as lines.
pub fn lines(rows: &[RecordBatch]) -> Result<Vec<String>> {
    Ok(objects(rows)?.iter().map(value_of_row).collect())
}

/// `k=x n=2`
fn value_of_row(row: &Value) -> String {
    match row {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| format!("{name}={}", value(field)));
            fields.collect::<Vec<_>>().join(" ")
        }
        other => value(other),
    }
}

/// A window as `[12:00, 12:05)`, a time as `12:00`, a missing value as `NULL`.
fn value(field: &Value) -> String {
    match field {
        Value::Null => "NULL".into(),
        Value::String(text) => moment(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => match (fields.get("start"), fields.get("end")) {
            (Some(start), Some(end)) => format!("[{}, {})", value(start), value(end)),
            _ => format!("{{{}}}", value_of_row(field)),
        },
        other => other.to_string(),
    }
}

/// Rows of a table of rejected rows (see [`crate::engine::rejected`]) as lines, in the order of
/// batches, files and lines: why, where, what, and what there is of the times.
pub fn rejected(rows: &[RecordBatch]) -> Result<Vec<String>> {
    let mut rows = objects(rows)?;
    let number = |row: &Value, name: &str| row[name].as_i64();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.sort_by_key(|row| (number(row, "batch"), text(row, "file"), number(row, "line")));
    let line = |row: &Value| {
        let mut line = format!("batch {} {}", row["batch"], text(row, "reason"));
        if !row["file"].is_null() {
            line += &format!(" {}:{}", text(row, "file"), value(&row["line"]));
        }
        let whole = row["row"].as_str().map(str::to_owned);
        line += &format!(" {}", whole.unwrap_or_else(|| text(row, "detail")));
        for name in ["event_time", "watermark", "windows", "first_batch"] {
            if !row[name].is_null() {
                line += &format!(" {name}={}", value(&row[name]));
            }
        }
        line
    };
    Ok(rows.iter().map(line).collect())
}

/// The day on which scripts play.
const DAY: &str = "2026-01-01T";

/// `12:00` for `2026-01-01T12:00:00Z`, `-` for the beginning of time as computers know it.
pub fn moment(text: &str) -> String {
    let Some(time) = text.strip_suffix('Z') else { return text.to_string() };
    let time = time.strip_suffix(".000").unwrap_or(time);
    if time == "1970-01-01T00:00:00" {
        return "-".into();
    }
    let Some(time) = time.strip_prefix(DAY) else { return text.to_string() };
    time.strip_suffix(":00").unwrap_or(time).to_string()
}

/// `"2026-01-01T12:00:00Z"` for `"12:00"`, in lines of JSON.
pub fn long_times(lines: &str) -> String {
    let long = |text: &str| {
        let shape: String =
            text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        match shape.as_str() {
            "00:00" => format!("{DAY}{text}:00Z"),
            "00:00:00" => format!("{DAY}{text}Z"),
            _ => text.to_string(),
        }
    };
    lines.split('"').map(long).collect::<Vec<_>>().join("\"")
}
