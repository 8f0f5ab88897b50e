//! What a query can name: the tables and views of a pipeline, and the functions.
//!
//! A [`Catalog`] lives as long as its pipeline; a `Scope` lives as long as the planning of one
//! query, and remembers which tables it read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::{Column, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource,
    WindowUDF,
};

use super::complexity;
use super::functions::{self, BatchTime};
use super::names::Spelling;
use super::optimizer;
use super::options::Options;
use super::plan::{self, QueryPlan, TableRead};
use super::stars::Stars;
use super::statements::{Pipeline, Statement, StreamingTableDefinition, ViewDefinition};
use super::text::SourceText;
use super::types;
use super::watermark::EVENT_TIME_DELAY;
use crate::batch::{Slot, SlotTable};
use crate::calendar::Zone;
use crate::error::{Error, Result};

/// What tables exist, for planning the queries of a pipeline.
#[derive(Clone)]
pub struct Catalog {
    text: SourceText,
    tables: Vec<(String, SchemaRef)>,
    /// Columns of tables that only a query which names them reads, and `*` does not mean.
    hidden: Vec<(String, Arc<Field>)>,
    views: Arc<HashMap<String, ViewDefinition>>,
    zone: Zone,
    /// Every name that the pipeline creates, as written.
    created: Arc<[String]>,
    state: Arc<SessionState>,
    delay_us: Option<i64>,
}

impl Catalog {
    /// The catalog of a pipeline, whose queries mean the clocks of a zone: its views, and no table
    /// yet.
    pub fn new(pipeline: &Pipeline, zone: Zone) -> Self {
        let mut views = HashMap::new();
        let mut created = Vec::new();
        for statement in &pipeline.statements {
            match statement {
                Statement::Table(table) => created.push(table.name.clone()),
                Statement::StreamingTable(table) => created.push(table.name.clone()),
                Statement::View(view) => {
                    created.push(view.name.clone());
                    views.insert(view.name.to_lowercase(), view.clone());
                }
                Statement::Set(_) | Statement::Database => {}
            }
        }
        Self {
            text: pipeline.source.clone(),
            tables: Vec::new(),
            hidden: Vec::new(),
            views: Arc::new(views),
            created: created.into(),
            state: Arc::new(optimizer::session(&zone).state()),
            zone,
            delay_us: None,
        }
    }

    /// Lets every `WATERMARK` have this delay in microseconds, whatever its text says.
    pub fn with_watermark_delay(mut self, delay_us: i64) -> Self {
        self.delay_us = Some(delay_us);
        self
    }

    /// Makes a table known: a `CREATE TABLE` whose schema is settled, or an earlier streaming
    /// table with the schema of its output. A table of that name is replaced.
    pub fn add_table(&mut self, name: &str, schema: SchemaRef) {
        self.tables.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.tables.push((name.to_owned(), without_event_time(&schema)));
    }

    /// Makes functions known that this layer cannot make: they read what only a source reads.
    pub fn add_functions(&mut self, functions: Vec<Arc<ScalarUDF>>) {
        let state = Arc::make_mut(&mut self.state);
        for function in functions {
            // Registering replaces; there is nothing to fail.
            let _ = datafusion::execution::FunctionRegistry::register_udf(state, function);
        }
    }

    /// Gives a table a column, behind the others, that only a query which names it reads, from a
    /// stream; `*` does not mean it.
    pub fn hide(&mut self, table: &str, column: Field) {
        let shown = |(name, schema): &(String, SchemaRef)| {
            name.eq_ignore_ascii_case(table) && schema.column_with_name(column.name()).is_some()
        };
        if !self.tables.iter().any(shown) {
            self.hidden.push((table.to_owned(), Arc::new(column)));
        }
    }

    /// Plans the query of a streaming table.
    pub fn plan(&self, query: &StreamingTableDefinition) -> Result<QueryPlan> {
        plan::plan_streaming_table(&self.scope(), query)
    }

    pub(super) fn scope(&self) -> Arc<Scope> {
        let mut spelling = Spelling::default();
        spelling.learn("start");
        spelling.learn("end");
        for (_, column) in &self.hidden {
            spelling.learn(column.name());
            spelling.learn_schema(&Schema::new(vec![column.clone()]));
        }
        for (name, schema) in &self.tables {
            spelling.learn(name);
            spelling.learn_schema(schema);
        }
        let batch_time = BatchTime::default();
        Arc::new(Scope {
            text: self.text.clone(),
            tables: self.tables.clone(),
            hidden: self.hidden.clone(),
            named_hidden: Mutex::default(),
            views: self.views.clone(),
            created: self.created.clone(),
            state: self.state.clone(),
            zone: self.zone.clone(),
            functions: functions::batch_time_functions(&batch_time).into_iter().collect(),
            batch_time,
            spelling: Mutex::new(spelling),
            reads: Mutex::default(),
            open_views: Mutex::default(),
            next_watermark: AtomicUsize::new(0),
            delay_us: self.delay_us,
        })
    }
}

/// A stored table has no event time: what reads it as a stream says its own watermark.
fn without_event_time(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut metadata = field.metadata().clone();
            metadata.remove(EVENT_TIME_DELAY);
            field.as_ref().clone().with_metadata(metadata)
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The planning of one query.
pub(super) struct Scope {
    pub(super) text: SourceText,
    tables: Vec<(String, SchemaRef)>,
    hidden: Vec<(String, Arc<Field>)>,
    /// The hidden columns that the query names.
    pub(super) named_hidden: Mutex<Vec<String>>,
    views: Arc<HashMap<String, ViewDefinition>>,
    created: Arc<[String]>,
    pub(super) state: Arc<SessionState>,
    pub(super) zone: Zone,
    functions: HashMap<&'static str, Arc<ScalarUDF>>,
    pub(super) batch_time: BatchTime,
    pub(super) spelling: Mutex<Spelling>,
    /// Every scan that was planned; more than the plan holds in the end, perhaps.
    pub(super) reads: Mutex<Vec<TableRead>>,
    open_views: Mutex<Vec<String>>,
    pub(super) next_watermark: AtomicUsize,
    /// The delay of every watermark, where it is not to be what the text says.
    pub(super) delay_us: Option<i64>,
}

impl Scope {
    /// The plan of a table or a view by its name.
    pub(super) fn relation(
        self: &Arc<Self>,
        name: &str,
        streaming: bool,
        options: &Options,
    ) -> PlanResult<LogicalPlan> {
        let table = self.tables.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        if let Some((known, schema)) = table {
            let hidden = self.hidden_column(known).filter(|_| streaming);
            let schema = match hidden {
                None => schema.clone(),
                Some(hidden) => {
                    let fields = schema.fields().iter().chain([hidden]).cloned();
                    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
                }
            };
            return self.scan(known, &schema, name, streaming, options);
        }
        if let Some(view) = self.views.get(&name.to_lowercase()) {
            let view_plan = self.view(view)?;
            if streaming && !plan::is_streaming(&view_plan) {
                let what = format!("the view '{name}' does not read a stream");
                return Err(Error::sql("UNSUPPORTED_STREAMING_VIEW", what)
                    .hint("write STREAM inside the view, before the table that it reads")
                    .into());
            }
            return LogicalPlanBuilder::from(view_plan).alias(TableReference::bare(name))?.build();
        }
        Err(self.unknown_table(name).into())
    }

    /// The hidden column of a table, if the query names it.
    pub(super) fn hidden_column(&self, table: &str) -> Option<&Arc<Field>> {
        let named = self.named_hidden.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, column) = self.hidden.iter().find(|(name, _)| name.eq_ignore_ascii_case(table))?;
        named.iter().any(|name| name == column.name()).then_some(column)
    }

    /// Notes which hidden columns these words of a query name.
    pub(super) fn name_hidden<'a>(&self, words: impl Iterator<Item = &'a str>) {
        let mut named = self.named_hidden.lock().unwrap_or_else(PoisonError::into_inner);
        for word in words {
            let column = self.hidden.iter().find(|(_, c)| c.name().eq_ignore_ascii_case(word));
            named.extend(column.map(|(_, column)| column.name().clone()));
        }
    }

    fn scan(
        &self,
        table: &str,
        schema: &SchemaRef,
        name: &str,
        streaming: bool,
        options: &Options,
    ) -> PlanResult<LogicalPlan> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if reads.len() >= complexity::MOST_READS {
            return Err(complexity::too_many_reads().into());
        }
        let slot = Slot::new(plan::slot_name(table, streaming, reads.len()), schema.clone());
        reads.push(TableRead {
            table: table.to_owned(),
            streaming,
            slot: slot.clone(),
            options: options.clone(),
        });
        let reference = TableReference::bare(name);
        let source = provider_as_source(Arc::new(SlotTable(slot)));
        let plan = LogicalPlanBuilder::scan(reference.clone(), source, None)?;
        // Two tables may spell one name differently: here they get the spelling of the query.
        let spelling = self.spelling.lock().unwrap_or_else(PoisonError::into_inner);
        if schema.fields().iter().all(|f| spelling.of(f.name()) == f.name()) {
            return plan.build();
        }
        let columns = schema.fields().iter().map(|field| {
            Expr::Column(Column::new(Some(reference.clone()), field.name()))
                .alias_qualified(Some(reference.clone()), spelling.of(field.name()))
        });
        plan.project(columns)?.build()
    }

    fn view(self: &Arc<Self>, view: &ViewDefinition) -> PlanResult<LogicalPlan> {
        let open = || self.open_views.lock().unwrap_or_else(PoisonError::into_inner);
        if open().iter().any(|name| name.eq_ignore_ascii_case(&view.name)) {
            let what = format!("the view '{}' reads itself", view.name);
            return Err(Error::sql("RECURSIVE_VIEW", what)
                .hint("a view can read tables and other views")
                .at(self.text.place(view.span))
                .into());
        }
        if open().len() >= complexity::DEEPEST_VIEW {
            let what = format!("more than {} views read each other", complexity::DEEPEST_VIEW);
            return Err(Error::sql("FAILED_TO_PARSE_TOO_COMPLEX", what)
                .hint("make one of them a CREATE STREAMING TABLE")
                .at(self.text.place(view.span))
                .into());
        }
        open().push(view.name.clone());
        let planned = plan::plan_query(self, &view.query);
        open().pop();
        Ok(planned?.plan)
    }

    fn unknown_table(&self, name: &str) -> Error {
        if self.created.iter().any(|created| created.eq_ignore_ascii_case(name)) {
            let what = format!("the table '{name}' is created further down");
            return Error::sql("TABLE_OR_VIEW_NOT_FOUND", what)
                .hint("move its statement above this one");
        }
        let tables = self.tables.iter().map(|(name, _)| name.as_str());
        super::errors::unresolved_table(
            name,
            tables.chain(self.views.values().map(|v| v.name.as_str())),
        )
    }

    /// The scalar function of a name.
    pub(super) fn scalar_function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let own = self.functions.get(name);
        own.or_else(|| self.state.scalar_functions().get(name)).cloned()
    }

    /// The names of all functions.
    pub(super) fn function_names(&self) -> Vec<String> {
        let own = self.functions.keys().map(|name| (*name).to_owned());
        let scalar = self.state.scalar_functions().keys().cloned();
        let aggregate = self.state.aggregate_functions().keys().cloned();
        let window = self.state.window_functions().keys().cloned();
        let all = own.chain(scalar).chain(aggregate).chain(window);
        all.filter(|name| functions::is_spark(name)).collect()
    }
}

/// What DataFusion's planner asks while it plans one query text.
pub(super) struct Provider {
    scope: Arc<Scope>,
    relations: Vec<Arc<dyn RelationPlanner>>,
    exprs: Vec<Arc<dyn ExprPlanner>>,
}

impl Provider {
    pub(super) fn new(scope: Arc<Scope>, relations: Vec<Arc<dyn RelationPlanner>>) -> Self {
        // Before DataFusion's own planner of arrays, which takes every one.
        let stars: Arc<dyn ExprPlanner> = Arc::new(Stars(scope.clone()));
        let exprs = std::iter::once(stars).chain(scope.state.expr_planners().to_vec()).collect();
        Self { scope, relations, exprs }
    }
}

impl ContextProvider for Provider {
    fn get_table_source(&self, name: TableReference) -> PlanResult<Arc<dyn TableSource>> {
        let plan = self.scope.relation(name.table(), false, &Options::new())?;
        match plan {
            LogicalPlan::TableScan(scan) => Ok(scan.source),
            plan => Ok(Arc::new(InlinedPlan { schema: plan.schema().inner().clone(), plan })),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.exprs
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(SparkTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scope.scalar_function(name)
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.scope.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.scope.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.scope.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.scope.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.scope.function_names()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.scope.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.scope.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.scope.state.window_functions().keys().cloned().collect()
    }
}

/// A view as the planner's table: it is put in place where it is read.
struct InlinedPlan {
    schema: SchemaRef,
    plan: LogicalPlan,
}

impl TableSource for InlinedPlan {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn get_logical_plan(&self) -> Option<std::borrow::Cow<'_, LogicalPlan>> {
        Some(std::borrow::Cow::Borrowed(&self.plan))
    }
}

/// Spark's types in CAST and in typed literals.
#[derive(Debug)]
struct SparkTypes;

impl TypePlanner for SparkTypes {
    fn plan_type_field(
        &self,
        sql_type: &datafusion::sql::sqlparser::ast::DataType,
    ) -> PlanResult<Option<arrow::datatypes::FieldRef>> {
        use datafusion::sql::sqlparser::ast::DataType as Sql;
        if matches!(sql_type, Sql::Interval { .. }) {
            return Ok(None);
        }
        match types::arrow_type(sql_type) {
            Ok(data_type) => Ok(Some(Arc::new(Field::new("", data_type, true)))),
            Err(what) => Err(Error::sql("UNSUPPORTED_DATATYPE", what)
                .hint("write a Spark type: STRING, BIGINT, INT, DOUBLE, DECIMAL(p,s), TIMESTAMP …")
                .into()),
        }
    }
}

impl Scope {
    /// The number for the next watermark of the query.
    pub(super) fn new_watermark(&self) -> usize {
        self.next_watermark.fetch_add(1, Ordering::Relaxed)
    }

    /// How many tables were read and watermarks made by now.
    pub(super) fn so_far(&self) -> (usize, usize) {
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        (reads.len(), self.next_watermark.load(Ordering::Relaxed))
    }

    /// Forgets what was read and made since then: the query is planned again.
    pub(super) fn forget_since(&self, (reads, watermarks): (usize, usize)) {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).truncate(reads);
        self.next_watermark.store(watermarks, Ordering::Relaxed);
    }
}
