//! `strandline checkpoint fsck`: every rule that recovery leans on, checked.

use std::process::ExitCode;

use clap::Args;
use console::Style;

use super::Which;
use crate::cli::replay::{TextOrJson, counted};
use crate::cli::say;
use crate::cli::why::wrapped;
use crate::engine::fsck::{Finding, Subject, Weight, check};
use crate::error::{Error, Result};

/// Check a checkpoint and its tables.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline checkpoint fsck event_aggregates
  strandline checkpoint fsck checkpoints/event_aggregates --format json | jq .file
  strandline checkpoint fsck event_aggregates && strandline run pipeline.sql

Reads every file of the checkpoint, the whole log of its tables and each of their data files, and
changes nothing. Best while the query does not run: a batch that is under way looks cut off.

Ends with 0 if the query can go on, with 11 if the checkpoint is damaged, with 13 if the table is, or
if the two disagree.")]
pub struct Fsck {
    #[command(flatten)]
    which: Which,
    /// What is printed: text for people, or one JSON object a finding.
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

impl Fsck {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let subject = Subject::read(self.which.find()?)?;
        let findings = check(&subject)?;
        match self.format {
            TextOrJson::Json => findings.iter().try_for_each(|finding| {
                let line = serde_json::to_string(finding);
                say(line.map_err(|e| Error::internal(format!("a finding is no JSON: {e}")))?);
                Ok::<_, Error>(())
            })?,
            TextOrJson::Text => tell(&subject, &findings),
        }
        // The graver one first.
        Ok(match findings.first().map(|finding| finding.weight) {
            Some(Weight::Checkpoint) => ExitCode::from(11),
            Some(Weight::Table) => ExitCode::from(13),
            _ => ExitCode::SUCCESS,
        })
    }
}

fn tell(subject: &Subject, findings: &[Finding]) {
    for finding in findings {
        say(in_words(finding).trim_end());
    }
    if let Some(holder) = &subject.checkpoint.holder {
        say(format_args!("note: {holder} runs the query: look again when it does not"));
    }
    let faults = findings.iter().filter(|finding| finding.weight >= Weight::Table).count();
    let checked = format!(
        "{}: {} and {}",
        subject.places.checkpoint.display(),
        counted(subject.checkpoint.newest_done().map_or(0, |batch| batch + 1), "batch", "batches"),
        match subject.output.as_ref().map(|table| table.size().0) {
            Some(files) => counted(files as u64, "data file", "data files"),
            None => "no table".into(),
        }
    );
    match faults {
        0 => say(format_args!("{checked}: sound")),
        faults => say(format_args!("{checked}: {}", counted(faults as u64, "fault", "faults"))),
    }
}

/// A finding in two lines: what is wrong with which file, and what to do.
pub fn in_words(finding: &Finding) -> String {
    let (word, style) = match finding.weight {
        Weight::Checkpoint | Weight::Table => ("fault", Style::new().red().bold()),
        Weight::Healing => ("heals", Style::new().yellow()),
        Weight::Note => ("note", Style::new().dim()),
    };
    let file = finding.file.as_ref().map(|file| format!("{} ", file.display()));
    let what = format!("{}{} [{}]", file.unwrap_or_default(), finding.what, finding.rule);
    let first = wrapped(&format!("{word}: "), &what);
    let first = first.replacen(word, &style.apply_to(word).to_string(), 1);
    let depth = " ".repeat(word.len() + 2);
    first + &wrapped(&format!("{depth}way out: "), &finding.way_out)
}
