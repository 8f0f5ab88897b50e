//! `min` and `max`: DataFusion's own, except that among FLOATs and DOUBLEs NaN is the greatest and
//! an infinity counts like any other value, and that inside structs and arrays NULL is the least.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::ArrowNativeTypeOp;
use arrow::datatypes::{ArrowPrimitiveType, DataType, FieldRef, Float32Type, Float64Type};
use datafusion::error::Result as PlanResult;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity,
    Signature,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

use super::extreme_by::NestedExtreme;

/// `min(value)`.
pub(super) fn min() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Extreme { inner: min_udaf(), wanted: Ordering::Less }))
}

/// `max(value)`.
pub(super) fn max() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Extreme { inner: max_udaf(), wanted: Ordering::Greater }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    inner: Arc<AggregateUDF>,
    /// How a value must compare to the one kept to take its place.
    wanted: Ordering,
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        self.inner.return_type(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> PlanResult<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> PlanResult<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> PlanResult<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            nested if nested.is_nested() => Ok(Box::new(NestedExtreme::new(self.wanted, nested)?)),
            _ => self.inner.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        let nested = args.return_field.data_type().is_nested();
        !nested && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> PlanResult<Box<dyn GroupsAccumulator>> {
        match args.return_field.data_type() {
            DataType::Float32 => {
                Ok(groups::<Float32Type>(self.wanted, f32::NAN, f32::NEG_INFINITY))
            }
            DataType::Float64 => {
                Ok(groups::<Float64Type>(self.wanted, f64::NAN, f64::NEG_INFINITY))
            }
            _ => self.inner.create_groups_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }
}

/// The extremes of groups, which start at the value that any other takes the place of.
fn groups<T>(wanted: Ordering, nan: T::Native, least: T::Native) -> Box<dyn GroupsAccumulator>
where
    T: ArrowPrimitiveType + Send + Sync,
    T::Native: ArrowNativeTypeOp,
{
    // A value that differs from itself is NaN, whatever its sign says.
    let is_nan = |value: T::Native| value.partial_cmp(&value).is_none();
    match wanted {
        Ordering::Greater => Box::new(
            PrimitiveGroupsAccumulator::<T, _>::new(&T::DATA_TYPE, move |kept, new| {
                if is_nan(new) || new > *kept {
                    *kept = new;
                }
            })
            .with_starting_value(least),
        ),
        _ => Box::new(
            PrimitiveGroupsAccumulator::<T, _>::new(&T::DATA_TYPE, move |kept, new| {
                if is_nan(*kept) || new < *kept {
                    *kept = new;
                }
            })
            .with_starting_value(nan),
        ),
    }
}
