//! CAST and `try_cast` between all of Spark's types, in ANSI mode: a value that does not fit is an error.
//!
//! Takes a column, gives a column. A cast that Arrow does as Spark does stays DataFusion's own, so
//! that filters can be moved through it.

mod kernel;
mod number;
mod number_text;
mod text;

pub(super) use kernel::cast_column;
pub(super) use number::{divided_half_up, fits, rescaled};
pub(super) use number_text::{double_text, float_text};

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, TypedString, Value,
};
use datafusion::sql::sqlparser::parser::Parser;

use super::dialect::Spark;
use super::optimizer::session_zone;
use super::types::{self, spark_name};
use crate::error::Error;

/// What becomes of a value that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Misfit {
    /// The batch fails.
    Fails,
    /// It is NULL: `try_cast`, `try_add`.
    Null,
}

/// A cast of `expr`, whose type is `from`. The error is for types that have no cast.
pub(super) fn cast(expr: Expr, from: &DataType, to: &DataType, misfit: Misfit) -> PlanResult<Expr> {
    if from == to {
        return Ok(expr);
    }
    if !kernel::possible(from, to) {
        let what = format!("{} cannot be cast to {}", spark_name(from), spark_name(to));
        return Err(Error::sql("DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION", what)
            .hint("go through a type between the two, or take a function that converts them")
            .into());
    }
    if kernel::never_fails(from, to) {
        return Ok(Expr::Cast(datafusion::logical_expr::Cast::new(Box::new(expr), to.clone())));
    }
    let signature = Signature::any(1, Volatility::Immutable);
    let function = ScalarUDF::from(Cast { to: to.clone(), misfit, signature });
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![expr])))
}

/// Whether a call is a [`cast`].
pub(super) fn is_cast(call: &ScalarFunction) -> bool {
    call.func.inner().downcast_ref::<Cast>().is_some()
}

/// The cast to one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Cast {
    to: DataType,
    misfit: Misfit,
    signature: Signature,
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        match self.misfit {
            Misfit::Fails => CAST,
            Misfit::Null => TRY_CAST,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> PlanResult<String> {
        let args: Vec<String> = args.iter().map(Expr::to_string).collect();
        Ok(format!("{}({} AS {})", self.name(), args.join(", "), spark_name(&self.to)))
    }

    fn schema_name(&self, args: &[Expr]) -> PlanResult<String> {
        let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(format!("{}({} AS {})", self.name(), args.join(", "), spark_name(&self.to)))
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let zone = session_zone(&args.config_options)?;
        match args.args.first() {
            Some(ColumnarValue::Array(column)) => {
                Ok(ColumnarValue::Array(cast_column(column, &self.to, self.misfit, &zone)?))
            }
            Some(ColumnarValue::Scalar(value)) => {
                let one = cast_column(&value.to_array()?, &self.to, self.misfit, &zone)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?))
            }
            None => exec_err!("a cast takes a value"),
        }
    }
}

const CAST: &str = "cast";
const TRY_CAST: &str = "try_cast";

/// The functions that stand for `CAST(value AS type)` in a parsed query, until the types of the
/// query are known: DataFusion's own expression would lose the type from the name of its column,
/// and with it the difference between two casts of one column.
pub(super) fn written_casts() -> Vec<Arc<ScalarUDF>> {
    let function = |misfit| {
        let signature = Signature::any(2, Volatility::Immutable);
        Arc::new(ScalarUDF::from(WrittenCast { misfit, signature }))
    };
    vec![function(Misfit::Fails), function(Misfit::Null)]
}

/// `cast(value, 'type')`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WrittenCast {
    misfit: Misfit,
    signature: Signature,
}

impl ScalarUDFImpl for WrittenCast {
    fn name(&self) -> &str {
        match self.misfit {
            Misfit::Fails => CAST,
            Misfit::Null => TRY_CAST,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        plan_err!("the type of a cast stands in its second argument")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        match args.scalar_arguments {
            [_, Some(ScalarValue::Utf8(Some(type_name)))] => {
                Ok(Arc::new(Field::new(self.name(), type_named(type_name)?, true)))
            }
            _ => plan_err!("No function matches {}: it takes a value and a type", self.name()),
        }
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        exec_err!("a cast was not given its types")
    }
}

/// The argument, type and kind of a cast as it was written.
pub(super) fn written_cast(call: &ScalarFunction) -> PlanResult<Option<(DataType, Misfit)>> {
    let Some(cast) = call.func.inner().downcast_ref::<WrittenCast>() else { return Ok(None) };
    match call.args.as_slice() {
        [_, Expr::Literal(ScalarValue::Utf8(Some(type_name)), _)] => {
            Ok(Some((type_named(type_name)?, cast.misfit)))
        }
        _ => plan_err!("No function matches {}: it takes a value and a type", cast.name()),
    }
}

fn type_named(name: &str) -> PlanResult<DataType> {
    let dialect = Spark::default();
    let parsed = Parser::new(&dialect).try_with_sql(name).and_then(|mut p| p.parse_data_type());
    let wrong = |what: String| {
        Error::sql("UNSUPPORTED_DATATYPE", what)
            .hint("write a Spark type: STRING, BIGINT, INT, DOUBLE, DECIMAL(p,s), TIMESTAMP …")
    };
    let sql = parsed.map_err(|_| wrong(format!("'{name}' is not a type")))?;
    if let SqlType::Time(..) = sql {
        return Err(Error::sql(
            "UNSUPPORTED_TIME_TYPE",
            "TIME is a type that Spark 4.2 keeps back",
        )
        .hint("keep a time of day as STRING or in seconds")
        .into());
    }
    Ok(types::arrow_type(&sql).map_err(wrong)?)
}

/// Rewrites `CAST(a AS t)`, `a::t`, `t 'text'` and `int(a)` of a parsed query as [`written_casts`].
pub(super) fn respell(expr: &mut SqlExpr) {
    let (function, value, type_name) = match expr {
        SqlExpr::Cast { kind, expr, data_type, format: None, array: false } => {
            let function = match kind {
                CastKind::Cast | CastKind::DoubleColon => CAST,
                CastKind::TryCast | CastKind::SafeCast => TRY_CAST,
            };
            (function, expr.as_ref().clone(), data_type.to_string())
        }
        SqlExpr::TypedString(TypedString { data_type, value, .. }) => {
            (CAST, SqlExpr::Value(value.clone()), data_type.to_string())
        }
        SqlExpr::Function(call) => match cast_function(call) {
            Some((value, type_name)) => (CAST, value.clone(), type_name.to_owned()),
            None => return,
        },
        _ => return,
    };
    *expr =
        call(function, vec![value, SqlExpr::Value(Value::SingleQuotedString(type_name).into())]);
}

/// `int(a)` and its like: a function by the name of a type.
fn cast_function(call: &Function) -> Option<(&SqlExpr, &'static str)> {
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &call.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] = list.args.as_slice() else {
        return None;
    };
    const TYPES: [&str; 12] = [
        "boolean",
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "float",
        "double",
        "decimal",
        "string",
        "binary",
        "date",
        "timestamp",
    ];
    let found = TYPES.iter().find(|t| t.eq_ignore_ascii_case(&name.value))?;
    Some((value, found))
}

/// The text and type of a cast that was a typed literal: `TINYINT '128'`.
pub(super) fn typed_literal(expr: &SqlExpr) -> Option<(&str, &str)> {
    let SqlExpr::Function(call) = expr else { return None };
    let FunctionArguments::List(list) = &call.args else { return None };
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
    let [value, type_name] = list.args.as_slice() else { return None };
    match (value, type_name) {
        (
            FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Value(value))),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Value(type_name))),
        ) if name.value == CAST => match (&value.value, &type_name.value) {
            (Value::SingleQuotedString(digits), Value::SingleQuotedString(type_name))
                if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') =>
            {
                Some((digits, type_name))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A call in a parsed query.
pub(super) fn call(name: &str, args: Vec<SqlExpr>) -> SqlExpr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    let list =
        FunctionArgumentList { duplicate_treatment: None, args: args.collect(), clauses: vec![] };
    SqlExpr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
