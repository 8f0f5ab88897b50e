//! What the steps of a query do with some rows: takes rows of one stream, gives how many each step lets
//! through, until the first operator with memory.
//!
//! The steps are those of the query's own plan, run by DataFusion over these rows alone; nothing is kept.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Column;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{JoinType, LogicalPlan};

use super::Look;
use crate::engine::assemble::about::text;
use crate::engine::leaf::Planner;
use crate::engine::pipeline::Pipeline;
use crate::engine::query::Origin;
use crate::error::Result;
use crate::plan;
use crate::sql::{DeduplicateNode, WatermarkNode, is_streaming};
use crate::time::Millis;

/// Runs parts of a query's plan over rows of one's choice.
pub struct Probe<'a> {
    look: &'a Look,
    planner: Planner,
    task: Arc<TaskContext>,
}

/// A step that can leave rows out.
pub struct Step {
    /// What it asks of a row, as SQL.
    pub condition: String,
    /// Rows that came to it.
    pub rows_in: usize,
    /// Rows that it let through.
    pub rows_out: usize,
    /// For each column that it looks at, some of the values that came: `event_type: click, view`.
    pub values: Vec<String>,
}

impl<'a> Probe<'a> {
    /// A probe of a query; still tables are read now.
    pub fn new(pipeline: &Pipeline, look: &'a Look) -> Result<Self> {
        let session = crate::sql::session(&look.plan.zone).state();
        for read in look.plan.reads.iter().filter(|read| !read.streaming) {
            if let Origin::Still(mut table) = pipeline.origin(read)? {
                read.slot.fill(table.read()?.batches);
            }
        }
        let task = session.task_ctx();
        Ok(Self { look, planner: Planner::new(session, &look.plan.watermarks), task })
    }

    /// From now on the stream gives these rows, in a batch of this time, and no other stream any.
    pub fn feed(&self, stream: usize, rows: Vec<RecordBatch>, batch_time: Millis) {
        self.look.plan.batch_time.set(batch_time);
        for other in &self.look.streams {
            self.look.plan.reads[other.read].slot.fill(vec![]);
        }
        if let Some(stream) = self.look.streams.get(stream) {
            self.look.plan.reads[stream.read].slot.fill(rows);
        }
    }

    /// The rows that a part of the plan gives.
    pub fn run(&self, part: &LogicalPlan) -> Result<Vec<RecordBatch>> {
        plan::run(&self.planner.plan(part)?, &self.task)
    }

    fn count(&self, part: &LogicalPlan) -> Result<usize> {
        Ok(self.run(part)?.iter().map(RecordBatch::num_rows).sum())
    }

    /// What each step that can leave rows out does with the rows that were fed, in the order in which they
    /// pass.
    pub fn steps(&self, stream: usize) -> Result<Vec<Step>> {
        let mut steps = vec![];
        for node in self.stateless(stream) {
            let mut columns = vec![];
            let (condition, input) = match node {
                LogicalPlan::Filter(filter) => {
                    columns.extend(filter.predicate.column_refs().into_iter().cloned());
                    (text(&filter.predicate), filter.input.as_ref())
                }
                LogicalPlan::Join(join) => {
                    let from_left = self.look.streams_below(&join.left).contains(&stream);
                    if !leaves_out(join.join_type, from_left) {
                        continue;
                    }
                    let (input, other) = match from_left {
                        true => (&join.left, &join.right),
                        false => (&join.right, &join.left),
                    };
                    (format!("a match in {}", table_of(other)), input.as_ref())
                }
                _ => continue,
            };
            let came = self.run(input)?;
            columns.sort();
            let values = columns.iter().map(|column| values(column, input, &came));
            steps.push(Step {
                condition,
                rows_in: came.iter().map(RecordBatch::num_rows).sum(),
                rows_out: self.count(node)?,
                values: values.collect::<Result<_>>()?,
            });
        }
        Ok(steps)
    }

    /// The event times that the rows which were fed have at a watermark clause, with the column they are in.
    pub fn at_watermark(&self, stream: usize) -> Result<Option<(usize, Vec<RecordBatch>)>> {
        for node in self.stateless(stream) {
            if let Some(watermark) = WatermarkNode::of(node) {
                return Ok(Some((watermark.event_time_index()?, self.run(&watermark.input)?)));
            }
        }
        Ok(None)
    }

    /// The nodes that the rows of a stream pass before the first operator with memory, the lowest first.
    fn stateless(&self, stream: usize) -> Vec<&'a LogicalPlan> {
        let mut found = vec![];
        self.collect(&self.look.plan.plan, stream, &mut found);
        found
    }

    /// Whether the plan holds the stream and has no memory; such nodes are added to `found`.
    fn collect(
        &self,
        node: &'a LogicalPlan,
        stream: usize,
        found: &mut Vec<&'a LogicalPlan>,
    ) -> bool {
        let mut reads = matches!(node, LogicalPlan::TableScan(_))
            && self.look.streams_below(node).contains(&stream);
        for input in node.inputs() {
            reads |= self.collect(input, stream, found);
        }
        if !reads || has_memory(node) {
            return false;
        }
        found.push(node);
        true
    }
}

/// Some of the values of a column, each once.
fn values(column: &Column, input: &LogicalPlan, rows: &[RecordBatch]) -> Result<String> {
    const SHOWN: usize = 5;
    let at = input.schema().index_of_column(column)?;
    let mut found: Vec<String> = vec![];
    let options = FormatOptions::default().with_null("NULL");
    for batch in rows {
        let shown = ArrayFormatter::try_new(batch.column(at).as_ref(), &options)?;
        for row in 0..batch.num_rows() {
            let value = shown.value(row).to_string();
            if found.len() <= SHOWN && !found.contains(&value) {
                found.push(value);
            }
        }
    }
    let more = if found.len() > SHOWN { " …" } else { "" };
    found.truncate(SHOWN);
    Ok(format!("{}: {}{more}", column.name, found.join(", ")))
}

fn has_memory(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Aggregate(_) | LogicalPlan::Limit(_) => true,
        LogicalPlan::Join(join) => is_streaming(&join.left) && is_streaming(&join.right),
        other => DeduplicateNode::of(other).is_some(),
    }
}

/// Whether a join with a still table can leave a row of the stream out.
fn leaves_out(join: JoinType, from_left: bool) -> bool {
    match join {
        JoinType::Left | JoinType::LeftMark => !from_left,
        JoinType::Right | JoinType::RightMark => from_left,
        JoinType::Full => false,
        _ => true,
    }
}

/// The table that a plan reads, as a person calls it.
fn table_of(plan: &LogicalPlan) -> String {
    let mut name = None;
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    let _ = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            name.get_or_insert_with(|| scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let name = name.unwrap_or_else(|| "the other table".to_owned());
    // `table users#1`
    let name = name.split('#').next().unwrap_or_default();
    name.trim_start_matches("table ").trim_start_matches("stream ").to_owned()
}
