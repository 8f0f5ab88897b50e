//! What is in a change and in a snapshot: one line of JSON, then the rows as an Arrow IPC stream.
//!
//! ```text
//! strandline 1 state-change 1893 5d0e77c1
//! {"batch":57,"keys":2,"steps":[{"put":9},{"expire":1767225600000000}]}
//! <Arrow IPC stream, lz4: one record batch a put>
//! ```
//!
//! A change repeats what was done to the table, in that order, so that the table after it is the
//! same whether it was computed or read. A snapshot is a change from nothing.

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use serde::{Deserialize, Serialize};

use super::table::StateTable;
use crate::batch::BatchId;
use crate::durable::{self, SealError};
use crate::error::Result;

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

    fn sealed_as(self) -> &'static str {
        match self {
            Kind::Change => "state-change",
            Kind::Snapshot => "state-snapshot",
        }
    }
}

/// One thing that was done to a table.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// These rows were put in.
    Put(RecordBatch),
    /// The watermark, in microseconds, let rows go.
    Expire(i64),
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
}

/// The bytes of a file, sealed.
pub(super) fn write(
    kind: Kind,
    batch: BatchId,
    keys: usize,
    schema: &SchemaRef,
    steps: &[Step],
) -> Result<Vec<u8>> {
    let line = steps.iter().map(|step| match step {
        Step::Put(rows) => HeadStep::Put(rows.num_rows()),
        Step::Expire(watermark) => HeadStep::Expire(*watermark),
    });
    let head = Head { batch, keys, steps: line.collect() };
    let mut body = serde_json::to_vec(&head).map_err(arrow_error)?;
    body.push(b'\n');
    let options =
        IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = StreamWriter::try_new_with_options(body, schema, options)?;
    for step in steps {
        if let Step::Put(rows) = step {
            writer.write(rows)?;
        }
    }
    Ok(durable::seal(kind.sealed_as(), &writer.into_inner()?))
}

/// Why a file of a state cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// Not whole, or not what its name says.
    Corrupt(String),
    /// Whole, but of rows with other columns or keys, or of a newer format.
    Different(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Corrupt(why) | Unusable::Different(why) => f.write_str(why),
        }
    }
}

/// Does to a table what a file says was done.
///
/// The outer error is one of the table, the inner one is one of the file; after either the table is
/// half done.
pub(super) fn replay(
    kind: Kind,
    batch: BatchId,
    keys: usize,
    bytes: &[u8],
    table: &mut StateTable,
) -> Result<Result<(), Unusable>> {
    let corrupt = |why: &dyn fmt::Display| Unusable::Corrupt(why.to_string());
    let body = match durable::unseal(kind.sealed_as(), bytes) {
        Ok((body, _)) => body,
        Err(SealError::Torn(why)) => return Ok(Err(Unusable::Corrupt(why))),
        Err(SealError::Foreign(why)) => return Ok(Err(Unusable::Different(why))),
    };
    let Some(newline) = body.iter().position(|&b| b == b'\n') else {
        return Ok(Err(corrupt(&"its first line has no end")));
    };
    let (line, stream) = body.split_at(newline);
    let head: Head = match serde_json::from_slice(line) {
        Ok(head) => head,
        Err(error) => return Ok(Err(corrupt(&error))),
    };
    if head.batch != batch {
        return Ok(Err(corrupt(&format!("it holds batch {}, not {batch}", head.batch))));
    }
    let mut rows = match StreamReader::try_new(stream.get(1..).unwrap_or_default(), None) {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(corrupt(&error))),
    };
    if let Some(why) = difference(&head, &rows.schema(), keys, table.schema()) {
        return Ok(Err(Unusable::Different(why)));
    }
    for step in head.steps {
        match step {
            HeadStep::Expire(watermark) => drop(table.expire(watermark)?),
            HeadStep::Put(count) => match rows.next() {
                Some(Ok(rows)) if rows.num_rows() == count => drop(table.put(&rows)?),
                Some(Err(error)) => return Ok(Err(corrupt(&error))),
                _ => return Ok(Err(corrupt(&"it holds other rows than its first line says"))),
            },
        }
    }
    Ok(Ok(()))
}

/// In words, how the rows of a file differ from those of the table: names do not matter, types do.
fn difference(head: &Head, held: &SchemaRef, keys: usize, wanted: &SchemaRef) -> Option<String> {
    if head.keys != keys {
        return Some(format!(
            "it was written with {} key columns, now there are {keys}",
            head.keys
        ));
    }
    let types = |schema: &SchemaRef| {
        schema.fields().iter().map(|f| f.data_type().to_string()).collect::<Vec<_>>().join(", ")
    };
    let (held, wanted) = (types(held), types(wanted));
    (held != wanted).then(|| format!("its columns are ({held}), those of the query are ({wanted})"))
}

fn arrow_error(error: serde_json::Error) -> crate::error::Error {
    crate::error::Error::internal(format!("the head of a state file: {error}"))
}
