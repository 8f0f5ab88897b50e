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
    let mut sealed =
        format!("{MAGIC} {FORMAT_VERSION} {kind} {} {:08x}\n", body.len(), crc32c::crc32c(body))
            .into_bytes();
    sealed.extend_from_slice(body);
    sealed
}

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
    let torn = |what: &str| SealError::Torn(what.to_string());
    if bytes.is_empty() {
        return Err(torn("the file is empty"));
    }
    let newline = bytes
        .iter()
        .take(200)
        .position(|&b| b == b'\n')
        .ok_or_else(|| torn("the first line is not whole"))?;
    let line =
        std::str::from_utf8(&bytes[..newline]).map_err(|_| torn("the first line is not text"))?;
    let words: Vec<&str> = line.split(' ').collect();
    let [magic, version, found_kind, length, crc] = words[..] else {
        return Err(torn("the first line is not one of strandline's"));
    };
    if magic != MAGIC {
        return Err(torn("the first line is not one of strandline's"));
    }
    if version.parse::<u32>().map_or(true, |v| v == 0 || v > FORMAT_VERSION) {
        return Err(SealError::Foreign(format!(
            "written in format {version}, this program reads up to {FORMAT_VERSION}"
        )));
    }
    if found_kind != kind {
        return Err(SealError::Foreign(format!("holds {found_kind}, not {kind}")));
    }
    let length: usize = length.parse().map_err(|_| torn("the length is not a number"))?;
    let rest = &bytes[newline + 1..];
    if rest.len() < length {
        return Err(SealError::Torn(format!(
            "holds {} bytes of {length}: it was cut short",
            rest.len()
        )));
    }
    let (body, after) = rest.split_at(length);
    if crc != format!("{:08x}", crc32c::crc32c(body)) {
        return Err(torn("the checksum is not that of the content"));
    }
    Ok((body, after))
}
