//! Files of plain text: each line is a row of one column, `value`. Bytes that are no UTF-8 are
//! replaced.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::json::LineEnd;
use super::options::{Options, Rule};
use super::{BadRecord, Flaw, Places, SourceRead};
use crate::batch::with_rows;
use crate::error::{Error, Result};

/// Spark's options of a text table.
pub(super) const OPTIONS: &[(&str, Rule)] = &[
    ("compression", Rule::Ignored),
    ("encoding", Rule::Only("UTF-8")),
    ("lineSep", Rule::Honoured),
    ("wholetext", Rule::Honoured),
];

/// The options `wholetext` and `lineSep`.
pub(super) fn line_end(options: &Options) -> Result<LineEnd> {
    match options.flag("wholetext", false)? {
        true => Ok(LineEnd::Never),
        false => LineEnd::from_options(options),
    }
}

/// A table of texts has one column.
pub(super) fn check(schema: &Schema) -> Result<()> {
    match schema.fields().iter().as_slice() {
        [only] if *only.data_type() == DataType::Utf8 => Ok(()),
        _ => Err(Error::sql(
            "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
            "a table USING text has one column, of type STRING",
        )
        .hint("write (value STRING), or leave the columns out")),
    }
}

/// Reads lines.
pub(super) struct TextReader {
    schema: SchemaRef,
    end: LineEnd,
    values: StringBuilder,
    rows: usize,
    places: Places,
    bad: Vec<BadRecord>,
    file: Arc<str>,
    /// How many lines of the file were passed.
    lines: u64,
}

impl TextReader {
    /// A reader of the column, or of none: then lines are only counted.
    pub fn new(schema: SchemaRef, end: LineEnd) -> Self {
        Self {
            schema,
            end,
            values: StringBuilder::new(),
            rows: 0,
            places: Places::default(),
            bad: Vec::new(),
            file: "".into(),
            lines: 0,
        }
    }

    /// Whether a file may be given in pieces.
    pub fn takes_pieces(&self) -> bool {
        self.end == LineEnd::Any
    }

    /// What is given from now on is of this file.
    pub fn begin(&mut self, name: &Arc<str>) {
        self.places.file(name);
        self.file = name.clone();
        self.lines = 0;
    }

    /// Takes lines of the file, blank ones too.
    pub fn lines(&mut self, bytes: &[u8]) {
        for line in self.end.lines(self.lines == 0, bytes) {
            self.values.append_value(String::from_utf8_lossy(line));
            self.lines += 1;
            self.places.row(self.lines);
            self.rows += 1;
        }
    }

    /// Takes a line that is too long, of which so much is kept: its row is that.
    pub fn too_long(&mut self, at: u64, kept: &[u8], length: u64) {
        self.bad.push(BadRecord {
            flaw: Flaw::Surplus,
            row: Some(self.places.rows()),
            file: self.file.clone(),
            line: self.lines + 1,
            offset: at,
            reason: format!("the line has {length} bytes, of which {} are read", kept.len()),
            raw: kept.to_vec(),
        });
        self.values.append_value(String::from_utf8_lossy(kept));
        self.lines += 1;
        self.places.row(self.lines);
        self.rows += 1;
    }

    /// What was read since the last call.
    pub fn finish(&mut self) -> Result<SourceRead> {
        let rows = std::mem::take(&mut self.rows);
        let values: ArrayRef = Arc::new(self.values.finish());
        let columns = self.schema.fields().iter().map(|_| values.clone()).collect();
        let batch = with_rows(&self.schema, columns, rows)?;
        let batches = if rows == 0 { vec![] } else { vec![batch] };
        let places = std::mem::take(&mut self.places);
        let bad = std::mem::take(&mut self.bad);
        Ok(SourceRead { batches, places, bad, ..SourceRead::default() })
    }

    /// Forgets what was read.
    pub fn clear(&mut self) {
        self.values = StringBuilder::new();
        self.rows = 0;
        self.places = Places::default();
        self.bad.clear();
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;
    use arrow::datatypes::Field;

    #[test]
    fn each_line_is_a_row_blank_ones_too() {
        let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]));
        for (end, expected) in [
            (LineEnd::Any, vec!["x", "y", "", "z"]),
            (LineEnd::At(b"y".to_vec()), vec!["x\n", "\r\n\nz"]),
            (LineEnd::Never, vec!["x\ny\r\n\nz"]),
        ] {
            let mut reader = TextReader::new(schema.clone(), end);
            reader.begin(&"f".into());
            reader.lines(b"x\ny\r\n\nz");
            let read = reader.finish().unwrap();
            let found: Vec<_> = read.batches[0].column(0).as_string::<i32>().iter().collect();
            assert_eq!(found, expected.into_iter().map(Some).collect::<Vec<_>>());
        }
    }
}
