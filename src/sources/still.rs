//! A table that stands still: the other side of a join with a stream, and ad-hoc questions. Takes
//! a format and a path, gives all rows.
//!
//! Spark's rule says what "still" means. A folder of files is listed once, when the query starts:
//! files that come later are not seen. A Delta table is looked up anew for each batch:
//! [`StillTable::changed`] says, with one question to the file system, whether it has a newer
//! version than the one that was read last. Options of the same table as a stream (a pipeline may
//! read it in both ways) are accepted and without effect.

use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;

use super::delta_log::{DeltaLog, Snapshot};
use super::format::{Format, Reader};
use super::json;
use super::listing::below_project;
use super::{SourceRead, delta, files};
use crate::error::{Error, Result};

/// A table whose rows are read all at once.
pub struct StillTable {
    project: PathBuf,
    schema: SchemaRef,
    place: Place,
}

/// Where the rows are.
enum Place {
    /// Files relative to the project.
    Files(Box<Format>, Vec<PathBuf>),
    Delta(DeltaLog, Snapshot),
}

impl StillTable {
    /// A table. `format` is `json`, `csv`, `parquet`, `text` or `delta`; `path`, a folder, a file or
    /// a pattern, is as the user wrote it, relative to `project`. Without a `schema` it is found
    /// out: from the first lines of JSON, the header of CSV (all columns STRING), or the table
    /// itself.
    pub fn open(
        project: &Path,
        format: &str,
        path: &str,
        schema: Option<SchemaRef>,
        options: &[(String, String)],
    ) -> Result<Self> {
        let (place, schema) = if format.eq_ignore_ascii_case("delta") {
            super::options::Options::new(options, &[delta::OPTIONS])?;
            open_delta(project, path, schema)?
        } else {
            open_files(project, format, path, options, schema)?
        };
        Ok(Self { project: project.to_owned(), schema: json::nullable(&schema), place })
    }

    /// The columns; all nullable.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Whether [`StillTable::read`] would give other rows than the last time. Only a Delta table
    /// can change.
    pub fn changed(&self) -> bool {
        match &self.place {
            Place::Files(..) => false,
            Place::Delta(log, snapshot) => log.has(snapshot.version + 1),
        }
    }

    /// All rows, of a Delta table those of its newest version; and the lines that are no rows.
    pub fn read(&mut self) -> Result<SourceRead> {
        if self.changed()
            && let Place::Delta(log, snapshot) = &mut self.place
        {
            *snapshot = log.snapshot(None)?;
        }
        let schema = &self.schema;
        let mut read = SourceRead::default();
        match &self.place {
            Place::Delta(log, snapshot) => {
                for file in &snapshot.files {
                    read.batches.extend(log.read(file, schema)?);
                }
            }
            Place::Files(format, files) => {
                let mut reader = format.reader(schema, schema.clone())?;
                for file in files {
                    self.read_file(&mut reader, file)?;
                }
                read = reader.finish()?;
            }
        }
        Ok(read)
    }

    fn read_file(&self, reader: &mut Reader, file: &Path) -> Result<()> {
        let path = self.project.join(file);
        let mut bytes = match reader.takes_bytes() {
            true => std::fs::read(&path).map_err(|e| cannot_read(file, e))?,
            false => Vec::new(),
        };
        reader.file(&path, &json::shown(file), &mut bytes)
    }
}

/// The files of a table as they are now, and its columns.
fn open_files(
    project: &Path,
    format: &str,
    path: &str,
    options: &[(String, String)],
    schema: Option<SchemaRef>,
) -> Result<(Place, SchemaRef)> {
    let (format, options) = Format::from_options(format, options, &files::options())?;
    let files = files::files_of(project, path, &options)?;
    let schema = match schema {
        Some(schema) => schema,
        None => {
            let files: Vec<_> = files.iter().map(|file| project.join(file)).collect();
            format.infer(&files, path)?
        }
    };
    format.check(&schema)?;
    Ok((Place::Files(Box::new(format), files), schema))
}

fn open_delta(project: &Path, path: &str, schema: Option<SchemaRef>) -> Result<(Place, SchemaRef)> {
    let log = DeltaLog::new(project.join(below_project(project, path)), path);
    if !log.exists() {
        return Err(Error::input(
            "DELTA_TABLE_NOT_FOUND",
            format!("there is no Delta table in {path}"),
        )
        .hint("run the query that writes it first, or correct the path"));
    }
    let snapshot = log.snapshot(None)?;
    let schema = schema.unwrap_or_else(|| snapshot.schema.clone());
    Ok((Place::Delta(log, snapshot), schema))
}

fn cannot_read(file: &Path, error: std::io::Error) -> Error {
    Error::files("SOURCE_FILE_UNREADABLE", format!("cannot read {}: {error}", file.display()))
        .hint("when the cause is gone, start again")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use std::fs;

    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};

    use super::*;

    fn columns(table: &StillTable) -> Vec<(String, DataType)> {
        let fields = table.schema().fields().clone();
        fields.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    }

    #[test]
    fn json_keeps_the_files_that_it_had_when_it_was_opened() {
        let project = tempfile::tempdir().unwrap();
        let folder = project.path().join("users");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.json"), "{\"id\":1,\"name\":\"a\"}\n").unwrap();
        let mut table = StillTable::open(project.path(), "json", "users", None, &[]).unwrap();
        let expected = [("id", DataType::Int64), ("name", DataType::Utf8)];
        assert_eq!(columns(&table), expected.map(|(name, t)| (name.to_owned(), t)));
        fs::write(folder.join("b.json"), "{\"id\":2}\n").unwrap();
        assert!(!table.changed());
        assert_eq!(table.read().unwrap().rows(), 1);
    }

    #[test]
    fn csv_has_text_columns_or_those_declared() {
        let project = tempfile::tempdir().unwrap();
        let text = "id,name,at\n1,\"a,b\",2026-01-02 03:04:05\nx,,\n3\n";
        fs::write(project.path().join("users.csv"), text).unwrap();
        let header = [("header".to_owned(), "true".to_owned())];
        let open = |schema| StillTable::open(project.path(), "csv", "users.csv", schema, &header);
        let table = open(None).unwrap();
        let names: Vec<_> = columns(&table).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["id", "name", "at"]);
        let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let fields = [("id", DataType::Int32), ("name", DataType::Utf8), ("at", at)];
        let fields: Vec<_> = fields.map(|(name, t)| Field::new(name, t, false)).to_vec();
        let mut table = open(Some(Arc::new(Schema::new(fields)))).unwrap();
        let read = table.read().unwrap();
        let ids: Vec<_> = read.batches[0].column(0).as_primitive::<Int32Type>().iter().collect();
        assert_eq!(ids, [Some(1), None, Some(3)]);
        assert_eq!(read.batches[0].column(1).as_string::<i32>().value(0), "a,b");
        assert_eq!(read.batches[0].column(1).null_count(), 2);
        assert_eq!(read.batches[0].column(2).null_count(), 2);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let project = tempfile::tempdir().unwrap();
        for (format, condition) in [
            ("json", "PATH_NOT_FOUND"),
            ("delta", "DELTA_TABLE_NOT_FOUND"),
            ("orc", "DATA_SOURCE_NOT_FOUND"),
        ] {
            let error = StillTable::open(project.path(), format, "users", None, &[]).err().unwrap();
            assert_eq!(error.condition(), condition);
        }
        fs::create_dir(project.path().join("users")).unwrap();
        let error = StillTable::open(project.path(), "json", "users", None, &[]).err().unwrap();
        assert_eq!(error.condition(), "UNABLE_TO_INFER_SCHEMA");
    }
}
