//! The state: that what was known after the newest batch that is done can be had again.
//!
//! Only the frames of the files are checked, and that the changes follow each other; whether the rows in
//! them are those of the query is said when it starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{COPY, Finding, Subject, Weight};
use crate::batch::BatchId;
use crate::durable::{self, SealError};
use crate::error::Result;

/// The files of one table of a state, by batch; what is wrong with each.
#[derive(Default)]
struct Files {
    changes: BTreeMap<BatchId, Option<String>>,
    snapshots: BTreeMap<BatchId, Option<String>>,
}

pub(super) fn check(subject: &Subject) -> Result<Vec<Finding>> {
    let Some(done) = subject.checkpoint.newest_done() else { return Ok(vec![]) };
    let mut findings = vec![];
    for folder in folders(&subject.places.checkpoint)? {
        findings.extend(check_one(&folder, done)?);
    }
    Ok(findings)
}

/// Whether the state after a batch can be had.
pub(super) fn can_be_had(checkpoint: &Path, batch: BatchId) -> Result<bool> {
    for folder in folders(checkpoint)? {
        let findings = check_one(&folder, batch)?;
        if findings.iter().any(|finding| finding.weight == Weight::Checkpoint) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The folders of the tables that operators keep: `state/<stage>/<table>`.
fn folders(checkpoint: &Path) -> Result<Vec<PathBuf>> {
    let state = checkpoint.join("state");
    let mut folders = vec![];
    for stage in durable::names(&state)? {
        for table in durable::names(&state.join(&stage))? {
            folders.push(state.join(&stage).join(table));
        }
    }
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    Ok(folders)
}

fn check_one(folder: &Path, done: BatchId) -> Result<Vec<Finding>> {
    let mut files = Files::default();
    for name in durable::names(folder)? {
        let Some((batch, kind)) = name.split_once('.') else { continue };
        let Ok(batch) = batch.parse::<BatchId>() else { continue };
        // What a batch that is not done has left is written again.
        if batch > done {
            continue;
        }
        let of_kind = match kind {
            "change" => &mut files.changes,
            "snapshot" => &mut files.snapshots,
            _ => continue,
        };
        // A running query may have removed it since.
        let sealed = durable::open_sealed(&folder.join(&name), &format!("state-{kind}"))?;
        let why = match sealed {
            None => continue,
            Some(Ok(_)) => None,
            Some(Err(SealError::Torn(why) | SealError::Foreign(why))) => Some(why),
        };
        of_kind.insert(batch, why);
    }
    Ok(files.judge(folder, done))
}

impl Files {
    fn judge(&self, folder: &Path, done: BatchId) -> Vec<Finding> {
        let snapshots = self.snapshots.iter().rev().filter(|(_, why)| why.is_none());
        let mut starts: Vec<Option<BatchId>> = snapshots.map(|(batch, _)| Some(*batch)).collect();
        starts.push(None);
        let reaches = |start: &Option<BatchId>| {
            let first = start.map_or(0, |batch| batch + 1);
            (first..=done).all(|batch| self.changes.get(&batch) == Some(&None))
        };
        let mut findings = vec![];
        let can_be_had = starts.iter().any(reaches);
        for (batch, why) in self.broken() {
            let (weight, way_out) = match can_be_had {
                true => (
                    Weight::Healing,
                    "the state is read from other files; it goes when they are cleaned up",
                ),
                false => (Weight::Checkpoint, COPY),
            };
            let what = format!("is not whole: {why}");
            findings.push(Finding::new(weight, "I1", folder.join(batch), what, way_out));
        }
        if !can_be_had && findings.is_empty() {
            let what = format!("files are missing: the state after batch {done} cannot be had");
            findings.push(Finding::new(Weight::Checkpoint, "I1", folder, what, COPY));
        }
        findings
    }

    fn broken(&self) -> impl Iterator<Item = (String, &String)> {
        let changes = self.changes.iter().map(|(b, why)| (format!("{b}.change"), why));
        let snapshots = self.snapshots.iter().map(|(b, why)| (format!("{b}.snapshot"), why));
        changes.chain(snapshots).filter_map(|(name, why)| Some((name, why.as_ref()?)))
    }
}
