//! Which columns a Delta table gets for the columns of a query, and whether a table fits a query.
//!
//! Takes Arrow schemas; gives the Arrow schema of the table (Delta has fewer types than Arrow) and
//! rows cast to it; never touches a file.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::error::{Error, Result};

/// Delta refuses them in names: Parquet readers have stumbled over them for long.
const NOT_IN_NAMES: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

/// The schema of the table for a query's result: every column nullable, types as Delta keeps them.
pub(super) fn table_schema(query: &Schema) -> Result<SchemaRef> {
    let mut names: Vec<String> = Vec::new();
    for field in query.fields() {
        let lower = field.name().to_lowercase();
        if names.contains(&lower) {
            return Err(Error::sql(
                "DELTA_DUPLICATE_COLUMNS_FOUND",
                format!("two columns of the result are called '{}'", field.name()),
            )
            .hint(
                "give one of them another name with AS; upper and lower case count as the same",
            ));
        }
        names.push(lower);
    }
    Ok(Arc::new(Schema::new(table_fields(query.fields(), "")?)))
}

fn table_fields(fields: &Fields, above: &str) -> Result<Fields> {
    fields
        .iter()
        .map(|field| {
            let path = format!("{above}{}", field.name());
            if field.name().is_empty() || field.name().contains(NOT_IN_NAMES) {
                return Err(Error::sql(
                    "DELTA_INVALID_CHARACTERS_IN_COLUMN_NAMES",
                    format!("'{path}' cannot be the name of a column in a Delta table"),
                )
                .hint("name the column with AS, in letters, digits and underscores"));
            }
            Ok(Field::new(field.name(), table_type(field.data_type(), &path)?, true))
        })
        .collect()
}

/// What a type becomes in a table. Unsigned numbers have no Delta type; the next larger signed one
/// would be a guess about the user's wish, so they are refused.
fn table_type(query: &DataType, path: &str) -> Result<DataType> {
    use DataType as T;
    let element = |field: &Field| -> Result<Arc<Field>> {
        let path = format!("{path}.element");
        Ok(Arc::new(Field::new("element", table_type(field.data_type(), &path)?, true)))
    };
    Ok(match query {
        T::Boolean | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 => {
            query.clone()
        }
        T::Decimal128(_, scale) if *scale >= 0 => query.clone(),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => T::Utf8,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Date32 | T::Date64 => T::Date32,
        // With a zone it is an instant, whichever zone it is shown in; without one it is Spark's
        // TIMESTAMP_NTZ.
        T::Timestamp(_, Some(_)) => T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        T::Timestamp(_, None) => T::Timestamp(TimeUnit::Microsecond, None),
        T::Dictionary(_, value) => table_type(value, path)?,
        T::Struct(fields) => T::Struct(table_fields(fields, &format!("{path}."))?),
        T::List(field) | T::LargeList(field) | T::FixedSizeList(field, _) => {
            T::List(element(field)?)
        }
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(pair) if pair.len() == 2 => {
                let key = table_type(pair[0].data_type(), &format!("{path}.key"))?;
                let value = table_type(pair[1].data_type(), &format!("{path}.value"))?;
                let pair = vec![Field::new("key", key, false), Field::new("value", value, true)];
                T::Map(Arc::new(Field::new("key_value", T::Struct(pair.into()), false)), false)
            }
            _ => return Err(unsupported(query, path)),
        },
        _ => return Err(unsupported(query, path)),
    })
}

fn unsupported(query: &DataType, path: &str) -> Error {
    Error::sql(
        "DELTA_UNSUPPORTED_DATA_TYPES",
        format!("column '{path}' has the type {query}, which a Delta table cannot hold"),
    )
    .hint(format!("cast it in the query, for instance CAST({path} AS BIGINT)"))
}

/// Says that a table of the one schema takes rows of the other, or what differs.
///
/// Names and types count, in their order. Whether a column may be NULL does not: a table that is
/// stricter than its query is met where a row breaks its rule.
pub(super) fn check_agreement(table: &Schema, query: &Schema, name: &str) -> Result<()> {
    let mut differences = Vec::new();
    for (position, wanted) in query.fields().iter().enumerate() {
        match table.fields().get(position) {
            None => differences.push(format!("the table has no column '{}'", wanted.name())),
            Some(found) if found.name() != wanted.name() => differences.push(format!(
                "column {} is '{}' in the table and '{}' in the query",
                position + 1,
                found.name(),
                wanted.name()
            )),
            Some(found) if without_nullability(found) != without_nullability(wanted) => differences
                .push(format!(
                    "column '{}' is {} in the table and {} in the query",
                    wanted.name(),
                    found.data_type(),
                    wanted.data_type()
                )),
            Some(_) => {}
        }
    }
    for extra in table.fields().iter().skip(query.fields().len()) {
        differences.push(format!("the query has no column '{}'", extra.name()));
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::sink(
        "DELTA_SCHEMA_MISMATCH",
        format!("the table {name} does not fit the query: {}", differences.join("; ")),
    )
    .hint("write into another table, or move this one (and the query's checkpoint) away"))
}

fn without_nullability(field: &Field) -> DataType {
    use DataType as T;
    let inner =
        |field: &Field| Arc::new(Field::new(field.name(), without_nullability(field), true));
    match field.data_type() {
        T::Struct(fields) => T::Struct(fields.iter().map(|f| inner(f)).collect()),
        T::List(element) => T::List(inner(element)),
        T::Map(entries, sorted) => T::Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

/// Rows as the table keeps them. Columns that have the table's type already are not copied.
pub(super) fn conform(rows: &RecordBatch, table: &SchemaRef) -> Result<RecordBatch> {
    if rows.num_columns() != table.fields().len() {
        return Err(Error::internal(format!(
            "a batch of {} columns was handed to a table of {}",
            rows.num_columns(),
            table.fields().len()
        )));
    }
    let columns = rows
        .columns()
        .iter()
        .zip(table.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(column.clone());
            }
            Ok(cast(column, field.data_type())?)
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    RecordBatch::try_new(table.clone(), columns).map_err(|e| {
        Error::input("DELTA_NOT_NULL_CONSTRAINT_VIOLATED", e.to_string())
            .hint("the table was declared stricter than the query: filter such rows out")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: Vec<Field>) -> Schema {
        Schema::new(fields)
    }

    #[test]
    fn times_become_utc_microseconds_and_every_column_may_be_null() {
        let zone = DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
        let window = DataType::Struct(vec![Field::new("start", zone, false)].into());
        let table = table_schema(&schema(vec![
            Field::new("window", window, false),
            Field::new("name", DataType::Utf8View, false),
        ]))
        .unwrap();
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let window = DataType::Struct(vec![Field::new("start", utc, true)].into());
        assert_eq!(
            table.as_ref(),
            &schema(vec![
                Field::new("window", window, true),
                Field::new("name", DataType::Utf8, true)
            ])
        );
    }

    #[test]
    fn an_unsigned_number_is_refused_by_name() {
        let inner = DataType::Struct(vec![Field::new("n", DataType::UInt64, true)].into());
        let error = table_schema(&schema(vec![Field::new("s", inner, true)])).unwrap_err();
        assert_eq!(error.condition(), "DELTA_UNSUPPORTED_DATA_TYPES");
        assert!(error.message().contains("'s.n'"), "{error}");
    }

    #[test]
    fn a_name_that_delta_refuses_is_refused_with_a_way_out() {
        let fields = vec![Field::new("count(1)", DataType::Int64, true)];
        let error = table_schema(&schema(fields)).unwrap_err();
        assert_eq!(error.condition(), "DELTA_INVALID_CHARACTERS_IN_COLUMN_NAMES");
    }

    #[test]
    fn a_disagreement_says_what_differs() {
        let table = schema(vec![
            Field::new("a", DataType::Int64, false),
            Field::new("b", DataType::Utf8, true),
        ]);
        let query = schema(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Int32, true),
            Field::new("c", DataType::Int32, true),
        ]);
        let error = check_agreement(&table, &query, "data/t").unwrap_err();
        assert!(error.message().contains("'b' is Utf8 in the table and Int32"), "{error}");
        assert!(error.message().contains("no column 'c'"), "{error}");
        assert!(!error.message().contains("'a'"), "{error}");
    }
}
