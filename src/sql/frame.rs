//! Queries that are built by calls instead of text.
//!
//! The engine's API builds a plan of DataFusion call by call; this file has the parts that only a
//! stream has (leaves, watermarks, windows, the batch's clock) and makes the plan ready as
//! [`Catalog::plan`](super::Catalog::plan) does for text, so that both mean the same.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, TableReference};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};

use super::deduplicate::deduplicate;
use super::errors;
use super::functions::{BatchTime, batch_time_functions, session_window_udf, window_udf};
use super::interval::Interval;
use super::plan::{self, Planned, QueryPlan, TableRead, is_streaming, slot_of};
use super::watermark::{self, WatermarkNode};
use super::window::Asked;
use super::{check, optimizer};
use crate::batch::{Slot, SlotTable};
use crate::calendar::Zone;
use crate::error::{Error, Place, Result, Span};

/// A table as the leaf of a plan. `alias` is what its columns can be qualified with.
pub fn scan(read: &TableRead, alias: &str) -> Result<LogicalPlan> {
    let source = provider_as_source(Arc::new(SlotTable(read.slot.clone())));
    let plan = LogicalPlanBuilder::scan(TableReference::bare(alias), source, None);
    plan.and_then(LogicalPlanBuilder::build).map_err(planner_error)
}

/// One reading of a table, under a number that no other reading has.
pub fn read(table: &str, schema: SchemaRef, streaming: bool, number: usize) -> TableRead {
    let slot = Slot::new(plan::slot_name(table, streaming, number), schema);
    TableRead { table: table.to_owned(), streaming, slot, options: super::Options::new() }
}

/// `window(time, '5 minutes')`: the window of this size that a time falls into, a struct of `start`
/// and `end`. The size is a text such as `5 minutes` or `1 hour`.
///
/// ```
/// use strandline::prelude::*;
/// let by_window_and_type = vec![window(col("timestamp"), "5 minutes"), col("event_type")];
/// # let _ = by_window_and_type;
/// ```
pub fn window(time: Expr, size: &str) -> Expr {
    window_udf().call(vec![time, lit(size)])
}

/// `window(time, '5 minutes', '1 minute')`: windows of this size, one starting every `slide`; a time
/// falls into several of them.
///
/// ```
/// use strandline::prelude::*;
/// let key = window_sliding(col("timestamp"), "5 minutes", "1 minute");
/// # let _ = key;
/// ```
pub fn window_sliding(time: Expr, size: &str, slide: &str) -> Expr {
    window_udf().call(vec![time, lit(size), lit(slide)])
}

/// `session_window(time, '5 minutes')`: the session that a time belongs to, a struct of `start` and
/// `end`. A session is rows of one group of which none is further than the gap from the one before; it
/// ends one gap after the last of them. The gap is a text such as `lit("5 minutes")`, or an expression
/// that gives each row its own; a row without a gap, or with one not longer than nothing, is left out.
/// A grouping needs one more key beside it.
///
/// ```
/// use strandline::prelude::*;
/// let gap = when(col("device").eq(lit("phone")), lit("5 minutes")).otherwise(lit("30 minutes"))?;
/// let keys = vec![session_window(col("timestamp"), gap), col("user_id")];
/// # Ok::<(), Error>(())
/// ```
pub fn session_window(time: Expr, gap: Expr) -> Expr {
    session_window_udf().call(vec![time, gap])
}

/// `current_timestamp()`: when the batch started, the same for all its rows.
///
/// ```
/// use strandline::prelude::*;
/// let seen_at = current_timestamp().alias("seen_at");
/// # let _ = seen_at;
/// ```
pub fn current_timestamp() -> Expr {
    let functions = batch_time_functions(&BatchTime::default());
    let found = functions.into_iter().find(|(name, _)| *name == "current_timestamp");
    found.map_or(Expr::default(), |(_, function)| function.call(vec![]))
}

/// A watermark on a column, this far behind the newest event time.
pub fn with_watermark(plan: LogicalPlan, column: &str, delay: &str) -> Result<LogicalPlan> {
    let delay_us =
        Interval::parse(delay).and_then(|i| i.delay_micros().ok_or("it is too long".to_owned()));
    let delay_us = delay_us.map_err(|what| {
        Error::sql("CANNOT_PARSE_INTERVAL", format!("the delay of the watermark: {what}"))
            .hint("write a length of time such as '10 minutes'")
    })?;
    if delay_us < 0 {
        return Err(Error::sql("WATERMARK_DELAY_NEGATIVE", "the delay of a watermark is negative")
            .hint("a watermark stays behind the newest event time: write 0 or more"));
    }
    let Expr::Column(found) = resolve_column(&Column::from_name(column), plan.schema())? else {
        return Err(Error::sql(
            "EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE",
            format!("a watermark needs a column, and '{column}' is a field of one"),
        )
        .hint("give it a name of its own with with_column"));
    };
    watermark::mark(plan, found, column, delay_us, || 0)
}

/// Of rows that are the same in these columns (none: in all of them) the first one.
pub fn drop_duplicates(
    plan: LogicalPlan,
    columns: &[&str],
    within_watermark: bool,
) -> Result<LogicalPlan> {
    let keys = match columns {
        [] => plan.schema().columns().into_iter().map(Expr::Column).collect(),
        named => {
            let named =
                named.iter().map(|name| resolve_column(&Column::from_name(*name), plan.schema()));
            named.collect::<Result<Vec<_>>>()?
        }
    };
    if is_streaming(&plan) {
        return deduplicate(plan, keys, within_watermark).map_err(planner_error);
    }
    let all = plan.schema().columns().into_iter().map(Expr::Column).collect();
    LogicalPlanBuilder::from(plan)
        .distinct_on(keys, all, None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(planner_error)
}

/// What the planner says, as an error of ours.
pub fn planner_error(error: DataFusionError) -> Error {
    errors::from_calls(error)
}

/// Puts the columns of a plan in the place of the names in an expression, whatever their case, and
/// fields of structs in the place of names such as `window.start`.
pub fn resolve(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let field = match &expr {
        Expr::Column(written) => Some(written.name.clone()),
        _ => None,
    };
    let resolved = expr.transform_up(|inner| match inner {
        Expr::Column(written) => Ok(Transformed::yes(resolve_column(&written, schema)?)),
        other => Ok(Transformed::no(other)),
    });
    let resolved = resolved.map_err(planner_error)?.data;
    // A window without a name is called `window`, a field by its own name.
    Ok(match (field, resolved) {
        (_, column @ Expr::Column(_)) => column,
        (Some(field), other) => other.alias(field),
        (None, Expr::ScalarFunction(call)) if Asked::is_window_function(call.name()) => {
            let name = call.name().to_owned();
            Expr::ScalarFunction(call).alias(name)
        }
        (None, other) => other,
    })
}

fn resolve_column(written: &Column, schema: &DFSchema) -> Result<Expr> {
    let table = written.relation.as_ref().map(TableReference::table);
    if let Some(column) = find_column(schema, table, &written.name)? {
        return Ok(Expr::Column(column));
    }
    if let Some(table) = table
        && let Some(column) = find_column(schema, None, table)?
        && let DataType::Struct(fields) = schema.field_from_column(&column)?.data_type()
        && let Some(field) = fields.iter().find(|f| f.name().eq_ignore_ascii_case(&written.name))
    {
        return Ok(get_field(Expr::Column(column), field.name().as_str()));
    }
    let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    Err(errors::unresolved_column(&written.flat_name(), &known))
}

fn find_column(schema: &DFSchema, table: Option<&str>, name: &str) -> Result<Option<Column>> {
    let mut found: Vec<Column> = schema
        .columns()
        .into_iter()
        .filter(|column| column.name.eq_ignore_ascii_case(name))
        .filter(|column| match (table, &column.relation) {
            (Some(table), Some(relation)) => relation.table().eq_ignore_ascii_case(table),
            (Some(_), None) => false,
            (None, _) => true,
        })
        .collect();
    if found.len() > 1 && found.iter().filter(|column| column.name == name).count() == 1 {
        found.retain(|column| column.name == name);
    }
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => Err(errors::ambiguous_column(name)),
    }
}

/// A plan that is ready to run, and for each of its reads the position in `reads` of the one that it
/// came from.
pub fn query_plan(
    name: &str,
    plan: LogicalPlan,
    reads: &[TableRead],
) -> Result<(QueryPlan, Vec<usize>)> {
    let place = Place { name: name.to_owned(), text: "".into(), span: Span::default() };
    if !is_streaming(&plan) {
        let what = format!("the query '{name}' reads no stream");
        return Err(Error::sql("WRITE_STREAM_NOT_ALLOWED", what)
            .hint("begin with read_stream() instead of read()"));
    }
    let batch_time = BatchTime::default();
    let mut numbered =
        Numbered { given: reads, reads: vec![], origins: vec![], watermarks: vec![] };
    let plan = numbered.number(plan).map_err(planner_error)?;
    let plan = on_batch_time(plan, &batch_time).map_err(planner_error)?;
    let planned = Planned { plan, written: HashMap::new() };
    let plan = plan::output_columns(planned).map_err(planner_error)?;
    check::built_today(&plan)?;
    let zone = Zone::default();
    let plan = plan::ready(plan, &optimizer::session(&zone).state()).map_err(planner_error)?;
    let Numbered { reads, origins, watermarks, .. } = numbered;
    Ok((QueryPlan { plan, reads, watermarks, batch_time, zone, place }, origins))
}

/// Gives leaves and watermarks the numbers that they have in the whole query.
struct Numbered<'a> {
    given: &'a [TableRead],
    reads: Vec<TableRead>,
    origins: Vec<usize>,
    watermarks: Vec<watermark::WatermarkDefinition>,
}

impl Numbered<'_> {
    fn number(&mut self, plan: LogicalPlan) -> PlanResult<LogicalPlan> {
        let numbered = plan.transform_up_with_subqueries(|node| {
            if let Some(slot) = slot_of(&node) {
                return self.leaf(node, slot.name()).map(Transformed::yes);
            }
            let Some(mark) = WatermarkNode::of(&node) else { return Ok(Transformed::no(node)) };
            let number = self.watermarks.len();
            let (input, column) = (mark.input.clone(), mark.event_time.clone());
            let mark = WatermarkNode::try_new(input, column, mark.delay_us, number)?;
            self.watermarks.push(mark.definition());
            Ok(Transformed::yes(mark.into_plan()))
        })?;
        Ok(numbered.data)
    }

    fn leaf(&mut self, node: LogicalPlan, slot: &str) -> PlanResult<LogicalPlan> {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(node) };
        let Some(given) = self.given.iter().position(|read| read.slot.name() == slot) else {
            return Err(Error::internal(format!("{slot} is not a read of the query")).into());
        };
        let number = self.origins.iter().position(|origin| *origin == given).unwrap_or_else(|| {
            let known = &self.given[given];
            let schema = known.slot.schema().clone();
            self.reads.push(read(&known.table, schema, known.streaming, self.reads.len()));
            self.origins.push(given);
            self.reads.len() - 1
        });
        scan.source = provider_as_source(Arc::new(SlotTable(self.reads[number].slot.clone())));
        Ok(LogicalPlan::TableScan(scan))
    }
}

/// The functions that ask for the present look at the batch's clock.
fn on_batch_time(plan: LogicalPlan, time: &BatchTime) -> PlanResult<LogicalPlan> {
    let functions: HashMap<_, _> = batch_time_functions(time).into_iter().collect();
    let replaced = plan.transform_up_with_subqueries(|node| {
        let preserver = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let changed = expr.transform_up(|inner| match inner {
                Expr::ScalarFunction(mut call) => Ok(match functions.get(call.name()) {
                    Some(ours) => {
                        call.func = ours.clone();
                        Transformed::yes(Expr::ScalarFunction(call))
                    }
                    None => Transformed::no(Expr::ScalarFunction(call)),
                }),
                other => Ok(Transformed::no(other)),
            })?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(replaced.data)
}
