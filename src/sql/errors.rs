//! What the parser and the planner say, in our words.
//!
//! Their errors are sorted by what the user has to change: a spelling, a name, a type, the
//! grouping. A place is kept wherever they know one.

use datafusion::common::{Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, TokenWithSpan};

use super::text::SourceText;
use super::tokens::span_of;
use crate::error::{Error, Span};

/// A syntax error of the parser crate.
pub(super) fn from_parser(
    text: &SourceText,
    tokens: &[TokenWithSpan],
    parser: &Parser<'_>,
    error: ParserError,
) -> Error {
    let whole = span_of(text, tokens);
    let end = Span { start: whole.end, end: whole.end };
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return text.syntax(
                whole,
                "the query is nested too deeply",
                "close every bracket and every CASE; give parts of it names with WITH or CREATE TEMPORARY VIEW",
            );
        }
    };
    let (what, location) = match message.split_once(" at Line: ") {
        Some((what, at)) => (what, location_of(at)),
        None => (message.as_str(), None),
    };
    let at_token = location.and_then(|l| text.byte(l)).and_then(|start| {
        let token = tokens.iter().find(|t| text.span(t.span).is_some_and(|s| s.start == start))?;
        text.span(token.span)
    });
    let place = match at_token {
        Some(span) => span,
        None if message.contains("found: EOF") => end,
        None => {
            let last = tokens.get(parser.index().saturating_sub(1)).and_then(|t| text.span(t.span));
            last.unwrap_or(end)
        }
    };
    let what = match what.strip_prefix("Expected: ").and_then(|w| w.split_once(", found: ")) {
        Some((expected, "EOF")) => {
            format!("expected {}, but the statement ends", with_article(expected))
        }
        Some((expected, _)) => {
            format!("expected {}, found '{}'", with_article(expected), text.slice(place))
        }
        None => format!("cannot read this query: {what}"),
    };
    let hint = if text.slice(place).eq_ignore_ascii_case("WATERMARK") {
        "the alias stands behind it: FROM STREAM t WATERMARK ts DELAY OF INTERVAL 10 MINUTES AS a"
    } else if what.starts_with("expected the end of the statement") {
        "a comma, an operator or a ';' may be missing before this"
    } else if what.starts_with("expected an expression") {
        "a column or a value is missing before this; a name that is a keyword stands in `backquotes`"
    } else {
        "the query must be Spark SQL; a name that is a keyword stands in `backquotes`"
    };
    text.syntax(place, what, hint)
}

fn with_article(expected: &str) -> String {
    let vowel = expected.starts_with(['a', 'e', 'i', 'o', 'u']) && !expected.starts_with("an ");
    if vowel { format!("an {expected}") } else { expected.to_owned() }
}

/// `3, Column: 5` as the parser crate writes it.
fn location_of(text: &str) -> Option<Location> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
}

/// What can be named in a query: for the nearest name to one that does not exist.
pub(super) struct Names<'a> {
    pub(super) functions: &'a dyn Fn() -> Vec<String>,
}

/// An error of the planner. `query` is where its query stands.
pub(super) fn from_planner(
    text: &SourceText,
    query: Span,
    names: &Names<'_>,
    error: DataFusionError,
) -> Error {
    let mut place = None;
    let mut error = error;
    loop {
        error = match error {
            DataFusionError::Diagnostic(diagnostic, inner) => {
                place = place.or(place_of(text, &diagnostic));
                *inner
            }
            DataFusionError::Context(_, inner) => *inner,
            DataFusionError::Collection(mut all) if !all.is_empty() => all.swap_remove(0),
            other => break classify(text, query, place, names, other),
        };
    }
}

fn classify(
    text: &SourceText,
    query: Span,
    place: Option<Span>,
    names: &Names<'_>,
    error: DataFusionError,
) -> Error {
    let at = |e: Error| e.at(text.place(place.unwrap_or(query)));
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) if ours.place().is_some() => *ours,
            Ok(ours) => {
                let mut named = ["session_window", "window"].into_iter();
                let named = named.find(|word| ours.message().contains(word));
                let place = place.or_else(|| find(text, query, named?));
                ours.at(text.place(place.unwrap_or(query)))
            }
            Err(other) => at(Error::sql("INVALID_QUERY", other.to_string())),
        },
        DataFusionError::SchemaError(schema, _) => from_schema(text, query, place, &schema),
        DataFusionError::NotImplemented(what) => {
            // What follows is the tree of the query, which says nothing to its author.
            let what = what.split(" {").next().unwrap_or_default();
            at(Error::sql("UNSUPPORTED_FEATURE", format!("not supported yet: {}", plain(what)))
                .hint("the message names the part of the query to write differently"))
        }
        other => {
            let message = plain(&other.strip_backtrace());
            let error = by_message(&message, names);
            let place = place.or_else(|| quoted_word(&message).and_then(|w| find(text, query, w)));
            error.at(text.place(place.unwrap_or(query)))
        }
    }
}

/// An error of the planner about a query that has no text.
pub(super) fn from_calls(error: DataFusionError) -> Error {
    match error {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => {
            from_calls(*inner)
        }
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::sql("INVALID_QUERY", other.to_string()),
        },
        DataFusionError::SchemaError(schema, _) => schema_error(&schema),
        other => {
            let names = Names { functions: &Vec::new };
            by_message(&plain(&other.strip_backtrace()), &names)
        }
    }
}

/// Errors that the planner gives as text alone.
fn by_message(message: &str, names: &Names<'_>) -> Error {
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or(rest);
        return unresolved_routine(name, &(names.functions)());
    }
    if message.contains("must appear in the GROUP BY clause")
        || message.contains("must be part of GROUP BY clause")
        || message.contains("could not be resolved from available columns")
    {
        let column = quoted_word(message).unwrap_or("a column").to_owned();
        let what = format!("'{column}' is neither grouped by nor inside an aggregate function");
        return Error::sql("MISSING_AGGREGATION", what).hint(format!(
            "add it to GROUP BY, or take one value of each group with any_value({column})"
        ));
    }
    if let Some(error) = wrong_types(message) {
        return error;
    }
    if message.starts_with("Projections require unique expression names") {
        let quoted =
            message.split_once('"').and_then(|(_, rest)| rest.split_once("\" at position"));
        let first = quoted.map_or("?", |(first, _)| first);
        let name = first.rsplit(" AS ").next().unwrap_or(first);
        let name = if name.contains('(') { name } else { name.rsplit('.').next().unwrap_or(name) };
        return Error::sql("COLUMN_ALREADY_EXISTS", format!("two columns are called '{name}'"))
            .hint("give one of them another name with AS");
    }
    if message.contains("UNION") && message.contains("column") {
        return Error::sql("NUM_COLUMNS_MISMATCH", message.to_owned())
            .hint("give both sides of UNION the same number of columns");
    }
    Error::sql("INVALID_QUERY", message.to_owned())
}

fn wrong_types(message: &str) -> Option<Error> {
    let mismatch = |what: String, hint: &str| {
        Some(Error::sql("DATATYPE_MISMATCH", what).hint(hint.to_owned()))
    };
    const CAST: &str = "convert with CAST(value AS TYPE), or use a function for these types";
    if let Some((_, call)) = message.split_once("given name and argument types '") {
        let call = call.rsplit_once('\'').map_or(call, |(call, _)| call);
        let name = call.split('(').next().unwrap_or(call);
        return mismatch(format!("{name} cannot be called as {call}"), CAST);
    }
    if let Some((_, rest)) = message.split_once("non-boolean predicate '") {
        let (expr, rest) = rest.split_once("' returning ").unwrap_or((rest, "something else"));
        let what = format!("a condition must be BOOLEAN, and {expr} is {rest}");
        return mismatch(what, "compare it with something, as in value > 0");
    }
    if let Some(field) = message.strip_prefix("Field ").and_then(|m| m.split_once(" not found")) {
        return Some(
            Error::sql("FIELD_NOT_FOUND", format!("the struct has no field '{}'", field.0)).hint(
                "the fields are those of its type in CREATE TABLE; a window has start and end",
            ),
        );
    }
    if message.starts_with("join condition should not be empty") {
        return Some(
            Error::sql("INVALID_QUERY", "this join has no condition")
                .hint("write ON a.key = b.key, or USING (key)"),
        );
    }
    let named = [
        ("Failed to coerce then", "DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
        ("Can not find compatible types to compare", "DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
        ("common argument type for comparison", "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"),
    ];
    if let Some((_, condition)) = named.iter().find(|(part, _)| message.contains(part)) {
        return Some(Error::sql(*condition, message.trim_end_matches('.').to_owned()).hint(CAST));
    }
    const OTHERS: [&str; 7] = [
        "oerce",
        "coercion",
        "Cannot infer common",
        "Cannot cast",
        "Unsupported CAST",
        "Cannot get result type",
        "Invalid comparison",
    ];
    let known = OTHERS.iter().any(|part| message.contains(part));
    if known { mismatch(message.trim_end_matches('.').to_owned(), CAST) } else { None }
}

fn from_schema(text: &SourceText, query: Span, place: Option<Span>, error: &SchemaError) -> Error {
    let place = place.or_else(|| match error {
        SchemaError::FieldNotFound { field, .. } | SchemaError::AmbiguousReference { field } => {
            find(text, query, &field.name)
        }
        _ => None,
    });
    schema_error(error).at(text.place(place.unwrap_or(query)))
}

fn schema_error(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let known: Vec<&str> = valid_fields.iter().map(|f| f.name.as_str()).collect();
            let elsewhere = valid_fields.iter().find(|f| f.name == field.name);
            match (&field.relation, elsewhere.and_then(|f| f.relation.as_ref())) {
                (Some(written), Some(owner)) => {
                    let what = format!("'{}' has no column '{}' here", written.table(), field.name);
                    Error::sql("UNRESOLVED_COLUMN.WITH_SUGGESTION", what).hint(format!(
                        "did you mean '{}.{}'?",
                        owner.table(),
                        field.name
                    ))
                }
                _ => unresolved_column(&field.name, &known),
            }
        }
        SchemaError::AmbiguousReference { field } => ambiguous_column(&field.name),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::sql("COLUMN_ALREADY_EXISTS", format!("two columns are called '{name}'"))
                .hint("give one of them another name with AS")
        }
    }
}

/// A name that several tables have.
pub(super) fn ambiguous_column(name: &str) -> Error {
    let what = format!("'{name}' could be a column of more than one table");
    Error::sql("AMBIGUOUS_REFERENCE", what)
        .hint(format!("write the table before it, as in t.{name}"))
}

/// A column that does not exist, with what there is.
pub(super) fn unresolved_column(name: &str, known: &[&str]) -> Error {
    let mut distinct: Vec<&str> = Vec::new();
    for column in known {
        if !distinct.contains(column) {
            distinct.push(column);
        }
    }
    let error = |condition, hint: String| {
        Error::sql(condition, format!("there is no column '{name}'")).hint(hint)
    };
    if distinct.is_empty() {
        return error("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "there is no column here".to_owned());
    }
    let hint = match nearest(name, distinct.iter().copied()) {
        Some(near) => format!("did you mean '{near}'? There is {}", distinct.join(", ")),
        None => format!("there is {}", distinct.join(", ")),
    };
    error("UNRESOLVED_COLUMN.WITH_SUGGESTION", hint)
}

/// A function that does not exist, with the nearest that does.
pub(super) fn unresolved_routine(name: &str, known: &[String]) -> Error {
    let what = match super::functions::is_spark(name) {
        true => format!("the function '{name}' of Spark is not there yet"),
        false => format!("there is no function '{name}'"),
    };
    let error = Error::sql("UNRESOLVED_ROUTINE", what);
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error.hint("the functions are Spark's, by their names"),
    }
}

/// A table that does not exist, with the nearest that does.
pub(super) fn unresolved_table<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.collect();
    let error =
        Error::sql("TABLE_OR_VIEW_NOT_FOUND", format!("there is no table or view '{name}'"));
    match nearest(name, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None if known.is_empty() => error
            .hint(format!("say where it lies: CREATE TABLE {name} USING json OPTIONS (path '…')")),
        None => error.hint(format!("there is {}", known.join(", "))),
    }
}

/// The name that was probably meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .map(|k| (strsim::damerau_levenshtein(&name, &k.to_lowercase()), k))
        .filter(|(distance, _)| *distance <= 1 + name.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

fn place_of(text: &SourceText, diagnostic: &Diagnostic) -> Option<Span> {
    let span = diagnostic.span?;
    let at = |l: datafusion::common::Location| Location { line: l.line, column: l.column };
    let start = text.byte(at(span.start))?;
    Some(Span { start, end: text.byte(at(span.end)).unwrap_or(start).max(start) })
}

/// The first `"quoted"` or `'quoted'` name in a message, without its table.
fn quoted_word(message: &str) -> Option<&str> {
    let open = message.find(['"', '\''])?;
    let rest = &message[open + 1..];
    let word = &rest[..rest.find(['"', '\''])?];
    Some(word.rsplit('.').next().unwrap_or(word))
}

/// Where a word stands in the query.
fn find(text: &SourceText, query: Span, word: &str) -> Option<Span> {
    if word.is_empty() {
        return None;
    }
    let within = text.slice(query);
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let (at, found) = within.match_indices(word).find(|(at, found)| {
        !within[..*at].ends_with(is_name) && !within[at + found.len()..].starts_with(is_name)
    })?;
    Some(Span { start: query.start + at, end: query.start + at + found.len() })
}

/// A message without the planner's own prefixes.
fn plain(message: &str) -> String {
    let mut message = message;
    for prefix in [
        "Error during planning: ",
        "This feature is not implemented: ",
        "Schema error: ",
        "type_coercion\ncaused by\n",
        "External error: ",
    ] {
        message = message.strip_prefix(prefix).unwrap_or(message);
    }
    const TYPES: [(&str, &str); 9] = [
        ("Timestamp(µs, \"UTC\")", "TIMESTAMP"),
        ("Timestamp(µs)", "TIMESTAMP_NTZ"),
        ("Utf8", "STRING"),
        ("Int64", "BIGINT"),
        ("Int32", "INT"),
        ("Float64", "DOUBLE"),
        ("Float32", "FLOAT"),
        ("Boolean", "BOOLEAN"),
        ("Date32", "DATE"),
    ];
    TYPES.iter().fold(message.trim().to_owned(), |text, (arrow, spark)| text.replace(arrow, spark))
}
