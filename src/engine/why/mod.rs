//! Why a query gives what it gives, in plain words.
//!
//! Takes a [`Look`](super::look::Look) at a query, gives an answer for someone who does not know streaming: the cause first,
//! then what shows it, what each open window waits for, and what to do. Every number in it was read from the
//! checkpoint, the state or the files. It decides nothing and changes nothing.
//!
//! * [`causes`]: which of the causes it is, the first that holds.
//! * [`duplicates`]: which of several rows with one key came out.
//! * [`input`]: those that lie in what came, or did not come.
//! * [`times`]: those that lie in event time and the watermark.
//! * [`windows`]: what is still open, and what closes it.
//! * [`kept`]: how much each operator keeps, and what frees it.
//! * [`passing`]: those that lie in what the query lets through.
//! * [`rows`]: single rows, sought in the files.
//! * [`story`]: what became of a row.

pub mod causes;
pub mod duplicates;
pub mod input;
pub mod kept;
pub mod passing;
pub mod rows;
pub mod story;
pub mod times;
pub mod windows;

use serde::Serialize;

use self::windows::Open;

/// What is the matter with a query.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The name of the streaming table.
    pub query: String,
    /// A short name of the cause, for programs.
    pub cause: &'static str,
    /// The cause in one sentence.
    pub headline: String,
    /// What shows it.
    pub facts: Vec<String>,
    /// What is still open, oldest first.
    pub open: Vec<Open>,
    /// What to do.
    pub advice: Vec<String>,
}

impl Answer {
    /// An answer that only says what is the matter.
    pub fn new(cause: &'static str, headline: impl Into<String>) -> Self {
        Self { cause, headline: headline.into(), ..Self::default() }
    }

    /// Adds what shows it.
    pub fn fact(mut self, fact: impl Into<String>) -> Self {
        self.facts.push(fact.into());
        self
    }

    /// Adds what to do.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice.push(advice.into());
        self
    }
}

/// `1 file`, `2 files`: a number with its noun.
pub fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The first few of some names: `a, b, c and 4 more`.
pub fn few(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let first = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A length of time as a person says it: `10 minutes`, `1.5 seconds`.
pub fn duration(millis: i64) -> String {
    const UNITS: [(i64, &str); 4] =
        [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second")];
    let sign = if millis < 0 { "-" } else { "" };
    // Who reads minutes is not interested in thousandths.
    let millis = match millis.abs() {
        long @ 60_000.. => (long + 500) / 1000 * 1000,
        short => short,
    };
    for (unit, name) in UNITS {
        if millis >= unit && (millis % unit == 0 || (millis >= 10 * unit && unit > 1000)) {
            let number = (millis as f64 / unit as f64 * 10.0).round() / 10.0;
            return format!("{sign}{number} {name}{}", if number == 1.0 { "" } else { "s" });
        }
    }
    match millis {
        0 => "0 seconds".to_owned(),
        millis => format!("{sign}{} seconds", millis as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_as_a_person_says_them() {
        assert_eq!(counted(1, "file", "files"), "1 file");
        let names: Vec<String> = ["a", "b", "c", "d"].map(String::from).to_vec();
        assert_eq!(few(&names), "a, b, c and 1 more");
        for (millis, text) in [
            (600_000, "10 minutes"),
            (60_000, "1 minute"),
            (90_000, "90 seconds"),
            (1_500, "1.5 seconds"),
            (86_400_000, "1 day"),
            (0, "0 seconds"),
            (26 * 3_600_000 + 1, "26 hours"),
            (120_001, "2 minutes"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }
}
