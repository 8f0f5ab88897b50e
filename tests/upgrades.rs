//! Checkpoints of earlier versions go on: each archive in `tests/upgrades/` is a project whose queries
//! stand in the middle of their lives. `tests/upgrades/make.py` made them, and says what is in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::Shell;

fn archives() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrades");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut archives: Vec<PathBuf> =
        files.filter(|path| path.to_string_lossy().ends_with(".tar.gz")).collect();
    archives.sort();
    assert!(!archives.is_empty());
    archives
}

fn unpacked(archive: &Path) -> Shell {
    let shell = Shell::new();
    let mut tar = Command::new("tar");
    let done = tar.arg("xzf").arg(archive).arg("-C").arg(shell.path("")).status().unwrap();
    assert!(done.success());
    shell
}

fn minute(number: u64) -> String {
    format!("2026-01-01T{:02}:{:02}:00Z", number / 60, number % 60)
}

/// File `number` of the events, as `make.py` writes it.
fn events(number: u64) -> String {
    let row = |row: u64| {
        let name = ["a", "b", "c", "d"][((number + row) % 4) as usize];
        let (id, ts) = (number * 3 + row, minute(number * 6 + row * 2));
        format!("{{\"id\":{id},\"name\":\"{name}\",\"ts\":\"{ts}\"}}\n")
    };
    (0..3).map(row).collect()
}

fn clicks(number: u64) -> String {
    let row = |row: u64| {
        let (id, ts) = ((number - 1) * 3 + row, minute(number * 6 + 1));
        format!("{{\"id\":{id},\"ts\":\"{ts}\"}}\n")
    };
    (0..3).map(row).collect()
}

#[test]
fn a_checkpoint_of_an_earlier_version_goes_on_where_it_stood() {
    for archive in archives() {
        let shell = unpacked(&archive);
        for number in 6..8 {
            shell.write(&format!("input/events/{number:04}.json"), &events(number));
            shell.write(&format!("input/clicks/{number:04}.json"), &clicks(number + 1));
        }
        shell.write("input/ticks/0230.json", "{\"id\":230,\"ts\":\"2026-01-01T03:50:00Z\"}\n");
        for query in ["long", "counts", "pairs", "firsts", "cut", "held"] {
            shell.works(&format!("checkpoint fsck {query}"));
        }
        shell.works("run long.sql --available-now");
        shell.works("run state.sql --available-now --close-at-end");
        shell.run("run cut.sql --available-now").failed(0, &["does not hold batch 3"]);
        shell.run("run held.sql --available-now").failed(0, &["holds batch 3 already"]);

        let all = "SELECT count(*), count(DISTINCT id), sum(id) FROM";
        assert_eq!(shell.ask(&format!("{all} long")), "231,231,26565");
        assert_eq!(shell.ask(&format!("{all} pairs")), "24,24,276");
        // Every row of the events is in one window, none was late.
        assert_eq!(shell.ask("SELECT sum(n) FROM counts"), "24");
        let windows = "SELECT count(*) FROM (SELECT DISTINCT w, name FROM counts)";
        assert_eq!(shell.ask(windows), shell.ask("SELECT count(*) FROM counts"));
        assert_eq!(shell.ask("SELECT name FROM firsts ORDER BY name"), "a\nb\nc\nd");
        for query in ["cut", "held"] {
            let rows = shell.ask(&format!("SELECT * FROM {query} ORDER BY name"));
            assert_eq!(rows, "a,6\nb,6\nc,6\nd,6", "{query}");
        }
        for query in ["long", "counts", "pairs", "firsts", "cut", "held"] {
            shell.works(&format!("checkpoint fsck {query}"));
        }
    }
}

#[test]
fn a_checkpoint_of_a_later_format_is_refused_and_says_whose_it_is() {
    let shell = unpacked(&archives()[0]);
    let path = shell.path("checkpoints/held/metadata.json");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replacen("strandline 1", "strandline 99", 1);
    let newer = newer.replace("\"engineVersion\":\"0.1.0\"", "\"engineVersion\":\"9.8.7\"");
    fs::write(&path, newer).unwrap();
    let told = ["[CHECKPOINT_FORMAT]", "metadata.json", "format 99", "written by strandline 9.8.7"];
    let said = shell.run("run held.sql --available-now");
    said.failed(11, &[]);
    let line = said.in_one_line();
    for part in told {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    shell.run("checkpoint show held").failed(11, &["[CHECKPOINT_FORMAT]"]);
}
