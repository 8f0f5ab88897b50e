//! What is still open: each window, session or row that waits for the watermark, and what it waits for.

use std::path::Path;

use serde::Serialize;

use super::duration;
use crate::engine::assemble::about::About;
use crate::engine::look::Look;
use crate::engine::look::kept::times;
use crate::engine::look::marks::Need;
use crate::error::Result;
use crate::operators::aggregate::{Emit, EventTime};
use crate::operators::join::JoinKind;
use crate::time::{EventTimeMicros, Millis, iso_millis};

/// Something that is open until the watermark reaches a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// The number of the operator that keeps it.
    pub operator: usize,
    /// What it is: `window 2026-01-01 12:00:00 → 12:10:00`.
    pub what: String,
    /// How many rows of state it has: for a window, its groups.
    pub rows: usize,
    /// The end of the window, or the time that the watermark has to pass, in microseconds.
    #[serde(skip)]
    pub time_us: EventTimeMicros,
    /// The watermark of the query that closes it; absent: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<String>,
    /// The same in milliseconds.
    #[serde(skip)]
    pub closes_at_ms: Option<Millis>,
    /// In words, what has to come for that.
    pub waits_for: String,
}

/// What the query's operators have open, oldest first.
pub fn open(look: &Look) -> Result<Vec<Open>> {
    let marks = look.marks();
    let mut found = vec![];
    for (stage, tables) in look.states.iter().enumerate() {
        let about = &look.assembly.stages[stage].about;
        for (number, table) in tables.iter().enumerate() {
            if !shows(about, number) || table.shape().expiry.is_none() {
                continue;
            }
            for (time, rows) in times(table)? {
                let Some(time_us) = time else { continue };
                let input_ms = about.frees_at_ms(number, time_us);
                let closes_at_ms = input_ms.and_then(|ms| look.global_for_ms(stage, ms));
                let waits_for = match closes_at_ms {
                    Some(ms) if ms <= look.watermark_ms() => {
                        "the next batch, in which it comes out".to_owned()
                    }
                    Some(ms) => in_words(look, &look.needs(&marks, ms)),
                    None => "nothing: no watermark closes it".to_owned(),
                };
                found.push(Open {
                    operator: stage,
                    what: what(look, about, number, time_us),
                    rows,
                    time_us,
                    closes_at: closes_at_ms.map(iso_millis),
                    closes_at_ms,
                    waits_for,
                });
            }
        }
    }
    Ok(found)
}

/// Whether what a table keeps is something that one waits to see.
fn shows(about: &About, table: usize) -> bool {
    match about {
        About::Groups { emit, .. } | About::Sessions { emit, .. } => *emit != Emit::All,
        // Rows of a join come out late only where they may be without a partner.
        About::Join { kind, .. } => match kind {
            JoinKind::Inner | JoinKind::LeftSemi => false,
            JoinKind::Left => table == 0,
            JoinKind::Right => table == 1,
            JoinKind::Full => true,
        },
        About::Duplicates { .. } | About::Limit { .. } => false,
    }
}

/// What is open, as a person calls it.
fn what(look: &Look, about: &About, table: usize, time_us: EventTimeMicros) -> String {
    match about {
        About::Groups { event_time: EventTime::Window(_, spec), .. } => {
            format!("window {}", span(look, time_us - spec.size_us, time_us))
        }
        About::Groups { event_time: EventTime::Ready(_), .. } => {
            format!("window that ends {}", look.time(time_us))
        }
        About::Groups { .. } => format!("groups of {}", look.time(time_us)),
        About::Sessions { .. } => format!("session that ends {}", look.time(time_us)),
        About::Join { .. } => {
            let side = if table == 0 { "left" } else { "right" };
            format!("{side} rows of {}", look.time(time_us))
        }
        _ => look.time(time_us),
    }
}

/// `2026-01-01 12:00:00 → 12:10:00`
pub fn span(look: &Look, start: EventTimeMicros, end: EventTimeMicros) -> String {
    let (start, end) = (look.time(start), look.time(end));
    let same_day = start.get(..10) == end.get(..10);
    let short = end.get(11..).filter(|_| same_day).unwrap_or(&end).to_owned();
    format!("{start} → {short}")
}

/// The literal event time that a new row must carry.
pub fn in_words(look: &Look, needs: &[Need]) -> String {
    let one = |need: &Need| {
        let Need { place, column, .. } = need;
        format!("a row in {place} with {column} {} or later", look.time(need.at_least_us))
    };
    let all: Vec<String> = needs.iter().map(one).collect();
    let word = match look.policy {
        crate::engine::watermark::Policy::Min => " and ",
        crate::engine::watermark::Policy::Max => " or ",
    };
    all.join(word)
}

/// What to do about windows that only wait for newer rows.
pub fn close_advice(look: &Look, open: &[Open], file: &str) -> Option<String> {
    let waiting = open.iter().any(|open| open.closes_at_ms.is_some());
    (waiting && !look.past.is_running).then(|| {
        format!(
            "if no more rows will come, let the open ones out with: strandline run {file} \
             --available-now --close-at-end"
        )
    })
}

/// The delay as a sentence of its own, since it is what most people stumble over.
pub fn about_the_delay(look: &Look) -> Vec<String> {
    let marks = look.marks();
    let one = |mark: &crate::engine::look::marks::MarkLook| {
        let newest = mark.newest_ms.map(|ms| look.time_ms(ms));
        let newest = newest.unwrap_or_else(|| "none yet".to_owned());
        format!(
            "The watermark stays {} behind the newest {} ({newest}), so that late rows can still come.",
            duration(mark.delay_ms),
            mark.column
        )
    };
    marks.iter().map(one).collect()
}

/// A file as the user would name it.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}
