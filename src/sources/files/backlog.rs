//! Which files of a folder have been read and which wait: takes listings, gives what the next batch
//! would take.
//!
//! **The listing is the truth, and identity is the path** (with `fileNameOnly` the name). A file is
//! new if its path was never in a decided batch; its time only orders it, and says whether it is
//! too old (`maxFileAge`, counted from the newest file that was read). So a file that arrives late
//! with an old time is found, and one that is written again is not read again. What is listed and
//! not yet decided waits in a queue; the folder is listed again when the queue is empty or short
//! (or there is no limit), and only names that are new are looked at, so that a batch costs the
//! same however many files lie there.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use hashbrown::HashSet;

use crate::error::{Error, Result};
use crate::sources::listing::{self, Filter, Found, cannot_list};
use crate::sources::options::{Options, Rule};
use crate::sources::taken::{Taken, millis};

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
    latest_first: bool,
    name_only: bool,
    /// Milliseconds that a file may be older than the newest that was read; `None`: it may always.
    max_age: Option<i64>,
    most_cached: usize,
    discard_ratio: f64,
}

impl Rules {
    /// What the options of a table say.
    pub fn from_options(options: &Options) -> Result<Self> {
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
        const WEEK: i64 = 7 * 24 * 3600 * 1000;
        let max_age = options.duration("maxFileAge")?.unwrap_or(WEEK);
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
            max_age: (!latest_first || limit == Limit::None).then_some(max_age),
            most_cached,
            discard_ratio,
        })
    }
}

/// What has been read of a folder, and what waits.
pub(super) struct Backlog {
    /// The folder as it is opened, and as the user names it.
    folder: PathBuf,
    shown: String,
    rules: Rules,
    /// Files, by their names below the folder, that belong to a batch.
    seen: HashSet<OsString>,
    /// The newest time of a file that belongs to a batch, in milliseconds since 1970.
    newest: Option<i64>,
    /// Files that were listed and, when they were, belonged to no batch; in the order of reading.
    queue: VecDeque<Found>,
    /// The columns of the partitions that files lie in.
    partitions: Option<Vec<String>>,
    frozen: bool,
}

impl Backlog {
    pub fn new(folder: PathBuf, shown: String, rules: Rules) -> Self {
        let (seen, queue) = (HashSet::new(), VecDeque::new());
        Self { folder, shown, rules, seen, newest: None, queue, partitions: None, frozen: false }
    }

    /// The limit of one batch.
    pub fn limit(&self) -> Limit {
        self.rules.limit
    }

    /// Lists the folder for the last time.
    pub fn freeze(&mut self) -> Result<()> {
        self.list()?;
        self.frozen = true;
        Ok(())
    }

    /// A file belongs to a batch now. `name` is that below the folder.
    pub fn decided(&mut self, name: &Path, mtime: i64) {
        self.newest = self.newest.max(Some(mtime));
        self.seen.insert(key(&self.rules, name).to_owned());
    }

    /// What the next batch would take.
    pub fn next(&mut self, limit: Limit) -> Result<Vec<Taken>> {
        let must_list = limit == Limit::None || self.rules.latest_first;
        if must_list && !self.frozen {
            self.list()?;
        } else if !self.frozen {
            self.discard_a_short_queue(limit);
        }
        let mut files = self.take_from_queue(limit);
        if files.is_empty() && !must_list && !self.frozen {
            self.list()?;
            files = self.take_from_queue(limit);
            self.queue.truncate(files.len().saturating_add(self.rules.most_cached));
        }
        Ok(files)
    }

    /// A rest of the last listing that would make a small batch is not worth it: better to look
    /// whether more has come.
    fn discard_a_short_queue(&mut self, limit: Limit) {
        let (rules, seen) = (&self.rules, &self.seen);
        self.queue.retain(|found| !seen.contains(key(rules, &found.name)));
        let short = match limit {
            Limit::None => false,
            Limit::Files(most) => (self.queue.len() as f64) < most as f64 * rules.discard_ratio,
            Limit::Bytes(most) => {
                let bytes: u64 = self.queue.iter().map(|found| found.size).sum();
                (bytes as f64) < most as f64 * rules.discard_ratio
            }
        };
        if short {
            self.queue.clear();
        }
    }

    /// Lists the folder and puts what is new into the queue.
    fn list(&mut self) -> Result<()> {
        let rules = &self.rules;
        let names = {
            let queued: HashSet<&OsStr> = self.queue.iter().map(|f| f.name.as_os_str()).collect();
            let known = |name: &Path| {
                queued.contains(name.as_os_str()) || self.seen.contains(key(rules, name))
            };
            listing::names(&self.folder, &rules.filter, &known)
                .map_err(|e| cannot_list(&self.folder, &self.shown, e))?
        };
        if names.is_empty() {
            return Ok(());
        }
        if !rules.filter.recursive {
            check_partitions(&mut self.partitions, &names, &self.shown)?;
        }
        let oldest = rules.max_age.zip(self.newest).map(|(age, newest)| newest.saturating_sub(age));
        let young = |found: &Found| oldest.is_none_or(|oldest| millis(found.modified) >= oldest);
        let new = names.into_iter().filter_map(|name| listing::look_at(&self.folder, name));
        let waiting = std::mem::take(&mut self.queue).into_iter();
        let mut queue: Vec<_> = waiting.chain(new.filter(young)).collect();
        queue.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        if rules.latest_first {
            queue.reverse();
        }
        self.queue = queue.into();
        Ok(())
    }

    /// Takes from the front of the queue, as it is on the disk now: what has gone is left out.
    fn take_from_queue(&mut self, limit: Limit) -> Vec<Taken> {
        let mut files = Vec::new();
        let mut bytes: u64 = 0;
        let mut waiting: VecDeque<Found> = VecDeque::new();
        while let Some(found) = self.queue.pop_front() {
            if self.seen.contains(key(&self.rules, &found.name)) {
                continue;
            }
            let full = match limit {
                Limit::None => false,
                Limit::Files(most) => files.len() as u64 >= most,
                Limit::Bytes(most) => !files.is_empty() && bytes.saturating_add(found.size) > most,
            };
            if full {
                self.queue.push_front(found);
                break;
            }
            if let Some(now) = listing::look_at(&self.folder, found.name) {
                bytes = bytes.saturating_add(now.size);
                let mtime = millis(now.modified);
                files.push(Taken { path: now.name.clone(), size: now.size, mtime });
                waiting.push_back(now);
            }
        }
        // Nothing is decided yet: they stay where they were.
        for found in waiting.into_iter().rev() {
            self.queue.push_front(found);
        }
        files
    }
}

/// Files that lie in partitions lie in those of the same columns.
fn check_partitions(known: &mut Option<Vec<String>>, names: &[PathBuf], shown: &str) -> Result<()> {
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

/// What tells one file from another.
fn key<'a>(rules: &Rules, name: &'a Path) -> &'a OsStr {
    match name.file_name() {
        Some(file) if rules.name_only => file,
        _ => name.as_os_str(),
    }
}
