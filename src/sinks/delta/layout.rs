//! How the rows of a rewrite are shared out into files.
//!
//! Takes rows by their places; gives the content of each new file. The rules that bound the number
//! of files are explained in `upsert`.

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;

use super::keys::{Key, KeyedRows};
use crate::error::Result;
use crate::time::EventTimeMicros;

/// One row of the result: which rows it is among, and where.
#[derive(Clone, Copy)]
pub(super) struct Pick {
    pub origin: usize,
    pub row: usize,
}

/// The content of a file to write.
pub(super) struct NewFile {
    pub rows: RecordBatch,
    /// The keys of the rows that may change again.
    pub keys: Vec<Key>,
    /// No row's event time lies behind it. `None`: some row has none.
    pub latest: Option<EventTimeMicros>,
    /// Whether all rows are sealed, and the file is full enough to be left alone for good.
    pub closed: bool,
}

/// What a layout goes by.
pub(super) struct Layout<'a> {
    /// Rows of a full file.
    pub chunk: usize,
    /// Where the rows come from: the batch, and the files that are replaced.
    pub origins: &'a [KeyedRows],
    /// Event times up to here are sealed.
    pub sealed_to: Option<EventTimeMicros>,
}

impl Layout<'_> {
    /// Shares rows out into files. `young` rows are those that changed lately, and stay together.
    pub fn files(&self, young: Vec<Pick>, old: Vec<Pick>) -> Result<Vec<NewFile>> {
        let is_sealed = |pick: &Pick| self.is_sealed(pick);
        let (mut sealed, young): (Vec<_>, Vec<_>) = young.into_iter().partition(is_sealed);
        let (sealed_old, mut old): (Vec<_>, Vec<_>) = old.into_iter().partition(is_sealed);
        sealed.extend(sealed_old);

        let mut files = Vec::new();
        if sealed.len() >= self.chunk / 2 {
            self.share_out(sealed, true, &mut files)?;
        } else {
            old.extend(sealed);
        }
        if young.len() + old.len() <= self.chunk {
            self.share_out([young, old].concat(), false, &mut files)?;
        } else {
            self.share_out(young, false, &mut files)?;
            self.share_out(old, false, &mut files)?;
        }
        Ok(files)
    }

    /// Sorts rows by key and cuts them into as few equal files as hold them.
    fn share_out(
        &self,
        mut picks: Vec<Pick>,
        closed: bool,
        files: &mut Vec<NewFile>,
    ) -> Result<()> {
        if picks.is_empty() {
            return Ok(());
        }
        picks.sort_unstable_by(|a, b| {
            let key = |pick: &Pick| self.origins[pick.origin].encoded.row(pick.row);
            key(a).cmp(&key(b))
        });
        let sources: Vec<&RecordBatch> = self.origins.iter().map(|o| &o.rows).collect();
        let count = picks.len().div_ceil(self.chunk);
        for part in picks.chunks(picks.len().div_ceil(count)) {
            let places: Vec<_> = part.iter().map(|pick| (pick.origin, pick.row)).collect();
            let open = part.iter().filter(|pick| !self.is_sealed(pick));
            let times = part.iter().map(|pick| self.origins[pick.origin].time(pick.row));
            files.push(NewFile {
                rows: interleave_record_batch(&sources, &places)?,
                keys: open.map(|pick| self.origins[pick.origin].keys[pick.row]).collect(),
                latest: times.collect::<Option<Vec<_>>>().and_then(|t| t.into_iter().max()),
                closed,
            });
        }
        Ok(())
    }

    fn is_sealed(&self, pick: &Pick) -> bool {
        let time = self.origins[pick.origin].time(pick.row);
        time.zip(self.sealed_to).is_some_and(|(time, to)| time <= to)
    }
}
