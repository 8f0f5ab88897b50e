//! A folder of files as a stream: takes a folder, gives each file's rows once, oldest file first.
//!
//! What a batch takes is decided by the `backlog`; `reading` gives each file to a reader of its
//! format, which makes rows of it; columns that are the same in a whole file, of its path or about it, are put on by
//! [`constants`]; what becomes of a file that has been read says `clean`.

mod backlog;
mod clean;
pub mod constants;
pub mod left_out;
mod reading;
mod rules;
mod seen;
mod settle;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use serde_json::json;

use self::backlog::Backlog;
use self::clean::Cleaner;
use self::constants::Constants;
use self::reading::{Leaves, Reading};
use self::rules::{Limit, Rules};
use super::format::{Format, Reader};
use super::json::{self, nullable};
use super::listing::{self, Filter, below_project, cannot_list, check_folder, parted};
use super::options::{Options, Rule};
use super::taken::{Taken, read_exactly, taken_files};
use super::{Admit, Place, Source, SourceRead, Take, Watched, whole};
use crate::error::{Error, Result};
use crate::share::{share, share_with};
use crate::time::SharedClock;

/// Spark's options of a folder that is read as a stream and what becomes of them here.
pub(super) fn options() -> Vec<(&'static str, Rule)> {
    const OWN: &[(&str, Rule)] = &[
        ("path", Rule::Honoured),
        ("ignoreCorruptFiles", Rule::Honoured),
        ("ignoreMissingFiles", Rule::Honoured),
        ("modifiedAfter", Rule::Refused("a stream takes each file once; use maxFileAge")),
        ("modifiedBefore", Rule::Refused("a stream takes each file once; use maxFileAge")),
    ];
    [OWN, rules::OPTIONS, clean::OPTIONS].concat()
}

/// Into how many parts the files of a large batch are cut at most: so many that neither of the two
/// threads that decode them waits long for the other.
const PARTS: u64 = 16;

/// Of so many bytes a part is worth its own [`SourceRead`].
const PART: u64 = 4 << 20;

/// A folder of files, read as a stream.
pub struct FileSource {
    project: PathBuf,
    /// The folder, relative to the project if it lies below it.
    folder: PathBuf,
    shown: String,
    /// All columns of the table, and behind them the hidden one that tells about the file.
    schema: SchemaRef,
    format: Format,
    /// One for each thread that decodes.
    readers: [Reader; 2],
    constants: Constants,
    backlog: Backlog,
    cleaner: Option<Cleaner>,
    leaves: Leaves,
    /// The table as it was declared, and the columns that are read of it.
    declared: String,
    columns: Option<Vec<usize>>,
}

impl FileSource {
    /// A folder as a stream. `path` is as the user wrote it, relative to `project`, and may hold
    /// name patterns; `format` is `json`, `csv`, `parquet` or `text`; `schema` is what the table
    /// declares, or what [`infer_schema`] found. The folder must exist.
    pub fn open(
        project: &Path,
        format: &str,
        path: &str,
        schema: SchemaRef,
        options: &[(String, String)],
    ) -> Result<Self> {
        let declared = format!("{format} {path:?} {options:?} {schema:?}");
        let (format, options) = Format::from_options(format, options, &self::options())?;
        format.check(&schema)?;
        let mut rules = Rules::from_options(&options, format.complete_end())?;
        let (folder, levels) = parted(&below_project(project, path), path)?;
        rules.filter.levels = levels;
        let partitions = !rules.filter.recursive;
        check_folder(&project.join(&folder), path)?;
        let cleaner = Cleaner::from_options(&options, project, &folder)?;
        let schema = constants::with_hidden(&nullable(&schema));
        let of_table = Constants::new(constants::without_hidden(&schema), partitions);
        Ok(Self {
            project: project.to_owned(),
            backlog: Backlog::new(project.join(&folder), path.to_owned(), rules),
            folder,
            shown: path.to_owned(),
            readers: readers(&format, &schema, &of_table)?,
            constants: of_table,
            schema,
            format,
            cleaner,
            leaves: Leaves {
                missing: options.flag("ignoreMissingFiles", false)?,
                corrupt: options.flag("ignoreCorruptFiles", false)?,
            },
            declared,
            columns: None,
        })
    }

    fn decode(&mut self, files: &[Taken]) -> Result<SourceRead> {
        let reading = Reading {
            project: &self.project,
            folder: &self.folder,
            constants: &self.constants,
            leaves: self.leaves,
        };
        let reads = share_with(&mut self.readers, parts(files), |reader, files| {
            reading.files(files, reader)
        });
        let mut all = SourceRead::default();
        for read in reads {
            all.append(read?);
        }
        Ok(all)
    }
}

impl Source for FileSource {
    fn description(&self) -> String {
        format!("FileStreamSource[{}]", self.shown)
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn project(&mut self, columns: &[usize]) -> Result<()> {
        let projected: SchemaRef = self.schema.project(columns)?.into();
        self.format.check_read(&projected)?;
        self.constants = Constants::new(projected, self.constants.partitions());
        self.readers = readers(&self.format, &self.schema, &self.constants)?;
        self.columns = Some(columns.to_vec());
        Ok(())
    }

    fn freeze(&mut self) -> Result<()> {
        self.backlog.freeze()
    }

    fn next(&mut self, admit: Admit) -> Result<Option<Take>> {
        let limit = match admit {
            Admit::Limited => self.backlog.limit(),
            Admit::Everything => Limit::None,
        };
        let files = self.backlog.next(limit)?;
        if files.is_empty() {
            return Ok(None);
        }
        let below = |file: Taken| Taken { path: self.folder.join(&file.path), ..file }.to_json();
        let files: Vec<Take> = files.into_iter().map(below).collect();
        Ok(Some(json!({ "files": files })))
    }

    fn decided(&mut self, take: &Take) -> Result<()> {
        for file in taken_files(take)? {
            // What lies elsewhere (the table's path was changed) is not listed here either.
            if let Ok(name) = file.path.strip_prefix(&self.folder) {
                self.backlog.decided(Taken { path: name.to_owned(), ..file });
            }
        }
        Ok(())
    }

    fn read(&mut self, take: &Take) -> Result<SourceRead> {
        let files = taken_files(take)?;
        let read = self.decode(&files);
        if read.is_err() {
            self.readers.iter_mut().for_each(Reader::clear);
        }
        read
    }

    fn reads_as(&self) -> Option<String> {
        Some(format!("{} {:?}", self.declared, self.columns))
    }

    fn whole_rows(&mut self, take: &Take, places: &[Place]) -> Result<Vec<Option<String>>> {
        let full = constants::without_hidden(&self.schema);
        let mut rows: Vec<Option<String>> = vec![None; places.len()];
        let mut of_files: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, place) in places.iter().enumerate() {
            of_files.entry(&place.file).or_default().push(at);
        }
        let files = taken_files(take)?.into_iter();
        let wanted = files.filter_map(|file| {
            let wanted = of_files.remove(&*json::shown(&file.path))?;
            Some((file, wanted))
        });
        let wanted: Vec<(Taken, Vec<usize>)> = wanted.collect();
        let (first, second) = wanted.split_at(wanted.len() / 2);
        let found = share(vec![first, second], |files| {
            let (mut bytes, mut found) = (Vec::new(), Vec::new());
            for (file, wanted) in files {
                read_exactly(&self.project, file, &mut bytes)?;
                let lines: Vec<u64> = wanted.iter().map(|&at| places[at].line).collect();
                let path = self.project.join(&file.path);
                let rows = whole::rows(&self.format, &full, &path, &mut bytes, &lines)?;
                found.extend(wanted.iter().copied().zip(rows));
            }
            Ok::<_, Error>(found)
        });
        for found in found {
            found?.into_iter().for_each(|(at, row)| rows[at] = row);
        }
        Ok(rows)
    }

    fn done(&mut self, take: &Take) -> Result<()> {
        if let Some(cleaner) = &self.cleaner {
            cleaner.clean(&taken_files(take)?);
        }
        Ok(())
    }

    fn keep_time(&mut self, clock: SharedClock) {
        self.backlog.keep_time(clock);
    }

    fn waits(&self) -> Option<Duration> {
        self.backlog.waits()
    }

    fn watched(&self) -> Option<Watched> {
        let (folder, writers) = (self.project.join(&self.folder), self.backlog.writers().clone());
        Some(Watched { folder, writers })
    }
}

/// The columns of a folder of files, from the first lines of its oldest files or what they say
/// themselves.
pub fn infer_schema(
    project: &Path,
    format: &str,
    path: &str,
    options: &[(String, String)],
) -> Result<SchemaRef> {
    let (format, options) = Format::from_options(format, options, &self::options())?;
    let found = files_of(project, path, &options)?;
    let files: Vec<_> = found.into_iter().map(|file| project.join(file)).collect();
    format.infer(&files, path)
}

/// The files of a table as they are now, oldest first, relative to the project. `path` may be a
/// file too.
pub(super) fn files_of(project: &Path, path: &str, options: &Options) -> Result<Vec<PathBuf>> {
    let place = below_project(project, path);
    let (folder, levels) = parted(&place, path)?;
    let root = project.join(&folder);
    let about = std::fs::metadata(&root).map_err(|e| cannot_list(&root, path, e))?;
    if !about.is_dir() {
        return Ok(vec![folder]);
    }
    let filter = Filter { levels, ..Filter::from_options(options)? };
    let found = listing::files(&root, &filter).map_err(|e| cannot_list(&root, path, e))?;
    Ok(found.into_iter().map(|found| folder.join(found.name)).collect())
}

/// The files of a batch in parts of about the same size, in their order: two, or more of a large
/// batch. They follow from the files alone, so that a batch that is run again is cut in the same places,
/// and sums of floating-point numbers are added in the same order.
fn parts(files: &[Taken]) -> Vec<&[Taken]> {
    let size = |file: &Taken| file.size + 1;
    let all: u64 = files.iter().map(size).sum();
    let count = (all / PART).clamp(2, PARTS);
    let mut before = 0;
    let mut part_of = |file: &Taken| {
        let middle = before + size(file) / 2;
        before += size(file);
        middle * count / all
    };
    let numbered: Vec<u64> = files.iter().map(&mut part_of).collect();
    let mut end = 0;
    let part = |part: &[u64]| {
        end += part.len();
        &files[end - part.len()..end]
    };
    numbered.chunk_by(|one, next| one == next).map(part).collect()
}

/// What decodes the files of a folder: `schema` is all its columns.
fn readers(format: &Format, schema: &SchemaRef, constants: &Constants) -> Result<[Reader; 2]> {
    let full = constants::without_hidden(schema);
    let reader = || format.reader(&full, constants.of_files.clone());
    Ok([reader()?, reader()?])
}

#[cfg(test)]
mod tests;
