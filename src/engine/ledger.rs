//! What becomes of each row of a batch: every row that was read is counted once.
//!
//! ```text
//! read = contributed + filtered by the query + late + duplicate + corrupt + cast failed
//! ```
//!
//! Most batches lose no row, and there it is enough to know how many rows were read and how many
//! arrived where they are kept (see [`super::arrivals`]). When an operator has refused a row, or a
//! line could not be read, the batch's plans are run once more over numbered rows (see
//! [`super::trace`]), and each row is followed to its end. A row that several operators get has
//! contributed if one of them took it.

use std::collections::HashSet;

use super::assemble::{Assembly, Brings, Inflow};
use super::leaf::Holds;
use super::report::Operated;
use super::trace::{RowNumber, RowSet, Traced};
use crate::batch::BatchId;
use crate::error::{Error, Result};
use crate::progress::{OperatorRows, RowCounts};
use crate::sources::{BadRecord, Flaw, Mistyped};
use crate::time::{EventTimeMicros, Millis};

/// What a source gave to a batch, as far as its rows have to be accounted for.
pub struct ReadRows<'a> {
    /// The name of the slot that holds the rows.
    pub slot: &'a str,
    /// How many rows there are.
    pub rows: usize,
    /// Lines that are no rows, or not as they should be.
    pub bad: &'a [BadRecord],
    /// Rows with a value of the wrong type.
    pub mistyped: &'a [Mistyped],
}

/// Why an operator took nothing of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The watermark had passed everything that the row belongs to.
    Late,
    /// Its key had been there before: in a row of this batch.
    Duplicate(Option<BatchId>),
}

/// A row that an operator refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Which row.
    pub number: RowNumber,
    /// Which operator, by its number.
    pub stage: usize,
    /// Why.
    pub why: Why,
    /// The event time that the operator went by, in microseconds.
    pub time_us: Option<EventTimeMicros>,
    /// The windows that it would have joined: start and end, in microseconds.
    pub windows: Vec<(EventTimeMicros, EventTimeMicros)>,
}

/// The account of one batch.
#[derive(Debug, Default)]
pub struct Account {
    /// The sum over all sources.
    pub rows: RowCounts,
    /// What went into each operator.
    pub operators: Vec<OperatorRows>,
    /// The rows that operators refused, each once.
    pub refused: Vec<Refused>,
    /// For each source the numbers of the rows that came to nothing because of a value of the wrong
    /// type.
    pub cast_failed: Vec<Vec<u64>>,
}

/// What became of a row of a source. What stands later wins over what stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Filtered,
    CastFailed,
    Duplicate,
    Late,
    Contributed,
    Corrupt,
}

/// Draws up the account of a batch that has just been computed, while the slots hold its rows.
/// `late_ms`: for each operator the watermark by which rows are late.
///
/// # Errors
///
/// `INTERNAL_ERROR` where the sum does not hold: a row was lost, or counted twice.
pub fn account(
    assembly: &Assembly,
    read: &[ReadRows<'_>],
    operated: &[Operated],
    late_ms: &[Millis],
) -> Result<Account> {
    let ledger = Ledger::new(assembly, read, operated, late_ms);
    let is_plain = read.iter().all(|source| source.bad.is_empty() && source.mistyped.is_empty())
        && operated.iter().all(|o| o.processed.late == 0 && o.processed.duplicates.is_empty());
    let account = if is_plain { ledger.count() } else { ledger.follow()? };
    ledger.check(&account)?;
    Ok(account)
}

struct Ledger<'a> {
    assembly: &'a Assembly,
    read: &'a [ReadRows<'a>],
    operated: &'a [Operated],
    late_ms: &'a [Millis],
    /// For each operator and each of its inputs, and last for the sink, how many rows arrived.
    arrived: Vec<Vec<u64>>,
    /// How many rows of the sources arrived anywhere, each once.
    reached: u64,
}

impl<'a> Ledger<'a> {
    fn new(
        assembly: &'a Assembly,
        read: &'a [ReadRows<'a>],
        operated: &'a [Operated],
        late_ms: &'a [Millis],
    ) -> Self {
        let (mut reached, mut which) = (0, RowSet::default());
        let mut arrive = |inflow: &Inflow| {
            let arrived = inflow.arrivals.take();
            if inflow.brings == Brings::RowsOfStreams {
                reached += arrived.rows;
            }
            which.extend(arrived.which);
            arrived.rows
        };
        let mut arrived: Vec<Vec<u64>> = assembly
            .stages
            .iter()
            .map(|stage| stage.inflows.iter().map(&mut arrive).collect())
            .collect();
        arrived.push(assembly.passing.iter().map(&mut arrive).collect());
        for (leaf, about) in assembly.numbered.leaves.iter().enumerate() {
            reached += if about.holds == Holds::Stream { which.count(leaf) } else { 0 };
        }
        Self { assembly, read, operated, late_ms, arrived, reached }
    }

    /// The account of a batch in which nothing was refused.
    fn count(&self) -> Account {
        let read: u64 = self.read.iter().map(|source| source.rows as u64).sum();
        let surplus: usize = self.of_streams().map(|o| o.processed.surplus).sum();
        let contributed = self.reached.saturating_sub(surplus as u64);
        let filtered = read.saturating_sub(contributed);
        let rows = RowCounts { read, contributed, filtered, ..RowCounts::default() };
        Account { rows, operators: self.operators(&[]), ..Account::default() }
    }

    /// The operators that get rows straight from streams.
    fn of_streams(&self) -> impl Iterator<Item = &Operated> {
        let stages = self.assembly.stages.iter().zip(self.operated);
        stages
            .filter(|(stage, _)| stage.inflows.iter().any(|i| i.brings != Brings::RowsOfOperators))
            .map(|(_, operated)| operated)
    }

    fn operators(&self, refused: &[Refused]) -> Vec<OperatorRows> {
        let of_stage = |(stage, operated): (usize, &Operated)| {
            let count = |late: bool| {
                let same = |r: &&Refused| r.stage == stage && (r.why == Why::Late) == late;
                refused.iter().filter(same).count() as u64
            };
            let (late, duplicate) = (count(true), count(false));
            let input: u64 = self.arrived[stage].iter().sum();
            let filtered = operated.processed.surplus as u64;
            let contributed = input.saturating_sub(late + duplicate + filtered);
            OperatorRows { input, contributed, filtered, late, duplicate }
        };
        self.operated.iter().enumerate().map(of_stage).collect()
    }

    /// The account of a batch in which something was refused: each row is followed.
    fn follow(&self) -> Result<Account> {
        self.assembly.numbered.fill()?;
        let mut fates: Vec<Vec<Fate>> =
            self.read.iter().map(|source| vec![Fate::Filtered; source.rows]).collect();
        let sources = self.sources();
        let mut all_refused = vec![];
        for stage in 0..self.assembly.stages.len() {
            for input in 0..self.assembly.stages[stage].inflows.len() {
                self.follow_inflow(stage, input, &sources, &mut fates, &mut all_refused)?;
            }
        }
        if let Some(passing) = &self.assembly.passing {
            let traced = self.trace(passing)?;
            for number in &traced.numbers {
                meets(&sources, &mut fates, *number, Fate::Contributed);
            }
        }
        self.assembly.numbered.clear();

        let operators = self.operators(&all_refused);
        let cast_failed = self.flaws(&mut fates);
        let rows = self.sum(&fates);
        let refused = last_word(all_refused, &sources, &fates);
        Ok(Account { rows, operators, refused, cast_failed })
    }

    /// For each leaf which source it is, if it is a stream.
    fn sources(&self) -> Vec<Option<usize>> {
        let source = |slot: &str| self.read.iter().position(|source| source.slot == slot);
        let leaves = self.assembly.numbered.leaves.iter();
        let streams = leaves.map(|leaf| Some(leaf).filter(|leaf| leaf.holds == Holds::Stream));
        streams.map(|stream| source(stream?.slot.name())).collect()
    }

    fn trace(&self, inflow: &Inflow) -> Result<Traced> {
        inflow.trace.run(&self.assembly.planner, &self.assembly.task)
    }

    fn follow_inflow(
        &self,
        stage: usize,
        input: usize,
        sources: &[Option<usize>],
        fates: &mut [Vec<Fate>],
        all_refused: &mut Vec<Refused>,
    ) -> Result<()> {
        let (inflow, done) =
            (&self.assembly.stages[stage].inflows[input], &self.operated[stage].processed);
        if inflow.brings == Brings::RowsOfOperators && done.late == 0 && done.duplicates.is_empty()
        {
            return Ok(());
        }
        let traced = self.trace(inflow)?;
        let arrived = traced.numbers.len();
        if inflow.repeatable && arrived as u64 != self.arrived[stage][input] {
            return Err(lost(format!(
                "{} rows went into operator {stage}, {arrived} of them can be found again",
                self.arrived[stage][input]
            )));
        }
        // In the order of the rows.
        let mut again = done.duplicates.iter().peekable();
        let late_us = self.late_ms.get(stage).map(|ms| ms.saturating_mul(1000));
        let late_us = late_us.filter(|_| done.late > 0);
        for (row, &number) in traced.numbers.iter().enumerate() {
            let why = match late_us {
                Some(late_us) if traced.is_late(row, late_us) => Some(Why::Late),
                _ => again
                    .next_if(|again| again.row == row as u64)
                    .map(|again| Why::Duplicate(again.first)),
            };
            let fate = match why {
                None if row + done.surplus >= arrived => Fate::Filtered,
                None => Fate::Contributed,
                Some(Why::Late) => Fate::Late,
                Some(Why::Duplicate(_)) => Fate::Duplicate,
            };
            meets(sources, fates, number, fate);
            all_refused.extend(why.map(|why| Refused {
                number,
                stage,
                why,
                time_us: traced.time(row),
                windows: traced.windows(row),
            }));
        }
        Ok(())
    }

    /// Lines that could not be read, or not all of them.
    fn flaws(&self, fates: &mut [Vec<Fate>]) -> Vec<Vec<u64>> {
        let mut all = vec![];
        for (source, fates) in self.read.iter().zip(fates) {
            let corrupt = source.bad.iter().filter(|bad| bad.flaw == Flaw::Corrupt);
            for row in corrupt.filter_map(|bad| bad.row) {
                if let Some(fate) = fates.get_mut(row as usize) {
                    *fate = Fate::Corrupt;
                }
            }
            let mut failed = vec![];
            for mistyped in source.mistyped {
                let fate = fates.get_mut(mistyped.row as usize);
                if let Some(fate) = fate.filter(|fate| **fate == Fate::Filtered) {
                    *fate = Fate::CastFailed;
                    failed.push(mistyped.row);
                }
            }
            all.push(failed);
        }
        all
    }

    fn sum(&self, fates: &[Vec<Fate>]) -> RowCounts {
        let mut rows = RowCounts::default();
        for (source, fates) in self.read.iter().zip(fates) {
            rows.read += source.rows as u64;
            for fate in fates {
                *match fate {
                    Fate::Filtered => &mut rows.filtered,
                    Fate::CastFailed => &mut rows.cast_failed,
                    Fate::Duplicate => &mut rows.duplicate,
                    Fate::Late => &mut rows.late,
                    Fate::Contributed => &mut rows.contributed,
                    Fate::Corrupt => &mut rows.corrupt,
                } += 1;
            }
            for dropped in source.bad.iter().filter(|bad| bad.row.is_none()) {
                rows.read += 1;
                match dropped.flaw {
                    Flaw::Mistyped => rows.cast_failed += 1,
                    Flaw::Corrupt | Flaw::Surplus => rows.corrupt += 1,
                }
            }
        }
        rows
    }

    /// What the rule says must hold, whatever the numbers come from.
    fn check(&self, account: &Account) -> Result<()> {
        let rows = account.rows;
        if !rows.adds_up() {
            return Err(lost(format!("the rows of the batch do not add up: {rows:?}")));
        }
        for (number, (operated, rows)) in self.operated.iter().zip(&account.operators).enumerate() {
            let processed = &operated.processed;
            let by_operator = processed.duplicates.len() as u64;
            let parts = rows.contributed + rows.filtered + rows.late + rows.duplicate;
            let lateness = (rows.late > 0) <= (processed.late > 0);
            if rows.duplicate != by_operator || parts != rows.input || !lateness {
                let (late, again) = (processed.late, processed.duplicates.len());
                return Err(lost(format!(
                    "the rows of operator {number} do not add up: {rows:?}, by its own count {late} \
                     late and {again} duplicate"
                )));
            }
        }
        Ok(())
    }
}

fn lost(what: String) -> Error {
    Error::internal(what)
}

/// A row has come to one of its ends.
fn meets(sources: &[Option<usize>], fates: &mut [Vec<Fate>], number: RowNumber, fate: Fate) {
    let Some(source) = sources.get(number.leaf()).copied().flatten() else { return };
    let row = fates.get_mut(source).and_then(|rows| rows.get_mut(number.row() as usize));
    if let Some(row) = row {
        *row = fate.max(*row);
    }
}

/// Of all refusals those that decided: each row once, and none that contributed elsewhere.
fn last_word(all: Vec<Refused>, sources: &[Option<usize>], fates: &[Vec<Fate>]) -> Vec<Refused> {
    let mut seen = HashSet::new();
    let decided = |refused: &Refused| match sources.get(refused.number.leaf()).copied().flatten() {
        None => true,
        Some(source) => {
            let fate = fates[source].get(refused.number.row() as usize);
            let own = if refused.why == Why::Late { Fate::Late } else { Fate::Duplicate };
            fate == Some(&own)
        }
    };
    all.into_iter().filter(|refused| decided(refused) && seen.insert(refused.number)).collect()
}
