//! Where Spark means something else than DataFusion by the same expression.
//!
//! Done on the plan before DataFusion coerces types, because it depends on types, and brings the
//! sides of each operation together by Spark's rules so that nothing is left to coerce: `7 / 2` is
//! 3.5, an INT beside a text makes the text a BIGINT, a value that does not fit is an error.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue, plan_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::{
    BinaryExpr, Case, Cast, InList, Like, ScalarFunction, TryCast,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Between, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator,
};

use super::arithmetic::{self, Op};
use super::casts::{self, Misfit};
use super::functions::{SESSION_WINDOW, WINDOW, decided, like_pattern, time_of};
use super::{aggregates, coercion, literals, types};
use crate::error::Error;

/// Rewrites the whole plan.
pub(super) fn of_spark(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        // Their numbers are counted, not computed with.
        if matches!(node, LogicalPlan::Limit(_) | LogicalPlan::Values(_)) {
            return Ok(Transformed::no(node));
        }
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        let preserver = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            Ok(spark_tree(expr, &schema)?.update_data(|expr| name.restore(expr)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(rewritten.data)
}

/// Casts output columns whose type Spark (and Delta) does not have to the one that it has.
pub(super) fn storable(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let target = |data_type: &DataType| match data_type {
        DataType::UInt8 | DataType::UInt16 => Some(DataType::Int32),
        DataType::UInt32 | DataType::UInt64 => Some(DataType::Int64),
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Some(DataType::Utf8),
        DataType::BinaryView | DataType::LargeBinary => Some(DataType::Binary),
        DataType::Date64 => Some(DataType::Date32),
        DataType::Timestamp(TimeUnit::Microsecond, _) => None,
        DataType::Timestamp(_, None) => Some(types::timestamp_ntz()),
        DataType::Timestamp(_, Some(_)) => Some(types::timestamp()),
        _ => None,
    };
    let schema = plan.schema().clone();
    if schema.fields().iter().all(|field| target(field.data_type()).is_none()) {
        return Ok(plan);
    }
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match target(field.data_type()) {
            Some(to) => Ok(column.cast_to(&to, &schema)?.alias(field.name())),
            None => Ok(column),
        }
    });
    let columns = columns.collect::<PlanResult<Vec<Expr>>>()?;
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Rewrites an expression from the inside out. The parameters of a lambda have the type of what it
/// is handed, which may change on the way: `array(1)` is an array of INT, not of BIGINT.
fn spark_tree(expr: Expr, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    if !expr.exists(|inner| Ok(matches!(inner, Expr::HigherOrderFunction(_))))? {
        return expr.transform_up(|inner| spark_expr(inner, schema));
    }
    let expr = expr.transform_up(|inner| Ok(spark_literal(inner)))?.data;
    let expr = expr.resolve_lambda_variables(schema)?.data;
    let expr = expr.transform_up(|inner| spark_expr(inner, schema))?.data;
    Ok(Transformed::yes(expr.resolve_lambda_variables(schema)?.data))
}

fn spark_literal(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::Literal(value, metadata) => match literals::narrowed(&value) {
            Some(narrow) => Transformed::yes(Expr::Literal(narrow, metadata)),
            None => Transformed::no(Expr::Literal(value, metadata)),
        },
        other => Transformed::no(other),
    }
}

fn spark_expr(expr: Expr, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    Ok(match expr {
        Expr::Literal(..) => spark_literal(expr),
        Expr::Cast(Cast { expr, field }) => {
            spark_cast(*expr, field.data_type(), Misfit::Fails, schema)?
        }
        Expr::TryCast(TryCast { expr, field }) => {
            spark_cast(*expr, field.data_type(), Misfit::Null, schema)?
        }
        Expr::ScalarFunction(call) => spark_call(call, schema)?,
        Expr::AggregateFunction(call) => Transformed::yes(aggregates::with_numbers(call, schema)?),
        Expr::Negative(inner) if coercion::is_number(&inner.get_type(schema)?) => {
            Transformed::yes(call(arithmetic::negate(), vec![*inner]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            Transformed::yes(spark_binary(*left, op, *right, schema)?)
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let parts = alike(vec![*expr, *low, *high], schema)?;
            match <[Expr; 3]>::try_from(parts) {
                Ok([expr, low, high]) => Transformed::yes(Expr::Between(Between {
                    expr: Box::new(expr),
                    negated,
                    low: Box::new(low),
                    high: Box::new(high),
                })),
                Err(_) => return plan_err!("BETWEEN takes three values"),
            }
        }
        Expr::InList(InList { expr, list, negated }) => {
            let mut parts = vec![*expr];
            parts.extend(list);
            let mut parts = alike(parts, schema)?.into_iter();
            let Some(expr) = parts.next() else { return plan_err!("IN takes a value") };
            let list = parts.collect();
            Transformed::yes(Expr::InList(InList { expr: Box::new(expr), list, negated }))
        }
        Expr::Case(case) => Transformed::yes(spark_case(case, schema)?),
        Expr::Like(like) => {
            let expr = Box::new(text(*like.expr, schema)?);
            let pattern = Box::new(text(*like.pattern, schema)?);
            if let Expr::Literal(ScalarValue::Utf8(Some(pattern)), _) = pattern.as_ref() {
                like_pattern(pattern, like.escape_char)?;
            }
            Transformed::yes(Expr::Like(Like { expr, pattern, ..like }))
        }
        other => Transformed::no(other),
    })
}

fn spark_cast(
    expr: Expr,
    to: &DataType,
    misfit: Misfit,
    schema: &DFSchema,
) -> PlanResult<Transformed<Expr>> {
    let from = expr.get_type(schema)?;
    Ok(Transformed::yes(casts::cast(expr, &from, to, misfit)?))
}

/// The value as another type; a value that has it stays.
fn become_type(expr: Expr, to: &DataType, schema: &DFSchema) -> PlanResult<Expr> {
    let from = expr.get_type(schema)?;
    casts::cast(expr, &from, to, Misfit::Fails)
}

fn text(expr: Expr, schema: &DFSchema) -> PlanResult<Expr> {
    match expr.get_type(schema)? {
        DataType::Null => Ok(expr),
        _ => become_type(expr, &DataType::Utf8, schema),
    }
}

fn spark_call(call: ScalarFunction, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    if let Some((to, misfit)) = casts::written_cast(&call)? {
        let Some(value) = call.args.into_iter().next() else {
            return plan_err!("a cast takes a value");
        };
        return spark_cast(value, &to, misfit, schema);
    }
    if let Some(ours) = arithmetic::of_call(&call) {
        let (op, misfit) = (ours.op, ours.misfit);
        return Ok(Transformed::yes(spark_arithmetic(op, misfit, call, schema)?));
    }
    // Functions that give one of their arguments bring them together as CASE does.
    Ok(match call.func.name() {
        "coalesce" | "greatest" | "least" => {
            let func = decided(call.func.name()).unwrap_or(call.func);
            let args = alike(call.args, schema)?;
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        "array" => {
            let args = alike(call.args, schema)?;
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { args, ..call }))
        }
        WINDOW | SESSION_WINDOW => Transformed::yes(windowed(call, schema)?),
        _ => Transformed::no(Expr::ScalarFunction(call)),
    })
}

/// A window is over an instant: a date or a text becomes one as a cast makes it.
fn windowed(mut call: ScalarFunction, schema: &DFSchema) -> PlanResult<Expr> {
    if let Some(time) = call.args.first_mut()
        && let Some(instant) = time_of(&time.get_type(schema)?)
    {
        *time = become_type(time.clone(), &instant, schema)?;
    }
    Ok(Expr::ScalarFunction(call))
}

fn spark_arithmetic(
    op: Op,
    misfit: Misfit,
    mut call: ScalarFunction,
    schema: &DFSchema,
) -> PlanResult<Expr> {
    let Op::Binary(op) = op else {
        let args = call.args.into_iter().map(|arg| {
            let from = arg.get_type(schema)?;
            match coercion::negated(&from) {
                Some(number) => casts::cast(arg, &from, &number, Misfit::Fails),
                None => Ok(arg),
            }
        });
        call.args = args.collect::<PlanResult<_>>()?;
        let times = call.args.first().is_some_and(|arg| {
            let known = arg.get_type(schema);
            known.is_ok_and(|t| !coercion::is_number(&t) && t.is_temporal())
        });
        return Ok(match call.args.pop() {
            Some(arg) if times => Expr::Negative(Box::new(arg)),
            Some(arg) => {
                call.args.push(arg);
                Expr::ScalarFunction(call)
            }
            None => return plan_err!("No function matches {}()", call.func.name()),
        });
    };
    let Ok([left, right]) = <[Expr; 2]>::try_from(std::mem::take(&mut call.args)) else {
        return plan_err!("No function matches {}: it takes two numbers", call.func.name());
    };
    let (a, b) = (left.get_type(schema)?, right.get_type(schema)?);
    // A literal beside a decimal has the digits that are written, not all that its type may have.
    let digits = |own: &Expr, own_type: &DataType, other: &DataType| match own {
        Expr::Literal(value, _) if matches!(other, DataType::Decimal128(..)) => {
            literals::own_digits(value).unwrap_or_else(|| own_type.clone())
        }
        _ => own_type.clone(),
    };
    let (a2, b2) = (digits(&left, &a, &b), digits(&right, &b, &a));
    let Some(types) = coercion::arithmetic(op, &a2, &b2) else {
        if a == DataType::Utf8 && b == DataType::Utf8 {
            call.args = vec![left, right];
            call.func.return_type(&[a, b])?;
            return Ok(Expr::ScalarFunction(call));
        }
        return Ok(arithmetic::of_times(op, left, right));
    };
    // A divisor that is NaN, or a text that is none, fails or is NULL as the operation says.
    let left = casts::cast(left, &a, &types.left, misfit)?;
    let right = casts::cast(right, &b, &types.right, misfit)?;
    call.args = vec![left, right];
    Ok(Expr::ScalarFunction(call))
}

fn spark_binary(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> PlanResult<Expr> {
    use Operator as O;
    let built = |left, right| {
        Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
    };
    match op {
        O::Eq
        | O::NotEq
        | O::Lt
        | O::LtEq
        | O::Gt
        | O::GtEq
        | O::IsDistinctFrom
        | O::IsNotDistinctFrom => {
            let [left, right] = compared([left, right], schema)?;
            Ok(built(left, right))
        }
        O::StringConcat => {
            let lists = [&left, &right]
                .iter()
                .any(|side| side.get_type(schema).is_ok_and(|t| matches!(t, DataType::List(_))));
            if lists {
                return Ok(built(left, right));
            }
            Ok(built(text(left, schema)?, text(right, schema)?))
        }
        O::BitwiseAnd | O::BitwiseOr | O::BitwiseXor => {
            let [left, right] = compared([left, right], schema)?;
            Ok(built(left, right))
        }
        _ => {
            let (a, b) = (left.get_type(schema)?, right.get_type(schema)?);
            let ours =
                arithmetic::binary(op).filter(|_| coercion::arithmetic(op, &a, &b).is_some());
            match ours {
                Some(function) => {
                    let call = ScalarFunction::new_udf(function, vec![left, right]);
                    spark_arithmetic(Op::Binary(op), Misfit::Fails, call, schema)
                }
                None => Ok(built(left, right)),
            }
        }
    }
}

/// The two sides of a comparison in one type.
fn compared(sides: [Expr; 2], schema: &DFSchema) -> PlanResult<[Expr; 2]> {
    let [a, b] = [sides[0].get_type(schema)?, sides[1].get_type(schema)?];
    let one_word = |t: &DataType| !t.is_nested() && !matches!(t, DataType::Null);
    if coercion::common_type(&a, &b).is_none() && one_word(&a) && one_word(&b) && spark_has(&a, &b)
    {
        let what = format!(
            "{} and {} cannot be compared",
            types::spark_name(&a).to_uppercase(),
            types::spark_name(&b).to_uppercase()
        );
        return Err(Error::sql("DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES", what)
            .hint("convert one side with CAST(value AS TYPE)")
            .into());
    }
    let Ok([left, right]) = <[Expr; 2]>::try_from(alike(sides.into(), schema)?) else {
        return plan_err!("a comparison has two sides");
    };
    let doubles = left.get_type(schema)?.is_floating() && right.get_type(schema)?.is_floating();
    // Arrow tells -0.0 from 0.0, which matters only where both sides may be zero.
    if !doubles || literals::is_not_zero(&left) || literals::is_not_zero(&right) {
        return Ok([left, right]);
    }
    let plain = |side| call(arithmetic::without_negative_zero(), vec![side]);
    Ok([plain(left), plain(right)])
}

/// Refuses the branches of a CASE that DataFusion would bring together and Spark would not.
fn agree(exprs: &[Expr], schema: &DFSchema) -> PlanResult<()> {
    let types = exprs.iter().map(|e| e.get_type(schema)).collect::<PlanResult<Vec<_>>>()?;
    let mut common = DataType::Null;
    for next in types {
        common = match coercion::common_type(&common, &next) {
            Some(wider) => wider,
            None if spark_has(&common, &next) => {
                let [a, b] = [common, next].map(|t| types::spark_name(&t).to_uppercase());
                let what = format!("the branches of a CASE have no type in common: {a} and {b}");
                return Err(Error::sql("DATATYPE_MISMATCH.DATA_DIFF_TYPES", what)
                    .hint("convert one of them with CAST(value AS TYPE)")
                    .into());
            }
            None => return Ok(()),
        };
    }
    Ok(())
}

fn spark_has(a: &DataType, b: &DataType) -> bool {
    let known = |t: &DataType| {
        coercion::is_number(t)
            || matches!(
                t,
                DataType::Boolean | DataType::Utf8 | DataType::Date32 | DataType::Timestamp(..)
            )
    };
    known(a) && known(b)
}

/// Expressions in the one type that all of them can have. Where there is none, DataFusion is asked.
fn alike(exprs: Vec<Expr>, schema: &DFSchema) -> PlanResult<Vec<Expr>> {
    let types = exprs.iter().map(|e| e.get_type(schema)).collect::<PlanResult<Vec<_>>>()?;
    let common = types.iter().skip(1).try_fold(types.first().cloned(), |common, next| {
        Some(Some(coercion::common_type(&common?, next)?))
    });
    let Some(Some(common)) = common.filter(|c| *c != Some(DataType::Null)) else {
        return Ok(exprs);
    };
    exprs
        .into_iter()
        .zip(types)
        .map(|(expr, from)| match from {
            // A NULL takes any type by itself.
            DataType::Null => Ok(expr),
            from => casts::cast(expr, &from, &common, Misfit::Fails),
        })
        .collect()
}

fn spark_case(mut case: Case, schema: &DFSchema) -> PlanResult<Expr> {
    if let Some(operand) = case.expr.take() {
        let mut compared = vec![*operand];
        compared.extend(case.when_then_expr.iter().map(|(when, _)| when.as_ref().clone()));
        let mut compared = alike(compared, schema)?.into_iter();
        case.expr = compared.next().map(Box::new);
        for ((when, _), new) in case.when_then_expr.iter_mut().zip(compared) {
            **when = new;
        }
    }
    let mut results: Vec<Expr> =
        case.when_then_expr.iter().map(|(_, then)| then.as_ref().clone()).collect();
    results.extend(case.else_expr.as_deref().cloned());
    agree(&results, schema)?;
    let mut results = alike(results, schema)?.into_iter();
    for ((_, then), new) in case.when_then_expr.iter_mut().zip(results.by_ref()) {
        **then = new;
    }
    case.else_expr = results.next().map(Box::new);
    Ok(Expr::Case(case))
}

fn call(function: std::sync::Arc<datafusion::logical_expr::ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}
