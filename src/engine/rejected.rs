//! The rejected rows of a batch, as rows of a table: what, why, where it stood, and which row had
//! moved the watermark to where it was.
//!
//! The table of a query is `data/<query>__rejected`. It is there from the first rejected row on, and
//! is written in step 8 before the result, under the same transaction (query, batch): a batch that
//! is run again does not write it twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int64Builder, ListBuilder, RecordBatch, StringBuilder, StructBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::agreement::open_rejected;
use super::ledger::{Account, ReadRows, Refused, Why, account};
use super::query::{Query, RejectedRows};
use super::report::Operated;
use super::trace::RowNumber;
use crate::batch::BatchId;
use crate::checkpoint::{Offsets, WatermarkRow};
use crate::error::Result;
use crate::sinks::OutputBatch;
use crate::sources::{Flaw, Place, SourceRead, whole};
use crate::time::{EventTimeMicros, Millis};

/// A row of the table, or a line that could not be one.
#[derive(Debug, Clone, Default)]
struct Rejected {
    reason: &'static str,
    detail: String,
    operator: Option<String>,
    source: Option<String>,
    place: Option<Place>,
    row: Option<String>,
    raw: Option<Vec<u8>>,
    event_time_us: Option<EventTimeMicros>,
    windows: Vec<(EventTimeMicros, EventTimeMicros)>,
    is_late: bool,
    first_batch: Option<BatchId>,
}

/// The watermark by which the rows of a batch were judged.
struct Judge<'a> {
    /// The batch.
    batch: BatchId,
    /// In milliseconds; `None`: the query has no watermark.
    late_ms: Option<Millis>,
    /// The row that has set it.
    row: Option<&'a WatermarkRow>,
}

impl Query {
    /// What became of each row, and the rejected ones.
    pub(super) fn account(
        &mut self,
        batch: BatchId,
        offsets: &Offsets,
        reads: &[SourceRead],
        operated: &[Operated],
        late_ms: Millis,
    ) -> Result<(Account, Option<RecordBatch>)> {
        let of_stages = self.input_watermarks_ms(late_ms);
        let rows = self.streams.iter().zip(reads).map(|(stream, read)| ReadRows {
            slot: stream.slot.name(),
            rows: read.places.rows() as usize,
            bad: &read.bad,
            mistyped: &read.mistyped,
        });
        let rows: Vec<ReadRows<'_>> = rows.collect();
        let mut account = account(&self.assembly, &rows, operated, &of_stages)?;
        let unmatched: usize = operated.iter().map(|o| o.processed.unmatched).sum();
        account.rows.unmatched_expired = unmatched as u64;
        let row = match self.one_watermark {
            true => offsets.watermark_row.clone(),
            false => self.late_row.clone(),
        };
        let late_ms = self.tracker.exists().then_some(late_ms);
        let judge = Judge { batch, late_ms, row: row.as_ref() };
        let rejected = match self.rejected(offsets, reads, &account, &judge)? {
            Some((table, left_out)) => {
                account.rows.rejected_not_kept = left_out;
                Some(table)
            }
            None => {
                account.rows.rejected_not_kept = account.rows.rejected();
                None
            }
        };
        Ok((account, rejected))
    }

    /// The rejected rows of a batch as a table, and how many more there were. The rows are still in
    /// the slots.
    fn rejected(
        &mut self,
        offsets: &Offsets,
        reads: &[SourceRead],
        account: &Account,
        judge: &Judge<'_>,
    ) -> Result<Option<(RecordBatch, u64)>> {
        let all = account.rows.rejected() as usize;
        let of_operators = account.refused.len();
        let most = match self.rejected_rows {
            _ if all == 0 && of_operators == 0 => return Ok(None),
            RejectedRows::Off => return Ok(None),
            RejectedRows::Kept { most, .. } => most.unwrap_or(usize::MAX),
        };
        let mut rejected = self.unreadable(reads);
        rejected.extend(self.cast_failed(reads, account));
        let wanted = most.saturating_sub(rejected.len()).min(account.refused.len());
        rejected.extend(self.refused(reads, &account.refused[..wanted])?);
        let found = rejected.len() + account.refused.len() - wanted;
        rejected.truncate(most);
        let left_out = found - rejected.len();
        self.fetch_rows(offsets, &mut rejected)?;
        if left_out > 0 {
            rejected.push(Rejected {
                reason: "left_out",
                detail: format!(
                    "{left_out} more rows of this batch were rejected and are not kept"
                ),
                ..Rejected::default()
            });
        }
        Ok(Some((table(&rejected, judge)?, left_out as u64)))
    }

    /// Lines that could not be read, or that the mode let fall.
    fn unreadable(&self, reads: &[SourceRead]) -> Vec<Rejected> {
        let mut rejected = vec![];
        for (read, stream) in reads.iter().zip(&self.streams) {
            let lines = read.bad.iter().filter(|bad| bad.flaw != Flaw::Surplus);
            rejected.extend(lines.map(|bad| Rejected {
                reason: if bad.flaw == Flaw::Corrupt { "corrupt" } else { "cast_failed" },
                detail: bad.reason.clone(),
                source: Some(stream.name.clone()),
                place: Some(Place { file: bad.file.clone(), line: bad.line }),
                raw: Some(bad.raw.clone()),
                ..Rejected::default()
            }));
        }
        rejected
    }

    fn cast_failed(&self, reads: &[SourceRead], account: &Account) -> Vec<Rejected> {
        let mut rejected = vec![];
        let of_source = reads.iter().zip(&self.streams).zip(&account.cast_failed);
        for ((read, stream), rows) in of_source {
            let columns: BTreeMap<u64, &Option<Arc<str>>> =
                read.mistyped.iter().map(|mistyped| (mistyped.row, &mistyped.column)).collect();
            rejected.extend(rows.iter().map(|row| Rejected {
                reason: "cast_failed",
                detail: match columns.get(row).copied().and_then(Option::as_ref) {
                    Some(name) => format!("the value of '{name}' has not the type of its column"),
                    None => "the record has another number of values than the table columns".into(),
                },
                source: Some(stream.name.clone()),
                place: read.places.find(*row),
                ..Rejected::default()
            }));
        }
        rejected
    }

    fn refused(&self, reads: &[SourceRead], refused: &[Refused]) -> Result<Vec<Rejected>> {
        refused.iter().map(|refused| self.refusal(reads, refused)).collect()
    }

    fn refusal(&self, reads: &[SourceRead], refused: &Refused) -> Result<Rejected> {
        let stage = &self.assembly.stages[refused.stage];
        let name = stage.operator.name();
        let source = self.source_of(refused.number);
        let mut rejected = Rejected {
            operator: Some(format!("{} {name}", refused.stage)),
            event_time_us: refused.time_us,
            windows: refused.windows.clone(),
            ..Rejected::default()
        };
        match refused.why {
            Why::Late => {
                rejected.reason = "late";
                rejected.is_late = true;
                rejected.detail = match refused.windows.len() {
                    0 => "the watermark had passed its event time".into(),
                    1 => "the watermark had passed the end of its window".into(),
                    _ => "the watermark had passed the ends of all its windows".into(),
                };
            }
            Why::Duplicate(first) => {
                rejected.reason = "duplicate";
                rejected.first_batch = first;
                rejected.detail = "a row with the same key came before".into();
            }
        }
        match source {
            Some(source) => {
                rejected.source = self.streams.get(source).map(|stream| stream.name.clone());
                rejected.place =
                    reads.get(source).and_then(|read| read.places.find(refused.number.row()));
            }
            // What an operator gave is in no file.
            None => rejected.row = self.slot_row(refused.number)?,
        }
        Ok(rejected)
    }

    /// Which source a row is of; `None`: an operator gave it.
    fn source_of(&self, number: RowNumber) -> Option<usize> {
        let leaf = self.assembly.numbered.leaves.get(number.leaf())?;
        self.streams.iter().position(|stream| stream.slot.name() == leaf.slot.name())
    }

    fn slot_row(&self, number: RowNumber) -> Result<Option<String>> {
        let Some(leaf) = self.assembly.numbered.leaves.get(number.leaf()) else { return Ok(None) };
        let mut row = number.row() as usize;
        for batch in leaf.slot.rows() {
            if row < batch.num_rows() {
                return Ok(whole::json_of(&batch.slice(row, 1))?.pop());
            }
            row -= batch.num_rows();
        }
        Ok(None)
    }

    /// Reads the rows whole, with the columns that the query does not need.
    fn fetch_rows(&mut self, offsets: &Offsets, rejected: &mut [Rejected]) -> Result<()> {
        for (number, stream) in self.streams.iter_mut().enumerate() {
            let Some(take) = offsets.sources.get(number).and_then(Option::as_ref) else { continue };
            let wanted = |r: &Rejected| r.raw.is_none() && r.source.as_ref() == Some(&stream.name);
            let wanted: Vec<usize> =
                (0..rejected.len()).filter(|&at| wanted(&rejected[at])).collect();
            let (at, places): (Vec<usize>, Vec<Place>) =
                wanted.into_iter().filter_map(|at| Some((at, rejected[at].place.clone()?))).unzip();
            if places.is_empty() {
                continue;
            }
            let rows = stream.source.whole_rows(take, &places)?;
            at.into_iter().zip(rows).for_each(|(at, row)| rejected[at].row = row);
        }
        Ok(())
    }

    /// Writes the rejected rows of a batch: step 8, before the result.
    pub(super) fn write_rejected(&mut self, batch: BatchId, rows: &RecordBatch) -> Result<()> {
        open_rejected(&mut self.checkpoint, &mut self.rejected_rows)?;
        let RejectedRows::Kept { sink: Some(sink), .. } = &mut self.rejected_rows else {
            return Ok(());
        };
        sink.write(&OutputBatch { id: batch, rows: vec![rows.clone()], watermark: None })
    }
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn window_fields() -> Fields {
    vec![Field::new("start", time_type(), true), Field::new("end", time_type(), true)].into()
}

/// The columns of a table of rejected rows. Times are in microseconds UTC.
pub fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let time = |name: &str| Field::new(name, time_type(), true);
    let window = Field::new("item", DataType::Struct(window_fields()), true);
    Arc::new(Schema::new(vec![
        number("batch"),
        text("reason"),
        text("detail"),
        text("operator"),
        text("source"),
        text("file"),
        number("line"),
        text("row"),
        Field::new("raw", DataType::Binary, true),
        time("event_time"),
        time("watermark"),
        number("late_by_ms"),
        Field::new("windows", DataType::List(Arc::new(window)), true),
        text("watermark_file"),
        number("watermark_line"),
        time("watermark_event_time"),
        number("watermark_batch"),
        number("first_batch"),
    ]))
}

fn table(rejected: &[Rejected], judge: &Judge<'_>) -> Result<RecordBatch> {
    fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
        let mut builder = StringBuilder::new();
        values.for_each(|value| builder.append_option(value));
        Arc::new(builder.finish())
    }
    fn numbers(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        let mut builder = Int64Builder::new();
        values.for_each(|value| builder.append_option(value));
        Arc::new(builder.finish())
    }
    fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        let mut builder = TimestampMicrosecondBuilder::new().with_timezone("UTC");
        values.for_each(|value| builder.append_option(value));
        Arc::new(builder.finish())
    }
    let rows = || rejected.iter();
    let watermark_us = judge.late_ms.map(|ms| ms.saturating_mul(1000));
    // What is not late has nothing to do with the row that moved the watermark.
    let by = |r: &Rejected| judge.row.filter(|_| r.is_late);
    let late_by_ms = |r: &Rejected| {
        let behind = watermark_us.filter(|_| r.is_late)?.checked_sub(r.event_time_us?)?;
        Some(behind.div_euclid(1000))
    };
    let mut raw = BinaryBuilder::new();
    rows().for_each(|r| raw.append_option(r.raw.as_deref()));
    let columns: Vec<ArrayRef> = vec![
        numbers(rows().map(|_| i64::try_from(judge.batch).ok())),
        texts(rows().map(|r| Some(r.reason))),
        texts(rows().map(|r| Some(r.detail.as_str()))),
        texts(rows().map(|r| r.operator.as_deref())),
        texts(rows().map(|r| r.source.as_deref())),
        texts(rows().map(|r| r.place.as_ref().map(|place| &*place.file))),
        numbers(rows().map(|r| r.place.as_ref().and_then(|p| i64::try_from(p.line).ok()))),
        texts(rows().map(|r| r.row.as_deref())),
        Arc::new(raw.finish()),
        times(rows().map(|r| r.event_time_us)),
        times(rows().map(|_| watermark_us)),
        numbers(rows().map(late_by_ms)),
        windows(rejected),
        texts(rows().map(|r| by(r)?.file.as_deref())),
        numbers(rows().map(|r| by(r)?.line.and_then(|line| i64::try_from(line).ok()))),
        times(rows().map(|r| Some(by(r)?.event_time_us))),
        numbers(rows().map(|r| i64::try_from(by(r)?.batch).ok())),
        numbers(rows().map(|r| i64::try_from(r.first_batch?).ok())),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn windows(rejected: &[Rejected]) -> ArrayRef {
    let bound = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let structs = StructBuilder::new(window_fields(), vec![Box::new(bound()), Box::new(bound())]);
    let mut list = ListBuilder::new(structs);
    for rejected in rejected {
        for &(start, end) in &rejected.windows {
            let window = list.values();
            for (field, time) in [start, end].into_iter().enumerate() {
                if let Some(bound) = window.field_builder::<TimestampMicrosecondBuilder>(field) {
                    bound.append_value(time);
                }
            }
            window.append(true);
        }
        list.append(!rejected.windows.is_empty());
    }
    Arc::new(list.finish())
}
