//! The story of single rows: where each stands, which batch took it, whether it was late or left out, which
//! windows it joined and when they came out.
//!
//! The rows are sought in the files that the query's batches took, and in those that wait. What became of a
//! row is found by giving it alone to the query's own steps, and by the watermarks that its batch ran with.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::catalog::MemTable;
use serde::Serialize;

use super::counted;
use super::duplicates::{Duplicates, Fate};
use super::story::story;
use crate::batch::BatchId;
use crate::engine::look::Look;
use crate::engine::look::probe::Probe;
use crate::engine::look::stream::{RowPlace, files_of, row_of};
use crate::engine::pipeline::Pipeline;
use crate::error::{Error, Result};
use crate::plan;

/// So many rows are told about, at most.
const ROWS: usize = 20;

/// The stories of the rows that a condition holds for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stories {
    /// How many rows were found.
    pub headline: String,
    /// How many there are in the files, told about or not.
    pub found: usize,
    /// Their stories.
    pub rows: Vec<Story>,
    /// What to do.
    pub advice: Vec<String>,
}

/// The story of one row.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// Where it stands, in words.
    pub title: String,
    /// The table.
    pub table: String,
    /// The file.
    pub file: String,
    /// Its line, from 1, where rows are lines.
    pub line: Option<u64>,
    /// The batch that took it; absent: it waits.
    pub batch: Option<BatchId>,
    /// What became of it: `waiting`, `filtered`, `late`, `kept`, `emitted`, `passed`.
    pub fate: &'static str,
    /// What happened, one after the other.
    pub events: Vec<String>,
}

/// A row that was found.
pub struct Found {
    /// In which stream.
    pub stream: usize,
    /// The batch that took it; `None`: it waits.
    pub batch: Option<BatchId>,
    /// Where it stands.
    pub place: RowPlace,
    /// The row alone, with all columns of the table.
    pub row: RecordBatch,
}

/// The stories of the rows of the query's streams for which a condition holds.
///
/// # Errors
///
/// The condition is no SQL over the columns of any of the streams.
pub fn stories(pipeline: &Pipeline, look: &mut Look, condition: &str) -> Result<Stories> {
    let mut wrong = None;
    let mut read = 0;
    let mut gone = vec![];
    let mut found = vec![];
    for stream in 0..look.streams.len() {
        match search(look, stream, condition, &mut gone) {
            Ok((rows, searched)) => {
                read += searched;
                found.extend(rows);
            }
            // Another stream may have these columns.
            Err(error) => drop(wrong.get_or_insert(error)),
        }
    }
    if let Some(error) = wrong.filter(|_| read == 0 && found.is_empty() && !look.streams.is_empty())
    {
        return Err(error);
    }
    let mut advice = vec![];
    if !gone.is_empty() {
        advice.push(format!(
            "{} could not be read again, since they have gone or changed: {}",
            counted(gone.len(), "file", "files"),
            super::few(&gone)
        ));
    }
    let all = found.len();
    let headline = match all {
        0 => format!(
            "No row with {condition} is in the {} that the query reads.",
            counted(read, "row", "rows")
        ),
        1 => format!("1 row with {condition}, of {}.", counted(read, "row", "rows")),
        many => format!("{many} rows with {condition}, of {}.", counted(read, "row", "rows")),
    };
    if all == 0 {
        advice.extend(nearest_help(look));
    }
    found.truncate(ROWS);
    let duplicates = Duplicates::of(look);
    let candidates = match &duplicates {
        Some(duplicates) => duplicates.candidates(look, &found)?,
        None => vec![],
    };
    let probe = Probe::new(pipeline, look)?;
    let mut rows = vec![];
    for found in &found {
        let mut told = story(look, &probe, found)?;
        if let Some(duplicates) = duplicates.as_ref().filter(|_| told.fate == "passed") {
            let of = |row: &Found| story(look, &probe, row);
            match duplicates.fate(look, &probe, &candidates, found, &of)? {
                Some(Fate::DuplicateOf(first, batch)) => {
                    told.fate = "duplicate";
                    told.events.push(format!(
                        "left out as a duplicate of {first}, which batch {batch} let through"
                    ));
                }
                Some(Fate::First) => {
                    let batch = found.batch.unwrap_or_default();
                    told.fate = "emitted";
                    told.events.push(format!(
                        "it was the first with its key, and came out in batch {batch}"
                    ));
                }
                None => told
                    .events
                    .push("it came to the operator that leaves duplicates out".to_owned()),
            }
        }
        rows.push(told);
    }
    if all > rows.len() {
        advice.push(format!("only the first {} are told about; ask for fewer", rows.len()));
    }
    Ok(Stories { headline, found: all, rows, advice })
}

/// What helps where no row was found: broken lines, files that are left out.
fn nearest_help(look: &Look) -> Vec<String> {
    let mut advice = vec![];
    for stream in &look.streams {
        if !stream.left_out.is_empty() {
            let names: Vec<String> =
                stream.left_out.iter().map(|file| file.file.display().to_string()).collect();
            advice.push(format!(
                "{} in {} are not read by the query: {}",
                counted(names.len(), "file", "files"),
                stream.folder.display(),
                super::few(&names)
            ));
        }
    }
    let corrupt = look.past.progress.iter().flat_map(|report| &report.sources);
    let corrupt: u64 = corrupt.map(|source| source.num_corrupt_rows).sum();
    if corrupt > 0 {
        advice.push(format!(
            "{} could not be read as a row; the run has named them",
            counted(corrupt as usize, "line", "lines")
        ));
    }
    advice.push(
        "check how the value is written: texts are compared with case, as in 'e1'".to_owned(),
    );
    advice
}

/// The rows of one stream for which the condition holds, and how many rows were read.
fn search(
    look: &mut Look,
    stream: usize,
    condition: &str,
    gone: &mut Vec<String>,
) -> Result<(Vec<Found>, usize)> {
    let zone = look.plan.zone.clone();
    let schema = look.plan.reads[look.streams[stream].read].slot.schema().clone();
    // The condition is looked at before any file is.
    holds(&zone, RecordBatch::new_empty(schema), condition)?;
    let (mut found, mut read) = (vec![], 0);
    each_file(look, stream, gone, &mut |batch, places, batches| {
        let mut at = 0;
        for rows in batches {
            let holds = holds(&zone, rows.clone(), condition)?;
            for row in (0..holds.len()).filter(|&row| holds.value(row)) {
                let place = places.get(at + row).cloned();
                let row = row_of(batches, at + row);
                found.extend(place.zip(row).map(|(place, row)| Found {
                    stream,
                    batch,
                    place,
                    row,
                }));
            }
            at += rows.num_rows();
        }
        read += at;
        Ok(())
    })?;
    Ok((found, read))
}

/// The rows that the batches took from one stream, in order, and those that wait, which `wanted` says yes to.
pub fn rows_of(
    look: &mut Look,
    stream: usize,
    wanted: &dyn Fn(&RecordBatch) -> Result<bool>,
) -> Result<Vec<Found>> {
    let mut found = vec![];
    each_file(look, stream, &mut vec![], &mut |batch, places, batches| {
        for (row, place) in places.iter().enumerate() {
            let Some(row) = row_of(batches, row) else { continue };
            if wanted(&row)? {
                found.push(Found { stream, batch, place: place.clone(), row });
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// What is done with a file: the batch that took it, the places of its rows, the rows.
type OfFile<'a> = dyn FnMut(Option<BatchId>, &[RowPlace], &[RecordBatch]) -> Result<()> + 'a;

/// Reads each file of a stream that a batch took, then those that wait. Files that have gone or changed are named
/// in `gone`.
fn each_file(
    look: &mut Look,
    stream: usize,
    gone: &mut Vec<String>,
    then: &mut OfFile<'_>,
) -> Result<()> {
    let of_stream = &mut look.streams[stream];
    let takes = of_stream.takes.iter().map(|(batch, take)| (Some(*batch), take.clone()));
    let takes: Vec<_> = takes.chain(of_stream.waiting.clone().map(|take| (None, take))).collect();
    for (batch, take) in takes {
        let files = files_of(&take);
        if files.is_empty() {
            // Versions of a Delta table.
            let batches = of_stream.read(&take)?.batches;
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let place = |row| RowPlace { file: of_stream.place.clone(), line: None, row };
            let places: Vec<RowPlace> = (0..rows as u64).map(place).collect();
            then(batch, &places, &batches)?;
        }
        for file in files {
            match of_stream.read_file(&file) {
                Some((places, batches)) => then(batch, &places, &batches)?,
                None => gone.push(file.path.display().to_string()),
            }
        }
    }
    Ok(())
}

/// For each row whether the condition holds.
fn holds(zone: &crate::calendar::Zone, rows: RecordBatch, condition: &str) -> Result<BooleanArray> {
    let context = crate::sql::session(zone);
    let text = format!("SELECT ({condition}) AS holds FROM found");
    let questions = crate::sql::questions("--row", &text)?;
    let [question] = &questions[..] else {
        return Err(Error::usage("INVALID_CONDITION", "--row takes one condition")
            .hint("write for example --row \"event_id = 'e1'\""));
    };
    context
        .register_table("found", Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))?;
    let answer = plan::wait(async {
        let plan = question.plan(&context, &["found".to_owned()]).await?;
        let frame = context.execute_logical_plan(plan).await?;
        Ok::<_, Error>(frame.collect().await?)
    })??;
    let mut all = vec![];
    for batch in answer {
        let column = cast(batch.column(0), &DataType::Boolean)?;
        let column = column.as_boolean();
        all.extend((0..column.len()).map(|row| column.is_valid(row) && column.value(row)));
    }
    Ok(BooleanArray::from(all))
}
