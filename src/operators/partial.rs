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

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

use crate::batch::Slot;
use crate::error::Result;
use crate::plan;

/// The three plans of one aggregation. Cheap to copy; a copy runs the same plans.
#[derive(Clone)]
pub struct PartialAggregates {
    make: Arc<dyn ExecutionPlan>,
    merge: Arc<dyn ExecutionPlan>,
    finish: Arc<dyn ExecutionPlan>,
    merge_input: Slot,
    finish_input: Slot,
    groups: usize,
    task: Arc<TaskContext>,
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
        let over = |mode, name: &'static str| -> Result<(Slot, Arc<dyn ExecutionPlan>)> {
            let input = Slot::new(name, make.schema());
            let exec = AggregateExec::try_new(
                mode,
                aggregate.group_expr().as_final(),
                aggregate.aggr_expr().to_vec(),
                no_filters.clone(),
                input.leaf(None)?,
                aggregate.input_schema(),
            )?;
            Ok((input, Arc::new(exec)))
        };
        let (merge_input, merge) = over(AggregateMode::PartialReduce, "partial states")?;
        let (finish_input, finish) = over(AggregateMode::Final, "final states")?;
        Ok(Self {
            groups: aggregate.group_expr().num_group_exprs(),
            make,
            merge,
            finish,
            merge_input,
            finish_input,
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

    /// The columns of a finished group: the groups, then the values.
    pub fn finished_schema(&self) -> SchemaRef {
        self.finish.schema()
    }

    /// Makes one partial state a group. Older states come first: `first`, `last` and
    /// `collect_list` go by that order.
    pub fn merge(&self, states: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        self.merge_input.fill(states);
        let merged = plan::run(&self.merge, &self.task);
        self.merge_input.fill(vec![]);
        merged
    }

    /// Turns partial states, one a group, into values.
    pub fn finish(&self, states: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        self.finish_input.fill(states);
        let finished = plan::run(&self.finish, &self.task);
        self.finish_input.fill(vec![]);
        finished
    }
}
