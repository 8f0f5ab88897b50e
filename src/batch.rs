//! Rows on their way: the number of a batch, and the slot through which a plan is fed.
//!
//! DataFusion plans are made once a query and run once a batch. A [`Slot`] is the leaf of such a
//! plan: before each run the engine puts Arrow batches into it, the run takes them out. It says
//! nothing about how many rows there are, so that no optimiser folds a batch into the plan.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};

use crate::error::Result;

/// A batch of these columns, which has so many rows even where it has no columns.
///
/// # Errors
///
/// The columns are not those of the schema, or not of that length.
pub fn with_rows(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let rows = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?)
}

/// Rows cut into parts of at most `most` rows, each of as few batches as can be without a copy.
pub fn in_parts(rows: &[RecordBatch], most: usize) -> Vec<Vec<RecordBatch>> {
    let mut parts: Vec<Vec<RecordBatch>> = Vec::new();
    let mut room = 0;
    for batch in rows {
        let mut at = 0;
        while at < batch.num_rows() {
            if room == 0 {
                parts.push(Vec::new());
                room = most;
            }
            let take = room.min(batch.num_rows() - at);
            if let Some(part) = parts.last_mut() {
                part.push(batch.slice(at, take));
            }
            at += take;
            room -= take;
        }
    }
    parts
}

/// The number of a micro-batch of one query: 0, 1, 2 … without gaps, over all restarts.
pub type BatchId = u64;

/// Rows that are too many to be held at once: a part is made when it is taken.
pub type Coming = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// The result of a batch.
pub enum Rows {
    /// All of it.
    Held(Vec<RecordBatch>),
    /// More than is to be held at once.
    Coming(Coming),
}

/// A place for the rows of one batch, shared by the engine and the leaf of a plan.
#[derive(Clone)]
pub struct Slot {
    name: Arc<str>,
    schema: SchemaRef,
    rows: Arc<Mutex<Vec<RecordBatch>>>,
    coming: Arc<Mutex<Option<Coming>>>,
}

impl Slot {
    /// An empty slot. `name` is what `explain` shows; the rows put in must have `schema`.
    pub fn new(name: impl Into<Arc<str>>, schema: SchemaRef) -> Self {
        Self { name: name.into(), schema, rows: Arc::default(), coming: Arc::default() }
    }

    /// The schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What `explain` shows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts the rows of the next run; what the last run left is replaced.
    pub fn fill(&self, rows: Vec<RecordBatch>) {
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }

    /// The rows, which stay until the next `fill`: a plan that reads its input twice is right.
    pub fn rows(&self) -> Vec<RecordBatch> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts rows behind those that are there that can be taken once, by a plan with one such leaf.
    pub fn pour(&self, coming: Coming) {
        *self.coming.lock().unwrap_or_else(PoisonError::into_inner) = Some(coming);
    }

    fn take_coming(&self) -> Option<Coming> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A leaf that gives the rows, cut to some columns.
    pub fn leaf(&self, projection: Option<&Vec<usize>>) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let projected = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(projected.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(SlotExec {
            slot: self.clone(),
            projection: projection.cloned(),
            projected,
            properties: Arc::new(properties),
        }))
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.name)
    }
}

/// The leaf of a physical plan that gives what is in a [`Slot`].
#[derive(Debug)]
struct SlotExec {
    slot: Slot,
    projection: Option<Vec<usize>>,
    projected: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for SlotExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotExec: {}", self.slot.name)
    }
}

impl ExecutionPlan for SlotExec {
    fn name(&self) -> &'static str {
        "SlotExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let projection = self.projection.clone();
        let coming = self.slot.take_coming().into_iter().flatten();
        let rows = self.slot.rows().into_iter().map(Ok).chain(coming);
        let rows = rows.map(move |batch| match &projection {
            Some(columns) => Ok(batch?.project(columns)?),
            None => Ok(batch?),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.projected.clone(),
            futures::stream::iter(rows),
        )))
    }
}

/// A [`Slot`] as a table, so that SQL can name it.
#[derive(Debug, Clone)]
pub struct SlotTable(pub Slot);

#[async_trait::async_trait]
impl TableProvider for SlotTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        self.0.leaf(projection)
    }
}
