//! The leaves and the watermarks of a query's plan, from logical to physical.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result as PlanResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::arrivals::ArrivalsNode;
use super::watermark::Observer;
use crate::batch::Slot;
use crate::error::{Error, Result};
use crate::plan;
use crate::sql::{WatermarkDefinition, WatermarkNode};
use crate::time::Millis;

/// A slot as a leaf of a logical plan, with the names that the nodes above know its columns by.
#[derive(Debug)]
pub struct Leaf {
    slot: Slot,
    /// Which columns of the slot; `None`: all of them.
    columns: Option<Vec<usize>>,
    schema: DFSchemaRef,
    holds: Holds,
}

/// What the rows of a leaf are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A table that stays as it is.
    Still,
    /// What is new in a stream.
    Stream,
    /// What an operator gave: that of this stage.
    Operator(usize),
}

impl Leaf {
    /// The plan that is some columns of a table.
    pub fn table(
        slot: Slot,
        columns: Option<Vec<usize>>,
        schema: DFSchemaRef,
        streaming: bool,
    ) -> LogicalPlan {
        let holds = if streaming { Holds::Stream } else { Holds::Still };
        Self { slot, columns, schema, holds }.into_plan()
    }

    /// The plan that is the result of an operator.
    pub fn operator(slot: Slot, schema: DFSchemaRef, stage: usize) -> LogicalPlan {
        Self { slot, columns: None, schema, holds: Holds::Operator(stage) }.into_plan()
    }

    /// The plan that is these columns of a slot's twin whose rows are numbered.
    pub fn numbered(
        slot: Slot,
        columns: Vec<usize>,
        schema: DFSchemaRef,
        holds: Holds,
    ) -> LogicalPlan {
        Self { slot, columns: Some(columns), schema, holds }.into_plan()
    }

    /// The leaf that a plan is, if it is one.
    pub fn of(plan: &LogicalPlan) -> Option<&Self> {
        let LogicalPlan::Extension(extension) = plan else { return None };
        extension.node.as_any().downcast_ref()
    }

    /// Where its rows are.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// What its rows are.
    pub fn kind(&self) -> Holds {
        self.holds
    }

    /// Its columns, as those of the slot.
    pub fn columns(&self) -> Vec<usize> {
        let all = || (0..self.slot.schema().fields().len()).collect();
        self.columns.clone().unwrap_or_else(all)
    }

    /// Its columns, as the nodes above know them.
    pub fn df_schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// What the rows of a plan are, if the plan is a leaf.
    pub fn holds(plan: &LogicalPlan) -> Option<Holds> {
        Self::of(plan).map(Self::kind)
    }

    /// Whether a leaf of this plan is a stream, or the result of an operator over one.
    pub fn streams(plan: &LogicalPlan) -> bool {
        plan.exists(|node| Ok(Self::holds(node).is_some_and(|holds| holds != Holds::Still)))
            .unwrap_or(false)
    }

    fn identity(&self) -> (&str, &Option<Vec<usize>>) {
        (self.slot.name(), &self.columns)
    }
}

impl PartialEq for Leaf {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Leaf {}

impl PartialOrd for Leaf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.identity().cmp(&other.identity()))
    }
}

impl Hash for Leaf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl UserDefinedLogicalNodeCore for Leaf {
    fn name(&self) -> &str {
        "Slot"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot: {}", self.slot.name())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> PlanResult<Self> {
        Ok(Self {
            slot: self.slot.clone(),
            columns: self.columns.clone(),
            schema: self.schema.clone(),
            holds: self.holds,
        })
    }
}

/// Turns logical plans into physical ones, with our leaves and watermark nodes in them.
pub struct Planner {
    session: SessionState,
    planner: DefaultPhysicalPlanner,
    watermarks: Vec<(Millis, Observer)>,
}

impl Planner {
    /// A planner for a query with these watermarks.
    pub fn new(session: SessionState, definitions: &[WatermarkDefinition]) -> Self {
        let watermarks: Vec<(Millis, Observer)> =
            definitions.iter().map(|d| (d.delay_us / 1000, Observer::default())).collect();
        let observers = watermarks.iter().map(|(_, observer)| observer.clone()).collect();
        let ours: Vec<Arc<dyn ExtensionPlanner + Send + Sync>> =
            vec![Arc::new(OurNodes { observers })];
        Self { session, planner: DefaultPhysicalPlanner::with_extension_planners(ours), watermarks }
    }

    /// The physical form of a plan.
    pub fn plan(&self, logical: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(plan::wait(self.planner.create_physical_plan(logical, &self.session))??)
    }

    /// The physical form of an expression over columns of `schema`.
    pub fn expression(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        let context = PhysicalPlanningContext::default();
        Ok(create_physical_expr(expr, schema, self.session.execution_props(), &context)?)
    }

    /// Each watermark's delay in milliseconds and what notes its event times.
    pub fn watermarks(&self) -> Vec<(Millis, Observer)> {
        self.watermarks.clone()
    }
}

struct OurNodes {
    observers: Vec<Observer>,
}

#[async_trait::async_trait]
impl ExtensionPlanner for OurNodes {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> PlanResult<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(leaf) = node.as_any().downcast_ref::<Leaf>() {
            return leaf.slot.leaf(leaf.columns.as_ref()).map(Some);
        }
        if let (Some(node), [input]) =
            (node.as_any().downcast_ref::<ArrivalsNode>(), physical_inputs)
        {
            return Ok(Some(node.exec(input.clone())));
        }
        let Some(watermark) = node.as_any().downcast_ref::<WatermarkNode>() else {
            return Ok(None);
        };
        let (Some(input), Some(observer)) =
            (physical_inputs.first(), self.observers.get(watermark.index))
        else {
            return Err(Error::internal("a watermark node without input or number").into());
        };
        let column = watermark.event_time_index()?;
        Ok(Some(observer.on(input.clone(), column)))
    }
}
