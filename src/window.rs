//! Windows of event time: which windows an instant falls into.
//!
//! The rule is Spark's (`window(time, size, slide, start)`): windows are aligned to
//! 1970-01-01T00:00:00 UTC whatever the session's time zone, shifted by `start`; an instant on a
//! boundary belongs to the window that begins there. All quantities are microseconds.

use crate::time::EventTimeMicros;

/// The shape of a tumbling (`slide == size`) or sliding (`slide < size`) window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowSpec {
    /// Length of a window; positive.
    pub size_us: i64,
    /// Distance between the starts of two windows; positive, at most the size.
    pub slide_us: i64,
    /// Shift of the starts against 1970; its absolute value is below the slide.
    pub start_us: i64,
}

impl WindowSpec {
    /// Whether an instant is in exactly one window.
    pub fn is_tumbling(&self) -> bool {
        self.size_us == self.slide_us
    }

    /// Start of the newest window that begins at or before the instant. It contains it.
    pub fn last_start(&self, time: EventTimeMicros) -> EventTimeMicros {
        time - (time - self.start_us).rem_euclid(self.slide_us)
    }

    /// The windows that contain the instant, `(start, end)` with the end exclusive, newest first.
    pub fn windows(
        self,
        time: EventTimeMicros,
    ) -> impl Iterator<Item = (EventTimeMicros, EventTimeMicros)> {
        let last = self.last_start(time);
        (0..)
            .map(move |i| last - i * self.slide_us)
            .map(move |start| (start, start.saturating_add(self.size_us)))
            .take_while(move |&(_, end)| time < end)
    }

    /// Length of a pane: the longest stretch of time whose instants all share their windows.
    pub fn pane_us(&self) -> i64 {
        let (mut a, mut b) = (self.size_us, self.slide_us);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }

    /// Start of the pane that contains the instant.
    pub fn pane_start(&self, time: EventTimeMicros) -> EventTimeMicros {
        time - (time - self.start_us).rem_euclid(self.pane_us())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec() -> impl Strategy<Value = WindowSpec> {
        (1i64..60, 1i64..60, 0i64..60).prop_map(|(a, b, start)| {
            let (size_us, slide_us) = (a.max(b), a.min(b));
            WindowSpec { size_us, slide_us, start_us: start % slide_us }
        })
    }

    proptest! {
        #[test]
        fn the_windows_of_an_instant_are_all_that_contain_it(s in spec(), t in -500i64..500) {
            let found: Vec<_> = s.windows(t).collect();
            let expected: Vec<_> = (-20_000i64..20_000)
                .filter(|start| (start - s.start_us).rem_euclid(s.slide_us) == 0)
                .map(|start| (start, start + s.size_us))
                .filter(|&(start, end)| start <= t && t < end)
                .rev()
                .collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn all_instants_of_a_pane_share_their_windows(s in spec(), t in -500i64..500) {
            let pane = s.pane_start(t);
            prop_assert!(pane <= t && t < pane + s.pane_us());
            prop_assert!(s.windows(pane).eq(s.windows(t)));
        }
    }
}
