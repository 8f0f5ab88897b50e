//! `strandline explain`: what a pipeline would do, without running it.

use std::path::PathBuf;

use clap::Args;
use datafusion::physical_plan::displayable;

use super::{ProjectFolder, read_text, say};
use crate::engine::assemble::{Assembly, assemble};
use crate::engine::pipeline::{Pipeline, PlannedQuery};
use crate::error::Result;
use crate::operators::StateShape;

/// Show what a pipeline would do, without running it.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline explain pipeline.sql

Shows each query's tables, the plans that a batch runs, the operators that keep something between
batches with their columns, and the result.")]
pub struct Explain {
    /// The pipeline file.
    pipeline: PathBuf,
    #[command(flatten)]
    project: ProjectFolder,
}

impl Explain {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let project = self.project.open()?;
        let text = read_text(&self.pipeline)?;
        let pipeline = Pipeline::plan(&project, &self.pipeline.display().to_string(), &text)?;
        for (number, query) in pipeline.queries.iter().enumerate() {
            if number > 0 {
                say("");
            }
            let session = crate::sql::session(&query.plan.zone).state();
            let assembly = assemble(&query.plan, query.mode, &session)?;
            say(describe(query, &assembly).trim_end());
        }
        Ok(())
    }
}

fn describe(query: &PlannedQuery, assembly: &Assembly) -> String {
    let mut text = format!("{} ({} mode)\n", query.name, query.mode);
    for input in &assembly.inputs {
        let read = &query.plan.reads[input.read];
        let kind = if read.streaming { "stream" } else { "table" };
        let columns = names(input.slot.schema());
        text.push_str(&format!("  reads {kind} {}: {columns}\n", read.table));
    }
    for (delay_ms, _) in &assembly.watermarks {
        text.push_str(&format!(
            "  watermark: {} s behind the newest event time\n",
            delay_ms / 1000
        ));
    }
    for (number, stage) in assembly.stages.iter().enumerate() {
        for plan in &stage.plans {
            text.push_str(&indent(&displayable(plan.as_ref()).indent(false).to_string()));
        }
        text.push_str(&format!("  operator {number}: {}\n", stage.operator.name()));
        stage.operator.state_shapes().iter().for_each(|shape| text.push_str(&keeps(shape)));
    }
    text.push_str(&indent(&displayable(assembly.result.as_ref()).indent(false).to_string()));
    text.push_str(&format!(
        "  writes data/{}: {}\n",
        query.name,
        crate::sql::ddl(&assembly.schema)
    ));
    text
}

/// What an operator keeps in one of its tables, and until when.
fn keeps(shape: &StateShape) -> String {
    let columns: Vec<&str> =
        shape.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let (keys, values) = columns.split_at(shape.keys);
    let until = match shape.expiry {
        Some(column) => format!("lets go when the watermark reaches {}", columns[column]),
        None => format!("lets nothing go: it grows with the number of {}", shape.name),
    };
    let kept = match values {
        [] => String::new(),
        values => format!(": {}", values.join(", ")),
    };
    format!("    keeps {} for each ({}){kept}\n    {until}\n", shape.name, keys.join(", "))
}

fn names(schema: &arrow::datatypes::Schema) -> String {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.join(", ")
}

fn indent(plan: &str) -> String {
    plan.lines().map(|line| format!("    {line}\n")).collect()
}
