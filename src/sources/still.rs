//! A table that stands still: the other side of a join with a stream, and ad-hoc questions. Takes
//! a format and a path, gives all rows.
//!
//! Spark's rule says what "still" means. A folder of files is listed once, when the query starts:
//! files that come later are not seen. A Delta table is looked up anew for each batch:
//! [`StillTable::changed`] says, with one question to the file system, whether it has a newer
//! version than the one that was read last. Options of the same table as a stream (a pipeline may
//! read it in both ways) are accepted and without effect.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::csv::{self, CsvOptions};
use super::delta_log::{DeltaLog, Snapshot};
use super::json::{self, JsonDecoder, JsonOptions};
use super::listing::{self, Filter, below_project, cannot_list};
use super::options::{Options, Rule};
use super::{SourceRead, delta, files, parquet};
use crate::error::{Error, Result};

/// Options of a Parquet table.
const PARQUET_OPTIONS: &[(&str, Rule)] = &[("mergeSchema", Rule::Only("false"))];

/// A table whose rows are read all at once.
pub struct StillTable {
    project: PathBuf,
    schema: SchemaRef,
    place: Place,
}

/// Where the rows are.
enum Place {
    /// Files relative to the project.
    Files(Format, Vec<PathBuf>),
    Delta(DeltaLog, Snapshot),
}

enum Format {
    Json(JsonOptions),
    Csv(CsvOptions),
    Parquet,
}

impl StillTable {
    /// A table. `format` is `json`, `csv`, `parquet` or `delta`; `path`, a folder or a file, is as
    /// the user wrote it, relative to `project`. Without a `schema` it is found out: from the first
    /// lines of JSON, the header of CSV (all columns STRING), or the table itself.
    pub fn open(
        project: &Path,
        format: &str,
        path: &str,
        schema: Option<SchemaRef>,
        options: &[(String, String)],
    ) -> Result<Self> {
        let (place, schema) = match format.to_ascii_lowercase().as_str() {
            "json" => {
                let options = Options::new(options, &[files::OPTIONS, json::OPTIONS])?;
                let format = Format::Json(JsonOptions::from_options(&options)?);
                open_files(project, path, format, &options, schema)?
            }
            "csv" => {
                let options = Options::new(options, &[files::OPTIONS, csv::OPTIONS])?;
                let format = Format::Csv(CsvOptions::from_options(&options)?);
                open_files(project, path, format, &options, schema)?
            }
            "parquet" => {
                let options = Options::new(options, &[files::OPTIONS, PARQUET_OPTIONS])?;
                open_files(project, path, Format::Parquet, &options, schema)?
            }
            "delta" => {
                Options::new(options, &[delta::OPTIONS])?;
                open_delta(project, path, schema)?
            }
            other => {
                return Err(Error::sql(
                    "DATA_SOURCE_NOT_FOUND",
                    format!("'{other}' is not a format of tables"),
                )
                .hint("write USING json, csv, parquet or delta"));
            }
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
            Place::Files(Format::Json(options), files) => {
                let mut decoder = JsonDecoder::new(schema.clone(), options.clone())?;
                for file in files {
                    let path = self.project.join(file);
                    let bytes = fs::read(&path).map_err(|e| cannot_read(file, e))?;
                    decoder.file(&json::shown(file), &bytes)?;
                }
                read = decoder.finish()?;
            }
            Place::Files(format, files) => {
                for file in files {
                    read.batches.extend(self.read_file(format, file)?);
                }
            }
        }
        Ok(read)
    }

    fn read_file(&self, format: &Format, file: &Path) -> Result<Vec<RecordBatch>> {
        let path = self.project.join(file);
        let shown = file.display().to_string();
        match format {
            Format::Csv(options) => {
                let file = File::open(&path).map_err(|e| cannot_read(file, e))?;
                csv::read(file, &shown, &self.schema, options)
            }
            _ => parquet::read(&path, &shown, &self.schema, &[]),
        }
    }
}

/// The files of a table as they are now, and its columns.
fn open_files(
    project: &Path,
    path: &str,
    format: Format,
    options: &Options,
    schema: Option<SchemaRef>,
) -> Result<(Place, SchemaRef)> {
    let place = below_project(project, path);
    let root = project.join(&place);
    let about = fs::metadata(&root).map_err(|e| cannot_list(&root, path, e))?;
    let files: Vec<_> = if about.is_dir() {
        let found = listing::files(&root, &Filter::from_options(options)?);
        let found = found.map_err(|e| cannot_list(&root, path, e))?;
        found.into_iter().map(|found| place.join(found.name)).collect()
    } else {
        vec![place]
    };
    let schema = match (schema, files.first()) {
        (Some(schema), _) => schema,
        (None, None) => {
            return Err(Error::input(
                "UNABLE_TO_INFER_SCHEMA",
                format!("there is no file in {path} from which to tell the columns"),
            )
            .hint("put a file there first, or write the columns: CREATE TABLE t (id STRING, …)"));
        }
        (None, Some(first)) => match &format {
            Format::Json(options) => {
                let files: Vec<_> = files.iter().map(|file| project.join(file)).collect();
                json::infer(&files, options)?.schema
            }
            Format::Csv(options) => {
                let file = File::open(project.join(first)).map_err(|e| cannot_read(first, e))?;
                csv::header(file, &first.display().to_string(), options)?
            }
            Format::Parquet => parquet::schema(&project.join(first), &first.display().to_string())?,
        },
    };
    Ok((Place::Files(format, files), schema))
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
    Error::input("SOURCE_FILE_UNREADABLE", format!("cannot read {}: {error}", file.display()))
        .hint("when the cause is gone, start again")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
