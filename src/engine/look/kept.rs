//! For which event times an operator keeps rows, and which watermark frees them.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::Look;
use crate::engine::assemble::about::About;
use crate::error::Result;
use crate::state::StateTable;
use crate::time::{EventTimeMicros, Millis};

/// How many rows a table keeps for each time at which they go, in microseconds; `None`: they never go.
pub fn times(table: &StateTable) -> Result<BTreeMap<Option<EventTimeMicros>, usize>> {
    let mut times = BTreeMap::new();
    for rows in table.rows()? {
        let rows = rows?;
        let Some(column) = table.shape().expiry else {
            *times.entry(None).or_default() += rows.num_rows();
            continue;
        };
        let micros = cast(rows.column(column), &DataType::Int64)?;
        let micros = micros.as_primitive::<Int64Type>();
        for row in 0..micros.len() {
            let time = micros.is_valid(row).then(|| micros.value(row));
            *times.entry(time).or_default() += 1;
        }
    }
    Ok(times)
}

/// The least whole millisecond at or after a time.
pub fn ceil_ms(micros: EventTimeMicros) -> Millis {
    micros.div_euclid(1000) + i64::from(micros.rem_euclid(1000) > 0)
}

impl About {
    /// The watermark of the operator's input that lets a row of a table go which has this time; `None`: none
    /// does.
    pub fn frees_at_ms(&self, table: usize, time_us: EventTimeMicros) -> Option<Millis> {
        let time_ms = ceil_ms(time_us);
        let About::Join { expires, .. } = self else { return Some(time_ms) };
        let expires = expires.get(table).copied().flatten()?;
        if expires.at_most_ms.is_some_and(|most| time_ms > most) {
            return None;
        }
        match expires.behind_ms {
            Some(behind) => Some(time_ms.saturating_sub(behind)),
            None => Some(0),
        }
    }
}

impl Look {
    /// The watermark of the query at which that of an operator's input is at least this; `None`: no
    /// watermark gets there. An operator further up may hold rows back, so the two differ.
    pub fn global_for_ms(&self, stage: usize, input_ms: Millis) -> Option<Millis> {
        let input = |global: Millis| self.input_watermarks_ms(global).get(stage).copied();
        let reached = |global: Millis| input(global).is_some_and(|found| found >= input_ms);
        if reached(input_ms) {
            return Some(input_ms);
        }
        let behind = input_ms.saturating_sub(input(input_ms)?);
        let global = input_ms.saturating_add(behind);
        reached(global).then_some(global)
    }
}
