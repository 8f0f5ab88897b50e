//! By what a query's tables are known again: `tables` in `metadata.json`.
//!
//! A table has a random identity from its creation on. It is written down before the first batch is
//! decided, and a start that finds another table in its place, or none, is refused. What a person has said
//! about a table that tells another story than the checkpoint is written down here too, so that it is said
//! once.

use serde::{Deserialize, Serialize};

use crate::batch::BatchId;

/// Which of a query's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// That of its result.
    Output,
    /// That of the rows that it has rejected.
    Rejected,
}

/// What is known of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownTable {
    /// Its identity; `None`: whichever is there is to be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What a person has said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
}

/// That the table is right as it was found, though the checkpoint tells another story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The newest version of the table when that was said.
    pub version: u64,
    /// Up to this batch nothing is written into it again; `None`: this is about no batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
}
