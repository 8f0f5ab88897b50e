//! The files of a state, damaged, and read back.
//!
//! Asserts, for a state of one row a key and one of several: an answer or an error for a user, never a
//! panic and no large allocation; damage that is no seal of ours is seen, or the rows are those that
//! were written; a state that could be read can be added to, sealed, and read again.
#![no_main]

mod damage;
mod limit;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use damage::{Damage, Files};
use libfuzzer_sys::{Corpus, fuzz_target};
use strandline::durable::{Disk, Durability, unseal};
use strandline::error::Result;
use strandline::state::{Memory, StateShape, StateStore, StateTable};

/// So many batches are sealed: enough for a snapshot, and a few changes after it.
const BATCHES: u64 = 68;

struct Good {
    files: Files,
    names: Vec<&'static str>,
    rows: Vec<Row>,
}

type Row = (Option<i64>, Option<i64>, Option<String>);

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((which, data)) = data.split_first() else { return Corpus::Reject };
    static GOOD: OnceLock<[Good; 2]> = OnceLock::new();
    let several = which % 2 == 1;
    let good = &GOOD.get_or_init(|| [false, true].map(|s| make(s).expect("a state")))
        [usize::from(several)];
    let mut files = good.files.clone();
    let damage = damage::damage(&mut files, data, &good.names, sealed_as);
    if !rows_are_ours(&files, &good.files) {
        return Corpus::Reject;
    }
    let folder = tempfile::tempdir().expect("a folder");
    damage::write(folder.path(), &files);
    let read = StateStore::look(folder.path().to_owned(), shape(several), BATCHES - 1);
    match (damage, read) {
        (_, Err(error)) => {
            assert_ne!(error.condition(), "INTERNAL_ERROR", "{error}");
            assert_ne!(damage, Damage::None, "{error}");
        }
        (Damage::None | Damage::Torn, Ok(table)) => {
            assert_eq!(rows(&table), good.rows, "{damage:?}");
            goes_on(folder.path(), several);
        }
        (Damage::Resealed, Ok(table)) => {
            rows(&table);
            goes_on(folder.path(), several);
        }
    }
    Corpus::Keep
});

/// Whether every file whose seal is right holds rows that were written here. Arrow's reader believes the
/// lengths that it finds, and is asked only behind a checksum; so what it does with rows that somebody
/// else has sealed is not looked at.
fn rows_are_ours(files: &Files, good: &Files) -> bool {
    let rows = |(name, bytes): (&String, &Vec<u8>)| {
        let (body, _) = unseal(sealed_as(name), bytes).ok()?;
        let line = body.iter().position(|b| *b == b'\n')?;
        Some(body[line..].to_vec())
    };
    let ours: Vec<Vec<u8>> = good.iter().filter_map(rows).collect();
    files.iter().filter_map(rows).all(|rows| ours.contains(&rows))
}

fn sealed_as(name: &str) -> &'static str {
    if name.ends_with(".snapshot") { "state-snapshot" } else { "state-change" }
}

fn shape(several: bool) -> StateShape {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Arc::new(Schema::new(vec![
        Field::new("time", time, true),
        Field::new("key", DataType::Int64, true),
        Field::new("value", DataType::Utf8, true),
    ]));
    let lookup = if several { 1 } else { 2 };
    StateShape { name: "rows", schema, keys: 2, lookup, expiry: Some(0), grain_us: None }
}

fn batch(number: u64, rows: u64) -> RecordBatch {
    let of = |at: u64| (number * 7 + at * 3) as i64;
    let times: TimestampMicrosecondArray = (0..rows).map(|at| Some(of(at) * 1_000_000)).collect();
    let keys: Int64Array = (0..rows).map(|at| (at != 3).then(|| of(at) % 50)).collect();
    let values: StringArray =
        (0..rows).map(|at| (at % 4 != 1).then(|| format!("value {number} {at}"))).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(times.with_timezone("UTC")), Arc::new(keys), Arc::new(values)];
    RecordBatch::try_new(shape(false).schema, columns).expect("rows")
}

/// Makes a state of some batches; keeps its newest snapshot and the changes after it.
fn make(several: bool) -> Result<Good> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path(), several, None)?;
    for number in 0..BATCHES {
        add(&mut store, number, several)?;
    }
    let snapshot = store.newest_snapshot().expect("a snapshot");
    let mut files = Files::new();
    let mut keep = |name: String| {
        files.insert(name.clone(), std::fs::read(folder.path().join(name)).expect("a file"));
    };
    keep(format!("{snapshot}.snapshot"));
    (snapshot + 1..BATCHES).for_each(|batch| keep(format!("{batch}.change")));
    let mut names: Vec<&'static str> = files.keys().map(|name| &*name.clone().leak()).collect();
    names.extend(["0.change", "66.snapshot", "18446744073709551615.change", "99.snapshot"]);
    let rows = rows(&StateStore::look(folder.path().to_owned(), shape(several), BATCHES - 1)?);
    Ok(Good { files, names, rows })
}

fn open(folder: &Path, several: bool, version: Option<u64>) -> Result<StateStore> {
    StateStore::open(
        folder.to_owned(),
        Disk::new(Durability::Fast),
        shape(several),
        version,
        &Memory::default(),
    )
}

fn add(store: &mut StateStore, number: u64, several: bool) -> Result<()> {
    if several {
        let added = store.add(&batch(number, 6))?;
        store.mark(&added[..2])?;
        store.remove(&added[4..])?;
    } else {
        store.put(&batch(number, 6))?;
    }
    store.expire(number as i64 * 7_000_000 - 100_000_000)?;
    store.seal(number).map(drop)
}

/// One more batch, and all of it read again.
fn goes_on(folder: &Path, several: bool) {
    let result = open(folder, several, Some(BATCHES - 1)).and_then(|mut store| {
        add(&mut store, BATCHES, several)?;
        let now = rows(store.table());
        let again = StateStore::look(folder.to_owned(), shape(several), BATCHES)?;
        assert_eq!(now, rows(&again));
        Ok(())
    });
    if let Err(error) = result {
        panic!("it could be read: {error}");
    }
}

/// All rows, sorted.
fn rows(table: &StateTable) -> Vec<Row> {
    let batches: Result<Vec<RecordBatch>> = table.rows().and_then(Iterator::collect);
    let mut lines: Vec<_> = batches
        .expect("rows that were read")
        .iter()
        .flat_map(|batch| {
            let times = batch.column(0).as_primitive::<TimestampMicrosecondType>().iter();
            let keys = batch.column(1).as_primitive::<Int64Type>().iter();
            let values = batch.column(2).as_string::<i32>().iter();
            times.zip(keys).zip(values).map(|((t, k), v)| (t, k, v.map(str::to_owned)))
        })
        .collect();
    assert_eq!(lines.len(), table.len());
    lines.sort();
    lines
}
