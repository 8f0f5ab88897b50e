//! Claims that hold for any input: what is random is small, and a failing case is made smaller.

mod duplicates;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use strandline::engine::steps::{CrashPoint, Step};
use strandline::script::row::objects;
use strandline::script::{Output, World};

/// A row: minutes after 12:00, key, value.
type Row = (i64, u8, i32);

/// Few cases, since each runs a whole query. Nothing is written beside the source.
fn few() -> Config {
    Config { cases: 16, failure_persistence: None, ..Config::default() }
}

/// Rows within half an hour, so that with a delay of an hour none of them is late.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0i64..30, 0u8..3, -5i32..20), 1..24)
}

/// Where to cut the rows into files.
fn cuts() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(any::<bool>(), 24)
}

/// Minutes: how long a sliding window is, and how far apart they are.
fn size_and_slide() -> impl Strategy<Value = (i64, i64)> {
    (1i64..12).prop_flat_map(|size| (Just(size), 1..=size))
}

const TABLE: &str = "CREATE TABLE ev (ts TIMESTAMP, k STRING, v BIGINT) USING json \
                     OPTIONS (path 'input/ev', maxFilesPerTrigger '1');";

/// 2026-01-01T12:00:00Z in minutes since 1970, from which windows are counted.
const NOON: i64 = 29_454_480;

fn pipeline(mode: &str, window: &str) -> String {
    format!(
        "{TABLE} CREATE STREAMING TABLE out TBLPROPERTIES ('outputMode' = '{mode}') AS \
         SELECT window({window}) AS w, k, count(*) AS n, sum(v) AS v, max(v) AS hi \
         FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 HOUR GROUP BY window({window}), k"
    )
}

fn time(minute: i64) -> String {
    format!("2026-01-01T{:02}:{:02}:00Z", 12 + minute.div_euclid(60), minute.rem_euclid(60))
}

fn line(&(minute, key, value): &Row) -> String {
    json!({"ts": time(minute), "k": format!("k{key}"), "v": value}).to_string() + "\n"
}

fn cut(rows: &[Row], cuts: &[bool]) -> Vec<String> {
    let mut files = vec![String::new()];
    for (row, cut_here) in rows.iter().zip(cuts) {
        if *cut_here {
            files.push(String::new());
        }
        files.last_mut().unwrap().push_str(&line(row));
    }
    files
}

/// What happens to the process when a file arrives.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    LivesOn,
    StartsAgain,
    DiesAfter(Step),
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let dies = prop::sample::select(Step::ALL.to_vec()).prop_map(Fate::DiesAfter);
    let fate = prop_oneof![Just(Fate::LivesOn), Just(Fate::StartsAgain), dies];
    prop::collection::vec(fate, 26)
}

/// Runs a query over these files, one a batch.
fn run(pipeline: &str, files: &[String], fates: &[Fate], into: Output) -> World {
    let mut world = World::new(None).unwrap();
    world.plan("pipeline.sql", pipeline).unwrap();
    world.start(into).unwrap();
    for (number, file) in files.iter().enumerate() {
        world.add("ev", file).unwrap();
        match fates.get(number).copied().unwrap_or(Fate::LivesOn) {
            Fate::LivesOn => {}
            Fate::StartsAgain => drop(world.stop()),
            Fate::DiesAfter(step) => {
                world.crash(None, CrashPoint { step, batch: None }).unwrap();
            }
        }
        if !world.is_open() {
            world.start(into).unwrap();
        }
        world.run(None).unwrap();
    }
    world
}

fn window(start: &str, end: &str) -> String {
    format!("{start} to {end}")
}

/// What is said of each group in the end, and how often it was said.
type Answer = BTreeMap<(String, String), (Value, usize)>;

fn answer(rows: &[RecordBatch]) -> Answer {
    let mut answer = Answer::new();
    for row in objects(rows).unwrap() {
        let bound = |name: &str| row["w"][name].as_str().unwrap().to_string();
        let group =
            (window(&bound("start"), &bound("end")), row["k"].as_str().unwrap().to_string());
        let said = answer.get(&group).map_or(0, |(_, said)| *said);
        answer.insert(group, (json!([row["n"], row["v"], row["hi"]]), said + 1));
    }
    answer
}

fn answer_of(pipeline: &str, files: &[String]) -> Answer {
    answer(&run(pipeline, files, &[], Output::Memory).written("out"))
}

/// The same by its definition: for each window that a row is in, one more.
fn by_definition(rows: &[Row], size: i64, slide: i64) -> BTreeMap<(String, String), Value> {
    let mut groups: BTreeMap<(String, String), Vec<i32>> = BTreeMap::new();
    for &(minute, key, value) in rows {
        for start in minute - size + 1..=minute {
            if (NOON + start).rem_euclid(slide) == 0 {
                let window = window(&time(start), &time(start + size));
                groups.entry((window, format!("k{key}"))).or_default().push(value);
            }
        }
    }
    groups.into_iter().map(|(group, values)| (group, told(&values))).collect()
}

/// What is said of a group with these values.
fn told(values: &[i32]) -> Value {
    json!([values.len(), values.iter().sum::<i32>(), values.iter().max()])
}

fn sessions(mode: &str, gap: &str) -> String {
    pipeline(mode, &format!("ts, {gap}")).replace("window(", "session_window(")
}

/// A gap that depends on the row, in SQL, and what it is in minutes.
const GAP: &str = "CASE WHEN v > 12 THEN '9 minutes' WHEN v > 0 THEN '2 minutes' \
                   WHEN v = 0 THEN '-1 minutes' ELSE NULL END";

fn gap(&(_, _, value): &Row) -> i64 {
    match value {
        13.. => 9,
        1.. => 2,
        _ => 0,
    }
}

/// Sessions by their definition: each row is one, and any two of a key that touch become one.
fn sessions_by_definition(
    rows: &[Row],
    gap: impl Fn(&Row) -> i64,
) -> BTreeMap<(String, String), Value> {
    let in_one = rows.iter().filter(|row| gap(row) > 0);
    let mut sessions: Vec<(u8, i64, i64, Vec<i32>)> =
        in_one.map(|row| (row.1, row.0, row.0 + gap(row), vec![row.2])).collect();
    let pairs = |n: usize| (0..n).flat_map(move |a| (0..n).map(move |b| (a, b)));
    while let Some((a, b)) = pairs(sessions.len()).filter(|(a, b)| a > b).find(|&(a, b)| {
        let (a, b) = (&sessions[a], &sessions[b]);
        a.0 == b.0 && a.1 <= b.2 && b.1 <= a.2
    }) {
        let (a, b) = (sessions.remove(a), sessions.remove(b));
        sessions.push((a.0, a.1.min(b.1), a.2.max(b.2), [a.3, b.3].concat()));
    }
    let named = |(key, start, end, values): (u8, i64, i64, Vec<i32>)| {
        ((window(&time(start), &time(end)), format!("k{key}")), told(&values))
    };
    sessions.into_iter().map(named).collect()
}

fn last_words(answer: Answer) -> BTreeMap<(String, String), Value> {
    answer.into_iter().map(|(group, (told, _))| (group, told)).collect()
}

/// A row so much later that every window before it is closed by the batch without data.
fn closing() -> String {
    line(&(600, 9, 0))
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn update_says_the_same_in_the_end_however_rows_are_cut_into_files(
        rows in rows(), cuts in cuts()
    ) {
        let answer = answer_of(&pipeline("update", "ts, '5 minutes'"), &cut(&rows, &cuts));
        prop_assert_eq!(last_words(answer), by_definition(&rows, 5, 5));
    }

    #[test]
    fn append_says_each_window_once_when_the_last_has_closed(rows in rows(), cuts in cuts()) {
        let mut files = cut(&rows, &cuts);
        files.push(closing());
        let answer = answer_of(&pipeline("append", "ts, '5 minutes'"), &files);
        prop_assert!(answer.values().all(|(_, said)| *said == 1), "{:?}", answer);
        prop_assert_eq!(last_words(answer), by_definition(&rows, 5, 5));
    }

    #[test]
    fn stopping_and_dying_changes_nothing(rows in rows(), cuts in cuts(), fates in fates()) {
        let mut files = cut(&rows, &cuts);
        files.push(closing());
        for mode in ["update", "append", "complete"] {
            let pipeline = pipeline(mode, "ts, '5 minutes', '2 minutes'");
            let disturbed = run(&pipeline, &files, &fates, Output::Memory);
            let calm = run(&pipeline, &files, &[], Output::Memory);
            prop_assert_eq!(answer(&disturbed.written("out")), answer(&calm.written("out")));
        }
    }

    #[test]
    fn little_memory_for_state_changes_nothing(
        rows in rows(), cuts in cuts(), fates in fates(), bytes in 1u32..6000
    ) {
        let mut files = cut(&rows, &cuts);
        files.push(closing());
        for mode in ["update", "append", "complete"] {
            let plenty = pipeline(mode, "ts, '5 minutes', '2 minutes'");
            let little = plenty.replace(
                "TBLPROPERTIES (", &format!("TBLPROPERTIES ('state.memory' = '{bytes}', ")
            );
            let disturbed = run(&little, &files, &fates, Output::Memory);
            let calm = run(&plenty, &files, &[], Output::Memory);
            prop_assert_eq!(answer(&disturbed.written("out")), answer(&calm.written("out")));
        }
    }

    #[test]
    fn a_table_in_update_mode_has_one_row_a_group(rows in rows(), cuts in cuts(), fates in fates()) {
        let pipeline = pipeline("update", "ts, '5 minutes'");
        let world = run(&pipeline, &cut(&rows, &cuts), &fates, Output::Delta);
        let answer = answer(&world.table("out").unwrap());
        prop_assert!(answer.values().all(|(_, said)| *said == 1), "{:?}", answer);
        prop_assert_eq!(last_words(answer), by_definition(&rows, 5, 5));
    }

    #[test]
    fn a_stream_that_is_closed_has_said_everything_once(
        rows in rows(), cuts in cuts(), fates in fates()
    ) {
        let windows = (pipeline("append", "ts, '5 minutes', '2 minutes'"), by_definition(&rows, 5, 2));
        let sessions = (sessions("append", "'3 minutes'"), sessions_by_definition(&rows, |_| 3));
        for (pipeline, expected) in [windows, sessions] {
            let mut world = run(&pipeline, &cut(&rows, &cuts), &fates, Output::Memory);
            let last = world.close(None).unwrap().pop().unwrap();
            prop_assert_eq!(last.progress.state_rows(), 0);
            let answer = answer(&world.written("out"));
            prop_assert!(answer.values().all(|(_, said)| *said == 1), "{:?}", answer);
            prop_assert_eq!(last_words(answer), expected);
            prop_assert!(world.close(None).unwrap().is_empty());
        }
    }

    #[test]
    fn sliding_windows_are_what_their_definition_says(
        rows in rows(), cuts in cuts(), (size, slide) in size_and_slide()
    ) {
        let pipeline = pipeline("update", &format!("ts, '{size} minutes', '{slide} minutes'"));
        let answer = answer_of(&pipeline, &cut(&rows, &cuts));
        prop_assert_eq!(last_words(answer), by_definition(&rows, size, slide));
    }

    #[test]
    fn sessions_are_what_their_definition_says(rows in rows(), cuts in cuts()) {
        let mut files = cut(&rows, &cuts);
        files.push(closing());
        let fixed: fn(&Row) -> i64 = |_| 3;
        for (gap, minutes) in [("'3 minutes'", fixed), (GAP, gap)] {
            let answer = answer_of(&sessions("append", gap), &files);
            prop_assert!(answer.values().all(|(_, said)| *said == 1), "{:?}", answer);
            prop_assert_eq!(last_words(answer), sessions_by_definition(&rows, minutes));
        }
    }

    #[test]
    fn a_computed_gap_that_is_always_the_same_is_a_fixed_one(rows in rows(), cuts in cuts()) {
        let files = cut(&rows, &cuts);
        let computed = sessions("complete", "CASE WHEN v < 100 THEN '3 minutes' END");
        let fixed = sessions("complete", "'3 minutes'");
        prop_assert_eq!(answer_of(&computed, &files), answer_of(&fixed, &files));
    }

    #[test]
    fn stopping_and_dying_changes_no_session(rows in rows(), cuts in cuts(), fates in fates()) {
        let mut files = cut(&rows, &cuts);
        files.push(closing());
        for mode in ["append", "complete"] {
            let pipeline = sessions(mode, GAP);
            let disturbed = run(&pipeline, &files, &fates, Output::Memory);
            let calm = run(&pipeline, &files, &[], Output::Memory);
            prop_assert_eq!(answer(&disturbed.written("out")), answer(&calm.written("out")));
        }
    }
}
