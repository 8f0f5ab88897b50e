//! Which rows of the input arrive at an operator, and with what time: the same plan over numbered
//! rows.
//!
//! A plan that feeds an operator knows nothing of where a row comes from. When one of its rows was
//! refused somebody has to know, so the plan is run once more over the same rows, with one column
//! more: the number of each row, which every node on the way lets pass. It happens only in batches
//! in which a row was refused, and the plan is made the first time that it does.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, Union, lit};
use datafusion::physical_plan::ExecutionPlan;

use super::leaf::{Holds, Leaf, Planner};
use crate::batch::{Slot, with_rows};
use crate::error::{Error, Result};
use crate::operators::late::event_times;
use crate::plan;
use crate::sql::WatermarkNode;
use crate::window::WindowSpec;

/// The name of the column of numbers.
const NUMBER: &str = "\u{1}row";

/// So many bits of a number say which row of its leaf it is; the others say which leaf.
const ROW_BITS: u32 = 40;

/// A row of a batch: which leaf of the plans it is in, and which row of that leaf's slot it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowNumber(pub i64);

impl RowNumber {
    /// Which of [`Numbered::leaves`].
    pub fn leaf(self) -> usize {
        (self.0 >> ROW_BITS) as usize
    }

    /// Which row of the slot.
    pub fn row(self) -> u64 {
        (self.0 & ((1 << ROW_BITS) - 1)) as u64
    }
}

/// A set of rows: a bit a row, since there may be millions.
#[derive(Debug, Clone, Default)]
pub struct RowSet {
    /// For each leaf a bit for each of its rows.
    leaves: Vec<Vec<u64>>,
}

impl RowSet {
    /// Adds a row; one that is of no leaf (a number below 0) is left out.
    pub fn insert(&mut self, number: RowNumber) {
        if number.0 < 0 {
            return;
        }
        let (leaf, word) = (number.leaf(), (number.row() / 64) as usize);
        if self.leaves.len() <= leaf {
            self.leaves.resize(leaf + 1, vec![]);
        }
        let bits = &mut self.leaves[leaf];
        if bits.len() <= word {
            bits.resize((word + 1).max(bits.len() * 2), 0);
        }
        bits[word] |= 1 << (number.row() % 64);
    }

    /// Adds the rows of another set.
    pub fn extend(&mut self, other: RowSet) {
        if self.leaves.len() < other.leaves.len() {
            self.leaves.resize(other.leaves.len(), vec![]);
        }
        for (bits, more) in self.leaves.iter_mut().zip(other.leaves) {
            if bits.len() < more.len() {
                bits.resize(more.len(), 0);
            }
            bits.iter_mut().zip(more).for_each(|(bits, more)| *bits |= more);
        }
    }

    /// How many rows of a leaf are in it.
    pub fn count(&self, leaf: usize) -> u64 {
        let bits = self.leaves.get(leaf).map(Vec::as_slice).unwrap_or_default();
        bits.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }
}

/// A slot and its twin, in which the rows are numbered.
#[derive(Clone)]
pub struct NumberedLeaf {
    /// The slot that the plans of the query read.
    pub slot: Slot,
    /// What its rows are.
    pub holds: Holds,
    twin: Slot,
}

/// All leaves of a query's plans whose rows can be numbered.
#[derive(Clone, Default)]
pub struct Numbered {
    /// In the order in which they were met.
    pub leaves: Vec<NumberedLeaf>,
}

impl Numbered {
    /// The leaf whose twin has this name.
    pub fn leaf_of_twin(&self, twin: &str) -> Option<&NumberedLeaf> {
        self.leaves.iter().find(|leaf| leaf.twin.name() == twin)
    }

    /// The twin of a slot.
    fn twin(&mut self, slot: &Slot, holds: Holds) -> Slot {
        let same = |leaf: &&NumberedLeaf| leaf.slot.name() == slot.name();
        if let Some(leaf) = self.leaves.iter().find(same) {
            return leaf.twin.clone();
        }
        let fields = slot.schema().fields().iter().cloned().chain([number_field()]);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let twin = Slot::new(format!("{}, numbered", slot.name()), schema);
        self.leaves.push(NumberedLeaf { slot: slot.clone(), holds, twin: twin.clone() });
        twin
    }

    /// Gives each row of this batch its number.
    pub fn fill(&self) -> Result<()> {
        (0..self.leaves.len()).try_for_each(|leaf| self.fill_leaf(leaf))
    }

    /// Gives their numbers to those rows alone that have this event time, in microseconds, in a
    /// column of a slot.
    pub fn fill_at(&self, (slot, column): &(String, usize), time_us: i64) -> Result<()> {
        let is_it = |batch: RecordBatch| {
            let times = event_times(batch.column(*column))?;
            let at_time: BooleanArray = times.iter().map(|t| Some(t == Some(time_us))).collect();
            Ok(filter_record_batch(&batch, &at_time)?)
        };
        let leaves = self.leaves.iter().enumerate();
        for (number, leaf) in leaves.filter(|(_, leaf)| leaf.slot.name() == slot) {
            let rows = numbered_rows(number, &leaf.slot).map(|batch| is_it(batch?));
            leaf.twin.fill(rows.collect::<Result<_>>()?);
        }
        Ok(())
    }

    fn fill_leaf(&self, number: usize) -> Result<()> {
        let leaf = &self.leaves[number];
        leaf.twin.fill(numbered_rows(number, &leaf.slot).collect::<Result<_>>()?);
        Ok(())
    }

    /// Lets go of the rows.
    pub fn clear(&self) {
        self.leaves.iter().for_each(|leaf| leaf.twin.fill(vec![]));
    }

    /// The same plan, which gives the number of each row as its last column. Without `watermarks`
    /// it notes no event times.
    pub fn trace(&mut self, plan: &LogicalPlan, watermarks: bool) -> Result<LogicalPlan> {
        if !Leaf::streams(plan) {
            let mut columns = all_columns(plan.schema());
            columns.push(lit(-1_i64).alias(NUMBER));
            return Ok(LogicalPlanBuilder::from(plan.clone()).project(columns)?.build()?);
        }
        if let Some(leaf) = Leaf::of(plan) {
            return self.leaf(leaf);
        }
        if let Some(node) = WatermarkNode::of(plan)
            && !watermarks
        {
            return self.trace(&node.input, watermarks);
        }
        match plan {
            LogicalPlan::Projection(node) => {
                let input = self.trace(&node.input, watermarks)?;
                let mut columns = node.expr.clone();
                columns.push(number_of(input.schema())?);
                Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?))
            }
            LogicalPlan::Union(node) => {
                let inputs = node.inputs.iter().map(|input| {
                    let traced = self.trace(input, watermarks)?;
                    Ok(Arc::new(traced))
                });
                let inputs = inputs.collect::<Result<Vec<_>>>()?;
                let schema = with_number(&node.schema)?;
                Ok(LogicalPlan::Union(Union { inputs, schema }))
            }
            LogicalPlan::Join(_) => {
                let inputs = plan.inputs().into_iter().map(|input| {
                    // The still side needs no numbers: there are none on the other.
                    if Leaf::streams(input) {
                        self.trace(input, watermarks)
                    } else {
                        Ok(input.clone())
                    }
                });
                let joined =
                    plan.with_new_exprs(plan.expressions(), inputs.collect::<Result<_>>()?)?;
                // The number stands behind the columns of its side.
                let mut columns = all_columns(plan.schema());
                columns.push(number_of(joined.schema())?);
                Ok(LogicalPlanBuilder::from(joined).project(columns)?.build()?)
            }
            other => {
                let inputs = other.inputs().into_iter().map(|input| self.trace(input, watermarks));
                let inputs = inputs.collect::<Result<_>>()?;
                Ok(other.with_new_exprs(other.expressions(), inputs)?)
            }
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> Result<LogicalPlan> {
        let twin = self.twin(leaf.slot(), leaf.kind());
        let mut columns = leaf.columns();
        columns.push(twin.schema().fields().len() - 1);
        Ok(Leaf::numbered(twin, columns, with_number(leaf.df_schema())?, leaf.kind()))
    }
}

/// The rows of a slot and, behind their columns, the numbers that they have as those of this leaf.
fn numbered_rows(leaf: usize, slot: &Slot) -> impl Iterator<Item = Result<RecordBatch>> {
    let mut next = (leaf as i64) << ROW_BITS;
    slot.rows().into_iter().map(move |batch| {
        let numbers: Int64Array = (next..next + batch.num_rows() as i64).collect();
        next += batch.num_rows() as i64;
        // With the batch's own word on NULLs: a column that is declared NOT NULL may hold some, as
        // in Spark.
        let fields = batch.schema_ref().fields().iter().cloned().chain([number_field()]);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(numbers) as ArrayRef);
        with_rows(&schema, columns, batch.num_rows())
    })
}

fn all_columns(schema: &DFSchema) -> Vec<Expr> {
    schema.columns().into_iter().map(Expr::Column).collect()
}

/// The schema and the column of numbers behind it.
fn with_number(schema: &DFSchemaRef) -> Result<DFSchemaRef> {
    let mut fields: Vec<_> =
        schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone())).collect();
    fields.push((None, number_field()));
    Ok(Arc::new(DFSchema::new_with_metadata(fields, schema.metadata().clone())?))
}

fn number_field() -> Arc<Field> {
    Arc::new(Field::new(NUMBER, DataType::Int64, true))
}

/// The column of numbers.
fn number_of(schema: &DFSchema) -> Result<Expr> {
    let found = schema.iter().find(|(_, field)| field.name() == NUMBER);
    let (qualifier, field) = found.ok_or_else(|| Error::internal("a row has lost its number"))?;
    Ok(Expr::Column(Column::from((qualifier, field.as_ref()))).alias(NUMBER))
}

/// The slot, and which of its columns, that a column of a plan is, if nothing is computed on the way.
pub fn slot_column(plan: &LogicalPlan, column: usize) -> Option<(String, usize)> {
    if let Some(leaf) = Leaf::of(plan) {
        return Some((leaf.slot().name().to_owned(), *leaf.columns().get(column)?));
    }
    match plan {
        LogicalPlan::Projection(node) => match node.expr.get(column)?.clone().unalias() {
            Expr::Column(below) => {
                slot_column(&node.input, node.input.schema().index_of_column(&below).ok()?)
            }
            _ => None,
        },
        LogicalPlan::SubqueryAlias(node) => slot_column(&node.input, column),
        LogicalPlan::Filter(node) => slot_column(&node.input, column),
        _ => None,
    }
}

/// Whether a row of a leaf can come out of this plan more than once.
pub fn multiplies(plan: &LogicalPlan) -> bool {
    let on_the_way = |node: &LogicalPlan| {
        let keeps = matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Union(_)
                | LogicalPlan::Extension(_)
        );
        Ok(Leaf::streams(node) && !keeps)
    };
    plan.exists(on_the_way).unwrap_or(true)
}

/// The rows that arrive at one input of an operator, on demand.
pub struct Trace {
    logical: LogicalPlan,
    window: Option<WindowSpec>,
    has_time: bool,
    physical: OnceLock<Arc<dyn ExecutionPlan>>,
}

/// The rows that arrived, in the order in which they did.
#[derive(Debug, Default)]
pub struct Traced {
    /// Where each comes from.
    pub numbers: Vec<RowNumber>,
    /// The event time by which each is judged, in microseconds; of a window its end. Empty where
    /// the operator goes by none.
    pub times: Vec<Option<i64>>,
    /// The start of the window, where the time is a window.
    pub starts: Vec<Option<i64>>,
    /// The windows that a time belongs to.
    pub window: Option<WindowSpec>,
}

impl Trace {
    /// The trace of `input`, a plan that [`Numbered::trace`] gave. `time` is the event time by which
    /// the operator judges its rows: of each row's window if there is a `window`.
    pub fn new(input: LogicalPlan, time: Option<Expr>, window: Option<WindowSpec>) -> Result<Self> {
        let mut columns = vec![number_of(input.schema())?];
        let has_time = time.is_some();
        columns.extend(time.map(|time| time.alias("time")));
        let logical = LogicalPlanBuilder::from(input).project(columns)?.build()?;
        Ok(Self { logical, window, has_time, physical: OnceLock::new() })
    }

    /// The slot whose rows come out as they are and in their order, if the plan is so simple.
    pub fn passes(&self) -> Option<&str> {
        let mut plan = &self.logical;
        loop {
            plan = match plan {
                LogicalPlan::Projection(node) => &node.input,
                LogicalPlan::SubqueryAlias(node) => &node.input,
                other => return Leaf::of(other).map(|leaf| leaf.slot().name()),
            };
        }
    }

    /// Runs it over the rows of this batch.
    pub fn run(&self, planner: &Planner, task: &Arc<TaskContext>) -> Result<Traced> {
        if self.physical.get().is_none() {
            let _ = self.physical.set(planner.plan(&self.logical)?);
        }
        let Some(plan) = self.physical.get() else { return Ok(Traced::default()) };
        let mut traced = Traced { window: self.window, ..Traced::default() };
        for batch in plan::run(plan, task)? {
            traced.add(&batch, self.has_time)?;
        }
        Ok(traced)
    }
}

impl Traced {
    fn add(&mut self, batch: &RecordBatch, has_time: bool) -> Result<()> {
        let numbers = batch.column(0).as_primitive::<Int64Type>();
        self.numbers.extend(numbers.values().iter().map(|&number| RowNumber(number)));
        if has_time {
            let column = batch.column(1);
            self.times.extend(event_times(column)?.iter());
            if let DataType::Struct(_) = column.data_type()
                && let Some(start) = column.as_struct().column_by_name("start")
            {
                self.starts.extend(event_times(start)?.iter());
            }
        }
        Ok(())
    }

    /// The event time of a row, in microseconds.
    pub fn time(&self, row: usize) -> Option<i64> {
        self.times.get(row).copied().flatten()
    }

    /// Whether a row is late: everything that it belongs to has been passed by the watermark.
    pub fn is_late(&self, row: usize, late_us: i64) -> bool {
        let Some(time) = self.time(row) else { return false };
        match self.window {
            Some(window) => window.windows(window.pane_start(time)).all(|(_, end)| end <= late_us),
            None => time <= late_us,
        }
    }

    /// The windows that a row belongs to: start and end, in microseconds.
    pub fn windows(&self, row: usize) -> Vec<(i64, i64)> {
        let Some(time) = self.time(row) else { return vec![] };
        match (self.window, self.starts.get(row).copied().flatten()) {
            (Some(window), _) => window.windows(window.pane_start(time)).collect(),
            (None, Some(start)) => vec![(start, time)],
            (None, None) => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_of_rows_counts_each_once(
            first in prop::collection::vec((0i64..3, 0i64..300), 0..80),
            second in prop::collection::vec((0i64..3, 0i64..300), 0..80),
        ) {
            let set = |rows: &[(i64, i64)]| {
                let mut set = RowSet::default();
                let number = |(leaf, row): &(i64, i64)| RowNumber((leaf << ROW_BITS) + row);
                rows.iter().for_each(|row| set.insert(number(row)));
                set.insert(RowNumber(-1));
                set
            };
            let mut both = set(&first);
            both.extend(set(&second));
            let expected: BTreeSet<(i64, i64)> = first.into_iter().chain(second).collect();
            for leaf in 0..4 {
                let of_leaf = expected.iter().filter(|(l, _)| *l == leaf as i64).count() as u64;
                prop_assert_eq!(both.count(leaf), of_leaf);
            }
        }
    }
}
