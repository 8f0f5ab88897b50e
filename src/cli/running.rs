//! The queries that a command runs: waits for their end, and starts a live one again that only the
//! machine has failed.
//!
//! A batch that failed is decided, so its next try reads the same rows; what it wrote before it
//! failed is not written twice. Where the machine may recover by itself (the disk is full, no file
//! can be opened) the query waits for that as long as it takes. Another error of the disk is tried
//! three times. Everything else would only fail again, and ends the run at once.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::interrupt::Interrupt;
use super::tell;
use crate::checkpoint::View;
use crate::engine::handle::StreamingQuery;
use crate::error::{Error, Kind, Result};
use crate::sources::taken_files;
use crate::time::Stopwatch;

/// How long a look at the queries may be put off.
const LOOK: Duration = Duration::from_millis(200);

/// A batch that fails so often ends the run.
const TRIES: u32 = 3;

/// The longest wait before the next try.
const LONGEST_WAIT_MS: u64 = 10_000;

/// What the machine may come out of by itself, or a person may help it out of.
const PASSES: [&str; 5] = [
    "DISK_FULL",
    "TOO_MANY_OPEN_FILES",
    "READ_ONLY_FILE_SYSTEM",
    "PERMISSION_DENIED",
    "SOURCE_FILE_UNREADABLE",
];

/// The queries that run, shared with the listener for Ctrl-C.
#[derive(Clone, Default)]
pub struct Running(Arc<Mutex<Started>>);

#[derive(Default)]
struct Started {
    queries: Vec<Arc<StreamingQuery>>,
    /// The end was asked for: what is started after that ends at once.
    stopping: bool,
}

impl Running {
    fn started(&self) -> MutexGuard<'_, Started> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a query that has just been started.
    pub fn add(&self, query: StreamingQuery) {
        let mut started = self.started();
        if started.stopping {
            query.request_stop();
        }
        started.queries.push(Arc::new(query));
    }

    /// The queries.
    pub fn queries(&self) -> Vec<Arc<StreamingQuery>> {
        self.started().queries.clone()
    }

    /// Whether all of them still run.
    pub fn all_active(&self) -> bool {
        self.queries().iter().all(|query| query.is_active())
    }

    /// Asks all of them to end, and those that are yet to be started.
    pub fn request_stop(&self) {
        let mut started = self.started();
        started.stopping = true;
        started.queries.iter().for_each(|query| query.request_stop());
    }

    /// Waits until all have ended; the first error ends the others too.
    pub fn wait_for_all(&self) -> Result<()> {
        let queries = self.queries();
        let mut failed = Ok(());
        while queries.iter().any(|query| query.is_active()) {
            for query in queries.iter().filter(|query| !query.is_active()) {
                failed = failed.and(query.await_termination());
            }
            if failed.is_err() {
                self.request_stop();
            }
            if let Some(active) = queries.iter().find(|query| query.is_active()) {
                active.await_termination_for(LOOK);
            }
        }
        queries.iter().fold(failed, |failed, query| failed.and(query.await_termination()))
    }

    /// Waits until all have ended, as [`Running::wait_for_all`], but calls `start` for one that only
    /// the machine has failed.
    pub fn keep_alive(
        &self,
        interrupt: &Interrupt,
        start: impl Fn(&str) -> Result<()>,
    ) -> Result<()> {
        let mut failures: Vec<Failure> = Vec::new();
        let mut result = Ok(());
        loop {
            for query in self.take_ended() {
                result = result.and(note_end(&query, &mut failures));
            }
            let goes_on = result.is_ok() && !interrupt.is_set();
            for failure in failures.iter_mut().filter(|failure| goes_on && failure.is_due()) {
                result = result.and(failure.try_again(&start));
            }
            if result.is_err() {
                self.request_stop();
            }
            match self.queries().first() {
                Some(query) => drop(query.await_termination_for(LOOK)),
                None if goes_on && failures.iter().any(|failure| failure.waits.is_some()) => {
                    std::thread::sleep(LOOK);
                }
                None => return result,
            }
        }
    }

    /// The queries that have ended since the last call.
    fn take_ended(&self) -> Vec<Arc<StreamingQuery>> {
        let mut started = self.started();
        let (active, ended) = started.queries.drain(..).partition(|query| query.is_active());
        started.queries = active;
        ended
    }
}

/// Notes the failure of a query that has ended; the error, where it ends the run.
fn note_end(query: &StreamingQuery, failures: &mut Vec<Failure>) -> Result<()> {
    let Err(error) = query.await_termination() else { return Ok(()) };
    let went_on = query.last_progress().is_some();
    let before = failures.iter().find(|failed| failed.query == query.name() && !went_on);
    let tries = before.map_or(0, |failed| failed.tries) + 1;
    failures.retain(|failed| failed.query != query.name());
    failures.push(Failure::of(query.name(), error, tries)?);
    Ok(())
}

/// A query that failed and is to be tried again.
struct Failure {
    query: String,
    /// How often it failed in a row.
    tries: u32,
    /// How long it waits, from when on; `None`: it has been started again.
    waits: Option<(u64, Stopwatch)>,
}

impl Failure {
    /// What is to be done about a failure; the error, where it ends the run.
    fn of(query: &str, error: Error, tries: u32) -> Result<Self> {
        let passes = PASSES.contains(&error.condition());
        if !passes && error.kind() != Kind::Storage {
            return Err(error);
        }
        if !passes && tries >= TRIES {
            return Err(error.context(format!("tried {tries} times")));
        }
        let wait_ms = (100 * 4u64.saturating_pow(tries - 1)).min(LONGEST_WAIT_MS);
        let seconds = wait_ms as f64 / 1000.0;
        tell(format_args!("note: {error}; {query} tries again in {seconds} s"));
        Ok(Self { query: query.to_owned(), tries, waits: Some((wait_ms, Stopwatch::start())) })
    }

    /// Starts the query again; the error, where it ends the run.
    fn try_again(&mut self, start: impl Fn(&str) -> Result<()>) -> Result<()> {
        match start(&self.query) {
            Ok(()) => self.waits = None,
            Err(error) => *self = Self::of(&self.query, error, self.tries + 1)?,
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.waits.as_ref().is_some_and(|(wait, since)| since.millis() >= *wait as f64)
    }
}

/// Tells which files the batch reads that failed, so that they can be looked at.
pub fn tell_files(checkpoint: &Path, query: &str) {
    const TOLD: usize = 10;
    let Ok(Some(view)) = View::read(checkpoint) else { return };
    let Some((batch, offsets)) = view.under_way() else { return };
    let takes = offsets.sources.iter().flatten();
    let files: Vec<String> = takes
        .flat_map(|take| taken_files(take).unwrap_or_default())
        .map(|file| file.path.display().to_string())
        .collect();
    let more = match files.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let files = files[..files.len().min(TOLD)].join(", ");
    if !files.is_empty() {
        tell(format_args!("note: batch {batch} of {query} reads {files}{more}"));
    }
}
