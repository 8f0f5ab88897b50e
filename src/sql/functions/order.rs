//! `sort_array` and `shuffle`: the same items in another order.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::error::Result as PlanResult;

use super::definition::{Call, Definition, wrong_count};
use super::lists::{Picks, comparable, first, lists, one_list, rows};

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    vec![Definition { name: "sort_array", takes: list_and_flag, gives: first, value: sort }]
}

fn list_and_flag(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types {
        [array] => one_list(std::slice::from_ref(array)),
        [array, _] => {
            Ok([one_list(std::slice::from_ref(array))?, vec![DataType::Boolean]].concat())
        }
        _ => Err(wrong_count("an array and perhaps a BOOLEAN", types.len())),
    }
}

/// NULL is the smallest item: first when ascending, last when descending.
fn sort(call: &Call) -> PlanResult<ArrayRef> {
    let lists = lists(&call.args[0])?;
    let keys = comparable(lists.values())?;
    let ascending = call.args.get(1).and_then(|flags| flags.as_boolean_opt());
    let mut picks = Picks::new(call.rows);
    for (row, range) in rows(lists).enumerate() {
        let upwards = ascending.is_none_or(|flags| flags.is_valid(row) && flags.value(row));
        match range {
            Some(range) => {
                sorted(range, |a, b| match upwards {
                    true => keys.row(a).cmp(&keys.row(b)),
                    false => keys.row(b).cmp(&keys.row(a)),
                })
                .for_each(|at| picks.push(at));
                picks.close();
            }
            None => picks.null(),
        }
    }
    picks.finish(lists.values())
}

fn sorted(
    range: Range<usize>,
    order: impl Fn(usize, usize) -> std::cmp::Ordering,
) -> impl Iterator<Item = usize> {
    let mut places: Vec<usize> = range.collect();
    places.sort_by(|a, b| order(*a, *b));
    places.into_iter()
}
