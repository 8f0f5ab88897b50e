//! A table at the start of a query: created, or found and judged.
//!
//! Takes a folder and a schema; gives the log at its newest version, and what the writer must know
//! of the table; refuses a table whose rules the writer does not keep. This is the only time that a
//! whole log is read.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::kernel::{Action, StructType, new_metadata};
use serde_json::{Value, json};

use super::Expected;
use super::entry::{commit_info, joined, json_of};
use super::heal;
use super::log::{LiveFile, Log, commit_path, deletion_vector, restored};
use super::tail::{Ours, Tail};
use crate::batch::BatchId;
use crate::durable::Disk;
use crate::error::{Error, Result};
use crate::plan;
use crate::sinks::OutputMode;

/// What a program must know to write into a table without breaking it. A table of ours asks for
/// nothing or for the first; the others ask nothing of a writer that only adds and removes whole
/// files (one with deletion vectors is looked at file by file).
const KNOWN_FEATURES: &[&str] = &[
    "timestampNtz",
    "appendOnly",
    "invariants",
    "deletionVectors",
    "domainMetadata",
    "v2Checkpoint",
    "vacuumProtocolCheck",
];

/// A table as it was found at start.
pub(super) struct Found {
    pub log: Log,
    pub schema: SchemaRef,
    /// The newest batch of ours that it holds.
    pub newest_batch: Option<BatchId>,
    /// What the commit of that batch says, where it is among the newest ones.
    pub newest_commit: Option<Ours>,
    /// A version after that commit that took the table back to an older one.
    pub restored: Option<u64>,
    /// How many data files the table holds.
    pub active: usize,
    /// The files, where they were asked for.
    pub files: Vec<LiveFile>,
}

/// Creates the table, in a commit of its own. `Ok(None)`: there is one already.
pub(super) fn create(
    disk: Disk,
    table: &Path,
    schema: &SchemaRef,
    mode: OutputMode,
) -> Result<Option<Found>> {
    let columns: StructType = schema.as_ref().try_into_kernel()?;
    let metadata = new_metadata(&columns, [""; 0], [("", ""); 0])
        .map_err(|e| Error::internal(format!("a schema without a Delta form: {e}")))?;
    let table_id = metadata.id().to_string();
    let protocol = if schema.fields().iter().any(|f| has_zoneless_time(f.data_type())) {
        json!({"minReaderVersion": 3, "minWriterVersion": 7,
               "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"]})
    } else {
        json!({"minReaderVersion": 1, "minWriterVersion": 2})
    };
    let mut info = commit_info("CREATE TABLE");
    info["operationParameters"] = json!({"isManaged": "false", "partitionBy": "[]"});
    let entry = joined(&[
        json!({"commitInfo": info}),
        json!({"protocol": protocol}),
        json_of(&Action::Metadata(metadata))?,
    ]);
    disk.create_folder(&table.join("_delta_log"))?;
    if !disk.create(&commit_path(table, 0), &entry)? {
        return Ok(None);
    }
    let log = Log::at(disk, table, mode, 0, table_id);
    let (schema, newest_commit) = (schema.clone(), None);
    Ok(Some(Found {
        log,
        schema,
        newest_batch: None,
        newest_commit,
        restored: None,
        active: 0,
        files: vec![],
    }))
}

fn has_zoneless_time(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, None) => true,
        DataType::Struct(fields) => fields.iter().any(|f| has_zoneless_time(f.data_type())),
        DataType::List(f) | DataType::Map(f, _) => has_zoneless_time(f.data_type()),
        _ => false,
    }
}

/// Refuses a place that deltalake cannot find again: a percent sign and two digits in the name of a
/// folder are decoded once too often on the way through its URLs.
pub(super) fn check_path(path: &Path) -> Result<()> {
    let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
    let text = absolute.to_str();
    let is_digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    let is_escaped = |text: &str| {
        let bytes = text.as_bytes();
        (0..bytes.len()).any(|at| {
            bytes[at] == b'%' && is_digit(bytes.get(at + 1)) && is_digit(bytes.get(at + 2))
        })
    };
    if text.is_some_and(|text| !is_escaped(text)) {
        return Ok(());
    }
    Err(Error::usage(
        "DELTA_UNSUPPORTED_PATH",
        format!("a Delta table cannot be kept in {}", absolute.display()),
    )
    .hint("choose a folder whose path is readable text without '%'"))
}

/// Loads a table that is there, with its data files where the mode replaces them. A Delta checkpoint
/// that cannot be read is set aside: the log says the same without it.
pub(super) fn load(disk: Disk, path: &Path, app_id: &str, mode: OutputMode) -> Result<Found> {
    heal::set_aside_torn(disk, path)?;
    match find(disk, path, app_id, mode) {
        Err(error) if error.condition() == "DELTA_TABLE_ERROR" => {
            match heal::set_aside_newest(disk, path, app_id, &error)? {
                true => find(disk, path, app_id, mode),
                false => Err(error),
            }
        }
        found => found,
    }
}

/// The same for one who only looks: nothing is changed.
pub(super) fn find(disk: Disk, path: &Path, app_id: &str, mode: OutputMode) -> Result<Found> {
    let uri = path.to_string_lossy();
    let Some(tail) = Tail::read(path, app_id)? else {
        return Err(missing(path));
    };
    let in_tail = tail.ours.is_some() || tail.checkpoint.is_none();
    let (table, earlier) = plan::wait_apart(async {
        let url = deltalake::ensure_table_uri(uri)?;
        let table = deltalake::open_table_with_version(url, tail.version).await?;
        // Of the very version that is committed on: who commits in between is met by the commit.
        let earlier = match in_tail {
            true => None,
            false => {
                let log = table.log_store();
                table.snapshot()?.transaction_version(log.as_ref(), app_id).await?
            }
        };
        Ok::<_, deltalake::DeltaTableError>((table, earlier))
    })?
    .map_err(|e| Error::from(e).context(format!("the table {}", path.display())))?;
    let earlier = earlier.and_then(|batch| BatchId::try_from(batch).ok());
    let newest_batch = tail.ours.as_ref().map(|ours| ours.batch).or(earlier);
    let state = table.snapshot()?;
    check_writable(path, mode, &json_of(state.protocol())?, &json_of(state.metadata())?)?;

    let mut files = Vec::new();
    if mode != OutputMode::Append {
        for view in state.log_data().iter() {
            let remove = view.remove_action(true);
            if remove.deletion_vector.is_some() {
                return Err(deletion_vector(&remove.path));
            }
            files.push(LiveFile { path: remove.path, size: view.size(), stats: view.stats() });
        }
    }
    let schema: Schema = state.schema().as_ref().try_into_arrow()?;
    Ok(Found {
        log: Log::at(disk, path, mode, state.version(), state.metadata().id().to_string()),
        schema: Arc::new(schema),
        newest_batch,
        newest_commit: tail.ours,
        restored: tail.restored,
        active: state.log_data().num_files(),
        files,
    })
}

/// Refuses a table whose rules this writer does not keep.
fn check_writable(path: &Path, mode: OutputMode, protocol: &Value, metadata: &Value) -> Result<()> {
    let refused = |what: String| {
        Err(Error::sink("DELTA_UNSUPPORTED_TABLE", format!("the table {} {what}", path.display()))
            .hint("write into another table: strandline makes a plain one where there is none"))
    };
    if metadata["partitionColumns"].as_array().is_some_and(|columns| !columns.is_empty()) {
        return refused("is partitioned".into());
    }
    if metadata["schemaString"].as_str().is_some_and(|s| s.contains("\"delta.invariants\"")) {
        return refused("has rules for its columns (delta.invariants)".into());
    }
    if mode != OutputMode::Append && metadata["configuration"]["delta.appendOnly"] == "true" {
        return refused(format!("is declared append-only; {mode} mode replaces files"));
    }
    let writer = protocol.get("minWriterVersion").and_then(Value::as_u64).unwrap_or(0);
    let features = protocol.get("writerFeatures").and_then(Value::as_array);
    let unknown = features
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(|feature| !KNOWN_FEATURES.contains(feature));
    match (writer, unknown) {
        (0..=2, _) | (7, None) => Ok(()),
        (_, Some(feature)) => refused(format!("uses the feature '{feature}'")),
        (version, None) => refused(format!("asks for writers of version {version}")),
    }
}

/// Holds a table that was found to what the query's checkpoint remembers of it.
pub(super) fn check_expected(path: &Path, found: &Found, expected: &Expected) -> Result<()> {
    if let Some(id) = expected.id.as_ref().filter(|id| *id != found.log.table_id()) {
        return Err(Error::sink(
            "SINK_OTHER_TABLE",
            format!(
                "{} holds another table than the one that this query has written: its id is {}, \
                 that of the query's table is {id}",
                path.display(),
                found.log.table_id()
            ),
        )
        .hint(
            "bring the query's table back; or write on into the one that is there with \
             `strandline checkpoint repair CHECKPOINT --accept-sink`; or start over with \
             --start-over",
        ));
    }
    let accepted = expected.accepted.as_ref().map(|accepted| accepted.version);
    match found.restored.filter(|version| accepted.is_none_or(|accepted| *version > accepted)) {
        Some(version) if expected.committed.is_some() => Err(restored(path, version)),
        _ => Ok(()),
    }
}

/// The table is gone, and batches of it with it.
pub(super) fn check_missing(path: &Path, expected: &Expected) -> Result<()> {
    let Some(committed) = expected.committed.filter(|_| !expected.is_accepted(expected.committed))
    else {
        return Ok(());
    };
    let batches = match committed {
        0 => "batch 0 is done".to_owned(),
        newest => format!("the batches 0 to {newest} are done"),
    };
    Err(Error::sink(
        "SINK_BEHIND",
        format!("{batches}, but there is no table in {} any more", path.display()),
    )
    .hint(
        "bring the table back; or begin a new one with the next batch with `strandline checkpoint \
         repair CHECKPOINT --accept-sink`; or start over with --start-over, and everything is \
         read again",
    ))
}

fn missing(path: &Path) -> Error {
    Error::sink("DELTA_TABLE_NOT_FOUND", format!("there is no table in {}", path.display()))
        .hint("bring it back")
}
