//! A source that several queries read, batch by batch side by side, and whose files are read once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;

use crate::engine::query::Origin;
use crate::error::Result;
use crate::sources::{Admit, Place, Source, SourceRead, Take, Watched};

/// One reader of a source that has several. Rows are kept until another batch is read.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Reading>>);

struct Reading {
    source: Box<dyn Source>,
    last: Option<(Take, SourceRead)>,
}

impl Shared {
    /// Makes a source one that can be read by several.
    pub(super) fn new(source: Box<dyn Source>) -> Self {
        Self(Arc::new(Mutex::new(Reading { source, last: None })))
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The origins of a query, their streams made shared; gives the streams too, by their place.
pub(super) fn share(origins: Vec<Origin>) -> (Vec<Origin>, Vec<Option<Shared>>) {
    let share = |origin| match origin {
        Origin::Stream(source) => {
            let shared = Shared::new(source);
            (Origin::Stream(Box::new(shared.clone())), Some(shared))
        }
        still => (still, None),
    };
    origins.into_iter().map(share).unzip()
}

/// The origins of one more query with the same reads: its streams are those that are shared.
pub(super) fn reuse(origins: Vec<Origin>, streams: &[Option<Shared>]) -> Vec<Origin> {
    let reuse = |(origin, shared): (Origin, &Option<Shared>)| match shared {
        Some(shared) => Origin::Stream(Box::new(shared.clone())),
        None => origin,
    };
    origins.into_iter().zip(streams).map(reuse).collect()
}

impl Source for Shared {
    fn description(&self) -> String {
        self.reading().source.description()
    }

    fn schema(&self) -> SchemaRef {
        self.reading().source.schema()
    }

    /// All of them are the same query in this: it is told as often as there are readers.
    fn project(&mut self, columns: &[usize]) -> Result<()> {
        self.reading().source.project(columns)
    }

    fn freeze(&mut self) -> Result<()> {
        self.reading().source.freeze()
    }

    fn next(&mut self, admit: Admit) -> Result<Option<Take>> {
        self.reading().source.next(admit)
    }

    fn decided(&mut self, take: &Take) -> Result<()> {
        self.reading().source.decided(take)
    }

    fn read(&mut self, take: &Take) -> Result<SourceRead> {
        let mut reading = self.reading();
        if let Some((_, rows)) = reading.last.as_ref().filter(|(last, _)| last == take) {
            return Ok(rows.clone());
        }
        let rows = reading.source.read(take)?;
        reading.last = Some((take.clone(), rows.clone()));
        Ok(rows)
    }

    fn whole_rows(&mut self, take: &Take, places: &[Place]) -> Result<Vec<Option<String>>> {
        self.reading().source.whole_rows(take, places)
    }

    fn watched(&self) -> Option<Watched> {
        self.reading().source.watched()
    }
}
