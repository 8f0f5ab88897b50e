//! Text as bytes and bytes as text: character sets, base 64, the escapes of URLs.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::numbers::unhex;
use super::scalar::{Answer, Function, Gives, Row, Value, refused};
use crate::error::Error;

/// As in MIME: what is read may lack its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("base64", "bytes", Gives::Text, |r| Ok(base64(r.bytes(0)).into())),
    Function::new("unbase64", "text", Gives::Bytes, |r| {
        Ok(from_base64(r.text(0)).ok_or_else(|| not_readable(r.text(0), "base64"))?.into())
    }),
    Function::new("encode", "text text", Gives::Bytes, |r| {
        let (text, set) = (r.text(0), r.text(1));
        let unknown = || malformed(&format!("'{text}' cannot be written in {set}"));
        Ok(encoded(text, set)?.ok_or_else(unknown)?.into())
    }),
    // With more arguments it is a choice: see `respell`.
    Function::new("decode", "bytes text|any any any any*", Gives::Text, |r| {
        let set = r.text(1);
        let unknown = || malformed(&format!("these bytes are not text in {set}"));
        Ok(decoded(r.bytes(0), set)?.ok_or_else(unknown)?.into())
    }),
    Function::new("to_binary", "text text?", Gives::Bytes, |r| {
        let form = r.text_or(1, "hex");
        Ok(to_binary(r.text(0), form)?.ok_or_else(|| not_readable(r.text(0), form))?.into())
    }),
    Function::new("try_to_binary", "text text?", Gives::Bytes, |r| {
        Ok(to_binary(r.text(0), r.text_or(1, "hex"))?.into())
    }),
    Function::new("is_valid_utf8", "either", Gives::Bool, |r| {
        Ok(std::str::from_utf8(r.bytes(0)).is_ok().into())
    }),
    Function::new("make_valid_utf8", "either", Gives::Text, |r| {
        Ok(String::from_utf8_lossy(r.bytes(0)).into_owned().into())
    }),
    Function::new("validate_utf8", "either", Gives::Text, |r| {
        match std::str::from_utf8(r.bytes(0)) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(refused("INVALID_UTF8_STRING", "these bytes are not UTF-8".to_owned())),
        }
    }),
    Function::new("try_validate_utf8", "either", Gives::Text, |r| {
        Ok(std::str::from_utf8(r.bytes(0)).ok().map(str::to_owned).into())
    }),
    Function::new("url_encode", "text", Gives::Text, |r| Ok(url_encoded(r.text(0)).into())),
    Function::new("url_decode", "text", Gives::Text, |r| {
        let refusal =
            || refused("CANNOT_DECODE_URL", format!("'{}' is not escaped as in a URL", r.text(0)));
        Ok(url_decoded(r.text(0)).ok_or_else(refusal)?.into())
    }),
    Function::new("try_url_decode", "text", Gives::Text, |r| Ok(url_decoded(r.text(0)).into())),
    Function::new("parse_url", "text text text?", Gives::Text, |r| parse_url(r, true)),
    Function::new("try_parse_url", "text text text?", Gives::Text, |r| parse_url(r, false)),
];

/// Lines of 76 signs, as MIME wants them.
fn in_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, sign) in text.char_indices() {
        if at > 0 && at % 76 == 0 {
            out.push_str("\r\n");
        }
        out.push(sign);
    }
    out
}

/// Bytes as base64, in lines.
pub(super) fn base64(bytes: &[u8]) -> String {
    in_lines(&BASE64.encode(bytes))
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64.decode(plain).ok()
}

fn not_readable(text: &str, form: &str) -> Error {
    refused("CONVERSION_INVALID_INPUT", format!("'{text}' is not binary written as {form}"))
}

fn malformed(what: &str) -> Error {
    refused("MALFORMED_CHARACTER_CODING", what.to_owned())
}

fn unknown_set(set: &str) -> Error {
    refused("INVALID_PARAMETER_VALUE.CHARSET", format!("'{set}' is not a character set of Spark"))
        .hint("write UTF-8, UTF-16, UTF-16BE, UTF-16LE, UTF-32, ISO-8859-1 or US-ASCII")
}

/// Text in a character set; `None` where it has a letter that the set lacks.
fn encoded(text: &str, set: &str) -> Result<Option<Vec<u8>>, Error> {
    let up_to = |most: u32| {
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).ok().filter(|b| u32::from(*b) <= most))
            .collect()
    };
    Ok(match set.to_uppercase().as_str() {
        "UTF-8" => Some(text.as_bytes().to_vec()),
        "US-ASCII" => up_to(0x7f),
        "ISO-8859-1" => up_to(0xff),
        "UTF-16BE" => Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        "UTF-16LE" => Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        // With a mark of the order of bytes, but for the empty text.
        "UTF-16" if text.is_empty() => Some(vec![]),
        "UTF-16" => {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            Some(units.flat_map(u16::to_be_bytes).collect())
        }
        "UTF-32" => Some(text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect()),
        _ => return Err(unknown_set(set)),
    })
}

fn decoded(bytes: &[u8], set: &str) -> Result<Option<String>, Error> {
    let units = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks(2).map(|pair| Some(read(pair.try_into().ok()?)));
        String::from_utf16(&pairs.collect::<Option<Vec<u16>>>()?).ok()
    };
    Ok(match set.to_uppercase().as_str() {
        "UTF-8" => std::str::from_utf8(bytes).ok().map(str::to_owned),
        "US-ASCII" => bytes.is_ascii().then(|| bytes.iter().copied().map(char::from).collect()),
        "ISO-8859-1" => Some(bytes.iter().copied().map(char::from).collect()),
        "UTF-16BE" => units(bytes, u16::from_be_bytes),
        "UTF-16LE" => units(bytes, u16::from_le_bytes),
        "UTF-16" => match bytes {
            [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes),
            [0xfe, 0xff, rest @ ..] | rest => units(rest, u16::from_be_bytes),
        },
        "UTF-32" => {
            let letter = |four: &[u8]| char::from_u32(u32::from_be_bytes(four.try_into().ok()?));
            bytes.chunks(4).map(letter).collect()
        }
        _ => return Err(unknown_set(set)),
    })
}

fn to_binary(text: &str, form: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(match form.to_lowercase().as_str() {
        "hex" => unhex(text),
        "utf-8" | "utf8" => Some(text.as_bytes().to_vec()),
        "base64" => from_base64(text),
        _ => {
            let what = format!("to_binary() reads 'hex', 'utf-8' and 'base64', not '{form}'");
            return Err(Error::sql("DATATYPE_MISMATCH.INVALID_ARG_VALUE", what)
                .hint("correct the second argument"));
        }
    })
}

/// As a form in a browser escapes: a blank is `+`.
fn url_encoded(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
            char::from(byte).to_string()
        }
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}

fn url_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The parts of a URL, as RFC 2396 cuts it. A part that is not there is NULL.
fn parse_url(r: &Row, strict: bool) -> Answer {
    let (url, wanted) = (r.text(0), r.text(1));
    let allowed = |c: char| !c.is_ascii_control() && !" \"<>\\^`{|}".contains(c);
    let escapes = url.match_indices('%').all(|(at, _)| {
        url.get(at + 1..at + 3).is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    if !url.chars().all(allowed) || !escapes {
        return match strict {
            true => Err(refused("INVALID_URL", format!("'{url}' is not a URL"))
                .hint("use try_parse_url() to get NULL instead")),
            false => Ok(Value::Null),
        };
    }
    let (before, reference) = url.split_once('#').map_or((url, None), |(a, b)| (a, Some(b)));
    let (before, query) = before.split_once('?').map_or((before, None), |(a, b)| (a, Some(b)));
    let (scheme, rest) = match before.split_once(':') {
        Some((scheme, rest)) if !scheme.contains('/') => (Some(scheme), rest),
        _ => (None, before),
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            (Some(&rest[..end]).filter(|a| !a.is_empty()), &rest[end..])
        }
        None => (None, rest),
    };
    let opaque = scheme.is_some() && authority.is_none() && !rest.starts_with('/');
    let user = authority.and_then(|a| a.rsplit_once('@')).map(|(user, _)| user);
    let part = match wanted {
        "PROTOCOL" => scheme,
        "AUTHORITY" => authority,
        "USERINFO" => user,
        "HOST" => authority.map(host),
        "PATH" if opaque => None,
        "PATH" => Some(path),
        "FILE" if opaque => None,
        "FILE" => {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            return Ok(format!("{path}{query}").into());
        }
        "QUERY" => query,
        "REF" => reference,
        _ => None,
    };
    Ok(match part {
        Some(query) if wanted == "QUERY" && r.has(2) => {
            let key = r.text(2);
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).into()
        }
        Some(_) if r.has(2) => Value::Null,
        part => part.map(str::to_owned).into(),
    })
}

fn host(authority: &str) -> &str {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}
