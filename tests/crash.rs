//! The real binary dies at a numbered step, and the next one says what it finds and loses nothing.

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
