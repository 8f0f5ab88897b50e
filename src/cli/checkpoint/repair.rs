//! `strandline checkpoint repair`: the ways out, said first and done on demand.

use clap::Args;

use super::Which;
use super::fsck::in_words;
use crate::cli::say;
use crate::cli::why::wrapped;
use crate::durable::Disk;
use crate::engine::fsck::repair::{Wish, carry_out, plan};
use crate::engine::fsck::{Subject, Weight, check};
use crate::error::Result;

/// Offer the ways out of what fsck has found.
#[derive(Args)]
#[command(after_help = "Examples:
  strandline checkpoint repair event_aggregates
  strandline checkpoint repair event_aggregates --yes
  strandline checkpoint repair event_aggregates --accept-sink --yes
  strandline checkpoint repair event_aggregates --start-over --yes

Without --yes it only says what it would do. The query must not run. Nothing is removed: what is
taken away goes below aside/ in the project.

Without another word it does what is safe: a newest commit of the table that is not whole goes aside,
so do leftovers of dead processes and damaged files that are not needed.

  --roll-back    takes back the decisions whose batches the table does not hold: they are decided anew
  --accept-sink  takes the table as it is, though the checkpoint tells another story
  --start-over   takes checkpoint and tables away: everything is read again")]
pub struct Repair {
    #[command(flatten)]
    which: Which,
    /// Take back the decisions whose batches the table does not hold.
    #[arg(long, group = "wish")]
    roll_back: bool,
    /// Take the table as it is.
    #[arg(long, group = "wish")]
    accept_sink: bool,
    /// Begin anew: the checkpoint and the tables go aside.
    #[arg(long, group = "wish")]
    start_over: bool,
    /// Do it.
    #[arg(long)]
    yes: bool,
}

impl Repair {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let subject = Subject::read(self.which.find()?)?;
        let findings = check(&subject)?;
        let wish = match (self.roll_back, self.accept_sink, self.start_over) {
            (true, ..) => Wish::RollBack,
            (_, true, _) => Wish::AcceptSink,
            (.., true) => Wish::StartOver,
            _ => Wish::Safe,
        };
        let steps = plan(&subject, &findings, wish)?;
        if wish == Wish::Safe {
            let open = findings.iter().filter(|finding| finding.weight >= Weight::Table);
            open.for_each(|finding| say(in_words(finding).trim_end()));
        }
        if steps.is_empty() {
            say("nothing can be done without a decision of yours, and nothing was changed");
            if findings.iter().all(|finding| finding.weight < Weight::Table) {
                say("the checkpoint is sound: `strandline run` goes on from it");
            }
            return Ok(());
        }
        if self.yes {
            carry_out(&subject.places, Disk::default(), &steps)?;
        }
        let done = if self.yes { "done: " } else { "would " };
        steps.iter().for_each(|step| say(wrapped(done, &step.what()).trim_end()));
        if !self.yes {
            say("nothing was changed; --yes does it");
        }
        Ok(())
    }
}
