//! `avg` and `try_avg`: of a DECIMAL a DECIMAL with four more places, rounded half up; of all else a
//! DOUBLE, as DataFusion computes it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, i256};
use datafusion::common::plan_err;
use datafusion::error::Result as PlanResult;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::sum::{overflow, sum_type};
use crate::sql::casts::{Misfit, divided_half_up, fits};
use crate::sql::types::spark_name;

/// `avg(numbers)`.
pub(super) fn avg() -> Arc<AggregateUDF> {
    function("avg", Misfit::Fails)
}

/// `try_avg(numbers)`.
pub(super) fn try_avg() -> Arc<AggregateUDF> {
    function("try_avg", Misfit::Null)
}

fn function(name: &'static str, misfit: Misfit) -> Arc<AggregateUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(AggregateUDF::from(Avg { name, misfit, signature, doubles: avg_udaf() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Avg {
    name: &'static str,
    misfit: Misfit,
    signature: Signature,
    /// DataFusion's, for all but decimals.
    doubles: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Avg {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> PlanResult<Vec<DataType>> {
        match arguments {
            [DataType::Decimal128(p, s)] => Ok(vec![DataType::Decimal128(*p, *s)]),
            [one] if sum_type(one).is_some() => Ok(vec![DataType::Float64]),
            [one] => plan_err!("No function matches {}({})", self.name, spark_name(one)),
            _ => plan_err!("No function matches {}: it takes one number", self.name),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        Ok(match arguments {
            [DataType::Decimal128(precision, scale)] => {
                let wide = |n: i16| n.min(38);
                let (precision, scale) = (i16::from(*precision) + 4, i16::from(*scale) + 4);
                DataType::Decimal128(wide(precision) as u8, wide(scale) as i8)
            }
            _ => DataType::Float64,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> PlanResult<Vec<FieldRef>> {
        let argument = args.input_fields.first().map(|f| f.data_type().clone());
        let Some(DataType::Decimal128(_, scale)) = argument else {
            return self.doubles.state_fields(args);
        };
        let field = |name, data_type, nullable| {
            Arc::new(Field::new(format_state_name(args.name, name), data_type, nullable))
        };
        Ok(vec![
            field("count", DataType::Int64, false),
            field("sum", DataType::Decimal128(38, scale), true),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> PlanResult<Box<dyn Accumulator>> {
        let argument = args.expr_fields.first().map(|f| f.data_type().clone());
        let Some(DataType::Decimal128(_, scale)) = argument else {
            return self.doubles.accumulator(args);
        };
        let result = args.return_field.data_type().clone();
        let misfit = self.misfit;
        Ok(Box::new(DecimalAvg { count: 0, sum: Some(0), scale, result, misfit }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        let decimal = matches!(args.return_field.data_type(), DataType::Decimal128(..));
        !decimal && self.doubles.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> PlanResult<Box<dyn GroupsAccumulator>> {
        self.doubles.create_groups_accumulator(args)
    }
}

/// The average of decimals. A sum that is `None` has become too large.
#[derive(Debug)]
struct DecimalAvg {
    count: i64,
    sum: Option<i128>,
    scale: i8,
    result: DataType,
    misfit: Misfit,
}

impl DecimalAvg {
    fn add(&mut self, sum: i128, count: i64) -> PlanResult<()> {
        self.count += count;
        let sum = self.sum.and_then(|own| own.checked_add(sum)).filter(|sum| fits(*sum, 38));
        if sum.is_none() && self.misfit == Misfit::Fails {
            return Err(overflow(&self.result, "try_avg(…)").into());
        }
        self.sum = sum;
        Ok(())
    }

    fn average(&self, precision: u8, scale: i8) -> Option<i128> {
        let places = u32::try_from(scale - self.scale).ok()?;
        let sum = i256::from_i128(self.sum?);
        let sum = sum.checked_mul(i256::from_i128(10).checked_pow(places)?)?;
        let average = divided_half_up(sum, i256::from_i128(self.count.into()))?.to_i128()?;
        fits(average, precision).then_some(average)
    }
}

impl Accumulator for DecimalAvg {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        let Some(values) = values.first() else { return Ok(()) };
        values.as_primitive::<Decimal128Type>().iter().flatten().try_for_each(|n| self.add(n, 1))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        let [counts, sums] = states else { return Ok(()) };
        let sums = sums.as_primitive::<Decimal128Type>().iter();
        for (count, sum) in counts.as_primitive::<Int64Type>().iter().zip(sums) {
            match sum {
                Some(sum) => self.add(sum, count.unwrap_or(0))?,
                None => {
                    self.count += count.unwrap_or(0);
                    self.sum = None;
                }
            }
        }
        Ok(())
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        let count = ScalarValue::Int64(Some(self.count));
        Ok(vec![count, ScalarValue::Decimal128(self.sum, 38, self.scale)])
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        let DataType::Decimal128(precision, scale) = self.result else {
            return plan_err!("an average of decimals is a decimal");
        };
        let average = if self.count == 0 { None } else { self.average(precision, scale) };
        if average.is_none() && self.count > 0 && self.misfit == Misfit::Fails {
            return Err(overflow(&self.result, "try_avg(…)").into());
        }
        Ok(ScalarValue::Decimal128(average, precision, scale))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
