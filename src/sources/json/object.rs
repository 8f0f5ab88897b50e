//! The fields of an object into columns: the root of a line, and each STRUCT below it.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::Fields;

use super::column::{Column, Fit};
use super::cursor::{Broken, Cursor, Quoted};
use crate::error::Result;
use crate::sources::time_forms::TimeForms;

/// Positions of an object for which a guess is kept.
const GUESSES: usize = 256;

/// Columns by name. Names are matched exactly, with their case, as in Spark.
pub(super) struct Object {
    names: Vec<Arc<str>>,
    columns: Vec<Column>,
    /// The n-th field of the last object: all that was written from the value before it to its own,
    /// such as `,"name":`, and its column if it has one. Most objects of a file have the same fields
    /// in the same order and the same blanks, so this guess saves the walk and the search; where the
    /// bytes are others, the field is taken by the grammar.
    last: Vec<(Box<[u8]>, Option<usize>)>,
    /// How many objects there are (an object without columns has nobody else to count them).
    len: usize,
    /// The first column whose value in the last object had the wrong type.
    mistyped: Option<usize>,
}

impl Object {
    /// Empty columns of these names and types.
    pub fn new(fields: &Fields, times: &Arc<TimeForms>) -> Result<Self> {
        let columns =
            fields.iter().map(|f| Column::new(f.data_type(), times)).collect::<Result<_>>()?;
        let names = fields.iter().map(|f| f.name().as_str().into()).collect();
        Ok(Self { names, columns, last: Vec::new(), len: 0, mistyped: None })
    }

    /// How many objects were taken.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The name of the first column whose value in the last object had the wrong type.
    pub fn mistyped(&self) -> Option<&Arc<str>> {
        self.mistyped.map(|column| &self.names[column])
    }

    /// Appends NULL to each column.
    pub fn push_null(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
        self.len += 1;
    }

    /// Cuts each column back.
    pub fn truncate(&mut self, len: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(len));
        self.len = len;
    }

    /// Takes the fields of an object whose `{` is taken. A field that comes twice counts the last
    /// time that it has the type of its column; one that does not come is NULL. After `Broken` the columns may hold half of it:
    /// the caller cuts them back.
    pub fn take(&mut self, cursor: &mut Cursor) -> Result<Fit, Broken> {
        let row = self.len;
        let mut position = 0;
        let mut taken = 0;
        self.mistyped = None;
        loop {
            let guess = self.last.get(position);
            let column = match guess {
                Some((written, column)) if cursor.takes(written) => *column,
                _ => {
                    let start = cursor.position();
                    let Some(name) = cursor.field(position == 0)? else { break };
                    self.find(position, &name, cursor.since(start))?
                }
            };
            position += 1;
            let Some(index) = column else {
                cursor.skip()?;
                continue;
            };
            let column = &mut self.columns[index];
            let again = column.len() > row;
            taken += usize::from(!again);
            let fit = if again { column.take_again(cursor, row)? } else { column.take(cursor)? };
            if fit == Fit::Not && !again {
                column.push_null();
            }
            if fit != Fit::Whole {
                self.mistyped = self.mistyped.or(Some(index));
            }
        }
        if taken < self.columns.len() {
            let absent = self.columns.iter_mut().filter(|column| column.len() == row);
            absent.for_each(Column::push_null);
        }
        self.len += 1;
        Ok(if self.mistyped.is_none() { Fit::Whole } else { Fit::Partly })
    }

    /// The column for the field at this position of the object; `written` is what the next object is
    /// expected to have in its place.
    fn find(
        &mut self,
        position: usize,
        name: &Quoted,
        written: &str,
    ) -> Result<Option<usize>, Broken> {
        let meant = name.text()?;
        let column = self.names.iter().position(|n| **n == *meant);
        let seen = (written.as_bytes().into(), column);
        if position < self.last.len() {
            self.last[position] = seen;
        } else if position < GUESSES {
            self.last.push(seen);
        }
        Ok(column)
    }

    /// The columns as arrays; they are empty again.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.len = 0;
        self.columns.iter_mut().map(Column::finish).collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int64Type};
    use proptest::prelude::*;

    use super::*;

    /// The columns `a`, `b` and `é` of these objects; `None`: one of them is broken there.
    fn taken(objects: &[String]) -> Vec<Option<Vec<Option<i64>>>> {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let fields: Fields = vec![field("a"), field("b"), field("é")].into();
        let mut object = Object::new(&fields, &Arc::default()).unwrap();
        let read = |text: &String| {
            let mut cursor = Cursor::new(text);
            assert!(cursor.takes(b"{"));
            let row = object.len();
            if object.take(&mut cursor).is_err() || cursor.next_byte().is_some() {
                object.truncate(row);
                object.push_null();
                return None;
            }
            Some(row)
        };
        let rows: Vec<Option<usize>> = objects.iter().map(read).collect();
        let columns = object.finish().unwrap();
        let value = |column: &ArrayRef, row: usize| {
            let column = column.as_primitive::<Int64Type>();
            arrow::array::Array::is_valid(column, row).then(|| column.value(row))
        };
        let values = |row: usize| columns.iter().map(|column| value(column, row)).collect();
        rows.into_iter().map(|row| row.map(values)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_stood_in_the_objects_before_changes_nothing(objects in proptest::collection::vec(
            proptest::collection::vec(
                (prop::sample::select(vec![",", ", ", " ,", "", ",,"]),
                 prop::sample::select(vec!["\"a\":", "\"b\":", "\"b\" : ", "\"\\u0061\":", "\"é\":", "'a':", "\"c\":", "\"a\""]),
                 prop::sample::select(vec!["1", "2 ", "null", "{\"a\":3}", "[4]", "x"])),
                0..4),
            1..8))
        {
            let text = |fields: &Vec<(&str, &str, &str)>| {
                let inner: String = fields.iter().enumerate()
                    .map(|(at, (comma, name, value))| {
                        // Mostly as it should be: broken objects are soon all alike.
                        let comma = if at == 0 { "" } else if comma.is_empty() { "," } else { *comma };
                        format!("{comma}{name}{value}")
                    })
                    .collect();
                format!("{{{inner}}}")
            };
            let objects: Vec<String> = objects.iter().map(text).collect();
            let alone: Vec<_> =
                objects.iter().flat_map(|object| taken(std::slice::from_ref(object))).collect();
            prop_assert_eq!(taken(&objects), alone);
        }
    }
}
