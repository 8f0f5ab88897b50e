//! Questions: single statements over still tables, in the same dialect as pipelines.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect::Spark;
use super::errors::{self, Names};
use super::functions::is_spark;
use super::generators::Generators;
use super::optimizer::session_zone;
use super::statements::{self, Setting};
use super::text::SourceText;
use super::tokens::{Cursor, span_of, tokenize};
use super::types::spark_name;
use super::{lateral_alias, meaning, moved_times, names, version};
use crate::error::{Error, Result};

/// One question of a text.
#[derive(Debug, Clone)]
pub struct Question {
    text: SourceText,
    tokens: Vec<TokenWithSpan>,
}

/// The questions of a text, which semicolons part. `name` is what errors call the text.
pub fn questions(name: &str, text: &str) -> Result<Vec<Question>> {
    let text = SourceText::new(name, text);
    let mut tokens = tokenize(&text)?;
    version::in_calls(&mut tokens);
    Ok(tokens
        .split(|token| token.token == Token::SemiColon)
        .filter(|statement| !statement.is_empty())
        .map(|statement| Question { text: text.clone(), tokens: statement.to_vec() })
        .collect())
}

impl Question {
    /// Whether it is just these words, in any case.
    pub fn is(&self, words: &[&str]) -> bool {
        let typed: Vec<String> =
            self.tokens.iter().map(|token| token.token.to_string().to_uppercase()).collect();
        typed == words
    }

    /// What the question sets, if it is `SET key = value`.
    pub fn setting(&self) -> Result<Option<Setting>> {
        let mut cursor = Cursor::new(&self.text, &self.tokens);
        if !cursor.take(&["SET"]) {
            return Ok(None);
        }
        statements::setting(&mut cursor, span_of(&self.text, &self.tokens)).map(Some)
    }

    /// The plan of the question. It may read and not write. `tables` are the names that can be
    /// read, for the nearest one to a name that cannot.
    pub async fn plan(&self, context: &SessionContext, tables: &[String]) -> Result<LogicalPlan> {
        let state = context.state();
        let zone = session_zone(state.config_options())?;
        let planned = self.planned(&state).await?.and_then(meaning::of_spark);
        let planned = planned.and_then(|plan| moved_times::explicit(plan, &zone));
        let functions = || known_functions(&state);
        let names = Names { functions: &functions };
        let whole = span_of(&self.text, &self.tokens);
        let plan = planned.map_err(|e| {
            let error = errors::from_planner(&self.text, whole, &names, e);
            match unknown_table(error.message()) {
                Some(name) => {
                    let known = tables.iter().map(String::as_str);
                    let hint = match errors::nearest(name, known) {
                        Some(near) => format!("did you mean '{near}'?"),
                        None => "SHOW TABLES says what there is".to_owned(),
                    };
                    let better = errors::unresolved_table(name, std::iter::empty()).hint(hint);
                    error.place().cloned().into_iter().fold(better, Error::at)
                }
                None => error,
            }
        })?;
        let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false);
        reading.verify_plan(&plan).map_err(|_| {
            Error::sql("READ_ONLY", "a question can read the tables, not change them")
                .hint("write SELECT …; tables are changed by the queries of a pipeline")
                .at(self.text.place(whole))
        })?;
        Ok(plan)
    }

    /// What the planner says to the question, once its generators and the aliases that are used
    /// further on are put in their places.
    async fn planned(&self, state: &SessionState) -> Result<PlanResult<LogicalPlan>> {
        let at = |e: Error| e.at(self.text.place(span_of(&self.text, &self.tokens)));
        let mut statement = self.parse()?;
        let mut state = state.clone();
        if let Some(query) = query_of(&mut statement) {
            let prepared = names::prepare(query, &[], &self.text, &known_functions(&state));
            let placed = |e: Error| if e.place().is_some() { e } else { at(e) };
            let generators = prepared.map_err(placed)?.into();
            state.register_relation_planner(Arc::new(Generators(generators)))?;
        }
        loop {
            let planned = state.statement_to_plan(statement.clone()).await;
            let again = match (&planned, query_of(&mut statement)) {
                (Err(e), Some(query)) => lateral_alias::resolve(query, e).map_err(at)?,
                _ => false,
            };
            if !again {
                return Ok(planned);
            }
        }
    }

    fn parse(&self) -> Result<Statement> {
        let dialect = Spark::default();
        let failed = |e: ParserError| {
            let parser = Parser::new(&dialect);
            errors::from_parser(&self.text, &self.tokens, &parser, e)
        };
        let mut parser = DFParserBuilder::new(self.tokens.clone())
            .with_dialect(&dialect)
            .build()
            .map_err(|e| Error::internal(format!("the parser cannot be made: {e}")))?;
        let statements: Result<VecDeque<Statement>, _> = parser.parse_statements();
        match statements {
            Ok(mut found) => found.pop_front().ok_or_else(|| {
                Error::sql("PARSE_EMPTY_STATEMENT", "there is no question in the text")
            }),
            Err(datafusion::error::DataFusionError::SQL(e, _)) => Err(failed(*e)),
            Err(other) => Err(Error::sql("PARSE_SYNTAX_ERROR", other.strip_backtrace())),
        }
    }
}

/// The functions of a session that have a name in Spark.
fn known_functions(state: &SessionState) -> Vec<String> {
    let scalar = state.scalar_functions().keys().chain(state.higher_order_functions().keys());
    let all =
        scalar.chain(state.aggregate_functions().keys()).chain(state.window_functions().keys());
    all.filter(|name| is_spark(name)).cloned().collect()
}

/// The query that a statement is, or that it explains.
fn query_of(statement: &mut Statement) -> Option<&mut Query> {
    match statement {
        Statement::Statement(inner) => match inner.as_mut() {
            SqlStatement::Query(query) => Some(query),
            _ => None,
        },
        Statement::Explain(explained) => query_of(&mut explained.statement),
        _ => None,
    }
}

/// The name in DataFusion's message about a table that is not there.
fn unknown_table(message: &str) -> Option<&str> {
    message.strip_prefix("table 'datafusion.public.")?.strip_suffix("' not found")
}

/// A schema as columns of a `CREATE TABLE`: `id STRING, at TIMESTAMP`.
pub fn ddl(schema: &Schema) -> String {
    let columns = schema.fields().iter().map(|field| {
        let plain = field.name().chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = match plain && !field.name().is_empty() {
            true => field.name().clone(),
            false => format!("`{}`", field.name().replace('`', "``")),
        };
        // Field names inside a nested type keep their case.
        let type_name = spark_name(field.data_type());
        match field.data_type().is_nested() {
            true => format!("{name} {type_name}"),
            false => format!("{name} {}", type_name.to_uppercase()),
        }
    });
    columns.collect::<Vec<_>>().join(", ")
}
