//! `current_timestamp()`, `now()`, `localtimestamp()`, `current_date()`: the time of the batch, not of
//! the row.
//!
//! A plan is made once a query and run once a batch, so these must not be folded into it. They
//! read a cell that the engine sets before each batch, from the time that `offsets/N` holds: a
//! batch that runs again after a crash sees the same time.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::datatypes::DataType;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::calendar::DAY;
use crate::sql::optimizer::session_zone;
use crate::sql::types;
use crate::time::Millis;

/// The time of the batch that runs, shared by the engine and the functions of one plan.
#[derive(Debug, Clone, Default)]
pub struct BatchTime(Arc<AtomicI64>);

impl BatchTime {
    /// Sets the time for the next run of the plan.
    pub fn set(&self, now: Millis) {
        self.0.store(now, Ordering::SeqCst);
    }

    /// The time of the batch.
    pub fn get(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

/// The functions of one plan, by the names that SQL knows.
pub(in crate::sql) fn batch_time_functions(
    time: &BatchTime,
) -> Vec<(&'static str, Arc<ScalarUDF>)> {
    let function = |name, gives| {
        let signature = Signature::nullary(Volatility::Volatile);
        let call = Now { name, gives, signature, time: time.clone() };
        (name, Arc::new(ScalarUDF::from(call)))
    };
    vec![
        function("current_timestamp", types::timestamp()),
        function("now", types::timestamp()),
        function("localtimestamp", types::timestamp_ntz()),
        function("current_date", DataType::Date32),
        function("curdate", DataType::Date32),
    ]
}

#[derive(Debug)]
struct Now {
    name: &'static str,
    gives: DataType,
    signature: Signature,
    time: BatchTime,
}

impl PartialEq for Now {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.time.0, &other.time.0)
    }
}

impl Eq for Now {}

impl Hash for Now {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(self.gives.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let zone = session_zone(&args.config_options)?;
        let instant = self.time.get().saturating_mul(1000);
        let clock = zone.clock(instant);
        let value = match &self.gives {
            DataType::Date32 => ScalarValue::Date32(i32::try_from(clock.div_euclid(DAY)).ok()),
            DataType::Timestamp(_, None) => ScalarValue::TimestampMicrosecond(Some(clock), None),
            _ => ScalarValue::TimestampMicrosecond(Some(instant), Some("UTC".into())),
        };
        Ok(ColumnarValue::Scalar(value))
    }
}
