//! How much memory state may take.
//!
//! A *budget* is what the tables of a query share: when they take more, rows that were not touched
//! for longest go to disk. A *limit* is what nobody may pass, since the kernel would end the process:
//! a query that reaches it stops with an error, and can go on from its checkpoint.
//!
//! Takes and gives counts of bytes; *never* moves a row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Bytes of state that all queries of the process hold in memory.
static HELD_BY_ALL: AtomicU64 = AtomicU64::new(0);

/// The memory that the tables of one query share. Cheap to copy; all copies are the same.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    budget: Option<u64>,
    limit: Option<u64>,
    limit_of_all: Option<u64>,
    tables: AtomicU64,
    held: AtomicU64,
    warned: AtomicBool,
}

impl Memory {
    /// In bytes: beyond `budget` rows go to disk; beyond `limit` the query stops, and also where all
    /// queries of the process together take more than `limit_of_all`. `None`: as much as there is.
    pub fn new(budget: Option<u64>, limit: Option<u64>, limit_of_all: Option<u64>) -> Self {
        Self(Arc::new(Shared { budget, limit, limit_of_all, ..Shared::default() }))
    }

    /// A share, for one more table.
    pub(super) fn share(&self) -> Share {
        self.0.tables.fetch_add(1, Ordering::Relaxed);
        Share { memory: self.clone(), held: 0 }
    }
}

/// What one table takes of a [`Memory`], until it goes.
#[derive(Debug)]
pub(super) struct Share {
    memory: Memory,
    held: u64,
}

impl Share {
    /// The table takes so many bytes now.
    pub(super) fn set(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        for held in [&self.memory.0.held, &HELD_BY_ALL] {
            // Wraps around where it falls, and is right again after it.
            held.fetch_add(bytes.wrapping_sub(self.held), Ordering::Relaxed);
        }
        self.held = bytes;
    }

    /// Down to how many bytes the table has to go; `None`: it may stay as it is.
    ///
    /// As long as the budget is not used up a table may take more than its part of it. Some room is
    /// made at a time, since to make it costs about the same for a little as for more.
    pub(super) fn target(&self) -> Option<usize> {
        let Shared { budget, tables, held, .. } = &*self.memory.0;
        let (budget, held) = ((*budget)?, held.load(Ordering::Relaxed));
        let fair = budget / tables.load(Ordering::Relaxed).max(1);
        if held <= budget || self.held <= fair {
            return None;
        }
        let with_room = |bytes: u64| bytes - bytes / 8;
        let over = held - with_room(budget);
        Some(self.held.saturating_sub(over).max(with_room(fair)) as usize)
    }

    /// Holds the query to its limit, and says once when it comes near. `what` names the table, which
    /// has `rows` rows; `spills`: whether they can go to disk.
    ///
    /// # Errors
    ///
    /// `STATE_LIMIT_REACHED`.
    pub(super) fn check(&self, what: &str, rows: usize, spills: bool) -> Result<()> {
        let Shared { limit, limit_of_all, held, warned, .. } = &*self.memory.0;
        let (limit, limit_of_all) = (*limit, *limit_of_all);
        let (of_query, of_all) =
            (held.load(Ordering::Relaxed), HELD_BY_ALL.load(Ordering::Relaxed));
        let reached = |limit: u64, held: u64, whose: &str, set_by: &str| {
            format!(
                "{whose} takes {} of memory, and {} is the limit ({set_by}); {what} has {rows} rows, \
                 which take {}",
                in_words(held),
                in_words(limit),
                in_words(self.held)
            )
        };
        let limits = [
            (limit, of_query, "the state of the query", "the property state.limit"),
            (
                limit_of_all,
                of_all,
                "all state",
                "80 % of the machine's memory, or of the container's",
            ),
        ];
        for (limit, held, whose, set_by) in limits {
            let Some(limit) = limit else { continue };
            if held > limit {
                return Err(Error::limit(
                    "STATE_LIMIT_REACHED",
                    reached(limit, held, whose, set_by),
                )
                .hint(way_out(spills)));
            }
            if held > limit / 5 * 4 && !warned.swap(true, Ordering::Relaxed) {
                tracing::warn!("{}: {}", reached(limit, held, whose, set_by), way_out(spills));
            }
        }
        Ok(())
    }
}

/// What a person can do.
fn way_out(spills: bool) -> String {
    let first = if spills {
        "lower state.memory, beyond which this state goes to disk"
    } else {
        "this state does not go to disk (rows without a key, or with columns that have no order)"
    };
    format!(
        "what was committed stays, and the query goes on from there once it has room: {first}; raise \
         state.limit; or let state go earlier, by a shorter delay of the watermark, shorter windows \
         or fewer columns in the key"
    )
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
        self.memory.0.tables.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes in words; units of 1024, as in the properties.
fn in_words(bytes: u64) -> String {
    match bytes >> 10 {
        kilobytes @ 0..10_000 => format!("{kilobytes} KB"),
        kilobytes => format!("{} MB", kilobytes >> 10),
    }
}
