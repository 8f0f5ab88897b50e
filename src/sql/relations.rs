//! `STREAM t WITH (…) WATERMARK ts DELAY OF INTERVAL … AS a`: what Spark's grammar may say about a
//! table in FROM and the parser crate does not know.
//!
//! It is done in two moves. Before parsing, [`rewrite`] takes these words out of the tokens and
//! leaves an alias in their place whose name is the number of the clause. While planning,
//! [`Relations`] sees such an alias, plans what stands before it, and puts on top what the clause
//! says. So the clause works behind a table, a view, a subquery and a common table expression
//! alike, and every other token keeps its place in the user's text.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr as SqlExpr, Ident, ObjectName, Query, Select, SelectItem, TableAlias,
    TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::catalog::Scope;
use super::names;
use super::options::Options;
use super::statements::key_values;
use super::text::SourceText;
use super::tokens::{self, Cursor, ends_table, is_word, span_of};
use super::types;
use super::watermark;
use crate::error::{Error, Result, Span};

/// The first character of an alias that stands for a clause; no name that a user types holds it.
const MARK: char = '\u{1}';

/// What a query says about one relation in FROM.
#[derive(Debug, Clone)]
pub(super) struct Clause {
    streaming: bool,
    options: Options,
    watermark: Option<WatermarkClause>,
    alias: Option<Ident>,
    span: Span,
}

#[derive(Debug, Clone)]
struct WatermarkClause {
    expr: SqlExpr,
    name: Option<Ident>,
    delay_us: i64,
    span: Span,
}

/// Takes the clauses out of the tokens of a query.
pub(super) fn rewrite(
    text: &SourceText,
    tokens: &[TokenWithSpan],
    clauses: &mut Vec<Clause>,
) -> Result<Vec<TokenWithSpan>> {
    let mut cursor = Cursor::new(text, tokens);
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 8);
    // Whether we stand in a FROM clause, for each open parenthesis.
    let mut in_from = vec![false];
    while let Some(token) = cursor.peek() {
        let from = in_from.last().copied().unwrap_or(false);
        let starts_relation = out.last().is_some_and(|t| {
            is_word(t, "FROM") || is_word(t, "JOIN") || (from && t.token == Token::Comma)
        });
        if starts_relation && is_word(token, "STREAM") && stream_follows(&cursor, tokens) {
            cursor.next();
            let name = stream_name(&mut cursor)?;
            out.extend(name.iter().cloned());
            read_clause(&mut cursor, name.first().unwrap_or(token), true, &mut out, clauses)?;
            continue;
        }
        if from && !starts_relation && is_word(token, "WATERMARK") && ends_relation(&out) {
            read_clause(&mut cursor, token, false, &mut out, clauses)?;
            continue;
        }
        match &token.token {
            Token::LParen => in_from.push(false),
            Token::RParen if in_from.len() > 1 => {
                in_from.pop();
            }
            _ => {}
        }
        if let Some(depth) = in_from.last_mut() {
            const END: [&str; 9] = [
                "SELECT",
                "WHERE",
                "GROUP",
                "HAVING",
                "ORDER",
                "LIMIT",
                "UNION",
                "EXCEPT",
                "INTERSECT",
            ];
            if is_word(token, "FROM") {
                *depth = true;
            } else if END.iter().any(|w| is_word(token, w)) {
                *depth = false;
            }
        }
        out.push(token.clone());
        cursor.next();
    }
    Ok(out)
}

/// Takes hidden columns out of what `*` means, where a stream that has them is read.
pub(super) fn hide_columns(query: &mut Query, scope: &Scope, clauses: &[Clause]) {
    let _ = query.visit(&mut HideColumns { scope, clauses });
}

struct HideColumns<'a> {
    scope: &'a Scope,
    clauses: &'a [Clause],
}

impl HideColumns<'_> {
    /// The hidden column of a relation that is a stream.
    fn hidden(&self, relation: &TableFactor) -> Option<Ident> {
        let TableFactor::Table { name, alias: Some(alias), .. } = relation else { return None };
        let number: usize = alias.name.value.strip_prefix(MARK)?.parse().ok()?;
        let table = name.0.last()?.as_ident()?;
        self.clauses.get(number).filter(|clause| clause.streaming)?;
        let column = self.scope.hidden_column(&table.value)?;
        Some(Ident::with_quote('`', column.name()))
    }
}

impl VisitorMut for HideColumns<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let relations = select.from.iter().flat_map(|from| {
            std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
        });
        let hidden = relations.filter_map(|relation| self.hidden(relation)).next();
        for item in &mut select.projection {
            if let (
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options),
                Some(hidden),
            ) = (item, &hidden)
            {
                let name = ObjectName::from(vec![hidden.clone()]);
                options.opt_exclude.get_or_insert(ExcludeSelectItem::Single(name));
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether `STREAM` is the keyword here and not a table of that name.
fn stream_follows(cursor: &Cursor<'_>, tokens: &[TokenWithSpan]) -> bool {
    match tokens.get(cursor.position() + 1) {
        Some(next) if next.token == Token::LParen => true,
        Some(next) => {
            let keyword = ["AS", "WATERMARK", "WITH"].iter().any(|w| is_word(next, w));
            matches!(next.token, Token::Word(_)) && !ends_table(next) && !keyword
        }
        None => false,
    }
}

/// Whether what was written last may be a relation: a name or a closing parenthesis.
fn ends_relation(out: &[TokenWithSpan]) -> bool {
    match out.last().map(|t| &t.token) {
        Some(Token::RParen) => true,
        Some(Token::Word(w)) => w.quote_style.is_some() || !out.last().is_some_and(ends_table),
        _ => false,
    }
}

/// `t`, `db.t` or `(t)` behind `STREAM`, as the tokens of the name.
fn stream_name(cursor: &mut Cursor<'_>) -> Result<Vec<TokenWithSpan>> {
    const HINT: &str = "write FROM STREAM table or FROM STREAM(table)";
    let parenthesis = cursor.take_mark(&Token::LParen);
    let mut name = Vec::new();
    loop {
        match cursor.peek() {
            Some(token) if matches!(token.token, Token::Word(_)) => name.push(token.clone()),
            _ => return Err(cursor.unexpected("the name of a table", HINT)),
        }
        cursor.next();
        match cursor.peek() {
            Some(token) if token.token == Token::Period => name.push(token.clone()),
            _ => break,
        }
        cursor.next();
    }
    if parenthesis {
        cursor.expect_mark(&Token::RParen, HINT)?;
    }
    Ok(name)
}

/// Reads `[WITH (…)] [WATERMARK …] [[AS] alias]` and leaves the alias that stands for it.
fn read_clause(
    cursor: &mut Cursor<'_>,
    first: &TokenWithSpan,
    streaming: bool,
    out: &mut Vec<TokenWithSpan>,
    clauses: &mut Vec<Clause>,
) -> Result<()> {
    let text = cursor.text;
    let options =
        if streaming && cursor.take(&["WITH"]) { key_values(cursor)? } else { Options::new() };
    let watermark = match cursor.peek() {
        Some(token) if is_word(token, "WATERMARK") => Some(read_watermark(cursor)?),
        _ => None,
    };
    let mut alias = None;
    let explicit = cursor.take(&["AS"]);
    if let Some(TokenWithSpan { token: Token::Word(word), span }) = cursor.peek()
        && (explicit || !cursor.peek().is_some_and(ends_table))
    {
        alias =
            Some(Ident { value: word.value.clone(), quote_style: word.quote_style, span: *span });
        cursor.next();
    } else if explicit {
        return Err(cursor.unexpected("an alias", "write AS name"));
    }
    let word = Word {
        value: format!("{MARK}{}", clauses.len()),
        quote_style: Some('`'),
        keyword: datafusion::sql::sqlparser::keywords::Keyword::NoKeyword,
    };
    out.push(TokenWithSpan { token: Token::make_keyword("AS"), span: first.span });
    out.push(TokenWithSpan { token: Token::Word(word), span: first.span });
    let span = span_of(text, std::slice::from_ref(first));
    clauses.push(Clause { streaming, options, watermark, alias, span });
    Ok(())
}

const WATERMARK: &str = "write WATERMARK column DELAY OF INTERVAL 10 MINUTES";

fn read_watermark(cursor: &mut Cursor<'_>) -> Result<WatermarkClause> {
    let text = cursor.text;
    cursor.take(&["WATERMARK"]);
    let start = cursor.position();
    let rest = cursor.rest();
    cursor.go_to(start);
    let length = rest
        .windows(2)
        .position(|pair| is_word(&pair[0], "DELAY") && is_word(&pair[1], "OF"))
        .filter(|length| *length > 0);
    let Some(length) = length else {
        return Err(cursor.unexpected("a column and DELAY OF INTERVAL …", WATERMARK));
    };
    let expression = &rest[..length];
    let (mut expr, name) = tokens::parse_whole(text, expression, |parser| {
        let expr = parser.parse_expr()?;
        let explicit = parser.parse_keyword(datafusion::sql::sqlparser::keywords::Keyword::AS);
        let named = explicit || matches!(parser.peek_token().token, Token::Word(_));
        Ok((expr, if named { Some(parser.parse_identifier()?) } else { None }))
    })?;
    names::prepare_expression(&mut expr);
    cursor.go_to(start + length + 2);
    if !cursor.take(&["INTERVAL"]) {
        return Err(cursor.unexpected("INTERVAL", WATERMARK));
    }
    let at = cursor.here();
    let interval = cursor.string("a length of time", WATERMARK)?;
    let delay = super::interval::Interval::parse(&interval)
        .ok()
        .and_then(super::interval::Interval::delay_micros)
        .ok_or_else(|| text.syntax(at, "this is not a length of time", WATERMARK))?;
    if delay < 0 {
        return Err(Error::sql("WATERMARK_DELAY_NEGATIVE", "the delay of a watermark is negative")
            .hint("a watermark stays behind the newest event time: write 0 or a positive interval")
            .at(text.place(at)));
    }
    let span = span_of(text, expression);
    Ok(WatermarkClause { expr, name, delay_us: delay, span })
}

/// Plans relations that carry a clause.
pub(super) struct Relations {
    pub(super) scope: Arc<Scope>,
    pub(super) clauses: Arc<[Clause]>,
}

impl fmt::Debug for Relations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relations({} clauses)", self.clauses.len())
    }
}

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        mut relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> PlanResult<RelationPlanning> {
        let Some(slot) = alias_of(&mut relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let number = slot.as_ref().and_then(|a| a.name.value.strip_prefix(MARK)?.parse().ok());
        let Some(clause) = number.and_then(|n: usize| self.clauses.get(n)) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let alias = slot.take().and_then(|marked| {
            let name = clause.alias.clone()?;
            Some(TableAlias { name, ..marked })
        });
        let mut plan = match &relation {
            TableFactor::Table { name, .. } if clause.streaming => {
                let name = name.0.last().and_then(|p| p.as_ident()).map(|i| i.value.clone());
                let name = name.unwrap_or_default();
                let planned = self.scope.relation(&name, true, &clause.options);
                planned.map_err(|e| located(e, &self.scope.text, clause.span))?
            }
            _ => context.plan(relation)?,
        };
        if let Some(watermark) = &clause.watermark {
            plan = self.watermark(plan, watermark, context)?;
        }
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

impl Relations {
    fn watermark(
        &self,
        plan: LogicalPlan,
        clause: &WatermarkClause,
        context: &mut dyn RelationPlannerContext,
    ) -> PlanResult<LogicalPlan> {
        let at = |e: Error| e.at(self.scope.text.place(clause.span));
        let expr = context.sql_to_expr(clause.expr.clone(), plan.schema())?;
        let (plan, column) = match (expr, &clause.name) {
            (Expr::Column(column), None) => {
                if plan.schema().index_of_column(&column).is_err() {
                    let fields = plan.schema().fields();
                    let known: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
                    let written = self.scope.text.slice(clause.span);
                    return Err(at(super::errors::unresolved_column(written, &known)).into());
                }
                (plan, column)
            }
            (_, None) => {
                return Err(at(Error::sql(
                    "REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE",
                    "an expression as event time needs a name",
                )
                .hint("write WATERMARK expression AS name DELAY OF INTERVAL …"))
                .into());
            }
            (expr, Some(name)) => with_column(plan, expr, &name.value)?,
        };
        let called = self.scope.text.slice(clause.span);
        let next = || self.scope.new_watermark();
        let delay_us = self.scope.delay_us.unwrap_or(clause.delay_us);
        watermark::mark(plan, column, called, delay_us, next).map_err(|e| at(e).into())
    }
}

/// The plan with one more column. Its qualifier is that of the others, so that both names work.
fn with_column(plan: LogicalPlan, expr: Expr, name: &str) -> PlanResult<(LogicalPlan, Column)> {
    let qualifier = plan.schema().iter().next().and_then(|(q, _)| q.cloned());
    let mut exprs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let target = types::timestamp();
    // Texts and other units become Spark's timestamp.
    let expr = match expr.get_type(plan.schema())? {
        DataType::Timestamp(unit, zone) if unit != TimeUnit::Microsecond => {
            let target = DataType::Timestamp(TimeUnit::Microsecond, zone.or(Some("UTC".into())));
            expr.cast_to(&target, plan.schema())?
        }
        DataType::Null => lit(ScalarValue::Null).cast_to(&target, plan.schema())?,
        _ => expr,
    };
    exprs.push(expr.alias_qualified(qualifier.clone(), name));
    let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
    Ok((plan, Column::new(qualifier, name)))
}

fn located(
    error: datafusion::error::DataFusionError,
    text: &SourceText,
    span: Span,
) -> datafusion::error::DataFusionError {
    match error {
        datafusion::error::DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) if ours.place().is_none() => ours.at(text.place(span)).into(),
            Ok(ours) => datafusion::error::DataFusionError::External(ours),
            Err(other) => datafusion::error::DataFusionError::External(other),
        },
        other => other,
    }
}

/// The alias of any relation that can carry a clause.
fn alias_of(relation: &mut TableFactor) -> Option<&mut Option<TableAlias>> {
    match relation {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::NestedJoin { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::TableFunction { alias, .. } => Some(alias),
        _ => None,
    }
}

/// The name under which a relation's columns can be qualified, if it carries a clause.
pub(super) fn clause_alias(clauses: &[Clause], alias: &str) -> Option<Option<String>> {
    let number: usize = alias.strip_prefix(MARK)?.parse().ok()?;
    Some(clauses.get(number)?.alias.as_ref().map(|i| i.value.clone()))
}
