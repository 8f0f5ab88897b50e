//! The real binary closes a stream that has ended, or from which nothing comes any more.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::cli::Shell;

const EVENTS: &str = "\
CREATE TABLE events (id STRING, ts TIMESTAMP) USING json OPTIONS (path 'input/events');
";

const COUNTS: &str = "\
CREATE STREAMING TABLE counts AS
SELECT window(ts, '5 minutes') AS w, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 10 MINUTES
GROUP BY window(ts, '5 minutes');
";

fn project(query: &str) -> Shell {
    let shell = Shell::new();
    shell.write("pipeline.sql", &format!("{EVENTS}{query}"));
    shell.write("input/events/1.json", "{\"ts\":\"2026-01-01T12:01:00Z\"}\n");
    shell
}

/// What `offsets/N` says.
fn decided(shell: &Shell, batch: u64) -> Value {
    let path = shell.0.path().join(format!("checkpoints/counts/offsets/{batch}"));
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(text.split_once('\n').unwrap().1).unwrap()
}

#[test]
fn the_last_window_comes_out_and_the_decision_says_why() {
    let shell = project(COUNTS);
    shell.works("run pipeline.sql --available-now");
    assert_eq!(shell.ask("SELECT n FROM counts"), "", "as in Spark");
    let said = shell.works("run pipeline.sql --available-now --close-at-end");
    assert!(said.contains("batch 2  0 rows in, 1 out  watermark 2026-01-01 12:05:00"), "{said}");
    assert!(said.contains("closing: end of input"), "{said}");
    assert_eq!(shell.ask("SELECT n FROM counts"), "1");

    let (noon, offsets) = (1_767_268_800_000_i64, decided(&shell, 2));
    let minutes = |n: i64| Value::from(noon + n * 60_000);
    assert_eq!(offsets["batchWatermarkMs"], minutes(5));
    assert_eq!(offsets["raised"]["fromMs"], minutes(-9));
    assert_eq!(offsets["raised"]["toMs"], minutes(5));
    assert_eq!(offsets["raised"]["because"], "end of input");
    assert_eq!(decided(&shell, 1).get("raised"), None);

    let again = shell.run("run pipeline.sql --available-now --close-at-end");
    assert_eq!(again.err, "note: nothing new, all queries are up to date\n");
}

#[test]
fn a_query_in_which_nothing_waits_says_so() {
    let copy = "CREATE STREAMING TABLE copy AS SELECT id FROM STREAM events;";
    let update = COUNTS.replace("counts AS", "counts TBLPROPERTIES ('outputMode' = 'update') AS");
    for (query, name) in [(copy, "copy"), (&update[..], "counts")] {
        let shell = project(query);
        let said = shell.run("run pipeline.sql --available-now --close-at-end");
        said.failed(0, &[&format!("note: {name}: no result waits for the watermark")]);
        assert!(!said.out.contains("closing"), "{said:?}");
    }
}

#[test]
fn a_chain_of_queries_is_closed_from_the_first_on() {
    let chained = "CREATE STREAMING TABLE copy AS SELECT n FROM STREAM counts WHERE n > 0;";
    let shell = project(&format!("{COUNTS}{chained}"));
    shell.works("run pipeline.sql --available-now --close-at-end");
    assert_eq!(shell.ask("SELECT n FROM copy"), "1");
}

#[test]
fn a_live_stream_is_closed_when_nothing_has_come_and_goes_on() {
    let shell = project(COUNTS);
    let mut live = shell
        .command(&["run", "pipeline.sql", "--close-after-idle", "100ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(live.stdout.take().unwrap()).lines();
    let mut until = |words: &str| {
        let found = lines.by_ref().map(Result::unwrap).find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("no line with {words}"))
    };
    assert!(until("closing: no input for 0.1 s").contains("1 out"));
    // A file that comes into a live stream comes whole.
    shell.write("2.json", "{\"ts\":\"2026-01-01T12:31:00Z\"}\n");
    let here = shell.0.path();
    std::fs::rename(here.join("2.json"), here.join("input/events/2.json")).unwrap();
    assert!(until("12:35:00").contains("closing"));
    live.kill().unwrap();
    live.wait().unwrap();
    assert_eq!(shell.ask("SELECT n FROM counts ORDER BY w"), "1\n1");
}

#[test]
fn each_way_to_close_has_its_trigger() {
    let shell = project(COUNTS);
    for options in [
        "--close-at-end",
        "--once --close-at-end",
        "--trigger 5s --close-at-end",
        "--available-now --close-after-idle 5s",
        "--once --close-after-idle 5s",
        "--close-after-idle soon",
    ] {
        shell.run(&format!("run pipeline.sql {options}")).failed(2, &["--close-a"]);
    }
}
