//! What is in a change and in a snapshot: one line of JSON, then the rows as an Arrow IPC stream.
//!
//! ```text
//! strandline 1 state-change 1893 5d0e77c1
//! {"batch":57,"keys":2,"steps":[{"put":9},{"expire":1767225600000000}]}
//! <Arrow IPC stream, lz4: one record batch a put>
//! ```
//!
//! Where there may be several rows a key, each row has a number for its life, and the file says
//! `{"add":[[120,9]]}` (the nine rows that follow are 120 … 128), `{"mark":[[118,1],[120,2]]}` and
//! `{"remove":[[7,1]]}`.
//!
//! A change repeats what was done to the table, in that order, so that the table after it is the
//! same whether it was computed or read. A snapshot is a change from nothing.

use std::fmt;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use serde::{Deserialize, Serialize};

use super::part::Parts;
use super::shape::StateShape;
use super::table::StateTable;
use crate::batch::BatchId;
use crate::durable::{self, Disk, SealError};
use crate::error::{Error, Result};
use crate::share::share;

/// The two kinds of files of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What one batch did.
    Change,
    /// All rows after a batch.
    Snapshot,
}

impl Kind {
    /// The end of the file's name.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Kind::Change => "change",
            Kind::Snapshot => "snapshot",
        }
    }

    pub(super) fn sealed_as(self) -> &'static str {
        match self {
            Kind::Change => "state-change",
            Kind::Snapshot => "state-snapshot",
        }
    }
}

/// Fewer rows than this are encoded before a thread has started.
const WORTH_TWO: usize = if cfg!(test) { 4 } else { 64 * 1024 };

/// The bytes that end an Arrow IPC stream.
const END: usize = 8;

/// One thing that was done to a table.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// These rows were put in.
    Put(RecordBatch),
    /// The watermark, in microseconds, let rows go.
    Expire(i64),
    /// These rows were added under these numbers.
    Add(RecordBatch, Vec<i64>),
    /// The rows of these numbers were marked.
    Mark(Vec<i64>),
    /// The rows of these numbers were removed.
    Remove(Vec<i64>),
}

impl Step {
    /// How many rows it touches.
    pub(super) fn rows(&self) -> u64 {
        match self {
            Step::Put(rows) | Step::Add(rows, _) => rows.num_rows() as u64,
            Step::Mark(numbers) | Step::Remove(numbers) => numbers.len() as u64,
            // What goes costs little, and must not make a snapshot of what is left.
            Step::Expire(_) => 0,
        }
    }
}

/// Numbers as runs: the first of each and how many follow each other.
#[derive(Serialize, Deserialize)]
struct Runs(Vec<(i64, i64)>);

impl Runs {
    fn of(numbers: &[i64]) -> Self {
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for &number in numbers {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == number => *count += 1,
                _ => runs.push((number, 1)),
            }
        }
        Self(runs)
    }

    fn numbers(&self) -> Vec<i64> {
        self.0.iter().flat_map(|&(first, count)| first..first.saturating_add(count)).collect()
    }
}

/// The JSON line.
#[derive(Serialize, Deserialize)]
struct Head {
    batch: BatchId,
    keys: usize,
    steps: Vec<HeadStep>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum HeadStep {
    /// So many rows.
    Put(usize),
    /// Microseconds.
    Expire(i64),
    /// As many rows as there are numbers.
    Add(Runs),
    Mark(Runs),
    Remove(Runs),
}

impl HeadStep {
    /// See [`Step::rows`].
    fn rows(&self) -> u64 {
        match self {
            HeadStep::Put(rows) => *rows as u64,
            HeadStep::Expire(_) => 0,
            HeadStep::Add(runs) | HeadStep::Mark(runs) | HeadStep::Remove(runs) => {
                runs.0.iter().map(|(_, count)| u64::try_from(*count).unwrap_or(0)).sum()
            }
        }
    }

    fn of(step: &Step) -> Self {
        match step {
            Step::Put(rows) => HeadStep::Put(rows.num_rows()),
            Step::Expire(watermark) => HeadStep::Expire(*watermark),
            Step::Add(_, numbers) => HeadStep::Add(Runs::of(numbers)),
            Step::Mark(numbers) => HeadStep::Mark(Runs::of(numbers)),
            Step::Remove(numbers) => HeadStep::Remove(Runs::of(numbers)),
        }
    }
}

/// The bytes of a change, sealed.
pub(super) fn change(batch: BatchId, shape: &StateShape, steps: &[Step]) -> Result<Vec<u8>> {
    let rows = steps.iter().filter_map(|step| match step {
        Step::Put(rows) | Step::Add(rows, _) => Some(rows),
        _ => None,
    });
    let rows: Vec<&RecordBatch> = rows.collect();
    let steps: Vec<HeadStep> = steps.iter().map(HeadStep::of).collect();
    let mut body = Vec::new();
    if rows.iter().map(|rows| rows.num_rows()).sum::<usize>() < WORTH_TWO {
        write(&mut body, batch, shape, steps, rows.into_iter().cloned().map(Ok))?;
    } else {
        // Of a stream each message is the same, whatever comes before it.
        let schema = stream(&shape.schema, None)?.len() - END;
        let messages = share(rows, |rows| stream(&shape.schema, Some(rows)));
        write(&mut body, batch, shape, steps, std::iter::empty())?;
        body.truncate(body.len() - END);
        for message in messages {
            let message = message?;
            body.extend_from_slice(&message[schema..message.len() - END]);
        }
        body.extend_from_slice(&stream(&shape.schema, None)?[schema..]);
    }
    Ok(durable::seal(Kind::Change.sealed_as(), &body))
}

/// A whole stream of no or one record batch.
fn stream(schema: &SchemaRef, rows: Option<&RecordBatch>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write_rows(&mut bytes, schema, rows.cloned().map(Ok))?;
    Ok(bytes)
}

/// A whole table as it was at one moment, on its way into a snapshot.
pub(super) struct Everything {
    steps: Vec<HeadStep>,
    rows: Parts,
}

impl Everything {
    pub(super) fn of(table: &StateTable) -> Result<Self> {
        let Some(several) = table.multimap() else {
            let rows = table.rows()?;
            return Ok(Self { steps: rows.lengths().map(HeadStep::Put).collect(), rows });
        };
        let (numbers, rows) = several.frozen()?;
        let mut steps: Vec<HeadStep> =
            numbers.iter().map(|numbers| HeadStep::Add(Runs::of(numbers))).collect();
        steps.push(HeadStep::Mark(Runs::of(&several.marked())));
        Ok(Self { steps, rows })
    }

    /// Writes the snapshot after a batch; gives its size. `None`: it was told to stop.
    pub(super) fn write(
        self,
        disk: Disk,
        path: &Path,
        batch: BatchId,
        shape: &StateShape,
        stop: &AtomicBool,
    ) -> Result<Option<u64>> {
        let rows = self.rows.map_while(|rows| (!stop.load(Ordering::Relaxed)).then_some(rows));
        let written = disk.replace_sealed(path, Kind::Snapshot.sealed_as(), |out| {
            write(out, batch, shape, self.steps, rows)?;
            match stop.load(Ordering::Relaxed) {
                true => Err(Error::internal("a snapshot was not waited for")),
                false => Ok(()),
            }
        });
        match written {
            Err(_) if stop.load(Ordering::Relaxed) => Ok(None),
            written => written.map(Some),
        }
    }
}

fn write(
    mut out: impl Write,
    batch: BatchId,
    shape: &StateShape,
    steps: Vec<HeadStep>,
    rows: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let head = Head { batch, keys: shape.keys, steps };
    let mut line = serde_json::to_vec(&head).map_err(head_error)?;
    line.push(b'\n');
    out.write_all(&line).map_err(ArrowError::from)?;
    write_rows(out, &shape.schema, rows)
}

/// Rows as an Arrow IPC stream, lz4.
pub(super) fn write_rows(
    out: impl Write,
    schema: &SchemaRef,
    rows: impl IntoIterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let options =
        IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = StreamWriter::try_new_with_options(out, schema, options)?;
    for rows in rows {
        writer.write(&rows?)?;
    }
    Ok(writer.finish()?)
}

/// Why a file of a state cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// Not whole, or not what its name says.
    Corrupt(String),
    /// Whole, but of rows with other columns or keys.
    Different(String),
    /// Whole, but not to be read by this version of the program.
    Foreign(String),
}

impl From<SealError> for Unusable {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Torn(why) => Unusable::Corrupt(why),
            SealError::Foreign(why) => Unusable::Foreign(why),
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Corrupt(why) | Unusable::Different(why) | Unusable::Foreign(why) => {
                f.write_str(why)
            }
        }
    }
}

/// Does to a table what the body of a file says was done; gives how many rows it touched.
///
/// The outer error is one of the table, the inner one is one of the file; after either the table is
/// half done.
pub(super) fn replay(
    batch: BatchId,
    mut body: impl BufRead,
    table: &mut StateTable,
) -> Result<Result<u64, Unusable>> {
    let corrupt = |why: &dyn fmt::Display| Unusable::Corrupt(why.to_string());
    let mut line = Vec::new();
    match body.read_until(b'\n', &mut line) {
        Ok(_) if line.last() == Some(&b'\n') => {}
        Ok(_) => return Ok(Err(corrupt(&"its first line has no end"))),
        Err(error) => return Ok(Err(corrupt(&error))),
    }
    let head: Head = match serde_json::from_slice(&line) {
        Ok(head) => head,
        Err(error) => return Ok(Err(corrupt(&error))),
    };
    if head.batch != batch {
        return Ok(Err(corrupt(&format!("it holds batch {}, not {batch}", head.batch))));
    }
    let mut rows = match StreamReader::try_new(body, None) {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(corrupt(&error))),
    };
    if let Some(why) = difference(&head, &rows.schema(), table.shape()) {
        return Ok(Err(Unusable::Different(why)));
    }
    const OTHER_ROWS: &str = "it holds other rows than its first line says";
    let mut next = |count: usize| match rows.next() {
        Some(Ok(rows)) if rows.num_rows() == count => Ok(rows),
        Some(Err(error)) => Err(corrupt(&error)),
        _ => Err(corrupt(&OTHER_ROWS)),
    };
    let mut touched = 0_u64;
    for step in head.steps {
        touched = touched.saturating_add(step.rows());
        let done = match (step, table.multimap_mut()) {
            (HeadStep::Expire(watermark), _) => table.expire(watermark).map(|_| true)?,
            (HeadStep::Put(count), None) => match next(count) {
                Ok(rows) => table.put(&rows).map(|_| true)?,
                Err(why) => return Ok(Err(why)),
            },
            (HeadStep::Add(runs), Some(_)) => {
                let numbers = runs.numbers();
                match next(numbers.len()) {
                    Ok(rows) => table.add_numbered(&rows, &numbers).map(|_| true)?,
                    Err(why) => return Ok(Err(why)),
                }
            }
            (HeadStep::Mark(runs), Some(several)) => match several.numbered(&runs.numbers()) {
                Some(rows) => several.mark(&rows).map(|_| true)?,
                None => false,
            },
            (HeadStep::Remove(runs), Some(several)) => match several.numbered(&runs.numbers()) {
                Some(rows) => several.remove(&rows).map(|_| true)?,
                None => false,
            },
            _ => return Ok(Err(Unusable::Different("it is of another kind of state".into()))),
        };
        if !done {
            return Ok(Err(corrupt(&OTHER_ROWS)));
        }
    }
    Ok(Ok(touched))
}

/// In words, how the rows of a file differ from those of the table: names do not matter, types do.
fn difference(head: &Head, held: &SchemaRef, shape: &StateShape) -> Option<String> {
    let keys = shape.keys;
    if head.keys != keys {
        return Some(format!(
            "it was written with {} key columns, now there are {keys}",
            head.keys
        ));
    }
    let types = |schema: &SchemaRef| {
        schema.fields().iter().map(|f| f.data_type().to_string()).collect::<Vec<_>>().join(", ")
    };
    let (held, wanted) = (types(held), types(&shape.schema));
    (held != wanted).then(|| format!("its columns are ({held}), those of the query are ({wanted})"))
}

fn head_error(error: serde_json::Error) -> Error {
    Error::internal(format!("the head of a state file: {error}"))
}
