//! A case file, as `README.md` describes it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A query over files, and what Spark did with it.
#[derive(Deserialize)]
pub struct Case {
    pub tables: BTreeMap<String, Stream>,
    #[serde(default, rename = "static")]
    pub stills: BTreeMap<String, Still>,
    pub query: Option<String>,
    /// Instead of `query`: what only the DataFrame API of Spark can say.
    pub dataframe: Option<DataFrame>,
    pub mode: String,
    #[serde(default)]
    pub conf: BTreeMap<String, String>,
    /// Up to which file each run sees; `None`: one run that sees all.
    pub runs: Option<Vec<usize>>,
    #[serde(default)]
    pub ordered: bool,
    pub expect: Expect,
}

/// A query over the rows of `source_sql` without duplicates, called `deduped`.
#[derive(Deserialize)]
pub struct DataFrame {
    pub source_sql: String,
    pub op: String,
    /// The key; `None`: all columns.
    pub columns: Option<Vec<String>>,
    pub then_sql: Option<String>,
}

impl Case {
    /// The statements before the query, and the query.
    pub fn sql(&self) -> Result<(String, String), String> {
        let frame = match (&self.query, &self.dataframe) {
            (Some(query), _) => return Ok((String::new(), query.clone())),
            (None, Some(frame)) => frame,
            (None, None) => return Err("neither `query` nor `dataframe`".into()),
        };
        let quoted = |column: &String| format!("`{column}`");
        let keys = match &frame.columns {
            Some(columns) => columns.iter().map(quoted).collect::<Vec<_>>().join(", "),
            None => "*".into(),
        };
        let within = match frame.op.as_str() {
            "dropDuplicates" => "",
            "dropDuplicatesWithinWatermark" => " WITHIN WATERMARK",
            other => return Err(format!("the operation {other} is not known")),
        };
        let deduped = format!("SELECT DISTINCT ON ({keys}){within} * FROM ({})", frame.source_sql);
        Ok(match &frame.then_sql {
            Some(then) => (format!("CREATE VIEW deduped AS\n{deduped};\n"), then.clone()),
            None => (String::new(), deduped),
        })
    }
}

/// A streaming table.
#[derive(Deserialize)]
pub struct Stream {
    pub ddl: String,
    #[serde(default)]
    pub options: BTreeMap<String, Value>,
    pub max_files_per_trigger: Option<u64>,
    /// Files of lines; a line is a row, or text that is taken as it stands.
    pub files: Vec<Vec<Value>>,
}

/// A table that is not streamed.
#[derive(Deserialize)]
pub struct Still {
    pub ddl: String,
    #[serde(default)]
    pub options: BTreeMap<String, Value>,
    pub rows: Vec<Value>,
}

/// What Spark did.
#[derive(Deserialize)]
pub struct Expect {
    /// The condition under which the query fails.
    pub error: Option<String>,
    /// Where it fails: `analysis`, `start` or `run`.
    pub stage: Option<String>,
    #[serde(default)]
    pub batches: Vec<Batch>,
}

/// What Spark did in one batch.
#[derive(Deserialize)]
pub struct Batch {
    pub id: u64,
    pub watermark: Option<String>,
    #[serde(default)]
    pub no_data: bool,
    pub rows: Vec<Value>,
    #[serde(default)]
    pub dropped_by_watermark: u64,
    #[serde(default)]
    pub state_ops: Vec<StateOperator>,
}

/// Spark's bookkeeping of one operator with memory.
#[derive(Deserialize)]
pub struct StateOperator {
    pub name: String,
    pub total: u64,
}
