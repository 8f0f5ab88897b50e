//! A run seen one batch at a time, forward and back.

use std::io::{BufRead, IsTerminal};

use console::{Key, Term};
use serde_json::{Value, json};

use super::replay::{SIDES, line};
use super::rows::side_by_side;
use super::{say, table};
use crate::calendar::Zone;
use crate::engine::replay::moves::{Moves, Window};
use crate::engine::replay::{Checked, Outcome, Replay};
use crate::error::{Error, Result};
use crate::time::{iso_millis, micros_to_millis, readable_micros};

/// So many windows and files are named in a line.
const NAMED: usize = 4;

/// So many rows of a batch's result are shown.
const ROWS: usize = 20;

/// Where to go from a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Next,
    Previous,
    To(usize),
    End,
}

/// Shows batch after batch, as somebody asks for them: by keys on a terminal, else by lines.
pub fn walk(mut run: Replay, zone: &Zone) -> Result<()> {
    let total = run.left();
    if total == 0 {
        say("no batch is done yet");
        return Ok(());
    }
    let mut seen: Vec<Checked> = vec![];
    let mut at = 0;
    let keys = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    loop {
        while seen.len() <= at {
            match run.step()? {
                Some(checked) => seen.push(checked),
                None => break,
            }
        }
        let Some(checked) = seen.get(at) else { return Ok(()) };
        if keys {
            let _ = Term::stdout().clear_screen();
        }
        say(describe(checked, total, zone)?.trim_end());
        at = match next_move(keys)? {
            Move::End => return Ok(()),
            Move::Next => (at + 1).min(total - 1),
            Move::Previous => at.saturating_sub(1),
            Move::To(batch) => batch.min(total - 1),
        };
    }
}

fn next_move(keys: bool) -> Result<Move> {
    if !keys {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let read = read.map_err(|e| Error::io("read", "standard input".as_ref(), e))?;
        return if read == 0 { Ok(Move::End) } else { said(&line) };
    }
    say("\nn: next   p: previous   a number and Enter: that batch   q: end");
    let term = Term::stdout();
    let mut number = String::new();
    loop {
        let key = match term.read_key() {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => Key::CtrlC,
            key => key.map_err(|e| Error::io("read", "the terminal".as_ref(), e))?,
        };
        return Ok(match key {
            Key::Enter if !number.is_empty() => said(&number)?,
            Key::Char('n' | ' ') | Key::Enter | Key::ArrowRight | Key::ArrowDown => Move::Next,
            Key::Char('p') | Key::ArrowLeft | Key::ArrowUp => Move::Previous,
            Key::Char('q') | Key::Escape | Key::CtrlC => Move::End,
            Key::Char(digit) if digit.is_ascii_digit() => {
                number.push(digit);
                let _ = term.write_str(&digit.to_string());
                continue;
            }
            _ => continue,
        });
    }
}

/// What a line asks for.
fn said(line: &str) -> Result<Move> {
    match line.trim() {
        "" | "n" => Ok(Move::Next),
        "p" => Ok(Move::Previous),
        "q" => Ok(Move::End),
        other => other.parse().map(Move::To).map_err(|_| {
            Error::usage("INVALID_STEP", format!("'{other}' says nothing here"))
                .hint("n goes on, p goes back, a number goes to that batch, q ends it")
        }),
    }
}

/// All about a batch.
fn describe(checked: &Checked, total: usize, zone: &Zone) -> Result<String> {
    let progress = &checked.report.progress;
    let mut text = format!("{}  (of {total})\n", line(checked, zone));
    let files: Vec<String> = checked.decided.sources.iter().flatten().flat_map(files).collect();
    match files.is_empty() {
        true => text.push_str("  reads nothing: the watermark has risen\n"),
        false => text.push_str(&format!("  reads {}\n", some(&files))),
    }
    let counts = progress.rows;
    let rejected: Vec<String> = [
        (counts.late, "too late"),
        (counts.duplicate, "there before"),
        (counts.corrupt, "broken"),
        (counts.cast_failed, "with a value of another type"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if !rejected.is_empty() {
        text.push_str(&format!("  rejected: {}\n", rejected.join(", ")));
    }
    checked.moves.iter().for_each(|moves| text.push_str(&describe_moves(moves, zone)));
    let rows = &checked.report.rows;
    let count: usize = rows.iter().map(|rows| rows.num_rows()).sum();
    if let Some(first) = rows.iter().find(|rows| rows.num_rows() > 0) {
        let mut room = ROWS;
        let shown: Vec<_> = rows
            .iter()
            .map(|rows| {
                let part = rows.slice(0, rows.num_rows().min(room));
                room -= part.num_rows();
                part
            })
            .collect();
        text.push_str(&format!("  gives\n{}\n", table::render(&first.schema(), &shown, zone)?));
        if count > ROWS {
            text.push_str(&format!("  and {} more\n", count - ROWS));
        }
    }
    match &checked.outcome {
        Outcome::Same => text.push_str("  in the table: the same rows\n"),
        Outcome::Unknown(why) => text.push_str(&format!("  not compared: {}\n", why.message())),
        Outcome::Different(difference) => {
            let rows = side_by_side(SIDES, difference, zone)?;
            text.push_str(&format!("  in the table: other rows\n{rows}\n"));
        }
    }
    if let Outcome::Different(difference) = &checked.rejected {
        let rows = side_by_side(SIDES, difference, zone)?;
        text.push_str(&format!("  in the table of rejected rows: other rows\n{rows}\n"));
    }
    Ok(text)
}

/// The files, or the versions, that were taken from a source.
fn files(take: &Value) -> Vec<String> {
    match take.get("files").and_then(Value::as_array) {
        Some(files) => {
            let path = |file: &Value| file.get("path")?.as_str().map(str::to_owned);
            files.iter().filter_map(path).collect()
        }
        None => {
            let version = |end: &str| take.get(end).and_then(|end| end.get("version")).cloned();
            let [from, to] = ["from", "to"].map(|end| version(end).unwrap_or_default());
            vec![format!("a table, from version {from} to {to}")]
        }
    }
}

fn describe_moves(moves: &Moves, zone: &Zone) -> String {
    let (number, name) = moves.operator;
    let mut text = format!("  operator {number} ({name}), {}: ", moves.table);
    text.push_str(&format!(
        "{} kept, {} added, {} updated, {} let go\n",
        moves.kept, moves.added, moves.updated, moves.removed
    ));
    if let Some(windows) = &moves.windows {
        let kinds = [
            ("opened", &windows.opened),
            ("updated", &windows.updated),
            ("closed", &windows.closed),
        ];
        for (kind, windows) in kinds.into_iter().filter(|(_, windows)| !windows.is_empty()) {
            let named: Vec<String> = windows.iter().map(|window| name_of(window, zone)).collect();
            text.push_str(&format!("    windows {kind}: {}\n", some(&named)));
        }
    }
    text
}

fn name_of((start, end): &Window, zone: &Zone) -> String {
    let [start, end] = [start, end].map(|time| readable_micros(zone.clock(*time)));
    let same_day = start.get(..10) == end.get(..10);
    format!("{start} → {}", if same_day { end[10..].trim_start() } else { &end })
}

/// The first few, and how many more there are.
fn some(names: &[String]) -> String {
    match names.len() {
        0..=NAMED => names.join(", "),
        all => format!("{} and {} more", names[..NAMED].join(", "), all - NAMED),
    }
}

/// What a batch did to what is kept.
pub fn moves_as_json(moves: &[Moves]) -> Value {
    let windows = |windows: &Vec<Window>| -> Vec<Value> {
        let time = |micros: &i64| iso_millis(micros_to_millis(*micros));
        windows.iter().map(|(start, end)| json!({"start": time(start), "end": time(end)})).collect()
    };
    let one = |moves: &Moves| {
        let mut object = json!({
            "operator": moves.operator.0,
            "operatorName": moves.operator.1,
            "table": moves.table,
            "kept": moves.kept,
            "added": moves.added,
            "updated": moves.updated,
            "removed": moves.removed,
        });
        if let Some(all) = &moves.windows {
            object["windows"] = json!({
                "opened": windows(&all.opened),
                "updated": windows(&all.updated),
                "closed": windows(&all.closed),
            });
        }
        object
    };
    moves.iter().map(one).collect()
}
