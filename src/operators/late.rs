//! The one rule for "too late".
//!
//! An event time is late when it is at or before the watermark (inclusive, as in Spark); the event
//! time of a window is its end, so a row inside an open window is in time however old it is. A row
//! without event time is never late.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};

use crate::error::{Error, Result};
use crate::time::Millis;

/// The event times of a column in microseconds: of timestamps in microseconds the times, of windows
/// (structs with a field `end`) their ends.
pub fn event_times(column: &ArrayRef) -> Result<Int64Array> {
    if let DataType::Struct(_) = column.data_type() {
        let window = column.as_struct();
        let end = window
            .column_by_name("end")
            .ok_or_else(|| Error::internal("an event-time struct has no field `end`"))?;
        let ends = event_times(end)?;
        let nulls = arrow::buffer::NullBuffer::union(window.nulls(), ends.nulls());
        return Ok(Int64Array::new(ends.values().clone(), nulls));
    }
    let micros = column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| {
        Error::internal(format!(
            "an event time has the type {}, not timestamp in microseconds",
            column.data_type()
        ))
    })?;
    Ok(micros.reinterpret_cast::<Int64Type>())
}

/// Parts rows into those in time and the number of those that are late, by the event time in
/// column `time` (see [`event_times`]).
pub fn drop_late(rows: RecordBatch, time: usize, late_ms: Millis) -> Result<(RecordBatch, usize)> {
    let in_time = in_time(rows.column(time), late_ms)?;
    let late = in_time.len() - in_time.true_count();
    if late == 0 {
        return Ok((rows, 0));
    }
    Ok((filter_record_batch(&rows, &in_time)?, late))
}

/// For each event time of a column whether it is in time.
pub fn in_time(times: &ArrayRef, late_ms: Millis) -> Result<BooleanArray> {
    let micros = event_times(times)?;
    let limit = late_ms.saturating_mul(1000);
    let in_time = (0..micros.len()).map(|row| micros.is_null(row) || micros.value(row) > limit);
    Ok(in_time.map(Some).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;
    use std::sync::Arc;

    #[test]
    fn a_time_at_the_watermark_is_late_and_no_time_is_not() {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![
            Some(4_999),
            Some(5_000),
            Some(5_001),
            None,
        ]));
        let rows = RecordBatch::try_from_iter(vec![("t", times)]).unwrap();
        let (kept, late) = drop_late(rows, 0, 5).unwrap();
        assert_eq!((kept.num_rows(), late), (2, 2));
    }
}
