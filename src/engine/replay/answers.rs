//! The whole result of a run, as it stands after its batches, and how two of them differ.
//!
//! Where the result's groups are among its columns, an answer is what is said of a group; else each
//! row is an answer by itself.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use super::rows::{Bag, Difference, Encoder, Row};
use crate::engine::assemble::assemble;
use crate::engine::pipeline::PlannedQuery;
use crate::error::Result;
use crate::sinks::OutputMode;
use crate::sql::event_time_delay;

/// How two results differ.
#[derive(Debug, Clone, Default)]
pub struct AnswerDifference {
    /// Rows whose group is only in the one result (left) or in the other (right).
    pub only: Difference,
    /// Rows of groups that are in both, as the one says them (left) and as the other does (right),
    /// in the same order.
    pub changed: Difference,
}

impl AnswerDifference {
    /// How many answers are missing, more, or other ones.
    pub fn count(&self) -> usize {
        let (left, right) = self.only.counts();
        left + right + self.changed.counts().0
    }
}

/// The result of a run.
pub(super) struct Answers {
    rows: Encoder,
    groups: Option<Groups>,
    mode: OutputMode,
    /// Where there are no groups.
    bag: Bag,
    count: usize,
    /// The column that says the event time of a row.
    event_time: Option<usize>,
}

struct Groups {
    columns: Vec<usize>,
    encoder: Encoder,
    newest: BTreeMap<Row, Row>,
}

impl Answers {
    /// No answer yet, of a query.
    pub(super) fn of(planned: &PlannedQuery) -> Result<Self> {
        let session = crate::sql::session(&planned.plan.zone).state();
        // Which columns are the groups is known where rows are to be replaced.
        let groups = assemble(&planned.plan, OutputMode::Update, &session).ok();
        let groups = groups.filter(|assembly| assembly.check_keys().is_ok());
        let marked = || {
            let fields = planned.plan.plan.schema().fields();
            fields.iter().position(|field| event_time_delay(field).is_some())
        };
        let event_time = groups.as_ref().and_then(|g| g.event_time).or_else(marked);
        let keys = groups.map(|assembly| assembly.keys).filter(|keys| !keys.is_empty());
        let groups = keys.map(|columns| {
            let encoder = Encoder::of_columns(&planned.schema, &columns)?;
            Ok::<_, crate::error::Error>(Groups { columns, encoder, newest: BTreeMap::new() })
        });
        Ok(Self {
            rows: Encoder::new(&planned.schema)?,
            groups: groups.transpose()?,
            mode: planned.mode,
            bag: Bag::default(),
            count: 0,
            event_time,
        })
    }

    /// Takes in what a batch gave.
    pub(super) fn add(&mut self, batches: &[RecordBatch]) -> Result<()> {
        if self.mode == OutputMode::Complete {
            self.bag = Bag::default();
            self.count = 0;
            self.groups.iter_mut().for_each(|groups| groups.newest.clear());
        }
        for batch in batches {
            let rows = self.rows.encode(batch)?;
            match &mut self.groups {
                Some(groups) => {
                    let keys = groups.encoder.encode(&batch.project(&groups.columns)?)?;
                    groups.newest.extend(keys.into_iter().zip(rows));
                    self.count = groups.newest.len();
                }
                None => {
                    self.count += rows.len();
                    self.bag.add(rows, 1);
                }
            }
        }
        Ok(())
    }

    /// How many answers there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The column that says the event time of a row: a time, or a window.
    pub(super) fn event_time(&self) -> Option<usize> {
        self.event_time
    }

    /// How this result (left) differs from another one (right).
    pub(super) fn difference(&self, other: &Answers) -> Result<AnswerDifference> {
        let (Some(left), Some(right)) = (&self.groups, &other.groups) else {
            let mut bag = Bag::default();
            bag.add(self.all(), 1);
            bag.add(other.all(), -1);
            return Ok(AnswerDifference {
                only: bag.difference(&self.rows)?,
                changed: Difference::default(),
            });
        };
        let alone = |here: &Groups, there: &Groups| -> Result<Vec<RecordBatch>> {
            let rows = here.newest.iter().filter(|(key, _)| !there.newest.contains_key(*key));
            self.decode(rows.map(|(_, row)| row).collect())
        };
        let both = left.newest.iter().filter_map(|(key, row)| Some((row, right.newest.get(key)?)));
        let (one, another): (Vec<&Row>, Vec<&Row>) = both.filter(|(a, b)| a != b).unzip();
        Ok(AnswerDifference {
            only: Difference { left: alone(left, right)?, right: alone(right, left)? },
            changed: Difference { left: self.decode(one)?, right: self.decode(another)? },
        })
    }

    fn all(&self) -> Vec<Row> {
        match &self.groups {
            Some(groups) => groups.newest.values().cloned().collect(),
            None => self.bag.rows().cloned().collect(),
        }
    }

    fn decode(&self, rows: Vec<&Row>) -> Result<Vec<RecordBatch>> {
        match rows.is_empty() {
            true => Ok(vec![]),
            false => Ok(vec![self.rows.decode(rows.into_iter())?]),
        }
    }
}
