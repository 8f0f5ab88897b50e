//! Runs computed again: they are what they were, and what was done to their files is found; and what
//! other delays of the watermark would do, beside runs that really have them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};
use strandline::checkpoint::Recording;
use strandline::durable::{Disk, Durability};
use strandline::engine::pipeline::{Pipeline, Project};
use strandline::engine::query::StepReport;
use strandline::engine::replay::change::Change;
use strandline::engine::replay::what_if::{Trial, WhatIf};
use strandline::engine::replay::{Outcome, Replay};
use strandline::error::Result;
use strandline::generate::{GenerateOptions, Generator, Preset};
use strandline::sources::Admit;
use strandline::time::ManualClock;

use strandline::script::row::objects;

/// 2026-01-01T12:00:00Z, in milliseconds.
const NOON: i64 = 1_767_268_800_000;

const TABLES: &str = "\
CREATE TABLE events (event_id STRING, user_id STRING, event_type STRING, value DOUBLE, event_time TIMESTAMP)
USING json OPTIONS (path 'input/events', maxFilesPerTrigger 'FILES');
CREATE TABLE impressions (impression_id STRING, user_id STRING, ad_id STRING, impression_time TIMESTAMP)
USING json OPTIONS (path 'input/impressions', maxFilesPerTrigger 'FILES');
CREATE TABLE clicks (click_id STRING, impression_id STRING, user_id STRING, click_time TIMESTAMP)
USING json OPTIONS (path 'input/clicks', maxFilesPerTrigger 'FILES');
CREATE STREAMING TABLE out TBLPROPERTIES ('outputMode' = 'MODE') AS
";

const EVENTS: &str = "FROM STREAM events WATERMARK event_time DELAY OF INTERVAL 5 MINUTES";

/// A query, and the modes that it can run in.
fn queries() -> Vec<(String, &'static [&'static str])> {
    let all = &["append", "update", "complete"];
    let windows = |window: &str| {
        format!(
            "SELECT window(event_time, {window}) AS w, event_type, count(*) AS n, avg(value) AS v \
             {EVENTS} GROUP BY window(event_time, {window}), event_type"
        )
    };
    let join = |kind: &str| {
        format!(
            "SELECT i.impression_id, i.impression_time, c.click_id, c.click_time \
             FROM STREAM impressions WATERMARK impression_time DELAY OF INTERVAL 5 MINUTES AS i \
             {kind} STREAM clicks WATERMARK click_time DELAY OF INTERVAL 5 MINUTES AS c \
             ON c.impression_id = i.impression_id AND c.click_time BETWEEN \
             i.impression_time - INTERVAL 10 MINUTES AND i.impression_time + INTERVAL 10 MINUTES"
        )
    };
    vec![
        (windows("'2 minutes'"), &all[..]),
        (windows("'4 minutes', '1 minute'"), &all[..]),
        (format!("SELECT DISTINCT ON (user_id, event_time) * {EVENTS}"), &all[..2]),
        (
            format!("SELECT DISTINCT ON (user_id) WITHIN WATERMARK user_id, value {EVENTS}"),
            &all[..1],
        ),
        (join("JOIN"), &all[..2]),
        (join("LEFT JOIN"), &all[..1]),
        (
            format!(
                "SELECT user_id, session_window.start AS began, count(*) AS n {EVENTS} \
                 GROUP BY session_window(event_time, '2 minutes'), user_id"
            ),
            &all[..1],
        ),
        (
            "SELECT event_type, count(*) AS n, collect_set(user_id) AS users FROM STREAM events \
             GROUP BY event_type"
                .to_owned(),
            &all[1..],
        ),
        (
            format!(
                "SELECT window(event_time, '2 minutes') AS w, count(*) AS n FROM \
                 (SELECT DISTINCT ON (user_id, event_time) * {EVENTS}) \
                 GROUP BY window(event_time, '2 minutes')"
            ),
            &all[..1],
        ),
        ("SELECT *, current_timestamp() AS at FROM STREAM events".to_owned(), &all[..1]),
    ]
}

fn text(query: &str, mode: &str, files: usize) -> String {
    TABLES.replace("FILES", &files.to_string()).replace("MODE", mode) + query
}

/// A project in a temporary folder, with the workshop's data and a pipeline file.
struct Lab {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    generator: Generator,
}

impl Lab {
    /// A batch of the generator is a minute; some of the rows are up to a quarter of an hour late.
    fn new(seed: u64, text: &str) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(NOON));
        let mut options = GenerateOptions::new(Preset::Day17, folder.path().join("input"));
        options.seed = seed;
        options.rows = Some(20);
        options.batches = Some(1000);
        options.start = Some(NOON);
        options.every = Some(Duration::from_secs(60));
        options.late = Some(0.1);
        options.late_by = Some((Duration::from_secs(60), Duration::from_secs(900)));
        let generator = Generator::new(options, clock.clone()).unwrap();
        fs::write(folder.path().join("pipeline.sql"), text).unwrap();
        Lab { folder, clock, generator }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn project(&self) -> Project {
        Project {
            folder: self.folder.path().to_path_buf(),
            disk: Disk::new(Durability::Fast),
            clock: self.clock.clone(),
        }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path("pipeline.sql")).unwrap()
    }

    fn name(&self) -> String {
        self.path("pipeline.sql").display().to_string()
    }

    fn pipeline(&self) -> Pipeline {
        Pipeline::plan(&self.project(), &self.name(), &self.text()).unwrap()
    }

    fn generate(&mut self, batches: usize) {
        for _ in 0..batches {
            let made = self.generator.next_batch().unwrap().unwrap();
            // All files of a test may come within a millisecond; their order must not.
            for stream in made.streams {
                let time = UNIX_EPOCH + Duration::from_millis((NOON + made.batch as i64) as u64);
                let file = File::options().write(true).open(stream.path).unwrap();
                file.set_modified(time).unwrap();
            }
        }
    }

    /// Everything that the query can do now, by a process of its own.
    fn run(&self) -> Vec<StepReport> {
        let pipeline = self.pipeline();
        let mut query = pipeline.open(pipeline.query("out").unwrap()).unwrap();
        let step = || {
            self.clock.advance(10);
            query.step(Admit::Limited).transpose()
        };
        std::iter::from_fn(step).collect::<Result<_>>().unwrap()
    }

    fn checkpoint(&self) -> PathBuf {
        self.path("checkpoints/out")
    }

    /// What each batch came to, and the table in the end.
    fn replay(&self) -> Result<(Vec<Outcome>, Option<Outcome>)> {
        let pipeline = self.pipeline();
        let mut replay = Replay::open(&pipeline, pipeline.query("out")?, &self.checkpoint())?;
        replay.watch_state();
        let mut outcomes = vec![];
        while let Some(checked) = replay.step()? {
            let rejected = checked.rejected;
            assert!(matches!(rejected, Outcome::Same | Outcome::Unknown(_)), "{rejected:?}");
            outcomes.push(checked.outcome);
        }
        Ok((outcomes, replay.finish()?))
    }

    fn what_if(&self, delays: &[i64]) -> WhatIf {
        let (name, text) = (self.name(), self.text());
        let delays: Vec<i64> = delays.iter().map(|seconds| seconds * 1_000_000).collect();
        let trial = Trial::open(&self.project(), (&name, &text), "out", &delays).unwrap();
        trial.run(|| Ok(())).unwrap()
    }

    /// The command line in this folder.
    fn command(&self, words: &[&str]) -> (i32, String, String) {
        self.command_with(words, "")
    }

    fn command_with(&self, words: &[&str], input: &str) -> (i32, String, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_strandline"))
            .args(words)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        // A long message is broken into lines, also within a path.
        let err = text(output.stderr).replace("\n  │ ", "");
        (output.status.code().unwrap(), text(output.stdout), err)
    }

    /// The data files of the table, oldest first.
    fn data_files(&self) -> Vec<PathBuf> {
        parquet_files(&self.path("data/out"))
    }
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "parquet"));
    files.sort();
    files
}

fn all_same(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Same))
}

proptest! {
    #![proptest_config(Config { cases: 100, failure_persistence: None, ..Config::default() })]

    /// Whatever the query, the mode, the size of the batches, and when the process ended between.
    #[test]
    fn a_run_computed_again_is_what_it_was(
        query in 0usize..10, mode in 0usize..3, files in 1usize..4, seed in 0u64..1000,
        portions in prop::collection::vec(1usize..4, 1..4),
    ) {
        let (query, modes) = queries().swap_remove(query);
        let mut lab = Lab::new(seed, &text(&query, modes[mode % modes.len()], files));
        for portion in portions {
            lab.generate(portion);
            lab.run();
        }
        let (outcomes, content) = lab.replay().unwrap();
        prop_assert!(all_same(&outcomes), "{:?}", outcomes);
        prop_assert!(content.is_none());
    }
}

/// A query over windows that has run.
fn lab(mode: &str, batches: usize) -> Lab {
    let mut lab = Lab::new(7, &text(&queries()[0].0, mode, 1));
    lab.generate(batches);
    lab.run();
    lab
}

#[test]
fn batches_that_were_cleaned_away_are_computed_again() {
    let query = "SELECT event_id, value, current_timestamp() AS at FROM STREAM events";
    let mut lab = Lab::new(3, &text(query, "append", 1));
    lab.generate(210);
    lab.run();
    assert!(!lab.path("checkpoints/out/offsets/50").exists());
    let recording = Recording::read(&lab.checkpoint()).unwrap();
    assert_eq!(recording.batches.len(), 210);
    assert_eq!(recording.origin.pipeline.unwrap(), Path::new("pipeline.sql"));
    let (outcomes, _) = lab.replay().unwrap();
    assert_eq!(outcomes.len(), 210);
    assert!(all_same(&outcomes));

    // Another program cleans the table's log: what is still known is still compared.
    for version in 0..100 {
        fs::remove_file(lab.path(&format!("data/out/_delta_log/{version:020}.json"))).unwrap();
    }
    let (outcomes, content) = lab.replay().unwrap();
    let unknown = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Unknown(_))).count();
    assert_eq!(unknown, 99, "version 0 is that which made the table");
    assert!(matches!(content, Some(Outcome::Same)), "{content:?}");
}

#[test]
fn a_changed_and_a_missing_input_file_are_named() {
    let lab = lab("append", 6);
    let replay = ["replay", "checkpoints/out"];
    let (code, out, _) = lab.command(&replay);
    assert_eq!(code, 0);
    assert!(out.ends_with("every row is the same\n"), "{out}");

    let file = lab.path("input/events/batch_000003.json");
    let lines = fs::read_to_string(&file).unwrap();
    fs::write(&file, lines.replacen("value", "valve", 1)).unwrap();
    let (code, out, err) = lab.command(&replay);
    assert_eq!(code, 14, "{err}");
    assert_eq!(out.lines().count(), 3, "the batches before it are told: {out}");
    for part in ["[SOURCE_FILE_CHANGED]", "batch 3", "input/events/batch_000003.json"] {
        assert!(err.contains(part), "no {part} in {err}");
    }
    fs::remove_file(&file).unwrap();
    let (code, _, err) = lab.command(&replay);
    assert_eq!(code, 14);
    assert!(err.contains("[SOURCE_FILE_MISSING]") && err.contains("batch_000003.json"), "{err}");
}

#[test]
fn rows_that_were_changed_by_hand_are_found() {
    for mode in ["append", "update", "complete"] {
        let lab = lab(mode, 12);
        let files = lab.data_files();
        let (first, last) = (&files[0], &files[files.len() - 1]);
        fs::copy(first, last).unwrap();
        let (code, out, err) = lab.command(&["replay", "checkpoints/out", "--format", "json"]);
        assert_eq!(code, 1, "{mode}: {err}");
        assert!(err.contains("[REPLAY_DIFFERS]"), "{err}");
        let batches: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let other: Vec<&Value> = batches.iter().filter(|b| b["outcome"] == "different").collect();
        assert!(!other.is_empty(), "{mode}: {out}");
        let rows = |side: &str| other[0][side].as_array().unwrap().len();
        assert!(rows("onlyComputed") + rows("onlyInTable") > 0, "{mode}: {out}");
    }
}

#[test]
fn rejected_rows_that_were_changed_by_hand_are_found() {
    let lab = lab("append", 16);
    let log = lab.path("data/out__rejected/_delta_log");
    assert!(fs::read_dir(&log).unwrap().count() > 2, "some batches have rejected rows");
    let files: Vec<PathBuf> = parquet_files(&lab.path("data/out__rejected"));
    fs::copy(&files[0], &files[1]).unwrap();
    let (code, out, err) = lab.command(&["replay", "checkpoints/out", "-q"]);
    assert_eq!(code, 1);
    assert!(err.contains("[REPLAY_DIFFERS]"), "{err}");
    assert!(out.contains("its rejected rows:"), "{out}");
}

#[test]
fn a_version_of_the_table_by_somebody_else_is_found() {
    let lab = lab("append", 12);
    let name = lab.data_files()[0].file_name().unwrap().to_str().unwrap().to_owned();
    let newest = fs::read_dir(lab.path("data/out/_delta_log")).unwrap().count();
    let entry = json!({"remove": {"path": name, "dataChange": true, "deletionTimestamp": NOON}});
    let log = lab.path(&format!("data/out/_delta_log/{newest:020}.json"));
    fs::write(log, format!("{entry}\n")).unwrap();
    let (code, out, err) = lab.command(&["replay", "checkpoints/out", "-q"]);
    assert_eq!(code, 1);
    assert!(err.contains("[REPLAY_DIFFERS]"), "{err}");
    assert!(out.contains(&format!("see its version {newest}")), "{out}");
    assert!(out.contains("│ computed"), "the rows that it should hold: {out}");
}

#[test]
fn a_table_that_is_another_one_is_refused() {
    let (one, two) = (lab("append", 2), lab("append", 3));
    fs::remove_dir_all(one.path("data/out")).unwrap();
    fs::rename(two.path("data/out"), one.path("data/out")).unwrap();
    let (code, _, err) = one.command(&["replay", "checkpoints/out"]);
    assert_eq!(code, 13);
    assert!(err.contains("[DELTA_BATCH_MISSING]"), "{err}");
    fs::remove_dir_all(one.path("data/out")).unwrap();
    let (code, _, err) = one.command(&["replay", "checkpoints/out"]);
    assert_eq!(code, 1);
    assert!(err.contains("[DELTA_TABLE_NOT_FOUND]"), "{err}");
}

#[test]
fn a_vacuumed_table_is_compared_as_far_as_it_is_there() {
    let lab = lab("complete", 4);
    fs::remove_file(&lab.data_files()[0]).unwrap();
    let (code, out, err) = lab.command(&["replay", "checkpoints/out"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("not compared: ") && out.contains("VACUUM"), "{out}");
    assert!(out.contains("the table as it is now holds just the rows that it should"), "{out}");
}

#[test]
fn what_a_replay_needs_is_named() {
    let lab = lab("append", 2);
    let refused = |words: &[&str], parts: &[&str]| {
        let (code, _, err) = lab.command(words);
        assert_ne!(code, 0);
        for part in parts {
            assert!(err.contains(part), "no {part} in {err}");
        }
    };
    refused(&["replay", "checkpoints/in"], &["[PATH_NOT_FOUND]", "is no checkpoint"]);
    let with = ["replay", "checkpoints/out", "--with"];
    refused(&[&with[..], &["delay"]].concat(), &["[INVALID_CHANGE]", "watermark delay"]);
    refused(&["what-if", "pipeline.sql", "ou"], &["[QUERY_NOT_FOUND]", "did you mean 'out'?"]);
    fs::write(lab.path("other.sql"), text(&queries()[1].0, "append", 1)).unwrap();
    let other = ["replay", "checkpoints/out", "--pipeline", "other.sql"];
    refused(&other, &["[CHECKPOINT_QUERY_CHANGED]", "windows was"]);
    fs::rename(lab.path("pipeline.sql"), lab.path("moved.sql")).unwrap();
    refused(&["replay", "checkpoints/out"], &["there is no file", "--pipeline FILE"]);
    let (code, ..) = lab.command(&["replay", "checkpoints/out", "--pipeline", "moved.sql"]);
    assert_eq!(code, 0);
}

#[test]
fn a_replay_changes_nothing_and_lets_the_query_go_on() {
    let mut lab = lab("update", 3);
    let before = fs::read_dir(lab.path("checkpoints/out/offsets")).unwrap().count();
    let pipeline = lab.pipeline();
    let running = pipeline.open(pipeline.query("out").unwrap()).unwrap();
    assert!(all_same(&lab.replay().unwrap().0), "while another process holds the checkpoint");
    drop(running);
    assert_eq!(fs::read_dir(lab.path("checkpoints/out/offsets")).unwrap().count(), before);
    lab.generate(1);
    assert!(!lab.run().is_empty());
}

#[test]
fn batches_are_walked_forward_and_back() {
    let lab = lab("append", 12);
    let step = ["replay", "checkpoints/out", "--step"];
    let (code, out, err) = lab.command_with(&step, "n\np\n11\nq\n");
    assert_eq!(code, 0, "{err}");
    let heads: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix("batch ")).collect();
    let numbers: Vec<&str> = heads.iter().map(|head| head.split(' ').next().unwrap()).collect();
    assert_eq!(numbers, ["0", "1", "0", "11"]);
    assert!(out.contains("windows opened: 2026-01-01 11:"), "{out}");
    assert!(out.contains("reads input/events/batch_000011.json"), "{out}");

    let (_, out, _) = lab.command(&["replay", "checkpoints/out", "--step", "--format", "json"]);
    let batches: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let windows = |kind: &str| -> usize {
        let of = |batch: &Value| batch["state"][0]["windows"][kind].as_array().map(Vec::len);
        batches.iter().filter_map(of).sum()
    };
    let open = batches[batches.len() - 2]["state"][0]["kept"].as_u64().unwrap();
    assert!(windows("closed") > 0 && windows("updated") > 0 && open > 0, "{out}");
}

#[test]
fn one_thing_can_be_changed() {
    let lab = lab("append", 12);
    let change = |what: &str| -> Value {
        let words = ["replay", "checkpoints/out", "--with", what, "--format", "json"];
        let (code, out, err) = lab.command(&words);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).unwrap()
    };
    let differences = |found: &Value| {
        let rows = |side: &Value| side.as_array().unwrap().len();
        let other = &found["otherAnswers"]["asItRan"];
        rows(&found["onlyAsItRan"]) + rows(&found["onlyChanged"]) + rows(other)
    };
    let nothing = change("watermark delay = 5 minutes");
    assert_eq!(differences(&nothing), 0, "{nothing}");
    assert_eq!(nothing["asItRan"], nothing["changed"]);

    let shorter = change("watermark delay = 0s");
    assert!(shorter["changed"]["late"].as_u64() > shorter["asItRan"]["late"].as_u64(), "{shorter}");
    assert!(differences(&shorter) > 0);
    let larger = change("maxFilesPerTrigger = 6");
    assert_eq!(larger["changed"]["rowsIn"], larger["asItRan"]["rowsIn"]);
    assert!(larger["changed"]["batches"].as_u64() < larger["asItRan"]["batches"].as_u64());
    assert_eq!(change("output mode = update")["changed"]["batches"], larger["asItRan"]["batches"]);
    assert!(matches!("watermark delay=1m".parse(), Ok(Change::WatermarkDelay(60_000_000))));
}

/// What a run that really has a delay comes to.
#[derive(Debug, Default, PartialEq)]
struct Real {
    late: u64,
    out: u64,
    wrong: u64,
    mean_wait_ms: i64,
    worst_wait_ms: i64,
    most_kept: u64,
}

/// The event times of a file's lines, in milliseconds, and the types.
fn lines(path: &Path) -> Vec<(i64, String)> {
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        (
            millis(row["event_time"].as_str().unwrap()),
            row["event_type"].as_str().unwrap().to_owned(),
        )
    };
    text.lines().map(line).collect()
}

/// `2026-01-01 12:00:30` or `2026-01-01T12:00:30.000Z`, of that day or the one before.
fn millis(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let days = if text.starts_with("2026-01-01") { 0 } else { -1 };
    let seconds = number(11..13) * 3600 + number(14..16) * 60 + number(17..19) + days * 86_400;
    let fraction = text.get(20..23).and_then(|f| f.parse::<i64>().ok()).unwrap_or(0);
    NOON - 12 * 3_600_000 + seconds * 1000 + fraction
}

/// Windows of so many minutes, as the query says them: the end, the type, how many.
fn result(rows: &[Value]) -> BTreeMap<(i64, String), i64> {
    let row = |row: &Value| {
        let end = millis(row["w"]["end"].as_str().unwrap());
        ((end, row["event_type"].as_str().unwrap().to_owned()), row["n"].as_i64().unwrap())
    };
    rows.iter().map(row).collect()
}

const MINUTE: i64 = 60_000;

/// The ends of the windows of a time.
fn ends(time: i64, size: i64, slide: i64) -> Vec<i64> {
    let last = time - time.rem_euclid(slide);
    (0..size / slide).map(|back| last - back * slide + size).collect()
}

/// Runs the query with the delay in its text, and counts by hand from the files and the progress.
fn really(
    seed: u64,
    batches: usize,
    query: &str,
    files: usize,
    seconds: i64,
    size: i64,
    slide: i64,
) -> Real {
    let query = query.replace("5 MINUTES", &format!("{seconds} SECONDS"));
    let mut lab = Lab::new(seed, &text(&query, "append", files));
    lab.generate(batches);
    let reports = lab.run();
    let mut real = Real::default();
    let (mut late_by, mut newest, mut waits) = (0, 0, vec![]);
    let mut truth: BTreeMap<(i64, String), i64> = BTreeMap::new();
    let mut said = BTreeMap::new();
    for report in &reports {
        let progress = &report.progress;
        for file in progress.sources[0].end_offset["files"].as_array().unwrap() {
            if progress.num_input_rows == 0 {
                break;
            }
            for (time, kind) in lines(&lab.path(file["path"].as_str().unwrap())) {
                let ends = ends(time, size, slide);
                real.late += u64::from(ends.iter().all(|end| *end <= late_by));
                newest = newest.max(time);
                for end in ends {
                    *truth.entry((end, kind.clone())).or_default() += 1;
                }
            }
        }
        late_by = millis_or_none(progress.watermark.as_deref());
        let rows = result(&objects(&report.rows).unwrap());
        waits.extend(rows.keys().map(|(end, _)| newest - end));
        said.extend(rows);
        real.most_kept = real.most_kept.max(progress.state_rows());
    }
    real.out = said.len() as u64;
    real.worst_wait_ms = waits.iter().copied().max().unwrap_or(0);
    real.mean_wait_ms = waits.iter().sum::<i64>() / (waits.len() as i64).max(1);

    // A row of the next day lets out what is still open.
    let row = r#"{"event_time":"2026-01-02 12:00:00","event_type":"end"}"#;
    fs::write(lab.path("input/events/end.json"), row).unwrap();
    for report in lab.run() {
        said.extend(result(&objects(&report.rows).unwrap()));
    }
    let missing = truth.keys().filter(|key| !said.contains_key(*key)).count();
    let other = said.iter().filter(|(key, n)| truth.get(*key) != Some(*n)).count();
    real.wrong = (missing + other) as u64;
    real
}

fn millis_or_none(watermark: Option<&str>) -> i64 {
    watermark.filter(|watermark| !watermark.starts_with("1970")).map_or(0, millis)
}

#[test]
fn what_if_agrees_with_runs_that_really_have_the_delay() {
    let delays = [0, 60, 300, 600, 3600];
    for (seed, query, files, size, slide) in
        [(1, 0, 1, 2, 2), (2, 0, 3, 2, 2), (3, 1, 1, 4, 1), (4, 1, 2, 4, 1)]
    {
        let query = queries()[query].0.clone();
        let mut lab = Lab::new(seed, &text(&query, "append", files));
        lab.generate(20);
        let found = lab.what_if(&delays);
        assert!(!found.recorded);
        assert_eq!((found.rows, found.judged), (400, 400));
        for (outlook, seconds) in found.outlooks.iter().zip(delays) {
            let real = really(seed, 20, &query, files, seconds, size * MINUTE, slide * MINUTE);
            let wait = outlook.wait.unwrap_or_default();
            let told = Real {
                late: outlook.late,
                out: outlook.out,
                wrong: outlook.different,
                mean_wait_ms: wait.mean_ms as i64,
                worst_wait_ms: wait.worst_ms,
                most_kept: outlook.most_kept,
            };
            assert_eq!(told, real, "seed {seed}, delay {seconds} s");
        }
        // The delay that keeps all rows does, and one that is shorter does not.
        let (share, all_ms) = found.keeps[2];
        assert_eq!(share, 1.0);
        let seconds = all_ms.div_euclid(1000);
        let lost =
            |seconds| really(seed, 20, &query, files, seconds, size * MINUTE, slide * MINUTE).late;
        assert_eq!(lost(seconds + 1), 0);
        assert!(lost(seconds - 1) > 0);
        let (_, most_ms) = found.keeps[0];
        assert!(lost(most_ms / 1000 + 1) <= 4 && lost(most_ms / 1000 - 1) > 4);

        // Where the query has run, its own batches count; they are the same here.
        lab.run();
        let again = lab.what_if(&delays);
        assert!(again.recorded);
        assert_eq!(again.outlooks, found.outlooks);
        assert_eq!(again.keeps, found.keeps);
    }
}

#[test]
fn what_if_counts_the_late_rows_of_every_kind_of_query() {
    for query in [2, 4, 5, 6, 8] {
        let query = queries()[query].0.clone();
        let mut lab = Lab::new(5, &text(&query, "append", 1));
        lab.generate(15);
        let found = lab.what_if(&[0, 120, 86_400]);
        for (outlook, seconds) in found.outlooks.iter().zip([0, 120, 86_400]) {
            let text =
                text(&query.replace("5 MINUTES", &format!("{seconds} SECONDS")), "append", 1);
            let mut real = Lab::new(5, &text);
            real.generate(15);
            let reports = real.run();
            let sum = |count: fn(&StepReport) -> u64| reports.iter().map(count).sum::<u64>();
            assert_eq!(outlook.late, sum(|r| r.progress.rows.late), "{query}, {seconds} s");
            assert_eq!(outlook.out, sum(|r| r.progress.sink.num_output_rows), "{query}");
            let most = reports.iter().map(|r| r.progress.state_rows()).max();
            assert_eq!(Some(outlook.most_kept), most, "{query}");
        }
        let [short, _, long] = &found.outlooks[..] else { panic!("three delays") };
        assert!(short.late > 0 && short.different > 0, "{query}: {found:?}");
        assert_eq!((long.late, long.different), (0, 0), "{query}");
    }
}

#[test]
fn what_if_says_why_it_cannot() {
    let lab = Lab::new(1, &text(&queries()[7].0, "update", 1));
    let (code, _, err) = lab.command(&["what-if", "pipeline.sql", "out"]);
    assert_eq!(code, 2);
    assert!(err.contains("append mode"), "{err}");
    let lab = Lab::new(1, &text(&queries()[9].0, "append", 1));
    let (code, _, err) = lab.command(&["what-if", "pipeline.sql", "out"]);
    assert_eq!(code, 2);
    assert!(err.contains("[WATERMARK_MISSING]"), "{err}");
}

#[test]
fn what_if_prints_a_table_and_json() {
    let lab = lab("update", 12);
    let words = ["what-if", "pipeline.sql", "out", "--delays", "0s,5m,1h"];
    let (code, out, err) = lab.command(&words);
    assert_eq!(code, 0, "{err}");
    for part in ["rows lost", "│    0s ┆", "│    1h ┆", "all rows are kept by a delay of"] {
        assert!(out.contains(part), "no {part} in {out}");
    }
    let (_, out, _) = lab.command(&[&words[..], &["--format", "json"]].concat());
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["delays"][1]["delayMs"], 300_000);
    assert_eq!(found["keeps"][2]["share"], 1.0);
}
