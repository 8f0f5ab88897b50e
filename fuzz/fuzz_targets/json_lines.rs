//! Bytes, cut into files, through the decoder of JSON lines in each mode.
//!
//! Asserts: no panic; the same answer when decoded again; files read together give what each gives
//! alone; every line that is not blank is a row, a bad record, or holds no value at all; a bad record
//! holds the bytes of its line; what serde_json takes as an object gives the same values here.
#![no_main]

mod limit;
mod peer;

use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use libfuzzer_sys::{Corpus, fuzz_target};
use strandline::sources::json::{JsonDecoder, JsonOptions, LineEnd, Mode, infer, nullable};
use strandline::sources::{BadRecord, SourceRead};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((head, text)) = data.split_at_checked(4) else { return Corpus::Reject };
    let options = options(head);
    let schema = schemas()[usize::from(head[1]) % schemas().len()].clone();
    let files = cut(text, head[2]);
    if head[3] == 0xff {
        infers(text, &options);
        return Corpus::Keep;
    }
    let read = match decode(&schema, &options, &files) {
        Ok(read) => read,
        Err(error) => {
            assert_eq!(options.mode, Mode::FailFast, "{error}");
            assert_ne!(error.condition(), "INTERNAL_ERROR", "{error}");
            return Corpus::Keep;
        }
    };
    same(&read, &decode(&schema, &options, &files).expect("it was read before"));
    same(&read, &one_by_one(&schema, &options, &files));
    assert_eq!(read.rows() as u64, read.places.rows());
    if options.line_end == LineEnd::Any {
        accounted(&read, &files, &options);
        peer::compare(&read, &schema, &files, &options);
    }
    Corpus::Keep
});

/// A byte for the mode, the line end and a few liberties; everything else is as in a plain table.
fn options(head: &[u8]) -> JsonOptions {
    let mut options = JsonOptions::default();
    options.mode = match head[0] & 3 {
        0 | 1 => Mode::Permissive,
        2 => Mode::DropMalformed,
        _ => Mode::FailFast,
    };
    options.line_end = match head[0] >> 2 & 7 {
        5 => LineEnd::At(b";;".to_vec()),
        6 => LineEnd::At(b"\n".to_vec()),
        7 => LineEnd::Never,
        _ => LineEnd::Any,
    };
    options.syntax.comments = head[0] & 0x20 != 0;
    options.syntax.unquoted_names = head[0] & 0x40 != 0;
    options.syntax.any_escape = head[0] & 0x80 != 0;
    options
}

fn schemas() -> &'static [SchemaRef] {
    static SCHEMAS: OnceLock<Vec<SchemaRef>> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let columns = [
            "a BIGINT, b STRING, c DOUBLE, d BOOLEAN",
            "a STRING, _corrupt_record STRING, s STRUCT<x: BIGINT, y: STRING>, l ARRAY<BIGINT>",
            "a TIMESTAMP, b DATE, c DECIMAL(10,2), d BINARY, e INT, f TINYINT, g FLOAT, h SMALLINT",
            "m MAP<STRING, ARRAY<STRUCT<x: BIGINT>>>, n MAP<STRING, STRING>, t TIMESTAMP_NTZ, c DECIMAL(38,18)",
        ];
        let columns = columns.map(|text| strandline::sql::parse_columns(text).expect("columns"));
        columns.iter().map(|columns| nullable(columns)).collect()
    })
}

/// Cuts the bytes into one to four files.
fn cut(text: &[u8], how: u8) -> Vec<&[u8]> {
    let mut rest = text;
    let mut files = Vec::new();
    for part in 0..usize::from(how & 3) {
        let at = (usize::from(how >> 2) * (part + 7) + part) % (rest.len() + 1);
        let (file, after) = rest.split_at(at);
        files.push(file);
        rest = after;
    }
    files.push(rest);
    files
}

fn decode(
    schema: &SchemaRef,
    options: &JsonOptions,
    files: &[&[u8]],
) -> strandline::error::Result<SourceRead> {
    let mut decoder = JsonDecoder::new(schema.clone(), options.clone())?;
    for (number, file) in files.iter().enumerate() {
        decoder.file(&name(number), file)?;
    }
    decoder.finish()
}

/// Each file by a decoder that has read the others before, finished between them.
fn one_by_one(schema: &SchemaRef, options: &JsonOptions, files: &[&[u8]]) -> SourceRead {
    let mut decoder =
        JsonDecoder::new(schema.clone(), options.clone()).expect("it was made before");
    let mut all = SourceRead::default();
    for (number, file) in files.iter().enumerate() {
        decoder.file(&name(number), file).expect("it was read before");
        all.append(decoder.finish().expect("it was read before"));
    }
    all
}

fn name(number: usize) -> Arc<str> {
    format!("input/{number}.json").into()
}

fn same(a: &SourceRead, b: &SourceRead) {
    assert_eq!(a.bad, b.bad);
    assert_eq!(a.mistyped, b.mistyped);
    assert_eq!(a.places.rows(), b.places.rows());
    for row in 0..a.places.rows() {
        assert_eq!(a.places.find(row), b.places.find(row), "row {row}");
    }
    let (a, b) = (rows(a), rows(b));
    // NaN is no equal of itself, so the texts are compared.
    assert!(a == b || format!("{a:?}") == format!("{b:?}"), "{a:?}\n{b:?}");
}

fn rows(read: &SourceRead) -> Option<RecordBatch> {
    let schema = read.batches.first()?.schema();
    Some(arrow::compute::concat_batches(&schema, &read.batches).expect("of one schema"))
}

/// Every line is a row, a bad record, or nothing at all; every bad record is a line of its file.
fn accounted(read: &SourceRead, files: &[&[u8]], options: &JsonOptions) {
    let places: std::collections::BTreeSet<(Arc<str>, u64)> = (0..read.places.rows())
        .filter_map(|row| read.places.find(row))
        .map(|p| (p.file, p.line))
        .collect();
    for (number, file) in files.iter().enumerate() {
        // Another encoding, by its byte order mark: its lines are not those of these bytes.
        if file.starts_with(b"\xFF\xFE")
            || file.starts_with(b"\xFE\xFF")
            || file.starts_with(b"\0\0\xFE\xFF")
        {
            continue;
        }
        let file_name = name(number);
        let bad: Vec<&BadRecord> = read.bad.iter().filter(|bad| bad.file == file_name).collect();
        for bad in &bad {
            let start = bad.offset as usize;
            assert_eq!(file.get(start..start + bad.raw.len()), Some(&bad.raw[..]), "{bad:?}");
        }
        for (line, text) in peer::lines(file) {
            let there = places.contains(&(file_name.clone(), line))
                || bad.iter().any(|bad| bad.line == line);
            assert!(
                there || holds_nothing(text, options),
                "line {line} of {file_name} is lost: {text:?}"
            );
        }
    }
}

/// Blank, an array (which may be empty), a byte order mark, or perhaps a comment.
fn holds_nothing(text: &[u8], options: &JsonOptions) -> bool {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    match text.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
        None | Some(b'[') => true,
        Some(b'/') => options.syntax.comments,
        Some(_) => false,
    }
}

/// What columns a file would have is told without a panic, and the same each time.
fn infers(text: &[u8], options: &JsonOptions) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.json");
    std::fs::write(&path, text).expect("a file");
    let infer = || match infer(std::slice::from_ref(&path), options) {
        Ok(inferred) => format!("{:?}", inferred.schema),
        Err(error) => {
            assert_ne!(error.condition(), "INTERNAL_ERROR", "{error}");
            error.to_string()
        }
    };
    assert_eq!(infer(), infer());
}
