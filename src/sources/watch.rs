//! Wakes the engine when something arrives: takes folders, calls back when a file may have come.
//!
//! A wake-up is a hint and nothing more: events get lost (a queue that is full, a network disk, a
//! sub-folder filled before it is watched), and they come for nothing too. What is there, the
//! listing says; so a caller that also lists now and then misses nothing and is only slower.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind, RenameMode};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::writers::Done;
use super::{Watched, Writers, listing};
use crate::error::{Error, Result};

/// Watches folders, with all below them, until it is dropped.
pub struct Watch {
    watcher: RecommendedWatcher,
    folders: Vec<Folder>,
    writers: Vec<Writers>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.writers.iter().for_each(|writers| writers.watch(false));
    }
}

struct Folder {
    path: PathBuf,
    /// Which folder of that path is watched; `None`: there was none yet, or it is gone.
    watched: Option<(u64, Option<SystemTime>)>,
}

impl Watch {
    /// Calls `wake`, on a thread of its own, whenever something may have come into a folder. A
    /// folder that is not there yet, or is removed and comes back, is watched from the first
    /// [`Watch::retry`] after it came.
    ///
    /// The error means that the system gives no events (too many watches, say): its message is for
    /// the user, and polling goes on working.
    pub fn new(folders: &[Watched], wake: impl Fn() + Send + Sync + 'static) -> Result<Self> {
        let wake = Arc::new(wake);
        // Events name files by their whole paths.
        let whole = |watched: &Watched| {
            let folder = std::path::absolute(&watched.folder);
            Watched { folder: folder.unwrap_or_else(|_| watched.folder.clone()), ..watched.clone() }
        };
        let watched: Vec<Watched> = folders.iter().map(whole).collect();
        let handler = move |event: notify::Result<Event>| {
            if let Ok(event) = &event {
                watched.iter().for_each(|watched| note(event, watched));
            }
            // An error means that events were lost: look.
            if event.map_or(true, |event| is_news(&event)) {
                wake();
            }
        };
        let watcher = notify::recommended_watcher(handler).map_err(no_events)?;
        // Only Linux tells when a file was closed.
        folders.iter().for_each(|watched| watched.writers.watch(cfg!(target_os = "linux")));
        let folder = |watched: &Watched| Folder { path: watched.folder.clone(), watched: None };
        let writers = folders.iter().map(|watched| watched.writers.clone()).collect();
        let mut watch = Self { watcher, folders: folders.iter().map(folder).collect(), writers };
        watch.retry()?;
        Ok(watch)
    }

    /// Watches the folders that have come to be since; whether there was one. Then there may be
    /// files in it that no event told of.
    pub fn retry(&mut self) -> Result<bool> {
        let mut came = false;
        for folder in &mut self.folders {
            let there = identity(&folder.path);
            if there == folder.watched {
                continue;
            }
            if folder.watched.take().is_some() {
                // The system has forgotten a folder that is gone; what is left of it is ours.
                let _ = self.watcher.unwatch(&folder.path);
            }
            if there.is_some() {
                self.watcher.watch(&folder.path, RecursiveMode::Recursive).map_err(no_events)?;
                folder.watched = there;
                came = true;
            }
        }
        Ok(came)
    }
}

/// Which folder it is; `None`: there is none. Numbers of inodes are given again, so the time of its
/// birth counts too.
fn identity(folder: &Path) -> Option<(u64, Option<SystemTime>)> {
    let about = fs::metadata(folder).ok().filter(fs::Metadata::is_dir)?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&about);
    #[cfg(not(unix))]
    let inode = 0;
    Some((inode, about.created().ok()))
}

/// Notes who is writing to which file.
fn note(event: &Event, watched: &Watched) {
    let Some(path) = event.paths.last().filter(|path| !is_hidden(path)) else { return };
    let Ok(path) = path.strip_prefix(&watched.folder) else { return };
    let writers = &watched.writers;
    match event.kind {
        EventKind::Modify(ModifyKind::Data(_)) => writers.note(path, Done::Written),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
            writers.note(path, Done::Closed);
        }
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            writers.forget(path);
        }
        EventKind::Modify(ModifyKind::Name(_)) => writers.note(path, Done::Moved),
        _ => {}
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| listing::is_hidden(&name.to_string_lossy()))
}

/// Whether a file may have come. Our own reading makes events too, which must not wake us.
fn is_news(event: &Event) -> bool {
    if event.need_rescan() {
        return true;
    }
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
    could_matter && !event.paths.last().is_some_and(|path| is_hidden(path))
}

fn no_events(error: notify::Error) -> Error {
    let hint = match error.kind {
        ErrorKind::MaxFilesWatch => {
            "files are still found, up to a second later; to see them at once, raise the limit: \
             sudo sysctl fs.inotify.max_user_watches=1048576"
        }
        _ => {
            "files are still found, up to a second later; if there are too many watchers (too many \
             open files), raise the limit: sudo sysctl fs.inotify.max_user_instances=1024"
        }
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
        let writers = Writers::default();
        let watched = Watched { folder: later.clone(), writers: writers.clone() };
        let mut watch = Watch::new(&[watched], move || {
            let _ = send.send(());
        })
        .unwrap();
        assert!(!watch.retry().unwrap());
        // The second time it is another folder of the same name.
        for name in ["a.json", "b.json"] {
            let _ = fs::remove_dir_all(&later);
            fs::create_dir(&later).unwrap();
            assert!(watch.retry().unwrap());
            assert!(!watch.retry().unwrap());
            while woken.try_recv().is_ok() {}
            fs::write(later.join(".a"), "{}").unwrap();
            fs::rename(later.join(".a"), later.join(name)).unwrap();
            woken.recv().unwrap();
            assert_eq!(writers.last(Path::new(name)), Some(Done::Moved));
        }
    }

    #[test]
    fn a_file_is_being_written_from_the_first_byte_until_it_is_closed() {
        let writers = Writers::default();
        let watched = Watched { folder: "/in".into(), writers: writers.clone() };
        let path = Path::new("deep/a.json");
        let happens = |kind| note(&Event::new(kind).add_path("/in/deep/a.json".into()), &watched);
        let data = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
        happens(data);
        assert_eq!(writers.last(path), Some(Done::Written));
        happens(EventKind::Access(AccessKind::Close(AccessMode::Write)));
        assert_eq!(writers.last(path), Some(Done::Closed));
        happens(data);
        happens(EventKind::Modify(ModifyKind::Name(RenameMode::To)));
        assert_eq!(writers.last(path), Some(Done::Moved));
        happens(EventKind::Remove(notify::event::RemoveKind::File));
        assert_eq!(writers.last(path), None);
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
