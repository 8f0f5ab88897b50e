//! Files of JSON lines into batches: takes each line to its end and decides, by the mode, what
//! becomes of it: rows, a row of NULLs, no row, or an error. Gives batches and bad records.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};

use super::column::{Column, Fit};
use super::cursor::{Broken, Cursor, Token};
use super::lines::{LineEnd, Lines};
use super::object::Object;
use super::{JsonOptions, Mode};
use crate::batch::with_rows;
use crate::error::{Error, Result};
use crate::sources::{BadRecord, Flaw, Mistyped, SourceRead};

/// Rows of one Arrow batch: what DataFusion's operators work on at a time.
const BATCH_ROWS: usize = 8192;

/// Bytes of text after which a batch is closed even if it has few rows: an Arrow array of strings
/// holds at most 2 GiB.
const BATCH_BYTES: usize = 64 << 20;

/// The longest line that is read: a longer one is a bad record.
pub(super) const LONGEST_LINE: usize = 16 << 20;

/// The longest document with `multiLine`.
const LONGEST_DOCUMENT: usize = 1 << 30;

/// As much of a line that is too long is kept in its bad record.
pub(in crate::sources) const KEPT_OF_TOO_LONG: usize = 64 << 10;

/// Turns files of JSON lines into batches, one file after the other.
///
/// Files are put together: a batch of Arrow may hold the rows of many small files.
pub struct JsonDecoder {
    options: JsonOptions,
    schema: SchemaRef,
    root: Object,
    /// The column of corrupt records and its place in the schema.
    corrupt: Option<(usize, Column)>,
    bytes_in_batch: usize,
    read: SourceRead,
    /// The file that is being read.
    file: Arc<str>,
    /// How many of its lines were passed.
    lines: u64,
    /// What it looks like, if it does not look like JSON.
    looks: Option<&'static str>,
}

impl JsonDecoder {
    /// A decoder for these columns, which must be nullable (see [`super::nullable`]). That of the
    /// corrupt records, if it is one of them, must be a STRING.
    pub fn new(schema: SchemaRef, options: JsonOptions) -> Result<Self> {
        let is_corrupt = |f: &Field| *f.name() == options.corrupt_record;
        let corrupt = match schema.fields().iter().position(|f| is_corrupt(f)) {
            Some(place) => Some((place, Column::new(&DataType::Utf8, &options.times)?)),
            None => None,
        };
        let from_text = schema.fields().iter().filter(|f| !is_corrupt(f)).cloned().collect();
        let root = Object::new(&from_text, &options.times)?;
        let read = SourceRead::default();
        Ok(Self {
            options,
            schema,
            root,
            corrupt,
            bytes_in_batch: 0,
            read,
            file: "".into(),
            lines: 0,
            looks: None,
        })
    }

    /// Takes a whole file. `name` is how the user would name it.
    ///
    /// An error is a bad line in FAILFAST mode; what was read before it is lost.
    pub fn file(&mut self, name: &Arc<str>, bytes: &[u8]) -> Result<()> {
        self.begin(name);
        let encoding = self.options.encoding;
        self.lines(0, &encoding.text(bytes))
    }

    /// What is given from now on is of this file.
    pub fn begin(&mut self, name: &Arc<str>) {
        self.read.places.file(name);
        self.file = name.clone();
        self.lines = 0;
        self.looks = None;
    }

    /// Whether a file that begins so may be given in pieces.
    pub fn takes_pieces(&self, beginning: &[u8]) -> bool {
        self.options.line_end == LineEnd::Any && self.options.encoding.leaves(beginning)
    }

    /// Takes lines of the file, which begin at this offset.
    ///
    /// An error is a bad line in FAILFAST mode; what was read before it is lost.
    pub fn lines(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.lines == 0 {
            self.looks = looks_like(bytes);
        }
        let line_end = self.options.line_end.clone();
        let mut lines = Lines::after(self.lines, bytes, &line_end);
        if self.only_counts() {
            for line in lines.by_ref() {
                self.root.push_null();
                self.read.places.row(line.number);
                if self.root.len() >= BATCH_ROWS {
                    self.close_batch()?;
                }
            }
            self.lines = lines.number();
            return Ok(());
        }
        let whole = std::str::from_utf8(bytes).ok();
        for line in lines.by_ref() {
            let raw = &bytes[line.start..line.end];
            let text = match whole {
                Some(whole) => Ok(&whole[line.start..line.end]),
                None => std::str::from_utf8(raw)
                    .map_err(|e| Broken { at: e.valid_up_to(), what: "is not UTF-8" }),
            };
            let line = Found { number: line.number, offset: offset + line.start as u64, raw };
            self.line(&line, text)?;
            self.bytes_in_batch += raw.len();
            if self.root.len() >= BATCH_ROWS || self.bytes_in_batch >= BATCH_BYTES {
                self.close_batch()?;
            }
        }
        self.lines = lines.number();
        Ok(())
    }

    /// Takes a line of so many bytes, of which these are kept.
    pub fn too_long(&mut self, offset: u64, kept: &[u8], length: u64) -> Result<()> {
        self.lines += 1;
        let line = Found { number: self.lines, offset, raw: kept };
        let before = self.root.len();
        match self.only_counts() {
            true => self.root.push_null(),
            false => {
                self.broken(&line, format!("{}, of {length} bytes", too_long(LONGEST_LINE)))?
            }
        }
        self.fill_corrupt(before, None);
        (before..self.root.len()).for_each(|_| self.read.places.row(line.number));
        Ok(())
    }

    /// Whether no column is read, and no mode asks what a line is: each line is a row, as in Spark.
    fn only_counts(&self) -> bool {
        self.schema.fields().is_empty()
            && self.options.mode == Mode::Permissive
            && self.options.line_end != LineEnd::Never
    }

    /// What was read since the last call.
    pub fn finish(&mut self) -> Result<SourceRead> {
        self.close_batch()?;
        Ok(std::mem::take(&mut self.read))
    }

    /// Forgets what was read since the last [`JsonDecoder::finish`]: after an error.
    pub fn clear(&mut self) {
        self.root.truncate(0);
        if let Some((_, corrupt)) = &mut self.corrupt {
            corrupt.truncate(0);
        }
        self.bytes_in_batch = 0;
        self.read = SourceRead::default();
    }

    fn line(&mut self, line: &Found<'_>, text: Result<&str, Broken>) -> Result<()> {
        let longest = match self.options.line_end {
            LineEnd::Never => LONGEST_DOCUMENT,
            _ => LONGEST_LINE,
        };
        let before = self.root.len();
        let (raw, length) = (line.raw, line.raw.len());
        if length > longest {
            let kept = Found { raw: &raw[..KEPT_OF_TOO_LONG], ..*line };
            self.broken(&kept, format!("{}, of {length} bytes", too_long(longest)))?;
        } else {
            match text.and_then(|text| self.rows(text)) {
                Ok(Taken { fit: Fit::Whole, behind: None }) => {}
                Ok(Taken { fit: Fit::Whole, behind: Some(at) }) => {
                    let what = "has text behind its object, which is not read";
                    self.bad(line, reason(&Broken { at, what }), Flaw::Surplus);
                }
                Ok(_) => self.mistyped(line, before)?,
                Err(broken) => {
                    self.root.truncate(before);
                    self.broken(line, self.reason(raw, &broken))?;
                }
            }
        }
        self.fill_corrupt(before, None);
        (before..self.root.len()).for_each(|_| self.read.places.row(line.number));
        Ok(())
    }

    /// Takes the object of a line, or the objects of the array that it is.
    fn rows(&mut self, text: &str) -> Result<Taken, Broken> {
        // A byte order mark may stand before any line: files are put together with theirs.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut cursor = Cursor::with(text, self.options.syntax);
        let mut fit = Fit::Whole;
        // A line of comments is as good as blank.
        if cursor.next_byte().is_none() {
            return Ok(Taken { fit, behind: None });
        }
        match cursor.token()? {
            Token::Object => fit = self.root.take(&mut cursor)?,
            Token::Array => {
                let mut first = true;
                while cursor.element(first)? {
                    first = false;
                    let Token::Object = cursor.token()? else {
                        return cursor.broken("has an array with something else than objects");
                    };
                    if self.root.take(&mut cursor)? != Fit::Whole {
                        fit = Fit::Partly;
                    }
                }
            }
            _ => return cursor.broken("is not an object"),
        }
        let behind = cursor.next_byte().map(|_| cursor.position());
        Ok(Taken { fit, behind })
    }

    /// A line that is no JSON object.
    fn broken(&mut self, line: &Found<'_>, why: String) -> Result<()> {
        if self.options.mode == Mode::FailFast {
            return Err(self.refused(line, &why));
        }
        self.bad(line, why, Flaw::Corrupt);
        if self.options.mode == Mode::Permissive {
            let before = self.root.len();
            self.root.push_null();
            self.fill_corrupt(before, Some(line.raw));
        }
        Ok(())
    }

    /// A line with a value of the wrong type, whose rows are taken.
    fn mistyped(&mut self, line: &Found<'_>, before: usize) -> Result<()> {
        match self.options.mode {
            Mode::Permissive => {
                let first = self.read.places.rows();
                let rows = first..first + (self.root.len() - before) as u64;
                let column = self.root.mistyped();
                let mistyped = rows.map(|row| Mistyped { row, column: column.cloned() });
                self.read.mistyped.extend(mistyped);
                self.fill_corrupt(before, Some(line.raw));
            }
            Mode::DropMalformed => {
                let reason = self.mistyped_reason();
                self.root.truncate(before);
                self.push_bad(line, reason, Flaw::Mistyped, None);
            }
            Mode::FailFast => return Err(self.refused(line, &self.mistyped_reason())),
        }
        Ok(())
    }

    fn mistyped_reason(&self) -> String {
        match self.root.mistyped() {
            Some(name) => format!("the value of '{name}' has not the type of its column"),
            None => "a value has not the type of its column".to_owned(),
        }
    }

    fn bad(&mut self, line: &Found<'_>, reason: String, flaw: Flaw) {
        let gives_row = flaw == Flaw::Surplus || self.options.mode == Mode::Permissive;
        let row = gives_row.then(|| self.read.places.rows());
        self.push_bad(line, reason, flaw, row);
    }

    fn push_bad(&mut self, line: &Found<'_>, reason: String, flaw: Flaw, row: Option<u64>) {
        let (number, offset, raw) = (line.number, line.offset, line.raw.to_vec());
        let file = self.file.clone();
        self.read.bad.push(BadRecord { flaw, row, file, line: number, offset, reason, raw });
    }

    /// Why a line is no JSON.
    fn reason(&self, raw: &[u8], broken: &Broken) -> String {
        match self.looks {
            _ if raw.iter().all(|byte| *byte == 0) => {
                format!("the line is zero-filled, {} bytes: did its writer lose power?", raw.len())
            }
            Some(looks) => format!("{}: the file looks like {looks}", reason(broken)),
            None => reason(broken),
        }
    }

    fn refused(&self, line: &Found<'_>, reason: &str) -> Error {
        Error::files(
            "FAILED_READ_FILE.NO_HINT",
            format!("{}, line {}: {reason}", self.file, line.number),
        )
        .hint("mend the line, or set the option mode to 'PERMISSIVE' to get NULLs instead")
    }

    /// Makes the column of corrupt records as long as the others.
    fn fill_corrupt(&mut self, from: usize, raw: Option<&[u8]>) {
        if let Some((_, corrupt)) = &mut self.corrupt {
            let text = raw.map(String::from_utf8_lossy);
            for _ in from.max(corrupt.len())..self.root.len() {
                match &text {
                    Some(text) => corrupt.push_text(text),
                    None => corrupt.push_null(),
                }
            }
        }
    }

    fn close_batch(&mut self) -> Result<()> {
        self.bytes_in_batch = 0;
        let rows = self.root.len();
        if rows == 0 {
            return Ok(());
        }
        let mut columns = self.root.finish()?;
        if let Some((place, corrupt)) = &mut self.corrupt {
            columns.insert(*place, corrupt.finish()?);
        }
        let batch = with_rows(&self.schema, columns, rows)?;
        self.read.batches.push(batch);
        Ok(())
    }
}

/// A line, and where it stands in its file.
struct Found<'a> {
    /// From 1.
    number: u64,
    /// Of the first byte.
    offset: u64,
    /// Without the line end; of one that is too long, as much as is kept.
    raw: &'a [u8],
}

/// What a line gave.
struct Taken {
    fit: Fit,
    /// Where text begins behind the object or array.
    behind: Option<usize>,
}

fn reason(broken: &Broken) -> String {
    format!("the line {}, at byte {}", broken.what, broken.at + 1)
}

fn too_long(longest: usize) -> String {
    reason(&Broken { at: longest, what: "is too long" })
}

/// What the beginning of a file looks like that is no JSON; the byte order mark of UTF-16 has been
/// obeyed before.
fn looks_like(beginning: &[u8]) -> Option<&'static str> {
    // Every other byte of text in UTF-16 is NUL, as long as it is English.
    let mut pairs = beginning.chunks_exact(2).take(8);
    match beginning {
        [0x1F, 0x8B, ..] => Some("gzip: end its name in .gz"),
        [b'P', b'A', b'R', b'1', ..] => Some("Parquet: read it USING parquet"),
        [_, _, _, _, ..] if pairs.all(|pair| (pair[0] == 0) != (pair[1] == 0)) => {
            Some("UTF-16: set the table's option encoding")
        }
        _ => None,
    }
}
