//! How fast rows of `events` are made in memory.

#![allow(missing_docs)] // of the function that criterion_group! makes

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use strandline::generate::{GenerateOptions, Maker, Preset};
use strandline::time::ManualClock;

const ROWS: usize = 10_000;

fn events(c: &mut Criterion) {
    let plain = GenerateOptions { rows: Some(ROWS), ..GenerateOptions::new(Preset::Events, "") };
    let faulty =
        GenerateOptions { late: Some(0.1), duplicates: 0.02, corrupt: 0.001, ..plain.clone() };
    let mut group = c.benchmark_group("generate");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, options) in [("events", plain), ("events_with_faults", faulty)] {
        let clock = Arc::new(ManualClock::at(1_767_268_800_000));
        let mut maker = Maker::new(options, clock).expect("the options are right");
        let mut batch = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                batch += 1;
                maker.make(batch, |made| {
                    black_box(made.bytes);
                    Ok(())
                })
            })
        });
    }
    group.finish();
}

criterion_group!(benches, events);
criterion_main!(benches);
