//! From panes to windows.
//!
//! Windows that overlap share their panes: stretches of time whose instants are all in the same
//! windows (Li et al., "No pane, no gain", 2005). A batch is aggregated by panes, once; then each window
//! merges the states of its own:
//!
//! ```text
//! panes     00:00   00:01   00:02   00:03
//! windows   [----------------------)               end 00:03
//!                   [----------------------)       end 00:04
//! ```
//!
//! Rows in the order of their panes are a range for each window. So windows are made one after the
//! other, some at a time: what merges them works on few groups, which a processor's cache holds.
//!
//! Takes the partial states of a batch, one a group and pane; gives them one a group, pane and window.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};

use crate::error::{Error, Result};
use crate::window::WindowSpec;

/// So many states are merged at a time, if no window has more.
const PART_ROWS: usize = if cfg!(test) { 4 } else { 64 * 1024 };

/// The partial states of a batch, in the order of their panes.
pub(super) struct Panes {
    states: RecordBatch,
    /// The column of the panes' starts.
    column: usize,
    /// The rows, those of older panes first.
    order: Vec<u32>,
    /// Oldest first.
    windows: Vec<Window>,
}

/// A window that has a state.
pub(super) struct Window {
    end: i64,
    /// Its part of [`Panes::order`].
    rows: Range<usize>,
}

impl Panes {
    pub(super) fn new(
        schema: &SchemaRef,
        states: &[RecordBatch],
        column: usize,
        spec: WindowSpec,
    ) -> Result<Self> {
        let states = concat_batches(schema, states)?;
        let rows = u32::try_from(states.num_rows())
            .map_err(|_| Error::internal("a batch has more than 4 billion partial states"))?;
        let starts = micros(states.column(column))?;
        let mut of_pane: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, &start) in (0..rows).zip(starts.values()) {
            of_pane.entry(start).or_default().push(row);
        }
        let mut panes = Vec::with_capacity(of_pane.len());
        let mut order = Vec::with_capacity(states.num_rows());
        for (start, mut rows) in of_pane {
            panes.push((start, order.len()));
            order.append(&mut rows);
        }
        let windows = windows(&panes, order.len(), spec);
        Ok(Self { states, column, order, windows })
    }

    /// The windows in parts of some thousand rows.
    pub(super) fn parts(&self) -> Vec<&[Window]> {
        let (mut parts, mut from, mut rows) = (Vec::new(), 0, 0);
        for (at, window) in self.windows.iter().enumerate() {
            if rows > 0 && rows + window.rows.len() > PART_ROWS {
                parts.push(&self.windows[from..at]);
                (from, rows) = (at, 0);
            }
            rows += window.rows.len();
        }
        parts.push(&self.windows[from..]);
        parts
    }

    /// The states of some windows: each pane's once for every window that it is in, older panes before
    /// newer ones; the pane's start has become the window's end.
    pub(super) fn of_windows(&self, windows: &[Window]) -> Result<RecordBatch> {
        let count = windows.iter().map(|window| window.rows.len()).sum();
        let (mut rows, mut ends) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for window in windows {
            rows.extend_from_slice(&self.order[window.rows.clone()]);
            ends.resize(rows.len(), window.end);
        }
        let states = take_record_batch(&self.states, &UInt32Array::from(rows))?;
        with_ends(&states, self.column, ends.into())
    }
}

/// The windows in which some panes are, given by their starts, oldest first, and where the rows of each
/// begin; there are so many rows in all.
fn windows(panes: &[(i64, usize)], rows: usize, spec: WindowSpec) -> Vec<Window> {
    let first_row = |time: i64| {
        let pane = panes.partition_point(|(start, _)| *start < time);
        panes.get(pane).map_or(rows, |(_, row)| *row)
    };
    let mut windows: Vec<Window> = Vec::new();
    for &(start, _) in panes {
        let known = windows.last().map(|window| window.end);
        let new = spec.windows(start).take_while(|(_, end)| known.is_none_or(|known| *end > known));
        for (start, end) in new.collect::<Vec<_>>().into_iter().rev() {
            windows.push(Window { end, rows: first_row(start)..first_row(end) });
        }
    }
    windows
}

/// The same states, where a window is a single pane.
pub(super) fn tumbling_windows(
    states: &RecordBatch,
    column: usize,
    spec: WindowSpec,
) -> Result<RecordBatch> {
    let starts = micros(states.column(column))?;
    with_ends(states, column, starts.unary(|start: i64| start.saturating_add(spec.size_us)))
}

/// The microseconds in a column of timestamps.
fn micros(times: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(times, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn with_ends(states: &RecordBatch, column: usize, ends: Int64Array) -> Result<RecordBatch> {
    let mut columns = states.columns().to_vec();
    columns[column] = cast(&(Arc::new(ends) as ArrayRef), columns[column].data_type())?;
    Ok(RecordBatch::try_new(states.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_pane_is_in_its_windows_and_in_no_other(
            (size, slide, offset) in (1i64..40, 1i64..40, 0i64..40),
            times in proptest::collection::btree_set(-200i64..200, 1..40),
        ) {
            let (size_us, slide_us) = (size.max(slide), size.min(slide));
            let spec = WindowSpec { size_us, slide_us, start_us: offset };
            let starts: Vec<i64> = times.iter().map(|&time| spec.pane_start(time)).collect();
            let mut panes: Vec<(i64, usize)> = Vec::new();
            for (row, &start) in starts.iter().enumerate() {
                if panes.last().is_none_or(|(last, _)| *last != start) {
                    panes.push((start, row));
                }
            }
            let mut expected: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
            for (row, &start) in starts.iter().enumerate() {
                spec.windows(start).for_each(|(_, end)| expected.entry(end).or_default().push(row));
            }
            let found = windows(&panes, starts.len(), spec);
            let found: Vec<_> = found.into_iter().map(|w| (w.end, w.rows.collect())).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
