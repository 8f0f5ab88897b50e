//! Running a DataFusion plan for one batch.
//!
//! The core of the engine is synchronous and steps on command; DataFusion is asynchronous. This is
//! the border: a plan goes in, its rows come out, the caller waits. All leaves are slots in memory
//! (see [`crate::batch::Slot`]), so a run waits for nothing but the processor.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::{collect_partitioned, reset_plan_states};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::batch::Coming;
use crate::error::{Error, Result};

/// The threads on which plans run, shared by all queries of the process.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(start).as_ref().map_err(cannot_start)
}

/// Several workers, because deltalake's engine makes a thread for each call where there is only one.
fn start() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("strandline-plan")
        .enable_all()
        .build()
}

fn cannot_start(e: &std::io::Error) -> Error {
    Error::storage("CANNOT_START_THREADS", format!("cannot start threads: {e}"))
}

/// Waits for a future. May be called from inside an asynchronous program as well: there the waiting
/// happens on a thread of its own, since a runtime refuses to be blocked.
pub fn wait<T: Send>(future: impl Future<Output = T> + Send) -> Result<T> {
    let runtime = runtime()?;
    if Handle::try_current().is_err() {
        return Ok(runtime.block_on(future));
    }
    std::thread::scope(|scope| {
        scope
            .spawn(|| runtime.block_on(future))
            .join()
            .map_err(|_| Error::internal("a thread that ran a plan panicked"))
    })
}

/// Waits for a future as [`wait`] does, on threads of its own: for long work, behind which no plan is to
/// wait.
pub fn wait_apart<T: Send>(future: impl Future<Output = T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| Ok(start().map_err(|e| cannot_start(&e))?.block_on(future)))
            .join()
            .unwrap_or_else(|_| Err(Error::internal("a thread apart from the plans panicked")))
    })
}

/// Runs a plan once more, from the start, over what its slots hold now.
///
/// Where rows come in several parts (those of a UNION), the parts follow each other in their order,
/// so that a batch that is run again gives the same rows. Empty batches are left out.
pub fn run(plan: &Arc<dyn ExecutionPlan>, task: &Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
    let fresh = reset_plan_states(plan.clone())?;
    let parts = wait(collect_partitioned(fresh, task.clone()))??;
    let mut rows: Vec<RecordBatch> = parts.into_iter().flatten().collect();
    rows.retain(|batch| batch.num_rows() > 0);
    Ok(rows)
}

/// As [`run`], for a plan whose rows come in one part: they are made as they are taken.
pub fn run_in_parts(plan: &Arc<dyn ExecutionPlan>, task: &Arc<TaskContext>) -> Result<Coming> {
    let (fresh, task) = (reset_plan_states(plan.clone())?, task.clone());
    let mut rows = wait(async move { execute_stream(fresh, task) })??;
    let next = move || wait(rows.next()).map(|next| next.map(|batch| Ok(batch?))).transpose();
    Ok(Box::new(std::iter::from_fn(next).map(|next| next.flatten())))
}
