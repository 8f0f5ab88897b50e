//! The planning of one streaming query, step by step, and what comes out of it.

use std::sync::{Arc, PoisonError};

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::RelationPlanner;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::planner::SqlToRel;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::catalog::{Provider, Scope};
use super::check::{self, Checks, Mode};
use super::errors::{self, Names};
use super::functions::BatchTime;
use super::generators::Generators;
use super::optimizer::session_zone;
use super::options::Options;
use super::relations::{self, Relations};
use super::statements::StreamingTableDefinition;
use super::tokens::{parse_whole, span_of};
use super::watermark::{WatermarkDefinition, WatermarkNode};
use super::{
    complexity, deduplicate, grouping_sets, join_filters, lateral_alias, meaning, moved_times,
    names, stars, unions, windows,
};
use crate::batch::{Slot, SlotTable};
use crate::calendar::Zone;
use crate::error::{Error, Place, Result};

/// One reading of a table in a query.
#[derive(Debug, Clone)]
pub struct TableRead {
    /// The table as the catalog calls it.
    pub table: String,
    /// Whether it is read with `STREAM`.
    pub streaming: bool,
    /// The leaf that takes the rows: the full schema of the table, under a name of its own such
    /// as `stream events#0` or `table users#1`.
    pub slot: Slot,
    /// The options of this reading: `STREAM t WITH (maxFilesPerTrigger = 1)`.
    pub options: Options,
}

/// A query that is ready to be run batch by batch.
#[derive(Debug, Clone)]
pub struct QueryPlan {
    /// Analysed and optimised; its leaves are scans of [`SlotTable`].
    pub plan: LogicalPlan,
    /// Every table that the plan reads, in the order in which the query names them; a common
    /// table expression that is read twice reads once.
    pub reads: Vec<TableRead>,
    /// The `WATERMARK` clauses by their index.
    pub watermarks: Vec<WatermarkDefinition>,
    /// What `current_timestamp()` gives: to be set before each run.
    pub batch_time: BatchTime,
    /// The zone whose clocks and dates the query means: that of the session to run it in.
    pub zone: Zone,
    /// Where the statement stands, for errors about it.
    pub place: Place,
}

impl QueryPlan {
    /// [`check()`](super::check()) with the place of the statement on the error.
    pub fn check(&self, mode: Mode, checks: Checks) -> Result<()> {
        check::check(&self.plan, mode, checks).map_err(|e| e.at(self.place.clone()))
    }
}

const STREAM: &str = "stream ";

pub(super) fn slot_name(table: &str, streaming: bool, number: usize) -> String {
    let kind = if streaming { STREAM } else { "table " };
    format!("{kind}{table}#{number}")
}

/// The slot of a leaf.
pub(super) fn slot_of(plan: &LogicalPlan) -> Option<Slot> {
    let LogicalPlan::TableScan(scan) = plan else { return None };
    let provider = source_as_provider(&scan.source).ok()?;
    provider.downcast_ref::<SlotTable>().map(|table| table.0.clone())
}

/// Whether a leaf of this plan is read with `STREAM`.
pub fn is_streaming(plan: &LogicalPlan) -> bool {
    plan.exists(|node| Ok(slot_of(node).is_some_and(|slot| slot.name().starts_with(STREAM))))
        .unwrap_or(false)
}

/// A query as the planner leaves it, before anything is analysed.
pub(super) struct Planned {
    pub(super) plan: LogicalPlan,
    /// The written spelling of output columns.
    pub(super) written: std::collections::HashMap<String, String>,
}

/// Plans the query of a streaming table.
pub(super) fn plan_streaming_table(
    scope: &Arc<Scope>,
    query: &StreamingTableDefinition,
) -> Result<QueryPlan> {
    let place = scope.text.place(query.span);
    let names = Names { functions: &|| scope.function_names() };
    let whole = span_of(&scope.text, &query.query);
    let translate = |e| errors::from_planner(&scope.text, whole, &names, e);
    let planned = plan_query(scope, &query.query)?;
    let plan = output_columns(planned).map_err(translate)?;
    let (reads, watermarks) = leaves(scope, &plan).map_err(translate)?;
    if !reads.iter().any(|read| read.streaming) {
        let what = format!("the streaming table '{}' reads no stream", query.name);
        let hint = match reads.first() {
            Some(read) => format!("write FROM STREAM {}", read.table),
            None => "write FROM STREAM and the name of a table".to_owned(),
        };
        return Err(Error::sql("INVALID_FLOW_QUERY_TYPE.BATCH_RELATION_FOR_STREAMING_TABLE", what)
            .hint(hint)
            .at(place));
    }
    check::built_today(&plan).map_err(|e| e.at(place.clone()))?;
    let plan = ready(plan, &scope.state).map_err(translate)?;
    Ok(QueryPlan {
        plan,
        reads,
        watermarks,
        batch_time: scope.batch_time.clone(),
        zone: scope.zone.clone(),
        place,
    })
}

/// A plan as the planner leaves it → what the engine cuts up.
pub(super) fn ready(plan: LogicalPlan, state: &SessionState) -> PlanResult<LogicalPlan> {
    let plan = unions::explicit(plan)?;
    let plan = grouping_sets::explicit(plan)?;
    let plan = deduplicate::explicit(plan)?;
    let plan = windows::explicit(plan)?;
    let plan = meaning::of_spark(plan)?;
    let plan = moved_times::explicit(plan, &session_zone(state.config_options())?)?;
    let plan = meaning::storable(plan)?;
    check::joins(&plan)?;
    let plan = state.optimize(&plan)?;
    // Which joins are outer ones is known only now; the filters have a way to go again.
    let filtered = join_filters::implied(plan)?;
    if filtered.transformed { state.optimize(&filtered.data) } else { Ok(filtered.data) }
}

/// Tokens → tree → logical plan.
pub(super) fn plan_query(scope: &Arc<Scope>, query: &[TokenWithSpan]) -> Result<Planned> {
    scope.name_hidden(query.iter().filter_map(|token| match &token.token {
        Token::Word(word) => Some(word.value.as_str()),
        _ => None,
    }));
    let mut clauses = Vec::new();
    let spelt = scope.spelling.lock().unwrap_or_else(PoisonError::into_inner).respell(query);
    let tokens = stars::mark(&deduplicate::rewrite(&spelt));
    let tokens = relations::rewrite(&scope.text, &tokens, &mut clauses)?;
    let mut tree = parse_whole(&scope.text, &tokens, |parser| parser.parse_query())?;
    let written = {
        let spelling = scope.spelling.lock().unwrap_or_else(PoisonError::into_inner);
        names::written_names(&tree, &scope.text, &spelling)
    };
    let whole = span_of(&scope.text, query);
    let at_query = |e: Error| e.at(scope.text.place(whole));
    complexity::check_names(&tree).map_err(at_query)?;
    let known = scope.function_names();
    let prepared = names::prepare(&mut tree, &clauses, &scope.text, &known);
    let generators = prepared.map_err(|e| if e.place().is_some() { e } else { at_query(e) })?;
    relations::hide_columns(&mut tree, scope, &clauses);
    let relations = Relations { scope: scope.clone(), clauses: clauses.into() };
    let generators = Generators(generators.into());
    let relations: Vec<Arc<dyn RelationPlanner>> = vec![Arc::new(generators), Arc::new(relations)];
    let provider = Provider::new(scope.clone(), relations);
    let names = Names { functions: &|| scope.function_names() };
    let before = scope.so_far();
    let plan = loop {
        let statement = SqlStatement::Query(tree.clone());
        match SqlToRel::new(&provider).sql_statement_to_plan(statement) {
            Ok(plan) => break plan,
            Err(e) => {
                if !lateral_alias::resolve(&mut tree, &e).map_err(at_query)? {
                    return Err(errors::from_planner(&scope.text, whole, &names, e));
                }
                scope.forget_since(before);
            }
        }
    };
    Ok(Planned { plan, written })
}

/// Puts the written spelling on the output columns, which lose their table.
pub(super) fn output_columns(planned: Planned) -> PlanResult<LogicalPlan> {
    let Planned { plan, written } = planned;
    let mut names: Vec<String> = Vec::new();
    let mut changed = false;
    for (qualifier, field) in plan.schema().iter() {
        let name = written.get(field.name()).unwrap_or(field.name()).clone();
        changed |= qualifier.is_some() || name != *field.name();
        if names.iter().any(|n| n.eq_ignore_ascii_case(&name)) {
            let what = format!("two output columns are called '{name}'");
            return Err(Error::sql("COLUMN_ALREADY_EXISTS", what)
                .hint("give one of them another name with AS, or list the columns instead of *")
                .into());
        }
        names.push(name);
    }
    if !changed {
        return Ok(plan);
    }
    let columns: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(names)
        .map(|(column, name)| Expr::Column(column).alias(name))
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// The tables and watermarks that a plan holds.
fn leaves(
    scope: &Scope,
    plan: &LogicalPlan,
) -> PlanResult<(Vec<TableRead>, Vec<WatermarkDefinition>)> {
    let mut slots: Vec<Arc<str>> = Vec::new();
    let mut watermarks: Vec<WatermarkDefinition> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let Some(slot) = slot_of(node) {
            slots.push(slot.name().into());
        }
        if let Some(node) = WatermarkNode::of(node)
            && watermarks.iter().all(|w| w.index != node.index)
        {
            watermarks.push(node.definition());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    watermarks.sort_by_key(|w| w.index);
    let reads = scope.reads.lock().unwrap_or_else(PoisonError::into_inner);
    let used = reads.iter().filter(|r| slots.iter().any(|s| **s == *r.slot.name()));
    Ok((used.cloned().collect(), watermarks))
}
