//! A running query: a thread that steps it, and the handle to that thread.
//!
//! The names follow Spark's `StreamingQuery`. The thread sleeps until something is to be done: a
//! file shows up (a watch wakes it), a trigger's time has come, somebody stops it, or, since a watch
//! can miss things, a second has passed.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::closing::Closing;
use super::query::{Query, StepReport};
use super::steps::Step;
use super::trigger::Trigger;
use crate::error::{Error, Result};
use crate::progress::StreamingQueryProgress;
use crate::sources::Admit;
use crate::sources::watch::Watch;
use crate::time::{Millis, SharedClock};

/// How long a query sleeps when nothing wakes it.
const POLL: Duration = Duration::from_secs(1);

/// How many progress reports are kept, as in Spark.
const RECENT: usize = 100;

/// What a running query is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it does now, in words.
    pub message: String,
    /// Whether the last look found new data.
    pub is_data_available: bool,
    /// Whether a batch runs right now.
    pub is_trigger_active: bool,
}

/// Called with the report of each batch, on the query's thread.
pub type OnBatch = Box<dyn FnMut(&StepReport) + Send>;

/// The handle to a running query. Dropping it stops the query.
pub struct StreamingQuery {
    name: String,
    id: String,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    stop: bool,
    woken: bool,
    finished: bool,
    failed: Option<Error>,
    status: Status,
    recent: VecDeque<StreamingQueryProgress>,
    /// How often somebody asked for all that is available to be processed, and up to which of these
    /// requests it has been.
    asked: u64,
    answered: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            stop: false,
            woken: false,
            finished: false,
            failed: None,
            status: Status {
                message: "Initializing".into(),
                is_data_available: false,
                is_trigger_active: false,
            },
            recent: VecDeque::new(),
            asked: 0,
            answered: 0,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until woken, stopped, or so much time has passed.
    fn sleep(&self, at_most: Duration, wake_early: bool) {
        let state = self.lock();
        let asleep = |s: &mut State| !s.stop && !(wake_early && (s.woken || s.asked > s.answered));
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, at_most, asleep)
            .unwrap_or_else(PoisonError::into_inner);
        state.woken = false;
    }
}

impl StreamingQuery {
    /// Starts a query on a thread of its own.
    pub fn start(
        query: Query,
        trigger: Trigger,
        clock: SharedClock,
        on_batch: OnBatch,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (name, id) = (query.name().to_string(), query.id().to_string());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name(format!("query {name}"))
            .spawn(move || {
                let busy_at = clock.ticks();
                let shared = theirs.clone();
                let mut looper = Loop { query, trigger, clock, on_batch, shared, busy_at };
                // A panic must end the query as an error does: who waits for it would wait for ever.
                // What it leaves half done is dropped here, and what is on disk is as after a crash.
                let result = catch_unwind(AssertUnwindSafe(|| looper.run()))
                    .unwrap_or_else(|panic| Err(looper.panicked(panic.as_ref())));
                drop(looper);
                theirs.change(|state| {
                    state.finished = true;
                    state.failed = result.err();
                    state.status.is_trigger_active = false;
                    state.status.message = "Stopped".into();
                });
            })
            .map_err(|e| {
                Error::storage("CANNOT_START_THREADS", format!("cannot start a thread: {e}"))
            })?;
        Ok(Self { name, id, shared, thread: Mutex::new(Some(thread)) })
    }

    /// The name of the streaming table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The query's identity, kept by its checkpoint.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it still runs.
    pub fn is_active(&self) -> bool {
        !self.shared.lock().finished
    }

    /// What it does now.
    pub fn status(&self) -> Status {
        self.shared.lock().status.clone()
    }

    /// The report of the newest batch.
    pub fn last_progress(&self) -> Option<StreamingQueryProgress> {
        self.shared.lock().recent.back().cloned()
    }

    /// The reports of the newest 100 batches, oldest first.
    pub fn recent_progress(&self) -> Vec<StreamingQueryProgress> {
        self.shared.lock().recent.iter().cloned().collect()
    }

    /// Waits until all that was there when this was called has been processed.
    pub fn process_all_available(&self) -> Result<()> {
        let mut state = self.shared.lock();
        state.asked += 1;
        let asked = state.asked;
        self.shared.changed.notify_all();
        while state.answered < asked && !state.finished {
            state = self.shared.wait(state);
        }
        take_failure(&mut state)
    }

    /// Waits until the query ends; the error is the one that ended it.
    pub fn await_termination(&self) -> Result<()> {
        let mut state = self.shared.lock();
        while !state.finished {
            state = self.shared.wait(state);
        }
        take_failure(&mut state)
    }

    /// Waits until the query ends, but no longer than this. Says whether it has ended; how it ended
    /// is what [`StreamingQuery::await_termination`] says.
    pub fn await_termination_for(&self, at_most: Duration) -> bool {
        let state = self.shared.lock();
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, at_most, |state| !state.finished)
            .unwrap_or_else(PoisonError::into_inner);
        state.finished
    }

    /// Asks the query to end after the batch that it is in, without waiting for it.
    pub fn request_stop(&self) {
        self.shared.change(|state| state.stop = true);
    }

    /// Ends the query after the batch that it is in, and waits for that.
    pub fn stop(&self) -> Result<()> {
        self.request_stop();
        let result = self.await_termination();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        result
    }
}

impl Drop for StreamingQuery {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn take_failure(state: &mut State) -> Result<()> {
    match state.failed.take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct Loop {
    query: Query,
    trigger: Trigger,
    clock: SharedClock,
    on_batch: OnBatch,
    shared: Arc<Shared>,
    /// When a batch ran last, or when the query was started, in ticks of the clock.
    busy_at: Millis,
}

impl Loop {
    fn run(&mut self) -> Result<()> {
        match self.trigger {
            Trigger::Once => {
                self.freeze()?;
                self.batch(Admit::Everything).map(|_| ())
            }
            Trigger::AvailableNow => {
                self.freeze()?;
                while self.batch(Admit::Limited)? {}
                if self.query.closing == Closing::AtEnd {
                    while self.run_batch(|query| query.step_to_end("end of input"))? {}
                }
                Ok(())
            }
            Trigger::AsSoonAsPossible => {
                let waker = self.shared.clone();
                let wake = move || waker.change(|state| state.woken = true);
                let mut watch = Watch::new(&self.query.folders(), wake).map_err(warn).ok();
                while !self.shared.lock().stop {
                    if !self.batch(Admit::Limited)? && !self.close_if_idle()? {
                        self.shared.sleep(self.query.waits().map_or(POLL, |w| w.min(POLL)), true);
                        // A folder that has come to be in the meantime is watched from now on.
                        if let Some(Err(error)) = watch.as_mut().map(Watch::retry) {
                            warn(error);
                            watch = None;
                        }
                    }
                }
                Ok(())
            }
            Trigger::Every(interval) => {
                while !self.shared.lock().stop {
                    if !self.batch(Admit::Limited)? {
                        self.close_if_idle()?;
                    }
                    let every = interval.as_millis().max(1) as i64;
                    let rest = every - self.clock.now().rem_euclid(every);
                    self.shared.sleep(Duration::from_millis(rest as u64), false);
                }
                Ok(())
            }
        }
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> Error {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let (name, batch) = (self.query.name(), self.query.next_batch());
        Error::internal(format!(
            "query '{name}', batch {batch}: {} (what is not committed is run again at the next start)",
            said.unwrap_or("it ended in a panic")
        ))
    }

    /// From now on nothing that arrives is taken. A file that may still be being written is given
    /// the time to stand still.
    fn freeze(&mut self) -> Result<()> {
        self.query.freeze()?;
        if let Some(rest) = self.query.waits() {
            self.shared.sleep(rest, false);
        }
        Ok(())
    }

    /// Where nothing has come for long enough, lets out what is held back. `false`: nothing is, or
    /// something came not long ago.
    fn close_if_idle(&mut self) -> Result<bool> {
        let Closing::AfterIdle(limit) = self.query.closing else { return Ok(false) };
        let (now, limit) = (self.clock.ticks(), limit.as_millis() as Millis);
        if now - self.busy_at < limit {
            return Ok(false);
        }
        // To ask whether something is held back is to look at the state: not each second.
        self.busy_at = now;
        let because = format!("no input for {} s", limit as f64 / 1000.0);
        let (mut ran, mut closes) = (false, true);
        // Until nothing waits any more, or something has come after all.
        while closes {
            closes = false;
            ran |= self.run_batch(|query| {
                let report = query.step_to_end(&because)?;
                closes = report.as_ref().is_some_and(|report| report.raised.is_some());
                Ok(report)
            })?;
        }
        Ok(ran)
    }

    /// One step. `false`: there was nothing to do, or the query is to stop.
    fn batch(&mut self, admit: Admit) -> Result<bool> {
        self.run_batch(|query| query.step(admit))
    }

    fn run_batch(
        &mut self,
        step: impl FnOnce(&mut Query) -> Result<Option<StepReport>>,
    ) -> Result<bool> {
        let asked = {
            let mut state = self.shared.lock();
            if state.stop {
                return Ok(false);
            }
            state.status.is_trigger_active = true;
            state.status.message = "Processing new data".into();
            state.asked
        };
        let report = step(&mut self.query)?;
        if let Some(report) = &report {
            self.busy_at = self.clock.ticks();
            (self.on_batch)(report);
            self.query.took_effect(Step::Report, report.progress.batch_id)?;
        }
        let ran = report.is_some();
        let waits = self.query.waits().is_some();
        self.shared.change(|state| {
            state.status.is_trigger_active = false;
            state.status.is_data_available = ran;
            match report {
                Some(report) => {
                    state.recent.push_back(report.progress);
                    if state.recent.len() > RECENT {
                        state.recent.pop_front();
                    }
                }
                // What may still be being written is available soon.
                None if waits => {}
                None => {
                    state.answered = asked;
                    state.status.message = "Waiting for data to arrive".into();
                }
            }
        });
        Ok(ran)
    }
}

/// Without a watch new data is seen a little later; that is worth a word and no more.
fn warn(error: Error) {
    tracing::warn!("{error:?}");
}
