//! `strandline explain`: what a pipeline would do, without running it.

use std::path::PathBuf;

use clap::Args;
use datafusion::physical_plan::displayable;

use super::why::{WhyFormat, find, wrapped};
use super::{ProjectFolder, read_text, say};
use crate::engine::assemble::{Assembly, assemble};
use crate::engine::explain::{Explained, ExplainedOperator};
use crate::engine::pipeline::Pipeline;
use crate::error::{Error, Result};

/// Show what a pipeline would do, without running it.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline explain pipeline.sql
  strandline explain pipeline.sql event_aggregates --verbose
  strandline explain pipeline.sql --format json | jq '.[].operators[].bounded'

For each query: what it reads, what its operators keep between batches and what bounds that, and when
rows come out. --verbose adds the plans that a batch runs.")]
pub struct Explain {
    /// The pipeline file.
    pipeline: PathBuf,
    /// One streaming table of the file [default: all]
    query: Option<String>,
    /// Also the plans that a batch runs.
    #[arg(long)]
    verbose: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: WhyFormat,
    #[command(flatten)]
    project: ProjectFolder,
}

impl Explain {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let project = self.project.open()?;
        let text = read_text(&self.pipeline)?;
        let pipeline = Pipeline::plan(&project, &self.pipeline.display().to_string(), &text)?;
        let chosen = self.query.as_deref().map(|name| find(&pipeline, Some(name))).transpose()?;
        let chosen = chosen.map(|query| query.name.clone());
        let queries = pipeline.queries.iter();
        let mut explained = vec![];
        for query in queries.filter(|q| chosen.as_ref().is_none_or(|name| *name == q.name)) {
            let session = crate::sql::session(&query.plan.zone).state();
            let assembly = assemble(&query.plan, query.mode, &session)?;
            explained.push((crate::engine::explain::explain(query, &assembly), assembly));
        }
        match self.format {
            WhyFormat::Json => {
                let all: Vec<&Explained> =
                    explained.iter().map(|(explained, _)| explained).collect();
                say(serde_json::to_string_pretty(&all)
                    .map_err(|e| Error::internal(format!("an explanation is no JSON: {e}")))?);
            }
            WhyFormat::Text => {
                for (number, (words, assembly)) in explained.iter().enumerate() {
                    if number > 0 {
                        say("");
                    }
                    say(describe(words).trim_end());
                    if self.verbose {
                        say(plans(assembly).trim_end());
                    }
                }
            }
        }
        Ok(())
    }
}

fn describe(query: &Explained) -> String {
    let mut text = format!("{} ({} mode) {}\n", query.query, query.mode, query.writes);
    let mut lines = vec![];
    lines.extend(query.reads.iter().map(|read| format!("reads {read}")));
    lines.extend(query.watermarks.iter().map(|mark| format!("watermark: {mark}")));
    if query.operators.is_empty() {
        lines.push("keeps nothing between batches: each row comes out in its own batch".to_owned());
    }
    lines.push(format!("gives {}", query.columns));
    lines.iter().for_each(|line| text.push_str(&wrapped("  ", line)));
    query.operators.iter().for_each(|operator| text.push_str(&described(operator)));
    text
}

fn described(operator: &ExplainedOperator) -> String {
    let mut text =
        format!("\n  operator {} ({}): {}\n", operator.number, operator.name, operator.does);
    let mut line = |title: &str, words: &str| {
        text.push_str(&wrapped(&format!("    {title:<14}"), words));
    };
    for (number, kept) in operator.keeps.iter().enumerate() {
        line(if number == 0 { "keeps" } else { "" }, kept);
    }
    for (number, bound) in operator.bounds.iter().enumerate() {
        line(if number == 0 { "bounded by" } else { "" }, bound);
    }
    line("watermark in", &operator.watermark_in);
    line("watermark out", &operator.watermark_out);
    line("comes out", &operator.comes_out);
    text
}

/// The plans that a batch runs, as DataFusion shows them.
fn plans(assembly: &Assembly) -> String {
    let mut text = "\n  plans of a batch\n".to_owned();
    for (number, stage) in assembly.stages.iter().enumerate() {
        for plan in &stage.plans {
            text.push_str(&format!("    into operator {number}\n"));
            text.push_str(&indent(&displayable(plan.as_ref()).indent(false).to_string()));
        }
    }
    text.push_str("    into the table\n");
    text.push_str(&indent(&displayable(assembly.result.as_ref()).indent(false).to_string()));
    text
}

fn indent(plan: &str) -> String {
    plan.lines().map(|line| format!("      {line}\n")).collect()
}
