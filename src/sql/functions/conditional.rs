//! `coalesce`, `greatest` and `least`: which of the arguments is given, DataFusion decides; which type
//! they have together, Spark.
//!
//! While a query is planned the functions of this file stand in the calls, for their types. When all
//! types are known, the arguments are converted and [`decided`] puts DataFusion's in their place.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::internal_err;
use datafusion::error::Result as PlanResult;
use datafusion::functions::core;
use datafusion::logical_expr::ScalarUDF;

use super::definition::{Call, Definition};
use super::lists::first;
use crate::error::Error;
use crate::sql::coercion::common_type;
use crate::sql::types::spark_name;

/// The functions of this file.
pub(super) fn functions() -> Vec<Definition> {
    let defined = |name, takes| Definition { name, takes, gives: first, value: undecided };
    vec![
        defined("coalesce", alike as fn(&[DataType]) -> _),
        defined("greatest", ordered),
        defined("least", ordered),
    ]
}

/// DataFusion's function by the same name.
pub(in crate::sql) fn decided(name: &str) -> Option<Arc<ScalarUDF>> {
    Some(match name {
        "coalesce" => core::coalesce(),
        "greatest" => core::greatest(),
        "least" => core::least(),
        _ => return None,
    })
}

fn undecided(_: &Call) -> PlanResult<ArrayRef> {
    internal_err!("a call whose types were not settled is run")
}

fn alike(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let common = types.iter().try_fold(DataType::Null, |common, next| common_type(&common, next));
    match common {
        Some(common) => Ok(vec![common; types.len()]),
        None => Err(differ(types).into()),
    }
}

/// Here a text is compared with texts only.
fn ordered(types: &[DataType]) -> PlanResult<Vec<DataType>> {
    let count = |text: bool| {
        types.iter().filter(|t| !t.is_null()).filter(|t| t.is_string() == text).count()
    };
    if count(true) > 0 && count(false) > 0 {
        return Err(differ(types).into());
    }
    if let Some(map) = types.iter().find(|t| matches!(t, DataType::Map(..))) {
        let what = format!("no {} is greater than another", spark_name(map).to_uppercase());
        return Err(Error::sql("DATATYPE_MISMATCH.INVALID_ORDERING_TYPE", what)
            .hint("compare values of the maps: greatest(a['key'], b['key'])")
            .into());
    }
    alike(types)
}

fn differ(types: &[DataType]) -> Error {
    let types: Vec<String> = types.iter().map(|t| spark_name(t).to_uppercase()).collect();
    let what = format!("the values have no type in common: {}", types.join(", "));
    Error::sql("DATATYPE_MISMATCH.DATA_DIFF_TYPES", what)
        .hint("convert one of them with CAST(value AS TYPE)")
}
