//! What each source gave to batches long past: `sources/<i>/history`.
//!
//! A folder source must know every file that it has ever given, and a replay must know all that was
//! decided, but `offsets/` keeps about a hundred batches. So before older ones are removed, what they
//! took and the times they lived by are appended here: one sealed record a clean-up. The file only
//! grows; a crash can leave a part of a record at its end, which is cut off before the next one is
//! written (its batches are still in `offsets/` then).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::{BatchLog, Found, Offsets, corrupt, foreign, sealed};
use crate::batch::BatchId;
use crate::durable::{self, Disk, SealError};
use crate::error::{Error, Result};
use crate::time::Millis;

const KIND: &str = "takes";

/// The takes of a range of batches, ends included.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    first_batch: BatchId,
    last_batch: BatchId,
    /// Batches that took nothing are left out.
    takes: Vec<(BatchId, Value)>,
    /// For each batch of the range its time and its watermark. Older records have none, and perhaps
    /// not all takes either.
    #[serde(default)]
    times: Vec<Times>,
}

/// More batches than a clean-up archives at once.
const MOST_BATCHES: BatchId = 1 << 20;

impl Record {
    /// Whether it is one that [`History::append`] writes, where `next` is the first batch that no record
    /// before it tells of.
    fn is_sound(&self, next: BatchId) -> bool {
        let batches = self.last_batch.checked_sub(self.first_batch);
        self.first_batch <= next
            && batches.is_some_and(|batches| batches < MOST_BATCHES)
            && self.takes.iter().all(|(batch, _)| *batch <= self.last_batch)
    }
}

/// A batch's time, and its watermark where the query has one: milliseconds since 1970.
pub(super) type Times = (Millis, Option<Millis>);

/// What the archive of one source says.
#[derive(Debug, Default)]
pub(super) struct Archive {
    /// What was taken, in the order of the batches; those that took nothing are left out.
    pub(super) takes: Vec<(BatchId, Value)>,
    /// One entry for each batch from 0 to before [`History::next`]; `None`: nobody wrote it down.
    pub(super) times: Vec<Option<Times>>,
}

/// The history of one source.
#[derive(Debug)]
pub(super) struct History {
    path: PathBuf,
    /// The first batch that is in no record.
    pub(super) next: BatchId,
    /// Bytes after the last whole record: what a crash has left.
    torn: bool,
}

impl History {
    /// Reads the history of source `source`.
    pub(super) fn read(checkpoint: &Path, source: usize) -> Result<(Self, Archive)> {
        let path = checkpoint.join("sources").join(source.to_string()).join("history");
        let bytes = durable::read(&path)?.unwrap_or_default();
        let (mut rest, mut next) = (&bytes[..], 0);
        let mut archive = Archive::default();
        while !rest.is_empty() {
            let body = match durable::unseal(KIND, rest) {
                Ok((body, after)) => {
                    rest = after;
                    body
                }
                Err(SealError::Torn(_)) => break,
                Err(SealError::Foreign(why)) => return Err(foreign(&path, &why)),
            };
            let record: Record = serde_json::from_slice(body)
                .map_err(|e| corrupt(checkpoint, format!("{}: {e}", path.display())))?;
            if !record.is_sound(next) {
                let what = format!("{} tells of batches that cannot be", path.display());
                return Err(corrupt(checkpoint, what));
            }
            // A range that a crash let be written twice counts once.
            archive.takes.extend(record.takes.into_iter().filter(|(b, _)| *b >= next));
            for batch in next..=record.last_batch {
                let at =
                    batch.checked_sub(record.first_batch).and_then(|at| usize::try_from(at).ok());
                archive.times.push(at.and_then(|at| record.times.get(at).copied()));
            }
            next = next.max(record.last_batch + 1);
        }
        Ok((Self { path, next, torn: !rest.is_empty() }, archive))
    }

    /// Reads the history of a source to lean on it: what is in it is permanent.
    pub(super) fn confirmed(checkpoint: &Path, disk: Disk, source: usize) -> Result<Self> {
        let (history, _) = Self::read(checkpoint, source)?;
        if history.next > 0 {
            disk.make_permanent(&history.path)?;
        }
        Ok(history)
    }

    /// Makes what was taken in the decisions of all batches from `next` to before `end` permanent,
    /// which are still in `offsets`.
    pub(super) fn append(
        &mut self,
        disk: Disk,
        end: BatchId,
        decided: Vec<(BatchId, Offsets)>,
        source: usize,
    ) -> Result<()> {
        if self.torn {
            self.cut(disk)?;
        }
        if let Some(folder) = self.path.parent() {
            disk.create_folder(folder)?;
        }
        let times =
            decided.iter().map(|(_, d)| (d.batch_timestamp_ms, d.batch_watermark_ms)).collect();
        let takes =
            decided.into_iter().filter_map(|(b, mut d)| Some((b, d.take_of(source)?))).collect();
        let record = Record { first_batch: self.next, last_batch: end - 1, takes, times };
        disk.append(&self.path, &sealed(KIND, &record)?)?;
        self.next = end;
        Ok(())
    }

    /// Cuts off what follows the last whole record.
    fn cut(&mut self, disk: Disk) -> Result<()> {
        let bytes = durable::read(&self.path)?.unwrap_or_default();
        let mut rest = &bytes[..];
        while let Ok((_, after)) = durable::unseal(KIND, rest) {
            rest = after;
        }
        disk.replace(&self.path, &bytes[..bytes.len() - rest.len()])?;
        self.torn = false;
        Ok(())
    }
}

/// The decisions of all batches from `first` to before `end`. One that is missing was lost: it is
/// neither in the history nor in `offsets/`.
pub(super) fn decisions(
    checkpoint: &Path,
    offsets: &BatchLog,
    first: BatchId,
    end: BatchId,
) -> Result<Vec<(BatchId, Offsets)>> {
    let mut decisions = Vec::new();
    for batch in first..end {
        let lost = |why: &str| -> Error {
            let path = offsets.path(batch);
            corrupt(
                checkpoint,
                format!("what batch {batch} read is unknown: {} {why}", path.display()),
            )
        };
        match offsets.read(batch)? {
            Found::Whole(decided) => decisions.push((batch, decided)),
            Found::Missing => return Err(lost("is missing")),
            Found::Torn(why) => return Err(lost(&format!("is not whole ({why})"))),
        }
    }
    Ok(decisions)
}
