//! The real binary dies at a numbered step, and the next one says what it finds and loses nothing.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use strandline::engine::steps::Step;

use crate::cli::Shell;

const PIPELINE: &str = "\
CREATE TABLE events (id STRING, ts TIMESTAMP)
USING json OPTIONS (path 'input/events', maxFilesPerTrigger '1');
CREATE STREAMING TABLE counts AS
SELECT window(ts, '5 minutes') AS w, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '5 minutes');
";

const RUN: &str = "run pipeline.sql --available-now --close-at-end";

/// What is in the table in the end, and in that of the rejected rows.
const COUNTS: &str = "1\n2\n2\nlate: 12:02";

/// Four files, the last with a row that is too late; batch 4 has no data, and batch 5 closes the
/// stream.
fn project() -> Shell {
    let shell = Shell::new();
    shell.write("pipeline.sql", PIPELINE);
    let files = [&["12:01"][..], &["12:06", "12:07"], &["12:11"], &["12:12", "12:02"]];
    for (file, times) in files.iter().enumerate() {
        let row = |time: &&str| format!("{{\"ts\":\"2026-01-01T{time}:00Z\"}}\n");
        shell.write(
            &format!("input/events/{file}.json"),
            &times.iter().map(row).collect::<String>(),
        );
    }
    shell
}

fn counts(shell: &Shell) -> String {
    let rejected =
        "SELECT concat(reason, ': ', date_format(event_time, 'HH:mm')) FROM counts__rejected";
    shell.ask("SELECT n FROM counts ORDER BY w") + "\n" + &shell.ask(rejected)
}

/// Dies right after each step of a batch, in a new project each time, and starts again.
fn dies_in(batch: u64) {
    for step in Step::ALL {
        let shell = project();
        let died = shell.run(&format!("{RUN} --crash-at {}@{batch}", step.number()));
        let moment = format!("crash: counts: right after step {step} of batch {batch}");
        died.failed(-1, &[&moment]);
        assert_eq!(died.out.lines().count() as u64, batch + u64::from(step == Step::Report));

        let again = shell.run(RUN);
        let found = match (step, batch) {
            (Step::Ask, 0) => "cut off before it decided a batch: nothing is lost".to_string(),
            (Step::Ask, _) => format!("batch {} is committed, nothing is run again", batch - 1),
            (Step::Commit | Step::Report, _) => {
                format!("batch {batch} is committed, nothing is run again")
            }
            (Step::Write, _) => format!("DeltaSink[data/counts] holds batch {batch} already"),
            _ => format!("data/counts] does not hold batch {batch}, so its output is written"),
        };
        again.failed(0, &["note: counts: ", &found]);
        assert_eq!(counts(&shell), COUNTS, "{step}");
        assert_eq!(shell.run(RUN).err, "note: nothing new, all queries are up to date\n");
    }
}

#[test]
fn undisturbed_each_window_and_the_late_row_are_there_once() {
    let shell = project();
    assert_eq!(shell.works(RUN).lines().count(), 6);
    assert_eq!(counts(&shell), COUNTS);
}

#[test]
fn a_crash_in_the_first_batch_changes_nothing() {
    dies_in(0);
}

#[test]
fn a_crash_in_a_later_batch_changes_nothing() {
    dies_in(3);
}

#[test]
fn a_crash_in_the_batch_that_closes_the_stream_changes_nothing() {
    dies_in(5);
}

#[test]
fn whoever_starts_after_a_crash_closes_as_it_was_decided_whatever_is_asked_of_him() {
    let shell = project();
    shell.run(&format!("{RUN} --crash-at decide@5")).failed(-1, &[]);
    shell.works("run pipeline.sql --available-now");
    assert_eq!(counts(&shell), COUNTS);
}

#[test]
fn crash_after_crash_each_batch_is_there_once() {
    let shell = project();
    for (number, step) in Step::ALL.iter().rev().enumerate() {
        let said = shell.run(&format!("{RUN} --crash-at {}", step.name()));
        assert!(
            said.code == -1 || said.err.contains("the run has ended before"),
            "{number}: {said:?}"
        );
    }
    shell.works(RUN);
    assert_eq!(counts(&shell), COUNTS);
}

#[test]
fn a_crash_between_two_calls_to_the_disk_changes_nothing() {
    for file in ["metadata", "offsets", "state", "data", "log", "rejected-log", "commits"] {
        let shell = project();
        // A batch that is run again replaces its state.
        let appear = if file == "state" { "rename" } else { "link" };
        for call in ["write", "sync", appear, "sync-folder"] {
            let died = shell.run(&format!("{RUN} --crash-at {file}.{call}"));
            let struck = format!("crash: before {file}.{call}, as by kill -9");
            // The checkpoint is made once: after its link it is there.
            let is_made = file == "metadata" && call == "sync-folder";
            assert!(is_made || died.code == -1 && died.err.contains(&struck), "{died:?}");
        }
        shell.works(RUN);
        assert_eq!(counts(&shell), COUNTS, "{file}");
    }
}

#[test]
fn a_disk_that_refuses_once_costs_a_start_and_nothing_else() {
    let shell = project();
    for (error, condition) in [
        ("ENOSPC@offsets.write#2", "DISK_FULL"),
        ("EIO@state.sync#2", "IO_ERROR"),
        ("EACCES@data.write", "PERMISSION_DENIED"),
        ("EROFS@log.link", "READ_ONLY_FILE_SYSTEM"),
        ("EMFILE@commits.write", "TOO_MANY_OPEN_FILES"),
    ] {
        let said = shell.run_with(&[("STRANDLINE_FAULT", error)], RUN);
        let struck = format!("fault: {}", error.split('#').next().unwrap().replace('@', " at "));
        said.failed(15, &[&struck, condition, "query 'counts'"]);
    }
    shell.works(RUN);
    assert_eq!(counts(&shell), COUNTS);
}

#[test]
fn a_disk_without_room_for_state_that_memory_does_not_hold_costs_a_start_too() {
    let shell = project();
    let text = std::fs::read_to_string(shell.0.path().join("pipeline.sql")).unwrap();
    let little = text.replacen(
        "CREATE STREAMING TABLE counts",
        "CREATE STREAMING TABLE counts TBLPROPERTIES ('state.memory' = '1')",
        1,
    );
    assert_ne!(little, text);
    shell.write("pipeline.sql", &little);
    for (error, condition) in
        [("ENOSPC@spill.write#2", "DISK_FULL"), ("EIO@spill.read", "IO_ERROR")]
    {
        let said = shell.run_with(&[("STRANDLINE_FAULT", error)], RUN);
        said.failed(15, &["spill", condition, "query 'counts'"]);
    }
    shell.run(&format!("{RUN} --crash-at spill.write#2"));
    shell.works(RUN);
    assert_eq!(counts(&shell), COUNTS);
    let left = std::fs::read_dir(shell.0.path().join("checkpoints/counts/state/0/groups")).unwrap();
    let names: Vec<String> =
        left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| name.ends_with(".change")), "{names:?}");
}

#[test]
fn a_live_query_waits_until_the_disk_has_room_again() {
    let shell = project();
    let full = [("STRANDLINE_FAULT", "ENOSPC@state.write#2")];
    let died = shell.run_with(&full, "run pipeline.sql --crash-at report@3");
    died.failed(-1, &["[DISK_FULL]", "counts tries again in 0.1 s", "right after step 10"]);
    shell.works(RUN);
    assert_eq!(counts(&shell), COUNTS);
}

#[test]
fn a_batch_that_fails_three_times_ends_the_run_and_its_files_are_named() {
    let shell = project();
    let broken = [("STRANDLINE_FAULT", "EIO@state.sync#2+")];
    let said = shell.run_with(&broken, "run pipeline.sql");
    let files = "note: batch 1 of counts reads input/events/1.json";
    said.failed(15, &["[IO_ERROR] tried 3 times: query 'counts', batch 1", files]);
    assert_eq!(said.err.matches("tries again in").count(), 2, "{}", said.err);
    shell.works(RUN);
    assert_eq!(counts(&shell), COUNTS);
}

#[test]
fn a_panic_ends_the_run_as_a_bug_of_ours_and_commits_nothing() {
    let shell = project();
    let said = shell.run_with(&[("STRANDLINE_FAULT", "panic@state.write#2")], RUN);
    said.failed(70, &["[INTERNAL_ERROR] query 'counts', batch 1: planned at state.write"]);
    shell.works(RUN);
    assert_eq!(counts(&shell), COUNTS);
}

#[test]
fn who_lost_the_checkpoint_to_another_writes_nothing_more() {
    let shell = project();
    let mut command = shell.command(&["run", "pipeline.sql"]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    lines.by_ref().take(5).for_each(|line| drop(line.unwrap()));
    std::fs::remove_file(shell.0.path().join("checkpoints/counts/LOCK")).unwrap();
    shell.write("input/events/4.json", "{\"ts\":\"2026-01-01T12:13:00Z\"}\n");
    let ended = running.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(12));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("[CHECKPOINT_TAKEN_OVER]"));
    shell.works(RUN);
    assert_eq!(counts(&shell), COUNTS.replace("1\n2\n2", "1\n2\n3"));
}

#[test]
fn what_fast_durability_gives_up_is_said_at_the_start() {
    let shell = project();
    let fast = " TBLPROPERTIES ('durability' = 'fast') AS\n";
    shell.write("pipeline.sql", &PIPELINE.replace(" AS\n", fast));
    shell.run(RUN).failed(0, &["note: counts: durability is fast: after a power cut"]);
    assert_eq!(counts(&shell), COUNTS);
    shell.write("pipeline.sql", &PIPELINE.replace(" AS\n", &fast.replace("fast", "some")));
    shell.run(RUN).failed(2, &["'some' is no value of durability", "'full' or 'fast'"]);
}

#[test]
fn a_moment_that_is_none_is_named() {
    let shell = project();
    for (point, said) in [
        ("11", "no step '11'"),
        ("fly@1", "no step 'fly'"),
        ("7@x", "'x' is not"),
        ("offsets.fly", "no point 'offsets.fly'"),
        ("offsets.link#0", "'0' is not a number from 1"),
    ] {
        shell.run(&format!("{RUN} --crash-at {point}")).failed(2, &[said, "help"]);
    }
    let late = shell.run(&format!("{RUN} --crash-at 7@99"));
    late.failed(0, &["note: the run has ended before the moment to crash at"]);
}
