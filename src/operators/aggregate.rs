//! Grouping, with or without windows of event time.
//!
//! What is kept is one row a group: the group's columns and the partial state of each aggregate
//! (see [`super::partial`]). A window counts as a column of the group and is kept as its *end*, since
//! the end is what the watermark has to reach. A batch goes like this:
//!
//! ```text
//! partial states of the batch, one a group and pane          (made by DataFusion, before us)
//!   → one a group and window                                 a pane goes into each of its windows
//!   → without those whose window the watermark has closed    counted as late
//!   → merged with what is kept of the same groups, kept
//!   → out:  append    what the watermark closes now, then let go
//!           update    what this batch touched; what the watermark closes is let go in silence
//!           complete  everything; nothing is ever let go
//! ```
//!
//! A sliding window thus costs one aggregation of the batch's rows, by panes, however many windows
//! overlap; the windows share the result. Aggregates that depend on the order of rows (`first`,
//! `collect_list`) see, within one batch, the rows of an earlier pane before those of a later one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StructArray};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use super::late::drop_late;
use super::panes::{Panes, tumbling_windows};
use super::partial::PartialAggregates;
use super::{LateBy, Operator, Processed, StateShape, Watermarks, only};
use crate::batch::{in_parts, with_rows};
use crate::error::{Error, Result};
use crate::share::share;
use crate::state::{Parts, StateStore};
use crate::window::WindowSpec;

/// To finish groups takes memory for each of them: so many are finished at once, about.
const FINISHED_AT_ONCE: usize = 64 * 1024;

/// So are they to be merged with what is kept.
const MERGED_AT_ONCE: usize = if cfg!(test) { 3 } else { 256 * 1024 };

/// Fewer groups than this are finished before a thread has started.
const WORTH_TWO: usize = if cfg!(test) { 4 } else { 16 * 1024 };

/// More groups than this are not held side by side when they come out: who takes them takes them a
/// part at a time.
const HELD_AT_ONCE: usize = if cfg!(test) { 8 } else { 512 * 1024 };

/// Which groups come out of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// Groups that the watermark has closed, once.
    Closed,
    /// Groups that the batch has touched.
    Touched,
    /// All groups.
    All,
}

/// Which of the group columns carries event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventTime {
    /// None: nothing is late, nothing is ever let go.
    None,
    /// This column, a timestamp.
    Column(usize),
    /// This column, a window; in the partial states of a batch it holds the start of the pane.
    Window(usize, WindowSpec),
    /// This column, a window that was computed further down; the partial states hold its end there,
    /// and its start as one more group after all others.
    Ready(usize),
}

impl EventTime {
    /// The column, if there is one.
    pub fn column(self) -> Option<usize> {
        match self {
            EventTime::None => None,
            EventTime::Column(column) | EventTime::Window(column, _) | EventTime::Ready(column) => {
                Some(column)
            }
        }
    }
}

/// The aggregation operator. Spark calls it `stateStoreSave`.
#[derive(Clone)]
pub struct Aggregate {
    aggregates: PartialAggregates,
    event_time: EventTime,
    /// Whether the event time carries a watermark; without one nothing is late or closed.
    watermarked: bool,
    emit: Emit,
    output: SchemaRef,
    /// What must hold for a group to be wanted, over the grouping columns of the result.
    wanted: Vec<Arc<dyn PhysicalExpr>>,
}

impl Aggregate {
    /// An aggregation whose result has the columns of `output`: the groups, with a window as
    /// struct of start and end, then the values.
    pub fn new(
        aggregates: PartialAggregates,
        event_time: EventTime,
        watermarked: bool,
        emit: Emit,
        output: SchemaRef,
    ) -> Self {
        Self { aggregates, event_time, watermarked, emit, output, wanted: vec![] }
    }

    fn event_time_column(&self) -> Option<usize> {
        self.event_time.column().filter(|_| self.watermarked)
    }

    /// One partial state a group and window, in place of one a group and pane.
    fn spread_over_windows(&self, states: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let EventTime::Window(column, spec) = self.event_time else {
            return Ok(states);
        };
        if spec.is_tumbling() {
            return states.iter().map(|batch| tumbling_windows(batch, column, spec)).collect();
        }
        let panes = Panes::new(&self.aggregates.schema(), &states, column, spec)?;
        drop(states);
        self.aggregates.merge_each(panes.parts(), |windows| panes.of_windows(windows))
    }

    /// Leaves out the groups that nobody wants. It is a matter of windows that overlap: what is asked
    /// of other groups has been asked of the rows.
    fn drop_unwanted(&self, states: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        if self.wanted.is_empty() {
            return Ok(states);
        }
        let groups: Vec<usize> = (0..self.aggregates.groups()).collect();
        let schema = Arc::new(self.output.project(&groups)?);
        let of_batch = |batch: RecordBatch| {
            let mut columns = batch.columns()[..groups.len()].to_vec();
            self.windows_of_ends(&mut columns)?;
            let keys = in_types(columns, &schema, batch.num_rows())?;
            let (_, wanted) =
                self.wanted.iter().try_fold((keys, batch), |(keys, batch), asked| {
                    let holds = asked.evaluate(&keys)?.into_array(keys.num_rows())?;
                    let holds = holds.as_boolean();
                    Ok::<_, Error>((
                        filter_record_batch(&keys, holds)?,
                        filter_record_batch(&batch, holds)?,
                    ))
                })?;
            Ok(wanted)
        };
        states.into_iter().map(of_batch).collect()
    }

    /// Makes windows of the ends that stand for them.
    fn windows_of_ends(&self, columns: &mut [ArrayRef]) -> Result<()> {
        let EventTime::Window(column, spec) = self.event_time else { return Ok(()) };
        let ends = &columns[column];
        let micros = cast(ends, &DataType::Int64)?;
        let starts: Int64Array = micros.as_primitive::<Int64Type>().unary(|end| end - spec.size_us);
        let starts = cast(&(Arc::new(starts) as ArrayRef), ends.data_type())?;
        let window = self.output.field(column).data_type();
        columns[column] = window_column(starts, ends.clone(), window)?;
        Ok(())
    }

    fn drop_late(
        &self,
        states: Vec<RecordBatch>,
        marks: Watermarks,
    ) -> Result<(Vec<RecordBatch>, usize)> {
        let Some(column) = self.event_time_column().filter(|_| self.emit != Emit::All) else {
            return Ok((states, 0));
        };
        let mut kept = Vec::with_capacity(states.len());
        let mut late = 0;
        for batch in states {
            let (in_time, dropped) = drop_late(batch, column, marks.late_ms)?;
            late += dropped;
            kept.push(in_time);
        }
        kept.retain(|batch| batch.num_rows() > 0);
        Ok((kept, late))
    }

    /// Merges states of the batch with those kept of the same groups, and keeps them; gives them as they
    /// are now.
    fn keep(&self, state: &mut StateStore, fresh: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let schema = self.aggregates.schema();
        let fresh = concat_batches(&schema, fresh)?;
        state.merge(&fresh, &|kept, of, fresh| self.aggregates.merge_into(kept, of, fresh))
    }

    /// [`Aggregate::finish`], some thousand groups at a time: each group is in one part only.
    fn finish_parts(&self, mut parts: Parts, done: &mut Processed) -> Result<()> {
        let are_many = parts.lengths().sum::<usize>() > HELD_AT_ONCE;
        let this = self.clone();
        let mut is_first = true;
        let finished = std::iter::from_fn(move || {
            let some = next_parts(&mut parts).transpose();
            // Without groups there is one row of values even where there is nothing.
            let some = some.or_else(|| is_first.then(|| Ok(vec![])));
            is_first = false;
            some.map(|some| this.finish(some?))
        });
        let finished = finished.flat_map(|batches| match batches {
            Ok(batches) => batches.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        });
        match are_many {
            true => done.coming = Some(Box::new(finished)),
            false => done.output = finished.collect::<Result<_>>()?,
        }
        Ok(())
    }

    /// Values and columns of the result, from partial states.
    fn finish(&self, states: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let schema = self.aggregates.schema();
        let states = states.iter().map(|batch| in_schema(batch, &schema));
        let mut states = states.collect::<Result<Vec<_>>>()?;
        let rows: usize = states.iter().map(RecordBatch::num_rows).sum();
        if rows == 0 && self.aggregates.groups() > 0 {
            return Ok(vec![]);
        }
        if rows < WORTH_TWO {
            states = vec![concat_batches(&schema, &states)?];
        }
        let finish = |batch| self.result_columns(self.aggregates.finish(&batch)?);
        share(states, finish).into_iter().collect()
    }

    fn result_columns(&self, finished: RecordBatch) -> Result<RecordBatch> {
        let mut columns = finished.columns().to_vec();
        self.windows_of_ends(&mut columns)?;
        if let EventTime::Ready(column) = self.event_time {
            let starts = columns.remove(self.aggregates.groups() - 1);
            let window = self.output.field(column).data_type();
            columns[column] = window_column(starts, columns[column].clone(), window)?;
        }
        in_types(columns, &self.output, finished.num_rows())
    }
}

impl Operator for Aggregate {
    fn name(&self) -> &'static str {
        "stateStoreSave"
    }

    fn state_shapes(&self) -> Vec<StateShape> {
        // Which columns can be NULL changes with the plan, not with what is kept.
        let mut fields: Vec<Field> = self
            .aggregates
            .schema()
            .fields()
            .iter()
            .map(|field| Field::new(field.name(), field.data_type().clone(), true))
            .collect();
        if let EventTime::Window(column, _) | EventTime::Ready(column) = self.event_time {
            fields[column] = fields[column].clone().with_name("window_end");
        }
        vec![StateShape {
            name: "groups",
            schema: Arc::new(Schema::new(fields)),
            keys: self.aggregates.groups(),
            lookup: self.aggregates.groups(),
            grain_us: None,
            expiry: self.event_time_column(),
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
        let (state, input) = (only(states)?, only(inputs)?);
        let input =
            if self.aggregates.comes_in_parts() { self.aggregates.merge(input)? } else { input };
        let fresh = self.drop_unwanted(self.spread_over_windows(input)?)?;
        let (fresh, late) = self.drop_late(fresh, marks)?;
        let mut done = Processed { late, ..Processed::default() };
        let mut touched = vec![];
        for piece in in_parts(&fresh, MERGED_AT_ONCE) {
            let kept = self.keep(state, &piece)?;
            done.updated += kept.iter().map(RecordBatch::num_rows).sum::<usize>();
            if self.emit == Emit::Touched {
                touched.extend(kept);
            }
        }

        let evict_us = marks.evict_ms.saturating_mul(1000);
        let lets_go = self.event_time_column().is_some() && self.emit != Emit::All;
        match self.emit {
            Emit::Closed if lets_go => {
                self.finish_parts(state.table().expired(evict_us)?, &mut done)?;
            }
            Emit::Closed => {}
            Emit::Touched => done.output = self.finish(touched)?,
            Emit::All => self.finish_parts(state.table().rows()?, &mut done)?,
        }
        if lets_go {
            done.removed = state.expire(evict_us)?;
        }
        Ok(done)
    }

    fn only_wanted(&mut self, predicate: Arc<dyn PhysicalExpr>) {
        if let EventTime::Window(_, spec) = self.event_time
            && !spec.is_tumbling()
        {
            self.wanted.push(predicate);
        }
    }

    fn late_by(&self) -> Vec<Option<LateBy>> {
        let column = self.event_time_column().filter(|_| self.emit != Emit::All);
        let windows = match self.event_time {
            EventTime::Window(_, spec) => Some(spec),
            _ => None,
        };
        vec![column.map(|column| LateBy { column, windows })]
    }

    fn waits_for_watermark(&self) -> bool {
        self.emit != Emit::All
    }

    fn holds_back(&self) -> bool {
        self.emit == Emit::Closed && self.event_time_column().is_some()
    }

    fn gives_whole_result(&self) -> bool {
        self.emit == Emit::All
    }
}

/// As many parts as make some thousand rows; `None`: there are no more.
fn next_parts(parts: &mut Parts) -> Result<Option<Vec<RecordBatch>>> {
    let (mut next, mut rows) = (vec![], 0);
    for part in parts {
        let part = part?;
        rows += part.num_rows();
        next.push(part);
        if rows >= FINISHED_AT_ONCE {
            break;
        }
    }
    Ok((rows > 0).then_some(next))
}

/// The same columns under a schema that says more about them: state is kept as if every column could
/// be NULL, plans know better.
pub(super) fn in_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    with_rows(schema, batch.columns().to_vec(), batch.num_rows())
}

/// The columns of a result in the types of its schema.
pub(super) fn in_types(
    mut columns: Vec<ArrayRef>,
    schema: &SchemaRef,
    rows: usize,
) -> Result<RecordBatch> {
    for (column, field) in columns.iter_mut().zip(schema.fields()) {
        if column.data_type() != field.data_type() {
            *column = cast(column, field.data_type())?;
        }
    }
    with_rows(schema, columns, rows)
}

/// The struct of start and end; NULL where there is no window.
pub(super) fn window_column(
    starts: ArrayRef,
    ends: ArrayRef,
    result: &DataType,
) -> Result<ArrayRef> {
    let DataType::Struct(fields) = result else {
        return Err(Error::internal(format!("a window has the type {result}, not struct")));
    };
    let nulls = ends.logical_nulls();
    Ok(Arc::new(StructArray::try_new(fields.clone(), vec![starts, ends], nulls)?))
}
