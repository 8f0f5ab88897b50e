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
    /// The n-th field of the last object: its name as written, and its column if it has one. Most
    /// objects of a file have the same fields in the same order, so this guess saves the search.
    last: Vec<(Box<str>, Option<usize>)>,
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
        while let Some(name) = cursor.field(position == 0)? {
            let column = self.find(position, &name)?;
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

    /// The column for the field at this position of the object.
    #[inline]
    fn find(&mut self, position: usize, name: &Quoted) -> Result<Option<usize>, Broken> {
        match self.last.get(position) {
            Some((last, column)) if **last == *name.written() => return Ok(*column),
            _ => {}
        }
        let meant = name.text()?;
        let column = self.names.iter().position(|n| **n == *meant);
        let seen = (name.written().into(), column);
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
