//! The ways out of what a check has found.
//!
//! Takes what was found and what a person wants; gives steps, each of which says what it would do before
//! it does it. Nothing is removed: what is taken away goes below `aside/` in the project, where a person
//! can look at it, bring it back or remove it.

use std::path::{Path, PathBuf};

use super::{Finding, Places, Subject, Weight, state};
use crate::batch::BatchId;
use crate::checkpoint::{Accepted, KnownTable, Mending, Role};
use crate::durable::Disk;
use crate::error::{Error, Result};
use crate::time::{Clock, SystemClock, iso_millis};

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// What is safe: nothing that was decided or written changes.
    Safe,
    /// Forget the decisions that the table does not hold.
    RollBack,
    /// Take the table as it is.
    AcceptSink,
    /// Begin anew.
    StartOver,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A file or a folder gets another place.
    Move {
        /// From here.
        from: PathBuf,
        /// To here.
        to: PathBuf,
        /// What that means.
        why: String,
    },
    /// The checkpoint takes a table as it is.
    Accept {
        /// Which one.
        role: Role,
        /// What is known of it from now on.
        table: KnownTable,
        /// Whether the query gets another identity, since the table holds batches that nobody knows.
        new_id: bool,
        /// What that means.
        why: String,
    },
}

impl Step {
    /// What it would do, in a sentence.
    pub fn what(&self) -> String {
        match self {
            Step::Move { from, to, why } => {
                format!("move {} to {}: {why}", from.display(), to.display())
            }
            Step::Accept { why, .. } => why.clone(),
        }
    }
}

/// The steps to what a person wants; none: there is nothing to do.
///
/// # Errors
///
/// `REPAIR_NOT_POSSIBLE`: that would lose or double rows without saying so.
pub fn plan(subject: &Subject, findings: &[Finding], wish: Wish) -> Result<Vec<Step>> {
    let aside = Aside::of(&subject.places);
    match wish {
        Wish::Safe => Ok(safe(subject, findings, &aside)),
        Wish::RollBack => roll_back(subject, &aside),
        Wish::AcceptSink => accept(subject),
        Wish::StartOver => Ok(start_over(subject, &aside)),
    }
}

/// Does the steps, one after the other.
///
/// # Errors
///
/// `CHECKPOINT_LOCKED`: the query runs. Or the disk says no: what was done until then is done.
pub fn carry_out(places: &Places, disk: Disk, steps: &[Step]) -> Result<()> {
    let mending = Mending::begin(&places.checkpoint, disk)?;
    steps.iter().try_for_each(|step| match step {
        Step::Move { from, to, .. } => mending.move_aside(from, to),
        Step::Accept { role, table, new_id, .. } => {
            mending.know_table(*role, table.clone(), *new_id)
        }
    })
}

/// Where what is taken away goes: `aside/<now>/…`, under the same path as in the project.
struct Aside {
    project: PathBuf,
    folder: PathBuf,
}

impl Aside {
    fn of(places: &Places) -> Self {
        let now = iso_millis(SystemClock.now()).replace([':', '.'], "-");
        Self { project: places.project.clone(), folder: places.project.join("aside").join(now) }
    }

    fn step(&self, from: &Path, why: impl Into<String>) -> Step {
        let within = from.strip_prefix(&self.project).unwrap_or(from);
        let parts =
            within.components().filter(|part| matches!(part, std::path::Component::Normal(_)));
        let to = self.folder.join(parts.collect::<PathBuf>());
        Step::Move { from: from.to_owned(), to, why: why.into() }
    }
}

fn safe(subject: &Subject, findings: &[Finding], aside: &Aside) -> Vec<Step> {
    let mut steps = vec![];
    for role in [Role::Output, Role::Rejected] {
        let Some(table) = subject.table(role) else { continue };
        if let ([(path, _)], true) = (&table.torn[..], table.newest_is_torn()) {
            let why = "the newest commit of the table is not whole, so no reader may count it; the \
                       table is then as it was before it";
            steps.push(aside.step(path, why));
        }
    }
    let left = findings.iter().filter(|found| found.rule == "leftovers");
    for file in left.filter_map(|found| found.file.as_ref()) {
        steps.push(aside.step(file, "a process that died has left it, nothing refers to it"));
    }
    let healing = findings.iter().filter(|found| found.weight == Weight::Healing);
    for file in healing.filter_map(|found| found.file.as_ref()) {
        let why = "it is not whole, and what it held is had from elsewhere or done again";
        steps.push(aside.step(file, why));
    }
    steps
}

fn not_possible(why: impl Into<String>) -> Error {
    Error::usage("REPAIR_NOT_POSSIBLE", why)
        .hint("`strandline checkpoint fsck CHECKPOINT` says what there is to be done")
}

/// Takes back every decision that the table does not hold, so that it is made anew: the newest one, which
/// was under way, or those whose commits the table has lost.
fn roll_back(subject: &Subject, aside: &Aside) -> Result<Vec<Step>> {
    let found = &subject.checkpoint;
    let held = subject.output.as_ref().and_then(|table| table.newest_batch());
    let first = held.map_or(0, |held| held + 1);
    let Some(newest) = found.newest_decided().filter(|newest| *newest >= first) else {
        return Err(not_possible(match found.newest_decided() > found.newest_done() {
            true => {
                "the newest batch is in the table already: to decide it anew would double its rows"
            }
            false => "the table holds every batch that was decided: there is none to take back",
        }));
    };
    check_roll_back(subject, held, first)?;
    let mut steps = vec![];
    // Newest first, and the end of a batch before its decision: a crash in between leaves what can be
    // gone on with.
    for batch in (first..=newest).rev() {
        let why = format!(
            "the table does not hold batch {batch}; it is decided anew, from what is there"
        );
        for (kind, is_there) in [
            ("commits", found.commits.contains_key(&batch)),
            ("offsets", found.offsets.contains_key(&batch)),
        ] {
            let file = subject.places.checkpoint.join(format!("{kind}/{batch}"));
            steps.extend(is_there.then(|| aside.step(&file, &why)));
        }
    }
    Ok(steps)
}

/// Everything that the checkpoint has to know of the batch before the first one taken back.
fn check_roll_back(subject: &Subject, held: Option<BatchId>, first: BatchId) -> Result<()> {
    let found = &subject.checkpoint;
    if subject.rejected.as_ref().and_then(|table| table.newest_batch()) >= Some(first) {
        return Err(not_possible(format!(
            "{} holds rejected rows of batch {first} or a later one",
            subject.places.rejected.display()
        )));
    }
    let is_archived = found.histories.iter().filter_map(|past| past.whole());
    if is_archived.map(|past| past.next).max().is_some_and(|next| next > first) {
        return Err(not_possible(format!("what batch {first} has read is archived already")));
    }
    let Some(held) = held else { return Ok(()) };
    let whole = |is_whole: Option<bool>| is_whole == Some(true);
    if !whole(found.offsets.get(&held).map(|piece| piece.whole().is_some()))
        || !whole(found.commits.get(&held).map(|piece| piece.whole().is_some()))
    {
        return Err(not_possible(format!("offsets/{held} and commits/{held} are not both whole")));
    }
    match state::can_be_had(&subject.places.checkpoint, held)? {
        true => Ok(()),
        false => Err(not_possible(format!("the state after batch {held} cannot be had any more"))),
    }
}

fn accept(subject: &Subject) -> Result<Vec<Step>> {
    let found = &subject.checkpoint;
    let mut steps = vec![];
    for role in [Role::Output, Role::Rejected] {
        let known = found.identity.tables.get(&role);
        if role == Role::Rejected && known.is_none() && subject.rejected.is_none() {
            continue;
        }
        steps.push(accept_one(subject, role)?);
    }
    Ok(steps)
}

fn accept_one(subject: &Subject, role: Role) -> Result<Step> {
    let (found, folder) = (&subject.checkpoint, subject.places.table(role));
    let table = subject.table(role);
    if let Some((path, what)) = table.and_then(|table| table.torn.first()) {
        return Err(not_possible(format!("{} {what}: that comes first", path.display())));
    }
    let held = table.and_then(|table| table.newest_batch());
    let (decided, done) = (found.newest_decided(), found.newest_done());
    let new_id = held > decided;
    // A batch that was under way counts as written if it is in the table.
    let batch: Option<BatchId> = if held >= decided { decided } else { done.max(held) };
    let version = table.and_then(|table| table.versions).map_or(0, |(_, newest)| newest);
    let id = table.and_then(|table| table.id.clone());
    let shown = folder.display();
    let next = batch.map_or(0, |batch| batch + 1);
    let mut why = match table {
        None => format!("begin a new table in {shown} with batch {next}"),
        Some(_) => {
            format!("take {shown} as it is (version {version}), and go on with batch {next}")
        }
    };
    match (held, batch) {
        _ if new_id => why.push_str(
            "; what the table holds beyond the checkpoint stays, and its input is read again: in append \
             mode those rows are then there twice",
        ),
        (held, Some(batch)) if held < Some(batch) && role == Role::Output => {
            let first = held.map_or(0, |held| held + 1);
            why.push_str(&format!(
                "; the rows of the batches {first} to {batch} that are not in it are not written again"
            ));
        }
        _ => {}
    }
    let table = KnownTable { id, accepted: Some(Accepted { version, batch }) };
    Ok(Step::Accept { role, table, new_id, why })
}

fn start_over(subject: &Subject, aside: &Aside) -> Vec<Step> {
    let places = &subject.places;
    let mut steps = vec![];
    for (role, what) in [(Role::Output, "the table"), (Role::Rejected, "the rejected rows")] {
        if subject.table(role).is_some() {
            steps.push(aside.step(places.table(role), format!("{what}, which is written anew")));
        }
    }
    // The checkpoint last: a crash in between leaves one that says that its table is gone.
    let why = "the checkpoint; the next start reads all input from the beginning";
    steps.push(aside.step(&places.checkpoint, why));
    steps
}
