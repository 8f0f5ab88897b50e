//! A run computed again, batch by batch, beside what it wrote into its table.
//!
//! What a batch wrote is told by the table's log (see [`Written`]). In append mode, and in complete
//! mode too, the files of its version hold just the rows of the batch. In update mode they also hold
//! neighbours of the rows that changed: there a batch is right if what it took away and added is the
//! older rows of its groups and the newer ones. Where others have changed the table, or files of old
//! versions are gone, the content of the table as it is now is compared once more at the end.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::RecordBatch;

use super::moves::{Kept, Moves};
use super::rerun::{Ran, Rerun};
use super::rows::{Bag, Difference, Encoder, Row};
use crate::batch::BatchId;
use crate::checkpoint::{Offsets, Recording, pinned_facts};
use crate::engine::pipeline::{Pipeline, PlannedQuery, rejected_table};
use crate::engine::query::StepReport;
use crate::engine::rejected;
use crate::error::{Error, Result};
use crate::sinks::OutputMode;
use crate::sinks::delta::written::{BATCH_MISSING, Written};

/// How computed rows and written ones compare.
#[derive(Debug)]
pub enum Outcome {
    /// They are the same.
    Same,
    /// Rows that were only computed (left), and rows that are only in the table (right).
    Different(Difference),
    /// What was written cannot be had any more: the error says why.
    Unknown(Error),
}

/// A batch that was computed again.
#[derive(Debug)]
pub struct Checked {
    /// Its number.
    pub batch: BatchId,
    /// What was decided.
    pub decided: Offsets,
    /// What it did now.
    pub report: StepReport,
    /// How its rows compare with those in the table.
    pub outcome: Outcome,
    /// How the rows that it rejected compare with those in the table of rejected rows, if there is
    /// one.
    pub rejected: Outcome,
    /// What it did to what the operators keep; empty unless [`Replay::watch_state`] was called.
    pub moves: Vec<Moves>,
}

/// A run that is being computed again.
pub struct Replay {
    batches: std::vec::IntoIter<Offsets>,
    next: BatchId,
    rerun: Rerun,
    written: Written,
    rejected: Option<(Written, Encoder)>,
    mode: OutputMode,
    rows: Encoder,
    /// In update mode: the groups of the rows, and the newest row of each group.
    keys: Encoder,
    newest: BTreeMap<Row, Row>,
    /// What the table should hold in the end, where it is not clear from the batches that it does.
    content: Option<Bag>,
    /// What the operators keep, where somebody wants to see it change.
    kept: Option<Kept>,
}

impl Replay {
    /// Opens a query for a replay of what `checkpoint` says. Changes nothing there.
    ///
    /// # Errors
    ///
    /// `CHECKPOINT_QUERY_CHANGED`: the text of the pipeline is another one now. Those of
    /// [`Recording::read`] and [`Written::read`].
    pub fn open(pipeline: &Pipeline, planned: &PlannedQuery, checkpoint: &Path) -> Result<Self> {
        let recording = Recording::read(checkpoint)?;
        let rerun = Rerun::open(pipeline, planned, pipeline.origins(planned)?, true)?;
        require_same(&rerun, &recording, checkpoint)?;
        let (schema, mode) = (&rerun.query.assembly.schema, rerun.query.assembly.sink_mode);
        let table = pipeline.project().table(&planned.name);
        let written = Written::read(&table, &recording.query_id, schema)?;
        let table = pipeline.project().table(&rejected_table(&planned.name));
        let rejected = match table.exists() {
            true => {
                let written = Written::read(&table, &recording.query_id, &rejected::schema())?;
                let rows = Encoder::new(written.schema())?;
                Some((written, rows))
            }
            false => None,
        };
        let keys = Encoder::of_columns(written.schema(), &rerun.query.assembly.keys)?;
        Ok(Self {
            batches: recording.batches.into_iter(),
            next: 0,
            mode,
            rows: Encoder::new(written.schema())?,
            keys,
            newest: BTreeMap::new(),
            content: (!written.by_others().is_empty() || !written.is_whole()).then(Bag::default),
            written,
            rejected,
            rerun,
            kept: None,
        })
    }

    /// From now on each batch tells what it did to what the operators keep, at a cost that follows
    /// all that they keep.
    pub fn watch_state(&mut self) {
        self.kept = Some(Kept::default());
    }

    /// How many batches are still to come.
    pub fn left(&self) -> usize {
        self.batches.len()
    }

    /// Versions in which somebody else has added or taken away rows.
    pub fn by_others(&self) -> &[u64] {
        self.written.by_others()
    }

    /// Computes the next batch again; `None`: there is no other.
    ///
    /// # Errors
    ///
    /// `SOURCE_FILE_CHANGED`, `SOURCE_FILE_MISSING`: what the batch read is not there as it was.
    /// [`BATCH_MISSING`]: the table is not the one that the query wrote.
    pub fn step(&mut self) -> Result<Option<Checked>> {
        let Some(decided) = self.batches.next() else { return Ok(None) };
        let batch = self.next;
        self.next += 1;
        let ran = self.rerun.run(&decided)?;
        let mut bag = Bag::default();
        self.expect(&ran.report.rows, &mut bag)?;
        let outcome = match self.written.batch(batch) {
            Ok(rows) => {
                if self.mode == OutputMode::Update {
                    bag.add(self.encoded(&rows.removed)?, 1);
                }
                bag.add(self.encoded(&rows.added)?, -1);
                outcome(bag.difference(&self.rows)?)
            }
            Err(error) if error.condition() == BATCH_MISSING => return Err(error),
            Err(error) => Outcome::Unknown(error),
        };
        let mut moves = vec![];
        if let Some(before) = self.kept.take() {
            let after = Kept::now(&self.rerun)?;
            moves = before.moves_to(&after, &self.rerun, &ran);
            self.kept = Some(after);
        }
        let Ran { report, .. } = ran;
        let rejected = self.rejected(batch, &report)?;
        Ok(Some(Checked { batch, decided, report, outcome, rejected, moves }))
    }

    /// How the rejected rows of a batch compare. A batch without any has written nothing.
    fn rejected(&self, batch: BatchId, report: &StepReport) -> Result<Outcome> {
        let Some((written, encoder)) = &self.rejected else { return Ok(Outcome::Same) };
        let there = match written.batch(batch) {
            Err(error) if error.condition() == BATCH_MISSING => vec![],
            Err(error) => return Ok(Outcome::Unknown(error)),
            Ok(rows) => rows.added,
        };
        let mut bag = Bag::default();
        if let Some(rows) = &report.rejected {
            bag.add(encoder.encode(rows)?, 1);
        }
        for rows in &there {
            bag.add(encoder.encode(rows)?, -1);
        }
        Ok(outcome(bag.difference(encoder)?))
    }

    /// After the last batch: how the table's content as it is now compares with what the batches
    /// should have made of it. `None`: the batches have said it all.
    pub fn finish(self) -> Result<Option<Outcome>> {
        let Some(mut bag) = self.content else { return Ok(None) };
        if self.mode == OutputMode::Update {
            bag.add(self.newest.into_values(), 1);
        }
        Ok(Some(match self.written.content(self.next) {
            Ok(rows) => {
                for batch in &rows {
                    bag.add(self.rows.encode(batch)?, -1);
                }
                outcome(bag.difference(&self.rows)?)
            }
            Err(error) => Outcome::Unknown(error),
        }))
    }

    /// Notes what a batch with these rows must have put into the table, and taken out of it.
    fn expect(&mut self, batches: &[RecordBatch], bag: &mut Bag) -> Result<()> {
        let rows = self.encoded(batches)?;
        if self.mode == OutputMode::Update {
            let keys = &self.rerun.query.assembly.keys;
            let mut fresh = BTreeMap::new();
            let mut at = rows.into_iter();
            for batch in batches {
                for key in self.keys.encode(&batch.project(keys)?)? {
                    fresh.extend(at.next().map(|row| (key, row)));
                }
            }
            for (key, row) in fresh {
                bag.add([row.clone()], 1);
                bag.add(self.newest.insert(key, row), -1);
            }
            return Ok(());
        }
        if let Some(content) = &mut self.content {
            if self.mode == OutputMode::Complete {
                *content = Bag::default();
            }
            content.add(rows.iter().cloned(), 1);
        }
        bag.add(rows, 1);
        Ok(())
    }

    fn encoded(&self, batches: &[RecordBatch]) -> Result<Vec<Row>> {
        let encoded = batches.iter().map(|batch| self.rows.encode(batch));
        Ok(encoded.collect::<Result<Vec<_>>>()?.concat())
    }
}

fn outcome(difference: Difference) -> Outcome {
    match difference.is_empty() {
        true => Outcome::Same,
        false => Outcome::Different(difference),
    }
}

/// `CHECKPOINT_QUERY_CHANGED` unless the query is still the one that the recording, read from
/// `checkpoint`, is of.
pub(super) fn require_same(rerun: &Rerun, recording: &Recording, checkpoint: &Path) -> Result<()> {
    let now = pinned_facts(rerun.folder()).unwrap_or_default();
    recording.require_same(&now, checkpoint)
}
