//! The files of a batch on their way to a reader: takes each as its decision says it is, gives what
//! the reader makes of it, with the columns that are the same in the whole file. A file is used
//! whole or not at all: one that is packed is unpacked to its end before a row of it is made.

use std::io::Read;
use std::path::Path;

use super::constants::Constants;
use crate::error::{Error, Result};
use crate::sources::bytes::{self, unpacked};
use crate::sources::format::Reader;
use crate::sources::json;
use crate::sources::pieces::{PIECE, Pieces};
use crate::sources::taken::{Opened, Taken, check_unchanged};
use crate::sources::{BadRecord, Flaw, SourceRead};

/// Which files are left out of a batch, though they belong to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaves {
    /// Those that are gone: `ignoreMissingFiles`.
    pub missing: bool,
    /// Those that are damaged: `ignoreCorruptFiles`. They stand among the rejected rows.
    pub corrupt: bool,
}

/// What is needed to read files, whichever they are.
pub(super) struct Reading<'a> {
    pub project: &'a Path,
    pub folder: &'a Path,
    pub constants: &'a Constants,
    pub leaves: Leaves,
}

impl Reading<'_> {
    /// The rows of these files, in order.
    pub fn files(&self, files: &[Taken], reader: &mut Reader) -> Result<SourceRead> {
        let mut read = SourceRead::default();
        let mut buffer = Vec::new();
        for file in files {
            let constants = self.constants.of(self.project, self.folder, file)?;
            if !constants.is_empty() {
                read.append(reader.finish()?);
            }
            let left_out = match self.file(file, &mut buffer, reader) {
                Err(e) if self.leaves.missing && e.condition() == "SOURCE_FILE_MISSING" => {
                    let file = json::shown(&file.path);
                    tracing::warn!("{file} is gone: its rows are left out (ignoreMissingFiles)");
                    None
                }
                done => done?,
            };
            if let Some(bad) = left_out {
                read.append(reader.finish()?);
                read.bad.push(bad);
            } else if !constants.is_empty() {
                let mut of_file = reader.finish()?;
                for batch in &mut of_file.batches {
                    *batch = self.constants.put_on(batch, &constants)?;
                }
                read.append(of_file);
            }
        }
        read.append(reader.finish()?);
        Ok(read)
    }

    /// Gives a file to the reader; or it is damaged, and what stands for it is given back.
    fn file(
        &self,
        file: &Taken,
        buffer: &mut Vec<u8>,
        reader: &mut Reader,
    ) -> Result<Option<BadRecord>> {
        let path = self.project.join(&file.path);
        let mut opened = Opened::new(self.project, file)?;
        let found = match reader.takes_bytes() {
            true => first_piece(&mut opened, &path, buffer),
            false => reader.file(&path, &json::shown(&file.path), buffer).map(|()| true),
        };
        // What is wrong with a file that was changed meanwhile is that it was changed.
        if found.is_err() || !reader.takes_bytes() {
            check_unchanged(self.project, file)?;
        }
        match found {
            Err(error) if self.leaves.corrupt && is_damage(&error) => {
                Ok(Some(damaged(file, &error)))
            }
            Err(error) => Err(error),
            Ok(_) if !reader.takes_bytes() => Ok(None),
            Ok(is_all) => give(&mut opened, &path, is_all, buffer, reader).map(|()| None),
        }
    }
}

/// Reads the first piece of a file; whether that is all of it. What is packed is whole then.
fn first_piece(opened: &mut Opened<'_>, path: &Path, buffer: &mut Vec<u8>) -> Result<bool> {
    buffer.clear();
    let size = opened.taken().size;
    let mut content = unpacked(path, opened.bytes()?)?;
    let read = Read::by_ref(&mut content).take(PIECE as u64).read_to_end(buffer);
    read.map_err(|e| bytes::damaged(path, e))?;
    if buffer.len() < PIECE {
        return Ok(true);
    }
    if bytes::is_packed(path) {
        bytes::check_rest(path, size, PIECE as u64, content)?;
    }
    Ok(false)
}

/// Gives the reader the content of a file, whose first piece was read, and looks once all of it was
/// that nobody has changed it meanwhile.
fn give(
    opened: &mut Opened<'_>,
    path: &Path,
    is_all: bool,
    buffer: &mut Vec<u8>,
    reader: &mut Reader,
) -> Result<()> {
    let shown = json::shown(&opened.taken().path);
    if is_all {
        // Before anything is made of it, so that an error in a line is not one of half a write.
        opened.check()?;
        return reader.text(&shown, buffer);
    }
    if !reader.takes_pieces(buffer) {
        buffer.clear();
        let read = unpacked(path, opened.bytes()?)?.read_to_end(buffer);
        read.map_err(|e| bytes::damaged(path, e))?;
        reader.text(&shown, buffer)?;
        return opened.check();
    }
    reader.begin(&shown);
    let mut pieces = Pieces::new(unpacked(path, opened.bytes()?)?, buffer);
    while let Some(piece) = pieces.next().map_err(|e| bytes::damaged(path, e))? {
        reader.piece(&piece)?;
    }
    drop(pieces);
    opened.check()
}

fn is_damage(error: &Error) -> bool {
    error.condition() == "FAILED_READ_FILE.NO_HINT"
}

/// Stands for a file that is damaged, and no row of which is used.
fn damaged(file: &Taken, error: &Error) -> BadRecord {
    BadRecord {
        flaw: Flaw::Corrupt,
        row: None,
        file: json::shown(&file.path),
        line: 0,
        offset: 0,
        reason: format!("no row of the file is used: {}", error.message()),
        raw: Vec::new(),
    }
}
