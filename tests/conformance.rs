//! Runs the recordings of real Spark and says for each whether this engine does the same.
//!
//! The cases lie in `conformance/cases/`; the `README.md` beside them says what is in one and how it
//! is compared, `spark_trace.py` records them. More folders of cases can be named in the
//! environment variable `STRANDLINE_CONFORMANCE_DIR`, separated as in `PATH`.
//!
//! A case that is known to differ stands in `conformance/set_aside.txt` with the reason. That list
//! only shrinks: a case that is not on it must agree, and one that agrees must not be on it.

mod case;
mod json;
mod run;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What became of a case.
pub struct Verdict {
    name: String,
    case: Option<case::Case>,
    /// `Err` holds the first difference.
    outcome: Result<(), String>,
}

impl Verdict {
    /// Whether the case, with its SQL in lower case, is such a one.
    fn has(&self, such: fn(&case::Case, &str) -> bool) -> bool {
        let Some(case) = &self.case else { return false };
        case.sql().is_ok_and(|(before, query)| such(case, &(before + &query).to_lowercase()))
    }
}

#[test]
fn what_spark_did_is_done_here() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut folders = vec![home.join("cases")];
    let more = std::env::var_os("STRANDLINE_CONFORMANCE_DIR");
    if let Some(more) = &more {
        folders.extend(std::env::split_paths(more));
    }
    let list = fs::read_to_string(home.join("set_aside.txt")).unwrap();
    let set_aside = set_aside(&list);
    let verdicts =
        run_all(&folders.iter().flat_map(|folder| case_files(folder)).collect::<Vec<_>>());

    // Not println!, which a test that passes keeps to itself.
    let mut out = std::io::stdout().lock();
    let mut wrong = vec![];
    for Verdict { name, outcome: verdict, .. } in &verdicts {
        let line = match (verdict, set_aside.get(name.as_str())) {
            (Ok(()), None) => format!("agrees     {name}"),
            (Err(_), Some(reason)) => format!("set aside  {name}: {reason}"),
            (Err(difference), None) => format!("differs    {name}: {difference}"),
            (Ok(()), Some(_)) => format!("agrees     {name}, so take it off set_aside.txt"),
        };
        writeln!(out, "{line}").unwrap();
        if verdict.is_ok() == set_aside.contains_key(name.as_str()) {
            wrong.push(line);
        }
    }
    for name in set_aside.keys().filter(|name| !verdicts.iter().any(|v| v.name == **name)) {
        wrong.push(format!("set_aside.txt names {name}, which is no case"));
    }
    let agree = verdicts.iter().filter(|v| v.outcome.is_ok()).count();
    writeln!(out, "conformance: {agree} of {} cases agree", verdicts.len()).unwrap();
    if more.is_none() {
        wrong.extend(table::hold(&table::page(&verdicts, &set_aside)).err());
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The names of `set_aside.txt` and their reasons: lines of `name: reason`.
fn set_aside(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(": ").expect("a line is `name: reason`")).collect()
}

fn case_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    files
}

/// Runs the cases, as many at a time as there are processors.
fn run_all(files: &[PathBuf]) -> Vec<Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(BTreeMap::new());
    let worker = || {
        while let Some((number, file)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            files.get(number).map(|file| (number, file))
        } {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            let case = read(file);
            let outcome = case.as_ref().map_err(String::clone).and_then(|case| {
                catch_unwind(AssertUnwindSafe(|| run::run(case)))
                    .unwrap_or_else(|_| Err("panics".into()))
            });
            let verdict = Verdict { name, case: case.ok(), outcome };
            verdicts.lock().unwrap().insert(number, verdict);
        }
    };
    let at_a_time = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(worker);
        }
    });
    verdicts.into_inner().unwrap().into_values().collect()
}

fn read(file: &Path) -> Result<case::Case, String> {
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| format!("not a case: {e}"))
}
