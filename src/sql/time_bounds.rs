//! How far apart in time two rows can be that a condition lets match.
//!
//! A condition on two times, however it is written (`l.ts >= r.ts - INTERVAL 10 SECONDS`, `l.ts -
//! r.ts <= INTERVAL 5 SECONDS`, seconds as numbers, terms on either side), is a bound on their
//! difference. It is brought to that form: each side of a comparison becomes a sum of columns, each
//! some times, and a constant; what is no such sum says nothing. Takes expressions, gives bounds in
//! microseconds; knows nothing of watermarks.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, ExprSchema, ScalarValue};
use datafusion::logical_expr::expr::{Between, BinaryExpr, Cast};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator};

use super::arithmetic::{self, Arithmetic, Op};
use super::{casts, moved_times};

/// One bound on `this - other`, or on `this` alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bound {
    /// A column of the side in question.
    pub(super) this: Column,
    /// A column of the other side; `None`: the bound is on a number of this side alone, taken for
    /// seconds.
    pub(super) other: Option<Column>,
    /// Whether the difference is at least this much; otherwise at most.
    pub(super) is_least: bool,
    /// Whether it may also be exactly this much.
    pub(super) inclusive: bool,
    /// How much, in microseconds.
    pub(super) micros: f64,
    /// Whether rounding on the way (a time as whole seconds) makes this approximate.
    pub(super) rounded: bool,
    /// Whether the bound is all that the comparison says: times, moved by so many microseconds. A day
    /// can have 23 hours.
    pub(super) exact: bool,
}

impl Bound {
    /// The bound in whole microseconds, inclusive: one that is no whole number is drawn wider.
    pub(super) fn whole_micros(&self) -> i64 {
        let beside = i64::from(self.exact && !self.inclusive);
        match self.is_least {
            true => (self.micros.floor() as i64).saturating_add(beside),
            false => (self.micros.ceil() as i64).saturating_sub(beside),
        }
    }
}

/// The bounds that one conjunct of a condition sets between a column of `this` and one of `other`.
pub(super) fn bounds(conjunct: &Expr, this: &DFSchema, other: &DFSchema) -> Vec<Bound> {
    let sides = Sides { this, other };
    match conjunct {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            sides.compared(left, *op, right).into_iter().collect()
        }
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let least = sides.compared(expr, Operator::GtEq, low);
            let most = sides.compared(expr, Operator::LtEq, high);
            least.into_iter().chain(most).collect()
        }
        Expr::Not(inner) => match inner.as_ref() {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let negated = op.negate();
                negated.and_then(|op| sides.compared(left, op, right)).into_iter().collect()
            }
            _ => vec![],
        },
        _ => vec![],
    }
}

/// How many times a number counts that is taken for seconds, where microseconds count once.
const SECONDS: f64 = 1e-6;

/// Below this a floating-point number stands for one whole number only.
const MOST: f64 = (1_i64 << 52) as f64;

/// A sum of columns, each some times, and a constant, in microseconds.
#[derive(Debug, Default)]
struct Sum {
    columns: BTreeMap<Column, f64>,
    constant: f64,
    rounded: bool,
    /// Whether it may be another number than that of the expression.
    loose: bool,
}

impl Sum {
    fn loose(self) -> Self {
        Self { loose: true, ..self }
    }

    fn plus(mut self, other: Self, times: f64) -> Self {
        for (column, factor) in other.columns {
            *self.columns.entry(column).or_default() += factor * times;
        }
        self.columns.retain(|_, factor| *factor != 0.0);
        self.constant += other.constant * times;
        self.rounded |= other.rounded;
        self.loose |= other.loose;
        self
    }

    fn times(self, factor: f64) -> Self {
        Self::default().plus(self, factor).loose()
    }
}

struct Sides<'a> {
    this: &'a DFSchema,
    other: &'a DFSchema,
}

impl Sides<'_> {
    /// The bound that a comparison sets.
    fn compared(&self, left: &Expr, op: Operator, right: &Expr) -> Option<Bound> {
        let (is_least, inclusive) = match op {
            Operator::Gt => (true, false),
            Operator::GtEq => (true, true),
            Operator::Lt => (false, false),
            Operator::LtEq => (false, true),
            _ => return None,
        };
        // left - right, compared with nothing.
        let sum = self.sum(left)?.plus(self.sum(right)?, -1.0);
        let is_this = |column: &Column| self.this.has_column(column);
        let columns: Vec<(&Column, &f64)> = sum.columns.iter().collect();
        let (this, other) = match columns[..] {
            [only] if is_this(only.0) && only.1.abs() == SECONDS => (only, None),
            [a, b] if is_this(a.0) && !is_this(b.0) => (a, Some(b)),
            [a, b] if is_this(b.0) && !is_this(a.0) => (b, Some(a)),
            _ => return None,
        };
        if other.is_some_and(|other| *other.1 != -*this.1) {
            return None;
        }
        // Thousandths, so that a factor that is no binary fraction does not show.
        let micros = (-sum.constant / this.1 * 1e3).round() / 1e3;
        Some(Bound {
            this: this.0.clone(),
            other: other.map(|(column, _)| column.clone()),
            is_least: is_least == (*this.1 > 0.0),
            inclusive,
            micros,
            rounded: sum.rounded,
            exact: !sum.loose && micros.fract() == 0.0 && micros.abs() < MOST,
        })
    }

    fn data_type(&self, expr: &Expr) -> Option<DataType> {
        let mut both = self.this.clone();
        both.merge(self.other);
        expr.get_type(&both).ok()
    }

    fn is_time(&self, expr: &Expr) -> bool {
        matches!(self.data_type(expr), Some(DataType::Timestamp(..)))
    }

    fn sum(&self, expr: &Expr) -> Option<Sum> {
        match expr {
            Expr::Alias(alias) => self.sum(&alias.expr),
            Expr::Column(column) => {
                let known = [self.this, self.other].into_iter().find(|s| s.has_column(column))?;
                let (factor, loose) = match known.field_from_column(column).ok()?.data_type() {
                    DataType::Timestamp(..) => (1.0, false),
                    number if number.is_numeric() => (SECONDS, true),
                    _ => return None,
                };
                Some(Sum { columns: [(column.clone(), factor)].into(), loose, ..Sum::default() })
            }
            Expr::Literal(value, _) => {
                let loose = !is_stretch(value);
                literal(value).map(|constant| Sum { constant, loose, ..Sum::default() })
            }
            Expr::Negative(inner) => Some(self.sum(inner)?.times(-1.0)),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.computed(left, *op, right),
            Expr::ScalarFunction(call) => match (arithmetic::of_call(call), call.args.as_slice()) {
                (Some(Arithmetic { op: Op::Binary(op), .. }), [left, right]) => {
                    self.computed(left, *op, right)
                }
                (Some(Arithmetic { op: Op::Negate, .. }), [inner]) => {
                    Some(self.sum(inner)?.times(-1.0))
                }
                (Some(Arithmetic { op: Op::PlainZero, .. }), [inner]) => self.sum(inner),
                (None, [left, right]) => self.computed(left, moved_times::operator(call)?, right),
                (None, [inner]) if casts::is_cast(call) => self.cast(inner, &self.data_type(expr)?),
                _ => None,
            },
            Expr::Cast(Cast { expr, field }) => self.cast(expr, field.data_type()),
            _ => None,
        }
    }

    fn computed(&self, left: &Expr, op: Operator, right: &Expr) -> Option<Sum> {
        // Spark does not look into the distance of two times.
        if op == Operator::Minus && self.is_time(left) && self.is_time(right) {
            return None;
        }
        let (left, right) = (self.sum(left)?, self.sum(right)?);
        match op {
            Operator::Plus => Some(left.plus(right, 1.0)),
            Operator::Minus => Some(left.plus(right, -1.0)),
            Operator::Multiply if left.columns.is_empty() => Some(right.times(left.constant)),
            Operator::Multiply if right.columns.is_empty() => Some(left.times(right.constant)),
            Operator::Divide if right.columns.is_empty() && right.constant != 0.0 => {
                Some(left.times(1.0 / right.constant))
            }
            _ => None,
        }
    }

    /// A time as a number is its seconds, and the other way round.
    fn cast(&self, expr: &Expr, to: &DataType) -> Option<Sum> {
        let from = self.data_type(expr)?;
        let sum = self.sum(expr)?.loose();
        match (&from, to) {
            (DataType::Timestamp(..), number) if number.is_numeric() => {
                let rounded = sum.rounded || number.is_integer();
                Some(Sum { rounded, ..sum.times(SECONDS) })
            }
            (number, DataType::Timestamp(_, Some(_))) if number.is_numeric() => {
                Some(sum.times(1.0 / SECONDS))
            }
            (DataType::Timestamp(..), DataType::Timestamp(_, Some(_))) => Some(sum),
            (from, to) if from == to || (from.is_numeric() && to.is_numeric()) => Some(sum),
            _ => None,
        }
    }
}

/// A constant: microseconds of a time or an interval, or a number. Months have no length.
fn literal(value: &ScalarValue) -> Option<f64> {
    const DAY: i64 = 86_400_000_000;
    match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 => {
            Some((i64::from(i.days) * DAY) as f64 + i.nanoseconds as f64 / 1e3)
        }
        ScalarValue::IntervalDayTime(Some(i)) => {
            Some((i64::from(i.days) * DAY + i64::from(i.milliseconds) * 1000) as f64)
        }
        ScalarValue::DurationMicrosecond(Some(us))
        | ScalarValue::TimestampMicrosecond(Some(us), _) => Some(*us as f64),
        _ => number_of(value),
    }
}

/// Whether a constant is a stretch of time that is always as long.
fn is_stretch(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) => {
            i.months == 0 && i.days == 0 && i.nanoseconds % 1000 == 0
        }
        ScalarValue::IntervalDayTime(Some(i)) => i.days == 0,
        ScalarValue::DurationMicrosecond(_) => true,
        _ => false,
    }
}

fn number_of(value: &ScalarValue) -> Option<f64> {
    if !value.data_type().is_numeric() {
        return None;
    }
    match value.cast_to(&DataType::Float64).ok()? {
        ScalarValue::Float64(number) => number,
        _ => None,
    }
}
