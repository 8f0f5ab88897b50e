//! Whether a file may still be being written: takes a file as it was listed and the time, gives how
//! long to wait for it. Never keeps a file for ever: one that stands still is taken as it is.
//!
//! A writer that renames a complete file to its place is never waited for, nor is a file that has
//! stood still. For the others the end of the file tells: one that is being written mostly ends in
//! the middle of a line. The option `settle` asks for more: then each file has to stand still for so
//! long. What a file system does not tell (a clock that is another one, a closed writer that comes
//! back) is told later, by `seen`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::Result;
use crate::sources::bytes;
use crate::sources::listing::Found;
use crate::sources::options::Options;
use crate::sources::taken::millis;
use crate::sources::writers::{Done, Writers};
use crate::time::Millis;

/// So long a file that does not look complete has to stand still.
const DEFAULT: Millis = 2_000;

/// So long after something was written to a file the event that tells of it has come.
const EVENTS: Millis = 50;

/// When a file is taken.
#[derive(Debug, Clone)]
pub(super) struct Settle {
    /// How long a file has to stand still.
    rest: Millis,
    /// Whether that is asked of all files, and not only of those that do not look complete.
    all: bool,
    /// The last bytes of a file that looks complete.
    end: &'static [u8],
}

impl Settle {
    /// The option `settle` of a table, whose complete files end in these bytes.
    pub fn from_options(options: &Options, end: &'static [u8]) -> Result<Self> {
        let asked = options.duration("settle")?;
        Ok(Self { rest: asked.unwrap_or(DEFAULT), all: asked.is_some(), end })
    }

    /// How many milliseconds more this file has to stand still; `None`: it is taken.
    pub fn rest(
        &self,
        folder: &Path,
        file: &Found,
        writers: &Writers,
        now: Millis,
    ) -> Option<Millis> {
        let age = now - millis(file.modified);
        // A time in the future is not one of our clock, and says nothing.
        if !(0..self.rest).contains(&age) {
            return None;
        }
        let path = folder.join(&file.name);
        let rest = match writers.last(&file.name) {
            _ if self.all => self.rest,
            Some(Done::Written) => self.rest,
            Some(Done::Moved) => 0,
            Some(Done::Closed) if self.looks_complete(&path) => 0,
            None if file.renamed => 0,
            None if self.looks_complete(&path) => match writers.is_watching() {
                true => EVENTS,
                false => 0,
            },
            _ => self.rest,
        };
        (rest > age).then_some(rest - age)
    }

    fn looks_complete(&self, path: &Path) -> bool {
        // The end of a packed file tells nothing.
        !bytes::is_packed(path) && ends_in(path, self.end).unwrap_or(false)
    }
}

fn ends_in(path: &Path, end: &[u8]) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let mut last = Vec::with_capacity(end.len());
    file.seek(SeekFrom::End(-(end.len() as i64)))?;
    file.take(end.len() as u64).read_to_end(&mut last)?;
    Ok(last == end)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn waits_for_a_young_file_that_does_not_look_complete_and_no_longer_than_it_must() {
        let folder = tempfile::tempdir().unwrap();
        let (writers, options) = (Writers::default(), Options::new(&[], &[]).unwrap());
        let settle = Settle::from_options(&options, b"\n").unwrap();
        let now = 1_767_225_600_000;
        let rest = |text: &str, age: i64, renamed: bool| {
            std::fs::write(folder.path().join("a.json"), text).unwrap();
            let modified = UNIX_EPOCH + Duration::from_millis((now - age) as u64);
            let (name, size) = (PathBuf::from("a.json"), text.len() as u64);
            let file = Found { name, size, modified, renamed, identity: None };
            settle.rest(folder.path(), &file, &writers, now)
        };
        assert_eq!(rest("{}\n", 0, false), None);
        assert_eq!(rest("{}", 500, false), Some(1_500));
        assert_eq!(rest("", 0, false), Some(2_000));
        assert_eq!(rest("{}", 2_000, false), None);
        assert_eq!(rest("{}", -1, false), None);
        assert_eq!(rest("{}", 0, true), None);
        let path = Path::new("a.json");
        writers.watch(true);
        assert_eq!(rest("{}\n", 10, false), Some(40));
        assert_eq!(rest("{}\n", 50, false), None);
        writers.note(path, Done::Moved);
        assert_eq!(rest("{}", 0, false), None);
        writers.note(path, Done::Written);
        assert_eq!(rest("{}\n", 100, true), Some(1_900));
        writers.note(path, Done::Closed);
        assert_eq!(rest("{}\n", 0, false), None);
        assert_eq!(rest("{}", 0, true), Some(2_000));
    }

    #[test]
    fn the_option_asks_it_of_all_files() {
        let given = [("settle".to_owned(), "5s".to_owned())];
        let known: &[&[_]] = &[&[("settle", crate::sources::options::Rule::Honoured)]];
        let options = Options::new(&given, known).unwrap();
        let settle = Settle::from_options(&options, b"\n").unwrap();
        let modified = UNIX_EPOCH + Duration::from_secs(100);
        let name = PathBuf::from("a.json");
        let file = Found { name, size: 3, modified, renamed: true, identity: None };
        let rest = |now| settle.rest(Path::new("nowhere"), &file, &Writers::default(), now);
        assert_eq!((rest(101_000), rest(105_000)), (Some(4_000), None));
    }
}
