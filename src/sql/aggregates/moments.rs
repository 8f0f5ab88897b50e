//! `skewness` and `kurtosis` of a population, from the central moments.
//!
//! The state is the count, the mean and the sums of the second to fourth powers of the distance from
//! it, which two parts of a group can be merged by (Pébay 2008).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

/// `skewness(numbers)`.
pub(super) fn skewness() -> Arc<AggregateUDF> {
    function("skewness", |m| m.n.sqrt() * m.m3 / (m.m2 * m.m2 * m.m2).sqrt())
}

/// `kurtosis(numbers)`: 0 for a normal distribution.
pub(super) fn kurtosis() -> Arc<AggregateUDF> {
    function("kurtosis", |m| m.n * m.m4 / (m.m2 * m.m2) - 3.0)
}

fn function(name: &'static str, finish: fn(&Moments) -> f64) -> Arc<AggregateUDF> {
    let signature = Signature::exact(vec![DataType::Float64], Volatility::Immutable);
    Arc::new(AggregateUDF::from(Shape { name, finish, signature }))
}

#[derive(Debug)]
struct Shape {
    name: &'static str,
    finish: fn(&Moments) -> f64,
    signature: Signature,
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Shape {}

impl std::hash::Hash for Shape {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

const STATE: [&str; 5] = ["n", "mean", "m2", "m3", "m4"];

impl AggregateUDFImpl for Shape {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> PlanResult<Vec<FieldRef>> {
        let field = |part: &&str| {
            Arc::new(Field::new(format_state_name(args.name, part), DataType::Float64, false))
        };
        Ok(STATE.iter().map(field).collect())
    }

    fn accumulator(&self, _: AccumulatorArgs) -> PlanResult<Box<dyn Accumulator>> {
        Ok(Box::new(MomentsOf { moments: Moments::default(), finish: self.finish }))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    n: f64,
    mean: f64,
    m2: f64,
    m3: f64,
    m4: f64,
}

impl Moments {
    fn of(value: f64) -> Self {
        Self { n: 1.0, mean: value, ..Self::default() }
    }

    fn merged(self, other: Self) -> Self {
        if self.n == 0.0 || other.n == 0.0 {
            return if self.n == 0.0 { other } else { self };
        }
        let (a, b, n) = (self.n, other.n, self.n + other.n);
        let delta = other.mean - self.mean;
        let step = delta / n;
        Self {
            n,
            mean: self.mean + step * b,
            m2: self.m2 + other.m2 + delta * step * a * b,
            m3: self.m3
                + other.m3
                + delta * step * step * a * b * (a - b)
                + 3.0 * step * (a * other.m2 - b * self.m2),
            m4: self.m4
                + other.m4
                + delta * step * step * step * a * b * (a * a - a * b + b * b)
                + 6.0 * step * step * (a * a * other.m2 + b * b * self.m2)
                + 4.0 * step * (a * other.m3 - b * self.m3),
        }
    }
}

#[derive(Debug)]
struct MomentsOf {
    moments: Moments,
    finish: fn(&Moments) -> f64,
}

impl Accumulator for MomentsOf {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        let Some(values) = values.first() else { return Ok(()) };
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            self.moments = self.moments.merged(Moments::of(value));
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        let parts: Vec<_> = states.iter().map(|s| s.as_primitive::<Float64Type>()).collect();
        let [n, mean, m2, m3, m4] = parts[..] else { return Ok(()) };
        for row in 0..n.len() {
            let part = Moments {
                n: n.value(row),
                mean: mean.value(row),
                m2: m2.value(row),
                m3: m3.value(row),
                m4: m4.value(row),
            };
            self.moments = self.moments.merged(part);
        }
        Ok(())
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        let Moments { n, mean, m2, m3, m4 } = self.moments;
        Ok([n, mean, m2, m3, m4].map(|part| ScalarValue::Float64(Some(part))).to_vec())
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        // Without a row, and where all values are the same, there is no shape.
        let shaped = self.moments.n > 0.0 && self.moments.m2 != 0.0;
        Ok(ScalarValue::Float64(shaped.then(|| (self.finish)(&self.moments))))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
