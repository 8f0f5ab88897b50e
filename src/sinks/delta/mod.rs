//! The Delta sink: one batch, one commit.
//!
//! Takes the rows of a batch; gives a version of the table that holds them, once; never decides
//! what a batch holds, and never asks the table what the writer knows already.
//!
//! The life of a commit:
//!
//! 1. a batch that the table holds (by the transaction of this query) is left alone;
//! 2. the rows become Parquet files, each whole under its final name, which nobody reads yet;
//! 3. one log entry names the transaction (query, batch), the files that are new and those that
//!    they replace; it is put at the next version, if nobody has that version;
//! 4. if somebody has, their commits are read. Ours may be among them, where an earlier try died
//!    between the commit and its report: then all is done. Else step 3 (in update mode 2) again.
//!
//! A crash before 3 leaves files that no version names; a crash after it is seen in 1. What is
//! replaced depends on the mode: nothing (append), all (complete), or the files that hold a key of
//! the batch (update: see `upsert`).

mod checkpoint;
mod encode;
mod entry;
mod keys;
mod layout;
mod log;
mod open;
mod parquet;
mod schema;
mod stats;
mod upsert;
pub mod written;

use std::future::Future;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake::kernel::Add;

use self::checkpoint::Checkpoints;
use self::entry::Change;
use self::keys::KeyColumns;
use self::log::{LiveFile, Log};
use self::open::Found;
use self::upsert::{Rewrite, Upsert};
use super::{OutputBatch, OutputMode, Sink};
use crate::batch::BatchId;
use crate::durable::Disk;
use crate::error::{Error, Result};

/// So many rows go into one file; a larger batch becomes several, so that no file has to be held
/// in memory beyond that.
const ROWS_PER_FILE: usize = 1 << 20;

/// Which table, whose rows, and what happens to the rows that are there.
pub struct DeltaSinkOptions {
    /// The table's folder. It is made where there is none.
    pub path: PathBuf,
    /// The query's identity: the table remembers under it which batches it holds.
    pub app_id: String,
    /// The schema of the rows.
    pub schema: SchemaRef,
    /// What a batch does to the rows of the batches before it. A query without aggregation has no
    /// row to update: its update mode is append.
    pub mode: OutputMode,
    /// In update mode, the columns that say which row a row replaces: the grouping columns. None
    /// means that the result is one row (an aggregation of everything).
    pub keys: Vec<usize>,
    /// In update mode, a column of `keys` with a time (a timestamp, or a struct whose `end` is one):
    /// once the watermark has reached it, the row will not come again.
    pub event_time: Option<usize>,
    /// The way to the disk.
    pub disk: Disk,
}

/// Writes the batches of one query into one Delta table.
pub struct DeltaSink {
    options: DeltaSinkOptions,
    /// The schema of the table's files.
    schema: SchemaRef,
    log: Log,
    newest: Option<BatchId>,
    /// How many data files the newest version holds.
    active: usize,
    content: Content,
    checkpoints: Checkpoints,
}

/// What the writer knows of the table's data files: as much as its mode needs.
enum Content {
    Append,
    Complete(Vec<LiveFile>),
    Update(Box<Upsert>),
}

/// What a batch is about to do.
struct Plan {
    added: Vec<Add>,
    removed: Vec<LiveFile>,
    rewrite: Option<Rewrite>,
}

impl DeltaSink {
    /// Opens the table, or creates it in a commit of its own.
    ///
    /// # Errors
    /// Where the query's schema has no form in Delta; where the table that is there has another
    /// schema, or rules that this writer does not keep; where its log is damaged.
    pub fn open(options: DeltaSinkOptions) -> Result<Self> {
        let wanted = schema::table_schema(&options.schema)?;
        let DeltaSinkOptions { path, app_id, mode, disk, .. } = &options;
        open::check_path(path)?;
        let created = match open::is_table(path) {
            true => None,
            false => open::create(*disk, path, &wanted, *mode)?,
        };
        let found = match created {
            Some(found) => found,
            None => open::load(*disk, path, app_id, *mode)?,
        };
        schema::check_agreement(&found.schema, &wanted, &path.display().to_string())?;
        let Found { log, schema, newest_batch, active, files } = found;
        let content = match mode {
            OutputMode::Append => Content::Append,
            OutputMode::Complete => Content::Complete(files),
            OutputMode::Update => {
                let columns = KeyColumns::new(&schema, options.keys.clone(), options.event_time)?;
                Content::Update(Box::new(Upsert::new(path, &schema, columns, files)))
            }
        };
        let checkpoints = Checkpoints::of(*disk, path);
        let newest = newest_batch.and_then(|batch| BatchId::try_from(batch).ok());
        Ok(Self { options, schema, log, newest, active, content, checkpoints })
    }

    /// The table's identity, made when it was created: another one means another table.
    pub fn table_id(&self) -> &str {
        self.log.table_id()
    }

    /// The newest version of the table that this writer knows.
    pub fn version(&self) -> u64 {
        self.log.version()
    }

    /// Waits for a Delta checkpoint that is being written; gives the error of the last one that
    /// could not be. The table is whole without it: readers only start slower.
    pub fn finish_checkpoint(&mut self) -> Option<Error> {
        self.checkpoints.finish()
    }

    fn holds(&self, batch: BatchId) -> bool {
        self.newest.is_some_and(|newest| newest >= batch)
    }

    /// Writes rows into files of the table that no version names yet.
    fn write_files(&self, batch: BatchId, rows: &[RecordBatch]) -> Result<Vec<Add>> {
        let options = &self.options;
        in_files(rows, ROWS_PER_FILE)
            .iter()
            .map(|part| parquet::write(options.disk, &options.path, batch, &self.schema, part))
            .collect()
    }

    /// What the batch does to the table as it is known now.
    fn plan(&mut self, batch: &OutputBatch, rows: &[RecordBatch]) -> Result<Plan> {
        match &mut self.content {
            Content::Append | Content::Complete(_) => Ok(Plan {
                added: self.write_files(batch.id, rows)?,
                removed: vec![],
                rewrite: None,
            }),
            Content::Update(upsert) => {
                let rewrite = upsert.prepare(rows, batch.watermark)?;
                let removed = rewrite.removed();
                let added = rewrite
                    .files
                    .iter()
                    .map(|file| {
                        let rows = std::slice::from_ref(&file.rows);
                        let DeltaSinkOptions { disk, path, .. } = &self.options;
                        parquet::write(*disk, path, batch.id, &self.schema, rows)
                    })
                    .collect::<Result<Vec<Add>>>()?;
                Ok(Plan { added, removed, rewrite: Some(rewrite) })
            }
        }
    }

    /// Remembers what a commit of ours did.
    fn settle(&mut self, batch: BatchId, plan: Plan) {
        self.newest = Some(batch);
        self.active = (self.active + plan.added.len()).saturating_sub(plan.removed.len());
        match &mut self.content {
            Content::Append => {}
            Content::Complete(files) => {
                *files = plan.added.into_iter().map(LiveFile::from).collect();
            }
            Content::Update(upsert) => {
                if let Some(rewrite) = plan.rewrite {
                    upsert.apply(rewrite, &plan.added);
                }
            }
        }
        self.checkpoints.after_commit(self.log.version(), self.active);
    }

    /// Takes in the commits of others, and those of ours whose end was not seen.
    fn catch_up(&mut self) -> Result<()> {
        for commit in self.log.catch_up()? {
            for transaction in &commit.transactions {
                if transaction.app_id == self.options.app_id {
                    self.newest = self.newest.max(BatchId::try_from(transaction.version).ok());
                }
            }
            self.active = (self.active + commit.added.len()).saturating_sub(commit.removed.len());
            match &mut self.content {
                Content::Append => {}
                Content::Complete(files) => {
                    files.retain(|file| !commit.removed.contains(&file.path));
                    files.extend(commit.added);
                }
                Content::Update(upsert) => upsert.adopt(&commit.removed, commit.added),
            }
        }
        Ok(())
    }
}

impl Sink for DeltaSink {
    fn description(&self) -> String {
        format!("DeltaSink[{}]", self.options.path.display())
    }

    fn newest_batch(&mut self) -> Result<Option<BatchId>> {
        Ok(self.newest)
    }

    fn write(&mut self, batch: &OutputBatch) -> Result<()> {
        if self.holds(batch.id) {
            return Ok(());
        }
        let rows = batch
            .rows
            .iter()
            .filter(|part| part.num_rows() > 0)
            .map(|part| schema::conform(part, &self.schema))
            .collect::<Result<Vec<_>>>()?;
        let mut plan = self.plan(batch, &rows)?;
        loop {
            if let Content::Complete(files) = &self.content {
                plan.removed = files.clone();
            }
            let change = Change {
                query: &self.options.app_id,
                mode: self.options.mode,
                batch: batch.id,
                added: &plan.added,
                removed: &plan.removed,
            };
            if self.log.put(&change.entry()?)? {
                self.settle(batch.id, plan);
                return Ok(());
            }
            self.catch_up()?;
            if self.holds(batch.id) {
                return Ok(());
            }
            if plan.rewrite.is_some() {
                plan = self.plan(batch, &rows)?;
            }
        }
    }
}

/// Rows cut into parts of at most `most` rows, which become one file each.
fn in_files(rows: &[RecordBatch], most: usize) -> Vec<Vec<RecordBatch>> {
    let mut files: Vec<Vec<RecordBatch>> = Vec::new();
    let mut room = 0;
    for batch in rows {
        let mut at = 0;
        while at < batch.num_rows() {
            if room == 0 {
                files.push(Vec::new());
                room = most;
            }
            let take = room.min(batch.num_rows() - at);
            if let Some(file) = files.last_mut() {
                file.push(batch.slice(at, take));
            }
            at += take;
            room -= take;
        }
    }
    files
}

/// Runs a piece of deltalake's async code to its end.
///
/// On a thread and a runtime of its own, because the caller may itself stand inside a runtime,
/// where nothing may block. Never on the path of a commit. Several workers, because deltalake's
/// engine makes a thread for each call where there is only one.
fn wait_for<T: Send>(work: impl Future<Output = T> + Send) -> Result<T> {
    let failed = || Error::internal("a thread for Delta's log ended in a panic");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .map_err(|e| Error::internal(format!("no async runtime could be made: {e}")))?;
            Ok(runtime.block_on(work))
        });
        thread.join().map_err(|_| failed())?
    })
}

#[cfg(test)]
mod tests;
