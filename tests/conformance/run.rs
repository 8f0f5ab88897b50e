//! Runs one case in a project folder of its own and says where it differs from Spark.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use strandline::durable::Disk;
use strandline::engine::pipeline::{Pipeline, Project};
use strandline::engine::query::StepReport;
use strandline::error::{Error, Kind};
use strandline::progress::StreamingQueryProgress;
use strandline::sinks::MemorySink;
use strandline::sources::Admit;
use strandline::time::ManualClock;

use super::case::{Batch, Case};
use super::json;

/// The modification time of a table's first file, in seconds since 1970; each later one is a second
/// younger.
const FIRST_FILE: u64 = 1_700_000_000;

/// The operators whose number of rows in state means the same here as in Spark.
const COUNTED: [&str; 5] = [
    "stateStoreSave",
    "sessionWindowStateStoreSaveExec",
    "dedupe",
    "dedupeWithinWatermark",
    "symmetricHashJoin",
];

/// How a run went: its batches, and what ended it.
struct Outcome {
    batches: Vec<StepReport>,
    failed: Option<(Stage, Error)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// While it was planned or opened.
    Start,
    /// In a batch.
    Run,
}

/// Runs a case. `Err` is the first difference.
pub fn run(case: &Case) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let project = Project {
        folder: folder.path().to_path_buf(),
        disk: Disk::default(),
        clock: Arc::new(ManualClock::at(FIRST_FILE as i64 * 1000)),
    };
    let outcome = outcome(case, &project, &pipeline(case)?).map_err(|e| e.to_string())?;
    compare(case, &outcome)
}

/// Runs the query as often as the case says, from the same checkpoint, into the same sink.
fn outcome(case: &Case, project: &Project, text: &str) -> std::io::Result<Outcome> {
    let sink = MemorySink::new();
    let mut outcome = Outcome { batches: vec![], failed: None };
    for (name, table) in &case.stills {
        write_files(
            &project.folder.join("still").join(name),
            std::slice::from_ref(&table.rows),
            0,
        )?;
    }
    let all = case.tables.values().map(|table| table.files.len()).max().unwrap_or(0);
    let mut before = 0;
    for upto in case.runs.clone().unwrap_or(vec![all]) {
        for (name, table) in &case.tables {
            let upto = upto.min(table.files.len());
            let new = &table.files[before.min(upto)..upto];
            write_files(&project.folder.join("input").join(name), new, before)?;
        }
        before = upto;
        if let Err(failed) = to_its_end(project, text, &sink, &mut outcome.batches) {
            outcome.failed = Some(failed);
            break;
        }
    }
    Ok(outcome)
}

/// One run with the trigger `available-now`.
fn to_its_end(
    project: &Project,
    text: &str,
    sink: &MemorySink,
    batches: &mut Vec<StepReport>,
) -> Result<(), (Stage, Error)> {
    let start = |e| (Stage::Start, e);
    let pipeline = Pipeline::plan(project, "case", text).map_err(start)?;
    let planned = &pipeline.queries[0];
    let sink = sink.clone();
    let mut query =
        pipeline.open_into(planned, Box::new(move |_| Ok(Box::new(sink)))).map_err(start)?;
    let run = |e| (Stage::Run, e);
    query.freeze().map_err(run)?;
    while let Some(report) = query.step(Admit::Limited).map_err(run)? {
        batches.push(report);
    }
    Ok(())
}

/// The case as the text of a pipeline.
fn pipeline(case: &Case) -> Result<String, String> {
    let (before, query) = case.sql()?;
    let mut text = String::new();
    for (key, value) in &case.conf {
        text += &format!("SET {key} = {value};\n");
    }
    for (name, table) in &case.tables {
        let mut options = table.options.clone();
        match table.max_files_per_trigger {
            Some(0) => {}
            files => drop(options.insert("maxFilesPerTrigger".into(), files.unwrap_or(1).into())),
        }
        text += &create_table(name, &table.ddl, &format!("input/{name}"), &options);
    }
    for (name, table) in &case.stills {
        text += &create_table(name, &table.ddl, &format!("still/{name}"), &table.options);
    }
    let mode = &case.mode;
    text += &before;
    text += &format!(
        "CREATE STREAMING TABLE result_of_case TBLPROPERTIES ('outputMode' = '{mode}') AS\n{query};\n"
    );
    Ok(text)
}

fn create_table<'a>(
    name: &str,
    ddl: &str,
    path: &str,
    options: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> String {
    let mut list = format!("'path' '{path}'");
    for (key, value) in options {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
        list += &format!(", '{key}' '{quoted}'");
    }
    format!("CREATE TABLE `{name}` ({ddl}) USING json OPTIONS ({list});\n")
}

fn write_files(folder: &Path, files: &[Vec<Value>], first: usize) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, lines) in (first..).zip(files) {
        let mut text = String::new();
        for line in lines {
            text += &line.as_str().map_or_else(|| line.to_string(), str::to_owned);
            text.push('\n');
        }
        let path = folder.join(format!("f{number:04}.json"));
        fs::write(&path, text)?;
        let modified = UNIX_EPOCH + Duration::from_secs(FIRST_FILE + number as u64);
        File::options().write(true).open(&path)?.set_modified(modified)?;
    }
    Ok(())
}

fn compare(case: &Case, outcome: &Outcome) -> Result<(), String> {
    let expect = &case.expect;
    for (want, got) in expect.batches.iter().zip(&outcome.batches) {
        compare_batch(want, got, case.ordered).map_err(|e| format!("batch {}: {e}", want.id))?;
    }
    let refused = match &outcome.failed {
        Some((_, error)) if error.kind() == Kind::Internal => return Err(error.to_string()),
        Some((stage, error)) => Some((*stage, error)),
        None => None,
    };
    match (&expect.error, refused) {
        (None, Some((_, error))) => return Err(format!("fails: {error}")),
        (Some(spark), None) => return Err(format!("does not fail; Spark: {spark}")),
        (Some(spark), Some((Stage::Run, error))) if expect.stage.as_deref() != Some("run") => {
            return Err(format!("fails only in a batch: {error}; Spark refuses to start: {spark}"));
        }
        (Some(spark), Some((Stage::Start, error))) if !expect.batches.is_empty() => {
            return Err(format!("refused: {error}; Spark fails in a later batch: {spark}"));
        }
        _ => {}
    }
    let (want, got) = (expect.batches.len(), outcome.batches.len());
    if want != got { Err(format!("{got} batches; Spark: {want}")) } else { Ok(()) }
}

fn compare_batch(want: &Batch, got: &StepReport, ordered: bool) -> Result<(), String> {
    let progress = &got.progress;
    differ("id", want.id, progress.batch_id)?;
    differ("no_data", want.no_data, no_data(progress))?;
    differ("watermark", want.watermark.as_deref(), progress.watermark.as_deref())?;
    compare_rows(&want.rows, json::rows(&got.rows), ordered)?;
    differ("dropped_by_watermark", want.dropped_by_watermark, progress.late_rows())?;
    let totals =
        |name: &str, total: u64| COUNTED.contains(&name).then(|| format!("{name} {total}"));
    let spark: Vec<String> =
        want.state_ops.iter().filter_map(|op| totals(&op.name, op.total)).collect();
    let ours = &progress.state_operators;
    let ours: Vec<String> =
        ours.iter().filter_map(|op| totals(&op.operator_name, op.num_rows_total)).collect();
    differ("rows in state", spark, ours)
}

fn differ<T: PartialEq + std::fmt::Debug>(what: &str, want: T, got: T) -> Result<(), String> {
    if want == got { Ok(()) } else { Err(format!("{what} {got:?}; Spark: {want:?}")) }
}

fn no_data(progress: &StreamingQueryProgress) -> bool {
    progress.sources.iter().all(|source| source.start_offset == source.end_offset)
}

fn compare_rows(want: &[Value], got: Vec<Value>, ordered: bool) -> Result<(), String> {
    let text = |rows: &[Value]| rows.iter().map(Value::to_string).collect::<Vec<_>>().join(" ");
    if ordered {
        let equal = want.len() == got.len() && want.iter().zip(&got).all(|(a, b)| same(a, b));
        return if equal {
            Ok(())
        } else {
            Err(format!("rows [{}]; Spark: [{}]", text(&got), text(want)))
        };
    }
    let mut extra = got;
    let mut missing = vec![];
    for row in want {
        match extra.iter().position(|other| same(row, other)) {
            Some(found) => drop(extra.swap_remove(found)),
            None => missing.push(row.clone()),
        }
    }
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    Err(format!("extra rows [{}]; only in Spark: [{}]", text(&extra), text(&missing)))
}

/// Equal but for the last digits of numbers.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_f64().unwrap_or(f64::NAN), y.as_f64().unwrap_or(f64::NAN));
            a == b || x == y || (x - y).abs() <= 1e-9 * x.abs().max(y.abs())
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, x)| y.get(k).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}
