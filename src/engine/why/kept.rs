//! How much each operator of a query keeps, for which event times, and what frees it.

use serde::Serialize;

use super::windows::in_words;
use crate::engine::look::Look;
use crate::engine::look::kept::times;
use crate::error::Result;
use crate::time::{Millis, iso_millis, micros_to_millis};

/// One table that an operator keeps.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptTable {
    /// The operator's number, as in `state('query', number)`.
    pub operator: usize,
    /// Spark's name for the operator.
    pub name: String,
    /// What the table holds: `groups`, `left` …
    pub table: String,
    /// Rows.
    pub rows: usize,
    /// Bytes that they take in memory, with their index.
    pub bytes: usize,
    /// Rows that no watermark ever frees.
    pub rows_for_ever: usize,
    /// The oldest time that a row goes by: the end of a window, the time of a row.
    pub oldest: Option<String>,
    /// The newest one.
    pub newest: Option<String>,
    /// The watermark of the query that frees the first row, as a time.
    pub first_freed_at: Option<String>,
    /// The watermark of the query that frees all that can be freed.
    pub last_freed_at: Option<String>,
    /// The batches after which the state can still be read, as ranges.
    pub readable_batches: Vec<(u64, u64)>,
    /// In words, what frees the first row.
    pub frees_first: Option<String>,
    /// In words, what frees all.
    pub frees_all: Option<String>,
}

/// The tables of all operators after the newest batch that is done.
pub fn kept(look: &Look) -> Result<Vec<KeptTable>> {
    let marks = look.marks();
    let mut found = vec![];
    for (number, (stage, tables)) in look.assembly.stages.iter().zip(&look.states).enumerate() {
        for (at, table) in tables.iter().enumerate() {
            let times = times(table)?;
            let frees = |time: i64| {
                let input = stage.about.frees_at_ms(at, time)?;
                look.global_for_ms(number, input)
            };
            let freed = times.keys().flatten().filter_map(|time| frees(*time));
            let freed: Vec<Millis> = freed.collect();
            let for_ever = times.iter().filter(|(time, _)| time.is_none_or(|t| frees(t).is_none()));
            let (first, last) = (freed.iter().min().copied(), freed.iter().max().copied());
            let words = |ms: Option<Millis>| ms.map(|ms| in_words(look, &look.needs(&marks, ms)));
            let shown = |time: Option<&i64>| time.map(|time| iso_millis(micros_to_millis(*time)));
            let folder = look.project.checkpoint(&look.name);
            let folder = crate::engine::look::state_folder(&folder, number, table.shape());
            found.push(KeptTable {
                operator: number,
                name: stage.operator.name().to_owned(),
                table: table.shape().name.to_owned(),
                rows: table.len(),
                bytes: if table.is_empty() { 0 } else { table.memory_bytes() },
                rows_for_ever: for_ever.map(|(_, rows)| rows).sum(),
                oldest: shown(times.keys().flatten().next()),
                newest: shown(times.keys().flatten().next_back()),
                first_freed_at: first.map(iso_millis),
                last_freed_at: last.map(iso_millis),
                readable_batches: crate::state::StateStore::readable(
                    &folder,
                    table.shape().clone(),
                )?
                .into_iter()
                .filter_map(|(from, to)| {
                    // What is sealed and not done yet may still be sealed anew.
                    let done = look.past.done()?;
                    (from <= done).then(|| (from, to.min(done)))
                })
                .collect(),
                frees_first: words(first),
                frees_all: words(last),
            });
        }
    }
    Ok(found)
}
