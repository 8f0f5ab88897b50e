//! Functions that make an array out of arrays and items: each picks items from a [`Pool`].

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int32Array, ListArray, StringArray, StructArray,
    UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::exec_err;
use datafusion::error::{DataFusionError, Result as PlanResult};

use super::definition::{Call, Definition, mismatch, wrong_count};
use super::lists::{Part, Picks, Pool, Row, first, list_and_item, lists, one_list, rows};
use super::value::{MOST_BYTES, too_long};
use super::widen::{common_of, item_of, list, structure};
use crate::error::Error;

/// An array has no more items than this.
pub(super) const LONGEST: usize = i32::MAX as usize - 15;

/// The error for an array of more than [`LONGEST`] items; `by` is what asks for it.
pub(super) fn longer(by: &str) -> DataFusionError {
    let condition = format!("COLLECTION_SIZE_LIMIT_EXCEEDED.{by}");
    Error::input(condition, format!("an array has no more than {LONGEST} items"))
        .hint("lower the number in the call, or filter such rows out before")
        .into()
}

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let of_list = |name, value| Definition { name, takes: one_list, gives: first, value };
    let of_item = |name, value| Definition { name, takes: list_and_item, gives: first, value };
    let gives_list =
        |types: &[DataType]| Ok(list(types.first().cloned().unwrap_or(DataType::Null)));
    vec![
        Definition { name: "array", takes: same, gives: gives_list, value: array },
        concat_rules(),
        Definition { name: "reverse", takes: list_or_text, gives: first, value: reverse },
        Definition { name: "flatten", takes: nested, gives: inner, value: flatten },
        Definition {
            name: "array_repeat",
            takes: item_and_count,
            gives: gives_list,
            value: repeat,
        },
        Definition { name: "array_insert", takes: list_place_item, gives: first, value: insert },
        Definition { name: "slice", takes: list_and_range, gives: first, value: slice },
        Definition { name: "arrays_zip", takes: any_lists, gives: zipped, value: zip },
        of_list("array_compact", compact),
        of_item("array_remove", remove),
        of_item("array_append", append),
        of_item("array_prepend", prepend),
    ]
}

/// `concat(a, b, …)`.
pub(super) fn concat_rules() -> Definition {
    // Of nothing it is the empty text.
    let gives = |types: &[DataType]| match types {
        [] => Ok(DataType::Utf8),
        types => first(types),
    };
    Definition { name: "concat", takes: joined, gives, value: concat }
}

/// One result row for each row of a single argument; NULL stays NULL.
pub(super) fn each(
    call: &Call,
    mut pick: impl FnMut(&Pool, Range<usize>, &mut Picks),
) -> PlanResult<ArrayRef> {
    let pool = Pool::of(&[Part::Lists(&call.args[0])])?;
    let mut picks = Picks::new(call.rows);
    for row in &pool.columns[0] {
        match row {
            Some(range) => {
                pick(&pool, range.clone(), &mut picks);
                picks.close();
            }
            None => picks.null(),
        }
    }
    picks.finish(&pool.items)
}

/// One result row for each pair of rows; NULL on one side makes NULL.
pub(super) fn both(
    pool: &Pool,
    mut pick: impl FnMut(Range<usize>, Range<usize>, &mut Picks),
) -> PlanResult<ArrayRef> {
    let [left, right] = pool.columns.as_slice() else { return exec_err!("two arguments") };
    let mut picks = Picks::new(left.len());
    for (left, right) in left.iter().zip(right) {
        match (left, right) {
            (Some(left), Some(right)) => {
                pick(left.clone(), right.clone(), &mut picks);
                picks.close();
            }
            _ => picks.null(),
        }
    }
    picks.finish(&pool.items)
}

fn same(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    Ok(vec![common_of(types)?; types.len()])
}

fn array(call: &Call) -> PlanResult<ArrayRef> {
    let parts: Vec<Part> = call.args.iter().map(Part::Items).collect();
    let pool = Pool::of(&parts)?;
    let mut picks = Picks::new(call.rows);
    for row in 0..call.rows {
        pool.columns.iter().filter_map(|c| c[row].clone()).for_each(|item| picks.extend(item));
        picks.close();
    }
    picks.finish(&pool.items)
}

/// Arrays of one type, bytes, or texts.
fn joined(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    if !types.iter().any(|t| matches!(t, DataType::List(_) | DataType::LargeList(_))) {
        let bytes = !types.is_empty() && types.iter().all(|t| *t == DataType::Binary);
        let joined = if bytes { DataType::Binary } else { DataType::Utf8 };
        return Ok(vec![joined; types.len()]);
    }
    let no_list = |t: &&DataType| !matches!(t, DataType::List(_) | DataType::LargeList(_));
    if let Some(other) = types.iter().find(no_list) {
        let other = crate::sql::types::spark_name(other).to_uppercase();
        let what = format!("concat and || do not join {other} to an ARRAY");
        return Err(Error::sql("DATATYPE_MISMATCH.DATA_DIFF_TYPES", what)
            .hint("put a single value into an array: array(value)")
            .into());
    }
    let items = types.iter().map(item_of).collect::<PlanResult<Vec<_>>>()?;
    Ok(vec![list(common_of(&items)?); types.len()])
}

fn concat(call: &Call) -> PlanResult<ArrayRef> {
    if *call.gives == DataType::Binary {
        let parts: Vec<&BinaryArray> = call.args.iter().filter_map(|a| a.as_binary_opt()).collect();
        let joined = (0..call.rows).map(|row| {
            let parts = parts.iter().map(|part| part.is_valid(row).then(|| part.value(row)));
            Some(parts.collect::<Option<Vec<_>>>()?.concat())
        });
        fits(parts.iter().map(|part| part.value_data().len()))?;
        return Ok(Arc::new(joined.collect::<BinaryArray>()));
    }
    if !matches!(call.gives, DataType::List(_)) {
        let texts: Vec<&StringArray> = call.args.iter().filter_map(|a| a.as_string_opt()).collect();
        let joined = (0..call.rows).map(|row| {
            let parts = texts.iter().map(|text| text.is_valid(row).then(|| text.value(row)));
            parts.collect::<Option<String>>()
        });
        fits(texts.iter().map(|text| text.value_data().len()))?;
        return Ok(Arc::new(joined.collect::<StringArray>()));
    }
    let parts: Vec<Part> = call.args.iter().map(Part::Lists).collect();
    let pool = Pool::of(&parts)?;
    let mut picks = Picks::new(call.rows);
    for row in 0..call.rows {
        let ranges: Option<Vec<_>> = pool.columns.iter().map(|c| c[row].clone()).collect();
        match ranges {
            Some(ranges) => {
                picks.room(ranges.iter().map(Range::len).sum())?;
                ranges.into_iter().for_each(|range| picks.extend(range));
                picks.close();
            }
            None => picks.null(),
        }
    }
    picks.finish(&pool.items)
}

/// Whether so many bytes find room in one column.
fn fits(bytes: impl Iterator<Item = usize>) -> PlanResult<()> {
    match bytes.sum::<usize>() > MOST_BYTES {
        true => Err(too_long("the texts of one batch get too long together".to_owned()).into()),
        false => Ok(()),
    }
}

fn list_or_text(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types {
        [DataType::List(_) | DataType::LargeList(_)] => one_list(types),
        [nested] if nested.is_nested() => Err(mismatch("an ARRAY or a STRING", nested)),
        [DataType::Binary] => Ok(vec![DataType::Binary]),
        [_] => Ok(vec![DataType::Utf8]),
        _ => Err(wrong_count("one argument", types.len())),
    }
}

fn reverse(call: &Call) -> PlanResult<ArrayRef> {
    if let Some(texts) = call.args[0].as_string_opt::<i32>() {
        let turned = texts.iter().map(|text| Some(text?.chars().rev().collect::<String>()));
        return Ok(Arc::new(turned.collect::<StringArray>()));
    }
    if let Some(bytes) = call.args[0].as_binary_opt::<i32>() {
        let turned = bytes.iter().map(|b| Some(b?.iter().rev().copied().collect::<Vec<u8>>()));
        return Ok(Arc::new(turned.collect::<BinaryArray>()));
    }
    each(call, |_, range, picks| range.rev().for_each(|at| picks.push(at)))
}

fn compact(call: &Call) -> PlanResult<ArrayRef> {
    each(call, |pool, range, picks| {
        range.filter(|at| !pool.is_null(*at)).for_each(|at| picks.push(at));
    })
}

/// The array and the item of a call.
fn with_item(call: &Call) -> PlanResult<Pool> {
    Pool::of(&[Part::Lists(&call.args[0]), Part::Items(&call.args[1])])
}

fn remove(call: &Call) -> PlanResult<ArrayRef> {
    let mut pool = with_item(call)?;
    let keys = pool.comparable()?;
    let item = &call.args[1];
    let unknown = pool.columns[1].iter_mut().enumerate().filter(|(row, _)| item.is_null(*row));
    unknown.for_each(|(_, row)| *row = None);
    both(&pool, |range, item, picks| {
        let unwanted = keys.row(item.start);
        range.filter(|at| keys.row(*at) != unwanted).for_each(|at| picks.push(at));
    })
}

fn append(call: &Call) -> PlanResult<ArrayRef> {
    both(&with_item(call)?, |range, item, picks| picks.extend(range.chain(item)))
}

fn prepend(call: &Call) -> PlanResult<ArrayRef> {
    both(&with_item(call)?, |range, item, picks| picks.extend(item.chain(range)))
}

fn nested(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [one] = types else { return Err(wrong_count("one array", types.len())) };
    match item_of(one)? {
        inner @ DataType::List(_) => Ok(vec![list(inner)]),
        _ => Err(mismatch("an ARRAY of ARRAYs", one)),
    }
}

fn inner(types: &[DataType]) -> PlanResult<DataType> {
    item_of(types.first().unwrap_or(&DataType::Null))
}

fn flatten(call: &Call) -> PlanResult<ArrayRef> {
    let outer = lists(&call.args[0])?;
    let middle = lists(outer.values())?;
    let ranges: Vec<Row> = rows(middle).collect();
    let mut picks = Picks::new(call.rows);
    for row in rows(outer) {
        let parts =
            row.and_then(|row| ranges.get(row)?.iter().cloned().collect::<Option<Vec<_>>>());
        match parts {
            Some(parts) => {
                let items = parts.iter().map(Range::len).sum();
                if items > LONGEST {
                    return Err(longer("FUNCTION"));
                }
                picks.room(items)?;
                parts.into_iter().for_each(|part| picks.extend(part));
                picks.close();
            }
            None => picks.null(),
        }
    }
    picks.finish(middle.values())
}

fn item_and_count(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [item, count] = types else { return Err(wrong_count("an item and a count", types.len())) };
    if !count.is_integer() && !count.is_null() {
        return Err(mismatch("an INT", count));
    }
    Ok(vec![super::widen::plain(item), DataType::Int32])
}

fn repeat(call: &Call) -> PlanResult<ArrayRef> {
    let counts = whole(&call.args[1])?;
    let mut picks = Picks::new(call.rows);
    for (row, count) in counts.iter().enumerate() {
        match count {
            Some(count) => {
                let count = usize::try_from(count).unwrap_or(0);
                if count > LONGEST {
                    return Err(longer("PARAMETER"));
                }
                picks.room(count)?;
                (0..count).for_each(|_| picks.push(row));
                picks.close();
            }
            None => picks.null(),
        }
    }
    picks.finish(&call.args[0])
}

/// An argument that is an INT.
pub(super) fn whole(array: &ArrayRef) -> PlanResult<&Int32Array> {
    match array.as_primitive_opt::<Int32Type>() {
        Some(numbers) => Ok(numbers),
        None => exec_err!("a function that takes an INT was handed {}", array.data_type()),
    }
}

fn list_place_item(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [array, _, item] = types else {
        return Err(wrong_count("an array, a place and an item", types.len()));
    };
    if let Some(void) = types[..2].iter().find(|t| **t == DataType::Null) {
        return Err(mismatch("an ARRAY and a place", void));
    }
    let item = common_of([&item_of(array)?, item])?;
    Ok(vec![list(item.clone()), DataType::Int32, item])
}

fn insert(call: &Call) -> PlanResult<ArrayRef> {
    let pool = Pool::of(&[Part::Lists(&call.args[0]), Part::Items(&call.args[2])])?;
    let mut picks = Picks::new(call.rows);
    let places = whole(&call.args[1])?;
    for ((range, item), place) in pool.columns[0].iter().zip(&pool.columns[1]).zip(places) {
        let (Some(range), Some(item), Some(place)) = (range, item, place) else {
            picks.null();
            continue;
        };
        let distance = place.unsigned_abs() as usize;
        if distance > LONGEST {
            return Err(longer("FUNCTION"));
        }
        picks.room(distance.max(range.len() + 1))?;
        match place {
            0 => return Err(index_zero()),
            1.. => {
                let before = range.len().min(distance - 1);
                picks.extend(range.start..range.start + before);
                (before..distance - 1).for_each(|_| picks.push_null());
                picks.extend(item.clone());
                picks.extend(range.start + before..range.end);
            }
            _ => {
                let after = range.len().min(distance - 1);
                picks.extend(range.start..range.end - after);
                picks.extend(item.clone());
                (after..distance - 1).for_each(|_| picks.push_null());
                picks.extend(range.end - after..range.end);
            }
        }
        picks.close();
    }
    picks.finish(&pool.items)
}

/// The error for item number 0, where the first has number 1.
pub(super) fn index_zero() -> datafusion::error::DataFusionError {
    Error::input("INVALID_INDEX_OF_ZERO", "an array has no item number 0")
        .hint("the first item has number 1, the last one -1")
        .into()
}

fn list_and_range(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [array, _, _] = types else {
        return Err(wrong_count("an array, a start and a length", types.len()));
    };
    Ok(vec![list(item_of(array)?), DataType::Int32, DataType::Int32])
}

fn slice(call: &Call) -> PlanResult<ArrayRef> {
    let pool = Pool::of(&[Part::Lists(&call.args[0])])?;
    let (starts, lengths) = (whole(&call.args[1])?, whole(&call.args[2])?);
    let mut picks = Picks::new(call.rows);
    for ((range, start), length) in pool.columns[0].iter().zip(starts).zip(lengths) {
        let (Some(range), Some(start), Some(length)) = (range, start, length) else {
            picks.null();
            continue;
        };
        let invalid = |name: &str, what: &str| {
            Error::input(format!("INVALID_PARAMETER_VALUE.{name}"), what.to_owned())
                .hint("slice(array, start, length): start is 1 or more, or counts from the end")
        };
        let length = usize::try_from(length)
            .map_err(|_| invalid("LENGTH", "the length of a slice is negative"))?;
        let distance = start.unsigned_abs() as usize;
        let skipped = match start {
            0 => return Err(invalid("START", "a slice starts at 0").into()),
            1.. => Some(distance - 1),
            _ => range.len().checked_sub(distance),
        };
        if let Some(skipped) = skipped.filter(|skipped| *skipped < range.len()) {
            let first = range.start + skipped;
            picks.extend(first..range.end.min(first.saturating_add(length)));
        }
        picks.close();
    }
    picks.finish(&pool.items)
}

fn any_lists(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    types.iter().map(|t| Ok(list(item_of(t)?))).collect()
}

/// Fields called `0`, `1`, …; an argument that has a name gets it when the query is prepared.
fn zipped(types: &[DataType]) -> PlanResult<DataType> {
    let fields = types.iter().enumerate().map(|(at, t)| Ok((at.to_string(), item_of(t)?)));
    Ok(list(structure(fields.collect::<PlanResult<Vec<_>>>()?)))
}

fn zip(call: &Call) -> PlanResult<ArrayRef> {
    let columns = call.args.iter().map(lists).collect::<PlanResult<Vec<&ListArray>>>()?;
    let ranges: Vec<Vec<Row>> = columns.iter().map(|column| rows(column).collect()).collect();
    let mut taken: Vec<Vec<Option<u32>>> = vec![Vec::new(); columns.len()];
    let mut picks = Picks::new(call.rows);
    for row in 0..call.rows {
        let parts: Option<Vec<_>> = ranges.iter().map(|column| column[row].clone()).collect();
        let Some(parts) = parts else {
            picks.null();
            continue;
        };
        let longest = parts.iter().map(Range::len).max().unwrap_or(0);
        for at in 0..longest {
            for (taken, part) in taken.iter_mut().zip(&parts) {
                taken.push(part.clone().nth(at).and_then(|place| u32::try_from(place).ok()));
            }
            picks.push(picks.len());
        }
        picks.close();
    }
    let DataType::Struct(fields) = item_of(call.gives)? else { return exec_err!("a struct") };
    let count = picks.len();
    let values = columns
        .iter()
        .zip(taken)
        .map(|(column, taken)| take(column.values(), &UInt32Array::from(taken), None));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let items: ArrayRef = Arc::new(StructArray::try_new_with_length(fields, values, None, count)?);
    picks.finish(&items)
}
