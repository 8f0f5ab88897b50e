//! Makes the windows of a plan explicit, before anything is optimised.
//!
//! - A window over a window column is taken over its last microsecond.
//! - A row without a time is in no window: a filter drops it below, as in Spark.
//! - In a projection, overlapping windows make several rows of one: a list is unnested.
//!
//! In a grouping the call stays as it is, for the engine's operator.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Projection,
};

use super::functions::{window_list, window_time};
use super::watermark::{EVENT_TIME_DELAY, event_time_delay};
use crate::error::Error;
use crate::window::WindowSpec;

/// The column of the unnested windows of a projection.
const UNNESTED: &str = "__window";

/// Rewrites the whole plan.
pub(super) fn explicit(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let node = node.recompute_schema()?;
        let node = over_window_columns(node)?;
        match node {
            LogicalPlan::Aggregate(aggregate) => grouping(aggregate).map(Transformed::yes),
            LogicalPlan::Projection(projection) => projected(projection).map(Transformed::yes),
            other => {
                let windows = windows_in(&other.expressions())?;
                if windows.iter().any(|(_, spec)| !spec.is_tumbling()) {
                    return Err(Error::sql(
                        "UNSUPPORTED_FEATURE",
                        "overlapping windows are not supported here",
                    )
                    .hint("compute window(…) in the SELECT of a subquery and use its column")
                    .into());
                }
                Ok(Transformed::yes(other))
            }
        }
    })?;
    Ok(rewritten.data)
}

/// `window(w, …)` over a window column becomes `window(window_time(w), …)`.
fn over_window_columns(node: LogicalPlan) -> PlanResult<LogicalPlan> {
    if windows_in(&node.expressions())?.is_empty() {
        return Ok(node);
    }
    let schema = joined_schema(&node)?;
    let preserver = NamePreserver::new(&node);
    let rewritten = node.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let changed = expr.transform_up(|inner| {
            let Some((time, _)) = WindowSpec::of(&inner)? else {
                return Ok(Transformed::no(inner));
            };
            let Expr::ScalarFunction(mut call) = inner else { return Ok(Transformed::no(inner)) };
            if !matches!(time.get_type(&schema)?, DataType::Struct(_)) {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            }
            if let Some(first) = call.args.first_mut() {
                *first = Expr::ScalarFunction(ScalarFunction::new_udf(window_time(), vec![time]));
            }
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        })?;
        Ok(changed.update_data(|expr| name.restore(expr)))
    })?;
    rewritten.data.recompute_schema()
}

fn joined_schema(node: &LogicalPlan) -> PlanResult<DFSchema> {
    let mut schema = DFSchema::empty();
    for input in node.inputs() {
        schema.merge(input.schema());
    }
    Ok(schema)
}

/// The different windows that some expressions call for.
fn windows_in(exprs: &[Expr]) -> PlanResult<Vec<(Expr, WindowSpec)>> {
    let mut found: Vec<(Expr, WindowSpec)> = Vec::new();
    for expr in exprs {
        expr.apply(|inner| {
            if !matches!(inner, Expr::Alias(_))
                && let Some(window) = WindowSpec::of(inner)?
                && !found.contains(&window)
            {
                found.push(window);
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })?;
    }
    Ok(found)
}

/// At most one window; two would multiply each other.
fn only_window(exprs: &[Expr]) -> PlanResult<Option<(Expr, WindowSpec)>> {
    let mut windows = windows_in(exprs)?;
    if windows.len() > 1 {
        return Err(Error::sql(
            "_LEGACY_ERROR_TEMP_1039",
            "one SELECT asks for two different windows",
        )
        .hint("compute one of them in a subquery")
        .into());
    }
    Ok(windows.pop())
}

fn without_null_times(input: Arc<LogicalPlan>, time: &Expr) -> PlanResult<Arc<LogicalPlan>> {
    if !time.nullable(input.schema().as_ref())? {
        return Ok(input);
    }
    Ok(Arc::new(LogicalPlan::Filter(Filter::try_new(time.clone().is_not_null(), input)?)))
}

fn grouping(mut aggregate: Aggregate) -> PlanResult<LogicalPlan> {
    let Some((time, _)) = only_window(&aggregate.group_expr)? else {
        return Ok(LogicalPlan::Aggregate(aggregate));
    };
    aggregate.input = without_null_times(aggregate.input, &time)?;
    let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, aggr_expr)?))
}

fn projected(projection: Projection) -> PlanResult<LogicalPlan> {
    let Some((time, spec)) = only_window(&projection.expr)? else {
        return Ok(LogicalPlan::Projection(projection));
    };
    let input = without_null_times(projection.input, &time)?;
    if spec.is_tumbling() {
        return Ok(LogicalPlan::Projection(Projection::try_new(projection.expr, input)?));
    }
    let call = projection.expr.iter().find_map(|expr| {
        let mut call = None;
        let _ = expr.apply(|inner| {
            if let Expr::ScalarFunction(f) = inner
                && matches!(WindowSpec::of(inner), Ok(Some(_)))
            {
                call = Some(f.clone());
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        });
        call
    });
    let Some(call) = call else {
        return Ok(LogicalPlan::Projection(Projection::try_new(projection.expr, input)?));
    };
    let (_, window_field) = Expr::ScalarFunction(call.clone()).to_field(input.schema())?;
    let list = Expr::ScalarFunction(ScalarFunction::new_udf(window_list(), call.args));
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(list.alias(UNNESTED));
    let input = LogicalPlanBuilder::from(input.as_ref().clone())
        .project(columns)?
        .unnest_column(Column::new_unqualified(UNNESTED))?
        .build()?;
    // Unnesting loses the mark of event time.
    let mark = event_time_delay(&window_field)
        .map(|delay| FieldMetadata::new([(EVENT_TIME_DELAY.to_owned(), delay.to_string())].into()));
    let preserver = NamePreserver::new_for_projection();
    let exprs = projection.expr.into_iter().map(|expr| {
        let name = preserver.save(&expr);
        let marked = matches!(WindowSpec::of(&expr), Ok(Some(_)));
        let replaced = expr.transform_up(|inner| {
            if !matches!(inner, Expr::Alias(_)) && WindowSpec::of(&inner)?.is_some() {
                let column = Expr::Column(Column::new_unqualified(UNNESTED));
                return Ok(Transformed::yes(column));
            }
            Ok(Transformed::no(inner))
        })?;
        let restored = name.restore(replaced.data);
        Ok(match (restored, &mark) {
            (Expr::Alias(alias), Some(mark)) if marked => {
                Expr::Alias(alias.with_metadata(Some(mark.clone())))
            }
            (other, _) => other,
        })
    });
    let exprs = exprs.collect::<PlanResult<Vec<Expr>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
}
