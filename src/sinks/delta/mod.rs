//! The Delta sink: one batch, one commit.
//!
//! Takes the rows of a batch; gives a version of the table that holds them, once; never decides
//! what a batch holds, and never asks the table what the writer knows already.
//!
//! The life of a commit:
//!
//! 1. a batch that the table holds (by the transaction of this query) is left alone; its rows must be
//!    those that it has given before (`digest`);
//! 2. the rows become Parquet files, each whole under its final name, which nobody reads yet;
//! 3. the files are looked at once more: somebody may have cleaned the folder (`VACUUM`);
//! 4. one log entry names the transaction (query, batch), the files that are new and those that
//!    they replace; it is put at the next version, if nobody has that version;
//! 5. if somebody has, their commits are read, and step 4 (in update mode 2) is done again. Where one
//!    of them is of this very query, another process runs it, and this one stops.
//!
//! A crash before 4 leaves files that no version names, which the next process removes (`leftovers`);
//! a crash after it is seen in 1. What is replaced depends on the mode: nothing (append), all
//! (complete), or the files that hold a key of the batch (update: see `upsert`).

mod checkpoint;
mod digest;
mod encode;
mod entry;
mod heal;
pub mod inspect;
mod keys;
mod layout;
mod leftovers;
mod log;
mod open;
mod parquet;
mod probe;
mod schema;
mod stats;
mod tail;
mod upsert;
pub mod written;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake::kernel::{Add, Transaction};

use self::checkpoint::Checkpoints;
use self::digest::Columns;
use self::entry::Change;
use self::keys::KeyColumns;
use self::log::{LiveFile, Log};
use self::open::Found;
use self::tail::{LogFiles, Ours};
use self::upsert::{Rewrite, Upsert};
use super::{Expected, OutputBatch, OutputMode, Parts, Sink};
use crate::batch::{BatchId, in_parts};
use crate::durable::Disk;
use crate::error::{Error, Result};
use crate::share::share;

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
    /// What the query's checkpoint remembers of the table.
    pub expected: Expected,
    /// Whether the same input gives the same rows: a batch that is run again is held to that.
    pub is_repeatable: bool,
    /// The way to the disk.
    pub disk: Disk,
}

/// So often a commit is tried while others commit too, or remove its files.
const TRIES: usize = 50;

/// Writes the batches of one query into one Delta table.
pub struct DeltaSink {
    options: DeltaSinkOptions,
    /// The schema of the table's files.
    schema: SchemaRef,
    log: Log,
    /// Stands for the query in the names of its files.
    tag: String,
    newest: Option<BatchId>,
    /// What the commit of the newest batch said when the table was opened.
    newest_commit: Option<Ours>,
    /// Whether what dead tries have left is removed.
    is_tidy: bool,
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

/// A batch that is to be committed.
struct New {
    batch: BatchId,
    rows: usize,
    digest: Option<String>,
}

impl DeltaSink {
    /// Opens the table, or creates it in a commit of its own.
    ///
    /// # Errors
    /// Where the query's schema has no form in Delta; where the table that is there has another
    /// schema, or rules that this writer does not keep; where its log is damaged; where it is not the
    /// table that is expected, or was taken back to an older version.
    pub fn open(options: DeltaSinkOptions) -> Result<Self> {
        let wanted = schema::table_schema(&options.schema)?;
        let DeltaSinkOptions { path, app_id, mode, disk, expected, .. } = &options;
        open::check_path(path)?;
        let created = match LogFiles::list(path)?.is_table() {
            true => None,
            false => {
                open::check_missing(path, expected)?;
                open::create(*disk, path, &wanted, *mode)?
            }
        };
        let found = match created {
            Some(found) => found,
            None => {
                let found = open::load(*disk, path, app_id, *mode)?;
                open::check_expected(path, &found, expected)?;
                found
            }
        };
        schema::check_agreement(&found.schema, &wanted, &path.display().to_string())?;
        probe::check_links(path)?;
        let tag = leftovers::tag(app_id);
        leftovers::remove_temporaries(*disk, path, &tag)?;
        let Found { log, schema, newest_batch, newest_commit, active, files, .. } = found;
        if newest_batch.is_none() {
            // Whoever made the table may have died before its place was permanent.
            disk.make_permanent(&path.join("_delta_log"))?;
            disk.make_permanent(path)?;
        }
        let content = match mode {
            OutputMode::Append => Content::Append,
            OutputMode::Complete => Content::Complete(files),
            OutputMode::Update => {
                let columns = KeyColumns::new(&schema, options.keys.clone(), options.event_time)?;
                Content::Update(Box::new(Upsert::new(path, &schema, columns, files)))
            }
        };
        let checkpoints = Checkpoints::of(*disk, path);
        let accepted = expected.accepted.as_ref().and_then(|accepted| accepted.batch);
        let newest = newest_batch.max(accepted);
        let newest_commit = newest_commit.filter(|ours| Some(ours.batch) > accepted);
        let is_tidy = false;
        Ok(Self {
            options,
            schema,
            log,
            tag,
            newest,
            newest_commit,
            is_tidy,
            active,
            content,
            checkpoints,
        })
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

    /// Writes rows into a file of the table that no version names yet.
    fn write_file(&self, batch: BatchId, rows: &[RecordBatch]) -> Result<Add> {
        let DeltaSinkOptions { disk, path, .. } = &self.options;
        parquet::write(*disk, path, &self.file_name(batch), &self.schema, rows)
    }

    fn file_name(&self, batch: BatchId) -> parquet::Name<'_> {
        parquet::Name { batch, tag: &self.tag }
    }

    /// What the batch does to the table as it is known now.
    fn plan(&mut self, batch: &OutputBatch, rows: &[RecordBatch]) -> Result<Plan> {
        let rewrite = match &mut self.content {
            Content::Append | Content::Complete(_) => {
                let files = in_parts(rows, ROWS_PER_FILE);
                let (disk, path) = (self.options.disk, &self.options.path);
                let (name, schema) = (self.file_name(batch.id), &self.schema);
                let write = |part: Vec<_>| parquet::write(disk, path, &name, schema, &part);
                let added = share(files, write).into_iter().collect::<Result<_>>()?;
                return Ok(Plan { added, removed: vec![], rewrite: None });
            }
            Content::Update(upsert) => upsert.prepare(rows, batch.watermark)?,
        };
        let parts = rewrite.files.iter().map(|file| std::slice::from_ref(&file.rows));
        let added = parts.map(|rows| self.write_file(batch.id, rows)).collect::<Result<_>>()?;
        Ok(Plan { added, removed: rewrite.removed(), rewrite: Some(rewrite) })
    }

    /// Whether every file that a plan adds is still there.
    fn is_there(&self, plan: &Plan) -> bool {
        plan.added.iter().all(|add| self.options.path.join(&add.path).exists())
    }

    /// Removes the files of a plan that is not carried out.
    fn drop_plan(&self, plan: &Plan) -> Result<()> {
        let DeltaSinkOptions { disk, path, .. } = &self.options;
        plan.added.iter().try_for_each(|add| disk.remove(&path.join(&add.path)))
    }

    /// A batch that the table holds already: it must be the same one, and it is made sure of, since
    /// who wrote it may have died before the disk had confirmed it.
    fn confirm(&self, batch: BatchId, digest: Option<&str>) -> Result<()> {
        let Some(held) = self.newest_commit.as_ref().filter(|held| held.batch == batch) else {
            return Ok(());
        };
        let DeltaSinkOptions { disk, path, .. } = &self.options;
        match (held.digest.as_deref(), digest) {
            (Some(was), Some(is)) if was != is => Err(batch_changed(path, held, was, is)),
            _ => disk.make_permanent(&log::commit_path(path, held.version)),
        }
    }

    /// Removes the data files of tries that died: after the first commit of this process. Before it
    /// nobody can be sure that no version names them: this may be a process that was paused, and its
    /// replacement may have written the batch meanwhile. After it, the batch is in the version that
    /// this process has put, and every other file of it or of a later batch is of no use.
    fn tidy_up(&mut self, batch: BatchId, added: &[Add]) {
        if std::mem::replace(&mut self.is_tidy, true) {
            return;
        }
        let DeltaSinkOptions { disk, path, .. } = &self.options;
        let is_ours = |file: &PathBuf| added.iter().any(|add| file.ends_with(&add.path));
        let removed = leftovers::data_files(path, &self.tag, batch).and_then(|files| {
            files.iter().filter(|file| !is_ours(file)).try_for_each(|file| disk.remove(file))
        });
        if let Err(error) = removed {
            tracing::warn!("{error}; what a dead process has left there only takes space");
        }
    }

    /// Remembers what a commit of ours did.
    fn settle(&mut self, batch: BatchId, plan: Plan) {
        self.newest = Some(batch);
        self.tidy_up(batch, &plan.added);
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

    /// Puts a plan into the log, at a version that nobody has. `again` makes a plan that fits what
    /// others have done meanwhile.
    fn commit(
        &mut self,
        new: &New,
        mut plan: Plan,
        again: &mut dyn FnMut(&mut Self) -> Result<Plan>,
    ) -> Result<()> {
        for _ in 0..TRIES {
            if let Content::Complete(files) = &self.content {
                plan.removed = files.clone();
            }
            let change = Change {
                query: &self.options.app_id,
                mode: self.options.mode,
                batch: new.batch,
                added: &plan.added,
                removed: &plan.removed,
                rows: new.rows,
                digest: new.digest.as_deref(),
            };
            let entry = change.entry()?;
            let is_there = self.is_there(&plan);
            if is_there && self.log.put(&entry)? {
                self.settle(new.batch, plan);
                return Ok(());
            }
            if is_there {
                self.catch_up()?;
            }
            if !is_there || plan.rewrite.is_some() {
                self.drop_plan(&plan)?;
                plan = again(self)?;
            }
        }
        let what = format!(
            "{TRIES} times somebody else was faster to commit to {}, or removed the files of batch {}",
            self.options.path.display(),
            new.batch
        );
        Err(Error::sink("SINK_CONTENDED", what).hint(
            "stop what writes into the table, or cleans its folder, all the time; start again",
        ))
    }

    /// Takes in the commits of others.
    fn catch_up(&mut self) -> Result<()> {
        for commit in self.log.catch_up()? {
            let ours = |txn: &&Transaction| txn.app_id == self.options.app_id;
            if let Some(transaction) = commit.transactions.iter().find(ours) {
                return Err(conflict(&self.options.path, transaction.version));
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

    fn table_id(&self) -> Option<&str> {
        Some(self.log.table_id())
    }

    fn write(&mut self, batch: &OutputBatch) -> Result<()> {
        let rows = batch
            .rows
            .iter()
            .filter(|part| part.num_rows() > 0)
            .map(|part| schema::conform(part, &self.schema))
            .collect::<Result<Vec<_>>>()?;
        let digest = match self.options.is_repeatable {
            true => Some(digest::digest(&self.schema, &rows)?),
            false => None,
        };
        if self.holds(batch.id) {
            return self.confirm(batch.id, digest.as_deref());
        }
        let plan = self.plan(batch, &rows)?;
        let new = New { batch: batch.id, rows: count(&rows), digest };
        self.commit(&new, plan, &mut |sink| sink.plan(batch, &rows))
    }

    fn takes_parts(&self) -> bool {
        !matches!(self.content, Content::Update(_))
    }

    fn write_parts(&mut self, batch: BatchId, parts: &mut Parts<'_>) -> Result<()> {
        let (mut added, mut file) = (Vec::new(), Vec::new());
        let mut columns = Columns::new(&self.schema);
        let is_new = !self.holds(batch);
        for part in parts {
            let part = schema::conform(&part?, &self.schema)?;
            columns.add(&part);
            if is_new {
                file.push(part);
            }
            if count(&file) >= ROWS_PER_FILE {
                added.push(self.write_file(batch, &std::mem::take(&mut file))?);
            }
        }
        let digest = self.options.is_repeatable.then(|| columns.digest());
        if !is_new {
            return self.confirm(batch, digest.as_deref());
        }
        if count(&file) > 0 {
            added.push(self.write_file(batch, &file)?);
        }
        let plan = Plan { added, removed: vec![], rewrite: None };
        let new = New { batch, rows: columns.count(), digest };
        self.commit(&new, plan, &mut |sink| Err(files_gone(&sink.options.path, batch)))
    }
}

fn count(rows: &[RecordBatch]) -> usize {
    rows.iter().map(RecordBatch::num_rows).sum()
}

/// Another process has committed under the query's name: it goes on, this one stops.
fn conflict(table: &Path, batch: i64) -> Error {
    let what = format!(
        "another process has written batch {batch} of this query into {} meanwhile",
        table.display()
    );
    Error::sink("SINK_CONFLICT", what).hint(
        "two processes run this query, or a copy of its checkpoint: stop one of them, then start again",
    )
}

/// The files of a batch whose rows are not at hand any more.
fn files_gone(table: &Path, batch: BatchId) -> Error {
    let what = format!(
        "files of batch {batch} were removed from {} before the batch was committed",
        table.display()
    );
    Error::sink("SINK_FILES_GONE", what).hint(
        "stop what cleans the table's folder (VACUUM with a short retention), then start again: the \
         batch is run once more",
    )
}

/// A batch that was run again has given other rows than those that the table holds.
fn batch_changed(table: &Path, held: &Ours, was: &str, is: &str) -> Error {
    let rows = |digest: &str| digest.split(' ').next().unwrap_or_default().to_owned();
    let (batch, table) = (held.batch, table.display());
    let how = match (rows(was), rows(is)) {
        (was, is) if was == is && is == "1" => "other values in its 1 row".to_owned(),
        (was, is) if was == is => format!("other values in its {is} rows"),
        (was, is) => format!("{is} rows where it gave {was}"),
    };
    Error::files(
        "BATCH_CHANGED",
        format!(
            "batch {batch} was run again after a crash and gives {how}; {table} holds what it gave \
             before (version {})",
            held.version
        ),
    )
    .hint(
        "bring back what the batch has read as it was, then start again; or leave the table as it is \
         and go on with `strandline checkpoint repair CHECKPOINT --accept-sink`",
    )
}

#[cfg(test)]
mod tests;
