//! The statements of a pipeline file, recognised by their first words.
//!
//! Queries inside them stay tokens: they are planned later, when the tables that they read have
//! schemas. Nothing here looks at a file.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::options::Options;
use super::text::SourceText;
use super::tokens::{self, Cursor, is_word, span_of};
use super::types;
use crate::error::{Error, Place, Result, Span};

/// What a pipeline file says.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// What the text is called: the file, or `-c`.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
    /// The statements in order.
    pub statements: Vec<Statement>,
    pub(super) source: SourceText,
}

/// One statement.
#[derive(Debug, Clone)]
pub enum Statement {
    /// `CREATE TABLE … USING …`: a place where data lies.
    Table(TableDefinition),
    /// `CREATE STREAMING TABLE … AS …`: one streaming query.
    StreamingTable(StreamingTableDefinition),
    /// `CREATE VIEW … AS …`: a part of a query that has a name.
    View(ViewDefinition),
    /// `SET key = value`.
    Set(Setting),
    /// `CREATE DATABASE`, `CREATE SCHEMA` or `USE`: accepted and ignored, there is one schema.
    Database,
}

/// What the files of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// JSON lines.
    Json,
    /// Comma-separated values.
    Csv,
    /// Parquet files.
    Parquet,
    /// Lines of text.
    Text,
    /// A Delta table.
    Delta,
}

/// `CREATE TABLE name (columns) USING format OPTIONS (…)`.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    /// The name as it was written.
    pub name: String,
    /// The declared columns; `None`: the schema is to be inferred.
    pub columns: Option<SchemaRef>,
    /// What the files are.
    pub format: TableFormat,
    /// `LOCATION`, or the option `path`, relative to the project's folder.
    pub location: String,
    /// All options but `path`.
    pub options: Options,
    /// The whole statement.
    pub span: Span,
}

/// `CREATE STREAMING TABLE name AS query`.
#[derive(Debug, Clone)]
pub struct StreamingTableDefinition {
    /// The name as it was written: the query's name and its table under `data/`.
    pub name: String,
    /// `COMMENT '…'`.
    pub comment: Option<String>,
    /// `TBLPROPERTIES`: output mode, trigger interval.
    pub properties: Options,
    /// The query as it was written.
    pub query_text: String,
    /// The whole statement.
    pub span: Span,
    pub(super) query: Arc<[TokenWithSpan]>,
}

/// `CREATE TEMPORARY VIEW name AS query`.
#[derive(Debug, Clone)]
pub struct ViewDefinition {
    /// The name as it was written.
    pub name: String,
    /// The query as it was written.
    pub query_text: String,
    /// The whole statement.
    pub span: Span,
    pub(super) query: Arc<[TokenWithSpan]>,
}

/// The key of the zone whose clocks and dates queries mean; `SET TIME ZONE '…'` sets it too.
pub const TIME_ZONE: &str = "spark.sql.session.timeZone";

/// `SET key = value`.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The key as it was written.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// Where the statement stands.
    pub place: Place,
}

impl Pipeline {
    /// The tables that are read as streams, by their names in lower case: what stands behind
    /// `STREAM` anywhere in the text.
    pub fn streams(&self) -> BTreeSet<String> {
        let mut streams = BTreeSet::new();
        for statement in &self.statements {
            let tokens = match statement {
                Statement::StreamingTable(table) => &table.query,
                Statement::View(view) => &view.query,
                _ => continue,
            };
            let mut cursor = Cursor::new(&self.source, tokens);
            while let Some(token) = cursor.next() {
                if is_word(token, "STREAM") {
                    cursor.take_mark(&Token::LParen);
                    streams.extend(cursor.name("a table").map(|name| name.to_lowercase()));
                }
            }
        }
        streams
    }
}

/// Parses a pipeline file. `name` is what errors call it.
pub fn parse(name: &str, text: &str) -> Result<Pipeline> {
    let source = SourceText::new(name, text);
    let tokens = tokens::tokenize(&source)?;
    let statements = tokens
        .split(|t| t.token == Token::SemiColon)
        .filter(|statement| !statement.is_empty())
        .map(|statement| one_statement(&source, statement))
        .collect::<Result<Vec<_>>>()?;
    no_name_twice(&source, &statements)?;
    Ok(Pipeline { name: name.to_owned(), text: source.text.clone(), statements, source })
}

/// Parses `id STRING, ts TIMESTAMP NOT NULL`: the columns of a table.
pub fn parse_columns(text: &str) -> Result<SchemaRef> {
    let source = SourceText::new("columns", text);
    let tokens = tokens::tokenize(&source)?;
    columns(&source, &tokens)
}

const STATEMENTS: &str = "a pipeline holds CREATE TABLE … USING …, CREATE STREAMING TABLE … AS \
                          SELECT …, CREATE TEMPORARY VIEW … AS SELECT … and SET key = value";

fn one_statement(text: &SourceText, tokens: &[TokenWithSpan]) -> Result<Statement> {
    let mut cursor = Cursor::new(text, tokens);
    let span = span_of(text, tokens);
    if cursor.take(&["SET"]) {
        return Ok(Statement::Set(setting(&mut cursor, span)?));
    }
    if cursor.take(&["USE"]) {
        return Ok(Statement::Database);
    }
    if !cursor.take(&["CREATE"]) {
        return Err(not_a_statement(&cursor, tokens));
    }
    let replace = cursor.take(&["OR", "REPLACE"]);
    let refresh = !replace && cursor.take(&["OR", "REFRESH"]);
    let temporary = cursor.take(&["TEMPORARY"]) || cursor.take(&["TEMP"]);
    if cursor.take(&["STREAMING", "TABLE"]) && !replace && !temporary {
        return streaming_table(&mut cursor, span);
    }
    if cursor.take(&["VIEW"]) && !refresh {
        return view(&mut cursor, span);
    }
    if !replace && !refresh && !temporary {
        if cursor.take(&["TABLE"]) {
            return table(&mut cursor, span);
        }
        if cursor.take(&["DATABASE"]) || cursor.take(&["SCHEMA"]) {
            return Ok(Statement::Database);
        }
    }
    if cursor.take(&["MATERIALIZED", "VIEW"]) {
        return Err(Error::sql("UNSUPPORTED_FEATURE", "materialized views are not supported yet")
            .hint("ask the same with `strandline sql`, or use CREATE STREAMING TABLE")
            .at(text.place(span)));
    }
    Err(cursor.unexpected("TABLE, STREAMING TABLE or VIEW", STATEMENTS))
}

fn not_a_statement(cursor: &Cursor<'_>, tokens: &[TokenWithSpan]) -> Error {
    let query =
        tokens.first().is_some_and(|t| tokens::is_word(t, "SELECT") || tokens::is_word(t, "WITH"));
    if query {
        return cursor.text.syntax(
            cursor.here(),
            "a query without a name cannot run as a stream",
            "write CREATE STREAMING TABLE name AS before it, or ask it with `strandline sql`",
        );
    }
    cursor.unexpected("CREATE or SET", STATEMENTS)
}

/// What follows the word `SET`.
pub(super) fn setting(cursor: &mut Cursor<'_>, span: Span) -> Result<Setting> {
    const HINT: &str = "write SET key = value";
    let key = if cursor.take(&["TIME", "ZONE"]) {
        TIME_ZONE.to_owned()
    } else {
        let key = option_key(cursor, HINT)?;
        cursor.expect_mark(&Token::Eq, HINT)?;
        key
    };
    let value = span_of(cursor.text, cursor.rest());
    let value = cursor.text.slice(value).trim_matches(['\'', '"']).to_owned();
    Ok(Setting { key, value, place: cursor.text.place(span) })
}

fn table(cursor: &mut Cursor<'_>, span: Span) -> Result<Statement> {
    cursor.take(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("the name of the table")?;
    let declared = cursor.take_mark(&Token::LParen);
    let columns = if declared {
        let inside = cursor.until_closed()?;
        Some(columns(cursor.text, inside)?)
    } else {
        None
    };
    const USING: &str = "write, for example, USING json OPTIONS (path 'input/events')";
    if !cursor.take(&["USING"]) {
        return Err(cursor.unexpected("USING", USING));
    }
    let format_at = cursor.here();
    let format = match cursor.name("a format")?.to_lowercase().as_str() {
        "json" => TableFormat::Json,
        "csv" => TableFormat::Csv,
        "parquet" => TableFormat::Parquet,
        "text" => TableFormat::Text,
        "delta" => TableFormat::Delta,
        other => {
            let what = format!("there is no data source '{other}'");
            return Err(Error::sql("DATA_SOURCE_NOT_FOUND", what)
                .hint("write USING json, csv, parquet, text or delta")
                .at(cursor.text.place(format_at)));
        }
    };
    let mut options = Options::new();
    let mut location = None;
    loop {
        if cursor.take(&["OPTIONS"]) {
            options = key_values(cursor)?;
        } else if cursor.take(&["LOCATION"]) {
            location = Some(cursor.string("the path in quotes", "write LOCATION 'input/events'")?);
        } else if cursor.take(&["COMMENT"]) {
            cursor.string("the comment in quotes", "write COMMENT 'what it holds'")?;
        } else if cursor.take(&["TBLPROPERTIES"]) {
            key_values(cursor)?;
        } else {
            break;
        }
    }
    if cursor.peek().is_some() {
        return Err(cursor.unexpected("OPTIONS, LOCATION, COMMENT or ';'", USING));
    }
    let Some(location) = location.or(options.remove("path")) else {
        let what = format!("the table '{name}' does not say where its files are");
        return Err(Error::sql("MISSING_PATH", what).hint(USING).at(cursor.text.place(span)));
    };
    options.remove("path");
    Ok(Statement::Table(TableDefinition { name, columns, format, location, options, span }))
}

fn streaming_table(cursor: &mut Cursor<'_>, span: Span) -> Result<Statement> {
    cursor.take(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("the name of the streaming table")?;
    let mut comment = None;
    let mut properties = Options::new();
    loop {
        if cursor.take(&["COMMENT"]) {
            comment = Some(cursor.string("the comment in quotes", "write COMMENT 'what it is'")?);
        } else if cursor.take(&["TBLPROPERTIES"]) {
            properties = key_values(cursor)?;
        } else {
            break;
        }
    }
    const AS: &str = "write CREATE STREAMING TABLE name AS SELECT … FROM STREAM table …";
    let (query_text, query) = query_after_as(cursor, AS)?;
    Ok(Statement::StreamingTable(StreamingTableDefinition {
        name,
        comment,
        properties,
        query_text,
        span,
        query,
    }))
}

fn view(cursor: &mut Cursor<'_>, span: Span) -> Result<Statement> {
    cursor.take(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("the name of the view")?;
    if cursor.take(&["COMMENT"]) {
        cursor.string("the comment in quotes", "write COMMENT 'what it is'")?;
    }
    const AS: &str = "write CREATE TEMPORARY VIEW name AS SELECT …";
    let (query_text, query) = query_after_as(cursor, AS)?;
    Ok(Statement::View(ViewDefinition { name, query_text, span, query }))
}

fn query_after_as(cursor: &mut Cursor<'_>, hint: &str) -> Result<(String, Arc<[TokenWithSpan]>)> {
    if !cursor.take(&["AS"]) {
        return Err(cursor.unexpected("AS", hint));
    }
    let query = cursor.rest();
    if query.is_empty() {
        return Err(cursor.unexpected("a query", hint));
    }
    let text = cursor.text.slice(span_of(cursor.text, query)).to_owned();
    Ok((text, query.into()))
}

/// `(key value, 'other.key' = 'value')`.
pub(super) fn key_values(cursor: &mut Cursor<'_>) -> Result<Options> {
    const HINT: &str = "write ('key' = 'value', …)";
    cursor.expect_mark(&Token::LParen, HINT)?;
    let mut options = Options::new();
    loop {
        let place = cursor.text.place(cursor.here());
        let key = option_key(cursor, HINT)?;
        cursor.take_mark(&Token::Eq);
        let value = option_value(cursor, HINT)?;
        options.set_at(key, value, place);
        if cursor.take_mark(&Token::RParen) {
            return Ok(options);
        }
        if !cursor.take_mark(&Token::Comma) {
            return Err(cursor.unexpected("',' or ')'", HINT));
        }
    }
}

fn option_key(cursor: &mut Cursor<'_>, hint: &str) -> Result<String> {
    if let Some(Token::SingleQuotedString(key)) = cursor.peek().map(|t| &t.token) {
        cursor.next();
        return Ok(key.clone());
    }
    let start = cursor.here().start;
    let mut end = start;
    while let Some(Token::Word(_)) = cursor.peek().map(|t| &t.token) {
        end = cursor.here().end;
        cursor.next();
        if !cursor.take_mark(&Token::Period) {
            break;
        }
    }
    match cursor.text.slice(Span { start, end }) {
        "" => Err(cursor.unexpected("a key", hint)),
        key => Ok(key.to_owned()),
    }
}

fn option_value(cursor: &mut Cursor<'_>, hint: &str) -> Result<String> {
    let negative = cursor.take_mark(&Token::Minus);
    let value = match cursor.peek().map(|t| &t.token) {
        Some(Token::SingleQuotedString(value)) => value.clone(),
        Some(Token::Number(value, _)) => value.clone(),
        Some(Token::Word(w)) => w.value.clone(),
        _ => return Err(cursor.unexpected("a value", hint)),
    };
    cursor.next();
    Ok(if negative { format!("-{value}") } else { value })
}

/// `name TYPE [NOT NULL] [COMMENT '…'], …`.
fn columns(text: &SourceText, tokens: &[TokenWithSpan]) -> Result<SchemaRef> {
    const HINT: &str = "write columns as (id STRING, at TIMESTAMP, value DOUBLE)";
    let tokens = &without_field_notes(tokens);
    let mut cursor = Cursor::new(text, tokens);
    let mut fields: Vec<Field> = Vec::new();
    loop {
        let name_at = cursor.here();
        if cursor.take(&["CONSTRAINT"]) {
            return Err(Error::sql("UNSUPPORTED_FEATURE", "constraints are not supported yet")
                .hint("leave the CONSTRAINT out; filter with WHERE instead")
                .at(text.place(name_at)));
        }
        let name = cursor.name("the name of a column")?;
        if fields.iter().any(|f| f.name().eq_ignore_ascii_case(&name)) {
            return Err(Error::sql(
                "COLUMN_ALREADY_EXISTS",
                format!("two columns are called '{name}'"),
            )
            .hint("give one of them another name; upper and lower case make no difference")
            .at(text.place(name_at)));
        }
        let (data_type, nullable) = column_type(&mut cursor, tokens, &name)?;
        fields.push(Field::new(name, data_type, nullable));
        if cursor.peek().is_none() {
            return Ok(Arc::new(Schema::new(fields)));
        }
        if !cursor.take_mark(&Token::Comma) {
            return Err(cursor.unexpected("',' or ')'", HINT));
        }
    }
}

/// The tokens of columns without what the fields of a `STRUCT<…>` have behind their types, `NOT NULL`
/// and `COMMENT '…'`, which the parser crate does not know. Spark does not hold a file to the first.
fn without_field_notes(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut depth = 0_usize;
    let mut rest = tokens;
    while let [token, behind @ ..] = rest {
        match token.token {
            Token::Lt => depth += 1,
            Token::Gt => depth = depth.saturating_sub(1),
            Token::ShiftRight => depth = depth.saturating_sub(2),
            _ => {}
        }
        let note = depth > 0
            && match behind {
                [next, ..] if is_word(token, "NOT") => is_word(next, "NULL"),
                [next, ..] if is_word(token, "COMMENT") => {
                    matches!(next.token, Token::SingleQuotedString(_))
                }
                _ => false,
            };
        if note {
            rest = &behind[1..];
        } else {
            kept.push(token.clone());
            rest = behind;
        }
    }
    kept
}

fn column_type(
    cursor: &mut Cursor<'_>,
    tokens: &[TokenWithSpan],
    column: &str,
) -> Result<(arrow::datatypes::DataType, bool)> {
    const HINT: &str = "the types are STRING, BIGINT, INT, SMALLINT, TINYINT, DOUBLE, FLOAT, \
                        DECIMAL(p,s), BOOLEAN, DATE, TIMESTAMP, TIMESTAMP_NTZ, BINARY, ARRAY<…>, \
                        MAP<…, …> and STRUCT<name: TYPE, …>";
    cursor.take_mark(&Token::Colon);
    let start = cursor.position();
    let at = cursor.here();
    let dialect = super::dialect::Spark::default();
    let mut parser = Parser::new(&dialect)
        .with_tokens_with_locations(tokens.get(start..).unwrap_or_default().to_vec());
    let wrong = |what: String| {
        Error::sql("UNSUPPORTED_DATATYPE", format!("column '{column}': {what}"))
            .hint(HINT)
            .at(cursor.text.place(at))
    };
    let sql = parser
        .parse_data_type()
        .map_err(|_| wrong(format!("expected a type, found '{}'", cursor.text.slice(at))))?;
    let data_type = types::arrow_type(&sql).map_err(wrong)?;
    cursor.go_to(start + parser.index());
    let mut nullable = true;
    loop {
        if cursor.take(&["NOT", "NULL"]) {
            nullable = false;
        } else if cursor.take(&["COMMENT"]) {
            cursor.string("the comment in quotes", "write COMMENT 'what it holds'")?;
        } else {
            return Ok((data_type, nullable));
        }
    }
}

/// Names are shared by tables, streaming tables and views, without regard to case.
fn no_name_twice(text: &SourceText, statements: &[Statement]) -> Result<()> {
    let mut seen: Vec<&str> = Vec::new();
    for statement in statements {
        let (name, span) = match statement {
            Statement::Table(t) => (&t.name, t.span),
            Statement::StreamingTable(t) => (&t.name, t.span),
            Statement::View(v) => (&v.name, v.span),
            Statement::Set(_) | Statement::Database => continue,
        };
        if seen.iter().any(|s| s.eq_ignore_ascii_case(name)) {
            let what = format!("'{name}' is created twice");
            return Err(Error::sql("TABLE_OR_VIEW_ALREADY_EXISTS", what)
                .hint("give one of them another name; upper and lower case make no difference")
                .at(text.place(span)));
        }
        seen.push(name);
    }
    Ok(())
}
