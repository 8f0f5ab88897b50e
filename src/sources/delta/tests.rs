//! What a stream over a Delta table gives, commit by commit. The tables are written by hand: a log
//! is text, and a test says exactly what is in it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::parquet::arrow::ArrowWriter;

use super::*;

/// A table with the columns `id BIGINT` and `k STRING`, the second a partition column.
struct Table {
    project: tempfile::TempDir,
    next: Version,
}

impl Table {
    /// No table yet.
    fn absent() -> Self {
        Self { project: tempfile::tempdir().unwrap(), next: 0 }
    }

    /// A table without rows: version 0.
    fn new() -> Self {
        let mut table = Self::absent();
        table.create();
        table
    }

    fn create(&mut self) {
        fs::create_dir_all(self.folder().join("_delta_log")).unwrap();
        let protocol = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}});
        self.commit(&[protocol, metadata("long")]);
    }

    fn folder(&self) -> PathBuf {
        self.project.path().join("data/t")
    }

    fn commit(&mut self, actions: &[Value]) {
        let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
        let path = self.folder().join(format!("_delta_log/{:020}.json", self.next));
        fs::write(path, lines.join("\n") + "\n").unwrap();
        self.next += 1;
    }

    /// Writes a data file with these ids and gives the action that adds it.
    fn add(&self, ids: &[i64]) -> Value {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        let ids = Int64Array::from(ids.to_vec());
        let name = format!("k=a b/part {}.parquet", ids.value(0));
        let path = self.folder().join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(ids)]).unwrap();
        let mut writer =
            ArrowWriter::try_new(fs::File::create(&path).unwrap(), schema, None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let size = fs::metadata(&path).unwrap().len();
        json!({"add": {"path": name.replace(' ', "%20"), "size": size, "modificationTime": 1,
            "dataChange": true, "partitionValues": {"k": "a b"}}})
    }

    fn put(&mut self, ids: &[i64]) {
        let add = self.add(ids);
        self.commit(&[add]);
    }

    fn open(&self, options: &[(&str, &str)]) -> DeltaSource {
        let fields = [("id", DataType::Int64), ("k", DataType::Utf8)];
        let fields: Vec<_> = fields.map(|(name, t)| Field::new(name, t, true)).to_vec();
        let options: Vec<_> = options.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let schema = Arc::new(Schema::new(fields));
        DeltaSource::open(self.project.path(), "data/t", schema, &options).unwrap()
    }
}

fn metadata(id: &str) -> Value {
    let column =
        |name: &str, t: &str| json!({"name": name, "type": t, "nullable": true, "metadata": {}});
    let schema = json!({"type": "struct", "fields": [column("id", id), column("k", "string")]});
    json!({"metaData": {"id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9", "configuration": {},
        "format": {"provider": "parquet", "options": {}}, "schemaString": schema.to_string(),
        "partitionColumns": ["k"], "createdTime": 1}})
}

fn ids(read: &SourceRead) -> Vec<i64> {
    let ids = |b: &RecordBatch| b.column(0).as_primitive::<Int64Type>().values().to_vec();
    read.batches.iter().flat_map(ids).collect()
}

/// Decides and reads the next batch; nothing: no ids.
fn step(source: &mut DeltaSource) -> Vec<i64> {
    match source.next(Admit::Limited).unwrap() {
        Some(take) => {
            source.decided(&take).unwrap();
            ids(&source.read(&take).unwrap())
        }
        None => Vec::new(),
    }
}

#[test]
fn begins_with_the_table_as_it_is_and_goes_on_with_its_commits() {
    let mut table = Table::new();
    table.put(&[1, 2]);
    table.put(&[3]);
    let mut source = table.open(&[]);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    let from = json!({"version": 2, "index": 0, "snapshot": true});
    assert_eq!(take, json!({"from": from, "to": {"version": 3, "index": 0}}));
    assert_eq!(step(&mut source), [1, 2, 3]);
    assert!(step(&mut source).is_empty());
    table.put(&[4]);
    table.put(&[5]);
    assert_eq!(step(&mut source), [4, 5]);
}

#[test]
fn a_table_that_is_not_there_yet_gives_nothing_until_it_is() {
    let mut table = Table::absent();
    let mut source = table.open(&[]);
    assert!(step(&mut source).is_empty());
    table.create();
    assert!(step(&mut source).is_empty());
    table.put(&[1]);
    assert_eq!(step(&mut source), [1]);
}

#[test]
fn limits_cut_a_snapshot_and_a_commit_and_a_restart_goes_on_there() {
    let mut table = Table::new();
    let adds = [table.add(&[1]), table.add(&[2]), table.add(&[3])];
    table.commit(&adds);
    let mut source = table.open(&[("maxFilesPerTrigger", "2")]);
    let first = source.next(Admit::Limited).unwrap().unwrap();
    assert_eq!(ids(&source.read(&first).unwrap()), [1, 2]);
    table.put(&[4]);
    let mut source = table.open(&[("maxFilesPerTrigger", "2")]);
    source.decided(&first).unwrap();
    assert_eq!(step(&mut source), [3, 4]);
    let mut source = table.open(&[("maxBytesPerTrigger", "1")]);
    assert_eq!(step(&mut source), [1]);
    assert_eq!(ids(&source.read(&first).unwrap()), [1, 2]);
}

#[test]
fn partition_columns_and_the_projection_are_those_of_the_table() {
    let mut table = Table::new();
    table.put(&[1]);
    let mut source = table.open(&[]);
    Source::project(&mut source, &[1]).unwrap();
    let take = source.next(Admit::Limited).unwrap().unwrap();
    let batch = source.read(&take).unwrap().batches.remove(0);
    assert_eq!(batch.num_columns(), 1);
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "a b");
}

#[test]
fn a_commit_that_takes_rows_away_stops_the_stream_or_is_skipped_whole() {
    let mut table = Table::new();
    let (mut changing, mut skipping) =
        (table.open(&[]), table.open(&[("skipChangeCommits", "true")]));
    assert!(step(&mut changing).is_empty() && step(&mut skipping).is_empty());
    table.put(&[1]);
    let remove = json!({"remove": {"path": "x", "dataChange": true}});
    let add = table.add(&[2]);
    table.commit(&[remove.clone(), add]);
    table.put(&[3]);
    assert_eq!(step(&mut changing), [1]);
    let error = changing.next(Admit::Limited).unwrap_err();
    assert_eq!(error.condition(), "DELTA_SOURCE_TABLE_IGNORE_CHANGES");
    assert!(error.hint_text().unwrap().contains("skipChangeCommits"));
    assert_eq!(step(&mut skipping), [1, 3]);
    table.commit(&[remove]);
    let mut after = table.open(&[("startingVersion", "4")]);
    let error = after.next(Admit::Limited).unwrap_err();
    assert_eq!(error.condition(), "DELTA_SOURCE_IGNORE_DELETE");
}

#[test]
fn files_that_were_only_rewritten_are_no_news() {
    let mut table = Table::new();
    let mut source = table.open(&[("startingVersion", "latest")]);
    assert!(step(&mut source).is_empty());
    let mut add = table.add(&[1]);
    add["add"]["dataChange"] = false.into();
    table.commit(&[add, json!({"remove": {"path": "x", "dataChange": false}})]);
    table.put(&[2]);
    assert_eq!(step(&mut source), [2]);
}

#[test]
fn other_columns_stop_the_stream() {
    let mut table = Table::new();
    let mut source = table.open(&[]);
    assert!(step(&mut source).is_empty());
    table.commit(&[metadata("long")]);
    assert!(step(&mut source).is_empty());
    table.commit(&[metadata("string")]);
    let error = source.next(Admit::Limited).unwrap_err();
    assert_eq!(error.condition(), "DELTA_SCHEMA_CHANGED_WITH_VERSION");
}

#[test]
fn frozen_takes_no_later_version() {
    let mut table = Table::new();
    table.put(&[1]);
    let mut source = table.open(&[("maxFilesPerTrigger", "1")]);
    assert_eq!(step(&mut source), [1]);
    table.put(&[2]);
    source.freeze().unwrap();
    table.put(&[3]);
    assert_eq!(step(&mut source), [2]);
    assert!(step(&mut source).is_empty());
}

#[test]
fn a_log_that_was_cleaned_or_replaced_is_an_error() {
    let mut table = Table::new();
    table.put(&[1]);
    table.put(&[2]);
    table.put(&[3]);
    let at = |version: u64| {
        let place = json!({"version": version, "index": 0});
        json!({"from": place, "to": place})
    };
    fs::remove_file(table.folder().join("_delta_log/00000000000000000001.json")).unwrap();
    for (version, condition) in
        [(1, "DELTA_LOG_FILE_NOT_FOUND_FOR_STREAMING_SOURCE"), (9, "DELTA_TABLE_ID_MISMATCH")]
    {
        let mut source = table.open(&[]);
        source.decided(&at(version)).unwrap();
        assert_eq!(source.next(Admit::Limited).unwrap_err().condition(), condition);
    }
    let mut source = table.open(&[]);
    source.decided(&at(4)).unwrap();
    assert!(step(&mut source).is_empty());
}

#[test]
fn as_a_still_table_it_is_looked_up_anew_when_it_has_a_new_version() {
    let mut table = Table::new();
    table.put(&[1, 2]);
    let open = crate::sources::still::StillTable::open;
    let mut still = open(table.project.path(), "delta", "data/t", None, &[]).unwrap();
    assert_eq!(ids(&still.read().unwrap()), [1, 2]);
    assert!(!still.changed());
    table.put(&[3]);
    assert!(still.changed());
    assert_eq!(ids(&still.read().unwrap()), [1, 2, 3]);
    assert!(!still.changed());
}
