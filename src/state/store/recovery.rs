//! A state is known again from its files.
//!
//! Takes a folder and a batch; gives the table as it was after it: the newest snapshot up to it, and the
//! changes that follow. A snapshot that is damaged is made up for by an older one. Never writes or
//! removes a file.

use std::path::Path;

use super::{CHANGE_ROWS, StateStore};
use crate::batch::BatchId;
use crate::durable::{self, Disk};
use crate::error::{Error, Kind as Kinds, Result};
use crate::state::file::{self, Kind, Unusable};
use crate::state::memory::Memory;
use crate::state::shape::StateShape;
use crate::state::table::StateTable;

impl StateStore {
    /// The batches after which the state in a folder can still be had, as ranges with both ends: from a
    /// snapshot, or from the very first batch, as far as the changes follow each other.
    pub fn readable(folder: &Path, shape: StateShape) -> Result<Vec<(BatchId, BatchId)>> {
        let mut store = Self::empty(
            folder.to_owned(),
            Disk::default(),
            shape,
            Some(BatchId::MAX),
            &Memory::default(),
        )?;
        store.list()?;
        let mut ranges: Vec<(BatchId, BatchId)> = Vec::new();
        for &batch in store.changes.union(&store.snapshots) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == batch && store.changes.contains(&batch) => {
                    *last = batch;
                }
                _ if batch == 0 || store.snapshots.contains(&batch) => ranges.push((batch, batch)),
                // Changes to what is no longer known.
                _ => {}
            }
        }
        Ok(ranges)
    }

    /// Learns what files there are: the only time that the folder is listed.
    pub(super) fn list(&mut self) -> Result<()> {
        for name in durable::names(&self.folder)? {
            let path = self.folder.join(&name);
            if durable::is_temporary(&name) {
                self.left_over.push(path);
                continue;
            }
            let stem = path.file_stem().and_then(|s| s.to_str());
            let Some(batch) = stem.and_then(|s| s.parse::<BatchId>().ok()) else { continue };
            let extension = path.extension().and_then(|e| e.to_str());
            let kinds = [Kind::Change, Kind::Snapshot];
            match kinds.into_iter().find(|k| Some(k.extension()) == extension) {
                Some(_) if self.version.is_none_or(|version| batch > version) => {
                    self.left_over.push(path);
                }
                Some(Kind::Change) => drop(self.changes.insert(batch)),
                Some(Kind::Snapshot) => drop(self.snapshots.insert(batch)),
                None => {}
            }
        }
        Ok(())
    }

    /// Fills the table as it was after the version.
    pub(super) fn fill(&mut self) -> Result<()> {
        let Some(version) = self.version else { return Ok(()) };
        let shape = self.table.shape().clone();
        // The newest snapshot first; a damaged one is made up for by the one before it.
        let mut starts: Vec<Option<BatchId>> =
            self.snapshots.iter().rev().copied().map(Some).collect();
        if self.changes.contains(&0) || starts.is_empty() {
            starts.push(None);
        }
        let mut first_error = None;
        for start in starts {
            match self.replay(start, version) {
                Ok(()) => {
                    if let Some(rows) = self.table.multimap_mut() {
                        rows.is_read_back();
                    }
                    return Ok(());
                }
                Err(error) if !matches!(error.kind(), Kinds::Checkpoint | Kinds::Changed) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!("{error}; trying an older snapshot, if there is one");
                    first_error.get_or_insert(error);
                    self.table = StateTable::within(shape.clone(), &self.memory, &self.folder)?;
                }
            }
        }
        Err(first_error.unwrap_or_else(|| Error::internal("a state without a place to start")))
    }

    /// Fills the (empty) table from a snapshot, or from nothing, and the changes after it.
    fn replay(&mut self, start: Option<BatchId>, version: BatchId) -> Result<()> {
        (self.snapshot_rows, self.rows_since) = (0, 0);
        if let Some(start) = start {
            self.snapshot_rows = self.read(Kind::Snapshot, start)?;
        }
        for batch in start.map_or(0, |start| start + 1)..=version {
            self.rows_since += self.read(Kind::Change, batch)?.max(CHANGE_ROWS);
        }
        Ok(())
    }

    /// Does to the table what a file says; gives how many rows that were.
    fn read(&mut self, kind: Kind, batch: BatchId) -> Result<u64> {
        const WAY_OUT: &str = "restore the checkpoint folder from a copy, or start over: remove the \
                               query's checkpoint folder and its output table";
        let path = self.path(kind, batch);
        let done = match kind {
            Kind::Change => self.read_change(&path, batch)?,
            Kind::Snapshot => self.read_snapshot(&path, batch)?,
        };
        self.check_memory()?;
        match done {
            Some(Ok(rows)) => Ok(rows),
            None => Err(Error::checkpoint(
                "STATE_FILE_MISSING",
                format!("{} is needed to know the state again, and is not there", path.display()),
            )
            .hint(WAY_OUT)),
            Some(Err(why @ Unusable::Corrupt(_))) => Err(Error::checkpoint(
                "STATE_FILE_CORRUPT",
                format!("{} is damaged: {why}", path.display()),
            )
            .hint(WAY_OUT)),
            Some(Err(why @ Unusable::Foreign(_))) => Err(Error::checkpoint(
                "CHECKPOINT_FORMAT",
                format!("{} cannot be read: {why}", path.display()),
            )
            .hint("run the version of strandline that wrote it, or a newer one")),
            Some(Err(why @ Unusable::Different(_))) => Err(Error::changed(
                "STATE_SCHEMA_CHANGED",
                format!("{} does not belong to this query: {why}", path.display()),
            )
            .hint(
                "change the query back, or start over: remove the query's checkpoint folder and \
                 its output table",
            )),
        }
    }

    /// A change is small, and read at once.
    fn read_change(
        &mut self,
        path: &Path,
        batch: BatchId,
    ) -> Result<Option<Result<u64, Unusable>>> {
        let Some(bytes) = durable::read(path)? else { return Ok(None) };
        Ok(Some(match durable::unseal(Kind::Change.sealed_as(), &bytes) {
            Ok((body, _)) => file::replay(batch, body, &mut self.table)?,
            Err(why) => Err(why.into()),
        }))
    }

    fn read_snapshot(
        &mut self,
        path: &Path,
        batch: BatchId,
    ) -> Result<Option<Result<u64, Unusable>>> {
        let Some(opened) = durable::open_sealed(path, Kind::Snapshot.sealed_as())? else {
            return Ok(None);
        };
        Ok(Some(match opened {
            Ok((body, _)) => file::replay(batch, body, &mut self.table)?,
            Err(why) => Err(why.into()),
        }))
    }
}
