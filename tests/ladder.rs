//! Who may import whom, and who may do what: the rules of the house, read from the source text.
//!
//! A rule that nobody checks is broken within a month, and each of these is what makes a part of
//! the house understandable without the others. The text is read line by line; tests inside a file
//! (what follows `#[cfg(test)]`, and files called `tests.rs`) are free.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The words that everyone uses. They know only each other.
const WORDS: &[&str] = &[
    "error", "time", "calendar", "durable", "fault", "json", "machine", "batch", "plan",
    "progress", "share", "window",
];

/// The stations on the data's way: they know the words, and never a neighbour.
const STATIONS: &[&str] = &["generate", "sql", "sources", "sinks", "state", "checkpoint"];

/// A file has at most so many lines that are not tests.
const LONGEST: usize = 600;

/// What a module may import, itself apart. `None`: the module stands on no rung yet.
fn may_import(module: &str) -> Option<Vec<&'static str>> {
    let mut allowed = WORDS.to_vec();
    match module {
        word if WORDS.contains(&word) => {}
        station if STATIONS.contains(&station) => {}
        "operators" => allowed.push("state"),
        "engine" => {
            allowed.extend(STATIONS.iter().filter(|station| **station != "generate"));
            allowed.push("operators");
        }
        "script" => {
            allowed.extend(STATIONS.iter().filter(|station| **station != "generate"));
            allowed.push("engine");
        }
        "cli" => {
            allowed.extend(STATIONS);
            allowed.extend(["operators", "engine", "script"]);
        }
        _ => return None,
    }
    Some(allowed)
}

#[test]
fn a_rung_of_the_ladder_imports_only_rungs_below() {
    let mut broken = String::new();
    for file in sources().iter().filter(|file| !file.is_root()) {
        let Some(allowed) = may_import(&file.module) else {
            let _ =
                writeln!(broken, "{}: give `{}` a rung in tests/ladder.rs", file.name, file.module);
            continue;
        };
        for (number, statement) in file.statements() {
            for import in imports(&statement) {
                if import != file.module && !allowed.contains(&import.as_str()) {
                    let _ = writeln!(
                        broken,
                        "{}:{number}: `{}` imports `{import}`, and may import only {}",
                        file.name,
                        file.module,
                        allowed.join(", ")
                    );
                }
            }
        }
    }
    hold("a part can be read, tested and changed without those above and beside it", &broken);
}

#[test]
fn only_time_reads_a_clock() {
    only(
        &["SystemTime::now", "Instant", "Utc::now", "Local::now"],
        |file| file.name == "src/time.rs",
        "the clock is passed in, so that a test, a lesson or a replay can hold time still",
    );
}

#[test]
fn only_durable_makes_a_file_permanent() {
    only(
        &["fs::rename", "fs::hard_link", "sync_all", "sync_data"],
        |file| file.name == "src/durable.rs",
        "what survives a power cut is decided in one place, and can be read there",
    );
}

#[test]
fn only_the_command_line_prints() {
    only(
        &["println!", "eprintln!", "print!", "eprint!", "io::stdout", "io::stderr", "dbg!"],
        |file| file.module == "cli",
        "a library that prints cannot be used in a program that has its own output",
    );
}

#[test]
fn nobody_opens_a_socket() {
    only(
        &["std::net", "TcpListener", "TcpStream", "UdpSocket", "UnixStream", "UnixListener"],
        |_| false,
        "data stays on the machine; a reader of the source can rely on it",
    );
}

#[test]
fn operators_touch_nothing() {
    for what in ["std::fs", "fs::", "File::", "std::env", "std::thread"] {
        let mut broken = String::new();
        for file in sources().iter().filter(|file| file.module == "operators") {
            let lines = file.code().filter(|(_, line)| has_word(line, what));
            lines.for_each(|(number, _)| {
                let _ = writeln!(broken, "{}:{number}: uses `{what}`", file.name);
            });
        }
        hold("same rows, same watermark, same state in: same out", &broken);
    }
}

#[test]
fn nothing_is_left_to_do() {
    only(&["todo!", "unimplemented!"], |_| false, "what is not there is refused with a message");
}

#[test]
fn a_file_says_first_what_it_is() {
    let mut broken = String::new();
    for file in sources().iter().filter(|file| !file.text.starts_with("//!")) {
        let _ = writeln!(broken, "{}: does not begin with `//!`", file.name);
    }
    hold("a newcomer opens a file and has to know where he is", &broken);
}

#[test]
fn a_file_holds_one_idea() {
    let mut broken = String::new();
    for file in sources() {
        let lines = file.text.lines().count() - file.test_lines();
        if lines > LONGEST {
            let _ = writeln!(broken, "{}: {lines} lines, and may have {LONGEST}", file.name);
        }
    }
    hold("most files have 100 to 300 lines; a much longer one is two", &broken);
}

#[test]
fn these_tests_would_see_a_broken_rule() {
    let text = "use crate::{batch::{Slot, BatchId}, sql}; let t: crate::engine::Query;";
    let seen: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(seen, ["batch", "engine", "sql"]);
    assert!(has_word("std::fs::rename(a, b)", "fs::rename") && has_word("print!()", "print!"));
    assert!(!has_word("eprint!()", "print!") && !has_word("InstantCoffee", "Instant"));
    let file = Source {
        name: "src/state/x.rs".into(),
        module: "state".into(),
        text: "use crate::{\n    sql,\n};\nfn f() {}\n#[cfg(test)]\nmod tests {\n}\n".into(),
    };
    assert_eq!(file.statements()[0], (1, "use crate::{    sql,};".into()));
    assert_eq!((file.statements().len(), file.test_lines()), (2, 3));
}

/// Holds that these words stand only in files that may have them.
fn only(words: &[&str], allowed: impl Fn(&Source) -> bool, why: &str) {
    let mut broken = String::new();
    for file in sources().iter().filter(|file| !allowed(file)) {
        for (number, line) in file.code() {
            for word in words.iter().filter(|word| has_word(line, word)) {
                let _ = writeln!(broken, "{}:{number}: has `{word}`: {}", file.name, line.trim());
            }
        }
    }
    hold(why, &broken);
}

fn hold(why: &str, broken: &str) {
    assert!(broken.is_empty(), "\n{broken}The rule is there because: {why}.\n");
}

/// A file under `src/`.
struct Source {
    /// `src/sources/files.rs`
    name: String,
    /// `sources`
    module: String,
    text: String,
}

impl Source {
    /// `lib.rs` and `main.rs` know everyone.
    fn is_root(&self) -> bool {
        self.module == "lib" || self.module == "main"
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("/tests.rs") || self.name.contains("/tests/")
    }

    /// How many lines are tests: those behind a `#[cfg(test)]` at the margin that opens a module.
    fn test_lines(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let opens = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{');
        match lines.windows(2).position(opens) {
            _ if self.is_test() => lines.len(),
            Some(first) => lines.len() - first,
            None => 0,
        }
    }

    /// The lines of code, those of one `use` put together, with the number of the first.
    fn statements(&self) -> Vec<(usize, String)> {
        let mut found: Vec<(usize, String)> = vec![];
        let mut open = false;
        for (number, line) in self.code() {
            match found.last_mut().filter(|_| open) {
                Some((_, statement)) => statement.push_str(line),
                None => {
                    let line = line.trim_start();
                    let is_use = line.starts_with("use ") || line.starts_with("pub use ");
                    open = is_use;
                    found.push((number, line.to_string()));
                }
            }
            open &= !line.ends_with(';');
        }
        found
    }

    /// The lines that are neither tests nor comments, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.lines().count() - self.test_lines();
        let lines = self.text.lines().take(end).enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![];
    collect(&root.join("src"), &mut paths);
    paths.sort();
    let source = |path: PathBuf| {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        let module = name.split('/').nth(1).unwrap().trim_end_matches(".rs").to_string();
        Source { name, module, text: fs::read_to_string(path).unwrap() }
    };
    paths.into_iter().map(source).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The modules that a text names after `crate::`, also in braces: `use crate::{error, sql::parse};`.
fn imports(text: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for after in text.split("crate::").skip(1) {
        let Some(list) = after.strip_prefix('{') else {
            found.insert(word(after));
            continue;
        };
        let mut depth = 0;
        let mut starts = vec![0];
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts.push(at + 1),
                _ => {}
            }
        }
        found.extend(starts.into_iter().map(|at| word(&list[at..])).filter(|w| !w.is_empty()));
    }
    found
}

/// Whether a line has these words, and not inside longer ones (`print!` is not in `eprint!`).
fn has_word(line: &str, words: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(words).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + words.len()..].chars().next();
        let ends_in_word = words.ends_with(part);
        let goes_on = ends_in_word && after.is_some_and(part);
        !before.is_some_and(part) && !goes_on
    })
}
