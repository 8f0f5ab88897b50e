//! A table against the checkpoint: which batches it holds, and whether its files are what it says.

use super::{COPY, Finding, Subject, Weight};
use crate::batch::BatchId;
use crate::checkpoint::Role;
use crate::error::Result;
use crate::sinks::delta::inspect::TableFacts;

const ACCEPT: &str = "bring the table back; or go on with it as it is: `strandline checkpoint repair \
                      CHECKPOINT --accept-sink`; or start over with --start-over";

const ROLL_BACK: &str = "bring the table back; or read again what it lacks: `strandline checkpoint repair \
                         CHECKPOINT --roll-back`; or go on without it with --accept-sink";

pub(super) fn check(subject: &Subject, role: Role) -> Result<Vec<Finding>> {
    let folder = subject.places.table(role);
    let known = subject.checkpoint.identity.tables.get(&role);
    let done = subject.checkpoint.newest_done();
    let Some(table) = subject.table(role) else {
        let is_missed = role == Role::Output || known.is_some_and(|known| known.id.is_some());
        let accepted = known.and_then(|known| known.accepted.as_ref()?.batch);
        return Ok(match done.filter(|_| is_missed && accepted < done) {
            Some(done) => vec![Finding::new(
                Weight::Table,
                "I1",
                folder,
                format!("is no table, though the batches up to {done} are done"),
                ACCEPT,
            )],
            None => vec![],
        });
    };
    let mut findings = torn(table);
    if let (Some(known), Some(found)) = (known.and_then(|known| known.id.as_ref()), &table.id)
        && known != found
    {
        let what = format!("is another table (id {found}) than that of the query (id {known})");
        findings.push(Finding::new(Weight::Table, "I1", folder, what, ACCEPT));
    }
    if table.torn.is_empty() {
        findings.extend(compare(subject, role, table));
    }
    for (file, what) in table.broken_files(folder) {
        findings.push(Finding::new(Weight::Table, "I7", &file, what, COPY));
    }
    for file in table.leftovers(folder, &subject.checkpoint.identity.id)? {
        let what = "was left by a process that died, no version names it".to_owned();
        let way_out = "`strandline checkpoint repair CHECKPOINT` moves it away";
        findings.push(Finding::new(Weight::Note, "leftovers", &file, what, way_out));
    }
    Ok(findings)
}

fn torn(table: &TableFacts) -> Vec<Finding> {
    let newest = table.torn.last().map(|(path, _)| path.clone());
    let is_loose =
        |path: &std::path::PathBuf| Some(path) == newest.as_ref() && table.newest_is_torn();
    let judge = |(path, what): &(std::path::PathBuf, String)| {
        let way_out = match is_loose(path) && table.torn.len() == 1 {
            true => {
                "`strandline checkpoint repair CHECKPOINT` moves it aside: the table is then as it \
                     was before"
            }
            false => COPY,
        };
        Finding::new(Weight::Table, "log", path, what.clone(), way_out)
    };
    table.torn.iter().map(judge).collect()
}

/// I1, I2 and I4.
fn compare(subject: &Subject, role: Role, table: &TableFacts) -> Vec<Finding> {
    let (found, folder) = (&subject.checkpoint, subject.places.table(role));
    let accepted = found.identity.tables.get(&role).and_then(|known| known.accepted.as_ref());
    let newest = table.newest_batch().max(accepted.and_then(|accepted| accepted.batch));
    let mut findings = vec![];
    let (decided, done) = (found.newest_decided(), found.newest_done());
    if newest > decided {
        let what = format!(
            "holds {}, the checkpoint knows {}: it is an older copy, or another one's",
            show(newest),
            show(decided)
        );
        findings.push(Finding::new(Weight::Table, "I2", folder, what, ACCEPT));
    }
    if role == Role::Output && newest < done {
        let what = format!("holds {}, though {} is done", show(newest), show(done));
        findings.push(Finding::new(Weight::Table, "I1", folder, what, ROLL_BACK));
    }
    for version in &table.restores {
        let is_after_ours = table.batches.last().is_some_and(|(_, ours)| ours < version);
        if is_after_ours && accepted.is_none_or(|accepted| accepted.version < *version) {
            let what = format!("was taken back to an older version by version {version} (RESTORE)");
            findings.push(Finding::new(Weight::Table, "I1", folder, what, ACCEPT));
        }
    }
    for pair in table.batches.windows(2) {
        let [(before, one), (after, other)] = pair else { continue };
        if after <= before {
            let what =
                format!("holds batch {before} in version {one} and batch {after} in {other}");
            findings.push(Finding::new(Weight::Table, "I4", folder, what, ACCEPT));
        } else if role == Role::Output && *after > before + 1 && accepted.is_none() {
            let what = format!("holds no batch between {before} and {after} (version {other})");
            findings.push(Finding::new(Weight::Table, "I4", folder, what, ACCEPT));
        }
    }
    findings
}

fn show(batch: Option<BatchId>) -> String {
    batch.map_or("no batch".to_owned(), |batch| format!("batch {batch}"))
}
