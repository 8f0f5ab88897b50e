//! Plays a script, block by block.
//!
//! An error of the pipeline is something that came, like rows, and can be expected. An error of the
//! script ends the play.

use std::fmt::Write as _;
use std::path::Path;

use super::difference::{Difference, align};
use super::parse::Script;
use super::row;
use super::verb::Verb;
use super::world::{Output, World};
use crate::engine::query::StepReport;
use crate::error::Result;
use crate::time::{Millis, iso_millis};

/// What came of a script.
#[derive(Debug, Clone)]
pub struct Played {
    /// What the script claims: its first line.
    pub claim: String,
    /// The text that it would have if it were right.
    pub text: String,
    /// Where it is not; none: what was expected came.
    pub differences: Vec<Difference>,
}

/// Plays a whole script. `name` is what errors call it, `folder` where it lies; still tables that the
/// script gives no rows are copied from `project`, if there is one.
///
/// # Errors
///
/// The script is not understood, or the temporary project cannot be made.
pub fn play(name: &str, text: &str, folder: &Path, project: Option<&Path>) -> Result<Played> {
    let script = Script::parse(name, text, folder)?;
    let mut player = Player { world: World::new(project)?, into: Output::Memory };
    let (mut came, mut differences) = (String::new(), Vec::new());
    for block in script.blocks {
        let got: Vec<String> = block.verbs.iter().flat_map(|verb| player.said(verb)).collect();
        came.push_str(&block.head);
        for line in &got {
            let _ = writeln!(came, "{line}");
        }
        came.push_str(if block.is_followed { "\n" } else { "" });
        if got != block.expected {
            let pairs = align(&block.expected, &got);
            differences.push(Difference { line: block.line, verbs: block.titles, pairs });
        }
    }
    Ok(Played { claim: script.claim, text: came + &script.rest, differences })
}

/// A script while it plays.
struct Player {
    world: World,
    into: Output,
}

impl Player {
    /// Does one thing; gives the lines that are said of it.
    fn said(&mut self, verb: &Verb) -> Vec<String> {
        let said = self.run(verb).unwrap_or_else(|error| self.world.explain(&error));
        said.trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    fn run(&mut self, verb: &Verb) -> Result<String> {
        match verb {
            Verb::Pipeline { name, text, into } => {
                self.into = *into;
                self.world.plan(name, text)?;
                self.start()
            }
            Verb::Start => self.start(),
            Verb::Step { query, ordered } => match self.world.step(query.as_deref())? {
                Some(report) => self.describe(&report, *ordered),
                None => Ok("nothing to do".into()),
            },
            Verb::Run { query } => {
                let reports = match query {
                    Some(query) => self.world.run(Some(query))?,
                    None => self.world.run_all()?,
                };
                self.describe_all(&reports)
            }
            Verb::Close { query } => {
                let reports = self.world.close(query.as_deref())?;
                if reports.is_empty() {
                    return Ok("nothing waits for the watermark".into());
                }
                self.describe_all(&reports)
            }
            Verb::Crash { point, query } => {
                let crashed = self.world.crash(query.as_deref(), *point)?;
                let mut said = self.describe_all(&crashed.reports)?;
                match crashed.moment {
                    Some((step, batch)) => {
                        let _ = writeln!(said, "crashed right after step {step} of batch {batch}");
                    }
                    None => said.push_str("nothing to do"),
                }
                Ok(said)
            }
            Verb::Table(name) => {
                let mut rows = row::lines(&self.world.table(name)?)?;
                rows.sort();
                Ok(rows.join("\n"))
            }
            Verb::Rejected { query } => {
                let rows = self.world.rejected(query.as_deref(), self.into)?;
                Ok(row::rejected(&rows)?.join("\n"))
            }
            Verb::Add { table, lines } => {
                self.world.add(table, &row::long_times(lines)).map(|()| String::new())
            }
            Verb::Clock(by) => {
                self.world.clock.advance(Millis::try_from(by.as_millis()).unwrap_or(Millis::MAX));
                Ok(String::new())
            }
            Verb::Stop => {
                self.world.stop();
                Ok(String::new())
            }
            Verb::Remove(folder) => self.world.remove(folder).map(|()| String::new()),
        }
    }

    /// Opens the queries, and says what they found.
    fn start(&mut self) -> Result<String> {
        let mut said = String::from("ok\n");
        for (name, resumed) in self.world.start(self.into)? {
            let name = if self.world.has_several() { format!("{name}: ") } else { String::new() };
            let _ = writeln!(said, "found: {name}{resumed}");
        }
        Ok(self.world.without_folder(&said))
    }

    fn describe_all(&self, reports: &[StepReport]) -> Result<String> {
        let described = reports.iter().map(|report| self.describe(report, false));
        Ok(described.collect::<Result<Vec<_>>>()?.concat())
    }

    /// A batch in a line, then the lines that were no rows, then its rows.
    fn describe(&self, report: &StepReport, ordered: bool) -> Result<String> {
        let progress = &report.progress;
        let mut said = String::new();
        if self.world.has_several() {
            let _ = write!(said, "{} ", progress.name);
        }
        let _ = write!(said, "batch {}: read {}", progress.batch_id, progress.num_input_rows);
        if !progress.state_operators.is_empty() {
            let _ = write!(said, ", late {}", progress.late_rows());
        }
        if let Some(watermark) = &progress.watermark {
            let next = report.next_watermark_ms.map(iso_millis);
            let _ = write!(said, ", watermark {}", row::moment(watermark));
            if let Some(next) = next.filter(|next| next != watermark) {
                let _ = write!(said, " → {}", row::moment(&next));
            }
        }
        if !progress.state_operators.is_empty() {
            let _ = write!(said, ", state {}", progress.state_rows());
        }
        said.push('\n');
        for bad in &report.bad {
            let _ = writeln!(said, "  not a row: {}:{}: {}", bad.file, bad.line, bad.reason);
        }
        let mut rows = row::lines(&report.rows)?;
        if !ordered {
            rows.sort();
        }
        rows.iter().for_each(|row| {
            let _ = writeln!(said, "  {row}");
        });
        Ok(said)
    }
}
