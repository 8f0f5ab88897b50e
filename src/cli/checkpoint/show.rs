//! `strandline checkpoint show`: what a checkpoint holds, in plain words.

use std::path::Path;

use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::Which;
use crate::checkpoint::{Commit, Offsets, Piece, Role, WatermarkRow};
use crate::cli::replay::{TextOrJson, counted};
use crate::cli::why::wrapped;
use crate::cli::{ProjectFolder, say};
use crate::engine::fsck::Subject;
use crate::engine::pipeline::Pipeline;
use crate::engine::why::kept::{KeptTable, kept};
use crate::error::{Error, Result};
use crate::sources::taken_files;
use crate::time::{Millis, readable_micros};

/// Say what a checkpoint holds.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline checkpoint show event_aggregates
  strandline checkpoint show checkpoints/event_aggregates --format json | jq .batches

Looking changes nothing and needs no lock: the query may run meanwhile. Rows of the state are told
where the pipeline file that the checkpoint remembers is still there.")]
pub struct Show {
    #[command(flatten)]
    which: Which,
    /// What is printed: text for people, or one JSON object.
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

impl Show {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let subject = Subject::read(self.which.find()?)?;
        let program = Program::of(&subject);
        match self.format {
            TextOrJson::Text => tell(&subject, &program),
            TextOrJson::Json => {
                let text = serde_json::to_string_pretty(&as_json(&subject, &program));
                say(text.map_err(|e| Error::internal(format!("a checkpoint is no JSON: {e}")))?);
            }
        }
        Ok(())
    }
}

/// What only the pipeline file knows.
#[derive(Default)]
struct Program {
    text: Option<String>,
    kept: Vec<KeptTable>,
}

impl Program {
    /// Whatever cannot be had is left out: a checkpoint is shown without its pipeline too.
    fn of(subject: &Subject) -> Self {
        Self::find(subject).ok().flatten().unwrap_or_default()
    }

    fn find(subject: &Subject) -> Result<Option<Self>> {
        let origin = &subject.checkpoint.identity.origin;
        let Some(file) = &origin.pipeline else { return Ok(None) };
        let folder = subject.places.project.clone();
        let project = match folder.as_os_str().is_empty() {
            true => ProjectFolder { project: None }.open()?,
            false => ProjectFolder { project: Some(folder) }.open()?,
        };
        let file = project.folder.join(file);
        let text = crate::cli::read_text(&file)?;
        let pipeline = Pipeline::plan(&project, &file.display().to_string(), &text)?;
        let query = pipeline.query(&origin.query)?;
        let place = &query.plan.place;
        let text = place.text.get(place.span.start..place.span.end).map(str::to_owned);
        let kept = pipeline.look(query).and_then(|look| kept(&look)).unwrap_or_default();
        Ok(Some(Self { text, kept }))
    }
}

fn tell(subject: &Subject, program: &Program) {
    let (found, places) = (&subject.checkpoint, &subject.places);
    let identity = &found.identity;
    let of = match &identity.origin.pipeline {
        Some(file) => format!(" of {}", file.display()),
        None => String::new(),
    };
    say(format_args!("{}: the query '{}'{of}", places.checkpoint.display(), identity.origin.query));
    for line in program.text.iter().flat_map(|text| text.lines()) {
        say(format_args!("    {line}"));
    }
    let (files, bytes) = size(&places.checkpoint);
    let mut lines = vec![
        format!("query id {}, last opened by strandline {}", identity.id, identity.engine_version),
        match &found.holder {
            Some(holder) => format!("in use by {holder}"),
            None => "no process runs the query".into(),
        },
        format!("{} on disk, in {}", bytes_of(bytes), counted(files as u64, "file", "files")),
    ];
    lines.extend(batches(subject));
    for line in lines {
        say(wrapped("  - ", &line).trim_end());
    }
    if let Some(sources) = sources(subject) {
        say(format_args!("\nWhat it has read\n{sources}"));
    }
    if let Some(state) = state(subject, program) {
        say(format_args!("\nWhat it keeps\n{state}"));
    }
    say(format_args!("\nIts tables\n{}", tables(subject)));
    say("\nWhat may not change");
    for (name, value) in &identity.pinned.0 {
        say(wrapped(&format!("  - {name}: "), value).trim_end());
    }
}

/// Where the query stands, in words.
fn batches(subject: &Subject) -> Vec<String> {
    let found = &subject.checkpoint;
    let mut lines = vec![];
    match found.offsets.last_key_value() {
        None => lines.push("no batch has been decided yet".to_owned()),
        Some((batch, Piece::Torn(why))) => {
            lines.push(format!("the decision of batch {batch} is not whole: {why}"));
        }
        Some((batch, Piece::Whole(offsets))) => lines.push(decided(*batch, offsets)),
    }
    let (decided, done) = (found.newest_decided(), found.newest_done());
    match done.and_then(|done| Some((done, found.commits.get(&done)?.whole()?))) {
        None if decided.is_some() => lines.push("no batch is done yet".to_owned()),
        None => {}
        Some((done, commit)) => lines.push(ended(done, commit)),
    }
    if decided > done {
        let batch = decided.unwrap_or_default();
        lines.push(match (&found.holder, subject.output.as_ref().and_then(|t| t.newest_batch())) {
            (Some(_), _) => format!("batch {batch} is under way"),
            (None, held) if held >= decided => {
                format!("batch {batch} is run again at the next start; its output is in the table")
            }
            (None, _) => format!("batch {batch} is run again at the next start, as it was decided"),
        });
    }
    lines
}

fn decided(batch: u64, offsets: &Offsets) -> String {
    let mut line = format!(
        "newest decided: batch {batch}, at {}",
        readable_millis(offsets.batch_timestamp_ms)
    );
    if let Some(raised) = &offsets.raised {
        line.push_str(&format!(
            "; its watermark was raised to {} since {}",
            readable_millis(raised.to_ms),
            raised.because
        ));
    }
    line
}

fn ended(batch: u64, commit: &Commit) -> String {
    let mut line = format!("newest done: batch {batch}");
    match commit.next_batch_watermark_ms {
        None => {}
        Some(0) => line.push_str("; the watermark has not begun to move"),
        Some(ms) => line.push_str(&format!("; the watermark is {}", readable_millis(ms))),
    }
    if let Some(row) = &commit.next_watermark_row {
        line.push_str(&format!(", set by {}", row_in_words(row)));
    }
    line
}

fn row_in_words(row: &WatermarkRow) -> String {
    let place = match (&row.file, row.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.clone(),
        _ => row.source.clone(),
    };
    format!("the row of {} in {place} (batch {})", readable_micros(row.event_time_us), row.batch)
}

/// What a source gave: batches with data, files or the newest version.
struct Given {
    name: String,
    batches: usize,
    files: usize,
    bytes: u64,
    newest: String,
}

fn given(subject: &Subject) -> Vec<Given> {
    let found = &subject.checkpoint;
    let facts = &found.identity.pinned.0;
    let of = |source: usize| {
        let takes = found.takes(source);
        let files = takes.iter().flat_map(|(_, take)| taken_files(take).unwrap_or_default());
        let files: Vec<_> = files.collect();
        let newest = match (files.last(), takes.last()) {
            (Some(file), _) => file.path.display().to_string(),
            (None, Some((_, take))) => {
                let version = take.get("to").and_then(|to| to.get("version"));
                version.map(|version| format!("version {version}")).unwrap_or_default()
            }
            (None, None) => String::new(),
        };
        // Facts count all reads of the query, still tables too; streams have one each.
        let mut names = facts.iter().filter(|(fact, _)| {
            fact.strip_prefix("source ").is_some_and(|number| number.parse::<usize>().is_ok())
        });
        Given {
            name: names.nth(source).map(|(_, name)| name.clone()).unwrap_or_default(),
            batches: takes.len(),
            files: files.len(),
            bytes: files.iter().map(|file| file.size).sum(),
            newest,
        }
    };
    (0..found.histories.len()).map(of).collect()
}

fn sources(subject: &Subject) -> Option<Table> {
    let given = given(subject);
    let rows = given.iter().map(|source| {
        let files = match source.files {
            0 => String::new(),
            files => files.to_string(),
        };
        let bytes = if source.files == 0 { String::new() } else { bytes_of(source.bytes) };
        [source.name.clone(), source.batches.to_string(), files, bytes, source.newest.clone()]
    });
    table(["source", "batches", "files", "size", "newest"], rows, &[1, 2, 3])
}

/// Each table of the state: its name, files and bytes on disk, and its rows if they are known.
fn kept_tables(subject: &Subject, program: &Program) -> Vec<(String, usize, u64, Option<usize>)> {
    let state = subject.places.checkpoint.join("state");
    let mut folders = vec![];
    for operator in crate::durable::names(&state).unwrap_or_default() {
        for name in crate::durable::names(&state.join(&operator)).unwrap_or_default() {
            folders.push((operator.clone(), name));
        }
    }
    folders.sort();
    let of = |(operator, name): &(String, String)| {
        let same =
            |kept: &&KeptTable| kept.operator.to_string() == *operator && kept.table == *name;
        let rows = program.kept.iter().find(same);
        let shown = match rows {
            Some(kept) => format!("{operator} ({}): {name}", kept.name),
            None => format!("{operator}: {name}"),
        };
        let (files, bytes) = size(&state.join(operator).join(name));
        (shown, files, bytes, rows.map(|kept| kept.rows))
    };
    folders.iter().map(of).collect()
}

fn state(subject: &Subject, program: &Program) -> Option<Table> {
    let rows = kept_tables(subject, program).into_iter().map(|(name, files, bytes, rows)| {
        let rows = rows.map_or("unknown".to_owned(), |rows| rows.to_string());
        [name, rows, files.to_string(), bytes_of(bytes)]
    });
    table(["operator", "rows", "files", "on disk"], rows, &[1, 2, 3])
}

const ROLES: [(Role, &str); 2] = [(Role::Output, "result"), (Role::Rejected, "rejected rows")];

fn tables(subject: &Subject) -> Table {
    let rows = ROLES.into_iter().filter_map(|(role, of)| {
        let folder = subject.places.table(role).display().to_string();
        let known = subject.checkpoint.identity.tables.get(&role);
        let Some(table) = subject.table(role) else {
            let is_missed = role == Role::Output || known.is_some();
            return is_missed.then(|| {
                [
                    of.into(),
                    folder,
                    "is not there".into(),
                    String::new(),
                    String::new(),
                    String::new(),
                ]
            });
        };
        let version = table.versions.map_or(String::new(), |(_, newest)| newest.to_string());
        let batch = table.newest_batch().map_or("none".into(), |batch| batch.to_string());
        let (files, bytes) = table.size();
        Some([of.into(), folder, version, batch, files.to_string(), bytes_of(bytes)])
    });
    let header = ["of", "folder", "version", "newest batch", "files", "size"];
    table(header, rows, &[2, 3, 4, 5]).unwrap_or_default()
}

fn table<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    numbers: &[usize],
) -> Option<Table> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for number in numbers {
        if let Some(column) = table.column_mut(*number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    (table.row_count() > 0).then_some(table)
}

fn as_json(subject: &Subject, program: &Program) -> Value {
    let (found, places) = (&subject.checkpoint, &subject.places);
    let identity = &found.identity;
    let (files, bytes) = size(&places.checkpoint);
    let (decided, done) = (found.newest_decided(), found.newest_done());
    let offsets = decided.and_then(|batch| found.offsets.get(&batch)?.whole());
    let commit = done.and_then(|batch| found.commits.get(&batch)?.whole());
    let sources = given(subject).into_iter().map(|source| {
        json!({
            "name": source.name, "batches": source.batches, "files": source.files,
            "bytes": source.bytes, "newest": source.newest,
        })
    });
    let state = kept_tables(subject, program).into_iter().map(|(name, files, bytes, rows)| {
        json!({ "table": name, "rows": rows, "files": files, "bytes": bytes })
    });
    let tables = ROLES.into_iter().map(|(role, of)| {
        let table = subject.table(role);
        json!({
            "of": of,
            "folder": places.table(role),
            "exists": table.is_some(),
            "id": table.and_then(|table| table.id.clone()),
            "known": identity.tables.get(&role),
            "version": table.and_then(|table| table.versions).map(|(_, newest)| newest),
            "newestBatch": table.and_then(|table| table.newest_batch()),
            "files": table.map(|table| table.size().0),
            "bytes": table.map(|table| table.size().1),
        })
    });
    json!({
        "checkpoint": places.checkpoint,
        "query": identity.origin.query,
        "pipeline": identity.origin.pipeline,
        "text": program.text,
        "queryId": identity.id,
        "engineVersion": identity.engine_version,
        "holder": found.holder,
        "files": files,
        "bytes": bytes,
        "batches": {
            "newestDecided": decided,
            "newestDone": done,
            "offsets": offsets,
            "commit": commit,
        },
        "sources": sources.collect::<Vec<_>>(),
        "state": state.collect::<Vec<_>>(),
        "tables": tables.collect::<Vec<_>>(),
        "facts": identity.pinned,
    })
}

/// How many files lie below a folder, and how many bytes are in them.
fn size(folder: &Path) -> (usize, u64) {
    let Ok(entries) = std::fs::read_dir(folder) else { return (0, 0) };
    entries.flatten().fold((0, 0), |(files, bytes), entry| match entry.metadata() {
        Ok(about) if about.is_dir() => {
            let (more_files, more_bytes) = size(&entry.path());
            (files + more_files, bytes + more_bytes)
        }
        Ok(about) => (files + 1, bytes + about.len()),
        Err(_) => (files, bytes),
    })
}

fn readable_millis(ms: Millis) -> String {
    readable_micros(ms.saturating_mul(1000))
}

fn bytes_of(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
