//! What a JSON text may hold besides JSON.

/// The liberties of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// `/* … */` and `// …` between values.
    pub comments: bool,
    /// Field names without quotes.
    pub unquoted_names: bool,
    /// Names and strings in single quotes, and `\'` in them.
    pub single_quotes: bool,
    /// Numbers that begin with 0.
    pub leading_zeros: bool,
    /// `NaN`, `Infinity` and the like as numbers; as texts too, for DOUBLE and FLOAT.
    pub non_numeric: bool,
    /// A backslash before any character, which then stands for itself.
    pub any_escape: bool,
    /// Control characters in strings as they are.
    pub control_chars: bool,
}

impl Default for Syntax {
    fn default() -> Self {
        Self {
            comments: false,
            unquoted_names: false,
            single_quotes: true,
            leading_zeros: false,
            non_numeric: true,
            any_escape: false,
            control_chars: false,
        }
    }
}
