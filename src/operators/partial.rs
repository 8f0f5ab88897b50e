//! Partial aggregates: any DataFusion aggregate, cut into make, merge and finish.
//!
//! An aggregate such as `avg(value)` has a *partial state*, here a sum and a count, that can be made
//! from rows, merged with another one of the same group, and finished into the value. DataFusion
//! can do each of the three for every aggregate it knows, its users' own ones included. So what a
//! stream remembers of a group is just the columns of its partial state, and nothing of ours
//! depends on which aggregate it is:
//!
//! ```text
//! rows ──make──▶ group, state ──┐
//!                               ├─merge──▶ group, state ──finish──▶ group, value
//! state of the batches before ──┘
//! ```
//!
//! Rows are made into states, and states of unknown groups are merged, by DataFusion's plans, which find out
//! which rows are of one group. Where that is known, as it is of a state and the one kept of the same
//! group, DataFusion's accumulators are asked themselves.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take_arrays;
use arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

use crate::batch::{Slot, with_rows};
use crate::error::Result;
use crate::plan;
use crate::share::share_with;

/// A plan that merges what is in its slot.
#[derive(Clone)]
struct Merging {
    input: Slot,
    plan: Arc<dyn ExecutionPlan>,
}

impl Merging {
    fn run(&self, states: Vec<RecordBatch>, task: &Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        self.input.fill(states);
        let merged = plan::run(&self.plan, task);
        self.input.fill(vec![]);
        merged
    }
}

/// One aggregation in its three parts. Cheap to copy; a copy runs the same plans.
#[derive(Clone)]
pub struct PartialAggregates {
    make: Arc<dyn ExecutionPlan>,
    /// Two, which do the same, each for a thread.
    merge: [Merging; 2],
    values: Arc<[Value]>,
    groups: usize,
    finished: SchemaRef,
    task: Arc<TaskContext>,
}

/// One of the values of an aggregation.
struct Value {
    aggregate: Arc<AggregateFunctionExpr>,
    /// How many columns its state has.
    columns: usize,
}

impl Value {
    /// An accumulator of many groups, or of one `alone`.
    fn accumulator(&self, alone: bool) -> Result<Box<dyn GroupsAccumulator>> {
        if self.aggregate.groups_accumulator_supported() && !alone {
            return Ok(self.aggregate.create_groups_accumulator()?);
        }
        let aggregate = self.aggregate.clone();
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || aggregate.create_accumulator())))
    }
}

impl PartialAggregates {
    /// Cuts a complete aggregation. What is below it becomes part of `make`.
    pub fn of(aggregate: &AggregateExec, task: Arc<TaskContext>) -> Result<Self> {
        let make = Arc::new(AggregateExec::try_new(
            AggregateMode::Partial,
            aggregate.group_expr().clone(),
            aggregate.aggr_expr().to_vec(),
            aggregate.filter_expr().to_vec(),
            aggregate.input().clone(),
            aggregate.input_schema(),
        )?);
        // A FILTER has done its work in `make`.
        let no_filters = vec![None; aggregate.aggr_expr().len()];
        let input = || Slot::new("partial states", make.schema());
        let over = |input: &Slot, mode| {
            AggregateExec::try_new(
                mode,
                aggregate.group_expr().as_final(),
                aggregate.aggr_expr().to_vec(),
                no_filters.clone(),
                input.leaf(None)?,
                aggregate.input_schema(),
            )
        };
        let merging = |input: Slot| -> Result<Merging> {
            let plan = Arc::new(over(&input, AggregateMode::PartialReduce)?);
            Ok(Merging { input, plan })
        };
        let value = |aggregate: &Arc<AggregateFunctionExpr>| -> Result<Value> {
            let columns = aggregate.state_fields()?.len();
            Ok(Value { aggregate: aggregate.clone(), columns })
        };
        Ok(Self {
            groups: aggregate.group_expr().num_group_exprs(),
            merge: [merging(input())?, merging(input())?],
            values: aggregate.aggr_expr().iter().map(value).collect::<Result<_>>()?,
            finished: over(&input(), AggregateMode::Final)?.schema(),
            make,
            task,
        })
    }

    /// The plan from the rows of a batch to partial states.
    pub fn make_plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.make
    }

    /// The columns of a partial state: the groups, then the states of the aggregates.
    pub fn schema(&self) -> SchemaRef {
        self.make.schema()
    }

    /// Whether the rows come in several parts (those of a UNION): then each part has made its own
    /// state of a group.
    pub fn comes_in_parts(&self) -> bool {
        self.make.properties().output_partitioning().partition_count() > 1
    }

    /// How many of the columns are groups.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Makes one partial state a group. Older states come first: `first`, `last` and
    /// `collect_list` go by that order.
    pub fn merge(&self, states: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        self.merge[0].run(states, &self.task)
    }

    /// [`PartialAggregates::merge`] of some parts, which have no group in common; two threads share
    /// them. `states` makes the states of a part.
    pub fn merge_each<P: Send>(
        &self,
        parts: Vec<P>,
        states: impl Fn(P) -> Result<RecordBatch> + Sync,
    ) -> Result<Vec<RecordBatch>> {
        let merged = share_with(&mut self.merge.clone(), parts, |merge, part| {
            merge.run(vec![states(part)?], &self.task)
        });
        Ok(merged.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }

    /// The states of `newer`, one a group, each merged with an older one: `older` has states of some of
    /// these groups, `of` the row that each of them has in `newer`.
    pub fn merge_into(
        &self,
        older: &RecordBatch,
        of: &[usize],
        newer: &RecordBatch,
    ) -> Result<RecordBatch> {
        let groups = numbered_by_age(of, newer.num_rows());
        let first: Vec<usize> = (0..of.len()).collect();
        let merged = self.accumulate(&[(older, &first), (newer, &groups)], |accumulator| {
            Ok(accumulator.state(EmitTo::All)?)
        })?;
        let order = UInt64Array::from_iter_values(groups.iter().map(|&group| group as u64));
        let columns = newer.columns()[..self.groups].iter().cloned();
        let columns = columns.chain(take_arrays(&merged, &order, None)?);
        with_rows(&newer.schema(), columns.collect(), newer.num_rows())
    }

    /// Turns partial states, one a group, into values.
    pub fn finish(&self, states: &RecordBatch) -> Result<RecordBatch> {
        let groups: Vec<usize> = (0..states.num_rows()).collect();
        let values = self.accumulate(&[(states, &groups)], |accumulator| {
            Ok(vec![accumulator.evaluate(EmitTo::All)?])
        })?;
        let columns = states.columns()[..self.groups].iter().cloned().chain(values);
        // Without groups there is one row of values even where there is nothing.
        let rows = if self.groups == 0 { 1 } else { states.num_rows() };
        with_rows(&self.finished, columns.collect(), rows)
    }

    /// What comes of accumulators that have seen some states, given with the number of each one's group.
    /// Accumulators want a group to be seen as soon as it is counted: they take the others for not NULL.
    fn accumulate(
        &self,
        states: &[(&RecordBatch, &[usize])],
        give: impl Fn(&mut dyn GroupsAccumulator) -> Result<Vec<ArrayRef>>,
    ) -> Result<Vec<ArrayRef>> {
        let (mut given, mut column) = (Vec::new(), self.groups);
        for value in self.values.iter() {
            // The only group, without a key, is there before it is seen.
            let (alone, next) = (self.groups == 0, column + value.columns);
            let mut accumulator = value.accumulator(alone)?;
            let mut count = usize::from(alone);
            for (states, groups) in states {
                let columns = &states.columns()[column..next];
                count = groups.iter().fold(count, |count, group| count.max(group + 1));
                accumulator.merge_batch(columns, groups, count)?;
            }
            given.extend(give(accumulator.as_mut())?);
            column = next;
        }
        Ok(given)
    }
}

/// The number of the group of each of so many rows: first come, in this order, the rows of `first`.
fn numbered_by_age(first: &[usize], rows: usize) -> Vec<usize> {
    let mut numbers = vec![usize::MAX; rows];
    first.iter().enumerate().for_each(|(number, &row)| numbers[row] = number);
    let others = numbers.iter_mut().filter(|number| **number == usize::MAX);
    others.zip(first.len()..).for_each(|(number, next)| *number = next);
    numbers
}
