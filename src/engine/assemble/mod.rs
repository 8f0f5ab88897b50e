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

pub mod about;
mod aggregate;
mod first_rows;
mod join;
mod session;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::datasource::source_as_provider;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, TableScan};
use datafusion::physical_plan::ExecutionPlan;

use self::about::About;
use super::arrivals::Arrivals;
use super::leaf::{Holds, Leaf, Planner};
use super::result::{Groups, conform, sink_schema};
use super::trace::{Numbered, Trace, multiplies, slot_column};
use super::upstream::Upstream;
use super::watermark::Observer;
use crate::batch::{Coming, Slot, SlotTable};
use crate::error::{Error, Result};
use crate::operators::Operator;
use crate::plan;
use crate::sinks::OutputMode;
use crate::sql::{DeduplicateNode, QueryPlan, WatermarkNode};
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

/// What is known of the rows that go into an operator, or into the sink.
pub struct Inflow {
    /// What arrives in a batch.
    pub arrivals: Arrivals,
    /// Which rows those are.
    pub trace: Trace,
    /// How one tells how many rows of the streams have arrived.
    pub brings: Brings,
    /// Whether the plan lets the same rows arrive when it is run again: nothing in it is random.
    pub repeatable: bool,
}

/// The rows that pass a WATERMARK clause.
pub struct Clause {
    /// Which rows those are, with their event times.
    pub trace: Trace,
    /// The slot and its column that the event time is read from; `None`: it is computed.
    pub read_from: Option<(String, usize)>,
}

/// What arrives, in terms of the rows that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brings {
    /// Each row is another row of a stream.
    RowsOfStreams,
    /// No row is one of a stream.
    RowsOfOperators,
    /// A row may be one of a stream, and may come several times: it carries its number.
    NumberedRows,
}

/// An operator and the plans that feed it.
pub struct Stage {
    /// From slots to what the operator takes: one plan for each of its inputs.
    pub plans: Vec<Arc<dyn ExecutionPlan>>,
    /// What goes in, for each of its inputs.
    pub inflows: Vec<Inflow>,
    /// What they feed.
    pub operator: Box<dyn Operator>,
    /// What it is, for those who explain.
    pub about: About,
    /// Where its input's watermark comes from.
    pub upstream: Upstream,
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
    /// The rows of streams that go through no operator; `None`: there are none.
    pub passing: Option<Inflow>,
    /// The leaves whose rows can be numbered.
    pub numbered: Numbered,
    /// Makes plans, for those that are made when they are needed.
    pub planner: Planner,
    /// The schema of the sink: [`sink_schema`] of the result.
    pub schema: SchemaRef,
    /// Each watermark of the query: its delay and what notes its event times.
    pub watermarks: Vec<(Millis, Observer)>,
    /// What the sink does with the rows: where they are no groups, none of them ever changes, and
    /// update mode is append.
    pub sink_mode: OutputMode,
    /// In update mode: the columns of the result that say which group a row is.
    pub keys: Vec<usize>,
    /// In update mode: a grouping column that the result does not hold.
    missing_key: Option<String>,
    /// The column of the result that the watermark has to reach for the row to be final.
    pub event_time: Option<usize>,
    /// For each watermark the rows that pass its clause, by which one knows the newest.
    pub clauses: Vec<Option<Clause>>,
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
        numbered: Numbered::default(),
        read_twice: read_twice(query)?,
        clauses: (0..query.watermarks.len()).map(|_| None).collect(),
    };
    let top = cutter.cut(query.plan.clone())?;
    let (sink_mode, (keys, missing_key, event_time)) = match (&cutter.groups, mode) {
        (Some(groups), OutputMode::Update) => (mode, groups.trace(&top)),
        (None, OutputMode::Update) => (OutputMode::Append, Default::default()),
        _ => (mode, Default::default()),
    };
    let passes = |node: &LogicalPlan| Ok(Leaf::holds(node) == Some(Holds::Stream));
    let (result, passing) = match top.exists(passes)? {
        true => {
            let (counted, inflow) = cutter.arriving(&top, None, None)?;
            (cutter.planner.plan(&counted)?, Some(inflow))
        }
        false => (cutter.planner.plan(&top)?, None),
    };
    let schema = sink_schema(&result.schema())?;
    Ok(Assembly {
        inputs: cutter.inputs,
        stages: cutter.stages,
        schema,
        sink_mode,
        result,
        passing,
        numbered: cutter.numbered,
        clauses: cutter.clauses,
        watermarks: cutter.planner.watermarks(),
        planner: cutter.planner,
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
    numbered: Numbered,
    /// The slots that the plan reads in several places.
    read_twice: BTreeSet<String>,
    clauses: Vec<Option<Clause>>,
}

impl Cutter<'_> {
    fn cut(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let cut = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::TableScan(scan) => Ok(Transformed::yes(self.input(scan)?)),
            LogicalPlan::Aggregate(node) if Leaf::streams(&node.input) => {
                Ok(Transformed::yes(self.aggregate(node)?))
            }
            LogicalPlan::Join(node) if Leaf::streams(&node.left) && Leaf::streams(&node.right) => {
                Ok(Transformed::yes(self.join(&node)?))
            }
            // In complete mode the result is limited, which is all there each time.
            LogicalPlan::Limit(node)
                if Leaf::streams(&node.input) && !self.is_whole(&node.input) =>
            {
                Ok(Transformed::yes(self.limit(node)?))
            }
            LogicalPlan::Filter(node) => {
                self.tell_wanted(&node)?;
                Ok(Transformed::no(LogicalPlan::Filter(node)))
            }
            other => match DeduplicateNode::of(&other) {
                Some(node) => Ok(Transformed::yes(self.deduplicate(node)?)),
                None => Ok(Transformed::no(other)),
            },
        })?;
        Ok(cut.data)
    }

    /// Tells a grouping what is asked of its groups right above it. Spark asks it of the rows below, so
    /// that other groups are not kept.
    fn tell_wanted(&mut self, node: &Filter) -> Result<()> {
        let mut below = &node.input;
        while let LogicalPlan::Filter(filter) = below.as_ref() {
            below = &filter.input;
        }
        let Some(Holds::Operator(stage)) = Leaf::holds(below) else { return Ok(()) };
        let Some(groups) = self.groups.as_ref().map(|groups| groups.names.clone()) else {
            return Ok(());
        };
        let fields = node.input.schema().iter().take(groups.len());
        let fields = fields.map(|(qualifier, field)| (qualifier.cloned(), field.clone()));
        let keys = DFSchema::new_with_metadata(fields.collect(), Default::default())?;
        for asked in split_conjunction(&node.predicate) {
            if !asked.is_volatile() && asked.column_refs().iter().all(|c| groups.contains(c)) {
                let predicate = self.planner.expression(asked, &keys)?;
                self.stages[stage].operator.only_wanted(predicate);
            }
        }
        Ok(())
    }

    /// Whether the rows of a plan are all of its result each time, not what is new.
    fn is_whole(&self, plan: &LogicalPlan) -> bool {
        let whole = |stage: usize| self.stages[stage].operator.gives_whole_result();
        let leaf = |node: &LogicalPlan| match Leaf::holds(node) {
            Some(Holds::Operator(stage)) => Ok(whole(stage)),
            _ => Ok(false),
        };
        plan.exists(leaf).unwrap_or(false)
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
        Ok(Leaf::table(slot, part, scan.projected_schema, streaming))
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

    /// A plan that feeds an operator or the sink, with a node on top that notes what arrives; and what
    /// is known of that. `time` is the event time by which the operator judges its rows: of each
    /// row's window if there is a `window`.
    fn arriving(
        &mut self,
        input: &LogicalPlan,
        time: Option<Expr>,
        window: Option<WindowSpec>,
    ) -> Result<(LogicalPlan, Inflow)> {
        self.trace_watermarks(input)?;
        let arrivals = Arrivals::default();
        let trace = Trace::new(self.numbered.trace(input, false)?, time, window)?;
        let brings = self.brings(input);
        let below = match brings {
            Brings::NumberedRows => self.numbered.trace(input, true)?,
            Brings::RowsOfStreams | Brings::RowsOfOperators => input.clone(),
        };
        let counted = arrivals.on(below, input.schema().clone());
        Ok((counted, Inflow { arrivals, trace, brings, repeatable: !is_random(input) }))
    }

    /// Makes ready to find the newest row behind each WATERMARK clause of a plan.
    fn trace_watermarks(&mut self, plan: &LogicalPlan) -> Result<()> {
        let mut found = vec![];
        plan.apply(|node| {
            found.extend(WatermarkNode::of(node).cloned());
            Ok(TreeNodeRecursion::Continue)
        })?;
        for clause in found {
            if let Some(place) = self.clauses.get_mut(clause.index)
                && place.is_none()
            {
                let input = self.numbered.trace(&clause.input, false)?;
                let column = clause.input.schema().index_of_column(&clause.event_time)?;
                let read_from = slot_column(&clause.input, column);
                let trace = Trace::new(input, Some(Expr::Column(clause.event_time)), None)?;
                *place = Some(Clause { trace, read_from });
            }
        }
        Ok(())
    }

    fn brings(&self, input: &LogicalPlan) -> Brings {
        let (mut of_streams, mut of_operators, mut again) = (false, false, multiplies(input));
        // Visiting a plan cannot fail when the visitor does not.
        let _ = input.apply(|node| {
            if let Some(leaf) = Leaf::of(node) {
                of_streams |= leaf.kind() == Holds::Stream;
                of_operators |= matches!(leaf.kind(), Holds::Operator(_));
                again |= self.read_twice.contains(leaf.slot().name());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        match (of_streams, of_operators) {
            (false, _) => Brings::RowsOfOperators,
            (true, false) if !again => Brings::RowsOfStreams,
            _ => Brings::NumberedRows,
        }
    }

    /// An operator becomes a stage; above the cut its result is a slot.
    fn stage(
        &mut self,
        plans: Vec<Arc<dyn ExecutionPlan>>,
        inflows: Vec<Inflow>,
        operator: impl Operator + 'static,
        about: About,
        inputs: &[&LogicalPlan],
        result: &DFSchemaRef,
    ) -> LogicalPlan {
        let number = self.stages.len();
        let output = Slot::new(format!("operator {number}"), operator.output_schema());
        let upstream = Upstream::of(inputs.iter().copied());
        if upstream.has_operators() {
            // The groups that went in are not what comes out.
            self.groups = None;
        }
        self.stages.push(Stage {
            plans,
            inflows,
            operator: Box::new(operator),
            about,
            upstream,
            output: output.clone(),
        });
        Leaf::operator(output, result.clone(), number)
    }
}

/// Whether a plan holds a function that gives another value each time.
fn is_random(plan: &LogicalPlan) -> bool {
    let random = |node: &LogicalPlan| Ok(node.expressions().iter().any(Expr::is_volatile));
    plan.exists(random).unwrap_or(true)
}

/// The slots of the tables that a plan reads in more than one place.
fn read_twice(query: &QueryPlan) -> Result<BTreeSet<String>> {
    let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
    query.plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = source_as_provider(&scan.source)?.downcast_ref::<SlotTable>()
            && !once.insert(table.0.name().to_owned())
        {
            twice.insert(table.0.name().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(twice)
}

/// The columns that a scan gives, as indexes into the table's schema.
fn columns_of(scan: &TableScan) -> Vec<usize> {
    let all = || (0..scan.source.schema().fields().len()).collect();
    scan.projection.clone().unwrap_or_else(all)
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

    /// Whether the result can be made a part at a time, as the rows of the last operator come.
    pub fn gives_parts(&self) -> bool {
        let parts = self.result.properties().output_partitioning().partition_count();
        self.passing.is_none() && parts == 1
    }

    /// As [`Assembly::run_result`], a part at a time.
    pub fn run_result_in_parts(&self) -> Result<Coming> {
        let (parts, schema) = (plan::run_in_parts(&self.result, &self.task)?, self.schema.clone());
        Ok(Box::new(parts.map(move |part| conform(&part?, &schema))))
    }
}
