//! A folder of files as a stream: takes a folder, gives each file's rows once, oldest file first.
//!
//! **The listing is the truth, and identity is the path.** A file is new if its path was never in a
//! decided batch; its time only orders it. So a file that arrives late with an old time is found,
//! and one that is written again is not read again. What is listed and not yet decided waits in a
//! queue; the folder is listed again when the queue is empty (or there is no limit), and only names
//! that are new are looked at, so that a batch costs the same however many files lie there.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use hashbrown::HashSet;
use serde_json::json;

use super::json::{self, Inferred, JsonDecoder, JsonOptions};
use super::listing::{self, Filter, Found, below_project, cannot_list, check_folder};
use super::options::{Options, Rule};
use super::taken::{Taken, millis, read_exactly, taken_files};
use super::{Admit, Source, SourceRead, Take};
use crate::error::{Error, Result};

/// Spark's options of a folder that is read as a stream and what becomes of them here.
pub(super) const OPTIONS: &[(&str, Rule)] = &[
    ("path", Rule::Honoured),
    ("maxFilesPerTrigger", Rule::Honoured),
    ("maxBytesPerTrigger", Rule::Honoured),
    ("latestFirst", Rule::Honoured),
    ("pathGlobFilter", Rule::Honoured),
    ("recursiveFileLookup", Rule::Honoured),
    ("cleanSource", Rule::Only("off")),
    ("discardCachedInputRatio", Rule::Only("0.2")),
    ("fileNameOnly", Rule::Only("false")),
    ("ignoreCorruptFiles", Rule::Only("false")),
    ("ignoreMissingFiles", Rule::Only("false")),
    ("maxCachedFiles", Rule::Only("10000")),
    ("maxFileAge", Rule::Only("7d")),
];

/// Threads that decode the files of one batch.
const THREADS: usize = 2;

/// A folder of JSON-lines files, read as a stream.
pub struct FileSource {
    project: PathBuf,
    /// The folder, relative to the project if it lies below it.
    folder: PathBuf,
    shown: String,
    filter: Filter,
    limit: Limit,
    latest_first: bool,
    schema: SchemaRef,
    json: JsonOptions,
    decoders: Vec<JsonDecoder>,
    /// Files, by their names below the folder, that belong to a batch.
    seen: HashSet<OsString>,
    /// Files that were listed and, when they were, belonged to no batch; in the order of reading.
    queue: VecDeque<Found>,
    frozen: bool,
}

/// How much one batch takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    None,
    Files(u64),
    /// Files until the next one would go over it, at least one.
    Bytes(u64),
}

impl FileSource {
    /// A folder as a stream. `path` is as the user wrote it, relative to `project`; `schema` is
    /// what the table declares, or what [`infer_schema`] found. The folder must exist.
    pub fn open(
        project: &Path,
        path: &str,
        schema: SchemaRef,
        options: &[(String, String)],
    ) -> Result<Self> {
        let options = Options::new(options, &[OPTIONS, json::OPTIONS])?;
        let limit =
            match (options.count("maxFilesPerTrigger")?, options.bytes("maxBytesPerTrigger")?) {
                (Some(_), Some(_)) => {
                    return Err(Error::sql(
                        "INVALID_OPTION",
                        "maxFilesPerTrigger and maxBytesPerTrigger cannot both be set",
                    )
                    .hint("leave one of them out"));
                }
                (Some(files), None) => Limit::Files(files),
                (None, Some(bytes)) => Limit::Bytes(bytes),
                (None, None) => Limit::None,
            };
        let filter = Filter::from_options(&options)?;
        let json = JsonOptions::from_options(&options)?;
        let folder = below_project(project, path);
        check_folder(&project.join(&folder), path)?;
        let mut source = Self {
            project: project.to_owned(),
            folder,
            shown: path.to_owned(),
            filter,
            limit,
            latest_first: options.flag("latestFirst", false)?,
            schema: json::nullable(&schema),
            json,
            decoders: Vec::new(),
            seen: HashSet::new(),
            queue: VecDeque::new(),
            frozen: false,
        };
        source.make_decoders(source.schema.clone())?;
        Ok(source)
    }

    fn make_decoders(&mut self, schema: SchemaRef) -> Result<()> {
        let decoder = |_| JsonDecoder::new(schema.clone(), self.json.clone());
        self.decoders = (0..THREADS).map(decoder).collect::<Result<_>>()?;
        Ok(())
    }

    /// Lists the folder and puts what is new into the queue.
    fn list(&mut self) -> Result<()> {
        let folder = self.project.join(&self.folder);
        let names = {
            let queued: HashSet<&OsStr> = self.queue.iter().map(|f| f.name.as_os_str()).collect();
            let known = |name: &Path| {
                queued.contains(name.as_os_str()) || self.seen.contains(name.as_os_str())
            };
            listing::names(&folder, &self.filter, &known)
                .map_err(|e| cannot_list(&folder, &self.shown, e))?
        };
        if names.is_empty() {
            return Ok(());
        }
        let new = names.into_iter().filter_map(|name| listing::look_at(&folder, name));
        let mut queue: Vec<_> = std::mem::take(&mut self.queue).into_iter().chain(new).collect();
        queue.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        if self.latest_first {
            queue.reverse();
        }
        self.queue = queue.into();
        Ok(())
    }

    /// Takes from the front of the queue, as it is on the disk now: what has gone is left out.
    fn take_from_queue(&mut self, limit: Limit) -> Vec<Taken> {
        let folder = self.project.join(&self.folder);
        let mut files = Vec::new();
        let mut bytes: u64 = 0;
        let mut waiting = VecDeque::new();
        while let Some(found) = self.queue.pop_front() {
            if self.seen.contains(found.name.as_os_str()) {
                continue;
            }
            let full = match limit {
                Limit::None => false,
                Limit::Files(most) => files.len() as u64 >= most,
                Limit::Bytes(most) => !files.is_empty() && bytes.saturating_add(found.size) > most,
            };
            if full {
                self.queue.push_front(found);
                break;
            }
            if let Some(now) = listing::look_at(&folder, found.name) {
                let path = self.folder.join(&now.name);
                bytes = bytes.saturating_add(now.size);
                files.push(Taken { path, size: now.size, mtime: millis(now.modified) });
                waiting.push_back(now);
            }
        }
        // Nothing is decided yet: they stay where they were.
        for found in waiting.into_iter().rev() {
            self.queue.push_front(found);
        }
        files
    }

    fn decode(&mut self, files: &[Taken]) -> Result<SourceRead> {
        let project = &self.project;
        let (first, second) = files.split_at(half(files));
        let [one, two, ..] = self.decoders.as_mut_slice() else {
            return Err(Error::internal("a file source has two decoders"));
        };
        if first.is_empty() || second.is_empty() {
            return read_files(project, files, one);
        }
        let (first, second) = std::thread::scope(|scope| {
            let second = scope.spawn(|| read_files(project, second, two));
            let first = read_files(project, first, one);
            let died = || Err(Error::internal("a thread that decodes files died"));
            (first, second.join().unwrap_or_else(|_| died()))
        });
        let (mut first, second) = (first?, second?);
        first.append(second);
        Ok(first)
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
        let projected = self.schema.project(columns)?;
        self.make_decoders(projected.into())
    }

    fn freeze(&mut self) -> Result<()> {
        self.list()?;
        self.frozen = true;
        Ok(())
    }

    fn next(&mut self, admit: Admit) -> Result<Option<Take>> {
        let limit = match admit {
            Admit::Limited => self.limit,
            Admit::Everything => Limit::None,
        };
        let must_list = limit == Limit::None || self.latest_first;
        if must_list && !self.frozen {
            self.list()?;
        }
        let mut files = self.take_from_queue(limit);
        if files.is_empty() && !must_list && !self.frozen {
            self.list()?;
            files = self.take_from_queue(limit);
        }
        if files.is_empty() {
            return Ok(None);
        }
        let files: Vec<Take> = files.iter().map(Taken::to_json).collect();
        Ok(Some(json!({ "files": files })))
    }

    fn decided(&mut self, take: &Take) -> Result<()> {
        for file in taken_files(take)? {
            // What lies elsewhere (the table's path was changed) is not listed here either.
            if let Ok(name) = file.path.strip_prefix(&self.folder) {
                self.seen.insert(name.into());
            }
        }
        Ok(())
    }

    fn read(&mut self, take: &Take) -> Result<SourceRead> {
        let files = taken_files(take)?;
        let read = self.decode(&files);
        if read.is_err() {
            self.decoders.iter_mut().for_each(JsonDecoder::clear);
        }
        read
    }

    fn needs_history(&self) -> bool {
        true
    }

    fn folder(&self) -> Option<PathBuf> {
        Some(self.project.join(&self.folder))
    }
}

/// The schema of a folder of JSON files, from the first lines of its oldest files.
pub fn infer_schema(project: &Path, path: &str, options: &[(String, String)]) -> Result<Inferred> {
    let options = Options::new(options, &[OPTIONS, json::OPTIONS])?;
    let folder = project.join(below_project(project, path));
    check_folder(&folder, path)?;
    let found = listing::files(&folder, &Filter::from_options(&options)?)
        .map_err(|e| cannot_list(&folder, path, e))?;
    if found.is_empty() {
        return Err(Error::input(
            "UNABLE_TO_INFER_SCHEMA",
            format!("there is no file in {path} from which to tell the columns"),
        )
        .hint("put a file there first, or write the columns: CREATE TABLE t (id STRING, …)"));
    }
    let files: Vec<_> = found.into_iter().map(|found| folder.join(found.name)).collect();
    json::infer(&files, &JsonOptions::from_options(&options)?)
}

/// Where to part the files so that both parts have about the same size.
fn half(files: &[Taken]) -> usize {
    let all: u64 = files.iter().map(|file| file.size + 1).sum();
    let mut before = 0;
    files
        .iter()
        .position(|file| {
            before += file.size + 1;
            before * 2 >= all
        })
        .map_or(0, |at| (at + 1).min(files.len() - 1))
}

/// The rows of these files, in order.
fn read_files(project: &Path, files: &[Taken], decoder: &mut JsonDecoder) -> Result<SourceRead> {
    let mut bytes = Vec::new();
    for file in files {
        read_exactly(project, file, &mut bytes)?;
        decoder.file(&json::shown(&file.path), &bytes)?;
    }
    decoder.finish()
}

#[cfg(test)]
mod tests;
