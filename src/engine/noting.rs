//! A node of a physical plan through which rows pass while something is noted of them.
//!
//! Several things are noted on the way of a batch's rows: their event times at a WATERMARK clause,
//! how many arrive at an operator, how late each of them is. The node is the same; what it notes
//! is a function.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::StreamExt;

use crate::error::Result;

/// Notes something of a batch of rows, and gives what passes on: the rows as they are, or without
/// a column that ends here.
pub type Note = Arc<dyn Fn(RecordBatch) -> Result<RecordBatch> + Send + Sync>;

/// The node.
pub struct NotingExec {
    name: &'static str,
    /// What `explain` shows behind the name.
    about: String,
    input: Arc<dyn ExecutionPlan>,
    note: Note,
    properties: Arc<PlanProperties>,
}

impl NotingExec {
    /// A node on top of `input`. `passing` is the schema of what passes on; `None`: the input's.
    pub fn on(
        input: Arc<dyn ExecutionPlan>,
        (name, about): (&'static str, String),
        passing: Option<SchemaRef>,
        note: Note,
    ) -> Arc<dyn ExecutionPlan> {
        let below = input.properties();
        let properties = match passing {
            None => below.clone(),
            Some(schema) => Arc::new(PlanProperties::new(
                EquivalenceProperties::new(schema),
                Partitioning::UnknownPartitioning(below.output_partitioning().partition_count()),
                below.emission_type,
                below.boundedness,
            )),
        };
        Arc::new(Self { name, about, input, note, properties })
    }
}

impl fmt::Debug for NotingExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.about)
    }
}

impl DisplayAs for NotingExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.about.as_str() {
            "" => f.write_str(self.name),
            about => write!(f, "{}: {about}", self.name),
        }
    }
}

impl ExecutionPlan for NotingExec {
    fn name(&self) -> &'static str {
        self.name
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let (about, note) = (self.about.clone(), self.note.clone());
        let passing = (self.schema() != self.input.schema()).then(|| self.schema());
        Ok(Self::on(children.swap_remove(0), (self.name, about), passing, note))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let note = self.note.clone();
        let rows = self.input.execute(partition, task)?.map(move |batch| Ok(note(batch?)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
