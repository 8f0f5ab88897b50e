//! How many rows of a batch arrive where they are kept: at an operator with memory, or at the sink.
//!
//! A node on top of each plan that feeds one of these lets rows pass and counts them. What was read
//! and does not arrive was filtered by the query. Where a plan can give a row several times (a join
//! with a still table, a generator, a stream that is read in two places) counting is not enough:
//! there the rows carry their numbers (see [`super::trace`]), which end here.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::DFSchemaRef;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;

use super::noting::{Note, NotingExec};
use super::trace::{RowNumber, RowSet};
use crate::error::Error;

/// What arrived in one batch, shared by the plan and the engine.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<Mutex<Arrived>>);

/// What arrived in one batch.
#[derive(Debug, Clone, Default)]
pub struct Arrived {
    /// How many rows.
    pub rows: u64,
    /// Which rows, where the plan carries their numbers.
    pub which: RowSet,
}

impl Arrivals {
    /// Takes what arrived since the last call.
    pub fn take(&self) -> Arrived {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The plan with a node on top that notes what passes. `schema` is that of the rows behind the
    /// node: where the plan gives one column more, that is the number of each row, and ends here.
    pub fn on(&self, input: LogicalPlan, schema: DFSchemaRef) -> LogicalPlan {
        let node = ArrivalsNode { input, schema, arrivals: self.clone() };
        LogicalPlan::Extension(Extension { node: Arc::new(node) })
    }

    fn note(&self, rows: &RecordBatch, numbers: Option<&Int64Array>) {
        let mut arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.rows += rows.num_rows() as u64;
        for &number in numbers.iter().flat_map(|numbers| numbers.values().iter()) {
            arrived.which.insert(RowNumber(number));
        }
    }
}

/// The logical node.
#[derive(Debug)]
pub struct ArrivalsNode {
    input: LogicalPlan,
    schema: DFSchemaRef,
    arrivals: Arrivals,
}

impl ArrivalsNode {
    /// Its physical form.
    pub fn exec(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let schema: SchemaRef = Arc::new(self.schema.as_arrow().clone());
        let (arrivals, own) = (self.arrivals.clone(), schema.fields().len());
        let note: Note = Arc::new(move |batch| {
            let numbers = batch.columns().get(own).map(|n| n.as_primitive::<Int64Type>());
            arrivals.note(&batch, numbers);
            // As it is, where it can be: a column that is declared NOT NULL may hold NULLs, as in
            // Spark, and a new batch would be checked.
            Ok(if numbers.is_some() {
                batch.project(&(0..own).collect::<Vec<_>>())?
            } else {
                batch
            })
        });
        NotingExec::on(input, ("ArrivalsExec", String::new()), Some(schema), note)
    }
}

impl PartialEq for ArrivalsNode {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.arrivals.0, &other.arrivals.0) && self.input == other.input
    }
}

impl Eq for ArrivalsNode {}

impl PartialOrd for ArrivalsNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl Hash for ArrivalsNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for ArrivalsNode {
    fn name(&self) -> &str {
        "Arrivals"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arrivals")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        let Ok([input]) = <[_; 1]>::try_from(inputs) else {
            return Err(Error::internal("rows arrive from one plan").into());
        };
        Ok(Self { input, schema: self.schema.clone(), arrivals: self.arrivals.clone() })
    }
}
