//! The multimap and its files against a model that is too simple to be wrong: a `Vec`.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;

use super::RowId;
use crate::batch::BatchId;
use crate::durable::{Disk, Durability};
use crate::state::{Memory, StateShape, StateStore, StateTable};

/// A row: key, time, and a value that no other row has.
type Row = (Option<i64>, Option<i64>, i64);
/// What a table holds: the rows in the order in which they came, and whether they are marked.
type Model = Vec<(Row, bool)>;

fn shape(grain_us: Option<i64>) -> StateShape {
    let schema = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("time", DataType::Int64, true),
        Field::new("text", DataType::Utf8View, true),
        Field::new("value", DataType::Int64, true),
    ]));
    StateShape { name: "rows", schema, keys: 2, lookup: 1, expiry: Some(1), grain_us }
}

fn open(
    folder: &Path,
    grain_us: Option<i64>,
    version: Option<BatchId>,
    budget: Option<u64>,
) -> StateStore {
    let (disk, memory) = (Disk::new(Durability::Fast), Memory::new(budget, None, None));
    StateStore::open(folder.to_path_buf(), disk, shape(grain_us), version, &memory).unwrap()
}

fn batch(rows: &[Row]) -> RecordBatch {
    let texts = rows.iter().map(|r| format!("the text of the row {}", r.2));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()),
        Arc::new(StringViewArray::from_iter_values(texts)),
        Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(shape(None).schema, columns).unwrap()
}

fn values(batch: &RecordBatch) -> Vec<i64> {
    let texts = batch.column(2).as_string_view();
    let values = batch.column(3).as_primitive::<Int64Type>();
    let rows = values.values().iter().zip(texts.iter());
    rows.for_each(|(value, text)| assert!(text.unwrap().ends_with(&format!(" {value}"))));
    values.values().to_vec()
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<(Option<i64>, Option<i64>)>),
    /// Mark, or remove, each row whose value leaves this rest when divided by that.
    Mark(i64, i64),
    Remove(i64, i64),
    Expire(i64),
    Seal,
    /// Open again, so many sealed batches back.
    Reopen(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let row = (prop::option::weighted(0.9, 0i64..5), prop::option::weighted(0.9, -20i64..60));
    prop_oneof![
        6 => prop::collection::vec(row, 0..40).prop_map(Step::Put),
        2 => (0i64..4, 2i64..5).prop_map(|(rest, by)| Step::Mark(rest, by)),
        2 => (0i64..4, 2i64..5).prop_map(|(rest, by)| Step::Remove(rest, by)),
        2 => (-21i64..61).prop_map(Step::Expire),
        6 => Just(Step::Seal),
        2 => (0usize..5).prop_map(Step::Reopen),
    ]
}

/// What is found for each key, with and without a range of time, against a look at every row.
fn agrees(table: &StateTable, model: &Model, has_grain: bool) {
    assert_eq!(table.len(), model.len());
    let all: Vec<i64> = table.rows().unwrap().flat_map(|rows| values(&rows.unwrap())).collect();
    assert_eq!(all, model.iter().map(|(row, _)| row.2).collect::<Vec<_>>());

    let probes: Vec<(Option<i64>, i64, i64)> = [Some(0), Some(3), None, Some(77)]
        .into_iter()
        .flat_map(|key| [(key, -9, 12), (key, 12, 12), (key, i64::MIN / 2, i64::MIN / 2 + 9)])
        .chain([(Some(1), 5, 4), (Some(1), 0, 30)])
        .collect();
    let keys: ArrayRef = Arc::new(probes.iter().map(|p| p.0).collect::<Int64Array>());
    let ranges: Vec<(i64, i64)> = probes.iter().map(|p| (p.1, p.2)).collect();
    let searches = if has_grain { vec![Some(ranges)] } else { vec![None, Some(ranges)] };
    for ranges in searches {
        let mut found = Vec::new();
        let mut finder = table.find(std::slice::from_ref(&keys), ranges.clone()).unwrap();
        while let Some(part) = finder.next(3).unwrap() {
            let marks = part.rows.iter().map(|&row| table.is_marked(row).unwrap());
            let rows = values(&table.take(&part.rows).unwrap());
            found.extend(part.probe.into_iter().zip(rows).zip(marks));
        }
        assert!(found.is_sorted_by_key(|((probe, _), _)| *probe));
        found.sort_unstable();
        let mut expected = Vec::new();
        for (at, (key, from, to)) in probes.iter().enumerate() {
            for ((k, time, value), marked) in model {
                let in_range = time.is_some_and(|t| *from <= t && t <= *to);
                if k == key && (ranges.is_none() || in_range) {
                    expected.push(((at as u32, *value), *marked));
                }
            }
        }
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
    if !has_grain {
        let asked =
            [(Some(0), None, -1), (Some(77), None, -2), (None, None, -3), (Some(77), None, -4)];
        let has = |key| model.iter().any(|((k, ..), _)| *k == key);
        let mut expected: Vec<u32> = vec![1];
        expected.extend((!has(None)).then_some(2));
        expected.extend((!has(Some(0))).then_some(0));
        expected.sort_unstable();
        assert_eq!(table.absent(&batch(&asked)).unwrap().values(), &expected[..]);
    }
    for watermark in [-21, 0, 25, 60] {
        let expired: Vec<i64> =
            table.expired(watermark).unwrap().flat_map(|rows| values(&rows.unwrap())).collect();
        let mut gone: Vec<(i64, usize, i64)> = model
            .iter()
            .enumerate()
            .filter_map(|(at, ((_, time, value), _))| Some(((*time)?, at, *value)))
            .filter(|(time, ..)| *time <= watermark)
            .collect();
        gone.sort_unstable();
        assert_eq!(expired, gone.into_iter().map(|(.., value)| value).collect::<Vec<_>>());
    }
}

/// The rows of some values, by a look at every key.
fn rows_of(table: &StateTable, wanted: impl Fn(i64) -> bool) -> Vec<RowId> {
    let keys: ArrayRef = Arc::new((0..5).map(Some).chain([None]).collect::<Int64Array>());
    let times = [(-100, 100); 6].to_vec();
    let found = table.find(&[keys], Some(times)).unwrap().next(usize::MAX).unwrap();
    let rows = found.unwrap_or_default().rows;
    let values = values(&table.take(&rows).unwrap());
    rows.into_iter().zip(values).filter(|(_, value)| wanted(*value)).map(|(row, _)| row).collect()
}

fn run(grains: [Option<i64>; 2], steps: Vec<Step>, budget: Option<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = 0;
    let mut store = open(folder.path(), grains[0], None, budget);
    let (mut model, mut sealed) = (Model::new(), Vec::<Model>::new());
    let (mut floor, mut next) = (1, 0);
    for step in steps {
        match step {
            Step::Put(new) => {
                let rows: Vec<Row> =
                    new.iter().zip(next..).map(|(row, value)| (row.0, row.1, value)).collect();
                next += rows.len() as i64;
                assert_eq!(store.put(&batch(&rows)).unwrap().inserted, rows.len());
                model.extend(rows.into_iter().map(|row| (row, false)));
            }
            Step::Mark(rest, by) => {
                store.mark(&rows_of(store.table(), |value| value % by == rest)).unwrap();
                for ((_, time, value), marked) in &mut model {
                    *marked |= time.is_some() && *value % by == rest;
                }
            }
            Step::Remove(rest, by) => {
                let rows = rows_of(store.table(), |value| value % by == rest);
                let before = model.len();
                model.retain(|((_, time, value), _)| time.is_none() || value % by != rest);
                assert_eq!(store.remove(&rows).unwrap(), before - model.len());
            }
            Step::Expire(watermark) => {
                let before = model.len();
                model.retain(|((_, time, _), _)| time.is_none_or(|t| t > watermark));
                assert_eq!(store.expire(watermark).unwrap(), before - model.len());
            }
            Step::Seal => {
                store.seal(sealed.len() as BatchId).unwrap();
                sealed.push(model.clone());
                floor = floor.max(sealed.len().saturating_sub(5));
            }
            Step::Reopen(back) => {
                sealed.truncate(sealed.len().saturating_sub(back).max(floor));
                let version = sealed.len().checked_sub(1).map(|v| v as BatchId);
                opened += 1;
                store = open(folder.path(), grains[opened % 2], version, budget);
                model = sealed.last().cloned().unwrap_or_default();
            }
        }
        agrees(store.table(), &model, store.table().shape().grain_us.is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_history_equals_the_model_and_can_be_read_back(
        first in prop::sample::select(vec![None, Some(1), Some(10), Some(33)]),
        second in prop::sample::select(vec![None, Some(7)]),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run([first, second], steps, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn however_little_memory_there_is(
        first in prop::sample::select(vec![None, Some(10)]),
        second in prop::sample::select(vec![None, Some(7)]),
        steps in prop::collection::vec(step(), 1..40),
        budget in prop::sample::select(&[1u64, 2000, 8000][..]),
    ) {
        run([first, second], steps, Some(budget));
    }
}

/// What a hot key may cost is bounded by the number of chain steps, which grow with the matches: a
/// test of that by the clock would fail on a slow machine, one by a table that never ends in hours
/// would not fail at all. 100,000 rows looked at one by one for each of 100,000 probes do not end.
#[test]
fn a_hot_key_is_found_by_time() {
    let mut table = StateTable::new(shape(Some(10))).unwrap();
    let rows: Vec<Row> = (0..100_000).map(|n| (Some(1), Some(n), n)).collect();
    table.put(&batch(&rows)).unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1; 100_000]));
    let ranges = (0..100_000).map(|n| (n - 2, n + 2)).collect();
    let mut finder = table.find(&[keys], Some(ranges)).unwrap();
    let mut found = 0;
    while let Some(part) = finder.next(8192).unwrap() {
        found += part.rows.len();
    }
    assert_eq!(found, 5 * 100_000 - 6);
    assert_eq!(table.expire(99_999).unwrap(), 100_000);
    assert!(table.is_empty());
}

#[test]
fn one_row_a_key_has_no_search_and_several_have_no_get() {
    let several = StateTable::new(shape(None)).unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let two = [keys.clone(), keys.clone()];
    assert_eq!(several.get(&two).unwrap_err().condition(), "INTERNAL_ERROR");
    let unique = StateTable::new(StateShape { lookup: 2, ..shape(None) }).unwrap();
    assert_eq!(unique.find(&two, None).err().unwrap().condition(), "INTERNAL_ERROR");
}

/// Rows go to disk, are found there, come back when they are alone, and leave no file.
#[test]
fn rows_go_to_disk_and_are_found_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), None, None, Some(20_000));
    let rows =
        |from: i64| -> Vec<Row> { (from..from + 40).map(|n| (Some(n % 7), Some(n), n)).collect() };
    for batch_id in 0..30 {
        store.put(&batch(&rows(batch_id * 40))).unwrap();
        store.seal(batch_id as BatchId).unwrap();
    }
    let in_memory = store.table().memory_bytes();
    assert!(store.table().spilled_bytes() > 0, "{in_memory} bytes in memory");
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![3]));
    let found = store.table().find_all(&[keys]).unwrap();
    let mut found = values(&store.table().take(&found.rows).unwrap());
    found.sort_unstable();
    assert_eq!(found, (0..1200).filter(|n| n % 7 == 3).collect::<Vec<_>>());
    assert_eq!(store.expire(1_199).unwrap(), 1200);
    assert_eq!(store.table().spilled_bytes(), 0);
    let files = std::fs::read_dir(folder.path()).unwrap();
    let files: Vec<_> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    assert!(files.iter().all(|f| f.ends_with(".change") || f.ends_with(".snapshot")), "{files:?}");
}
