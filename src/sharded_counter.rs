//! Per-thread counters that are read as one sum.
//!
//! One shared counter is a cache line that every decision takes from the other cores. Here a thread
//! writes only its own counter, with a plain store; the price is that a reader walks over all
//! threads. Not for counts that must be exact: a reader may miss the latest increments.

use std::sync::atomic::{AtomicU64, Ordering};

use thread_local::ThreadLocal;

/// A counter that only grows. Only one thread at a time may add to it: two would lose additions,
/// nothing else.
#[derive(Debug, Default)]
pub struct ShardCounter(AtomicU64);

impl ShardCounter {
    /// Adds, and returns the previous value.
    pub fn add(&self, by: u64) -> u64 {
        let before = self.0.load(Ordering::Relaxed);
        // Pairs with `get`: a reader that sees this sees what the same thread counted earlier.
        self.0.store(before.wrapping_add(by), Ordering::Release);
        before
    }

    /// The current value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Two cache lines, since processors fetch them in pairs: no two threads share one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CachePadded<T>(T);

/// One `T` for each counting thread; a thread that has ended leaves its own to the next one.
#[derive(Debug, Default)]
pub struct PerThread<T: Send>(ThreadLocal<CachePadded<T>>);

impl<T: Default + Send + Sync> PerThread<T> {
    /// The calling thread's own. Must stay on this thread.
    pub fn own(&self) -> &T {
        &self.0.get_or_default().0
    }

    /// The sum of one count over all threads.
    pub fn sum<'t, C: Into<Option<&'t ShardCounter>>>(&'t self, count: impl Fn(&'t T) -> C) -> u64 {
        let counts = self.0.iter().filter_map(|CachePadded(each)| count(each).into());
        counts.fold(0, |sum, count| sum.wrapping_add(count.get()))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_each_thread_counts_is_one_sum() {
        let counts = PerThread::<ShardCounter>::default();
        for _ in 0..3 {
            thread::scope(|threads| {
                for _ in 0..4 {
                    threads.spawn(|| {
                        for _ in 0..1_000 {
                            counts.own().add(2);
                        }
                    });
                }
            });
        }
        assert_eq!(counts.sum(|count| count), 24_000);
    }

    #[test]
    fn a_thread_is_told_its_own_count() {
        let counts = PerThread::<ShardCounter>::default();
        assert_eq!([counts.own().add(1), counts.own().add(1)], [0, 1]);
        thread::scope(|threads| {
            threads.spawn(|| assert_eq!(counts.own().add(1), 0));
        });
        assert_eq!(counts.sum(|count| count), 3);
    }
}
