//! Text as a pipeline file in an empty project.
//!
//! Asserts: no panic and no stack overflow; planning makes no file; every error is one for a user, and
//! points into the text; the same text gives the same answer; no more time than in `sql_text`.
#![no_main]

mod limit;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use libfuzzer_sys::{Corpus, fuzz_target};
use strandline::durable::Disk;
use strandline::engine::pipeline::{Pipeline, Project};
use strandline::time::ManualClock;

/// See `sql_text`.
const LONGEST: Duration = Duration::from_secs(40);

/// See `sql_text`.
const STACK: usize = 16 << 20;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    // Columns are inferred from the files of a table: none outside the project is to be looked at.
    if ["'/", "\"/", "..", "`/", "file:", "\\"].iter().any(|place| text.contains(place)) {
        return Corpus::Reject;
    }
    let text = text.to_owned();
    let thread = std::thread::Builder::new().stack_size(STACK);
    let done = thread.spawn(move || {
        let start = Instant::now();
        let answer = plan(&text);
        if start.elapsed() < Duration::from_millis(50) {
            assert_eq!(answer, plan(&text), "planned again");
        }
        assert!(start.elapsed() < LONGEST, "took {:?}", start.elapsed());
    });
    done.expect("a thread").join().expect("no panic");
    let names = std::fs::read_dir(folder()).expect("the project");
    assert_eq!(names.count(), 0, "planning made a file");
    Corpus::Keep
});

/// An empty project.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder")).path()
}

fn plan(text: &str) -> String {
    let project = Project {
        folder: folder().to_owned(),
        disk: Disk::default(),
        clock: Arc::new(ManualClock::at(0)),
    };
    match Pipeline::plan(&project, "pipeline.sql", text) {
        Ok(pipeline) => {
            let queries = pipeline.queries.iter();
            queries.map(|q| format!("{} {:?} {}\n", q.name, q.mode, q.schema)).collect()
        }
        Err(error) => {
            assert_ne!(error.condition(), "INTERNAL_ERROR", "{error}");
            if let Some(place) = error.place() {
                assert!(text.get(place.span.start..place.span.end).is_some(), "{error}: no place");
            }
            error.to_string()
        }
    }
}
