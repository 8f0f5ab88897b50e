//! `sum` and `try_sum`: a sum that does not fit is an error, or NULL; it never wraps.
//!
//! Whole numbers give BIGINT, a DECIMAL gets ten more digits, all else is a DOUBLE.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type,
};
use datafusion::common::plan_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

use crate::error::Error;
use crate::sql::casts::{Misfit, fits};
use crate::sql::types::spark_name;

/// `sum(numbers)`.
pub(super) fn sum() -> Arc<AggregateUDF> {
    function("sum", Misfit::Fails)
}

/// `try_sum(numbers)`.
pub(super) fn try_sum() -> Arc<AggregateUDF> {
    function("try_sum", Misfit::Null)
}

fn function(name: &'static str, misfit: Misfit) -> Arc<AggregateUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(AggregateUDF::from(Sum { name, misfit, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    name: &'static str,
    misfit: Misfit,
    signature: Signature,
}

/// The type of a sum over a type.
pub(super) fn sum_type(argument: &DataType) -> Option<DataType> {
    Some(match argument {
        DataType::Decimal128(precision, scale) => {
            DataType::Decimal128(precision.saturating_add(10).min(38), *scale)
        }
        whole if whole.is_integer() => DataType::Int64,
        // A text is read as a DOUBLE before it gets here.
        DataType::Float32 | DataType::Float64 | DataType::Null | DataType::Utf8 => {
            DataType::Float64
        }
        _ => return None,
    })
}

pub(super) fn overflow(result: &DataType, attempt: &str) -> Error {
    let what = format!("a sum does not fit into {}", spark_name(result).to_uppercase());
    Error::input("ARITHMETIC_OVERFLOW", what)
        .hint(format!("write {attempt} to get NULL instead, or sum the column as DOUBLE"))
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> PlanResult<Vec<DataType>> {
        match arguments {
            [DataType::Decimal128(p, s)] => Ok(vec![DataType::Decimal128(*p, *s)]),
            [one] => match sum_type(one) {
                Some(sum) => Ok(vec![sum]),
                None => plan_err!("No function matches {}({})", self.name, spark_name(one)),
            },
            _ => plan_err!("No function matches {}: it takes one number", self.name),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        match arguments.first().and_then(sum_type) {
            Some(sum) => Ok(sum),
            None => plan_err!("No function matches {}: it takes one number", self.name),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> PlanResult<Vec<FieldRef>> {
        let name = format_state_name(args.name, "sum");
        let mut fields =
            vec![Arc::new(Field::new(name, args.return_field.data_type().clone(), true))];
        if self.misfit == Misfit::Null {
            let name = format_state_name(args.name, "too_large");
            fields.push(Arc::new(Field::new(name, DataType::Boolean, false)));
        }
        Ok(fields)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> PlanResult<Box<dyn Accumulator>> {
        let result = args.return_field.data_type().clone();
        let misfit = self.misfit;
        Ok(match &result {
            DataType::Int64 => Box::new(Total::<Int64Type>::new(result, misfit, add_whole)),
            DataType::Decimal128(..) => {
                Box::new(Total::<Decimal128Type>::new(result, misfit, add_decimal))
            }
            _ => Box::new(Total::<Float64Type>::new(result, misfit, add_double)),
        })
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        self.misfit == Misfit::Fails
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> PlanResult<Box<dyn GroupsAccumulator>> {
        let result = args.return_field.data_type();
        Ok(match result {
            DataType::Int64 => checked_groups::<Int64Type>(result, add_whole),
            DataType::Decimal128(..) => checked_groups::<Decimal128Type>(result, add_decimal),
            _ => checked_groups::<Float64Type>(result, add_double),
        })
    }
}

fn add_whole(a: i64, b: i64) -> Option<i64> {
    a.checked_add(b)
}

fn add_decimal(a: i128, b: i128) -> Option<i128> {
    a.checked_add(b)
}

fn add_double(a: f64, b: f64) -> Option<f64> {
    Some(a + b)
}

/// Whether each value has no more digits than the type of the sum.
fn within(column: &ArrayRef) -> bool {
    match column.data_type() {
        DataType::Decimal128(precision, _) => {
            column.as_primitive::<Decimal128Type>().iter().flatten().all(|n| fits(n, *precision))
        }
        _ => true,
    }
}

/// One sum.
#[derive(Debug)]
struct Total<T: ArrowPrimitiveType> {
    sum: Option<T::Native>,
    result: DataType,
    misfit: Misfit,
    too_large: bool,
    add: fn(T::Native, T::Native) -> Option<T::Native>,
}

impl<T: ArrowPrimitiveType> Total<T> {
    fn new(
        result: DataType,
        misfit: Misfit,
        add: fn(T::Native, T::Native) -> Option<T::Native>,
    ) -> Self {
        Self { sum: None, result, misfit, too_large: false, add }
    }

    fn value(&self) -> PlanResult<ScalarValue> {
        let sum = self.sum.filter(|_| !self.too_large);
        let one: PrimitiveArray<T> = std::iter::once(sum).collect();
        let one: ArrayRef = Arc::new(one.with_data_type(self.result.clone()));
        ScalarValue::try_from_array(&one, 0)
    }
}

impl<T: ArrowPrimitiveType + std::fmt::Debug> Accumulator for Total<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        let Some(values) = values.first() else { return Ok(()) };
        for value in values.as_primitive::<T>().iter().flatten() {
            let sum = match self.sum {
                Some(sum) => (self.add)(sum, value),
                None => Some(value),
            };
            match sum {
                Some(sum) => self.sum = Some(sum),
                None if self.misfit == Misfit::Fails => {
                    return Err(overflow(&self.result, "try_sum(…)").into());
                }
                None => self.too_large = true,
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        if let Some(too_large) = states.get(1) {
            self.too_large |= too_large.as_boolean().iter().flatten().any(|large| large);
        }
        self.update_batch(states)
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        let mut state = vec![self.value()?];
        if self.misfit == Misfit::Null {
            state.push(ScalarValue::Boolean(Some(self.too_large)));
        }
        Ok(state)
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        let value = self.value()?;
        if within(&value.to_array()?) {
            return Ok(value);
        }
        match self.misfit {
            Misfit::Fails => Err(overflow(&self.result, "try_sum(…)").into()),
            Misfit::Null => ScalarValue::try_from(&self.result),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// Many sums at once, in DataFusion's own accumulator; only the addition is ours.
struct CheckedGroups<G> {
    sums: G,
    result: DataType,
    too_large: Arc<AtomicBool>,
}

fn checked_groups<T: ArrowPrimitiveType + Send>(
    result: &DataType,
    add: fn(T::Native, T::Native) -> Option<T::Native>,
) -> Box<dyn GroupsAccumulator> {
    let too_large = Arc::new(AtomicBool::new(false));
    let flag = too_large.clone();
    let sums = PrimitiveGroupsAccumulator::<T, _>::new(
        result,
        move |sum: &mut T::Native, value| match add(*sum, value) {
            Some(new) => *sum = new,
            None => flag.store(true, Ordering::Relaxed),
        },
    );
    Box::new(CheckedGroups { sums, result: result.clone(), too_large })
}

impl<G> CheckedGroups<G> {
    fn check(&self) -> PlanResult<()> {
        match self.too_large.load(Ordering::Relaxed) {
            true => Err(overflow(&self.result, "try_sum(…)").into()),
            false => Ok(()),
        }
    }
}

impl<G: GroupsAccumulator> GroupsAccumulator for CheckedGroups<G> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> PlanResult<()> {
        self.sums.update_batch(values, group_indices, filter, groups)?;
        self.check()
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        groups: usize,
    ) -> PlanResult<()> {
        self.sums.merge_batch(values, group_indices, groups)?;
        self.check()
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> PlanResult<ArrayRef> {
        let sums = self.sums.evaluate(emit_to)?;
        if within(&sums) { Ok(sums) } else { Err(overflow(&self.result, "try_sum(…)").into()) }
    }

    fn state(&mut self, emit_to: EmitTo) -> PlanResult<Vec<ArrayRef>> {
        self.sums.state(emit_to)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> PlanResult<Vec<ArrayRef>> {
        // A state has the type of the sum, which for a DECIMAL has more digits than the values.
        let wide = values.iter().map(|v| compute::cast(v, &self.result));
        self.sums.convert_to_state(&wide.collect::<Result<Vec<_>, _>>()?, filter)
    }

    fn size(&self) -> usize {
        self.sums.size()
    }
}
