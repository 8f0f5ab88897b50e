//! What is said about each batch of a run.

use std::io::Write;

use super::ProgressFormat;
use crate::engine::query::StepReport;
use crate::sources::BadRecord;

/// How many bad lines of one batch are shown one by one.
const SHOWN: usize = 5;

/// Prints the report of one batch. A closed standard output is not an error of the run.
pub fn show(format: ProgressFormat, report: &StepReport) {
    let line = match format {
        ProgressFormat::Json => serde_json::to_string(&report.progress).unwrap_or_default(),
        ProgressFormat::Plain => plain(report),
    };
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    show_bad(&report.progress.name, &report.bad);
}

fn plain(report: &StepReport) -> String {
    let progress = &report.progress;
    let mut line = format!(
        "{}  {}  batch {}  {} rows in, {} out",
        &progress.timestamp[11..19.min(progress.timestamp.len())],
        progress.name,
        progress.batch_id,
        progress.num_input_rows,
        progress.sink.num_output_rows,
    );
    if let Some(watermark) = &progress.watermark {
        line.push_str(&format!("  watermark {}", readable(watermark)));
    }
    if !progress.state_operators.is_empty() {
        line.push_str(&format!("  state {}", progress.state_rows()));
    }
    let rows = &progress.rows;
    let rejected = [
        ("late", rows.late),
        ("duplicate", rows.duplicate),
        ("corrupt", rows.corrupt),
        ("mistyped", rows.cast_failed),
    ];
    for (name, count) in rejected.into_iter().filter(|(_, count)| *count > 0) {
        line.push_str(&format!("  {name} {count}"));
    }
    if let Some(raised) = &report.raised {
        line.push_str(&format!("  closing: {}", raised.because));
    }
    line.push_str(&format!("  {} ms", progress.batch_duration));
    line
}

/// A watermark without needless parts; one that nothing has moved yet is a dash.
fn readable(watermark: &str) -> String {
    match watermark.strip_suffix('Z') {
        Some("1970-01-01T00:00:00.000") => "-".into(),
        Some(text) => text.trim_end_matches(".000").replace('T', " "),
        None => watermark.to_string(),
    }
}

/// Names lines that are no rows, to standard error.
fn show_bad(query: &str, bad: &[BadRecord]) {
    let mut err = std::io::stderr().lock();
    for record in bad.iter().take(SHOWN) {
        let _ = writeln!(
            err,
            "warning: {query}: {}:{} is not a row: {}",
            record.file, record.line, record.reason
        );
    }
    if bad.len() > SHOWN {
        let _ = writeln!(err, "warning: {query}: and {} more such lines", bad.len() - SHOWN);
    }
}
