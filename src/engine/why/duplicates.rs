//! Of rows with the same key, which one came out and which are duplicates of it: as the operator decides, from
//! the files that the batches took.

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::rows::{Found, Story, rows_of};
use crate::batch::BatchId;
use crate::engine::assemble::about::About;
use crate::engine::look::Look;
use crate::engine::look::probe::Probe;
use crate::engine::look::stream::RowPlace;
use crate::error::Result;
use crate::operators::deduplicate::Forget;
use crate::operators::late::event_times;

/// So many rows of the same keys are looked at, at most.
const MOST: usize = 500;

/// The key of a deduplication that stands first in a query, where it is made of columns of the table.
pub struct Duplicates {
    keys: Vec<String>,
    forget: Forget,
}

/// What became of a row with a key.
pub enum Fate {
    /// It was the first.
    First,
    /// Another one was.
    DuplicateOf(RowPlace, BatchId),
}

impl Duplicates {
    /// The deduplication of a query; `None`: it has none, or something else comes first.
    pub fn of(look: &Look) -> Option<Self> {
        match &look.assembly.stages.first()?.about {
            About::Duplicates { keys, forget, .. } => {
                Some(Self { keys: keys.clone(), forget: *forget })
            }
            _ => None,
        }
    }

    /// The texts of a row's key; `None`: the table does not have these columns.
    fn key(&self, row: &RecordBatch) -> Result<Option<Vec<String>>> {
        let options = FormatOptions::default().with_null("NULL");
        let schema = row.schema();
        let mut texts = vec![];
        for key in &self.keys {
            let Ok(at) = schema.index_of(key) else { return Ok(None) };
            texts.push(
                ArrayFormatter::try_new(row.column(at).as_ref(), &options)?.value(0).to_string(),
            );
        }
        Ok(Some(texts))
    }

    /// All rows that batches took which have the key of one of these, in the order in which they came.
    pub fn candidates(&self, look: &mut Look, found: &[Found]) -> Result<Vec<Found>> {
        let mut wanted = vec![];
        for row in found {
            wanted.extend(self.key(&row.row)?);
        }
        let mut candidates = vec![];
        for stream in 0..look.streams.len() {
            let has =
                |row: &RecordBatch| Ok(self.key(row)?.is_some_and(|key| wanted.contains(&key)));
            candidates.extend(rows_of(look, stream, &has)?);
        }
        candidates.truncate(MOST);
        Ok(candidates)
    }

    /// What became of a row: it, or the row of its key that came first before it and was still remembered.
    pub fn fate(
        &self,
        look: &Look,
        probe: &Probe<'_>,
        candidates: &[Found],
        row: &Found,
        story: &dyn Fn(&Found) -> Result<Story>,
    ) -> Result<Option<Fate>> {
        let Some(key) = self.key(&row.row)? else { return Ok(None) };
        let mut first: Option<(&Found, Option<i64>)> = None;
        for candidate in candidates {
            if self.key(&candidate.row)?.as_ref() != Some(&key) {
                continue;
            }
            let Some(batch) = candidate.batch else { break };
            let is_it = candidate.place == row.place && candidate.stream == row.stream;
            let let_in = !matches!(story(candidate)?.fate, "filtered" | "late");
            if let_in {
                let remembered = first.filter(|(_, until)| {
                    // What the watermark of the batch before has reached, it has let go.
                    let watermark = look.late_watermark_ms(batch).unwrap_or(0);
                    until.is_none_or(|until| until > watermark.saturating_mul(1000))
                });
                match remembered {
                    Some((other, _)) if is_it => {
                        let batch = other.batch.unwrap_or_default();
                        return Ok(Some(Fate::DuplicateOf(other.place.clone(), batch)));
                    }
                    Some(_) => {}
                    None => {
                        probe.feed(candidate.stream, vec![candidate.row.clone()], look.now);
                        first = Some((candidate, self.until(probe, candidate.stream)?));
                    }
                }
            }
            if is_it {
                return Ok(Some(Fate::First).filter(|_| let_in));
            }
        }
        Ok(None)
    }

    /// Until when the row that was fed is remembered, in microseconds; `None`: for ever.
    fn until(&self, probe: &Probe<'_>, stream: usize) -> Result<Option<i64>> {
        let more = match self.forget {
            Forget::Never => return Ok(None),
            Forget::AtEventTime => 0,
            Forget::After(more) => more,
        };
        let Some((column, rows)) = probe.at_watermark(stream)? else { return Ok(None) };
        let Some(rows) = rows.first().filter(|rows| rows.num_rows() > 0) else { return Ok(None) };
        let times = event_times(rows.column(column))?;
        Ok(match (times.is_valid(0), self.forget) {
            (true, _) => Some(times.value(0).saturating_add(more)),
            (false, Forget::After(_)) => Some(more),
            (false, _) => None,
        })
    }
}
