//! The ten steps of a micro-batch, in code.

use std::collections::BTreeMap;

use super::assemble::{Brings, Stage};
use super::query::{Query, StepReport};
use super::report::{Durations, Given, Operated, Ran, report};
use super::steps::Step;
use super::upstream::input_watermarks_ms;
use crate::batch::{BatchId, Rows};
use crate::checkpoint::{Commit, Offsets};
use crate::error::{Error, Kind, Result};
use crate::operators::Watermarks;
use crate::share::both;
use crate::sources::{Admit, BadRecord, SourceRead};
use crate::state::StateStore;
use crate::time::{Millis, Stopwatch};

impl Query {
    /// Runs at most one micro-batch. `None`: there was nothing to do.
    ///
    /// After an error nothing that was decided is lost, but this query is of no more use: open it
    /// again, and it goes on with the batch that failed.
    pub fn step(&mut self, admit: Admit) -> Result<Option<StepReport>> {
        if self.broken {
            return Err(Error::internal("a query was stepped after a failed batch"));
        }
        let (name, batch) = (self.name.clone(), self.next);
        self.micro_batch(admit).map_err(|e| {
            self.broken = true;
            e.context(format!("query '{name}', batch {batch}"))
        })
    }

    fn micro_batch(&mut self, admit: Admit) -> Result<Option<StepReport>> {
        let mut took = Durations::start();
        let started = self.clock.now();
        let ticks = self.clock.ticks();
        let batch = self.next;

        // 1, 2. What this batch is: decided before, or now.
        let offsets = match self.unfinished.take() {
            Some(offsets) => offsets,
            None => match self.decide_and_write(admit, batch, &mut took)? {
                Some(offsets) => offsets,
                None => return Ok(None),
            },
        };

        // 3. Read and decode. Spark's two steps before it take no time here: the plan was made with
        // the query, and a source is read when its rows are needed.
        self.batch_time.set(offsets.batch_timestamp_ms);
        if let Some(guard_ms) = self.future_guard_ms {
            self.tracker.guard(offsets.batch_timestamp_ms.saturating_add(guard_ms));
        }
        took.mark("getBatch");
        took.mark("queryPlanning");
        let (reads, bad_of_stills) = self.read(&offsets)?;
        self.took_effect(Step::Read, batch)?;

        // 4, 6. Event times are noted on the way into the operators, which run with the watermarks
        // fixed at the start of the batch. (5, judging quality, has no rules to judge by yet.)
        let evict_ms = offsets.batch_watermark_ms.unwrap_or(0);
        let late_ms = if self.one_watermark { evict_ms } else { self.late_ms };
        let watermarks = Watermarks { late_ms, evict_ms };
        let (mut operated, rows) = self.compute(watermarks)?;
        let seen = self.advance_watermark(batch, &reads)?;
        self.warn_of_future(batch, &offsets, seen);
        let (account, rejected) =
            self.encode_beside(|query| query.account(batch, &offsets, &reads, &operated, late_ms))?;
        self.clear_slots();
        for step in [Step::EventTime, Step::Quality, Step::Operate] {
            self.took_effect(step, batch)?;
        }

        // From here on something is written that a process which has taken over would write too.
        self.checkpoint.require_owned()?;

        // 7. State before output: a table never holds what the state does not know.
        for (states, operated) in self.states.iter_mut().zip(&mut operated) {
            let watch = Stopwatch::start();
            for state in states {
                state.seal(batch)?;
            }
            operated.commit_ms = watch.millis() as u64;
        }
        self.took_effect(Step::Seal, batch)?;

        // 8. The output, under the batch's number, and before it the rows that did not make it.
        if let Some(rejected) = &rejected {
            self.write_rejected(batch, rejected)?;
        }
        self.checkpoint.require_owned()?;
        let watermark = self.tracker.exists().then_some(watermarks.evict_ms);
        let (written, rows) = self.write_output(batch, rows, watermark)?;
        took.mark("addBatch");
        self.took_effect(Step::Write, batch)?;

        // 9. Done: from here on the batch is never run again.
        self.late_ms = watermarks.evict_ms;
        self.late_row.clone_from(&offsets.watermark_row);
        self.no_data_batch_due = admit == Admit::Limited && self.watermark_has_work();
        let commit = Commit {
            next_batch_watermark_ms: self.tracker.exists().then(|| self.tracker.watermark_ms()),
            next_watermark_row: self.tracker.row().cloned(),
            no_data_batch_due: self.no_data_batch_due,
        };
        self.checkpoint.write_commit(batch, &commit)?;
        took.mark("commitOffsets");
        self.took_effect(Step::Commit, batch)?;

        // 10. Report, and get ready for the next.
        let given: Vec<Given> = reads.iter().map(Given::of).collect();
        let ran = Ran {
            batch,
            started,
            ticks,
            offsets: &offsets,
            given: &given,
            operated: &operated,
            account: &account,
            written,
            seen,
            took,
        };
        let progress = report(self, ran);
        self.progress.add(&progress);
        self.get_ready_after(batch, ticks, &offsets)?;
        let bad = reads.into_iter().flat_map(|read| read.bad).chain(bad_of_stills).collect();
        Ok(Some(StepReport {
            progress,
            bad,
            rejected,
            rows,
            next_watermark_ms: commit.next_batch_watermark_ms,
            raised: offsets.raised,
        }))
    }

    /// Does some work, and encodes the changes of a large batch meanwhile.
    fn encode_beside<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        /// Fewer rows than this are encoded before a thread has started.
        const LARGE: u64 = 20_000;
        if !self.states.iter().flatten().any(|state| state.changed_rows() >= LARGE) {
            return work(self);
        }
        let mut states = std::mem::take(&mut self.states);
        let encode = || states.iter_mut().flatten().try_for_each(StateStore::encode);
        let (done, encoded) = both(|| work(self), encode);
        self.states = states;
        encoded?;
        done
    }

    fn get_ready_after(&mut self, batch: BatchId, ticks: Millis, offsets: &Offsets) -> Result<()> {
        for (stream, take) in self.streams.iter_mut().zip(&offsets.sources) {
            if take.is_some() {
                stream.last.clone_from(take);
            }
        }
        self.last_batch_time = offsets.batch_timestamp_ms;
        self.last_trigger_start = Some(ticks);
        self.next = batch + 1;
        self.checkpoint.clean(self.streams.len())
    }

    /// Steps 1 and 2. `None`: there is nothing to do.
    fn decide_and_write(
        &mut self,
        admit: Admit,
        batch: BatchId,
        took: &mut Durations,
    ) -> Result<Option<Offsets>> {
        let Some(offsets) = self.decide(admit)? else { return Ok(None) };
        took.mark("latestOffset");
        self.took_effect(Step::Ask, batch)?;
        self.checkpoint.write_offsets(batch, &offsets)?;
        for (stream, take) in self.streams.iter_mut().zip(&offsets.sources) {
            take.iter().try_for_each(|take| stream.source.decided(take))?;
            stream.last.iter().try_for_each(|last| stream.source.done(last))?;
        }
        took.mark("walCommit");
        self.took_effect(Step::Decide, batch)?;
        Ok(Some(offsets))
    }

    /// Asks each source how far it has got. `None`: no source has anything, and no operator waits
    /// for the watermark that the batch before has raised, or for the end of the stream.
    fn decide(&mut self, admit: Admit) -> Result<Option<Offsets>> {
        let takes = self
            .streams
            .iter_mut()
            .map(|stream| stream.source.next(admit))
            .collect::<Result<Vec<_>>>()?;
        let has_data = takes.iter().any(Option::is_some);
        let due = self.no_data_batch_due && admit == Admit::Limited;
        let batch_timestamp_ms = self.clock.now().max(self.last_batch_time);
        let raised = if has_data || due { None } else { self.raise(batch_timestamp_ms)? };
        if !has_data && !due && raised.is_none() {
            return Ok(None);
        }
        if let Some(raised) = &raised {
            self.tracker.raise(raised.to_ms);
        }
        Ok(Some(Offsets {
            batch_watermark_ms: self.tracker.exists().then(|| self.tracker.watermark_ms()),
            watermark_row: self.tracker.row().cloned(),
            batch_timestamp_ms,
            conf: BTreeMap::new(),
            raised,
            sources: takes,
        }))
    }

    /// Whether a batch without data would do something (Spark: SPARK-24157).
    fn watermark_has_work(&self) -> bool {
        let stages = &self.assembly.stages;
        let used = self.input_watermarks_ms(self.late_ms);
        let risen = self.input_watermarks_ms(self.tracker.watermark_ms());
        let has_work = |(stage, (used, risen)): (&Stage, (&Millis, &Millis))| {
            risen > used && stage.operator.waits_for_watermark()
        };
        self.no_data_batches && stages.iter().zip(used.iter().zip(&risen)).any(has_work)
    }

    /// The watermark of each stage when the query's is `global_ms`.
    pub(super) fn input_watermarks_ms(&self, global_ms: Millis) -> Vec<Millis> {
        match self.one_watermark {
            true => vec![global_ms; self.assembly.stages.len()],
            false => input_watermarks_ms(&self.assembly.stages, global_ms),
        }
    }

    /// Fills the slots; gives what each stream gave, without the rows, and the bad lines of still
    /// tables.
    fn read(&mut self, offsets: &Offsets) -> Result<(Vec<SourceRead>, Vec<BadRecord>)> {
        let (mut reads, mut bad): (Vec<SourceRead>, _) = (vec![], vec![]);
        let take_of = |number: usize| offsets.sources.get(number).and_then(Option::as_ref);
        for (number, stream) in self.streams.iter_mut().enumerate() {
            let twin = stream.twin.filter(|&twin| take_of(twin) == take_of(number));
            reads.push(match (take_of(number), twin) {
                (None, _) => SourceRead::default(),
                (Some(_), Some(twin)) => reads[twin].clone(),
                (Some(take), None) => stream.source.read(take)?,
            });
        }
        for (stream, read) in self.streams.iter().zip(&mut reads) {
            stream.slot.fill(std::mem::take(&mut read.batches));
        }
        for still in &mut self.stills {
            if !still.filled || still.table.changed() {
                let rows = still.table.read()?;
                bad.extend(rows.bad);
                let cut = rows.batches.iter().map(|batch| batch.project(&still.columns));
                still.slot.fill(cut.collect::<Result<_, _>>()?);
                still.filled = true;
            }
        }
        Ok((reads, bad))
    }

    fn clear_slots(&self) {
        let outputs = self.assembly.stages.iter().map(|stage| &stage.output);
        let streams = self.streams.iter().map(|stream| &stream.slot);
        outputs.chain(streams).for_each(|slot| slot.fill(vec![]));
    }

    /// Runs the stages one after the other, then the plan that leads to the sink.
    fn compute(&mut self, watermarks: Watermarks) -> Result<(Vec<Operated>, Rows)> {
        let mut operated = vec![];
        let last = self.assembly.stages.len().saturating_sub(1);
        let in_parts = self.assembly.gives_parts() && self.sink.takes_parts();
        let mut is_coming = false;
        let late = self.input_watermarks_ms(watermarks.late_ms);
        let evict = self.input_watermarks_ms(watermarks.evict_ms);
        let stages = self.assembly.stages.iter_mut().zip(&mut self.states);
        let marks = late.into_iter().zip(evict);
        for (number, ((stage, states), (late_ms, evict_ms))) in stages.zip(marks).enumerate() {
            if stage.inflows.iter().any(|inflow| inflow.brings == Brings::NumberedRows) {
                self.assembly.numbered.fill()?;
            }
            let run = |plan| crate::plan::run(plan, &self.assembly.task);
            let inputs = stage.plans.iter().map(run).collect::<Result<Vec<_>>>()?;
            let watch = Stopwatch::start();
            let watermarks = Watermarks { late_ms, evict_ms };
            let processed = stage.operator.process(states, inputs, watermarks);
            let name = stage.operator.name();
            let mut processed = processed.map_err(|e| match e.kind() {
                Kind::Limit => e.context(format!("operator {name}")),
                _ => e,
            })?;
            let removals_ms: f64 = states.iter().map(StateStore::removals_ms).sum();
            let updates_ms = (watch.millis() - removals_ms).max(0.0) as u64;
            let removals_ms = removals_ms as u64;
            let mut output = std::mem::take(&mut processed.output);
            match processed.coming.take() {
                Some(coming) if in_parts && number == last => {
                    stage.output.pour(coming);
                    is_coming = true;
                }
                coming => coming.into_iter().flatten().try_for_each(|part| {
                    output.push(part?);
                    Ok::<_, Error>(())
                })?,
            }
            stage.output.fill(output);
            operated.push(Operated { processed, updates_ms, removals_ms, commit_ms: 0 });
        }
        let passing = self.assembly.passing.iter();
        if passing.into_iter().any(|inflow| inflow.brings == Brings::NumberedRows) {
            self.assembly.numbered.fill()?;
        }
        let rows = match is_coming {
            true => Rows::Coming(self.assembly.run_result_in_parts()?),
            false => Rows::Held(self.assembly.run_result()?),
        };
        self.assembly.numbered.clear();
        Ok((operated, rows))
    }
}
