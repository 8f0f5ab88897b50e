//! Causes that lie in event time and the watermark.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::causes::{Case, see_rejected};
use super::windows::{self, about_the_delay, close_advice, in_words};
use super::{Answer, counted, duration};
use crate::batch::BatchId;
use crate::checkpoint::WatermarkRow;
use crate::engine::assemble::about::text;
use crate::engine::look::Look;
use crate::engine::look::marks::MarkLook;
use crate::engine::look::millis_of;
use crate::engine::look::stream::files_of;
use crate::error::Result;
use crate::progress::StreamingQueryProgress;
use crate::sources::Source;
use crate::sources::files::{FileSource, infer_schema};
use crate::sql::WatermarkNode;
use crate::time::Millis;

/// A row that says it is from the future has moved the watermark beyond the present.
pub fn future_row(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let (watermark_ms, now) = (case.look.watermark_ms(), case.look.now);
    if watermark_ms <= now {
        return Ok(None);
    }
    let look = &case.look;
    let found = moved_to(look, now.saturating_add(1));
    if !stands_alone(look, found) {
        return Ok(None);
    }
    let column =
        found.and_then(|row| mark_of(look, row)).map_or("its time".to_owned(), |mark| mark.column);
    let watermark = look.time_ms(watermark_ms);
    let literal = found.map(|row| format!(", {column} = {},", look.time(row.event_time_us)));
    let mut answer = Answer::new(
        "future_row",
        format!(
            "A row from the future{} has moved the watermark to {watermark}: rows of today now count \
             as late.",
            literal.unwrap_or_default()
        ),
    );
    if let Some(row) = found {
        answer = answer.fact(format!(
            "The row stands in {}; batch {} took it.",
            row_in_words(row),
            row.batch
        ));
    }
    let late: u64 = look.past.progress.iter().map(|report| report.rows.late).sum();
    if late > 0 {
        answer = answer.fact(format!("{} dropped as late so far.", were(late)));
        answer.advice.extend(see_rejected(look));
    }
    Ok(Some(
        answer
            .fact(format!("By the clock it is {}; a watermark never goes back.", look.time_ms(now)))
            .advise(format!(
                "take the row out of its file, then start over: remove checkpoints/{} and data/{}, \
                 and run again",
                look.name, look.name
            ))
            .advise(
                "to let such rows through without moving the watermark, set TBLPROPERTIES \
                 ('futureGuard' = '1 hour')",
            ),
    ))
}

/// Whether the row lies far beyond the others: where all of them are from the future, as those of a
/// generator may be, none has poisoned anything.
fn stands_alone(look: &Look, row: Option<&WatermarkRow>) -> bool {
    const FAR_MS: Millis = 3_600_000;
    let Some(row) = row else { return true };
    let newest = |report: &StreamingQueryProgress| {
        let times = report.watermarks.iter().filter_map(|seen| seen.max_event_time.as_deref());
        times.filter_map(millis_of).max()
    };
    let reports = &look.past.progress;
    let later = reports.iter().filter(|r| r.batch_id > row.batch).filter_map(newest).max();
    if let Some(later) = later {
        return later <= look.watermark_ms();
    }
    let earlier = reports.iter().filter(|r| r.batch_id < row.batch).filter_map(newest).max();
    // Its own batch has other rows only where there is more than one.
    let own = look.report(row.batch).into_iter().flat_map(|report| &report.watermarks);
    let own = own.filter(|seen| seen.num_rows > 1).filter_map(|s| s.min_event_time.as_deref());
    let others = earlier.max(own.filter_map(millis_of).min()).unwrap_or(look.now);
    row.event_time_us.div_euclid(1000).saturating_sub(others) > FAR_MS
}

/// `1 row was`, `3 rows were`
fn were(rows: u64) -> String {
    format!("{} {}", counted(rows as usize, "row", "rows"), if rows == 1 { "was" } else { "were" })
}

/// The row that first brought the watermark to at least `at_ms`, as far back as is known.
fn moved_to(look: &Look, at_ms: Millis) -> Option<&WatermarkRow> {
    let reaches = |ms: Option<Millis>| ms.is_some_and(|ms| ms >= at_ms);
    let ran_with = look.past.offsets.values().find(|offsets| reaches(offsets.batch_watermark_ms));
    let row = ran_with.and_then(|offsets| offsets.watermark_row.as_ref());
    let next = look.past.newest_commit.as_ref().map(|(_, commit)| commit);
    let next = next.filter(|commit| reaches(commit.next_batch_watermark_ms));
    row.or_else(|| next?.next_watermark_row.as_ref())
}

/// The watermark clause that a row has passed.
fn mark_of(look: &Look, row: &WatermarkRow) -> Option<MarkLook> {
    let reads =
        |mark: &MarkLook| mark.streams.iter().any(|at| look.streams[*at].table == row.source);
    look.marks().into_iter().find(reads)
}

/// Where a row stands, in words.
pub fn row_in_words(row: &WatermarkRow) -> String {
    match (&row.file, row.line) {
        (Some(file), Some(line)) => format!("{file}, line {line}"),
        (Some(file), None) => file.clone(),
        (None, _) => row.source.clone(),
    }
}

/// Rows came, and none of them has an event time.
pub fn no_event_time(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let Some(newest) = case.since.last() else { return Ok(None) };
    let timeless = |seen: &crate::progress::WatermarkProgress| {
        seen.num_rows > 0 && seen.num_rows == seen.num_null_rows
    };
    let Some(number) = newest.watermarks.iter().position(timeless) else { return Ok(None) };
    let batch = newest.batch_id;
    let reports = case.since.iter().filter_map(|report| report.watermarks.get(number));
    let all = case
        .since
        .iter()
        .all(|report| report.watermarks.get(number).is_none_or(|m| m.num_rows == m.num_null_rows));
    let rows: u64 = reports.map(|seen| seen.num_null_rows).sum();
    let marks = case.look.marks();
    let Some(mark) = marks.get(number) else { return Ok(None) };
    let column = &mark.column;
    let which = match all {
        true if rows == 1 => "the only row".to_owned(),
        true => format!("all {rows} rows"),
        false => format!("all rows of batch {batch}"),
    };
    let what_for = "A row without event time belongs to no window and cannot move the watermark.";
    let (base, expression) = came_from(case.look, number, column);
    let sample = samples(case.look, mark, batch, &base)?;
    let answer = match (&sample.text, &expression) {
        (Some(text), Some(expression)) => Answer::new(
            "event_time_not_readable",
            format!(
                "No row has an event time: {expression} gives NULL for the text in {}, such as '{text}'.",
                base.join(", ")
            ),
        )
        .advise("give to_timestamp the pattern of these texts: to_timestamp(text, 'dd/MM/yyyy HH:mm')"),
        (Some(text), None) => Answer::new(
            "event_time_not_readable",
            format!("No row has an event time: the text in {column} is no timestamp, such as '{text}'."),
        )
        .advise(format!(
            "say how the times are written, in the options of the table: timestampFormat \
             'dd/MM/yyyy HH:mm', or declare {column} as STRING and convert it with \
             to_timestamp({column}, 'dd/MM/yyyy HH:mm')"
        ))
        .advise("times that need no pattern look like 2026-01-01T12:00:00Z"),
        (None, _) => {
            let answer = Answer::new(
                "event_time_is_null",
                format!("No row has an event time: {column} is NULL in {which}."),
            );
            let other = !sample.columns.is_empty() && !base.iter().any(|b| {
                sample.columns.iter().any(|c| c.eq_ignore_ascii_case(b))
            });
            let answer = match other {
                true => answer.fact(format!(
                    "The rows have no {}; they have {}.",
                    base.join(", "),
                    sample.columns.join(", ")
                )),
                false => answer,
            };
            answer.advise(format!(
                "check the name of the event-time column in {} against the files",
                case.file
            ))
        }
    };
    let answer = match sample.file {
        Some(file) => {
            answer.fact(format!("The rows are those of {file}, for example; {which} have none."))
        }
        None => answer,
    };
    Ok(Some(answer.fact(what_for).advise(format!(
        "rows that were taken are not read again, so then start over: remove checkpoints/{} and \
         data/{}",
        case.look.name, case.look.name
    ))))
}

/// The columns of the table that an event time is made of, and the expression, where it is more than a column.
fn came_from(look: &Look, number: usize, column: &str) -> (Vec<String>, Option<String>) {
    let mut input: Option<LogicalPlan> = None;
    let _ = look.plan.plan.apply_with_subqueries(|node| {
        if let Some(found) = WatermarkNode::of(node).filter(|found| found.index == number) {
            input = Some(found.input.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let mut name = column.to_owned();
    while let Some(node) = input {
        if let LogicalPlan::Projection(projection) = &node {
            let made = projection.expr.iter().find(|e| e.schema_name().to_string() == name);
            match made.map(|expr| expr.clone().unalias()) {
                Some(Expr::Column(column)) => name = column.name,
                Some(expr) => {
                    let mut columns: Vec<String> =
                        expr.column_refs().into_iter().map(|c| c.name.clone()).collect();
                    columns.sort();
                    return (columns, Some(text(&expr)));
                }
                None => {}
            }
        }
        input = match node.inputs()[..] {
            [only] => Some(only.clone()),
            _ => None,
        };
    }
    (vec![name], None)
}

/// What stands in the file where the event time should.
#[derive(Default)]
struct Sample {
    /// The text of the first row that has one.
    text: Option<String>,
    /// The columns that the file has.
    columns: Vec<String>,
    file: Option<String>,
}

/// Reads the first file of a batch again, with these columns as text.
fn samples(look: &Look, mark: &MarkLook, batch: BatchId, columns: &[String]) -> Result<Sample> {
    let mut sample = Sample::default();
    let Some(stream) = mark.streams.first().and_then(|at| look.streams.get(*at)) else {
        return Ok(sample);
    };
    let take = stream.takes.iter().find(|(number, _)| *number == batch);
    let Some(file) = take.and_then(|(_, take)| files_of(take).into_iter().next()) else {
        return Ok(sample);
    };
    let project = &look.project.folder;
    let shown = file.path.display().to_string();
    if let Ok(schema) = infer_schema(project, stream.format, &shown, &stream.options) {
        sample.columns = schema.fields().iter().map(|field| field.name().clone()).collect();
    }
    let wanted = |field: &Field| columns.iter().any(|c| c.eq_ignore_ascii_case(field.name()));
    let slot = look.plan.reads[stream.read].slot.schema();
    let fields = slot.fields().iter().filter(|field| wanted(field));
    let texts: Vec<Field> = fields.map(|f| Field::new(f.name(), DataType::Utf8, true)).collect();
    sample.file = Some(shown);
    if texts.is_empty() {
        return Ok(sample);
    }
    let schema = std::sync::Arc::new(Schema::new(texts));
    // What the option says of times is no matter for text.
    let opened = FileSource::open(project, stream.format, &stream.place, schema, &stream.options);
    let take = serde_json::json!({ "files": [file.to_json()] });
    if let Ok(read) = opened.and_then(|mut source| source.read(&take)) {
        sample.text = first_text(&read.batches)?;
    }
    Ok(sample)
}

fn first_text(rows: &[RecordBatch]) -> Result<Option<String>> {
    let options = FormatOptions::default();
    for batch in rows {
        for column in batch.columns() {
            let shown = ArrayFormatter::try_new(column.as_ref(), &options)?;
            if let Some(row) = (0..column.len()).find(|row| column.is_valid(*row)) {
                return Ok(Some(shown.value(row).to_string()));
            }
        }
    }
    Ok(None)
}

/// Rows came, and all of them were too late.
pub fn all_late(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let late =
        |report: &&StreamingQueryProgress| report.rows.late > 0 && report.rows.contributed == 0;
    let all: Vec<&StreamingQueryProgress> = case.since.iter().rev().take_while(late).collect();
    let (Some(newest), Some(first)) = (all.first(), all.last()) else { return Ok(None) };
    let look = &case.look;
    let Some(watermark_ms) = look.late_watermark_ms(first.batch_id) else { return Ok(None) };
    let dropped: u64 = all.iter().map(|report| report.rows.late).sum();
    let mut answer = Answer::new(
        "all_rows_late",
        format!(
            "Every row since batch {} came too late: the watermark had passed {} before.",
            first.batch_id,
            look.time_ms(watermark_ms)
        ),
    )
    .fact(match first.batch_id == newest.batch_id {
        true => format!("In that batch {} dropped.", were(dropped)),
        false => {
            format!(
                "In the batches {} to {} {} dropped.",
                first.batch_id,
                newest.batch_id,
                were(dropped)
            )
        }
    });
    let row = moved_to(look, watermark_ms);
    if let Some((row, mark)) = row.and_then(|row| Some((row, mark_of(look, row)?))) {
        answer = answer.fact(format!(
            "The row {} = {} in {}, taken by batch {}, has moved the watermark there: {} less than its \
             time.",
            mark.column,
            look.time(row.event_time_us),
            row_in_words(row),
            row.batch,
            duration(mark.delay_ms)
        ));
        let oldest = all.iter().flat_map(|report| &report.watermarks);
        let oldest = oldest.filter_map(|seen| seen.min_event_time.as_deref().and_then(millis_of));
        if let Some(oldest_ms) = oldest.min() {
            let delay_ms = row.event_time_us.div_euclid(1000) - oldest_ms;
            answer = answer
                .fact(format!("The oldest of the late rows is of {}.", look.time_ms(oldest_ms)))
                .advise(format!(
                    "wait longer for late rows: with WATERMARK {} DELAY OF INTERVAL {} SECONDS none \
                     of these would have been too late",
                    mark.column,
                    delay_ms.div_euclid(1000) + 1
                ));
        }
    }
    answer.advice.extend(see_rejected(look));
    Ok(Some(answer.advise(format!(
        "rows that were dropped are not read again; to count them, change the delay and start over: \
         remove checkpoints/{} and data/{}",
        look.name, look.name
    ))))
}

/// Something is open, and the watermark has not got there.
pub fn watermark_is_behind(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let look = &case.look;
    let open = windows::open(look)?;
    let waiting = open.iter().any(|open| open.closes_at_ms.is_some());
    if case.since.is_empty() || !waiting || look.mode == crate::sinks::OutputMode::Update {
        return Ok(None);
    }
    let Some(first) = open.iter().find(|open| open.closes_at_ms.is_some()) else { return Ok(None) };
    let marks = look.marks();
    let needed =
        first.closes_at_ms.map(|ms| in_words(look, &look.needs(&marks, ms))).unwrap_or_default();
    let stands = stands(look);
    let held = look.holder(&marks).map(|at| &marks[at]);
    let operators = look.past.progress.iter().flat_map(|report| &report.state_operators);
    let others_closed =
        operators.map(|operator| operator.num_rows_removed).any(|removed| removed > 0);
    let mut answer = match held {
        Some(mark) if would_close(look, &marks, first.closes_at_ms) => held_back(look, mark),
        _ if open.len() == 1 && others_closed => Answer::new(
            "one_window",
            format!(
                "One thing is still open, {}: no row has come that is new enough to close it.",
                first.what
            ),
        ),
        _ if open.len() == 1 => Answer::new(
            "one_window",
            format!(
                "All rows that count so far lie in one {}, and no row has come that is new enough to close it.",
                first.what
            ),
        ),
        _ => {
            let since = case.last_output.map(|batch| format!(" since batch {batch}"));
            Answer::new(
                "watermark_is_behind",
                format!(
                    "Nothing has been closed{}: the watermark {stands}, and the first {} needs more.",
                    since.unwrap_or_default(),
                    first.what
                ),
            )
        }
    };
    answer = answer.fact(format!("The watermark {stands}."));
    answer.facts.extend(about_the_delay(look));
    answer = answer.advise(format!("to close the first {}: {needed}", first.what));
    answer.advice.extend(close_advice(look, &open, case.file));
    if look.mode == crate::sinks::OutputMode::Append {
        answer = answer.advise(
            "to see windows while they fill, set TBLPROPERTIES ('outputMode' = 'update') on a query \
             with a new name",
        );
    }
    Ok(Some(answer))
}

/// Where the watermark stands and since when.
fn stands(look: &Look) -> String {
    match (look.watermark_ms(), look.watermark_since()) {
        (0, _) => "has not begun to move".to_owned(),
        (ms, Some((batch, at))) => {
            format!("stands at {}, since batch {batch} ({at})", look.time_ms(ms))
        }
        (ms, None) => format!("stands at {}", look.time_ms(ms)),
    }
}

/// Whether the fastest clause has got to where the first window closes, so that only a slower one keeps it
/// open.
fn would_close(look: &Look, marks: &[MarkLook], closes_at_ms: Option<Millis>) -> bool {
    let fastest = marks.iter().filter_map(|mark| mark.watermark_ms).max();
    fastest.zip(closes_at_ms).is_some_and(|(fastest, at)| fastest >= at) || {
        // Or holds it where it is although another one has gone on.
        fastest.is_some_and(|fastest| fastest > look.watermark_ms())
    }
}

fn held_back(look: &Look, mark: &MarkLook) -> Answer {
    let streams: Vec<&str> =
        mark.streams.iter().filter_map(|at| Some(look.streams.get(*at)?.place.as_str())).collect();
    let place = streams.join(", ");
    let policy = "Of several watermarks the slowest counts, so that no stream loses rows (SET \
                  spark.sql.streaming.multipleWatermarkPolicy = max lets the fastest count).";
    match mark.watermark_ms {
        None => {
            let answer = Answer::new(
                "idle_source",
                format!("{place} holds the watermark back: it has given no row in this run."),
            );
            match mark.last_rows {
                None => answer
                    .fact(format!("{place} has given no row in the batches that are reported.")),
                Some(batch) => answer.fact(format!(
                    "Its last rows came in batch {batch}, in an earlier run; a run begins anew."
                )),
            }
            .fact(policy)
            .advise(format!("put a file with newer rows into {place}"))
        }
        Some(ms) => Answer::new(
            "slow_source",
            format!("{place} holds the watermark back: it is only at {}.", look.time_ms(ms)),
        )
        .fact(match mark.last_rows {
            Some(batch) => format!("Its last rows came in batch {batch}."),
            None => format!("{place} has given no row."),
        })
        .fact(policy)
        .advise(format!("put a file with newer rows into {place}")),
    }
}
