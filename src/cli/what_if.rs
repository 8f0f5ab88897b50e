//! `strandline what-if`: what longer and shorter delays of the watermark would do.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::interrupt::Interrupt;
use super::replay::{TextOrJson, bar, counted, go_on};
use super::span::span;
use super::{ProjectFolder, read_text, say};
use crate::engine::replay::change::delay_us;
use crate::engine::replay::what_if::{Outlook, Trial, WhatIf as Found};
use crate::error::Result;
use crate::time::Millis;

/// Show what longer and shorter delays of the watermark would do.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline what-if pipeline.sql purchases
  strandline what-if pipeline.sql purchases --delays 0s,1m,5m,10m,30m
  strandline what-if pipeline.sql purchases --format json | jq .keeps

Runs the query once for each delay, side by side over input that is read once, in a temporary folder:
over the batches that it has run, or, if it has not run yet, over its files as --available-now would
take them. Nothing of the project is changed.

  rows lost      rows that came too late, for all of their windows
  wrong results  results that are missing, more, or other than if no row were lost
  wait           from the end of a result's window (or from its own event time) to the newest event
                 time that was seen when it came out; results that are not out at the end do not count
  most kept      the most rows that the operators kept after a batch

The query is run in append mode, where a result comes out when it is final.")]
pub struct WhatIf {
    /// The pipeline file.
    pipeline: PathBuf,
    /// The name of the streaming table.
    query: String,
    /// The delays, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "0s,1m,5m,10m,30m")]
    delays: Vec<String>,
    /// What is printed: a table for people, or one JSON object.
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
    #[command(flatten)]
    project: ProjectFolder,
}

impl WhatIf {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let project = self.project.open()?;
        let text = read_text(&self.pipeline)?;
        let name = self.pipeline.display().to_string();
        let delays: Vec<i64> = self.delays.iter().map(|d| delay_us(d)).collect::<Result<_>>()?;
        let trial = Trial::open(&project, (&name, &text), &self.query, &delays)?;
        let bar = bar(trial.batches(), false);
        let interrupt = Interrupt::listen(|| ())?;
        let found = trial.run(|| {
            bar.inc(1);
            go_on(&interrupt)
        })?;
        bar.finish_and_clear();
        match self.format {
            TextOrJson::Json => say(as_json(&self.query, &found)),
            TextOrJson::Text => tell(&self.query, &found),
        }
        Ok(())
    }
}

fn tell(query: &str, found: &Found) {
    let batches = counted(found.batches, "batch", "batches");
    let whose = if found.recorded { "the query has run" } else { "the query would run" };
    let filtered = match found.judged == found.rows {
        true => String::new(),
        false => format!(", {} of them after its filters", found.judged),
    };
    say(format_args!(
        "{query}: {} rows in {batches} that {whose}{filtered}; {} if no row is lost",
        found.rows,
        counted(found.results, "result", "results")
    ));
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "delay",
        "rows lost",
        "wrong results",
        "results out",
        "mean wait",
        "worst wait",
        "most kept",
    ]);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for outlook in &found.outlooks {
        let wait = |value: Option<Millis>| value.map_or("-".to_owned(), span);
        table.add_row([
            span(outlook.delay_ms),
            part(outlook.late, found.judged),
            part(outlook.different, found.results),
            outlook.out.to_string(),
            wait(outlook.wait.map(|wait| (wait.mean_ms / 1000.0).round() as Millis * 1000)),
            wait(outlook.wait.map(|wait| wait.worst_ms)),
            outlook.most_kept.to_string(),
        ]);
    }
    say(table);
    for (share, delay_ms) in &found.keeps {
        let share = match *share >= 1.0 {
            true => "all rows".to_owned(),
            false => format!("{} % of the rows", share * 100.0),
        };
        // Rounded up, so that it still keeps them.
        say(format_args!(
            "{share} are kept by a delay of {}",
            span((delay_ms + 999) / 1000 * 1000)
        ));
    }
}

/// `12 (3.4 %)`.
fn part(count: u64, all: u64) -> String {
    match (count, all) {
        (0, _) | (_, 0) => count.to_string(),
        _ => format!("{count} ({:.1} %)", count as f64 * 100.0 / all as f64),
    }
}

fn as_json(query: &str, found: &Found) -> Value {
    let outlook = |outlook: &Outlook| {
        json!({
            "delayMs": outlook.delay_ms,
            "rowsLost": outlook.late,
            "wrongResults": outlook.different,
            "resultsOut": outlook.out,
            "meanWaitMs": outlook.wait.map(|wait| wait.mean_ms.round()),
            "worstWaitMs": outlook.wait.map(|wait| wait.worst_ms),
            "mostRowsKept": outlook.most_kept,
        })
    };
    let keeps = |(share, delay_ms): &(f64, Millis)| json!({"share": share, "delayMs": delay_ms});
    json!({
        "query": query,
        "batches": found.batches,
        "recorded": found.recorded,
        "rows": found.rows,
        "rowsJudged": found.judged,
        "results": found.results,
        "delays": found.outlooks.iter().map(outlook).collect::<Vec<_>>(),
        "keeps": found.keeps.iter().map(keeps).collect::<Vec<_>>(),
    })
}
