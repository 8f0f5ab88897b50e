//! The recovery table on the real binary: what a start makes of each pair of checkpoint and table, what
//! `checkpoint fsck` says of it before, and which way out leads on.

use std::fs;
use std::path::Path;

use crate::cli::{Said, Shell};

const PIPELINE: &str = "\
CREATE TABLE events (id BIGINT, k STRING)
USING json OPTIONS (path 'input/events', maxFilesPerTrigger '1');
CREATE TABLE names (k STRING, name STRING) USING json OPTIONS (path 'input/names');
CREATE STREAMING TABLE copy AS
SELECT id, name FROM STREAM events JOIN names ON events.k = names.k;
";

const RUN: &str = "run pipeline.sql --available-now";

/// A project in which so many batches are done, one row each.
fn project(batches: u64) -> Shell {
    let shell = Shell::new();
    shell.write("pipeline.sql", PIPELINE);
    shell.write("input/names/1.json", "{\"k\":\"a\",\"name\":\"Ada\"}\n");
    (0..batches).for_each(|batch| drop_file(&shell, batch));
    shell.works(RUN);
    shell
}

fn drop_file(shell: &Shell, id: u64) {
    shell.write(&format!("input/events/{id}.json"), &format!("{{\"id\":{id},\"k\":\"a\"}}\n"));
}

/// Three batches, of which the last died right after a step.
fn cut_off(step: u64) -> Shell {
    let shell = project(2);
    drop_file(&shell, 2);
    shell.run(&format!("{RUN} --crash-at {step}@2")).failed(-1, &[]);
    shell
}

fn ids(shell: &Shell) -> String {
    shell.ask("SELECT id FROM copy ORDER BY id").replace('\n', " ")
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fsck(shell: &Shell, code: i32, said: &[&str]) {
    let found = shell.run("checkpoint fsck copy");
    assert_eq!(found.code, code, "{found:?}");
    let line = in_one_line(&found.out);
    for part in said {
        assert!(line.contains(part), "no {part:?} in:\n{}", found.out);
    }
}

/// The next start goes on, and each row of `0..=last` is there once.
fn goes_on(shell: &Shell, last: u64) {
    drop_file(shell, last);
    shell.works(RUN);
    let all: Vec<String> = (0..=last).map(|id| id.to_string()).collect();
    assert_eq!(ids(shell), all.join(" "));
    fsck(shell, 0, &[": sound"]);
}

fn said(said: &Said, code: i32, parts: &[&str]) {
    assert_eq!(said.code, code, "{said:?}");
    for part in parts {
        assert!(said.in_one_line().contains(part), "no {part:?} in:\n{}", said.err);
    }
}

/// The start is refused, twice with the same words, so it has changed nothing.
fn refused(shell: &Shell, code: i32, parts: &[&str]) {
    let before = shell.run(RUN);
    said(&before, code, parts);
    assert!(before.err.contains("help:"), "{}", before.err);
    assert_eq!(shell.run(RUN).err, before.err);
}

fn cut(shell: &Shell, file: &str) {
    let path = shell.path(file);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Puts the folder of an earlier time in the place of what is there now.
fn put_back(shell: &Shell, old: &Path, folder: &str) {
    fs::remove_dir_all(shell.path(folder)).unwrap();
    copy(old, &shell.path(folder));
}

fn log_file(version: u64) -> String {
    format!("data/copy/_delta_log/{version:020}.json")
}

#[test]
fn clean_or_cut_off_before_or_after_the_output_it_goes_on() {
    let shell = project(2);
    fsck(&shell, 0, &["2 batches and 2 data files: sound"]);
    goes_on(&shell, 2);
    for step in [2, 7, 8] {
        let shell = cut_off(step);
        fsck(&shell, 0, &[": sound"]);
        goes_on(&shell, 3);
    }
}

#[test]
fn a_checkpoint_of_an_earlier_time_is_refused_and_can_go_on_by_reading_again() {
    let shell = project(1);
    let old = tempfile::tempdir().unwrap();
    copy(&shell.path("checkpoints/copy"), old.path());
    (1..3).for_each(|id| drop_file(&shell, id));
    shell.works(RUN);
    put_back(&shell, old.path(), "checkpoints/copy");
    refused(&shell, 13, &["[SINK_AHEAD]", "holds batch 2", "checkpoint knows is batch 0"]);
    fsck(&shell, 13, &["holds batch 2, the checkpoint knows batch 0", "[I2]", "--accept-sink"]);
    let said = in_one_line(&shell.works("checkpoint repair copy --accept-sink"));
    assert!(said.contains("would ") && said.contains("twice") && said.contains("--yes does it"));
    refused(&shell, 13, &["[SINK_AHEAD]"]);
    shell.works("checkpoint repair copy --accept-sink --yes");
    shell.works(RUN);
    assert_eq!(
        ids(&shell),
        "0 1 1 2 2",
        "as it said: what the checkpoint does not know is read again"
    );
    fsck(&shell, 0, &[]);
}

#[test]
fn a_table_of_an_earlier_time_is_refused_and_can_be_accepted() {
    let shell = project(1);
    let old = tempfile::tempdir().unwrap();
    copy(&shell.path("data/copy"), old.path());
    (1..3).for_each(|id| drop_file(&shell, id));
    shell.works(RUN);
    put_back(&shell, old.path(), "data/copy");
    refused(&shell, 13, &["[SINK_BEHIND]", "the batches 1 to 2 are missing"]);
    fsck(&shell, 13, &["holds batch 0, though batch 2 is done", "[I1]"]);
    let other = Shell::new();
    copy(&shell.path(""), &other.path(""));
    // What it lacks is read again; or left out.
    shell.works("checkpoint repair copy --roll-back --yes");
    goes_on(&shell, 3);
    other.works("checkpoint repair copy --accept-sink --yes");
    drop_file(&other, 3);
    other.works(RUN);
    assert_eq!(ids(&other), "0 3");
    fsck(&other, 0, &[]);
}

#[test]
fn a_table_that_lost_its_newest_commits_gets_them_again_over_the_state_of_before() {
    let shell = Shell::new();
    let counts = "CREATE STREAMING TABLE copy TBLPROPERTIES (outputMode 'update') AS
        SELECT k, count(*) AS id FROM STREAM events GROUP BY k;";
    let tables = PIPELINE.split_once("CREATE STREAMING").unwrap().0;
    shell.write("pipeline.sql", &format!("{tables}{counts}"));
    (0..5).for_each(|id| drop_file(&shell, id));
    shell.works(RUN);
    // As after a power cut without syncs: the newest three versions are gone.
    (3..=5).for_each(|version| fs::remove_file(shell.path(&log_file(version))).unwrap());
    refused(&shell, 13, &["[SINK_BEHIND]", "the batches 2 to 4 are missing", "--roll-back"]);
    let said = in_one_line(&shell.works("checkpoint repair copy --roll-back --yes"));
    assert!(said.contains("done: move checkpoints/copy/commits/4 to aside/"), "{said}");
    drop_file(&shell, 5);
    shell.works(RUN);
    assert_eq!(ids(&shell), "6");
    fsck(&shell, 0, &[": sound"]);
}

#[test]
fn a_table_that_is_gone_or_another_one_is_refused() {
    let shell = project(2);
    fs::rename(shell.path("data/copy"), shell.path("away")).unwrap();
    refused(&shell, 13, &["[SINK_BEHIND]", "the batches 0 to 1 are done", "no table in data/copy"]);
    assert!(!shell.path("data/copy").exists());
    fsck(&shell, 13, &["data/copy is no table"]);
    // Somebody else's table, of the same columns.
    let other = project(2);
    copy(&other.path("data/copy"), &shell.path("data/copy"));
    refused(&shell, 13, &["[SINK_OTHER_TABLE]", "data/copy holds another table"]);
    fsck(&shell, 13, &["data/copy is another table"]);
    fs::remove_dir_all(shell.path("data/copy")).unwrap();
    fs::rename(shell.path("away"), shell.path("data/copy")).unwrap();
    goes_on(&shell, 2);
}

#[test]
fn begin_anew_with_the_old_put_aside() {
    let shell = project(2);
    fs::remove_dir_all(shell.path("data/copy")).unwrap();
    let said = in_one_line(&shell.works("checkpoint repair copy --start-over"));
    assert!(said.contains("would move checkpoints/copy to aside/"), "{said}");
    shell.works("checkpoint repair copy --start-over --yes");
    assert!(!shell.path("checkpoints/copy").exists());
    goes_on(&shell, 2);
    let aside = fs::read_dir(shell.path("aside")).unwrap().next().unwrap().unwrap().path();
    assert!(aside.join("checkpoints/copy/metadata.json").exists());
}

#[test]
fn a_torn_decision_is_made_anew_unless_the_table_holds_its_batch() {
    let shell = cut_off(2);
    cut(&shell, "checkpoints/copy/offsets/2");
    fsck(&shell, 0, &["heals: checkpoints/copy/offsets/2 is not whole"]);
    goes_on(&shell, 3);
    assert!(shell.path("checkpoints/copy/offsets/2.bad").exists());

    let shell = cut_off(8);
    cut(&shell, "checkpoints/copy/offsets/2");
    refused(&shell, 11, &["[CHECKPOINT_CORRUPT]", "offsets/2 is not whole", "cannot be known"]);
    fsck(&shell, 11, &["fault: checkpoints/copy/offsets/2 is not whole", "[I1]"]);
    assert!(shell.path("checkpoints/copy/offsets/2").exists(), "it stays for who looks at it");
}

#[test]
fn a_torn_commit_lets_its_batch_be_run_again() {
    let shell = project(3);
    cut(&shell, "checkpoints/copy/commits/2");
    fsck(&shell, 0, &["heals: checkpoints/copy/commits/2 is not whole"]);
    goes_on(&shell, 3);
}

#[test]
fn what_is_missing_in_the_checkpoint_is_named() {
    for (file, told) in [
        ("metadata.json", "metadata.json is missing"),
        ("offsets/1", "checkpoints/copy/offsets/1 is missing"),
        ("commits/1", "checkpoints/copy/commits/1 is missing"),
    ] {
        let shell = project(3);
        fs::remove_file(shell.path(&format!("checkpoints/copy/{file}"))).unwrap();
        refused(&shell, 11, &["[CHECKPOINT_CORRUPT]", told]);
        let found = shell.run("checkpoint fsck copy");
        assert_eq!(found.code, 11, "{file}: {found:?}");
    }
}

#[test]
fn a_torn_commit_of_the_table_is_never_built_on() {
    for version in 0..=3 {
        let shell = project(3);
        fs::write(shell.path(&log_file(version)), "").unwrap();
        refused(&shell, 13, &["[DELTA_LOG_TORN]", &format!("{version:020}.json")]);
        fsck(&shell, 13, &[&format!("{version:020}.json is not a whole commit: it is empty")]);
    }
    // The newest one is nobody's whom this query knows: it can go.
    let shell = project(3);
    fs::write(shell.path(&log_file(4)), "{\"commitInfo\":").unwrap();
    refused(&shell, 13, &["[DELTA_LOG_TORN]"]);
    let said = in_one_line(&shell.works("checkpoint repair copy"));
    assert!(said.contains("would move data/copy/_delta_log/"), "{said}");
    assert!(shell.path(&log_file(4)).exists());
    shell.works("checkpoint repair copy --yes");
    goes_on(&shell, 3);
}

#[test]
fn a_batch_that_gives_other_rows_the_second_time_is_refused() {
    let shell = cut_off(8);
    shell.write("input/names/1.json", "{\"k\":\"a\",\"name\":\"Bea\"}\n");
    refused(
        &shell,
        14,
        &["[BATCH_CHANGED]", "names may have changed", "other values in its 1 row"],
    );
    assert_eq!(shell.ask("SELECT DISTINCT name FROM copy"), "Ada");
    shell.works("checkpoint repair copy --accept-sink --yes");
    goes_on(&shell, 3);
    assert_eq!(shell.ask("SELECT id FROM copy WHERE name = 'Bea'"), "3");
}

#[test]
fn a_query_that_draws_lots_is_not_held_to_them() {
    let shell = Shell::new();
    let text = PIPELINE.replace("SELECT id, name", "SELECT id, rand() AS name");
    shell.write("pipeline.sql", &text);
    shell.write("input/names/1.json", "{\"k\":\"a\",\"name\":\"Ada\"}\n");
    drop_file(&shell, 0);
    shell.run(&format!("{RUN} --crash-at 8")).failed(-1, &[]);
    goes_on(&shell, 1);
}

#[test]
fn a_decision_that_cannot_be_run_any_more_is_taken_back() {
    let shell = cut_off(7);
    fs::remove_file(shell.path("input/events/2.json")).unwrap();
    shell.run(RUN).failed(14, &["2.json"]);
    shell.works("checkpoint repair copy --roll-back --yes");
    drop_file(&shell, 2);
    goes_on(&shell, 3);
    let none = shell.run("checkpoint repair copy --roll-back");
    said(&none, 2, &["[REPAIR_NOT_POSSIBLE]", "the table holds every batch that was decided"]);
    let shell = cut_off(8);
    let held = shell.run("checkpoint repair copy --roll-back --yes");
    said(&held, 2, &["in the table already"]);
}

#[test]
fn a_commit_that_the_disk_has_not_confirmed_counts_once() {
    let shell = project(1);
    drop_file(&shell, 1);
    let mut command = shell.command(&RUN.split(' ').collect::<Vec<_>>());
    let ended = command.env("STRANDLINE_FAULT", "EIO@log.sync-folder").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(15), "{said}");
    assert!(said.contains("[DELTA_COMMIT_UNCONFIRMED]"), "{said}");
    assert!(shell.path(&log_file(2)).exists());
    goes_on(&shell, 2);
}

#[test]
fn data_files_are_held_to_what_the_log_says() {
    let shell = project(2);
    let table = fs::read_dir(shell.path("data/copy")).unwrap().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        table.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect();
    files.sort();
    let whole = fs::read(&files[0]).unwrap();
    fs::write(&files[0], &whole[..whole.len() - 9]).unwrap();
    fsck(&shell, 13, &["bytes, the log says", "[I7]"]);
    fs::write(&files[0], vec![0; whole.len()]).unwrap();
    fsck(&shell, 13, &["cannot be read", "[I7]"]);
    fs::remove_file(&files[0]).unwrap();
    fsck(&shell, 13, &["cannot be read", "1 fault"]);
}

#[test]
fn the_table_of_rejected_rows_follows_the_same_rules() {
    let shell = project(1);
    shell.write("input/events/bad.json", "{\"id\":\n");
    shell.works(RUN);
    assert_eq!(shell.ask("SELECT reason FROM copy__rejected"), "corrupt");
    fs::rename(shell.path("data/copy__rejected"), shell.path("away")).unwrap();
    refused(&shell, 13, &["[SINK_BEHIND]", "no table in data/copy__rejected"]);
    fsck(&shell, 13, &["data/copy__rejected is no table"]);
    copy(&shell.path("data/copy"), &shell.path("data/copy__rejected"));
    refused(&shell, 13, &["[SINK_OTHER_TABLE]", "data/copy__rejected"]);
    fs::remove_dir_all(shell.path("data/copy__rejected")).unwrap();
    let said = in_one_line(&shell.works("checkpoint repair copy --accept-sink --yes"));
    assert!(said.contains("begin a new table in data/copy__rejected with batch 2"), "{said}");
    shell.write("input/events/worse.json", "}\n");
    goes_on(&shell, 1);
    assert_eq!(shell.ask("SELECT batch >= 2 FROM copy__rejected"), "true");
}

#[test]
fn what_a_dead_process_has_left_is_told_and_goes() {
    let shell = project(1);
    drop_file(&shell, 1);
    shell.run(&format!("{RUN} --crash-at log.write")).failed(-1, &[]);
    fsck(&shell, 0, &["note: data/copy/part-", "no version names it", ": sound"]);
    let said = shell.works("checkpoint repair copy --yes");
    assert_eq!(said.matches("done: move data/copy/").count(), 2, "{said}");
    shell.run(&format!("{RUN} --crash-at log.write")).failed(-1, &[]);
    goes_on(&shell, 2);
    let found = shell.works("checkpoint fsck copy");
    assert!(!found.contains("note"), "the next start has tidied up: {found}");
}

#[test]
fn a_checkpoint_is_shown_in_words_and_as_json() {
    let shell = cut_off(8);
    let text = shell.works("checkpoint show copy");
    for part in [
        "the query 'copy' of pipeline.sql",
        "SELECT id, name FROM STREAM events",
        "no process runs the query",
        "newest done: batch 1",
        "batch 2 is run again at the next start; its output is in the table",
        "input/events/2.json",
        "│ result ┆ data/copy ┆       3 ┆            2 ┆     3",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let json = shell.works("checkpoint show checkpoints/copy --format json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["batches"]["newestDecided"], 2);
    assert_eq!(json["tables"][0]["newestBatch"], 2);
    assert_eq!(json["tables"][0]["id"], json["tables"][0]["known"]["id"]);
    shell.run("checkpoint show nothing").failed(2, &["[PATH_NOT_FOUND]", "nothing"]);
}
