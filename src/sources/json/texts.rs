//! Texts of JSON that stand in a column, one a row, into a column of another type.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StructArray};
use arrow::datatypes::{DataType, Fields, Schema};

use super::column::{Column, Fit};
use super::cursor::Cursor;
use super::{JsonOptions, Mode, OPTIONS, check_corrupt_record};
use crate::calendar::Zone;
use crate::error::{Error, Result};
use crate::sources::options::{Options, Rule};

/// The options of `from_json` and `schema_of_json`, which are those of a table of JSON as far as
/// they are about a single text; any other is ignored, as in Spark. Times that name no zone are
/// in `zone` unless the option `timeZone` names one.
///
/// # Errors
///
/// The mode is DROPMALFORMED, where there is no row to drop, or a value is none for its option.
pub fn options(mut given: Vec<(String, String)>, zone: &Zone) -> Result<JsonOptions> {
    let known = |name: &str| {
        let mut all = OPTIONS.iter().flat_map(|part| part.iter());
        all.any(|(of, rule)| matches!(rule, Rule::Honoured) && of.eq_ignore_ascii_case(name))
    };
    given.retain(|(name, value)| match name.eq_ignore_ascii_case("mode") {
        true => ["FAILFAST", "DROPMALFORMED"].contains(&value.to_uppercase().as_str()),
        false => known(name),
    });
    given.insert(0, ("timeZone".to_owned(), zone.name().to_owned()));
    let options = JsonOptions::from_options(&Options::new(&given, OPTIONS)?)?;
    if options.mode == Mode::DropMalformed {
        return Err(Error::sql("PARSE_MODE_UNSUPPORTED", "from_json cannot drop a row")
            .hint("write mode = PERMISSIVE or FAILFAST"));
    }
    Ok(options)
}

/// The values of these texts. By the type, a text that is no JSON is, in PERMISSIVE mode, a struct
/// of NULLs, or NULL; in FAILFAST mode an error. A text without anything in it is NULL. The field
/// of a struct that is called as `columnNameOfCorruptRecord` says holds the texts that did not fit.
///
/// The types are those that a table of JSON can have.
pub fn values(
    texts: &StringArray,
    data_type: &DataType,
    options: &JsonOptions,
) -> Result<ArrayRef> {
    let DataType::Struct(fields) = data_type else {
        return Ok(read(texts, data_type, options)?.0);
    };
    let Some((place, _)) = fields.find(&options.corrupt_record) else {
        return Ok(read(texts, data_type, options)?.0);
    };
    check_corrupt_record(&Schema::new(fields.clone()), &options.corrupt_record)?;
    let others = fields.iter().enumerate().filter(|(at, _)| *at != place);
    let others: Fields = others.map(|(_, field)| field.clone()).collect();
    let (values, corrupt) = read(texts, &DataType::Struct(others), options)?;
    let values = values.as_struct();
    let mut columns = values.columns().to_vec();
    columns.insert(place, Arc::new(corrupt.into_iter().collect::<StringArray>()));
    let (count, nulls) = (values.len(), values.nulls().cloned());
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, count)?))
}

/// The values, and the texts that did not fit.
fn read<'a>(
    texts: &'a StringArray,
    data_type: &DataType,
    options: &JsonOptions,
) -> Result<(ArrayRef, Vec<Option<&'a str>>)> {
    let mut column = Column::new(data_type, &options.times)?;
    let mut corrupt = Vec::with_capacity(texts.len());
    for text in texts {
        let before = column.len();
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            column.push_null();
            corrupt.push(None);
            continue;
        };
        // An object alone stands for an array of one.
        let alone = matches!(data_type, DataType::List(_)) && text.trim_start().starts_with('{');
        let taken = match alone {
            true => column.take(&mut Cursor::with(&format!("[{text}]"), options.syntax)),
            false => column.take(&mut Cursor::with(text, options.syntax)),
        };
        if matches!(taken, Ok(Fit::Whole)) {
            corrupt.push(None);
            continue;
        }
        if options.mode == Mode::FailFast {
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
        corrupt.push(Some(text));
        if matches!(taken, Ok(Fit::Partly)) {
            continue;
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
    Ok((column.finish()?, corrupt))
}
