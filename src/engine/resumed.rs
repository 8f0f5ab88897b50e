//! What a query finds at its start, in words: what the run before left, what is done again, and why
//! nothing is doubled.
//!
//! Takes what the checkpoint and the sink say, gives a sentence. Decides nothing.

use std::fmt;

use super::assemble::Assembly;
use crate::batch::BatchId;
use crate::checkpoint::Recovery;
use crate::sinks::Sink;

/// What the run before left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumed {
    /// It was cut off between two batches: nothing is to be done again.
    Between {
        /// The newest batch that is done.
        last: Option<BatchId>,
    },
    /// It was cut off, or failed, within a batch.
    Within {
        /// The batch, which is run again.
        batch: BatchId,
        /// Whether the query has a state, over which it is run.
        over_state: bool,
        /// What the sink is called.
        sink: String,
        /// Whether the sink holds the batch; `None`: it remembers nothing.
        written: Option<bool>,
    },
}

impl Resumed {
    /// `None`: the query is new, or the run before ended by itself and left nothing to do again.
    pub(super) fn of(
        recovery: &Recovery,
        was_cut_off: bool,
        assembly: &Assembly,
        sink: &dyn Sink,
        newest_written: Option<BatchId>,
    ) -> Option<Self> {
        match recovery {
            Recovery::Rerun { batch, .. } => Some(Self::Within {
                batch: *batch,
                over_state: !assembly.stages.is_empty(),
                sink: sink.description(),
                written: sink.remembers().then_some(newest_written == Some(*batch)),
            }),
            _ if !was_cut_off => None,
            Recovery::Fresh => Some(Self::Between { last: None }),
            Recovery::Continue { next, .. } => Some(Self::Between { last: next.checked_sub(1) }),
        }
    }
}

impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between { last: None } => {
                write!(f, "the run before was cut off before it decided a batch: nothing is lost")
            }
            Self::Between { last: Some(last) } => write!(
                f,
                "the run before was cut off between two batches: batch {last} is committed, \
                 nothing is run again"
            ),
            Self::Within { batch, over_state, sink, written } => {
                write!(f, "batch {batch} was decided and not committed: run again from ")?;
                write!(f, "offsets/{batch}")?;
                match batch.checked_sub(1).filter(|_| *over_state) {
                    Some(before) => write!(f, " over state {before}")?,
                    None if *over_state => write!(f, " over the empty state")?,
                    None => {}
                }
                match written {
                    Some(true) => write!(
                        f,
                        "; {sink} holds batch {batch} already, so its output is not written twice"
                    ),
                    Some(false) => {
                        write!(f, "; {sink} does not hold batch {batch}, so its output is written")
                    }
                    None => write!(f, "; {sink} remembers nothing, so its output comes again"),
                }
            }
        }
    }
}
