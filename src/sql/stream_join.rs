//! What a join of two streams goes by: its keys, the rest of its condition, and the times at which
//! what it keeps can be let go.
//!
//! Takes the join node of a plan, before or after it is optimised; gives expressions over its inputs.
//! The rules are Spark's:
//!
//! - If a key is event time, on either side, both sides go by that key: what has reached the
//!   watermark has no match to come.
//! - Otherwise a side goes by its own event time, if the condition sets a bound to how far it may
//!   lie behind the other's: `l.ts >= r.ts - INTERVAL 10 SECONDS` lets a left row go ten seconds
//!   after the watermark has passed it.
//! - Otherwise a side is kept for ever.

use datafusion::common::{Column, DFSchema, ExprSchema, NullEquality};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, Join, Operator};

use super::time_bounds::{Bound, bounds};
use super::watermark::event_time_delay;
use crate::time::Millis;

/// An equality between the two sides.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinKey {
    /// Over the left input, then over the right one.
    pub sides: [Expr; 2],
    /// Whether NULL is equal to NULL.
    pub null_equal: bool,
}

/// By what the rows of one side are let go.
#[derive(Debug, Clone, PartialEq)]
pub enum Expiry {
    /// By the key of this number, when the watermark reaches it.
    Key(usize),
    /// By the event time in this column of the input.
    Time(usize, Reach),
}

/// How far the watermark of what is kept follows that of the query: the least of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The query's watermark and so many milliseconds more.
    pub behind_ms: Option<Millis>,
    /// No further than this time. It comes of Spark's taking a condition such as `l.n > 5` for one
    /// on time, in seconds: with it a LEFT JOIN lets nothing go that is younger than 1970.
    pub at_most_ms: Option<Millis>,
}

/// What a join of two streams goes by. Of every pair, the left side comes first.
#[derive(Debug, Clone)]
pub struct StreamJoin {
    /// The equalities.
    pub keys: Vec<JoinKey>,
    /// Conditions on one side alone.
    pub own: [Vec<Expr>; 2],
    /// All other conditions.
    pub residual: Vec<Expr>,
    /// The columns of each input that are event time.
    pub event_times: [Vec<usize>; 2],
    /// By what each side is let go, if ever.
    pub expiry: [Option<Expiry>; 2],
    /// By what Spark asks that it could be let go, if the side had a watermark of its own.
    bounded: [bool; 2],
}

/// How far apart in time two rows that match can be at least and at most: left less right, in
/// microseconds.
pub type TimeBand = (Option<i64>, Option<i64>);

impl StreamJoin {
    /// What a join goes by.
    pub fn of(join: &Join) -> Self {
        let inputs = [join.left.schema().as_ref(), join.right.schema().as_ref()];
        let null_equal = join.null_equality == NullEquality::NullEqualsNull;
        let on = join.on.iter().cloned();
        let mut keys: Vec<JoinKey> =
            on.map(|(left, right)| JoinKey { sides: [left, right], null_equal }).collect();
        let (mut own, mut residual) = ([vec![], vec![]], vec![]);
        for conjunct in join.filter.clone().map(split_conjunction_owned).unwrap_or_default() {
            if let Some(key) = equality(&conjunct, inputs) {
                keys.push(key);
            } else if let Some(side) = only_side(&conjunct, inputs) {
                own[side].push(conjunct);
            } else {
                residual.push(conjunct);
            }
        }
        let event_times = inputs.map(|input| {
            let fields = input.fields().iter().enumerate();
            fields.filter(|(_, f)| event_time_delay(f).is_some()).map(|(at, _)| at).collect()
        });
        let mut this = Self {
            keys,
            own,
            residual,
            event_times,
            expiry: [None, None],
            bounded: [false, false],
        };
        this.find_expiry(inputs);
        this
    }

    fn find_expiry(&mut self, inputs: [&DFSchema; 2]) {
        let is_event_time = |(expr, input): (&Expr, &DFSchema)| match expr {
            Expr::Column(column) => {
                input.field_from_column(column).is_ok_and(|f| event_time_delay(f).is_some())
            }
            _ => false,
        };
        let keys = |side: usize| self.keys.iter().map(move |key| (&key.sides[side], inputs[side]));
        let key = keys(0).position(is_event_time).or_else(|| keys(1).position(is_event_time));
        if let Some(key) = key {
            self.expiry = [Some(Expiry::Key(key)), Some(Expiry::Key(key))];
            self.bounded = [true, true];
            return;
        }
        for side in [0, 1] {
            let reach = self.reach(side, inputs);
            self.bounded[side] = reach.is_some();
            let time = self.event_times[side].first();
            self.expiry[side] = time.zip(reach).map(|(&time, reach)| Expiry::Time(time, reach));
        }
    }

    /// How far the kept rows of a side follow the watermark, by the bounds between any column of this
    /// side and the other's event time.
    fn reach(&self, side: usize, inputs: [&DFSchema; 2]) -> Option<Reach> {
        let (this, other) = (inputs[side], inputs[1 - side]);
        let is_event_time = |column: &Column| {
            let at = other.index_of_column(column);
            at.is_ok_and(|at| self.event_times[1 - side].contains(&at))
        };
        let mut reach = Reach { behind_ms: None, at_most_ms: None };
        let bounds = self.conditions().flat_map(|conjunct| bounds(conjunct, this, other));
        for bound in bounds.filter(|bound| bound.is_least) {
            let least = match &bound.other {
                None => &mut reach.at_most_ms,
                Some(column) if is_event_time(column) => &mut reach.behind_ms,
                Some(_) => continue,
            };
            let ms = millis(&bound);
            *least = Some(least.map_or(ms, |least| least.min(ms)));
        }
        (reach.behind_ms.is_some() || reach.at_most_ms.is_some()).then_some(reach)
    }

    fn conditions(&self) -> impl Iterator<Item = &Expr> {
        self.own.iter().flatten().chain(&self.residual)
    }

    /// How far apart in time two rows that match can be, by the columns `times` of the two inputs. Conditions
    /// that say nothing else are no longer among the residual ones.
    pub fn take_band(&mut self, join: &Join, times: [usize; 2]) -> TimeBand {
        let (left, right) = (join.left.schema().as_ref(), join.right.schema().as_ref());
        let is_of_times = |bound: &Bound| {
            let Some(other) = &bound.other else { return false };
            let at = [left.index_of_column(&bound.this), right.index_of_column(other)];
            !bound.rounded && matches!(at, [Ok(l), Ok(r)] if [l, r] == times)
        };
        let (mut least, mut most): TimeBand = (None, None);
        self.residual.retain(|conjunct| {
            let bounds = bounds(conjunct, left, right);
            for bound in bounds.iter().filter(|bound| is_of_times(bound)) {
                let micros = bound.whole_micros();
                match bound.is_least {
                    true => least = Some(least.map_or(micros, |l| l.max(micros))),
                    false => most = Some(most.map_or(micros, |m| m.min(micros))),
                }
            }
            let sides = if matches!(conjunct, Expr::Between(_)) { 2 } else { 1 };
            let says_all = |bound| is_of_times(bound) && bound.exact;
            !(bounds.len() == sides && bounds.iter().all(says_all))
        });
        (least, most)
    }

    /// Whether Spark could ever say of a row of the left (0) or right (1) side that no match can
    /// come any more.
    pub fn is_bounded(&self, side: usize) -> bool {
        self.bounded[side]
    }
}

/// The whole milliseconds by which a side may be behind: what is let go *includes* this time, so an
/// inclusive bound leaves one more.
fn millis(bound: &Bound) -> Millis {
    let millis = (bound.micros / 1000.0).floor() as Millis;
    if bound.inclusive { millis - 1 } else { millis }
}

/// An equality whose two sides are each over one input.
fn equality(conjunct: &Expr, inputs: [&DFSchema; 2]) -> Option<JoinKey> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else { return None };
    let null_equal = match op {
        Operator::Eq => false,
        Operator::IsNotDistinctFrom => true,
        _ => return None,
    };
    let (left, right) = (left.as_ref().clone(), right.as_ref().clone());
    match (only_side(&left, inputs)?, only_side(&right, inputs)?) {
        (0, 1) => Some(JoinKey { sides: [left, right], null_equal }),
        (1, 0) => Some(JoinKey { sides: [right, left], null_equal }),
        _ => None,
    }
}

/// The one input that has all columns of an expression; `None`: both are needed, or no column.
fn only_side(expr: &Expr, inputs: [&DFSchema; 2]) -> Option<usize> {
    let columns = expr.column_refs();
    if columns.is_empty() || expr.is_volatile() {
        return None;
    }
    inputs.iter().position(|input| columns.iter().all(|column| input.has_column(column)))
}
