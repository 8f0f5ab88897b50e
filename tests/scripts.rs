//! `strandline test`: the real binary plays a user's scripts.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::{Said, Shell};

const PIPELINE: &str = "\
CREATE TABLE events (id INT, user INT) USING json OPTIONS (path 'input/events');
CREATE TABLE users (user INT, name STRING) USING json OPTIONS (path 'input/users');
CREATE STREAMING TABLE named AS
SELECT id, name FROM STREAM events LEFT JOIN users ON events.user = users.user;
";

const SCRIPT: &str = "\
# An event has the name of its user.
pipeline ../pipeline.sql
add events
  {\"id\":1,\"user\":7}
run
table named
---
ok
batch 0: read 1
  id=1 name=Ada
id=1 name=Ada
";

/// A project with rows of its own in both tables, and one script.
fn project(script: &str) -> Shell {
    let shell = Shell::new();
    shell.write("pipeline.sql", PIPELINE);
    shell.write("input/users/users.json", "{\"user\":7,\"name\":\"Ada\"}\n");
    shell.write("input/events/live.json", "{\"id\":99,\"user\":7}\n");
    shell.write("tests/names.test", script);
    shell
}

fn script(shell: &Shell) -> String {
    fs::read_to_string(shell.0.path().join("tests/names.test")).unwrap()
}

/// It printed all of this.
fn printed(said: &Said, parts: &[&str]) {
    for part in parts {
        assert!(said.out.contains(part), "no {part:?} in:\n{}", said.out);
    }
}

#[test]
fn still_tables_are_read_from_the_project_and_streams_are_not() {
    let shell = project(SCRIPT);
    let said = shell.works("test tests");
    assert_eq!(
        said,
        "ok      tests/names.test  An event has the name of its user.\n1 script: 1 passed\n"
    );
    let exists = |name: &str| Path::exists(&shell.0.path().join(name));
    assert!(!exists("data") && !exists("checkpoints"), "nothing of the user's is touched");
}

#[test]
fn rows_of_a_script_take_the_place_of_the_projects() {
    let given = "add users\n  {\"user\":7,\"name\":\"Eve\"}\npipeline ../";
    let shell = project(&SCRIPT.replace("pipeline ../", given).replace("name=Ada", "name=Eve"));
    shell.works("test tests/names.test");
}

#[test]
fn the_page_about_testing_shows_a_script_that_works() {
    let page = include_str!("../docs/testing.md");
    let block = |language: &str| {
        page.split_once(&format!("```{language}\n")).unwrap().1.split_once("```").unwrap().0
    };
    let shell = Shell::new();
    shell.write("pipeline.sql", block("sql"));
    shell.write("per_country.test", block("text"));
    let said = shell.run("test .");
    printed(&said, &["1 script: 1 passed"]);
}

#[test]
fn a_still_table_around_a_stream_is_read_without_it() {
    let around = "path 'input', pathGlobFilter 'users.json', recursiveFileLookup 'true'";
    let shell = project(SCRIPT);
    shell.write("pipeline.sql", &PIPELINE.replace("path 'input/users'", around));
    shell.works("test tests");
    let given = "add users/users.json\n  {\"user\":7,\"name\":\"Eve\"}\npipeline ../";
    let given = SCRIPT.replace("pipeline ../", given).replace("name=Ada", "name=Eve");
    shell.write("tests/names.test", &given);
    shell.works("test tests");
}

#[test]
fn what_came_stands_beside_what_was_expected() {
    let shell = project(&SCRIPT.replace("id=1 name=Ada\n", "id=1 name=Eve\n"));
    let said = shell.run("test tests");
    said.failed(4, &[]);
    printed(
        &said,
        &[
            "FAILED  tests/names.test",
            "line 2: pipeline ../pipeline.sql, add events, run, table named",
            "│   id=1 name=Eve ┆ ≠ ┆   id=1 name=Ada │",
            "│ batch 0: read 1 ┆   ┆ batch 0: read 1 │",
            "1 script: 0 passed, 1 failed",
        ],
    );
    assert!(!said.out.contains('\u{1b}'), "colour is for terminals");

    let json = shell.run("test tests --format json");
    json.failed(4, &[]);
    let result: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(result["result"], "failed");
    assert_eq!(result["differences"][0]["line"], 2);
    assert_eq!(result["differences"][0]["got"][2], "  id=1 name=Ada");
    assert_eq!(result["differences"][0]["expected"][2], "  id=1 name=Eve");

    printed(
        &shell.run("test tests --update"),
        &["updated tests/names.test", "0 passed, 1 updated"],
    );
    assert_eq!(script(&shell), SCRIPT);
    shell.works("test tests");
}

#[test]
fn a_script_that_is_not_understood_is_named_with_its_line_and_the_others_are_played() {
    let shell = project(SCRIPT);
    for (name, text, said) in [
        ("verb", "# No such thing.\nfly\n---\n", "verb.test:2:1"),
        ("file", "pipeline nowhere.sql\n---\n", "the pipeline tests/nowhere.sql"),
        ("end", "pipeline ../pipeline.sql\n", "nothing is expected of 'pipeline"),
        ("point", "crash at 12\n---\n", "no step '12'"),
        ("clock", "clock +soon\n---\n", "'soon' is not an interval"),
        ("lines", "step\n  {}\n---\n", "no use for the lines below it"),
        ("empty", "# Nothing.\n", "the script does nothing"),
    ] {
        shell.write(&format!("tests/{name}.test"), text);
        let result = shell.run("test tests");
        result.failed(2, &[said]);
        printed(&result, &["ok      tests/names.test", "2 scripts: 1 passed, 1 not understood"]);
        fs::remove_file(shell.0.path().join(format!("tests/{name}.test"))).unwrap();
    }
    shell.run("test nothing.test").failed(2, &["there is no file nothing.test"]);
    shell.run("test input").failed(2, &["there is no file *.test"]);
}

#[test]
fn what_a_script_names_wrongly_is_something_that_came() {
    let shell = project(&SCRIPT.replace("add events", "add evens"));
    let said = shell.run("test tests --update");
    said.failed(0, &[]);
    assert!(script(&shell).contains("error: [TABLE_OR_VIEW_NOT_FOUND] no table evens is declared"));
    assert!(script(&shell).contains("help: did you mean 'events'?"));
}

#[test]
fn a_test_leads_to_nothing_outside_of_its_project() {
    for outside in ["/tmp/strandline-outside", "../outside"] {
        let pipeline = PIPELINE.replace("input/events", outside);
        let shell = project(SCRIPT);
        shell.write("pipeline.sql", &pipeline);
        shell.run("test tests --update").failed(0, &[]);
        let said = "error: [OUTSIDE_OF_PROJECT] the table events leads out of the project's folder";
        assert!(script(&shell).contains(said), "{}", script(&shell));
    }
}

#[test]
fn a_still_table_without_rows_is_named() {
    let shell = project(SCRIPT);
    fs::remove_dir_all(shell.0.path().join("input/users")).unwrap();
    shell.run("test tests --update").failed(0, &[]);
    assert!(script(&shell).contains("[STILL_TABLE_NOT_FOUND] the script gives users no rows"));
    assert!(script(&shell).contains("write `add users` with its rows before `pipeline`"));
}
