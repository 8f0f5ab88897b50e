//! A query's checkpoint and its tables tell the same story, or the query does not start.
//!
//! Takes the checkpoint and the sinks as they were opened; gives what the sinks say of the query's
//! batches, for [`crate::checkpoint::recovery`] to judge; writes down the identity of a table before the
//! first batch that goes into it.

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use super::query::{Query, RejectedRows};
use crate::batch::{BatchId, Coming, Rows};
use crate::checkpoint::{Checkpoint, Held, Role};
use crate::error::{Error, Result};
use crate::sinks::{Accepted, Expected, OutputBatch, Sink};
use crate::time::Millis;

/// What a checkpoint remembers of a table, in the words of a sink.
pub(super) fn expected(checkpoint: &Checkpoint, role: Role) -> Expected {
    let known = checkpoint.table(role);
    // Not every batch has rejected rows: that no table of them is there proves nothing by itself.
    let must_be_there = role == Role::Output || known.id.is_some();
    let accepted = known.accepted;
    Expected {
        id: known.id,
        committed: checkpoint.newest_commit().filter(|_| must_be_there),
        accepted: accepted.map(|said| Accepted { version: said.version, batch: said.batch }),
    }
}

/// What the sinks hold, once their tables are those that the checkpoint knows. `None`: the sink of the
/// result remembers nothing.
pub(super) fn agree(
    checkpoint: &mut Checkpoint,
    sink: &mut dyn Sink,
    rejected: &mut RejectedRows,
) -> Result<Option<Held>> {
    if let Some(id) = sink.table_id() {
        checkpoint.note_table(Role::Output, id)?;
    }
    if checkpoint.table(Role::Rejected).id.is_some() {
        open_rejected(checkpoint, rejected)?;
    }
    if !sink.remembers() {
        return Ok(None);
    }
    let newest = sink.newest_batch()?;
    let mut held = Held { sink: sink.description(), newest, begun: newest };
    if let RejectedRows::Kept { sink: Some(rejected), .. } = rejected {
        // Rejected rows are written before the result of their batch.
        held.begun = newest.max(rejected.newest_batch()?);
    }
    Ok(Some(held))
}

/// Opens the table of rejected rows, if there is to be one and it is not open.
pub(super) fn open_rejected(
    checkpoint: &mut Checkpoint,
    rejected: &mut RejectedRows,
) -> Result<()> {
    let RejectedRows::Kept { open, sink, .. } = rejected else { return Ok(()) };
    let Some(open) = open.take() else { return Ok(()) };
    let opened = open(checkpoint.query_id(), expected(checkpoint, Role::Rejected))?;
    if let Some(id) = opened.table_id() {
        checkpoint.note_table(Role::Rejected, id)?;
    }
    *sink = Some(opened);
    Ok(())
}

impl Query {
    /// Writes the output of a batch; gives how many rows it has and those that are at hand: of a
    /// result that comes in parts, the first ones.
    pub(super) fn write_output(
        &mut self,
        batch: BatchId,
        rows: Rows,
        watermark: Option<Millis>,
    ) -> Result<(usize, Vec<RecordBatch>)> {
        let written = match rows {
            Rows::Held(rows) => {
                let output = OutputBatch { id: batch, rows, watermark };
                let written = self.sink.write(&output);
                written.map(|()| (output.rows.iter().map(RecordBatch::num_rows).sum(), output.rows))
            }
            Rows::Coming(parts) => write_parts(self.sink.as_mut(), batch, parts),
        };
        written.map_err(|error| self.explain_changed(error))
    }

    /// Where the table holds other rows of a batch, says what can have changed: the files that it
    /// takes have been found as their decision says, by size and time.
    fn explain_changed(&self, error: Error) -> Error {
        if error.condition() != "BATCH_CHANGED" {
            return error;
        }
        let stills: Vec<&str> = self.stills.iter().map(|still| still.name.as_str()).collect();
        error.context(match &stills[..] {
            [] => {
                "its input files have the size and the time that they had, so one was changed all \
                   the same, or the query does not give the same rows for the same input"
                    .to_owned()
            }
            stills => format!(
                "its input files are as they were, but the tables without STREAM are read as they \
                 are now: {} may have changed",
                stills.join(", ")
            ),
        })
    }
}

fn write_parts(
    sink: &mut dyn Sink,
    batch: BatchId,
    parts: Coming,
) -> Result<(usize, Vec<RecordBatch>)> {
    let (mut written, mut first) = (0, vec![]);
    let mut counted = parts.map(|part| {
        let part = part?;
        written += part.num_rows();
        if first.is_empty() {
            first.push(part.clone());
        }
        Ok(part)
    });
    sink.write_parts(batch, &mut counted)?;
    drop(counted);
    Ok((written, first))
}

/// Whether a query gives the same rows for the same input: it calls no function that draws lots.
pub(super) fn is_repeatable(plan: &LogicalPlan) -> bool {
    let mut volatile = false;
    let looked = plan.apply_with_subqueries(|node| {
        volatile |= node.expressions().iter().any(|expr| expr.is_volatile());
        Ok(if volatile { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    looked.is_ok() && !volatile
}
