//! `a[0]`, `m['k']`, `s.f`, and the field of each struct of an array: `structs.f`.

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::error::Result as PlanResult;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::expr::{HigherOrderFunction, Lambda, LambdaVariable, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, lit};
use std::sync::Arc;

use super::widen::pair_of;
use super::{lambda, map, subscript};
use crate::error::Error;
use crate::sql::types::spark_name;

/// Plans the accesses that DataFusion does not know, or understands otherwise.
#[derive(Debug)]
pub(in crate::sql) struct Access;

impl ExprPlanner for Access {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &datafusion::common::DFSchema,
    ) -> PlanResult<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { expr, field_access } = access;
        let planned = match &field_access {
            GetFieldAccess::ListIndex { key } => subscripted(expr.clone(), key.as_ref().clone()),
            GetFieldAccess::NamedStructField { name: ScalarValue::Utf8(Some(name)) } => {
                field_of(expr.clone(), &expr.get_type(schema)?, name)?.0
            }
            _ => return Ok(PlannerResult::Original(RawFieldAccessExpr { expr, field_access })),
        };
        Ok(PlannerResult::Planned(planned))
    }

    fn plan_make_map(&self, args: Vec<Expr>) -> PlanResult<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(map(), args))))
    }

    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> PlanResult<PlannerResult<Vec<Expr>>> {
        let column = Expr::Column(Column::from((qualifier, field)));
        let start = (column, field.data_type().clone());
        // An error from here is thrown away by the planner: what is no field is left to it.
        let found = nested_names.iter().try_fold(start, |(expr, t), name| field_of(expr, &t, name));
        Ok(match found {
            Ok((expr, _)) => PlannerResult::Planned(expr),
            Err(_) => PlannerResult::Original(vec![]),
        })
    }
}

fn subscripted(expr: Expr, key: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(subscript(), vec![expr, key]))
}

/// `expr.name` and its type: the field of a struct, of each struct of an array, or a map's value.
fn field_of(expr: Expr, data_type: &DataType, name: &str) -> PlanResult<(Expr, DataType)> {
    match data_type {
        DataType::Struct(fields) => {
            let found = fields
                .iter()
                .find(|f| f.name() == name)
                .or_else(|| fields.iter().find(|f| f.name().eq_ignore_ascii_case(name)));
            let field = found.ok_or_else(|| {
                let what = format!("the struct has no field '{name}'");
                let known: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
                Error::sql("FIELD_NOT_FOUND", what).hint(format!("there is {}", known.join(", ")))
            })?;
            Ok((get_field(expr, field.name().as_str()), field.data_type().clone()))
        }
        DataType::List(item) if matches!(item.data_type(), DataType::Struct(_)) => {
            let one = Field::new("item", item.data_type().clone(), true);
            let one = Expr::LambdaVariable(LambdaVariable::new("item".into(), Some(Arc::new(one))));
            let (body, inner) = field_of(one, item.data_type(), name)?;
            let body = Expr::Lambda(Lambda::new(vec!["item".into()], body));
            let call = HigherOrderFunction::new(lambda::transform(), vec![expr, body]);
            Ok((Expr::HigherOrderFunction(call), super::widen::list(inner)))
        }
        map if pair_of(map).is_some() => {
            let value = pair_of(map).map_or(DataType::Null, |(_, value)| value.clone());
            Ok((subscripted(expr, lit(name)), value))
        }
        other => Err(Error::sql(
            "INVALID_EXTRACT_BASE_FIELD_TYPE",
            format!("a value of type {} has no field '{name}'", spark_name(other).to_uppercase()),
        )
        .hint("fields are taken from a STRUCT, a MAP or an ARRAY of STRUCTs")
        .into()),
    }
}
