//! Time: the clock that is passed in, and the two kinds of time that streams know.
//!
//! *Event time* is when something happened, as a row says: microseconds since 1970-01-01 UTC, the
//! unit of Spark's and Arrow's timestamps. *Processing time* is when the engine saw it:
//! milliseconds, the unit of Spark's batch times and watermarks. This is the only file of the
//! library that reads a clock; everything else is handed a [`Clock`], so that a test, a lesson or
//! a replay can hold time still.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use chrono::{DateTime, SecondsFormat};

/// Microseconds since 1970-01-01T00:00:00 UTC: the time that a row carries.
pub type EventTimeMicros = i64;

/// Milliseconds since 1970-01-01T00:00:00 UTC: a batch time or a watermark.
pub type Millis = i64;

/// Where processing time comes from.
pub trait Clock: Send + Sync {
    /// The present, in milliseconds since 1970 UTC.
    fn now(&self) -> Millis;

    /// Milliseconds of a watch that nobody sets and that stands still while the machine sleeps: the
    /// difference of two is how long something took, also where the present has jumped meanwhile.
    fn ticks(&self) -> Millis {
        self.now()
    }
}

/// A clock that several threads share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        chrono::Utc::now().timestamp_millis()
    }

    fn ticks(&self) -> Millis {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_millis() as Millis
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Millis) -> Self {
        Self(AtomicI64::new(now))
    }

    /// Moves the clock by so many milliseconds.
    pub fn advance(&self, by: Millis) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

/// A clock that runs faster (or slower) than another, from a given start: the demo's event time.
pub struct ScaledClock {
    base: SharedClock,
    base_start: Millis,
    start: Millis,
    speed: f64,
}

impl ScaledClock {
    /// A clock that stands at `start` now and then runs `speed` times as fast as `base`.
    pub fn new(base: SharedClock, start: Millis, speed: f64) -> Self {
        let base_start = base.now();
        Self { base, base_start, start, speed }
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Millis {
        let passed = (self.base.now() - self.base_start) as f64;
        self.start + (passed * self.speed) as Millis
    }
}

/// Measures how long something takes; unlike a [`Clock`] it never runs backwards.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since the start, with their fraction.
    pub fn millis(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1000.0
    }
}

/// Floors an event time to milliseconds, also before 1970: what a watermark is made of.
pub fn micros_to_millis(micros: EventTimeMicros) -> Millis {
    micros.div_euclid(1000)
}

/// The first millisecond that is not before an event time: the least watermark that reaches it.
pub fn micros_to_millis_up(micros: EventTimeMicros) -> Millis {
    micros.div_euclid(1000) + Millis::from(micros.rem_euclid(1000) > 0)
}

/// `2026-01-31T12:00:00.000Z`: how Spark's progress writes a time. Out of range gives the number.
pub fn iso_millis(millis: Millis) -> String {
    match DateTime::from_timestamp_millis(millis) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => format!("{millis} ms"),
    }
}

/// `2026-01-31 12:00:00`, with a fraction only where there is one: how a person reads it.
pub fn readable_micros(micros: EventTimeMicros) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S%.f").to_string(),
        None => format!("{micros} us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_below_the_epoch() {
        assert_eq!(micros_to_millis(-1), -1);
        assert_eq!(micros_to_millis(1999), 1);
        let up = [-1001, -1000, -1, 0, 1, 1000, 1001].map(micros_to_millis_up);
        assert_eq!(up, [-1, -1, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn a_scaled_clock_keeps_its_start_and_its_speed() {
        let base = Arc::new(ManualClock::at(1_000));
        let fast = ScaledClock::new(base.clone(), 50_000, 60.0);
        assert_eq!(fast.now(), 50_000);
        base.advance(1_000);
        assert_eq!(fast.now(), 110_000);
    }
}
