//! Spark's options `allow…`: what a JSON text may hold besides JSON.

use crate::error::Result;
use crate::json::Syntax;
use crate::sources::options::{Options, Rule};

/// The options that make a [`Syntax`].
pub(in crate::sources) const OPTIONS: &[(&str, Rule)] = &[
    ("allowBackslashEscapingAnyCharacter", Rule::Honoured),
    ("allowComments", Rule::Honoured),
    ("allowNonNumericNumbers", Rule::Honoured),
    ("allowNumericLeadingZeros", Rule::Honoured),
    ("allowSingleQuotes", Rule::Honoured),
    ("allowUnquotedControlChars", Rule::Honoured),
    ("allowUnquotedFieldNames", Rule::Honoured),
];

/// What the options of a table say.
pub(super) fn from_options(options: &Options) -> Result<Syntax> {
    let default = Syntax::default();
    Ok(Syntax {
        comments: options.flag("allowComments", default.comments)?,
        unquoted_names: options.flag("allowUnquotedFieldNames", default.unquoted_names)?,
        single_quotes: options.flag("allowSingleQuotes", default.single_quotes)?,
        leading_zeros: options.flag("allowNumericLeadingZeros", default.leading_zeros)?,
        non_numeric: options.flag("allowNonNumericNumbers", default.non_numeric)?,
        any_escape: options.flag("allowBackslashEscapingAnyCharacter", default.any_escape)?,
        control_chars: options.flag("allowUnquotedControlChars", default.control_chars)?,
    })
}
