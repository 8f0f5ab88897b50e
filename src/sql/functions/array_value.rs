//! Functions that ask something of an array: its size, an item, whether and where an item is there.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;

use super::array::{index_zero, whole};
use super::definition::{Call, Definition, mismatch, wrong_count};
use super::lists::{Part, Pool, comparable, list_and_item, lists, one_list, rows, two_lists};
use super::maps;
use super::widen::{entry_of, item_of, list, plain};
use crate::error::Error;

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let boolean = |_: &[DataType]| Ok(DataType::Boolean);
    let int = |_: &[DataType]| Ok(DataType::Int32);
    let bigint = |_: &[DataType]| Ok(DataType::Int64);
    let string = |_: &[DataType]| Ok(DataType::Utf8);
    vec![
        Definition { name: "array_contains", takes: known_item, gives: boolean, value: contains },
        Definition { name: "array_position", takes: searched, gives: bigint, value: position },
        Definition { name: "arrays_overlap", takes: two_lists, gives: boolean, value: overlap },
        Definition { name: "array_size", takes: one_list, gives: int, value: size },
        Definition { name: "size", takes: collection, gives: int, value: size },
        Definition { name: "cardinality", takes: collection, gives: int, value: size },
        Definition { name: "array_max", takes: one_list, gives: item, value: max },
        Definition { name: "array_min", takes: one_list, gives: item, value: min },
        Definition { name: "array_join", takes: texts, gives: string, value: join },
        Definition { name: "get", takes: list_and_place, gives: item, value: get },
        Definition { name: "element_at", takes: with_known_key, gives: item, value: element_at },
        Definition {
            name: "try_element_at",
            takes: with_known_key,
            gives: item,
            value: try_element_at,
        },
    ]
}

/// `array[place]` and `map[key]`, which have no name in SQL.
pub(super) fn subscript_rules() -> Definition {
    Definition { name: "subscript", takes: with_key, gives: item, value: subscript }
}

/// The type of an array's item or of a map's value.
fn item(types: &[DataType]) -> PlanResult<DataType> {
    match types.first() {
        Some(map @ DataType::Map(..)) => Ok(entry_of(map)?.1),
        Some(array) => item_of(array),
        None => Err(wrong_count("an array", 0)),
    }
}

fn known_item(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    if types.contains(&DataType::Null) {
        return Err(null_type());
    }
    searched(types)
}

/// The error for a NULL where something is looked for.
pub(super) fn null_type() -> datafusion::error::DataFusionError {
    Error::sql("DATATYPE_MISMATCH.NULL_TYPE", "NULL has no type to search by")
        .hint("to find NULLs write exists(array, x -> x IS NULL)")
        .into()
}

fn searched(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    if types.first() == Some(&DataType::Null) {
        return Err(null_type());
    }
    let takes = list_and_item(types)?;
    let [array, item] = types else { return Ok(takes) };
    let text =
        |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let own = item_of(array)?;
    if ![&own, item].contains(&&DataType::Null) && text(&own) != text(item) {
        return Err(Error::sql(
            "DATATYPE_MISMATCH.ARRAY_FUNCTION_DIFF_TYPES",
            "the item has another type than the array's items",
        )
        .hint("convert it with CAST(… AS …)")
        .into());
    }
    Ok(takes)
}

/// What was found of an item in an array.
struct Found {
    /// Its first place, from 0.
    place: Option<usize>,
    /// Whether the array holds a NULL, which might have been the item.
    unknown: bool,
}

/// Looks for the item in each row; `None`: the array or the item is NULL.
fn search(call: &Call) -> PlanResult<Vec<Option<Found>>> {
    let pool = Pool::of(&[Part::Lists(&call.args[0]), Part::Items(&call.args[1])])?;
    let keys = pool.comparable()?;
    let found = pool.columns[0].iter().zip(&pool.columns[1]).map(|(range, item)| {
        let (range, item) = (range.clone()?, item.clone()?.start);
        if pool.is_null(item) {
            return None;
        }
        let place = range.clone().position(|at| keys.row(at) == keys.row(item));
        Some(Found { place, unknown: range.clone().any(|at| pool.is_null(at)) })
    });
    Ok(found.collect())
}

fn contains(call: &Call) -> PlanResult<ArrayRef> {
    let found = search(call)?.into_iter().map(|found| match found? {
        Found { place: Some(_), .. } => Some(true),
        Found { place: None, unknown } => (!unknown).then_some(false),
    });
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

fn position(call: &Call) -> PlanResult<ArrayRef> {
    let found = search(call)?.into_iter().map(|found| {
        Some(found?.place.map_or(0, |place| i64::try_from(place + 1).unwrap_or(i64::MAX)))
    });
    Ok(Arc::new(found.collect::<Int64Array>()))
}

fn overlap(call: &Call) -> PlanResult<ArrayRef> {
    let pool = Pool::of(&[Part::Lists(&call.args[0]), Part::Lists(&call.args[1])])?;
    let keys = pool.comparable()?;
    let valid = |at: &usize| !pool.is_null(*at);
    let answers = pool.columns[0].iter().zip(&pool.columns[1]).map(|(left, right)| {
        let (left, right) = (left.clone()?, right.clone()?);
        let known: HashSet<_> = left.clone().filter(valid).map(|at| keys.row(at)).collect();
        if right.clone().filter(valid).any(|at| known.contains(&keys.row(at))) {
            return Some(true);
        }
        let unknown = left.clone().chain(right.clone()).any(|at| !valid(&at));
        (!unknown || left.is_empty() || right.is_empty()).then_some(false)
    });
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}

fn collection(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types {
        [map @ DataType::Map(..)] => Ok(vec![plain(map)]),
        [other] => match item_of(other) {
            Ok(item) => Ok(vec![list(item)]),
            Err(_) => Err(mismatch("an ARRAY or a MAP", other)),
        },
        _ => Err(wrong_count("one array or map", types.len())),
    }
}

fn size(call: &Call) -> PlanResult<ArrayRef> {
    let length = |row: super::lists::Row| row.and_then(|range| i32::try_from(range.len()).ok());
    let sizes: Int32Array = match call.args[0].as_map_opt() {
        Some(maps) => maps::rows(maps).map(length).collect(),
        None => rows(lists(&call.args[0])?).map(length).collect(),
    };
    Ok(Arc::new(sizes))
}

fn max(call: &Call) -> PlanResult<ArrayRef> {
    extreme(call, |keys, range| range.max_by(|a, b| keys.row(*a).cmp(&keys.row(*b))))
}

fn min(call: &Call) -> PlanResult<ArrayRef> {
    extreme(call, |keys, range| range.min_by(|a, b| keys.row(*a).cmp(&keys.row(*b))))
}

type Places<'a> = Box<dyn Iterator<Item = usize> + 'a>;

fn extreme(
    call: &Call,
    choose: fn(&arrow::row::Rows, Places) -> Option<usize>,
) -> PlanResult<ArrayRef> {
    let lists = lists(&call.args[0])?;
    let items = lists.values();
    let keys = comparable(items)?;
    let chosen =
        rows(lists).map(|range| choose(&keys, Box::new(range?.filter(|at| items.is_valid(*at)))));
    one_each(items, chosen)
}

/// For each row the item at this place, or NULL.
pub(super) fn one_each(
    items: &ArrayRef,
    places: impl Iterator<Item = Option<usize>>,
) -> PlanResult<ArrayRef> {
    let places: UInt32Array = places.map(|at| at.and_then(|at| u32::try_from(at).ok())).collect();
    Ok(take(items, &places, None)?)
}

fn texts(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let ([array, ..], 2..=3) = (types, types.len()) else {
        return Err(wrong_count("an array, a separator and perhaps a text for NULL", types.len()));
    };
    item_of(array)?;
    let mut takes = vec![DataType::Utf8; types.len()];
    takes[0] = list(DataType::Utf8);
    Ok(takes)
}

fn join(call: &Call) -> PlanResult<ArrayRef> {
    let lists = lists(&call.args[0])?;
    let Some(items) = lists.values().as_string_opt::<i32>() else {
        return exec_err!("array_join joins texts");
    };
    let text = |at: usize| call.args[at].as_string_opt::<i32>();
    let Some(separators) = text(1) else { return exec_err!("a separator is a text") };
    let replacements = if call.args.len() == 3 { text(2) } else { None };
    let joined = rows(lists).enumerate().map(|(row, range)| {
        let range = range?;
        let separator = separators.is_valid(row).then(|| separators.value(row))?;
        let instead = match replacements {
            Some(texts) => Some(texts.is_valid(row).then(|| texts.value(row))?),
            None => None,
        };
        let parts = range.filter_map(|at| match items.is_valid(at) {
            true => Some(items.value(at)),
            false => instead,
        });
        Some(parts.collect::<Vec<_>>().join(separator))
    });
    Ok(Arc::new(joined.collect::<StringArray>()))
}

fn list_and_place(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [array, _] = types else { return Err(wrong_count("an array and a place", types.len())) };
    if *array == DataType::Null {
        return Err(mismatch("an ARRAY", array));
    }
    Ok(vec![list(item_of(array)?), DataType::Int32])
}

fn get(call: &Call) -> PlanResult<ArrayRef> {
    at_place(call, |length, place| Ok(usize::try_from(place).ok().filter(|place| *place < length)))
}

/// For each row the item at the place that `find` makes of the array's length and the number.
fn at_place(
    call: &Call,
    find: impl Fn(usize, i32) -> PlanResult<Option<usize>>,
) -> PlanResult<ArrayRef> {
    let lists = lists(&call.args[0])?;
    let places = rows(lists).zip(whole(&call.args[1])?).map(|row| match row {
        (Some(range), Some(place)) => {
            Ok(find(range.len(), place)?.map(|place| range.start + place))
        }
        _ => Ok(None),
    });
    one_each(lists.values(), places.collect::<PlanResult<Vec<_>>>()?.into_iter())
}

/// An array and a place in it, or a map and a key of it.
fn with_key(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types {
        [DataType::Map(..), _] => maps::map_and_key(types),
        [DataType::Struct(_) | DataType::Null, _] => Err(mismatch("an ARRAY or a MAP", &types[0])),
        _ => list_and_place(types),
    }
}

fn with_known_key(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types {
        [_, DataType::Null] => Err(mismatch("a place or a key", &DataType::Null)),
        _ => with_key(types),
    }
}

/// Item `place` of so many, counted from 1 or, if negative, from the end.
fn counted(length: usize, place: i32) -> PlanResult<Option<usize>> {
    let distance = place.unsigned_abs() as usize;
    match place {
        0 => Err(index_zero()),
        1.. => Ok(Some(distance - 1).filter(|place| *place < length)),
        _ => Ok(length.checked_sub(distance)),
    }
}

fn element_at(call: &Call) -> PlanResult<ArrayRef> {
    if call.args[0].as_map_opt().is_some() {
        return maps::value_of(call);
    }
    at_place(call, |length, place| match counted(length, place)? {
        None => Err(outside("INVALID_ARRAY_INDEX_IN_ELEMENT_AT", length, place)),
        found => Ok(found),
    })
}

fn try_element_at(call: &Call) -> PlanResult<ArrayRef> {
    if call.args[0].as_map_opt().is_some() {
        return maps::value_of(call);
    }
    at_place(call, counted)
}

fn subscript(call: &Call) -> PlanResult<ArrayRef> {
    if call.args[0].as_map_opt().is_some() {
        return maps::value_of(call);
    }
    at_place(call, |length, place| match usize::try_from(place) {
        Ok(found) if found < length => Ok(Some(found)),
        _ => Err(outside("INVALID_ARRAY_INDEX", length, place)),
    })
}

fn outside(
    condition: &'static str,
    length: usize,
    place: i32,
) -> datafusion::error::DataFusionError {
    let what = format!("there is no item {place} in an array of {length}");
    Error::input(condition, what)
        .hint(
            "get(array, place) (from 0) and try_element_at(array, number) (from 1) give NULL then",
        )
        .into()
}
