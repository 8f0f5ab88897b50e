//! Delta checkpoints that cannot be read: a power cut can leave one.
//!
//! A Delta checkpoint only sums up what the commits say, and no commit is ever removed by this program;
//! so one that is torn is set aside, with the hint that names it, and the table opens from the commits.
//! Takes a folder, renames what is of no use to anybody, and never touches a commit.

use std::path::Path;

use super::tail::{LogFiles, Tail, checkpoint_path, ends_as_parquet};
use crate::durable::{self, Disk};
use crate::error::{Error, Result};

/// Where readers look first.
const HINT: &str = "_delta_log/_last_checkpoint";

/// Sets aside checkpoints that are cut short, and a hint that is no JSON or names one of them.
pub(super) fn set_aside_torn(disk: Disk, table: &Path) -> Result<()> {
    let files = LogFiles::list(table)?;
    for version in &files.checkpoints {
        let path = checkpoint_path(table, *version);
        if !ends_as_parquet(&path) {
            set_aside(disk, &path, "is not a whole file")?;
        }
    }
    let hint = table.join(HINT);
    let Some(bytes) = durable::read(&hint)? else { return Ok(()) };
    let named = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
    let version = named.as_ref().and_then(|hint| hint.get("version")?.as_u64());
    match version {
        None => set_aside(disk, &hint, "is not a whole hint"),
        // One of several files has no such name.
        Some(_) if files.other_checkpoints => Ok(()),
        Some(version) if ends_as_parquet(&checkpoint_path(table, version)) => Ok(()),
        Some(_) => set_aside(disk, &hint, "names a checkpoint that is not there"),
    }
}

/// Sets the newest checkpoint aside after the table could not be read with it, where the commits
/// say the same. `false`: they do not, or there is none.
pub(super) fn set_aside_newest(
    disk: Disk,
    table: &Path,
    app_id: &str,
    error: &Error,
) -> Result<bool> {
    let Some(&newest) = LogFiles::list(table)?.checkpoints.last() else { return Ok(false) };
    if Tail::read_from_before(table, app_id, newest).is_err() {
        return Ok(false);
    }
    set_aside(disk, &checkpoint_path(table, newest), error.message())?;
    let hint = table.join(HINT);
    if hint.exists() {
        set_aside(disk, &hint, "names it")?;
    }
    Ok(true)
}

fn set_aside(disk: Disk, path: &Path, why: &str) -> Result<()> {
    let aside = disk.set_aside(path)?;
    tracing::warn!(
        "{} {why}; it is now {}, and the table is read from its commits",
        path.display(),
        aside.display()
    );
    Ok(())
}
