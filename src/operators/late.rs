//! The one rule for "too late".
//!
//! An event time is late when it is at or before the watermark (inclusive, as in Spark); the event
//! time of a window is its end, so a row inside an open window is in time however old it is. A row
//! without event time is never late.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use crate::error::{Error, Result};
use crate::time::Millis;

/// Parts rows into those in time and the number of those that are late, by the event time in
/// column `time` (a timestamp in microseconds).
pub fn drop_late(rows: RecordBatch, time: usize, late_ms: Millis) -> Result<(RecordBatch, usize)> {
    let column = rows.column(time);
    if !matches!(column.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) {
        return Err(Error::internal(format!(
            "an event time has the type {}, not timestamp in microseconds",
            column.data_type()
        )));
    }
    let micros = arrow::compute::cast(column, &DataType::Int64)?;
    let micros = micros.as_primitive::<Int64Type>();
    let limit = late_ms.saturating_mul(1000);
    let in_time: BooleanArray = (0..micros.len())
        .map(|row| Some(micros.is_null(row) || micros.value(row) > limit))
        .collect();
    let late = in_time.len() - in_time.true_count();
    if late == 0 {
        return Ok((rows, 0));
    }
    Ok((filter_record_batch(&rows, &in_time)?, late))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, TimestampMicrosecondArray};
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
