//! The rows of the tables of the schema `system`. What each column means stands in `docs/system-tables.md`.

use serde_json::{Value, json};

use super::Kind::{Flag, Number, Text, Time};
use super::{Observed, SystemTable};
use crate::checkpoint::progress;
use crate::engine::look::Look;
use crate::engine::look::stream::files_of;
use crate::engine::why::{kept, windows};
use crate::error::Result;
use crate::progress::StreamingQueryProgress;
use crate::sources::Taken;
use crate::sources::files::left_out::Rule;
use crate::time::iso_millis;

/// The tables.
pub const TABLES: [SystemTable; 5] = [
    SystemTable {
        name: "progress",
        columns: &[
            ("query", Text),
            ("batch_id", Number),
            ("timestamp", Time),
            ("run_id", Text),
            ("duration_ms", Number),
            ("input_rows", Number),
            ("output_rows", Number),
            ("contributed_rows", Number),
            ("filtered_rows", Number),
            ("late_rows", Number),
            ("duplicate_rows", Number),
            ("corrupt_rows", Number),
            ("cast_failed_rows", Number),
            ("state_rows", Number),
            ("state_bytes", Number),
            ("watermark", Time),
            ("min_event_time", Time),
            ("max_event_time", Time),
            ("progress", Text),
        ],
    },
    SystemTable {
        name: "windows",
        columns: &[
            ("query", Text),
            ("operator", Number),
            ("what", Text),
            ("time", Time),
            ("rows", Number),
            ("closes_at", Time),
            ("waits_for", Text),
        ],
    },
    SystemTable {
        name: "watermarks",
        columns: &[
            ("query", Text),
            ("column", Text),
            ("source", Text),
            ("delay_ms", Number),
            ("newest_event_time", Time),
            ("watermark", Time),
            ("query_watermark", Time),
            ("since_batch", Number),
            ("holds_back", Flag),
            ("last_batch_with_rows", Number),
            ("rows", Number),
            ("null_rows", Number),
        ],
    },
    SystemTable {
        name: "state",
        columns: &[
            ("query", Text),
            ("operator", Number),
            ("name", Text),
            ("table", Text),
            ("rows", Number),
            ("bytes", Number),
            ("rows_for_ever", Number),
            ("oldest", Time),
            ("newest", Time),
            ("first_freed_at", Time),
            ("last_freed_at", Time),
            ("first_readable_batch", Number),
            ("last_readable_batch", Number),
        ],
    },
    SystemTable {
        name: "files",
        columns: &[
            ("query", Text),
            ("source", Text),
            ("file", Text),
            ("status", Text),
            ("batch_id", Number),
            ("bytes", Number),
            ("modified", Time),
            ("reason", Text),
        ],
    },
];

/// The rows of the table of this name.
pub fn of(observed: &Observed, table: &str) -> Result<Vec<Value>> {
    if table == "progress" {
        return reported(observed);
    }
    let pipeline = observed.pipeline(&format!("system.{table}"))?;
    let mut rows = vec![];
    for query in &pipeline.queries {
        let look = pipeline.look(query)?;
        match table {
            "windows" => rows.extend(open(&look)?),
            "watermarks" => rows.extend(watermarks(&look)),
            "state" => rows.extend(state(&look)?),
            _ => rows.extend(files(&look)),
        }
    }
    Ok(rows)
}

/// The reports of all queries of the project, whichever pipeline they stand in.
fn reported(observed: &Observed) -> Result<Vec<Value>> {
    let checkpoints = observed.project.folder.join("checkpoints");
    let mut names = crate::durable::names(&checkpoints)?;
    names.sort();
    let mut rows = vec![];
    for name in names {
        rows.extend(
            progress::read(&checkpoints.join(&name))?.iter().map(|report| batch(&name, report)),
        );
    }
    Ok(rows)
}

fn batch(query: &str, report: &StreamingQueryProgress) -> Value {
    let bytes: u64 = report.state_operators.iter().map(|o| o.memory_used_bytes).sum();
    json!({
        "query": query,
        "batch_id": report.batch_id,
        "timestamp": report.timestamp,
        "run_id": report.run_id,
        "duration_ms": report.batch_duration,
        "input_rows": report.num_input_rows,
        "output_rows": report.sink.num_output_rows,
        "contributed_rows": report.rows.contributed,
        "filtered_rows": report.rows.filtered,
        "late_rows": report.rows.late,
        "duplicate_rows": report.rows.duplicate,
        "corrupt_rows": report.rows.corrupt,
        "cast_failed_rows": report.rows.cast_failed,
        "state_rows": report.state_rows(),
        "state_bytes": bytes,
        "watermark": report.watermark,
        "min_event_time": report.event_time.get("min"),
        "max_event_time": report.event_time.get("max"),
        "progress": serde_json::to_string(report).unwrap_or_default(),
    })
}

fn open(look: &Look) -> Result<Vec<Value>> {
    let row = |open: windows::Open| {
        json!({
            "query": look.name,
            "operator": open.operator,
            "what": open.what,
            "time": iso_millis(open.time_us.div_euclid(1000)),
            "rows": open.rows,
            "closes_at": open.closes_at,
            "waits_for": open.waits_for,
        })
    };
    Ok(windows::open(look)?.into_iter().map(row).collect())
}

fn watermarks(look: &Look) -> Vec<Value> {
    let marks = look.marks();
    let holder = look.holder(&marks);
    let since = look.watermark_since().map(|(batch, _)| batch);
    let mark = |(number, mark): (usize, &crate::engine::look::marks::MarkLook)| {
        let places = mark.streams.iter().map(|at| look.streams[*at].place.clone());
        json!({
            "query": look.name,
            "column": mark.column,
            "source": places.collect::<Vec<_>>().join(", "),
            "delay_ms": mark.delay_ms,
            "newest_event_time": mark.newest_ms.map(iso_millis),
            "watermark": mark.watermark_ms.map(iso_millis),
            "query_watermark": look.past.done().map(|_| iso_millis(look.watermark_ms())),
            "since_batch": since,
            "holds_back": marks.len() == 1 || holder == Some(number),
            "last_batch_with_rows": mark.last_rows,
            "rows": mark.rows,
            "null_rows": mark.null_rows,
        })
    };
    marks.iter().enumerate().map(mark).collect()
}

fn state(look: &Look) -> Result<Vec<Value>> {
    let row = |table: kept::KeptTable| {
        let newest = table.readable_batches.last().copied();
        json!({
            "query": look.name,
            "operator": table.operator,
            "name": table.name,
            "table": table.table,
            "rows": table.rows,
            "bytes": table.bytes,
            "rows_for_ever": table.rows_for_ever,
            "oldest": table.oldest,
            "newest": table.newest,
            "first_freed_at": table.first_freed_at,
            "last_freed_at": table.last_freed_at,
            "first_readable_batch": newest.map(|(from, _)| from),
            "last_readable_batch": newest.map(|(_, to)| to),
        })
    };
    Ok(kept::kept(look)?.into_iter().map(row).collect())
}

fn files(look: &Look) -> Vec<Value> {
    let mut rows = vec![];
    for stream in &look.streams {
        let row = |file: &Taken, status: &str, batch: Option<u64>| {
            json!({
                "query": look.name,
                "source": stream.place,
                "file": file.path.display().to_string(),
                "status": status,
                "batch_id": batch,
                "bytes": file.size,
                "modified": iso_millis(file.mtime),
                "reason": Value::Null,
            })
        };
        let done = look.past.done();
        for (batch, take) in &stream.takes {
            let status = if Some(*batch) <= done { "taken" } else { "in a batch under way" };
            rows.extend(files_of(take).iter().map(|file| row(file, status, Some(*batch))));
        }
        rows.extend(stream.waiting_files().iter().map(|file| row(file, "waiting", None)));
        rows.extend(stream.left_out.iter().map(|file| {
            let reason = match &file.rule {
                Rule::Hidden => "its name is hidden".to_owned(),
                Rule::Filter(glob) => format!("pathGlobFilter '{glob}' does not match"),
                Rule::Path => "the path of the table does not match".to_owned(),
                Rule::SubFolder => "it lies in a sub-folder".to_owned(),
                Rule::NoFile(what) => format!("it is {what}"),
            };
            json!({
                "query": look.name,
                "source": stream.place,
                "file": file.file.display().to_string(),
                "status": "left out",
                "reason": reason,
            })
        }));
    }
    rows
}
