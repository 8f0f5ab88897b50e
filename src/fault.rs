//! Where a run can be made to die, or be told by the disk that it cannot: for lessons and for tests.
//!
//! Every call that touches the disk passes a *point* first. Its name says of what the file is and
//! which call comes next: `offsets.link`, `state.sync`, `log.sync-folder`. As long as nobody has
//! planned a fault, passing one is a look at an empty cell.
//!
//! Takes one plan for the life of the process; gives its error at the moment that was planned;
//! never acts by itself: what happens then is up to who planned it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::{Error, Result};

/// What a file is to the program, as the first word of its points.
const FILES: [&str; 14] = [
    "metadata",
    "offsets",
    "commits",
    "history",
    "state",
    "spill",
    "data",
    "log",
    "log-checkpoint",
    "rejected-data",
    "rejected-log",
    "lock",
    "input",
    "other",
];

/// What is done to a file, as the second word.
const CALLS: [&str; 10] = [
    "make-folder",
    "write",
    "sync",
    "link",
    "rename",
    "sync-folder",
    "append",
    "remove",
    "read",
    "list",
];

/// The point that stands for all of them.
const ANY: &str = "any";

/// A time at which a point is passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The point's name; `any` counts every call.
    pub point: String,
    /// From 1.
    pub time: u64,
}

/// `POINT` or `POINT#TIME`: `offsets.link`, `state.sync#3`.
impl FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (point, time) = text.split_once('#').unwrap_or((text, "1"));
        let is_known = |(file, call): (&str, &str)| FILES.contains(&file) && CALLS.contains(&call);
        if point != ANY && !point.split_once('.').is_some_and(is_known) {
            return Err(Error::usage("UNKNOWN_POINT", format!("there is no point '{point}'"))
                .hint(format!(
                    "a point is FILE.CALL, where FILE is one of {} and CALL is one of {}",
                    FILES.join(", "),
                    CALLS.join(", ")
                )));
        }
        match time.parse() {
            Ok(time) if time > 0 => Ok(Self { point: point.to_owned(), time }),
            _ => Err(Error::usage("INVALID_TIME", format!("'{time}' is not a number from 1"))
                .hint("write POINT#TIME, as in state.sync#3 for the third time")),
        }
    }
}

/// `offsets.link, passed for the third time`, in figures.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.point, self.time)
    }
}

/// What is to happen, and when.
pub struct Plan {
    /// The first time that it happens; `None`: it never does, and points are counted.
    pub from: Option<Moment>,
    /// Whether it happens at every later time too.
    pub goes_on: bool,
    /// Called at that moment, with the name of the point that was really passed; gives the error
    /// that the call is to fail with.
    pub then: Act,
}

/// Called with the name of a point; gives the error that its call is to fail with, if it returns.
pub type Act = Box<dyn Fn(&str) -> io::Error + Send + Sync>;

struct Planned {
    plan: Plan,
    passed: Mutex<BTreeMap<String, u64>>,
}

static PLANNED: OnceLock<Planned> = OnceLock::new();

/// Plans a fault. A process has one plan at most; a second one is left out.
pub fn plan(plan: Plan) {
    let _ = PLANNED.set(Planned { plan, passed: Mutex::default() });
}

/// Whether a fault is planned.
pub(crate) fn is_planned() -> bool {
    PLANNED.get().is_some()
}

/// How often each point has been passed since the plan was made.
pub fn passed() -> BTreeMap<String, u64> {
    let passed = PLANNED.get().map(|planned| &planned.passed);
    passed.map(|map| map.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
}

/// Passes the point before `call` is made on a file that is to be at `path`.
pub(crate) fn before(call: &'static str, path: &Path) -> io::Result<()> {
    match PLANNED.get() {
        None => Ok(()),
        Some(planned) => planned.pass(&format!("{}.{call}", file(path))),
    }
}

/// Passes the point before input is listed or read.
pub(crate) fn before_input(call: &'static str) -> io::Result<()> {
    match PLANNED.get() {
        None => Ok(()),
        Some(planned) => planned.pass(&format!("input.{call}")),
    }
}

impl Planned {
    fn pass(&self, point: &str) -> io::Result<()> {
        let (time, all) = {
            let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            let time = passed.entry(point.to_owned()).or_default();
            *time += 1;
            (*time, passed.values().sum::<u64>())
        };
        let Some(from) = &self.plan.from else { return Ok(()) };
        let time = match from.point.as_str() {
            ANY => all,
            planned if planned == point => time,
            _ => return Ok(()),
        };
        let strikes = time == from.time || (self.plan.goes_on && time > from.time);
        if strikes { Err((self.plan.then)(point)) } else { Ok(()) }
    }
}

/// What a file is to the program, by its path.
fn file(path: &Path) -> &'static str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let in_log = path.iter().rev().take(2).any(|part| part == "_delta_log");
    let is_data = name.ends_with(".parquet");
    let is_rejected =
        || path.iter().any(|part| part.to_str().is_some_and(|part| part.ends_with("__rejected")));
    let has = |wanted: &str| path.iter().any(|part| part == wanted);
    match name {
        _ if in_log && name.contains("checkpoint") => "log-checkpoint",
        _ if in_log && is_rejected() => "rejected-log",
        _ if in_log => "log",
        _ if is_data && is_rejected() => "rejected-data",
        _ if is_data => "data",
        "metadata.json" => "metadata",
        "LOCK" => "lock",
        "spill" => "spill",
        _ if has("state") => "state",
        _ if has("offsets") => "offsets",
        _ if has("commits") => "commits",
        _ if has("sources") => "history",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_path() {
        for (path, expected) in [
            ("checkpoints/q/offsets/7", "offsets"),
            ("checkpoints/q/offsets", "offsets"),
            ("checkpoints/q/commits/7", "commits"),
            ("checkpoints/q/metadata.json", "metadata"),
            ("checkpoints/q/sources/0/history", "history"),
            ("checkpoints/q/state/0/groups/7.change", "state"),
            ("checkpoints/q/state/0/groups/spill", "spill"),
            ("data/q/part-0000000007-x.parquet", "data"),
            ("data/q/_delta_log/00000000000000000007.json", "log"),
            ("data/q/_delta_log/00000000000000000100.checkpoint.parquet", "log-checkpoint"),
            ("data/q/_delta_log/_last_checkpoint", "log-checkpoint"),
            ("data/q__rejected/part-0000000007-x.parquet", "rejected-data"),
            ("data/q__rejected/_delta_log/00000000000000000007.json", "rejected-log"),
            ("data", "other"),
        ] {
            assert_eq!(file(Path::new(path)), expected, "{path}");
            assert!(FILES.contains(&expected));
        }
    }

    #[test]
    fn a_moment_is_a_point_and_perhaps_a_time() {
        let moment = |point: &str, time| Moment { point: point.into(), time };
        assert_eq!("offsets.link".parse::<Moment>().unwrap(), moment("offsets.link", 1));
        assert_eq!("any#17".parse::<Moment>().unwrap(), moment("any", 17));
        for wrong in ["", "offsets", "offsets.fly", "moon.link", "offsets.link#0", "any#x"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fault_strikes_when_it_was_planned() {
        let strikes = |point: &str, time, goes_on| {
            let from = Some(Moment { point: point.into(), time });
            let then = Box::new(|_: &str| io::Error::other("planned"));
            let planned = Planned { plan: Plan { from, goes_on, then }, passed: Mutex::default() };
            let calls = ["state.write", "state.sync", "state.write", "state.write"];
            calls.map(|call| planned.pass(call).is_err())
        };
        assert_eq!(strikes("state.write", 2, false), [false, false, true, false]);
        assert_eq!(strikes("state.write", 2, true), [false, false, true, true]);
        assert_eq!(strikes("any", 2, false), [false, true, false, false]);
        assert_eq!(strikes("commits.write", 1, true), [false; 4]);
    }
}
