//! `SELECT v * 2 AS d, d + 1 AS e`: an alias that is used further on in the same SELECT.
//!
//! A column of the input wins over an alias, and only the planner knows the columns. So the query is
//! planned as it is; where the planner misses a column that is an earlier alias, the alias gives way
//! to what it stands for, and the query is planned again.

use std::ops::ControlFlow;

use datafusion::common::{Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, Query, Select, SelectItem, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use crate::error::{Error, Result};

/// Puts what an alias stands for in its place where the planner missed it. Gives whether there was
/// one; if not, the column is really missing.
pub(super) fn resolve(query: &mut Query, error: &DataFusionError) -> Result<bool> {
    let Some(missing) = Missing::of(error) else { return Ok(false) };
    let mut replace = Replace { missing, done: Ok(false) };
    let _ = query.visit(&mut replace);
    replace.done
}

/// A column that the planner did not find.
struct Missing {
    /// The name, or the name and the field that was wanted of it.
    path: Vec<String>,
    /// Where it stands, if the planner says so.
    at: Option<Location>,
}

impl Missing {
    fn of(error: &DataFusionError) -> Option<Missing> {
        let mut at = None;
        let mut error = error;
        loop {
            error = match error {
                DataFusionError::Diagnostic(diagnostic, inner) => {
                    at = at.or_else(|| place(diagnostic));
                    inner
                }
                DataFusionError::Context(_, inner) => inner,
                DataFusionError::Collection(all) => all.first()?,
                DataFusionError::SchemaError(inner, _) => {
                    let SchemaError::FieldNotFound { field, .. } = inner.as_ref() else {
                        return None;
                    };
                    let table = field.relation.as_ref().map(|r| r.table().to_owned());
                    let path = table.into_iter().chain([field.name.clone()]).collect();
                    return Some(Missing { path, at });
                }
                _ => return None,
            }
        }
    }

    fn is_at(&self, ident: &Ident) -> bool {
        ident.value == self.path[0] && self.at.is_none_or(|at| at == ident.span.start)
    }
}

fn place(diagnostic: &Diagnostic) -> Option<Location> {
    let start = diagnostic.span?.start;
    Some(Location { line: start.line, column: start.column })
}

struct Replace {
    missing: Missing,
    done: Result<bool>,
}

impl VisitorMut for Replace {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.done = replace(select, &self.missing);
        match self.done {
            Ok(false) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}

fn replace(select: &mut Select, missing: &Missing) -> Result<bool> {
    let mut meanings: Vec<Expr> = Vec::new();
    for item in &mut select.projection {
        let (expr, alias) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
            SelectItem::UnnamedExpr(expr) => (expr, None),
            _ => continue,
        };
        let mut uses = Uses { missing, meanings: &meanings, found: false };
        let _ = expr.visit(&mut uses);
        if uses.found && meanings.len() > 1 {
            let what = format!("'{}' is an alias more than once in this SELECT", missing.path[0]);
            return Err(Error::sql("AMBIGUOUS_LATERAL_COLUMN_ALIAS", what)
                .hint("give each of these columns a name of its own"));
        }
        let found = uses.found;
        if let Some(meaning) = meanings.first_mut().filter(|_| found) {
            if let ControlFlow::Break(name) = meaning.visit(&mut Anew) {
                let what = format!(
                    "'{}' stands for {name}(…), which is another value each time",
                    missing.path[0]
                );
                return Err(Error::sql("UNSUPPORTED_FEATURE.LATERAL_COLUMN_ALIAS", what)
                    .hint("compute it in a subquery in FROM, and use its column"));
            }
            // A column that was named after its own text is named after the alias in it.
            if let Some(alias) = alias.filter(|alias| alias.span == Span::empty()) {
                alias.value = named(&alias.value, &missing.path[0]);
            }
            return Ok(true);
        }
        if alias.is_some_and(|alias| alias.value == missing.path[0]) {
            meanings.push(Expr::Nested(Box::new(expr.clone())));
        }
    }
    Ok(false)
}

/// Finds a call that gives another value each time: it cannot stand in two places.
struct Anew;

impl VisitorMut for Anew {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        const ANEW: [&str; 6] = ["rand", "random", "randn", "shuffle", "uniform", "uuid"];
        match expr {
            Expr::Function(call) => match call.name.to_string().to_lowercase() {
                name if ANEW.contains(&name.as_str()) => ControlFlow::Break(name),
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

/// `(d + 1)` becomes `(lateralAliasReference(d) + 1)`.
fn named(text: &str, alias: &str) -> String {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(alias) {
        let (before, found) = rest.split_at(at);
        let after = &found[alias.len()..];
        out.push_str(before);
        let named = before.ends_with("lateralAliasReference(");
        match named || before.ends_with(word) || after.starts_with(word) {
            true => out.push_str(alias),
            false => out.push_str(&format!("lateralAliasReference({alias})")),
        }
        rest = after;
    }
    out + rest
}

/// Finds the missing column in an expression, and replaces it if an alias is known for it.
struct Uses<'a> {
    missing: &'a Missing,
    meanings: &'a [Expr],
    found: bool,
}

impl VisitorMut for Uses<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Some(meaning) = self.meanings.first() else { return ControlFlow::Break(()) };
        let replaced = match &*expr {
            Expr::Identifier(name) if self.missing.is_at(name) => meaning.clone(),
            Expr::CompoundIdentifier(path)
                if path.first().is_some_and(|name| self.missing.is_at(name)) =>
            {
                let fields = path.iter().skip(1).map(|field| {
                    let field = Value::SingleQuotedString(field.value.clone());
                    AccessExpr::Dot(Expr::Value(field.into()))
                });
                let access_chain = fields.collect();
                Expr::CompoundFieldAccess { root: Box::new(meaning.clone()), access_chain }
            }
            _ => return ControlFlow::Continue(()),
        };
        *expr = replaced;
        self.found = true;
        ControlFlow::Break(())
    }
}
