//! Name patterns of the option `pathGlobFilter`: takes a pattern and a file's name, says whether
//! they match. `?` is one character, `*` any number, `[a-c]` one of a set, `[^a-c]` one outside of
//! it, `{one,two}` one of some texts, `\` takes the next character as itself.

/// A pattern, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    /// A name matches if one of these does: one for each choice of the braces.
    choices: Vec<Vec<Part>>,
}

#[derive(Debug, Clone)]
enum Part {
    Char(char),
    Any,
    AnyNumber,
    Set { outside: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    /// The error says, in words, what is wrong with the pattern.
    pub fn new(pattern: &str) -> Result<Self, &'static str> {
        let mut choices = Vec::new();
        for text in without_braces(pattern)? {
            choices.push(parts(&text)?);
        }
        Ok(Self { choices })
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        self.choices.iter().any(|parts| matches(parts, &name))
    }
}

/// The pattern once for each choice of its first braces, and so on for the next ones.
fn without_braces(pattern: &str) -> Result<Vec<String>, &'static str> {
    let mut from = 0;
    let open = loop {
        match pattern[from..].find(['{', '\\']).map(|at| from + at) {
            None => return Ok(vec![pattern.to_owned()]),
            Some(at) if pattern[at..].starts_with('{') => break at,
            Some(at) => from = at + 1 + pattern[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    };
    let close = open + pattern[open..].find('}').ok_or("has { without }")?;
    if pattern[open + 1..close].contains('{') {
        return Err("has braces in braces");
    }
    let mut all = Vec::new();
    for choice in pattern[open + 1..close].split(',') {
        let text = format!("{}{choice}{}", &pattern[..open], &pattern[close + 1..]);
        all.extend(without_braces(&text)?);
    }
    Ok(all)
}

fn parts(pattern: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '?' => Part::Any,
            '*' => Part::AnyNumber,
            '\\' => Part::Char(chars.next().ok_or("ends in a backslash")?),
            '[' => set(&mut chars)?,
            c => Part::Char(c),
        });
    }
    Ok(parts)
}

fn set(chars: &mut std::str::Chars) -> Result<Part, &'static str> {
    const OPEN: &str = "has [ without ]";
    let mut outside = false;
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut c = chars.next().ok_or(OPEN)?;
    if c == '^' || c == '!' {
        outside = true;
        c = chars.next().ok_or(OPEN)?;
    }
    loop {
        match c {
            ']' if !ranges.is_empty() => return Ok(Part::Set { outside, ranges }),
            '\\' => {
                let c = chars.next().ok_or(OPEN)?;
                ranges.push((c, c));
            }
            '-' if !ranges.is_empty() && !chars.as_str().starts_with(']') => {
                let end = chars.next().ok_or(OPEN)?;
                if let Some(range) = ranges.last_mut() {
                    range.1 = end;
                }
            }
            c => ranges.push((c, c)),
        }
        c = chars.next().ok_or(OPEN)?;
    }
}

fn matches(parts: &[Part], name: &[char]) -> bool {
    let (mut part, mut at) = (0, 0);
    // Where to go on when the text behind the last `*` does not match: one character further.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match (parts.get(part), name.get(at)) {
            (None, None) => return true,
            (Some(Part::AnyNumber), _) => {
                retry = Some((part + 1, at + 1));
                part += 1;
                continue;
            }
            (Some(Part::Any), Some(_)) => true,
            (Some(Part::Char(expected)), Some(c)) => expected == c,
            (Some(Part::Set { outside, ranges }), Some(c)) => {
                ranges.iter().any(|(low, high)| low <= c && c <= high) != *outside
            }
            _ => false,
        };
        match retry {
            _ if fits => (part, at) = (part + 1, at + 1),
            Some((behind, next)) if next <= name.len() => {
                retry = Some((behind, next + 1));
                (part, at) = (behind, next);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_names() {
        for (pattern, yes, no) in [
            ("*.json", "a.json", "a.jsonl"),
            ("*[024].json", "f0002.json", "f0001.json"),
            ("[^a-c]?", "dx", "ax"),
            ("part-{00,01}*", "part-01-x", "part-02-x"),
            ("a\\*", "a*", "ab"),
            ("*a*b", "xaxaxb", "xaxax"),
            ("{a,b}{c,d}", "bd", "bb"),
        ] {
            let glob = Glob::new(pattern).unwrap();
            assert!(glob.matches(yes), "{pattern} {yes}");
            assert!(!glob.matches(no), "{pattern} {no}");
        }
        assert!(Glob::new("[a").is_err() && Glob::new("{a").is_err());
    }
}
