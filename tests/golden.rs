//! The project's own scripts, played by `strandline::script` as `strandline test` plays a user's:
//! see there for the language. `UPDATE=1 cargo test golden` writes what came of each script into it;
//! a person reads the diff.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use strandline::script::{Difference, play};

/// One test a folder, so that they run side by side and the failing one has a name.
macro_rules! areas {
    ($($area:ident)*) => {
        const AREAS: &[&str] = &[$(stringify!($area)),*];
        $(#[test]
        fn $area() {
            run_area(stringify!($area));
        })*
    };
}

areas! {
    functions expressions stateless window session watermark aggregate duplicates limit join views
    source json csv restart crash closing sinks errors rejected state
}

#[test]
fn every_folder_of_scripts_is_run() {
    for entry in fs::read_dir(golden()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(AREAS.contains(&name.as_str()), "add `{name}` to the list of areas in golden.rs");
    }
}

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn run_area(area: &str) {
    let mut failed = String::new();
    let folder = golden().join(area);
    let mut paths: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "test")) {
        let text = fs::read_to_string(path).unwrap();
        let shown = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string();
        let played = play(&shown, &text, &folder, None).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(played.differences.is_empty(), played.text == text, "{shown}: {}", played.text);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(path, played.text).unwrap();
        } else {
            played.differences.iter().for_each(|difference| {
                let _ = writeln!(failed, "\n{shown}: {}\n{}", played.claim, show(difference));
            });
        }
    }
    assert!(failed.is_empty(), "{failed}\nIf what came is right: UPDATE=1 cargo test golden");
}

fn show(difference: &Difference) -> String {
    let mut text = format!("line {}: {}", difference.line, difference.verbs.join(", "));
    for pair in &difference.pairs {
        if pair.is_equal() {
            let _ = write!(text, "\n    {}", pair.got.as_deref().unwrap_or_default());
            continue;
        }
        for (sign, line) in [("-", &pair.expected), ("+", &pair.got)] {
            if let Some(line) = line {
                let _ = write!(text, "\n  {sign} {line}");
            }
        }
    }
    text
}
