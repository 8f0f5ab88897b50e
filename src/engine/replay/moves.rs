//! What a batch did to what the operators keep: windows opened, updated and closed, rows added and
//! let go. It is the difference between the state before the batch and the state after it.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};

use super::rerun::{Ran, Rerun};
use super::rows::{Encoder, Row};
use crate::error::Result;
use crate::state::StateTable;
use crate::time::EventTimeMicros;

/// A window of event time: start and end, in microseconds.
pub type Window = (EventTimeMicros, EventTimeMicros);

/// What became of the rows of one table of state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// The operator's number and its name, as in the checkpoint and in progress.
    pub operator: (usize, &'static str),
    /// The name of the table.
    pub table: &'static str,
    /// Rows kept after the batch.
    pub kept: usize,
    /// Rows that are new.
    pub added: usize,
    /// Rows with another value than before.
    pub updated: usize,
    /// Rows that are gone.
    pub removed: usize,
    /// Where the rows belong to windows on the grid: those windows.
    pub windows: Option<Windows>,
}

/// What became of windows. One that was opened and closed in the same batch is in both lists; of the
/// sliding windows of a row only the newest is looked at for that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    /// Windows that had no row before.
    pub opened: Vec<Window>,
    /// Windows of which some group was changed or added.
    pub updated: Vec<Window>,
    /// Windows that are kept no more.
    pub closed: Vec<Window>,
}

/// What the operators of a query keep at one moment.
#[derive(Default)]
pub(super) struct Kept(Vec<BTreeMap<Row, (Row, Option<EventTimeMicros>)>>);

impl Kept {
    /// What they keep now.
    pub(super) fn now(rerun: &Rerun) -> Result<Self> {
        let tables = rerun.query.states.iter().flatten();
        Ok(Self(tables.map(|state| rows(state.table())).collect::<Result<_>>()?))
    }

    /// What a batch has made of it until another moment.
    pub(super) fn moves_to(&self, after: &Kept, rerun: &Rerun, ran: &Ran) -> Vec<Moves> {
        let nothing = BTreeMap::new();
        let in_time = |stage: usize| -> BTreeSet<i64> {
            let to = ran.late_to.get(stage).copied().unwrap_or(i64::MAX);
            ran.arrived.get(stage).into_iter().flatten().copied().filter(|end| *end > to).collect()
        };
        let stages = rerun.query.assembly.stages.iter().enumerate();
        let tables = stages.flat_map(|(number, stage)| {
            let late_by = stage.operator.late_by().into_iter().next().flatten();
            let size = late_by.and_then(|by| by.windows).map(|windows| windows.size_us);
            let of = move |name| (number, stage.operator.name(), name, size);
            stage.operator.state_shapes().into_iter().map(move |shape| of(shape.name))
        });
        let moves =
            tables.zip(&after.0).enumerate().map(|(at, ((number, name, table, size), now))| {
                let before = self.0.get(at).unwrap_or(&nothing);
                let (mut added, mut updated) = (vec![], vec![]);
                for (key, (row, end)) in now {
                    match before.get(key) {
                        None => added.push(end),
                        Some((old, _)) if old != row => updated.push(end),
                        Some(_) => {}
                    }
                }
                let removed = before.keys().filter(|key| !now.contains_key(*key)).count();
                let windows = size.map(|size| {
                    let ends = |rows: &BTreeMap<Row, (Row, Option<i64>)>| -> BTreeSet<i64> {
                        rows.values().filter_map(|(_, end)| *end).collect()
                    };
                    let (old, new, arrived) = (ends(before), ends(now), in_time(number));
                    let kept: BTreeSet<i64> = old.union(&new).copied().collect();
                    let at_once = || arrived.difference(&kept).copied();
                    let touched: BTreeSet<i64> =
                        added.iter().chain(&updated).filter_map(|end| **end).collect();
                    let windows = |ends: BTreeSet<i64>| {
                        ends.into_iter().map(|end| (end - size, end)).collect()
                    };
                    Windows {
                        opened: windows(new.difference(&old).copied().chain(at_once()).collect()),
                        updated: windows(touched.intersection(&old).copied().collect()),
                        closed: windows(old.difference(&new).copied().chain(at_once()).collect()),
                    }
                });
                let (added, updated) = (added.len(), updated.len());
                let kept = now.len();
                Moves { operator: (number, name), table, kept, added, updated, removed, windows }
            });
        moves.collect()
    }
}

/// The rows of a table by their keys, each with the time by which it goes.
fn rows(table: &StateTable) -> Result<BTreeMap<Row, (Row, Option<EventTimeMicros>)>> {
    let shape = table.shape();
    let all: Vec<usize> = (0..shape.schema.fields().len()).collect();
    // Where there may be several rows a key, the whole row is the key.
    let keys = if shape.is_unique() { &all[..shape.keys] } else { &all[..] };
    let (by_key, whole) = (Encoder::of_columns(&shape.schema, keys)?, Encoder::new(&shape.schema)?);
    let mut found = BTreeMap::new();
    for batch in table.rows()? {
        let batch = batch?;
        let times = shape.expiry.map(|column| micros(batch.column(column))).transpose()?;
        let encoded = by_key.encode(&batch.project(keys)?)?.into_iter().zip(whole.encode(&batch)?);
        for (at, (key, row)) in encoded.enumerate() {
            let time = times.as_ref().and_then(|times| times.get(at).copied().flatten());
            found.insert(key, (row, time));
        }
    }
    Ok(found)
}

fn micros(column: &ArrayRef) -> Result<Vec<Option<EventTimeMicros>>> {
    let micros = arrow::compute::cast(column, &DataType::Int64)?;
    Ok(micros.as_primitive::<Int64Type>().iter().collect())
}
