//! Work on many policies, shared by the cores that there are.
//!
//! What a load costs is Cedar's work on each policy's text, one by one. Keeps the order, so that a
//! load tells the same on every machine; never outlives the caller.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

/// Fewer are not worth a thread.
const SHARE_MIN: usize = 500;

/// Does `work` on a share of the items for each core; answers in the order of the items. The threads
/// have the caller's priority: whoever loads beside decisions takes no other core from them either.
pub(super) fn in_shares<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    in_shares_of(items.len().div_ceil(cores).max(SHARE_MIN), items, work)
}

fn in_shares_of<T: Sync, R: Send>(
    size: usize,
    items: &[T],
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let mut shares = items.chunks(size);
    let Some(own) = shares.next() else { return Vec::new() };
    let work = &work;
    thread::scope(|threads| {
        let others: Vec<_> = shares.map(|share| threads.spawn(move || work(share))).collect();
        let mut done = vec![work(own)];
        for other in others {
            done.push(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_in_order() {
        for (items, size) in [(0, 3), (2, 3), (3, 3), (10, 3)] {
            let items: Vec<usize> = (0..items).collect();
            let done = in_shares_of(size, &items, |share| (share.to_vec(), thread::current().id()));
            let (shares, threads): (Vec<_>, Vec<_>) = done.into_iter().unzip();
            assert_eq!(shares.concat(), items);
            let own = threads.iter().filter(|thread| **thread == thread::current().id());
            assert_eq!(own.count(), usize::from(!items.is_empty()), "one share is the caller's");
            assert_eq!(threads.len(), items.len().div_ceil(size));
        }
    }
}
