//! Texts of JSON that stand in a column, one a row, into a column of another type.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;

use super::Mode;
use super::column::{Column, Fit};
use super::cursor::Cursor;
use crate::calendar::Zone;
use crate::error::{Error, Result};
use crate::sources::time_forms::TimeForms;

/// The values of these texts. By the type, a text that is no JSON is, in PERMISSIVE mode, a struct
/// of NULLs, or NULL; in FAILFAST mode an error. A text without anything in it is NULL.
///
/// The types are those that a table of JSON can have. Times that name no zone are in `zone`.
pub fn values(
    texts: &StringArray,
    data_type: &DataType,
    mode: Mode,
    zone: &Zone,
) -> Result<ArrayRef> {
    let mut column = Column::new(data_type, &Arc::new(TimeForms::in_zone(zone)))?;
    for text in texts {
        let before = column.len();
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            column.push_null();
            continue;
        };
        // An object alone stands for an array of one.
        let alone = matches!(data_type, DataType::List(_)) && text.trim_start().starts_with('{');
        let taken = match alone {
            true => column.take(&mut Cursor::new(&format!("[{text}]"))),
            false => column.take(&mut Cursor::new(text)),
        };
        if let Ok(Fit::Whole) | Ok(Fit::Partly) = taken
            && (mode != Mode::FailFast || matches!(taken, Ok(Fit::Whole)))
        {
            continue;
        }
        if mode == Mode::FailFast {
            let what = match taken {
                Err(broken) => broken.what,
                Ok(_) => "has a value of another type",
            };
            return Err(Error::input(
                "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
                format!("a text of JSON {what}"),
            )
            .hint("leave the option mode out, and what cannot be read is NULL"));
        }
        column.truncate(before);
        match data_type {
            DataType::Struct(_) => {
                let empty = column.take(&mut Cursor::new("{}"));
                debug_assert!(empty.is_ok(), "{empty:?}");
            }
            _ => column.push_null(),
        }
    }
    column.finish()
}
