//! The room that a table has in memory, and where its rows go when it is used up.

use std::path::PathBuf;
use std::sync::Arc;

use super::StateShape;
use super::memory::{Memory, Share};
use super::spill::Overflow;
use crate::error::Result;

/// The room that a table has in memory; by default as much as there is.
#[derive(Default)]
pub(super) struct Room {
    share: Option<Share>,
    overflow: Option<Arc<Overflow>>,
}

impl Room {
    /// A share of `memory`. What does not fit goes to disk, into the file system of `folder`.
    pub(super) fn new(shape: &StateShape, memory: &Memory, folder: PathBuf) -> Result<Self> {
        let overflow = Overflow::new(shape, folder)?.map(Arc::new);
        Ok(Self { share: Some(memory.share()), overflow })
    }

    /// The table takes so many bytes now. Down to how many it has to go, and where to; `None`: it may
    /// stay as it is.
    pub(super) fn target(&mut self, bytes: usize) -> Option<(usize, Arc<Overflow>)> {
        self.set(bytes);
        let target = self.share.as_ref()?.target()?;
        Some((target, self.overflow.clone()?))
    }

    /// The table takes so many bytes now.
    pub(super) fn set(&mut self, bytes: usize) {
        if let Some(share) = &mut self.share {
            share.set(bytes);
        }
    }

    /// See [`Share::check`].
    pub(super) fn check(&self, what: &str, rows: usize) -> Result<()> {
        self.share.as_ref().map_or(Ok(()), |share| share.check(what, rows, self.overflow.is_some()))
    }

    /// Bytes that rows take on disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.overflow.as_ref().map_or(0, |overflow| overflow.disk_bytes())
    }
}
