//! `docs/spark.md`: what is written in Spark, how often it was recorded, and whether this engine does the same.
//!
//! The page is made from the run of the recordings, so it cannot say more than what was seen. The
//! test compares it with the file; `UPDATE=1` writes the file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::Verdict;
use super::case::Case;

/// A construct and how to tell whether a case has it: by its SQL in lower case.
type Construct = (&'static str, &'static str, fn(&Case, &str) -> bool);

fn joins_streams(sql: &str) -> bool {
    sql.contains(" join ") && sql.matches("stream ").count() > 1
}

fn windows(sql: &str) -> impl Iterator<Item = usize> {
    let calls = sql.split("window(").zip(sql.split("window(").skip(1));
    // How many texts the call has: one is a size, two a size and a slide.
    calls
        .filter(|(before, _)| !before.ends_with("session_"))
        .map(|(_, call)| call.split(')').next().unwrap_or("").matches('\'').count() / 2)
}

/// The rows of the table, by heading.
const CONSTRUCTS: &[Construct] = &[
    ("Event time", "`STREAM t WATERMARK ts DELAY OF INTERVAL …`", |_, q| q.contains("watermark")),
    ("Event time", "several watermarks in one query", |_, q| q.matches("delay of").count() > 1),
    ("Event time", "`window(ts, size)`", |_, q| windows(q).any(|texts| texts == 1)),
    ("Event time", "`window(ts, size, slide[, start])`", |_, q| windows(q).any(|texts| texts > 1)),
    ("Event time", "`session_window(ts, gap)`", |_, q| q.contains("session_window(")),
    ("Event time", "`window_time(w)`", |_, q| q.contains("window_time(")),
    ("Grouping", "`GROUP BY`", |_, q| q.contains("group by")),
    ("Grouping", "`HAVING`", |_, q| q.contains("having")),
    ("Grouping", "aggregates with `FILTER`", |_, q| {
        q.contains("filter (") || q.contains("filter(")
    }),
    ("Grouping", "`DISTINCT`", |_, q| q.contains("distinct")),
    ("Grouping", "output mode append", |c, q| q.contains("group by") && c.mode == "append"),
    ("Grouping", "output mode update", |c, q| q.contains("group by") && c.mode == "update"),
    ("Grouping", "output mode complete", |c, _| c.mode == "complete"),
    ("Duplicates", "`dropDuplicates`: `DISTINCT ON (…)`", |c, _| op(c) == "dropDuplicates"),
    (
        "Duplicates",
        "`dropDuplicatesWithinWatermark`: `DISTINCT ON (…) WITHIN WATERMARK`",
        |c, _| op(c) == "dropDuplicatesWithinWatermark",
    ),
    ("Joins", "stream with stream, inner", |_, q| {
        joins_streams(q) && ![" left", " right", " full", " semi"].iter().any(|w| q.contains(w))
    }),
    ("Joins", "stream with stream, left outer", |_, q| {
        joins_streams(q) && q.contains(" left") && !q.contains(" semi")
    }),
    ("Joins", "stream with stream, right outer", |_, q| joins_streams(q) && q.contains(" right")),
    ("Joins", "stream with stream, full outer", |_, q| joins_streams(q) && q.contains(" full")),
    ("Joins", "stream with stream, left semi", |_, q| joins_streams(q) && q.contains(" semi")),
    ("Joins", "stream with a still table", |c, q| {
        q.contains(" join ") && !c.stills.is_empty() && !joins_streams(q)
    }),
    ("Queries", "`UNION ALL`", |_, q| q.contains("union")),
    ("Queries", "`WITH`, subqueries", |_, q| q.contains("(select") || q.starts_with("with ")),
    ("Queries", "`ORDER BY`", |_, q| q.contains("order by")),
    ("Queries", "`LIMIT`", |_, q| q.contains("limit ")),
    ("Queries", "several operators with memory in one query", |c, _| {
        c.expect.batches.iter().any(|batch| batch.state_ops.len() > 1)
    }),
    ("Queries", "no operator with memory", |c, _| {
        c.expect.error.is_none() && c.expect.batches.iter().all(|b| b.state_ops.is_empty())
    }),
    ("Queries", "queries that Spark refuses or that fail", |c, _| c.expect.error.is_some()),
    ("Reading", "options of the reader", |c, _| {
        c.tables.values().any(|table| !table.options.is_empty())
    }),
    ("Reading", "lines that are no row", |c, _| {
        c.tables.values().flat_map(|t| t.files.iter().flatten()).any(|line| line.is_string())
    }),
    ("Running", "`SET spark.sql.…`", |c, _| !c.conf.is_empty()),
    ("Running", "stopped and started again", |c, _| c.runs.is_some()),
    ("Running", "8 to 12 files of random rows, late ones among them", |c, _| {
        c.tables.values().any(|table| table.files.len() >= 8)
    }),
];

fn op(case: &Case) -> &str {
    case.dataframe.as_ref().map_or("", |frame| frame.op.as_str())
}

/// The page.
pub fn page(verdicts: &[Verdict], set_aside: &BTreeMap<&str, &str>) -> String {
    let agree = verdicts.iter().filter(|v| v.outcome.is_ok()).count();
    let mut page = format!(
        "# Spark's constructs and their answers here\n\n\
         Made by `cargo test` from the recordings of Spark in \
         [`tests/conformance`](../tests/conformance/README.md); not edited by hand. A case is a query\n\
         over files, with what Spark did in each batch: its rows, its watermark, what it dropped as late \
         and how many rows it\nkept. **{agree} of {} cases agree in all of that.**\n\n\
         | | construct | cases | agree | differ |\n|---|---|--:|--:|---|\n",
        verdicts.len()
    );
    let mut heading = "";
    for (under, construct, has) in CONSTRUCTS {
        let cases: Vec<&Verdict> = verdicts.iter().filter(|v| v.has(*has)).collect();
        let differ: Vec<&str> =
            cases.iter().filter(|v| v.outcome.is_err()).map(|v| v.name.as_str()).collect();
        let under = if heading == *under { "" } else { *under };
        heading = if under.is_empty() { heading } else { under };
        let agree = cases.len() - differ.len();
        let differ = if differ.is_empty() { String::new() } else { format!("{}", differ.len()) };
        writeln!(page, "| {under} | {construct} | {} | {agree} | {differ} |", cases.len()).unwrap();
    }
    let differ: Vec<_> = verdicts.iter().filter(|v| v.outcome.is_err()).collect();
    if !differ.is_empty() {
        page += "\n## What differs, and how\n\n| case | |\n|---|---|\n";
        for verdict in differ {
            let reason = set_aside.get(verdict.name.as_str()).unwrap_or(&"");
            writeln!(page, "| `{}` | {} |", verdict.name, reason.replace('|', "\\|")).unwrap();
        }
    }
    page
}

/// Compares the page with the file, or writes it.
pub fn hold(page: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/spark.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).map_err(|e| e.to_string())?;
        return std::fs::write(&path, page).map_err(|e| e.to_string());
    }
    match std::fs::read_to_string(&path) {
        Ok(held) if held == page => Ok(()),
        _ => Err("docs/spark.md is not what this run says: UPDATE=1 cargo test conformance".into()),
    }
}
