//! What a query has written into its table, batch by batch: read from the table's log.
//!
//! Each commit of a query carries its identity and the number of the batch, and names the files
//! that are new and those that they replace. So the rows of any batch can be had again, for as long
//! as the log and the files are there: cleaning a log or a `VACUUM` takes away old ones, which is
//! said, not guessed at. Reads, never writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::log::{commit_path, deletion_vector, lines};
use super::{open, parquet, schema};
use crate::batch::BatchId;
use crate::durable::{self, Disk};
use crate::error::{Error, Result};
use crate::sinks::OutputMode;

/// The condition of an error: a batch is done, and the table never had it.
pub const BATCH_MISSING: &str = "DELTA_BATCH_MISSING";

/// The history of a table, as far as its log goes back.
pub struct Written {
    table: PathBuf,
    schema: SchemaRef,
    batches: BTreeMap<BatchId, Version>,
    /// Versions that changed rows and are not of this query.
    others: Vec<u64>,
    first: u64,
    newest: u64,
}

/// What one version of the table did.
#[derive(Default)]
struct Version {
    number: u64,
    added: Vec<String>,
    removed: Vec<String>,
}

/// The rows that a batch added, and those of the files that it replaced.
#[derive(Debug, Default)]
pub struct BatchRows {
    /// Rows of the files that are new.
    pub added: Vec<RecordBatch>,
    /// Rows of the files that they replace.
    pub removed: Vec<RecordBatch>,
}

impl Written {
    /// Reads the log of the table in a folder, for the query that is called `app_id` in it and
    /// whose result has the columns of `query`.
    ///
    /// # Errors
    ///
    /// `DELTA_TABLE_NOT_FOUND`: there is none. `DELTA_UNSUPPORTED_DELETION_VECTOR`: another program
    /// has deleted rows in a way that is not read here.
    pub fn read(table: &Path, app_id: &str, query: &SchemaRef) -> Result<Self> {
        let mut written = Self {
            table: table.to_path_buf(),
            schema: schema::table_schema(query)?,
            batches: BTreeMap::new(),
            others: vec![],
            first: 0,
            newest: 0,
        };
        let versions = versions(table)?;
        let Some(&first) = versions.first() else {
            return Err(Error::input(
                "DELTA_TABLE_NOT_FOUND",
                format!("there is no table in {}", table.display()),
            )
            .hint(
                "the table was removed or moved: bring it back, then what it holds can be compared",
            ));
        };
        written.first = first;
        for version in versions {
            written.newest = version;
            written.take_in(version, app_id)?;
        }
        Ok(written)
    }

    fn take_in(&mut self, number: u64, app_id: &str) -> Result<()> {
        let path = commit_path(&self.table, number);
        // A log may be cleaned while it is read.
        let Some(bytes) = durable::read(&path)? else { return Ok(()) };
        let mut version = Version { number, ..Version::default() };
        let (mut batch, mut changes) = (None, false);
        for line in lines(&bytes, &path)? {
            if let Some(add) = line.add {
                if add.deletion_vector.is_some() {
                    return Err(deletion_vector(&add.path));
                }
                changes |= add.data_change;
                version.added.push(add.path);
            }
            if let Some(remove) = line.remove {
                changes |= remove.data_change;
                version.removed.push(remove.path);
            }
            if let Some(transaction) = line.txn.filter(|txn| txn.app_id == app_id) {
                batch = BatchId::try_from(transaction.version).ok();
            }
        }
        match batch {
            Some(batch) => drop(self.batches.insert(batch, version)),
            None if changes => self.others.push(number),
            None => {}
        }
        Ok(())
    }

    /// The columns of the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Versions in which somebody else has added or taken away rows.
    pub fn by_others(&self) -> &[u64] {
        &self.others
    }

    /// Whether the rows of every batch can be had: the log goes back to version 0, and no file of
    /// an older version was taken away.
    pub fn is_whole(&self) -> bool {
        let files = self.batches.values().flat_map(|v| v.added.iter().chain(&v.removed));
        self.first == 0 && files.into_iter().all(|name| self.table.join(name).exists())
    }

    /// The rows of a batch.
    ///
    /// # Errors
    ///
    /// `DELTA_LOG_CLEANED`, `DELTA_FILE_VACUUMED`: they are not known any more.
    /// [`BATCH_MISSING`]: the table never had them.
    pub fn batch(&self, batch: BatchId) -> Result<BatchRows> {
        let Some(version) = self.batches.get(&batch) else {
            let table = self.table.display();
            if self.first > 0 {
                let what = format!(
                    "what batch {batch} wrote is not known any more: the log of {table} begins with \
                     version {}",
                    self.first
                );
                return Err(Error::input("DELTA_LOG_CLEANED", what)
                    .hint("keep the log longer: the table property delta.logRetentionDuration"));
            }
            let what =
                format!("{table} does not hold batch {batch}, which the checkpoint calls done");
            return Err(Error::sink(BATCH_MISSING, what)
                .hint("the table was replaced or set back since: bring the right one back"));
        };
        Ok(BatchRows {
            added: self.rows(&version.added, version.number)?,
            removed: self.rows(&version.removed, version.number)?,
        })
    }

    /// All rows of the newest version, after so many batches.
    ///
    /// # Errors
    ///
    /// `DELTA_TABLE_GOES_ON`: there are more of them by now. `DELTA_FILE_VACUUMED`: a file is gone.
    pub fn content(&self, batches: BatchId) -> Result<Vec<RecordBatch>> {
        // A mode that replaces files wants to know which ones there are.
        let found = open::find(Disk::default(), &self.table, "", OutputMode::Complete)?;
        let more = self.batches.last_key_value().is_some_and(|(newest, _)| *newest >= batches);
        if more || found.log.version() != self.newest {
            let what = format!("{} goes on while it is compared", self.table.display());
            return Err(Error::sink("DELTA_TABLE_GOES_ON", what)
                .hint("stop the query, or let it finish its batch, and compare again"));
        }
        let files: Vec<String> = found.files.into_iter().map(|file| file.path).collect();
        self.rows(&files, found.log.version())
    }

    fn rows(&self, files: &[String], version: u64) -> Result<Vec<RecordBatch>> {
        let read = |name: &String| {
            let path = self.table.join(name);
            if !path.exists() {
                let what = format!(
                    "{} is gone, which version {version} of the table speaks of: a VACUUM takes away \
                     files that newer ones have replaced",
                    path.display()
                );
                return Err(Error::input("DELTA_FILE_VACUUMED", what)
                    .hint("keep replaced files longer, or compare before VACUUM"));
            }
            parquet::read(&path, &self.schema)
        };
        files.iter().map(read).collect()
    }
}

/// The versions whose files are in the log, ascending.
fn versions(table: &Path) -> Result<Vec<u64>> {
    let names = durable::names(&table.join("_delta_log"))?;
    let number = |name: &String| match name.strip_suffix(".json") {
        Some(digits) if digits.len() == 20 => digits.parse().ok(),
        _ => None,
    };
    let mut versions: Vec<u64> = names.iter().filter_map(number).collect();
    versions.sort_unstable();
    Ok(versions)
}
