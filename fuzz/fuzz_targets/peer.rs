//! serde_json as the peer of the program's own decoder: what it takes as an object, strictly, must
//! give the same values here.
//!
//! Not compared, since Spark's rule is another one than serde_json's: lines in which an object has a
//! name twice (there the last value *of the right type* counts), `-0` (a whole number for Spark, a
//! float for serde_json), the last bit of a float, columns of dates, decimals and bytes (which are
//! texts in JSON), and what only Spark takes: single quotes, NaN, text behind the object.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use serde_json::Number;
use strandline::sources::SourceRead;
use strandline::sources::json::{JsonOptions, Mode};

/// A value, in whose objects a name may come twice.
enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// The lines of a file by the simplest rule there is: the bytes between `\n`, `\r\n` and `\r`, from 1,
/// those that are blank left out.
pub fn lines(file: &[u8]) -> Vec<(u64, &[u8])> {
    let mut rest = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
    let (mut lines, mut number) = (Vec::new(), 0);
    while !rest.is_empty() {
        number += 1;
        let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        if line.iter().any(|b| !matches!(b, b' ' | b'\t')) {
            lines.push((number, line));
        }
        rest = match after {
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
            [] => after,
        };
    }
    lines
}

/// Looks at every line that serde_json takes.
pub fn compare(read: &SourceRead, schema: &SchemaRef, files: &[&[u8]], options: &JsonOptions) {
    if options.mode != Mode::Permissive {
        return;
    }
    let Some(first) = read.batches.first() else { return };
    let all = arrow::compute::concat_batches(&first.schema(), &read.batches).expect("one schema");
    let mut next = 0;
    for (number, file) in files.iter().enumerate() {
        if file.starts_with(b"\xFF\xFE")
            || file.starts_with(b"\xFE\xFF")
            || file.starts_with(b"\0\0\xFE\xFF")
        {
            return;
        }
        for (line, text) in lines(file) {
            let file = format!("input/{number}.json");
            let of_line = |row: u64| {
                read.places.find(row).is_some_and(|p| *p.file == *file && p.line == line)
            };
            let row = next;
            while of_line(next) {
                next += 1;
            }
            let Ok(Node::Object(fields)) = serde_json::from_slice::<Node>(text) else { continue };
            if has_twins(&fields) {
                continue;
            }
            let shown = String::from_utf8_lossy(text);
            assert_eq!(next, row + 1, "one row of {shown}");
            let bad = read.bad.iter().any(|b| *b.file == *file && b.line == line);
            assert!(!bad, "serde_json takes {shown}");
            let mut fits = true;
            let mut judged = true;
            for (column, field) in schema.fields().iter().enumerate() {
                if *field.name() == options.corrupt_record {
                    continue;
                }
                let found = fields.iter().find(|(name, _)| name == field.name());
                match agrees(
                    found.map_or(&Node::Null, |(_, node)| node),
                    all.column(column),
                    row as usize,
                ) {
                    Some(fit) => fits &= fit == Fit::Whole,
                    None if found.is_some() => judged = false,
                    None => {}
                }
            }
            if judged {
                let mistyped = read.mistyped.iter().any(|m| m.row == row);
                assert_eq!(mistyped, !fits, "mistyped: {shown}");
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Whole,
    Partly,
    Not,
}

/// Whether the value in the row is the one of the text; `None`: nobody can say.
fn agrees(node: &Node, array: &ArrayRef, row: usize) -> Option<Fit> {
    if let Node::Null = node {
        assert!(array.is_null(row), "a value out of null");
        return Some(Fit::Whole);
    }
    let fit = match (array.data_type(), node) {
        (DataType::Int64, Node::Number(number))
            if number.is_f64() && number.as_f64() == Some(0.0) =>
        {
            return None;
        }
        (DataType::Int64, Node::Number(number)) => match number.as_i64() {
            Some(value) => {
                assert!(array.is_valid(row), "{number} is NULL");
                assert_eq!(array.as_primitive::<Int64Type>().value(row), value);
                Fit::Whole
            }
            // A number beyond BIGINT is a float for serde_json.
            None => Fit::Not,
        },
        (DataType::Float64, Node::Number(number)) => {
            let (value, found) = (number.as_f64()?, array.as_primitive::<Float64Type>().value(row));
            assert!(array.is_valid(row), "{number} is NULL");
            assert!((value - found).abs() <= value.abs() * 1e-14, "{value} is {found}");
            Fit::Whole
        }
        (DataType::Float64, Node::Text(text)) if text.contains(['N', 'I']) => return None,
        (DataType::Boolean, Node::Bool(value)) => {
            assert!(array.is_valid(row));
            assert_eq!(array.as_boolean().value(row), *value);
            Fit::Whole
        }
        (DataType::Utf8, node) => {
            assert!(array.is_valid(row), "a text is NULL");
            text_agrees(node, array.as_string::<i32>().value(row));
            Fit::Whole
        }
        (DataType::List(_), Node::List(nodes)) => {
            let list = array.as_list::<i32>();
            if array.is_null(row) {
                // A whole array is NULL for one element that does not fit.
                return None;
            }
            let items = list.value(row);
            assert_eq!(items.len(), nodes.len());
            let mut worst = Fit::Whole;
            for (at, node) in nodes.iter().enumerate() {
                let fit = agrees(node, &items, at)?;
                assert!(fit != Fit::Not, "an element of another type in an array that is there");
                worst = worst.max(fit);
            }
            worst
        }
        (DataType::Struct(fields), Node::Object(named)) => {
            assert!(array.is_valid(row), "a struct is NULL");
            let columns = array.as_struct().columns();
            let mut worst = Fit::Whole;
            for (field, column) in fields.iter().zip(columns) {
                let found = named.iter().find(|(name, _)| name == field.name());
                let fit = agrees(found.map_or(&Node::Null, |(_, node)| node), column, row)?;
                worst = worst.max(if fit == Fit::Whole { fit } else { Fit::Partly });
            }
            return Some(worst);
        }
        (
            DataType::Int64
            | DataType::Float64
            | DataType::Boolean
            | DataType::List(_)
            | DataType::Struct(_),
            _,
        ) => Fit::Not,
        _ => return None,
    };
    if fit == Fit::Not {
        assert!(array.is_null(row), "a value of another type");
    }
    Some(fit)
}

/// A column of texts holds the text, or the JSON as it is written.
fn text_agrees(node: &Node, found: &str) {
    match node {
        Node::Text(text) => assert_eq!(text, found),
        Node::Bool(value) => assert_eq!(value.to_string(), found),
        Node::Number(number) if number.is_f64() => {}
        Node::Number(number) => assert_eq!(number.to_string(), found),
        Node::Null => {}
        Node::List(nodes) => {
            let again: Vec<serde_json::Value> = serde_json::from_str(found).expect("an array");
            assert_eq!(again.len(), nodes.len());
        }
        Node::Object(fields) => {
            let again: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(found).expect("an object");
            assert_eq!(again.len(), fields.len());
        }
    }
}

fn has_twins(fields: &[(String, Node)]) -> bool {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1]) || fields.iter().any(|(_, node)| twins_in(node))
}

fn twins_in(node: &Node) -> bool {
    match node {
        Node::List(nodes) => nodes.iter().any(twins_in),
        Node::Object(fields) => has_twins(fields),
        _ => false,
    }
}

impl<'de> serde::Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> serde::de::Visitor<'de> for Visitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = from.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = from.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Object(fields))
    }
}
