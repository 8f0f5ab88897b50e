//! What an operator keeps, as a table: `state('query', 'operator')`, after an older batch
//! `state('query', 'operator', batch)`, and `state_changes('query', 'operator', from, to)`.
//!
//! An operator is named by its number, by its name in progress reports, and where it has several tables, as a
//! join has, by `0.left`. The state after a batch can be read as far as its files are kept: some batches
//! before the newest snapshot but one are gone.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::row::{RowConverter, SortField};
use datafusion::catalog::{MemTable, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::Expr;

use super::Observed;
use crate::batch::{BatchId, with_rows};
use crate::checkpoint::View;
use crate::engine::assemble::{Assembly, assemble};
use crate::engine::look::state_folder;
use crate::error::{Error, Result};
use crate::operators::StateShape;
use crate::sql::nearest;
use crate::state::{StateStore, StateTable};

/// `state('query', 'operator'[, batch])`
#[derive(Debug)]
pub struct State(pub Observed);

/// `state_changes('query', 'operator', from, to)`
#[derive(Debug)]
pub struct StateChanges(pub Observed);

impl TableFunctionImpl for State {
    fn call_with_args(
        &self,
        args: TableFunctionArgs<'_, '_>,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        let (table, batch) = match args.exprs() {
            [query, operator] => (self.0.kept(query, operator)?, None),
            [query, operator, batch] => (self.0.kept(query, operator)?, Some(number(batch)?)),
            _ => return Err(usage().into()),
        };
        let table = table.after(batch)?;
        let rows = rows_of(&table)?;
        Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
    }
}

impl TableFunctionImpl for StateChanges {
    fn call_with_args(
        &self,
        args: TableFunctionArgs<'_, '_>,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        let [query, operator, from, to] = args.exprs() else { return Err(usage().into()) };
        let kept = self.0.kept(query, operator)?;
        let rows = changes(&kept.after(Some(number(from)?))?, &kept.after(Some(number(to)?))?)?;
        Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
    }
}

fn usage() -> Error {
    Error::sql("WRONG_NUM_ARGS", "the state of an operator is asked for in another way").hint(
        "write state('query', 'operator'), state('query', 'operator', batch), or \
         state_changes('query', 'operator', from, to)",
    )
}

/// A literal of a call as text.
fn text(argument: &Expr) -> Result<String> {
    let Expr::Literal(value, _) = argument else { return Err(usage()) };
    match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => Ok(text.clone()),
        other if other.data_type().is_integer() && !other.is_null() => Ok(other.to_string()),
        _ => Err(usage()),
    }
}

fn number(argument: &Expr) -> Result<BatchId> {
    text(argument)?.parse().map_err(|_| usage())
}

/// One table that an operator keeps, in its folder.
struct Kept {
    query: String,
    folder: std::path::PathBuf,
    shape: StateShape,
    done: BatchId,
}

impl Observed {
    fn kept(&self, query: &Expr, operator: &Expr) -> Result<Kept> {
        let (query, operator) = (text(query)?, text(operator)?);
        let pipeline = self.pipeline("state(…)")?;
        let found = pipeline.queries.iter().find(|found| found.name.eq_ignore_ascii_case(&query));
        let found = found.ok_or_else(|| {
            let names = pipeline.queries.iter().map(|query| query.name.as_str());
            let hint = match nearest(&query, names.clone()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
            };
            Error::sql("QUERY_NOT_FOUND", format!("the pipeline has no query '{query}'")).hint(hint)
        })?;
        let session = crate::sql::session(&found.plan.zone).state();
        let assembly = assemble(&found.plan, found.mode, &session)?;
        let (stage, shape) = named(&assembly, &found.name, &operator)?;
        let checkpoint = self.project.checkpoint(&found.name);
        let done = View::read(&checkpoint)?.and_then(|view| view.done());
        let done = done.ok_or_else(|| {
            Error::input(
                "NO_BATCH_YET",
                format!("the query '{}' has done no batch yet", found.name),
            )
            .hint("run it first: its operators keep nothing before that")
        })?;
        let folder = state_folder(&checkpoint, stage, &shape);
        Ok(Kept { query: found.name.clone(), folder, shape, done })
    }
}

/// The table that is meant: by the operator's number or name, and where it has several, `0.left`.
fn named(assembly: &Assembly, query: &str, operator: &str) -> Result<(usize, StateShape)> {
    let (name, part) = match operator.split_once('.') {
        Some((name, part)) => (name, Some(part)),
        None => (operator, None),
    };
    let mut tables = vec![];
    let mut all = vec![];
    for (number, stage) in assembly.stages.iter().enumerate() {
        let kind = stage.operator.name();
        all.push(format!("{number} ({kind})"));
        let by_name = number.to_string() == name || kind.eq_ignore_ascii_case(name);
        for shape in stage.operator.state_shapes() {
            if by_name && part.is_none_or(|part| part.eq_ignore_ascii_case(shape.name)) {
                tables.push((number, shape));
            }
        }
    }
    match &mut tables[..] {
        [_] => Ok(tables.remove(0)),
        [] if all.is_empty() => Err(Error::sql(
            "NO_STATE",
            format!("the query '{query}' keeps nothing between batches"),
        )),
        [] => Err(Error::sql(
            "OPERATOR_NOT_FOUND",
            format!("the query '{query}' has no operator '{operator}'"),
        )
        .hint(format!("it has {}", all.join(", ")))),
        many => {
            let names: Vec<String> =
                many.iter().map(|(number, shape)| format!("'{number}.{}'", shape.name)).collect();
            Err(Error::sql("OPERATOR_NOT_UNIQUE", format!("'{operator}' keeps several tables"))
                .hint(format!("name one: {}", names.join(" or "))))
        }
    }
}

impl Kept {
    /// The table as it was after a batch; `None`: after the newest that is done.
    fn after(&self, batch: Option<BatchId>) -> Result<StateTable> {
        let batch = batch.unwrap_or(self.done);
        let ranges = StateStore::readable(&self.folder, self.shape.clone())?;
        let there = |(from, to): &(BatchId, BatchId)| *from <= batch && batch <= *to;
        if batch > self.done || !ranges.iter().any(there) {
            let ranges = ranges.iter().filter(|(from, _)| *from <= self.done);
            let ranges: Vec<String> =
                ranges.map(|(from, to)| format!("{from} to {}", to.min(&self.done))).collect();
            return Err(Error::input(
                "STATE_NOT_KEPT",
                format!("the state of '{}' after batch {batch} cannot be read", self.query),
            )
            .hint(format!("batches {} can be: older files have been removed", ranges.join(", "))));
        }
        StateStore::look(self.folder.clone(), self.shape.clone(), batch)
    }
}

/// All rows of a table. The time by which they go is kept as a number in some, and is a time here.
fn rows_of(table: &StateTable) -> Result<RecordBatch> {
    let rows = concat_batches(table.schema(), &table.rows()?.collect::<Result<Vec<_>>>()?)?;
    let schema = rows.schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    let mut columns = rows.columns().to_vec();
    if let Some(at) = table.shape().expiry.filter(|at| *fields[*at].data_type() == DataType::Int64)
    {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        columns[at] = cast(&columns[at], &time)?;
        fields[at] = Arc::new(Field::new(fields[at].name(), time, true));
    }
    with_rows(&Arc::new(Schema::new(fields)), columns, rows.num_rows())
}

/// The rows that differ between two states, with a first column `change`: `added`, `removed`, and where there is
/// one row a key, `before` and `after` of one that has changed.
fn changes(from: &StateTable, to: &StateTable) -> Result<RecordBatch> {
    let (old, new) = (rows_of(from)?, rows_of(to)?);
    let schema = old.schema();
    let fields = schema.fields().iter();
    let converter =
        RowConverter::new(fields.map(|f| SortField::new(f.data_type().clone())).collect())?;
    let keys = schema.fields()[..from.shape().keys].iter();
    let keys = RowConverter::new(keys.map(|f| SortField::new(f.data_type().clone())).collect())?;
    let keys_of =
        |rows: &RecordBatch| as_bytes(&keys, &rows.columns()[..from.shape().keys], rows.num_rows());
    let (old_rows, new_rows) = (
        as_bytes(&converter, old.columns(), old.num_rows())?,
        as_bytes(&converter, new.columns(), new.num_rows())?,
    );
    let (gone, came) = (only_in(&old_rows, &new_rows), only_in(&new_rows, &old_rows));
    let (old_keys, new_keys) = (keys_of(&old)?, keys_of(&new)?);
    let unique = from.shape().is_unique();
    let has = |keys: &[Vec<u8>], rows: &[u32], key: &Vec<u8>| {
        unique && rows.iter().any(|row| keys[*row as usize] == *key)
    };
    let mut words = vec![];
    for row in &gone {
        let changed = has(&new_keys, &came, &old_keys[*row as usize]);
        words.push(if changed { "before" } else { "removed" });
    }
    for row in &came {
        let changed = has(&old_keys, &gone, &new_keys[*row as usize]);
        words.push(if changed { "after" } else { "added" });
    }
    let parts = [
        take_record_batch(&old, &UInt32Array::from(gone))?,
        take_record_batch(&new, &UInt32Array::from(came))?,
    ];
    let rows = concat_batches(&schema, &parts)?;
    let mut fields = vec![Arc::new(Field::new("change", DataType::Utf8, false))];
    fields.extend(schema.fields().iter().cloned());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(words))];
    columns.extend(rows.columns().iter().cloned());
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Rows as bytes that are equal where the rows are.
fn as_bytes(converter: &RowConverter, columns: &[ArrayRef], rows: usize) -> Result<Vec<Vec<u8>>> {
    if columns.is_empty() {
        return Ok(vec![vec![]; rows]);
    }
    let converted = converter.convert_columns(columns)?;
    Ok(converted.iter().map(|row| row.as_ref().to_vec()).collect())
}

/// The rows of the one that the other does not have, each as often as it has more of it.
fn only_in(these: &[Vec<u8>], others: &[Vec<u8>]) -> Vec<u32> {
    let mut left: HashMap<&[u8], usize> = HashMap::new();
    others.iter().for_each(|row| *left.entry(row).or_default() += 1);
    let mut only = vec![];
    for (at, row) in these.iter().enumerate() {
        match left.get_mut(row.as_slice()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => only.push(at as u32),
        }
    }
    only
}
