//! How much of a text is taken on, before it is parsed.
//!
//! Parser and planner walk a query by calling themselves, so one that is nested deep enough overflows
//! the stack, which ends the process; and what a chain of operators costs grows with the third power
//! of its length. So both are refused here, with the place. The bounds are far above what people write,
//! and such that a query at any one of them is planned within seconds.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Query, Visit, Visitor, visit_relations};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::text::SourceText;
use super::tokens::{is_word, span_of, word};
use crate::error::{Error, Result};

/// Brackets and CASE in each other. (The parser has a lower bound for most of what they can be.)
const DEEPEST: usize = 100;

/// Types in each other: `ARRAY<ARRAY<…`.
const DEEPEST_TYPE: usize = 30;

/// AND and OR side by side.
const MOST_CONDITIONS: usize = 500;

/// Other operators side by side, and places of arrays: each is an operand of the next.
const MOST_OPERATORS: usize = 100;

/// Names with a dot between them: `a.b.c`.
const LONGEST_PATH: usize = 30;

/// SELECTs of a statement.
const MOST_SELECTS: usize = 250;

/// JOINs of a statement.
const MOST_JOINS: usize = 50;

/// Words, values and signs of a statement.
const MOST_TOKENS: usize = 50_000;

/// Tables that a query reads, its views and subqueries included.
pub(super) const MOST_READS: usize = 250;

/// Views that read each other: the plan of each is made while that of the one above is under way.
pub(super) const DEEPEST_VIEW: usize = 30;

/// `FAILED_TO_PARSE_TOO_COMPLEX` where one of the statements of a text is beyond a bound.
pub(super) fn check(text: &SourceText, tokens: &[TokenWithSpan]) -> Result<()> {
    tokens
        .split(|t| t.token == Token::SemiColon)
        .try_for_each(|statement| Measure::default().walk(text, statement))
}

/// `FAILED_TO_PARSE_TOO_COMPLEX` where the names of a WITH stand for too much: each stands for all of its
/// query wherever it is used, so that a few lines can mean millions of tables.
pub(super) fn check_names(query: &Query) -> Result<()> {
    let mut sizes = Sizes::default();
    // Once for the names inside, which are met first, and once more for what they use of those outside.
    for _ in 0..2 {
        let _ = query.visit(&mut sizes);
    }
    match sizes.largest > MOST_READS {
        true => Err(too_many_reads()),
        false => Ok(()),
    }
}

/// More than [`MOST_READS`] tables are read.
pub(super) fn too_many_reads() -> Error {
    let what = format!("the query is too complex: it reads more than {MOST_READS} tables");
    Error::sql("FAILED_TO_PARSE_TOO_COMPLEX", what).hint(
        "a view, or a name of a WITH, that is used twice counts twice: make it a CREATE STREAMING TABLE",
    )
}

/// How many tables each name stands for.
#[derive(Default)]
struct Sizes {
    of: HashMap<String, usize>,
    largest: usize,
}

impl Sizes {
    fn of_query(&self, query: &impl Visit) -> usize {
        let mut size = 0_usize;
        let _ = visit_relations(query, |name| {
            let last = name.0.last().map_or(String::new(), |part| part.to_string().to_lowercase());
            size = size.saturating_add(self.of.get(&last).copied().unwrap_or(1));
            ControlFlow::<()>::Continue(())
        });
        size
    }
}

impl Visitor for Sizes {
    type Break = ();

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for named in query.with.iter().flat_map(|with| &with.cte_tables) {
            let size = self.of_query(&named.query).max(1);
            self.of.insert(named.alias.name.to_string().to_lowercase(), size);
            self.largest = self.largest.max(size);
        }
        self.largest = self.largest.max(self.of_query(&query.body));
        ControlFlow::Continue(())
    }
}

/// What has been counted up to a token.
#[derive(Default)]
struct Measure {
    /// The chain that stands in each bracket that is open, the innermost last.
    outer: Vec<Chain>,
    chain: Chain,
    type_depth: usize,
    path: usize,
    selects: usize,
    joins: usize,
}

/// Operators side by side.
#[derive(Default, Clone, Copy)]
struct Chain {
    conditions: usize,
    operators: usize,
}

impl Measure {
    fn walk(mut self, text: &SourceText, tokens: &[TokenWithSpan]) -> Result<()> {
        for (at, token) in tokens.iter().enumerate() {
            self.take(token, tokens.get(at + 1));
            let beyond = self.beyond();
            let beyond = beyond.or((at >= MOST_TOKENS).then_some(("words and signs", MOST_TOKENS)));
            if let Some((what, most)) = beyond {
                let place = text.place(span_of(text, std::slice::from_ref(token)));
                let what = format!("the query is too complex: more than {most} {what}");
                return Err(Error::sql("FAILED_TO_PARSE_TOO_COMPLEX", what)
                    .hint(
                        "split it: give its parts names with CREATE STREAMING TABLE, or put many \
                         values into a table and join it",
                    )
                    .at(place));
            }
        }
        Ok(())
    }

    fn take(&mut self, token: &TokenWithSpan, next: Option<&TokenWithSpan>) {
        match &token.token {
            Token::LParen | Token::LBrace => self.open(),
            Token::LBracket => {
                self.chain.operators += 1;
                self.open();
            }
            Token::RParen | Token::RBracket | Token::RBrace => self.close(),
            Token::Comma => self.chain = Chain::default(),
            Token::Word(_) => self.take_word(token, next),
            Token::Gt => self.type_depth = self.type_depth.saturating_sub(1),
            Token::ShiftRight => self.type_depth = self.type_depth.saturating_sub(2),
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Period => {}
            _ => self.chain.operators += 1,
        }
        match token.token {
            Token::Period => self.path += 1,
            Token::Word(_) => {}
            _ => self.path = 0,
        }
    }

    fn take_word(&mut self, token: &TokenWithSpan, next: Option<&TokenWithSpan>) {
        let Some(word) = word(token) else { return };
        let is = |words: &[&str]| words.iter().any(|w| w.eq_ignore_ascii_case(word));
        let opens_type = next.is_some_and(|next| next.token == Token::Lt);
        if opens_type && is(&["ARRAY", "MAP", "STRUCT"]) {
            self.type_depth += 1;
        } else if is(&["AND", "OR"]) {
            self.chain = Chain { conditions: self.chain.conditions + 1, operators: 0 };
        } else if is(&["DIV", "NOT", "IS", "LIKE", "COLLATE", "BETWEEN", "IN"]) {
            self.chain.operators += 1;
        } else if is(&["CASE"]) {
            self.open();
        } else if is(&["END"]) && !self.outer.is_empty() {
            self.close();
        } else if is(&["WHEN", "THEN", "ELSE", "FROM", "WHERE", "ON", "BY", "HAVING", "AS"]) {
            self.chain = Chain::default();
        } else if is(&["SELECT"]) {
            (self.selects, self.chain) = (self.selects + 1, Chain::default());
        } else if is_word(token, "JOIN") {
            self.joins += 1;
        }
    }

    fn open(&mut self) {
        self.outer.push(std::mem::take(&mut self.chain));
    }

    fn close(&mut self) {
        self.chain = self.outer.pop().unwrap_or_default();
    }

    /// What there is too much of.
    fn beyond(&self) -> Option<(&'static str, usize)> {
        let bounds = [
            (self.outer.len(), "brackets or CASEs in each other", DEEPEST),
            (self.type_depth, "types in each other", DEEPEST_TYPE),
            (self.chain.conditions, "ANDs and ORs side by side", MOST_CONDITIONS),
            (self.chain.operators, "operators side by side", MOST_OPERATORS),
            (self.path, "parts of a name", LONGEST_PATH),
            (self.selects, "SELECTs", MOST_SELECTS),
            (self.joins, "JOINs", MOST_JOINS),
        ];
        bounds.into_iter().find(|(count, _, most)| count > most).map(|(_, what, most)| (what, most))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::{parse_whole, tokenize};
    use super::*;

    fn refused(text: &str) -> Option<String> {
        let error = tokenize(&SourceText::new("q.sql", text)).err()?;
        assert_eq!(error.condition(), "FAILED_TO_PARSE_TOO_COMPLEX");
        assert!(error.place().is_some_and(|place| place.span.end <= text.len()));
        Some(error.message().to_owned())
    }

    #[test]
    fn what_would_overflow_the_stack_is_refused_with_its_place() {
        let many = |part: &str| part.repeat(5_000);
        for (text, what) in [
            (many("("), "brackets"),
            (many("CASE WHEN true THEN "), "CASEs"),
            (many("1+"), "operators side by side"),
            (many("- "), "operators side by side"),
            (many("NOT "), "operators side by side"),
            (format!("a{}", many("[0]")), "operators side by side"),
            (many("a = 1 OR "), "ORs"),
            (many("ARRAY<"), "types"),
            (many("a."), "parts of a name"),
            (many("SELECT 1 UNION ALL "), "SELECTs"),
            (many("JOIN t "), "JOINs"),
            (format!("SELECT {}", "1,".repeat(30_000)), "words and signs"),
        ] {
            assert!(refused(&text).is_some_and(|said| said.contains(what)), "{what}");
        }
    }

    #[test]
    fn what_is_never_closed_is_not_tried_in_all_ways() {
        let refused = || {
            for part in
                ["CASE WHEN true THEN ", "CAST(", "POSITION(", "SUBSTRING(", "INTERVAL ", "array("]
            {
                let text = format!("SELECT {}", part.repeat(40));
                let source = SourceText::new("q.sql", &text);
                let tokens = tokenize(&source).unwrap();
                let parsed = parse_whole(&source, &tokens, |parser| parser.parse_query());
                assert_eq!(parsed.unwrap_err().condition(), "PARSE_SYNTAX_ERROR", "{part}");
            }
        };
        // The stack of a main thread; that of a test is a quarter of it.
        let main = std::thread::Builder::new().stack_size(8 << 20);
        main.spawn(refused).unwrap().join().unwrap();
    }

    #[test]
    fn names_that_double_each_other_are_refused_before_they_are_planned() {
        let refused = |depth: usize| {
            let names: String = (1..=depth)
                .map(|i| {
                    format!(
                        ", c{i} AS (SELECT * FROM c{} UNION ALL SELECT * FROM C{})",
                        i - 1,
                        i - 1
                    )
                })
                .collect();
            let text = format!("WITH c0 AS (SELECT * FROM t){names} SELECT * FROM c{depth}");
            let source = SourceText::new("q.sql", &text);
            let tokens = tokenize(&source).unwrap();
            let query = parse_whole(&source, &tokens, |parser| parser.parse_query()).unwrap();
            check_names(&query).err().map(|error| error.condition().to_owned())
        };
        assert_eq!(refused(7), None);
        assert_eq!(refused(8).as_deref(), Some("FAILED_TO_PARSE_TOO_COMPLEX"));
        assert_eq!(refused(60).as_deref(), Some("FAILED_TO_PARSE_TOO_COMPLEX"));
    }

    #[test]
    fn what_people_write_is_not() {
        let columns =
            "v + 1 AS c, CASE WHEN a[0] > 1 THEN 'x' ELSE s.y END, f(g(h(1)), -2),".repeat(500);
        let conditions = vec!["a.b = 1 AND a.c <> 'x'"; 200].join(" OR ");
        let values = vec!["1"; 20_000].join(", ");
        let text = format!("SELECT {columns} 1 FROM t WHERE {conditions}; SELECT a IN ({values})");
        assert_eq!(refused(&text), None);
    }
}
