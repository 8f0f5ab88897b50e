//! The recovery table and the rest, on real folders.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::recovery::RETAINED;
use super::{
    Checkpoint, Commit, Held, Inspection, Offsets, Pinned, Recording, Recovery, Role, Watermark,
};
use crate::batch::BatchId;
use crate::durable::{Disk, Durability, names, seal};
use crate::error::Result;

fn pinned() -> Pinned {
    Pinned::default().with("keys", "window, event_type")
}

fn open(folder: &Path) -> Result<Checkpoint> {
    Checkpoint::open(folder, Disk::new(Durability::Fast), &pinned())
}

/// Batch N takes file N of the first source; each tenth takes version N of the second.
fn offsets(batch: BatchId) -> Offsets {
    let second = (batch % 10 == 3).then(|| json!({"version": batch}));
    Offsets {
        batch_watermark_ms: Some(batch as i64 * 1000),
        batch_timestamp_ms: batch as i64,
        sources: vec![Some(json!({"files": [format!("{batch}.json")]})), second],
        ..Offsets::default()
    }
}

fn decide(checkpoint: &mut Checkpoint, batch: BatchId) {
    checkpoint.write_offsets(batch, &offsets(batch)).unwrap();
}

fn finish(checkpoint: &mut Checkpoint, batch: BatchId) {
    let commit =
        Commit { next_batch_watermark_ms: Some((batch as i64 + 1) * 1000), ..Commit::default() };
    checkpoint.write_commit(batch, &commit).unwrap();
    checkpoint.clean(2).unwrap();
}

/// A checkpoint in which so many batches are done.
fn done(folder: &Path, batches: u64) -> Checkpoint {
    let mut checkpoint = open(folder).unwrap();
    for batch in 0..batches {
        decide(&mut checkpoint, batch);
        finish(&mut checkpoint, batch);
    }
    checkpoint
}

fn planned(next: BatchId) -> Recovery {
    Recovery::Continue {
        no_data_batch_due: false,
        last_batch_time_ms: next as i64 - 1,
        next,
        watermark: at(Some(next as i64 * 1000)),
        previous: at(Some((next as i64 - 1) * 1000)),
    }
}

fn rerun(batch: BatchId) -> Recovery {
    let previous = at(batch.checked_sub(1).map(|b| b as i64 * 1000));
    Recovery::Rerun { batch, offsets: offsets(batch), previous }
}

fn at(ms: Option<i64>) -> Watermark {
    Watermark { ms, row: None }
}

/// What a new process finds after `damage` was done to the files of a stopped one.
fn after(batches: u64, decided: bool, damage: impl FnOnce(&Path)) -> Result<Recovery> {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = done(folder.path(), batches);
    if decided {
        decide(&mut checkpoint, batches);
    }
    drop(checkpoint);
    damage(folder.path());
    open(folder.path())?.recovery(None)
}

fn corrupt(found: Result<Recovery>, file: &str) {
    let error = found.unwrap_err();
    assert_eq!(error.condition(), "CHECKPOINT_CORRUPT");
    assert!(error.message().contains(file), "{error} names {file}");
    assert!(error.hint_text().is_some());
}

fn cut(folder: &Path, file: &str) {
    let path = folder.join(file);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
}

fn remove(folder: &Path, file: &str) {
    fs::remove_file(folder.join(file)).unwrap();
}

#[test]
fn a_new_query_starts_fresh_and_keeps_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(folder.path()).unwrap();
    assert!(first.is_new());
    assert_eq!(first.recovery(None).unwrap(), Recovery::Fresh);
    let id = first.query_id().to_string();
    drop(first);
    let second = open(folder.path()).unwrap();
    assert!(!second.is_new());
    assert_eq!(second.query_id(), id);
}

#[test]
fn after_a_commit_the_next_batch_is_planned() {
    assert_eq!(after(3, false, |_| ()).unwrap(), planned(3));
}

#[test]
fn after_offsets_alone_that_batch_is_run_again() {
    assert_eq!(after(3, true, |_| ()).unwrap(), rerun(3));
    assert_eq!(after(0, true, |_| ()).unwrap(), rerun(0));
}

#[test]
fn torn_newest_offsets_are_set_aside_and_planned_afresh() {
    let found = after(3, true, |folder| cut(folder, "offsets/3"));
    assert_eq!(found.unwrap(), planned(3));
    let found = after(0, true, |folder| fs::write(folder.join("offsets/0"), b"").unwrap());
    assert_eq!(found.unwrap(), Recovery::Fresh);
}

#[test]
fn what_was_set_aside_stays_and_its_batch_can_be_decided_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = done(folder.path(), 3);
    for _ in 0..2 {
        decide(&mut checkpoint, 3);
        drop(checkpoint);
        cut(folder.path(), "offsets/3");
        checkpoint = open(folder.path()).unwrap();
        assert_eq!(checkpoint.recovery(None).unwrap(), planned(3));
    }
    decide(&mut checkpoint, 3);
    let names = names(&folder.path().join("offsets")).unwrap();
    assert!(names.contains(&"3.bad".into()) && names.contains(&"3.bad.2".into()), "{names:?}");
}

#[test]
fn torn_offsets_of_a_committed_batch_are_refused() {
    corrupt(after(3, false, |folder| cut(folder, "offsets/2")), "offsets/2");
}

#[test]
fn torn_offsets_before_a_rerun_are_refused() {
    corrupt(after(3, true, |folder| cut(folder, "offsets/2")), "offsets/2");
}

#[test]
fn a_torn_commit_lets_its_batch_be_run_and_committed_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(done(folder.path(), 3));
    cut(folder.path(), "commits/2");
    let mut checkpoint = open(folder.path()).unwrap();
    assert_eq!(checkpoint.recovery(None).unwrap(), rerun(2));
    finish(&mut checkpoint, 2);
    assert_eq!(checkpoint.recovery(None).unwrap(), planned(3));
}

#[test]
fn a_commit_without_its_offsets_is_refused() {
    corrupt(after(3, false, |folder| remove(folder, "offsets/2")), "offsets/2");
    corrupt(after(1, false, |folder| remove(folder, "offsets/0")), "offsets/0");
}

#[test]
fn a_gap_is_refused() {
    corrupt(after(5, false, |folder| remove(folder, "offsets/2")), "offsets/2");
    corrupt(after(5, false, |folder| remove(folder, "commits/2")), "commits/2");
    corrupt(after(5, true, |folder| remove(folder, "commits/4")), "commits/4");
}

#[test]
fn missing_or_torn_metadata_is_refused() {
    corrupt(after(2, false, |folder| remove(folder, "metadata.json")), "metadata.json");
    corrupt(after(2, false, |folder| cut(folder, "metadata.json")), "metadata.json");
}

#[test]
fn a_newer_format_is_not_called_damage() {
    let found = after(2, false, |folder| {
        let path = folder.join("commits/1");
        let newer = fs::read_to_string(&path).unwrap().replacen("strandline 1", "strandline 9", 1);
        fs::write(&path, newer).unwrap();
    });
    assert_eq!(found.unwrap_err().condition(), "CHECKPOINT_FORMAT");
}

#[test]
fn recovery_can_be_asked_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = done(folder.path(), 3);
    decide(&mut checkpoint, 3);
    assert_eq!(checkpoint.recovery(None).unwrap(), rerun(3));
    assert_eq!(checkpoint.recovery(None).unwrap(), rerun(3));
}

#[test]
fn a_second_process_is_refused_and_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let held = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert_eq!(error.condition(), "CHECKPOINT_LOCKED");
    assert!(error.message().contains(&std::process::id().to_string()), "{error}");
    drop(held);
    open(folder.path()).unwrap();
}

#[test]
fn a_changed_query_is_refused_once_a_batch_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let id = open(folder.path()).unwrap().query_id().to_string();
    let changed = Pinned::default().with("keys", "window");
    let mut checkpoint = Checkpoint::open(folder.path(), Disk::default(), &changed).unwrap();
    assert_eq!(checkpoint.query_id(), id);
    decide(&mut checkpoint, 0);
    drop(checkpoint);
    let error = open(folder.path()).unwrap_err();
    assert_eq!(error.condition(), "CHECKPOINT_QUERY_CHANGED");
}

#[test]
fn a_batch_is_decided_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = done(folder.path(), 1);
    let error = checkpoint.write_offsets(0, &offsets(0)).unwrap_err();
    assert_eq!(error.condition(), "CONCURRENT_STREAM_LOG_UPDATE");
    let error = checkpoint.write_commit(0, &Commit::default()).unwrap_err();
    assert_eq!(error.condition(), "CONCURRENT_STREAM_LOG_UPDATE");
}

fn first_takes(batches: u64) -> Vec<serde_json::Value> {
    (0..batches).filter_map(|batch| offsets(batch).sources[0].clone()).collect()
}

#[test]
fn clean_up_keeps_a_hundred_batches_and_every_take() {
    let folder = tempfile::tempdir().unwrap();
    drop(done(folder.path(), 450));
    let mut checkpoint = open(folder.path()).unwrap();
    for log in ["offsets", "commits"] {
        let count = names(&folder.path().join(log)).unwrap().len() as u64;
        assert!((RETAINED..2 * RETAINED).contains(&count), "{count} in {log}");
    }
    assert_eq!(checkpoint.recovery(None).unwrap(), planned(450));
    assert_eq!(checkpoint.history(0).unwrap(), first_takes(450));
    assert_eq!(checkpoint.history(1).unwrap().last(), Some(&json!({"version": 443})));
}

#[test]
fn a_recording_has_every_decision_since_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = done(folder.path(), 450);
    decide(&mut checkpoint, 450);
    let recording = Recording::read(folder.path()).unwrap();
    assert_eq!(recording.query_id, checkpoint.query_id());
    assert_eq!(recording.batches.len(), 450, "that which is not done is no part of it");
    for (batch, decided) in recording.batches.iter().enumerate() {
        assert_eq!(*decided, offsets(batch as u64));
    }
}

#[test]
fn a_recording_of_a_version_that_kept_no_times_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(done(folder.path(), 250));
    let path = folder.path().join("sources/0/history");
    let sealed = fs::read(&path).unwrap();
    let (body, _) = crate::durable::unseal("takes", &sealed).unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(body).unwrap();
    record.as_object_mut().unwrap().remove("times");
    fs::write(&path, crate::durable::seal("takes", record.to_string().as_bytes())).unwrap();
    let error = Recording::read(folder.path()).unwrap_err();
    assert_eq!(error.condition(), "CHECKPOINT_WITHOUT_TIMES");
    assert_eq!(open(folder.path()).unwrap().history(0).unwrap(), first_takes(250));
}

#[test]
fn the_newest_take_of_an_idle_source_survives_clean_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = open(folder.path()).unwrap();
    for batch in 0..450 {
        let mut offsets = offsets(batch);
        offsets.sources[1] = (batch == 7).then(|| json!("only"));
        checkpoint.write_offsets(batch, &offsets).unwrap();
        finish(&mut checkpoint, batch);
    }
    assert_eq!(checkpoint.history(1).unwrap(), [json!("only")]);
}

#[test]
fn a_history_torn_at_any_byte_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sources/0/history");
    drop(done(folder.path(), 199));
    let mut checkpoint = open(folder.path()).unwrap();
    decide(&mut checkpoint, 199);
    drop(checkpoint);
    // The clean-up of batch 199 dies after each possible byte, before it removes anything.
    let before = fs::read(&path).unwrap_or_default();
    let whole = {
        let copy = tempfile::tempdir().unwrap();
        drop(done(copy.path(), 200));
        fs::read(copy.path().join("sources/0/history")).unwrap()
    };
    assert!(before.is_empty());
    for cut in (0..=whole.len()).step_by(97).chain([whole.len()]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(open(folder.path()).unwrap().history(0).unwrap(), first_takes(200), "{cut}");
    }
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let mut checkpoint = open(folder.path()).unwrap();
    finish(&mut checkpoint, 199);
    assert!(!folder.path().join("offsets/0").exists(), "it was cleaned");
    assert_eq!(checkpoint.history(0).unwrap(), first_takes(200));
}

#[test]
fn a_lost_history_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = done(folder.path(), 250);
    remove(folder.path(), "sources/0/history");
    assert_eq!(checkpoint.history(0).unwrap_err().condition(), "CHECKPOINT_CORRUPT");
}

#[test]
fn a_history_that_tells_of_batches_that_cannot_be_is_refused() {
    let huge = json!({"firstBatch": 0, "lastBatch": u64::MAX, "takes": [], "times": []});
    let backwards = json!({"firstBatch": 0, "lastBatch": 3, "takes": [[4, {}]], "times": []});
    let gap = json!({"firstBatch": 7, "lastBatch": 9, "takes": [], "times": []});
    for record in [huge, backwards, gap] {
        let folder = tempfile::tempdir().unwrap();
        drop(done(folder.path(), 3));
        let history = folder.path().join("sources/0");
        fs::create_dir_all(&history).unwrap();
        fs::write(history.join("history"), seal("takes", record.to_string().as_bytes())).unwrap();
        let error = open(folder.path()).unwrap().history(0).unwrap_err();
        assert_eq!(error.condition(), "CHECKPOINT_CORRUPT", "{record}");
    }
}

#[test]
fn a_file_whose_name_is_no_batch_that_can_be_is_none() {
    let recovery = after(3, false, |folder| {
        for name in ["18446744073709551615", "9223372036854775807", "007", "-1", "3.bad"] {
            fs::write(folder.join("offsets").join(name), b"").unwrap();
            fs::write(folder.join("commits").join(name), b"").unwrap();
        }
    });
    assert_eq!(recovery.unwrap(), planned(3));
}

#[test]
fn a_checkpoint_is_inspected_while_the_query_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = done(folder.path(), 250);
    decide(&mut checkpoint, 250);
    let found = Inspection::read(folder.path()).unwrap();
    assert_eq!(found.identity.id, checkpoint.query_id());
    assert!(found.holder.is_some_and(|who| who.contains(&std::process::id().to_string())));
    assert_eq!((found.offsets.len(), found.commits.len()), (152, 151));
    let takes = |source| {
        let found = Inspection::read(folder.path()).unwrap();
        found.takes(source).into_iter().map(|(batch, _)| batch).collect::<Vec<_>>()
    };
    assert_eq!(takes(0), (0..251).collect::<Vec<_>>());
    assert_eq!(takes(1), (0..25).map(|ten| ten * 10 + 3).collect::<Vec<_>>());
}

#[test]
fn temporary_files_of_a_death_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    fs::write(folder.path().join("offsets/.0.123-4.tmp"), b"half").unwrap();
    assert_eq!(open(folder.path()).unwrap().recovery(None).unwrap(), Recovery::Fresh);
    assert_eq!(names(&folder.path().join("offsets")).unwrap(), Vec::<String>::new());
}

/// What lies under a folder, with every byte.
fn everything(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![];
    for log in ["offsets", "commits"] {
        for name in names(&folder.join(log)).unwrap() {
            files.push((format!("{log}/{name}"), fs::read(folder.join(log).join(name)).unwrap()));
        }
    }
    files.sort();
    files
}

/// The recovery table, row by row: every small (decided, done, torn, held by the sink) gives what its
/// page says, and a refusal changes nothing.
#[test]
fn every_state_of_checkpoint_and_sink_has_one_answer() {
    for decided in 0..4_u64 {
        for is_done in [false, true] {
            for torn in [None, Some("offsets"), Some("commits")] {
                for held in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
                    judge(decided, is_done, torn, held);
                }
            }
        }
    }
}

/// `decided` batches are decided, all but perhaps the newest are done; the newest file of a kind is torn.
fn judge(decided: u64, is_done: bool, torn: Option<&str>, held: Option<BatchId>) {
    let (newest, done) = match (decided.checked_sub(1), is_done) {
        (Some(newest), true) => (Some(newest), decided),
        (Some(newest), false) => (Some(newest), newest),
        (None, _) => (None, 0),
    };
    let broken = match (torn, newest, is_done) {
        (None, ..) => None,
        (Some("commits"), Some(newest), true) => Some(format!("commits/{newest}")),
        (Some("offsets"), Some(newest), _) => Some(format!("offsets/{newest}")),
        _ => return,
    };
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = self::done(folder.path(), done);
    if Some(done) == newest {
        decide(&mut checkpoint, done);
    }
    drop(checkpoint);
    broken.iter().for_each(|file| cut(folder.path(), file));
    let before = everything(folder.path());
    let said = Held { sink: "the sink".into(), newest: held, begun: held };
    let found = open(folder.path()).unwrap().recovery(Some(&said));
    let tuple = format!("decided {decided}, done {done}, torn {broken:?}, held {held:?}");

    let committed = match torn {
        Some("commits") => done.checked_sub(1).and_then(|newest| newest.checked_sub(1)),
        _ => done.checked_sub(1),
    };
    let known = match torn {
        Some("offsets") => newest.and_then(|newest| newest.checked_sub(1)),
        _ => newest,
    };
    let expected = match (torn, newest) {
        (Some("offsets"), Some(_)) if is_done => Err("CHECKPOINT_CORRUPT"),
        (Some("offsets"), Some(newest)) if held >= Some(newest) => Err("CHECKPOINT_CORRUPT"),
        _ if held > known => Err("SINK_AHEAD"),
        _ if held < committed => Err("SINK_BEHIND"),
        (Some("offsets"), Some(0)) | (_, None) => Ok(Recovery::Fresh),
        (Some("offsets"), Some(newest)) => Ok(planned(newest)),
        (None, Some(newest)) if is_done => Ok(planned(newest + 1)),
        (_, Some(newest)) => Ok(rerun(newest)),
    };
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{tuple}"),
        (Err(error), Err(expected)) => {
            assert_eq!(error.condition(), expected, "{tuple}");
            assert_eq!(error.exit_code(), if expected == "CHECKPOINT_CORRUPT" { 11 } else { 13 });
            assert!(error.hint_text().is_some(), "{tuple}");
            assert_eq!(everything(folder.path()), before, "a refusal changes nothing: {tuple}");
        }
        (found, expected) => panic!("{tuple}: {found:?}, expected {expected:?}"),
    }
}

#[test]
fn a_table_is_known_from_the_first_decision_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = open(folder.path()).unwrap();
    checkpoint.note_table(Role::Output, "one").unwrap();
    assert_eq!(checkpoint.table(Role::Output).id, None, "nothing is in it yet");
    checkpoint.note_table(Role::Output, "two").unwrap();
    decide(&mut checkpoint, 0);
    drop(checkpoint);
    let checkpoint = open(folder.path()).unwrap();
    assert_eq!(checkpoint.table(Role::Output).id.as_deref(), Some("two"));
    assert_eq!(checkpoint.table(Role::Rejected).id, None);
}

#[test]
fn a_newer_format_says_who_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    drop(done(folder.path(), 1));
    let path = folder.path().join("metadata.json");
    let version = env!("CARGO_PKG_VERSION");
    let newer = fs::read_to_string(&path).unwrap().replacen("strandline 1", "strandline 2", 1);
    fs::write(&path, newer.replace(version, "7.1.0")).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert_eq!((error.condition(), error.exit_code()), ("CHECKPOINT_FORMAT", 11));
    assert!(error.message().contains("written by strandline 7.1.0"), "{error}");
}
