//! Rows that differ, as a table for people and as JSON for programs.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::Value;

use super::table::{self, Format};
use crate::calendar::Zone;
use crate::engine::replay::Difference;
use crate::error::Result;

/// So many rows of each side are shown to people.
const SHOWN: usize = 20;

/// The rows of both sides as one table, each with the name of its side in front; how many are left
/// out is said below it.
pub fn side_by_side(names: [&str; 2], difference: &Difference, zone: &Zone) -> Result<String> {
    let mut rows = vec![];
    let mut left_out = 0;
    for (name, side) in names.into_iter().zip([&difference.left, &difference.right]) {
        let mut room = SHOWN;
        for batch in side {
            let shown = batch.num_rows().min(room);
            room -= shown;
            left_out += batch.num_rows() - shown;
            rows.push(with_name(name, &batch.slice(0, shown))?);
        }
    }
    let Some(first) = rows.first() else { return Ok(String::new()) };
    let mut text = table::render(&first.schema(), &rows, zone)?.to_string();
    if left_out > 0 {
        text.push_str(&format!("\nand {left_out} more"));
    }
    Ok(text)
}

/// Rows that stand for the same on both sides, as one table: each pair together.
pub fn in_pairs(names: [&str; 2], difference: &Difference, zone: &Zone) -> Result<String> {
    let pairs = difference.left.iter().zip(&difference.right);
    let row = |(left, right): (&RecordBatch, &RecordBatch),
               at: usize|
     -> Result<[RecordBatch; 2]> {
        Ok([with_name(names[0], &left.slice(at, 1))?, with_name(names[1], &right.slice(at, 1))?])
    };
    let all = pairs.flat_map(|pair| (0..pair.0.num_rows()).map(move |at| row(pair, at)));
    let rows = all.take(SHOWN).collect::<Result<Vec<_>>>()?.concat();
    let Some(first) = rows.first() else { return Ok(String::new()) };
    let mut text = table::render(&first.schema(), &rows, zone)?.to_string();
    let left_out = difference.counts().0.saturating_sub(SHOWN);
    if left_out > 0 {
        text.push_str(&format!("\nand {left_out} more"));
    }
    Ok(text)
}

/// The rows with one more column in front.
fn with_name(name: &str, rows: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = vec![Arc::new(Field::new("found", DataType::Utf8, false))];
    fields.extend(rows.schema().fields().iter().cloned());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec![name; rows.num_rows()]))];
    columns.extend(rows.columns().iter().cloned());
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The rows as JSON objects, as `strandline sql` prints them.
pub fn objects(rows: &[RecordBatch]) -> Result<Vec<Value>> {
    let Some(first) = rows.first() else { return Ok(vec![]) };
    let mut text = vec![];
    table::write(&mut text, Format::Json, &first.schema(), rows, &Zone::default())?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}
