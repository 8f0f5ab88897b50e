//! Causes that lie in what came, or did not come.

use std::path::Path;

use super::causes::Case;
use super::windows::shown;
use super::{Answer, counted, few};
use crate::engine::look::Look;
use crate::engine::look::stream::StreamLook;
use crate::engine::trigger::Trigger;
use crate::error::Result;
use crate::sources::files::left_out::Rule;
use crate::sql::nearest;

/// The folder of a stream is not there, or it cannot be opened for another reason.
pub fn folder_is_missing(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let project = case.look.project.folder.clone();
    for stream in &case.look.streams {
        let Err(error) = &stream.source else { continue };
        let table = &stream.table;
        if stream.folder_exists(&project) || error.condition() != "PATH_NOT_FOUND" {
            let mut answer = Answer::new(
                "stream_cannot_be_opened",
                format!("The stream {table} cannot be opened: {}.", error.message()),
            );
            answer.advice.extend(error.hint_text().map(str::to_owned));
            return Ok(Some(answer));
        }
        let folder = shown(&stream.folder);
        let mut answer = Answer::new(
            "folder_is_missing",
            format!("The folder {folder} does not exist, so {table} has no data."),
        )
        .fact(format!("The path of {table} is '{}'.", stream.place));
        answer.advice.extend(near(&project, &stream.folder).map(|near| {
            format!("did you mean {near}? Then correct the path of {table} in {}", case.file)
        }));
        return Ok(Some(answer.advise(format!("or make it: mkdir -p {folder}"))));
    }
    Ok(None)
}

/// A folder beside the one that is missing, with nearly its name.
fn near(project: &Path, missing: &Path) -> Option<String> {
    let parent = missing.parent()?;
    let wanted = missing.file_name()?.to_string_lossy().into_owned();
    let names = crate::durable::names(&project.join(parent)).ok()?;
    let found = nearest(&wanted, names.iter().map(String::as_str))?;
    Some(shown(&parent.join(found)))
}

/// No stream has ever given anything, and nothing waits.
pub fn nothing_matches(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let streams = &case.look.streams;
    if streams.iter().any(|stream| !stream.takes.is_empty() || stream.waiting.is_some()) {
        return Ok(None);
    }
    let lies_there = streams.iter().find(|stream| !stream.left_out.is_empty());
    let Some(stream) = lies_there.or(streams.first()) else { return Ok(None) };
    if stream.upstream {
        let table = &stream.table;
        return Ok(Some(
            Answer::new(
                "upstream_gave_nothing",
                format!("No data: the query reads {table}, which has given no rows yet."),
            )
            .advise(format!("look there first: strandline why {} {table}", case.file)),
        ));
    }
    Ok(Some(match stream.left_out.is_empty() {
        true => empty_folder(stream, case),
        false => no_file_matches(stream, case),
    }))
}

fn empty_folder(stream: &StreamLook, case: &Case<'_>) -> Answer {
    let StreamLook { table, place, format, .. } = stream;
    let folder = shown(&stream.folder);
    let holds = match *format {
        "delta" => format!("the Delta table {place} is not there or has no rows"),
        _ => format!("the folder {folder} holds no file"),
    };
    let answer = Answer::new("no_data", format!("No data: {holds}."))
        .fact(format!("{table} reads '{place}'."))
        .advise(format!("put files of {format} into {folder}; a query reads each file once"));
    match case.look.past.is_running {
        true => answer.fact("The query is running and takes a file as soon as it is there."),
        false => answer.advise(format!("then run the query: {}", case.run_command())),
    }
}

fn no_file_matches(stream: &StreamLook, case: &Case<'_>) -> Answer {
    let StreamLook { table, place, left_out, .. } = stream;
    let folder = shown(&stream.folder);
    let visible: Vec<_> = left_out.iter().filter(|file| file.rule != Rule::Hidden).collect();
    let Some(first) = visible.first() else {
        let names: Vec<String> = left_out.iter().map(|file| shown(&file.file)).collect();
        return Answer::new(
            "only_hidden_files",
            format!("No file counts: all {} in {folder} have hidden names.", left_out.len()),
        )
        .fact(format!("Hidden are names that begin with . or _ or end in .tmp: {}.", few(&names)))
        .advise("rename a file when it is complete, to a name without that");
    };
    let rule = match &first.rule {
        Rule::Filter(glob) => format!("the option pathGlobFilter '{glob}' lets none through"),
        Rule::SubFolder => "they lie in sub-folders, which are not read".to_owned(),
        Rule::NoFile(what) => format!("it is {what}"),
        Rule::Path | Rule::Hidden => format!("none matches the path '{place}'"),
    };
    let names: Vec<String> = visible.iter().map(|file| shown(&file.file)).collect();
    let answer = Answer::new(
        "no_file_matches",
        format!(
            "No file matches: {} in {folder}, but {rule}.",
            counted(visible.len(), "file lies", "files lie")
        ),
    )
    .fact(format!("There are {}.", few(&names)));
    match &first.rule {
        Rule::Filter(_) => answer.advise(format!(
            "correct pathGlobFilter in the options of {table} in {}, or rename the files",
            case.file
        )),
        Rule::SubFolder => answer.advise(format!(
            "add recursiveFileLookup 'true' to the options of {table} in {}",
            case.file
        )),
        Rule::NoFile(_) => answer.advise(format!("put files of rows into {folder}")),
        Rule::Path | Rule::Hidden => answer.advise(format!(
            "correct the path of {table} in {}, for example to '{folder}'",
            case.file
        )),
    }
}

/// Files wait, and no batch has ever been decided.
pub fn never_started(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let look = &case.look;
    if look.past.done().is_some() || look.past.under_way().is_some() || look.past.is_running {
        return Ok(None);
    }
    let headline = match waiting(look) {
        Some(waiting) => format!("The query has never run: {waiting}."),
        None => "The query has never run.".to_owned(),
    };
    Ok(Some(
        Answer::new("never_started", headline)
            .advise(format!("process what is there: {} --available-now", case.run_command()))
            .advise(format!("or go on as files arrive: {}", case.run_command())),
    ))
}

/// A batch was decided and not finished, and nobody runs the query.
pub fn died_in_a_batch(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let Some((batch, _)) = case.look.past.under_way().filter(|_| !case.look.past.is_running) else {
        return Ok(None);
    };
    Ok(Some(
        Answer::new(
            "stopped_in_a_batch",
            format!("The query stopped in the middle of batch {batch}, and is not running."),
        )
        .fact("What that batch reads is written down, so nothing is lost and nothing comes twice.")
        .advise(format!("start it again; it begins with that batch: {}", case.run_command()))
        .advise("if it stops again there, the message of the run names the reason"),
    ))
}

/// Something waits, and nobody runs the query.
pub fn is_not_running(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let look = &case.look;
    let Some(waiting) = waiting(look).filter(|_| !look.past.is_running) else { return Ok(None) };
    let mut answer =
        Answer::new("not_running", format!("The query is not running, and {waiting}."));
    if let Some(last) = look.past.progress.last() {
        answer =
            answer.fact(format!("Its last batch was {}, at {}.", last.batch_id, last.timestamp));
    }
    Ok(Some(answer.advise(format!("run it: {}", case.run_command()))))
}

/// Something waits while the query runs: its trigger has not come, or a batch is under way.
pub fn waits_for_the_trigger(case: &mut Case<'_>) -> Result<Option<Answer>> {
    let look = &case.look;
    if !look.past.is_running {
        return Ok(None);
    }
    if let Some((batch, _)) = look.past.under_way() {
        return Ok(Some(
            Answer::new("batch_is_running", format!("Batch {batch} is running right now."))
                .advise("look again when it is done"),
        ));
    }
    let Some(waiting) = waiting(look) else { return Ok(None) };
    if let Trigger::Every(interval) = look.trigger {
        let every = (interval.as_millis() as i64).max(1);
        let next = look.now - look.now.rem_euclid(every) + every;
        return Ok(Some(
            Answer::new(
                "waits_for_trigger",
                format!(
                    "The trigger has not come yet: {waiting} until {}.",
                    crate::time::iso_millis(next)
                ),
            )
            .fact(format!(
                "The query starts a batch every {} (pipelines.trigger.interval).",
                super::duration(every)
            ))
            .advise("wait, or make the interval in TBLPROPERTIES shorter and start again"),
        ));
    }
    let last = look.past.progress.last();
    let mut answer =
        Answer::new("waits_for_trigger", format!("The next batch has not begun yet: {waiting}."));
    if let Some(last) = last {
        answer =
            answer.fact(format!("The last batch was {}, at {}.", last.batch_id, last.timestamp));
    }
    Ok(Some(
        answer
            .advise("look again in a second; if it was started with --trigger, it waits for that"),
    ))
}

/// What waits, in words.
fn waiting(look: &Look) -> Option<String> {
    let mut parts = vec![];
    for stream in look.streams.iter().filter(|stream| stream.waiting.is_some()) {
        let files = stream.waiting_files().len();
        parts.push(match files {
            0 => format!("new rows wait in {}", stream.place),
            files => format!(
                "{} in {}",
                counted(files, "file waits", "files wait"),
                shown(&stream.folder)
            ),
        });
    }
    (!parts.is_empty()).then(|| parts.join(" and "))
}
