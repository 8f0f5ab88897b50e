//! Names: upper and lower case make no difference, but the result shows what was written.
//!
//! One spelling is chosen for each name of a query (that of the table's declaration, or else the
//! first one), and all tokens are respelt before parsing. So the planner, which compares exactly,
//! finds everything; at the end the query's own spelling is put back on its output columns.
//! Columns without a name get Spark's: `count(1)`, `avg(value)`, `window`.

use std::collections::HashMap;
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    Ident, ObjectNamePart, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, Value,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::column_names::ColumnNames;
use super::functions;
use super::generators::{self, Generator};
use super::relations::{Clause, clause_alias};
use super::stars;
use super::text::SourceText;
use crate::error::{Error, Result};

/// The one spelling of each name in a query.
#[derive(Debug, Default, Clone)]
pub(super) struct Spelling(HashMap<String, String>);

impl Spelling {
    /// Learns the names of a table's columns and of the fields inside them.
    pub(super) fn learn_schema(&mut self, schema: &Schema) {
        for field in schema.fields() {
            self.learn_field(field);
        }
    }

    fn learn_field(&mut self, field: &Field) {
        self.learn(field.name());
        match field.data_type() {
            DataType::Struct(fields) => fields.iter().for_each(|f| self.learn_field(f)),
            DataType::List(item) => self.learn_field(item),
            DataType::Map(entries, _) => self.learn_field(entries),
            _ => {}
        }
    }

    /// The spelling of a name; an unknown name is learnt.
    pub(super) fn learn(&mut self, name: &str) -> &str {
        self.0.entry(name.to_lowercase()).or_insert_with(|| name.to_owned())
    }

    /// The spelling of a name.
    pub(super) fn of<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.get(&name.to_lowercase()).map_or(name, String::as_str)
    }

    /// Respells all tokens that can be names.
    pub(super) fn respell(&mut self, tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
        let mut tokens = tokens.to_vec();
        for token in &mut tokens {
            if let Token::Word(word) = &mut token.token {
                word.value = self.learn(&word.value).to_owned();
            }
        }
        tokens
    }
}

/// Prepares a parsed query: `window` (or `session_window`) stands for the grouping's window, Spark's
/// function names become the planner's, and columns without a name get one. A call of a function
/// that Spark does not have is refused here, where its name still stands as the user wrote it;
/// `known` are the functions that there are. Gives the generators, for which relations stand in the
/// query now.
pub(super) fn prepare(
    query: &mut Query,
    clauses: &[Clause],
    text: &SourceText,
    known: &[String],
) -> Result<Vec<Generator>> {
    let mut prepare = Prepare { clauses, generators: vec![], text: Some(text), known };
    match query.visit(&mut prepare) {
        ControlFlow::Break(wrong) => Err(wrong),
        ControlFlow::Continue(()) => {
            let _ = query.visit(&mut FieldsAsText);
            Ok(prepare.generators)
        }
    }
}

/// [`prepare`] for an expression that stands alone.
pub(super) fn prepare_expression(expr: &mut Expr) {
    let mut prepare = Prepare { clauses: &[], generators: vec![], text: None, known: &[] };
    let _ = expr.visit(&mut prepare);
    let _ = expr.visit(&mut FieldsAsText);
}

struct Prepare<'a> {
    clauses: &'a [Clause],
    generators: Vec<Generator>,
    /// Where the query stands; an expression that stands alone has no place.
    text: Option<&'a SourceText>,
    known: &'a [String],
}

impl Prepare<'_> {
    fn wrong_call(&self, expr: &Expr) -> Option<Error> {
        let (text, Expr::Function(call)) = (self.text?, expr) else { return None };
        let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
        let given = match &call.args {
            FunctionArguments::List(list) => list.args.len(),
            _ => 0,
        };
        let wrong = functions::wrong_call(&name.value, given, self.known)?;
        Some(match text.span(name.span) {
            Some(span) => wrong.at(text.place(span)),
            None => wrong,
        })
    }
}

impl Prepare<'_> {
    /// Names a column of a SELECT after what the query wrote for it.
    fn name(&self, item: &mut SelectItem, written: &Expr, relations: &[String]) {
        let SelectItem::UnnamedExpr(expr) = item else { return };
        if let Some(name) = (ColumnNames { text: self.text, relations }).of(written) {
            let alias = Ident::with_quote('`', name.replace(stars::MARK, ""));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

impl VisitorMut for Prepare<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Some(window) = grouping_window(select)
            && let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(exprs) = &mut order_by.kind
        {
            for order in exprs {
                replace_window(&mut order.expr, &window);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let relations = relation_names(select, self.clauses);
        if let Some(window) = grouping_window(select) {
            for item in &mut select.projection {
                let expr = match item {
                    SelectItem::UnnamedExpr(expr) => expr,
                    SelectItem::ExprWithAlias { expr, .. } => expr,
                    _ => continue,
                };
                let written = expr.clone();
                replace_window(expr, &window);
                if matches!(item, SelectItem::UnnamedExpr(expr) if *expr != written) {
                    self.name(item, &written, &relations);
                }
            }
            if let Some(having) = &mut select.having {
                replace_window(having, &window);
            }
        }
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && !generators::makes_rows(expr)
            {
                let written = expr.clone();
                self.name(item, &written, &relations);
            }
        }
        if let Err(refused) = generators::take(select, &relations, &mut self.generators) {
            return ControlFlow::Break(refused);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        functions::joined_in_order(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        stars::call(expr);
        if let Some(wrong) = self.wrong_call(expr) {
            return ControlFlow::Break(wrong);
        }
        functions::respell_call(expr);
        stars::call(expr);
        functions::fields_of_parameters(expr);
        functions::named_zip(expr);
        super::casts::respell(expr);
        super::literals::respell(expr);
        super::literals::narrow_beside_lambdas(expr);
        fields_as_text(expr);
        ControlFlow::Continue(())
    }
}

/// Calls are respelt by writing and reading them again, which makes names of the texts in them.
struct FieldsAsText;

impl VisitorMut for FieldsAsText {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        fields_as_text(expr);
        ControlFlow::Continue(())
    }
}

/// The planner takes `window(…).start` only with the field as text.
fn fields_as_text(expr: &mut Expr) {
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return };
    for access in access_chain {
        if let AccessExpr::Dot(field) = access
            && let Expr::Identifier(name) = field
        {
            let name = Value::SingleQuotedString(std::mem::take(&mut name.value));
            *field = Expr::Value(name.into());
        }
    }
}

/// The `window(…)` or `session_window(…)` call in a GROUP BY, for which the name of its function
/// stands in the other clauses.
fn grouping_window(select: &Select) -> Option<Function> {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return None };
    let keys = keys.iter().flat_map(|key| match key {
        Expr::GroupingSets(sets) | Expr::Rollup(sets) | Expr::Cube(sets) => {
            sets.iter().flatten().collect()
        }
        key => vec![key],
    });
    keys.into_iter().find_map(|key| match key {
        Expr::Function(call) if is_window_function(&call.name.to_string()) => Some(call.clone()),
        _ => None,
    })
}

fn is_window_function(name: &str) -> bool {
    [functions::WINDOW, functions::SESSION_WINDOW].iter().any(|f| name.eq_ignore_ascii_case(f))
}

/// Puts the call in place of the name `window` and of the start of `window.start`. What stands
/// inside a call of its own (`window_time(window)`) stays: Spark does not resolve it either.
fn replace_window(expr: &mut Expr, window: &Function) {
    let is_window = |i: &Ident| i.value.eq_ignore_ascii_case(&window.name.to_string());
    match expr {
        Expr::Identifier(name) if is_window(name) => *expr = Expr::Function(window.clone()),
        Expr::CompoundIdentifier(parts) if parts.first().is_some_and(is_window) => {
            let access = parts.drain(1..).map(|part| AccessExpr::Dot(Expr::Identifier(part)));
            let access_chain = access.collect();
            let root = Box::new(Expr::Function(window.clone()));
            *expr = Expr::CompoundFieldAccess { root, access_chain };
        }
        Expr::Function(call) => {
            let own = call.name.to_string();
            if is_window_function(&own) || own.eq_ignore_ascii_case(functions::WINDOW_TIME) {
                return;
            }
            if let FunctionArguments::List(list) = &mut call.args {
                for arg in &mut list.args {
                    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(inner)) = arg {
                        replace_window(inner, window);
                    }
                }
            }
        }
        Expr::Nested(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. }
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner) => replace_window(inner, window),
        Expr::BinaryOp { left, right, .. } => {
            replace_window(left, window);
            replace_window(right, window);
        }
        Expr::Between { expr: inner, low, high, .. } => {
            for part in [inner, low, high] {
                replace_window(part, window);
            }
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            for part in operand.iter_mut().chain(else_result.iter_mut()) {
                replace_window(part, window);
            }
            for case in conditions {
                replace_window(&mut case.condition, window);
                replace_window(&mut case.result, window);
            }
        }
        _ => {}
    }
}

/// The names by which columns can be qualified in a SELECT.
fn relation_names(select: &Select, clauses: &[Clause]) -> Vec<String> {
    let tables = select.from.iter().flat_map(|from| {
        std::iter::once(&from.relation).chain(from.joins.iter().map(|j| &j.relation))
    });
    tables
        .filter_map(|table| match table {
            TableFactor::Table { name, alias, .. } => {
                let own = name.0.last().and_then(|p| p.as_ident()).map(|i| i.value.clone());
                match alias.as_ref().map(|a| a.name.value.clone()) {
                    Some(alias) => match clause_alias(clauses, &alias) {
                        Some(renamed) => renamed.or(own),
                        None => Some(alias),
                    },
                    None => own,
                }
            }
            TableFactor::Derived { alias: Some(alias), .. } => {
                let alias = alias.name.value.clone();
                clause_alias(clauses, &alias).unwrap_or(Some(alias))
            }
            _ => None,
        })
        .collect()
}

/// The spelling of the output columns: what the outermost SELECT wrote, by the chosen spelling.
pub(super) fn written_names(
    query: &Query,
    text: &SourceText,
    spelling: &Spelling,
) -> HashMap<String, String> {
    let Some(select) = first_select(&query.body) else { return HashMap::new() };
    let mut written = HashMap::new();
    for item in &select.projection {
        let ident = match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(ident),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last(),
            SelectItem::ExprWithAlias { alias, .. } => Some(alias),
            _ => None,
        };
        let Some(ident) = ident else { continue };
        let Some(span) = text.span(ident.span) else { continue };
        let as_written = text.slice(span).trim_matches('`').replace("``", "`");
        if !as_written.is_empty() {
            written.entry(spelling.of(&ident.value).to_owned()).or_insert(as_written);
        }
    }
    written
}

fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}
