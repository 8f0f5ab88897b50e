//! What state costs: memory a group, a batch that touches few of many, the way back, and rows on disk.
//!
//! `cargo bench --bench state` prints the figures; `STATE_GROUPS` says of how many groups (by default 5
//! million), and `STATE_MEMORY` in how many bytes the last case has to do (256 MiB, four times as many
//! groups). It measures the whole process, so each case runs in one of its own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use strandline::durable::{Disk, Durability};
use strandline::state::{Memory, StateShape, StateStore};

/// Groups of one window, by a text: what a tumbling count keeps.
fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("window_end", time, true),
        Field::new("user", DataType::Utf8View, true),
        Field::new("count", DataType::Int64, true),
    ]))
}

fn groups(numbers: &[i64], count: i64) -> RecordBatch {
    let time = TimestampMicrosecondArray::from(vec![1_767_225_600_000_000; numbers.len()]);
    let users = numbers.iter().map(|n| format!("user-{n:08}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(time.with_timezone("UTC")),
        Arc::new(StringViewArray::from_iter_values(users)),
        Arc::new(Int64Array::from(vec![count; numbers.len()])),
    ];
    RecordBatch::try_new(schema(), columns).expect("rows of the schema")
}

fn open(folder: &Path, version: Option<u64>, budget: Option<u64>) -> StateStore {
    let schema = schema();
    let shape =
        StateShape { name: "groups", schema, keys: 2, lookup: 2, expiry: Some(0), grain_us: None };
    let (disk, memory) = (Disk::new(Durability::Full), Memory::new(budget, None, None));
    StateStore::open(folder.join("groups"), disk, shape, version, &memory).expect("a store")
}

/// Numbers below `below` in no order, the same in each run.
fn some(count: usize, below: i64, seed: &mut u64) -> Vec<i64> {
    let mut numbers = std::collections::BTreeSet::new();
    while numbers.len() < count {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.insert(((*seed >> 33) as i64) % below);
    }
    numbers.into_iter().collect()
}

/// `VmRSS` or `VmHWM` of this process, in bytes; 0 where the system does not say.
fn resident(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap_or(0) * 1024
}

/// Fills a store with groups, so many a batch; gives the number of the next batch.
fn fill(store: &mut StateStore, all: i64, at_once: i64) -> u64 {
    let mut batch = 0;
    for first in (0..all).step_by(at_once as usize) {
        // A stride that meets every number once, out of order.
        let numbers = (first..(first + at_once).min(all)).map(|n| n * 7_368_787 % all);
        store.put(&groups(&numbers.collect::<Vec<_>>(), 1)).expect("groups are put");
        store.seal(batch).expect("a batch is sealed");
        batch += 1;
    }
    batch
}

fn touched(all: i64) {
    let folder = tempfile::tempdir().expect("a folder");
    let before = resident("VmRSS:");
    let mut store = open(folder.path(), None, None);
    let began = Instant::now();
    let mut batch = fill(&mut store, all, 100_000);
    let filled = began.elapsed();
    let (held, rss) = (store.table().memory_bytes() as u64, resident("VmRSS:") - before);
    let (mut took, mut bytes, mut seed) = (Vec::new(), 0, 7);
    for _ in 0..200 {
        let rows = groups(&some(1000, all, &mut seed), 2);
        let began = Instant::now();
        store.table().get(&rows.columns()[..2]).expect("groups are got");
        store.put(&rows).expect("groups are put");
        bytes += store.seal(batch).expect("a batch is sealed").bytes;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        batch += 1;
    }
    took.sort_by(f64::total_cmp);
    println!(
        "{all} groups: {} bytes a group held, {} of the process, {} at most; made in {:.1} s; a batch \
         of 1000: {:.2} ms (95 of 100: {:.2}), {} kB",
        held / all as u64,
        rss / all as u64,
        resident("VmHWM:") / all as u64,
        filled.as_secs_f64(),
        took[took.len() / 2],
        took[took.len() * 95 / 100],
        bytes / 200_000
    );
    drop(store);
    let began = Instant::now();
    let store = open(folder.path(), Some(batch - 1), None);
    println!("{all} groups: read back in {:.2} s", began.elapsed().as_secs_f64());
    assert_eq!(store.table().len() as i64, all);
}

fn spilled(all: i64, budget: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path(), None, Some(budget));
    let began = Instant::now();
    let mut batch = fill(&mut store, all, 100_000);
    let filled = began.elapsed();
    let (mut took, mut seed) = (Vec::new(), 7);
    for _ in 0..50 {
        let rows = groups(&some(1000, all, &mut seed), 1);
        let began = Instant::now();
        assert_eq!(store.table().get(&rows.columns()[..2]).expect("groups").num_rows(), 1000);
        store.put(&rows).expect("groups are put");
        store.seal(batch).expect("a batch is sealed");
        took.push(began.elapsed().as_secs_f64() * 1e3);
        batch += 1;
    }
    took.sort_by(f64::total_cmp);
    let mut counted = (0, 0);
    for rows in store.table().rows().expect("all rows") {
        let rows = rows.expect("a part");
        let counts = rows.column(2).as_primitive::<Int64Type>().values();
        counted = (counted.0 + rows.num_rows() as i64, counted.1 + counts.iter().sum::<i64>());
    }
    assert_eq!(counted, (all, all));
    println!(
        "{all} groups in {} MB: made in {:.1} s, {} MB held, {} MB on disk, a batch of 1000: {:.2} ms, \
         {} MB of the process, {} at most",
        budget >> 20,
        filled.as_secs_f64(),
        store.table().memory_bytes() >> 20,
        store.table().spilled_bytes() >> 20,
        took[took.len() / 2],
        resident("VmRSS:") >> 20,
        resident("VmHWM:") >> 20
    );
    drop(store);
    let began = Instant::now();
    let store = open(folder.path(), Some(batch - 1), Some(budget));
    assert_eq!(store.table().len() as i64, all);
    println!(
        "{all} groups in {} MB: read back in {:.2} s, {} MB of the process at most",
        budget >> 20,
        began.elapsed().as_secs_f64(),
        resident("VmHWM:") >> 20
    );
}

fn main() {
    let number = |name: &str, default: i64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let all = number("STATE_GROUPS", 5_000_000);
    let budget = number("STATE_MEMORY", 256 << 20) as u64;
    match std::env::var("STATE_CASE").as_deref() {
        Ok("few") => touched(5000.min(all)),
        Ok("many") => touched(all),
        Ok("spilled") => spilled(4 * all, budget),
        _ => {
            for case in ["few", "many", "spilled"] {
                let this = std::env::current_exe().expect("the path of this program");
                let done = Command::new(this).env("STATE_CASE", case).status();
                assert!(done.expect("a process").success(), "{case} failed");
            }
        }
    }
}
