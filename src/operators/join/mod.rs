//! A join of two streams.
//!
//! What has come on one side is kept for what is still to come on the other, until the watermark
//! says that no more matches can come. A batch goes like this, in Spark's order:
//!
//! ```text
//! 1  rows of either side whose event time is late are dropped and counted
//! 2  left rows   → find matches among the right rows kept → come out; are kept themselves
//! 3  right rows  → find matches among the left rows kept, this batch's included → the same
//! 4  what the watermark lets go on either side goes; a row of a preserved side (the left one of
//!    LEFT JOIN) that never had a match comes out with NULLs
//! ```
//!
//! A semi join has no more use for a left row that had a match, so the right rows come first there:
//! what they match is let go, and a left row that finds a match is not even kept. In the other joins
//! a row that had a match is *marked* in the state where that matters, so that it is never taken for
//! one without. A row of a preserved side that fails a condition on this side alone can have no match: it comes out at
//! once. A match is a pair of numbers, of an arriving row and of a kept one; only pairs that have the
//! same key (and, where the condition says so, lie near to each other in time) are ever made, and the
//! rest of the condition is computed on many of them at a time. Rows of one side do not see each other, so two
//! threads seek the matches of a large batch.
//!
//! * [`side`]: the columns of one side, on arrival and in state.
//! * `matching`: from pairs to joined rows.

mod matching;
pub mod side;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, not, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;

use self::matching::Joined;
use self::side::JoinSide;
use super::late::drop_late;
use super::{LateBy, Operator, Processed, StateShape, Watermarks};
use crate::error::{Error, Result};
use crate::share::share;
use crate::state::{RowId, StateStore, StateTable};
use crate::time::Millis;

/// So many rows arrive in one piece, at least, if there are as many.
const ARRIVALS: usize = 32 * 1024;

/// So many pairs are looked at in one piece, at most.
const PAIRS: usize = 8 * 1024;

/// Which rows come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Pairs that match.
    Inner,
    /// And left rows without a match.
    Left,
    /// Pairs, and right rows without a match.
    Right,
    /// Pairs, and rows of either side without a match.
    Full,
    /// Left rows that have a match, once.
    LeftSemi,
}

impl JoinKind {
    /// Whether the rows of the left, or right, side come out without a match.
    fn preserves(self, side: usize) -> bool {
        match self {
            Self::Inner | Self::LeftSemi => false,
            Self::Left => side == LEFT,
            Self::Right => side == RIGHT,
            Self::Full => true,
        }
    }
}

/// The two sides as indexes of states and inputs.
const LEFT: usize = 0;
const RIGHT: usize = 1;

/// How far apart in time two rows that match can be: the time of the left one less that of the
/// right one, in microseconds, both bounds inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// At least so much.
    pub least_us: Option<i64>,
    /// At most so much.
    pub most_us: Option<i64>,
}

impl Band {
    /// The times that a row of the other side can have that matches one of this time here.
    fn range(&self, here: usize, time_us: i64) -> (i64, i64) {
        let (least, most) = (self.least_us, self.most_us);
        let shifted = |by: Option<i64>, open: i64| by.map_or(open, |by| time_us.saturating_add(by));
        let back = |by: Option<i64>, open: i64| by.map_or(open, |by| time_us.saturating_sub(by));
        match here {
            LEFT => (back(most, i64::MIN), back(least, i64::MAX)),
            _ => (shifted(least, i64::MIN), shifted(most, i64::MAX)),
        }
    }

    /// The length of that range, if it has both ends.
    fn length_us(&self) -> Option<i64> {
        Some(self.most_us?.saturating_sub(self.least_us?).max(1))
    }
}

/// The join operator. Spark calls it `symmetricHashJoin`.
pub struct Join {
    kind: JoinKind,
    sides: [JoinSide; 2],
    /// Where it is known how near matches are in time: by the time of [`side::Arriving`].
    band: Option<Band>,
    joined: Joined,
    output: SchemaRef,
}

/// A piece of the rows that arrive on one side, and what was found for them.
struct Arrivals {
    rows: RecordBatch,
    matched: Vec<bool>,
    output: Vec<RecordBatch>,
    /// The kept rows of the other side that had a match, where that matters.
    found_there: Vec<RowId>,
}

impl Join {
    /// A join of rows as the plans of `sides` give them. `residual` is what has to hold for a pair
    /// besides equal keys, over the left's own columns followed by the right's.
    pub fn new(
        kind: JoinKind,
        sides: [JoinSide; 2],
        band: Option<Band>,
        residual: Option<Arc<dyn PhysicalExpr>>,
        output: SchemaRef,
    ) -> Self {
        let joined = Joined::new(sides[LEFT].own(), sides[RIGHT].own(), residual);
        Self { kind, sides, band, joined, output }
    }

    /// Everything that one side's rows of a batch do.
    fn arrive(
        &self,
        here: usize,
        input: Vec<RecordBatch>,
        states: &mut [StateStore],
        marks: Watermarks,
        done: &mut Processed,
    ) -> Result<()> {
        let side = &self.sides[here];
        let mut pieces = Vec::new();
        for rows in in_pieces(input)? {
            let (rows, late) = match side.late_column() {
                Some(column) => drop_late(rows, column, marks.late_ms)?,
                None => (rows, 0),
            };
            done.late += late;
            pieces.push(self.pass_own_condition(here, rows, &mut done.output)?);
        }
        // What a semi join finds it lets go, and it must not be found again.
        let at_once = if self.kind == JoinKind::LeftSemi { 1 } else { pieces.len().max(1) };
        while !pieces.is_empty() {
            let rest = pieces.split_off(at_once.min(pieces.len()));
            let there = states[1 - here].table();
            for arrivals in share(pieces, |rows| self.find_matches(here, rows, there)) {
                let mut arrivals = arrivals?;
                done.output.append(&mut arrivals.output);
                self.note_matches(here, &arrivals, states, done)?;
                done.updated += self.keep(here, arrivals, &mut states[here], marks)?;
            }
            pieces = rest;
        }
        Ok(())
    }

    /// The rows that hold what the condition asks of this side alone. No other can have a match.
    fn pass_own_condition(
        &self,
        here: usize,
        rows: RecordBatch,
        output: &mut Vec<RecordBatch>,
    ) -> Result<RecordBatch> {
        let Some(holds) = self.sides[here].holds(&rows)? else { return Ok(rows) };
        if holds.true_count() == rows.num_rows() {
            return Ok(rows);
        }
        if self.kind.preserves(here) {
            let alone = filter_record_batch(&rows, &not(&holds)?)?;
            output.push(self.padded(here, &self.sides[here].own_columns(&alone)?)?);
        }
        Ok(filter_record_batch(&rows, &holds)?)
    }

    /// Joins arriving rows with those kept of the other side.
    fn find_matches(&self, here: usize, rows: RecordBatch, table: &StateTable) -> Result<Arrivals> {
        let there = 1 - here;
        let (matched, output) = (vec![false; rows.num_rows()], Vec::new());
        let mut arrivals = Arrivals { rows, matched, output, found_there: Vec::new() };
        let seeking = self.sides[here].seeking(&arrivals.rows)?;
        if seeking.rows.is_empty() || table.is_empty() {
            return Ok(arrivals);
        }
        let own = self.sides[here].own_columns(&arrivals.rows)?;
        let ranges = self.band.map(|band| {
            let ranges = seeking.times.iter().map(|time| match time {
                Some(time) => band.range(here, time),
                // No comparison with a time that is missing holds.
                None => (1, 0),
            });
            ranges.collect()
        });
        let mut finder = table.find(&seeking.keys, ranges)?;
        while let Some(mut found) = finder.next(PAIRS)? {
            if self.kind == JoinKind::LeftSemi && here == LEFT {
                // One match is enough.
                let is_known = |at: &u32| arrivals.matched[seeking.rows[*at as usize] as usize];
                let pairs = found.probe.into_iter().zip(found.rows);
                (found.probe, found.rows) = pairs.filter(|(at, _)| !is_known(at)).unzip();
            }
            let arrived = UInt32Array::from_iter_values(
                found.probe.iter().map(|&at| seeking.rows[at as usize]),
            );
            let arriving = take_record_batch(&own, &arrived)?;
            let kept = self.sides[there].own_of_kept(&table.take(&found.rows)?)?;
            let (left, right) = if here == LEFT { (arriving, kept) } else { (kept, arriving) };
            let (pairs, holds) = self.joined.pairs(&left, &right)?;
            for (pair, &arrived) in arrived.values().iter().enumerate() {
                if holds.as_ref().is_none_or(|holds| holds.value(pair)) {
                    arrivals.matched[arrived as usize] = true;
                    if self.minds_matches(there) {
                        arrivals.found_there.push(found.rows[pair]);
                    }
                }
            }
            arrivals.found_there.sort_unstable();
            arrivals.found_there.dedup();
            if self.kind != JoinKind::LeftSemi {
                let pairs = match holds {
                    Some(holds) => filter_record_batch(&pairs, &holds)?,
                    None => pairs,
                };
                arrivals.output.push(self.result(pairs.columns().to_vec())?);
            }
        }
        Ok(arrivals)
    }

    /// What becomes of the rows that had a match.
    fn note_matches(
        &self,
        here: usize,
        arrivals: &Arrivals,
        states: &mut [StateStore],
        done: &mut Processed,
    ) -> Result<()> {
        let (there, found_there) = (1 - here, &arrivals.found_there);
        if self.kind != JoinKind::LeftSemi {
            states[there].mark(found_there)?;
        } else if here == RIGHT {
            let kept = states[LEFT].table().take(found_there)?;
            let left = self.sides[LEFT].own_of_kept(&kept)?;
            done.output.push(self.result(left.columns().to_vec())?);
            done.removed += states[LEFT].remove(found_there)?;
        } else {
            let had_match = BooleanArray::from(arrivals.matched.clone());
            let own = self.sides[LEFT].own_columns(&arrivals.rows)?;
            let left = filter_record_batch(&own, &had_match)?;
            done.output.push(self.result(left.columns().to_vec())?);
        }
        Ok(())
    }

    /// Whether it matters that a kept row of a side has had a match.
    fn minds_matches(&self, side: usize) -> bool {
        self.kind.preserves(side) || (self.kind == JoinKind::LeftSemi && side == LEFT)
    }

    /// The sides in the order in which their rows of a batch are taken.
    fn order(&self) -> [usize; 2] {
        if self.kind == JoinKind::LeftSemi { [RIGHT, LEFT] } else { [LEFT, RIGHT] }
    }

    /// Whether rows of this side come out with NULLs once the watermark has passed them.
    fn is_padded_later(&self, side: usize) -> bool {
        self.kind.preserves(side) && self.sides[side].expires()
    }

    /// Keeps arriving rows for those of the other side still to come; gives how many.
    fn keep(
        &self,
        here: usize,
        arrivals: Arrivals,
        state: &mut StateStore,
        marks: Watermarks,
    ) -> Result<usize> {
        let Arrivals { rows, mut matched, .. } = arrivals;
        let mut stored = self.sides[here].kept_of(&rows)?;
        // The rows of the other side have all been here: what had a match that is enough for it, and
        // what is to go in this batch, need not be kept.
        let is_last = here == self.order()[1];
        let kept: Option<Vec<bool>> = if is_last && self.kind == JoinKind::LeftSemi {
            Some(matched.iter().map(|matched| !matched).collect())
        } else if is_last && self.sides[here].expires() {
            let passed = self.sides[here].passed(&stored, marks.evict_ms)?;
            let padded_later = |row: usize| self.kind.preserves(here) && !matched[row];
            let rows = passed.iter().enumerate();
            Some(rows.map(|(row, passed)| !passed || padded_later(row)).collect())
        } else {
            None
        };
        if let Some(kept) = kept.filter(|kept| kept.contains(&false)) {
            stored = filter_record_batch(&stored, &BooleanArray::from(kept.clone()))?;
            let mut of_kept = kept.into_iter();
            matched.retain(|_| of_kept.next() == Some(true));
        }
        let ids = state.add(&stored)?;
        if self.kind.preserves(here) {
            let rows = ids.iter().zip(matched).filter(|(_, matched)| *matched);
            state.mark(&rows.map(|(id, _)| *id).collect::<Vec<_>>())?;
        }
        Ok(stored.num_rows())
    }

    /// Lets go what the watermark has passed on one side.
    fn let_go(
        &self,
        here: usize,
        state: &mut StateStore,
        marks: Watermarks,
        done: &mut Processed,
    ) -> Result<()> {
        let Some(until_us) = self.sides[here].state_watermark_us(marks.evict_ms) else {
            return Ok(());
        };
        if self.kind.preserves(here) {
            let table = state.table();
            let mut alone = table.expired_rows(until_us)?;
            let mut failed = None;
            alone.retain(|&row| match table.is_marked(row) {
                Ok(marked) => !marked,
                Err(error) => {
                    failed = Some(error);
                    false
                }
            });
            if let Some(error) = failed {
                return Err(error);
            }
            done.unmatched += alone.len();
            for alone in alone.chunks(ARRIVALS) {
                let own = self.sides[here].own_of_kept(&table.take(alone)?)?;
                done.output.push(self.padded(here, &own)?);
            }
        }
        let removed = state.expire(until_us)?;
        // As Spark counts: what left for the sake of coming out is not counted.
        if !self.kind.preserves(here) {
            done.removed += removed;
        }
        Ok(())
    }

    /// Rows of one side with NULLs for the other.
    fn padded(&self, here: usize, own: &RecordBatch) -> Result<RecordBatch> {
        let nulls = self.sides[1 - here].nulls(own.num_rows())?;
        let (left, right) = if here == LEFT { (own, &nulls) } else { (&nulls, own) };
        self.result(left.columns().iter().chain(right.columns()).cloned().collect())
    }

    fn result(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(self.output.clone(), columns)?)
    }
}

impl Operator for Join {
    fn name(&self) -> &'static str {
        "symmetricHashJoin"
    }

    fn state_shapes(&self) -> Vec<StateShape> {
        let grain_us = self.band.and_then(|band| band.length_us());
        let named = self.sides.iter().zip(["left", "right"]);
        named.map(|(side, name)| side.state_shape(name, grain_us)).collect()
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
        let (Ok([left, right]), 2) = (<[_; 2]>::try_from(inputs), states.len()) else {
            return Err(Error::internal("a join has two inputs and two states"));
        };
        let mut done = Processed::default();
        let mut inputs = [left, right];
        for here in self.order() {
            self.arrive(here, std::mem::take(&mut inputs[here]), states, marks, &mut done)?;
        }
        for here in [LEFT, RIGHT] {
            self.let_go(here, &mut states[here], marks, &mut done)?;
        }
        done.output.retain(|rows| rows.num_rows() > 0);
        Ok(done)
    }

    fn late_by(&self) -> Vec<Option<LateBy>> {
        let by = |side: &JoinSide| Some(LateBy { column: side.late_column()?, windows: None });
        self.sides.iter().map(by).collect()
    }

    fn waits_for_watermark(&self) -> bool {
        self.sides.iter().any(JoinSide::expires)
    }

    fn holds_back(&self) -> bool {
        [LEFT, RIGHT].into_iter().any(|side| self.is_padded_later(side))
    }

    fn holds_back_until_ms(
        &self,
        states: &[StateStore],
        not_after_ms: Millis,
    ) -> Result<Option<Millis>> {
        let mut until_ms = None;
        for (side, state) in [LEFT, RIGHT].into_iter().zip(states) {
            if !self.is_padded_later(side) {
                continue;
            }
            if let Some(until_us) = self.sides[side].state_watermark_us(not_after_ms)
                && let Some(last_us) = state.table().last_time(until_us)?
            {
                until_ms = until_ms.max(self.sides[side].goes_at_ms(last_us));
            }
        }
        Ok(until_ms)
    }

    /// What is still to come out may be as old as what is still kept.
    fn output_watermark_ms(&self, input_ms: Millis) -> Millis {
        let kept = self.sides.iter().filter_map(|side| side.state_watermark_us(input_ms));
        kept.map(|us| us.div_euclid(1000)).fold(input_ms, Millis::min).max(0)
    }
}

/// The same rows in batches that are neither tiny nor all of them.
fn in_pieces(input: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let (mut pieces, mut open, mut rows) = (Vec::new(), Vec::new(), 0);
    let mut last = input.len();
    for batch in input {
        last -= 1;
        rows += batch.num_rows();
        open.push(batch);
        if rows >= ARRIVALS || last == 0 {
            if let (Some(first), true) = (open.first(), rows > 0) {
                pieces.push(concat_batches(&first.schema(), &open)?);
            }
            open.clear();
            rows = 0;
        }
    }
    Ok(pieces)
}
