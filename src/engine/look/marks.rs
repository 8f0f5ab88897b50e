//! Where the watermark of a query stands: which of its `WATERMARK` clauses holds it, and what would move it.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;

use super::{Look, millis_of};
use crate::batch::{BatchId, SlotTable};
use crate::engine::watermark::Policy;
use crate::progress::StreamingQueryProgress;
use crate::sql::WatermarkNode;
use crate::time::{EventTimeMicros, Millis};

/// One `WATERMARK` clause of a query, and where it stands.
#[derive(Debug, Clone)]
pub struct MarkLook {
    /// The event-time column as the query calls it.
    pub column: String,
    /// How far it stays behind the newest event time.
    pub delay_ms: Millis,
    /// The streams whose rows pass it, as indexes into [`Look::streams`].
    pub streams: Vec<usize>,
    /// Where it stood after the newest batch that is reported; `None`: no row has come in that run.
    pub watermark_ms: Option<Millis>,
    /// The newest batch in which a row passed it.
    pub last_rows: Option<BatchId>,
    /// Rows that passed it, and those of them without event time, over all batches that are reported.
    pub rows: u64,
    /// See `rows`.
    pub null_rows: u64,
    /// The newest event time that passed it in the batches that are reported.
    pub newest_ms: Option<Millis>,
}

/// What a stream must give for the watermark to reach a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The table as the query calls it.
    pub table: String,
    /// Where its data lies.
    pub place: String,
    /// The event-time column.
    pub column: String,
    /// The least event time that does it, in microseconds.
    pub at_least_us: EventTimeMicros,
}

impl Look {
    /// The watermark clauses of the query, in the order of its text.
    pub fn marks(&self) -> Vec<MarkLook> {
        let mut marks: Vec<MarkLook> = vec![];
        // Visiting a plan cannot fail when the visitor does not.
        let _ = self.plan.plan.apply_with_subqueries(|node| {
            if let Some(found) = WatermarkNode::of(node) {
                while marks.len() <= found.index {
                    marks.push(MarkLook::unknown());
                }
                let streams = self.streams_below(&found.input);
                let mark = &mut marks[found.index];
                mark.column = found.event_time.name.clone();
                mark.delay_ms = found.delay_us / 1000;
                mark.streams.extend(
                    streams.into_iter().filter(|s| !mark.streams.contains(s)).collect::<Vec<_>>(),
                );
            }
            Ok(TreeNodeRecursion::Continue)
        });
        for (number, mark) in marks.iter_mut().enumerate() {
            for report in &self.past.progress {
                let Some(seen) = report.watermarks.get(number) else { continue };
                mark.watermark_ms = seen.watermark.as_deref().and_then(millis_of);
                mark.rows += seen.num_rows;
                mark.null_rows += seen.num_null_rows;
                if seen.num_rows > 0 {
                    mark.last_rows = Some(report.batch_id);
                }
                let newest = seen.max_event_time.as_deref().and_then(millis_of);
                mark.newest_ms = mark.newest_ms.max(newest);
            }
        }
        marks
    }

    /// The streams that a plan reads, as indexes into [`Look::streams`].
    pub fn streams_below(&self, plan: &LogicalPlan) -> Vec<usize> {
        let mut found = vec![];
        let _ = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Ok(provider) = source_as_provider(&scan.source)
                && let Some(table) = provider.downcast_ref::<SlotTable>()
            {
                let same = |read: usize| self.plan.reads[read].slot.name() == table.0.name();
                found.extend(self.streams.iter().position(|stream| same(stream.read)));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        found
    }

    /// The clause that holds the watermark of the query back: the one that is furthest behind, of which
    /// there is one only where there are several and the slowest counts.
    pub fn holder(&self, marks: &[MarkLook]) -> Option<usize> {
        let several = marks.len() > 1 && self.policy == Policy::Min;
        let slowest = (0..marks.len()).min_by_key(|&at| marks[at].watermark_ms);
        let differ = marks.windows(2).any(|pair| pair[0].watermark_ms != pair[1].watermark_ms);
        slowest.filter(|_| several && differ)
    }

    /// What the streams must give for the watermark of the query to reach `global_ms`. Where the slowest of
    /// several counts, it is one row from each; where the fastest counts, one of them is enough.
    pub fn needs(&self, marks: &[MarkLook], global_ms: Millis) -> Vec<Need> {
        // A run that begins anew has seen nothing yet.
        let goes_on = self.past.is_running;
        let there =
            |mark: &MarkLook| goes_on && mark.watermark_ms.is_some_and(|ms| ms >= global_ms);
        let several = marks.len() > 1 && self.policy == Policy::Min;
        let missing = marks.iter().filter(|mark| !(several && there(mark)));
        let needs = missing.flat_map(|mark| {
            let at_least_us = global_ms.saturating_add(mark.delay_ms).saturating_mul(1000);
            mark.streams.iter().map(move |&stream| (mark, stream, at_least_us))
        });
        needs
            .filter_map(|(mark, stream, at_least_us)| {
                let stream = self.streams.get(stream)?;
                Some(Need {
                    table: stream.table.clone(),
                    place: stream.place.clone(),
                    column: mark.column.clone(),
                    at_least_us,
                })
            })
            .collect()
    }

    /// The batch whose rows have moved the watermark to where it stands, and when it began; where that is no
    /// longer reported, the oldest one that is.
    pub fn watermark_since(&self) -> Option<(BatchId, &str)> {
        let now_ms = self.watermark_ms();
        let ran_with = |report: &StreamingQueryProgress| {
            report.watermark.as_deref().and_then(millis_of).unwrap_or(0)
        };
        let reports = &self.past.progress;
        let moved = reports.iter().rev().find(|report| ran_with(report) != now_ms);
        moved.or(reports.first()).map(|report| (report.batch_id, report.timestamp.as_str()))
    }
}

impl MarkLook {
    fn unknown() -> Self {
        Self {
            column: String::new(),
            delay_ms: 0,
            streams: vec![],
            watermark_ms: None,
            last_rows: None,
            rows: 0,
            null_rows: 0,
            newest_ms: None,
        }
    }
}
