//! A table that a pipeline declares, and the place where its data lies.
//!
//! Takes what `CREATE TABLE` says, gives the columns, declared, inferred or pinned by an earlier run,
//! and the source or still table that reads them.

use std::path::Path;

use arrow::datatypes::SchemaRef;

use super::pipeline::Project;
use super::query::Origin;
use crate::calendar::Zone;
use crate::checkpoint::pinned_facts;
use crate::error::Result;
use crate::sources::Source;
use crate::sources::delta::DeltaSource;
use crate::sources::files::{FileSource, infer_schema};
use crate::sources::still::StillTable;
use crate::sql::{self, Options, Statement, TableDefinition, TableFormat, TableRead};

/// A table that the text declares with `CREATE TABLE`.
pub struct Table {
    /// What the text says.
    pub definition: TableDefinition,
    /// Its columns, declared or inferred.
    pub schema: SchemaRef,
    /// Whether the columns were inferred.
    pub inferred: bool,
}

/// A place where a table's data lies.
pub(super) struct Place<'a> {
    pub(super) project: &'a Path,
    pub(super) location: String,
    pub(super) format: TableFormat,
    pub(super) schema: SchemaRef,
    pub(super) options: Options,
}

impl Place<'_> {
    pub(super) fn origin(self, streaming: bool) -> Result<Origin> {
        let options = self.options.clone();
        self.open(streaming).map_err(|e| options.locate(e))
    }

    fn open(self, streaming: bool) -> Result<Origin> {
        if !streaming {
            return Ok(Origin::Still(StillTable::open(
                self.project,
                format_name(self.format),
                &self.location,
                Some(self.schema),
                &pairs(&self.options),
            )?));
        }
        let source: Box<dyn Source> = match self.format {
            TableFormat::Delta => Box::new(DeltaSource::open(
                self.project,
                &self.location,
                self.schema,
                &pairs(&self.options),
            )?),
            files => Box::new(FileSource::open(
                self.project,
                format_name(files),
                &self.location,
                self.schema,
                &pairs(&self.options),
            )?),
        };
        Ok(Origin::Stream(source))
    }
}

/// What sources call a format, since sources know nothing of SQL.
pub(super) fn format_name(format: TableFormat) -> &'static str {
    match format {
        TableFormat::Json => "json",
        TableFormat::Csv => "csv",
        TableFormat::Parquet => "parquet",
        TableFormat::Text => "text",
        TableFormat::Delta => "delta",
    }
}

impl Table {
    pub(super) fn of(
        project: &Project,
        definition: &TableDefinition,
        statements: &[Statement],
    ) -> Result<Table> {
        let definition = definition.clone();
        if let Some(schema) = definition.columns.clone() {
            return Ok(Table { definition, schema, inferred: false });
        }
        if let Some(columns) = pinned_columns(project, &definition.name, statements) {
            return Ok(Table { schema: sql::parse_columns(&columns)?, definition, inferred: true });
        }
        let pairs = pairs(&definition.options);
        let place = &definition.location;
        // Delta and Parquet say themselves what their columns are.
        let inferred = matches!(definition.format, TableFormat::Json | TableFormat::Csv);
        let schema = match definition.format {
            TableFormat::Delta => {
                StillTable::open(&project.folder, "delta", place, None, &pairs)?.schema()
            }
            files => infer_schema(&project.folder, format_name(files), place, &pairs)
                .map_err(|e| definition.options.locate(e))?,
        };
        Ok(Table { definition, schema, inferred })
    }

    /// Where the rows of one reading of the table come from.
    pub(super) fn origin(&self, project: &Project, read: &TableRead) -> Result<Origin> {
        let mut options = self.definition.options.clone();
        options.extend(&read.options);
        let place = Place {
            project: &project.folder,
            location: self.definition.location.clone(),
            format: self.definition.format,
            schema: self.schema.clone(),
            options,
        };
        place.origin(read.streaming)
    }

    /// The table as a still one, with all that is there now.
    pub fn still(&self, project: &Project) -> Result<StillTable> {
        StillTable::open(
            &project.folder,
            format_name(self.definition.format),
            &self.definition.location,
            Some(self.schema.clone()),
            &pairs(&self.definition.options),
        )
    }
}

/// The fact of a checkpoint that holds the columns of a table.
pub(super) fn columns_fact(table: &str) -> String {
    format!("inferred columns of {}", table.to_lowercase())
}

/// The columns that a table had when one of the pipeline's queries first ran.
fn pinned_columns(project: &Project, table: &str, statements: &[Statement]) -> Option<String> {
    let fact = columns_fact(table);
    statements.iter().find_map(|statement| match statement {
        Statement::StreamingTable(query) => {
            pinned_facts(&project.checkpoint(&query.name))?.0.remove(&fact)
        }
        _ => None,
    })
}

/// Texts of a table that name no zone are in the session's, unless its options say another.
pub(super) fn in_zone(definition: &mut TableDefinition, zone: &Zone) {
    let texts = matches!(definition.format, TableFormat::Json | TableFormat::Csv);
    if texts && definition.options.get(TIME_ZONE_OPTION).is_none() {
        definition.options.set(TIME_ZONE_OPTION, zone.name());
    }
}

const TIME_ZONE_OPTION: &str = "timeZone";

/// Options as the sources take them.
pub(super) fn pairs(options: &Options) -> Vec<(String, String)> {
    options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}
