//! Which row has moved the watermark, and whether it should have.
//!
//! The newest event time moves the watermark, and with it what is late. So the row that has it is
//! remembered: a rejected row can name it, and one from the far future is seen when it comes.

use super::query::Query;
use super::watermark::Seen;
use crate::batch::BatchId;
use crate::checkpoint::{Offsets, WatermarkRow};
use crate::error::Result;
use crate::sources::SourceRead;
use crate::time::{Millis, iso_millis, micros_to_millis};

/// A row that is so far ahead of its batch's time is worth a warning when it moves the watermark:
/// clocks differ by seconds, time zones by hours.
const FUTURE_MS: Millis = 60 * 60 * 1000;

impl Query {
    /// Moves the watermark by what the batch has seen, for the batch after it.
    pub(super) fn advance_watermark(
        &mut self,
        batch: BatchId,
        reads: &[SourceRead],
    ) -> Result<Option<Seen>> {
        let (assembly, streams) = (&self.assembly, &self.streams);
        let number_of = |clause: usize, seen: &Seen| -> Result<Option<(usize, u64)>> {
            let Some(Some(clause)) = assembly.clauses.get(clause) else { return Ok(None) };
            let stream = |slot: &str| streams.iter().position(|s| s.slot.name() == slot);
            if let Some(leaf) =
                clause.trace.passes().and_then(|t| assembly.numbered.leaf_of_twin(t))
            {
                return Ok(stream(leaf.slot.name()).map(|stream| (stream, seen.newest_row)));
            }
            // The filters below the clause have to be asked again, of the few rows that it may be.
            match (&clause.read_from, seen.newest_us) {
                (Some(column), Some(newest_us)) => assembly.numbered.fill_at(column, newest_us)?,
                _ => assembly.numbered.fill()?,
            }
            let traced = clause.trace.run(&assembly.planner, &assembly.task)?;
            assembly.numbered.clear();
            let newest = traced.times.iter().position(|time| *time == seen.newest_us);
            Ok(newest.and_then(|row| {
                let number = traced.numbers[row];
                let leaf = assembly.numbered.leaves.get(number.leaf())?;
                Some((stream(leaf.slot.name())?, number.row()))
            }))
        };
        self.tracker.advance(|clause, seen| {
            let Some((stream, row)) = number_of(clause, seen)? else { return Ok(None) };
            let place = reads.get(stream).and_then(|read| read.places.find(row));
            Ok(Some(WatermarkRow {
                batch,
                source: streams[stream].name.clone(),
                line: place.as_ref().map(|place| place.line),
                file: place.map(|place| place.file.to_string()),
                event_time_us: seen.newest_us.unwrap_or(seen.max_us),
            }))
        })
    }

    /// One row from the year 2099 moves the watermark to 2099, and from then on every row is late.
    pub(super) fn warn_of_future(&self, batch: BatchId, offsets: &Offsets, seen: Option<Seen>) {
        let batch_time_ms = offsets.batch_timestamp_ms;
        let watermark_ms = offsets.batch_watermark_ms.unwrap_or(0);
        let name = &self.name;
        if let Some(seen) = seen.filter(|seen| seen.too_new > 0) {
            tracing::warn!(
                "{name}, batch {batch}: {} rows lie so far in the future that they do not move the \
                 watermark (futureGuard); the latest is of {}",
                seen.too_new,
                iso_millis(micros_to_millis(seen.max_us))
            );
        }
        let moved = self.tracker.row().filter(|row| row.batch == batch);
        let is_ahead = |row: &&WatermarkRow| {
            let time_ms = micros_to_millis(row.event_time_us);
            // Where all event times run ahead of the clock, each row is but a little step.
            let step_ms = self.tracker.watermark_ms().saturating_sub(watermark_ms);
            time_ms.saturating_sub(batch_time_ms) > FUTURE_MS && step_ms > FUTURE_MS
        };
        let Some(row) = moved.filter(is_ahead) else { return };
        let place = match (&row.file, row.line) {
            (Some(file), Some(line)) => format!("{file}, line {line}"),
            _ => format!("a row of {}", row.source),
        };
        tracing::warn!(
            "{name}, batch {batch}: {place} has the event time {}, which lies in the future: it has \
             moved the watermark to {}, and older rows are late from now on. If the row is wrong, \
             take it away and start over; TBLPROPERTIES ('futureGuard' = '1 hour') lets such rows \
             through without moving the watermark",
            iso_millis(micros_to_millis(row.event_time_us)),
            iso_millis(self.tracker.watermark_ms()),
        );
    }
}
