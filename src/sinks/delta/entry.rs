//! What a commit says: the actions of one log entry, in the protocol's words.

use deltalake::kernel::{Action, Add, Remove, Transaction};
use serde_json::{Value, json};

use super::log::LiveFile;
use crate::batch::BatchId;
use crate::error::{Error, Result};
use crate::sinks::OutputMode;
use crate::time::{Clock, SystemClock};

/// What one batch does to the table.
pub(super) struct Change<'a> {
    pub query: &'a str,
    pub mode: OutputMode,
    pub batch: BatchId,
    pub added: &'a [Add],
    pub removed: &'a [LiveFile],
    /// How many rows the batch gave.
    pub rows: usize,
    /// What they were, for a run of the same batch after a crash; `None`: it may give others.
    pub digest: Option<&'a str>,
}

impl Change<'_> {
    /// The text of the commit, in the words of Spark's Delta sink.
    pub fn entry(&self) -> Result<Vec<u8>> {
        let mode = match self.mode {
            OutputMode::Append => "Append",
            OutputMode::Update => "Update",
            OutputMode::Complete => "Complete",
        };
        let version = i64::try_from(self.batch)
            .map_err(|_| Error::internal(format!("batch number {}", self.batch)))?;
        let mut info = commit_info("STREAMING UPDATE");
        info["operationParameters"] = json!({
            "outputMode": mode, "queryId": self.query, "epochId": self.batch.to_string(),
        });
        // Makes each try another text, so that a try can be told from what somebody else wrote.
        info["txnId"] = json!(uuid::Uuid::new_v4().to_string());
        if let Some(digest) = self.digest {
            info["outputDigest"] = json!(digest);
        }
        info["isBlindAppend"] = json!(self.mode == OutputMode::Append);
        info["operationMetrics"] = json!({
            "numAddedFiles": self.added.len().to_string(),
            "numRemovedFiles": self.removed.len().to_string(),
            "numOutputRows": self.rows.to_string(),
            "numOutputBytes": self.added.iter().map(|a| a.size).sum::<i64>().to_string(),
        });
        let mut actions = vec![json!({"commitInfo": info})];
        // Without `lastUpdated`: a transaction that says when it was made can expire, and with it
        // the knowledge that the batch is there.
        actions.push(json_of(&Action::Txn(Transaction::new(self.query, version)))?);
        let now = SystemClock.now();
        for file in self.removed {
            actions.push(json_of(&Action::Remove(Remove {
                path: file.path.clone(),
                data_change: true,
                deletion_timestamp: Some(now),
                extended_file_metadata: Some(true),
                partition_values: Some(Default::default()),
                size: Some(file.size),
                ..Remove::default()
            }))?);
        }
        for add in self.added {
            actions.push(json_of(&Action::Add(add.clone()))?);
        }
        Ok(joined(&actions))
    }
}

/// What every commit says about itself.
pub(super) fn commit_info(operation: &str) -> Value {
    json!({
        "timestamp": SystemClock.now(),
        "operation": operation,
        "engineInfo": format!("strandline/{}", env!("CARGO_PKG_VERSION")),
    })
}

/// An action in the protocol's form.
pub(super) fn json_of(action: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(action).map_err(|e| Error::internal(format!("a Delta action: {e}")))
}

/// Actions as the text of a commit, one a line.
pub(super) fn joined(actions: &[Value]) -> Vec<u8> {
    let mut text = String::new();
    for action in actions {
        text.push_str(&action.to_string());
        text.push('\n');
    }
    text.into_bytes()
}
