//! Files of CSV into batches: takes each record and decides, by the mode, what becomes of it.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};

use super::CsvOptions;
use super::record::{Record, Records};
use crate::batch::with_rows;
use crate::error::{Error, Result};
use crate::sources::json::{Column, LineEnd, Mode};
use crate::sources::{BadRecord, Flaw, Mistyped, SourceRead};

/// Rows of one Arrow batch: what DataFusion's operators work on at a time.
const BATCH_ROWS: usize = 8192;

/// Reads CSV files, one after the other.
pub(in crate::sources) struct CsvReader {
    options: CsvOptions,
    schema: SchemaRef,
    /// For each column that is read its place in a record; `None` for that of corrupt records.
    places: Vec<Option<usize>>,
    /// Names of all columns of a record.
    names: Vec<String>,
    /// Whether all columns of a record are read, so that their number is checked.
    counts_values: bool,
    columns: Vec<Column>,
    rows: usize,
    read: SourceRead,
}

impl CsvReader {
    /// A reader of the columns of `schema`, each by its place in `full`, the table's schema.
    pub fn new(full: SchemaRef, schema: SchemaRef, options: CsvOptions) -> Result<Self> {
        let of_record = full.fields().iter().filter(|f| *f.name() != options.corrupt_record);
        let names: Vec<String> = of_record.map(|f| f.name().clone()).collect();
        let place = |name: &String| names.iter().position(|other| other == name);
        let places: Vec<_> = schema.fields().iter().map(|f| place(f.name())).collect();
        let counts_values =
            options.line_end == LineEnd::Never || places.iter().flatten().count() == names.len();
        let columns = schema.fields().iter().map(|field| match field.data_type() {
            nested @ (DataType::List(_) | DataType::Struct(_) | DataType::Map(..)) => {
                Err(Error::sql(
                    "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
                    format!("the column '{}' cannot be {nested} in CSV", field.name()),
                )
                .hint("declare it STRING"))
            }
            data_type => Column::new(data_type, &options.times),
        });
        let columns = columns.collect::<Result<_>>()?;
        let read = SourceRead::default();
        Ok(Self { options, schema, places, names, counts_values, columns, rows: 0, read })
    }

    /// Takes the records of a file. `name` is how the user would name it.
    pub fn file(&mut self, name: &Arc<str>, bytes: &[u8]) -> Result<()> {
        let options = self.options.clone();
        let text = options.encoding.text(bytes);
        let text = String::from_utf8_lossy(&text);
        let mut records = Records::new(&text, &options);
        if options.header
            && let Some(header) = records.next()
        {
            self.check_header(name, &header)?;
        }
        self.read.places.file(name);
        for record in records {
            self.record(name, &record)?;
            if self.rows >= BATCH_ROWS {
                self.close_batch()?;
            }
        }
        Ok(())
    }

    /// The names in a header, where the table does not say that they do not matter.
    fn check_header(&self, file: &str, header: &Record) -> Result<()> {
        let found: Vec<&str> = header.values.iter().map(|v| v.as_deref().unwrap_or("")).collect();
        let same = found.len() == self.names.len()
            && found.iter().zip(&self.names).all(|(a, b)| a.eq_ignore_ascii_case(b));
        if self.options.enforce_schema || same {
            return Ok(());
        }
        Err(Error::input(
            "CSV_HEADER_DOES_NOT_CONFORM",
            format!(
                "{file} has the columns {}, the table {}",
                found.join(", "),
                self.names.join(", ")
            ),
        )
        .hint("correct the columns of the table, or leave out enforceSchema = 'false'"))
    }

    fn record(&mut self, file: &Arc<str>, record: &Record) -> Result<()> {
        let found = record.values.len();
        let mut mistyped = None;
        let mut wrong = (self.counts_values && found != self.names.len()).then(|| {
            format!("the record has {found} values, the table {} columns", self.names.len())
        });
        // Without columns nothing of a record is looked at, unless a mode asks what it is.
        if self.names.is_empty() || self.options.mode == Mode::Permissive && self.columns.is_empty()
        {
            wrong = None;
        }
        for ((column, place), field) in
            self.columns.iter_mut().zip(&self.places).zip(self.schema.fields())
        {
            let Some(place) = place else { continue };
            let value = record.values.get(*place).and_then(|value| value.as_deref());
            match value.filter(|text| *text != self.options.words.null) {
                Some(text) if column.push_plain(text, &self.options.words) => {}
                Some(_) => {
                    column.push_null();
                    mistyped = mistyped.or(Some(field.name().as_str()));
                    wrong.get_or_insert_with(|| {
                        format!("the value of '{}' has not the type of its column", field.name())
                    });
                }
                None => column.push_null(),
            }
        }
        match wrong {
            None => self.close_row(record, false),
            Some(reason) => {
                let mistyped = mistyped.map(Arc::from);
                self.malformed(file, record, reason, mistyped)?;
            }
        }
        Ok(())
    }

    fn malformed(
        &mut self,
        file: &Arc<str>,
        record: &Record,
        reason: String,
        column: Option<Arc<str>>,
    ) -> Result<()> {
        match self.options.mode {
            Mode::Permissive => {
                let row = self.read.places.rows();
                self.read.mistyped.push(Mistyped { row, column });
                self.close_row(record, true);
            }
            Mode::DropMalformed => {
                let rows = self.rows;
                self.columns.iter_mut().for_each(|column| column.truncate(rows));
                self.read.bad.push(BadRecord {
                    flaw: Flaw::Mistyped,
                    row: None,
                    file: file.clone(),
                    line: record.line,
                    offset: record.start as u64,
                    reason,
                    raw: record.text.as_bytes().to_vec(),
                });
            }
            Mode::FailFast => {
                return Err(Error::files(
                    "FAILED_READ_FILE.NO_HINT",
                    format!("{file}, line {}: {reason}", record.line),
                )
                .hint("mend the line, or set the option mode to 'PERMISSIVE' to get NULLs"));
            }
        }
        Ok(())
    }

    /// A row ends here; the column of corrupt records gets its text.
    fn close_row(&mut self, record: &Record, is_corrupt: bool) {
        for (column, place) in self.columns.iter_mut().zip(&self.places) {
            match is_corrupt {
                _ if place.is_some() => {}
                true => column.push_text(record.text),
                false => column.push_null(),
            }
        }
        self.rows += 1;
        self.read.places.row(record.line);
    }

    fn close_batch(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return Ok(());
        }
        let columns = self.columns.iter_mut().map(Column::finish).collect::<Result<_>>()?;
        let batch = with_rows(&self.schema, columns, rows)?;
        self.read.batches.push(batch);
        Ok(())
    }

    /// What was read since the last call.
    pub fn finish(&mut self) -> Result<SourceRead> {
        self.close_batch()?;
        Ok(std::mem::take(&mut self.read))
    }

    /// Forgets what was read since the last [`CsvReader::finish`]: after an error.
    pub fn clear(&mut self) {
        self.columns.iter_mut().for_each(|column| column.truncate(0));
        self.rows = 0;
        self.read = SourceRead::default();
    }
}
