//! Functions that make a map, or ask something of one.
//!
//! A map is made of two arrays, its keys and its values; no key is NULL or there twice.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StringArray, StructArray,
};
use arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;
use regex::Regex;

use super::array_value::one_each;
use super::definition::{Call, Definition, mismatch, wrong_count};
use super::lists::{Part, Picks, Pool, Row, comparable, first, lists, rows as list_rows};
use super::widen::{common, common_of, entry_of, item_of, list, plain, structure};
use crate::error::Error;
use crate::sql::types::map as map_of;

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let boolean = |_: &[DataType]| Ok(DataType::Boolean);
    let texts = |_: &[DataType]| Ok(map_of(DataType::Utf8, DataType::Utf8));
    vec![
        map_rules(),
        Definition { name: "map_keys", takes: one_map, gives: keys_type, value: keys },
        Definition { name: "map_values", takes: one_map, gives: values_type, value: values },
        Definition { name: "map_entries", takes: one_map, gives: entries_type, value: entries },
        Definition {
            name: "map_from_arrays",
            takes: two_arrays,
            gives: of_arrays,
            value: from_arrays,
        },
        Definition {
            name: "map_from_entries",
            takes: entry_list,
            gives: of_entries,
            value: from_entries,
        },
        Definition { name: "map_concat", takes: same_maps, gives: concatenated, value: concat },
        Definition { name: "map_contains_key", takes: known_key, gives: boolean, value: contains },
        Definition { name: "str_to_map", takes: three_texts, gives: texts, value: parse },
    ]
}

/// `map(key, value, …)`.
pub(super) fn map_rules() -> Definition {
    Definition { name: "map", takes: pairs, gives: paired, value: map }
}

/// A column of maps.
pub(super) fn maps(array: &ArrayRef) -> PlanResult<&MapArray> {
    match array.as_map_opt() {
        Some(maps) => Ok(maps),
        None => exec_err!("a map function was handed {}", array.data_type()),
    }
}

/// The rows of a column of maps, as ranges of its keys and values.
pub(super) fn rows(maps: &MapArray) -> impl Iterator<Item = Row> + '_ {
    let ends = maps.value_offsets();
    (0..maps.len())
        .map(move |at| maps.is_valid(at).then(|| ends[at] as usize..ends[at + 1] as usize))
}

/// Maps from the arrays of their keys and values; NULL where one of the two is.
pub(super) fn from_lists(keys: &ListArray, values: &ListArray) -> PlanResult<ArrayRef> {
    let (mut picked_keys, mut picked_values) = (Picks::new(keys.len()), Picks::new(keys.len()));
    for pair in list_rows(keys).zip(list_rows(values)) {
        match pair {
            (Some(keys), Some(values)) if keys.len() == values.len() => {
                picked_keys.extend(keys);
                picked_keys.close();
                picked_values.extend(values);
                picked_values.close();
            }
            (Some(keys), Some(values)) => {
                let what = format!("{} keys and {} values make no map", keys.len(), values.len());
                return Err(Error::input("_LEGACY_ERROR_TEMP_2128", what)
                    .hint("give as many values as keys")
                    .into());
            }
            _ => {
                picked_keys.null();
                picked_values.null();
            }
        }
    }
    let (keys, values) =
        (picked_keys.finish(keys.values())?, picked_values.finish(values.values())?);
    let (keys, values) = (lists(&keys)?, lists(&values)?);
    check_keys(keys)?;
    let data_type = map_of(keys.value_type(), values.value_type());
    let DataType::Map(entries, _) = &data_type else { return exec_err!("a map is a map") };
    let DataType::Struct(pair) = entries.data_type() else {
        return exec_err!("a pair is a struct");
    };
    let columns = vec![keys.values().clone(), values.values().clone()];
    let count = keys.values().len();
    let pairs = StructArray::try_new_with_length(pair.clone(), columns, None, count)?;
    let (ends, nulls) = (keys.offsets().clone(), keys.nulls().cloned());
    Ok(Arc::new(MapArray::try_new(entries.clone(), ends, pairs, nulls, false)?))
}

fn check_keys(keys: &ListArray) -> PlanResult<()> {
    if keys.values().logical_null_count() > 0 {
        return Err(Error::input("NULL_MAP_KEY", "the key of a map is NULL")
            .hint("leave such rows out, or give the key a value with coalesce(key, …)")
            .into());
    }
    let comparable = comparable(keys.values())?;
    let mut seen = HashSet::new();
    for range in list_rows(keys).flatten() {
        seen.clear();
        if let Some(at) = range.into_iter().find(|at| !seen.insert(comparable.row(*at))) {
            let key = arrow::util::display::array_value_to_string(keys.values(), at)?;
            return Err(Error::input(
                "DUPLICATED_MAP_KEY",
                format!("the key {key} is in a map twice"),
            )
            .hint("remove one of the two before the map is made")
            .into());
        }
    }
    Ok(())
}

/// The keys (0) or the values (1) of maps, as arrays.
pub(super) fn side(array: &ArrayRef, side: usize) -> PlanResult<ListArray> {
    let maps = maps(array)?;
    let values = if side == 0 { maps.keys() } else { maps.values() };
    let DataType::List(field) = list(values.data_type().clone()) else {
        return exec_err!("a list is a list");
    };
    let (ends, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
    Ok(ListArray::try_new(field, ends, values.clone(), nulls)?)
}

fn pairs(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    if !types.len().is_multiple_of(2) {
        return Err(wrong_count("keys and values in turn", types.len()));
    }
    let key = common_of(types.iter().step_by(2))?;
    let value = common_of(types.iter().skip(1).step_by(2))?;
    Ok(types
        .iter()
        .enumerate()
        .map(|(at, _)| if at % 2 == 0 { key.clone() } else { value.clone() })
        .collect())
}

fn paired(types: &[DataType]) -> PlanResult<DataType> {
    let at = |at: usize| types.get(at).cloned().unwrap_or(DataType::Null);
    Ok(map_of(at(0), at(1)))
}

fn map(call: &Call) -> PlanResult<ArrayRef> {
    let every_second = |from: usize| {
        let parts: Vec<Part> = call.args.iter().skip(from).step_by(2).map(Part::Items).collect();
        let pool = Pool::of(&parts)?;
        let mut picks = Picks::new(call.rows);
        for row in 0..call.rows {
            pool.columns.iter().filter_map(|c| c[row].clone()).for_each(|item| picks.extend(item));
            picks.close();
        }
        picks.finish(&pool.items)
    };
    from_lists(lists(&every_second(0)?)?, lists(&every_second(1)?)?)
}

fn one_map(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [one] = types else { return Err(wrong_count("one map", types.len())) };
    let (key, value) = entry_of(one)?;
    Ok(vec![map_of(key, value)])
}

fn keys_type(types: &[DataType]) -> PlanResult<DataType> {
    Ok(list(entry_of(&first(types)?)?.0))
}

fn values_type(types: &[DataType]) -> PlanResult<DataType> {
    Ok(list(entry_of(&first(types)?)?.1))
}

fn entries_type(types: &[DataType]) -> PlanResult<DataType> {
    let (key, value) = entry_of(&first(types)?)?;
    Ok(list(structure([("key", key), ("value", value)])))
}

fn keys(call: &Call) -> PlanResult<ArrayRef> {
    Ok(Arc::new(side(&call.args[0], 0)?))
}

fn values(call: &Call) -> PlanResult<ArrayRef> {
    Ok(Arc::new(side(&call.args[0], 1)?))
}

fn entries(call: &Call) -> PlanResult<ArrayRef> {
    let maps = maps(&call.args[0])?;
    let DataType::List(field) = call.gives else { return exec_err!("entries are a list") };
    let DataType::Struct(pair) = field.data_type() else { return exec_err!("an entry is a pair") };
    let columns = vec![maps.keys().clone(), maps.values().clone()];
    let pairs = StructArray::try_new_with_length(pair.clone(), columns, None, maps.keys().len())?;
    let (ends, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(field.clone(), ends, Arc::new(pairs), nulls)?))
}

fn two_arrays(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [keys, values] = types else { return Err(wrong_count("two arrays", types.len())) };
    Ok(vec![list(item_of(keys)?), list(item_of(values)?)])
}

fn of_arrays(types: &[DataType]) -> PlanResult<DataType> {
    let items = types.iter().map(item_of).collect::<PlanResult<Vec<_>>>()?;
    paired(&items)
}

fn from_arrays(call: &Call) -> PlanResult<ArrayRef> {
    from_lists(lists(&call.args[0])?, lists(&call.args[1])?)
}

fn entry_list(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [one] = types else { return Err(wrong_count("one array of pairs", types.len())) };
    match item_of(one)? {
        DataType::Struct(pair) if pair.len() == 2 => Ok(vec![plain(one)]),
        _ => Err(mismatch("an ARRAY of STRUCTs with two fields", one)),
    }
}

fn of_entries(types: &[DataType]) -> PlanResult<DataType> {
    match item_of(&first(types)?)? {
        DataType::Struct(pair) => {
            paired(&pair.iter().map(|f| f.data_type().clone()).collect::<Vec<_>>())
        }
        other => Err(mismatch("an ARRAY of STRUCTs with two fields", &other)),
    }
}

fn from_entries(call: &Call) -> PlanResult<ArrayRef> {
    let entries = lists(&call.args[0])?;
    let pairs = entries.values();
    // An array in which a pair is NULL makes no map.
    let mut picks = Picks::new(call.rows);
    for row in list_rows(entries) {
        match row {
            Some(range) if range.clone().all(|at| pairs.is_valid(at)) => {
                picks.extend(range);
                picks.close();
            }
            _ => picks.null(),
        }
    }
    let entries = picks.finish(pairs)?;
    let entries = lists(&entries)?;
    let Some(pairs) = entries.values().as_struct_opt() else {
        return exec_err!("pairs are structs");
    };
    let column = |at: usize| {
        let values = pairs.column(at).clone();
        let DataType::List(field) = list(values.data_type().clone()) else {
            return exec_err!("a list is a list");
        };
        Ok(ListArray::try_new(field, entries.offsets().clone(), values, entries.nulls().cloned())?)
    };
    from_lists(&column(0)?, &column(1)?)
}

fn same_maps(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let all = common_of(types)?;
    if let Some(other) = types.iter().find(|t| !matches!(t, DataType::Map(..))) {
        return Err(mismatch("MAPs", other));
    }
    Ok(vec![all; types.len()])
}

fn concatenated(types: &[DataType]) -> PlanResult<DataType> {
    Ok(types.first().cloned().unwrap_or_else(|| map_of(DataType::Utf8, DataType::Utf8)))
}

fn concat(call: &Call) -> PlanResult<ArrayRef> {
    if call.args.is_empty() {
        let empty = ListArray::new_null(
            Arc::new(arrow::datatypes::Field::new("item", DataType::Utf8, true)),
            0,
        );
        let mut picks = Picks::new(call.rows);
        (0..call.rows).for_each(|_| picks.close());
        let none = picks.finish(empty.values())?;
        return from_lists(lists(&none)?, lists(&none)?);
    }
    let joined = |at: usize| {
        let sides = call.args.iter().map(|map| Ok(Arc::new(side(map, at)?) as ArrayRef));
        let sides = sides.collect::<PlanResult<Vec<ArrayRef>>>()?;
        let parts: Vec<Part> = sides.iter().map(Part::Lists).collect();
        let pool = Pool::of(&parts)?;
        let mut picks = Picks::new(call.rows);
        for row in 0..call.rows {
            match pool.columns.iter().map(|c| c[row].clone()).collect::<Option<Vec<_>>>() {
                Some(ranges) => {
                    ranges.into_iter().for_each(|range| picks.extend(range));
                    picks.close();
                }
                None => picks.null(),
            }
        }
        picks.finish(&pool.items)
    };
    from_lists(lists(&joined(0)?)?, lists(&joined(1)?)?)
}

/// The types of a map and of a key that may be in it.
pub(super) fn map_and_key(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [map, key] = types else { return Err(wrong_count("a map and a key", types.len())) };
    let (own, value) = entry_of(map)?;
    let differ = || {
        Error::sql(
            "DATATYPE_MISMATCH.MAP_FUNCTION_DIFF_TYPES",
            "the key has another type than the map's keys",
        )
        .hint("convert it with CAST(… AS …)")
    };
    let key = plain(key);
    if own != DataType::Null
        && key != DataType::Null
        && (own == DataType::Utf8) != (key == DataType::Utf8)
    {
        return Err(differ().into());
    }
    let key = common(&own, &key).ok_or_else(differ)?;
    Ok(vec![map_of(key.clone(), value), key])
}

fn known_key(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    if types.contains(&DataType::Null) {
        return Err(super::array_value::null_type());
    }
    map_and_key(types)
}

/// For each row, where in the keys of all rows the wanted key is.
fn find(call: &Call) -> PlanResult<Vec<Option<usize>>> {
    let maps = maps(&call.args[0])?;
    let wanted = &call.args[1];
    let pool = Pool::of(&[Part::Items(maps.keys()), Part::Items(wanted)])?;
    let keys = pool.comparable()?;
    let first = maps.keys().len();
    let places = rows(maps).enumerate().map(|(row, range)| {
        range.filter(|_| wanted.is_valid(row))?.find(|at| keys.row(*at) == keys.row(first + row))
    });
    Ok(places.collect())
}

fn contains(call: &Call) -> PlanResult<ArrayRef> {
    let (maps, wanted) = (maps(&call.args[0])?, &call.args[1]);
    let answers = find(call)?.into_iter().enumerate().map(|(row, place)| {
        (maps.is_valid(row) && wanted.is_valid(row)).then_some(place.is_some())
    });
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}

/// The value of a key; NULL where the map does not have it.
pub(super) fn value_of(call: &Call) -> PlanResult<ArrayRef> {
    one_each(maps(&call.args[0])?.values(), find(call)?.into_iter())
}

fn three_texts(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types.len() {
        count @ 1..=3 => Ok(vec![DataType::Utf8; count]),
        other => Err(wrong_count("a text and perhaps two separators", other)),
    }
}

fn parse(call: &Call) -> PlanResult<ArrayRef> {
    let text = |argument: usize, row: usize, default: &'static str| match call.args.get(argument) {
        Some(texts) => {
            texts.as_string_opt::<i32>().filter(|t| t.is_valid(row)).map(|t| t.value(row))
        }
        None => Some(default),
    };
    let mut patterns = (String::new(), None);
    let mut pattern = |written: &str| {
        if patterns.1.is_none() || patterns.0 != written {
            let made = Regex::new(written).map_err(|e| {
                Error::input(
                    "INVALID_PARAMETER_VALUE.PATTERN",
                    format!("'{written}' is no pattern: {e}"),
                )
                .hint("a separator is a regular expression: put a backslash before . | * + ? ( [")
            })?;
            patterns = (written.to_owned(), Some(made));
        }
        Ok::<Option<Regex>, datafusion::error::DataFusionError>(patterns.1.clone())
    };
    let (mut keys, mut values, mut picks) = (Vec::new(), Vec::new(), Picks::new(call.rows));
    for row in 0..call.rows {
        let (Some(whole), Some(between), Some(within)) =
            (text(0, row, ""), text(1, row, ","), text(2, row, ":"))
        else {
            picks.null();
            continue;
        };
        let parts: Vec<&str> = match pattern(between)? {
            Some(between) => between.split(whole).collect(),
            None => vec![whole],
        };
        let Some(within) = pattern(within)? else { continue };
        for part in parts {
            let mut sides = within.splitn(part, 2);
            picks.push(keys.len());
            keys.push(sides.next());
            values.push(sides.next());
        }
        picks.close();
    }
    let (keys, values): (ArrayRef, ArrayRef) =
        (Arc::new(StringArray::from(keys)), Arc::new(StringArray::from(values)));
    let (keys, values) = (picks.clone().finish(&keys)?, picks.finish(&values)?);
    from_lists(lists(&keys)?, lists(&values)?)
}
