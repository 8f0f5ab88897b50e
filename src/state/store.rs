//! A [`StateTable`] with its files: a log of changes, and now and then a snapshot.
//!
//! `<N>.change` is what batch N did to the table; `<N>.snapshot` is the whole table after batch N.
//! The table after any batch is the newest snapshot up to it and the changes that follow. The two
//! newest snapshots stay, with all changes after the older one: a snapshot that turns out to be
//! damaged can be made again, and every recent batch can be gone back to.

mod recovery;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};

use super::bucket::Merge;
use super::file::{self, Everything, Kind, Step};
use super::memory::Memory;
use super::multimap::RowId;
use super::own::own;
use super::shape::StateShape;
use super::snapshot::Writing;
use super::table::{Put, StateTable};
use crate::batch::BatchId;
use crate::durable::Disk;
use crate::error::{Error, Result};
use crate::time::Stopwatch;

/// A snapshot is written once to read the state back would take more than twice as much as it would
/// with a new one, in rows: those of the newest snapshot and of the changes since against those that are
/// there. So a state that only grows is never written twice, one whose rows are replaced writes a row
/// into snapshots about as often as into changes, and one that is let go writes a small one. Fewer
/// rows than this in the changes are not worth it.
const SNAPSHOT_ROWS: u64 = if cfg!(test) { 4 * CHANGE_ROWS } else { 64 * CHANGE_ROWS };

/// As how many rows a change counts at least: to open a small file costs about as much as to put so many.
/// Without it a large state with tiny changes would be read back from 100,000 files.
const CHANGE_ROWS: u64 = 256;

/// Fewer rows than this are written side by side with others.
const SMALL: usize = if cfg!(test) { 4 } else { 4 * 1024 };

/// A snapshot of at most so many bytes, before they are compressed, is written at once: a batch waits for
/// it some ten milliseconds.
const WRITTEN_AT_ONCE: u64 = if cfg!(test) { 1024 * 1024 } else { 8 * 1024 * 1024 };

/// So many old files are removed a batch, at most. More than one is made a batch only now and then,
/// so the old ones never pile up, and no batch waits for a thousand removals.
const REMOVALS: usize = 4;

/// What [`StateStore::seal`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Bytes in the new files.
    pub bytes: u64,
}

/// A [`StateTable`] and its folder, `checkpoints/<query>/state/<operator>/`.
///
/// Between two [`StateStore::seal`]s the table is ahead of its files. When a batch fails, drop the
/// store and open it again.
pub struct StateStore {
    folder: PathBuf,
    disk: Disk,
    memory: Memory,
    table: StateTable,
    version: Option<BatchId>,
    /// What this batch has done so far.
    steps: Vec<Step>,
    /// The bytes of these steps, if they are made already.
    encoded: Option<Vec<u8>>,
    /// The files from which this version can be had.
    changes: BTreeSet<BatchId>,
    snapshots: BTreeSet<BatchId>,
    /// Files of batches after the version, which a crash has left.
    left_over: Vec<PathBuf>,
    removals: VecDeque<PathBuf>,
    /// The rows of the newest snapshot, and those of the changes since.
    snapshot_rows: u64,
    rows_since: u64,
    /// A snapshot that is not there yet.
    writing: Option<Writing>,
    /// Milliseconds of this batch in [`StateStore::expire`].
    removals_ms: f64,
}

impl StateStore {
    /// The state as it was after batch `version`; `None`: empty.
    ///
    /// Files of later batches, which a crash has left, are ignored; the next [`StateStore::seal`]
    /// removes them. Nothing is written or removed by opening.
    ///
    /// # Errors
    ///
    /// `STATE_FILE_MISSING` and `STATE_FILE_CORRUPT` name the file and what to do;
    /// `STATE_SCHEMA_CHANGED`: the rows have other columns.
    pub fn open(
        folder: PathBuf,
        disk: Disk,
        shape: StateShape,
        version: Option<BatchId>,
        memory: &Memory,
    ) -> Result<Self> {
        disk.create_folder(&folder)?;
        let mut store = Self::empty(folder, disk, shape, version, memory)?;
        store.list()?;
        store.let_go();
        store.fill()?;
        Ok(store)
    }

    /// The table as it was after batch `version`, for one who only looks, also while the query runs in
    /// another process: nothing is made, written or removed. See [`StateStore::readable`].
    ///
    /// # Errors
    ///
    /// Those of [`StateStore::open`]; `STATE_FILE_MISSING` also where a file was removed meanwhile.
    pub fn look(folder: PathBuf, shape: StateShape, version: BatchId) -> Result<StateTable> {
        let mut store =
            Self::empty(folder, Disk::default(), shape, Some(version), &Memory::default())?;
        store.list()?;
        store.fill()?;
        Ok(store.table)
    }

    fn empty(
        folder: PathBuf,
        disk: Disk,
        shape: StateShape,
        version: Option<BatchId>,
        memory: &Memory,
    ) -> Result<Self> {
        Ok(StateStore {
            table: StateTable::within(shape, memory, &folder)?,
            memory: memory.clone(),
            folder,
            disk,
            version,
            steps: Vec::new(),
            encoded: None,
            changes: BTreeSet::new(),
            snapshots: BTreeSet::new(),
            left_over: Vec::new(),
            removals: VecDeque::new(),
            snapshot_rows: 0,
            rows_since: 0,
            writing: None,
            removals_ms: 0.0,
        })
    }

    /// The rows.
    pub fn table(&self) -> &StateTable {
        &self.table
    }

    /// The batch whose change is being made.
    pub fn batch(&self) -> BatchId {
        self.version.map_or(0, |version| version + 1)
    }

    /// [`StateTable::put`], as a part of this batch's change.
    pub fn put(&mut self, rows: &RecordBatch) -> Result<Put> {
        if self.table.multimap().is_some() {
            let inserted = self.add(rows)?.len();
            return Ok(Put { inserted, replaced: 0 });
        }
        let put = self.table.put(rows)?;
        if rows.num_rows() > 0 {
            self.did(Step::Put(own(rows.clone())?));
        }
        self.check_memory()?;
        Ok(put)
    }

    /// Puts rows where there is one a key, which `merge` makes of the row that is kept and its new one. Gives
    /// the rows as they are kept now, in any order. A part of this batch's change.
    pub fn merge(&mut self, rows: &RecordBatch, merge: &Merge<'_>) -> Result<Vec<RecordBatch>> {
        let kept = in_larger(self.table.merge(rows, merge)?)?;
        kept.iter().for_each(|rows| self.did(Step::Put(rows.clone())));
        self.check_memory()?;
        Ok(kept)
    }

    /// Puts those rows whose key is not there, of several with one key the first; gives their
    /// numbers. A part of this batch's change.
    pub fn put_new(&mut self, rows: &RecordBatch) -> Result<UInt32Array> {
        let is_unique = self.table.multimap().is_none();
        let new = match is_unique {
            true => self.table.put_new(rows)?,
            false => self.table.absent(rows)?,
        };
        if new.is_empty() {
            return Ok(new);
        }
        let put = take_record_batch(rows, &new)?;
        match is_unique {
            true => self.did(Step::Put(own(put)?)),
            false => drop(self.add(&put)?),
        }
        self.check_memory()?;
        Ok(new)
    }

    /// [`StateStore::put`] where there may be several rows a key; says which rows they are now, in
    /// the order of `rows`.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<Vec<RowId>> {
        let (added, numbers) = self.table.add(rows)?;
        if !added.is_empty() {
            self.did(Step::Add(own(rows.clone())?, numbers));
        }
        self.check_memory()?;
        Ok(added)
    }

    fn did(&mut self, step: Step) {
        self.encoded = None;
        self.steps.push(step);
    }

    /// How many rows this batch has changed so far.
    pub fn changed_rows(&self) -> u64 {
        self.steps.iter().map(Step::rows).sum()
    }

    /// Makes the bytes of this batch's change, for [`StateStore::seal`], which otherwise does it itself.
    pub fn encode(&mut self) -> Result<()> {
        self.encoded = Some(self.change()?);
        Ok(())
    }

    fn change(&self) -> Result<Vec<u8>> {
        file::change(self.batch(), self.table.shape(), &self.steps)
    }

    /// Holds the state to the limit of its memory.
    fn check_memory(&mut self) -> Result<()> {
        let name = format!("state/{}", self.name());
        self.table.check_memory(&name)
    }

    /// The folder of the operator and that of the table: `0/groups`.
    fn name(&self) -> String {
        let names: Vec<_> = self.folder.iter().rev().take(2).map(|n| n.to_string_lossy()).collect();
        names.iter().rev().map(|name| name.as_ref()).collect::<Vec<_>>().join("/")
    }

    /// Marks rows that were found, for as long as they are there, as a part of this batch's change:
    /// see [`StateTable::is_marked`]. A row may be named more than once. Gives those that were not
    /// marked before.
    pub fn mark(&mut self, rows: &[RowId]) -> Result<Vec<RowId>> {
        let (fresh, numbers) = self.table.several_mut()?.mark(rows)?;
        if !numbers.is_empty() {
            self.did(Step::Mark(numbers));
        }
        Ok(fresh)
    }

    /// Removes rows that were found, as a part of this batch's change; gives how many went. A row
    /// may be named more than once.
    pub fn remove(&mut self, rows: &[RowId]) -> Result<usize> {
        let numbers = self.table.several_mut()?.remove(rows)?;
        let removed = numbers.len();
        if removed > 0 {
            self.did(Step::Remove(numbers));
        }
        Ok(removed)
    }

    /// [`StateTable::expire`], as a part of this batch's change.
    pub fn expire(&mut self, watermark_us: i64) -> Result<usize> {
        let watch = Stopwatch::start();
        let removed = self.table.expire(watermark_us)?;
        if removed > 0 {
            self.did(Step::Expire(watermark_us));
        }
        self.removals_ms += watch.millis();
        Ok(removed)
    }

    /// Milliseconds, with their fraction, in which this batch has removed what the watermark passed.
    pub fn removals_ms(&self) -> f64 {
        self.removals_ms
    }

    /// The batch after which the newest snapshot was written; `None`: there is no snapshot.
    pub fn newest_snapshot(&self) -> Option<BatchId> {
        self.snapshots.last().copied()
    }

    /// Makes the change of this batch permanent, and every now and then a snapshot. Batches are
    /// sealed one after the other from 0 on, those that changed nothing too: a missing file is
    /// then always a loss.
    pub fn seal(&mut self, batch: BatchId) -> Result<Sealed> {
        let expected = self.batch();
        if batch != expected {
            return Err(Error::internal(format!(
                "state of batch {batch} was to be sealed, the next one is {expected}"
            )));
        }
        // A snapshot of a batch that never was must not be found by a later start.
        for path in self.left_over.drain(..) {
            self.disk.remove(&path)?;
        }
        let mut written = self.end_snapshot()?;
        let change = match self.encoded.take() {
            Some(change) => change,
            None => self.change()?,
        };
        self.disk.replace(&self.path(Kind::Change, batch), &change)?;
        let bytes = change.len() as u64;
        written += bytes;
        self.rows_since += self.changed_rows().max(CHANGE_ROWS);
        self.steps.clear();
        self.removals_ms = 0.0;
        self.changes.insert(batch);
        self.version = Some(batch);
        if self.snapshot_is_due() && self.writing.is_none() {
            written += self.begin_snapshot(batch)?;
        }
        for _ in 0..REMOVALS {
            let Some(path) = self.removals.pop_front() else { break };
            self.disk.remove(&path)?;
        }
        Ok(Sealed { bytes: written })
    }

    fn snapshot_is_due(&self) -> bool {
        let rows = self.table.len() as u64;
        self.rows_since > SNAPSHOT_ROWS && self.snapshot_rows + self.rows_since > 2 * rows
    }

    /// Writes the whole table: at once where that is quick, else while batches go on.
    fn begin_snapshot(&mut self, batch: BatchId) -> Result<u64> {
        let (everything, shape) = (Everything::of(&self.table)?, self.table.shape().clone());
        let path = self.path(Kind::Snapshot, batch);
        (self.snapshot_rows, self.rows_since) = (self.table.len() as u64, 0);
        let bytes = self.table.memory_bytes() as u64 + self.table.spilled_bytes();
        if bytes > WRITTEN_AT_ONCE {
            self.writing = Some(Writing::begin(everything, self.disk, path, batch, shape)?);
            return Ok(0);
        }
        let never = AtomicBool::new(false);
        let bytes = everything.write(self.disk, &path, batch, &shape, &never)?;
        self.is_written(batch);
        Ok(bytes.unwrap_or(0))
    }

    /// Takes note of the snapshot that was being written, if it is there; gives its bytes.
    fn end_snapshot(&mut self) -> Result<u64> {
        let Some(writing) = self.writing.take_if(|writing| writing.is_done()) else { return Ok(0) };
        let batch = writing.batch;
        let bytes = writing.finish()?;
        self.is_written(batch);
        Ok(bytes)
    }

    fn is_written(&mut self, batch: BatchId) {
        self.snapshots.insert(batch);
        self.let_go();
    }

    fn path(&self, kind: Kind, batch: BatchId) -> PathBuf {
        self.folder.join(format!("{batch}.{}", kind.extension()))
    }

    /// Puts what the two newest snapshots make superfluous on the list of removals.
    fn let_go(&mut self) {
        while self.snapshots.len() > 2
            && let Some(old) = self.snapshots.pop_first()
        {
            self.removals.push_back(self.path(Kind::Snapshot, old));
        }
        let Some(&older) = self.snapshots.first().filter(|_| self.snapshots.len() == 2) else {
            return;
        };
        let kept = self.changes.split_off(&(older + 1));
        for old in std::mem::replace(&mut self.changes, kept) {
            self.removals.push_back(self.path(Kind::Change, old));
        }
    }
}

/// The same rows in batches that are not small, but for the last one: each costs its own bytes in a change.
fn in_larger(rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let (mut larger, mut open, mut sum) = (Vec::new(), Vec::new(), 0);
    let mut left = rows.len();
    for batch in rows {
        left -= 1;
        sum += batch.num_rows();
        open.push(batch);
        if sum >= SMALL || left == 0 {
            larger.push(match <[RecordBatch; 1]>::try_from(std::mem::take(&mut open)) {
                Ok([one]) => one,
                Err(several) => concat_batches(&several[0].schema(), &several)?,
            });
            sum = 0;
        }
    }
    Ok(larger)
}
