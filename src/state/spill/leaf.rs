//! A leaf: the pages of one range of hashes.

use std::sync::Arc;

use arrow::row::Rows;

use super::page::{Frozen, Page, ReadPage};
use super::scratch::Scratch;
use super::{LEAF_ROWS, Overflow, SpilledPlace, SpilledRow, lost};
use crate::error::Result;

/// A leaf with more pages than this is written anew.
const PAGES: usize = if cfg!(test) { 3 } else { 8 };

/// The pages of one range of hashes. A key is live in one of them at most.
#[derive(Default)]
pub(super) struct Leaf {
    pages: Vec<Page>,
}

impl Leaf {
    /// Rows that are not forgotten.
    pub(super) fn live(&self) -> usize {
        self.pages.iter().map(Page::live).sum()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.pages.iter().map(Page::memory_bytes).sum()
    }

    /// Whether so many rows may just be added as one more page.
    pub(super) fn has_room_for(&self, rows: usize) -> bool {
        let held: usize = self.pages.iter().map(Page::rows).sum();
        self.pages.len() < PAGES && held + rows <= 2 * LEAF_ROWS && held <= 2 * self.live() + rows
    }

    /// Adds a page of rows, which are in the order of their hashes.
    pub(super) fn add(&mut self, scratch: &Arc<Scratch>, rows: &[(u64, &[u8])]) -> Result<()> {
        self.pages.retain(|page| page.live() > 0);
        self.pages.push(Page::write(scratch, rows)?);
        Ok(())
    }

    /// See [`Spilled::find`](super::Spilled::find); `least` is the name of the leaf.
    pub(super) fn find(
        &self,
        least: u64,
        keys: &Rows,
        wanted: &[(u64, u32)],
        found: &mut Vec<SpilledRow>,
    ) -> Result<()> {
        for (number, page) in self.pages.iter().enumerate().filter(|(_, page)| page.live() > 0) {
            let place = |row| SpilledPlace { leaf: least, page: number as u32, row };
            page.find(place, keys, wanted, found)?;
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, page: u32, row: u32) -> Result<()> {
        self.pages.get_mut(page as usize).ok_or_else(lost)?.forget(row)
    }

    /// All pages, in memory.
    pub(super) fn read(&self) -> Result<Vec<ReadPage>> {
        let pages = self.pages.iter().filter(|page| page.live() > 0);
        pages.map(|page| page.frozen().read()).collect()
    }

    pub(super) fn frozen(&self, from: &Arc<Overflow>) -> Frozen {
        let pages = self.pages.iter().filter(|page| page.live() > 0);
        Frozen { from: from.clone(), pages: pages.map(Page::frozen).collect() }
    }
}
