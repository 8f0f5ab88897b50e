//! Every example runs, as a newcomer runs it, and does what its README says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The examples with a pipeline, in order.
fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.join("pipeline.sql").exists()).collect();
    found.sort();
    assert_eq!(found.len(), 9);
    found
}

/// Runs the binary in a folder; gives all that it printed. It must succeed.
fn strandline(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    let output = command.args(words).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    assert!(output.status.success(), "strandline {}: {printed}", words.join(" "));
    printed
}

fn generate(folder: &Path, batches: &str, start: &str) {
    let words = ["generate", "day17", "--out", "input", "--seed", "1", "--every", "0s"];
    strandline(folder, &[&words[..], &["--batches", batches, "--start", start]].concat());
}

fn run(folder: &Path, example: &Path) -> String {
    let pipeline = example.join("pipeline.sql");
    strandline(folder, &["run", pipeline.to_str().unwrap(), "--available-now"])
}

/// The answer to a question, a line a row.
fn ask(folder: &Path, question: &str) -> Vec<String> {
    let answer = strandline(folder, &["sql", "-c", question, "--format", "csv"]);
    answer.lines().skip(1).map(str::to_owned).collect()
}

/// The names of everything that a folder holds.
fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(names(&path));
        }
        found.insert(path);
    }
    found
}

/// The events of all input files, read without the engine: their ids, sorted.
fn ids_in_the_files(folder: &Path) -> Vec<String> {
    let mut ids = vec![];
    for file in names(&folder.join("input/events")) {
        for line in fs::read_to_string(file).unwrap().lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            ids.push(event["event_id"].as_str().unwrap().to_owned());
        }
    }
    ids.sort();
    ids
}

#[test]
fn in_one_folder_all_examples_take_each_file_once() {
    let project = tempfile::tempdir().unwrap();
    let folder = project.path();
    generate(folder, "10", "2026-01-01T12:00:00");
    for example in examples() {
        assert!(run(folder, &example).contains("batch 0"), "{}", example.display());
    }
    let before = names(&folder.join("data"));
    for example in examples() {
        let said = "note: nothing new, all queries are up to date\n";
        assert_eq!(run(folder, &example), said, "{}", example.display());
    }
    assert_eq!(names(&folder.join("data")), before, "a run without new files writes nothing");

    generate(folder, "2", "2026-01-01T12:30:00");
    examples().iter().for_each(|example| drop(run(folder, example)));
    let ids = ids_in_the_files(folder);
    assert_eq!(ids.len(), 1200);
    for table in ["all_events", "events_with_users", "bronze_events"] {
        let question = format!("SELECT event_id FROM {table} ORDER BY event_id");
        assert_eq!(ask(folder, &question), ids, "{table}");
    }
    let purchases = "SELECT count(*) FROM all_events WHERE event_type = 'purchase'";
    assert_eq!(ask(folder, "SELECT count(*) FROM silver_purchases"), ask(folder, purchases));
}

#[test]
fn users_that_are_there_are_found_by_the_join() {
    let project = tempfile::tempdir().unwrap();
    let folder = project.path();
    strandline(folder, &["generate", "users", "--out", "input/users"]);
    generate(folder, "1", "2026-01-01T12:00:00");
    run(folder, &examples()[3]);
    let question = "SELECT count(*), count(name), count(country) FROM events_with_users";
    assert_eq!(ask(folder, question), ["100,100,100"]);
}

#[test]
fn each_readme_shows_what_its_commands_print() {
    for example in examples() {
        let project = tempfile::tempdir().unwrap();
        fs::copy(example.join("pipeline.sql"), project.path().join("pipeline.sql")).unwrap();
        if example.join("tests").exists() {
            fs::create_dir(project.path().join("tests")).unwrap();
            for script in names(&example.join("tests")) {
                let name = script.strip_prefix(&example).unwrap();
                fs::copy(&script, project.path().join(name)).unwrap();
            }
        }
        let readme = fs::read_to_string(example.join("README.md")).unwrap();
        let (mut printed, mut comparable, mut killed) = (String::new(), false, false);
        for (language, text) in fences(&readme) {
            match language {
                "sh" => {
                    printed = text.lines().map(|line| command(project.path(), line)).collect();
                    // After a kill the batches are cut differently on each machine.
                    comparable = !(killed && text.contains("strandline run"));
                }
                "text" if comparable && std::env::var_os("UPDATE").is_some() => {
                    if masked(text) != masked(&printed) {
                        let updated = readme.replace(text, &printed);
                        fs::write(example.join("README.md"), &updated).unwrap();
                        panic!("{} is updated: once more, for its next block", example.display());
                    }
                }
                "text" if comparable => {
                    assert_eq!(masked(text), masked(&printed), "{}", example.display());
                }
                "bash" => (killed, comparable) = (true, false),
                "text" => {}
                other => panic!("{}: a block of {other:?}", example.display()),
            }
        }
    }
}

/// The blocks of a README: language and text.
fn fences(readme: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = readme.split("```").collect();
    assert!(parts.len() % 2 == 1 && parts.len() >= 5, "{readme}");
    parts.iter().skip(1).step_by(2).map(|block| block.split_once('\n').unwrap()).collect()
}

/// Runs one line of a README; a question is answered as on a terminal.
fn command(folder: &Path, line: &str) -> String {
    let mut words: Vec<&str> = vec![];
    for (number, part) in line.split('"').enumerate() {
        match number % 2 {
            0 => words.extend(part.split_whitespace()),
            _ => words.push(part),
        }
    }
    assert_eq!(words.remove(0), "strandline", "{line}");
    if words[0] == "sql" {
        words.extend(["--format", "table"]);
    }
    strandline(folder, &words)
}

/// Without what differs from run to run: the time at the start of a line, the duration at its end.
fn masked(text: &str) -> String {
    let mask = |line: &str| match line.strip_suffix(" ms").and_then(|l| l.rsplit_once("  ")) {
        Some((batch, _)) => batch.split_once("  ").unwrap().1.to_owned(),
        None => line.trim_end().to_owned(),
    };
    text.lines().map(mask).collect::<Vec<_>>().join("\n")
}
