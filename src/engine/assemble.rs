//! From a logical plan to what a batch runs: the only place that knows SQL, operators and plans.
//!
//! A query's plan is a tree with streaming tables at its leaves. It is cut at every node that needs
//! memory. What lies between two cuts is a plan of DataFusion that knows nothing of streams; what
//! stands at a cut is an operator of ours; slots join them:
//!
//! ```text
//! source ─slot→ [ filter, project, make partial states ] → Aggregate ─slot→ [ project ] → sink
//!                 a plan of DataFusion, made once          with state        another plan
//! ```
//!
//! So a chain of several operators is just several stages, and every scalar function, stateless join
//! and aggregate is DataFusion's own.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{
    Aggregate as AggregateNode, Expr, LogicalPlan, LogicalPlanBuilder, TableScan, col,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

use super::leaf::{Leaf, Planner};
use super::pane::pane_start;
use super::result::{Groups, conform, sink_schema};
use super::watermark::Observer;
use crate::batch::{Slot, SlotTable};
use crate::error::{Error, Result};
use crate::operators::Operator;
use crate::operators::aggregate::{Aggregate, Emit, EventTime};
use crate::operators::partial::PartialAggregates;
use crate::plan;
use crate::sinks::OutputMode;
use crate::sql::{QueryPlan, event_time_delay};
use crate::time::Millis;
use crate::window::WindowSpec;

/// One source's way into the plan: which read of the query it serves, which columns it decodes.
pub struct Input {
    /// Index into [`QueryPlan::reads`].
    pub read: usize,
    /// The columns that the plan needs, as indexes into the table's schema.
    pub columns: Vec<usize>,
    /// Where the rows go.
    pub slot: Slot,
}

/// A plan that feeds an operator.
pub struct Stage {
    /// From slots to what the operator takes.
    pub plan: Arc<dyn ExecutionPlan>,
    /// What it feeds.
    pub operator: Box<dyn Operator>,
    /// Where the operator's rows go.
    pub output: Slot,
}

/// What a batch of one query runs.
pub struct Assembly {
    /// The tables that are read.
    pub inputs: Vec<Input>,
    /// The operators, in the order in which a batch passes them.
    pub stages: Vec<Stage>,
    /// The last plan, whose rows go to the sink.
    pub result: Arc<dyn ExecutionPlan>,
    /// The schema of the sink: [`sink_schema`] of the result.
    pub schema: SchemaRef,
    /// Each watermark of the query: its delay and what notes its event times.
    pub watermarks: Vec<(Millis, Observer)>,
    /// In update mode: the columns of the result that say which group a row is.
    pub keys: Vec<usize>,
    /// In update mode: a grouping column that the result does not hold.
    missing_key: Option<String>,
    /// The column of the result that the watermark has to reach for the row to be final.
    pub event_time: Option<usize>,
    /// The context in which the plans run.
    pub task: Arc<TaskContext>,
}

/// Cuts a query's plan into what a batch runs.
pub fn assemble(query: &QueryPlan, mode: OutputMode, session: &SessionState) -> Result<Assembly> {
    let mut cutter = Cutter {
        query,
        mode,
        task: session.task_ctx(),
        planner: Planner::new(session.clone(), &query.watermarks),
        inputs: vec![],
        stages: vec![],
        groups: None,
    };
    let top = cutter.cut(query.plan.clone())?;
    let (keys, missing_key, event_time) = match (&cutter.groups, mode) {
        (Some(groups), OutputMode::Update) => groups.trace(&top),
        _ => (vec![], None, None),
    };
    let result = cutter.planner.plan(&top)?;
    let schema = sink_schema(&result.schema())?;
    Ok(Assembly {
        inputs: cutter.inputs,
        stages: cutter.stages,
        schema,
        result,
        watermarks: cutter.planner.watermarks(),
        keys,
        missing_key,
        event_time,
        task: cutter.task,
    })
}

struct Cutter<'a> {
    query: &'a QueryPlan,
    mode: OutputMode,
    task: Arc<TaskContext>,
    planner: Planner,
    inputs: Vec<Input>,
    stages: Vec<Stage>,
    groups: Option<Groups>,
}

impl Cutter<'_> {
    fn cut(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let cut = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::TableScan(scan) => Ok(Transformed::yes(self.input(scan)?)),
            LogicalPlan::Aggregate(node) if Leaf::streams(&node.input) => {
                Ok(Transformed::yes(self.aggregate(node)?))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(cut.data)
    }

    /// A table becomes a slot of just the columns that the plan needs. Where the plan reads it in
    /// several places (a view or a WITH that is used twice), they share the slot: the rows come once.
    fn input(&mut self, scan: TableScan) -> Result<LogicalPlan> {
        let read = self.read_of(&scan)?;
        let streaming = self.query.reads[read].streaming;
        let (columns, slot) = match self.inputs.iter().find(|input| input.read == read) {
            Some(input) => (input.columns.clone(), input.slot.clone()),
            None => self.new_input(read)?,
        };
        let wanted = columns_of(&scan);
        let position = |column: &usize| columns.iter().position(|c| c == column);
        let part: Vec<usize> = wanted.iter().filter_map(position).collect();
        let part = (wanted != columns).then_some(part);
        Ok(Leaf::node(slot, part, scan.projected_schema, streaming))
    }

    fn new_input(&mut self, read: usize) -> Result<(Vec<usize>, Slot)> {
        let table = &self.query.reads[read].slot;
        let mut columns = BTreeSet::new();
        self.query.plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && self.read_of(scan)? == read
            {
                columns.extend(columns_of(scan));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let columns: Vec<usize> = columns.into_iter().collect();
        let slot = Slot::new(table.name(), Arc::new(table.schema().project(&columns)?));
        self.inputs.push(Input { read, columns: columns.clone(), slot: slot.clone() });
        Ok((columns, slot))
    }

    /// Which read of the query a scan is.
    fn read_of(&self, scan: &TableScan) -> Result<usize> {
        let provider = source_as_provider(&scan.source)?;
        let table = provider.downcast_ref::<SlotTable>();
        let same = |table: &SlotTable| {
            self.query.reads.iter().position(|read| read.slot.name() == table.0.name())
        };
        table.and_then(same).ok_or_else(|| {
            Error::internal(format!("the table {} is not fed by the engine", scan.table_name))
        })
    }

    /// A streaming aggregation becomes a stage; above the cut its result is a slot.
    fn aggregate(&mut self, node: AggregateNode) -> Result<LogicalPlan> {
        if node.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) {
            return Err(Error::sql(
                "UNSUPPORTED_FEATURE",
                "grouping sets (ROLLUP, CUBE) are not supported on a stream",
            )
            .hint(
                "write one query for each grouping, or group the result table with a batch query",
            ));
        }
        let output: SchemaRef = Arc::new(node.schema.as_arrow().clone());
        let event_time = event_time_of(&node)?;
        let watermarked = match event_time {
            EventTime::None => false,
            EventTime::Column(i) | EventTime::Window(i, _) | EventTime::Ready(i) => {
                event_time_delay(output.field(i)).is_some()
            }
        };
        let exec = self.planner.plan(&with_panes(&node, event_time)?)?;
        let aggregates = PartialAggregates::of(single_aggregate(&exec)?, self.task.clone())?;
        let emit = match self.mode {
            OutputMode::Append => Emit::Closed,
            OutputMode::Update => Emit::Touched,
            OutputMode::Complete => Emit::All,
        };
        let make = aggregates.make_plan().clone();
        let operator = Aggregate::new(aggregates, event_time, watermarked, emit, output.clone());
        let slot = Slot::new(format!("operator {}", self.stages.len()), output);
        self.groups = Some(Groups {
            names: node.schema.columns()[..node.group_expr.len()].to_vec(),
            event_time: watermarked.then_some(event_time),
        });
        let leaf = Leaf::node(slot.clone(), None, node.schema.clone(), true);
        self.stages.push(Stage { plan: make, operator: Box::new(operator), output: slot });
        Ok(leaf)
    }
}

/// The columns that a scan gives, as indexes into the table's schema.
fn columns_of(scan: &TableScan) -> Vec<usize> {
    let all = || (0..scan.source.schema().fields().len()).collect();
    scan.projection.clone().unwrap_or_else(all)
}

/// Which group expression carries event time: a window, or a raw event-time column.
fn event_time_of(node: &AggregateNode) -> Result<EventTime> {
    let mut found = EventTime::None;
    for (i, expr) in node.group_expr.iter().enumerate() {
        if let Some((_, spec)) = WindowSpec::of(expr)? {
            if matches!(found, EventTime::Window(..)) {
                return Err(Error::sql(
                    "UNSUPPORTED_FEATURE",
                    "a query can group by one window of time only",
                )
                .hint("remove one of the window(...) expressions from GROUP BY"));
            }
            found = EventTime::Window(i, spec);
        } else if !matches!(found, EventTime::Window(..))
            && matches!(node.schema.field(i).data_type(), DataType::Struct(_))
            && event_time_delay(node.schema.field(i)).is_some()
        {
            found = EventTime::Ready(i);
        } else if matches!(found, EventTime::None)
            && event_time_delay(node.schema.field(i)).is_some()
            && matches!(
                node.schema.field(i).data_type(),
                DataType::Timestamp(TimeUnit::Microsecond, _)
            )
        {
            found = EventTime::Column(i);
        }
    }
    Ok(found)
}

/// The name of the column that holds the start of a row's pane.
const PANE: &str = "__pane";

/// The same aggregation over panes instead of windows. Rows without time fall out, as in Spark.
fn with_panes(node: &AggregateNode, event_time: EventTime) -> Result<LogicalPlan> {
    let (column, spec) = match event_time {
        EventTime::None | EventTime::Column(_) => {
            return Ok(LogicalPlan::Aggregate(node.clone()));
        }
        EventTime::Ready(column) => return with_ends(node, column),
        EventTime::Window(column, spec) => (column, spec),
    };
    let Some((time, _)) = WindowSpec::of(&node.group_expr[column])? else {
        return Err(Error::internal("a window group is not a window"));
    };
    let mut columns: Vec<Expr> =
        node.input.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(pane_start(time, spec).alias(PANE));
    let input = LogicalPlanBuilder::from(node.input.as_ref().clone())
        .project(columns)?
        .filter(col(Column::from_name(PANE)).is_not_null())?
        .build()?;
    let mut groups = node.group_expr.clone();
    groups[column] = col(Column::from_name(PANE));
    let aggregate = AggregateNode::try_new(Arc::new(input), groups, node.aggr_expr.clone())?;
    Ok(LogicalPlan::Aggregate(aggregate))
}

/// The same aggregation over a window's end, and its start behind the other groups.
fn with_ends(node: &AggregateNode, column: usize) -> Result<LogicalPlan> {
    let mut groups = node.group_expr.clone();
    let start = get_field(groups[column].clone(), "start").alias("__window_start");
    groups[column] = get_field(groups[column].clone(), "end").alias("__window_end");
    groups.push(start);
    let aggregate = AggregateNode::try_new(node.input.clone(), groups, node.aggr_expr.clone())?;
    Ok(LogicalPlan::Aggregate(aggregate))
}

/// The aggregation in a physical plan, from which its parts are taken: the complete one, or, where
/// the planner has cut it in two itself, the lower half.
fn single_aggregate(plan: &Arc<dyn ExecutionPlan>) -> Result<&AggregateExec> {
    let mut node = plan;
    loop {
        if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
            use AggregateMode as M;
            match aggregate.mode() {
                M::Single | M::SinglePartitioned | M::Partial => return Ok(aggregate),
                M::Final | M::FinalPartitioned | M::PartialReduce => {}
            }
        }
        let children = node.children();
        let [child] = children[..] else {
            return Err(Error::internal("an aggregation was planned without an aggregation"));
        };
        node = child;
    }
}

impl Assembly {
    /// A sink that replaces the older row of a group has to find it: in update mode each grouping
    /// column must be in the result.
    pub fn check_keys(&self) -> Result<()> {
        let Some(name) = &self.missing_key else { return Ok(()) };
        Err(Error::sql(
            "STREAMING_OUTPUT_MODE.UPDATE_WITHOUT_KEY",
            format!(
                "update mode replaces the older row of a group, but the result does not hold the \
                 grouping column {name}"
            ),
        )
        .hint("add the column to SELECT, or use the output mode 'complete'"))
    }

    /// Runs the last plan over what the slots hold; gives rows in the sink's schema.
    pub fn run_result(&self) -> Result<Vec<RecordBatch>> {
        plan::run(&self.result, &self.task)?
            .iter()
            .map(|batch| conform(batch, &self.schema))
            .collect()
    }
}
