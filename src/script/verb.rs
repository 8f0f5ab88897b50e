//! What a script can do, a line each.
//!
//! Takes a line and the indented lines below it, gives a [`Verb`]; never does it.

use std::path::Path;
use std::time::Duration;

use super::world::Output;
use crate::engine::steps::CrashPoint;
use crate::engine::trigger::duration;
use crate::error::{Error, Result};

/// One thing to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// `pipeline FILE.sql`: plans the pipeline in a file beside the script and opens its queries,
    /// each into its Delta table. `pipeline`, with the text below it: the same with this text, into
    /// memory; `pipeline into delta`: into Delta tables.
    Pipeline {
        /// What errors call it.
        name: String,
        /// The pipeline's text.
        text: String,
        /// Where results go.
        into: Output,
    },
    /// `add TABLE`, with lines below it: drops one file of these lines into the table's folder.
    /// `add TABLE/k=1`: into a folder below that; `add TABLE/users.json`: the file has this name.
    /// What is added before `pipeline` is there before the queries are planned.
    Add {
        /// The table, as the pipeline declares it.
        table: String,
        /// The lines of the file.
        lines: String,
    },
    /// `step [QUERY]`: runs one batch, of the first query or of this one. `step ordered` leaves its
    /// rows in their order.
    Step {
        /// Which query.
        query: Option<String>,
        /// Whether the rows stay in their order.
        ordered: bool,
    },
    /// `run [QUERY]`: runs batches until there is nothing to do: of all queries, in the order of the
    /// text, or of this one.
    Run {
        /// Which query; `None`: all.
        query: Option<String>,
    },
    /// `close [QUERY]`: the stream has ended; runs batches until nothing waits for the watermark.
    Close {
        /// Which query; `None`: the first.
        query: Option<String>,
    },
    /// `table NAME`: the rows that are in a Delta table now.
    Table(String),
    /// `rejected [QUERY]`: the rows that a query (the first, or this one) has rejected so far, in the
    /// order of the batches, files and lines.
    Rejected {
        /// Which query; `None`: the first.
        query: Option<String>,
    },
    /// `clock +5m`: so much time passes.
    Clock(Duration),
    /// `stop`: the process ends, between two batches.
    Stop,
    /// `crash at STEP[@BATCH] [QUERY]`: runs batches until the process dies, right after this step.
    Crash {
        /// When.
        point: CrashPoint,
        /// Which query; `None`: the first.
        query: Option<String>,
    },
    /// `start`: the process starts again, with the same pipeline.
    Start,
    /// `remove FOLDER`: somebody removes a folder of the project.
    Remove(String),
}

/// The forms, for who has typed none of them.
const FORMS: &str = "the verbs are pipeline [FILE.sql | into delta], add TABLE, step [QUERY], run [QUERY], \
                     close [QUERY], table NAME, rejected [QUERY], clock +5m, stop, crash at STEP[@BATCH] [QUERY], start, \
                     remove FOLDER; a line that belongs to the one above begins with two spaces";

impl Verb {
    /// Reads a line, with the lines below it. `folder` is that of the script, from which a
    /// pipeline's file is named.
    ///
    /// # Errors
    ///
    /// `SCRIPT_NOT_UNDERSTOOD`: it is no verb; others: what it names is wrong.
    pub fn read(line: &str, body: &str, folder: &Path) -> Result<Verb> {
        let named = |words: &[&str]| words.first().map(|word| word.to_string());
        let verb = match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["pipeline", "into", "delta"] => inline(body, Output::Delta),
            ["pipeline"] => inline(body, Output::Memory),
            ["pipeline", file] => of_file(file, folder)?,
            ["add", table] => Verb::Add { table: table.into(), lines: body.into() },
            ["step", "ordered"] => Verb::Step { query: None, ordered: true },
            ["step", ref query @ ..] if query.len() < 2 => {
                Verb::Step { query: named(query), ordered: false }
            }
            ["run", ref query @ ..] if query.len() < 2 => Verb::Run { query: named(query) },
            ["close", ref query @ ..] if query.len() < 2 => Verb::Close { query: named(query) },
            ["rejected", ref query @ ..] if query.len() < 2 => {
                Verb::Rejected { query: named(query) }
            }
            ["table", name] => Verb::Table(name.into()),
            ["clock", by] if by.starts_with('+') => Verb::Clock(duration(&by[1..])?),
            ["stop"] => Verb::Stop,
            ["crash", "at", point, ref query @ ..] if query.len() < 2 => {
                Verb::Crash { point: point.parse()?, query: named(query) }
            }
            ["start"] => Verb::Start,
            ["remove", folder] => Verb::Remove(folder.into()),
            _ => return Err(not_understood(format!("'{line}' is nothing to do")).hint(FORMS)),
        };
        let takes_lines =
            matches!(line, "pipeline" | "pipeline into delta") || matches!(verb, Verb::Add { .. });
        if !takes_lines && !body.is_empty() {
            return Err(not_understood(format!("'{line}' has no use for the lines below it")));
        }
        Ok(verb)
    }
}

/// A script that cannot be played.
pub(super) fn not_understood(what: impl Into<String>) -> Error {
    Error::usage("SCRIPT_NOT_UNDERSTOOD", what)
}

fn inline(text: &str, into: Output) -> Verb {
    Verb::Pipeline { name: "pipeline.sql".into(), text: text.into(), into }
}

fn of_file(name: &str, folder: &Path) -> Result<Verb> {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        not_understood(format!("the pipeline {} cannot be read: {error}", path.display()))
            .hint("a pipeline's file is named from the folder of the script")
    })?;
    Ok(Verb::Pipeline { name: name.into(), text, into: Output::Delta })
}
