//! The bytes of a file on their way to text: unpacked by the ending of the file's name, and turned
//! into UTF-8 by the option `encoding`. Takes bytes as they lie on the disk, gives UTF-8, except
//! where a file that is said to be UTF-8 is not: its reader judges that line by line.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::Path;

use super::options::Options;
use crate::error::{Error, Result};

/// How the bytes of a file are text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Encoding {
    /// UTF-8; another one where the file begins with its byte order mark.
    #[default]
    Utf8,
    /// One that has a name on the web: UTF-16, ISO-8859-1 …
    Named(&'static encoding_rs::Encoding),
    /// UTF-32; whether the first byte is the high one, where no byte order mark says so.
    Utf32 { big_endian: bool },
}

impl Encoding {
    /// The option `encoding`, or `charset`.
    pub fn from_options(options: &Options) -> Result<Self> {
        let name = if options.get("encoding").is_some() { "encoding" } else { "charset" };
        let Some(label) = options.get(name) else { return Ok(Encoding::Utf8) };
        match label.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Ok(Encoding::Utf8),
            // Java's UTF-16 without a byte order mark has the high byte first.
            "UTF-16" | "UTF16" => Ok(Encoding::Named(encoding_rs::UTF_16BE)),
            "UTF-32" | "UTF-32BE" => Ok(Encoding::Utf32 { big_endian: true }),
            "UTF-32LE" => Ok(Encoding::Utf32 { big_endian: false }),
            _ => encoding_rs::Encoding::for_label(label.as_bytes())
                .map(Encoding::Named)
                .ok_or_else(|| options.invalid(name, "UTF-8, UTF-16, UTF-32, ISO-8859-1 …")),
        }
    }

    /// Whether the bytes of a file that begins so are its text as they are.
    pub fn leaves(&self, beginning: &[u8]) -> bool {
        // The mark of UTF-32 with the low byte first begins with that of UTF-16.
        let marked = [&[0xFF, 0xFE][..], &[0xFE, 0xFF], &[0, 0, 0xFE, 0xFF]];
        matches!(self, Encoding::Utf8) && !marked.iter().any(|mark| beginning.starts_with(mark))
    }

    /// The text of a file. A byte order mark counts more than what the table says.
    pub fn text<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match (bytes, self) {
            ([0xFF, 0xFE, 0, 0, rest @ ..], _) => Cow::Owned(from_utf32(rest, false)),
            ([0, 0, 0xFE, 0xFF, rest @ ..], _) => Cow::Owned(from_utf32(rest, true)),
            ([0xFF, 0xFE, ..] | [0xFE, 0xFF, ..], Encoding::Utf8) => {
                decoded(encoding_rs::UTF_16LE, bytes)
            }
            (_, Encoding::Utf8) => Cow::Borrowed(bytes),
            (_, Encoding::Named(encoding)) => decoded(encoding, bytes),
            (_, Encoding::Utf32 { big_endian }) => Cow::Owned(from_utf32(bytes, *big_endian)),
        }
    }
}

fn decoded<'a>(encoding: &'static encoding_rs::Encoding, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    match encoding.decode(bytes).0 {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn from_utf32(bytes: &[u8], big_endian: bool) -> Vec<u8> {
    let unit = |unit: &[u8; 4]| match big_endian {
        true => u32::from_be_bytes(*unit),
        false => u32::from_le_bytes(*unit),
    };
    let units = bytes.as_chunks().0.iter().map(unit);
    let text: String =
        units.map(|c| char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.into_bytes()
}

/// Whether the ending of a name says that the file is packed.
pub(super) fn is_packed(path: &Path) -> bool {
    const PACKED: [&str; 9] =
        ["gz", "gzip", "deflate", "bz2", "zst", "zstd", "lz4", "snappy", "xz"];
    PACKED.contains(&ending(path).as_str())
}

fn ending(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase()
}

/// The content of a file, unpacked if the ending of its name says that it is packed.
pub(super) fn unpacked<'a>(path: &Path, packed: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    Ok(match ending(path).as_str() {
        "gz" | "gzip" => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(packed)),
        "bz2" => Box::new(bzip2::read::MultiBzDecoder::new(packed)),
        "zst" | "zstd" => {
            Box::new(zstd::stream::read::Decoder::new(packed).map_err(|e| damaged(path, e))?)
        }
        "lz4" | "snappy" | "xz" => {
            return Err(Error::files(
                "FAILED_READ_FILE.NO_HINT",
                format!("{} cannot be unpacked", path.display()),
            )
            .hint("pack it with gzip, bzip2 or zstd: .gz, .bz2 and .zst are read"));
        }
        _ => Box::new(packed),
    })
}

/// Unpacks the bytes of a file if the ending of its name says that they are packed.
pub(super) fn unpack(path: &Path, bytes: &mut Vec<u8>) -> Result<()> {
    if is_packed(path) {
        let packed = std::mem::take(bytes);
        unpacked(path, &packed[..])?.read_to_end(bytes).map_err(|e| damaged(path, e))?;
    }
    Ok(())
}

/// What is unpacked of a file may be so long, and where it is longer so many times as long as the
/// file: more is no data, but a trap.
const LONGEST_UNPACKED: u64 = 1 << 30;
const MOST_TIMES: u64 = 200;

/// Reads the rest of a packed file, of which so many bytes were read before, for no more than to
/// know that it is whole.
pub(super) fn check_rest(path: &Path, size: u64, before: u64, rest: impl Read) -> Result<()> {
    let limit = LONGEST_UNPACKED.max(size.saturating_mul(MOST_TIMES));
    let read = io::copy(&mut rest.take(limit), &mut io::sink()).map_err(|e| damaged(path, e))?;
    match before.saturating_add(read) >= limit {
        true => Err(damaged(
            path,
            io::Error::other(format!("its {size} bytes become {limit}, and more")),
        )),
        false => Ok(()),
    }
}

/// The error for a file that cannot be read to its end, or a packed one that is not whole.
pub(super) fn damaged(path: &Path, error: io::Error) -> Error {
    if error.raw_os_error().is_some() || !is_packed(path) {
        return Error::files(
            "SOURCE_FILE_UNREADABLE",
            format!("cannot read {}: {error}", path.display()),
        )
        .hint("when the cause is gone, start again: the run continues where it stopped")
        .caused_by(error);
    }
    Error::files("FAILED_READ_FILE.NO_HINT", format!("cannot unpack {}: {error}", path.display()))
        .hint(
            "the file is damaged, was not complete, or is not what its ending says. To go on \
             without it set the table's option ignoreCorruptFiles = 'true': no row of it is used, \
             and it stands among the rejected rows. Put a good copy there under a new name",
        )
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_packed_file_is_unpacked_by_its_ending() {
        let text = b"{\"a\":1}\n".repeat(1000);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&text).unwrap();
        let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bz2.write_all(&text).unwrap();
        let packed = [
            ("a.json.gz", gz.finish().unwrap()),
            ("a.json.bz2", bz2.finish().unwrap()),
            ("a.zst", zstd::stream::encode_all(&text[..], 1).unwrap()),
            ("a.json", text.clone()),
        ];
        for (name, mut bytes) in packed {
            unpack(Path::new(name), &mut bytes).unwrap();
            assert!(bytes == text, "{name}");
        }
        let error = unpack(Path::new("a.gz"), &mut b"no gzip".to_vec()).unwrap_err();
        assert_eq!(error.condition(), "FAILED_READ_FILE.NO_HINT");
        assert!(unpack(Path::new("a.lz4"), &mut vec![]).is_err());
    }

    #[test]
    fn a_byte_order_mark_counts_more_than_the_option() {
        let utf16 = b"\xFF\xFEa\0\xe9\0";
        assert_eq!(&*Encoding::Utf8.text(utf16), "aé".as_bytes());
        assert_eq!(&*Encoding::Utf32 { big_endian: true }.text(b"\xFF\xFE\0\0a\0\0\0"), b"a");
    }

    #[test]
    fn text_is_read_by_the_name_of_its_encoding() {
        for (name, bytes) in [
            ("ISO-8859-1", &b"a\xe9"[..]),
            ("UTF-16LE", b"a\0\xe9\0"),
            ("utf-16", b"\0a\0\xe9"),
            ("UTF-32", b"\0\0\0a\0\0\0\xe9"),
            ("UTF-8", "aé".as_bytes()),
        ] {
            let given = [("encoding".to_owned(), name.to_owned())];
            let known: &[&[_]] = &[&[("encoding", super::super::options::Rule::Honoured)]];
            let options = Options::new(&given, known).unwrap();
            let encoding = Encoding::from_options(&options).unwrap();
            assert_eq!(&*encoding.text(bytes), "aé".as_bytes(), "{name}");
        }
    }
}
