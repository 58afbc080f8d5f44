//! Parallel work on many policies, divided among the available cores.
//!
//! Most of the cost of a load is Cedar's work on the text of single policies. Results keep their
//! order, so that a load reports the same on every machine; never outlives the caller.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The number of items in a share; fewer are not worth a thread.
const SHARE: usize = 500;

/// The stack of a worker thread. The nesting limits need a thirtieth of it; unused stack costs
/// nothing.
pub(super) const STACK: usize = 64 << 20;

/// Runs `work` on shares of the items; results are in the order of the items. There is one thread
/// for each core, which takes the next share when it is done with one, so that a core that answers
/// decisions takes fewer. The threads have the caller's priority.
pub(super) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    in_shares_of(SHARE, cores, items, work)
}

fn in_shares_of<T: Sync, R: Send>(
    size: usize,
    cores: usize,
    items: &[T],
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let shares: Vec<&[T]> = items.chunks(size).collect();
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(share) = shares.get(number) else { return done };
            done.push((number, work(share)));
        }
    };
    let mut done = thread::scope(|threads| {
        let others = 1..cores.min(shares.len());
        // If a thread cannot be started, its shares are left to the others.
        let begin = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(threads, take).ok();
        let others: Vec<_> = others.filter_map(begin).collect();
        let mut done = take();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread::ThreadId;

    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_in_order() {
        for (items, size, cores) in
            [(0, 3, 2), (2, 3, 2), (3, 3, 2), (10, 3, 1), (10, 3, 2), (10, 1, 99)]
        {
            let items: Vec<usize> = (0..items).collect();
            let done = in_shares_of(size, cores, &items, |share| {
                thread::yield_now();
                (share.to_vec(), thread::current().id())
            });
            let (shares, threads): (Vec<_>, Vec<_>) = done.into_iter().unzip();
            assert_eq!(shares.len(), items.len().div_ceil(size));
            assert_eq!(shares.concat(), items);
            let threads: HashSet<ThreadId> = threads.into_iter().collect();
            assert!(threads.len() <= cores, "no more threads than cores");
        }
    }
}
