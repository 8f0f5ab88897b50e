//! Drawing lots: the same seed gives the same draws, on every machine and in every order.
//!
//! Takes a seed and what is drawn for; gives numbers; never keeps anything from one batch to the
//! next. Each (seed, stream, batch, purpose) has a generator of its own, so batch 7 can be made
//! without batch 6, and asking for broken lines does not change the rows that stay whole.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What numbers are drawn for. The numbers behind the names are part of what a seed means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The columns of the rows.
    Values = 0,
    /// Which rows are late, and by how much.
    Late = 1,
    /// Which lines are broken, and how.
    Corrupt = 2,
    /// Which rows come twice.
    Duplicates = 3,
}

/// A sequence of numbers.
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    /// The sequence of one purpose in one batch of one stream. The key of the cipher is these four
    /// numbers as they are, so two sequences have nothing in common where one number differs.
    pub(crate) fn new(seed: u64, stream: u64, batch: u64, purpose: Purpose) -> Self {
        let mut key = [0; 32];
        for (part, number) in key.chunks_exact_mut(8).zip([seed, stream, batch, purpose as u64]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A number in `0..end`, all equally likely (to within `end` in 2^64); 0 where `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// One of the choices, which must not be empty.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Marks exactly `count` of `rows` rows, each set of rows equally likely, in one pass over them.
pub(crate) struct Picks {
    draws: Draws,
    rows_left: u64,
    picks_left: u64,
}

impl Picks {
    /// Marks `count` of `rows` (all of them where `count` is more).
    pub(crate) fn new(draws: Draws, rows: usize, count: usize) -> Self {
        Self { draws, rows_left: rows as u64, picks_left: count as u64 }
    }

    /// Whether the next row is marked. Draws nothing once all marks are given.
    pub(crate) fn next(&mut self) -> bool {
        if self.picks_left == 0 {
            return false;
        }
        let picked = self.draws.below(self.rows_left) < self.picks_left;
        self.rows_left = self.rows_left.saturating_sub(1);
        self.picks_left -= u64::from(picked);
        picked
    }

    /// The sequence behind the marks, for what else is drawn about a marked row.
    pub(crate) fn draws(&mut self) -> &mut Draws {
        &mut self.draws
    }
}

/// How many of the `rows` rows of batch `batch` a fraction marks.
///
/// The fraction is kept over all batches together, not in each one: after any number of batches the
/// sum differs from `fraction × rows` by at most a half. So 0.05 of 10 rows marks a row in every
/// second batch, and no batch needs to know what the ones before it marked.
pub(crate) fn share(fraction: f64, rows: usize, batch: u64) -> usize {
    let up_to = |batches: u64| (fraction * (batches as f64 * rows as f64)).round() as u64;
    (up_to(batch.saturating_add(1)).saturating_sub(up_to(batch)) as usize).min(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws() -> Draws {
        Draws::new(1, 2, 3, Purpose::Values)
    }

    #[test]
    fn exactly_as_many_rows_are_marked_as_asked_for() {
        for (rows, count) in [(100, 10), (7, 7), (5, 0), (3, 9)] {
            let mut picks = Picks::new(draws(), rows, count);
            assert_eq!((0..rows).filter(|_| picks.next()).count(), count.min(rows));
        }
    }

    #[test]
    fn shares_add_up_to_the_fraction_of_all_rows() {
        for (fraction, rows) in [(0.05, 10), (0.29, 100), (1.0 / 3.0, 7), (1.0, 4), (0.0, 9)] {
            let mut sum = 0;
            for batch in 0..200 {
                sum += share(fraction, rows, batch);
                let exact = fraction * ((batch + 1) as f64 * rows as f64);
                assert!((sum as f64 - exact).abs() <= 0.5 + 1e-6, "{fraction} {rows} {batch}");
            }
        }
    }

    #[test]
    fn numbers_reach_both_ends_and_stay_below() {
        let mut draws = draws();
        let seen: Vec<u64> = (0..1_000).map(|_| draws.below(5)).collect();
        assert_eq!(seen.iter().min().zip(seen.iter().max()), Some((&0, &4)));
    }
}
