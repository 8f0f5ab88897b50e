//! `strandline why`: why a query gives what it gives, in plain words.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ProjectFolder, read_text, say};
use crate::engine::look::{Look, millis_of};
use crate::engine::pipeline::{Pipeline, PlannedQuery};
use crate::engine::why::kept::KeptTable;
use crate::engine::why::rows::Stories;
use crate::engine::why::windows::Open;
use crate::engine::why::{self, Answer};
use crate::error::{Error, Result};
use crate::sql::nearest;

/// Say why a query gives what it gives, while it runs or after.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline why pipeline.sql event_aggregates
  strandline why pipeline.sql event_aggregates --row \"event_id = 'e1'\"
  strandline why pipeline.sql event_aggregates --state
  strandline why pipeline.sql event_aggregates --format json | jq -r .cause

The first line names the cause, the last ones say what to do. Looking changes nothing: the query may
run meanwhile.")]
pub struct Why {
    /// The pipeline file.
    pipeline: PathBuf,
    /// The streaming table [default: the only one of the file]
    query: Option<String>,
    /// The story of each row of the input for which this holds.
    #[arg(long, value_name = "CONDITION", group = "what")]
    row: Option<String>,
    /// How much each operator keeps, and what would free it.
    #[arg(long, group = "what")]
    state: bool,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: WhyFormat,
    #[command(flatten)]
    project: ProjectFolder,
}

/// How an explanation is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhyFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Why {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let project = self.project.open()?;
        let text = read_text(&self.pipeline)?;
        let file = self.pipeline.display().to_string();
        let pipeline = Pipeline::plan(&project, &file, &text)?;
        let query = find(&pipeline, self.query.as_deref())?;
        let mut look = pipeline.look(query)?;
        if self.state {
            let kept = why::kept::kept(&look)?;
            return print(self.format, &kept, |kept| show_kept(&look, &file, kept));
        }
        if let Some(condition) = &self.row {
            let stories = why::rows::stories(&pipeline, &mut look, condition)?;
            return print(self.format, &stories, show_stories);
        }
        let answer = why::causes::diagnose(&pipeline, &file, &mut look)?;
        print(self.format, &answer, show)
    }
}

/// Prints an explanation for people or for programs.
pub fn print<T: serde::Serialize + ?Sized>(
    format: WhyFormat,
    answer: &T,
    text: impl Fn(&T) -> String,
) -> Result<()> {
    match format {
        WhyFormat::Text => say(text(answer).trim_end()),
        WhyFormat::Json => say(serde_json::to_string_pretty(answer)
            .map_err(|e| Error::internal(format!("an answer is no JSON: {e}")))?),
    }
    Ok(())
}

/// The query of this name; without a name, the only one of the file.
pub fn find<'a>(pipeline: &'a Pipeline, name: Option<&str>) -> Result<&'a PlannedQuery> {
    let names: Vec<&str> = pipeline.queries.iter().map(|query| query.name.as_str()).collect();
    let unknown = |what: String| {
        let near = name.and_then(|name| nearest(name, names.iter().copied()));
        let hint = match near {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("the file has {}", names.join(", ")),
        };
        Error::usage("QUERY_NOT_FOUND", what).hint(hint)
    };
    match (name, &pipeline.queries[..]) {
        (None, [only]) => Ok(only),
        (None, _) => Err(unknown("the file has several queries, and none was named".to_owned())),
        (Some(name), queries) => queries
            .iter()
            .find(|query| query.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| unknown(format!("the file has no streaming table '{name}'"))),
    }
}

/// How many open windows are shown one by one.
const SHOWN: usize = 10;

fn show(answer: &Answer) -> String {
    // For a program that reads the first line it is one.
    let mut text = match std::io::stdout().is_terminal() {
        true => wrapped("", &answer.headline),
        false => format!("{}\n", answer.headline),
    };
    section(&mut text, "What shows it", &answer.facts);
    let open: Vec<String> = answer.open.iter().take(SHOWN).map(open_line).collect();
    section(&mut text, "Still open", &open);
    if answer.open.len() > SHOWN {
        text.push_str(&format!("  and {} more\n", answer.open.len() - SHOWN));
    }
    section(&mut text, "What to do", &answer.advice);
    text
}

fn show_kept(look: &Look, file: &str, kept: &[KeptTable]) -> String {
    let time = |iso: &String| millis_of(iso).map_or(iso.clone(), |ms| look.time_ms(ms));
    let rows: usize = kept.iter().map(|table| table.rows).sum();
    let bytes: usize = kept.iter().map(|table| table.bytes).sum();
    let mut text = match (kept.is_empty(), look.past.done()) {
        (true, _) => format!("{} keeps nothing between batches.\n", look.name),
        (_, None) => format!("{} has done no batch yet, so it keeps nothing.\n", look.name),
        (_, Some(batch)) => format!(
            "{} keeps {} ({}) after batch {batch}.\n",
            look.name,
            why::counted(rows, "row", "rows"),
            bytes_of(bytes)
        ),
    };
    if look.has_watermark() && look.past.done().is_some() {
        text.push_str(&match look.watermark_ms() {
            0 => "The watermark has not begun to move.\n".to_owned(),
            ms => format!("The watermark is {}.\n", look.time_ms(ms)),
        });
    }
    for table in kept {
        let title = format!("operator {} ({}): {}", table.operator, table.name, table.table);
        let mut lines =
            vec![format!("{}, {}", why::counted(table.rows, "row", "rows"), bytes_of(table.bytes))];
        match (&table.oldest, &table.newest) {
            (Some(oldest), Some(newest)) if oldest == newest => {
                lines.push(format!("by the time {}", time(oldest)));
            }
            (Some(oldest), Some(newest)) => {
                lines.push(format!("by times from {} to {}", time(oldest), time(newest)));
            }
            _ => {}
        }
        let first = table.first_freed_at.as_ref().zip(table.frees_first.as_ref());
        let last = table.last_freed_at.as_ref().zip(table.frees_all.as_ref());
        let all_at_once = first == last;
        for (which, freed) in [("the first goes", first), ("the last goes", last)] {
            let which = if all_at_once { "all go" } else { which };
            lines.extend(freed.map(|(at, words)| {
                format!("{which} when the watermark reaches {}: by {words}", time(at))
            }));
            if all_at_once {
                break;
            }
        }
        if table.rows_for_ever > 0 {
            lines.push(format!(
                "{} are never let go; `strandline explain` says why",
                why::counted(table.rows_for_ever, "row", "rows")
            ));
        }
        let ranges = table.readable_batches.iter();
        let ranges: Vec<String> = ranges.map(|(from, to)| format!("{from} to {to}")).collect();
        if !ranges.is_empty() {
            let same = kept.iter().filter(|other| other.operator == table.operator).count() > 1;
            let operator = match same {
                true => format!("'{}.{}'", table.operator, table.table),
                false => table.operator.to_string(),
            };
            lines.push(format!(
                "see them: strandline sql --pipeline {file} -c \"SELECT * FROM state('{}', {operator})\"",
                look.name
            ));
            let ranges = ranges.join(", ");
            lines.push(format!("after an older batch: its number as a third argument, {ranges}"));
        }
        section(&mut text, &title, &lines);
    }
    text
}

fn bytes_of(bytes: usize) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

fn show_stories(stories: &Stories) -> String {
    let mut text = format!("{}\n", stories.headline);
    for story in &stories.rows {
        section(&mut text, &story.title, &story.events);
    }
    section(&mut text, "What to do", &stories.advice);
    text
}

/// A title and its lines, broken where a terminal ends.
pub fn section(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}\n"));
    for line in lines {
        text.push_str(&wrapped("  - ", line));
    }
}

/// A line behind `first`, broken at blanks where a terminal ends; what follows is indented as deep.
pub fn wrapped(first: &str, line: &str) -> String {
    const WIDTH: usize = 100;
    let depth = first.chars().count();
    let (mut out, mut current) = (String::new(), first.to_owned());
    let mut is_empty = true;
    for word in line.split(' ') {
        if !is_empty && current.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&format!("{current}\n"));
            current = " ".repeat(depth);
            is_empty = true;
        }
        if !is_empty {
            current.push(' ');
        }
        current.push_str(word);
        is_empty = false;
    }
    out + &current + "\n"
}

fn open_line(open: &Open) -> String {
    let rows = match open.what.starts_with("window") || open.what.starts_with("groups") {
        true => why::counted(open.rows, "group", "groups"),
        false => why::counted(open.rows, "row", "rows"),
    };
    format!("{} ({rows}) waits for {}", open.what, open.waits_for)
}
