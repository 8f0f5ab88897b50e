//! Wakes the engine when something arrives: takes folders, calls back when a file may have come.
//!
//! A wake-up is a hint and nothing more: events get lost (a queue that is full, a network disk, a
//! sub-folder filled before it is watched), and they come for nothing too. What is there, the
//! listing says; so a caller that also lists now and then misses nothing and is only slower.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind, RenameMode};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::listing;
use crate::error::{Error, Result};

/// Watches folders, with all below them, until it is dropped.
pub struct Watch {
    watcher: RecommendedWatcher,
    /// Folders that do not exist yet.
    waiting: Vec<PathBuf>,
}

impl Watch {
    /// Calls `wake`, on a thread of its own, whenever something may have come into a folder. A
    /// folder that is not there yet is watched from the first [`Watch::retry`] after it came.
    ///
    /// The error means that the system gives no events (too many watches, say): its message is for
    /// the user, and polling goes on working.
    pub fn new(folders: &[PathBuf], wake: impl Fn() + Send + Sync + 'static) -> Result<Self> {
        let wake = Arc::new(wake);
        let handler = move |event: notify::Result<Event>| {
            // An error means that events were lost: look.
            if event.map_or(true, |event| is_news(&event)) {
                wake();
            }
        };
        let watcher = notify::recommended_watcher(handler).map_err(no_events)?;
        let mut watch = Self { watcher, waiting: folders.to_vec() };
        watch.retry()?;
        Ok(watch)
    }

    /// Watches the folders that have come to be since; whether there was one. Then there may be
    /// files in it that no event told of.
    pub fn retry(&mut self) -> Result<bool> {
        let (there, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|folder| folder.is_dir());
        self.waiting = waiting;
        for folder in &there {
            self.watcher.watch(folder, RecursiveMode::Recursive).map_err(no_events)?;
        }
        Ok(!there.is_empty())
    }
}

/// Whether a file may have come. Our own reading makes events too, which must not wake us.
fn is_news(event: &Event) -> bool {
    if event.need_rescan() {
        return true;
    }
    let hidden = |path: &PathBuf| {
        path.file_name().is_some_and(|name| listing::is_hidden(&name.to_string_lossy()))
    };
    let could_matter = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Create(CreateKind::Folder) => true,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) => false,
        EventKind::Modify(ModifyKind::Name(_)) => true,
        // Linux tells when a file was closed; elsewhere its creation and changes must do.
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => {
            !cfg!(target_os = "linux")
        }
        EventKind::Any | EventKind::Other => true,
        _ => false,
    };
    // A rename has two paths: its new name is the last one.
    could_matter && !event.paths.last().is_some_and(hidden)
}

fn no_events(error: notify::Error) -> Error {
    let hint = match error.kind {
        ErrorKind::MaxFilesWatch => {
            "files are still found, up to a second later; to see them at once, raise the limit: \
             sudo sysctl fs.inotify.max_user_watches=1048576"
        }
        _ => "files are still found, up to a second later",
    };
    let at = error.paths.first().map(|path: &PathBuf| Path::display(path).to_string());
    let at = at.map(|path| format!(" {path}")).unwrap_or_default();
    Error::input("WATCH_UNAVAILABLE", format!("cannot watch{at} for new files: {error}"))
        .hint(hint)
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_file_that_is_renamed_into_place_wakes_and_reading_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let later = folder.path().join("later");
        let (send, woken) = mpsc::channel();
        let mut watch = Watch::new(std::slice::from_ref(&later), move || {
            let _ = send.send(());
        })
        .unwrap();
        assert!(!watch.retry().unwrap());
        fs::create_dir(&later).unwrap();
        assert!(watch.retry().unwrap());
        fs::write(later.join(".a"), "{}").unwrap();
        fs::rename(later.join(".a"), later.join("a.json")).unwrap();
        woken.recv().unwrap();
    }

    #[test]
    fn our_own_reads_and_hidden_files_are_no_news() {
        let event = |kind, name: &str| Event::new(kind).add_path(PathBuf::from(name));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(is_news(&event(closed, "in/a.json")));
        assert!(!is_news(&event(closed, "in/.a.json")));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Read));
        assert!(!is_news(&event(opened, "in/a.json")));
        assert!(!is_news(&event(EventKind::Access(AccessKind::Close(AccessMode::Read)), "in/a")));
        assert!(is_news(&event(EventKind::Create(CreateKind::Folder), "in/batch_0001")));
    }
}
