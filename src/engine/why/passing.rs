//! Causes that lie in what the query lets through: conditions, joins, duplicates, limits.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use super::causes::{Case, see_rejected};
use super::{Answer, counted, few};
use crate::engine::assemble::about::About;
use crate::engine::look::Look;
use crate::engine::look::probe::{Probe, Step};
use crate::engine::look::stream::files_of;
use crate::error::Result;
use crate::operators::join::JoinKind;
use crate::progress::StreamingQueryProgress;
use crate::sql::is_streaming;
use crate::state::StateTable;

/// So many files are read at most to see what becomes of their rows.
const FILES: usize = 64;

/// Rows came, and none got through the conditions of the query.
pub fn all_filtered(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let none_passed = |report: &StreamingQueryProgress| {
        report.rows.contributed == 0 && report.rows.filtered > 0 && report.rows.rejected() == 0
    };
    if case.since.is_empty() || !case.since.iter().all(none_passed) {
        return Ok(None);
    }
    for stream in 0..case.look.streams.len() {
        let Some((files, steps)) = tried(case, stream)? else { continue };
        let Some(step) = steps.iter().find(|step| step.rows_in > 0 && step.rows_out == 0) else {
            continue;
        };
        let Step { condition, rows_in, .. } = step;
        let look = &case.look;
        let first = case.since.first().map_or(0, |report| report.batch_id);
        let since = match case.last_output {
            None => String::new(),
            Some(_) => format!(" since batch {first}"),
        };
        let mut answer = Answer::new(
            "all_rows_filtered",
            format!("The query leaves every row out{since}: no row passes {condition}."),
        )
        .fact(format!(
            "Of the {} in {files} of {}, {} came to this condition, and 0 passed.",
            counted(rows_in.to_owned(), "row", "rows"),
            look.streams[stream].place,
            rows_in
        ));
        for values in &step.values {
            answer = answer.fact(format!("What came has {values}."));
        }
        return Ok(Some(answer.advise(format!(
            "compare the condition in {} with these values; rows that were left out are not read \
             again, so start over after a change: remove checkpoints/{} and data/{}",
            case.file, look.name, look.name
        ))));
    }
    Ok(None)
}

/// What the steps of the query do with the newest files of a stream.
fn tried(case: &mut Case<'_>, stream: usize) -> Result<Option<(String, Vec<Step>)>> {
    let since: Vec<u64> = case.since.iter().map(|report| report.batch_id).collect();
    let look = &mut *case.look;
    let found = &mut look.streams[stream];
    let takes = found.takes.iter().rev().filter(|(batch, _)| since.contains(batch));
    let takes: Vec<_> = takes.map(|(_, take)| take.clone()).collect();
    let mut rows = vec![];
    let mut files = 0;
    for take in &takes {
        let of_take = files_of(take);
        if of_take.is_empty() {
            if let Ok(read) = found.read(take) {
                rows.extend(read.batches);
            }
            continue;
        }
        for file in of_take.into_iter().rev() {
            if files < FILES
                && let Some((_, batches)) = found.read_file(&file)
            {
                files += 1;
                rows.extend(batches);
            }
        }
    }
    if rows.iter().all(|batch| batch.num_rows() == 0) {
        return Ok(None);
    }
    let probe = Probe::new(case.pipeline, look)?;
    probe.feed(stream, rows, look.now);
    let what = match files {
        0 => "the newest versions".to_owned(),
        1 => "the newest file".to_owned(),
        files => format!("the newest {files} files"),
    };
    Ok(Some((what, probe.steps(stream)?)))
}

/// Nothing that came could be read as a row.
pub fn all_unreadable(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let unreadable = |report: &StreamingQueryProgress| {
        report.rows.read > 0 && report.rows.read == report.rows.corrupt + report.rows.cast_failed
    };
    if case.since.is_empty() || !case.since.iter().all(unreadable) {
        return Ok(None);
    }
    let corrupt: u64 = case.since.iter().map(|report| report.rows.corrupt).sum();
    let mistyped: u64 = case.since.iter().map(|report| report.rows.cast_failed).sum();
    let places: Vec<&str> = case.look.streams.iter().map(|stream| stream.place.as_str()).collect();
    let places = places.join(", ");
    let headline = match mistyped {
        0 => format!("No line of {places} can be read as a row."),
        _ => format!("No row of {places} has values of the types that the table declares."),
    };
    let mut answer = Answer::new("nothing_readable", headline).fact(format!(
        "{} broken, {} with a value of the wrong type.",
        counted(corrupt as usize, "line is", "lines are"),
        counted(mistyped as usize, "row", "rows")
    ));
    answer.advice.extend(see_rejected(case.look));
    Ok(Some(answer.advise(format!(
        "compare the format and the columns of the table in {} with the files",
        case.file
    ))))
}

/// A join keeps rows and has found no two that belong together.
pub fn no_match_yet(case: &mut Case<'_>) -> Result<Option<Answer>> {
    if case.since.is_empty() || case.last_output.is_some() {
        return Ok(None);
    }
    let look = &case.look;
    for (stage, tables) in look.assembly.stages.iter().zip(&look.states) {
        let (About::Join { keys, kind, .. }, [left, right]) = (&stage.about, &tables[..]) else {
            continue;
        };
        if left.is_empty() && right.is_empty() {
            continue;
        }
        let [left_name, right_name] = sides(look);
        let named: Vec<String> =
            keys.iter().map(|[left, right]| format!("{left} = {right}")).collect();
        let condition = named.join(" AND ");
        let mut answer = match (left.len(), right.len()) {
            (0, _) => silent_side(&left_name, &right_name, right.len()),
            (_, 0) => silent_side(&right_name, &left_name, left.len()),
            _ => no_pair([&left_name, &right_name], [left, right], &condition)?,
        };
        if *kind != JoinKind::Inner && *kind != JoinKind::LeftSemi {
            answer = answer.fact(
                "Rows without a partner come out once the watermark says that none can come any more.",
            );
        }
        return Ok(Some(answer));
    }
    Ok(None)
}

fn silent_side(silent: &str, other: &str, rows: usize) -> Answer {
    Answer::new(
        "no_match_yet",
        format!("No row has found a match yet: {silent} has given no row that is kept."),
    )
    .fact(format!("{} of {other} wait for a partner.", counted(rows, "row", "rows")))
    .advise(format!("put files of {silent} into its folder, or see why its rows are not kept"))
}

/// Both sides have rows: do their keys ever meet?
fn no_pair(names: [&str; 2], tables: [&StateTable; 2], condition: &str) -> Result<Answer> {
    let [left, right] = [keys_of(tables[0])?, keys_of(tables[1])?];
    let shared = left.iter().filter(|key| right.contains(*key)).count();
    let some =
        |keys: &std::collections::BTreeSet<String>| few(&keys.iter().cloned().collect::<Vec<_>>());
    let kept = format!(
        "{} of {} and {} of {} are kept, and wait for partners.",
        counted(tables[0].len(), "row", "rows"),
        names[0],
        counted(tables[1].len(), "row", "rows"),
        names[1]
    );
    let answer = match shared {
        0 => Answer::new(
            "no_match_yet",
            format!("No row has found a match yet: no value of {condition} is on both sides."),
        )
        .fact(kept)
        .fact(format!("{} has {}; {} has {}.", names[0], some(&left), names[1], some(&right)))
        .advise(
            "wait for the partners; if these should be equal, compare how both sides write them \
             (case, blanks, leading zeros)",
        ),
        shared => Answer::new(
            "no_match_yet",
            format!(
                "No row has found a match yet: {} on both sides, but the other conditions of the \
                 join do not hold.",
                counted(shared, "key is", "keys are")
            ),
        )
        .fact(kept)
        .advise("look at the conditions on time in the join: the rows may lie too far apart"),
    };
    Ok(answer)
}

/// The keys that a side of a join keeps, as text.
fn keys_of(table: &StateTable) -> Result<std::collections::BTreeSet<String>> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("NULL");
    let mut keys = std::collections::BTreeSet::new();
    for rows in table.rows()? {
        let rows = rows?;
        let columns = &rows.columns()[..table.shape().lookup];
        let shown = columns.iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let shown = shown.collect::<Result<Vec<_>, _>>()?;
        for row in 0..rows.num_rows() {
            let values: Vec<String> = shown.iter().map(|s| s.value(row).to_string()).collect();
            keys.insert(values.join(", "));
        }
    }
    Ok(keys)
}

/// What a person calls the two sides of the query's join of streams.
fn sides(look: &Look) -> [String; 2] {
    let mut names = None;
    let _ = look.plan.plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node
            && is_streaming(&join.left)
            && is_streaming(&join.right)
        {
            let name = |plan: &LogicalPlan| {
                let tables = look.streams_below(plan).into_iter();
                tables.map(|at| look.streams[at].table.clone()).collect::<Vec<_>>().join(", ")
            };
            names = Some([name(&join.left), name(&join.right)]);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    names.unwrap_or_else(|| ["the left side".to_owned(), "the right side".to_owned()])
}

/// Only rows came that the query has had before, or more than it lets through.
pub fn only_known_rows(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let look = &case.look;
    let newest = case.since.last().map(|report| report.rows);
    if !newest.is_some_and(|rows| rows.read > 0 && rows.contributed == 0) {
        return Ok(None);
    }
    let none = |report: &&StreamingQueryProgress| report.rows.contributed == 0;
    let all: Vec<_> = case.since.iter().rev().take_while(none).collect();
    let first = all.last().map_or(0, |report| report.batch_id);
    let duplicates: u64 = all.iter().map(|report| report.rows.duplicate).sum();
    let rows: u64 = all.iter().map(|report| report.rows.read).sum();
    let rows = counted(rows as usize, "row", "rows");
    for (stage, tables) in look.assembly.stages.iter().zip(&look.states) {
        let kept: usize = tables.iter().map(StateTable::len).sum();
        match &stage.about {
            About::Duplicates { keys, .. } if duplicates > 0 => {
                return Ok(Some(
                    Answer::new(
                        "all_rows_are_duplicates",
                        format!(
                            "Every row since batch {first} is a duplicate: its {} had come before.",
                            keys.join(", ")
                        ),
                    )
                    .fact(format!(
                        "{rows} came since then; {} are remembered.",
                        counted(kept, "key", "keys")
                    ))
                    .advise("nothing has to be done if these rows are meant to be left out"),
                ));
            }
            About::Limit { rows: limit } => {
                return Ok(Some(
                    Answer::new(
                        "limit_is_reached",
                        format!("The LIMIT of {} is reached: no more rows come out.", counted(*limit, "row", "rows")),
                    )
                    .fact(format!("{rows} came since batch {first}."))
                    .advise("a LIMIT over a stream counts over its whole life; leave it out to get all rows"),
                ));
            }
            _ => {}
        }
    }
    Ok(None)
}
