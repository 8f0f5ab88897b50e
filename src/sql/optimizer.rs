//! The session: settings, functions and optimiser rules that are right for a stream.
//!
//! DataFusion's own list is for one run over all the data. Left out are the rules that split
//! `count(DISTINCT …)` into two groupings, that replace parts of a plan because they are empty
//! now, that make several limits of one, or that pull pieces of a `window(…)` call out of the
//! grouping that the engine looks for.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{FunctionRegistry, SessionStateBuilder};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::push_down_filter::{PushDownFilter, replace_cols_by_name};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;

use super::planner::SparkArithmetic;
use super::subqueries::DecorrelateProjectedSubquery;
use super::{aggregates, arithmetic, casts, functions, grouping_sets};
use crate::calendar::Zone;
use crate::error::Error;
use crate::window::WindowSpec;

/// A session with the functions, types, rules and settings of planning. The engine plans and runs
/// physical plans in one too: a single partition, no dynamic filters (a plan runs once a batch,
/// and they would stay from the batch before), no string views. `zone` is the one whose clocks and
/// dates the queries mean.
pub fn session(zone: &Zone) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(8192);
    let settings = [
        ("datafusion.execution.time_zone", zone.name()),
        // The event-time mark is metadata of logical schemas; physical plans go without it.
        ("datafusion.execution.skip_physical_aggregate_schema_check", "true"),
        ("datafusion.execution.collect_statistics", "false"),
        ("datafusion.execution.skip_partial_aggregation_probe_ratio_threshold", "1.1"),
        // The delay of a watermark, which a column's metadata says, is known to logical plans only.
        ("datafusion.execution.skip_physical_aggregate_schema_check", "true"),
        ("datafusion.execution.parquet.schema_force_view_types", "false"),
        // The setter, not the field: only it reaches the three particular switches.
        ("datafusion.optimizer.enable_dynamic_filter_pushdown", "false"),
        ("datafusion.sql_parser.enable_ident_normalization", "false"),
        ("datafusion.sql_parser.map_string_types_to_utf8view", "false"),
        ("datafusion.sql_parser.collect_spans", "true"),
        ("datafusion.sql_parser.parse_float_as_decimal", "true"),
        // A sort in a subquery is refused on a stream, not dropped in silence.
        ("datafusion.sql_parser.enable_subquery_sort_elimination", "false"),
        ("datafusion.sql_parser.default_null_ordering", "nulls_min"),
        ("datafusion.sql_parser.dialect", "databricks"),
    ];
    for (key, value) in settings {
        // A key that this DataFusion does not know would be a mistake of ours: the tests hold it.
        let set = config.options_mut().set(key, value);
        debug_assert!(set.is_ok(), "{key}: {set:?}");
    }
    let mut builder = SessionStateBuilder::new_with_default_features();
    // Before DataFusion's own planners, which take `||` over arrays.
    let planners = builder.expr_planners().get_or_insert_default();
    planners.insert(0, Arc::new(functions::Access));
    planners.insert(1, Arc::new(SparkArithmetic));
    let mut state = builder.with_config(config).with_optimizer_rules(rules()).build();
    let scalar = functions::scalar_functions().into_iter().chain(functions::collection_functions());
    for function in scalar.chain(casts::written_casts()).chain(arithmetic::named()) {
        // Registering replaces; there is nothing to fail.
        let _ = state.register_udf(function);
    }
    for function in functions::higher_order_functions() {
        // A scalar function of the same name would be found first.
        let _ = state.deregister_udf(function.name());
        let _ = state.register_higher_order_function(function);
    }
    for function in aggregates::functions().into_iter().chain([grouping_sets::grouping_id()]) {
        let _ = state.register_udaf(function);
    }
    SessionContext::new_with_state(state)
}

/// The zone of a session.
pub fn session_zone(options: &ConfigOptions) -> Result<Zone, Error> {
    options.execution.time_zone.as_deref().map_or_else(|| Ok(Zone::default()), Zone::named)
}

fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    use datafusion::optimizer as o;
    vec![
        Arc::new(o::rewrite_set_comparison::RewriteSetComparison::new()),
        Arc::new(o::optimize_unions::OptimizeUnions::new()),
        Arc::new(o::simplify_expressions::SimplifyExpressions::new()),
        Arc::new(o::replace_distinct_aggregate::ReplaceDistinctWithAggregate::new()),
        Arc::new(o::decorrelate_predicate_subquery::DecorrelatePredicateSubquery::new()),
        Arc::new(DecorrelateProjectedSubquery::default()),
        Arc::new(o::scalar_subquery_to_join::ScalarSubqueryToJoin::new()),
        Arc::new(o::decorrelate_lateral_join::DecorrelateLateralJoin::new()),
        Arc::new(o::extract_equijoin_predicate::ExtractEquijoinPredicate::new()),
        Arc::new(WithoutTrueFilters),
        Arc::new(o::eliminate_cross_join::EliminateCrossJoin::new()),
        Arc::new(o::eliminate_outer_join::EliminateOuterJoin::new()),
        Arc::new(PushDownFilterAboveWindows::default()),
        Arc::new(o::optimize_projections::OptimizeProjections::new()),
    ]
}

/// Drops filters that let every row through. One that lets none through stays, unlike in DataFusion:
/// its stream is read all the same, and its batches count.
#[derive(Debug)]
struct WithoutTrueFilters;

impl OptimizerRule for WithoutTrueFilters {
    fn name(&self) -> &str {
        "without_true_filters"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> PlanResult<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(Filter {
                predicate: Expr::Literal(ScalarValue::Boolean(Some(true)), _),
                input,
                ..
            }) => Ok(Transformed::yes(Arc::unwrap_or_clone(input))),
            other => Ok(Transformed::no(other)),
        }
    }
}

/// DataFusion's filter push-down, but a filter on a key of overlapping windows stays above the
/// grouping: below it the key would be computed for each row, and a row has several such windows.
/// (A row has one window of those that do not overlap. What is filtered there never gets into
/// state, as in Spark.)
#[derive(Debug, Default)]
struct PushDownFilterAboveWindows(PushDownFilter);

impl OptimizerRule for PushDownFilterAboveWindows {
    fn name(&self) -> &str {
        "push_down_filter_above_windows"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> PlanResult<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else { return self.0.rewrite(plan, config) };
        let (mut predicates, mut input) = (split_conjunction_owned(filter.predicate), filter.input);
        while let LogicalPlan::Filter(below) = input.as_ref() {
            predicates.extend(split_conjunction_owned(below.predicate.clone()));
            input = below.input.clone();
        }
        if let LogicalPlan::Projection(projection) = input.as_ref() {
            return below_projection(predicates, projection);
        }
        let windows = window_keys(&input)?;
        let on_window = |predicate: &Expr| {
            predicate.column_refs().iter().any(|column| windows.contains(&column.name))
        };
        let (kept, pushed): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(on_window);
        let pushed = match conjunction(pushed) {
            Some(predicate) => {
                let filter = LogicalPlan::Filter(Filter::try_new(predicate, input)?);
                self.0.rewrite(filter, config)?
            }
            None => Transformed::no(Arc::unwrap_or_clone(input)),
        };
        pushed.map_data(|plan| match conjunction(kept) {
            Some(kept) => Ok(LogicalPlan::Filter(Filter::try_new(kept, Arc::new(plan))?)),
            None => Ok(plan),
        })
    }
}

/// A filter goes below a projection, with the columns written out, except where a column would be
/// another one each time. DataFusion also stops at columns that are a field of a struct, because
/// of a rule that is not in our list; then `WHERE s > …` over `window(…).start AS s` would stay.
fn below_projection(
    predicates: Vec<Expr>,
    projection: &Projection,
) -> PlanResult<Transformed<LogicalPlan>> {
    let columns = projection.schema.columns().into_iter().zip(&projection.expr);
    let written: HashMap<String, Expr> =
        columns.map(|(c, expr)| (c.flat_name(), expr.clone().unalias_nested().data)).collect();
    let stays = |predicate: &Expr| {
        predicate.is_volatile()
            || predicate
                .column_refs()
                .iter()
                .any(|c| written.get(&c.flat_name()).is_none_or(|expr| expr.is_volatile()))
    };
    let (kept, pushed): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(stays);
    let mut below = projection.clone();
    let changed = match conjunction(pushed) {
        Some(predicate) => {
            let predicate = replace_cols_by_name(predicate, &written)?;
            let filter = Filter::try_new(predicate, below.input)?;
            below.input = Arc::new(LogicalPlan::Filter(filter));
            true
        }
        None => false,
    };
    let plan = match conjunction(kept) {
        Some(kept) => {
            let below = Arc::new(LogicalPlan::Projection(below));
            LogicalPlan::Filter(Filter::try_new(kept, below)?)
        }
        None => LogicalPlan::Projection(below),
    };
    Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
}

/// The names of a grouping's keys that are windows which overlap.
fn window_keys(plan: &LogicalPlan) -> PlanResult<Vec<String>> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(vec![]) };
    let mut keys = Vec::new();
    for (key, field) in aggregate.group_expr.iter().zip(aggregate.schema.fields()) {
        if WindowSpec::of(key)?.is_some_and(|(_, spec)| !spec.is_tumbling()) {
            keys.push(field.name().clone());
        }
    }
    Ok(keys)
}
