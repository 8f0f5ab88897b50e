//! `IN (SELECT …)` and `EXISTS (SELECT …)` in SELECT, where they are values and not conditions.
//!
//! DataFusion makes joins of them in a WHERE only. So a filter is asked for that would test them
//! all; the join and the column that the rule makes for it serve the projection as well.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rule for projections.
#[derive(Debug, Default)]
pub(super) struct DecorrelateProjectedSubquery(DecorrelatePredicateSubquery);

impl OptimizerRule for DecorrelateProjectedSubquery {
    fn name(&self) -> &str {
        "decorrelate_projected_subquery"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> PlanResult<Transformed<LogicalPlan>> {
        let LogicalPlan::Projection(Projection { expr: exprs, input, .. }) = &plan else {
            return Ok(Transformed::no(plan));
        };
        let mut input = input.clone();
        let preserver = NamePreserver::new(&plan);
        let exprs = exprs.iter().map(|expr| {
            let name = preserver.save(expr);
            let joined = expr.clone().transform_up(|inner| {
                if !is_subquery(&inner) {
                    return Ok(Transformed::no(inner));
                }
                match self.joined(inner.clone(), &input, config)? {
                    Some((with_join, value)) => {
                        input = with_join;
                        Ok(Transformed::yes(value))
                    }
                    None => Ok(Transformed::no(inner)),
                }
            })?;
            Ok(joined.update_data(|expr| name.restore(expr)))
        });
        let exprs = exprs.collect::<PlanResult<Vec<_>>>()?;
        if !exprs.iter().any(|expr| expr.transformed) {
            return Ok(Transformed::no(plan));
        }
        let exprs = exprs.into_iter().map(|expr| expr.data).collect();
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, input)?)))
    }
}

impl DecorrelateProjectedSubquery {
    /// The rows with a join that answers a subquery, and the column of the answer.
    fn joined(
        &self,
        subquery: Expr,
        input: &Arc<LogicalPlan>,
        config: &dyn OptimizerConfig,
    ) -> PlanResult<Option<(Arc<LogicalPlan>, Expr)>> {
        // Below IS TRUE the rule keeps the rows that have no match.
        let asked = Filter::try_new(Expr::IsTrue(Box::new(subquery)), input.clone())?;
        let answered = self.0.rewrite(LogicalPlan::Filter(asked), config)?.data;
        let filter = match answered {
            LogicalPlan::Projection(kept) => Arc::unwrap_or_clone(kept.input),
            other => other,
        };
        Ok(match filter {
            LogicalPlan::Filter(Filter { predicate: Expr::IsTrue(value), input, .. })
                if !is_subquery(&value) =>
            {
                Some((input, *value))
            }
            _ => None,
        })
    }
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::InSubquery(_) | Expr::Exists(_))
}
