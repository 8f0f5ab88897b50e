//! The rows of array columns: what most array functions do is to pick items out of a pool.
//!
//! The pool is the items of all arguments, one argument behind the other; a row of an argument is
//! a range of it. A function picks places in the pool, row by row, and one `take` makes the result.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, ListArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;

use super::value::{MOST_BYTES, too_long};
use super::widen::{common, item_of, list};
use crate::error::Error;

/// The most items that the arrays of a result have in one batch.
const MOST_ITEMS: usize = 1 << 27;

/// A row: a range of the pool, or NULL.
pub(super) type Row = Option<Range<usize>>;

/// The items of several columns.
pub(super) struct Pool {
    /// The items, one column's behind the other's.
    pub(super) items: ArrayRef,
    /// For each column, its rows.
    pub(super) columns: Vec<Vec<Row>>,
}

/// A column of a pool.
pub(super) enum Part<'a> {
    /// Arrays: a row is the items of one.
    Lists(&'a ArrayRef),
    /// Single items: a row is one of them, which may be NULL.
    Items(&'a ArrayRef),
}

impl Pool {
    /// The items of these columns, which have the same type.
    pub(super) fn of(parts: &[Part]) -> PlanResult<Pool> {
        let mut items: Vec<ArrayRef> = Vec::new();
        let mut columns = Vec::new();
        let mut start = 0;
        for part in parts {
            let values = match part {
                Part::Lists(array) => {
                    let lists = lists(array)?;
                    columns.push(
                        rows(lists)
                            .map(|row| row.map(|r| r.start + start..r.end + start))
                            .collect(),
                    );
                    lists.values().clone()
                }
                Part::Items(array) => {
                    columns.push((start..start + array.len()).map(|at| Some(at..at + 1)).collect());
                    (*array).clone()
                }
            };
            start += values.len();
            items.push(values);
        }
        let all: Vec<&dyn Array> = items.iter().map(AsRef::as_ref).collect();
        let items = match all.as_slice() {
            [] => arrow::array::new_empty_array(&DataType::Null),
            [one] => one.slice(0, one.len()),
            several => concat(several)?,
        };
        Ok(Pool { items, columns })
    }

    /// Whether an item is NULL.
    pub(super) fn is_null(&self, at: usize) -> bool {
        *self.items.data_type() == DataType::Null || self.items.is_null(at)
    }

    /// The items in a form that compares and hashes as Spark's values do.
    pub(super) fn comparable(&self) -> PlanResult<Rows> {
        comparable(&self.items)
    }
}

/// How much each value holds, bytes of text and items of arrays; `None`: all hold the same.
fn weights(values: &ArrayRef) -> Option<Vec<u64>> {
    let runs = |ends: &[i32]| -> Vec<u64> {
        ends.windows(2).map(|ends| (ends[1] - ends[0]) as u64).collect()
    };
    match values.data_type() {
        DataType::Utf8 => Some(runs(values.as_string::<i32>().value_offsets())),
        DataType::Binary => Some(runs(values.as_binary::<i32>().value_offsets())),
        DataType::List(_) => {
            let lists = values.as_list::<i32>();
            let ends = lists.value_offsets();
            let Some(inner) = weights(lists.values()) else { return Some(runs(ends)) };
            let of = |ends: &[i32]| inner.get(ends[0] as usize..ends[1] as usize);
            let whole = |items: &[u64]| items.len() as u64 + items.iter().sum::<u64>();
            Some(ends.windows(2).map(|ends| of(ends).map_or(0, whole)).collect())
        }
        DataType::Struct(_) => {
            let columns = values.as_struct().columns().iter().filter_map(weights);
            columns.reduce(|a, b| a.into_iter().zip(b).map(|(a, b)| a + b).collect())
        }
        DataType::Map(..) => Some(runs(values.as_map().value_offsets())),
        _ => None,
    }
}

/// An array of arrays.
pub(super) fn lists(array: &ArrayRef) -> PlanResult<&ListArray> {
    match array.as_list_opt::<i32>() {
        Some(lists) => Ok(lists),
        None => exec_err!("an array function was handed {}", array.data_type()),
    }
}

/// The rows of an array of arrays, as ranges of its values.
pub(super) fn rows(lists: &ListArray) -> impl Iterator<Item = Row> + '_ {
    let ends = lists.value_offsets();
    (0..lists.len())
        .map(move |at| lists.is_valid(at).then(|| ends[at] as usize..ends[at + 1] as usize))
}

/// Values in a form that compares and hashes as Spark's do: NULL first, NaN last and equal to
/// itself, both zeros equal.
pub(super) fn comparable(values: &ArrayRef) -> PlanResult<Rows> {
    let values: ArrayRef = if let Some(doubles) = values.as_primitive_opt::<Float64Type>() {
        Arc::new(doubles.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 })
            as Float64Array)
    } else if let Some(floats) = values.as_primitive_opt::<Float32Type>() {
        Arc::new(floats.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 })
            as Float32Array)
    } else {
        values.clone()
    };
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    Ok(converter.convert_columns(&[values])?)
}

/// The lists of a result while they are picked.
#[derive(Clone)]
pub(super) struct Picks {
    picked: Vec<Option<u32>>,
    ends: Vec<i32>,
    valid: Vec<bool>,
}

impl Picks {
    /// No lists yet, and room for so many.
    pub(super) fn new(rows: usize) -> Self {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        Self { picked: Vec::new(), ends, valid: Vec::with_capacity(rows) }
    }

    /// Puts the item at this place of the pool into the open list.
    pub(super) fn push(&mut self, at: usize) {
        self.picked.push(u32::try_from(at).ok());
    }

    /// Puts the items at these places of the pool into the open list.
    pub(super) fn extend(&mut self, places: impl IntoIterator<Item = usize>) {
        places.into_iter().for_each(|at| self.push(at));
    }

    /// Puts a NULL into the open list.
    pub(super) fn push_null(&mut self) {
        self.picked.push(None);
    }

    /// How many items are picked in all.
    pub(super) fn len(&self) -> usize {
        self.picked.len()
    }

    /// Closes the open list.
    pub(super) fn close(&mut self) {
        self.end(true);
    }

    /// The open list is NULL.
    pub(super) fn null(&mut self) {
        self.end(false);
    }

    fn end(&mut self, valid: bool) {
        self.ends.push(i32::try_from(self.picked.len()).unwrap_or(i32::MAX));
        self.valid.push(valid);
    }

    /// Whether so many items more can be picked.
    pub(super) fn room(&self, items: usize) -> Result<(), Error> {
        match self.picked.len().checked_add(items) {
            Some(all) if all <= MOST_ITEMS => Ok(()),
            _ => Err(too_long(format!("the arrays of one batch get more than {MOST_ITEMS} items"))),
        }
    }

    /// The lists, of items of this pool.
    pub(super) fn finish(self, items: &ArrayRef) -> PlanResult<ArrayRef> {
        self.room(0)?;
        if let Some(weights) = weights(items) {
            let picked = self.picked.iter().flatten();
            let all: u64 = picked.filter_map(|at| weights.get(*at as usize)).sum();
            if all > MOST_BYTES as u64 {
                return Err(too_long("the arrays of one batch get too large".to_owned()).into());
            }
        }
        let values = take(items, &UInt32Array::from(self.picked), None)?;
        let nulls = self.valid.contains(&false).then(|| NullBuffer::from(self.valid));
        let DataType::List(field) = list(values.data_type().clone()) else {
            return exec_err!("a list is a list");
        };
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        Ok(Arc::new(ListArray::try_new(field, ends, values, nulls)?))
    }
}

/// The types of two arrays of the same items.
pub(super) fn two_lists(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [a, b] = types else {
        return Err(super::definition::wrong_count("two arrays", types.len()));
    };
    let differ = || {
        Error::sql(
            "DATATYPE_MISMATCH.BINARY_ARRAY_DIFF_TYPES",
            "the two arrays have different items",
        )
        .hint("convert one of them with CAST(… AS ARRAY<…>)")
    };
    let (left, right) = (item_of(a)?, item_of(b)?);
    let void = |t: &DataType| *t == DataType::Null;
    let text = |t: &DataType| *t == DataType::Utf8;
    let mixed = !void(&left) && !void(&right) && text(&left) != text(&right);
    let item =
        common(&left, &right).filter(|_| !mixed && !void(a) && !void(b)).ok_or_else(differ)?;
    Ok(vec![list(item.clone()), list(item)])
}

/// The types of an array and of an item of it.
pub(super) fn list_and_item(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [a, b] = types else {
        return Err(super::definition::wrong_count("an array and an item", types.len()));
    };
    if *a == DataType::Null {
        return Err(super::definition::mismatch("an ARRAY", a));
    }
    let item = super::widen::common_of([&item_of(a)?, b])?;
    Ok(vec![list(item.clone()), item])
}

/// The type of one array.
pub(super) fn one_list(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [a] = types else { return Err(super::definition::wrong_count("one array", types.len())) };
    Ok(vec![list(item_of(a)?)])
}

/// The type of the first argument.
pub(super) fn first(types: &[DataType]) -> PlanResult<DataType> {
    Ok(types.first().cloned().unwrap_or(DataType::Null))
}

/// Arrays as long as these, of other items.
pub(super) fn list_items(lengths: &ListArray, items: ArrayRef) -> PlanResult<ListArray> {
    let DataType::List(field) = list(items.data_type().clone()) else {
        return exec_err!("a list is a list");
    };
    Ok(ListArray::try_new(field, lengths.offsets().clone(), items, lengths.nulls().cloned())?)
}
