//! The ten steps of a micro-batch by name, and what can be hung behind them.
//!
//! A step has *taken effect* when all that it does is done and nothing of the next one has begun.
//! Steps 4 to 6 are one pass over the rows, since the operators pull them through the plans: all
//! three have taken effect at its end. A batch that was decided by an earlier run does not take the
//! steps 1 and 2 again. Step 10 is the caller's, who is given the report and says when it is out.

use std::fmt;
use std::str::FromStr;

use crate::batch::BatchId;
use crate::error::{Error, Result};

/// A step of a micro-batch, in the order in which a batch takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// 1: each source has said how far it has got.
    Ask,
    /// 2: `offsets/N` is written.
    Decide,
    /// 3: the rows are read and decoded.
    Read,
    /// 4: the event times are noted.
    EventTime,
    /// 5: quality is judged.
    Quality,
    /// 6: the operators have run over state N−1.
    Operate,
    /// 7: state N is sealed.
    Seal,
    /// 8: the output is in the table.
    Write,
    /// 9: `commits/N` is written.
    Commit,
    /// 10: progress is reported.
    Report,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Step; 10] = [
        Step::Ask,
        Step::Decide,
        Step::Read,
        Step::EventTime,
        Step::Quality,
        Step::Operate,
        Step::Seal,
        Step::Write,
        Step::Commit,
        Step::Report,
    ];

    /// Its number, from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// Its name, as it can be typed.
    pub fn name(self) -> &'static str {
        match self {
            Step::Ask => "ask",
            Step::Decide => "decide",
            Step::Read => "read",
            Step::EventTime => "event-time",
            Step::Quality => "quality",
            Step::Operate => "operate",
            Step::Seal => "seal",
            Step::Write => "write",
            Step::Commit => "commit",
            Step::Report => "report",
        }
    }
}

/// `7 (seal)`
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.name())
    }
}

/// A number or a name.
impl FromStr for Step {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_named = |step: &&Step| step.name() == text || step.number().to_string() == text;
        Step::ALL.iter().find(is_named).copied().ok_or_else(|| {
            let steps = Step::ALL.map(|step| format!("{} {}", step.number(), step.name()));
            Error::usage("UNKNOWN_STEP", format!("a batch has no step '{text}'"))
                .hint(format!("the steps are {}", steps.join(", ")))
        })
    }
}

/// A moment at which a run can be cut off: right after a step has taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPoint {
    /// The step.
    pub step: Step,
    /// In which batch; `None`: in the first that takes the step.
    pub batch: Option<BatchId>,
}

impl CrashPoint {
    /// Whether this is the moment.
    pub fn is(self, step: Step, batch: BatchId) -> bool {
        self.step == step && self.batch.is_none_or(|wanted| wanted == batch)
    }
}

/// `STEP` or `STEP@BATCH`: `7`, `seal@3`.
impl FromStr for CrashPoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((step, batch)) = text.split_once('@') else {
            return Ok(Self { step: text.parse()?, batch: None });
        };
        let number = batch.parse().map_err(|_| {
            Error::usage("INVALID_BATCH", format!("'{batch}' is not the number of a batch"))
                .hint("write STEP@BATCH, as in 7@3; batches are counted from 0")
        })?;
        Ok(Self { step: step.parse()?, batch: Some(number) })
    }
}

/// Called when a step of a batch has taken effect. An error ends the batch there and leaves on disk
/// what a crash at this moment would.
pub type AfterStep = Box<dyn FnMut(Step, BatchId) -> Result<()> + Send>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_architecture_page_numbers_and_names_the_same_steps() {
        let page = include_str!("../README.md");
        for step in Step::ALL {
            let row = format!("| {} | `{}` | ", step.number(), step.name());
            assert!(page.contains(&row), "no row begins with {row}");
        }
    }

    #[test]
    fn a_point_is_a_number_or_a_name_and_perhaps_a_batch() {
        let point = |step, batch| CrashPoint { step, batch };
        assert_eq!("7".parse::<CrashPoint>().unwrap(), point(Step::Seal, None));
        assert_eq!("commit@12".parse::<CrashPoint>().unwrap(), point(Step::Commit, Some(12)));
        for wrong in ["", "0", "11", "07", "seal@", "seal@-1", "fly"] {
            assert!(wrong.parse::<CrashPoint>().is_err(), "{wrong}");
        }
        assert!(point(Step::Read, Some(2)).is(Step::Read, 2));
        assert!(!point(Step::Read, Some(2)).is(Step::Read, 3));
    }
}
