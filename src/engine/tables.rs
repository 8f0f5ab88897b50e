//! The tables of a project, for questions: everything under `data/`, and what a pipeline declares.
//!
//! A question sees each Delta table at the version that is newest when it is asked, so it can be
//! asked while streams write, and never waits for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::error::Result as PlanResult;
use datafusion::prelude::SessionContext;
use deltalake::DeltaTableBuilder;
use deltalake::protocol::SaveMode;

use super::json_functions;
use super::pipeline::{Pipeline, Project};
use super::settings::Settings;
use super::system::state::{State, StateChanges};
use super::system::{Observed, SystemSchema};
use crate::calendar::Zone;
use crate::error::{Error, Result};
use crate::plan;
use crate::sql::{Question, Setting, TIME_ZONE, session_zone};

/// A place to ask questions.
pub struct Tables {
    context: SessionContext,
    catalog: Arc<ProjectTables>,
}

/// The answer to one question.
pub struct Answer {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub rows: Vec<RecordBatch>,
    /// The zone whose clocks the question meant.
    pub zone: Zone,
}

impl Tables {
    /// The tables under `data/` of a project, and those of a pipeline file if there is one.
    pub fn open(project: &Project, pipeline: Option<Pipeline>) -> Result<Self> {
        let observed = Observed { project: project.clone(), pipeline: Arc::new(pipeline) };
        let pipeline = observed.pipeline.clone();
        let catalog = Arc::new(ProjectTables { project: project.clone(), pipeline });
        let zone = catalog.pipeline.as_ref().as_ref().map(|pipeline| pipeline.zone.clone());
        let context = crate::sql::session(&zone.unwrap_or_default());
        json_functions::functions().iter().for_each(|f| context.register_udf(f.as_ref().clone()));
        let default = context
            .catalog("datafusion")
            .ok_or_else(|| Error::internal("a session of DataFusion has no default catalog"))?;
        default.register_schema("public", catalog.clone())?;
        default.register_schema("system", Arc::new(SystemSchema(observed.clone())))?;
        context.register_udtf("state", Arc::new(State(observed.clone())));
        context.register_udtf("state_changes", Arc::new(StateChanges(observed)));
        Ok(Self { context, catalog })
    }

    /// The names of the tables, sorted.
    pub fn names(&self) -> Vec<String> {
        self.catalog.table_names()
    }

    /// Answers one question.
    pub fn ask(&self, question: &Question) -> Result<Answer> {
        if question.is(&["SHOW", "TABLES"]) {
            return self.show();
        }
        if let Some(setting) = question.setting()? {
            return self.set(&setting);
        }
        let names = self.names();
        plan::wait(async {
            let plan = question.plan(&self.context, &names).await?;
            let frame = self.context.execute_logical_plan(plan).await?;
            let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
            let rows = frame.collect().await?;
            Ok(Answer { schema, rows, zone: self.zone()? })
        })?
    }

    fn zone(&self) -> Result<Zone> {
        session_zone(self.context.state_ref().read().config_options())
    }

    /// `SET key = value` holds for the questions that follow, as far as it is about them.
    fn set(&self, setting: &Setting) -> Result<Answer> {
        let settings = Settings::of(&[setting])?;
        if setting.key.eq_ignore_ascii_case(TIME_ZONE) {
            let state = self.context.state_ref();
            let mut state = state.write();
            let options = state.config_mut().options_mut();
            options.execution.time_zone = Some(settings.zone.name().to_owned());
        }
        let column = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let columns = [("key", column(&setting.key)), ("value", column(&setting.value))];
        let rows = RecordBatch::try_from_iter(columns)?;
        Ok(Answer { schema: rows.schema(), rows: vec![rows], zone: self.zone()? })
    }

    fn show(&self) -> Result<Answer> {
        let names: ArrayRef = Arc::new(StringArray::from(self.names()));
        let rows = RecordBatch::try_from_iter([("table", names)])?;
        Ok(Answer { schema: rows.schema(), rows: vec![rows], zone: self.zone()? })
    }
}

/// Finds tables when they are named, not before: a project may hold many.
struct ProjectTables {
    project: Project,
    pipeline: Arc<Option<Pipeline>>,
}

impl std::fmt::Debug for ProjectTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProjectTables({})", self.project.folder.display())
    }
}

impl ProjectTables {
    /// The folder of the Delta table of this name, in whatever case.
    fn delta_folder(&self, name: &str) -> Option<PathBuf> {
        let folder = self.project.table(name);
        if is_delta(&folder) {
            return Some(folder);
        }
        delta_tables(&self.project)
            .into_iter()
            .find(|found| found.eq_ignore_ascii_case(name))
            .map(|found| self.project.table(&found))
    }
}

#[async_trait::async_trait]
impl SchemaProvider for ProjectTables {
    fn table_names(&self) -> Vec<String> {
        let mut names = delta_tables(&self.project);
        if let Some(pipeline) = self.pipeline.as_ref() {
            names.extend(pipeline.tables.iter().map(|table| table.definition.name.clone()));
        }
        names.sort();
        names.dedup();
        names
    }

    async fn table(&self, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        let declared = self.pipeline.as_ref().as_ref().and_then(|pipeline| {
            pipeline.tables.iter().find(|table| table.definition.name.eq_ignore_ascii_case(name))
        });
        if let Some(table) = declared {
            let mut still = table.still(&self.project)?;
            let rows = still.read()?.batches;
            return Ok(Some(Arc::new(MemTable::try_new(still.schema(), vec![rows])?)));
        }
        match self.delta_folder(name) {
            Some(folder) => Ok(Some(open_delta(&folder).await?)),
            None => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|found| found.eq_ignore_ascii_case(name))
    }
}

fn is_delta(folder: &Path) -> bool {
    folder.join("_delta_log").is_dir()
}

fn delta_tables(project: &Project) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(project.folder.join("data")) else {
        return vec![];
    };
    let folders = entries.flatten().filter(|entry| is_delta(&entry.path()));
    folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

async fn open_delta(folder: &Path) -> Result<Arc<dyn TableProvider>> {
    let absolute = std::path::absolute(folder).map_err(|e| Error::io("find", folder, e))?;
    let url = deltalake::ensure_table_uri(absolute.to_string_lossy())?;
    let table = DeltaTableBuilder::from_url(url)?.load().await?;
    Ok(table.table_provider().await?)
}

/// Writes rows as a new Delta table of one version; an older table of that place is replaced.
pub fn write_table(folder: &Path, rows: RecordBatch) -> Result<()> {
    let absolute = std::path::absolute(folder).map_err(|e| Error::io("find", folder, e))?;
    std::fs::create_dir_all(&absolute).map_err(|e| Error::io("create the folder", folder, e))?;
    let url = deltalake::ensure_table_uri(absolute.to_string_lossy())?;
    plan::wait(async {
        let table = deltalake::DeltaTable::try_from_url(url).await?;
        table.write([rows]).with_save_mode(SaveMode::Overwrite).await?;
        Ok(())
    })?
}
