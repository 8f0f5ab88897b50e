//! Any value → text, as CAST(… AS STRING) writes it: `1.0E7`, `2026-01-31 12:00:00.5`, `[1, null]`,
//! `{a -> 1}`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;

use super::number_text::{double_text, float_text};
use crate::calendar::{Zone, date_text, timestamp_text};

/// Each value of a column as text, instants in a zone; NULL stays NULL.
pub(super) fn column_text(column: &ArrayRef, zone: &Zone) -> PlanResult<StringArray> {
    use DataType as D;
    Ok(match column.data_type() {
        D::Float64 => {
            column.as_primitive::<Float64Type>().iter().map(|n| n.map(double_text)).collect()
        }
        D::Float32 => {
            column.as_primitive::<Float32Type>().iter().map(|n| n.map(float_text)).collect()
        }
        D::Date32 => column.as_primitive::<Date32Type>().iter().map(|d| d.map(date_text)).collect(),
        D::Timestamp(TimeUnit::Microsecond, at) => {
            let clock = |time| if at.is_some() { zone.clock(time) } else { time };
            let times = column.as_primitive::<TimestampMicrosecondType>();
            times.iter().map(|time| time.map(|time| timestamp_text(clock(time)))).collect()
        }
        // Bytes that are no text stay visible as such.
        D::Binary => {
            let bytes = column.as_binary::<i32>().iter();
            bytes.map(|b| b.map(|b| String::from_utf8_lossy(b).into_owned())).collect()
        }
        D::Duration(TimeUnit::Microsecond) => {
            let micros = compute::cast(column, &D::Int64)?;
            let micros = micros.as_primitive::<arrow::datatypes::Int64Type>();
            micros.iter().map(|d| d.map(duration_text)).collect()
        }
        D::List(_) => list_text(column, zone)?,
        D::Struct(_) => struct_text(column, zone)?,
        D::Map(..) => map_text(column, zone)?,
        D::Interval(_) => return exec_err!("an interval of months cannot be cast to STRING yet"),
        _ => compute::cast(column, &D::Utf8)?.as_string::<i32>().clone(),
    })
}

/// `INTERVAL '1 02:00:00' DAY TO SECOND`.
fn duration_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let all = micros.unsigned_abs();
    let (seconds, fraction) = (all / 1_000_000, all % 1_000_000);
    let fraction = match fraction {
        0 => String::new(),
        f => format!(".{f:06}").trim_end_matches('0').to_owned(),
    };
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    format!("INTERVAL '{sign}{days} {hours:02}:{minutes:02}:{seconds:02}{fraction}' DAY TO SECOND")
}

fn list_text(column: &ArrayRef, zone: &Zone) -> PlanResult<StringArray> {
    let lists = column.as_list::<i32>();
    let items = column_text(lists.values(), zone)?;
    let mut texts = StringBuilder::new();
    for (row, span) in lists.value_offsets().windows(2).enumerate() {
        if lists.is_null(row) {
            texts.append_null();
            continue;
        }
        let parts = (span[0] as usize..span[1] as usize).map(|at| value_or_null(&items, at));
        texts.append_value(format!("[{}]", parts.collect::<Vec<_>>().join(", ")));
    }
    Ok(texts.finish())
}

fn struct_text(column: &ArrayRef, zone: &Zone) -> PlanResult<StringArray> {
    let structs = column.as_struct();
    let texts = |column| column_text(column, zone);
    let fields = structs.columns().iter().map(texts).collect::<PlanResult<Vec<_>>>()?;
    let text = |row| {
        let parts = fields.iter().map(|field| value_or_null(field, row));
        format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
    };
    Ok((0..structs.len()).map(|row| structs.is_valid(row).then(|| text(row))).collect())
}

fn map_text(column: &ArrayRef, zone: &Zone) -> PlanResult<StringArray> {
    let maps = column.as_map();
    let (keys, values) = (column_text(maps.keys(), zone)?, column_text(maps.values(), zone)?);
    let text = |row| {
        let offsets = maps.value_offsets();
        let entries = offsets[row] as usize..offsets[row + 1] as usize;
        let parts = entries
            .map(|at| format!("{} -> {}", value_or_null(&keys, at), value_or_null(&values, at)));
        format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
    };
    Ok((0..maps.len()).map(|row| maps.is_valid(row).then(|| text(row))).collect())
}

fn value_or_null(texts: &StringArray, at: usize) -> &str {
    if texts.is_valid(at) { texts.value(at) } else { "null" }
}

/// One value as an error shows it; an instant in UTC.
pub(super) fn shown(column: &ArrayRef, row: usize) -> String {
    let one: ArrayRef = Arc::clone(column).slice(row, 1);
    match column_text(&one, &Zone::default()) {
        Ok(text) if column.data_type() == &DataType::Utf8 => {
            format!("'{}'", value_or_null(&text, 0))
        }
        Ok(text) => value_or_null(&text, 0).to_owned(),
        Err(_) => "a value".to_owned(),
    }
}
