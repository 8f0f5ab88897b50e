//! The memory sink: batches kept as they came, for tests and for questions about a running query.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;

use super::{OutputBatch, Sink};
use crate::batch::BatchId;
use crate::error::Result;

/// The rows of a batch, under its number.
type Kept = (BatchId, Vec<RecordBatch>);

/// Keeps every batch in memory. Copies share what they hold.
#[derive(Debug, Clone, Default)]
pub struct MemorySink(Arc<Mutex<Vec<Kept>>>);

impl MemorySink {
    /// An empty sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// The batches so far, in the order of their numbers.
    pub fn batches(&self) -> Vec<(BatchId, Vec<RecordBatch>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sink for MemorySink {
    fn description(&self) -> String {
        "MemorySink".into()
    }

    fn newest_batch(&mut self) -> Result<Option<BatchId>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).last().map(|(id, _)| *id))
    }

    fn write(&mut self, batch: &OutputBatch) -> Result<()> {
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if batches.last().is_none_or(|(newest, _)| *newest < batch.id) {
            batches.push((batch.id, batch.rows.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_batch_is_kept_once() {
        let mut sink = MemorySink::new();
        let batch = |id| OutputBatch { id, rows: vec![], watermark: None };
        for id in [0, 1, 1, 0] {
            sink.write(&batch(id)).unwrap();
        }
        assert_eq!(sink.batches().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(sink.newest_batch().unwrap(), Some(1));
    }
}
