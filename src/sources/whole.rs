//! Rows of a file as they are, whole: takes a file and line numbers, gives each row as JSON, with
//! all its columns and not just those that a query reads. For the few rows that somebody asks
//! about; the file is read once more.

use std::borrow::Cow;
use std::path::Path;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use serde_json::{Map, Value};

use super::csv::{CsvOptions, Records};
use super::format::Format;
use super::json::{JsonOptions, LineEnd, Lines};
use super::{bytes, parquet};
use crate::error::{Error, Result};

/// The rows on these lines of a file, in the order of `lines`. `schema`: the columns of the table
/// that come out of its files; `raw`: the file's bytes, as they lie on the disk.
pub(super) fn rows(
    format: &Format,
    schema: &SchemaRef,
    path: &Path,
    raw: &mut Vec<u8>,
    lines: &[u64],
) -> Result<Vec<Option<String>>> {
    if let Format::Parquet = format {
        return rows_of(&parquet::read(path, &super::json::shown(path), schema, &[])?, lines);
    }
    bytes::unpack(path, raw)?;
    Ok(match format {
        Format::Json(options) => of_json(options, raw, lines),
        Format::Csv(options) => of_csv(options, schema, raw, lines),
        Format::Text(end) => of_text(end, raw, lines),
        Format::Parquet => vec![],
    })
}

fn of_json(options: &JsonOptions, raw: &[u8], lines: &[u64]) -> Vec<Option<String>> {
    let text = options.encoding.text(raw);
    let found = Lines::new(&text, &options.line_end);
    let found = found.map(|line| (line.number, &text[line.start..line.end]));
    pick(found, |line| String::from_utf8_lossy(line).into_owned(), lines)
}

fn of_csv(
    options: &CsvOptions,
    schema: &SchemaRef,
    raw: &[u8],
    lines: &[u64],
) -> Vec<Option<String>> {
    let text = options.encoding.text(raw);
    let text = String::from_utf8_lossy(&text);
    let names = schema.fields().iter().filter(|field| *field.name() != options.corrupt_record);
    let names: Vec<&String> = names.map(|field| field.name()).collect();
    let object = |values: Vec<Option<Cow<'_, str>>>| {
        let named = values.iter().enumerate().map(|(at, value)| {
            let name = names.get(at).map_or_else(|| format!("_c{at}"), |name| name.to_string());
            (name, value.as_deref().map_or(Value::Null, Value::from))
        });
        Value::Object(named.collect::<Map<_, _>>()).to_string()
    };
    let records = Records::new(&text, options).map(|record| (record.line, record.values));
    pick(records, object, lines)
}

fn of_text(end: &LineEnd, raw: &[u8], lines: &[u64]) -> Vec<Option<String>> {
    let value =
        |line: &[u8]| serde_json::json!({ "value": String::from_utf8_lossy(line) }).to_string();
    pick((1..).zip(end.lines(true, raw)), value, lines)
}

/// Of rows in the order of their numbers those that are asked for, written by `text`.
fn pick<T>(
    found: impl Iterator<Item = (u64, T)>,
    text: impl Fn(T) -> String,
    lines: &[u64],
) -> Vec<Option<String>> {
    let mut wanted: Vec<usize> = (0..lines.len()).collect();
    wanted.sort_unstable_by_key(|&at| lines[at]);
    let mut wanted = wanted.into_iter().peekable();
    let mut rows = vec![None; lines.len()];
    for (number, row) in found {
        // A line before the one that was found is not there.
        while wanted.next_if(|&at| lines[at] < number).is_some() {}
        let Some(first) = wanted.next_if(|&at| lines[at] == number) else {
            match wanted.peek() {
                Some(_) => continue,
                None => break,
            }
        };
        let row = text(row);
        while let Some(again) = wanted.next_if(|&at| lines[at] == number) {
            rows[again] = Some(row.clone());
        }
        rows[first] = Some(row);
    }
    rows
}

/// Of all rows of a file, by their numbers from 1, these as JSON.
pub(super) fn rows_of(batches: &[RecordBatch], numbers: &[u64]) -> Result<Vec<Option<String>>> {
    let Some(first) = batches.first() else { return Ok(vec![None; numbers.len()]) };
    let all = concat_batches(&first.schema(), batches)?;
    let there = |number: &u64| *number >= 1 && *number <= all.num_rows() as u64;
    let picked: UInt32Array = numbers
        .iter()
        .filter(|number| there(number))
        .map(|number| Some(*number as u32 - 1))
        .collect();
    let mut rows = json_of(&take_record_batch(&all, &picked)?)?.into_iter();
    Ok(numbers.iter().map(|number| there(number).then(|| rows.next()).flatten()).collect())
}

/// Each row of a batch as a JSON object.
pub fn json_of(rows: &RecordBatch) -> Result<Vec<String>> {
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner())
        .map_err(|e| Error::internal(format!("rows as JSON are no text: {e}")))?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::pick;

    #[test]
    fn each_row_that_is_asked_for_comes_once_for_each_time() {
        let found = || [(1, "a"), (2, "b"), (4, "d"), (5, "e")].into_iter();
        let picked = |lines: &[u64]| pick(found(), str::to_owned, lines);
        let row = |text: &str| Some(text.to_owned());
        assert_eq!(picked(&[]), [] as [Option<String>; 0]);
        assert_eq!(picked(&[4, 1]), [row("d"), row("a")]);
        assert_eq!(picked(&[2, 3, 2, 9, 0]), [row("b"), None, row("b"), None, None]);
    }
}
