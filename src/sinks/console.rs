//! The console sink: each batch as a table of text, for eyes.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;

use super::{OutputBatch, Sink};
use crate::batch::BatchId;
use crate::error::{Error, Result};

/// Writes each batch as text to whatever it was given. It keeps nothing, so a batch that is
/// repeated after a restart is shown again, as in Spark.
pub struct ConsoleSink {
    schema: SchemaRef,
    out: Box<dyn Write + Send>,
}

impl ConsoleSink {
    /// A sink for rows of this schema; an empty batch still shows its columns.
    pub fn new(schema: SchemaRef, out: Box<dyn Write + Send>) -> Self {
        Self { schema, out }
    }
}

impl Sink for ConsoleSink {
    fn description(&self) -> String {
        "ConsoleSink".into()
    }

    fn remembers(&self) -> bool {
        false
    }

    fn newest_batch(&mut self) -> Result<Option<BatchId>> {
        Ok(None)
    }

    fn write(&mut self, batch: &OutputBatch) -> Result<()> {
        let mut rows = batch.rows.clone();
        if rows.is_empty() {
            rows.push(RecordBatch::new_empty(self.schema.clone()));
        }
        let table = pretty_format_batches(&rows)?;
        let written = writeln!(self.out, "Batch: {}\n{table}", batch.id);
        written.and_then(|()| self.out.flush()).map_err(|e| {
            Error::storage("IO_ERROR", format!("cannot show batch {}: {e}", batch.id))
                .hint("the program that reads this output has gone")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_batch_is_a_header_and_a_table() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let paper = Paper::default();
        let mut sink = ConsoleSink::new(rows.schema(), Box::new(paper.clone()));
        sink.write(&OutputBatch { id: 3, rows: vec![rows], watermark: None }).unwrap();
        sink.write(&OutputBatch { id: 4, rows: vec![], watermark: None }).unwrap();
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "Batch: 3\n+---+\n| n |\n+---+\n| 7 |\n+---+\nBatch: 4\n+---+\n| n |\n+---+\n+---+\n"
        );
    }
}
