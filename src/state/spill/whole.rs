//! Rows that went to disk together and come back together.
//!
//! For rows that lie where they are by chance, not by key: those of a [`Multimap`]'s segment, which
//! came at about the same time and are needed again at about the same time.
//!
//! [`Multimap`]: crate::state::multimap::Multimap

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;

use super::Overflow;
use super::page::damaged;
use super::scratch::Extent;
use crate::error::Result;
use crate::state::file::write_rows;

/// Some rows on disk, as an Arrow IPC stream.
pub(in crate::state) struct Whole {
    extent: Extent,
    crc: u32,
}

impl Whole {
    /// Sends rows to disk.
    pub(in crate::state) fn write(to: &Arc<Overflow>, rows: &RecordBatch) -> Result<Self> {
        let mut bytes = Vec::new();
        write_rows(&mut bytes, &rows.schema(), [Ok(rows.clone())])?;
        let crc = crc32c::crc32c(&bytes);
        Ok(Self { extent: to.scratch()?.write(&bytes)?, crc })
    }

    /// Reads them.
    pub(in crate::state) fn read(&self) -> Result<RecordBatch> {
        let bytes = self.extent.read(0, self.extent.length() as usize)?;
        if crc32c::crc32c(&bytes) != self.crc {
            return Err(damaged());
        }
        StreamReader::try_new(&bytes[..], None)?.next().ok_or_else(damaged)?.map_err(Into::into)
    }
}
