//! `from_json` and `schema_of_json`: the reader of JSON sources, for texts that stand in a column.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{ScalarValue, exec_err, internal_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::calendar::Zone;
use crate::error::{Error, Result};
use crate::sources::json::{JsonOptions, texts, type_of_text};
use crate::sql::{parse_columns, session_zone, spark_name};

/// The functions of this file.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let any = || Signature::variadic_any(Volatility::Immutable);
    let from_json = ScalarUDF::from(FromJson { signature: any() });
    let schema_of_json = ScalarUDF::from(SchemaOfJson { signature: any() });
    vec![Arc::new(from_json), Arc::new(schema_of_json)]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FromJson {
    signature: Signature,
}

impl ScalarUDFImpl for FromJson {
    fn name(&self) -> &str {
        "from_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        internal_err!("the type of from_json is known by its schema alone")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> PlanResult<FieldRef> {
        if let Some(text) = args.arg_fields.first().map(|field| field.data_type())
            && !text.is_string()
            && !text.is_null()
        {
            let what = format!("from_json takes a STRING, not {}", spark_name(text).to_uppercase());
            return Err(Error::sql("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", what)
                .hint("convert it with CAST(value AS STRING)")
                .into());
        }
        if let Some(options) = args.arg_fields.get(2) {
            are_options("from_json", options.data_type())?;
        }
        if let Some(Some(given)) = args.scalar_arguments.get(2) {
            let given = pairs(&ColumnarValue::Scalar((*given).clone()))?;
            texts::options(given, &Zone::default())?;
        }
        let schema = match args.scalar_arguments {
            [_, Some(schema)] | [_, Some(schema), _] => schema,
            [_, None] | [_, None, _] => {
                return Err(Error::sql(
                    "INVALID_SCHEMA.NON_STRING_LITERAL",
                    "the schema of from_json is not a text written in the query",
                )
                .hint("write it out: from_json(body, 'id STRING, at TIMESTAMP')")
                .into());
            }
            _ => {
                return Err(Error::sql(
                    "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
                    "from_json takes a text and a schema",
                )
                .hint("write from_json(body, 'id STRING, at TIMESTAMP')")
                .into());
            }
        };
        let schema = schema.try_as_str().flatten().unwrap_or_default();
        Ok(Arc::new(Field::new("from_json", schema_type(schema)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let Some(texts) = args.args.first() else { return exec_err!("from_json takes a text") };
        let texts = arrow::compute::cast(&texts.to_array(args.number_rows)?, &DataType::Utf8)?;
        let zone = session_zone(&args.config_options)?;
        let options = json_options(args.args.get(2), &zone)?;
        let (texts, gives) = (texts.as_string::<i32>(), args.return_field.data_type());
        let values = texts::values(texts, gives, &options)?;
        Ok(ColumnarValue::Array(values))
    }
}

/// The type that a schema's text says: columns, or one type.
fn schema_type(text: &str) -> Result<DataType> {
    if let Ok(columns) = parse_columns(text) {
        return Ok(DataType::Struct(columns.fields().clone()));
    }
    let one = parse_columns(&format!("value {text}"))?;
    match one.fields().first().map(|field| field.data_type()) {
        Some(nested) if nested.is_nested() && one.fields().len() == 1 => Ok(nested.clone()),
        _ => Err(Error::sql(
            "DATATYPE_MISMATCH.INVALID_JSON_SCHEMA",
            format!("from_json makes a STRUCT, ARRAY or MAP, not {text}"),
        )
        .hint("write columns, as in 'id STRING, at TIMESTAMP', or ARRAY<…>, MAP<…> or STRUCT<…>")),
    }
}

/// Refuses options that are no map of texts.
fn are_options(name: &str, data_type: &DataType) -> Result<()> {
    let (condition, what) = match data_type {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.iter().all(|field| field.data_type().is_string()) => {
                return Ok(());
            }
            _ => ("INVALID_OPTIONS.NON_STRING_TYPE", "a map of texts"),
        },
        _ => ("INVALID_OPTIONS.NON_MAP_FUNCTION", "a map"),
    };
    Err(Error::sql(condition, format!("the options of {name} are not {what}"))
        .hint(format!("write them as in {name}(…, map('timestampFormat', 'dd.MM.yyyy'))")))
}

/// The options that a call has, with names and values.
fn pairs(options: &ColumnarValue) -> PlanResult<Vec<(String, String)>> {
    let options = options.to_array(1)?;
    let Some(options) = options.as_map_opt().filter(|map| map.len() > 0 && map.is_valid(0)) else {
        return exec_err!("options are a map of texts");
    };
    let entries = options.value(0);
    let text = |column: usize, at: usize| {
        let texts = entries.column(column).as_string_opt::<i32>();
        let text = texts.filter(|texts| texts.is_valid(at)).map_or("", |texts| texts.value(at));
        text.to_owned()
    };
    Ok((0..entries.len()).map(|at| (text(0, at), text(1, at))).collect())
}

fn json_options(given: Option<&ColumnarValue>, zone: &Zone) -> PlanResult<JsonOptions> {
    let given = given.map(pairs).transpose()?.unwrap_or_default();
    Ok(texts::options(given, zone)?)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SchemaOfJson {
    signature: Signature,
}

impl ScalarUDFImpl for SchemaOfJson {
    fn name(&self) -> &str {
        "schema_of_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let (text, options) = match args.args.as_slice() {
            [text] => (text, None),
            [text, options] => (text, Some(options)),
            _ => return exec_err!("schema_of_json takes a text and perhaps options"),
        };
        let ColumnarValue::Scalar(text) = text else {
            return Err(Error::sql(
                "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT",
                "schema_of_json looks at a text that is written in the query",
            )
            .hint("write an example: schema_of_json('{\"id\":1}')")
            .into());
        };
        let options = json_options(options, &session_zone(&args.config_options)?)?;
        let data_type = text.try_as_str().flatten().and_then(|text| type_of_text(text, &options));
        let schema = data_type.map(|data_type| ddl(&data_type));
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(schema)))
    }
}

/// A type as it is written in `CREATE TABLE`: `STRUCT<a: BIGINT>`.
fn ddl(data_type: &DataType) -> String {
    match data_type {
        DataType::List(item) => format!("ARRAY<{}>", ddl(item.data_type())),
        DataType::Struct(fields) => {
            let mut text = String::new();
            for field in fields {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let name = match field.name().chars().all(plain) && !field.name().is_empty() {
                    true => field.name().clone(),
                    false => format!("`{}`", field.name().replace('`', "``")),
                };
                let separator = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{separator}{name}: {}", ddl(field.data_type()));
            }
            format!("STRUCT<{text}>")
        }
        other => spark_name(other).to_uppercase(),
    }
}
