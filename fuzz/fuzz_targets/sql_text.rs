//! Text as the query of a streaming table over a fixed catalog: parsed, planned, and looked at in each
//! output mode.
//!
//! Asserts: no panic and no stack overflow; no error is a bug of ours; the same text gives the same plan;
//! no more time than the bounds on a query allow.
#![no_main]

mod limit;

use std::time::{Duration, Instant};

use libfuzzer_sys::{Corpus, fuzz_target};
use strandline::calendar::Zone;
use strandline::error::{Error, Result};
use strandline::sql::{Catalog, Checks, Mode, Statement, parse, parse_columns};

/// The dependencies are not optimised, so all takes about eight times as long as in a release.
const LONGEST: Duration = Duration::from_secs(40);

/// Eight times what a thread has that nobody gave another size: so much more do the dependencies take
/// that are not optimised.
const STACK: usize = 16 << 20;

const TABLES: [(&str, &str); 4] = [
    (
        "ev",
        "id STRING, ts TIMESTAMP, k STRING, v DOUBLE, g STRING, n BIGINT, i INT, ok BOOLEAN, d DATE, \
         price DECIMAL(10,2), tags ARRAY<STRING>, m MAP<STRING, BIGINT>, s STRUCT<x: BIGINT, y: STRING>, \
         b BINARY",
    ),
    ("l", "id STRING, lt TIMESTAMP, k STRING, n INT"),
    ("r", "rid STRING, rt TIMESTAMP, k STRING, m INT"),
    ("users", "id STRING, name STRING, since TIMESTAMP, age INT"),
];

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let text = text.to_owned();
    let thread = std::thread::Builder::new().stack_size(STACK);
    let done = thread.spawn(move || {
        let start = Instant::now();
        let plan = plan(&text);
        if start.elapsed() < Duration::from_millis(50) {
            assert_eq!(plan, self::plan(&text), "planned again");
        }
        assert!(start.elapsed() < LONGEST, "took {:?}", start.elapsed());
    });
    done.expect("a thread").join().expect("no panic");
    Corpus::Keep
});

/// The plan as text, or the error.
fn plan(text: &str) -> String {
    let shown = planned(&format!("CREATE STREAMING TABLE q AS {text}"));
    shown.unwrap_or_else(|error| {
        assert_ne!(error.condition(), "INTERNAL_ERROR", "{error}");
        error.to_string()
    })
}

fn planned(text: &str) -> Result<String> {
    let parsed = parse("q.sql", text)?;
    let mut catalog = Catalog::new(&parsed, Zone::named("UTC")?);
    for (name, columns) in TABLES {
        catalog.add_table(name, parse_columns(columns)?);
    }
    let mut shown = String::new();
    for statement in &parsed.statements {
        let Statement::StreamingTable(definition) = statement else { continue };
        let query = catalog.plan(definition)?;
        catalog.add_table(&definition.name, query.plan.schema().inner().clone());
        shown += &query.plan.display_indent_schema().to_string();
        for mode in [Mode::Append, Mode::Update, Mode::Complete] {
            let checked: std::result::Result<(), Error> = query.check(mode, Checks::default());
            shown += &format!("{checked:?}\n");
        }
    }
    Ok(shown)
}
