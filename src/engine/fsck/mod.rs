//! Whether a checkpoint and its tables are sound: every rule that recovery leans on, checked.
//!
//! Takes a checkpoint's folder and those of its tables; gives what is wrong, each with its file and the
//! ways out. Reads everything, the data files of the tables too; changes nothing, and needs no pipeline.
//!
//! - I1: a batch that is done is in the table, and the state after it can be had
//! - I2: the table holds no batch that was not decided
//! - I3: no decision and no commit is missing between two others
//! - I4: a batch is in one version of the table, and they rise
//! - I5: an input file belongs to one batch
//! - I7: every data file is there, with its size and its rows
//! - the seals of all files, and what dead processes have left

mod batches;
pub mod repair;
mod state;
mod table;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::checkpoint::{Inspection, Role};
use crate::error::Result;
use crate::sinks::delta::inspect::{TableFacts, inspect};

/// Where everything of one query lies.
#[derive(Debug, Clone)]
pub struct Places {
    /// The project's folder.
    pub project: PathBuf,
    /// The folder of the checkpoint.
    pub checkpoint: PathBuf,
    /// The folder of the result.
    pub output: PathBuf,
    /// The folder of the rejected rows.
    pub rejected: PathBuf,
}

impl Places {
    /// The folder of one of the tables.
    pub fn table(&self, role: Role) -> &Path {
        match role {
            Role::Output => &self.output,
            Role::Rejected => &self.rejected,
        }
    }
}

/// What is checked.
#[derive(Debug)]
pub struct Subject {
    /// Where it lies.
    pub places: Places,
    /// The checkpoint.
    pub checkpoint: Inspection,
    /// The table of the result; `None`: there is none.
    pub output: Option<TableFacts>,
    /// The table of the rejected rows; `None`: there is none.
    pub rejected: Option<TableFacts>,
}

/// How much a finding weighs, and with which code the check ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Weight {
    /// Nothing is wrong by it: space that could be free.
    Note,
    /// The query goes on by itself at its next start. Code 0 as well.
    Healing,
    /// Checkpoint and table disagree, or the table is damaged. Code 13.
    Table,
    /// The checkpoint is damaged. Code 11.
    Checkpoint,
}

/// Something that was found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How much it weighs.
    pub weight: Weight,
    /// The rule, as `I4`.
    pub rule: &'static str,
    /// The file that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// What is wrong, in words.
    pub what: String,
    /// What to do.
    pub way_out: String,
}

/// The way out where something that nothing else holds is lost.
const COPY: &str = "bring it back from a copy; or start over: `strandline checkpoint repair CHECKPOINT \
                    --start-over`";

impl Finding {
    fn new(
        weight: Weight,
        rule: &'static str,
        file: impl Into<PathBuf>,
        what: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        let (what, way_out) = (what.into(), way_out.into());
        Self { weight, rule, file: Some(file.into()), what, way_out }
    }
}

impl Subject {
    /// Reads the checkpoint and the logs of the tables.
    ///
    /// # Errors
    ///
    /// Where nobody can say whose checkpoint it is, or the disk says no.
    pub fn read(places: Places) -> Result<Self> {
        let checkpoint = Inspection::read(&places.checkpoint)?;
        let id = checkpoint.identity.id.clone();
        let output = inspect(&places.output, &id)?;
        let rejected = inspect(&places.rejected, &id)?;
        Ok(Self { places, checkpoint, output, rejected })
    }

    /// One of the tables.
    pub fn table(&self, role: Role) -> Option<&TableFacts> {
        match role {
            Role::Output => self.output.as_ref(),
            Role::Rejected => self.rejected.as_ref(),
        }
    }
}

/// Everything that is wrong, or could be better.
pub fn check(subject: &Subject) -> Result<Vec<Finding>> {
    let mut findings = batches::check(subject);
    findings.extend(state::check(subject)?);
    findings.extend(table::check(subject, Role::Output)?);
    findings.extend(table::check(subject, Role::Rejected)?);
    for path in &subject.checkpoint.leftovers {
        let what = "was left half-written by a process that died";
        findings.push(Finding::new(
            Weight::Note,
            "leftovers",
            path,
            what,
            "the next start removes it",
        ));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    Ok(findings)
}
