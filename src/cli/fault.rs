//! Faults on purpose: `run --crash-at`, and the variable `STRANDLINE_FAULT` for tests.
//!
//! Takes what was typed, and plans it (see [`crate::fault`]): to die, or to be refused by the disk.

use std::io;
use std::str::FromStr;

use super::tell;
use crate::engine::steps::{CrashPoint, Step};
use crate::error::{Error, Result};
use crate::fault::{self, Act, Moment, Plan};

/// Where `--crash-at` ends the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrashAt {
    /// Right after a step of a batch.
    Step(CrashPoint),
    /// Right before a call that touches the disk.
    Point(Moment),
}

/// `STEP[@BATCH]` or `POINT[#TIME]`; only a point has a full stop in it.
impl FromStr for CrashAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.contains('.') {
            true => text.parse().map(CrashAt::Point),
            false => text.parse().map(CrashAt::Step),
        }
    }
}

/// Plans the death of this process before a call.
pub fn die_at(moment: Moment) {
    fault::plan(Plan { from: Some(moment), goes_on: false, then: Box::new(die) });
}

fn die(point: &str) -> io::Error {
    crash(&format!("before {point}"))
}

/// Ends this process at once: nothing is flushed, let go or tidied away. To be killed by oneself
/// with SIGKILL needs unsafe code or another program; `abort` ends by SIGABRT, which nobody here
/// catches, and leaves the same files.
fn crash(moment: &str) -> ! {
    tell(format_args!("crash: {moment}, as by kill -9"));
    std::process::abort()
}

/// Ends this process right after a step of a batch.
pub fn crash_after(query: &str, step: Step, batch: u64) -> ! {
    crash(&format!("{query}: right after step {step} of batch {batch}"))
}

/// The variable that plans a fault for any command.
const VARIABLE: &str = "STRANDLINE_FAULT";

/// The word that only counts.
const COUNT: &str = "count";

/// Plans what the environment asks for: `die@POINT[#TIME]`, `panic@POINT[#TIME]`,
/// `ERROR@POINT[#TIME]`, and with a `+` behind it that error from then on; `count` plans nothing and
/// tells at the end what was passed.
pub fn plan_from_environment() -> Result<()> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    if text == COUNT {
        // Without a moment it never comes to what happens then.
        fault::plan(Plan { from: None, goes_on: false, then: Box::new(die) });
        return Ok(());
    }
    let Some((action, moment)) = text.split_once('@') else { return Err(not_a_fault(&text)) };
    let from = Some(moment.trim_end_matches('+').parse()?);
    let goes_on = moment.ends_with('+');
    let then = act(action).ok_or_else(|| not_a_fault(&text))?;
    fault::plan(Plan { from, goes_on, then });
    Ok(())
}

/// What an action does at its moment; `None`: there is no such action.
fn act(action: &str) -> Option<Act> {
    Some(match action {
        "die" => Box::new(die),
        "panic" => Box::new(|point| panic!("planned at {point}")),
        _ => {
            let &(name, number) = ERRORS.iter().find(|(name, _)| *name == action)?;
            Box::new(move |point| {
                tell(format_args!("fault: {name} at {point}"));
                io::Error::from_raw_os_error(number)
            })
        }
    })
}

/// Tells how often each point was passed, if the environment asks for it.
pub fn tell_passed() {
    if std::env::var(VARIABLE).is_ok_and(|text| text == COUNT) {
        for (point, times) in fault::passed() {
            tell(format_args!("fault: passed {point} {times}"));
        }
    }
}

/// Errors of the operating system by name and Linux' number.
const ERRORS: [(&str, i32); 5] =
    [("EIO", 5), ("EACCES", 13), ("EMFILE", 24), ("ENOSPC", 28), ("EROFS", 30)];

fn not_a_fault(text: &str) -> Error {
    let errors = ERRORS.map(|(name, _)| name).join(", ");
    Error::usage("INVALID_FAULT", format!("{VARIABLE}='{text}' is not a fault")).hint(format!(
        "write {COUNT}, die@POINT#TIME or panic@POINT#TIME, or one of {errors} in place of 'die', \
         with + behind it for every later time too"
    ))
}
