//! `map_filter`, `transform_keys`, `transform_values` and `map_zip_with`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;

use super::definition::{mismatch, wrong_count};
use super::higher_order::{HigherOrder, LambdaCall};
use super::lists::{Part, Picks, Pool, Row, first, list_items, rows as list_rows};
use super::maps::{from_lists, side};
use super::widen::{common, entry_of};
use crate::sql::types::map as map_of;

/// The functions of this file.
pub(super) fn functions() -> Vec<HigherOrder> {
    let over_entries = |name, gives, value| HigherOrder {
        name,
        takes: one_map,
        hands: |types| {
            let (key, value) = entry_of(&types[0])?;
            Ok(vec![vec![key, value]])
        },
        least: 1,
        gives,
        value,
    };
    vec![
        over_entries("map_filter", filtered, filter),
        over_entries(
            "transform_keys",
            |types, results| Ok(map_of(results[0].clone(), entry_of(&types[0])?.1)),
            keys,
        ),
        over_entries(
            "transform_values",
            |types, results| Ok(map_of(entry_of(&types[0])?.0, results[0].clone())),
            values,
        ),
        HigherOrder {
            name: "map_zip_with",
            takes: two_maps,
            hands: |types| {
                let ((key, left), (_, right)) = (entry_of(&types[0])?, entry_of(&types[1])?);
                Ok(vec![vec![key, left, right]])
            },
            least: 1,
            gives: |types, results| Ok(map_of(entry_of(&types[0])?.0, results[0].clone())),
            value: zip_with,
        },
    ]
}

fn one_map(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [map] = types else { return Err(wrong_count("one map", types.len())) };
    if *map == DataType::Null {
        return Err(mismatch("a MAP", map));
    }
    let (key, value) = entry_of(map)?;
    Ok(vec![map_of(key, value)])
}

fn two_maps(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [left, right] = types else { return Err(wrong_count("two maps", types.len())) };
    let ((left_key, left), (right_key, right)) = (entry_of(left)?, entry_of(right)?);
    let key = common(&left_key, &right_key)
        .ok_or_else(|| mismatch("two MAPs with keys of one type", &right_key))?;
    Ok(vec![map_of(key.clone(), left), map_of(key, right)])
}

fn filtered(types: &[DataType], results: &[DataType]) -> PlanResult<DataType> {
    match results {
        [DataType::Boolean | DataType::Null] => first(types),
        [other, ..] => Err(mismatch("a lambda that gives a BOOLEAN", other)),
        [] => Err(wrong_count("a lambda", 0)),
    }
}

/// The entries of a column of maps, those of NULL maps left out.
struct Entries {
    /// The keys of each row.
    keys: ListArray,
    /// The values of each row.
    values: ListArray,
    /// The row of each entry.
    owners: UInt32Array,
}

impl Entries {
    fn of(maps: &ArrayRef) -> PlanResult<Entries> {
        let (keys, values) = (side(maps, 0)?, side(maps, 1)?);
        let mut picks = Picks::new(keys.len());
        let mut owners = Vec::new();
        for (row, range) in list_rows(&keys).enumerate() {
            match range {
                Some(range) => {
                    owners.extend(range.clone().map(|_| row as u32));
                    picks.extend(range);
                    picks.close();
                }
                None => picks.null(),
            }
        }
        let keys = picks.clone().finish(keys.values())?;
        let values = picks.finish(values.values())?;
        Ok(Entries {
            keys: keys.as_list().clone(),
            values: values.as_list().clone(),
            owners: owners.into(),
        })
    }

    /// The lambda's result for every entry.
    fn evaluate(&self, call: &LambdaCall) -> PlanResult<ArrayRef> {
        call.evaluate(0, &[self.keys.values().clone(), self.values.values().clone()], &self.owners)
    }
}

fn filter(call: &LambdaCall) -> PlanResult<ArrayRef> {
    let entries = Entries::of(&call.values[0])?;
    let kept = cast(&entries.evaluate(call)?, &DataType::Boolean)?;
    let kept = kept.as_boolean();
    let mut picks = Picks::new(call.rows);
    for row in list_rows(&entries.keys) {
        match row {
            Some(range) => {
                let wanted = range.filter(|at| kept.is_valid(*at) && kept.value(*at));
                wanted.for_each(|at| picks.push(at));
                picks.close();
            }
            None => picks.null(),
        }
    }
    let keys = picks.clone().finish(entries.keys.values())?;
    from_lists(keys.as_list(), picks.finish(entries.values.values())?.as_list())
}

fn keys(call: &LambdaCall) -> PlanResult<ArrayRef> {
    let entries = Entries::of(&call.values[0])?;
    from_lists(&list_items(&entries.keys, entries.evaluate(call)?)?, &entries.values)
}

fn values(call: &LambdaCall) -> PlanResult<ArrayRef> {
    let entries = Entries::of(&call.values[0])?;
    from_lists(&entries.keys, &list_items(&entries.values, entries.evaluate(call)?)?)
}

/// The keys of the first map, then those that only the second has; a missing value is NULL.
fn zip_with(call: &LambdaCall) -> PlanResult<ArrayRef> {
    let (left, right) = (Entries::of(&call.values[0])?, Entries::of(&call.values[1])?);
    let lists: [ArrayRef; 2] = [Arc::new(left.keys.clone()), Arc::new(right.keys.clone())];
    let pool = Pool::of(&[Part::Lists(&lists[0]), Part::Lists(&lists[1])])?;
    let known = pool.comparable()?;
    let behind = left.keys.values().len();
    let mut picks = Picks::new(call.rows);
    let (mut from_left, mut from_right, mut owners) = (Vec::new(), Vec::new(), Vec::new());
    let pairs: Vec<(&Row, &Row)> = pool.columns[0].iter().zip(&pool.columns[1]).collect();
    for (row, pair) in pairs.into_iter().enumerate() {
        let (Some(one), Some(other)) = pair else {
            picks.null();
            continue;
        };
        let mut places: HashMap<_, _> = other.clone().map(|at| (known.row(at), at)).collect();
        for at in one.clone() {
            let matching = places.remove(&known.row(at));
            picks.push(at);
            from_left.push(Some(at as u32));
            from_right.push(matching.map(|at| (at - behind) as u32));
            owners.push(row as u32);
        }
        for at in other.clone().filter(|at| places.contains_key(&known.row(*at))) {
            picks.push(at);
            from_left.push(None);
            from_right.push(Some((at - behind) as u32));
            owners.push(row as u32);
        }
        picks.close();
    }
    let keys = picks.finish(&pool.items)?;
    let Some(keys) = keys.as_list_opt::<i32>() else { return exec_err!("a list is a list") };
    let left = take(left.values.values(), &UInt32Array::from(from_left), None)?;
    let right = take(right.values.values(), &UInt32Array::from(from_right), None)?;
    let values = call.evaluate(0, &[keys.values().clone(), left, right], &owners.into())?;
    from_lists(keys, &list_items(keys, values)?)
}
