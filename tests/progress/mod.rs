//! The whole progress reports of real Spark, batch by batch, and ours of the same queries over the same
//! files.
//!
//! `spark.json` holds the files, the queries and what Spark reported; `record.py` wrote it. Every key
//! of Spark's is here, at the same place, except for those in [`NOT_HERE`]; what is here and not in
//! Spark is in [`NOT_IN_SPARK`]. Where a number means the same, it is the same.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use serde_json::Value;
use strandline::durable::Disk;
use strandline::engine::pipeline::{Pipeline, Project};
use strandline::sinks::MemorySink;
use strandline::sources::Admit;
use strandline::time::ManualClock;

/// Keys of Spark's that are missing here on purpose, and why.
const NOT_HERE: [(&str, &str); 10] = [
    ("stateOperators.customMetrics.forceSnapshotCount", "nothing forces a snapshot"),
    ("stateOperators.customMetrics.loadedMapCacheHitCount", "no cache of versions of the state"),
    ("stateOperators.customMetrics.loadedMapCacheMissCount", "no cache of versions of the state"),
    ("stateOperators.customMetrics.numSnapshotsAutoRepaired", "a batch reads no snapshot"),
    ("sources.startOffset.logOffset", "the names of the newest files stand in its place"),
    ("sources.endOffset.logOffset", "the names of the files stand in its place"),
    (
        "stateOperators.customMetrics.SnapshotLastUploaded.partition_0_left-keyToNumValues",
        "a side of a join has one table: ..._left",
    ),
    (
        "stateOperators.customMetrics.SnapshotLastUploaded.partition_0_left-keyWithIndexToValue",
        "a side of a join has one table: ..._left",
    ),
    (
        "stateOperators.customMetrics.SnapshotLastUploaded.partition_0_right-keyToNumValues",
        "a side of a join has one table: ..._right",
    ),
    (
        "stateOperators.customMetrics.SnapshotLastUploaded.partition_0_right-keyWithIndexToValue",
        "a side of a join has one table: ..._right",
    ),
];

/// Keys that only we have: each one, or all below it.
const NOT_IN_SPARK: [&str; 8] = [
    "rows",
    "watermark",
    "watermarks",
    "sources.numCorruptRows",
    "sources.startOffset",
    "sources.endOffset",
    "stateOperators.rows",
    "stateOperators.customMetrics.SnapshotLastUploaded",
];

/// Where the value is the same as Spark's.
const SAME: [&str; 14] = [
    "/name",
    "/batchId",
    "/numInputRows",
    "/eventTime",
    "/sources/0/numInputRows",
    "/sources/1/numInputRows",
    "/sources/0/latestOffset",
    "/sink/numOutputRows",
    "/stateOperators/0/operatorName",
    "/stateOperators/0/numRowsTotal",
    "/stateOperators/0/numRowsUpdated",
    "/stateOperators/0/numRowsRemoved",
    "/stateOperators/0/numRowsDroppedByWatermark",
    "/stateOperators/0/customMetrics/numDroppedDuplicateRows",
];

#[test]
fn every_key_of_spark_is_there_and_means_the_same() {
    let record = fs::read_to_string("tests/progress/spark.json").unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let mut missing = BTreeSet::new();
    for (name, query) in record["queries"].as_object().unwrap() {
        let (spark, ours) = (query["batches"].as_array().unwrap(), run(&record, name, query));
        assert_eq!(ours.len(), spark.len(), "{name}: batches");
        for (number, (spark, ours)) in spark.iter().zip(&ours).enumerate() {
            for place in SAME {
                let (theirs, own) = (spark.pointer(place), ours.pointer(place));
                assert_eq!(own, theirs, "{name}, batch {number}, {place}");
            }
            missing.extend(keys(spark).difference(&keys(ours)).cloned());
            for extra in keys(ours).difference(&keys(spark)) {
                let listed = NOT_IN_SPARK.iter().any(|prefix| extra.starts_with(prefix));
                assert!(listed, "{name}: {extra} is not in Spark");
            }
        }
    }
    let listed: BTreeSet<String> = NOT_HERE.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(missing, listed);
}

/// The reports of a query's batches, as JSON.
fn run(record: &Value, name: &str, query: &Value) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for (table, files) in record["files"].as_object().unwrap() {
        let input = folder.path().join("input").join(table);
        fs::create_dir_all(&input).unwrap();
        for (number, rows) in files.as_array().unwrap().iter().enumerate() {
            let rows: Vec<String> = rows.as_array().unwrap().iter().map(Value::to_string).collect();
            fs::write(input.join(format!("f{number}.json")), rows.join("\n")).unwrap();
        }
        let columns = record["columns"].as_str().unwrap();
        text += &format!(
            "CREATE TABLE {table} ({columns}) USING json \
             OPTIONS (path 'input/{table}', maxFilesPerTrigger 1);\n"
        );
    }
    let (mode, query) = (query["mode"].as_str().unwrap(), query["query"].as_str().unwrap());
    text += &format!(
        "CREATE STREAMING TABLE {name} TBLPROPERTIES ('outputMode' = '{mode}') AS\n{query};\n"
    );
    let project = Project {
        folder: folder.path().to_path_buf(),
        disk: Disk::default(),
        clock: Arc::new(ManualClock::at(1_800_000_000_000)),
    };
    let pipeline = Pipeline::plan(&project, "progress", &text).unwrap();
    let sink: MemorySink = MemorySink::new();
    let open = pipeline.open_into(&pipeline.queries[0], Box::new(move |_| Ok(Box::new(sink))));
    let mut query = open.unwrap();
    query.freeze().unwrap();
    let mut reports = vec![];
    while let Some(report) = query.step(Admit::Limited).unwrap() {
        reports.push(serde_json::to_value(&report.progress).unwrap());
    }
    reports
}

/// The places of all keys; the items of an array share theirs.
fn keys(value: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, place: &str, keys: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, inner) in fields {
                    let dot = if place.is_empty() { "" } else { "." };
                    let place = format!("{place}{dot}{name}");
                    collect(inner, &place, keys);
                    keys.insert(place);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, place, keys)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    collect(value, "", &mut all);
    all
}
