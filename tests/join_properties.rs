//! Joins of two streams against their definition: every left row beside every right row.

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use strandline::engine::steps::{CrashPoint, Step};
use strandline::script::row::objects;
use strandline::script::{Output, World};

/// A row of either stream: minutes after 12:00, key, value. Its place in the list is its id.
type Row = (i64, Option<u8>, i32);

/// What happens when a file arrives: nothing, a restart, or a death right after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    LivesOn,
    StartsAgain,
    DiesAfter(Step),
}

const KINDS: [&str; 5] = ["INNER", "LEFT", "RIGHT", "FULL OUTER", "LEFT SEMI"];

/// Rows within half an hour, so that with a delay of an hour none of them is late.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop::option::weighted(0.9, 0u8..3);
    prop::collection::vec((0i64..30, key, 0i32..9), 0..16)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let dies = prop::sample::select(Step::ALL.to_vec()).prop_map(Fate::DiesAfter);
    let fate = prop_oneof![3 => Just(Fate::LivesOn), 1 => Just(Fate::StartsAgain), 1 => dies];
    prop::collection::vec(fate, 18)
}

/// Each with the number of the file in which it comes.
fn spread() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..6, 16)
}

/// `on` besides equal keys and the range of time.
fn pipeline(kind: &str, on: &str) -> String {
    let columns = if kind == "LEFT SEMI" { "l.id" } else { "l.id, r.rid" };
    format!(
        "CREATE TABLE l (id INT, ts TIMESTAMP, k INT, v INT) USING json \
         OPTIONS (path 'input/l', maxFilesPerTrigger '1'); \
         CREATE TABLE r (rid INT, ts TIMESTAMP, k INT, v INT) USING json \
         OPTIONS (path 'input/r', maxFilesPerTrigger '1'); \
         CREATE STREAMING TABLE out AS SELECT {columns} \
         FROM STREAM l WATERMARK ts DELAY OF INTERVAL 1 HOUR AS l \
         {kind} JOIN STREAM r WATERMARK ts DELAY OF INTERVAL 1 HOUR AS r \
         ON l.k = r.k AND r.ts >= l.ts - INTERVAL 3 MINUTES AND r.ts < l.ts + INTERVAL 5 MINUTES {on}"
    )
}

fn line(id: &str, number: i64, &(minute, key, value): &Row) -> String {
    let time = format!("2026-01-01T{:02}:{:02}:00Z", 12 + minute / 60, minute % 60);
    json!({id: number, "ts": time, "k": key, "v": value}).to_string() + "\n"
}

fn files(id: &str, rows: &[Row], spread: &[usize]) -> Vec<String> {
    let mut files = vec![String::new(); 6];
    for ((number, row), file) in (0..).zip(rows).zip(spread) {
        files[*file].push_str(&line(id, number, row));
    }
    files
}

/// The rows that have come out, in an order of their own.
fn rows_of(world: &World) -> Vec<Value> {
    let mut rows = objects(&world.written("out")).unwrap();
    rows.sort_by_key(Value::to_string);
    rows
}

/// Runs a query over these files, one of each side a batch; gives also how many rows are left in
/// state.
fn run(pipeline: &str, left: &[String], right: &[String], fates: &[Fate]) -> (World, u64) {
    let mut world = World::new(None).unwrap();
    world.plan("pipeline.sql", pipeline).unwrap();
    world.start(Output::Memory).unwrap();
    let mut kept = 0;
    for (number, (left, right)) in left.iter().zip(right).enumerate() {
        world.add("l", left).unwrap();
        world.add("r", right).unwrap();
        let mut reports = vec![];
        match fates.get(number).copied().unwrap_or(Fate::LivesOn) {
            Fate::LivesOn => {}
            Fate::StartsAgain => drop(world.stop()),
            Fate::DiesAfter(step) => {
                reports = world.crash(None, CrashPoint { step, batch: None }).unwrap().reports;
            }
        }
        if !world.is_open() {
            world.start(Output::Memory).unwrap();
        }
        reports.extend(world.run(None).unwrap());
        if let Some(last) = reports.last() {
            kept = last.progress.state_operators[0].num_rows_total;
        }
    }
    (world, kept)
}

/// The same by its definition. `matches` is what `on` says.
fn by_definition(
    kind: &str,
    left: &[Row],
    right: &[Row],
    matches: impl Fn(&Row, &Row) -> bool,
) -> Vec<Value> {
    // Spark's full outer join, and only that, takes two NULLs for equal.
    let is_match = |l: &Row, r: &Row| {
        (l.1.is_some() || kind == "FULL OUTER")
            && l.1 == r.1
            && r.0 >= l.0 - 3
            && r.0 < l.0 + 5
            && matches(l, r)
    };
    let mut rows = Vec::new();
    for (id, l) in left.iter().enumerate() {
        let found = right.iter().enumerate().filter(|(_, r)| is_match(l, r));
        let found: Vec<usize> = found.map(|(rid, _)| rid).collect();
        match kind {
            "LEFT SEMI" => rows.extend((!found.is_empty()).then(|| json!({"id": id}))),
            "LEFT" | "FULL OUTER" if found.is_empty() => rows.push(json!({"id": id, "rid": null})),
            _ => rows.extend(found.into_iter().map(|rid| json!({"id": id, "rid": rid}))),
        }
    }
    if matches!(kind, "RIGHT" | "FULL OUTER") {
        let alone = right.iter().enumerate().filter(|(_, r)| !left.iter().any(|l| is_match(l, r)));
        rows.extend(alone.map(|(rid, _)| json!({"id": null, "rid": rid})));
    }
    rows.sort_by_key(Value::to_string);
    rows
}

/// Whether a left and a right row match, besides their keys and times.
type Match = fn(&Row, &Row) -> bool;

/// What a condition says besides, in SQL and in Rust.
const ON: [(&str, Match); 3] = [
    ("", |_, _| true),
    ("AND l.v < r.v", |l, r| l.2 < r.2),
    ("AND l.v <> 3 AND r.v % 2 = 1", |l, r| l.2 != 3 && r.2 % 2 == 1),
];

proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_join_is_its_definition_however_its_rows_come(
        kind in prop::sample::select(KINDS.to_vec()),
        on in prop::sample::select(ON.to_vec()),
        left in rows(), right in rows(), l_spread in spread(), r_spread in spread(), fates in fates(),
    ) {
        // At the end a row of each that has no match and lets go all the others.
        let mut l_files = files("id", &left, &l_spread);
        let mut r_files = files("rid", &right, &r_spread);
        l_files.push(line("id", 99, &(600, Some(8), 9)));
        r_files.push(line("rid", 99, &(600, Some(9), 9)));
        let (world, kept) = run(&pipeline(kind, on.0), &l_files, &r_files, &fates);
        prop_assert_eq!(rows_of(&world), by_definition(kind, &left, &right, on.1));
        prop_assert_eq!(kept, 2);
    }

    #[test]
    fn closing_lets_out_the_rows_without_a_partner(
        kind in prop::sample::select(KINDS.to_vec()),
        left in rows(), right in rows(), l_spread in spread(), r_spread in spread(), fates in fates(),
    ) {
        let (l_files, r_files) = (files("id", &left, &l_spread), files("rid", &right, &r_spread));
        let (mut world, _) = run(&pipeline(kind, ""), &l_files, &r_files, &fates);
        world.close(None).unwrap();
        prop_assert_eq!(rows_of(&world), by_definition(kind, &left, &right, |_, _| true));
        prop_assert!(world.close(None).unwrap().is_empty());
    }
}
