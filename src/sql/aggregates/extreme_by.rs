//! `min_by(value, ordering)` and `max_by`: the value of the row with the least or greatest ordering.
//!
//! Rows whose ordering is NULL do not count; of equal ones the first counts.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::plan_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

/// `min_by(value, ordering)`.
pub(super) fn min_by() -> Arc<AggregateUDF> {
    function("min_by", Ordering::Less)
}

/// `max_by(value, ordering)`.
pub(super) fn max_by() -> Arc<AggregateUDF> {
    function("max_by", Ordering::Greater)
}

fn function(name: &'static str, wanted: Ordering) -> Arc<AggregateUDF> {
    let signature = Signature::any(2, Volatility::Immutable);
    Arc::new(AggregateUDF::from(ExtremeBy { name, wanted, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExtremeBy {
    name: &'static str,
    /// How a row's ordering must compare to the one kept to take its place.
    wanted: Ordering,
    signature: Signature,
}

impl AggregateUDFImpl for ExtremeBy {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        match arguments {
            [value, _] => Ok(value.clone()),
            _ => plan_err!("No function matches {}: it takes a value and an ordering", self.name),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> PlanResult<Vec<FieldRef>> {
        let field = |(input, name): (&FieldRef, &str)| {
            let data_type = input.data_type().clone();
            Arc::new(Field::new(format_state_name(args.name, name), data_type, true))
        };
        Ok(args.input_fields.iter().zip(["value", "ordering"]).map(field).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> PlanResult<Box<dyn Accumulator>> {
        let [value, ordering] = args.expr_fields else {
            return plan_err!("{} takes a value and an ordering", self.name);
        };
        Ok(Box::new(Extreme::new(self.wanted, value.data_type(), ordering.data_type())?))
    }
}

#[derive(Debug)]
struct Extreme {
    wanted: Ordering,
    value: ScalarValue,
    ordering: ScalarValue,
    /// The ordering in a form that compares like it.
    best: Option<OwnedRow>,
    converter: RowConverter,
}

impl Extreme {
    fn new(wanted: Ordering, value: &DataType, ordering: &DataType) -> PlanResult<Self> {
        let sort = SortField::new_with_options(ordering.clone(), SortOptions::default());
        Ok(Self {
            wanted,
            value: ScalarValue::try_from(value)?,
            ordering: ScalarValue::try_from(ordering)?,
            best: None,
            converter: RowConverter::new(vec![sort])?,
        })
    }
}

impl Accumulator for Extreme {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> PlanResult<()> {
        let [values, orderings] = columns else {
            return plan_err!("min_by and max_by take a value and an ordering");
        };
        let rows = self.converter.convert_columns(std::slice::from_ref(orderings))?;
        let mut found = None;
        for row in (0..orderings.len()).filter(|&row| orderings.is_valid(row)) {
            let compared = match (&found, &self.best) {
                (Some(best), _) => rows.row(row).cmp(&rows.row(*best)),
                (None, Some(best)) => rows.row(row).cmp(&best.row()),
                (None, None) => self.wanted,
            };
            // Of values with the same ordering the last one counts, as in Spark.
            if compared == self.wanted || compared == Ordering::Equal {
                found = Some(row);
            }
        }
        if let Some(row) = found {
            self.best = Some(rows.row(row).owned());
            self.value = ScalarValue::try_from_array(values, row)?.compacted();
            self.ordering = ScalarValue::try_from_array(orderings, row)?.compacted();
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.ordering.clone()])
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() + self.ordering.size() + self.converter.size()
    }
}

/// The least or greatest of structs or arrays, field by field; a NULL in one is the least.
#[derive(Debug)]
pub(super) struct NestedExtreme(Extreme);

impl NestedExtreme {
    /// For values of this type; `wanted` is how a value must compare to the one kept.
    pub(super) fn new(wanted: Ordering, data_type: &DataType) -> PlanResult<Self> {
        Ok(Self(Extreme::new(wanted, data_type, data_type)?))
    }
}

impl Accumulator for NestedExtreme {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> PlanResult<()> {
        let [values] = columns else { return plan_err!("min and max take one value") };
        self.0.update_batch(&[values.clone(), values.clone()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        Ok(vec![self.0.value.clone()])
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        self.0.evaluate()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
