//! By which rules files are taken: takes the options of a table, gives what they say.

use std::path::PathBuf;

use super::settle::Settle;
use crate::error::{Error, Result};
use crate::sources::listing::{self, Filter};
use crate::sources::options::{Options, Rule};

/// The options that say which files a batch takes.
pub(super) const OPTIONS: &[(&str, Rule)] = &[
    ("maxFilesPerTrigger", Rule::Honoured),
    ("maxBytesPerTrigger", Rule::Honoured),
    ("latestFirst", Rule::Honoured),
    ("maxFileAge", Rule::Honoured),
    ("fileNameOnly", Rule::Honoured),
    ("maxCachedFiles", Rule::Honoured),
    ("discardCachedInputRatio", Rule::Honoured),
    ("pathGlobFilter", Rule::Honoured),
    ("recursiveFileLookup", Rule::Honoured),
    // Ours: how long a file has to stand still before it is taken.
    ("settle", Rule::Honoured),
];

/// How much one batch takes at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Limit {
    None,
    Files(u64),
    /// Files until the next one would go over it, at least one.
    Bytes(u64),
}

/// The rules by which files are taken.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub filter: Filter,
    pub limit: Limit,
    pub latest_first: bool,
    pub name_only: bool,
    /// Milliseconds that a file may be older than the newest that was read; `None`: it may always.
    pub max_age: Option<i64>,
    pub most_cached: usize,
    pub discard_ratio: f64,
    pub settle: Settle,
}

impl Rules {
    /// What the options of a table say, whose complete files end in these bytes.
    pub fn from_options(options: &Options, end: &'static [u8]) -> Result<Self> {
        let limit =
            match (options.count("maxFilesPerTrigger")?, options.bytes("maxBytesPerTrigger")?) {
                (Some(_), Some(_)) => {
                    return Err(Error::sql(
                        "INVALID_OPTION",
                        "maxFilesPerTrigger and maxBytesPerTrigger cannot both be set",
                    )
                    .hint("leave one of them out")
                    .about("maxBytesPerTrigger"));
                }
                (Some(files), None) => Limit::Files(files),
                (None, Some(bytes)) => Limit::Bytes(bytes),
                (None, None) => Limit::None,
            };
        let latest_first = options.flag("latestFirst", false)?;
        // Spark takes a week where nothing is said, and skips older files without a word: its list
        // of files that were read forgets them. Ours does not.
        let max_age = options.duration("maxFileAge")?;
        let discard_ratio = match options.get("discardCachedInputRatio").map(str::parse) {
            None => 0.2,
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
            Some(_) => {
                return Err(options.invalid("discardCachedInputRatio", "a number from 0 to 1"));
            }
        };
        let most_cached = match options.get("maxCachedFiles").map(|n| n.trim().parse()) {
            None => 10_000,
            Some(Ok(most)) => most,
            Some(Err(_)) => {
                return Err(options.invalid("maxCachedFiles", "a whole number of at least 0"));
            }
        };
        Ok(Self {
            filter: Filter::from_options(options)?,
            limit,
            latest_first,
            name_only: options.flag("fileNameOnly", false)?,
            max_age: max_age.filter(|_| !latest_first || limit == Limit::None),
            most_cached,
            discard_ratio,
            settle: Settle::from_options(options, end)?,
        })
    }
}

/// Files that lie in partitions lie in those of the same columns.
pub(super) fn check_partitions(
    known: &mut Option<Vec<String>>,
    names: &[PathBuf],
    shown: &str,
) -> Result<()> {
    for name in names {
        let columns: Vec<String> = listing::partitions(name).map(|(column, _)| column).collect();
        if columns.is_empty() {
            continue;
        }
        let before = known.get_or_insert_with(|| columns.clone());
        if *before != columns {
            return Err(Error::input(
                "CONFLICTING_PARTITION_COLUMN_NAMES",
                format!(
                    "{shown} has partitions by {} and by {}: {}",
                    before.join(", "),
                    columns.join(", "),
                    name.display()
                ),
            )
            .hint("give each kind of partition a folder and a table of its own"));
        }
    }
    Ok(())
}
