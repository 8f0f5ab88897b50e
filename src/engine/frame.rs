//! What a query computes, built call by call: Spark's `DataFrame`, streaming or still.
//!
//! A frame is a plan of DataFusion over tables that the engine will feed. Each call gives a new
//! frame and checks what it can at once: names and types. What a stream cannot do in an output mode
//! is said when the query starts.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::JoinType;

use super::context::StreamContext;
use super::pipeline::Table;
use super::query::Origin;
use super::writer::StreamWriter;
use crate::error::{Error, Result};
use crate::sql::frame::{self, planner_error, resolve};
use crate::sql::{self, QueryPlan, TableRead};

/// One table that a frame reads.
#[derive(Clone)]
pub(super) struct Read {
    pub(super) read: TableRead,
    pub(super) table: Arc<Table>,
}

/// The rows of a stream or of a still table, and what is done with them. Cheap to clone.
///
/// Columns are named in any case. After a join, a name that both sides have is written with its
/// table: `col("users.name")`; a field of a struct with its column: `col("window.start")`.
///
/// ```no_run
/// use strandline::prelude::*;
///
/// # fn main() -> Result<()> {
/// let ctx = StreamContext::new(".")?;
/// let purchases = ctx
///     .read_stream()
///     .schema("event_id STRING, event_type STRING, value DOUBLE")
///     .load("input/events")?
///     .filter(col("event_type").eq(lit("purchase")))?
///     .with_column("with_tax", col("value") * lit(1.19))?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct StreamFrame {
    pub(super) context: StreamContext,
    pub(super) plan: LogicalPlan,
    pub(super) reads: Vec<Read>,
}

impl StreamFrame {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.plan.schema().inner().clone()
    }

    /// Whether a stream is in it; only such a frame can be written as one.
    pub fn is_streaming(&self) -> bool {
        sql::is_streaming(&self.plan)
    }

    /// Says which column is event time, and how late a row may be: the watermark stays this far
    /// behind the newest event time. Groups that it has passed are closed. On a still table it
    /// means nothing.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # let events = strandline::StreamContext::new(".")?.read_stream().load("input/events")?;
    /// let events = events.with_watermark("event_time", "10 minutes")?;
    /// # Ok(()) }
    /// ```
    pub fn with_watermark(self, column: &str, delay: &str) -> Result<Self> {
        let plan = frame::with_watermark(self.plan.clone(), column, delay)?;
        Ok(self.with_plan(plan))
    }

    /// The rows for which this is true.
    pub fn filter(self, predicate: Expr) -> Result<Self> {
        let predicate = resolve(predicate, self.plan.schema())?.unalias();
        self.build(|plan| plan.filter(predicate))
    }

    /// These columns.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # use strandline::prelude::*;
    /// # let events = StreamContext::new(".")?.read_stream().load("input/events")?;
    /// let values = events.select(vec![col("event_id"), (col("value") / lit(100)).alias("euros")])?;
    /// # Ok(()) }
    /// ```
    pub fn select(self, columns: Vec<Expr>) -> Result<Self> {
        let columns = self.resolve_all(columns)?;
        if !find_aggregate_exprs(&columns).is_empty() {
            return Err(Error::sql("MISSING_GROUP_BY", "an aggregate function needs groups").hint(
                "write group_by(vec![…]).agg(vec![…]); group_by(vec![]) is one group of all",
            ));
        }
        self.build(|plan| plan.project(columns))
    }

    /// All columns and one more; a column of that name is replaced.
    pub fn with_column(self, name: &str, value: Expr) -> Result<Self> {
        let value = resolve(value, self.plan.schema())?.unalias();
        let mut columns: Vec<Expr> = vec![];
        let mut replaced = false;
        for column in self.plan.schema().columns() {
            if column.name.eq_ignore_ascii_case(name) {
                columns.push(value.clone().alias(column.name));
                replaced = true;
            } else {
                columns.push(Expr::Column(column));
            }
        }
        if !replaced {
            columns.push(value.alias(name));
        }
        self.select(columns)
    }

    /// Of rows that are the same in these columns (none named: in all of them) the first one.
    ///
    /// On a stream what has been seen is remembered: until the watermark passes the event time among
    /// the columns, and for ever if it is not among them. Rows that are late are dropped too.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # let events = strandline::StreamContext::new(".")?.read_stream().load("input/events")?;
    /// let once = events
    ///     .with_watermark("timestamp", "10 minutes")?
    ///     .drop_duplicates(&["event_id", "timestamp"])?;
    /// # Ok(()) }
    /// ```
    pub fn drop_duplicates(self, columns: &[&str]) -> Result<Self> {
        self.deduplicated(columns, false)
    }

    /// [`StreamFrame::drop_duplicates`], but what has been seen is forgotten as soon as the watermark
    /// has passed the first row's event time and the delay once more: for rows whose duplicates do
    /// not carry the same event time. Needs a watermark.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # let events = strandline::StreamContext::new(".")?.read_stream().load("input/events")?;
    /// let once = events
    ///     .with_watermark("timestamp", "10 minutes")?
    ///     .drop_duplicates_within_watermark(&["event_id"])?;
    /// # Ok(()) }
    /// ```
    pub fn drop_duplicates_within_watermark(self, columns: &[&str]) -> Result<Self> {
        self.deduplicated(columns, true)
    }

    fn deduplicated(self, columns: &[&str], within_watermark: bool) -> Result<Self> {
        let plan = frame::drop_duplicates(self.plan.clone(), columns, within_watermark)?;
        Ok(self.with_plan(plan))
    }

    /// Another name for the table, to qualify its columns with: `col("e.value")`.
    pub fn alias(self, name: &str) -> Result<Self> {
        self.build(|plan| plan.alias(name))
    }

    /// The pairs of rows whose columns are equal. Where both sides call such a column the same, the
    /// result has it once. One side must be a still table; an outer join keeps the stream's rows.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # use strandline::prelude::*;
    /// let ctx = StreamContext::new(".")?;
    /// let users = ctx.read().load("input/users")?;
    /// let events = ctx.read_stream().load("input/events")?;
    /// let enriched = events.join(users, JoinType::Left, &["user_id"], &["user_id"])?;
    /// # Ok(()) }
    /// ```
    pub fn join(
        self,
        right: StreamFrame,
        join_type: JoinType,
        left_columns: &[&str],
        right_columns: &[&str],
    ) -> Result<Self> {
        if left_columns.len() != right_columns.len() || left_columns.is_empty() {
            return Err(Error::sql(
                "INVALID_JOIN_KEYS",
                format!(
                    "a join needs as many columns of the left as of the right, found {} and {}",
                    left_columns.len(),
                    right_columns.len()
                ),
            )
            .hint("name at least one column of each side"));
        }
        let left_keys = columns(left_columns, &self.plan)?;
        let right_keys = columns(right_columns, &right.plan)?;
        let twice = keys_twice(join_type, &left_keys, &right_keys);
        let mut reads = self.reads.clone();
        reads.extend(right.reads);
        let joined = self.build(|plan| {
            let keys = (left_keys, right_keys);
            let joined = plan.join(right.plan, join_type, keys, None)?;
            let once = joined.schema().columns().into_iter().filter(|c| !twice.contains(c));
            let once: Vec<Expr> = once.map(Expr::Column).collect();
            joined.project(once)
        })?;
        Ok(Self { reads, ..joined })
    }

    /// Groups rows by the values of these expressions; at most one of them is a
    /// [`window`](crate::functions::window) of event time.
    pub fn group_by(self, keys: Vec<Expr>) -> GroupedFrame {
        GroupedFrame { frame: self, keys }
    }

    /// Says where the result goes. [`StreamWriter::start`] starts the query.
    pub fn write_stream(self) -> StreamWriter {
        StreamWriter::new(self)
    }

    /// The plan of a query of this name, and where its rows come from.
    pub(super) fn query(&self, name: &str) -> Result<(QueryPlan, Vec<Origin>)> {
        let reads: Vec<TableRead> = self.reads.iter().map(|read| read.read.clone()).collect();
        let (plan, came_from) = frame::query_plan(name, self.plan.clone(), &reads)?;
        let origins = plan.reads.iter().zip(came_from).map(|(read, from)| {
            let given = self.reads.get(from);
            let given = given.ok_or_else(|| Error::internal("a read without a table"))?;
            given.table.origin(&self.context.project, read)
        });
        let origins = origins.collect::<Result<_>>()?;
        Ok((plan, origins))
    }

    fn resolve_all(&self, exprs: Vec<Expr>) -> Result<Vec<Expr>> {
        exprs.into_iter().map(|expr| resolve(expr, self.plan.schema())).collect()
    }

    fn with_plan(self, plan: LogicalPlan) -> Self {
        Self { plan, ..self }
    }

    fn build(
        self,
        build: impl FnOnce(LogicalPlanBuilder) -> datafusion::error::Result<LogicalPlanBuilder>,
    ) -> Result<Self> {
        let built = build(LogicalPlanBuilder::from(self.plan.clone()));
        let plan = built.and_then(LogicalPlanBuilder::build).map_err(planner_error)?;
        Ok(self.with_plan(plan))
    }
}

fn columns(names: &[&str], plan: &LogicalPlan) -> Result<Vec<Column>> {
    let found = names.iter().map(|name| {
        match resolve(Expr::Column(Column::from_qualified_name(*name)), plan.schema())? {
            Expr::Column(column) => Ok(column),
            _ => Err(Error::sql("INVALID_JOIN_KEYS", format!("'{name}' is a field of a column"))
                .hint("give it a name of its own with with_column")),
        }
    });
    found.collect()
}

/// Of keys that both sides call the same, those that the result does not need: they are equal, but
/// in an outer join only those of the side that keeps its rows are always there.
fn keys_twice(join_type: JoinType, left: &[Column], right: &[Column]) -> Vec<Column> {
    let same = left.iter().zip(right).filter(|(l, r)| l.name.eq_ignore_ascii_case(&r.name));
    match join_type {
        JoinType::Inner | JoinType::Left => same.map(|(_, right)| right.clone()).collect(),
        JoinType::Right => same.map(|(left, _)| left.clone()).collect(),
        _ => vec![],
    }
}

/// A frame whose rows are put into groups.
pub struct GroupedFrame {
    frame: StreamFrame,
    keys: Vec<Expr>,
}

impl GroupedFrame {
    /// One row a group: its keys, then these values, which are made of aggregate functions.
    ///
    /// ```no_run
    /// # fn main() -> strandline::error::Result<()> {
    /// # use strandline::prelude::*;
    /// # let events = StreamContext::new(".")?.read_stream().load("input/events")?;
    /// let counts = events
    ///     .with_watermark("event_time", "10 minutes")?
    ///     .group_by(vec![window(col("event_time"), "5 minutes")])
    ///     .agg(vec![count_all().alias("events"), avg(col("value")).alias("mean")])?;
    /// # Ok(()) }
    /// ```
    pub fn agg(self, values: Vec<Expr>) -> Result<StreamFrame> {
        let keys = self.frame.resolve_all(self.keys)?;
        let values = self.frame.resolve_all(values)?;
        let aggregates = find_aggregate_exprs(&values);
        let names: Vec<String> = keys.iter().chain(&values).map(output_name).collect();
        let groups: Vec<Expr> = keys.into_iter().map(Expr::unalias).collect();
        let number_of_keys = groups.len();
        self.frame.build(|plan| {
            let grouped = plan.aggregate(groups, aggregates.clone())?;
            let columns = grouped.schema().columns();
            let (keys, results) = columns.split_at(number_of_keys.min(columns.len()));
            let mut outputs: Vec<Expr> = keys.iter().cloned().map(Expr::Column).collect();
            for value in values {
                outputs.push(over_results(value.unalias(), &aggregates, results)?);
            }
            grouped.project(outputs.into_iter().zip(names).map(|(e, name)| e.alias(name)))
        })
    }
}

/// A value with the results of the aggregation in the place of its aggregate functions.
fn over_results(
    value: Expr,
    aggregates: &[Expr],
    results: &[Column],
) -> datafusion::error::Result<Expr> {
    let replaced = value.transform_down(|inner| {
        let found = aggregates.iter().position(|aggregate| *aggregate == inner);
        Ok(match found.and_then(|i| results.get(i)) {
            Some(result) => {
                let column = Expr::Column(result.clone());
                Transformed::new(column, true, TreeNodeRecursion::Jump)
            }
            None => Transformed::no(inner),
        })
    })?;
    Ok(replaced.data)
}

/// What a column of a result is called.
fn output_name(expr: &Expr) -> String {
    match expr {
        Expr::Alias(alias) => alias.name.clone(),
        Expr::Column(column) => column.name.clone(),
        other => other.human_display().to_string(),
    }
}
