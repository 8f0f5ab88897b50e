//! What may be changed in a checkpoint whose query does not run: for `checkpoint repair`.
//!
//! Takes the folder and holds its lock; each change is one that a person has asked for. Nothing is
//! removed here: what is taken away goes to a place that the caller names.

use std::path::{Path, PathBuf};

use super::inspect::metadata;
use super::log;
use super::open::{METADATA, METADATA_KIND, lock};
use super::tables::{KnownTable, Role};
use crate::durable::{self, Disk, Lock};
use crate::error::Result;

/// A checkpoint that nobody else can use meanwhile.
#[derive(Debug)]
pub struct Mending {
    folder: PathBuf,
    disk: Disk,
    _lock: Lock,
}

impl Mending {
    /// Takes the checkpoint in a folder.
    ///
    /// # Errors
    ///
    /// `CHECKPOINT_LOCKED`: a process runs its query.
    pub fn begin(folder: &Path, disk: Disk) -> Result<Self> {
        Ok(Self { folder: folder.to_owned(), disk, _lock: lock(folder)? })
    }

    /// From now on the query takes a table as a person has said. `new_id`: it also gets another
    /// identity, so that what the table holds of it counts as somebody else's.
    pub fn know_table(&self, role: Role, table: KnownTable, new_id: bool) -> Result<()> {
        let mut metadata = metadata(&self.folder)?;
        metadata.tables.insert(role, table);
        if new_id {
            metadata.id = uuid::Uuid::new_v4().to_string();
        }
        self.disk.replace(&self.folder.join(METADATA), &log::sealed(METADATA_KIND, &metadata)?)
    }

    /// Gives a file or a folder another place, and makes both places permanent.
    pub fn move_aside(&self, from: &Path, to: &Path) -> Result<()> {
        if let Some(folder) = to.parent() {
            self.disk.create_folder(folder)?;
        }
        durable::move_file(from, to)?;
        self.disk.make_permanent(to)?;
        match from.parent() {
            Some(folder) if folder.is_dir() => self.disk.make_permanent(folder),
            _ => Ok(()),
        }
    }
}
