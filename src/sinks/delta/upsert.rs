//! Update mode: a row replaces the row with its key, and a batch costs what it touches.
//!
//! Delta files never change, so replacing a row means writing its file anew. An index in memory
//! says which file holds which key; the files that hold a key of the batch are read, and new files
//! take their place in the same commit. Three rules keep both the work of a batch and the number
//! of files small, however long the query runs:
//!
//! - **A file has at most [`CHUNK`] rows.** A touched key costs one file at most. The rows of the
//!   batch go into files of their own, since what changed now tends to change again soon; the
//!   other rows of the replaced files are sorted by key, so that neighbours stay together. If all
//!   of them fit into one file, they are one file.
//! - **A small file (under half a chunk) goes into the next batch's files.** A batch leaves at most
//!   one small file behind, so there is never a heap of them: rows divided by half a chunk is the
//!   most files there can be, plus one.
//! - **What the watermark has sealed is forgotten.** A sealed row can never be touched again, so it
//!   needs no place in the index. Sealed rows travel with the others until there is half a chunk of
//!   them; then they get files of their own, which are never looked at again.
//!
//! Takes rows and the watermark; gives the files to write and those to remove. It reads data files
//! but writes none, and learns from [`Upsert::apply`] what was committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake::kernel::Add;

use super::keys::{Key, KeyColumns, KeyedRows};
use super::layout::{Layout, NewFile, Pick};
use super::log::LiveFile;
use super::{parquet, stats};
use crate::error::{Error, Result};
use crate::time::{EventTimeMicros, Millis};

/// Rows of a full file: large enough that tables of millions of rows have few files, small enough
/// that reading one and writing it anew is a matter of milliseconds.
const CHUNK: usize = 4096;

/// The contents of the newest files stay in memory, up to so many chunks of rows: they are what
/// the next batch most likely replaces.
const CACHED_CHUNKS: usize = 8;

/// A file's number in the index; rises with its age.
type FileId = u32;

/// A data file whose rows may still change, or that is too small to be left alone.
struct OpenFile {
    file: LiveFile,
    /// How many rows it holds.
    rows: usize,
    /// No row's event time lies behind it. `None`: some row has none, or nobody knows.
    latest: Option<EventTimeMicros>,
}

/// The index of a table in update mode.
pub(super) struct Upsert {
    table: PathBuf,
    schema: SchemaRef,
    columns: KeyColumns,
    chunk: usize,
    /// Files of the table that the index has not seen: all of them at start, later those that
    /// somebody else wrote.
    unread: Vec<LiveFile>,
    open: BTreeMap<FileId, OpenFile>,
    /// Which open file holds a key. Entries of files that are open no more are stale, and removed
    /// now and then.
    index: HashMap<Key, FileId>,
    cache: BTreeMap<FileId, RecordBatch>,
    next_id: FileId,
}

/// What a batch does to the files.
pub(super) struct Rewrite {
    /// The files to write.
    pub files: Vec<NewFile>,
    replaced: Vec<(FileId, LiveFile)>,
    /// Event times up to here are sealed once the batch is committed.
    sealed_to: Option<EventTimeMicros>,
}

impl Rewrite {
    /// The files that the new ones replace.
    pub fn removed(&self) -> Vec<LiveFile> {
        self.replaced.iter().map(|(_, file)| file.clone()).collect()
    }
}

impl Upsert {
    /// An index of a table's files, filled when the first batch comes.
    pub fn new(
        table: &Path,
        schema: &SchemaRef,
        columns: KeyColumns,
        files: Vec<LiveFile>,
    ) -> Self {
        Self {
            table: table.to_path_buf(),
            schema: schema.clone(),
            columns,
            chunk: CHUNK,
            unread: files,
            open: BTreeMap::new(),
            index: HashMap::new(),
            cache: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// Works out which files a batch replaces, and what the new ones hold. Nothing is remembered
    /// of it: a batch whose commit fails can be prepared again.
    pub fn prepare(&mut self, batch: &[RecordBatch], watermark: Option<Millis>) -> Result<Rewrite> {
        let sealed_to = watermark
            .filter(|_| self.columns.have_time())
            .map(|millis| millis.saturating_mul(1000));
        let mut origins = Vec::new();
        for rows in batch {
            origins.push(self.columns.of(rows.clone())?);
        }
        // The last row of a key wins.
        let mut touched: HashMap<Key, Pick> = HashMap::new();
        for (at, origin) in origins.iter().enumerate() {
            touched.extend((0..).zip(&origin.keys).map(|(row, &k)| (k, Pick { origin: at, row })));
        }
        if touched.is_empty() {
            return Ok(Rewrite { files: vec![], replaced: vec![], sealed_to });
        }
        self.fill_index(&origins, sealed_to)?;

        let mut young: Vec<Pick> = touched.values().copied().collect();
        let (mut old, mut replaced) = (Vec::new(), Vec::new());
        for id in self.files_to_replace(&touched) {
            let rows = self.rows_of(id)?;
            let Some(open) = self.open.get(&id) else { continue };
            let at = origins.len();
            let origin = self.columns.of(rows)?;
            let kept = (0..origin.keys.len())
                .filter(|&row| !touched.contains_key(&origin.keys[row]))
                .map(|row| Pick { origin: at, row });
            if self.is_small(open) {
                young.extend(kept)
            } else {
                old.extend(kept)
            }
            replaced.push((id, open.file.clone()));
            origins.push(origin);
        }
        let files = Layout { chunk: self.chunk, origins: &origins, sealed_to }.files(young, old)?;
        Ok(Rewrite { files, replaced, sealed_to })
    }

    /// Remembers a rewrite that was committed; `added` are its files, in their order.
    pub fn apply(&mut self, rewrite: Rewrite, added: &[Add]) {
        for (id, _) in &rewrite.replaced {
            self.close(*id);
        }
        for (file, add) in rewrite.files.into_iter().zip(added) {
            if file.closed {
                continue;
            }
            let live = LiveFile { path: add.path.clone(), size: add.size, stats: None };
            let id = self.track(live, file.rows.num_rows(), file.latest);
            self.index.extend(file.keys.into_iter().map(|key| (key, id)));
            self.cache.insert(id, file.rows);
        }
        if let Some(sealed_to) = rewrite.sealed_to {
            let sealed: Vec<FileId> = self
                .open
                .iter()
                .filter(|(_, f)| !self.is_small(f) && f.latest.is_some_and(|t| t <= sealed_to))
                .map(|(&id, _)| id)
                .collect();
            sealed.into_iter().for_each(|id| self.close(id));
        }
        self.forget();
    }

    /// Takes in what others did to the table.
    pub fn adopt(&mut self, removed: &[String], added: Vec<LiveFile>) {
        self.unread.retain(|file| !removed.contains(&file.path));
        let gone: Vec<FileId> = self
            .open
            .iter()
            .filter(|(_, open)| removed.contains(&open.file.path))
            .map(|(&id, _)| id)
            .collect();
        gone.into_iter().for_each(|id| self.close(id));
        self.unread.extend(added);
    }

    /// Brings files that were not looked at yet into the index.
    ///
    /// A file whose rows all lie behind the watermark is left alone, by its statistics. A batch may
    /// still touch a row that its own watermark seals (the watermark before let it in), so the
    /// earliest time in the batch counts too.
    fn fill_index(
        &mut self,
        batch: &[KeyedRows],
        sealed_to: Option<EventTimeMicros>,
    ) -> Result<()> {
        if self.unread.is_empty() {
            return Ok(());
        }
        let earliest = batch.iter().filter_map(KeyedRows::earliest).min();
        let done_to = match (sealed_to, earliest) {
            (Some(sealed), Some(time)) => Some(sealed.min(time.saturating_sub(1))),
            (sealed, None) => sealed,
            (None, _) => None,
        };
        let time_path = self.columns.time_path(&self.schema);
        // A file leaves the list when it is in the index, not before: a read may fail.
        while let Some(file) = self.unread.last().cloned() {
            let known = stats::known(file.stats.as_deref(), &time_path);
            let is_done = known.latest.zip(done_to).is_some_and(|(latest, to)| latest <= to);
            if let (Some(rows), true) = (known.rows, is_done) {
                if rows < self.chunk / 2 {
                    self.track(file, rows, known.latest);
                }
                self.unread.pop();
                continue;
            }
            let rows = parquet::read(&self.table.join(&file.path), &self.schema)?;
            let origin = self.columns.of(rows)?;
            let id = self.track(file, origin.rows.num_rows(), origin.latest());
            self.index.extend(origin.keys.into_iter().map(|key| (key, id)));
            self.unread.pop();
        }
        Ok(())
    }

    /// The files that hold a key of the batch, and the small ones, up to a chunk of rows in all.
    fn files_to_replace(&self, touched: &HashMap<Key, Pick>) -> BTreeSet<FileId> {
        let mut ids: BTreeSet<FileId> =
            touched.keys().filter_map(|key| self.index.get(key)).copied().collect();
        ids.retain(|id| self.open.contains_key(id));
        let mut room = self.chunk;
        for (&id, file) in self.open.iter().filter(|(_, file)| self.is_small(file)) {
            if file.rows <= room && ids.insert(id) {
                room -= file.rows;
            }
        }
        ids
    }

    fn is_small(&self, file: &OpenFile) -> bool {
        file.rows < self.chunk / 2
    }

    fn track(&mut self, file: LiveFile, rows: usize, latest: Option<EventTimeMicros>) -> FileId {
        let id = self.next_id;
        self.next_id += 1;
        self.open.insert(id, OpenFile { file, rows, latest });
        id
    }

    fn close(&mut self, id: FileId) {
        self.open.remove(&id);
        self.cache.remove(&id);
    }

    /// Keeps index and cache within what is open: half of the index may be stale, so that cleaning
    /// it costs each entry once.
    fn forget(&mut self) {
        let rows: usize = self.open.values().map(|file| file.rows).sum();
        if self.index.len() > 2 * rows + self.chunk {
            self.index.retain(|_, id| self.open.contains_key(id));
        }
        let mut cached: usize = self.cache.values().map(RecordBatch::num_rows).sum();
        while cached > CACHED_CHUNKS * self.chunk {
            let Some((_, oldest)) = self.cache.pop_first() else { break };
            cached -= oldest.num_rows();
        }
    }

    fn rows_of(&self, id: FileId) -> Result<RecordBatch> {
        if let Some(rows) = self.cache.get(&id) {
            return Ok(rows.clone());
        }
        let open = self.open.get(&id).ok_or_else(|| Error::internal("a file that is not open"))?;
        parquet::read(&self.table.join(&open.file.path), &self.schema)
    }
}

#[cfg(test)]
impl Upsert {
    /// Small files, so that a test of a few rows sees what a table of millions does.
    pub fn set_chunk(&mut self, rows: usize) {
        self.chunk = rows;
    }

    /// How many keys are held in memory.
    pub fn index_size(&self) -> usize {
        self.index.len()
    }
}
