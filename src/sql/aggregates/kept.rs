//! Aggregates that need all values of a group: `collect_list`, `collect_set`, `listagg`, the
//! percentiles and `mode`.
//!
//! The state is the list of the values that are not NULL, in the order in which they came. It grows
//! with the group.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, UInt32Array, new_empty_array,
};
use arrow::compute::{self, SortOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, Schema};
use arrow::row::{RowConverter, SortField};
use datafusion::common::plan_err;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::calendar::Zone;
use crate::error::Error;
use crate::sql::casts::{Misfit, cast_column};

/// All of them.
pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    let function = |name, what, aliases: &[&'static str]| {
        let signature = Signature::variadic_any(Volatility::Immutable);
        let function = AggregateUDF::from(Kept { name, what, signature });
        Arc::new(function.with_aliases(aliases.iter().copied()))
    };
    vec![
        function("collect_list", What::List, &["array_agg"]),
        function("collect_set", What::Set, &[]),
        function("listagg", What::Joined, &["string_agg"]),
        function("percentile", What::Percentile, &["percentile_cont"]),
        function("percentile_disc", What::Discrete, &[]),
        function("percentile_approx", What::Approximate, &["approx_percentile"]),
        function("median", What::Median, &[]),
        function("mode", What::Mode, &[]),
    ]
}

/// What is made of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    List,
    Set,
    /// One text, with a text between.
    Joined,
    /// Between the two nearest values.
    Percentile,
    /// One of the values, as a DOUBLE.
    Discrete,
    /// One of the values, in their own type: exact here.
    Approximate,
    Median,
    /// The most frequent value; of several the first.
    Mode,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Kept {
    name: &'static str,
    what: What,
    signature: Signature,
}

fn list_of(item: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item.clone(), true)))
}

impl AggregateUDFImpl for Kept {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> PlanResult<DataType> {
        let Some(value) = arguments.first() else {
            return plan_err!("No function matches {}: it takes a value", self.name);
        };
        let several = matches!(arguments.get(1), Some(DataType::List(_)));
        let one_or_more = |one: DataType| if several { list_of(&one) } else { one };
        Ok(match self.what {
            What::List | What::Set => list_of(value),
            What::Joined => DataType::Utf8,
            What::Percentile | What::Discrete => one_or_more(DataType::Float64),
            What::Median => DataType::Float64,
            What::Approximate => one_or_more(value.clone()),
            What::Mode => value.clone(),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> PlanResult<Vec<FieldRef>> {
        let Some(value) = args.input_fields.first() else {
            return plan_err!("{} takes a value", self.name);
        };
        let name = format_state_name(args.name, "values");
        Ok(vec![Arc::new(Field::new(name, list_of(value.data_type()), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> PlanResult<Box<dyn Accumulator>> {
        let Some(value) = args.expr_fields.first() else {
            return plan_err!("{} takes a value", self.name);
        };
        let parameter = match (self.what, args.exprs.get(1)) {
            (What::Joined | What::Percentile | What::Discrete | What::Approximate, Some(expr)) => {
                let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
                match expr.evaluate(&empty) {
                    Ok(ColumnarValue::Scalar(value)) => Some(value),
                    _ => return Err(not_constant(self.name).into()),
                }
            }
            _ => None,
        };
        let fractions = match self.what {
            What::Median => vec![0.5],
            What::Percentile | What::Discrete | What::Approximate => {
                fractions(self.name, parameter.as_ref())?
            }
            _ => vec![],
        };
        Ok(Box::new(Values {
            what: self.what,
            item: value.data_type().clone(),
            result: args.return_field.data_type().clone(),
            descending: args.order_bys.first().is_some_and(|order| order.options.descending),
            delimiter: match parameter {
                Some(ScalarValue::Utf8(Some(text))) => text,
                _ => String::new(),
            },
            fractions,
            parts: vec![],
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        // The values are sorted at the end.
        AggregateOrderSensitivity::Insensitive
    }

    fn supports_within_group_clause(&self) -> bool {
        matches!(self.what, What::Percentile | What::Discrete)
    }

    fn default_value(&self, data_type: &DataType) -> PlanResult<ScalarValue> {
        match (self.what, data_type) {
            (What::List | What::Set, DataType::List(item)) => {
                let none = new_empty_array(item.data_type());
                Ok(SingleRowListArrayBuilder::new(none).build_list_scalar())
            }
            _ => ScalarValue::try_from(data_type),
        }
    }
}

fn not_constant(name: &str) -> Error {
    Error::sql("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", format!("{name} takes a constant there"))
        .hint("write a number or a text, not a column")
}

/// The percentages: a number from 0 to 1, or an array of them.
fn fractions(name: &str, parameter: Option<&ScalarValue>) -> PlanResult<Vec<f64>> {
    let wrong = || {
        Error::sql(
            "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE",
            format!("{name} takes a part from 0 to 1"),
        )
        .hint("write 0.95 for the 95th percentile, or array(0.5, 0.95) for several")
    };
    let column = match parameter {
        Some(ScalarValue::List(list)) if list.len() == 1 => list.value(0),
        Some(value) => value.to_array()?,
        None => return Err(wrong().into()),
    };
    let doubles = compute::cast(&column, &DataType::Float64).map_err(|_| wrong())?;
    let parts: Option<Vec<f64>> = doubles.as_primitive::<Float64Type>().iter().collect();
    match parts {
        Some(parts) if parts.iter().all(|part| (0.0..=1.0).contains(part)) => Ok(parts),
        _ => Err(wrong().into()),
    }
}

/// The values of one group.
#[derive(Debug)]
struct Values {
    what: What,
    item: DataType,
    result: DataType,
    descending: bool,
    delimiter: String,
    fractions: Vec<f64>,
    parts: Vec<ArrayRef>,
}

impl Values {
    fn all(&self) -> PlanResult<ArrayRef> {
        let parts: Vec<&dyn Array> = self.parts.iter().map(AsRef::as_ref).collect();
        if parts.is_empty() {
            Ok(new_empty_array(&self.item))
        } else {
            Ok(compute::concat(&parts)?)
        }
    }

    fn keep(&mut self, values: &ArrayRef) -> PlanResult<()> {
        let kept = match values.null_count() {
            0 => values.clone(),
            _ => compute::filter(values, &compute::is_not_null(values)?)?,
        };
        if !kept.is_empty() {
            self.parts.push(kept);
        }
        Ok(())
    }

    /// Where each value stands among the distinct ones, and the first row of each of those.
    fn distinct(&self, values: &ArrayRef) -> PlanResult<(Vec<usize>, Vec<u32>)> {
        let converter = RowConverter::new(vec![SortField::new(self.item.clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(values))?;
        let mut seen = std::collections::HashMap::new();
        let (mut which, mut first) = (Vec::with_capacity(values.len()), vec![]);
        for (at, row) in rows.iter().enumerate() {
            let next = first.len();
            let number = *seen.entry(row.owned()).or_insert(next);
            if number == next {
                first.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
            which.push(number);
        }
        Ok((which, first))
    }

    fn one_or_more(&self, picked: ArrayRef) -> PlanResult<ScalarValue> {
        match &self.result {
            DataType::List(_) => Ok(SingleRowListArrayBuilder::new(picked).build_list_scalar()),
            _ => ScalarValue::try_from_array(&picked, 0),
        }
    }

    fn mode(&self, values: &ArrayRef) -> PlanResult<ScalarValue> {
        let (which, first) = self.distinct(values)?;
        let mut counts = vec![0_usize; first.len()];
        which.into_iter().for_each(|number| counts[number] += 1);
        let most = counts.iter().copied().max();
        match counts.iter().position(|count| Some(*count) == most) {
            Some(number) => ScalarValue::try_from_array(values, first[number] as usize),
            None => ScalarValue::try_from(&self.result),
        }
    }

    fn percentile(&self, values: &ArrayRef) -> PlanResult<ScalarValue> {
        if values.is_empty() {
            return ScalarValue::try_from(&self.result);
        }
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let sorted = compute::sort(values, Some(options))?;
        let last = sorted.len() - 1;
        if matches!(self.what, What::Discrete | What::Approximate) {
            // The first value with at least this part of all at or before it.
            let place = |part: &f64| {
                let rank = (part * sorted.len() as f64).ceil() as usize;
                rank.saturating_sub(1).min(last) as u32
            };
            let places: UInt32Array = self.fractions.iter().map(place).collect::<Vec<_>>().into();
            let picked = compute::take(&sorted, &places, None)?;
            return match self.what {
                What::Approximate => self.one_or_more(picked),
                _ => self.one_or_more(as_double(&picked)?),
            };
        }
        let doubles = as_double(&sorted)?;
        let doubles = doubles.as_primitive::<Float64Type>();
        let between = |part: &f64| {
            let position = part * last as f64;
            let (low, high) = (position.floor(), position.ceil());
            let (a, b) = (doubles.value(low as usize), doubles.value(high as usize));
            if low == high || a == b { a } else { (high - position) * a + (position - low) * b }
        };
        let found: Float64Array = self.fractions.iter().map(between).collect::<Vec<_>>().into();
        self.one_or_more(Arc::new(found))
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> PlanResult<()> {
        let Some(values) = columns.first() else { return Ok(()) };
        match columns.get(2).filter(|_| self.what == What::Percentile) {
            // How often each value counts.
            Some(counts) => {
                let counts = compute::cast(counts, &DataType::Int64)?;
                let counts = counts.as_primitive::<Int64Type>().iter().enumerate();
                let rows = counts.flat_map(|(row, count)| {
                    let count = usize::try_from(count.unwrap_or(0)).unwrap_or(0);
                    std::iter::repeat_n(row as u32, count)
                });
                let rows: UInt32Array = rows.collect::<Vec<_>>().into();
                self.keep(&compute::take(values, &rows, None)?)
            }
            None => self.keep(values),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        let Some(lists) = states.first().map(|s| s.as_list::<i32>()) else { return Ok(()) };
        lists.iter().flatten().try_for_each(|values| self.keep(&values))
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        let mut values = self.all()?;
        if self.what == What::Set {
            let (_, first) = self.distinct(&values)?;
            values = compute::take(&values, &UInt32Array::from(first), None)?;
        }
        Ok(vec![SingleRowListArrayBuilder::new(values).build_list_scalar()])
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        let values = self.all()?;
        match self.what {
            What::List => Ok(SingleRowListArrayBuilder::new(values).build_list_scalar()),
            What::Set => {
                let (_, first) = self.distinct(&values)?;
                let distinct = compute::take(&values, &UInt32Array::from(first), None)?;
                Ok(SingleRowListArrayBuilder::new(distinct).build_list_scalar())
            }
            What::Joined if values.is_empty() => Ok(ScalarValue::Utf8(None)),
            What::Joined => {
                let texts = compute::cast(&values, &DataType::Utf8)?;
                let texts: Vec<&str> = texts.as_string::<i32>().iter().flatten().collect();
                Ok(ScalarValue::Utf8(Some(texts.join(&self.delimiter))))
            }
            What::Mode => self.mode(&values),
            What::Percentile | What::Discrete | What::Approximate | What::Median => {
                self.percentile(&values)
            }
        }
    }

    fn size(&self) -> usize {
        let values: usize = self.parts.iter().map(|part| part.get_array_memory_size()).sum();
        size_of_val(self) + values
    }
}
/// Numbers as DOUBLE, which knows no zone.
fn as_double(numbers: &ArrayRef) -> PlanResult<ArrayRef> {
    cast_column(numbers, &DataType::Float64, Misfit::Null, &Zone::default())
}
