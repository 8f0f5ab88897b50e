//! The prompt of `strandline sql`: a statement ends with a semicolon; an error does not end it.

use std::io::{BufRead, IsTerminal, Write};

use super::ask::answer_all;
use super::table::Format;
use super::{message, say};
use crate::engine::tables::Tables;
use crate::error::{Error, Result};

const HELP: &str = "\
  SELECT …;        ask; a statement ends with a semicolon
  .tables          the tables that can be named
  .help            this text
  .quit            leave (also Ctrl-D)";

/// Reads statements from standard input until its end.
pub fn run(tables: &Tables, format: Format) -> Result<()> {
    let talks = std::io::stdin().is_terminal();
    if talks {
        say(concat!("strandline ", env!("CARGO_PKG_VERSION"), ": .help says what can be typed"));
    }
    let mut statement = String::new();
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if talks {
            print!("{}", if statement.is_empty() { "strandline> " } else { "        ..> " });
            let _ = std::io::stdout().flush();
        }
        let Some(line) = lines.next() else { break };
        let line = line.map_err(|e| Error::io("read", "standard input".as_ref(), e))?;
        match line.trim() {
            ".quit" | ".exit" if statement.is_empty() => return Ok(()),
            ".help" if statement.is_empty() => say(HELP),
            ".tables" if statement.is_empty() => tables.names().iter().for_each(say),
            "" if statement.is_empty() => {}
            text => {
                statement.push_str(&line);
                statement.push('\n');
                if text.ends_with(';') {
                    answer(tables, &statement, format, talks)?;
                    statement.clear();
                }
            }
        }
    }
    match statement.trim() {
        "" => Ok(()),
        rest => answer(tables, rest, format, talks),
    }
}

/// At a prompt an error is shown and the prompt stays; in a script it ends the script.
fn answer(tables: &Tables, text: &str, format: Format, talks: bool) -> Result<()> {
    match answer_all(tables, "input", text, format) {
        Err(error) if talks => {
            message::show(&error);
            Ok(())
        }
        result => result,
    }
}
