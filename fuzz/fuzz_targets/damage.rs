//! Damage to a folder of good files, read from the bytes of the fuzzer.
//!
//! ```text
//! which file | what | how many bytes follow | where, twice | those bytes       … and so on
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use strandline::durable::{seal, unseal};

/// Files by their path in the folder.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What was damaged.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
pub enum Damage {
    /// Nothing.
    #[default]
    None,
    /// Files are as no program has written them: whoever reads one must see it.
    Torn,
    /// Files are sealed as a program seals them, and say something else.
    Resealed,
}

/// Does what the bytes say to the files. `names`: those that can be chosen; `sealed_as`: the kind that
/// a file of this name is sealed as.
pub fn damage(
    files: &mut Files,
    mut bytes: &[u8],
    names: &[&str],
    sealed_as: impl Fn(&str) -> &'static str,
) -> Damage {
    let good = files.clone();
    let mut resealed = false;
    while let [which, what, length, place @ ..] = bytes
        && let [low, high, rest @ ..] = place
    {
        let (payload, after) = rest.split_at(rest.len().min(usize::from(*length)));
        bytes = after;
        let name = names[usize::from(*which) % names.len()];
        let at = usize::from(u16::from_le_bytes([*low, *high]));
        let kind = sealed_as(name);
        let old = files.get(name).cloned().unwrap_or_default();
        let new = match what % 8 {
            0 => Some(payload.to_vec()),
            1 => {
                resealed = true;
                Some(seal(kind, payload))
            }
            2 => Some(old[..at % (old.len() + 1)].to_vec()),
            3 => Some(flipped(old, at, payload)),
            4 => None,
            5 => Some([&old[..], payload].concat()),
            6 => match unseal(kind, &old) {
                Ok((body, rest)) => {
                    resealed = true;
                    Some([seal(kind, &spliced(body, at, payload)), rest.to_vec()].concat())
                }
                Err(_) => Some(old),
            },
            _ => files.get(names[at % names.len()]).cloned(),
        };
        match new {
            Some(new) => drop(files.insert(name.to_owned(), new)),
            None => drop(files.remove(name)),
        }
    }
    match (*files == good, resealed) {
        (true, _) => Damage::None,
        (false, false) => Damage::Torn,
        (false, true) => Damage::Resealed,
    }
}

fn flipped(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    for (offset, flip) in with.iter().enumerate() {
        let length = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut((at + offset) % length) {
            *byte ^= flip;
        }
    }
    bytes
}

/// The first byte of the payload says how many bytes the rest takes the place of.
fn spliced(body: &[u8], at: usize, payload: &[u8]) -> Vec<u8> {
    let (gone, new) = payload.split_first().map_or((0, payload), |(n, new)| (usize::from(*n), new));
    let start = at % (body.len() + 1);
    let end = (start + gone).min(body.len());
    [&body[..start], new, &body[end..]].concat()
}

/// Writes the files into a folder.
pub fn write(folder: &Path, files: &Files) {
    for (name, bytes) in files {
        let path = folder.join(name);
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above).expect("a folder");
        }
        std::fs::write(path, bytes).expect("a file");
    }
}
