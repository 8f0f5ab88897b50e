//! Functions that take a text of JSON apart: `get_json_object`, `json_tuple`, `json_array_length`,
//! `json_object_keys`. A text that is no JSON gives NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray, StructArray};
use arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;

use super::definition::{Call, Definition, wrong_count};
use super::json_text::quote;
use super::lists::Picks;
use super::widen::{list, structure};
use crate::json::{Broken, Cursor, Token};
use crate::sql::casts::double_text;

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let string = |_: &[DataType]| Ok(DataType::Utf8);
    let int = |_: &[DataType]| Ok(DataType::Int32);
    let strings = |_: &[DataType]| Ok(list(DataType::Utf8));
    let fields = |types: &[DataType]| {
        Ok(structure((1..types.len()).map(|at| (format!("c{}", at - 1), DataType::Utf8))))
    };
    vec![
        Definition { name: "get_json_object", takes: text_and_path, gives: string, value: get },
        Definition { name: "json_tuple", takes: texts, gives: fields, value: tuple },
        Definition { name: "json_array_length", takes: text, gives: int, value: array_length },
        Definition { name: "json_object_keys", takes: text, gives: strings, value: object_keys },
    ]
}

fn text(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types {
        [_] => Ok(vec![DataType::Utf8]),
        _ => Err(wrong_count("one text", types.len())),
    }
}

fn text_and_path(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types {
        [_, _] => Ok(vec![DataType::Utf8; 2]),
        _ => Err(wrong_count("a text and a path", types.len())),
    }
}

fn texts(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    match types.len() {
        0 | 1 => Err(wrong_count("a text and the names of fields", types.len())),
        count => Ok(vec![DataType::Utf8; count]),
    }
}

/// An argument that is a text.
pub(super) fn strings(array: &ArrayRef) -> PlanResult<&StringArray> {
    match array.as_string_opt::<i32>() {
        Some(texts) => Ok(texts),
        None => exec_err!("a function of texts was handed {}", array.data_type()),
    }
}

/// One step of a path into a value.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// `.name` or `['name']`.
    Field(String),
    /// `[n]`, from 0.
    Item(usize),
    /// `[*]`.
    Items,
}

/// The steps of `$.a[0]['b'][*]`; `None`: the text is no path.
fn path(text: &str) -> Option<Vec<Step>> {
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(after) = rest.strip_prefix("['") {
            let (name, after) = after.split_once("']")?;
            (Step::Field(name.to_owned()), after)
        } else if let Some(after) = rest.strip_prefix('[') {
            let (place, after) = after.split_once(']')?;
            let step = match place {
                "*" => Step::Items,
                place => Step::Item(place.parse().ok()?),
            };
            (step, after)
        } else {
            let after = rest.strip_prefix('.')?;
            let (name, after) = after.split_at(after.find(['.', '[']).unwrap_or(after.len()));
            (Step::Field(name.to_owned()), after)
        };
        if matches!(&step, Step::Field(name) if name.is_empty() || name == "*") {
            return None;
        }
        steps.push(step);
        rest = after;
    }
    Some(steps)
}

/// How a value that was found is written.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// A text without its quotes.
    Raw,
    /// As JSON.
    Quoted,
    /// As JSON, the items of an array without its brackets.
    Flat,
}

/// Appends what a path leads to, if it leads somewhere. The cursor is behind the value then.
fn follow(
    cursor: &mut Cursor,
    steps: &[Step],
    style: Style,
    out: &mut Vec<String>,
) -> Result<bool, Broken> {
    let token = cursor.token()?;
    match (token, steps) {
        (Token::Text(text), []) if style == Style::Raw => {
            out.push(text.text()?.into_owned());
            Ok(true)
        }
        (Token::Array, []) if style == Style::Flat => {
            each_item(cursor, |cursor, _| follow(cursor, steps, style, out))
        }
        (Token::Null, _) => Ok(false),
        (token, []) => {
            let mut text = String::new();
            copy(cursor, token, &mut text)?;
            out.push(text);
            Ok(true)
        }
        (Token::Object, [Step::Field(wanted), rest @ ..]) => {
            let (mut first, mut found) = (true, false);
            while let Some(name) = cursor.field(first)? {
                first = false;
                match !found && name.text()? == wanted.as_str() {
                    true => found = follow(cursor, rest, style, out)?,
                    false => cursor.skip()?,
                }
            }
            Ok(found)
        }
        (Token::Array, [Step::Items, Step::Items, rest @ ..]) => {
            let mut inner = Vec::new();
            let found =
                each_item(cursor, |cursor, _| follow(cursor, rest, Style::Flat, &mut inner))?;
            out.push(format!("[{}]", inner.join(",")));
            Ok(found)
        }
        (Token::Array, [Step::Items, rest @ ..]) => {
            let next = if style == Style::Flat { Style::Flat } else { Style::Quoted };
            let mut inner = Vec::new();
            let mut count = 0;
            each_item(cursor, |cursor, _| {
                let found = follow(cursor, rest, next, &mut inner)?;
                count += usize::from(found);
                Ok(found)
            })?;
            // A single match stands for itself, except below another array.
            match (count, style) {
                (0, _) => return Ok(false),
                (1, Style::Raw | Style::Flat) => out.push(inner.join(",")),
                _ => out.push(format!("[{}]", inner.join(","))),
            }
            Ok(true)
        }
        (Token::Array, [Step::Item(wanted), rest @ ..]) => {
            let style = if rest.first() == Some(&Step::Items) { Style::Quoted } else { style };
            each_item(cursor, |cursor, at| match at == *wanted {
                true => follow(cursor, rest, style, out),
                false => cursor.skip().map(|()| false),
            })
        }
        (token, _) => {
            cursor.skip_rest(token, 1)?;
            Ok(false)
        }
    }
}

/// Does something at each item of an array; whether it was true for one.
fn each_item<'a>(
    cursor: &mut Cursor<'a>,
    mut take: impl FnMut(&mut Cursor<'a>, usize) -> Result<bool, Broken>,
) -> Result<bool, Broken> {
    let (mut place, mut found) = (0, false);
    while cursor.element(place == 0)? {
        found |= take(cursor, place)?;
        place += 1;
    }
    Ok(found)
}

/// Appends a value as JSON without blanks, numbers as Java writes them.
fn copy(cursor: &mut Cursor, token: Token, out: &mut String) -> Result<(), Broken> {
    match token {
        Token::Null => out.push_str("null"),
        Token::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Token::Whole(digits) => out.push_str(digits),
        Token::Fraction(text) => match text.parse() {
            Ok(number) => out.push_str(&double_text(number)),
            Err(_) => out.push_str(text),
        },
        Token::Text(text) => quote(&text.text()?, out),
        Token::Object => {
            let mut first = true;
            out.push('{');
            while let Some(name) = cursor.field(first)? {
                if !first {
                    out.push(',');
                }
                first = false;
                quote(&name.text()?, out);
                out.push(':');
                let value = cursor.token()?;
                copy(cursor, value, out)?;
            }
            out.push('}');
        }
        Token::Array => {
            let mut first = true;
            out.push('[');
            while cursor.element(first)? {
                if !first {
                    out.push(',');
                }
                first = false;
                let value = cursor.token()?;
                copy(cursor, value, out)?;
            }
            out.push(']');
        }
    }
    Ok(())
}

fn get(call: &Call) -> PlanResult<ArrayRef> {
    let (texts, paths) = (strings(&call.args[0])?, strings(&call.args[1])?);
    let mut known: (Option<&str>, Option<Vec<Step>>) = (None, None);
    let found = texts.iter().zip(paths).map(|(text, written)| {
        let (text, written) = (text?, written?);
        if known.0 != Some(written) {
            known = (Some(written), path(written));
        }
        let mut out = Vec::new();
        let found = follow(&mut Cursor::new(text), known.1.as_ref()?, Style::Raw, &mut out);
        matches!(found, Ok(true)).then(|| out.join(","))
    });
    Ok(Arc::new(found.collect::<StringArray>()))
}

/// The texts of some fields of an object.
fn fields_of(text: &str, names: &[Option<&str>]) -> Result<Vec<Option<String>>, Broken> {
    let mut cursor = Cursor::new(text);
    let mut values = vec![None; names.len()];
    if !matches!(cursor.token()?, Token::Object) {
        return Ok(values);
    }
    let mut first = true;
    while let Some(name) = cursor.field(first)? {
        first = false;
        let name = name.text()?;
        let value = match cursor.token()? {
            Token::Null => None,
            Token::Text(text) => Some(text.text()?.into_owned()),
            token => {
                let mut text = String::new();
                copy(&mut cursor, token, &mut text)?;
                Some(text)
            }
        };
        let wanted = names.iter().zip(&mut values).filter(|(wanted, _)| **wanted == Some(&*name));
        wanted.for_each(|(_, place)| *place = value.clone());
    }
    Ok(values)
}

fn tuple(call: &Call) -> PlanResult<ArrayRef> {
    let texts = call.args.iter().map(strings).collect::<PlanResult<Vec<_>>>()?;
    let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); texts.len() - 1];
    for row in 0..call.rows {
        let names: Vec<Option<&str>> =
            texts[1..].iter().map(|names| names.is_valid(row).then(|| names.value(row))).collect();
        let found = texts[0].is_valid(row).then(|| fields_of(texts[0].value(row), &names).ok());
        let found = found.flatten().unwrap_or_else(|| vec![None; names.len()]);
        columns.iter_mut().zip(found).for_each(|(column, value)| column.push(value));
    }
    let DataType::Struct(fields) = call.gives else {
        return exec_err!("json_tuple gives a struct");
    };
    let columns = columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as ArrayRef);
    let columns = columns.collect();
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, call.rows)?))
}

fn array_length(call: &Call) -> PlanResult<ArrayRef> {
    let length = |text: &str| {
        let mut cursor = Cursor::new(text);
        let mut count = 0;
        if !matches!(cursor.token().ok()?, Token::Array) {
            return None;
        }
        each_item(&mut cursor, |cursor, _| {
            count += 1;
            cursor.skip().map(|()| true)
        })
        .ok()?;
        Some(count)
    };
    let lengths = strings(&call.args[0])?.iter().map(|text| length(text?));
    Ok(Arc::new(lengths.collect::<Int32Array>()))
}

fn object_keys(call: &Call) -> PlanResult<ArrayRef> {
    let keys = |text: &str| {
        let mut cursor = Cursor::new(text);
        let mut keys = Vec::new();
        if !matches!(cursor.token()?, Token::Object) {
            return cursor.broken("is no object");
        }
        while let Some(name) = cursor.field(keys.is_empty())? {
            keys.push(name.text()?.into_owned());
            cursor.skip()?;
        }
        Ok(keys)
    };
    let mut all: Vec<String> = Vec::new();
    let mut picks = Picks::new(call.rows);
    for text in strings(&call.args[0])? {
        match text.map(keys) {
            Some(Ok(keys)) => {
                picks.extend(all.len()..all.len() + keys.len());
                all.extend(keys);
                picks.close();
            }
            _ => picks.null(),
        }
    }
    picks.finish(&(Arc::new(StringArray::from(all)) as ArrayRef))
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Style, follow, path};

    fn get(text: &str, written: &str) -> Option<String> {
        let mut out = Vec::new();
        let found = follow(&mut Cursor::new(text), &path(written)?, Style::Raw, &mut out);
        matches!(found, Ok(true)).then(|| out.join(","))
    }

    /// Each line is what Spark 4.2 says.
    #[test]
    fn a_path_leads_where_it_leads_in_spark() {
        for (text, path, value) in [
            (r#"{"a":"b"}"#, "$.a", Some("b")),
            (r#"{"a":1.50}"#, "$.a", Some("1.5")),
            (r#"{"a":1e3}"#, "$.a", Some("1000.0")),
            (r#"{"a":12345678901234567890123}"#, "$.a", Some("12345678901234567890123")),
            (r#"{"a":null}"#, "$.a", None),
            (r#"{"a":[1,2,{"b":"x"}]}"#, "$.a[2].b", Some("x")),
            (r#"{"a":[1,2,{"b":"x"}]}"#, "$.a[*]", Some(r#"[1,2,{"b":"x"}]"#)),
            (r#"{"a":[{"b":1},{"c":2}]}"#, "$.a[*].b", Some("1")),
            (r#"{"a":[{"b":"x"}]}"#, "$.a[*].b", Some(r#""x""#)),
            (r#"[{"b":1},{"b":2}]"#, "$[*].b", Some("[1,2]")),
            (r#"{"a" : { "b" : 1 } }"#, "$.a", Some(r#"{"b":1}"#)),
            (r#"{"a":{"b":1}}"#, "a", None),
            (r#"{"a b":1}"#, "$['a b']", Some("1")),
            (r#"{"a":{"x":1}}"#, "$.a.*", None),
            (r#"{"a":1}"#, "$.A", None),
            (r#"{"a":["x\n"]}"#, "$.a", Some(r#"["x\n"]"#)),
            (r#"{"a":1"#, "$.a", None),
            (r#"{"a":[1,2]}"#, "$.a[5]", None),
            (r#"{"a":[1,2]}"#, "$.a[-1]", None),
            (r#"{"a":[[1,2],[3]]}"#, "$.a[*][0]", Some("[1,3]")),
            (r#"{"a":[[1,2],[3]]}"#, "$.a[0][*]", Some("[1,2]")),
            (r#"{"a":[{"b":[1,2]},{"b":[3]}]}"#, "$.a[*].b[*]", Some("[[1,2],[3]]")),
            (r#"{"a":1,"a":2}"#, "$.a", Some("1")),
            ("{'a':'x'}", "$.a", Some("x")),
            (r#"{"a":0.1}x"#, "$.a", Some("0.1")),
            (r#"{"a":[]}"#, "$.a[*]", None),
            (r#"{"a":[{"b":1}]}"#, "$.a.b", None),
        ] {
            assert_eq!(get(text, path).as_deref(), value, "{path} of {text}");
        }
    }
}
