//! The leaves and the watermarks of a query's plan, from logical to physical.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as PlanResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::watermark::{Observer, WatermarkExec};
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
    streaming: bool,
}

impl Leaf {
    /// The plan that is just this leaf.
    pub fn node(
        slot: Slot,
        columns: Option<Vec<usize>>,
        schema: DFSchemaRef,
        streaming: bool,
    ) -> LogicalPlan {
        let node = Arc::new(Self { slot, columns, schema, streaming });
        LogicalPlan::Extension(Extension { node })
    }

    /// Whether a leaf of this plan is a stream, or the result of an operator over one.
    pub fn streams(plan: &LogicalPlan) -> bool {
        let mut found = false;
        let _ = plan.apply(|node| {
            if let LogicalPlan::Extension(extension) = node
                && let Some(leaf) = extension.node.as_any().downcast_ref::<Leaf>()
            {
                found |= leaf.streaming;
            }
            Ok(TreeNodeRecursion::Continue)
        });
        found
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
            streaming: self.streaming,
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
        let Some(watermark) = node.as_any().downcast_ref::<WatermarkNode>() else {
            return Ok(None);
        };
        let (Some(input), Some(observer)) =
            (physical_inputs.first(), self.observers.get(watermark.index))
        else {
            return Err(Error::internal("a watermark node without input or number").into());
        };
        let column = watermark.event_time_index()?;
        Ok(Some(Arc::new(WatermarkExec::new(input.clone(), column, observer.clone()))))
    }
}
