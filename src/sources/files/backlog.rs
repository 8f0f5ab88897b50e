//! Which files of a folder have been read and which wait: takes listings, gives what the next batch
//! would take.
//!
//! **The listing is the truth, and identity is the path** (with `fileNameOnly` the name). A file is
//! new if its path was never in a decided batch, and it is not such a file that was only moved; its
//! time orders it, and says whether it is too old where the table asks for that (`maxFileAge`). So a
//! file that arrives late with an old time is found, and one that is written again is not read
//! again. What is listed and not yet decided waits in a queue; the folder is listed again when the
//! queue is empty or short (or there is no limit), and only names that are new are looked at, so
//! that a batch costs the same however many files lie there.
//!
//! What is left out is told, once a name. A folder that cannot be listed for a while (it was
//! removed, say) has nothing new.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hashbrown::HashSet;

use super::rules::{Limit, Rules, check_partitions};
use super::seen::Seen;
use crate::error::Result;
use crate::sources::json::shown;
use crate::sources::listing::{self, Found, Listed, Look, cannot_list};
use crate::sources::taken::{Taken, millis};
use crate::sources::writers::Writers;
use crate::time::{Millis, SharedClock};

/// So often, at most, it is looked whether files that were read have changed.
const LOOK_BACK: Millis = 1_000;

/// So many names are remembered of which something was told.
const MOST_TOLD: usize = 10_000;

/// What has been read of a folder, and what waits.
pub(super) struct Backlog {
    /// The folder as it is opened, and as the user names it.
    folder: PathBuf,
    shown: String,
    rules: Rules,
    /// The files that belong to a batch.
    seen: Seen,
    /// The newest time of a file that belongs to a batch, in milliseconds since 1970.
    newest: Option<i64>,
    /// Files that were listed and, when they were, belonged to no batch; in the order of reading.
    queue: VecDeque<Found>,
    /// The columns of the partitions that files lie in.
    partitions: Option<Vec<String>>,
    frozen: bool,
    /// Without one no file is waited for.
    clock: Option<SharedClock>,
    writers: Writers,
    /// The longest that a file still has to stand still, in milliseconds, by the last look.
    rest: Option<Millis>,
    /// Names of which it was told what became of them.
    told: HashSet<PathBuf>,
    /// Whether the folder could be listed the last time; `None`: it never was.
    listable: Option<bool>,
    /// When it was looked whether files that were read have changed.
    looked_back: Millis,
}

impl Backlog {
    pub fn new(folder: PathBuf, shown: String, rules: Rules) -> Self {
        Self {
            folder,
            shown,
            seen: Seen::new(rules.name_only),
            rules,
            newest: None,
            queue: VecDeque::new(),
            partitions: None,
            frozen: false,
            clock: None,
            writers: Writers::default(),
            rest: None,
            told: HashSet::new(),
            listable: None,
            looked_back: 0,
        }
    }

    /// From now on files that may still be being written are waited for, by this clock.
    pub fn keep_time(&mut self, clock: SharedClock) {
        self.clock = Some(clock);
    }

    /// Where a watch notes who is writing.
    pub fn writers(&self) -> &Writers {
        &self.writers
    }

    /// How long to wait for files that may still be being written, by the last look; `None`: there
    /// are none.
    pub fn waits(&self) -> Option<Duration> {
        self.rest.map(|rest| Duration::from_millis(rest.max(1) as u64))
    }

    /// The limit of one batch.
    pub fn limit(&self) -> Limit {
        self.rules.limit
    }

    /// Lists the folder for the last time.
    pub fn freeze(&mut self) -> Result<()> {
        self.list()?;
        self.frozen = true;
        self.rest = self.queue.iter().filter_map(|found| self.rest_of(found)).max();
        self.tell_of_changes();
        Ok(())
    }

    /// A file belongs to a batch now. Its path is that below the folder.
    pub fn decided(&mut self, file: Taken) {
        self.newest = self.newest.max(Some(file.mtime));
        self.writers.forget(&file.path);
        self.seen.add(file);
    }

    /// What the next batch would take.
    pub fn next(&mut self, limit: Limit) -> Result<Vec<Taken>> {
        let must_list = limit == Limit::None || self.rules.latest_first;
        self.pop_seen();
        if must_list && !self.frozen {
            self.list()?;
        } else if !self.frozen && self.is_short(limit) {
            self.queue.clear();
        }
        let mut files = self.take_from_queue(limit);
        if files.is_empty() && !must_list && !self.frozen {
            self.list()?;
            files = self.take_from_queue(limit);
            self.queue.truncate(files.len().saturating_add(self.rules.most_cached));
        }
        if files.is_empty() && !self.frozen && self.is_time_to_look_back() {
            self.tell_of_changes();
        }
        Ok(files)
    }

    /// What was decided stands first in the queue.
    fn pop_seen(&mut self) {
        while self.queue.front().is_some_and(|found| self.seen.has(&found.name)) {
            self.queue.pop_front();
        }
    }

    /// A rest of the last listing that would make a small batch is not worth it: better to look
    /// whether more has come.
    fn is_short(&self, limit: Limit) -> bool {
        let enough = |most: u64| most as f64 * self.rules.discard_ratio;
        match limit {
            Limit::None => false,
            Limit::Files(most) => (self.queue.len() as f64) < enough(most),
            Limit::Bytes(most) => {
                let mut bytes: u64 = 0;
                !self.queue.iter().any(|found| {
                    bytes = bytes.saturating_add(found.size);
                    bytes as f64 >= enough(most)
                })
            }
        }
    }

    /// Lists the folder and puts what is new into the queue.
    fn list(&mut self) -> Result<()> {
        let Some(listed) = self.new_names()? else { return Ok(()) };
        for (name, what) in listed.others {
            self.tell(&name, |file| format!("{file} is {what}: it is left out"));
        }
        if listed.files.is_empty() {
            return Ok(());
        }
        if !self.rules.filter.recursive {
            check_partitions(&mut self.partitions, &listed.files, &self.shown)?;
        }
        let oldest =
            self.rules.max_age.zip(self.newest).map(|(age, newest)| newest.saturating_sub(age));
        let mut queue: Vec<_> = std::mem::take(&mut self.queue).into();
        let new = listed.files.into_iter().filter_map(|name| self.is_input(name, oldest));
        queue.extend(new.collect::<Vec<_>>());
        queue.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        if self.rules.latest_first {
            queue.reverse();
        }
        self.queue = queue.into();
        Ok(())
    }

    /// The names that were never seen before; `None`: the folder cannot be listed now, and could be
    /// before.
    fn new_names(&mut self) -> Result<Option<Listed>> {
        let listed = {
            let queued: HashSet<&OsStr> = self.queue.iter().map(|f| f.name.as_os_str()).collect();
            let known = |name: &Path| queued.contains(name.as_os_str()) || self.seen.has(name);
            listing::names(&self.folder, &self.rules.filter, &known)
        };
        match listed {
            Ok(listed) => {
                if self.listable == Some(false) {
                    tracing::warn!("the folder {} can be listed again", self.shown);
                }
                self.listable = Some(true);
                Ok(Some(listed))
            }
            // A folder that was there comes back, or somebody who was warned brings it back.
            Err(error) if self.listable.is_some() && !self.frozen => {
                let error = cannot_list(&self.folder, &self.shown, error);
                if self.listable == Some(true) {
                    tracing::warn!("{error:?}; until then nothing new is found");
                }
                self.listable = Some(false);
                Ok(None)
            }
            Err(error) => Err(cannot_list(&self.folder, &self.shown, error)),
        }
    }

    /// Whether what lies under a new name is a file to read.
    fn is_input(&mut self, name: PathBuf, oldest: Option<i64>) -> Option<Found> {
        let found = match listing::look_at(&self.folder, name.clone()) {
            Look::File(found) => found,
            Look::Gone => return None,
            Look::NoFile(what) => {
                self.tell(&name, |file| format!("{file} is {what}: it is left out"));
                return None;
            }
        };
        if oldest.is_some_and(|oldest| millis(found.modified) < oldest) {
            self.tell(&name, |file| format!("{file} is older than maxFileAge: it is left out"));
            return None;
        }
        if let Some(before) = self.seen.moved(&self.folder, &found.taken()) {
            let before = shown(&before);
            self.tell(&name, |file| {
                format!("{file} was read when it was called {before}: it is not read again")
            });
            return None;
        }
        Some(found)
    }

    /// How long a file still has to stand still; `None`: it can be taken.
    fn rest_of(&self, found: &Found) -> Option<Millis> {
        let clock = self.clock.as_ref()?;
        self.rules.settle.rest(&self.folder, found, &self.writers, clock.now())
    }

    /// Takes from the front of the queue, as it is on the disk now: what has gone is left out.
    fn take_from_queue(&mut self, limit: Limit) -> Vec<Taken> {
        let mut files = Vec::new();
        let mut bytes: u64 = 0;
        let (mut taken, mut unsettled) = (Vec::new(), Vec::new());
        self.rest = None;
        while let Some(found) = self.queue.pop_front() {
            if self.seen.has(&found.name) {
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
            let Look::File(now) = listing::look_at(&self.folder, found.name) else { continue };
            if let Some(rest) = self.rest_of(&now) {
                self.rest = self.rest.max(Some(rest));
                unsettled.push(now);
                continue;
            }
            bytes = bytes.saturating_add(now.size);
            files.push(now.taken());
            taken.push(now);
        }
        if self.frozen {
            self.rest = None;
            for found in unsettled.drain(..) {
                self.tell(&found.name, |file| {
                    format!("{file} is still being written: it is left for the next run")
                });
            }
        }
        // Nothing is decided yet: they stay, and what may be decided stands first.
        for found in taken.into_iter().chain(unsettled).rev() {
            self.queue.push_front(found);
        }
        files
    }

    /// Whether some time has passed since the last look at files that were read.
    fn is_time_to_look_back(&mut self) -> bool {
        let Some(now) = self.clock.as_ref().map(|clock| clock.now()) else { return false };
        let is_time = (now - self.looked_back).abs() >= LOOK_BACK;
        if is_time {
            self.looked_back = now;
        }
        is_time
    }

    /// Tells of files that were written to after they were read.
    fn tell_of_changes(&mut self) {
        for file in self.seen.changed(&self.folder) {
            let file = shown(&Path::new(&self.shown).join(&file.path));
            tracing::warn!(
                "{file} was changed after it was read: what is new in it is not read; write new \
                 rows into new files"
            );
        }
    }

    /// Tells once what becomes of a file.
    fn tell(&mut self, name: &Path, what: impl Fn(&str) -> String) {
        if self.told.len() < MOST_TOLD && self.told.insert(name.to_owned()) {
            tracing::warn!("{}", what(&shown(&Path::new(&self.shown).join(name))));
        }
    }
}
