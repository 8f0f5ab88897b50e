//! What a query would do, in plain words, before any data.
//!
//! Takes a planned query; gives for each operator with memory what it keeps, what bounds that, with which
//! watermark it runs and when its rows come out. Nothing is opened, read or made.

use serde::Serialize;

use super::assemble::about::About;
use super::assemble::{Assembly, Stage};
use super::pipeline::PlannedQuery;
use super::why::duration;
use crate::operators::aggregate::{Emit, EventTime};
use crate::operators::deduplicate::Forget;
use crate::operators::join::JoinKind;
use crate::operators::join::side::Expires;
use crate::sinks::OutputMode;
use crate::time::Millis;

/// A query in words.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The name of the streaming table.
    pub query: String,
    /// `append`, `update` or `complete`.
    pub mode: String,
    /// What is written, in words.
    pub writes: String,
    /// The tables that it reads, in words.
    pub reads: Vec<String>,
    /// Its watermarks, in words.
    pub watermarks: Vec<String>,
    /// Its operators with memory, in the order in which rows pass them.
    pub operators: Vec<ExplainedOperator>,
    /// The columns of the result.
    pub columns: String,
}

/// An operator with memory in words.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedOperator {
    /// Its number, as in `state('query', number)`.
    pub number: usize,
    /// Spark's name for it in progress reports.
    pub name: String,
    /// What it does.
    pub does: String,
    /// What it keeps between batches.
    pub keeps: Vec<String>,
    /// Whether what it keeps is bounded.
    pub bounded: bool,
    /// By what it is bounded, or what to add so that it is.
    pub bounds: Vec<String>,
    /// The watermark of the rows that come in.
    pub watermark_in: String,
    /// The watermark of the rows that come out.
    pub watermark_out: String,
    /// When rows come out.
    pub comes_out: String,
}

/// A query in words.
pub fn explain(query: &PlannedQuery, assembly: &Assembly) -> Explained {
    let reads = assembly.inputs.iter().map(|input| {
        let read = &query.plan.reads[input.read];
        let schema = input.slot.schema();
        let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        match read.streaming {
            true => format!("stream {}: {}", read.table, columns.join(", ")),
            false => format!("table {}, whole for each batch: {}", read.table, columns.join(", ")),
        }
    });
    let watermarks = query.plan.watermarks.iter().map(|mark| {
        let delay = duration(mark.delay_us / 1000);
        format!("{} behind the newest {}", delay, mark.column)
    });
    let mut watermarks: Vec<String> = watermarks.collect();
    if watermarks.len() > 1 {
        watermarks.push(match query.settings.policy {
            super::watermark::Policy::Min => "of these the slowest counts".to_owned(),
            super::watermark::Policy::Max => "of these the fastest counts".to_owned(),
        });
    }
    let context = Context { query, assembly };
    let stages = assembly.stages.iter().enumerate();
    Explained {
        query: query.name.clone(),
        mode: query.mode.to_string(),
        writes: context.writes(),
        reads: reads.collect(),
        watermarks,
        operators: stages.map(|(number, stage)| context.operator(number, stage)).collect(),
        columns: crate::sql::ddl(&assembly.schema),
    }
}

struct Context<'a> {
    query: &'a PlannedQuery,
    assembly: &'a Assembly,
}

/// What an operator keeps, and what bounds it.
#[derive(Default)]
struct Keeps {
    what: Vec<String>,
    bounds: Vec<String>,
    unbounded: bool,
}

impl Keeps {
    fn bounded(what: impl Into<String>, by: impl Into<String>) -> Self {
        Self { what: vec![what.into()], bounds: vec![by.into()], unbounded: false }
    }

    fn unbounded(what: impl Into<String>, why: impl Into<String>) -> Self {
        let bounds = vec![format!("NOT bounded: {}", why.into())];
        Self { what: vec![what.into()], bounds, unbounded: true }
    }
}

impl Context<'_> {
    fn writes(&self) -> String {
        let place = format!("data/{}", self.query.name);
        match (self.query.mode, self.assembly.sink_mode) {
            (OutputMode::Append, _) => format!("adds rows to {place}; a row never changes"),
            (OutputMode::Update, OutputMode::Append) => {
                format!("adds rows to {place}; they are no groups, so none changes")
            }
            (OutputMode::Update, _) => {
                format!("replaces the row of a group in {place} when it changes")
            }
            (OutputMode::Complete, _) => format!("replaces all of {place} in each batch"),
        }
    }

    fn operator(&self, number: usize, stage: &Stage) -> ExplainedOperator {
        let behind = self.behind_ms(number);
        let keeps = self.keeps(&stage.about, behind.map(|(input, _)| input));
        let in_words = |lag: Option<Millis>| match lag {
            Some(lag) => format!("the newest event time less {}", duration(lag)),
            None => "none".to_owned(),
        };
        ExplainedOperator {
            number,
            name: stage.operator.name().to_owned(),
            does: does(&stage.about),
            keeps: keeps.what,
            bounded: !keeps.unbounded,
            bounds: keeps.bounds,
            watermark_in: in_words(behind.map(|(input, _)| input)),
            watermark_out: match behind {
                Some((input, output)) if input == output => "the same".to_owned(),
                other => in_words(other.map(|(_, output)| output)),
            },
            comes_out: self.comes_out(&stage.about),
        }
    }

    /// How far the watermarks of an operator's input and output stay behind the newest event time, where the
    /// slowest stream has come that far; `None`: the input has none.
    fn behind_ms(&self, stage: usize) -> Option<(Millis, Millis)> {
        // The rule is the same at any time; one that is far from 1970 shows it.
        const GLOBAL: Millis = 4_000_000_000_000;
        let delay = self.query.plan.watermarks.iter().map(|mark| mark.delay_us / 1000).max()?;
        let input = match self.query.settings.one_watermark {
            true => GLOBAL,
            false => {
                *super::upstream::input_watermarks_ms(&self.assembly.stages, GLOBAL).get(stage)?
            }
        };
        let output = self.assembly.stages.get(stage)?.operator.output_watermark_ms(input);
        (input > 0).then(|| (delay + GLOBAL - input, delay + GLOBAL - output.max(0)))
    }

    fn keeps(&self, about: &About, behind: Option<Millis>) -> Keeps {
        match about {
            About::Groups { event_time, delay_us, emit, .. } => {
                groups(*event_time, *delay_us, *emit, behind)
            }
            About::Sessions { delay_us: None, .. } => {
                Keeps::unbounded("one row for each session and key", NO_WATERMARK)
            }
            About::Sessions { emit: Emit::All, .. } => {
                Keeps::unbounded("one row for each session and key", COMPLETE)
            }
            About::Sessions { .. } => Keeps::bounded(
                "one row for each open session and key",
                format!(
                    "open sessions × keys: the length of a session + {} of event time",
                    duration(behind.unwrap_or(0))
                ),
            ),
            About::Join { expires, event_times, .. } => join(expires, event_times, behind),
            About::Duplicates { forget, keys, .. } => duplicates(*forget, keys, behind),
            About::Limit { .. } => {
                Keeps::bounded("one number: how many rows have come out", "one row, always")
            }
        }
    }

    fn comes_out(&self, about: &About) -> String {
        match about {
            About::Groups { emit: Emit::Closed, event_time, .. } => match event_time {
                EventTime::Window(..) | EventTime::Ready(_) => {
                    "the row of a window once, in the batch after the watermark has reached its end"
                        .to_owned()
                }
                _ => {
                    "the row of a group once, in the batch after the watermark has reached its time"
                        .to_owned()
                }
            },
            About::Sessions { emit: Emit::Closed | Emit::Touched, .. } => {
                "the row of a session once, in the batch after the watermark has reached its end"
                    .to_owned()
            }
            About::Groups { emit: Emit::Touched, .. } => {
                "in each batch the groups that it has changed".to_owned()
            }
            About::Groups { .. } | About::Sessions { .. } => "in each batch all groups".to_owned(),
            About::Join { kind, expires, .. } => joined(*kind, expires),
            About::Duplicates { .. } => "the first row of each key, in its own batch".to_owned(),
            About::Limit { rows } => {
                format!("the first {rows} rows of the query's life, then none")
            }
        }
    }
}

const NO_WATERMARK: &str = "nothing ever closes, since no WATERMARK is set; add WATERMARK ts DELAY OF \
                            INTERVAL 10 MINUTES behind the stream";
const COMPLETE: &str = "the output mode complete gives all groups each time, so none is let go; use \
                        append or update to bound it";

fn does(about: &About) -> String {
    match about {
        About::Groups { keys, .. } if keys.is_empty() => "one result over all rows".to_owned(),
        About::Groups { keys, .. } => format!("groups by {}", keys.join(", ")),
        About::Sessions { keys, .. } if keys.is_empty() => "groups by sessions".to_owned(),
        About::Sessions { keys, .. } => format!("groups by sessions and {}", keys.join(", ")),
        About::Join { kind, keys, .. } => {
            let keys = keys.iter().map(|[left, right]| format!("{left} = {right}"));
            let kind = match kind {
                JoinKind::Inner => "joins two streams",
                JoinKind::Left => "joins two streams, and keeps left rows without a partner,",
                JoinKind::Right => "joins two streams, and keeps right rows without a partner,",
                JoinKind::Full => "joins two streams, and keeps rows without a partner,",
                JoinKind::LeftSemi => "lets left rows through that have a partner",
            };
            format!("{kind} on {}", keys.collect::<Vec<_>>().join(" AND "))
        }
        About::Duplicates { keys, .. } => {
            format!("lets the first row of each {} through", keys.join(", "))
        }
        About::Limit { rows } => format!("lets the first {rows} rows through"),
    }
}

fn groups(
    event_time: EventTime,
    delay_us: Option<i64>,
    emit: Emit,
    behind: Option<Millis>,
) -> Keeps {
    let windows = matches!(event_time, EventTime::Window(..) | EventTime::Ready(_));
    let what = match (windows, event_time) {
        (true, _) => "one row for each window and group: its keys and the state of its aggregates",
        (false, _) => "one row for each group: its keys and the state of its aggregates",
    };
    if emit == Emit::All {
        return Keeps::unbounded(what, COMPLETE);
    }
    let Some(delay) = behind.or(delay_us.map(|us| us / 1000)).filter(|_| delay_us.is_some()) else {
        return match event_time {
            EventTime::None if delay_us.is_none() => Keeps::unbounded(
                what,
                "it grows with the number of different keys; group by window(ts, '10 minutes') over a \
                 stream with a WATERMARK to let old groups go",
            ),
            _ => Keeps::unbounded(what, NO_WATERMARK),
        };
    };
    let delay = duration(delay);
    Keeps::bounded(
        what,
        match event_time {
            EventTime::Window(_, spec) => format!(
                "open windows × keys: {} + {delay} of event time",
                duration(spec.size_us / 1000)
            ),
            EventTime::Ready(_) => {
                format!("open windows × keys: the length of a window + {delay} of event time")
            }
            _ => format!("event times × keys: {delay} of event time"),
        },
    )
}

fn join(
    expires: &[Option<Expires>; 2],
    event_times: &[Option<String>; 2],
    behind: Option<Millis>,
) -> Keeps {
    let mut keeps = Keeps::default();
    for (side, name) in ["left", "right"].into_iter().enumerate() {
        keeps.what.push(format!("each {name} row that may still find a partner"));
        let (bounded, bound) = match (expires[side], &event_times[side]) {
            (Some(Expires { behind_ms: Some(ms), at_most_ms: None }), _) => {
                // It goes when the watermark is so far past its time.
                let held = behind.unwrap_or(0).saturating_sub(ms).max(0);
                (true, format!("{name} rows: {} of event time", duration(held)))
            }
            (Some(Expires { at_most_ms: Some(_), .. }), _) => (
                false,
                format!(
                    "{name} rows NOT bounded: a condition of the join compares their time with a fixed \
                     one; compare it with the other stream's time"
                ),
            ),
            (_, None) => (
                false,
                format!(
                    "{name} rows NOT bounded: their stream has no WATERMARK; add one, and a condition on both times"
                ),
            ),
            _ => (
                false,
                format!(
                    "{name} rows NOT bounded: no time condition in the join; add AND r.ts BETWEEN l.ts AND \
                     l.ts + INTERVAL 1 HOUR"
                ),
            ),
        };
        keeps.unbounded |= !bounded;
        keeps.bounds.push(bound);
    }
    keeps
}

fn duplicates(forget: Forget, keys: &[String], behind: Option<Millis>) -> Keeps {
    let what = format!("the {} of each row that came out", keys.join(", "));
    let delay = duration(behind.unwrap_or(0));
    match forget {
        Forget::Never => Keeps::unbounded(
            what,
            "every key is remembered for ever, since no event time with a WATERMARK is in the key; put it \
             into the key, so that old keys are let go",
        ),
        Forget::AtEventTime => Keeps::bounded(what, format!("{delay} of event time")),
        Forget::After(more_us) => {
            Keeps::bounded(what, format!("{delay} + {} of event time", duration(more_us / 1000)))
        }
    }
}

fn joined(kind: JoinKind, expires: &[Option<Expires>; 2]) -> String {
    let pairs = "a pair in the batch in which its second row comes";
    let alone = |side: usize, name: &str| match expires[side] {
        Some(_) => format!(
            "{pairs}; a {name} row without a partner when the watermark says that none can come"
        ),
        None => format!("{pairs}; a {name} row without a partner never, since it is never let go"),
    };
    match kind {
        JoinKind::Inner => pairs.to_owned(),
        JoinKind::LeftSemi => "a left row in the batch in which its partner comes".to_owned(),
        JoinKind::Left => alone(0, "left"),
        JoinKind::Right => alone(1, "right"),
        JoinKind::Full => alone(0, "left or right"),
    }
}
