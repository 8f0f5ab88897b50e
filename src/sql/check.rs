//! What a stream cannot do, said before it starts, with the way out.
//!
//! A stream never ends. So it cannot be sorted as a whole, a result that may still change cannot
//! be appended, and a group that nothing ever closes would stay in state for good. The rules are
//! Spark's, and so are the condition names.

use std::fmt;

use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan};

use super::deduplicate::DeduplicateNode;
use super::plan::is_streaming;
use super::stream_join::StreamJoin;
use super::watermark::{event_time_delay, is_session};
use crate::error::{Error, Result};

/// What a query writes in each batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Rows that will not change any more.
    Append,
    /// Rows that are new or have changed.
    Update,
    /// The whole result.
    Complete,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Append => "append",
            Mode::Update => "update",
            Mode::Complete => "complete",
        })
    }
}

const MODE: &str = "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION";
/// Spark has no name for "this operation is not for streams".
const OPERATION: &str = "_LEGACY_ERROR_TEMP_3102";

fn refuse(condition: &'static str, what: impl Into<String>, hint: impl Into<String>) -> Result<()> {
    Err(Error::sql(condition, what).hint(hint))
}

/// Which rules hold; Spark has a switch for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// What a stream can do in an output mode (`spark.sql.streaming.unsupportedOperationCheck`).
    pub operations: bool,
    /// That no operator remembers rows which still change
    /// (`spark.sql.streaming.statefulOperator.checkCorrectness.enabled`).
    pub correctness: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Self { operations: true, correctness: true }
    }
}

/// Whether a plan can run as a stream in this output mode.
pub fn check(plan: &LogicalPlan, mode: Mode, checks: Checks) -> Result<()> {
    if !checks.operations {
        return Ok(());
    }
    let aggregates = streaming_aggregates(plan)?;
    each_node(plan, &mut |node| check_node(node, mode))?;
    if checks.correctness && mode != Mode::Append {
        each_node(plan, &mut |node| remembers_what_changes(node, mode))?;
    }
    aggregates.iter().try_for_each(|aggregate| check_sessions(aggregate, mode))?;
    match (mode, aggregates.first()) {
        (Mode::Complete, None) => refuse(
            MODE,
            "output mode complete writes the whole result each time, and this query has no \
             aggregation, so its result would grow without end",
            "set TBLPROPERTIES ('outputMode' = 'append')",
        ),
        (Mode::Append, Some(last)) if !closes(last) => append_without_event_time(last),
        (Mode::Append, Some(_)) => match aggregates.iter().find(|a| !closes(a)) {
            Some(below) => append_without_event_time(below),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// An operator that remembers rows, over an aggregation whose rows still change.
fn remembers_what_changes(node: &LogicalPlan, mode: Mode) -> Result<()> {
    let below = node.inputs().into_iter().map(streaming_aggregates).collect::<Result<Vec<_>>>()?;
    if !remembers(node) || below.iter().all(Vec::is_empty) {
        return Ok(());
    }
    refuse(
        OPERATION,
        format!(
            "in output mode {mode} an aggregation gives rows that still change, and an operator \
             above it that remembers rows would take each change for a row of its own"
        ),
        "set TBLPROPERTIES ('outputMode' = 'append'), or make two streaming tables",
    )
}

/// Whether a node keeps rows by their event time, or counts them.
fn remembers(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Aggregate(_) => is_streaming(node),
        LogicalPlan::Join(join) => is_streaming(&join.left) && is_streaming(&join.right),
        _ => DeduplicateNode::of(node).is_some_and(|node| {
            let by_time = |time: &usize| {
                let column = node.input.schema().columns().get(*time).cloned();
                column.is_some_and(|column| node.keys.contains(&column))
            };
            node.within_watermark || node.event_times().iter().any(by_time)
        }),
    }
}

/// The aggregations over a stream, the one nearest to the output first.
fn streaming_aggregates(plan: &LogicalPlan) -> Result<Vec<&Aggregate>> {
    let mut found = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node
            && is_streaming(node)
        {
            found.push(aggregate);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Whether the watermark closes each group one day: a key is event time.
fn closes(aggregate: &Aggregate) -> bool {
    let keys = aggregate.schema.fields().iter().take(aggregate.group_expr.len());
    keys.into_iter().any(|field| event_time_delay(field).is_some())
}

/// Whether an aggregation merges sessions: a key is one.
fn merges_sessions(aggregate: &Aggregate) -> bool {
    let keys = aggregate.schema.fields().iter().take(aggregate.group_expr.len());
    keys.into_iter().any(|field| is_session(field))
}

fn check_sessions(aggregate: &Aggregate, mode: Mode) -> Result<()> {
    if !merges_sessions(aggregate) {
        return Ok(());
    }
    if mode == Mode::Update {
        return refuse(
            MODE,
            "output mode update writes what has changed, and a session that grows changes its key",
            "set TBLPROPERTIES ('outputMode' = 'append') to write sessions that have ended",
        );
    }
    // A constant parts nothing; Spark removes it before it counts the keys.
    let keys = aggregate.group_expr.iter().filter(|key| !matches!(key, Expr::Literal(..)));
    if keys.count() > 1 {
        return Ok(());
    }
    refuse(
        "_LEGACY_ERROR_TEMP_3068",
        "sessions of all rows together are not possible on a stream",
        "add a key: GROUP BY session_window(ts, '5 minutes'), user_id",
    )
}

fn append_without_event_time(aggregate: &Aggregate) -> Result<()> {
    let watermarked = aggregate
        .input
        .exists(|node| Ok(super::watermark::WatermarkNode::of(node).is_some()))
        .unwrap_or(false);
    let (what, hint) = if watermarked {
        (
            "output mode append writes a group when it is closed, and no grouping key here is \
             event time, so no group ever closes",
            "group by window(…) over the column of the WATERMARK, or set \
             TBLPROPERTIES ('outputMode' = 'update')",
        )
    } else {
        (
            "output mode append writes a group when it is closed, and without a watermark no \
             group ever closes",
            "write FROM STREAM table WATERMARK column DELAY OF INTERVAL 10 MINUTES and group by \
             window(column, …), or set TBLPROPERTIES ('outputMode' = 'update')",
        )
    };
    refuse(MODE, what, hint)
}

fn check_node(node: &LogicalPlan, mode: Mode) -> Result<()> {
    if !is_streaming(node) {
        return Ok(());
    }
    match node {
        LogicalPlan::Sort(sort) => {
            let aggregated = !streaming_aggregates(&sort.input)?.is_empty();
            if mode == Mode::Complete && aggregated {
                return Ok(());
            }
            refuse(
                OPERATION,
                "a stream has no last row, so it cannot be sorted",
                "leave ORDER BY out and sort when you read the table, or aggregate in output mode \
                 complete",
            )
        }
        LogicalPlan::Join(join) if is_streaming(&join.left) && is_streaming(&join.right) => {
            join_in_mode(join.join_type, mode)
        }
        LogicalPlan::Limit(_) if mode == Mode::Update => refuse(
            OPERATION,
            "LIMIT is not possible in output mode update",
            "set TBLPROPERTIES ('outputMode' = 'append')",
        ),
        _ => Ok(()),
    }
}

/// A match is final when it is found; a row without one only when the watermark says so.
fn join_in_mode(join_type: JoinType, mode: Mode) -> Result<()> {
    let is_outer = !matches!(join_type, JoinType::Inner | JoinType::LeftSemi);
    match mode {
        Mode::Append => Ok(()),
        Mode::Update if !is_outer => Ok(()),
        Mode::Update => refuse(
            OPERATION,
            "an outer join of two streams gives its rows once and never changes them, so output \
             mode update is not possible",
            "set TBLPROPERTIES ('outputMode' = 'append')",
        ),
        Mode::Complete => refuse(
            OPERATION,
            "a join of two streams does not keep its result, so output mode complete is not \
             possible",
            "set TBLPROPERTIES ('outputMode' = 'append')",
        ),
    }
}

/// Whether each join of two streams can say one day that a row has no match. Asked before the plan
/// is optimised, as Spark does: a WHERE above that makes an inner join of an outer one is no excuse.
pub(super) fn joins(plan: &LogicalPlan) -> Result<()> {
    each_node(plan, &mut |node| match node {
        LogicalPlan::Join(join) if is_streaming(&join.left) && is_streaming(&join.right) => {
            knows_without_match(join)
        }
        _ => Ok(()),
    })
}

fn knows_without_match(join: &Join) -> Result<()> {
    use JoinType as J;
    let goes_by = StreamJoin::of(join);
    let knows = match join.join_type {
        J::Left | J::LeftSemi => goes_by.is_bounded(0),
        J::Right => goes_by.is_bounded(1),
        J::Full => goes_by.is_bounded(0) || goes_by.is_bounded(1),
        _ => true,
    };
    if knows {
        return Ok(());
    }
    let what = match join.join_type {
        J::LeftSemi => "a left semi join of two streams would keep each row for ever".to_owned(),
        outer => format!(
            "a {} outer join of two streams would never know that a row has no match",
            outer.to_string().to_lowercase()
        ),
    };
    let hint = if goes_by.event_times.iter().any(Vec::is_empty) {
        "give both streams a WATERMARK, and say how far apart in time matches can be: AND r.ts \
         BETWEEN l.ts AND l.ts + INTERVAL 1 HOUR"
    } else {
        "say in ON how far apart in time matches can be, at most: AND r.ts BETWEEN l.ts AND l.ts + \
         INTERVAL 1 HOUR; or let an event time, or a window of it, be equal on both sides"
    };
    refuse(OPERATION, what, hint)
}

/// What this version cannot do at all. Asked before the plan is optimised, so that everything is
/// still called what the user called it.
pub(super) fn built_today(plan: &LogicalPlan) -> Result<()> {
    each_node(plan, &mut |node| {
        streaming_subquery(node)?;
        if !is_streaming(node) {
            return match node {
                LogicalPlan::Aggregate(aggregate) if merges_sessions(aggregate) => not_yet(
                    "session_window over a still table",
                    "read the table with STREAM, or compute its sessions in a table of their own",
                ),
                _ => Ok(()),
            };
        }
        match node {
            LogicalPlan::Limit(limit) if limit.skip.is_some() => {
                refuse(OPERATION, "OFFSET is not possible on a stream", "leave OFFSET out")
            }
            LogicalPlan::Window(_) => refuse(
                "NON_TIME_WINDOW_NOT_SUPPORTED_IN_STREAMING",
                "functions with OVER (…) need all rows, and a stream has no last one",
                "group by window(ts, '5 minutes') instead",
            ),
            LogicalPlan::RecursiveQuery(_) => {
                not_yet("WITH RECURSIVE", "write the steps one by one")
            }
            LogicalPlan::Union(union) if !union.inputs.iter().all(|i| is_streaming(i)) => refuse(
                OPERATION,
                "UNION of a stream and a still table is not possible",
                "read both sides with STREAM",
            ),
            LogicalPlan::Join(join) => {
                check_join(is_streaming(&join.left), is_streaming(&join.right), join.join_type)
            }
            LogicalPlan::Aggregate(aggregate) => distinct_aggregate(aggregate),
            _ => Ok(()),
        }
    })
}

fn not_yet(what: &str, hint: &str) -> Result<()> {
    refuse("UNSUPPORTED_FEATURE", format!("{what} is not supported yet"), hint)
}

fn check_join(left: bool, right: bool, join_type: JoinType) -> Result<()> {
    use JoinType as J;
    if left && right {
        return match join_type {
            J::RightSemi => refuse(
                "PARSE_SYNTAX_ERROR",
                "RIGHT SEMI is no kind of join",
                "write the two sides the other way round, with LEFT SEMI JOIN",
            ),
            J::LeftAnti | J::RightAnti => refuse(
                OPERATION,
                "EXCEPT and anti joins with a stream on both sides are not possible",
                "the other side may still bring a match: keep it as a still table",
            ),
            J::LeftMark | J::RightMark => refuse(
                OPERATION,
                format!("a {join_type} join of two streams is not possible"),
                "write it as LEFT SEMI JOIN, with the rows that are wanted on the left",
            ),
            _ => Ok(()),
        };
    }
    let possible = match join_type {
        J::Inner => true,
        J::Left | J::LeftSemi | J::LeftAnti | J::LeftMark => left,
        J::Right | J::RightSemi | J::RightAnti | J::RightMark => right,
        J::Full => false,
    };
    if possible {
        return Ok(());
    }
    refuse(
        OPERATION,
        format!(
            "a {} join that keeps all rows of the still table is not possible: a row of the \
             stream that matches may come at any time",
            join_type.to_string().to_lowercase()
        ),
        "keep all rows of the stream instead: put the stream on the left of a LEFT JOIN",
    )
}

/// A subquery inside an expression is a join in disguise, however deep its stream lies.
fn streaming_subquery(node: &LogicalPlan) -> Result<()> {
    let mut found = false;
    node.apply_subqueries(|subquery| {
        subquery.apply_with_subqueries(|inner| {
            found |= is_streaming(inner);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if !found {
        return Ok(());
    }
    refuse(
        OPERATION,
        "a subquery that reads a stream is not possible inside WHERE or SELECT",
        "read its table without STREAM, or join with it",
    )
}

fn distinct_aggregate(aggregate: &Aggregate) -> Result<()> {
    let distinct = aggregate.aggr_expr.iter().any(|expr| {
        expr.exists(|e| Ok(matches!(e, Expr::AggregateFunction(f) if f.params.distinct)))
            .unwrap_or(false)
    });
    if !distinct {
        return Ok(());
    }
    refuse(
        OPERATION,
        "aggregates with DISTINCT are not possible on a stream",
        "use approx_count_distinct(column), or aggregate twice",
    )
}

fn each_node(plan: &LogicalPlan, visit: &mut dyn FnMut(&LogicalPlan) -> Result<()>) -> Result<()> {
    plan.apply(|node| {
        visit(node)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}
