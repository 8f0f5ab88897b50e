//! `strandline test`: scripts against the user's own pipelines.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use serde_json::json;

use super::{ProjectFolder, message, read_text, say};
use crate::error::{Error, Result};
use crate::script::{Difference, Pair, Played, play};

/// A script that says something else came. What a check ends with that failed.
const FAILED: u8 = 4;

/// Play scripts against a pipeline: rows, steps, crashes, and what must come of them.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline test tests/late.test       play one script
  strandline test tests                 play all files *.test below a folder
  strandline test tests --update        write what comes into the scripts, to be read by a person
  strandline test tests --format json   one JSON object a script

A script names the pipeline and says what happens and what must come of it:

  # A late row is not counted.
  pipeline ../pipeline.sql
  add events
    {\"id\":1,\"ts\":\"12:01\"}
  run
  table counts
  ---

It is played in a temporary project, on a clock that moves only when the script says so. Nothing of
yours is changed; still tables that the script gives no rows are copied from the project. The exit
code is 0, 4 when something else came, 2 when a script is not understood. docs/testing.md has all
verbs.")]
pub struct Test {
    /// Scripts, or folders that hold scripts (*.test).
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,
    /// Write what comes into the scripts instead of comparing.
    #[arg(long)]
    update: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    project: ProjectFolder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line a script, the differences as tables, a summary.
    Text,
    /// One JSON object a script.
    Json,
}

/// How a script ended.
enum Verdict {
    Passed(Played),
    Failed(Played),
    Updated(Played),
    NotUnderstood(Error),
}

impl Test {
    /// Runs the command; gives the code that the process is to end with.
    pub fn run(self) -> Result<ExitCode> {
        let project = self.project.open()?.folder;
        let mut scripts = vec![];
        for path in &self.files {
            collect(path, true, &mut scripts)?;
        }
        if scripts.is_empty() {
            return Err(Error::usage("NO_SCRIPTS", "there is no file *.test in what was named")
                .hint("name a script, or a folder that holds some"));
        }
        let (mut failed, mut updated, mut wrong) = (0, 0, 0);
        for path in &scripts {
            let verdict = self.judge(path, &project).unwrap_or_else(Verdict::NotUnderstood);
            failed += usize::from(matches!(verdict, Verdict::Failed(_)));
            updated += usize::from(matches!(verdict, Verdict::Updated(_)));
            wrong += usize::from(matches!(verdict, Verdict::NotUnderstood(_)));
            match self.format {
                Format::Text => show(path, &verdict),
                Format::Json => say(in_json(path, &verdict)),
            }
        }
        if self.format == Format::Text {
            say(summary(scripts.len(), failed, updated, wrong));
        }
        Ok(match (wrong, failed) {
            (0, 0) => ExitCode::SUCCESS,
            (0, _) => ExitCode::from(FAILED),
            _ => ExitCode::from(2),
        })
    }

    fn judge(&self, path: &Path, project: &Path) -> Result<Verdict> {
        let text = read_text(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let played = play(&path.display().to_string(), &text, folder, Some(project))?;
        if played.text == text {
            return Ok(Verdict::Passed(played));
        }
        if self.update {
            std::fs::write(path, &played.text).map_err(|e| Error::io("write", path, e))?;
            return Ok(Verdict::Updated(played));
        }
        Ok(if played.differences.is_empty() {
            Verdict::Passed(played)
        } else {
            Verdict::Failed(played)
        })
    }
}

/// The scripts that a path means: itself, or all below a folder, by name.
fn collect(path: &Path, is_named: bool, scripts: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        if is_named || path.extension().is_some_and(|extension| extension == "test") {
            scripts.push(path.to_path_buf());
        }
        return Ok(());
    }
    let mut names = crate::durable::names(path)?;
    names.sort();
    names.iter().try_for_each(|name| collect(&path.join(name), false, scripts))
}

fn show(path: &Path, verdict: &Verdict) {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let paint = |word: &str, color: console::Color| match colour {
        true => console::style(word).fg(color).force_styling(true).to_string(),
        false => word.to_owned(),
    };
    let line = |word: String, claim: &str| {
        let claim = if claim.is_empty() { String::new() } else { format!("  {claim}") };
        say(format!("{word} {}{claim}", path.display()));
    };
    match verdict {
        Verdict::Passed(played) => line(paint("ok     ", console::Color::Green), &played.claim),
        Verdict::Updated(played) => line(paint("updated", console::Color::Yellow), &played.claim),
        Verdict::Failed(played) => {
            line(paint("FAILED ", console::Color::Red), &played.claim);
            for difference in &played.differences {
                say(format!("\nline {}: {}", difference.line, difference.verbs.join(", ")));
                say(table(difference, colour));
            }
        }
        Verdict::NotUnderstood(error) => {
            line(paint("WRONG  ", console::Color::Red), "");
            message::show(error);
        }
    }
}

/// How wide a table is where no terminal says so.
const WIDTH: u16 = 140;

/// How many lines around a difference are shown.
const AROUND: usize = 3;

/// What was expected beside what came; between them a sign where they differ.
fn table(difference: &Difference, colour: bool) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["expected", "", "got"]);
    let differs = |pair: &Pair| !pair.is_equal();
    let mut is_cut = false;
    for (number, Pair { expected, got }) in difference.pairs.iter().enumerate() {
        let around = number.saturating_sub(AROUND)..difference.pairs.len().min(number + AROUND + 1);
        if !difference.pairs[around].iter().any(differs) {
            if !std::mem::replace(&mut is_cut, true) {
                table.add_row(["…", "", "…"]);
            }
            continue;
        }
        is_cut = false;
        let sign = match (expected, got) {
            (Some(e), Some(g)) if e == g => "",
            (Some(_), Some(_)) => "≠",
            (Some(_), None) => "-",
            (None, _) => "+",
        };
        let cell = |side: &Option<String>, color| {
            let cell = Cell::new(side.as_deref().unwrap_or_default());
            if colour && !sign.is_empty() { cell.fg(color) } else { cell }
        };
        table.add_row([cell(expected, Color::Red), Cell::new(sign), cell(got, Color::Green)]);
    }
    if colour {
        table.enforce_styling();
    }
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    table
}

fn summary(scripts: usize, failed: usize, updated: usize, wrong: usize) -> String {
    let ending = if scripts == 1 { "" } else { "s" };
    let mut parts = vec![format!("{} passed", scripts - failed - updated - wrong)];
    for (count, what) in [(failed, "failed"), (updated, "updated"), (wrong, "not understood")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    format!("{scripts} script{ending}: {}", parts.join(", "))
}

fn in_json(path: &Path, verdict: &Verdict) -> serde_json::Value {
    let (result, played) = match verdict {
        Verdict::Passed(played) => ("passed", played),
        Verdict::Failed(played) => ("failed", played),
        Verdict::Updated(played) => ("updated", played),
        Verdict::NotUnderstood(error) => {
            let message = error.to_string();
            return json!({"script": path, "result": "not understood", "error": message});
        }
    };
    let side = |pick: fn(&Pair) -> &Option<String>, difference: &Difference| -> Vec<String> {
        difference.pairs.iter().filter_map(|pair| pick(pair).clone()).collect()
    };
    let differences = played.differences.iter().map(|difference| {
        json!({
            "line": difference.line,
            "verbs": difference.verbs,
            "expected": side(|pair| &pair.expected, difference),
            "got": side(|pair| &pair.got, difference),
        })
    });
    let differences: Vec<_> = differences.collect();
    json!({"script": path, "claim": played.claim, "result": result, "differences": differences})
}
