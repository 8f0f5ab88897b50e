//! Scripts that read like claims: what is done, `---`, what must come of it.
//!
//! ```text
//! # The claim, in a sentence.
//! pipeline
//!   CREATE TABLE ev (ts TIMESTAMP) USING json OPTIONS (path 'input/ev', maxFilesPerTrigger '1');
//!   CREATE STREAMING TABLE counts AS SELECT …
//! ---
//! ok
//!
//! add ev
//!   {"ts":"12:01"}
//! step
//! ---
//! batch 0: read 1, late 0, watermark - → 12:01, state 1
//!   w=[12:00, 12:05) n=1
//! ```
//!
//! Every script plays on 2026-01-01 in UTC, and that day is left out: `"12:01"` in an added line is
//! `"2026-01-01T12:01:00Z"`. The clock stands at 13:00. Rows are sorted, as a batch has no order.
//! The verbs are those of [`Script::run`] and [`Script::happen`]. `UPDATE=1 cargo test golden` writes what came of each
//! script into it; a person reads the diff.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;
use strandline::engine::query::StepReport;
use strandline::error::Result;
use strandline::time::iso_millis;

use crate::world::{Output, World, json as objects};

/// One test a folder, so that they run side by side and the failing one has a name.
macro_rules! areas {
    ($($area:ident)*) => {
        const AREAS: &[&str] = &[$(stringify!($area)),*];
        $(#[test]
        fn $area() {
            run_area(stringify!($area));
        })*
    };
}

areas! {
    functions expressions stateless window session watermark aggregate duplicates limit join views
    source json csv restart sinks errors rejected
}

#[test]
fn every_folder_of_scripts_is_run() {
    for entry in fs::read_dir(golden()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(AREAS.contains(&name.as_str()), "add `{name}` to the list of areas in golden.rs");
    }
}

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn run_area(area: &str) {
    let mut failed = String::new();
    let mut paths: Vec<_> =
        fs::read_dir(golden().join(area)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "test")) {
        let text = fs::read_to_string(path).unwrap();
        let came = Script::new().play(&text);
        if came == text {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(path, came).unwrap();
        } else {
            let shown = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display();
            let _ = writeln!(failed, "\n{shown}\n{}", first_difference(&text, &came));
        }
    }
    assert!(failed.is_empty(), "{failed}\nIf what came is right: UPDATE=1 cargo test golden");
}

/// The claim, and the first line that differs.
fn first_difference(expected: &str, came: &str) -> String {
    let claim = expected.lines().next().unwrap_or_default();
    let (mut expected, mut came) = (expected.lines(), came.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (expected.next(), came.next()) {
            (a, b) if a != b => {
                let rest: Vec<&str> = came.take_while(|line| !line.is_empty()).take(8).collect();
                let show = |line: Option<&str>| line.unwrap_or("(the end)").to_string();
                let (a, b) = (show(a), show(b));
                return format!(
                    "{claim}\nline {number}\n  expected  {a}\n  came      {b}\n{}",
                    rest.join("\n")
                );
            }
            (None, None) => return format!("{claim}\nthe two differ in line ends"),
            _ => {}
        }
    }
}

/// A script while it plays.
struct Script {
    world: World,
    into: Output,
}

impl Script {
    fn new() -> Self {
        Script { world: World::new(), into: Output::Memory }
    }

    /// Plays a whole script; gives the text that it would have if it were right.
    fn play(mut self, text: &str) -> String {
        let mut came = String::new();
        let mut verbs: Vec<(&str, String)> = vec![];
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let _ = writeln!(came, "{line}");
            if line == "---" {
                for (verb, body) in verbs.drain(..) {
                    let said = self.run(verb, &body);
                    let said = said.unwrap_or_else(|error| self.world.explain(&error));
                    came.push_str(said.trim_end());
                    came.push_str(if said.trim_end().is_empty() { "" } else { "\n" });
                }
                if lines.by_ref().find(|line| line.is_empty()).is_some() {
                    came.push('\n');
                }
            } else if let (Some(body), Some(last)) = (line.strip_prefix("  "), verbs.last_mut()) {
                last.1.push_str(body);
                last.1.push('\n');
            } else if !line.is_empty() && !line.starts_with('#') {
                verbs.push((line, String::new()));
            }
        }
        assert!(verbs.is_empty(), "the script ends without `---`");
        came
    }

    /// One verb, with the indented lines below it; gives what is said.
    fn run(&mut self, verb: &str, body: &str) -> Result<String> {
        match verb.split_whitespace().collect::<Vec<_>>()[..] {
            // Plans a pipeline and opens its queries, into memory or into Delta tables.
            ["pipeline", ref into @ ..] => {
                self.into = if into == ["into", "delta"] { Output::Delta } else { Output::Memory };
                self.world.plan(body)?;
                self.world.start(self.into)?;
                Ok("ok".into())
            }
            // The process starts again, with the same pipeline.
            ["start"] => {
                self.world.start(self.into)?;
                Ok("ok".into())
            }
            // Runs one batch, and leaves its rows in their order.
            ["step", "ordered"] => self.step(None, |_| {}),
            // Runs one batch, of the first query or of this one.
            ["step", ref name @ ..] => self.step(name.first().copied(), |rows| rows.sort()),
            // Runs batches until there is nothing to do.
            ["run"] => {
                let mut said = String::new();
                while let Some(report) = self.world.step(None)? {
                    said.push_str(&self.describe(&report, |rows| rows.sort())?);
                }
                Ok(said)
            }
            // The rows that are in a Delta table now.
            ["table", name] => {
                let mut said: Vec<String> =
                    objects(&self.world.table(name)?).iter().map(row).collect();
                said.sort();
                Ok(said.join("\n"))
            }
            ref event => {
                self.happen(event, body);
                Ok(String::new())
            }
        }
    }

    /// What happens around the queries, without a word.
    fn happen(&mut self, event: &[&str], body: &str) {
        match event[..] {
            // Drops one file of these lines into a table's folder.
            ["add", table] => self.world.add(table, &long_times(body)),
            // The process ends, between two batches.
            ["stop"] => self.world.stop(),
            // The process dies after the output of the last batch, before its commit.
            ["die", "before", "commit"] => self.world.die_before_commit(),
            // Somebody removes a folder of the project.
            ["remove", folder] => {
                fs::remove_dir_all(self.world.project.folder.join(folder)).unwrap();
            }
            // So much time passes.
            ["clock", by] => {
                let minutes = by.strip_prefix('+').and_then(|by| by.strip_suffix('m'));
                let minutes: i64 = minutes.and_then(|m| m.parse().ok()).expect("clock +5m");
                self.world.clock.advance(minutes * 60_000);
            }
            _ => panic!("no such verb: {}", event.join(" ")),
        }
    }

    fn step(&mut self, name: Option<&str>, order: fn(&mut Vec<String>)) -> Result<String> {
        match self.world.step(name)? {
            Some(report) => self.describe(&report, order),
            None => Ok("nothing to do".into()),
        }
    }

    /// A batch in a line, then its rows.
    fn describe(&self, report: &StepReport, order: fn(&mut Vec<String>)) -> Result<String> {
        let progress = &report.progress;
        let mut said = format!("batch {}: read {}", progress.batch_id, progress.num_input_rows);
        if !progress.state_operators.is_empty() {
            let _ = write!(said, ", late {}", progress.late_rows());
        }
        if let Some(watermark) = &progress.watermark {
            let next = self.world.next_watermark(&progress.name)?.map(iso_millis);
            let _ = write!(said, ", watermark {}", moment(watermark));
            if let Some(next) = next.filter(|next| next != watermark) {
                let _ = write!(said, " → {}", moment(&next));
            }
        }
        if !progress.state_operators.is_empty() {
            let _ = write!(said, ", state {}", progress.state_rows());
        }
        said.push('\n');
        for bad in &report.bad {
            let _ = writeln!(said, "  not a row: {}:{}: {}", bad.file, bad.line, bad.reason);
        }
        let mut rows: Vec<String> = objects(&report.rows).iter().map(row).collect();
        order(&mut rows);
        rows.iter().for_each(|row| {
            let _ = writeln!(said, "  {row}");
        });
        Ok(said)
    }
}

/// `k=x n=2`
fn row(row: &Value) -> String {
    let fields = row.as_object().expect("a row is an object");
    let fields = fields.iter().map(|(name, field)| format!("{name}={}", value(field)));
    fields.collect::<Vec<_>>().join(" ")
}

/// A window as `[12:00, 12:05)`, a time as `12:00`, a missing value as `NULL`.
fn value(field: &Value) -> String {
    match field {
        Value::Null => "NULL".into(),
        Value::String(text) => moment(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => match (fields.get("start"), fields.get("end")) {
            (Some(start), Some(end)) => format!("[{}, {})", value(start), value(end)),
            _ => format!("{{{}}}", row(field)),
        },
        other => other.to_string(),
    }
}

/// `12:00` for `2026-01-01T12:00:00Z`, `-` for the beginning of time as computers know it.
fn moment(text: &str) -> String {
    let Some(time) = text.strip_suffix('Z') else { return text.to_string() };
    let time = time.strip_suffix(".000").unwrap_or(time);
    if time == "1970-01-01T00:00:00" {
        return "-".into();
    }
    let Some(time) = time.strip_prefix("2026-01-01T") else { return text.to_string() };
    time.strip_suffix(":00").unwrap_or(time).to_string()
}

/// `"2026-01-01T12:00:00Z"` for `"12:00"`, in lines of JSON.
fn long_times(lines: &str) -> String {
    let long = |text: &str| {
        let shape: String =
            text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        match shape.as_str() {
            "00:00" => format!("2026-01-01T{text}:00Z"),
            "00:00:00" => format!("2026-01-01T{text}Z"),
            _ => text.to_string(),
        }
    };
    lines.split('"').map(long).collect::<Vec<_>>().join("\"")
}
