//! `approx_count_distinct(column[, rsd])`: HyperLogLog++ over the hashes that Spark takes (xxHash64,
//! seed 42), so that few values are counted just as Spark counts them.
//!
//! Where Spark corrects by a measured table (here from 400 distinct values on, with the standard
//! error of 5 %), the estimator of Ertl (2017) is used, which needs none: there the two differ, by
//! less than the error that both have.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, Schema};
use datafusion::common::plan_err;
use datafusion::config::ConfigOptions;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, ScalarFunctionArgs, ScalarUDF,
    Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use datafusion_spark::function::hash::xxhash64::SparkXxhash64;

use crate::error::Error;

/// `approx_count_distinct(column[, rsd])`.
pub(super) fn approx_count_distinct() -> Arc<AggregateUDF> {
    let signature = Signature::variadic_any(Volatility::Immutable);
    Arc::new(AggregateUDF::from(CountDistinct { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CountDistinct {
    signature: Signature,
}

const NAME: &str = "approx_count_distinct";
/// The relative standard deviation where none is written.
const RSD: f64 = 0.05;
/// Up to this count empty registers are counted, by the number of bits of a register's index.
const LINEAR_UP_TO: [(u32, f64); 15] = [
    (4, 10.0),
    (5, 20.0),
    (6, 40.0),
    (7, 80.0),
    (8, 220.0),
    (9, 400.0),
    (10, 900.0),
    (11, 1800.0),
    (12, 3100.0),
    (13, 6500.0),
    (14, 11_500.0),
    (15, 20_000.0),
    (16, 50_000.0),
    (17, 120_000.0),
    (18, 350_000.0),
];

impl AggregateUDFImpl for CountDistinct {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        match arguments.len() {
            1 | 2 => Ok(DataType::Int64),
            _ => plan_err!("No function matches {NAME}: it takes a column and a deviation"),
        }
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn default_value(&self, _: &DataType) -> PlanResult<ScalarValue> {
        Ok(ScalarValue::Int64(Some(0)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> PlanResult<Vec<FieldRef>> {
        let name = format_state_name(args.name, "registers");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> PlanResult<Box<dyn Accumulator>> {
        let deviation = match args.exprs.get(1) {
            None => RSD,
            Some(expr) => {
                let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
                let value = expr.evaluate(&empty)?.into_array(1)?;
                let value = compute::cast(&value, &DataType::Float64)?;
                value.as_primitive::<Float64Type>().iter().flatten().next().unwrap_or(f64::NAN)
            }
        };
        let bits = (2.0 * (1.106 / deviation).log2()).ceil();
        if !(4.0..=24.0).contains(&bits) || deviation > 0.39 {
            let what = format!("{NAME} cannot count with a deviation of {deviation}");
            return Err(Error::sql("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", what)
                .hint("write a number from 0.001 to 0.39, or leave it out for 0.05")
                .into());
        }
        Ok(Box::new(Registers { bits: bits as u32, registers: vec![0; 1 << bits as u32] }))
    }
}

/// For each start of a hash, the most zeros that followed it.
#[derive(Debug)]
struct Registers {
    bits: u32,
    registers: Vec<u8>,
}

/// Spark's hash of each value.
fn hashes(column: &ArrayRef) -> PlanResult<ArrayRef> {
    // 0.0 and -0.0 are one value.
    let column = match column.data_type() {
        DataType::Float64 => {
            let plain = |n: f64| if n == 0.0 { 0.0 } else { n };
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(plain))
                as ArrayRef
        }
        _ => column.clone(),
    };
    let field = |data_type: &DataType| Arc::new(Field::new("value", data_type.clone(), true));
    let args = ScalarFunctionArgs {
        arg_fields: vec![field(column.data_type())],
        number_rows: column.len(),
        return_field: field(&DataType::Int64),
        config_options: Arc::new(ConfigOptions::default()),
        args: vec![ColumnarValue::Array(column)],
    };
    let rows = args.number_rows;
    ScalarUDF::from(SparkXxhash64::new()).invoke_with_args(args)?.into_array(rows)
}

impl Registers {
    fn add(&mut self, hash: u64) {
        let at = (hash >> (64 - self.bits)) as usize;
        let rest = (hash << self.bits) | (1 << (self.bits - 1));
        let zeros = rest.leading_zeros() as u8 + 1;
        if let Some(register) = self.registers.get_mut(at) {
            *register = zeros.max(*register);
        }
    }

    fn count(&self) -> f64 {
        let m = self.registers.len() as f64;
        let empty = self.registers.iter().filter(|r| **r == 0).count() as f64;
        let linear = m * (m / empty).ln();
        let limit = LINEAR_UP_TO.iter().find(|(bits, _)| *bits == self.bits).map(|(_, n)| *n);
        if empty > 0.0 && limit.is_none_or(|limit| linear <= limit) {
            return linear;
        }
        let sum: f64 = self.registers.iter().map(|r| (-f64::from(*r)).exp2()).sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        if raw >= 5.0 * m { raw } else { self.improved(m, empty) }
    }

    /// Ertl's estimator: registers that are empty or full are corrected for in closed form.
    fn improved(&self, m: f64, empty: f64) -> f64 {
        let most = 64 - self.bits as usize + 1;
        let mut histogram = vec![0.0; most + 1];
        for register in &self.registers {
            histogram[usize::from(*register).min(most)] += 1.0;
        }
        let mut z = m * tau(1.0 - histogram[most] / m);
        for count in histogram[1..most].iter().rev() {
            z = 0.5 * (z + count);
        }
        z += m * sigma(empty / m);
        m * m / (2.0 * std::f64::consts::LN_2 * z)
    }
}

fn sigma(mut x: f64) -> f64 {
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before || !z.is_finite() {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

impl Accumulator for Registers {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> PlanResult<()> {
        let Some(column) = columns.first() else { return Ok(()) };
        let hashes = hashes(column)?;
        for (row, hash) in hashes.as_primitive::<Int64Type>().values().iter().enumerate() {
            if column.is_valid(row) {
                self.add(*hash as u64);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        let Some(states) = states.first().map(|s| s.as_binary::<i32>()) else { return Ok(()) };
        for other in states.iter().flatten() {
            for (own, other) in self.registers.iter_mut().zip(other) {
                *own = (*own).max(*other);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.registers.clone()))])
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.count().round() as i64)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.registers.capacity()
    }
}
