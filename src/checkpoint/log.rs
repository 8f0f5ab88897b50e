//! `offsets/` and `commits/`: one file a batch, made once, never changed.
//!
//! The keys are Spark's. A file is sealed (see [`crate::durable::seal`]): its first line proves that
//! it is whole, the second is JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::batch::BatchId;
use crate::durable::{self, Disk, SealError};
use crate::error::{Error, Result};
use crate::time::{EventTimeMicros, Millis};

/// The row whose event time has moved a watermark to where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatermarkRow {
    /// The batch that read it.
    pub batch: BatchId,
    /// The table that it is a row of.
    pub source: String,
    /// Its file, as the user would name it, and its line; `None`: the source does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Its event time, in microseconds since 1970 UTC.
    pub event_time_us: EventTimeMicros,
}

/// What a batch reads, and the times it lives by: everything needed to run it again the same way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offsets {
    /// The watermark that the batch runs with; `None`: the query has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_watermark_ms: Option<Millis>,
    /// The row that has set this watermark; `None`: none has yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_row: Option<WatermarkRow>,
    /// The batch's time: what `now()` is in its SQL.
    pub batch_timestamp_ms: Millis,
    /// Why `batch_watermark_ms` is more than the rows have made it; `None`: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Raised>,
    /// Settings that hold as long as the checkpoint does.
    #[serde(default)]
    pub conf: BTreeMap<String, String>,
    /// What is taken from each source, in the order of the query text; `None`: nothing.
    pub sources: Vec<Option<serde_json::Value>>,
}

impl Offsets {
    /// Takes out what was taken from a source.
    pub(super) fn take_of(&mut self, source: usize) -> Option<serde_json::Value> {
        self.sources.get_mut(source).and_then(Option::take)
    }
}

/// That the watermark was raised so that held-back results come out, since the stream had ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Raised {
    /// What the rows had made it.
    pub from_ms: Millis,
    /// What the batch runs with.
    pub to_ms: Millis,
    /// Why the stream was taken to have ended, in words.
    pub because: String,
}

/// That a batch is done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// The watermark of the next batch; `None`: the query has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_batch_watermark_ms: Option<Millis>,
    /// The row that has set this watermark; `None`: none has yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_watermark_row: Option<WatermarkRow>,
    /// Whether the watermark has risen so far that the next batch is due even without data. It is
    /// noted so that a crash between the two changes nothing: the batch is due after it, too.
    /// (Spark forgets it, and lets the next batch with data do both.)
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_data_batch_due: bool,
}

/// What a file of the checkpoint turned out to be.
#[derive(Debug)]
pub(super) enum Found<T> {
    /// Whole.
    Whole(T),
    /// There is no such file.
    Missing,
    /// Not whole; in words, why.
    Torn(String),
}

/// Reads one sealed file of JSON.
///
/// # Errors
///
/// The disk says no, or the file is of another kind or a newer format (`CHECKPOINT_FORMAT`).
pub(super) fn read<T: DeserializeOwned>(path: &Path, kind: &str) -> Result<Found<T>> {
    let Some(bytes) = durable::read(path)? else { return Ok(Found::Missing) };
    match durable::unseal(kind, &bytes) {
        Ok((_, after)) if !after.is_empty() => {
            Ok(Found::Torn(format!("{} bytes follow its content", after.len())))
        }
        Ok((body, _)) => Ok(match serde_json::from_slice(body) {
            Ok(value) => Found::Whole(value),
            Err(error) => Found::Torn(error.to_string()),
        }),
        Err(SealError::Torn(why)) => Ok(Found::Torn(why)),
        Err(SealError::Foreign(why)) => Err(foreign(path, &why)),
    }
}

/// The bytes of a sealed file of JSON.
pub(super) fn sealed(kind: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut body = serde_json::to_vec(value)
        .map_err(|e| Error::internal(format!("a decision is no JSON: {e}")))?;
    body.push(b'\n');
    Ok(durable::seal(kind, &body))
}

pub(super) fn foreign(path: &Path, why: &str) -> Error {
    let by = match written_by(path) {
        Some(version) => format!("; the checkpoint was written by strandline {version}"),
        None => String::new(),
    };
    Error::checkpoint("CHECKPOINT_FORMAT", format!("{} cannot be read: {why}{by}", path.display()))
        .hint("run the version of strandline that wrote it, or a newer one")
}

/// The program that has written a checkpoint, by its metadata, whose format may be a newer one: so the
/// text is looked through for the one word that will always be there.
fn written_by(path: &Path) -> Option<String> {
    let texts = path.ancestors().skip(1).take(4).map(|folder| folder.join(super::open::METADATA));
    let bytes = texts.filter_map(|path| durable::read(&path).ok().flatten()).next()?;
    let text = String::from_utf8_lossy(&bytes);
    let (_, after) = text.split_once("\"engineVersion\":\"")?;
    Some(after.split_once('"')?.0.to_owned())
}

/// A checkpoint that does not hold what it must; `what` names the file.
pub(super) fn corrupt(folder: &Path, what: impl std::fmt::Display) -> Error {
    let folder = folder.display();
    Error::checkpoint("CHECKPOINT_CORRUPT", format!("the checkpoint {folder} is damaged: {what}"))
        .hint(format!(
            "restore {folder} from a copy; or start over: remove it and the query's output table, \
             and everything is read again"
        ))
}

/// The files of one kind, by batch number.
#[derive(Debug)]
pub(super) struct BatchLog {
    kind: &'static str,
    folder: PathBuf,
    /// The numbers of the files that are there.
    batches: std::collections::BTreeSet<BatchId>,
}

impl BatchLog {
    /// The log in `checkpoint/<kind>/`, which is listed now and never again. A folder that is not
    /// there is empty.
    pub(super) fn list(checkpoint: &Path, kind: &'static str) -> Result<Self> {
        let folder = checkpoint.join(kind);
        let names = durable::names(&folder)?;
        let batches = names.iter().filter_map(|name| number(name)).collect();
        Ok(Self { kind, folder, batches })
    }

    /// The newest batch.
    pub(super) fn newest(&self) -> Option<BatchId> {
        self.batches.last().copied()
    }

    /// All batches, in order.
    pub(super) fn batches(&self) -> &std::collections::BTreeSet<BatchId> {
        &self.batches
    }

    pub(super) fn path(&self, batch: BatchId) -> PathBuf {
        self.folder.join(batch.to_string())
    }

    pub(super) fn read<T: DeserializeOwned>(&self, batch: BatchId) -> Result<Found<T>> {
        read(&self.path(batch), self.kind)
    }

    /// Makes the file of a batch; one that is there already is somebody else's.
    pub(super) fn write(
        &mut self,
        disk: Disk,
        batch: BatchId,
        value: &impl Serialize,
    ) -> Result<()> {
        let path = self.path(batch);
        if !disk.create(&path, &sealed(self.kind, value)?)? {
            return Err(Error::in_use(
                "CONCURRENT_STREAM_LOG_UPDATE",
                format!("batch {batch} is decided already: {} is there", path.display()),
            )
            .hint(
                "another process runs this query on the same checkpoint: stop one of the two, \
                 then start again",
            ));
        }
        self.batches.insert(batch);
        Ok(())
    }

    /// Gives a torn file another name, so that its batch can be decided again.
    pub(super) fn set_aside(&mut self, disk: Disk, batch: BatchId, why: &str) -> Result<()> {
        let path = self.path(batch);
        let aside = disk.set_aside(&path)?;
        self.batches.remove(&batch);
        tracing::warn!(
            "{} is not whole ({why}); it is now {}, and batch {batch} is run again",
            path.display(),
            aside.display()
        );
        Ok(())
    }

    /// Removes the files of all batches before `first_kept`, oldest first.
    pub(super) fn remove_before(&mut self, disk: Disk, first_kept: BatchId) -> Result<()> {
        while let Some(&oldest) = self.batches.first().filter(|&&batch| batch < first_kept) {
            disk.remove(&self.path(oldest))?;
            self.batches.remove(&oldest);
        }
        Ok(())
    }
}

/// A batch number, as this program writes one: `07` or `7.bad` are none, nor is one that a table's
/// transaction could not have.
fn number(name: &str) -> Option<BatchId> {
    const MOST: BatchId = i64::MAX as BatchId;
    name.parse().ok().filter(|number: &BatchId| *number < MOST && number.to_string() == name)
}
