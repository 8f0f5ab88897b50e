//! Which cause it is: the first that holds, from what must be there first to what comes last.

use super::{Answer, input, passing, times, windows};
use crate::batch::BatchId;
use crate::engine::look::Look;
use crate::engine::pipeline::Pipeline;
use crate::error::Result;
use crate::progress::{RowCounts, StreamingQueryProgress};

/// What has to be known to find a cause.
pub struct Case<'a> {
    /// The pipeline that the query stands in.
    pub pipeline: &'a Pipeline,
    /// The pipeline file, as the user calls it.
    pub file: &'a str,
    /// The query.
    pub look: &'a mut Look,
    /// The newest batch that gave rows to the sink.
    pub last_output: Option<BatchId>,
    /// The reports of the batches with rows of input since then.
    pub since: Vec<StreamingQueryProgress>,
}

/// Looks whether a cause holds.
type Cause = fn(&mut Case<'_>) -> Result<Option<Answer>>;

/// What is the matter with a query.
///
/// # Errors
///
/// Input files that cannot be read, where they have to be looked at; a state that is damaged.
pub fn diagnose(pipeline: &Pipeline, file: &str, look: &mut Look) -> Result<Answer> {
    let reports = &look.past.progress;
    let gave = |report: &&StreamingQueryProgress| report.sink.num_output_rows > 0;
    let last_output = reports.iter().rev().find(gave).map(|report| report.batch_id);
    let came = |report: &&StreamingQueryProgress| {
        report.num_input_rows > 0 && last_output.is_none_or(|last| report.batch_id > last)
    };
    let since = reports.iter().filter(came).cloned().collect();
    let mut case = Case { pipeline, file, look, last_output, since };
    let causes: [Cause; 14] = [
        input::folder_is_missing,
        input::nothing_matches,
        input::never_started,
        input::died_in_a_batch,
        input::is_not_running,
        input::waits_for_the_trigger,
        times::future_row,
        times::no_event_time,
        passing::all_unreadable,
        passing::all_filtered,
        times::all_late,
        passing::no_match_yet,
        passing::only_known_rows,
        times::watermark_is_behind,
    ];
    let mut answer = None;
    for cause in causes {
        answer = cause(&mut case)?;
        if answer.is_some() {
            break;
        }
    }
    let mut answer = match answer {
        Some(answer) => answer,
        None => all_is_well(&case)?,
    };
    let zone = case.look.zone().name().to_owned();
    if zone != "UTC" {
        answer = answer.fact(format!("Times are by the clocks of {zone}."));
    }
    answer.query = case.look.name.clone();
    answer.open = windows::open(case.look)?;
    Ok(answer)
}

/// Nothing is wrong: what came out, and what is still to come.
fn all_is_well(case: &Case<'_>) -> Result<Answer> {
    let look = &case.look;
    let reports = &look.past.progress;
    let rows: u64 = reports.iter().map(|report| report.sink.num_output_rows).sum();
    let Some(last) = case.last_output else { return Ok(nothing_came_out(case)) };
    let from = reports.first().map_or(0, |report| report.batch_id);
    let mut answer = Answer::new(
        "all_is_well",
        format!(
            "All is well: {} came out, the last in batch {last}.",
            super::counted(rows as usize, "row", "rows")
        ),
    );
    if from > 0 {
        answer =
            answer.fact(format!("These are the rows since batch {from}; older reports are gone."));
    }
    answer = answer.fact(match look.past.is_running {
        true => "The query is running, and no file waits.".to_owned(),
        false => "The query is not running, and no file waits.".to_owned(),
    });
    answer = answer
        .advise(format!("see them: strandline sql -c \"SELECT * FROM {} LIMIT 10\"", look.name));
    let rejected: u64 = reports.iter().map(|report| report.rows.rejected()).sum();
    if rejected > 0 {
        let sum = |of: fn(&RowCounts) -> u64| reports.iter().map(|r| of(&r.rows)).sum::<u64>();
        answer = answer.fact(format!(
            "{} came to nothing: {} too late, {} duplicate, {} unreadable, {} with a value of the wrong type.",
            super::counted(rejected as usize, "row", "rows"),
            sum(|rows| rows.late),
            sum(|rows| rows.duplicate),
            sum(|rows| rows.corrupt),
            sum(|rows| rows.cast_failed),
        ));
        answer.advice.extend(see_rejected(look));
    }
    let open = windows::open(look)?;
    if let Some(advice) = windows::close_advice(look, &open, case.file) {
        answer = answer.fact(format!(
            "{} still open; see below what closes them.",
            match open.len() {
                1 => "1 is".to_owned(),
                many => format!("{many} are"),
            }
        ));
        answer = answer.advise(advice);
    }
    Ok(answer)
}

/// No row has come out, and no other cause holds.
fn nothing_came_out(case: &Case<'_>) -> Answer {
    let look = &case.look;
    let reports = &look.past.progress;
    let contributed: u64 = reports.iter().map(|report| report.rows.contributed).sum();
    let operators = reports.iter().flat_map(|report| &report.state_operators);
    let closed: u64 = operators.map(|operator| operator.num_rows_removed).sum();
    let ask = format!("ask the table: strandline sql -c \"SELECT count(*) FROM {}\"", look.name);
    if reports.is_empty() {
        return Answer::new("nothing_known", "What the batches gave is no longer known.")
            .fact("Their reports are not kept any more.")
            .advise(ask);
    }
    if contributed == 0 {
        return Answer::new("no_rows", "The files that came hold no rows.")
            .fact(format!(
                "{} done, and none read a row.",
                super::counted(reports.len(), "batch is", "batches are")
            ))
            .advise("look into the files; the next ones are taken as they come");
    }
    let rows = super::counted(contributed as usize, "row", "rows");
    let headline = match closed {
        0 => format!("Nothing has come out yet of the {rows} that were taken in."),
        _ => format!(
            "{} closed, and none passed what the query asks of them (HAVING, or a WHERE around it).",
            super::counted(closed as usize, "group was", "groups were")
        ),
    };
    Answer::new("nothing_came_out", headline)
        .fact(format!("{rows} were taken in."))
        .advise(format!(
            "see what is kept: strandline why {} {} --state; and what each operator waits for: strandline \
             explain {}",
            case.file, look.name, case.file
        ))
}

/// How to see the rows that came to nothing, where they are kept.
pub fn see_rejected(look: &Look) -> Option<String> {
    let table = format!("{}__rejected", look.name);
    let kept = look.project.table(&table).is_dir();
    kept.then(|| format!("see the rejected rows: strandline sql -c \"SELECT * FROM {table}\""))
}

impl Case<'_> {
    /// The command that runs the query.
    pub fn run_command(&self) -> String {
        format!("strandline run {}", self.file)
    }
}
