//! What is kept: the columns of a state, and what each is for.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};

use crate::error::{Error, Result};

/// A table that an operator keeps: its name and columns.
#[derive(Debug, Clone)]
pub struct StateShape {
    /// What it holds (`groups`, `left` …); its folder below the operator's.
    pub name: &'static str,
    /// The columns, the key first.
    pub schema: SchemaRef,
    /// How many of them are the key.
    pub keys: usize,
    /// By how many of the leading key columns rows are found. All of them: there is one row a key,
    /// and a new one takes its place. Fewer: there may be any number of rows with the same ones.
    pub lookup: usize,
    /// The key column whose value, in microseconds, the watermark must reach for the row to go.
    pub expiry: Option<usize>,
    /// Where rows are always sought within a short range of time: about how long that range is, in
    /// microseconds. Such rows are found at a cost that follows the rows in the range, however
    /// many have the same key. Only in memory: it may be another one at the next start.
    pub grain_us: Option<i64>,
}

impl StateShape {
    /// Whether there is one row a key.
    pub fn is_unique(&self) -> bool {
        self.lookup == self.keys
    }

    /// Looks at the shape itself: a mistake in it is one of the engine.
    pub(super) fn check(&self) -> Result<()> {
        let columns = self.schema.fields().len();
        let is_time = |column: usize| {
            column < self.keys
                && matches!(
                    self.schema.field(column).data_type(),
                    DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Int64
                )
        };
        let wrong = if self.keys > columns || self.lookup > self.keys {
            format!("{} of {} keys in rows of {columns} columns", self.lookup, self.keys)
        } else if let Some(column) = self.expiry.filter(|&column| !is_time(column)) {
            format!("expiry by column {column}, which is no time among the keys")
        } else if self.grain_us.is_some_and(|grain| grain <= 0 || self.expiry.is_none()) {
            "a grain of time without a time".to_string()
        } else {
            return Ok(());
        };
        Err(Error::internal(format!("a state cannot have this shape: {wrong}")))
    }

    /// The caller's columns must be the first ones of this shape.
    pub(super) fn fits(&self, columns: &[ArrayRef], expected: usize, doing: &str) -> Result<()> {
        let fields = self.schema.fields();
        let fits = columns.len() == expected
            && columns.iter().zip(fields).all(|(c, f)| c.data_type() == f.data_type());
        if fits {
            return Ok(());
        }
        let types: Vec<String> = columns.iter().map(|c| c.data_type().to_string()).collect();
        Err(Error::internal(format!(
            "state rows of ({}) {doing} in a table of {} keys and the columns {}",
            types.join(", "),
            self.keys,
            self.schema
        )))
    }
}
