//! The table and its files against a model that is too simple to be wrong: a `BTreeMap`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use proptest::prelude::*;

use super::segments::SEGMENT_ROWS;
use super::{Memory, Parts, Put, StateShape, StateStore, StateTable};
use crate::batch::BatchId;
use crate::durable::{Disk, Durability};
use crate::error::Result;

/// Time and number: the key, the number as text, because NaN has no order.
type Key = (Option<i64>, String);
type Model = BTreeMap<Key, String>;
type Row = (Option<i64>, Option<f64>, String);

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("time", time, true),
        Field::new("number", DataType::Float64, true),
        Field::new("value", DataType::Utf8View, false),
    ]))
}

fn unique(schema: SchemaRef, keys: usize, expiry: Option<usize>) -> StateShape {
    StateShape { name: "rows", schema, keys, lookup: keys, expiry, grain_us: None }
}

fn batch(rows: &[Row]) -> RecordBatch {
    let times: TimestampMicrosecondArray = rows.iter().map(|r| r.0).collect();
    let numbers: Float64Array = rows.iter().map(|r| r.1).collect();
    let values: StringViewArray = rows.iter().map(|r| Some(r.2.as_str())).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(times.with_timezone("UTC")), Arc::new(numbers), Arc::new(values)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn key((time, number, _): &Row) -> Key {
    (*time, number.map_or("NULL".to_string(), |n| format!("{}", n + 0.0)))
}

fn rows(batches: &[RecordBatch]) -> Vec<(Key, String)> {
    let mut rows = Vec::new();
    for batch in batches {
        let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let numbers = batch.column(1).as_primitive::<Float64Type>();
        let values = batch.column(2).as_string_view();
        rows.extend((0..batch.num_rows()).map(|i| {
            let time = times.is_valid(i).then(|| times.value(i));
            let number = numbers.is_valid(i).then(|| numbers.value(i));
            (key(&(time, number, String::new())), values.value(i).to_string())
        }));
    }
    rows
}

fn open(folder: &Path, version: Option<BatchId>) -> Result<StateStore> {
    open_within(folder, version, None)
}

/// `budget`: bytes in memory, beyond which rows go to disk.
fn open_within(folder: &Path, version: Option<BatchId>, budget: Option<u64>) -> Result<StateStore> {
    let (disk, memory) = (Disk::new(Durability::Fast), Memory::new(budget, None, None));
    StateStore::open(folder.to_path_buf(), disk, unique(schema(), 2, Some(0)), version, &memory)
}

fn all(parts: Parts) -> Vec<RecordBatch> {
    parts.collect::<Result<_>>().unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<Row>),
    /// Behind the value that is there comes the new one.
    Merge(Vec<Row>),
    PutNew(Vec<Row>),
    Expire(i64),
    Seal,
    /// Open again, so many sealed batches back.
    Reopen(usize),
}

const NUMBERS: [Option<f64>; 7] =
    [None, Some(0.0), Some(-0.0), Some(f64::NAN), Some(1.5), Some(-7.0), Some(f64::INFINITY)];

fn row() -> impl Strategy<Value = Row> {
    let time = prop_oneof![1 => Just(None), 8 => (-5i64..25).prop_map(Some)];
    let value = "[a-z]{0,20}";
    (time, prop::sample::select(&NUMBERS[..]), value)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(row(), 0..40).prop_map(Step::Put),
        3 => prop::collection::vec(row(), 0..40).prop_map(Step::PutNew),
        4 => prop::collection::vec(row(), 0..40).prop_map(Step::Merge),
        2 => (-6i64..26).prop_map(Step::Expire),
        6 => Just(Step::Seal),
        2 => (0usize..5).prop_map(Step::Reopen),
    ]
}

/// Each key of the model's small world, once, and again from the end.
fn every_key() -> RecordBatch {
    let times = (-5..25).map(Some).chain([None]);
    let mut all: Vec<Row> =
        times.flat_map(|t| NUMBERS.map(|number| (t, number, String::new()))).collect();
    all.extend(all.clone().into_iter().rev());
    batch(&all)
}

fn agrees(table: &StateTable, model: &Model) {
    for not_after in [-6, 0, 7, 12, i64::MAX] {
        let times = model.keys().filter_map(|(time, _)| *time);
        let last = times.filter(|time| *time <= not_after).max();
        assert_eq!(table.last_time(not_after).unwrap(), last, "up to {not_after}");
    }
    assert_eq!(table.len(), model.len());
    let mut stored = rows(&all(table.rows().unwrap()));
    stored.sort();
    assert_eq!(stored, model.clone().into_iter().collect::<Vec<_>>());

    let asked = every_key();
    let got = rows(&[table.get(&asked.columns()[..2]).unwrap()]);
    let mut expected: Vec<(Key, String)> = Vec::new();
    for (key, _) in rows(&[asked]) {
        if let Some(value) = model.get(&key)
            && expected.iter().all(|(k, _)| *k != key)
        {
            expected.push((key, value.clone()));
        }
    }
    assert_eq!(got, expected);

    for watermark in [-6, 0, 7, 30] {
        let expired = rows(&all(table.expired(watermark).unwrap()));
        let times: Vec<_> = expired.iter().map(|((time, _), _)| *time).collect();
        assert!(times.is_sorted(), "oldest first: {times:?}");
        let gone = model.iter().filter(|((time, _), _)| time.is_some_and(|t| t <= watermark));
        let mut expired = expired;
        expired.sort();
        let gone: Vec<_> = gone.map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(expired, gone);
    }
}

/// New values behind those that are kept.
fn append(kept: &RecordBatch, of: &[usize], new: &RecordBatch) -> Result<RecordBatch> {
    let (kept, mut rows_of_new) =
        (rows(std::slice::from_ref(kept)), rows(std::slice::from_ref(new)));
    for ((key, value), &row) in kept.iter().zip(of) {
        assert_eq!(key, &rows_of_new[row].0);
        rows_of_new[row].1.insert_str(0, value);
    }
    let values: StringViewArray = rows_of_new.iter().map(|(_, value)| Some(value)).collect();
    let columns = vec![new.column(0).clone(), new.column(1).clone(), Arc::new(values) as ArrayRef];
    Ok(RecordBatch::try_new(new.schema(), columns)?)
}

fn run(steps: Vec<Step>, budget: Option<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open_within(folder.path(), None, budget).unwrap();
    let mut model = Model::new();
    let mut sealed: Vec<Model> = Vec::new();
    // A version that two snapshots have followed is gone; here that takes at least 5 batches.
    let mut floor = 1;
    for step in steps {
        match step {
            Step::PutNew(rows) => {
                let mut new: Vec<u32> = Vec::new();
                for (number, row) in (0..).zip(&rows) {
                    if let std::collections::btree_map::Entry::Vacant(vacant) =
                        model.entry(key(row))
                    {
                        vacant.insert(row.2.clone());
                        new.push(number);
                    }
                }
                assert_eq!(store.put_new(&batch(&rows)).unwrap().values(), &new[..]);
            }
            Step::Put(mut new) => {
                let mut seen = std::collections::BTreeSet::new();
                new.retain(|row| seen.insert(key(row)));
                let before = model.len();
                model.extend(new.iter().map(|row| (key(row), row.2.clone())));
                let inserted = model.len() - before;
                let put = store.put(&batch(&new)).unwrap();
                assert_eq!(put, Put { inserted, replaced: new.len() - inserted });
            }
            Step::Merge(mut new) => {
                let mut seen = std::collections::BTreeSet::new();
                new.retain(|row| seen.insert(key(row)));
                for row in &new {
                    model.entry(key(row)).or_default().push_str(&row.2);
                }
                let mut now = rows(&store.merge(&batch(&new), &append).unwrap());
                now.sort();
                let expected = model.iter().filter(|(key, _)| seen.contains(*key));
                assert_eq!(now, expected.map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>());
            }
            Step::Expire(watermark) => {
                let before = model.len();
                model.retain(|(time, _), _| time.is_none_or(|t| t > watermark));
                assert_eq!(store.expire(watermark).unwrap(), before - model.len());
                assert!(store.removals_ms() > 0.0);
            }
            Step::Seal => {
                store.seal(sealed.len() as BatchId).unwrap();
                assert_eq!(store.removals_ms(), 0.0, "the next batch has removed nothing yet");
                sealed.push(model.clone());
                floor = floor.max(sealed.len().saturating_sub(5));
            }
            Step::Reopen(back) => {
                sealed.truncate(sealed.len().saturating_sub(back).max(floor));
                let version = sealed.len().checked_sub(1).map(|v| v as BatchId);
                store = open_within(folder.path(), version, budget).unwrap();
                model = sealed.last().cloned().unwrap_or_default();
            }
        }
        agrees(store.table(), &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_history_equals_the_model_and_can_be_read_back(steps in prop::collection::vec(step(), 1..60)) {
        run(steps, None);
    }

    #[test]
    fn however_little_memory_there_is(
        steps in prop::collection::vec(step(), 1..60),
        budget in prop::sample::select(&[1u64, 1000, 4000, 12_000][..]),
    ) {
        run(steps, Some(budget));
    }
}

/// `keys` 64-bit numbers from `first`, each with a value.
fn numbers(first: i64, keys: i64) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("value", DataType::Int64, true),
    ]);
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + keys));
    RecordBatch::try_new(Arc::new(schema), vec![column.clone(), column]).unwrap()
}

#[test]
fn small_puts_do_not_pile_up_as_segments() {
    let mut table = StateTable::new(unique(numbers(0, 1).schema(), 1, None)).unwrap();
    for n in 0..1000 {
        table.put(&numbers(n * 9, 9)).unwrap();
        table.put(&numbers(n * 5, 9)).unwrap();
    }
    let segments = all(table.rows().unwrap());
    assert_eq!(table.len(), 9000);
    assert!(segments.len() <= 9000 / SEGMENT_ROWS * 2 + 8, "{} segments", segments.len());
}

#[test]
fn without_key_columns_there_is_one_row() {
    let mut table = StateTable::new(unique(numbers(0, 1).schema(), 0, None)).unwrap();
    assert_eq!(table.get(&[]).unwrap().num_rows(), 0);
    assert_eq!(table.put(&numbers(1, 1)).unwrap(), Put { inserted: 1, replaced: 0 });
    assert_eq!(table.put(&numbers(2, 1)).unwrap(), Put { inserted: 0, replaced: 1 });
    assert_eq!(table.get(&[]).unwrap(), numbers(2, 1));
}

#[test]
fn a_slice_of_a_large_batch_does_not_keep_it_whole() {
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8View, true),
        Field::new("text", DataType::Utf8, true),
    ]);
    let long = || (0..10_000).map(|i| format!("a text too long for a view, number {i}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter_values(long())),
        Arc::new(StringArray::from_iter_values(long())),
    ];
    let large = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let mut table = StateTable::new(unique(large.schema(), 1, None)).unwrap();
    table.put(&large.slice(5000, 10)).unwrap();
    assert!(table.memory_bytes() < 10_000, "{} bytes", table.memory_bytes());
}

#[test]
fn a_key_twice_in_one_put_is_refused() {
    let mut table = StateTable::new(unique(schema(), 2, Some(0))).unwrap();
    let twice = [(Some(1), Some(0.0), "a".into()), (Some(1), Some(-0.0), "b".into())];
    assert_eq!(table.put(&batch(&twice)).unwrap_err().condition(), "INTERNAL_ERROR");
}

/// A store of so many batches with a row each, sealed.
fn sealed(folder: &Path, batches: u64) {
    let mut store = open(folder, None).unwrap();
    for n in 0..batches {
        store.put(&batch(&[(Some(n as i64), None, n.to_string())])).unwrap();
        store.seal(n).unwrap();
    }
}

#[test]
fn old_files_are_removed_and_two_snapshots_stay() {
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path(), 500);
    let names = crate::durable::names(folder.path()).unwrap();
    assert!(names.len() < 20, "{names:?}");
    assert_eq!(names.iter().filter(|n| n.ends_with(".snapshot")).count(), 2, "{names:?}");
    assert_eq!(open(folder.path(), Some(499)).unwrap().table().len(), 500);
}

#[test]
fn a_missing_change_is_named() {
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path(), 3);
    fs::remove_file(folder.path().join("1.change")).unwrap();
    let error = open(folder.path(), Some(2)).err().unwrap();
    assert_eq!(error.condition(), "STATE_FILE_MISSING");
    assert!(error.message().contains("1.change"), "{error}");
}

#[test]
fn a_torn_change_is_named_at_every_cut() {
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path(), 3);
    let path = folder.path().join("2.change");
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = open(folder.path(), Some(2)).err().unwrap();
        assert_eq!(error.condition(), "STATE_FILE_CORRUPT");
        assert!(error.message().contains("2.change"), "{error}");
    }
    assert_eq!(open(folder.path(), Some(1)).unwrap().table().len(), 2, "it is not needed for 1");
}

#[test]
fn a_damaged_snapshot_is_made_up_for_by_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path(), 50);
    let names = crate::durable::names(folder.path()).unwrap();
    let snapshots = names.iter().filter_map(|n| n.strip_suffix(".snapshot")?.parse::<u64>().ok());
    let newest = snapshots.max().unwrap();
    fs::write(folder.path().join(format!("{newest}.snapshot")), b"").unwrap();
    assert_eq!(open(folder.path(), Some(49)).unwrap().table().len(), 50);
}

#[test]
fn other_columns_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    sealed(folder.path(), 1);
    let disk = Disk::default();
    let other = numbers(0, 1).schema();
    let opened = StateStore::open(
        folder.path().into(),
        disk,
        unique(other, 1, None),
        Some(0),
        &Memory::default(),
    );
    assert_eq!(opened.err().unwrap().condition(), "STATE_SCHEMA_CHANGED");
}

#[test]
fn one_who_looks_sees_each_batch_that_can_be_read_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows");
    let shape = || unique(schema(), 2, Some(0));
    assert!(StateStore::readable(&path, shape()).unwrap().is_empty() && !path.exists());
    let mut store = open(&path, None).unwrap();
    for number in 0..30 {
        store.put(&batch(&[(Some(number), Some(1.0), format!("row {number}"))])).unwrap();
        store.seal(number as BatchId).unwrap();
    }
    let ranges = StateStore::readable(&path, shape()).unwrap();
    let &[(first, 29)] = &ranges[..] else { panic!("{ranges:?}") };
    assert!(first > 0, "the oldest files are gone by now");
    let files = || fs::read_dir(&path).unwrap().count();
    let before = files();
    for version in first..30 {
        let table = StateStore::look(path.clone(), shape(), version).unwrap();
        assert_eq!(table.len() as u64, version + 1);
    }
    assert!(StateStore::look(path.clone(), shape(), first - 1).is_err());
    assert_eq!(files(), before);
}

#[test]
fn rows_go_to_disk_by_the_budget_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open_within(folder.path(), None, Some(200_000)).unwrap();
    let row = |n: i64| (Some(n % 3), Some(n as f64), format!("the value of number {n}"));
    for n in 0..20 {
        store.put(&batch(&(n * 500..(n + 1) * 500).map(row).collect::<Vec<_>>())).unwrap();
        // Pages are tiny in tests, and memory knows each.
        let known = 60 * store.table().len();
        let held = store.table().memory_bytes();
        assert!(held <= 200_000 + known, "{held} bytes");
    }
    assert_eq!(store.table().len(), 10_000);
    assert!(store.table().spilled_bytes() > 300_000, "{}", store.table().spilled_bytes());
    assert!(
        crate::durable::names(folder.path()).unwrap().is_empty(),
        "what is on disk has no name"
    );
    // All but the last third of the rows go, and their room with them.
    assert_eq!(store.expire(1).unwrap(), 6667);
    assert_eq!(store.table().len(), 3333);
    let before = store.table().spilled_bytes();
    assert_eq!(store.expire(2).unwrap(), 3333);
    assert!(before > 0 && store.table().spilled_bytes() == 0);
    assert!(store.table().memory_bytes() < 1000, "{}", store.table().memory_bytes());
}

#[test]
fn tables_share_a_budget_and_a_limit() {
    let memory = Memory::new(None, Some(100_000), None);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |folder: &Path| {
        let shape = unique(numbers(0, 1).schema(), 1, None);
        StateStore::open(folder.into(), Disk::default(), shape, None, &memory).unwrap()
    };
    let (mut one, mut two) = (open(one.path()), open(two.path()));
    one.put(&numbers(0, 1000)).unwrap();
    let error = (0..100).find_map(|n| two.put(&numbers(n * 100, 100)).err()).unwrap();
    assert_eq!((error.condition(), error.exit_code()), ("STATE_LIMIT_REACHED", 16), "{error}");
    assert!(one.table().memory_bytes() + two.table().memory_bytes() > 100_000, "{error}");
    assert!(two.table().len() >= 100, "it took what the other one left");
    drop(one);
    two.put(&numbers(0, 100)).unwrap();
}

#[test]
fn a_large_snapshot_is_written_while_batches_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let shape = || unique(numbers(0, 1).schema(), 1, None);
    let open = |version| {
        let memory = Memory::new(Some(900_000), None, None);
        let disk = Disk::new(Durability::Fast);
        StateStore::open(folder.path().into(), disk, shape(), version, &memory).unwrap()
    };
    let mut store = open(None);
    let mut batch = 0;
    // Other rows each time, so that the snapshot must be of the moment at which it was begun.
    while store.newest_snapshot().is_none_or(|newest| newest < 40) {
        store.put(&numbers(batch * 500, 1500)).unwrap();
        store.seal(batch as BatchId).unwrap();
        batch += 1;
    }
    let newest = store.newest_snapshot().unwrap();
    let expected = |version: BatchId| version as usize * 500 + 1500;
    assert_eq!(store.table().len(), expected(batch as BatchId - 1));
    for version in [newest, newest + 1] {
        let table = StateStore::look(folder.path().into(), shape(), version.min(batch as u64 - 1));
        assert_eq!(table.unwrap().len(), expected(version.min(batch as u64 - 1)));
    }
    drop(store);
    let store = open(Some(batch as BatchId - 1));
    assert_eq!(store.table().len(), expected(batch as BatchId - 1));
}
