//! `strandline checkpoint`: what a checkpoint holds, whether it is sound, and the ways out.

mod fsck;
mod repair;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::ProjectFolder;
use super::replay::project_of;
use crate::checkpoint::Inspection;
use crate::engine::fsck::Places;
use crate::engine::pipeline::rejected_table;
use crate::error::{Error, Result};

/// Look at a checkpoint, check it, mend it.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline checkpoint show event_aggregates
  strandline checkpoint fsck checkpoints/event_aggregates
  strandline checkpoint repair event_aggregates            say what could be done
  strandline checkpoint repair event_aggregates --yes      do it

docs/checkpoint.md says what lies where, and what each way out does.")]
pub struct Checkpoint {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Say what a checkpoint holds, also while the query runs.
    Show(show::Show),
    /// Check a checkpoint and its tables: ends with 0, 11 (checkpoint) or 13 (table).
    Fsck(fsck::Fsck),
    /// Offer the ways out of what fsck has found; nothing changes without --yes.
    Repair(repair::Repair),
}

impl Checkpoint {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        match self.what {
            What::Show(command) => command.run().map(|()| ExitCode::SUCCESS),
            What::Fsck(command) => command.run(),
            What::Repair(command) => command.run().map(|()| ExitCode::SUCCESS),
        }
    }
}

/// Which checkpoint, and where its tables lie.
#[derive(Args)]
struct Which {
    /// The folder of a checkpoint, or the name of a query of the project
    #[arg(value_name = "CHECKPOINT|QUERY")]
    checkpoint: PathBuf,
    /// The folder of the table [default: data/QUERY]
    #[arg(long, value_name = "DIR")]
    table: Option<PathBuf>,
    /// The folder that holds input/, data/ and checkpoints/ [default: the one that the checkpoint lies in]
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
}

impl Which {
    fn find(&self) -> Result<Places> {
        let (project, checkpoint) = match (&self.project, self.checkpoint.join("metadata.json")) {
            (Some(project), _) => {
                let project = ProjectFolder { project: Some(project.clone()) }.open()?;
                let checkpoint = project.checkpoint(&self.checkpoint.to_string_lossy());
                match checkpoint.is_dir() {
                    true => (project.folder, checkpoint),
                    false => (project.folder, self.checkpoint.clone()),
                }
            }
            (None, metadata) if metadata.exists() || self.checkpoint.join("offsets").exists() => {
                (project_of(&self.checkpoint)?, self.checkpoint.clone())
            }
            (None, _) => {
                let project = ProjectFolder { project: None }.open()?;
                let named = project.checkpoint(&self.checkpoint.to_string_lossy());
                (project.folder, named)
            }
        };
        if !checkpoint.is_dir() {
            return Err(unknown(&self.checkpoint, &checkpoint));
        }
        let query = match Inspection::read(&checkpoint) {
            Ok(found) if !found.identity.origin.query.is_empty() => found.identity.origin.query,
            _ => checkpoint.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let data = project.join("data");
        let output = self.table.clone().unwrap_or_else(|| data.join(&query));
        let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rejected = output.with_file_name(rejected_table(&name));
        Ok(Places { project, checkpoint, output, rejected })
    }
}

fn unknown(given: &Path, looked: &Path) -> Error {
    let what = format!("there is no checkpoint {} and no {}", given.display(), looked.display());
    Error::usage("PATH_NOT_FOUND", what)
        .hint("name a folder under checkpoints/, or a query; --project names another project")
}
