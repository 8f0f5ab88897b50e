//! What each operator of a query is, in the terms of the query's text: for those who explain it.
//!
//! Takes the nodes of the plan as they are cut; gives facts, not words, and decides nothing.

use datafusion::logical_expr::Expr;
use datafusion::sql::unparser::expr_to_sql;

use crate::operators::aggregate::{Emit, EventTime};
use crate::operators::deduplicate::Forget;
use crate::operators::join::JoinKind;
use crate::operators::join::side::Expires;

/// What an operator is.
#[derive(Debug, Clone, PartialEq)]
pub enum About {
    /// Groups, with or without windows of event time.
    Groups {
        /// What is grouped by.
        keys: Vec<String>,
        /// Which of the keys is event time.
        event_time: EventTime,
        /// The delay of its watermark, in microseconds; `None`: it has none.
        delay_us: Option<i64>,
        /// Which groups come out.
        emit: Emit,
    },
    /// Groups by sessions.
    Sessions {
        /// What is grouped by besides.
        keys: Vec<String>,
        /// The delay of the watermark, in microseconds; `None`: there is none.
        delay_us: Option<i64>,
        /// Which sessions come out.
        emit: Emit,
    },
    /// A join of two streams.
    Join {
        /// Which rows come out.
        kind: JoinKind,
        /// What has to be equal, left and right.
        keys: Vec<[String; 2]>,
        /// The columns of event time that have a watermark, left and right.
        event_times: [Option<String>; 2],
        /// When what is kept goes, left and right; `None`: never.
        expires: [Option<Expires>; 2],
    },
    /// The first row of each key.
    Duplicates {
        /// The key.
        keys: Vec<String>,
        /// When a key is forgotten.
        forget: Forget,
        /// The column of event time that has a watermark.
        event_time: Option<String>,
    },
    /// The first rows of all.
    Limit {
        /// How many.
        rows: usize,
    },
}

/// Expressions as texts of SQL.
pub fn names<'a>(expressions: impl IntoIterator<Item = &'a Expr>) -> Vec<String> {
    expressions.into_iter().map(text).collect()
}

/// An expression as a text of SQL, near to what the user wrote: columns without their table.
pub fn text(expression: &Expr) -> String {
    let bare = expression.clone().unalias();
    let name = bare.schema_name().to_string();
    match &bare {
        Expr::Column(column) => column.name.clone(),
        _ => match expr_to_sql(&unqualified(bare.clone())) {
            Ok(sql) => bare_text(&sql.to_string().replace(['"', '`'], "")),
            Err(_) => name,
        },
    }
}

/// A text without parentheses around the whole of it.
fn bare_text(text: &str) -> String {
    let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) else {
        return text.to_owned();
    };
    let mut depth = 0;
    let closes_early = inner.chars().any(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth < 0
    });
    if closes_early { text.to_owned() } else { bare_text(inner) }
}

fn unqualified(expression: Expr) -> Expr {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let transformed = expression.clone().transform(|node| {
        Ok(match node {
            Expr::Column(mut column) if column.relation.is_some() => {
                column.relation = None;
                Transformed::yes(Expr::Column(column))
            }
            other => Transformed::no(other),
        })
    });
    transformed.map_or(expression, |transformed| transformed.data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{col, lit};

    #[test]
    fn an_expression_reads_as_the_user_wrote_it() {
        assert_eq!(text(&col("events.kind").eq(lit("it's"))), "kind = 'it''s'");
        assert_eq!(bare_text("(a) OR (b)"), "(a) OR (b)");
        assert_eq!(bare_text("((a) OR (b))"), "(a) OR (b)");
    }
}
