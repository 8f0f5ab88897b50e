//! Command line: people.
//!
//! The only part that prints. It *takes* what was typed, *calls* the engine, the generator and the
//! tables, and *gives* text for people or JSON for programs, and an exit code: 0 fine, 4 a test
//! failed, 130 interrupted twice, and those of an error ([`crate::error::Kind`]).

mod ask;
mod checkpoint;
mod demo;
mod explain;
mod fault;
mod generate;
mod interrupt;
mod message;
mod progress;
mod prompt;
mod replay;
mod rows;
mod run;
mod running;
mod screen;
mod span;
mod step;
mod table;
mod test;
mod what_if;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::error::{Error, Result};
use crate::machine;

/// What was typed.
#[derive(Parser)]
#[command(
    name = "strandline",
    version,
    about = "Spark's streaming SQL in one binary: JSON files drop in, windows close, Delta tables come out.",
    after_help = "Examples:
  strandline demo --for 20s                     see windows fill and close, in an empty folder
  strandline generate day17 --out input --seed 1
  strandline run pipeline.sql --available-now   process what is there, then end
  strandline run pipeline.sql                   go on as files arrive; Ctrl-C ends it cleanly
  strandline sql -c \"SELECT * FROM my_table\"    ask the tables, also while streams run
  strandline test tests                         play scripts against a pipeline
  strandline why pipeline.sql my_table          why it gives what it gives, and what to do"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show four queries over a live stream, from an empty folder.
    Demo(demo::Demo),
    /// Drop JSON files into a folder, as a live system would.
    Generate(generate::Generate),
    /// Run the streaming queries of a pipeline file.
    Run(run::Run),
    /// Ask the tables of a project with SQL.
    Sql(ask::Ask),
    /// Show what a pipeline would do, without running it.
    Explain(explain::Explain),
    /// Say why a query gives what it gives, in plain words.
    Why(why::Why),
    /// Compute a run again and compare it with what it wrote.
    Replay(replay::Replay),
    /// Show what longer and shorter delays of the watermark would do.
    WhatIf(what_if::WhatIf),
    /// Look at a checkpoint, check it, mend it.
    Checkpoint(checkpoint::Checkpoint),
    /// Play scripts against a pipeline: rows, steps, crashes, and what must come of them.
    Test(test::Test),
}

impl Command {
    fn run(self) -> Result<ExitCode> {
        let done = match self {
            Command::Demo(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::Run(command) => command.run(),
            Command::Sql(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Replay(command) => command.run(),
            Command::WhatIf(command) => command.run(),
            Command::Checkpoint(command) => return command.run(),
            Command::Test(command) => return command.run(),
            Command::Why(command) => command.run(),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// How batches are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProgressFormat {
    /// One line a batch, for people.
    Plain,
    /// One JSON object a batch, with the keys of Spark's StreamingQueryProgress.
    Json,
}

/// Where a command works.
#[derive(Debug, Clone, clap::Args)]
struct ProjectFolder {
    /// The folder that holds input/, data/ and checkpoints/ [default: the current folder]
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
}

impl ProjectFolder {
    fn open(&self) -> Result<crate::engine::pipeline::Project> {
        // An empty path is the current folder, and keeps the paths in messages short.
        let folder = self.project.clone().unwrap_or_default();
        if !folder.as_os_str().is_empty() && !folder.is_dir() {
            return Err(Error::usage(
                "PATH_NOT_FOUND",
                format!("the project folder {} does not exist", folder.display()),
            )
            .hint("make it, or name another one with --project"));
        }
        Ok(crate::engine::pipeline::Project {
            folder,
            disk: crate::durable::Disk::default(),
            clock: std::sync::Arc::new(crate::time::SystemClock),
        })
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    machine::give_back_large_buffers();
    let arguments = Arguments::parse();
    listen_to_warnings();
    let result = fault::plan_from_environment().and_then(|()| arguments.command.run());
    fault::tell_passed();
    result.unwrap_or_else(|error| {
        message::show(&error);
        ExitCode::from(error.exit_code())
    })
}

/// Prints a line to standard output. Nobody reading any more is no error of the program.
fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Prints a line to standard error, with the same indifference: `2>&1 | head` must not end a run.
fn tell(line: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// What the library has to say goes to standard error; `STRANDLINE_LOG` asks for more.
fn listen_to_warnings() {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_env_var("STRANDLINE_LOG")
        .try_from_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("strandline=warn"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .without_time()
        .init();
}

/// Reads a file that the user named.
fn read_text(path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::usage("PATH_NOT_FOUND", format!("there is no file {}", path.display()))
                .hint("check the name, or the folder that you are in")
        }
        std::io::ErrorKind::InvalidData => {
            Error::usage("NOT_TEXT", format!("{} is not UTF-8 text", path.display()))
        }
        _ => Error::io("read", path, e),
    })
}
