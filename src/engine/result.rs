//! The last plan's rows on their way to the sink: which columns name a group, and in which types.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::error::{Error, Result};
use crate::operators::aggregate::EventTime;

/// The groups of the aggregation nearest to the sink.
pub struct Groups {
    /// Their columns, in the order of GROUP BY.
    pub names: Vec<Column>,
    /// Which of them the watermark closes groups by.
    pub event_time: Option<EventTime>,
}

/// What of a group a result column holds.
#[derive(Clone, PartialEq)]
enum Holds {
    Group(usize),
    WindowStart(usize),
    WindowEnd(usize),
}

impl Groups {
    /// The result columns that say which group a row is, a grouping column that is not among them,
    /// and the one that the watermark seals by.
    pub fn trace(&self, top: &LogicalPlan) -> (Vec<usize>, Option<String>, Option<usize>) {
        let holds = self.follow(top);
        let keys: Vec<usize> =
            holds.iter().enumerate().filter(|(_, h)| h.is_some()).map(|(i, _)| i).collect();
        let covered = |i: usize| {
            holds.iter().flatten().any(|h| match h {
                Holds::Group(g) | Holds::WindowStart(g) | Holds::WindowEnd(g) => *g == i,
            })
        };
        let missing = self.names.iter().enumerate().find(|(i, _)| !covered(*i));
        let missing = missing.map(|(_, name)| name.name.clone());
        let sealed_by = self.event_time.and_then(|time| {
            let wanted = |h: &Option<Holds>| match (h, time) {
                (
                    Some(Holds::Group(g)),
                    EventTime::Column(i) | EventTime::Window(i, _) | EventTime::Ready(i),
                ) => *g == i,
                (Some(Holds::WindowEnd(g)), EventTime::Window(i, _) | EventTime::Ready(i)) => {
                    *g == i
                }
                _ => false,
            };
            holds.iter().position(wanted)
        });
        (keys, missing, sealed_by)
    }

    /// For each column of `plan`, what of a group it holds.
    fn follow(&self, plan: &LogicalPlan) -> Vec<Option<Holds>> {
        match plan {
            LogicalPlan::Projection(projection) => {
                let below = self.follow(&projection.input);
                let schema = projection.input.schema();
                projection.expr.iter().map(|e| held_by(e, schema, &below)).collect()
            }
            LogicalPlan::Filter(filter) => self.follow(&filter.input),
            LogicalPlan::Sort(sort) => self.follow(&sort.input),
            LogicalPlan::SubqueryAlias(alias) => self.follow(&alias.input),
            other => {
                let column = |c: &Column| self.names.iter().position(|n| n.name == c.name);
                other.schema().columns().iter().map(|c| column(c).map(Holds::Group)).collect()
            }
        }
    }
}

fn held_by(expr: &Expr, schema: &DFSchema, below: &[Option<Holds>]) -> Option<Holds> {
    match expr {
        Expr::Alias(alias) => held_by(&alias.expr, schema, below),
        Expr::Column(column) => {
            schema.maybe_index_of_column(column).and_then(|i| below.get(i).cloned().flatten())
        }
        Expr::ScalarFunction(call) if call.name() == "get_field" => {
            let Holds::Group(group) = held_by(call.args.first()?, schema, below)? else {
                return None;
            };
            match call.args.get(1)? {
                Expr::Literal(ScalarValue::Utf8(Some(field)), _) => match field.as_str() {
                    "start" => Some(Holds::WindowStart(group)),
                    "end" => Some(Holds::WindowEnd(group)),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}

/// The schema in which a result goes to its sink: types that Delta and Spark have, all nullable.
pub fn sink_schema(schema: &Schema) -> Result<SchemaRef> {
    let mut seen = BTreeSet::new();
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        if !seen.insert(field.name().to_lowercase()) {
            return Err(Error::sql(
                "COLUMN_ALREADY_EXISTS",
                format!("the result has two columns named {}", field.name()),
            )
            .hint("give one of them another name with AS"));
        }
        fields.push(Field::new(field.name(), sink_type(field.data_type()), true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn sink_type(data_type: &DataType) -> DataType {
    let nested =
        |field: &Arc<Field>| Arc::new(Field::new(field.name(), sink_type(field.data_type()), true));
    match data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into()))
        }
        DataType::Dictionary(_, value) => sink_type(value),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nested).collect()),
        DataType::List(f) | DataType::LargeList(f) | DataType::ListView(f) => {
            DataType::List(nested(f))
        }
        other => other.clone(),
    }
}

/// Brings rows into the sink's schema.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(column.clone()),
            false => arrow::compute::cast(column, field.data_type()),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
