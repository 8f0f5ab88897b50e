//! What a Delta log says about a file's content, so that readers can skip the file.
//!
//! Takes the rows of a file; gives the JSON text of the protocol's per-file statistics: the number
//! of rows, and for the first 32 columns (a struct's columns count one by one) the smallest value,
//! the largest one and how many are NULL. A bound may be looser than the truth, never tighter: a
//! reader that trusts a tight one would lose rows.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{is_null, max, max_string, min, min_string, nullif};
use arrow::datatypes::{self, ArrowPrimitiveType, DataType, Schema};
use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat};
use serde_json::{Map, Number, Value};

use crate::error::Result;
use crate::time::EventTimeMicros;

/// Spark's default for `delta.dataSkippingNumIndexedCols`.
const INDEXED_COLUMNS: usize = 32;

/// Texts are cut to so many characters, as Spark does.
const TEXT_PREFIX: usize = 32;

/// A bound before it is written; which kind it is follows from the column's type.
#[derive(Debug, Clone)]
enum Bound {
    Whole(i128),
    Float(f64),
    Text(String),
}

impl Bound {
    /// NaN counts as larger than every number, as it does for those who will read the file.
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Bound::Whole(a), Bound::Whole(b)) => a.cmp(b),
            (Bound::Float(a), Bound::Float(b)) => a.total_cmp(b),
            (Bound::Text(a), Bound::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }
}

/// A column, or a column of a struct, with what has been seen of it.
struct Leaf {
    path: Vec<String>,
    data_type: DataType,
    bounds: Option<(Bound, Bound)>,
    nulls: usize,
}

/// The statistics of a file that holds these rows, as JSON text.
pub(super) fn describe(schema: &Schema, batches: &[RecordBatch]) -> Result<String> {
    let mut leaves = Vec::new();
    for field in schema.fields() {
        find_leaves(vec![field.name().clone()], field.data_type(), &mut leaves);
    }
    leaves.truncate(INDEXED_COLUMNS);
    for batch in batches {
        for leaf in &mut leaves {
            let column = column_at(batch, &leaf.path)?;
            leaf.nulls += column.null_count();
            let Some((low, high)) = bounds(&column) else { continue };
            leaf.bounds = Some(match leaf.bounds.take() {
                None => (low, high),
                Some((l, h)) => (
                    if low.order(&l) == Ordering::Less { low } else { l },
                    if high.order(&h) == Ordering::Greater { high } else { h },
                ),
            });
        }
    }
    let (mut lowest, mut highest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for leaf in leaves {
        put(&mut nulls, &leaf.path, leaf.nulls.into());
        let Some((low, high)) = leaf.bounds else { continue };
        if let Some(value) = written(low, &leaf.data_type, false) {
            put(&mut lowest, &leaf.path, value);
        }
        if let Some(value) = written(high, &leaf.data_type, true) {
            put(&mut highest, &leaf.path, value);
        }
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    Ok(serde_json::json!({
        "numRecords": rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls,
    })
    .to_string())
}

fn find_leaves(path: Vec<String>, data_type: &DataType, leaves: &mut Vec<Leaf>) {
    if let DataType::Struct(fields) = data_type {
        for field in fields {
            let mut deeper = path.clone();
            deeper.push(field.name().clone());
            find_leaves(deeper, field.data_type(), leaves);
        }
    } else {
        leaves.push(Leaf { path, data_type: data_type.clone(), bounds: None, nulls: 0 });
    }
}

/// A column of a struct is NULL where the struct is, whatever lies beneath.
fn column_at(batch: &RecordBatch, path: &[String]) -> Result<ArrayRef> {
    let missing = || crate::error::Error::internal(format!("no column {}", path.join(".")));
    let [first, deeper @ ..] = path else { return Err(missing()) };
    let mut column = batch.column_by_name(first).ok_or_else(missing)?.clone();
    for name in deeper {
        let parent = column;
        let child = parent.as_struct_opt().and_then(|s| s.column_by_name(name));
        let child = child.ok_or_else(missing)?;
        column = match parent.null_count() {
            0 => child.clone(),
            _ => nullif(child, &is_null(&parent)?)?,
        };
    }
    Ok(column)
}

/// The smallest and the largest value; `None` where there is none, or the type has no order here
/// (Spark keeps no bounds of booleans and bytes either).
fn bounds(column: &ArrayRef) -> Option<(Bound, Bound)> {
    use datatypes as t;
    fn whole<T: ArrowPrimitiveType>(column: &ArrayRef) -> Option<(Bound, Bound)>
    where
        T::Native: Into<i128>,
    {
        let values = column.as_primitive_opt::<T>()?;
        Some((Bound::Whole(min(values)?.into()), Bound::Whole(max(values)?.into())))
    }
    fn float<T: ArrowPrimitiveType>(column: &ArrayRef) -> Option<(Bound, Bound)>
    where
        T::Native: Into<f64>,
    {
        let values = column.as_primitive_opt::<T>()?;
        Some((Bound::Float(min(values)?.into()), Bound::Float(max(values)?.into())))
    }
    match column.data_type() {
        DataType::Int8 => whole::<t::Int8Type>(column),
        DataType::Int16 => whole::<t::Int16Type>(column),
        DataType::Int32 => whole::<t::Int32Type>(column),
        DataType::Int64 => whole::<t::Int64Type>(column),
        DataType::Date32 => whole::<t::Date32Type>(column),
        DataType::Timestamp(_, _) => whole::<t::TimestampMicrosecondType>(column),
        DataType::Decimal128(_, _) => whole::<t::Decimal128Type>(column),
        DataType::Float32 => float::<t::Float32Type>(column),
        DataType::Float64 => float::<t::Float64Type>(column),
        DataType::Utf8 => {
            let texts = column.as_string_opt::<i32>()?;
            let text = |t: &str| Bound::Text(t.to_string());
            Some((text(min_string(texts)?), text(max_string(texts)?)))
        }
        _ => None,
    }
}

/// A bound in the protocol's form; `None` where that form cannot hold it safely.
fn written(bound: Bound, data_type: &DataType, upper: bool) -> Option<Value> {
    match (bound, data_type) {
        (Bound::Whole(v), DataType::Timestamp(_, zone)) => {
            instant(i64::try_from(v).ok()?, zone.is_some(), upper)
        }
        (Bound::Whole(v), DataType::Date32) => {
            let day = chrono::TimeDelta::try_days(i64::try_from(v).ok()?)?;
            let date = NaiveDate::default().checked_add_signed(day)?;
            (0..=9999).contains(&date.year()).then(|| date.format("%Y-%m-%d").to_string().into())
        }
        // A JSON number is read as a 64-bit float: 15 digits come through whole.
        (Bound::Whole(v), DataType::Decimal128(_, scale)) => (v.unsigned_abs() < 10_u128.pow(15))
            .then(|| Number::from_f64(v as f64 / 10_f64.powi((*scale).into())))?
            .map(Value::Number),
        (Bound::Whole(v), _) => i64::try_from(v).ok().map(Value::from),
        (Bound::Float(v), _) => Number::from_f64(v).map(Value::Number),
        (Bound::Text(v), _) => text(&v, upper),
    }
}

/// Milliseconds are all that the form holds: a lower bound is rounded down, an upper one up.
fn instant(micros: EventTimeMicros, zoned: bool, upper: bool) -> Option<Value> {
    let down = micros.div_euclid(1000);
    let millis = if upper && micros.rem_euclid(1000) != 0 { down + 1 } else { down };
    let time = DateTime::from_timestamp_millis(millis)?;
    if !(0..=9999).contains(&time.year()) {
        return None;
    }
    let text = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    Some(Value::from(if zoned { text } else { text.trim_end_matches('Z').to_string() }))
}

/// A long text is cut. The cut of an upper bound gets the largest character there is behind it,
/// unless the text itself goes on with that one.
fn text(whole: &str, upper: bool) -> Option<Value> {
    let Some((end, next)) = whole.char_indices().nth(TEXT_PREFIX) else {
        return Some(Value::from(whole));
    };
    let prefix = &whole[..end];
    match (upper, next) {
        (false, _) => Some(Value::from(prefix)),
        (true, char::MAX) => None,
        (true, _) => Some(Value::from(format!("{prefix}{}", char::MAX))),
    }
}

fn put(into: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            into.insert(name.clone(), value);
        }
        [name, deeper @ ..] => {
            let inner = into.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, deeper, value);
            }
        }
    }
}

/// What the statistics of a file tell its writer when it comes back.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Known {
    /// How many rows the file holds.
    pub rows: Option<usize>,
    /// A time that no row's value in the asked column lies behind. `None`: unknown, or some row has
    /// no value there.
    pub latest: Option<EventTimeMicros>,
}

/// Reads statistics that this or another program wrote; `path` names the column of event times.
pub(super) fn known(stats: Option<&str>, path: &[String]) -> Known {
    let Some(stats) = stats.and_then(|s| serde_json::from_str::<Value>(s).ok()) else {
        return Known::default();
    };
    let at = |part: &str| path.iter().try_fold(stats.get(part)?, |value, name| value.get(name));
    let latest = || {
        if path.is_empty() || at("nullCount")?.as_u64()? != 0 {
            return None;
        }
        let time = DateTime::parse_from_rfc3339(at("maxValues")?.as_str()?).ok()?;
        // Others cut their bounds down to milliseconds.
        Some(time.timestamp_micros() + 999)
    };
    let rows = stats.get("numRecords").and_then(Value::as_u64);
    Known { rows: rows.and_then(|n| n.try_into().ok()), latest: latest() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Float64Array, Int64Array, StringArray, StructArray, TimestampMicrosecondArray,
    };
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    fn stats_of(name: &str, column: ArrayRef) -> Value {
        let batch = RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap();
        serde_json::from_str(&describe(&batch.schema(), &[batch]).unwrap()).unwrap()
    }

    fn utc(values: Vec<i64>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
    }

    #[test]
    fn bounds_of_times_are_rounded_outwards() {
        let stats = stats_of("t", utc(vec![1_500, 2_001, -1]));
        assert_eq!(stats["minValues"]["t"], "1969-12-31T23:59:59.999Z");
        assert_eq!(stats["maxValues"]["t"], "1970-01-01T00:00:00.003Z");
    }

    #[test]
    fn a_long_text_is_cut_to_a_bound_that_holds() {
        let long = "z".repeat(40);
        let stats = stats_of("s", Arc::new(StringArray::from(vec![long.as_str(), "zz"])));
        let (low, high) = (stats["minValues"]["s"].as_str(), stats["maxValues"]["s"].as_str());
        assert_eq!(low, Some("zz"));
        assert!(high.unwrap() > long.as_str());
        assert_eq!(high.unwrap().chars().count(), TEXT_PREFIX + 1);
    }

    #[test]
    fn a_nan_takes_the_upper_bound_away() {
        let stats = stats_of("f", Arc::new(Float64Array::from(vec![1.5, f64::NAN])));
        assert_eq!(stats["minValues"]["f"], 1.5);
        assert_eq!(stats["maxValues"].get("f"), None);
    }

    #[test]
    fn what_lies_under_a_null_struct_does_not_count() {
        let field = Arc::new(Field::new("x", DataType::Int64, true));
        let values: ArrayRef = Arc::new(Int64Array::from(vec![7, 99]));
        let nulls = NullBuffer::from(vec![true, false]);
        let column = StructArray::new(vec![field].into(), vec![values], Some(nulls));
        let stats = stats_of("s", Arc::new(column));
        assert_eq!(stats["maxValues"]["s"]["x"], 7);
        assert_eq!(stats["nullCount"]["s"]["x"], 1);
    }

    #[test]
    fn what_is_written_is_known_again() {
        let end =
            Field::new("end", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
        let window = StructArray::new(vec![end].into(), vec![utc(vec![5_000])], None);
        let stats = stats_of("window", Arc::new(window)).to_string();
        let path = ["window".to_string(), "end".to_string()];
        assert_eq!(known(Some(&stats), &path), Known { rows: Some(1), latest: Some(5_999) });
        assert_eq!(known(None, &path), Known::default());
    }
}
