//! What became of one row: it is given alone to the query's own steps, and judged by the watermarks that its
//! batch ran with and by what its operators keep now.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::duration;
use super::rows::{Found, Story};
use super::times::row_in_words;
use super::windows::{in_words, span};
use crate::batch::BatchId;
use crate::engine::assemble::about::About;
use crate::engine::look::Look;
use crate::engine::look::kept::ceil_ms;
use crate::engine::look::probe::Probe;
use crate::error::Result;
use crate::operators::aggregate::{Emit, EventTime};
use crate::operators::late::event_times;
use crate::plan;
use crate::time::{EventTimeMicros, Millis};

/// What became of one row.
pub fn story(look: &Look, probe: &Probe<'_>, found: &Found) -> Result<Story> {
    let stream = &look.streams[found.stream];
    let mut story = Story {
        title: found.place.to_string(),
        table: stream.table.clone(),
        file: found.place.file.clone(),
        line: found.place.line,
        batch: found.batch,
        fate: "waiting",
        events: vec![values(&found.row)?],
    };
    let done = look.past.done();
    let Some(batch) = found.batch else {
        story.events.push(match look.past.is_running {
            true => "no batch has taken it yet: its file waits for the next one".to_owned(),
            false => {
                "no batch has taken it yet: its file waits, and the query is not running".to_owned()
            }
        });
        return Ok(story);
    };
    let time = look.past.offsets.get(&batch).map(|offsets| offsets.batch_timestamp_ms);
    let when = time.map(|ms| format!(" at {}", look.time_ms(ms))).unwrap_or_default();
    if done.is_none_or(|done| batch > done) {
        story.events.push(format!("batch {batch} takes it{when}, and is not done yet"));
        return Ok(story);
    }
    story.events.push(format!("batch {batch} took it{when}"));
    probe.feed(found.stream, vec![found.row.clone()], time.unwrap_or(look.now));
    for step in probe.steps(found.stream)? {
        if step.rows_in > 0 && step.rows_out == 0 {
            story.fate = "filtered";
            story.events.push(match step.condition.contains("session_window(") {
                true => {
                    "left out by the query: it has no event time, so it is in no session".to_owned()
                }
                false => format!("left out by the query: {} does not hold", step.condition),
            });
            return Ok(story);
        }
    }
    if let Some((column, rows)) = probe.at_watermark(found.stream)? {
        let mut times = vec![];
        for rows in &rows {
            let micros = event_times(rows.column(column))?;
            times.extend(
                (0..micros.len()).filter(|at| micros.is_valid(*at)).map(|at| micros.value(at)),
            );
        }
        story.events.push(match times.first() {
            Some(time) => format!("its event time is {}", look.time(*time)),
            None => {
                "it has no event time: it moves no watermark and belongs to no window".to_owned()
            }
        });
        let ran = look.batch_watermark_ms(batch);
        story.events.push(match ran {
            Some(0) => "the batch ran before there was a watermark".to_owned(),
            Some(ms) => format!("the batch ran with the watermark {}", look.time_ms(ms)),
            None => "which watermark the batch ran with is no longer known".to_owned(),
        });
    }
    in_operator(look, found.stream, batch, &found.row, &mut story)?;
    Ok(story)
}

/// The values of a row.
fn values(row: &RecordBatch) -> Result<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut parts = vec![];
    let schema = row.schema();
    for (field, column) in schema.fields().iter().zip(row.columns()) {
        if !matches!(field.data_type(), DataType::Struct(_)) {
            let shown = ArrayFormatter::try_new(column.as_ref(), &options)?;
            parts.push(format!("{} = {}", field.name(), shown.value(0)));
        }
    }
    Ok(format!("it says {}", parts.join(", ")))
}

/// What the first operator with memory did with the row.
fn in_operator(
    look: &Look,
    stream: usize,
    batch: BatchId,
    row: &RecordBatch,
    story: &mut Story,
) -> Result<()> {
    let read = look.streams[stream].read;
    for input in &look.assembly.inputs {
        let schema = input.slot.schema();
        let columns = schema.fields().iter().map(|field| row.schema().index_of(field.name()));
        input.slot.fill(match input.read == read {
            true => vec![row.project(&columns.collect::<Result<Vec<_>, _>>()?)?],
            false if look.plan.reads[input.read].streaming => vec![],
            false => look.plan.reads[input.read]
                .slot
                .rows()
                .iter()
                .map(|rows| {
                    let columns =
                        schema.fields().iter().map(|field| rows.schema().index_of(field.name()));
                    rows.project(&columns.collect::<Result<Vec<_>, _>>()?)
                })
                .collect::<Result<_, _>>()?,
        });
    }
    let late_ms = look.late_watermark_ms(batch);
    for (number, stage) in look.assembly.stages.iter().enumerate() {
        for (side, plan) in stage.plans.iter().enumerate() {
            let arrived = plan::run(plan, &look.assembly.task)?;
            let Some(arrived) = arrived.first().filter(|rows| rows.num_rows() > 0) else {
                continue;
            };
            let inputs = |global: Millis| look.input_watermarks_ms(global).get(number).copied();
            let late_ms = late_ms.and_then(inputs);
            return match &stage.about {
                About::Groups { event_time, emit, delay_us, .. } => {
                    let groups = Groups { number, event_time: *event_time, emit: *emit };
                    groups.tell(look, batch, arrived, late_ms.filter(|_| delay_us.is_some()), story)
                }
                other => plain(look, other, (number, side, batch), arrived, late_ms, story),
            };
        }
    }
    story.fate = "passed";
    story.events.push(format!("it came out in batch {batch}: the query keeps nothing back"));
    Ok(())
}

struct Groups {
    number: usize,
    event_time: EventTime,
    emit: Emit,
}

impl Groups {
    /// Each window of the row: late, open, or out.
    fn tell(
        &self,
        look: &Look,
        batch: BatchId,
        states: &RecordBatch,
        late_ms: Option<Millis>,
        story: &mut Story,
    ) -> Result<()> {
        let Some(column) = self.event_time.column() else {
            story.fate = "emitted";
            story.events.push(self.without_time(batch));
            return Ok(());
        };
        let times = cast(states.column(column), &DataType::Int64)?;
        let time = times.as_primitive::<Int64Type>();
        if time.is_null(0) {
            story.fate = "filtered";
            story.events.push("it belongs to no window".to_owned());
            return Ok(());
        }
        let ends: Vec<(Option<EventTimeMicros>, EventTimeMicros)> = match self.event_time {
            EventTime::Window(_, spec) => {
                spec.windows(time.value(0)).map(|(start, end)| (Some(start), end)).collect()
            }
            _ => vec![(None, time.value(0))],
        };
        let mut fates = vec![];
        for (start, end) in ends.into_iter().rev() {
            let name = match start {
                Some(start) => format!("window {}", span(look, start, end)),
                None => format!("the group of {}", look.time(end)),
            };
            let is_late = late_ms.is_some_and(|late| end <= late.saturating_mul(1000));
            let (fate, event) = match late_ms.filter(|_| is_late && self.emit != Emit::All) {
                Some(late) => (
                    "late",
                    format!(
                        "late for {name}, by {}: the watermark {} had closed it{}",
                        duration(late - end.div_euclid(1000)),
                        look.time_ms(late),
                        set_by(look, batch)
                    ),
                ),
                None => self.in_time(look, batch, &name, end),
            };
            fates.push(fate);
            story.events.push(event);
        }
        let all_late = fates.iter().all(|fate| *fate == "late");
        let first_in_time = fates.iter().find(|fate| **fate != "late").copied();
        story.fate = if all_late { "late" } else { first_in_time.unwrap_or("kept") };
        Ok(())
    }

    fn without_time(&self, batch: BatchId) -> String {
        match self.emit {
            Emit::Closed => "it joined its group, which never closes".to_owned(),
            Emit::Touched | Emit::All => {
                format!("it joined its group, which came out in batch {batch}")
            }
        }
    }

    fn in_time(
        &self,
        look: &Look,
        batch: BatchId,
        name: &str,
        end: EventTimeMicros,
    ) -> (&'static str, String) {
        // What is asked of a group behind its operator is not known of a single row.
        let (came, comes, if_any) = match look.goes_on_behind(self.number) {
            false => ("came out", "comes out", ""),
            true => {
                ("was closed", "goes on", "; what stands behind the grouping decides on the rest")
            }
        };
        match self.emit {
            Emit::Touched => {
                let event = format!("joined {name}, which changed in batch {batch}");
                return ("emitted", format!("{event} and {comes} then{if_any}"));
            }
            Emit::All => {
                let event = format!("joined {name}, which {comes} in each batch since {batch}");
                return ("emitted", event + if_any);
            }
            Emit::Closed => {}
        }
        let Some(global) = look.global_for_ms(self.number, ceil_ms(end)) else {
            return ("kept", format!("joined {name}, which no watermark closes"));
        };
        match look.first_batch_at(global) {
            Some((out, known)) => {
                let before = if known { "" } else { " or before" };
                ("emitted", format!("joined {name}, which {came} in batch {out}{before}{if_any}"))
            }
            None => {
                let needs = in_words(look, &look.needs(&look.marks(), global));
                ("kept", format!("joined {name}, which is open and waits for {needs}"))
            }
        }
    }
}

/// The story in an operator without windows.
fn plain(
    look: &Look,
    about: &About,
    (number, side, batch): (usize, usize, BatchId),
    arrived: &RecordBatch,
    late_ms: Option<Millis>,
    story: &mut Story,
) -> Result<()> {
    let schema = arrived.schema();
    let marked =
        schema.fields().iter().position(|field| crate::sql::event_time_delay(field).is_some());
    let time = match marked {
        Some(column) => {
            let micros = event_times(arrived.column(column))?;
            (micros.is_valid(0)).then(|| micros.value(0))
        }
        None => None,
    };
    if let (Some(time), Some(late)) = (time, late_ms)
        && time <= late.saturating_mul(1000)
    {
        story.fate = "late";
        story.events.push(format!(
            "late by {}: the watermark was {} already{}",
            duration(late - time.div_euclid(1000)),
            look.time_ms(late),
            set_by(look, batch)
        ));
        return Ok(());
    }
    story.fate = "passed";
    let table = look.states.get(number).and_then(|tables| tables.get(side).or(tables.first()));
    let is_kept = match (about, table) {
        (About::Join { .. }, Some(table)) => key_is_kept(about, table, arrived)?,
        _ => None,
    };
    let (fate, event) = match (about, is_kept) {
        (About::Join { .. }, Some(true)) => {
            let other = look.states.get(number).and_then(|tables| tables.get(1 - side.min(1)));
            let meets =
                other.map(|other| key_is_kept(about, other, arrived)).transpose()?.flatten();
            let partner = match meets {
                Some(true) => "the other side keeps a row with the same key",
                _ => "the other side keeps no row with its key",
            };
            ("kept", format!("it is kept by the join, for partners that may still come; {partner}"))
        }
        (About::Join { .. }, _) => {
            ("passed", "the join has let it go: no partner can come any more".to_owned())
        }
        // Which of the rows with its key came out is told by who knows them all.
        (About::Duplicates { .. }, _) => return Ok(()),
        (About::Sessions { keys, .. }, _) => session(look, number, keys.len(), arrived)?,
        (About::Limit { .. }, _) => ("passed", "it came to the LIMIT of the query".to_owned()),
        (About::Groups { .. }, _) => ("kept", "it joined its group".to_owned()),
    };
    story.fate = fate;
    story.events.push(event);
    Ok(())
}

/// Which row had set the watermark by which a batch took rows as late, as far as that is still told.
fn set_by(look: &Look, batch: BatchId) -> String {
    let ran = if look.one_watermark { Some(batch) } else { batch.checked_sub(1) };
    let offsets = ran.and_then(|ran| look.past.offsets.get(&ran));
    match offsets.and_then(|offsets| offsets.watermark_row.as_ref()) {
        Some(row) => format!("; it was set by {}", row_in_words(row)),
        None => String::new(),
    }
}

/// The session that a row is in: open, or out.
fn session(
    look: &Look,
    number: usize,
    keys: usize,
    arrived: &RecordBatch,
) -> Result<(&'static str, String)> {
    let micros = |rows: &RecordBatch, column: usize, row: usize| -> Result<i64> {
        let times = cast(rows.column(column), &DataType::Int64)?;
        Ok(times.as_primitive::<Int64Type>().value(row))
    };
    let (end, start) = (micros(arrived, keys, 0)?, micros(arrived, keys + 1, 0)?);
    let wanted = texts(arrived, &(0..keys).collect::<Vec<_>>(), 0)?;
    for rows in look
        .states
        .get(number)
        .and_then(|t| t.first())
        .map(|t| t.rows())
        .transpose()?
        .unwrap_or_default()
    {
        let rows = rows?;
        for row in 0..rows.num_rows() {
            let (its_end, its_start) = (micros(&rows, keys, row)?, micros(&rows, keys + 1, row)?);
            let holds = its_start <= start && end <= its_end;
            if holds && texts(&rows, &(0..keys).collect::<Vec<_>>(), row)? == wanted {
                let name = span(look, its_start, its_end);
                let Some(global) = look.global_for_ms(number, ceil_ms(its_end)) else {
                    return Ok((
                        "kept",
                        format!("joined the session {name}, which no watermark closes"),
                    ));
                };
                let needs = in_words(look, &look.needs(&look.marks(), global));
                return Ok((
                    "kept",
                    format!("joined the session {name}, which is open and waits for {needs}"),
                ));
            }
        }
    }
    Ok(("emitted", "joined a session that has closed and come out".to_owned()))
}

/// The values of some columns of a row as text.
fn texts(rows: &RecordBatch, columns: &[usize], row: usize) -> Result<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let shown = columns.iter().map(|column| {
        let shown = ArrayFormatter::try_new(rows.column(*column).as_ref(), &options)?;
        Ok(shown.value(row).to_string())
    });
    shown.collect()
}

/// Whether a state holds a row with the key of this one; `None`: that cannot be told.
fn key_is_kept(
    about: &About,
    table: &crate::state::StateTable,
    arrived: &RecordBatch,
) -> Result<Option<bool>> {
    let schema = arrived.schema();
    let columns: Option<Vec<usize>> = match about {
        About::Join { keys, .. } => {
            let prefix = |number: usize| format!("key {number}: ");
            let at =
                |n: usize| schema.fields().iter().position(|f| f.name().starts_with(&prefix(n)));
            (0..keys.len()).map(at).collect()
        }
        _ => None,
    };
    let Some(columns) = columns else { return Ok(None) };
    let wanted = texts(arrived, &columns, 0)?;
    let in_state: Vec<usize> = (0..columns.len()).collect();
    for rows in table.rows()? {
        let rows = rows?;
        for row in 0..rows.num_rows() {
            if texts(&rows, &in_state, row)? == wanted {
                return Ok(Some(true));
            }
        }
    }
    Ok(Some(false))
}
