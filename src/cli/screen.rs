//! The demo's picture: what each query does, and the windows as they fill and close.
//!
//! On a terminal the picture is redrawn in place; otherwise the demo prints plain lines instead.

use std::cell::RefCell;
use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use comfy_table::{CellAlignment, Table, presets};
use console::{Term, style};

use crate::engine::pipeline::Pipeline;
use crate::engine::query::StepReport;
use crate::time::{EventTimeMicros, Millis, readable_micros};

/// How many windows are shown.
const WINDOWS: usize = 7;

/// The width of the longest bar.
const BAR: u64 = 30;

/// What there is to show.
pub struct Board {
    queries: Vec<Line>,
    /// The query whose windows are shown: the first in update mode.
    shown: Option<String>,
    windows: BTreeMap<EventTimeMicros, Window>,
    watermark: Option<String>,
}

/// What one query has done.
struct Line {
    name: String,
    batch: Option<u64>,
    rows_in: u64,
    rows_out: u64,
    rate: f64,
    watermark: Option<String>,
    state: u64,
    late: u64,
}

/// One window of the query that is shown.
struct Window {
    start: EventTimeMicros,
    counts: BTreeMap<String, i64>,
    closed: bool,
}

impl Board {
    /// An empty board for the queries of a pipeline.
    pub fn new(pipeline: &Pipeline) -> Self {
        let line = |name: &String| Line {
            name: name.clone(),
            batch: None,
            rows_in: 0,
            rows_out: 0,
            rate: 0.0,
            watermark: None,
            state: 0,
            late: 0,
        };
        let update =
            |q: &&crate::engine::pipeline::PlannedQuery| q.mode == crate::sinks::OutputMode::Update;
        Self {
            queries: pipeline.queries.iter().map(|query| line(&query.name)).collect(),
            shown: pipeline.queries.iter().find(update).map(|query| query.name.clone()),
            windows: BTreeMap::new(),
            watermark: None,
        }
    }

    /// Takes in the report of a batch; gives a line for each window that it has closed.
    pub fn note(&mut self, report: &StepReport) -> Vec<String> {
        let progress = &report.progress;
        if let Some(line) = self.queries.iter_mut().find(|line| line.name == progress.name) {
            line.batch = Some(progress.batch_id);
            line.rows_in += progress.num_input_rows;
            line.rows_out += progress.sink.num_output_rows;
            if progress.num_input_rows > 0 {
                line.rate = progress.processed_rows_per_second;
            }
            line.watermark.clone_from(&progress.watermark);
            line.state = progress.state_rows();
            line.late += progress.rows.late;
        }
        if self.shown.as_deref() != Some(progress.name.as_str()) {
            return vec![];
        }
        self.watermark.clone_from(&progress.watermark);
        for batch in &report.rows {
            self.note_windows(batch);
        }
        self.close()
    }

    /// Rows of `window, event_type, event_count, …`.
    fn note_windows(&mut self, batch: &RecordBatch) -> Option<()> {
        let window = batch.column_by_name("window")?.as_struct_opt()?;
        let micros = |name: &str| cast(window.column_by_name(name)?, &DataType::Int64).ok();
        let (starts, ends) = (micros("start")?, micros("end")?);
        let (starts, ends) =
            (starts.as_primitive_opt::<Int64Type>()?, ends.as_primitive_opt::<Int64Type>()?);
        let types = batch.column_by_name("event_type")?.as_string_opt::<i32>()?;
        let counts = batch.column_by_name("event_count")?.as_primitive_opt::<Int64Type>()?;
        for row in 0..batch.num_rows() {
            let window = self.windows.entry(ends.value(row)).or_insert_with(|| Window {
                start: starts.value(row),
                counts: BTreeMap::new(),
                closed: false,
            });
            let name = if types.is_null(row) { "NULL" } else { types.value(row) };
            window.counts.insert(name.to_string(), counts.value(row));
        }
        Some(())
    }

    /// Marks the windows that the watermark has passed.
    fn close(&mut self) -> Vec<String> {
        let mark = self.watermark.as_deref().and_then(|text| {
            chrono::DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_micros())
        });
        let Some(mark) = mark else { return vec![] };
        let mut lines = vec![];
        for (&end, window) in &mut self.windows {
            if !window.closed && end <= mark {
                window.closed = true;
                lines.push(format!(
                    "          window {} closed: {}",
                    span(window.start, end),
                    window.text()
                ));
            }
        }
        while self.windows.len() > 4 * WINDOWS {
            self.windows.pop_first();
        }
        lines
    }

    /// The picture as lines of text.
    fn lines(&self, now: Millis) -> Vec<String> {
        let mut lines = vec![
            format!(
                "{}   event time {}",
                style("strandline demo").bold(),
                &readable_micros(now * 1000)[..19]
            ),
            String::new(),
        ];
        lines.extend(self.table().to_string().lines().map(str::to_string));
        lines.push(String::new());
        lines.push(match &self.watermark {
            Some(mark) => format!(
                "windows of event_aggregates; the watermark {} closes those that end at or before it",
                style(&mark[11..19.min(mark.len())]).cyan()
            ),
            None => "windows of event_aggregates".into(),
        });
        let most = self.windows.values().map(Window::total).max().unwrap_or(1).max(1);
        for (&end, window) in self.windows.iter().rev().take(WINDOWS) {
            let bar = "█".repeat((window.total() as u64 * BAR / most as u64) as usize);
            let (bar, state) = match window.closed {
                true => (style(bar).dim(), style("closed").dim()),
                false => (style(bar).green(), style("open  ").green()),
            };
            lines.push(format!("  {}  {state}  {bar} {}", span(window.start, end), window.text()));
        }
        lines
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header([
            "",
            "batch",
            "rows in",
            "rows/s",
            "rows out",
            "watermark",
            "state",
            "late",
        ]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for line in &self.queries {
            let known = line.watermark.as_deref().filter(|mark| !mark.starts_with("1970-01-01T00"));
            let mark = known.and_then(|mark| mark.get(11..19)).unwrap_or("-");
            table.add_row([
                line.name.clone(),
                line.batch.map_or("-".into(), |batch| batch.to_string()),
                line.rows_in.to_string(),
                format!("{:.0}", line.rate),
                line.rows_out.to_string(),
                mark.to_string(),
                line.state.to_string(),
                line.late.to_string(),
            ]);
        }
        table
    }
}

impl Window {
    fn total(&self) -> i64 {
        self.counts.values().sum()
    }

    fn text(&self) -> String {
        let counts = self.counts.iter().map(|(name, count)| format!("{name} {count}"));
        counts.collect::<Vec<_>>().join("  ")
    }
}

fn span(start: EventTimeMicros, end: EventTimeMicros) -> String {
    let clock = |micros| readable_micros(micros).get(11..16).unwrap_or("?").to_string();
    format!("{} → {}", clock(start), clock(end))
}

/// The terminal, and how many lines of it are ours.
pub struct Screen {
    term: Term,
    drawn: RefCell<usize>,
}

impl Screen {
    /// Standard output.
    pub fn new() -> Self {
        Self { term: Term::stdout(), drawn: RefCell::new(0) }
    }

    /// Whether the picture can be redrawn in place.
    pub fn is_live(&self) -> bool {
        self.term.features().is_attended()
    }

    /// Draws the board over what was drawn before. Does nothing where that cannot be.
    pub fn draw(&self, board: &Board, now: Millis) {
        if !self.is_live() {
            return;
        }
        let (height, width) = self.term.size();
        let mut lines = board.lines(now);
        lines.truncate((height as usize).saturating_sub(1).max(1));
        let mut text = String::new();
        for line in &lines {
            text.push_str(&console::truncate_str(line, width as usize, "…"));
            text.push_str("\x1b[K\n");
        }
        let mut drawn = self.drawn.borrow_mut();
        let _ = self.term.move_cursor_up(*drawn);
        let _ = self.term.write_str(&text);
        if *drawn > lines.len() {
            let _ = self.term.clear_to_end_of_screen();
        }
        *drawn = lines.len();
    }
}
