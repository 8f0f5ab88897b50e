//! The decisions: whole, without a gap, and no input file in two of them.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::{COPY, Finding, Subject, Weight};
use crate::batch::BatchId;
use crate::checkpoint::Piece;
use crate::checkpoint::recovery::RETAINED;
use crate::sources::taken_files;

pub(super) fn check(subject: &Subject) -> Vec<Finding> {
    let mut findings = torn(subject);
    findings.extend(gaps(subject));
    findings.extend(histories(subject));
    findings.extend(twice(subject));
    findings
}

fn damage(rule: &'static str, file: PathBuf, what: String, way_out: &str) -> Finding {
    Finding::new(Weight::Checkpoint, rule, file, what, way_out)
}

/// Files that are not whole. The newest one can be what a power cut leaves.
fn torn(subject: &Subject) -> Vec<Finding> {
    let (found, folder) = (&subject.checkpoint, &subject.places.checkpoint);
    let newest = found.newest_decided();
    let held = [&subject.output, &subject.rejected];
    let held = held.into_iter().flatten().filter_map(|table| table.newest_batch()).max();
    let mut findings = vec![];
    for (batch, why) in pieces(&found.offsets) {
        let file = folder.join(format!("offsets/{batch}"));
        let what = format!("is not whole: {why}");
        let is_loose = Some(batch) == newest && !found.commits.contains_key(&batch);
        findings.push(match (is_loose, held >= Some(batch)) {
            (true, false) => healing("I3", file, what),
            (true, true) => {
                let what =
                    format!("{what}, and a table holds its batch: what it has read is unknown");
                damage("I1", file, what, COPY)
            }
            (false, _) => damage("I3", file, what, COPY),
        });
    }
    for (batch, why) in pieces(&found.commits) {
        let file = folder.join(format!("commits/{batch}"));
        let what = format!("is not whole: {why}");
        findings.push(match Some(batch) == newest {
            true => healing("I3", file, what),
            false => damage("I3", file, what, COPY),
        });
    }
    findings
}

fn pieces<T>(
    of: &std::collections::BTreeMap<BatchId, Piece<T>>,
) -> impl Iterator<Item = (BatchId, &str)> {
    of.iter().filter_map(|(batch, piece)| Some((*batch, piece.torn()?)))
}

fn healing(rule: &'static str, file: PathBuf, what: String) -> Finding {
    let what = format!("{what}; its batch was under way when the process died");
    let way_out = "the next start sets it aside and does the batch again";
    Finding::new(Weight::Healing, rule, file, what, way_out)
}

fn gaps(subject: &Subject) -> Vec<Finding> {
    let (found, folder) = (&subject.checkpoint, &subject.places.checkpoint);
    let mut findings = vec![];
    let mut missing = |kind: &str, batch: BatchId| {
        let file = folder.join(format!("{kind}/{batch}"));
        findings.push(damage("I3", file, "is missing, though a later batch is there".into(), COPY));
    };
    let decided: BTreeSet<BatchId> = found.offsets.keys().copied().collect();
    let done: BTreeSet<BatchId> = found.commits.keys().copied().collect();
    let newest = decided.last().max(done.last()).copied();
    let Some(newest) = newest else { return findings };
    // A clean-up that was cut short may have left some older ones.
    for batch in (newest + 1).saturating_sub(RETAINED)..=newest {
        if !decided.contains(&batch) {
            missing("offsets", batch);
        }
        if !done.contains(&batch) && batch < newest {
            missing("commits", batch);
        }
    }
    findings
}

fn histories(subject: &Subject) -> Vec<Finding> {
    let (found, folder) = (&subject.checkpoint, &subject.places.checkpoint);
    let oldest = found.offsets.keys().next().copied().unwrap_or(0);
    let mut findings = vec![];
    for (source, piece) in found.histories.iter().enumerate() {
        let file = folder.join(format!("sources/{source}/history"));
        match piece {
            Piece::Torn(why) => findings.push(damage("I5", file, why.clone(), COPY)),
            Piece::Whole(past) if past.next < oldest => {
                let what = format!(
                    "ends with batch {}, but offsets/ begins with {oldest}: what was read between \
                     them would be read again",
                    past.next.saturating_sub(1)
                );
                findings.push(damage("I5", file, what, COPY));
            }
            Piece::Whole(_) => {}
        }
    }
    findings
}

/// Files of one source that two batches take, as the same file: path, size and time.
fn twice(subject: &Subject) -> Vec<Finding> {
    let found = &subject.checkpoint;
    let mut findings = vec![];
    for source in 0..found.histories.len() {
        let mut seen: HashMap<(PathBuf, u64, i64), BatchId> = HashMap::new();
        for (batch, take) in found.takes(source) {
            for file in taken_files(take).unwrap_or_default() {
                let known = seen.insert((file.path.clone(), file.size, file.mtime), batch);
                if let Some(before) = known.filter(|before| *before != batch) {
                    findings.push(twice_taken(
                        &subject.places.checkpoint,
                        &file.path,
                        before,
                        batch,
                    ));
                }
            }
        }
    }
    findings
}

fn twice_taken(checkpoint: &Path, file: &Path, before: BatchId, batch: BatchId) -> Finding {
    let what = format!("belongs to batch {before} and to batch {batch}: its rows count twice");
    let way_out =
        format!("{} was changed by hand, or this is a bug of ours: {COPY}", checkpoint.display());
    damage("I5", file.to_owned(), what, &way_out)
}
