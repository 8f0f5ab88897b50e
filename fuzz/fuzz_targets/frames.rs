//! Sealed bytes, and a checkpoint whose files are damaged.
//!
//! Asserts: what is unsealed is what was sealed; every way to read the checkpoint (to go on from it, to
//! look at it, to replay it) gives an answer or an error for a user, never a panic and no large
//! allocation; damage that is no seal of ours is never read as if it were whole; where recovery goes on,
//! the next batch can be decided, done, and recovered from.
#![no_main]

mod damage;
mod limit;

use std::collections::BTreeMap;
use std::path::Path;

use damage::{Damage, Files};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use strandline::checkpoint::{
    self, Checkpoint, Commit, Inspection, Offsets, Pinned, Recording, Recovery, View, WatermarkRow,
};
use strandline::durable::{Disk, Durability, seal, unseal};
use strandline::error::{Error, Result};

const KINDS: [&str; 6] =
    ["metadata", "offsets", "commits", "takes", "state-change", "state-snapshot"];

const NAMES: [&str; 21] = [
    "metadata.json",
    "offsets/0",
    "offsets/1",
    "offsets/2",
    "offsets/3",
    "offsets/4",
    "offsets/5",
    "commits/0",
    "commits/1",
    "commits/2",
    "commits/3",
    "commits/4",
    "commits/5",
    "sources/0/history",
    "sources/1/history",
    "progress",
    "progress.old",
    "offsets/18446744073709551615",
    "commits/18446744073709551615",
    "offsets/007",
    "offsets/4.bad",
];

fuzz_target!(|data: &[u8]| {
    for kind in KINDS {
        if let Ok((body, _)) = unseal(kind, data) {
            assert_eq!(unseal(kind, &seal(kind, body)), Ok((body, &b""[..])));
        }
    }
    let mut files = good();
    let damage = damage::damage(&mut files, data, &NAMES, sealed_as);
    let folder = tempfile::tempdir().expect("a folder");
    damage::write(folder.path(), &files);
    looks(folder.path());
    let recovery = goes_on(folder.path());
    match (damage, recovery) {
        (Damage::None, recovery) => match recovery {
            Ok(Recovery::Continue { next: 5, .. }) => {}
            other => panic!("nothing is damaged: {other:?}"),
        },
        // What is read is what was written: batch 3 or 4 is run again, or the next one is planned.
        (Damage::Torn, Ok(recovery)) => is_old(&recovery, &files),
        _ => {}
    }
});

fn sealed_as(name: &str) -> &'static str {
    match name.split('/').next() {
        Some("metadata.json") => "metadata",
        Some("offsets") => "offsets",
        Some("commits") => "commits",
        _ => "takes",
    }
}

fn pinned() -> Pinned {
    Pinned::default().with("keys", "a, b").with("output mode", "append")
}

fn offsets(batch: u64) -> Offsets {
    let time = 1_700_000_000_000 + 1000 * batch as i64;
    Offsets {
        batch_watermark_ms: Some(time - 600_000),
        watermark_row: Some(WatermarkRow {
            batch,
            source: "events".into(),
            file: Some(format!("input/events/{batch}.json")),
            line: Some(3),
            event_time_us: time * 1000,
        }),
        batch_timestamp_ms: time,
        conf: BTreeMap::from([("spark.sql.session.timeZone".into(), "UTC".into())]),
        sources: vec![
            Some(
                json!({ "files": [{ "path": format!("input/events/{batch}.json"), "size": 100 + batch }] }),
            ),
            None,
        ],
        ..Offsets::default()
    }
}

fn commit(batch: u64) -> Commit {
    let next = offsets(batch + 1);
    Commit {
        next_batch_watermark_ms: next.batch_watermark_ms,
        next_watermark_row: next.watermark_row,
        no_data_batch_due: batch == 2,
    }
}

/// Five batches, and two that are archived for the first source.
fn good() -> Files {
    static GOOD: std::sync::OnceLock<Files> = std::sync::OnceLock::new();
    GOOD.get_or_init(|| make().expect("a checkpoint")).clone()
}

fn make() -> Result<Files> {
    let folder = tempfile::tempdir().map_err(|e| Error::internal(e.to_string()))?;
    let mut checkpoint = Checkpoint::open(folder.path(), Disk::new(Durability::Fast), &pinned())?;
    for batch in 0..5 {
        checkpoint.write_offsets(batch, &offsets(batch))?;
        checkpoint.write_commit(batch, &commit(batch))?;
    }
    drop(checkpoint);
    let mut files = Files::new();
    for name in NAMES {
        if let Ok(bytes) = std::fs::read(folder.path().join(name)) {
            files.insert(name.to_owned(), bytes);
        }
    }
    let times: Vec<_> =
        (0..2).map(|b| (offsets(b).batch_timestamp_ms, offsets(b).batch_watermark_ms)).collect();
    let takes: Vec<_> = (0..2).map(|b| (b, offsets(b).sources[0].clone())).collect();
    let record = json!({ "firstBatch": 0, "lastBatch": 1, "takes": takes, "times": times });
    files.insert("sources/0/history".into(), seal("takes", format!("{record}\n").as_bytes()));
    files.insert("progress".into(), b"{\"batchId\":4,\"name\":\"q\"}\n".to_vec());
    Ok(files)
}

/// Everything that looks without the lock.
fn looks(folder: &Path) {
    for_a_user(View::read(folder).map(drop));
    for_a_user(Inspection::read(folder).map(drop));
    for_a_user(Recording::read(folder).map(drop));
    for_a_user(checkpoint::progress::read(folder).map(drop));
    checkpoint::pinned_facts(folder);
}

/// Recovers, and does one more batch where that is what comes next.
fn goes_on(folder: &Path) -> Result<Recovery> {
    let disk = Disk::new(Durability::Fast);
    let open = || {
        let mut checkpoint = Checkpoint::open(folder, disk, &pinned())?;
        let recovery = checkpoint.recovery(None)?;
        Ok::<_, Error>((checkpoint, recovery))
    };
    let (mut checkpoint, recovery) = match open() {
        Ok(opened) => opened,
        Err(error) => {
            assert_ne!(error.condition(), "INTERNAL_ERROR", "{error}");
            return Err(error);
        }
    };
    let told = [0, 1].map(|source| checkpoint.history(source));
    if told.iter().any(Result::is_err) {
        told.into_iter().for_each(|told| for_a_user(told.map(drop)));
        return Ok(recovery);
    }
    if let Recovery::Continue { next, .. } = recovery {
        checkpoint.write_offsets(next, &offsets(next)).expect("the next batch can be decided");
        checkpoint.write_commit(next, &commit(next)).expect("the next batch can be done");
        for_a_user(checkpoint.clean(2));
        drop(checkpoint);
        match open().expect("it was opened before").1 {
            Recovery::Continue { next: after, .. } => assert_eq!(after, next + 1),
            other => panic!("after batch {next}: {other:?}"),
        }
    }
    Ok(recovery)
}

/// Recovery after damage that is no seal of ours says nothing that was not decided.
fn is_old(recovery: &Recovery, files: &Files) {
    // A file under another one's name, or put in whole, may be what it says.
    let moved = |batch: &u64| {
        (0..5).any(|other| {
            files.get(&format!("offsets/{batch}")) == good().get(&format!("offsets/{other}"))
        })
    };
    match recovery {
        Recovery::Fresh => {}
        Recovery::Continue { next, .. } => assert!(*next <= 6, "{recovery:?}"),
        Recovery::Rerun { batch, offsets: decided, .. } => {
            let known = (0..5).any(|other| offsets(other) == *decided);
            assert!(known && moved(batch), "{recovery:?}");
        }
    }
}

fn for_a_user(result: Result<()>) {
    if let Err(error) = result {
        assert_ne!(error.condition(), "INTERNAL_ERROR", "{error}");
    }
}
