//! Sealed files that are too large to be in memory: written and read a piece at a time.
//!
//! What is written becomes a file of its name only as a whole, as any other one. What is read is
//! checked as a whole first, and then read again: so nobody ever takes a piece of a damaged file.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take, Write};
use std::path::Path;

use super::Disk;
use super::sealed::{self, SealError};
use crate::error::{Error, Result};
use crate::fault;

/// So many bytes go to or come from the disk at a time.
const PIECE: usize = 256 * 1024;

/// What is written is synced every so many bytes: a large file that is synced once at its end holds up
/// everybody else who syncs a small one, which are the batches that go on meanwhile.
const SYNCED: u64 = 4 * 1024 * 1024;

impl Disk {
    /// [`Disk::replace`] by a sealed file whose body `write` writes; gives the size of the file.
    pub fn replace_sealed(
        &self,
        path: &Path,
        kind: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<u64> {
        let temporary = super::temporary(path);
        let written = self.write_sealed(path, &temporary, kind, write);
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        let length = written?;
        self.put_in_place(&temporary, path)?;
        Ok(length)
    }

    fn write_sealed(
        &self,
        path: &Path,
        temporary: &Path,
        kind: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<u64> {
        let refused = |e: io::Error| Error::io("write", path, e);
        let mut file = File::create(temporary).map_err(refused)?;
        // The first line has its length before what it says is known.
        let line = sealed::first_line(kind, 0, 0);
        file.write_all(line.as_bytes()).map_err(refused)?;
        let pending = Vec::with_capacity(PIECE);
        let mut body =
            Body { disk: self, path, file, pending, length: 0, synced: 0, crc: 0, failed: None };
        let written = write(&mut body).and_then(|()| body.flush().map_err(refused));
        let Body { mut file, length, crc, failed, .. } = body;
        // What the disk has said, not what became of it on the way through who writes the body.
        failed.map_or(written, |e| Err(refused(e)))?;
        fault::before("write", path)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(sealed::first_line(kind, length, crc).as_bytes()))
            .and_then(|()| self.sync(&file, path))
            .map_err(refused)?;
        Ok(line.len() as u64 + length)
    }
}

/// A body on its way to the disk.
struct Body<'a> {
    disk: &'a Disk,
    path: &'a Path,
    file: File,
    pending: Vec<u8>,
    length: u64,
    /// How many of the bytes the disk has confirmed.
    synced: u64,
    crc: u32,
    /// Why the disk has refused some of them.
    failed: Option<io::Error>,
}

impl Body<'_> {
    fn send(&mut self) -> io::Result<()> {
        self.file.write_all(&self.pending)?;
        self.crc = crc32c::crc32c_append(self.crc, &self.pending);
        self.length += self.pending.len() as u64;
        self.pending.clear();
        if self.length - self.synced >= SYNCED {
            self.disk.sync(&self.file, self.path)?;
            self.synced = self.length;
        }
        Ok(())
    }
}

impl Write for Body<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send().map_err(|e| {
            let kind = e.kind();
            self.failed.get_or_insert(e);
            kind.into()
        })
    }
}

/// The body of a sealed file.
pub type SealedBody = BufReader<Take<File>>;

/// Opens a sealed file and looks whether it is whole; gives its body and the size of the file. `None`:
/// there is none of that name.
pub fn open_sealed(
    path: &Path,
    kind: &str,
) -> Result<Option<Result<(SealedBody, u64), SealError>>> {
    let opened = fault::before("read", path).and_then(|()| File::open(path));
    let file = match opened {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    check(file, kind).map(Some).map_err(|e| Error::io("read", path, e))
}

fn check(file: File, kind: &str) -> io::Result<Result<(SealedBody, u64), SealError>> {
    let mut reader = BufReader::with_capacity(PIECE, file);
    let mut line = Vec::new();
    reader.by_ref().take(sealed::LONGEST_LINE).read_until(b'\n', &mut line)?;
    let seal = match sealed::Seal::of(kind, &line) {
        Ok(seal) => seal,
        Err(why) => return Ok(Err(why)),
    };
    let (mut crc, mut rest) = (0, seal.length);
    while rest > 0 {
        let piece = reader.fill_buf()?;
        let length = piece.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(Err(seal.cut_short(seal.length - rest)));
        }
        crc = crc32c::crc32c_append(crc, &piece[..length]);
        reader.consume(length);
        rest -= length as u64;
    }
    if let Err(why) = seal.check(crc) {
        return Ok(Err(why));
    }
    let mut file = reader.into_inner();
    file.seek(SeekFrom::Start(line.len() as u64))?;
    let body = BufReader::with_capacity(PIECE, file.take(seal.length));
    Ok(Ok((body, line.len() as u64 + seal.length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_every_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("7.snapshot");
        let body: Vec<u8> = (0..3 * PIECE + 5).map(|n| (n * n % 251) as u8).collect();
        let disk = Disk::default();
        let size = disk.replace_sealed(&path, "state-snapshot", |out| {
            body.chunks(1000).try_for_each(|piece| out.write_all(piece)).unwrap();
            Ok(())
        });
        let whole = fs::read(&path).unwrap();
        assert_eq!(size.unwrap(), whole.len() as u64);
        assert_eq!(sealed::unseal("state-snapshot", &whole).unwrap().0, body);
        let (mut reader, length) = open_sealed(&path, "state-snapshot").unwrap().unwrap().unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!((read, length), (body, whole.len() as u64));

        let opened = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            open_sealed(&path, "state-snapshot").unwrap().unwrap().err()
        };
        for cut in [0, 1, 40, 60, whole.len() / 2, whole.len() - 1] {
            assert!(matches!(opened(&whole[..cut]), Some(SealError::Torn(_))), "cut at {cut}");
        }
        for at in [0, 12, 13, 20, 40, 70, whole.len() / 2, whole.len() - 1] {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert!(opened(&other).is_some(), "changed at {at}");
        }
        assert!(open_sealed(&folder.path().join("8"), "state-snapshot").unwrap().is_none());
        fs::remove_file(&path).unwrap();
        let failed = disk.replace_sealed(&path, "x", |_| Err(Error::internal("no")));
        assert!(failed.is_err() && fs::read_dir(folder.path()).unwrap().count() == 0);
    }

    /// Arrow writes a body, and tells of an error of the disk only its text.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_disk_says_is_kept() {
        let (disk, path) = (Disk::default(), Path::new("/dev/full"));
        let file = File::options().write(true).open(path).unwrap();
        let pending = Vec::new();
        let mut body =
            Body { disk: &disk, path, file, pending, length: 0, synced: 0, crc: 0, failed: None };
        assert!(body.write_all(&[0; PIECE]).is_err());
        assert_eq!(body.failed.unwrap().raw_os_error(), Some(28));
    }
}
