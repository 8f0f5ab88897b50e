//! What the table says after batches, crashes and the commits of others.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use deltalake::kernel::Transaction;
use proptest::prelude::*;

use super::*;
use crate::durable::Durability;
use crate::sinks::Accepted;

/// A key, an event time in milliseconds, a value.
type Row = (Option<&'static str>, i64, i64);

fn schema() -> SchemaRef {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let window = DataType::Struct(
        vec![Field::new("start", utc.clone(), false), Field::new("end", utc, false)].into(),
    );
    Arc::new(Schema::new(vec![
        Field::new("window", window, false),
        Field::new("name", DataType::Utf8View, true),
        Field::new("value", DataType::Int64, true),
    ]))
}

fn rows(rows: &[Row]) -> RecordBatch {
    let times = |shift: i64| -> ArrayRef {
        let micros = rows.iter().map(|row| (row.1 + shift) * 1000);
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
    };
    let schema = schema();
    let DataType::Struct(window) = schema.field(0).data_type() else { panic!("not a struct") };
    let window = StructArray::new(window.clone(), vec![times(-1000), times(0)], None);
    let names = StringArray::from_iter(rows.iter().map(|row| row.0));
    let names = arrow::compute::cast(&names, &DataType::Utf8View).unwrap();
    let values = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
    RecordBatch::try_new(schema, vec![Arc::new(window), names, Arc::new(values)]).unwrap()
}

fn batch(id: BatchId, of: &[Row], watermark: Option<i64>) -> OutputBatch {
    OutputBatch { id, rows: vec![rows(of)], watermark }
}

fn options(path: &Path, mode: OutputMode) -> DeltaSinkOptions {
    DeltaSinkOptions {
        path: path.to_path_buf(),
        app_id: "query".into(),
        schema: schema(),
        mode,
        keys: vec![0, 1],
        event_time: Some(0),
        expected: Expected::default(),
        is_repeatable: true,
        disk: Disk::new(Durability::Fast),
    }
}

fn open_sink(path: &Path, mode: OutputMode) -> DeltaSink {
    DeltaSink::open(options(path, mode)).unwrap()
}

/// The files of the newest version, as deltalake reads the log.
fn live_files(path: &Path) -> Vec<PathBuf> {
    let found = open::load(Disk::default(), path, "query", OutputMode::Update).unwrap();
    found.files.iter().map(|file| path.join(&file.path)).collect()
}

/// The rows of the newest version, sorted: name, end of the window in milliseconds, value.
fn content(path: &Path) -> Vec<(Option<String>, i64, i64)> {
    let schema = schema::table_schema(&schema()).unwrap();
    let files = live_files(path);
    let parts = files.iter().map(|file| parquet::read(file, &schema).unwrap());
    let all = concat_batches(&schema, &parts.collect::<Vec<_>>()).unwrap();
    let ends = all.column(0).as_struct().column(1).clone();
    let ends = ends.as_primitive::<TimestampMicrosecondType>();
    let names = all.column(1).as_string::<i32>();
    let values = all.column(2).as_primitive::<Int64Type>();
    let name = |row| names.is_valid(row).then(|| names.value(row).to_string());
    let mut rows: Vec<_> = (0..all.num_rows())
        .map(|row| (name(row), ends.value(row) / 1000, values.value(row)))
        .collect();
    rows.sort();
    rows
}

fn owned(rows: &[Row]) -> Vec<(Option<String>, i64, i64)> {
    let mut rows: Vec<_> =
        rows.iter().map(|(name, end, value)| (name.map(String::from), *end, *value)).collect();
    rows.sort();
    rows
}

fn commit(path: &Path, version: u64) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path.join(format!("_delta_log/{version:020}.json"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Another program's commit at the next version, with a file of rows.
fn foreign_append(path: &Path, of: &[Row], transactions: Vec<Transaction>) {
    let found = open::load(Disk::default(), path, "other", OutputMode::Append).unwrap();
    let schema = found.schema.clone();
    let part = schema::conform(&rows(of), &schema).unwrap();
    let add = parquet::write(
        Disk::default(),
        path,
        &parquet::Name { batch: 0, tag: "other" },
        &schema,
        &[part],
    )
    .unwrap();
    let mut lines = vec![serde_json::json!({ "add": add }).to_string()];
    lines.extend(transactions.iter().map(|txn| serde_json::json!({ "txn": txn }).to_string()));
    let mut log = found.log;
    assert!(log.put(lines.join("\n").as_bytes()).unwrap());
}

const A: Row = (Some("a"), 60_000, 1);
const B: Row = (Some("b"), 60_000, 2);
const NULL: Row = (None, 60_000, 3);

#[test]
fn append_keeps_every_row_and_a_repeated_batch_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/a b#c%ü");
    let mut sink = open_sink(&path, OutputMode::Append);
    assert_eq!(sink.newest_batch().unwrap(), None);
    sink.write(&batch(0, &[A], None)).unwrap();
    sink.write(&batch(1, &[A, B], None)).unwrap();
    sink.write(&batch(1, &[A, B], None)).unwrap();

    let mut again = open_sink(&path, OutputMode::Append);
    assert_eq!(again.newest_batch().unwrap(), Some(1));
    assert_eq!(again.table_id(), sink.table_id());
    again.write(&batch(1, &[A, B], None)).unwrap();
    again.write(&batch(2, &[NULL], None)).unwrap();
    assert_eq!(content(&path), owned(&[A, A, B, NULL]));
    assert_eq!(again.version(), 3);
}

#[test]
fn a_batch_without_rows_is_a_commit_of_its_transaction_alone() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [OutputMode::Append, OutputMode::Complete, OutputMode::Update] {
        let path = folder.path().join(mode.to_string());
        let mut sink = open_sink(&path, mode);
        sink.write(&batch(0, &[], None)).unwrap();
        let actions = commit(&path, 1);
        assert_eq!(actions.len(), 2, "{actions:?}");
        assert_eq!(actions[0]["commitInfo"]["operation"], "STREAMING UPDATE");
        assert_eq!(actions[0]["commitInfo"]["operationParameters"]["epochId"], "0");
        assert_eq!(actions[1]["txn"], serde_json::json!({"appId": "query", "version": 0}));
        assert_eq!(open_sink(&path, mode).newest_batch().unwrap(), Some(0));
    }
}

#[test]
fn complete_replaces_the_whole_table_in_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open_sink(folder.path(), OutputMode::Complete);
    sink.write(&batch(0, &[A, B], None)).unwrap();
    sink.write(&batch(1, &[NULL], None)).unwrap();
    assert_eq!(content(folder.path()), owned(&[NULL]));
    let mut again = open_sink(folder.path(), OutputMode::Complete);
    again.write(&batch(2, &[B], None)).unwrap();
    assert_eq!(content(folder.path()), owned(&[B]));
    again.write(&batch(3, &[], None)).unwrap();
    assert_eq!(content(folder.path()), vec![]);
}

#[test]
fn update_replaces_by_key_and_null_is_a_key_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open_sink(folder.path(), OutputMode::Update);
    sink.write(&batch(0, &[A, NULL, B], None)).unwrap();
    let newer = [(None, 60_000, 30), (Some("a"), 60_000, 10), (Some("a"), 60_000, 11)];
    sink.write(&batch(1, &newer, None)).unwrap();
    let expected = owned(&[(Some("a"), 60_000, 11), B, (None, 60_000, 30)]);
    assert_eq!(content(folder.path()), expected);
    assert_eq!(live_files(folder.path()).len(), 1);
}

#[test]
fn an_update_after_a_restart_finds_the_rows_of_before() {
    let folder = tempfile::tempdir().unwrap();
    open_sink(folder.path(), OutputMode::Update).write(&batch(0, &[A, B], Some(0))).unwrap();
    // This watermark seals the very row that the batch still brings.
    let late = batch(1, &[(Some("a"), 60_000, 10)], Some(60_000));
    open_sink(folder.path(), OutputMode::Update).write(&late).unwrap();
    assert_eq!(content(folder.path()), owned(&[(Some("a"), 60_000, 10), B]));
}

#[test]
fn the_files_of_a_long_run_are_as_few_as_its_rows_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open_sink(folder.path(), OutputMode::Update);
    set_chunk(&mut sink, 16);
    for id in 0..200_u64 {
        // Two rows a window, a new window every second batch; each window is written twice.
        let end = (id as i64 / 2) * 1000;
        let of = [(Some("a"), end, id as i64), (Some("b"), end, id as i64)];
        sink.write(&batch(id, &of, Some(end - 1000))).unwrap();
    }
    let rows = content(folder.path()).len();
    assert_eq!(rows, 200);
    assert!(live_files(folder.path()).len() <= rows / 8 + 1);
    let Content::Update(upsert) = &sink.content else { panic!("not update mode") };
    assert!(upsert.index_size() < 100, "sealed rows are forgotten");
    let removed =
        |version| commit(folder.path(), version).iter().filter(|a| a["remove"].is_object()).count();
    assert!((1..=200).all(|version| removed(version) <= 2), "a batch rewrites a file or two");
}

#[test]
fn another_writers_append_in_between_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [OutputMode::Append, OutputMode::Complete, OutputMode::Update] {
        let path = folder.path().join(mode.to_string());
        let mut sink = open_sink(&path, mode);
        sink.write(&batch(0, &[A], None)).unwrap();
        foreign_append(&path, &[B], vec![]);
        foreign_append(&path, &[NULL], vec![]);
        sink.write(&batch(1, &[(Some("b"), 60_000, 20)], None)).unwrap();
        let expected: &[Row] = match mode {
            OutputMode::Append => &[A, B, NULL, (Some("b"), 60_000, 20)],
            OutputMode::Complete => &[(Some("b"), 60_000, 20)],
            OutputMode::Update => &[A, NULL, (Some("b"), 60_000, 20)],
        };
        assert_eq!(content(&path), owned(expected), "{mode}");
        assert_eq!(sink.version(), 4);
    }
}

#[test]
fn another_process_under_the_same_name_stops_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open_sink(folder.path(), OutputMode::Append);
    open_sink(folder.path(), OutputMode::Append).write(&batch(0, &[A], None)).unwrap();
    let error = sink.write(&batch(0, &[A], None)).unwrap_err();
    assert_eq!((error.condition(), error.exit_code()), ("SINK_CONFLICT", 13));
    // The next start sees what is there.
    let mut sink = open_sink(folder.path(), OutputMode::Append);
    sink.write(&batch(0, &[A], None)).unwrap();
    assert_eq!(content(folder.path()), owned(&[A]));
}

/// Opens the sink as a query that remembers this.
fn open_expecting(path: &Path, expected: Expected) -> Result<DeltaSink> {
    DeltaSink::open(DeltaSinkOptions { expected, ..options(path, OutputMode::Append) })
}

fn refused(opened: Result<DeltaSink>) -> (String, u8) {
    let error = opened.err().expect("it is refused");
    (error.condition().to_owned(), error.exit_code())
}

fn log_file(path: &Path, version: u64) -> PathBuf {
    path.join(format!("_delta_log/{version:020}.json"))
}

#[test]
fn another_table_or_none_where_the_querys_table_was_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let mut sink = open_sink(&path, OutputMode::Append);
    sink.write(&batch(0, &[A], None)).unwrap();
    let id = sink.table_id().map(str::to_owned);
    let expected = Expected { id, committed: Some(0), accepted: None };
    assert!(open_expecting(&path, expected.clone()).is_ok());
    fs::rename(&path, folder.path().join("away")).unwrap();
    assert_eq!(refused(open_expecting(&path, expected.clone())), ("SINK_BEHIND".into(), 13));
    assert!(!path.exists(), "a refusal makes nothing");
    // Nothing was done yet: a new table is as good.
    let undone = Expected { committed: None, ..expected.clone() };
    assert!(open_expecting(&path, undone).is_ok());
    assert_eq!(refused(open_expecting(&path, expected.clone())), ("SINK_OTHER_TABLE".into(), 13));
    let accepted = Some(Accepted { version: 0, batch: Some(0) });
    let mut sink = open_expecting(&path, Expected { id: None, accepted, ..expected }).unwrap();
    sink.write(&batch(0, &[A], None)).unwrap();
    sink.write(&batch(1, &[B], None)).unwrap();
    assert_eq!(content(&path), owned(&[B]), "what counts as written is not written");
}

#[test]
fn a_table_that_was_restored_to_an_older_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut sink = open_sink(path, OutputMode::Append);
    sink.write(&batch(0, &[A], None)).unwrap();
    let restore = "{\"commitInfo\":{\"operation\":\"RESTORE\"}}\n";
    fs::write(log_file(path, 2), restore).unwrap();
    let error = sink.write(&batch(1, &[B], None)).unwrap_err();
    assert_eq!((error.condition(), error.exit_code()), ("SINK_REWOUND", 13));
    let expected = Expected { committed: Some(0), ..Expected::default() };
    assert_eq!(refused(open_expecting(path, expected.clone())), ("SINK_REWOUND".into(), 13));
    let accepted = Some(Accepted { version: 2, batch: Some(0) });
    let mut sink = open_expecting(path, Expected { accepted, ..expected }).unwrap();
    sink.write(&batch(1, &[B], None)).unwrap();
}

#[test]
fn a_batch_that_is_run_again_must_give_what_the_table_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for mode in [OutputMode::Append, OutputMode::Complete, OutputMode::Update] {
        let path = path.join(mode.to_string());
        open_sink(&path, mode).write(&batch(0, &[A, B], None)).unwrap();
        // The order of the rows and how they are cut is nobody's promise.
        let again = OutputBatch { rows: vec![rows(&[B]), rows(&[A])], ..batch(0, &[], None) };
        open_sink(&path, mode).write(&again).unwrap();
        for other in [&[A][..], &[A, (Some("b"), 60_000, 20)]] {
            let error = open_sink(&path, mode).write(&batch(0, other, None)).unwrap_err();
            assert_eq!((error.condition(), error.exit_code()), ("BATCH_CHANGED", 14));
        }
        let lots = DeltaSinkOptions { is_repeatable: false, ..options(&path, mode) };
        DeltaSink::open(lots).unwrap().write(&batch(0, &[A], None)).unwrap();
        assert_eq!(content(&path), owned(&[A, B]));
    }
}

#[test]
fn a_commit_without_a_digest_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    open_sink(folder.path(), OutputMode::Append).write(&batch(0, &[A], None)).unwrap();
    let path = log_file(folder.path(), 1);
    let text = fs::read_to_string(&path).unwrap();
    let (before, after) = text.split_once("\"outputDigest\":\"").unwrap();
    fs::write(&path, format!("{before}{}", after.split_once("\",").unwrap().1)).unwrap();
    open_sink(folder.path(), OutputMode::Append).write(&batch(0, &[B], None)).unwrap();
}

#[test]
fn files_that_a_vacuum_took_before_the_commit_are_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for mode in [OutputMode::Append, OutputMode::Update] {
        let path = path.join(mode.to_string());
        let mut sink = open_sink(&path, mode);
        let of = [rows(&[A])].map(|part| schema::conform(&part, &sink.schema).unwrap());
        let plan = sink.plan(&batch(0, &[A], None), &of).unwrap();
        assert!(sink.is_there(&plan));
        fs::remove_file(path.join(&plan.added[0].path)).unwrap();
        assert!(!sink.is_there(&plan));
        sink.write(&batch(0, &[A], None)).unwrap();
        assert_eq!(content(&path), owned(&[A]));
    }
}

#[test]
fn what_dead_tries_have_left_goes_once_the_batch_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut sink = open_sink(path, OutputMode::Append);
    sink.write(&batch(0, &[A], None)).unwrap();
    let of = [schema::conform(&rows(&[B]), &sink.schema).unwrap()];
    let dead = sink.plan(&batch(1, &[B], None), &of).unwrap().added[0].path.clone();
    drop(sink);
    let hidden = path.join(format!(".{dead}.1-1.tmp"));
    fs::write(&hidden, b"half").unwrap();
    let mut sink = open_sink(path, OutputMode::Append);
    assert!(!hidden.exists());
    assert!(
        path.join(&dead).exists(),
        "nothing is removed before it is sure that no version names it"
    );
    sink.write(&batch(1, &[B], None)).unwrap();
    assert!(!path.join(&dead).exists());
    assert_eq!(content(path), owned(&[A, B]));
}

#[test]
fn two_writers_that_create_at_once_share_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let ids: Vec<String> = std::thread::scope(|scope| {
        let open = || open_sink(&path, OutputMode::Append).table_id().map(str::to_owned).unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    assert!(!log_file(&path, 1).exists());
}

#[test]
fn an_empty_commit_anywhere_in_the_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for torn in 0..=3 {
        for content in ["", "\n", "{\"commitInfo\":{", "null and void\n"] {
            let path = folder.path().join(format!("{torn}-{}", content.len()));
            let mut sink = open_sink(&path, OutputMode::Append);
            (0..3).for_each(|id| sink.write(&batch(id, &[A], None)).unwrap());
            drop(sink);
            fs::write(log_file(&path, torn), content).unwrap();
            let opened = DeltaSink::open(options(&path, OutputMode::Append));
            assert_eq!(refused(opened), ("DELTA_LOG_TORN".into(), 13), "{torn} {content:?}");
        }
    }
    let path = folder.path().join("2-0");
    fs::remove_file(log_file(&path, 2)).unwrap();
    let opened = DeltaSink::open(options(&path, OutputMode::Append));
    assert_eq!(refused(opened), ("DELTA_LOG_TORN".into(), 13), "a gap");
}

#[test]
fn a_torn_delta_checkpoint_is_set_aside_and_the_table_opens_from_its_commits() {
    type Damage = dyn Fn(&Path, &Path);
    let damages: [&Damage; 5] = [
        &|parquet, _| fs::write(parquet, b"").unwrap(),
        &|parquet, _| {
            // The end is there, the middle is not: what a power cut can leave of a file not synced.
            let mut bytes = fs::read(parquet).unwrap();
            let end = bytes.len() - 8;
            bytes[..end].fill(0);
            fs::write(parquet, bytes).unwrap();
        },
        &|parquet, _| fs::remove_file(parquet).unwrap(),
        &|_, hint| fs::write(hint, b"").unwrap(),
        &|_, hint| fs::remove_file(hint).unwrap(),
    ];
    for (number, damage) in damages.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = open_sink(folder.path(), OutputMode::Update);
        (0..101).for_each(|id| sink.write(&batch(id, &[A, B], None)).unwrap());
        assert!(sink.finish_checkpoint().is_none());
        drop(sink);
        let log = folder.path().join("_delta_log");
        damage(&tail::checkpoint_path(folder.path(), 100), &log.join("_last_checkpoint"));
        let mut sink = open_sink(folder.path(), OutputMode::Update);
        assert_eq!(sink.newest_batch().unwrap(), Some(100), "{number}");
        sink.write(&batch(101, &[NULL], None)).unwrap();
        assert_eq!(content(folder.path()), owned(&[A, B, NULL]), "{number}");
    }
}

#[test]
fn a_changed_schema_stops_the_query_and_names_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open_sink(folder.path(), OutputMode::Append);
    let log = folder.path().join("_delta_log");
    fs::copy(log.join(format!("{:020}.json", 0)), log.join(format!("{:020}.json", 1))).unwrap();
    let error = sink.write(&batch(0, &[A], None)).unwrap_err();
    assert_eq!(error.condition(), "DELTA_PROTOCOL_CHANGED");
    assert!(error.message().contains("version 1"), "{error}");
    assert!(sink.write(&batch(0, &[A], None)).is_err(), "it stays so");
}

#[test]
fn a_table_that_went_away_is_not_committed_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let mut sink = open_sink(&path, OutputMode::Append);
    sink.write(&batch(0, &[A], None)).unwrap();
    fs::remove_dir_all(&path).unwrap();
    let _new = open_sink(&path, OutputMode::Append);
    let error = sink.write(&batch(1, &[B], None)).unwrap_err();
    assert_eq!(error.condition(), "DELTA_TABLE_REPLACED");
    assert_eq!(content(&path), vec![]);
}

#[test]
fn a_torn_commit_is_named_and_not_read_past() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open_sink(folder.path(), OutputMode::Append);
    sink.write(&batch(0, &[A], None)).unwrap();
    fs::write(log_file(folder.path(), 2), b"").unwrap();
    let error = sink.write(&batch(1, &[B], None)).unwrap_err();
    assert_eq!(error.condition(), "DELTA_LOG_TORN");
    let error = DeltaSink::open(options(folder.path(), OutputMode::Append)).err().unwrap();
    assert_eq!(error.condition(), "DELTA_LOG_TORN");
}

#[test]
fn a_write_that_failed_leaves_nothing_and_can_be_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open_sink(folder.path(), OutputMode::Update);
    sink.write(&batch(0, &[A], None)).unwrap();
    // The log's folder is away: the data file can be written, the commit cannot.
    let (log, away) = (folder.path().join("_delta_log"), folder.path().join("away"));
    fs::rename(&log, &away).unwrap();
    assert!(sink.write(&batch(1, &[B], None)).is_err());
    fs::rename(&away, &log).unwrap();
    sink.write(&batch(1, &[B], None)).unwrap();
    assert_eq!(content(folder.path()), owned(&[A, B]));
}

#[test]
fn a_folder_that_deltalake_cannot_find_again_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = DeltaSink::open(options(&folder.path().join("a%20b"), OutputMode::Append));
    assert_eq!(error.err().unwrap().condition(), "DELTA_UNSUPPORTED_PATH");
}

#[test]
fn a_table_of_another_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open_sink(folder.path(), OutputMode::Append);
    let mut other = options(folder.path(), OutputMode::Append);
    other.schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
    let error = DeltaSink::open(other).err().unwrap();
    assert_eq!(error.condition(), "DELTA_SCHEMA_MISMATCH");
}

#[test]
fn a_checkpoint_is_written_beside_the_commits_and_the_table_reads_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open_sink(folder.path(), OutputMode::Update);
    for id in 0..120 {
        sink.write(&batch(id, &[(Some("a"), 60_000, id as i64), B], None)).unwrap();
    }
    assert!(sink.finish_checkpoint().is_none());
    let log = folder.path().join("_delta_log");
    assert!(log.join(format!("{:020}.checkpoint.parquet", 100)).exists());
    for version in 0..100 {
        fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let mut again = open_sink(folder.path(), OutputMode::Update);
    assert_eq!(again.newest_batch().unwrap(), Some(119));
    again.write(&batch(120, &[A], None)).unwrap();
    assert_eq!(content(folder.path()), owned(&[A, B]));
}

#[test]
fn a_checkpoint_that_cannot_be_written_costs_no_batch() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open_sink(folder.path(), OutputMode::Append);
    // A folder where the hint is to be.
    fs::create_dir_all(folder.path().join("_delta_log/_last_checkpoint/x")).unwrap();
    (0..101).for_each(|id| sink.write(&batch(id, &[A], None)).unwrap());
    assert!(sink.finish_checkpoint().is_some());
    fs::remove_dir_all(folder.path().join("_delta_log/_last_checkpoint")).unwrap();
    let mut sink = open_sink(folder.path(), OutputMode::Append);
    assert_eq!(sink.newest_batch().unwrap(), Some(100));
    assert_eq!(content(folder.path()).len(), 101);
}

#[test]
fn a_sink_opens_inside_an_async_runtime() {
    let folder = tempfile::tempdir().unwrap();
    open_sink(folder.path(), OutputMode::Append).write(&batch(0, &[A], None)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let newest = runtime.block_on(async { open_sink(folder.path(), OutputMode::Append).newest });
    assert_eq!(newest, Some(0));
}

#[test]
fn an_aggregation_of_everything_is_one_row() {
    let folder = tempfile::tempdir().unwrap();
    for restart in [false, true] {
        let mut options = options(&folder.path().join(restart.to_string()), OutputMode::Update);
        (options.keys, options.event_time) = (vec![], None);
        let path = options.path.clone();
        let mut sink = DeltaSink::open(options).unwrap();
        sink.write(&batch(0, &[A], None)).unwrap();
        if restart {
            sink = open_sink(&path, OutputMode::Update);
        }
        sink.write(&batch(1, &[(Some("a"), 60_000, 9)], None)).unwrap();
        assert_eq!(content(&path), owned(&[(Some("a"), 60_000, 9)]));
    }
}

#[test]
fn rows_of_a_batch_are_cut_into_files_without_losing_one() {
    let part = rows(&[A, B, NULL]);
    let sizes = |room| {
        let files = in_parts(&[part.clone(), part.clone()], room);
        files.iter().map(|f| f.iter().map(RecordBatch::num_rows).collect()).collect::<Vec<Vec<_>>>()
    };
    assert_eq!(sizes(100), [vec![3, 3]]);
    assert_eq!(sizes(4), [vec![3, 1], vec![2]]);
    assert_eq!(sizes(3), [vec![3], vec![3]]);
}

fn set_chunk(sink: &mut DeltaSink, rows: usize) {
    if let Content::Update(upsert) = &mut sink.content {
        upsert.set_chunk(rows);
    }
}

const NAMES: [Option<&str>; 4] = [Some("a"), Some("b"), Some("c"), None];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Batches of rows whose times are not yet sealed, restarts and foreign appends among them:
    /// the table holds what a map from key to newest row holds.
    #[test]
    fn any_batches_give_the_table_that_a_map_gives(
        steps in prop::collection::vec(
            (prop::collection::vec((0..4_usize, 0..6_i64), 0..12), 0..2_i64, 0..8_u8),
            1..24,
        ),
        has_watermark: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = open_sink(folder.path(), OutputMode::Update);
        set_chunk(&mut sink, 4);
        let mut map: HashMap<(Option<&str>, i64), i64> = HashMap::new();
        let mut foreign: BTreeMap<i64, i64> = BTreeMap::new();
        let mut watermark = 0;
        for (id, (keys, forward, event)) in steps.into_iter().enumerate() {
            // The rows of a batch lie after the watermark of the batch before.
            let of: Vec<Row> = keys
                .iter()
                .enumerate()
                .map(|(n, (name, time))| (NAMES[*name], watermark + 1 + time, (id * 100 + n) as i64))
                .collect();
            watermark += forward;
            let next = batch(id as u64, &of, has_watermark.then_some(watermark));
            match event {
                0 => {
                    sink = open_sink(folder.path(), OutputMode::Update);
                    set_chunk(&mut sink, 4);
                }
                1 => {
                    foreign_append(folder.path(), &[(Some("foreign"), id as i64, 0)], vec![]);
                    foreign.insert(id as i64, 0);
                }
                2 => sink.write(&next).unwrap(),
                _ => {}
            }
            sink.write(&next).unwrap();
            map.extend(of.iter().map(|(name, time, value)| ((*name, *time), *value)));
        }
        let mut expected: Vec<Row> =
            map.iter().map(|((name, time), value)| (*name, *time, *value)).collect();
        expected.extend(foreign.iter().map(|(time, value)| (Some("foreign"), *time, *value)));
        prop_assert_eq!(content(folder.path()), owned(&expected));
    }
}

/// A batch that comes a part at a time is the same batch: written once, found again, held to what it
/// gave.
#[test]
fn a_batch_may_come_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [OutputMode::Append, OutputMode::Complete] {
        let path = folder.path().join(mode.to_string());
        let row = |at: i64| (Some("a"), 1000 * at, at);
        let parts = |rows: std::ops::Range<i64>| {
            let rows: Vec<Row> = rows.map(row).collect();
            rows.chunks(3).map(|part| Ok(self::rows(part))).collect::<Vec<_>>().into_iter()
        };
        let all: Vec<Row> = (0..10).map(row).collect();
        let mut sink = open_sink(&path, mode);
        assert!(sink.takes_parts());
        sink.write_parts(0, &mut parts(0..10)).unwrap();
        sink.write_parts(0, &mut parts(0..10)).unwrap();
        assert_eq!((sink.version(), content(&path)), (1, owned(&all)));

        let mut again = open_sink(&path, mode);
        again.write_parts(0, &mut parts(0..10)).unwrap();
        let changed = again.write_parts(0, &mut parts(0..9)).unwrap_err();
        assert_eq!(changed.condition(), "BATCH_CHANGED");
        let failing = parts(10..12).chain([Err(Error::internal("no more"))]);
        assert!(again.write_parts(1, &mut failing.into_iter()).is_err());
        again.write_parts(1, &mut parts(10..12)).unwrap();
        let held = if mode == OutputMode::Append { 0..12 } else { 10..12 };
        let held: Vec<Row> = held.map(row).collect();
        assert_eq!((again.version(), content(&path)), (2, owned(&held)));
    }
    assert!(!open_sink(&folder.path().join("update"), OutputMode::Update).takes_parts());
}
