//! Filters that the condition of a join with a stream implies for each side alone.
//!
//! `l.k = r.k` holds only where both are not NULL; and if the left has been filtered by `k <> 'q'`,
//! no right row with `'q'` can match. Spark puts such filters below the join, and from there they
//! move below the watermark unless they touch the event time, so rows that they remove neither
//! advance the watermark nor are kept. A stream's answers depend on it, so it is done here as there:
//! for both sides of an inner and a semi join, and for the side of an outer join that is not
//! preserved.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, JoinType};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::{Between, BinaryExpr, InList, Like};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, Operator};

use super::plan::is_streaming;
use super::stream_join::StreamJoin;
use super::watermark::WatermarkNode;

/// Adds the filters, above the inputs of each join with a stream; says whether there were any.
pub(super) fn implied(plan: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    plan.transform_up(|node| match node {
        LogicalPlan::Join(mut join) if is_streaming(&join.left) || is_streaming(&join.right) => {
            let changed = infer(&mut join)?;
            let join = LogicalPlan::Join(join);
            Ok(if changed { Transformed::yes(join) } else { Transformed::no(join) })
        }
        other => Ok(Transformed::no(other)),
    })
}

fn infer(join: &mut Join) -> PlanResult<bool> {
    let filtered = match join.join_type {
        JoinType::Inner | JoinType::LeftSemi => [true, true],
        JoinType::Left => [false, true],
        JoinType::Right => [true, false],
        _ => return Ok(false),
    };
    let goes_by = StreamJoin::of(join);
    let strict = goes_by.keys.iter().filter(|key| !key.null_equal);
    let equal: Vec<&[Expr; 2]> = strict.map(|key| &key.sides).collect();
    let known = [constraints(&join.left)?, constraints(&join.right)?];
    let condition = goes_by.own.iter().flatten().chain(&goes_by.residual);
    let (mut changed, mut inputs) = (false, [join.left.clone(), join.right.clone()]);
    for (side, input) in inputs.iter_mut().enumerate().filter(|(side, _)| filtered[*side]) {
        let schema = input.schema();
        let mut new: Vec<Expr> = Vec::new();
        let mut add = |expr: Expr| {
            if !new.contains(&expr) && !known[side].contains(&expr) {
                new.push(expr);
            }
        };
        let mut needed = Vec::new();
        equal.iter().for_each(|sides| needs(&sides[side], &mut needed));
        condition.clone().for_each(|conjunct| needs(conjunct, &mut needed));
        for column in needed.iter().filter(|column| can_be_null(column, schema)) {
            add(Expr::Column((*column).clone()).is_not_null());
        }
        // What is known of the other side's key is known of this side's.
        for filter in known[1 - side].iter().chain(&goes_by.own[1 - side]) {
            if let Some(moved) = moved(filter, &equal, side, schema)? {
                add(moved);
            }
        }
        if let Some(predicate) = conjunction(new) {
            changed = true;
            *input = LogicalPlan::Filter(Filter::try_new(predicate, input.clone())?).into();
        }
    }
    let [left, right] = inputs;
    (join.left, join.right) = (left, right);
    Ok(changed)
}

fn can_be_null(column: &Column, schema: &DFSchema) -> bool {
    schema.has_column(column) && schema.field_from_column(column).is_ok_and(|f| f.is_nullable())
}

/// A filter over the other side, over the columns of this one that are equal to its own.
fn moved(
    filter: &Expr,
    equal: &[&[Expr; 2]],
    side: usize,
    schema: &DFSchema,
) -> PlanResult<Option<Expr>> {
    let moved = filter.clone().transform(|expr| {
        let same = equal
            .iter()
            .find(|sides| matches!(sides[1 - side], Expr::Column(_)) && sides[1 - side] == expr);
        Ok(match same.map(|sides| &sides[side]) {
            Some(Expr::Column(column)) => Transformed::yes(Expr::Column(column.clone())),
            _ => Transformed::no(expr),
        })
    })?;
    let columns = moved.data.column_refs();
    let is_of_side = moved.transformed && columns.iter().all(|column| schema.has_column(column));
    drop(columns);
    Ok(is_of_side.then_some(moved.data))
}

/// What holds for all rows of a plan because of filters below, over the plan's columns.
fn constraints(plan: &LogicalPlan) -> PlanResult<Vec<Expr>> {
    Ok(match plan {
        LogicalPlan::Filter(filter) => {
            let mut all = constraints(&filter.input)?;
            all.extend(split_conjunction_owned(filter.predicate.clone()));
            all.retain(|expr| !expr.is_volatile());
            all
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let columns = alias.input.schema().columns().into_iter().zip(alias.schema.columns());
            renamed(constraints(&alias.input)?, &columns.collect::<Vec<_>>())?
        }
        LogicalPlan::Projection(projection) => {
            let given = projection.expr.iter().zip(projection.schema.columns());
            let columns = given.filter_map(|(expr, to)| match expr.clone().unalias() {
                Expr::Column(from) => Some((from, to)),
                _ => None,
            });
            renamed(constraints(&projection.input)?, &columns.collect::<Vec<_>>())?
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            let mut both = constraints(&join.left)?;
            both.extend(constraints(&join.right)?);
            both
        }
        other => match WatermarkNode::of(other) {
            Some(node) => constraints(&node.input)?,
            None => vec![],
        },
    })
}

/// Expressions over other names of their columns; without those of which a column has no name.
fn renamed(exprs: Vec<Expr>, columns: &[(Column, Column)]) -> PlanResult<Vec<Expr>> {
    let mut kept = Vec::new();
    for expr in exprs {
        let mut lost = false;
        let renamed = expr.transform(|expr| match expr {
            Expr::Column(column) => match columns.iter().find(|(from, _)| *from == column) {
                Some((_, to)) => Ok(Transformed::yes(Expr::Column(to.clone()))),
                None => {
                    lost = true;
                    Ok(Transformed::no(Expr::Column(column)))
                }
            },
            other => Ok(Transformed::no(other)),
        })?;
        if !lost {
            kept.push(renamed.data);
        }
    }
    Ok(kept)
}

/// The columns without which an expression is NULL, or not true.
fn needs(expr: &Expr, columns: &mut Vec<Column>) {
    /// These give an answer for a NULL.
    const TOLERANT: &[&str] = &[
        "coalesce",
        "nvl",
        "nvl2",
        "ifnull",
        "nullif",
        "if",
        "concat_ws",
        "greatest",
        "least",
        "named_struct",
        "struct",
        "make_array",
        "array",
        "map",
        "isnull",
        "isnotnull",
        "isnan",
    ];
    match expr {
        Expr::Column(column) => columns.push(column.clone()),
        Expr::Alias(alias) => needs(&alias.expr, columns),
        Expr::Cast(cast) => needs(&cast.expr, columns),
        Expr::Negative(inner) | Expr::IsNotNull(inner) | Expr::Not(inner) => needs(inner, columns),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And
            | Operator::Or
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => {}
            _ => [left, right].into_iter().for_each(|side| needs(side, columns)),
        },
        Expr::Between(Between { expr, low, high, .. }) => {
            [expr, low, high].into_iter().for_each(|part| needs(part, columns));
        }
        Expr::Like(Like { expr, .. }) | Expr::InList(InList { expr, .. }) => needs(expr, columns),
        Expr::ScalarFunction(call) if !TOLERANT.contains(&call.name()) => {
            call.args.iter().for_each(|arg| needs(arg, columns));
        }
        _ => {}
    }
}
