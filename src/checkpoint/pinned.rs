//! The facts about a query that its checkpoint pins: what state and offsets were made for.
//!
//! Which facts there are is the engine's choice (sources, schemas, grouping keys, aggregates, the
//! kind of output mode); here they are names with a text each, and equal or not.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Named facts that must be the same whenever the query starts again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pinned(pub BTreeMap<String, String>);

impl Pinned {
    /// Adds a fact: `("grouping keys", "window, event_type")`.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// `CHECKPOINT_QUERY_CHANGED` unless `now` says the same as these facts, which `checkpoint`
    /// holds; it lists each fact that differs.
    pub(super) fn require_same(&self, now: &Pinned, checkpoint: &Path) -> Result<()> {
        let mut changes = Vec::new();
        for (name, was) in &self.0 {
            match now.0.get(name) {
                Some(is) if is == was => {}
                Some(is) => changes.push(format!("{name} was {was}, is now {is}")),
                None => changes.push(format!("{name} was {was}, is now absent")),
            }
        }
        for (name, is) in now.0.iter().filter(|(name, _)| !self.0.contains_key(*name)) {
            changes.push(format!("{name} was absent, is now {is}"));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let (folder, changes) = (checkpoint.display(), changes.join("; "));
        Err(Error::changed(
            "CHECKPOINT_QUERY_CHANGED",
            format!("the query is not the one that {folder} was made for: {changes}"),
        )
        .hint(format!(
            "change it back and the run continues; or give the changed query another name; or start \
             over: remove {folder} and the query's output table"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_changed_fact_is_named_with_what_it_was_and_is() {
        let was = Pinned::default().with("keys", "a").with("mode", "append").with("old", "1");
        let now = Pinned::default().with("keys", "a, b").with("mode", "append").with("new", "2");
        let error = was.require_same(&now, Path::new("checkpoints/q")).unwrap_err();
        assert_eq!(error.condition(), "CHECKPOINT_QUERY_CHANGED");
        for part in
            ["keys was a, is now a, b", "old was 1, is now absent", "new was absent, is now 2"]
        {
            assert!(error.message().contains(part), "{error}");
        }
        assert!(!error.message().contains("mode"));
    }
}
