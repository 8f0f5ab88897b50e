//! Files that are not as they should be, and the real binary: what it says, how it ends, and that the
//! ways out that it names are ways out.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use crate::cli::Shell;

/// A pipeline over `input/events`, with these options of the table.
fn shell(options: &str) -> Shell {
    let shell = Shell::new();
    write_pipeline(&shell, options);
    shell.write("input/events/1.json", "{\"id\":1}\n");
    shell
}

fn write_pipeline(shell: &Shell, options: &str) {
    let text = format!(
        "CREATE TABLE events (id BIGINT) USING json OPTIONS (path 'input/events'{options});\n\
         CREATE STREAMING TABLE copy AS SELECT * FROM STREAM events;\n"
    );
    shell.write("pipeline.sql", &text);
}

fn event(shell: &Shell, name: &str) -> PathBuf {
    shell.0.path().join("input/events").join(name)
}

const RUN: &str = "run pipeline.sql --available-now";

const ROWS: &str = "SELECT id FROM copy ORDER BY id";

#[test]
fn a_packed_file_that_is_cut_off_stops_the_run_until_it_is_given_up() {
    let shell = shell("");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"{\"id\":2}\n{\"id\":3}\n").unwrap();
    let packed = gz.finish().unwrap();
    fs::write(event(&shell, "2.json.gz"), &packed[..packed.len() - 4]).unwrap();
    for _ in 0..2 {
        shell.run(RUN).failed(14, &["2.json.gz", "[FAILED_READ_FILE", "ignoreCorruptFiles"]);
    }
    write_pipeline(&shell, ", ignoreCorruptFiles 'true'");
    shell.works(RUN);
    assert_eq!(shell.ask(ROWS), "1");
    let rejected = shell.ask("SELECT reason, file, line FROM copy__rejected");
    assert_eq!(rejected, "corrupt,input/events/2.json.gz,0");
    fs::write(event(&shell, "3.json.gz"), &packed).unwrap();
    shell.works(RUN);
    assert_eq!(shell.ask(ROWS), "1\n2\n3");
}

#[test]
fn a_file_that_changed_after_it_was_decided_is_put_back_or_given_up() {
    for gives_up in [false, true] {
        let shell = shell("");
        let (path, kept) = (event(&shell, "1.json"), shell.0.path().join("kept.json"));
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        fs::copy(&path, &kept).unwrap();
        assert_ne!(shell.run(&format!("{RUN} --crash-at 2")).code, 0);
        fs::write(&path, "{\"id\":5}\n{\"id\":6}\n").unwrap();
        shell.run(RUN).failed(14, &["input/events/1.json", "SOURCE_FILE_CHANGED", "cp -p"]);
        if gives_up {
            fs::rename(&path, event(&shell, "new.json")).unwrap();
            shell.run(RUN).failed(14, &["SOURCE_FILE_MISSING", "ignoreMissingFiles"]);
            write_pipeline(&shell, ", ignoreMissingFiles 'true'");
        } else {
            fs::rename(&kept, &path).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        shell.works(RUN);
        assert_eq!(shell.ask(ROWS), if gives_up { "5\n6" } else { "1" });
    }
}

#[test]
fn a_young_file_without_a_last_newline_has_to_stand_still() {
    let shell = shell("");
    let started = Instant::now();
    fs::write(event(&shell, "2.json"), "{\"id\":2}").unwrap();
    shell.works(RUN);
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert_eq!(shell.ask(ROWS), "1\n2");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_named_and_nothing_waits_for_it() {
    let shell = shell("");
    std::os::unix::fs::symlink("loop.json", event(&shell, "loop.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", event(&shell, "zero.json")).unwrap();
    fs::create_dir(event(&shell, "folder.json")).unwrap();
    let said = shell.run(RUN);
    for name in [
        "loop.json is a link that leads nowhere",
        "zero.json is a device",
        "folder.json is a folder",
    ] {
        assert!(said.err.contains(name), "{}", said.err);
    }
    assert_eq!((said.code, shell.ask(ROWS)), (0, "1".to_owned()));
}

#[test]
fn a_file_that_was_written_to_after_it_was_read_is_named() {
    let shell = shell("");
    shell.works(RUN);
    let mut file = File::options().append(true).open(event(&shell, "1.json")).unwrap();
    file.write_all(b"{\"id\":2}\n").unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
    let said = shell.run(RUN);
    assert!(said.err.contains("input/events/1.json was changed after it was read"), "{}", said.err);
    assert_eq!((said.code, shell.ask(ROWS)), (0, "1".to_owned()));
}
