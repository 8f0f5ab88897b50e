//! Which files a batch takes, and what happens to them between the decision and the reading.

use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrow::datatypes::{DataType, Field, Schema};

use super::*;

struct Folder {
    project: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let project = tempfile::tempdir().unwrap();
        fs::create_dir_all(project.path().join("input/events")).unwrap();
        Self { project }
    }

    /// Writes a file with one row, whose time is `age` seconds after a fixed one.
    fn put(&self, name: &str, age: u64) {
        self.put_text(name, age, &format!("{{\"id\":\"{name}\"}}\n"));
    }

    fn put_text(&self, name: &str, age: u64, text: &str) {
        let path = self.project.path().join("input/events").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(1_767_225_600 + age);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.project.path().join("input/events").join(name)).unwrap();
    }

    fn open(&self, options: &[(&str, &str)]) -> FileSource {
        self.try_open("input/events", options).unwrap()
    }

    fn try_open(&self, path: &str, options: &[(&str, &str)]) -> Result<FileSource> {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
        let options: Vec<_> = options.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        FileSource::open(self.project.path(), "json", path, schema, &options)
    }
}

/// Names in a take, without the folder.
fn names(take: &Take) -> Vec<String> {
    let files = taken_files(take).unwrap();
    let short = |file: Taken| file.path.strip_prefix("input/events").unwrap().display().to_string();
    files.into_iter().map(short).collect()
}

fn step(source: &mut FileSource) -> Vec<String> {
    match source.next(Admit::Limited).unwrap() {
        Some(take) => {
            source.decided(&take).unwrap();
            names(&take)
        }
        None => Vec::new(),
    }
}

fn ids(read: &SourceRead) -> Vec<String> {
    let column = |batch: &arrow::array::RecordBatch| {
        let ids = arrow::array::AsArray::as_string::<i32>(batch.column(0)).clone();
        ids.iter().map(|id| id.unwrap_or("NULL").to_owned()).collect::<Vec<_>>()
    };
    read.batches.iter().flat_map(column).collect()
}

#[test]
fn takes_the_oldest_first_and_each_once() {
    let folder = Folder::new();
    folder.put("b.json", 1);
    folder.put("c.json", 0);
    folder.put("batch_0000/a.json", 1);
    let mut source = folder.open(&[("MaxFilesPerTrigger", "1"), ("recursiveFileLookup", "true")]);
    assert_eq!(step(&mut source), ["c.json"]);
    assert_eq!(step(&mut source), ["b.json"]);
    assert_eq!(step(&mut source), ["batch_0000/a.json"]);
    assert!(step(&mut source).is_empty());
}

#[test]
fn a_take_says_path_size_and_time_and_next_decides_nothing() {
    let folder = Folder::new();
    folder.put("a.json", 0);
    let mut source = folder.open(&[]);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    let mut file = take["files"][0].clone();
    let identity = file.as_object_mut().map(|file| (file.remove("inode"), file.remove("born")));
    assert!(identity.unwrap().0.is_some(), "this file system tells which file it is");
    let expected =
        json!({"path": "input/events/a.json", "size": 16, "mtime": 1_767_225_600_000_i64});
    assert_eq!((file, take["files"].as_array().map(Vec::len)), (expected, Some(1)));
    assert_eq!(source.next(Admit::Limited).unwrap(), Some(take));
}

#[test]
fn a_file_that_arrives_late_with_an_old_time_is_found() {
    let folder = Folder::new();
    folder.put("b.json", 10);
    folder.put("c.json", 11);
    let mut source = folder.open(&[("maxFilesPerTrigger", "1")]);
    assert_eq!(step(&mut source), ["b.json"]);
    folder.put("a.json", 0);
    assert_eq!(step(&mut source), ["c.json"]);
    assert_eq!(step(&mut source), ["a.json"]);
    folder.put("ancient.json", 0);
    let path = folder.project.path().join("input/events/ancient.json");
    File::options().write(true).open(path).unwrap().set_modified(UNIX_EPOCH).unwrap();
    assert_eq!(step(&mut source), ["ancient.json"]);
}

#[test]
fn a_file_that_was_moved_is_not_read_again_and_a_second_name_for_it_is() {
    let folder = Folder::new();
    let events = folder.project.path().join("input/events");
    folder.put("a.json", 0);
    let options = [("recursiveFileLookup", "true")];
    let mut source = folder.open(&options);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    source.decided(&take).unwrap();
    fs::hard_link(events.join("a.json"), events.join("link.json")).unwrap();
    assert_eq!(step(&mut source), ["link.json"]);
    fs::remove_file(events.join("link.json")).unwrap();
    fs::create_dir(events.join("done")).unwrap();
    fs::rename(events.join("a.json"), events.join("done/b.json")).unwrap();
    assert!(step(&mut source).is_empty());
    // A new file may get the number of the old one, and is another.
    folder.put("a2.json", 0);
    assert_eq!(step(&mut source), ["a2.json"]);
    let mut again = folder.open(&options);
    again.decided(&take).unwrap();
    assert_eq!(step(&mut again), ["a2.json"]);
}

#[test]
fn a_file_that_may_be_half_written_is_waited_for_and_left_for_the_next_run() {
    let folder = Folder::new();
    let start = 1_767_225_600_000;
    let clock = Arc::new(crate::time::ManualClock::at(start + 500));
    folder.put_text("half.json", 0, "{\"id\":");
    folder.put("whole.json", 0);
    let open = || {
        let mut source = folder.open(&[]);
        source.keep_time(clock.clone());
        source
    };
    let renamed = "this file is renamed after it was written";
    // To set the time of a file changes it after its content, as a rename does.
    assert_eq!(step(&mut open()), ["half.json", "whole.json"], "{renamed}");
    let mut source = folder.open(&[("settle", "2s")]);
    source.keep_time(clock.clone());
    assert!(step(&mut source).is_empty());
    assert_eq!(source.waits(), Some(Duration::from_millis(1_500)));
    source.freeze().unwrap();
    assert_eq!(source.waits(), Some(Duration::from_millis(1_500)));
    clock.advance(1_000);
    assert!(step(&mut source).is_empty());
    assert_eq!(source.waits(), None);
    clock.advance(500);
    let mut source = folder.open(&[("settle", "2s")]);
    source.keep_time(clock);
    assert_eq!(step(&mut source), ["half.json", "whole.json"]);
}

#[test]
fn a_folder_that_goes_has_nothing_new_until_it_comes_back() {
    let folder = Folder::new();
    folder.put("a.json", 0);
    let mut source = folder.open(&[]);
    assert_eq!(step(&mut source), ["a.json"]);
    let events = folder.project.path().join("input/events");
    fs::remove_dir_all(&events).unwrap();
    assert!(step(&mut source).is_empty());
    fs::create_dir(&events).unwrap();
    folder.put("b.json", 0);
    folder.put("a.json", 1);
    assert_eq!(step(&mut source), ["b.json"]);
}

#[test]
fn a_packed_file_that_is_damaged_is_used_whole_or_not_at_all() {
    use std::io::Write;
    let folder = Folder::new();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let row = "{\"id\":\"x\"}\n";
    gz.write_all(row.repeat(10_000).as_bytes()).unwrap();
    let packed = gz.finish().unwrap();
    let path = folder.project.path().join("input/events/b.json.gz");
    folder.put("a.json", 0);
    folder.put("c.json", 2);
    fs::write(&path, &packed[..packed.len() - 9]).unwrap();
    let mut source = folder.open(&[]);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    let error = source.read(&take).unwrap_err();
    assert_eq!(error.condition(), "FAILED_READ_FILE.NO_HINT");
    assert!(error.hint_text().unwrap().contains("ignoreCorruptFiles"), "{error:?}");
    let mut source = folder.open(&[("ignoreCorruptFiles", "true")]);
    let read = source.read(&take).unwrap();
    assert_eq!(ids(&read), ["a.json", "c.json"]);
    assert_eq!(read.bad.len(), 1);
    assert_eq!((read.bad[0].row, &*read.bad[0].file), (None, "input/events/b.json.gz"));
    // A line that is refused is no damage.
    fs::write(&path, &packed).unwrap();
    folder.put_text("d.json", 3, "oops\n");
    let mut source = folder.open(&[("ignoreCorruptFiles", "true"), ("mode", "FAILFAST")]);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    assert!(source.read(&take).unwrap_err().message().contains("d.json, line 1"));
}

#[test]
fn a_long_file_is_read_in_pieces_and_a_line_that_fits_in_none_is_a_bad_one() {
    let folder = Folder::new();
    let long = "x".repeat(35 << 20);
    let text = format!("{{\"id\":\"a\"}}\n\n{{\"id\":\"{long}\"}}\r\n{{\"id\":\"b\"}}\noops");
    folder.put_text("a.json", 0, &text);
    folder.put("b.json", 1);
    let mut source = folder.open(&[]);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    let read = source.read(&take).unwrap();
    assert_eq!(ids(&read), ["a", "NULL", "b", "NULL", "b.json"]);
    let bad: Vec<_> = read.bad.iter().map(|bad| (bad.line, bad.offset, bad.row)).collect();
    let last = text.len() as u64 - 4;
    assert_eq!(bad, [(3, 12, Some(1)), (5, last, Some(3))]);
    assert!(
        read.bad[0].reason.contains(&format!("of {} bytes", (35 << 20) + 9)),
        "{:?}",
        read.bad[0].reason
    );
    assert!(read.bad[0].raw.len() < 100_000);
    assert_eq!(read.places.find(2).unwrap().line, 4);
}

#[test]
fn a_file_that_is_written_again_is_not_read_again() {
    let folder = Folder::new();
    folder.put("a.json", 0);
    let mut source = folder.open(&[]);
    assert_eq!(step(&mut source), ["a.json"]);
    folder.put_text("a.json", 5, "{}\n{}\n");
    assert!(step(&mut source).is_empty());
}

#[test]
fn after_a_restart_decided_files_are_not_offered() {
    let folder = Folder::new();
    folder.put("a.json", 0);
    let take = folder.open(&[]).next(Admit::Limited).unwrap().unwrap();
    folder.put("b.json", 1);
    let mut source = folder.open(&[]);
    source.decided(&take).unwrap();
    assert_eq!(step(&mut source), ["b.json"]);
}

#[test]
fn limits_by_bytes_take_at_least_one_file_and_everything_means_everything() {
    let folder = Folder::new();
    for name in ["a", "b", "c"] {
        folder.put_text(name, 0, "{\"id\":\"12345678\"}\n");
    }
    let mut source = folder.open(&[("maxBytesPerTrigger", "36")]);
    assert_eq!(names(&source.next(Admit::Everything).unwrap().unwrap()), ["a", "b", "c"]);
    assert_eq!(step(&mut source), ["a", "b"]);
    let mut source = folder.open(&[("maxBytesPerTrigger", "1")]);
    assert_eq!(step(&mut source), ["a"]);
}

#[test]
fn latest_first_and_a_name_pattern() {
    let folder = Folder::new();
    for (age, name) in ["a.json", "b.json", "c.csv"].iter().enumerate() {
        folder.put(name, age as u64);
    }
    let options =
        [("latestFirst", "true"), ("maxFilesPerTrigger", "1"), ("pathGlobFilter", "*.json")];
    let mut source = folder.open(&options);
    assert_eq!(step(&mut source), ["b.json"]);
    folder.put("d.json", 9);
    assert_eq!(step(&mut source), ["d.json"]);
    assert_eq!(step(&mut source), ["a.json"]);
}

#[test]
fn frozen_takes_nothing_that_arrives_later() {
    let folder = Folder::new();
    folder.put("a.json", 0);
    folder.put("b.json", 1);
    let mut source = folder.open(&[("maxFilesPerTrigger", "1")]);
    source.freeze().unwrap();
    folder.put("c.json", 2);
    assert_eq!(step(&mut source), ["a.json"]);
    assert_eq!(step(&mut source), ["b.json"]);
    assert!(step(&mut source).is_empty());
}

#[test]
fn a_file_that_goes_before_it_is_decided_is_left_out() {
    let folder = Folder::new();
    folder.put("a.json", 0);
    folder.put("b.json", 1);
    let mut source = folder.open(&[("maxFilesPerTrigger", "1")]);
    source.freeze().unwrap();
    folder.remove("a.json");
    assert_eq!(step(&mut source), ["b.json"]);
}

#[test]
fn reads_the_rows_of_many_files_in_order() {
    let folder = Folder::new();
    let expected: Vec<String> = (0..50).map(|i| format!("{i:02}.json")).collect();
    for (age, name) in expected.iter().enumerate() {
        folder.put(name, age as u64);
    }
    folder.put_text("bad.json", 99, "oops\n");
    let mut source = folder.open(&[]);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    let read = source.read(&take).unwrap();
    assert_eq!(ids(&read)[..50], expected);
    assert_eq!(read.rows(), 51);
    assert_eq!(&*read.bad[0].file, "input/events/bad.json");
}

#[test]
fn a_file_that_changed_or_went_after_its_decision_is_an_error_and_no_other_rows() {
    let folder = Folder::new();
    folder.put("a.json", 0);
    let mut source = folder.open(&[]);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    folder.put_text("a.json", 0, "{\"id\":\"longer than before\"}\n");
    assert_eq!(source.read(&take).unwrap_err().condition(), "SOURCE_FILE_CHANGED");
    folder.put("a.json", 7);
    assert_eq!(source.read(&take).unwrap_err().condition(), "SOURCE_FILE_CHANGED");
    folder.remove("a.json");
    let error = source.read(&take).unwrap_err();
    assert_eq!(error.condition(), "SOURCE_FILE_MISSING");
    assert!(error.message().contains("input/events/a.json"), "{error}");
    folder.put("a.json", 0);
    assert_eq!(ids(&source.read(&take).unwrap()), ["a.json"]);
}

#[test]
fn a_missing_folder_is_an_error_at_start_and_one_that_can_be_retried_later() {
    let folder = Folder::new();
    let error = folder.try_open("input/nowhere", &[]).err().unwrap();
    assert_eq!(error.condition(), "PATH_NOT_FOUND");
    assert!(error.message().contains("input/nowhere"), "{error}");
    let mut source = folder.open(&[]);
    let events = folder.project.path().join("input/events");
    fs::remove_dir(&events).unwrap();
    assert_eq!(source.next(Admit::Limited).unwrap_err().kind(), crate::error::Kind::Input);
    fs::create_dir(&events).unwrap();
    folder.put("a.json", 0);
    assert_eq!(step(&mut source), ["a.json"]);
}

#[test]
fn wrong_options_are_refused() {
    let folder = Folder::new();
    for (options, condition) in [
        (vec![("maxFilesPerTrigger", "0")], "INVALID_OPTION"),
        (vec![("maxFilesPerTrigger", "1"), ("maxBytesPerTrigger", "1")], "INVALID_OPTION"),
        (vec![("cleanSource", "burn")], "INVALID_OPTION"),
        (vec![("cleanSource", "archive")], "INVALID_OPTION"),
        (vec![("cleanSource", "archive"), ("sourceArchiveDir", "input")], "INVALID_OPTION"),
        (vec![("modifiedBefore", "2026-01-01")], "UNSUPPORTED_OPTION"),
        (vec![("maxFileAge", "soon")], "INVALID_OPTION"),
        (vec![("discardCachedInputRatio", "2")], "INVALID_OPTION"),
        (vec![("timestampFormat", "yyyy-QQQQQQ")], "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER"),
        (vec![("maxFilesPerTriger", "1")], "UNKNOWN_OPTION"),
        (vec![("mode", "sometimes")], "INVALID_OPTION"),
        (vec![("pathGlobFilter", "[a")], "INVALID_OPTION"),
    ] {
        let error = folder.try_open("input/events", &options).err().unwrap();
        assert_eq!(error.condition(), condition, "{options:?}");
        assert!(error.subject().is_some(), "{error}");
    }
}

#[test]
fn reads_only_the_columns_of_the_projection() {
    let folder = Folder::new();
    folder.put("a.json", 0);
    let mut source = folder.open(&[]);
    Source::project(&mut source, &[]).unwrap();
    let take = source.next(Admit::Limited).unwrap().unwrap();
    let read = source.read(&take).unwrap();
    assert_eq!((read.rows(), read.batches[0].num_columns()), (1, 0));
    assert_eq!(source.schema().fields().len(), 2);
}

#[cfg(unix)]
#[test]
fn names_that_are_no_utf8_survive_a_decision() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let name = std::ffi::OsStr::from_bytes(b"odd \xff%#1\n.json");
    fs::write(folder.project.path().join("input/events").join(name), "{\"id\":\"a\"}").unwrap();
    let mut source = folder.open(&[]);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    let stored: Take = serde_json::from_str(&take.to_string()).unwrap();
    assert_eq!(ids(&source.read(&stored).unwrap()), ["a"]);
    source.decided(&stored).unwrap();
    assert!(step(&mut source).is_empty());
}

#[test]
fn a_path_below_the_project_is_relative_however_it_is_written() {
    let folder = Folder::new();
    let absolute = folder.project.path().join("input/events/");
    for path in ["input/events/", "./input/events", absolute.to_str().unwrap()] {
        let source = folder.try_open(path, &[]).unwrap();
        assert_eq!(source.folder, Path::new("input/events"));
        assert_eq!(source.description(), format!("FileStreamSource[{path}]"));
    }
}

#[test]
fn a_file_much_older_than_the_newest_that_was_read_is_left_after_a_restart_too() {
    let folder = Folder::new();
    folder.put("first.json", 0);
    folder.put("newest.json", 1_000);
    let options = [("maxFileAge", "10s")];
    let mut source = folder.open(&options);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    assert_eq!(names(&take), ["first.json", "newest.json"]);
    source.decided(&take).unwrap();
    folder.put("old.json", 989);
    folder.put("young.json", 990);
    assert_eq!(step(&mut source), ["young.json"]);
    let mut again = folder.open(&options);
    again.decided(&take).unwrap();
    assert_eq!(step(&mut again), ["young.json"]);
    let latest = [("maxFileAge", "10s"), ("latestFirst", "true"), ("maxFilesPerTrigger", "9")];
    let mut again = folder.open(&latest);
    again.decided(&take).unwrap();
    assert_eq!(step(&mut again), ["young.json", "old.json"]);
}

#[test]
fn with_names_alone_a_file_of_the_same_name_elsewhere_is_not_new() {
    let folder = Folder::new();
    folder.put("x/a.json", 0);
    let mut source = folder.open(&[("fileNameOnly", "true"), ("recursiveFileLookup", "true")]);
    assert_eq!(step(&mut source), ["x/a.json"]);
    folder.put("y/a.json", 1);
    folder.put("y/b.json", 2);
    assert_eq!(step(&mut source), ["y/b.json"]);
}

#[test]
fn a_short_rest_of_a_listing_is_looked_up_anew() {
    let folder = Folder::new();
    for age in 1..=11 {
        folder.put(&format!("{age:02}.json"), age);
    }
    let limit = ("maxFilesPerTrigger", "10");
    let mut discards = folder.open(&[limit]);
    let mut keeps = folder.open(&[limit, ("discardCachedInputRatio", "0.1")]);
    let mut forgets = folder.open(&[limit, ("maxCachedFiles", "0")]);
    for source in [&mut discards, &mut keeps, &mut forgets] {
        assert_eq!(step(source).len(), 10);
    }
    folder.put("new.json", 0);
    assert_eq!(step(&mut discards), ["new.json", "11.json"]);
    assert_eq!(step(&mut keeps), ["11.json"]);
    assert_eq!(step(&mut forgets), ["new.json", "11.json"]);
}

#[test]
fn what_was_read_is_deleted_or_moved_once_it_is_done() {
    for (option, archived) in [("delete", false), ("archive", true)] {
        let folder = Folder::new();
        folder.put("a.json", 0);
        let options = [("cleanSource", option), ("sourceArchiveDir", "old")];
        let mut source = folder.open(&options);
        let take = source.next(Admit::Limited).unwrap().unwrap();
        source.decided(&take).unwrap();
        let path = folder.project.path().join("input/events/a.json");
        assert!(path.exists());
        source.done(&take).unwrap();
        source.done(&take).unwrap();
        let whole = path.strip_prefix("/").unwrap();
        assert!(!path.exists());
        assert_eq!(folder.project.path().join("old").join(whole).exists(), archived);
    }
}

#[test]
fn partitions_give_their_columns_and_the_hidden_column_tells_about_the_file() {
    let folder = Folder::new();
    folder.put("k=1/s=x%20y/a b.json", 0);
    folder.put("k=__HIVE_DEFAULT_PARTITION__/s=z/b.json", 1);
    folder.put("deep/c.json", 2);
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let fields =
        vec![field("id", DataType::Utf8), field("k", DataType::Int32), field("s", DataType::Utf8)];
    let schema = Arc::new(Schema::new(fields));
    let open =
        || FileSource::open(folder.project.path(), "json", "input/events", schema.clone(), &[]);
    let mut source = open().unwrap();
    Source::project(&mut source, &[2, 3, 1]).unwrap();
    let take = source.next(Admit::Limited).unwrap().unwrap();
    let read = source.read(&take).unwrap();
    let text = |batch: &arrow::array::RecordBatch, column: usize| {
        arrow::util::display::array_value_to_string(batch.column(column), 0).unwrap()
    };
    let [first, second] = &read.batches[..] else { panic!("{:?}", read.batches) };
    assert_eq!((text(first, 0), text(first, 2)), ("x y".to_owned(), "1".to_owned()));
    assert_eq!((text(second, 0), text(second, 2)), ("z".to_owned(), String::new()));
    let about = text(first, 1);
    assert!(about.contains("file_name: a%20b.json, file_size: 30"), "{about}");
    assert!(about.contains("file_modification_time: 2026-01-01T00:00:00Z"), "{about}");
    folder.put("k=one/s=z/d.json", 3);
    let mut source = open().unwrap();
    let take = source.next(Admit::Limited).unwrap().unwrap();
    assert_eq!(source.read(&take).unwrap_err().condition(), "INVALID_PARTITION_VALUE");
}

#[test]
fn a_file_that_has_gone_is_left_out_where_that_is_allowed() {
    let folder = Folder::new();
    folder.put("a.json", 0);
    folder.put("b.json", 1);
    let mut source = folder.open(&[("ignoreMissingFiles", "true")]);
    let take = source.next(Admit::Limited).unwrap().unwrap();
    folder.remove("a.json");
    assert_eq!(ids(&source.read(&take).unwrap()), ["b.json"]);
}

#[test]
fn partitions_of_different_columns_are_refused() {
    let folder = Folder::new();
    folder.put("k=1/a.json", 0);
    folder.put("j=1/b.json", 1);
    let error = folder.open(&[]).next(Admit::Limited).unwrap_err();
    assert_eq!(error.condition(), "CONFLICTING_PARTITION_COLUMN_NAMES");
    assert_eq!(step(&mut folder.open(&[("recursiveFileLookup", "true")])).len(), 2);
}

#[test]
fn the_files_of_a_batch_are_cut_into_parts_of_like_size() {
    let parts_of = |sizes: &[u64]| -> Vec<Vec<u64>> {
        let file = |size: &u64| Taken { path: "f".into(), size: *size, mtime: 0, identity: None };
        let files: Vec<Taken> = sizes.iter().map(file).collect();
        parts(&files).into_iter().map(|part| part.iter().map(|file| file.size).collect()).collect()
    };
    assert!(parts_of(&[]).is_empty());
    assert_eq!(parts_of(&[0]), [[0]]);
    assert_eq!(parts_of(&[0, 0, 0, 0]), [[0, 0], [0, 0]]);
    assert_eq!(parts_of(&[10, 10, 1000]), [vec![10, 10], vec![1000]]);
    assert_eq!(parts_of(&[1000, 10, 10]), [vec![1000], vec![10, 10]]);
    assert_eq!(parts_of(&[PART; 5]), [[PART]; 5]);
    assert_eq!(parts_of(&[PART; 96]), [[PART; 6]; 16]);
}
