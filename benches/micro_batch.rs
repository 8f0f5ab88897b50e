//! What one micro-batch of 100 rows costs, from the file in the folder to the durable Delta commit.

#![allow(missing_docs)] // of the function that criterion_group! makes

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use strandline::durable::Disk;
use strandline::engine::pipeline::{Pipeline, Project};
use strandline::generate::{GenerateOptions, Generator, Preset};
use strandline::sources::Admit;
use strandline::time::ManualClock;

const TABLE: &str = "CREATE TABLE events (event_id STRING, `timestamp` TIMESTAMP, user_id BIGINT,
    event_type STRING, value DOUBLE) USING json OPTIONS (path 'input');";

const QUERIES: [(&str, &str); 3] = [
    ("pass_through", "CREATE STREAMING TABLE q AS SELECT * FROM STREAM events"),
    (
        "tumbling_append",
        "CREATE STREAMING TABLE q AS
         SELECT window(`timestamp`, '5 minutes') AS window, event_type, count(*) AS n
         FROM STREAM events WATERMARK `timestamp` DELAY OF INTERVAL 10 MINUTES
         GROUP BY window(`timestamp`, '5 minutes'), event_type",
    ),
    (
        "tumbling_update",
        "CREATE STREAMING TABLE q TBLPROPERTIES ('outputMode' = 'update') AS
         SELECT window(`timestamp`, '5 minutes') AS window, event_type, count(*) AS n
         FROM STREAM events WATERMARK `timestamp` DELAY OF INTERVAL 10 MINUTES
         GROUP BY window(`timestamp`, '5 minutes'), event_type",
    ),
];

/// Steps one query over so many fresh files; only the steps are timed.
fn run(sql: &str, batches: u64) -> Duration {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Arc::new(ManualClock::at(1_767_225_600_000));
    let project =
        Project { folder: folder.path().to_owned(), disk: Disk::default(), clock: clock.clone() };
    let mut options = GenerateOptions::new(Preset::Events, folder.path().join("input"));
    options.start = Some(1_767_225_600_000);
    let mut files = Generator::new(options, clock).expect("a generator");
    let pipeline = Pipeline::plan(&project, "bench", &format!("{TABLE} {sql}")).expect("a plan");
    let mut query = pipeline.open(&pipeline.queries[0]).expect("a query");
    let mut total = Duration::ZERO;
    for _ in 0..batches {
        files.next_batch().expect("a file");
        let started = Instant::now();
        query.step(Admit::Limited).expect("a batch");
        total += started.elapsed();
    }
    total
}

fn micro_batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("micro_batch");
    group.sample_size(10);
    for (name, sql) in QUERIES {
        group.bench_function(name, |bencher| bencher.iter_custom(|batches| run(sql, batches)));
    }
    group.finish();
}

criterion_group!(benches, micro_batch);
criterion_main!(benches);
