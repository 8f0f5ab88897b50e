//! `strandline replay`: a run computed again, from what its checkpoint says was decided.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::interrupt::Interrupt;
use super::rows::{in_pairs, objects, side_by_side};
use super::{ProjectFolder, read_text, say, step};
use crate::calendar::Zone;
use crate::checkpoint::Recording;
use crate::engine::pipeline::{Pipeline, PlannedQuery, Project};
use crate::engine::replay::change::{Change, Changed, Comparison, Totals};
use crate::engine::replay::{Checked, Outcome, Replay as Run};
use crate::error::{Error, Result};
use crate::time::{iso_millis, readable_micros};

/// Compute a run again and compare it with what it wrote.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline replay checkpoints/purchases
  strandline replay checkpoints/purchases --step
  strandline replay checkpoints/purchases --with 'watermark delay = 2 minutes'
  strandline replay checkpoints/purchases --format json | jq 'select(.outcome != \"same\")'

Every batch that is done is computed again: from the same files, at its recorded time, with its
recorded watermark, over a fresh state in a temporary folder. Its rows are compared with those that
the table's log says it wrote, and the rows that it rejected with those in the table of rejected
rows. The query's own checkpoint and table are only read; the query may run meanwhile. Ends with 1 if
a row differs, or if an input file is not what it was.

With --step the batches come one at a time, with what each did: n (or Enter) goes on, p goes back,
a number goes to that batch, q ends it.

With --with the run is computed twice, as it was and with one thing changed, and the two results are
compared: 'watermark delay = 2 minutes', 'maxFilesPerTrigger = 5' or 'output mode = update'.

Answers that depend on more than the files (random numbers, tables without STREAM that have changed
since) cannot be computed again; such batches differ.")]
pub struct Replay {
    /// The checkpoint of the query: checkpoints/NAME.
    checkpoint: PathBuf,
    /// The pipeline file [default: the one that the checkpoint remembers]
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Go one batch at a time, forward and back, and see what it did.
    #[arg(long, conflicts_with = "with")]
    step: bool,
    /// Change one thing, and see how the result differs.
    #[arg(long, value_name = "CHANGE")]
    with: Option<String>,
    /// What is printed: text for people, or one JSON object a batch.
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
    /// Say nothing about batches that are the same.
    #[arg(short, long)]
    quiet: bool,
    /// The folder that holds input/, data/ and checkpoints/ [default: the one that the checkpoint lies in]
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
}

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextOrJson {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

/// A pipeline's file, its text, and the query that is meant.
struct Told {
    project: Project,
    file: String,
    text: String,
    query: String,
}

impl Replay {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let told = self.find()?;
        let interrupt = Interrupt::listen(|| ())?;
        let pipeline = Pipeline::plan(&told.project, &told.file, &told.text)?;
        let planned = pipeline.query(&told.query)?;
        if let Some(change) = &self.with {
            return self.change(&told, (&pipeline, planned), change, &interrupt);
        }
        let mut run = Run::open(&pipeline, planned, &self.checkpoint)?;
        if self.step {
            run.watch_state();
            if self.format == TextOrJson::Text {
                return step::walk(run, &pipeline.zone);
            }
        }
        self.compare(run, planned, &pipeline.zone, &interrupt)
    }

    /// Where the checkpoint's query stands.
    fn find(&self) -> Result<Told> {
        let recording = Recording::read(&self.checkpoint)?;
        let origin = recording.origin;
        let project = match &self.project {
            Some(folder) => folder.clone(),
            None => project_of(&self.checkpoint)?,
        };
        let project = ProjectFolder { project: Some(project) }.open()?;
        let file = match (&self.pipeline, origin.pipeline) {
            (Some(file), _) => file.clone(),
            (None, Some(file)) => project.folder.join(file),
            (None, None) => {
                let what = format!(
                    "{} does not say which pipeline file its query stands in",
                    self.checkpoint.display()
                );
                return Err(Error::usage("PIPELINE_UNKNOWN", what).hint(
                    "name it with --pipeline FILE; a checkpoint knows it once `strandline run` has \
                     run the query from a file",
                ));
            }
        };
        let text = read_text(&file).map_err(|e| match self.pipeline {
            None => e
                .context("the pipeline file that the checkpoint remembers")
                .hint("if it was moved, name it with --pipeline FILE"),
            Some(_) => e,
        })?;
        let folder = self.checkpoint.file_name().map(|name| name.to_string_lossy().into_owned());
        let query = match origin.query.as_str() {
            "" => folder.unwrap_or_default(),
            name => name.to_owned(),
        };
        Ok(Told { project, file: file.display().to_string(), text, query })
    }

    fn compare(
        &self,
        mut run: Run,
        planned: &PlannedQuery,
        zone: &Zone,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let bar = bar(Some(run.left()), !self.quiet || self.format == TextOrJson::Json);
        let by_others = run.by_others().to_vec();
        let mut tally = Tally::default();
        while let Some(checked) = run.step()? {
            go_on(interrupt)?;
            tally.add(&checked);
            bar.inc(1);
            match self.format {
                TextOrJson::Json => say(as_json(&checked)?),
                TextOrJson::Text => self.tell(&checked, zone)?,
            }
        }
        bar.finish_and_clear();
        let content = run.finish()?;
        match self.format {
            TextOrJson::Json => say(tally.as_json(content.as_ref())?),
            TextOrJson::Text => tally.tell(&by_others, content.as_ref(), zone)?,
        }
        tally.verdict(&planned.name, content)
    }

    fn tell(&self, checked: &Checked, zone: &Zone) -> Result<()> {
        let line = || line(checked, zone);
        match (&checked.outcome, &checked.rejected) {
            (Outcome::Different(_), _) | (_, Outcome::Different(_)) => {
                say(format_args!("{}  DIFFERENT", line()));
                if let Outcome::Different(difference) = &checked.outcome {
                    say(side_by_side(SIDES, difference, zone)?);
                }
                if let Outcome::Different(difference) = &checked.rejected {
                    say("its rejected rows:");
                    say(side_by_side(SIDES, difference, zone)?);
                }
            }
            (Outcome::Unknown(why), _) | (_, Outcome::Unknown(why)) => {
                say(format_args!("{}  not compared: {}", line(), why.message()));
            }
            (Outcome::Same, Outcome::Same) if self.quiet => {}
            (Outcome::Same, Outcome::Same) => say(format_args!("{}  same", line())),
        }
        Ok(())
    }

    fn change(
        &self,
        told: &Told,
        planned: (&Pipeline, &PlannedQuery),
        change: &str,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let parsed: Change = change.parse()?;
        let changes = parsed.of(&told.query);
        let other = Pipeline::plan_changed(&told.project, &told.file, &told.text, &changes)?;
        let changed = (&other, other.query(&told.query)?);
        let run = Changed::open(planned, changed, parsed, &self.checkpoint)?;
        let bar = bar(Some(run.batches()), false);
        let comparison = run.run(|| {
            bar.inc(1);
            go_on(interrupt)
        })?;
        bar.finish_and_clear();
        match self.format {
            TextOrJson::Json => say(comparison_as_json(change, &comparison)?),
            TextOrJson::Text => tell_comparison(change, &comparison, &planned.0.zone)?,
        }
        Ok(())
    }
}

/// What the two sides of a comparison are called.
pub const SIDES: [&str; 2] = ["computed", "in the table"];

/// The project that a checkpoint lies in: the folder above `checkpoints/`.
pub fn project_of(checkpoint: &Path) -> Result<PathBuf> {
    let above = |path: &Path| path.parent().and_then(Path::parent).map(Path::to_path_buf);
    if let Some(project) = above(checkpoint).filter(|_| !checkpoint.ends_with("..")) {
        return Ok(project);
    }
    let absolute = std::path::absolute(checkpoint).map_err(|e| Error::io("find", checkpoint, e))?;
    Ok(above(&absolute).unwrap_or_default())
}

/// Ctrl-C ends what takes long between two batches, so that its temporary folder goes too.
pub fn go_on(interrupt: &Interrupt) -> Result<()> {
    match interrupt.is_set() {
        false => Ok(()),
        true => Err(Error::input("INTERRUPTED", "Ctrl-C came before the last batch")
            .hint("nothing was changed; start it again to see all of it")),
    }
}

/// A bar for what takes longer than a second; on a terminal only.
pub fn bar(total: Option<usize>, hidden: bool) -> indicatif::ProgressBar {
    let style = |template: &str| {
        let style = indicatif::ProgressStyle::with_template(template);
        style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar())
    };
    match total {
        _ if hidden => indicatif::ProgressBar::hidden(),
        Some(total) => indicatif::ProgressBar::new(total as u64)
            .with_style(style("{bar:40} {pos} of {len} batches, {eta} left")),
        None => indicatif::ProgressBar::new_spinner().with_style(style("{spinner} {pos} batches")),
    }
}

/// What a batch was, in one line.
pub fn line(checked: &Checked, zone: &Zone) -> String {
    let progress = &checked.report.progress;
    let time = readable_micros(zone.clock(checked.decided.batch_timestamp_ms.saturating_mul(1000)));
    let mut line = format!(
        "batch {}  {}  {} rows in, {} out",
        checked.batch,
        time.split('.').next().unwrap_or_default(),
        progress.num_input_rows,
        progress.sink.num_output_rows
    );
    if progress.rows.late > 0 {
        line.push_str(&format!(", {} late", progress.rows.late));
    }
    match checked.decided.batch_watermark_ms {
        None => {}
        Some(0) => line.push_str("  watermark -"),
        Some(millis) => {
            let watermark = readable_micros(zone.clock(millis.saturating_mul(1000)));
            line.push_str(&format!("  watermark {watermark}"));
        }
    }
    line
}

fn as_json(checked: &Checked) -> Result<Value> {
    let (progress, decided) = (&checked.report.progress, &checked.decided);
    let mut object = json!({
        "batch": checked.batch,
        "time": iso_millis(decided.batch_timestamp_ms),
        "watermark": decided.batch_watermark_ms.map(iso_millis),
        "rowsIn": progress.num_input_rows,
        "rowsOut": progress.sink.num_output_rows,
        "rows": progress.rows,
    });
    outcome_into(&mut object, &checked.outcome)?;
    let mut rejected = json!({});
    outcome_into(&mut rejected, &checked.rejected)?;
    object["rejected"] = rejected;
    if !checked.moves.is_empty() {
        object["state"] = step::moves_as_json(&checked.moves);
    }
    Ok(object)
}

fn outcome_into(object: &mut Value, outcome: &Outcome) -> Result<()> {
    match outcome {
        Outcome::Same => object["outcome"] = json!("same"),
        Outcome::Different(difference) => {
            object["outcome"] = json!("different");
            object["onlyComputed"] = objects(&difference.left)?.into();
            object["onlyInTable"] = objects(&difference.right)?.into();
        }
        Outcome::Unknown(why) => {
            object["outcome"] = json!("unknown");
            object["why"] = json!(why.message());
        }
    }
    Ok(())
}

/// What a replay came to.
#[derive(Default)]
struct Tally {
    batches: u64,
    rows_in: u64,
    rows_out: u64,
    different: Vec<u64>,
    unknown: u64,
}

impl Tally {
    fn add(&mut self, checked: &Checked) {
        self.batches += 1;
        self.rows_in += checked.report.progress.num_input_rows;
        self.rows_out += checked.report.progress.sink.num_output_rows;
        match (&checked.outcome, &checked.rejected) {
            (Outcome::Different(_), _) | (_, Outcome::Different(_)) => {
                self.different.push(checked.batch);
            }
            (Outcome::Unknown(_), _) | (_, Outcome::Unknown(_)) => self.unknown += 1,
            (Outcome::Same, Outcome::Same) => {}
        }
    }

    fn as_json(&self, content: Option<&Outcome>) -> Result<Value> {
        let mut object = json!({
            "batches": self.batches,
            "rowsIn": self.rows_in,
            "rowsOut": self.rows_out,
            "different": self.different,
            "unknown": self.unknown,
        });
        if let Some(content) = content {
            let mut table = json!({});
            outcome_into(&mut table, content)?;
            object["table"] = table;
        }
        Ok(object)
    }

    fn tell(&self, by_others: &[u64], content: Option<&Outcome>, zone: &Zone) -> Result<()> {
        if !by_others.is_empty() {
            let versions: Vec<String> = by_others.iter().map(u64::to_string).collect();
            say(format_args!(
                "not only the query has written into the table: see its version {}",
                versions.join(", ")
            ));
        }
        match content {
            None => {}
            Some(Outcome::Same) => say("the table as it is now holds just the rows that it should"),
            Some(Outcome::Different(difference)) => {
                say("the table as it is now holds other rows than it should:");
                say(side_by_side(SIDES, difference, zone)?);
            }
            Some(Outcome::Unknown(why)) => {
                say(format_args!("the table as it is now was not compared: {}", why.message()));
            }
        }
        let said = match (self.different.len(), self.unknown) {
            (0, 0) => "every row is the same".to_owned(),
            (0, unknown) => format!("{unknown} not compared, every row of the others is the same"),
            (different, 0) => format!("{different} different"),
            (different, unknown) => format!("{different} different, {unknown} not compared"),
        };
        let (batches, rows) = (counted(self.batches, "batch", "batches"), self.rows_in);
        say(format_args!(
            "{batches} computed again, {rows} rows in, {} out: {said}",
            self.rows_out
        ));
        Ok(())
    }

    /// An error where something differs, or nothing could be compared.
    fn verdict(&self, query: &str, content: Option<Outcome>) -> Result<()> {
        const HINT: &str = "an older text of the query, a table without STREAM that has changed \
                            since, a random number, or a change of the table by hand does this";
        match content {
            Some(Outcome::Unknown(why)) if self.different.is_empty() => return Err(why),
            Some(Outcome::Different(_)) if self.different.is_empty() => {
                let what = format!("the table of '{query}' holds other rows than its batches gave");
                return Err(Error::input("REPLAY_DIFFERS", what).hint(HINT));
            }
            _ => {}
        }
        let Some(first) = self.different.first() else { return Ok(()) };
        let what = format!(
            "{} of '{query}' gave other rows than the table holds, the first of them batch {first}",
            counted(self.different.len() as u64, "batch", "batches")
        );
        Err(Error::input("REPLAY_DIFFERS", what).hint(HINT))
    }
}

/// `1 batch`, `2 batches`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn tell_comparison(change: &str, comparison: &Comparison, zone: &Zone) -> Result<()> {
    let Comparison { before, after, answers } = comparison;
    let (only_before, only_after) = answers.only.counts();
    let changed = answers.changed.counts().0;
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header(["", "as it ran", change.trim()]);
    let numbers = |totals: &Totals| {
        [totals.batches, totals.rows, totals.late, totals.most_kept].map(|n| n.to_string())
    };
    let names = ["batches", "rows in", "rows too late", "most rows kept"];
    for ((name, was), is) in names.into_iter().zip(numbers(before)).zip(numbers(after)) {
        table.add_row([name.to_owned(), was, is]);
    }
    table.add_row([
        "results only here".to_owned(),
        only_before.to_string(),
        only_after.to_string(),
    ]);
    table.add_row([
        "results with another answer".to_owned(),
        changed.to_string(),
        changed.to_string(),
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    say(table);
    let sides = ["as it ran", "changed"];
    if changed > 0 {
        say("\nresults with another answer:");
        say(in_pairs(sides, &answers.changed, zone)?);
    }
    if only_before + only_after > 0 {
        say("\nresults that only one of the two has:");
        say(side_by_side(sides, &answers.only, zone)?);
    }
    if answers.count() == 0 {
        say("the result is the same");
    }
    Ok(())
}

fn comparison_as_json(change: &str, comparison: &Comparison) -> Result<Value> {
    let Comparison { before, after, answers } = comparison;
    let totals = |totals: &Totals| {
        json!({
            "batches": totals.batches,
            "rowsIn": totals.rows,
            "late": totals.late,
            "mostRowsKept": totals.most_kept,
        })
    };
    Ok(json!({
        "change": change,
        "asItRan": totals(before),
        "changed": totals(after),
        "onlyAsItRan": objects(&answers.only.left)?,
        "onlyChanged": objects(&answers.only.right)?,
        "otherAnswers": {
            "asItRan": objects(&answers.changed.left)?,
            "changed": objects(&answers.changed.right)?,
        },
    }))
}
