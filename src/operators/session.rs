//! Grouping by sessions: stretches of event time in which a key is never silent for long.
//!
//! A row alone is a session from its time to its time plus its gap. Sessions of one key that touch are
//! one, from the first start to the last end. What is kept is one row a session: the key, the end (which
//! the watermark has to reach), the start, and the partial state of each aggregate. A key may have
//! several open sessions. A batch goes like this:
//!
//! ```text
//! partial states of the batch, one a key and session of a row alone   (made by DataFusion, before us)
//!   → without those whose end the watermark has passed                counted as late, even where
//!                                                                      they would touch an open one
//!   → beside the open sessions of the same keys, by key and start
//!   → a number for all that touch: their states merged                (by DataFusion)
//!   → out:  append    what the watermark closes now, then let go
//!           complete  everything; nothing is ever let go
//! ```
//!
//! A session that nothing touches is not merged and not written again, so the cost follows the rows of
//! the batch and the open sessions of their keys. Aggregates that depend on the order of rows (`first`,
//! `collect_list`) see sessions in the order of their starts.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_arrays, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::aggregate::{Emit, in_schema, in_types, window_column};
use super::late::drop_late;
use super::partial::PartialAggregates;
use super::{LateBy, Operator, Processed, StateShape, Watermarks, only};
use crate::error::Result;
use crate::state::{RowId, StateStore, normalise};
use crate::time::EventTimeMicros;

/// The session operator. Spark calls it `sessionWindowStateStoreSaveExec`.
pub struct Sessions {
    /// Grouped by the keys, then the end, then the start.
    aggregates: PartialAggregates,
    /// Where among the groups of the result the session stands.
    position: usize,
    /// Whether the session's time carries a watermark; without one nothing is late or closed.
    watermarked: bool,
    emit: Emit,
    output: SchemaRef,
}

impl Sessions {
    /// An operator whose partial states are grouped by keys, end and start, and whose result has the
    /// columns of `output`: the keys, with the session as struct of start and end at `position`
    /// among them, then the values. `emit` is not [`Emit::Touched`]: a session that has grown could
    /// not be told from a new one.
    pub fn new(
        aggregates: PartialAggregates,
        position: usize,
        watermarked: bool,
        emit: Emit,
        output: SchemaRef,
    ) -> Self {
        Self { aggregates, position, watermarked, emit, output }
    }

    /// How many columns are the key of a row; the end and the start follow them.
    fn keys(&self) -> usize {
        self.aggregates.groups() - 2
    }

    fn in_time(
        &self,
        states: Vec<RecordBatch>,
        marks: Watermarks,
    ) -> Result<(Vec<RecordBatch>, usize)> {
        let mut late = 0;
        let mut kept = Vec::with_capacity(states.len());
        for batch in states {
            let (in_time, dropped) = match self.watermarked {
                true => drop_late(batch, self.keys(), marks.late_ms)?,
                false => (batch, 0),
            };
            late += dropped;
            kept.push(in_time);
        }
        Ok((kept, late))
    }

    /// Puts sessions of rows alone beside the open ones of the same keys, and merges what touches.
    fn merge(&self, state: &StateStore, fresh: &[RecordBatch]) -> Result<Merged> {
        let schema = self.aggregates.schema();
        let fresh = concat_batches(&schema, fresh)?;
        if fresh.num_rows() == 0 {
            return Ok(Merged::default());
        }
        let mut columns = fresh.columns().to_vec();
        for key in &mut columns[..self.keys()] {
            *key = normalise(key);
        }
        let fresh = RecordBatch::try_new(schema.clone(), columns)?;
        let keys = &fresh.columns()[..self.keys()];
        let (numbers, firsts) = number(keys)?;
        let found = state.table().find_all(&take_arrays(keys, &firsts, None)?)?;
        let kept = in_schema(&state.table().take(&found.rows)?, &schema)?;

        let rows = concat_batches(&schema, [&kept, &fresh])?;
        let numbers: Vec<usize> =
            found.probe.iter().map(|&key| key as usize).chain(numbers).collect();
        let (ends, starts) = (micros(&rows, self.keys())?, micros(&rows, self.keys() + 1)?);
        let (order, sessions) = touching(&numbers, starts.values(), ends.values());

        let sorted = sort_out(&order, &sessions, starts.values(), &found.rows);
        let take = |picks: Vec<u32>| take_record_batch(&rows, &UInt32Array::from(picks));
        let together = take(sorted.together)?;
        let together = self.with_bounds(&together, sorted.starts, sorted.ends)?;
        let mut written = self.aggregates.merge(vec![together])?;
        written.push(take(sorted.alone)?);
        let (gone, absorbed) = (sorted.gone, sorted.absorbed);
        Ok(Merged { written, gone, sessions: sessions.len(), absorbed })
    }

    /// The same states with other starts and ends.
    fn with_bounds(
        &self,
        states: &RecordBatch,
        starts: Vec<EventTimeMicros>,
        ends: Vec<EventTimeMicros>,
    ) -> Result<RecordBatch> {
        let mut columns = states.columns().to_vec();
        for (at, times) in [(self.keys(), ends), (self.keys() + 1, starts)] {
            let times: ArrayRef = Arc::new(Int64Array::from(times));
            columns[at] = cast(&times, columns[at].data_type())?;
        }
        Ok(RecordBatch::try_new(states.schema(), columns)?)
    }

    /// Values and columns of the result, from partial states.
    fn finish(&self, states: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let schema = self.aggregates.schema();
        let finish =
            |batch| self.result_columns(&self.aggregates.finish(&in_schema(batch, &schema)?)?);
        states.iter().map(finish).collect()
    }

    fn result_columns(&self, finished: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = finished.columns().to_vec();
        let (end, start) = (columns.remove(self.keys()), columns.remove(self.keys()));
        let session = self.output.field(self.position).data_type();
        columns.insert(self.position, window_column(start, end, session)?);
        in_types(columns, &self.output, finished.num_rows())
    }
}

impl Operator for Sessions {
    fn name(&self) -> &'static str {
        "sessionWindowStateStoreSaveExec"
    }

    fn state_shapes(&self) -> Vec<StateShape> {
        // Which columns can be NULL changes with the plan, not with what is kept.
        let schema = self.aggregates.schema();
        let fields = schema.fields().iter().enumerate().map(|(at, field)| {
            let name = match at.checked_sub(self.keys()) {
                Some(0) => "session_end",
                Some(1) => "session_start",
                _ => field.name(),
            };
            Field::new(name, field.data_type().clone(), true)
        });
        vec![StateShape {
            name: "sessions",
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            keys: self.aggregates.groups(),
            lookup: self.keys(),
            grain_us: None,
            expiry: self.watermarked.then_some(self.keys()),
        }]
    }

    fn output_schema(&self) -> SchemaRef {
        self.output.clone()
    }

    fn process(
        &mut self,
        states: &mut [StateStore],
        inputs: Vec<Vec<RecordBatch>>,
        marks: Watermarks,
    ) -> Result<Processed> {
        let state = only(states)?;
        // What comes in parts (those of a UNION) is counted by part where it is late, as in Spark.
        let (fresh, late) = self.in_time(only(inputs)?, marks)?;
        let merged = self.merge(state, &fresh)?;
        state.remove(&merged.gone)?;
        for batch in &merged.written {
            state.put(batch)?;
        }

        let mut removed = merged.absorbed;
        let output = match self.emit {
            Emit::All => self.finish(state.table().rows()?.collect::<Result<_>>()?)?,
            Emit::Closed | Emit::Touched => {
                let evict_us = marks.evict_ms.saturating_mul(1000);
                let closed =
                    self.finish(state.table().expired(evict_us)?.collect::<Result<_>>()?)?;
                removed += state.expire(evict_us)?;
                closed
            }
        };
        Ok(Processed { output, updated: merged.sessions, removed, late, ..Processed::default() })
    }

    fn late_by(&self) -> Vec<Option<LateBy>> {
        vec![self.watermarked.then(|| LateBy { column: self.keys(), windows: None })]
    }

    fn waits_for_watermark(&self) -> bool {
        self.emit != Emit::All
    }

    fn holds_back(&self) -> bool {
        self.watermarked && self.emit != Emit::All
    }

    fn gives_whole_result(&self) -> bool {
        self.emit == Emit::All
    }
}

/// What a batch does to the sessions of the keys that it holds.
#[derive(Default)]
struct Merged {
    /// Sessions that are new or other than before.
    written: Vec<RecordBatch>,
    /// Sessions in state that were touched: they are written anew, or have become a part of others.
    gone: Vec<RowId>,
    /// How many sessions these keys have now. Spark counts them all as updated.
    sessions: usize,
    /// How many of those gone left no session with their start. Spark counts these as removed.
    absorbed: usize,
}

/// Sessions that touch, as one.
#[derive(Debug, PartialEq)]
struct Touching {
    start: EventTimeMicros,
    end: EventTimeMicros,
    /// Where their rows stand in the order.
    rows: Range<usize>,
}

/// Merges, for each key, the sessions that touch. Takes of each row the number of its key, its start and
/// its end; gives the order of the rows by key and start (rows that start together keep theirs), and
/// the sessions in it.
fn touching(
    keys: &[usize],
    starts: &[EventTimeMicros],
    ends: &[EventTimeMicros],
) -> (Vec<u32>, Vec<Touching>) {
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    order.sort_by_key(|&row| (keys[row as usize], starts[row as usize]));
    let mut sessions: Vec<Touching> = Vec::new();
    let mut last_key = None;
    for (at, &row) in order.iter().enumerate() {
        let (key, start, end) = (keys[row as usize], starts[row as usize], ends[row as usize]);
        match sessions.last_mut() {
            Some(session) if last_key == Some(key) && start <= session.end => {
                session.end = session.end.max(end);
                session.rows.end = at + 1;
            }
            _ => sessions.push(Touching { start, end, rows: at..at + 1 }),
        }
        last_key = Some(key);
    }
    (order, sessions)
}

/// Which rows are merged, which stay as they are.
#[derive(Default)]
struct Sorted {
    /// The rows that touch others, with the start and the end of the session that they become.
    together: Vec<u32>,
    starts: Vec<EventTimeMicros>,
    ends: Vec<EventTimeMicros>,
    /// The new rows that touch none.
    alone: Vec<u32>,
    /// See [`Merged`].
    gone: Vec<RowId>,
    absorbed: usize,
}

/// The first rows are those that are kept in state, as `kept`.
fn sort_out(
    order: &[u32],
    sessions: &[Touching],
    starts: &[EventTimeMicros],
    kept: &[RowId],
) -> Sorted {
    let mut sorted = Sorted::default();
    for session in sessions {
        let rows = &order[session.rows.clone()];
        if let [row] = rows {
            if kept.get(*row as usize).is_none() {
                sorted.alone.push(*row);
            }
            continue;
        }
        sorted.together.extend_from_slice(rows);
        sorted.starts.extend(rows.iter().map(|_| session.start));
        sorted.ends.extend(rows.iter().map(|_| session.end));
        for &row in rows {
            let Some(&id) = kept.get(row as usize) else { continue };
            sorted.gone.push(id);
            sorted.absorbed += usize::from(starts[row as usize] != session.start);
        }
    }
    sorted
}

/// Numbers keys: the number of each row's, and for each number the first row that has it.
fn number(keys: &[ArrayRef]) -> Result<(Vec<usize>, UInt32Array)> {
    let fields = keys.iter().map(|key| Field::new("", key.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut numbers = Vec::new();
    new_group_values(schema, &GroupOrdering::None)?.intern(keys, &mut numbers)?;
    let count = numbers.iter().max().map_or(0, |greatest| greatest + 1);
    let mut firsts = vec![0; count];
    for (row, &number) in numbers.iter().enumerate().rev() {
        firsts[number] = row as u32;
    }
    Ok((numbers, UInt32Array::from(firsts)))
}

fn micros(rows: &RecordBatch, column: usize) -> Result<Int64Array> {
    Ok(cast(rows.column(column), &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The definition, slowly: two sessions of a key that touch become one, until none do.
        #[test]
        fn what_touches_is_one(rows in prop::collection::vec((0usize..3, 0i64..40, 1i64..6), 0..30)) {
            let mut expected: Vec<(usize, i64, i64)> =
                rows.iter().map(|&(key, start, gap)| (key, start, start + gap)).collect();
            let touch = |a: &(usize, i64, i64), b: &(usize, i64, i64)| {
                a.0 == b.0 && a.1 <= b.2 && b.1 <= a.2
            };
            while let Some((i, j)) = (0..expected.len())
                .flat_map(|i| (0..i).map(move |j| (i, j)))
                .find(|&(i, j)| touch(&expected[i], &expected[j]))
            {
                let (a, b) = (expected.remove(i), expected.remove(j));
                expected.push((a.0, a.1.min(b.1), a.2.max(b.2)));
            }
            expected.sort_unstable();

            let keys: Vec<usize> = rows.iter().map(|row| row.0).collect();
            let starts: Vec<i64> = rows.iter().map(|row| row.1).collect();
            let ends: Vec<i64> = rows.iter().map(|row| row.1 + row.2).collect();
            let (order, sessions) = touching(&keys, &starts, &ends);
            let found: Vec<(usize, i64, i64)> = sessions
                .iter()
                .map(|s| (keys[order[s.rows.start] as usize], s.start, s.end))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn keys_are_numbered_and_each_number_has_its_first_row() {
        let keys: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![
            Some("b"),
            None,
            Some("a"),
            None,
            Some("b"),
        ]));
        let (numbers, firsts) = number(&[keys]).unwrap();
        let firsts: Vec<u32> = numbers.iter().map(|&number| firsts.value(number)).collect();
        assert_eq!(firsts, [0, 1, 2, 1, 0]);
    }
}
