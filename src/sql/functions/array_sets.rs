//! Arrays as sets: each item once, in the order in which it comes first.

use std::collections::HashSet;

use arrow::array::ArrayRef;
use arrow::row::Rows;
use datafusion::error::Result as PlanResult;

use super::array::{both, each};
use super::definition::{Call, Definition};
use super::lists::{Part, Pool, comparable, first, lists, one_list, two_lists};

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let of_two = |name, value| Definition { name, takes: two_lists, gives: first, value };
    vec![
        Definition { name: "array_distinct", takes: one_list, gives: first, value: distinct },
        of_two("array_except", except as fn(&Call) -> _),
        of_two("array_intersect", intersect),
        of_two("array_union", union),
    ]
}

fn distinct(call: &Call) -> PlanResult<ArrayRef> {
    let keys = comparable(lists(&call.args[0])?.values())?;
    let mut seen = HashSet::new();
    each(call, |_, range, picks| {
        seen.clear();
        range.filter(|at| seen.insert(keys.row(*at))).for_each(|at| picks.push(at));
    })
}

/// The two arrays of a call, and their items in a comparable form.
fn sets(call: &Call) -> PlanResult<(Pool, Rows)> {
    let pool = Pool::of(&[Part::Lists(&call.args[0]), Part::Lists(&call.args[1])])?;
    let keys = pool.comparable()?;
    Ok((pool, keys))
}

fn except(call: &Call) -> PlanResult<ArrayRef> {
    let (pool, keys) = sets(call)?;
    both(&pool, |left, right, picks| {
        let mut seen: HashSet<_> = right.map(|at| keys.row(at)).collect();
        left.filter(|at| seen.insert(keys.row(*at))).for_each(|at| picks.push(at));
    })
}

fn intersect(call: &Call) -> PlanResult<ArrayRef> {
    let (pool, keys) = sets(call)?;
    both(&pool, |left, right, picks| {
        let mut wanted: HashSet<_> = right.map(|at| keys.row(at)).collect();
        left.filter(|at| wanted.remove(&keys.row(*at))).for_each(|at| picks.push(at));
    })
}

fn union(call: &Call) -> PlanResult<ArrayRef> {
    let (pool, keys) = sets(call)?;
    both(&pool, |left, right, picks| {
        let mut seen = HashSet::new();
        left.chain(right).filter(|at| seen.insert(keys.row(*at))).for_each(|at| picks.push(at));
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, ListArray};
    use arrow::datatypes::Int32Type;
    use proptest::prelude::*;

    use super::{Call, distinct, except, intersect, union};

    type Items = Vec<Option<i32>>;

    fn column(rows: &[Option<Items>]) -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().cloned()))
    }

    fn back(lists: &ArrayRef) -> Vec<Option<Items>> {
        let items = |list: ArrayRef| list.as_primitive::<Int32Type>().iter().collect();
        lists.as_list::<i32>().iter().map(|list| list.map(items)).collect()
    }

    /// Each item once, where it comes first.
    fn once(items: impl IntoIterator<Item = Option<i32>>) -> Items {
        let mut seen = Items::new();
        for item in items {
            if !seen.contains(&item) {
                seen.push(item);
            }
        }
        seen
    }

    fn some_rows() -> impl Strategy<Value = Vec<(Option<Items>, Option<Items>)>> {
        let items = || {
            let item = prop_oneof![1 => Just(None), 4 => (0..4).prop_map(Some)];
            prop_oneof![1 => Just(None), 5 => prop::collection::vec(item, 0..6).prop_map(Some)]
        };
        prop::collection::vec((items(), items()), 0..6)
    }

    proptest! {
        #[test]
        fn sets_are_what_their_definition_says(pairs in some_rows()) {
            let (left, right): (Vec<_>, Vec<_>) = pairs.iter().cloned().unzip();
            let args = [column(&left), column(&right)];
            let gives = args[0].data_type().clone();
            let call = Call { args: &args, gives: &gives, rows: pairs.len(), zone: &Default::default() };
            let by = |f: fn(Items, Items) -> Items| -> Vec<Option<Items>> {
                pairs.iter().cloned().map(|(a, b)| Some(once(f(a?, b?)))).collect()
            };
            prop_assert_eq!(back(&union(&call).unwrap()), by(|a, b| [a, b].concat()));
            prop_assert_eq!(
                back(&intersect(&call).unwrap()),
                by(|a, b| a.into_iter().filter(|item| b.contains(item)).collect())
            );
            prop_assert_eq!(
                back(&except(&call).unwrap()),
                by(|a, b| a.into_iter().filter(|item| !b.contains(item)).collect())
            );
            let once_each: Vec<_> = left.iter().cloned().map(|a| a.map(once)).collect();
            prop_assert_eq!(back(&distinct(&call).unwrap()), once_each);
        }
    }
}
