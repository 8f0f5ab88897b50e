//! The options of a table, by Spark's names: takes what the user wrote, gives values; an option
//! that is unknown, or that would change the meaning and is not built, is an error, never ignored.

use crate::error::{Error, Result};

/// What becomes of an option that Spark knows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// It does here what it does in Spark.
    Honoured,
    /// Only with this value: Spark's default, or the only thing that is built.
    Only(&'static str),
    /// Any value, since it has no effect on reading in Spark either.
    Ignored,
    /// Spark refuses it too; why, and what to do instead.
    Refused(&'static str),
}

/// Options of one table. Names are matched without regard to case; of two, the last counts.
pub(super) struct Options<'a> {
    given: &'a [(String, String)],
}

impl<'a> Options<'a> {
    /// Checks each option against what is known.
    pub fn new(given: &'a [(String, String)], known: &[&[(&str, Rule)]]) -> Result<Self> {
        for (name, value) in given {
            let rule = known.iter().flat_map(|k| k.iter()).find(|k| k.0.eq_ignore_ascii_case(name));
            match rule {
                Some((_, Rule::Honoured | Rule::Ignored)) => {}
                Some((_, Rule::Only(default))) if default.eq_ignore_ascii_case(value) => {}
                Some((name, Rule::Only(default))) => {
                    return Err(Error::sql(
                        "UNSUPPORTED_OPTION",
                        format!("the option {name} = '{value}' is not supported"),
                    )
                    .hint(format!("leave it out: the meaning is that of {name} = '{default}'"))
                    .about(*name));
                }
                Some((name, Rule::Refused(instead))) => {
                    return Err(Error::sql(
                        "UNSUPPORTED_OPTION",
                        format!("the option {name} is not for tables that are read as a stream"),
                    )
                    .hint(*instead)
                    .about(*name));
                }
                None => return Err(unknown(name, known)),
            }
        }
        Ok(Self { given })
    }

    /// The value of an option.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.given.iter().rev().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(self.invalid(name, "true or false")),
        }
    }

    /// A whole number of at least 1.
    pub fn count(&self, name: &str) -> Result<Option<u64>> {
        match self.get(name).map(|value| value.trim().parse()) {
            None => Ok(None),
            Some(Ok(count)) if count > 0 => Ok(Some(count)),
            Some(_) => Err(self.invalid(name, "a whole number of at least 1")),
        }
    }

    /// A number of bytes of at least 1: `1000`, `64k`, `16MB`, `1g`.
    pub fn bytes(&self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let lower = value.trim().to_ascii_lowercase();
        let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &lower[digits.len()..] {
            "" | "b" => Some(1),
            "k" | "kb" => Some(1 << 10),
            "m" | "mb" => Some(1 << 20),
            "g" | "gb" => Some(1u64 << 30),
            _ => None,
        };
        let count = digits.trim().parse::<u64>().ok();
        match unit.zip(count).and_then(|(unit, count)| count.checked_mul(unit)) {
            Some(bytes) if bytes > 0 => Ok(Some(bytes)),
            _ => Err(self.invalid(name, "a number of bytes, such as 1000000 or 64m")),
        }
    }

    /// Milliseconds: `500` or `500ms`, `30s`, `10m`, `2h`, `7d`.
    pub fn duration(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let lower = value.trim().to_ascii_lowercase();
        let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &lower[digits.len()..] {
            "" | "ms" => Some(1),
            "s" => Some(1_000),
            "m" | "min" => Some(60_000),
            "h" => Some(3_600_000),
            "d" => Some(86_400_000_i64),
            _ => None,
        };
        let count = digits.trim().parse::<i64>().ok().filter(|count| *count >= 0);
        match unit.zip(count).and_then(|(unit, count)| count.checked_mul(unit)) {
            Some(millis) => Ok(Some(millis)),
            None => Err(self.invalid(name, "a length of time, such as 30s, 2h or 7d")),
        }
    }

    /// The error for a value that is none of those meant.
    pub fn invalid(&self, name: &str, meant: &str) -> Error {
        let value = self.get(name).unwrap_or_default();
        Error::sql("INVALID_OPTION", format!("the option {name} = '{value}' is not valid"))
            .hint(format!("write {meant}"))
            .about(name)
    }
}

fn unknown(name: &str, known: &[&[(&str, Rule)]]) -> Error {
    let lower = name.to_ascii_lowercase();
    let nearest = known
        .iter()
        .flat_map(|k| k.iter())
        .map(|(name, _)| (strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase()), *name))
        .min();
    let error = Error::sql("UNKNOWN_OPTION", format!("there is no option '{name}' for this table"))
        .about(name);
    match nearest {
        Some((distance, nearest)) if distance <= 1 + name.len() / 3 => {
            error.hint(format!("did you mean {nearest}?"))
        }
        _ => error.hint("leave it out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[(&str, Rule)] =
        &[("maxFilesPerTrigger", Rule::Honoured), ("cleanSource", Rule::Only("off"))];

    fn given(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.into(), value.into())]
    }

    #[test]
    fn names_have_no_case_and_a_wrong_one_gets_the_nearest() {
        let options = given("MAXFILESPERTRIGGER", "3");
        let options = Options::new(&options, &[KNOWN]).unwrap();
        assert_eq!(options.count("maxFilesPerTrigger").unwrap(), Some(3));
        let error = Options::new(&given("maxFilePerTriger", "1"), &[KNOWN]).err().unwrap();
        assert_eq!(error.condition(), "UNKNOWN_OPTION");
        assert_eq!(error.hint_text(), Some("did you mean maxFilesPerTrigger?"));
    }

    #[test]
    fn what_is_not_built_may_have_its_default_only() {
        assert!(Options::new(&given("cleansource", "OFF"), &[KNOWN]).is_ok());
        let error = Options::new(&given("cleanSource", "delete"), &[KNOWN]).err().unwrap();
        assert_eq!(error.condition(), "UNSUPPORTED_OPTION");
    }

    #[test]
    fn numbers_are_at_least_one() {
        for (value, bytes) in [("1000", Some(1000)), ("2k", Some(2048)), ("0", None), ("-1", None)]
        {
            let options = given("maxFilesPerTrigger", value);
            let options = Options::new(&options, &[KNOWN]).unwrap();
            assert_eq!(options.bytes("maxFilesPerTrigger").ok().flatten(), bytes, "{value}");
        }
    }
}
