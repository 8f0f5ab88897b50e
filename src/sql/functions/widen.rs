//! The types of collections: how they are built, and the one that several have in common.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;

use super::definition::mismatch;
use crate::error::Error;
use crate::sql::types::{map, spark_name};

/// ARRAY of these items.
pub(super) fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// STRUCT of these fields.
pub(super) fn structure<N: Into<String>>(
    fields: impl IntoIterator<Item = (N, DataType)>,
) -> DataType {
    let fields = fields.into_iter().map(|(name, t)| Field::new(name.into(), t, true));
    DataType::Struct(fields.collect::<Fields>())
}

/// The same type with the inner names and nullability that all collections here have.
pub(super) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            list(plain(item.data_type()))
        }
        DataType::Map(..) => match pair_of(data_type) {
            Some((key, value)) => map(plain(key), plain(value)),
            None => data_type.clone(),
        },
        DataType::Struct(fields) => {
            structure(fields.iter().map(|f| (f.name().as_str(), plain(f.data_type()))))
        }
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    }
}

/// The type of an array's items; NULL is an array too.
pub(super) fn item_of(data_type: &DataType) -> PlanResult<DataType> {
    match plain(data_type) {
        DataType::List(item) => Ok(item.data_type().clone()),
        DataType::Null => Ok(DataType::Null),
        other => Err(mismatch("an ARRAY", &other)),
    }
}

/// The types of a map's keys and values.
pub(super) fn pair_of(data_type: &DataType) -> Option<(&DataType, &DataType)> {
    let DataType::Map(entries, _) = data_type else { return None };
    match entries.data_type() {
        DataType::Struct(pair) if pair.len() == 2 => {
            Some((pair[0].data_type(), pair[1].data_type()))
        }
        _ => None,
    }
}

/// The types of a map's keys and values; NULL is a map too.
pub(super) fn entry_of(data_type: &DataType) -> PlanResult<(DataType, DataType)> {
    match plain(data_type) {
        DataType::Null => Ok((DataType::Null, DataType::Null)),
        other => match pair_of(&other) {
            Some((key, value)) => Ok((key.clone(), value.clone())),
            None => Err(mismatch("a MAP", &other)),
        },
    }
}

/// The narrowest type that holds the values of both.
pub(super) fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    let (a, b) = (plain(a), plain(b));
    match (&a, &b) {
        _ if a == b => Some(a),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::List(x), DataType::List(y)) => Some(list(common(x.data_type(), y.data_type())?)),
        (DataType::Map(..), DataType::Map(..)) => {
            let ((ka, va), (kb, vb)) = (pair_of(&a)?, pair_of(&b)?);
            Some(map(common(ka, kb)?, common(va, vb)?))
        }
        (DataType::Struct(x), DataType::Struct(y)) if x.len() == y.len() => {
            let fields = x
                .iter()
                .zip(y)
                .map(|(x, y)| Some((x.name().clone(), common(x.data_type(), y.data_type())?)));
            Some(structure(fields.collect::<Option<Vec<_>>>()?))
        }
        _ if a.is_nested() || b.is_nested() => None,
        // In ANSI mode a text beside another type is read as that type.
        (DataType::Utf8, other) | (other, DataType::Utf8) => Some(match other {
            whole if whole.is_integer() => DataType::Int64,
            number if number.is_numeric() => DataType::Float64,
            other => other.clone(),
        }),
        _ => type_union_coercion(&a, &b).map(|t| plain(&t)),
    }
}

/// The narrowest type that holds the values of all; of none it is NULL's.
pub(super) fn common_of<'a>(types: impl IntoIterator<Item = &'a DataType>) -> PlanResult<DataType> {
    types.into_iter().try_fold(DataType::Null, |all, one| {
        common(&all, one).ok_or_else(|| {
            let (all, one) = (spark_name(&all).to_uppercase(), spark_name(one).to_uppercase());
            Error::sql("DATATYPE_MISMATCH.DATA_DIFF_TYPES", format!("{all} and {one} do not mix"))
                .hint("convert one of them with CAST(… AS …)")
                .into()
        })
    })
}
