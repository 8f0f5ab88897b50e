//! Faults on purpose: `run --crash-at`, and the variable `STRANDLINE_FAULT` for tests.
//!
//! Takes what was typed, and plans it (see [`crate::fault`]): to die, or to be refused by the disk.

use std::io;
use std::str::FromStr;

use super::tell;
use crate::engine::steps::{CrashPoint, Step};
use crate::error::{Error, Result};
use crate::fault::{self, Moment, Plan};

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
    let then = |point: &str| -> io::Error { crash(&format!("before {point}")) };
    fault::plan(Plan { from: Some(moment), goes_on: false, then: Box::new(then) });
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
/// `ERROR@POINT[#TIME]`, and with a `+` behind it that error from then on; `count` plans nothing and tells at the end what was passed.
pub fn plan_from_environment() -> Result<()> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    if text == COUNT {
        let then = Box::new(|_: &str| io::Error::other(COUNT));
        fault::plan(Plan { from: None, goes_on: false, then });
        return Ok(());
    }
    let Some((action, moment)) = text.split_once('@') else { return Err(not_a_fault(&text)) };
    let from = moment.trim_end_matches('+').parse::<Moment>()?;
    match action {
        "die" => {
            die_at(from);
            return Ok(());
        }
        "panic" => {
            let then = |point: &str| -> io::Error { panic!("planned at {point}") };
            fault::plan(Plan { from: Some(from), goes_on: false, then: Box::new(then) });
            return Ok(());
        }
        _ => {}
    }
    let named = ERRORS.iter().find(|(name, _)| *name == action);
    let &(name, number) = named.ok_or_else(|| not_a_fault(&text))?;
    let then = move |point: &str| {
        tell(format_args!("fault: {name} at {point}"));
        io::Error::from_raw_os_error(number)
    };
    let goes_on = moment.ends_with('+');
    fault::plan(Plan { from: Some(from), goes_on, then: Box::new(then) });
    Ok(())
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
