//! What the engine knows of its queries, as tables: `system.progress`, `system.windows` … and `state(…)`.
//!
//! Takes a project and the pipeline that its queries stand in; gives tables that are made when they are named,
//! of what is there at that moment. It looks as [`super::look`] does, and changes nothing.
//!
//! * [`rows`]: the rows of each table.
//! * [`state`]: what an operator keeps, after any batch that can still be read.

pub mod rows;
pub mod state;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::error::Result as PlanResult;
use serde_json::Value;

use super::pipeline::{Pipeline, Project};
use crate::error::{Error, Result};

/// The kinds of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// STRING
    Text,
    /// BIGINT
    Number,
    /// BOOLEAN
    Flag,
    /// TIMESTAMP
    Time,
}

/// A table of the schema `system`: its name, its columns and their kinds.
pub struct SystemTable {
    /// Its name behind `system.`
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [(&'static str, Kind)],
}

impl SystemTable {
    /// Its columns for Arrow; all can be NULL but the first, the query.
    pub fn schema(&self) -> SchemaRef {
        let field = |(name, kind): &(&str, Kind)| {
            let data_type = match kind {
                Kind::Text => DataType::Utf8,
                Kind::Number => DataType::Int64,
                Kind::Flag => DataType::Boolean,
                Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            };
            Field::new(*name, data_type, true)
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// Rows, each an object of columns, as Arrow.
    fn batch(&self, rows: &[Value]) -> Result<RecordBatch> {
        let schema = self.schema();
        let mut decoder = arrow::json::ReaderBuilder::new(schema.clone())
            .with_batch_size(rows.len().max(1))
            .build_decoder()?;
        decoder.serialize(rows)?;
        Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(schema)))
    }
}

/// The project whose queries are looked at.
#[derive(Clone)]
pub struct Observed {
    /// The project.
    pub project: Project,
    /// The pipeline, if one was named.
    pub pipeline: Arc<Option<Pipeline>>,
}

impl std::fmt::Debug for Observed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Observed({})", self.project.folder.display())
    }
}

impl Observed {
    /// The pipeline, which says what the operators of its queries are.
    pub fn pipeline(&self, what: &str) -> Result<&Pipeline> {
        self.pipeline.as_ref().as_ref().ok_or_else(|| {
            Error::usage(
                "PIPELINE_NEEDED",
                format!("{what} needs the pipeline file, which says what its queries are made of"),
            )
            .hint("name it: strandline sql --pipeline pipeline.sql -c \"…\"")
        })
    }
}

/// The schema `system`.
#[derive(Debug)]
pub struct SystemSchema(pub Observed);

#[async_trait::async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        rows::TABLES.iter().map(|table| table.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        let Some(table) = rows::TABLES.iter().find(|table| table.name.eq_ignore_ascii_case(name))
        else {
            return Ok(None);
        };
        let rows = table.batch(&rows::of(&self.0, table.name)?)?;
        Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        rows::TABLES.iter().any(|table| table.name.eq_ignore_ascii_case(name))
    }
}
