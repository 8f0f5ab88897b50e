//! The real binary in an empty folder, as a person or a script meets it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// An empty folder, and the binary in it.
pub struct Shell(pub tempfile::TempDir);

/// What a command left behind.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Shell {
    pub fn new() -> Shell {
        Shell(tempfile::tempdir().unwrap())
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null());
        command
    }

    pub fn run(&self, line: &str) -> Said {
        self.run_with(&[], line)
    }

    /// Runs with these variables in the environment.
    pub fn run_with(&self, variables: &[(&str, &str)], line: &str) -> Said {
        let mut command = self.command(&line.split_whitespace().collect::<Vec<_>>());
        command.envs(variables.iter().copied());
        Said::of(command)
    }

    fn run_words(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments))
    }

    /// Runs what must work; gives what was printed.
    pub fn works(&self, line: &str) -> String {
        self.run(line).worked()
    }

    /// The answer to a question, as CSV without the header.
    pub fn ask(&self, question: &str) -> String {
        let said = self.run_words(&["sql", "-c", question, "--format", "csv"]).worked();
        said.split_once('\n').unwrap().1.trim_end().to_string()
    }

    /// A place in the project.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A pipeline over `input/events`, with one file in it.
    fn with_pipeline(self) -> Shell {
        self.write("pipeline.sql", PIPELINE);
        self.write(
            "input/events/1.json",
            "{\"id\":1,\"ts\":\"2026-01-01T12:01:00Z\"}\n{\"id\":2}\n",
        );
        self
    }
}

impl Said {
    fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn worked(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// What was said to people, however a terminal would break it into lines.
    pub fn in_one_line(&self) -> String {
        let words = self.err.split(['\n', '│', ' ']).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    }

    /// It ended with this code, and said all of this to people.
    pub fn failed(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "no {part:?} in:\n{}", self.err);
        }
    }
}

const PIPELINE: &str = "\
CREATE TABLE events (id BIGINT, ts TIMESTAMP)
USING json OPTIONS (path 'input/events', maxFilesPerTrigger '1');
CREATE STREAMING TABLE copy AS
SELECT * FROM STREAM events WATERMARK ts DELAY OF INTERVAL 1 MINUTE;
";

#[test]
fn help_has_examples_for_every_command() {
    let shell = Shell::new();
    let commands =
        ["", "demo ", "generate ", "run ", "sql ", "explain ", "replay ", "what-if ", "test "];
    for command in commands {
        let help = shell.works(&format!("{command}--help"));
        assert!(help.contains("Examples:\n  strandline "), "{command}: {help}");
    }
}

#[test]
fn version_is_that_of_the_package() {
    let version = concat!("strandline ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(Shell::new().works("--version"), version);
}

#[test]
fn wrong_usage_ends_with_2() {
    let shell = Shell::new();
    shell.run("run pipeline.sql --fast").failed(2, &["--fast"]);
    shell.run("fly").failed(2, &["fly"]);
    shell.run("run").failed(2, &["PIPELINE"]);
    shell.run("run nothing.sql").failed(2, &["there is no file nothing.sql", "help:"]);
    shell.run("run pipeline.sql --once --available-now").failed(2, &["cannot be used with"]);
}

#[test]
fn a_project_that_is_not_there_ends_with_2() {
    Shell::new().run("run p.sql --project nowhere").failed(2, &["nowhere does not exist", "help:"]);
}

#[test]
fn wrong_sql_ends_with_2_and_names_the_place() {
    let shell = Shell::new().with_pipeline();
    shell.write("wrong.sql", &PIPELINE.replace("SELECT *", "SELECT idd"));
    for command in ["run wrong.sql", "explain wrong.sql"] {
        let said = shell.run(command);
        said.failed(2, &["[UNRESOLVED_COLUMN", "wrong.sql:4:8", "did you mean 'id'?"]);
    }
}

#[test]
fn a_wrong_question_ends_with_2() {
    let shell = Shell::new();
    let ask = |question| shell.run_words(&["sql", "-c", question]);
    ask("SELECT * FROM nothing").failed(2, &["[TABLE_OR_VIEW_NOT_FOUND]"]);
    ask("SELEC 1").failed(2, &["[PARSE_SYNTAX_ERROR]"]);
    ask("DROP TABLE copy").failed(2, &["help:"]);
}

#[test]
fn the_same_seed_and_start_give_the_same_bytes() {
    let shell = Shell::new();
    for out in ["one", "two"] {
        let start = "--seed 1 --start 2026-01-01T12:00:00Z --every 0s";
        shell.works(&format!("generate day17 --out {out} {start}"));
    }
    let (one, two) = (files(&shell.0.path().join("one")), files(&shell.0.path().join("two")));
    assert_eq!(one.len(), 30);
    assert_eq!(one, two);
}

#[test]
fn a_second_run_adds_nothing_and_a_third_what_is_new() {
    let shell = Shell::new().with_pipeline();
    let count = || shell.ask("SELECT count(*) FROM copy");
    shell.works("run pipeline.sql --available-now");
    assert_eq!(count(), "2");
    assert_eq!(shell.works("run pipeline.sql --available-now"), "");
    assert_eq!(count(), "2");
    shell.write("input/events/2.json", "{\"id\":3}\n");
    shell.works("run pipeline.sql --available-now");
    assert_eq!(shell.ask("SELECT id FROM copy ORDER BY id"), "1\n2\n3");
}

#[test]
fn once_takes_everything_in_one_batch() {
    let shell = Shell::new().with_pipeline();
    shell.write("input/events/2.json", "{\"id\":3}\n");
    assert_eq!(shell.works("run pipeline.sql --once").lines().count(), 1);
    assert_eq!(shell.ask("SELECT count(*) FROM copy"), "3");
}

#[test]
fn a_question_can_be_answered_in_three_formats() {
    let shell = Shell::new().with_pipeline();
    shell.works("run pipeline.sql --available-now");
    let ask = |format| {
        let question = "SELECT id, ts FROM copy ORDER BY id LIMIT 1";
        shell.run_words(&["sql", "-c", question, "--format", format]).worked()
    };
    assert_eq!(ask("json"), "{\"id\":1,\"ts\":\"2026-01-01T12:01:00Z\"}\n");
    assert_eq!(ask("csv"), "id,ts\n1,2026-01-01T12:01:00Z\n");
    let table = ask("table");
    assert!(table.contains("2026-01-01 12:01:00") && table.ends_with("1 row\n"), "{table}");
}

#[test]
fn a_question_can_use_lambdas_generators_and_earlier_aliases() {
    let shell = Shell::new().with_pipeline();
    shell.works("run pipeline.sql --available-now");
    let twice = "SELECT transform(array(id), x -> x * 2)[0] AS twice, twice + 1 AS more FROM copy";
    assert_eq!(shell.ask(&format!("{twice} ORDER BY id")), "2,3\n4,5");
    let rows = "SELECT id, n FROM copy LATERAL VIEW explode(sequence(1, id)) v AS n ORDER BY id, n";
    assert_eq!(shell.ask(rows), "1,1\n2,1\n2,2");
    assert_eq!(
        shell.ask("SELECT from_json('{\"a\":5}', 'a INT').a AS a FROM copy WHERE id = 1"),
        "5"
    );
}

#[test]
fn a_question_can_name_what_a_pipeline_declares() {
    let shell = Shell::new().with_pipeline();
    let question = ["sql", "-c", "SELECT count(*) AS n FROM events", "--pipeline", "pipeline.sql"];
    assert_eq!(shell.run_words(&question).worked(), "{\"n\":2}\n");
}

#[test]
fn progress_in_json_has_the_keys_of_spark() {
    let shell = Shell::new().with_pipeline();
    let said = shell.works("run pipeline.sql --available-now --progress json");
    let progress: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    for key in [
        "id",
        "runId",
        "name",
        "timestamp",
        "batchId",
        "batchDuration",
        "numInputRows",
        "processedRowsPerSecond",
        "durationMs",
        "stateOperators",
        "sources",
        "sink",
        "watermark",
    ] {
        assert!(progress.get(key).is_some(), "no {key} in {progress}");
    }
    assert_eq!(progress["name"], "copy");
    assert_eq!(progress["numInputRows"], 2);
    assert!(progress["durationMs"]["triggerExecution"].is_u64());
    assert_eq!(progress["sources"][0]["description"], "FileStreamSource[input/events]");
    assert_eq!(progress["sink"]["numOutputRows"], 2);
}

#[test]
fn a_broken_line_is_named_and_its_neighbours_count() {
    let shell = Shell::new().with_pipeline();
    shell.write("input/events/1.json", "{\"id\":1}\nnot json\n{\"id\":3}\n");
    let said = shell.run("run pipeline.sql --available-now");
    said.failed(0, &["input/events/1.json:2 is not a row"]);
    assert_eq!(shell.ask("SELECT sum(id) FROM copy"), "4");
}

#[test]
fn a_missing_folder_is_named_with_what_to_do() {
    let shell = Shell::new();
    shell.write("pipeline.sql", PIPELINE);
    let said = shell.run("run pipeline.sql --available-now");
    said.failed(1, &["[PATH_NOT_FOUND]", "input/events", "mkdir -p"]);
    fs::create_dir_all(shell.0.path().join("input/events")).unwrap();
    shell.works("run pipeline.sql --available-now");
}

#[test]
fn explain_shows_the_plan_and_makes_nothing() {
    let shell = Shell::new().with_pipeline();
    let said = shell.works("explain pipeline.sql");
    assert!(said.contains("copy") && said.contains("events"), "{said}");
    assert!(!shell.0.path().join("data").exists() && !shell.0.path().join("checkpoints").exists());
}

#[test]
fn the_second_process_on_a_checkpoint_is_refused() {
    let shell = Shell::new().with_pipeline();
    let mut first = shell
        .command(&["run", "pipeline.sql"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its first line says that it has the checkpoint and has done a batch.
    let mut line = String::new();
    let mut out = std::io::BufReader::new(first.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let second = shell.run("run pipeline.sql --available-now");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(line.contains("copy"), "{line}");
    second.failed(12, &["[CHECKPOINT_LOCKED]", "help:"]);
    // What the first one held is free again, though it was killed.
    shell.works("run pipeline.sql --available-now");
    assert_eq!(shell.ask("SELECT count(*) FROM copy"), "2");
}

#[test]
fn the_demo_needs_an_empty_folder_and_no_terminal() {
    let shell = Shell::new();
    let said = shell.works("demo --for 3s");
    assert!(!said.contains('\u{1b}'), "plain lines have no control characters: {said:?}");
    assert!(said.contains("batch 0"), "{said}");
    assert!(shell.ask("SHOW TABLES").lines().count() >= 4);
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![];
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
