//! Makes the windows of a plan explicit, before anything is optimised.
//!
//! - A window over a window column is taken over its last microsecond.
//! - A row without a time is in no window: a filter drops it below, as in Spark. So it does with a row
//!   that is in no session.
//! - In a projection, overlapping windows make several rows of one: a list is unnested.
//!
//! In a grouping `window(…)` stays as it is, for the engine's operator. `session_window(…)` becomes a
//! column of the rows below: the session that each would be alone. That grouping by it merges what
//! touches, the column's mark says.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Projection, lit,
};

use super::functions::{WINDOW_TIME, window_list, window_time};
use super::watermark::{EVENT_TIME_DELAY, GRID, WINDOW_KIND, event_time_delay, is_window};
use super::window::{Asked, Shape};
use crate::error::Error;

/// The column of the unnested windows of a projection.
const UNNESTED: &str = "__window";
/// The column of the session that a row would be alone.
const SESSION_OF_ROW: &str = "__session";

/// Rewrites the whole plan.
pub(super) fn explicit(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let node = node.recompute_schema()?;
        let node = settled(node)?;
        match node {
            LogicalPlan::Aggregate(aggregate) => grouping(aggregate).map(Transformed::yes),
            LogicalPlan::Projection(projection) => projected(projection).map(Transformed::yes),
            other => {
                let windows = windows_in(&other.expressions())?;
                if windows.iter().any(Asked::overlaps) {
                    return Err(overlaps_here());
                }
                Ok(Transformed::yes(other))
            }
        }
    })?;
    Ok(rewritten.data)
}

/// The calls of a node with their arguments looked through: `window(w, …)` over a window column becomes
/// `window(window_time(w), …)`, a gap that is constant text becomes an interval.
fn settled(node: LogicalPlan) -> PlanResult<LogicalPlan> {
    if !node.expressions().iter().any(|expr| expr.exists(|e| Ok(is_call(e))).unwrap_or(false)) {
        return Ok(node);
    }
    let schema = joined_schema(&node)?;
    let preserver = NamePreserver::new(&node);
    let rewritten = node.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let changed = expr.transform_up(|inner| match inner {
            Expr::ScalarFunction(call) => Ok(Transformed::yes(settled_call(call, &schema)?)),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(changed.update_data(|expr| name.restore(expr)))
    })?;
    rewritten.data.recompute_schema()
}

fn is_call(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call)
        if call.name() == WINDOW_TIME || Asked::is_window_function(call.name()))
}

fn settled_call(mut call: ScalarFunction, schema: &DFSchema) -> PlanResult<Expr> {
    if call.name() == WINDOW_TIME {
        call.args.iter().try_for_each(|window| window_column(window, schema))?;
        return Ok(Expr::ScalarFunction(call));
    }
    if !Asked::is_window_function(call.name()) {
        return Ok(Expr::ScalarFunction(call));
    }
    if let Some(time) = call.args.first_mut()
        && matches!(time.get_type(schema)?, DataType::Struct(_))
    {
        window_column(time, schema)?;
        let window = std::mem::take(time);
        *time = Expr::ScalarFunction(ScalarFunction::new_udf(window_time(), vec![window]));
    }
    Ok(Expr::ScalarFunction(super::window::settled_session(call, schema)?))
}

/// A struct that looks like a window is none unless a window function has made it.
fn window_column(window: &Expr, schema: &DFSchema) -> PlanResult<()> {
    let (_, field) = window.to_field(schema)?;
    if is_window(&field) || !matches!(field.data_type(), DataType::Struct(_)) {
        return Ok(());
    }
    Err(Error::sql("_LEGACY_ERROR_TEMP_3101", "this struct is not a window of event time").hint(
        "window_time(…) and window(…) take what window(…) or session_window(…) gave in a subquery, \
         not a struct of one's own",
    )
    .into())
}

fn joined_schema(node: &LogicalPlan) -> PlanResult<DFSchema> {
    let mut schema = DFSchema::empty();
    for input in node.inputs() {
        schema.merge(input.schema());
    }
    Ok(schema)
}

/// The different windows that some expressions ask for.
fn windows_in(exprs: &[Expr]) -> PlanResult<Vec<Asked>> {
    let mut found: Vec<Asked> = Vec::new();
    for expr in exprs {
        expr.apply(|inner| {
            if matches!(inner, Expr::Alias(_)) {
                return Ok(TreeNodeRecursion::Continue);
            }
            let Some(window) = Asked::of(inner)? else { return Ok(TreeNodeRecursion::Continue) };
            // A window of a window is one; the inner one is computed for each row.
            if windows_in(std::slice::from_ref(&window.time))?.iter().any(Asked::overlaps) {
                return Err(overlaps_here());
            }
            if !found.contains(&window) {
                found.push(window);
            }
            Ok(TreeNodeRecursion::Jump)
        })?;
    }
    Ok(found)
}

fn overlaps_here() -> DataFusionError {
    Error::sql("UNSUPPORTED_FEATURE", "overlapping windows are not supported here")
        .hint("compute window(…) in the SELECT of a subquery and use its column")
        .into()
}

/// At most one window; two would multiply each other.
fn only_window(exprs: &[Expr]) -> PlanResult<Option<Asked>> {
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
    let Some(asked) = only_window(&aggregate.group_expr)? else {
        return Ok(LogicalPlan::Aggregate(aggregate));
    };
    if let Shape::Session { .. } = asked.shape {
        return by_session(aggregate, &asked);
    }
    aggregate.input = without_null_times(aggregate.input, &asked.time)?;
    let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, aggr_expr)?))
}

/// A grouping by the session of each row, in the place of the call.
fn by_session(aggregate: Aggregate, asked: &Asked) -> PlanResult<LogicalPlan> {
    let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(asked.call().alias(SESSION_OF_ROW));
    let session = || Expr::Column(Column::new_unqualified(SESSION_OF_ROW));
    let mut input = LogicalPlanBuilder::from(input.as_ref().clone());
    if asked.is_never() {
        // Such a row is in no session whatever its time is: it does not even move the watermark.
        input = input.filter(lit(false))?;
    }
    let input = input.project(columns)?.filter(session().is_not_null())?.build()?;
    let preserver = NamePreserver::new_for_projection();
    let in_place = |expr: Expr| {
        let name = preserver.save(&expr);
        let replaced = expr.transform_up(|inner| match &inner {
            Expr::ScalarFunction(_) if Asked::of(&inner)?.as_ref() == Some(asked) => {
                Ok(Transformed::yes(session()))
            }
            _ => Ok(Transformed::no(inner)),
        })?;
        Ok(name.restore(replaced.data))
    };
    let group_expr = group_expr.into_iter().map(in_place).collect::<PlanResult<Vec<_>>>()?;
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), group_expr, aggr_expr)?))
}

fn projected(projection: Projection) -> PlanResult<LogicalPlan> {
    let Some(asked) = only_window(&projection.expr)? else {
        return Ok(LogicalPlan::Projection(projection));
    };
    let must_be = match &asked.shape {
        Shape::Grid(_) => &asked.time,
        Shape::Session { .. } => &asked.call(),
    };
    let input = without_null_times(projection.input, must_be)?;
    if !asked.overlaps() {
        return Ok(LogicalPlan::Projection(Projection::try_new(projection.expr, input)?));
    }
    let call = asked.call.clone();
    let (_, window_field) = Expr::ScalarFunction(call.clone()).to_field(input.schema())?;
    let list = Expr::ScalarFunction(ScalarFunction::new_udf(window_list(), call.args));
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(list.alias(UNNESTED));
    let input = LogicalPlanBuilder::from(input.as_ref().clone())
        .project(columns)?
        .unnest_column(Column::new_unqualified(UNNESTED))?
        .build()?;
    // Unnesting loses the marks of a window of event time.
    let kind = (WINDOW_KIND.to_owned(), GRID.to_owned());
    let delay = event_time_delay(&window_field);
    let delay = delay.map(|delay| (EVENT_TIME_DELAY.to_owned(), delay.to_string()));
    let mark = FieldMetadata::new(delay.into_iter().chain([kind]).collect());
    let preserver = NamePreserver::new_for_projection();
    let exprs = projection.expr.into_iter().map(|expr| {
        let name = preserver.save(&expr);
        let marked = Asked::of(&expr)?.is_some();
        let replaced = expr.transform_up(|inner| {
            let is_call = !matches!(inner, Expr::Alias(_));
            if is_call && Asked::of(&inner)?.as_ref() == Some(&asked) {
                let column = Expr::Column(Column::new_unqualified(UNNESTED));
                return Ok(Transformed::yes(column));
            }
            Ok(Transformed::no(inner))
        })?;
        let restored = name.restore(replaced.data);
        Ok(match restored {
            Expr::Alias(alias) if marked => Expr::Alias(alias.with_metadata(Some(mark.clone()))),
            other => other,
        })
    });
    let exprs = exprs.collect::<PlanResult<Vec<Expr>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
}
