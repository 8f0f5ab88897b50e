//! `strandline sql`: questions over the tables of a project, also while streams run.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;

use super::table::{self, Format};
use super::{ProjectFolder, prompt, read_text};
use crate::engine::pipeline::Pipeline;
use crate::engine::tables::Tables;
use crate::error::{Error, Result};

/// Ask the tables of a project with SQL.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline sql -c \"SHOW TABLES\"
  strandline sql -c \"SELECT * FROM event_aggregates ORDER BY window\"
  strandline sql -f question.sql --format csv > answer.csv
  strandline sql --pipeline pipeline.sql            a prompt that also knows the pipeline's tables

Every Delta table under data/ can be named; each question sees its newest version.")]
pub struct Ask {
    /// The question.
    #[arg(short, long, value_name = "TEXT", group = "question")]
    command: Option<String>,
    /// A file of questions, separated by semicolons.
    #[arg(short, long, value_name = "FILE", group = "question")]
    file: Option<PathBuf>,
    /// A pipeline file whose declared tables can be named too.
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// How the answer is printed [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    project: ProjectFolder,
}

impl Ask {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let project = self.project.open()?;
        let pipeline = match &self.pipeline {
            Some(path) => {
                let text = read_text(path)?;
                Some(Pipeline::plan(&project, &path.display().to_string(), &text)?)
            }
            None => None,
        };
        let tables = Tables::open(&project, pipeline)?;
        let default = if std::io::stdout().is_terminal() { Format::Table } else { Format::Json };
        let format = self.format.unwrap_or(default);
        match (self.command, self.file) {
            (Some(text), _) => answer_all(&tables, "-c", &text, format),
            (None, Some(path)) => {
                answer_all(&tables, &path.display().to_string(), &read_text(&path)?, format)
            }
            (None, None) => prompt::run(&tables, self.format.unwrap_or(Format::Table)),
        }
    }
}

/// Answers each of the questions in a text.
pub fn answer_all(tables: &Tables, name: &str, text: &str, format: Format) -> Result<()> {
    for question in crate::sql::questions(name, text)? {
        let answer = tables.ask(&question)?;
        let mut out = Vec::new();
        table::write(&mut out, format, &answer.schema, &answer.rows, &answer.zone)?;
        match std::io::stdout().lock().write_all(&out) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(Error::io("write to", "standard output".as_ref(), e));
            }
            _ => {}
        }
    }
    Ok(())
}
