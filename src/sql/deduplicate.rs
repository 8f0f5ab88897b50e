//! `SELECT DISTINCT ON (key, …)` over a stream: of rows with the same key the first one.
//!
//! Spark has this as `dropDuplicates` and `dropDuplicatesWithinWatermark` and gives neither a form
//! in SQL. The first is written here as PostgreSQL, DuckDB and DataFusion write it; the second has two
//! words more, and `*` stands for all columns:
//!
//! ```sql
//! SELECT DISTINCT ON (event_id, ts) * FROM STREAM events WATERMARK ts DELAY OF INTERVAL 5 MINUTES
//! SELECT DISTINCT ON (event_id) WITHIN WATERMARK * FROM STREAM events WATERMARK …
//! SELECT DISTINCT ON (*) * FROM STREAM events
//! ```
//!
//! [`rewrite`] turns the words that the parser crate does not know into marks among the keys;
//! [`explicit`] turns the plan of a DISTINCT ON over a stream into a [`DeduplicateNode`], which the
//! engine cuts out as an operator. `SELECT DISTINCT` without ON is a grouping by all columns, in
//! Spark and here.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchemaRef, ScalarValue, plan_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    Distinct, DistinctOn, Expr, Extension, LogicalPlan, LogicalPlanBuilder,
    UserDefinedLogicalNodeCore,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::plan::is_streaming;
use super::tokens::is_word;
use super::watermark::event_time_delay;
use crate::error::Error;

/// Among the keys: all columns are keys.
const ALL: &str = "\u{1}all";
/// Among the keys: a key is forgotten after the delay of the watermark.
const WITHIN: &str = "\u{1}within";

/// Of rows with the same key the first one; the columns are those of the input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeduplicateNode {
    /// What the rows come from.
    pub input: Arc<LogicalPlan>,
    /// Columns of the input.
    pub keys: Vec<Column>,
    /// Whether a key is forgotten after the delay of the watermark.
    pub within_watermark: bool,
}

impl DeduplicateNode {
    /// The node in a plan, if the plan's top is one.
    pub fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref::<Self>(),
            _ => None,
        }
    }

    /// The node as a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The columns of the input that carry event time.
    pub fn event_times(&self) -> Vec<usize> {
        let fields = self.input.schema().fields().iter().enumerate();
        fields.filter(|(_, f)| event_time_delay(f).is_some()).map(|(at, _)| at).collect()
    }
}

impl PartialOrd for DeduplicateNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.keys, self.within_watermark).partial_cmp(&(&other.keys, other.within_watermark))
    }
}

impl UserDefinedLogicalNodeCore for DeduplicateNode {
    fn name(&self) -> &str {
        "Deduplicate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.keys.iter().cloned().map(Expr::Column).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(Column::to_string).collect();
        let within = if self.within_watermark { " within watermark" } else { "" };
        write!(f, "Deduplicate{within}: {}", keys.join(", "))
    }

    fn with_exprs_and_inputs(&self, keys: Vec<Expr>, inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        let key = |expr: Expr| match expr {
            Expr::Column(column) => Ok(column),
            other => plan_err!("a key must be a column, found {other}"),
        };
        let Some(input) = inputs.into_iter().next() else {
            return plan_err!("a deduplication needs an input");
        };
        let keys = keys.into_iter().map(key).collect::<PlanResult<_>>()?;
        Ok(Self { input: Arc::new(input), keys, within_watermark: self.within_watermark })
    }

    /// An event time that is neither a key nor asked for is left out, and then no row is late: so it
    /// is in Spark. Only within the watermark it is always needed.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut columns = output_columns.to_vec();
        for key in &self.keys {
            columns.push(self.input.schema().index_of_column(key).ok()?);
        }
        if self.within_watermark {
            columns.extend(self.event_times());
        }
        columns.sort_unstable();
        columns.dedup();
        Some(vec![columns])
    }
}

/// Takes `WITHIN WATERMARK` and `ON (*)` out of the tokens of a query.
pub(super) fn rewrite(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens;
    while let [token, after @ ..] = rest {
        rest = after;
        out.push(token.clone());
        let starts = is_word(token, "DISTINCT") && after.first().is_some_and(|t| is_word(t, "ON"));
        let Some(close) = starts.then(|| closing(after)).flatten() else { continue };
        let (keys, behind) = after.split_at(close);
        let mark = |text: &str, at: &TokenWithSpan| TokenWithSpan {
            token: Token::SingleQuotedString(text.to_owned()),
            span: at.span,
        };
        match keys {
            [on, open, star] if star.token == Token::Mul => {
                out.extend([on.clone(), open.clone(), mark(ALL, star)]);
            }
            _ => out.extend_from_slice(keys),
        }
        rest = behind;
        if let [paren, within, watermark, behind @ ..] = behind
            && is_word(within, "WITHIN")
            && is_word(watermark, "WATERMARK")
        {
            let comma = TokenWithSpan { token: Token::Comma, span: within.span };
            out.extend([comma, mark(WITHIN, within), paren.clone()]);
            rest = behind;
        }
    }
    out
}

/// Where the parenthesis that `ON (` opens is closed.
fn closing(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(1) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (at > 1).then_some(at);
        }
    }
    None
}

/// Turns every DISTINCT ON over a stream into the engine's node.
pub(super) fn explicit(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Distinct(Distinct::On(on)) => distinct_on(on).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

fn distinct_on(on: DistinctOn) -> PlanResult<LogicalPlan> {
    let marked = |text: &str| {
        let mark =
            |e: &Expr| matches!(e, Expr::Literal(ScalarValue::Utf8(Some(t)), _) if t == text);
        on.on_expr.iter().any(mark)
    };
    let (all, within_watermark) = (marked(ALL), marked(WITHIN));
    if !is_streaming(&on.input) && !within_watermark && !all {
        return Ok(LogicalPlan::Distinct(Distinct::On(on)));
    }
    if on.sort_expr.is_some() {
        return Err(Error::sql(
            "_LEGACY_ERROR_TEMP_3102",
            "DISTINCT ON keeps the row that comes first, and a stream cannot be sorted",
        )
        .hint("leave ORDER BY out")
        .into());
    }
    let DistinctOn { on_expr, select_expr, input, .. } = on;
    let keys = on_expr.into_iter().filter(|e| !matches!(e, Expr::Literal(..))).collect();
    let keys =
        if all { input.schema().columns().into_iter().map(Expr::Column).collect() } else { keys };
    let deduplicated = deduplicate(Arc::unwrap_or_clone(input), keys, within_watermark)?;
    LogicalPlanBuilder::from(deduplicated).project(select_expr)?.build()
}

/// Of rows whose keys are the same the first one.
pub(super) fn deduplicate(
    input: LogicalPlan,
    keys: Vec<Expr>,
    within_watermark: bool,
) -> PlanResult<LogicalPlan> {
    if within_watermark && !input.schema().fields().iter().any(|f| event_time_delay(f).is_some()) {
        return Err(Error::sql(
            "_LEGACY_ERROR_TEMP_3102",
            "duplicates can be dropped within a watermark only where there is a watermark",
        )
        .hint("write FROM STREAM table WATERMARK column DELAY OF INTERVAL 10 MINUTES")
        .into());
    }
    // A key that is computed becomes a column first, and goes again afterwards.
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let own = columns.len();
    let mut names = vec![];
    for (number, key) in keys.into_iter().enumerate() {
        match key.unalias() {
            Expr::Column(column) => names.push(column),
            computed => {
                let name = format!("__key_{number}");
                columns.push(computed.alias(&name));
                names.push(Column::new_unqualified(name));
            }
        }
    }
    let computed = columns.len() > own;
    let input = match computed {
        true => LogicalPlanBuilder::from(input).project(columns)?.build()?,
        false => input,
    };
    let all = input.schema().columns();
    let node = DeduplicateNode { input: Arc::new(input), keys: names, within_watermark };
    match computed {
        true => LogicalPlanBuilder::from(node.into_plan())
            .project(all.into_iter().take(own).map(Expr::Column))?
            .build(),
        false => Ok(node.into_plan()),
    }
}
