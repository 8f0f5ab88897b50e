//! Spark's type names and the Arrow types that carry them.
//!
//! A TIMESTAMP is an instant: microseconds in UTC. A TIMESTAMP_NTZ is what a wall clock shows.
//! Text is `Utf8`, never a view: state, Delta and JSON all speak it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo};

/// The Arrow type of Spark's TIMESTAMP.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The Arrow type of Spark's TIMESTAMP_NTZ.
pub fn timestamp_ntz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// The Arrow type of a type that was written in SQL; the error names what is not a Spark type.
pub(super) fn arrow_type(sql: &SqlType) -> Result<DataType, String> {
    use SqlType as S;
    Ok(match sql {
        S::String(_)
        | S::Varchar(_)
        | S::CharVarying(_)
        | S::CharacterVarying(_)
        | S::Char(_)
        | S::Character(_)
        | S::Text => DataType::Utf8,
        S::TinyInt(_) => DataType::Int8,
        S::SmallInt(_) => DataType::Int16,
        S::Int(_) | S::Integer(_) => DataType::Int32,
        S::BigInt(_) => DataType::Int64,
        S::Float(_) | S::Real => DataType::Float32,
        S::Double(_) | S::DoublePrecision => DataType::Float64,
        S::Decimal(size) | S::Dec(size) | S::Numeric(size) => decimal(size)?,
        S::Boolean | S::Bool => DataType::Boolean,
        S::Date => DataType::Date32,
        S::Timestamp(_, _) => timestamp(),
        S::TimestampNtz(_) => timestamp_ntz(),
        S::Binary(_) => DataType::Binary,
        S::Interval { fields: None, .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        S::Array(ArrayElemTypeDef::AngleBracket(element)) => {
            DataType::List(Arc::new(Field::new("item", arrow_type(element)?, true)))
        }
        S::Map(key, value) => map(arrow_type(key)?, arrow_type(value)?),
        S::Struct(fields, _) => {
            let field = |f: &datafusion::sql::sqlparser::ast::StructField| {
                let name = f.field_name.as_ref().ok_or("a field of a STRUCT lacks its name")?;
                Ok::<_, String>(Field::new(&name.value, arrow_type(&f.field_type)?, true))
            };
            DataType::Struct(fields.iter().map(field).collect::<Result<Fields, _>>()?)
        }
        S::Custom(name, _) => match name.to_string().to_lowercase().as_str() {
            "byte" => DataType::Int8,
            "short" => DataType::Int16,
            "long" => DataType::Int64,
            "timestamp_ltz" => timestamp(),
            other => return Err(format!("'{other}' is not a type")),
        },
        other => return Err(format!("'{}' is not a type", other.to_string().to_lowercase())),
    })
}

fn decimal(size: &ExactNumberInfo) -> Result<DataType, String> {
    let (precision, scale) = match size {
        ExactNumberInfo::None => (10, 0),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let fits = (1..=38).contains(&precision) && (0..=precision as i64).contains(&scale);
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision), Ok(scale)) if fits => Ok(DataType::Decimal128(precision, scale)),
        _ => Err(format!("DECIMAL({precision},{scale}) does not fit: the precision is 1 to 38")),
    }
}

// The names of the inner fields are those of Delta.s own schemas.
/// MAP with these keys and values.
pub(super) fn map(key: DataType, value: DataType) -> DataType {
    let entries =
        Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false)
}

/// How Spark writes a type: `bigint`, `struct<start:timestamp,end:timestamp>`.
pub fn spark_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "void".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 | DataType::UInt64 => "bigint".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Boolean => "boolean".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp".into(),
        DataType::Timestamp(_, None) => "timestamp_ntz".into(),
        DataType::Duration(_) => "interval day to second".into(),
        DataType::Interval(_) => "interval".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".into(),
        DataType::List(item) | DataType::LargeList(item) => {
            format!("array<{}>", spark_name(item.data_type()))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => format!(
                "map<{},{}>",
                spark_name(fields[0].data_type()),
                spark_name(fields[1].data_type())
            ),
            other => other.to_string(),
        },
        DataType::Struct(fields) => {
            let inner: Vec<String> = fields
                .iter()
                .map(|f| format!("{}:{}", f.name(), spark_name(f.data_type())))
                .collect();
            format!("struct<{}>", inner.join(","))
        }
        other => other.to_string().to_lowercase(),
    }
}
