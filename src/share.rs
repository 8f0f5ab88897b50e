//! Work that two threads share.
//!
//! For what is large: a thread is started each time.

use std::sync::{Mutex, PoisonError};

/// Does a piece of work for each item, on two threads where there are several; gives what came of it, in
/// the order of the items.
///
/// # Panics
///
/// Where the work does.
pub fn share<I: Send, T: Send>(items: Vec<I>, work: impl Fn(I) -> T + Sync) -> Vec<T> {
    share_with(&mut [(), ()], items, |(), item| work(item))
}

/// As [`share`], where the work needs a tool that only one thread can use at a time: there are two.
/// The items are taken in their order, the next one by whoever is free.
///
/// # Panics
///
/// Where the work does.
pub fn share_with<W: Send, I: Send, T: Send>(
    tools: &mut [W; 2],
    items: Vec<I>,
    work: impl Fn(&mut W, I) -> T + Sync,
) -> Vec<T> {
    let [one, two] = tools;
    if items.len() < 2 {
        return items.into_iter().map(|item| work(one, item)).collect();
    }
    let left = Mutex::new(items.into_iter().enumerate());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take = |tool: &mut W| {
        let mut done = Vec::new();
        while let Some((at, item)) = next() {
            done.push((at, work(tool, item)));
        }
        done
    };
    let (mut done, others) = both(|| take(one), || take(two));
    done.extend(others);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, done)| done).collect()
}

/// Does one thing here and another on a thread of its own.
///
/// # Panics
///
/// Where one of the two does.
pub fn both<A, B: Send>(here: impl FnOnce() -> A, there: impl FnOnce() -> B + Send) -> (A, B) {
    std::thread::scope(|scope| {
        let there = scope.spawn(there);
        let here = here();
        (here, there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays() {
        for count in [0, 1, 2, 1000] {
            let squares = share((0..count).collect(), |number: u64| number * number);
            assert_eq!(squares, (0..count).map(|number| number * number).collect::<Vec<_>>());
        }
    }
}
