//! What the generator promises: the same bytes for the same seed, and faults that are counted.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use serde_json::Value;

use super::*;
use crate::time::{Clock, ManualClock};

/// 2026-01-01T12:00:00Z.
const START: i64 = 1_767_268_800_000;

fn options(preset: Preset) -> GenerateOptions {
    GenerateOptions { start: Some(START), ..GenerateOptions::new(preset, "unused") }
}

fn clock() -> SharedClock {
    Arc::new(ManualClock::at(START))
}

/// What a batch of a stream looks like to a reader.
struct Arrived {
    bytes: Vec<u8>,
    rows: usize,
    late: usize,
    duplicates: usize,
    corrupt: Vec<BrokenLine>,
}

impl Arrived {
    fn lines(&self) -> Vec<&[u8]> {
        self.bytes.split_inclusive(|b| *b == b'\n').map(|line| &line[..line.len() - 1]).collect()
    }

    fn json(&self) -> Vec<Value> {
        self.lines().into_iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}

fn make(maker: &mut Maker, batch: u64) -> HashMap<&'static str, Arrived> {
    let mut streams = HashMap::new();
    maker
        .make(batch, |made| {
            let Made { stream, bytes, rows, late, duplicates, corrupt } = made;
            let bytes = bytes.to_vec();
            streams.insert(stream, Arrived { bytes, rows, late, duplicates, corrupt });
            Ok(())
        })
        .unwrap();
    streams
}

fn all(options: &GenerateOptions, batches: u64) -> Vec<HashMap<&'static str, Arrived>> {
    let mut maker = Maker::new(options.clone(), clock()).unwrap();
    (0..batches).map(|batch| make(&mut maker, batch)).collect()
}

fn millis(value: &Value) -> i64 {
    let text = value.as_str().unwrap();
    let format = if text.contains('T') { "%Y-%m-%dT%H:%M:%S%.3f" } else { "%Y-%m-%d %H:%M:%S" };
    NaiveDateTime::parse_from_str(text, format).unwrap().and_utc().timestamp_millis()
}

fn with_faults(preset: Preset) -> GenerateOptions {
    GenerateOptions { late: Some(0.2), duplicates: 0.1, corrupt: 0.05, ..options(preset) }
}

#[test]
fn a_batch_depends_on_seed_and_number_and_on_no_batch_before_it() {
    for preset in [Preset::Events, Preset::Day17] {
        let options = with_faults(preset);
        let batches = all(&options, 8);
        let alone = make(&mut Maker::new(options.clone(), clock()).unwrap(), 7);
        let other = GenerateOptions { seed: 43, ..options };
        let other = make(&mut Maker::new(other, clock()).unwrap(), 7);
        for (stream, arrived) in &alone {
            assert!(arrived.bytes == batches[7][stream].bytes, "{preset} {stream}");
            assert!(arrived.bytes != batches[6][stream].bytes, "{preset} {stream}");
            assert!(arrived.bytes != other[stream].bytes, "{preset} {stream}");
        }
    }
}

/// The first rows of batch 3 with seed 1. They may only change with the version of the program.
const FIRST_ROWS: &str = r#"{"event_id":"3_0","timestamp":"2026-01-01T11:59:37.212","user_id":702,"event_type":"view","value":903.27}
{"event_id":"EVT00030000","user_id":"USER081","event_type":"page_view","value":12.78,"event_time":"2026-01-01 11:56:05","processing_time":"2026-01-01 12:00:03"}
{"impression_id":"IMP00030000","user_id":"USER027","ad_id":"AD002","impression_time":"2026-01-01 11:56:27"}
{"click_id":"CLK00030000","impression_id":"IMP00010020","user_id":"USER087","click_time":"2026-01-01 11:58:13"}
{"user_id":1,"name":"Ben Fischer","country":"JP","segment":"standard"}"#;

#[test]
fn the_bytes_of_a_seed_never_change() {
    let first = |preset, stream: &str| {
        let options = GenerateOptions { seed: 1, ..options(preset) };
        let made = make(&mut Maker::new(options, clock()).unwrap(), 3);
        String::from_utf8(made[stream].lines()[0].to_vec()).unwrap()
    };
    let lines = [
        first(Preset::Events, "events"),
        first(Preset::Day17, "events"),
        first(Preset::Day17, "impressions"),
        first(Preset::Day17, "clicks"),
        first(Preset::Users, "users"),
    ];
    let faulty = all(&with_faults(Preset::Day17), 8);
    let sums = faulty[6..].iter().map(|batch| crc32c::crc32c(&batch["events"].bytes));
    assert_eq!(lines.join("\n"), FIRST_ROWS);
    assert!(sums.eq([2_244_242_584, 2_052_163_235]));
}

#[test]
fn events_have_the_shape_of_the_demo() {
    for (number, batch) in all(&options(Preset::Events), 30).iter().enumerate() {
        let now = START + 5_000 * number as i64;
        let rows = batch["events"].json();
        assert_eq!(rows.len(), 100);
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(row.as_object().unwrap().len(), 5);
            assert_eq!(row["event_id"], format!("{number}_{i}"));
            assert!((0..60_000).contains(&(now - millis(&row["timestamp"]))), "{row}");
            assert!((1..=1_000).contains(&row["user_id"].as_i64().unwrap()), "{row}");
            assert!(["click", "view", "purchase"].contains(&row["event_type"].as_str().unwrap()));
            assert!((10.0..=1_000.0).contains(&row["value"].as_f64().unwrap()), "{row}");
        }
    }
}

#[test]
fn one_day17_event_in_ten_is_late_by_5_to_30_minutes() {
    for (number, batch) in all(&options(Preset::Day17), 50).iter().enumerate() {
        let events = &batch["events"];
        let mut late = 0;
        for (i, row) in events.json().iter().enumerate() {
            assert_eq!(row["event_id"], format!("EVT{number:04}{i:04}"));
            assert!(row["user_id"].as_str().unwrap().starts_with("USER"));
            assert!((1.0..=100.0).contains(&row["value"].as_f64().unwrap()), "{row}");
            let now = millis(&row["processing_time"]);
            assert_eq!(now, START + 1_000 * number as i64);
            let delay = (now - millis(&row["event_time"])) / 1_000;
            assert!((0..=1_800).contains(&delay) && delay != 300, "{row}");
            late += usize::from(delay > 300);
        }
        assert_eq!((events.rows, late, events.late), (100, 10, 10));
    }
}

#[test]
fn most_clicks_follow_their_impression_within_ten_minutes() {
    let batches = all(&options(Preset::Day17), 200);
    let impressions: HashMap<String, (i64, Value)> = batches
        .iter()
        .flat_map(|batch| batch["impressions"].json())
        .map(|row| {
            let shown = (millis(&row["impression_time"]), row["user_id"].clone());
            (row["impression_id"].as_str().unwrap().to_string(), shown)
        })
        .collect();
    assert_eq!(impressions.len(), 200 * 50);
    let (mut matched, mut orphans, mut before) = (0, 0, 0);
    for (number, batch) in batches.iter().enumerate() {
        let clicks = batch["clicks"].json();
        assert_eq!(clicks.len(), 10);
        for (i, row) in clicks.iter().enumerate() {
            assert_eq!(row["click_id"], format!("CLK{number:04}{i:04}"));
            let time = millis(&row["click_time"]);
            assert!(time <= START + 1_000 * number as i64, "{row}");
            let of = row["impression_id"].as_str().unwrap();
            let of_batch: usize = of[3..7].parse().unwrap();
            assert!((number.saturating_sub(2)..=number).contains(&of_batch), "{row}");
            match impressions.get(of) {
                None => orphans += 1,
                Some((shown, _)) if time < *shown => before += 1,
                Some((shown, user)) => {
                    assert!(time - shown <= 600_000 && row["user_id"] == *user, "{row}");
                    matched += 1;
                }
            }
        }
    }
    assert!((1_600..1_800).contains(&matched), "{matched} of 2000");
    assert!((140..260).contains(&orphans) && (60..140).contains(&before), "{orphans} {before}");
}

#[test]
fn asked_for_lateness_replaces_that_of_the_preset() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let options = GenerateOptions {
        late: Some(0.25),
        late_by: Some((minutes(40), minutes(50))),
        ..options(Preset::Day17)
    };
    let on_time = all(&GenerateOptions { late: Some(0.0), ..options.clone() }, 20);
    let times =
        [("events", "event_time"), ("impressions", "impression_time"), ("clicks", "click_time")];
    let mut late = 0;
    for (number, batch) in all(&options, 20).iter().enumerate() {
        for (stream, field) in times {
            let now = START + 1_000 * number as i64;
            let delays = batch[stream].json();
            let delays = delays.iter().map(|row| (now - millis(&row[field])) / 60_000);
            let of_stream = delays.filter(|minutes| (40..=50).contains(minutes)).count();
            // a click on a late impression is old too, without being one of the late clicks
            assert!(of_stream == batch[stream].late || stream == "clicks", "{stream}");
            late += batch[stream].late;
        }
        let changed = batch["events"].lines().into_iter().zip(on_time[number]["events"].lines());
        assert_eq!(changed.filter(|(a, b)| a != b).count(), batch["events"].late);
    }
    assert_eq!(late, 20 * 160 / 4);
}

#[test]
fn as_many_lines_are_doubled_and_broken_as_reported_and_the_others_are_untouched() {
    for preset in Preset::ALL {
        let faulty = GenerateOptions { duplicates: 0.1, corrupt: 0.05, ..options(preset) };
        let batches = if preset == Preset::Users { 1 } else { 40 };
        let whole = all(&options(preset), batches);
        let mut known: HashSet<Vec<u8>> = HashSet::new();
        let mut totals: HashMap<&str, [usize; 4]> = HashMap::new();
        for (number, batch) in all(&faulty, batches).iter().enumerate() {
            for (stream, arrived) in batch {
                let lines = arrived.lines();
                assert_eq!(lines.len(), arrived.rows + arrived.duplicates);
                let clean = whole[number][stream].lines();
                for (i, line) in lines.iter().take(arrived.rows).enumerate() {
                    let broken = arrived.corrupt.iter().any(|broken| broken.line == i + 1);
                    assert_eq!(*line != clean[i], broken, "{stream} {number} {i}");
                    assert!(known.insert(line.to_vec()), "{stream} {number} {i}");
                }
                for line in &lines[arrived.rows..] {
                    assert!(known.contains(*line), "a duplicate was there before");
                    serde_json::from_slice::<Value>(line).unwrap();
                }
                let total = totals.entry(stream).or_default();
                total[0] += arrived.rows;
                total[1] += arrived.duplicates;
                total[2] += arrived.corrupt.len();
            }
        }
        for (stream, [rows, duplicates, corrupt, _]) in totals {
            assert_eq!((duplicates, corrupt), (rows / 10, rows / 20), "{stream}");
        }
    }
}

#[test]
fn on_a_running_clock_duplicates_and_clicks_still_refer_to_what_was_written() {
    let clock = Arc::new(ManualClock::at(START));
    let options =
        GenerateOptions { duplicates: 0.5, ..GenerateOptions::new(Preset::Day17, "unused") };
    let mut maker = Maker::new(options, clock.clone()).unwrap();
    let mut known: HashSet<Vec<u8>> = HashSet::new();
    for batch in 100..130 {
        for arrived in make(&mut maker, batch).values() {
            let lines = arrived.lines();
            known.extend(lines[..arrived.rows].iter().map(|line| line.to_vec()));
            assert!(lines[arrived.rows..].iter().all(|line| known.contains(*line)), "{batch}");
        }
        clock.advance(1_000 + clock.now() % 777);
    }
}

#[test]
fn two_runs_into_one_folder_give_what_one_long_run_gives() {
    let files = |runs: &[u64]| {
        let folder = tempfile::tempdir().unwrap();
        let mut reported = Vec::new();
        for batches in runs {
            let options = GenerateOptions {
                out: folder.path().to_path_buf(),
                batches: Some(*batches),
                every: Some(Duration::ZERO),
                ..with_faults(Preset::Day17)
            };
            let mut generator = Generator::new(options, clock()).unwrap();
            assert_eq!(generator.every(), Duration::ZERO);
            while let Some(report) = generator.next_batch().unwrap() {
                reported.extend(report.streams.into_iter().map(|stream| stream.path));
            }
        }
        reported
            .iter()
            .map(|path| {
                let name = path.strip_prefix(folder.path()).unwrap().display().to_string();
                (name, fs::read(path).unwrap())
            })
            .collect::<Vec<_>>()
    };
    let (twice, once) = (files(&[4, 6]), files(&[10]));
    assert_eq!(
        (twice.len(), &twice[0].0[..], &twice[29].0[..]),
        (30, "events/batch_000000.json", "clicks/batch_000009.json")
    );
    assert!(twice == once);
}

#[test]
fn users_are_one_file_that_a_second_run_makes_again() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let options = GenerateOptions::new(Preset::Users, folder.path());
        let mut generator = Generator::new(options, clock()).unwrap();
        let report = generator.next_batch().unwrap().unwrap();
        assert_eq!((report.streams[0].rows, generator.next_batch().unwrap()), (1_000, None));
    }
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["users.json"]);
    let text = fs::read_to_string(folder.path().join("users.json")).unwrap();
    let ids =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["user_id"].as_i64());
    assert!(ids.eq((1..=1_000).map(Some)));
}
