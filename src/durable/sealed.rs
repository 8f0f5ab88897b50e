//! The proof of wholeness that a file carries in its first line.
//!
//! Takes a body and its kind, gives bytes whose first line says their length and checksum, and takes
//! such bytes apart again; never touches the disk.

/// The first word of every sealed file.
const MAGIC: &str = "strandline";

/// The version of the sealed format that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// Puts the proof of wholeness before a body: one line of text, then the body as it is.
///
/// ```text
/// strandline 1 offsets 57 8f3c01aa
/// {"batchWatermarkMs":0, …
/// ```
///
/// The line says the format version, the kind of file, the length of the body in bytes and its
/// CRC-32C in hexadecimal. It is text, so that a person can read a checkpoint with `cat`.
pub fn seal(kind: &str, body: &[u8]) -> Vec<u8> {
    let (length, crc) = (body.len(), crc32c::crc32c(body));
    let mut sealed = format!("{MAGIC} {FORMAT_VERSION} {kind} {length} {crc:08x}\n").into_bytes();
    sealed.extend_from_slice(body);
    sealed
}

/// The first line of a file whose body is not in memory: of the same length for every body.
pub(super) fn first_line(kind: &str, length: u64, crc: u32) -> String {
    format!("{MAGIC} {FORMAT_VERSION} {kind} {length:020} {crc:08x}\n")
}

/// No first line is longer.
pub(super) const LONGEST_LINE: u64 = 200;

/// Why sealed bytes are not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealError {
    /// Empty, cut short, or not the bytes that were sealed: what a torn write leaves.
    Torn(String),
    /// Whole, but of another kind or of a newer format.
    Foreign(String),
}

/// Takes one sealed body from the head of `bytes`; gives it and what follows it.
pub fn unseal<'a>(kind: &str, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), SealError> {
    let end = bytes.iter().take(LONGEST_LINE as usize).position(|&b| b == b'\n');
    let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |newline| newline + 1));
    let seal = Seal::of(kind, line)?;
    let length = usize::try_from(seal.length).unwrap_or(usize::MAX);
    if rest.len() < length {
        return Err(seal.cut_short(rest.len() as u64));
    }
    let (body, after) = rest.split_at(length);
    seal.check(crc32c::crc32c(body))?;
    Ok((body, after))
}

/// What a first line says of the body.
pub(super) struct Seal {
    pub(super) length: u64,
    crc: String,
}

impl Seal {
    /// Reads a first line, which ends with its newline if it is whole.
    pub(super) fn of(kind: &str, line: &[u8]) -> Result<Self, SealError> {
        let torn = |what: &str| SealError::Torn(what.to_string());
        if line.is_empty() {
            return Err(torn("the file is empty"));
        }
        let line = line.strip_suffix(b"\n").ok_or_else(|| torn("the first line is not whole"))?;
        let line = std::str::from_utf8(line).map_err(|_| torn("the first line is not text"))?;
        let words: Vec<&str> = line.split(' ').collect();
        let [MAGIC, version, found_kind, length, crc] = words[..] else {
            return Err(torn("the first line is not one of strandline's"));
        };
        if version.parse::<u32>().map_or(true, |v| v == 0 || v > FORMAT_VERSION) {
            return Err(SealError::Foreign(format!(
                "written in format {version}, this program reads up to {FORMAT_VERSION}"
            )));
        }
        if found_kind != kind {
            return Err(SealError::Foreign(format!("holds {found_kind}, not {kind}")));
        }
        let length = length.parse().map_err(|_| torn("the length is not a number"))?;
        Ok(Self { length, crc: crc.to_string() })
    }

    /// There are only so many bytes.
    pub(super) fn cut_short(&self, there: u64) -> SealError {
        SealError::Torn(format!("holds {there} bytes of {}: it was cut short", self.length))
    }

    /// Whether this is the checksum of the body.
    pub(super) fn check(&self, crc: u32) -> Result<(), SealError> {
        match self.crc == format!("{crc:08x}") {
            true => Ok(()),
            false => Err(SealError::Torn("the checksum is not that of the content".to_string())),
        }
    }
}
