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

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What became of each case, by its name: `Err` holds the first difference.
type Verdicts = Vec<(String, Result<(), String>)>;

#[test]
fn what_spark_did_is_done_here() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut folders = vec![home.join("cases")];
    if let Some(more) = std::env::var_os("STRANDLINE_CONFORMANCE_DIR") {
        folders.extend(std::env::split_paths(&more));
    }
    let list = fs::read_to_string(home.join("set_aside.txt")).unwrap();
    let set_aside = set_aside(&list);
    let verdicts =
        run_all(&folders.iter().flat_map(|folder| case_files(folder)).collect::<Vec<_>>());

    // Not println!, which a test that passes keeps to itself.
    let mut out = std::io::stdout().lock();
    let mut wrong = vec![];
    for (name, verdict) in &verdicts {
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
    for name in set_aside.keys().filter(|name| !verdicts.iter().any(|(n, _)| n == *name)) {
        wrong.push(format!("set_aside.txt names {name}, which is no case"));
    }
    let agree = verdicts.iter().filter(|(_, verdict)| verdict.is_ok()).count();
    writeln!(out, "conformance: {agree} of {} cases agree", verdicts.len()).unwrap();
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
fn run_all(files: &[PathBuf]) -> Verdicts {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(BTreeMap::new());
    let worker = || {
        while let Some((number, file)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            files.get(number).map(|file| (number, file))
        } {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            let verdict = catch_unwind(AssertUnwindSafe(|| run_file(file)))
                .unwrap_or_else(|_| Err("panics".into()));
            verdicts.lock().unwrap().insert(number, (name, verdict));
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

fn run_file(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let case = serde_json::from_str(&text).map_err(|e| format!("not a case: {e}"))?;
    run::run(&case)
}
