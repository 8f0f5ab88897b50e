//! `transform`, `filter`, `exists`, `forall`, `zip_with`, `aggregate` and the order of `array_sort`.
//!
//! A lambda is evaluated over the items of all rows at once; only `aggregate`, whose steps depend
//! on each other, goes from item to item, and `array_sort` from comparison to comparison.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, interleave, take};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::HigherOrderUDF;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, Value, VisitMut,
    VisitorMut,
};
use std::ops::ControlFlow;

use super::array_value::one_each;
use super::definition::{mismatch, wrong_count};
use super::higher_order::{HigherOrder, LambdaCall};
use super::lists::{Picks, Row, comparable, lists, rows};
use super::respell::parsed;
use super::widen::{item_of, list, plain};
use crate::error::Error;

/// The functions of this file.
pub(super) fn functions() -> Vec<HigherOrder> {
    let condition = |name, gives, value| HigherOrder {
        name,
        takes: one_array,
        hands: |types| Ok(vec![vec![item_of(&types[0])?, DataType::Int32]]),
        least: 1,
        gives,
        value,
    };
    let fold = |name| HigherOrder {
        name,
        takes: array_and_start,
        hands: |types| {
            let (item, start) = (item_of(&types[0])?, types[1].clone());
            Ok(vec![vec![start.clone(), item], vec![start]])
        },
        least: 1,
        gives: folded,
        value: aggregate,
    };
    vec![
        transform_rules(),
        condition("filter", filtered, filter),
        condition("exists", judged, exists),
        condition("forall", judged, forall),
        fold("aggregate"),
        fold("reduce"),
        HigherOrder {
            name: "zip_with",
            takes: two_arrays,
            hands: |types| Ok(vec![vec![item_of(&types[0])?, item_of(&types[1])?]]),
            least: 1,
            gives: |_, results| Ok(list(results[0].clone())),
            value: zip_with,
        },
        HigherOrder {
            name: "array_sort",
            takes: one_array_or_null,
            hands: |types| Ok(vec![vec![item_of(&types[0])?; 2]]),
            least: 0,
            gives: ordered,
            value: array_sort,
        },
    ]
}

fn transform_rules() -> HigherOrder {
    HigherOrder {
        name: "transform",
        takes: one_array,
        hands: |types| Ok(vec![vec![item_of(&types[0])?, DataType::Int32]]),
        least: 1,
        gives: |_, results| Ok(list(results[0].clone())),
        value: transform_items,
    }
}

/// `transform(array, lambda)`.
pub(super) fn transform() -> Arc<HigherOrderUDF> {
    transform_rules().function()
}

fn one_array(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types {
        [DataType::Null] => Err(mismatch("an ARRAY", &DataType::Null)),
        _ => one_array_or_null(types),
    }
}

fn one_array_or_null(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [array] = types else { return Err(wrong_count("one array", types.len())) };
    Ok(vec![list(item_of(array)?)])
}

fn two_arrays(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [left, right] = types else { return Err(wrong_count("two arrays", types.len())) };
    Ok([one_array(std::slice::from_ref(left))?, one_array(std::slice::from_ref(right))?].concat())
}

fn array_and_start(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let [array, start] = types else {
        return Err(wrong_count("an array and a start", types.len()));
    };
    Ok([one_array(std::slice::from_ref(array))?, vec![plain(start)]].concat())
}

fn judged(_: &[DataType], results: &[DataType]) -> PlanResult<DataType> {
    match results {
        [DataType::Boolean | DataType::Null] => Ok(DataType::Boolean),
        [other, ..] => Err(mismatch("a lambda that gives a BOOLEAN", other)),
        [] => Err(wrong_count("a lambda", 0)),
    }
}

fn filtered(types: &[DataType], results: &[DataType]) -> PlanResult<DataType> {
    judged(types, results)?;
    super::lists::first(types)
}

/// The items of a column of arrays, those of NULL arrays left out.
struct Items {
    /// The items of all rows, one row's behind the other's.
    values: ArrayRef,
    /// Which of them each row has.
    rows: Vec<Row>,
    /// The row of each item.
    owners: UInt32Array,
    /// The place of each item in its row, from 0.
    places: ArrayRef,
}

impl Items {
    fn of(array: &ArrayRef) -> PlanResult<Items> {
        let (mut picked, mut owners, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let mut ranges: Vec<Row> = Vec::new();
        let lists = lists(array)?;
        for (row, range) in rows(lists).enumerate() {
            let start = picked.len();
            ranges.push(range.map(|range| {
                for (place, at) in range.enumerate() {
                    picked.push(at as u32);
                    owners.push(row as u32);
                    places.push(place as i32);
                }
                start..picked.len()
            }));
        }
        let values = take(lists.values(), &UInt32Array::from(picked), None)?;
        let places: ArrayRef = Arc::new(Int32Array::from(places));
        Ok(Items { values, rows: ranges, owners: UInt32Array::from(owners), places })
    }

    /// Arrays of the same lengths with other items.
    fn with(&self, values: ArrayRef) -> PlanResult<ArrayRef> {
        let DataType::List(field) = list(values.data_type().clone()) else {
            return exec_err!("a list is a list");
        };
        let lengths = self.rows.iter().map(|row| row.as_ref().map_or(0, ExactSizeIterator::len));
        let nulls: NullBuffer = self.rows.iter().map(Option::is_some).collect();
        let ends = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(field, ends, values, Some(nulls))?))
    }
}

/// The lambda's result for every item.
fn for_items(call: &LambdaCall, items: &Items) -> PlanResult<ArrayRef> {
    call.evaluate(0, &[items.values.clone(), items.places.clone()], &items.owners)
}

/// The lambda's answer for every item.
fn answers(call: &LambdaCall, items: &Items) -> PlanResult<BooleanArray> {
    let answers = cast(&for_items(call, items)?, &DataType::Boolean)?;
    Ok(answers.as_boolean().clone())
}

fn transform_items(call: &LambdaCall) -> PlanResult<ArrayRef> {
    let items = Items::of(&call.values[0])?;
    let DataType::List(field) = call.gives else { return exec_err!("transform gives an array") };
    items.with(cast(&for_items(call, &items)?, field.data_type())?)
}

fn filter(call: &LambdaCall) -> PlanResult<ArrayRef> {
    let items = Items::of(&call.values[0])?;
    let kept = answers(call, &items)?;
    let mut picks = Picks::new(call.rows);
    for row in &items.rows {
        match row {
            Some(range) => {
                let wanted = range.clone().filter(|at| kept.is_valid(*at) && kept.value(*at));
                wanted.for_each(|at| picks.push(at));
                picks.close();
            }
            None => picks.null(),
        }
    }
    picks.finish(&items.values)
}

/// One answer a row: `decisive` as soon as one item says so, else unknown if one is unknown.
fn judge(call: &LambdaCall, decisive: bool) -> PlanResult<ArrayRef> {
    let items = Items::of(&call.values[0])?;
    let answers = answers(call, &items)?;
    let judged = items.rows.iter().map(|row| {
        let range = row.clone()?;
        if range.clone().any(|at| answers.is_valid(at) && answers.value(at) == decisive) {
            return Some(decisive);
        }
        range.into_iter().all(|at| answers.is_valid(at)).then_some(!decisive)
    });
    Ok(Arc::new(judged.collect::<BooleanArray>()))
}

fn exists(call: &LambdaCall) -> PlanResult<ArrayRef> {
    judge(call, true)
}

fn forall(call: &LambdaCall) -> PlanResult<ArrayRef> {
    judge(call, false)
}

fn zip_with(call: &LambdaCall) -> PlanResult<ArrayRef> {
    let (left, right) = (lists(&call.values[0])?, lists(&call.values[1])?);
    // The longer array decides; the places behind the end of the other are NULL.
    let (mut from_left, mut from_right) = (Picks::new(call.rows), Picks::new(call.rows));
    for pair in rows(left).zip(rows(right)) {
        let (Some(left), Some(right)) = pair else {
            from_left.null();
            from_right.null();
            continue;
        };
        let longest = left.len().max(right.len());
        for (picks, range) in [(&mut from_left, left), (&mut from_right, right)] {
            let missing = longest - range.len();
            picks.extend(range);
            (0..missing).for_each(|_| picks.push_null());
            picks.close();
        }
    }
    let left = Items::of(&from_left.finish(left.values())?)?;
    let right = Items::of(&from_right.finish(right.values())?)?;
    let values = call.evaluate(0, &[left.values.clone(), right.values], &left.owners)?;
    let DataType::List(field) = call.gives else { return exec_err!("zip_with gives an array") };
    left.with(cast(&values, field.data_type())?)
}

fn folded(types: &[DataType], results: &[DataType]) -> PlanResult<DataType> {
    let [_, start] = types else { return Err(wrong_count("an array and a start", types.len())) };
    match results {
        [merged, ..]
            if merged != start && *merged != DataType::Null && *start != DataType::Null =>
        {
            Err(mismatch("a lambda that gives the type of the start value", merged))
        }
        [_, finished] => Ok(finished.clone()),
        _ => Ok(start.clone()),
    }
}

fn aggregate(call: &LambdaCall) -> PlanResult<ArrayRef> {
    let items = Items::of(&call.values[0])?;
    let mut sum = call.values[1].clone();
    let longest = items.rows.iter().flatten().map(ExactSizeIterator::len).max().unwrap_or(0);
    for step in 0..longest {
        // The rows that have an item at this place, and where that is.
        let (mut owners, mut places) = (Vec::new(), Vec::new());
        let mut merged: Vec<(usize, usize)> = (0..call.rows).map(|row| (0, row)).collect();
        for (row, range) in items.rows.iter().enumerate() {
            if let Some(at) = range.clone().and_then(|mut range| range.nth(step)) {
                merged[row] = (1, owners.len());
                owners.push(row as u32);
                places.push(at as u32);
            }
        }
        let owners = UInt32Array::from(owners);
        let before = take(&sum, &owners, None)?;
        let item = take(&items.values, &UInt32Array::from(places), None)?;
        let after = cast(&call.evaluate(0, &[before, item], &owners)?, sum.data_type())?;
        sum = interleave(&[sum.as_ref(), after.as_ref()], &merged)?;
    }
    let all: UInt32Array = (0..call.rows as u32).collect();
    if call.lambdas.len() == 2 {
        sum = call.evaluate(1, &[sum], &all)?;
    }
    let known = items.rows.iter().enumerate().map(|(row, range)| range.is_some().then_some(row));
    one_each(&cast(&sum, call.gives)?, known)
}

fn ordered(types: &[DataType], results: &[DataType]) -> PlanResult<DataType> {
    match results {
        [] => {}
        [DataType::Int32 | DataType::Int64 | DataType::Null] => {}
        [other, ..] => {
            return Err(Error::sql(
                "DATATYPE_MISMATCH.UNEXPECTED_RETURN_TYPE",
                format!(
                    "the order of array_sort is an INT, not {}",
                    crate::sql::types::spark_name(other).to_uppercase()
                ),
            )
            .hint("give -1, 0 or 1: which of the two comes first")
            .into());
        }
    }
    super::lists::first(types)
}

fn array_sort(call: &LambdaCall) -> PlanResult<ArrayRef> {
    let lists = lists(&call.values[0])?;
    let values = lists.values();
    let keys = comparable(values)?;
    let mut picks = Picks::new(call.rows);
    for (row, range) in rows(lists).enumerate() {
        let Some(range) = range else {
            picks.null();
            continue;
        };
        if call.lambdas.is_empty() {
            let (mut known, unknown): (Vec<usize>, Vec<usize>) =
                range.partition(|at| values.is_valid(*at));
            known.sort_by(|a, b| keys.row(*a).cmp(&keys.row(*b)));
            known.into_iter().chain(unknown).for_each(|at| picks.push(at));
        } else {
            by_lambda(call, values, row, range)?.into_iter().for_each(|at| picks.push(at));
        }
        picks.close();
    }
    picks.finish(values)
}

/// Sorts by insertion at the place that halving finds: few comparisons, since each calls the
/// lambda, and no trust that they fit together.
fn by_lambda(
    call: &LambdaCall,
    values: &ArrayRef,
    row: usize,
    range: std::ops::Range<usize>,
) -> PlanResult<Vec<usize>> {
    let owner = UInt32Array::from(vec![row as u32]);
    let goes_after = |new: usize, old: usize| -> PlanResult<bool> {
        let order = call.evaluate(0, &[values.slice(old, 1), values.slice(new, 1)], &owner)?;
        let order = cast(&order, &DataType::Int32)?;
        match order.as_primitive::<Int32Type>().iter().next().flatten() {
            Some(order) => Ok(order <= 0),
            None => Err(Error::input("COMPARATOR_RETURNS_NULL", "the order of two items is NULL")
                .hint("let the lambda of array_sort give -1, 0 or 1 for NULL items too")
                .into()),
        }
    };
    let mut sorted: Vec<usize> = Vec::with_capacity(range.len());
    for new in range {
        let (mut low, mut high) = (0, sorted.len());
        while low < high {
            let middle = (low + high) / 2;
            match goes_after(new, sorted[middle])? {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        sorted.insert(low, new);
    }
    Ok(sorted)
}

/// In a lambda `p.f` is a field of its parameter `p`, not a column of a table `p`.
pub(in crate::sql) fn fields_of_parameters(expr: &mut SqlExpr) {
    let SqlExpr::Lambda(lambda) = expr else { return };
    let parameters: Vec<String> = lambda.params.iter().map(|p| p.name.value.clone()).collect();
    let _ = lambda.body.visit(&mut Fields { parameters });
}

struct Fields {
    parameters: Vec<String>,
}

impl VisitorMut for Fields {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        let SqlExpr::CompoundIdentifier(path) = expr else { return ControlFlow::Continue(()) };
        let [parameter, fields @ ..] = path.as_slice() else { return ControlFlow::Continue(()) };
        if self.parameters.contains(&parameter.value) {
            let fields = fields.iter().map(|field| {
                let field = Value::SingleQuotedString(field.value.clone());
                AccessExpr::Dot(SqlExpr::Value(field.into()))
            });
            let access_chain = fields.collect();
            let root = Box::new(SqlExpr::Identifier(parameter.clone()));
            *expr = SqlExpr::CompoundFieldAccess { root, access_chain };
        }
        ControlFlow::Continue(())
    }
}

/// `arrays_zip(a, t.b, c + 1)` has the fields `a`, `b` and `2`.
pub(in crate::sql) fn named_zip(expr: &mut SqlExpr) {
    let SqlExpr::Function(call) = &*expr else { return };
    let FunctionArguments::List(list) = &call.args else { return };
    if !call.name.to_string().eq_ignore_ascii_case("arrays_zip") {
        return;
    }
    let name = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Identifier(name))) => {
            Some(name.value.clone())
        }
        FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::CompoundIdentifier(path))) => {
            path.last().map(|name| name.value.clone())
        }
        _ => None,
    };
    let names: Vec<Option<String>> = list.args.iter().map(name).collect();
    if names.iter().all(Option::is_none) {
        return;
    }
    let text = |text: String| Value::SingleQuotedString(text).to_string();
    let fields = names.into_iter().enumerate().map(|(at, name)| {
        let name = text(name.unwrap_or_else(|| at.to_string()));
        format!("{name}, zipped['{at}']")
    });
    let fields = fields.collect::<Vec<_>>().join(", ");
    if let Some(named) = parsed(&format!("transform({call}, zipped -> named_struct({fields}))")) {
        *expr = named;
    }
}
