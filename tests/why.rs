//! `strandline why` with the real binary: each way in which a query can give nothing is set up, and the first
//! line has to name it.

use std::fs;
use std::io::BufRead;
use std::process::{Child, Command, Stdio};

/// An empty folder, and the binary in it.
struct Project(tempfile::TempDir);

impl Project {
    fn new(pipeline: &str) -> Project {
        let project = Project(tempfile::tempdir().unwrap());
        project.write("p.sql", pipeline);
        project
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn folder(&self, name: &str) -> &Self {
        fs::create_dir_all(self.0.path().join(name)).unwrap();
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null());
        command
    }

    fn strandline(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Processes what is there.
    fn run(&self) -> &Self {
        self.strandline(&["run", "p.sql", "--available-now"]);
        self
    }

    /// Starts the query and waits for its first batch.
    fn start(&self) -> Running {
        let mut child = self
            .command(&["run", "p.sql"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Running(child)
    }

    fn why(&self) -> String {
        self.strandline(&["why", "p.sql"])
    }

    fn cause(&self) -> String {
        let text = self.strandline(&["why", "p.sql", "--format", "json"]);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        answer["cause"].as_str().unwrap().to_owned()
    }

    /// The first line has these parts, the cause this name, and the end says what to do.
    fn says(&self, cause: &str, parts: &[&str]) -> String {
        let said = self.why();
        let first = said.lines().next().unwrap_or_default();
        for part in parts {
            assert!(first.contains(part), "no {part:?} in the first line of:\n{said}");
        }
        assert!(said.contains("\nWhat to do\n"), "{said}");
        assert_eq!(self.cause(), cause, "{said}");
        said
    }
}

/// A query in another process.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const EVENTS: &str = "CREATE TABLE events (id STRING, kind STRING, ts TIMESTAMP)
USING json OPTIONS (path 'input/events', maxFilesPerTrigger '1');
";

/// Windows of ten minutes, whose watermark stays ten minutes behind.
fn windowed() -> Project {
    Project::new(&format!(
        "{EVENTS}CREATE STREAMING TABLE q AS
SELECT window(ts, '10 minutes') AS w, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 10 MINUTES GROUP BY window(ts, '10 minutes');"
    ))
}

fn row(id: &str, ts: &str) -> String {
    format!("{{\"id\":\"{id}\",\"kind\":\"view\",\"ts\":\"{ts}\"}}\n")
}

/// A time of the first of January 2026.
fn at(id: &str, clock: &str) -> String {
    row(id, &format!("2026-01-01T{clock}Z"))
}

#[test]
fn an_empty_folder() {
    let project = windowed();
    project.folder("input/events");
    project.says("no_data", &["No data", "input/events holds no file"]);
    project.run().says("no_data", &["No data", "input/events holds no file"]);
}

#[test]
fn a_folder_that_is_not_there_and_one_with_nearly_its_name() {
    let project = windowed();
    project.folder("input/event");
    let said = project.says("folder_is_missing", &["input/events does not exist"]);
    assert!(said.contains("did you mean input/event?"), "{said}");
}

#[test]
fn all_rows_in_one_old_window() {
    let project = windowed();
    project.write("input/events/1.json", &(at("a", "12:01:00") + &at("b", "12:09:00"))).run();
    let said = project.says(
        "one_window",
        &["in one window 2026-01-01 12:00:00 → 12:10:00", "no row has come that is new enough"],
    );
    let closes = "a row in input/events with ts 2026-01-01 12:20:00 or later";
    assert!(said.replace("\n    ", " ").contains(closes), "{said}");
    assert!(said.contains("--close-at-end"), "{said}");
    // What it says is true: a millisecond less does not, this does.
    project.write("input/events/2.json", &at("c", "12:19:59.999")).run();
    assert_ne!(project.cause(), "all_is_well");
    project.write("input/events/3.json", &at("d", "12:20:00")).run();
    project.says("all_is_well", &["All is well: 1 row came out"]);
}

#[test]
fn an_idle_second_source() {
    let project = Project::new(
        "CREATE TABLE a (id STRING, ts TIMESTAMP) USING json OPTIONS (path 'input/a');
CREATE TABLE b (id STRING, ts TIMESTAMP) USING json OPTIONS (path 'input/b');
CREATE STREAMING TABLE q AS SELECT window(ts, '10 minutes') AS w, count(*) AS n FROM (
  SELECT id, ts FROM STREAM a WATERMARK ts DELAY OF INTERVAL 1 MINUTE
  UNION ALL SELECT id, ts FROM STREAM b WATERMARK ts DELAY OF INTERVAL 1 MINUTE)
GROUP BY window(ts, '10 minutes');",
    );
    project.folder("input/b");
    project.write("input/a/1.json", &(at("a", "12:01:00") + &at("b", "13:00:00"))).run();
    let said = project.says("idle_source", &["input/b holds the watermark back", "no row"]);
    assert!(said.contains("2026-01-01 12:11:00 or later"), "{said}");
    project.write("input/b/1.json", &at("c", "12:02:00")).run();
    project
        .write("input/a/2.json", &at("d", "13:01:00"))
        .write("input/b/2.json", &at("e", "12:03:00"));
    project.run().says("slow_source", &["input/b holds the watermark back", "12:02:00"]);
}

#[test]
fn timestamps_as_text_that_does_not_parse() {
    let project = windowed();
    project.write("input/events/1.json", &row("a", "01/02/2026 9am")).run();
    project.says("event_time_not_readable", &["ts is no timestamp", "'01/02/2026 9am'"]);
}

#[test]
fn a_row_from_the_future() {
    let project = windowed();
    project.write("input/events/1.json", &at("a", "12:01:00")).run();
    let future = at("b", "12:02:00") + "\n" + &row("c", "2099-07-01T00:00:00Z");
    project.write("input/events/2.json", &future).run();
    project.write("input/events/3.json", &at("d", "12:30:00")).run();
    let said = project.says("future_row", &["from the future", "2099-07-01 00:00:00"]);
    assert!(said.contains("input/events/2.json, line 3; batch 2"), "{said}");
}

#[test]
fn a_filter_that_drops_all() {
    let project = Project::new(&format!(
        "{EVENTS}CREATE STREAMING TABLE q AS SELECT id FROM STREAM events WHERE kind = 'purchse';"
    ));
    project.write("input/events/1.json", &(at("a", "12:01:00") + &at("b", "12:02:00"))).run();
    let said = project.says("all_rows_filtered", &["leaves every row out", "kind = 'purchse'"]);
    assert!(said.contains("Of the 2 rows") && said.contains("kind: view"), "{said}");
}

#[test]
fn append_without_progress_of_the_watermark() {
    let project = windowed();
    project.write("input/events/1.json", &(at("a", "12:01:00") + &at("b", "12:15:00"))).run();
    project.write("input/events/2.json", &at("c", "12:14:00")).run();
    project.says(
        "watermark_is_behind",
        &[
            "Nothing has been closed",
            "stands at 2026-01-01 12:05:00, since batch 0",
            "12:00:00 → 12:10:00",
        ],
    );
}

const JOIN: &str = "CREATE TABLE l (k STRING, ts TIMESTAMP) USING json OPTIONS (path 'input/l');
CREATE TABLE r (k2 STRING, ts2 TIMESTAMP) USING json OPTIONS (path 'input/r');
CREATE STREAMING TABLE q AS SELECT l.k, l.ts, r.ts2
FROM STREAM l WATERMARK ts DELAY OF INTERVAL 1 MINUTE
JOIN STREAM r WATERMARK ts2 DELAY OF INTERVAL 1 MINUTE
ON l.k = r.k2 AND r.ts2 BETWEEN l.ts AND l.ts + INTERVAL 1 HOUR;";

#[test]
fn a_join_without_a_match_yet() {
    let project = Project::new(JOIN);
    project
        .folder("input/r")
        .write("input/l/1.json", "{\"k\":\"a1\",\"ts\":\"2026-01-01T12:00:00Z\"}\n");
    project.run().says("no_match_yet", &["No row has found a match yet", "r has given no row"]);
    project.write("input/r/1.json", "{\"k2\":\"A1\",\"ts2\":\"2026-01-01T12:01:00Z\"}\n");
    let said = project.run().says("no_match_yet", &["no value of k = k2 is on both sides"]);
    assert!(said.contains("l has a1; r has A1"), "{said}");
}

#[test]
fn a_wrong_pattern() {
    let project = Project::new(&format!(
        "{}CREATE STREAMING TABLE q AS SELECT id FROM STREAM events;",
        EVENTS.replace("input/events", "input/events/*.jsonl")
    ));
    project.write("input/events/1.json", &at("a", "12:01:00"));
    let parts = ["No file matches: 1 file lies in input/events", "'input/events/*.jsonl'"];
    project.says("no_file_matches", &parts);
    project.run().says("no_file_matches", &parts);
}

#[test]
fn a_trigger_that_has_not_come() {
    let project = Project::new(&format!(
        "{EVENTS}CREATE STREAMING TABLE q TBLPROPERTIES ('pipelines.trigger.interval' = '12 hours')
AS SELECT id FROM STREAM events;"
    ));
    project.write("input/events/1.json", &at("a", "12:01:00"));
    let running = project.start();
    project.write("input/events/2.json", &at("b", "12:02:00"));
    let said = project.says("waits_for_trigger", &["The trigger has not come yet: 1 file waits"]);
    assert!(said.contains("every 12 hours"), "{said}");
    drop(running);
    project.says("not_running", &["The query is not running, and 1 file waits in input/events"]);
}

#[test]
fn all_rows_late() {
    let project = windowed();
    project.write("input/events/1.json", &at("a", "13:00:00")).run();
    project.write("input/events/2.json", &at("b", "12:01:00")).run();
    project.write("input/events/3.json", &at("c", "12:02:00")).run();
    let said =
        project.says("all_rows_late", &["Every row since batch", "came too late", "12:50:00"]);
    let said = said.replace("\n    ", " ");
    assert!(said.contains("ts = 2026-01-01 13:00:00 in input/events/1.json, line 1"), "{said}");
    // 12:01 to 13:00, and a second to be in time.
    assert!(said.contains("DELAY OF INTERVAL 3541 SECONDS"), "{said}");
}

#[test]
fn an_event_time_that_is_null() {
    let project = windowed();
    project
        .write("input/events/1.json", "{\"id\":\"a\",\"time\":\"2026-01-01T12:00:00Z\"}\n")
        .run();
    let said = project
        .says("event_time_is_null", &["No row has an event time: ts is NULL in the only row"]);
    assert!(said.contains("The rows have no ts; they have id, time."), "{said}");
}

#[test]
fn a_query_that_has_never_run() {
    let project = windowed();
    project.write("input/events/1.json", &at("a", "12:01:00"));
    project.says("never_started", &["The query has never run: 1 file waits in input/events"]);
    assert!(!project.0.path().join("checkpoints").exists(), "looking makes nothing");
}

#[test]
fn all_is_well() {
    let project =
        Project::new(&format!("{EVENTS}CREATE STREAMING TABLE q AS SELECT id FROM STREAM events;"));
    project.write("input/events/1.json", &at("a", "12:01:00")).run();
    project.says("all_is_well", &["All is well: 1 row came out, the last in batch 0"]);
}

#[test]
fn only_duplicates_and_a_limit() {
    let of = |query: &str| {
        let project = Project::new(&format!("{EVENTS}CREATE STREAMING TABLE q AS {query};"));
        project.write("input/events/1.json", &at("a", "12:01:00")).run();
        project.write("input/events/2.json", &at("a", "12:01:00")).run();
        project
    };
    of("SELECT DISTINCT ON (id) * FROM STREAM events")
        .says("all_rows_are_duplicates", &["duplicate", "id"]);
    of("SELECT id FROM STREAM events LIMIT 1").says("limit_is_reached", &["The LIMIT of 1 row"]);
}

#[test]
fn append_without_a_watermark_is_refused_with_the_way_out() {
    let project = Project::new(&format!(
        "{EVENTS}CREATE STREAMING TABLE q AS SELECT kind, count(*) AS n FROM STREAM events GROUP BY kind;"
    ));
    project.folder("input/events");
    let output = project.command(&["why", "p.sql"]).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("STREAMING_OUTPUT_MODE") && err.contains("help:"), "{err}");
}

/// The answer to a question about the pipeline, as JSON lines.
fn ask(project: &Project, question: &str) -> Vec<serde_json::Value> {
    let said =
        project.strandline(&["sql", "--pipeline", "p.sql", "-c", question, "--format", "json"]);
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Three batches: two windows, a row that is late, a line that is broken.
fn three_batches() -> Project {
    let project = windowed();
    project
        .write("input/events/1.json", &(at("a", "12:01:00") + "\n" + &at("b", "12:31:00")))
        .run();
    project
        .write("input/events/2.json", &(at("c", "12:05:00") + "broken\n" + &at("d", "12:25:00")))
        .run();
    project
}

fn fates(project: &Project, condition: &str) -> Vec<(String, u64, String)> {
    let said = project.strandline(&["why", "p.sql", "--row", condition, "--format", "json"]);
    let stories: serde_json::Value = serde_json::from_str(&said).unwrap();
    let of = |story: &serde_json::Value| {
        (
            story["file"].as_str().unwrap().to_owned(),
            story["line"].as_u64().unwrap_or(0),
            story["fate"].as_str().unwrap().to_owned(),
        )
    };
    stories["rows"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn the_story_of_rows_that_came_out_that_wait_and_that_were_late() {
    let project = three_batches();
    let fate = |id: &str| {
        let mut found = fates(&project, &format!("id = '{id}'"));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    };
    let is = |file: &str, line: u64, fate: &str| {
        (format!("input/events/{file}.json"), line, fate.to_owned())
    };
    assert_eq!(fate("a"), is("1", 1, "emitted"));
    assert_eq!(fate("b"), is("1", 3, "kept"));
    assert_eq!(fate("c"), is("2", 1, "late"));
    assert_eq!(fate("d"), is("2", 3, "kept"));
    let said = project.strandline(&["why", "p.sql", "--row", "id = 'c'"]).replace("\n    ", " ");
    // The window ends at 12:10, the watermark was 12:31 less 10 minutes.
    assert!(
        said.contains("late for window 2026-01-01 12:00:00 → 12:10:00, by 11 minutes"),
        "{said}"
    );
    let said = project.strandline(&["why", "p.sql", "--row", "id = 'a'"]);
    assert!(said.contains("which came out in batch 1"), "{said}");
    let out = ask(&project, "SELECT n FROM q ORDER BY n");
    assert_eq!(out.len(), 1, "as the stories say, one window is out: {out:?}");
    // A file that waits, and a row that is nowhere.
    project.write("input/events/3.json", &at("e", "12:40:00"));
    assert_eq!(fate("e"), is("3", 1, "waiting"));
    let said = project.strandline(&["why", "p.sql", "--row", "id = 'zzz'"]);
    assert!(said.starts_with("No row with id = 'zzz' is in the"), "{said}");
    let wrong = project.command(&["why", "p.sql", "--row", "idd = 'a'"]).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean 'id'?"), "{wrong:?}");
}

#[test]
fn the_story_of_a_row_that_is_filtered_and_of_a_duplicate() {
    let project = Project::new(&format!(
        "{EVENTS}CREATE STREAMING TABLE q AS SELECT DISTINCT ON (id) * FROM STREAM events WHERE kind <> 'test';"
    ));
    let test = "{\"id\":\"a\",\"kind\":\"test\",\"ts\":\"2026-01-01T12:00:00Z\"}\n";
    project.write("input/events/1.json", &(test.to_owned() + &at("a", "12:01:00"))).run();
    project.write("input/events/2.json", &at("a", "12:02:00")).run();
    let found: Vec<String> =
        fates(&project, "id = 'a'").into_iter().map(|(_, _, fate)| fate).collect();
    assert_eq!(found, ["filtered", "emitted", "duplicate"]);
    let said = project.strandline(&["why", "p.sql", "--row", "id = 'a'"]);
    assert!(said.contains("left out by the query: kind <> 'test' does not hold"), "{said}");
    assert!(
        said.contains("a duplicate of input/events/1.json, line 2, which batch 0 let through"),
        "{said}"
    );
}

#[test]
fn what_operators_keep() {
    let project = three_batches();
    let said = project.strandline(&["why", "p.sql", "--state"]).replace("\n    ", " ");
    for part in [
        "q keeps 2 rows",
        "The watermark is 2026-01-01 12:21:00.",
        "by times from 2026-01-01 12:30:00 to 2026-01-01 12:40:00",
        "the first goes when the watermark reaches 2026-01-01 12:30:00: by a row in input/events with ts \
         2026-01-01 12:40:00 or later",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

#[test]
fn system_tables_hold_what_is_known() {
    let project = three_batches();
    let one = |question: &str| ask(&project, question).remove(0);
    assert_eq!(
        ask(
            &project,
            "SELECT query, batch_id, input_rows, output_rows, late_rows FROM system.progress"
        ),
        [
            serde_json::json!({"query": "q", "batch_id": 0, "input_rows": 2, "output_rows": 0, "late_rows": 0}),
            serde_json::json!({"query": "q", "batch_id": 1, "input_rows": 0, "output_rows": 1, "late_rows": 0}),
            serde_json::json!({"query": "q", "batch_id": 2, "input_rows": 3, "output_rows": 0, "late_rows": 1}),
        ]
    );
    let windows =
        ask(&project, "SELECT what, rows, closes_at FROM system.windows ORDER BY closes_at");
    assert_eq!(windows[0]["what"], "window 2026-01-01 12:20:00 → 12:30:00");
    assert_eq!(windows[0]["closes_at"], "2026-01-01T12:30:00Z");
    let mark = one(
        "SELECT source, watermark, query_watermark, since_batch, holds_back FROM system.watermarks",
    );
    assert_eq!(mark["query_watermark"], "2026-01-01T12:21:00Z");
    assert_eq!((&mark["source"], &mark["since_batch"]), (&"input/events".into(), &0.into()));
    let state =
        one("SELECT rows, oldest, first_readable_batch, last_readable_batch FROM system.state");
    assert_eq!((&state["rows"], &state["last_readable_batch"]), (&2.into(), &2.into()));
    project.write("input/events/.hidden.json", "").write("input/events/9.json", "");
    let files = ask(&project, "SELECT file, status, batch_id FROM system.files ORDER BY file");
    let status: Vec<&str> = files.iter().map(|file| file["status"].as_str().unwrap()).collect();
    assert_eq!(status, ["left out", "taken", "taken", "waiting"]);
    assert_eq!(files[2]["batch_id"], 2);
}

#[test]
fn the_state_of_any_batch_and_what_changed() {
    let project = three_batches();
    let ends = |table: &str| -> Vec<String> {
        let rows = ask(&project, &format!("SELECT window_end FROM {table} ORDER BY window_end"));
        rows.iter().map(|row| row["window_end"].as_str().unwrap()[11..16].to_owned()).collect()
    };
    assert_eq!(ends("state('q', 0)"), ["12:30", "12:40"]);
    assert_eq!(ends("state('q', 'stateStoreSave', 0)"), ["12:10", "12:40"]);
    assert_eq!(ends("state('q', 0) VERSION AS OF BATCH 1"), ["12:40"]);
    let changes = ask(
        &project,
        "SELECT change, window_end FROM state_changes('q', 0, 0, 2) ORDER BY window_end",
    );
    let changes: Vec<&str> = changes.iter().map(|row| row["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["removed", "added"]);
    let refused = |question: &str, part: &str| {
        let output =
            project.command(&["sql", "--pipeline", "p.sql", "-c", question]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && err.contains(part), "{err}");
    };
    refused("SELECT * FROM state('q', 0, 7)", "batches 0 to 2 can be");
    refused("SELECT * FROM state('q', 3)", "it has 0 (stateStoreSave)");
    refused("SELECT * FROM state('qq', 0)", "did you mean 'q'?");
    let output = project.command(&["sql", "-c", "SELECT * FROM system.windows"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("--pipeline"), "{output:?}");
}

#[test]
fn explain_says_what_is_kept_and_what_bounds_it() {
    let said = windowed();
    let said = said.folder("input/events").strandline(&["explain", "p.sql"]);
    assert!(said.contains("open windows × keys: 10 minutes + 10 minutes of event time"), "{said}");
    assert!(!said.contains("Exec:"), "plans only with --verbose: {said}");
    let join =
        Project::new(&JOIN.replace(" AND r.ts2 BETWEEN l.ts AND l.ts + INTERVAL 1 HOUR", ""));
    let said = join
        .folder("input/l")
        .folder("input/r")
        .strandline(&["explain", "p.sql"])
        .replace("\n                  ", " ");
    assert!(
        said.contains("left rows NOT bounded: no time condition in the join; add AND"),
        "{said}"
    );
    assert!(join.strandline(&["explain", "p.sql", "--verbose"]).contains("Exec"));
    let json: serde_json::Value =
        serde_json::from_str(&join.strandline(&["explain", "p.sql", "--format", "json"])).unwrap();
    assert_eq!(json[0]["operators"][0]["bounded"], false);
}

#[test]
fn looking_while_a_query_runs_is_never_wrong() {
    let project = windowed();
    project.write("input/events/000.json", &at("x", "12:00:00"));
    let running = project.start();
    for number in 1..40 {
        let clock = format!("12:{number:02}:00");
        project.write(&format!("input/events/.{number:03}"), &at("y", &clock));
        let folder = project.0.path().join("input/events");
        fs::rename(folder.join(format!(".{number:03}")), folder.join(format!("{number:03}.json")))
            .unwrap();
        if number % 4 == 0 {
            project.why();
            let rows =
                ask(&project, "SELECT sum(`count(Int64(1))[count]`) AS n FROM state('q', 0)");
            assert!(rows[0]["n"].as_i64().unwrap() <= 1 + number, "{rows:?}");
        }
    }
    drop(running);
}

#[test]
fn the_row_that_is_said_to_free_a_left_row_of_a_join_frees_it() {
    let project = Project::new(&JOIN.replace("\nJOIN", "\nLEFT JOIN"));
    project.write("input/l/1.json", "{\"k\":\"a\",\"ts\":\"2026-01-01T12:00:00Z\"}\n");
    project.write("input/r/1.json", "{\"k2\":\"b\",\"ts2\":\"2026-01-01T12:00:00Z\"}\n").run();
    let needed = &ask(&project, "SELECT waits_for FROM system.windows")[0]["waits_for"];
    let needed = needed.as_str().unwrap();
    assert!(needed.contains("in input/l with ts 2026-01-01 13:01:00.001 or later"), "{needed}");
    assert!(needed.contains("in input/r with ts2 2026-01-01 13:01:00.001 or later"), "{needed}");
    let give = |name: &str, clock: &str| {
        project.write(
            &format!("input/l/{name}.json"),
            &format!("{{\"k\":\"x{name}\",\"ts\":\"2026-01-01T{clock}Z\"}}\n"),
        );
        project.write(
            &format!("input/r/{name}.json"),
            &format!("{{\"k2\":\"y{name}\",\"ts2\":\"2026-01-01T{clock}Z\"}}\n"),
        );
        project.run();
        project.strandline(&["sql", "-c", "SELECT k FROM q", "--format", "csv"])
    };
    assert_eq!(give("2", "13:01:00"), "k\n");
    assert_eq!(give("3", "13:01:00.001"), "k\na\n");
}

#[test]
fn an_operator_behind_one_that_holds_rows_back_waits_longer() {
    let project = Project::new(
        "CREATE TABLE l (k STRING, ts TIMESTAMP) USING json OPTIONS (path 'input/l');
CREATE TABLE r (k2 STRING, ts2 TIMESTAMP) USING json OPTIONS (path 'input/r');
CREATE STREAMING TABLE q AS
SELECT window(ts, '10 minutes') AS w, count(*) AS n FROM (
  SELECT l.k, l.ts FROM STREAM l WATERMARK ts DELAY OF INTERVAL 1 MINUTE
  JOIN STREAM r WATERMARK ts2 DELAY OF INTERVAL 1 MINUTE
  ON l.k = r.k2 AND r.ts2 BETWEEN l.ts AND l.ts + INTERVAL 1 HOUR)
GROUP BY window(ts, '10 minutes');",
    );
    let give = |name: &str, clock: &str| {
        let time = format!("2026-01-01T{clock}Z");
        project.write(
            &format!("input/l/{name}.json"),
            &format!("{{\"k\":\"{name}\",\"ts\":\"{time}\"}}\n"),
        );
        project.write(
            &format!("input/r/{name}.json"),
            &format!("{{\"k2\":\"{name}\",\"ts2\":\"{time}\"}}\n"),
        );
        project.run();
    };
    give("1", "12:00:00");
    let open = &ask(&project, "SELECT what, waits_for FROM system.windows WHERE operator = 1")[0];
    assert_eq!(open["what"], "window 2026-01-01 12:00:00 → 12:10:00");
    let said = open["waits_for"].as_str().unwrap();
    // The join holds left rows back for an hour: 12:10, an hour, and the minute of the watermark.
    let clock =
        said.split("with ts 2026-01-01 ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(clock.starts_with("13:11:00"), "{said}");
    give("2", "13:10:59.999");
    let rows = || project.strandline(&["sql", "-c", "SELECT n FROM q", "--format", "csv"]);
    assert_eq!(rows(), "n\n");
    give("3", &clock);
    assert_eq!(rows(), "n\n1\n");
}

#[test]
fn times_are_by_the_clocks_of_the_session() {
    let project = Project::new(&format!(
        "SET spark.sql.session.timeZone = 'America/New_York';\n{EVENTS}CREATE STREAMING TABLE q AS
SELECT window(ts, '10 minutes') AS w, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 10 MINUTES GROUP BY window(ts, '10 minutes');"
    ));
    project.write("input/events/1.json", &at("a", "12:01:00")).run();
    let said = project.says("one_window", &["window 2026-01-01 07:00:00 → 07:10:00"]);
    assert!(said.contains("Times are by the clocks of America/New_York."), "{said}");
}

#[test]
fn lines_that_are_no_rows() {
    let project = Project::new(&format!(
        "{EVENTS}CREATE STREAMING TABLE q AS SELECT id, ts FROM STREAM events WHERE id IS NOT NULL;"
    ));
    project.write("input/events/1.json", "id,ts\na,b\n").run();
    let said = project.says("nothing_readable", &["No line of input/events can be read as a row"]);
    assert!(said.contains("q__rejected"), "{said}");
}

#[test]
fn a_query_over_another_query() {
    let project = Project::new(&format!(
        "{EVENTS}CREATE STREAMING TABLE first AS SELECT id FROM STREAM events WHERE kind = 'never';
CREATE STREAMING TABLE second AS SELECT id FROM STREAM first;"
    ));
    project.write("input/events/1.json", &at("a", "12:01:00")).run();
    let said = project.strandline(&["why", "p.sql", "second"]);
    assert!(
        said.starts_with("No data: the query reads first, which has given no rows yet."),
        "{said}"
    );
    let wrong = project.command(&["why", "p.sql", "secnod"]).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean 'second'?"));
}

#[test]
fn what_closes_and_is_left_out_by_having() {
    let project = Project::new(&format!(
        "{EVENTS}CREATE STREAMING TABLE q AS SELECT window(ts, '10 minutes') AS w, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 10 MINUTES
GROUP BY window(ts, '10 minutes') HAVING count(*) > 5;"
    ));
    project.write("input/events/1.json", &at("a", "12:01:00")).run();
    project.write("input/events/2.json", &at("b", "12:45:00")).run();
    let said = project.strandline(&["why", "p.sql", "--row", "id = 'a'"]).replace("\n    ", " ");
    assert!(
        said.contains("was closed in batch 3; what stands behind the grouping decides"),
        "{said}"
    );
}

#[test]
fn files_without_rows() {
    let project = windowed();
    project.write("input/events/1.json", "").run();
    project.says("no_rows", &["The files that came hold no rows"]);
}
