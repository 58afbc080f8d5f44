//! The lookup by token hash, with the last use, which is recorded in memory first.
//!
//! Reads take no lock. Does not check whether what it finds has expired.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::{Timestamp, TokenHash};

/// Before every moment: not used yet.
const NEVER: i64 = i64::MIN;

/// Things of one kind.
#[derive(Debug)]
pub(super) struct ByToken<T>(papaya::HashMap<TokenHash, Kept<T>>);

/// One of them.
#[derive(Debug)]
struct Kept<T> {
    what: T,
    /// When it was used last, in milliseconds; only rises.
    used: AtomicI64,
    /// What of this stands in the store.
    written: AtomicI64,
}

impl<T> Kept<T> {
    fn used(&self) -> Option<Timestamp> {
        let used = self.used.load(Ordering::Relaxed);
        (used > NEVER).then_some(Timestamp(used))
    }

    /// When it was used last, where the store does not know it yet.
    fn unwritten(&self) -> Option<Timestamp> {
        self.used().filter(|used| used.0 > self.written.load(Ordering::Relaxed))
    }
}

impl<T> ByToken<T> {
    pub(super) fn new() -> Self {
        Self(papaya::HashMap::new())
    }

    /// Calls `read` with what a token opens and when it was used last.
    pub(super) fn with<R>(
        &self,
        token: &TokenHash,
        read: impl FnOnce(&T, Option<Timestamp>) -> R,
    ) -> Option<R> {
        self.0.pin().get(token).map(|kept| read(&kept.what, kept.used()))
    }

    /// Notes a use; a moment before the last one changes nothing.
    pub(super) fn note_use(&self, token: &TokenHash, now: Timestamp) {
        if let Some(kept) = self.0.pin().get(token) {
            kept.used.fetch_max(now.0, Ordering::Relaxed);
        }
    }

    /// Whatever has a last use that the store does not know yet, with that moment.
    pub(super) fn unwritten<R>(&self, read: impl Fn(&TokenHash, &T) -> R) -> Vec<(R, Timestamp)> {
        let all = self.0.pin();
        let unwritten = all.iter().filter_map(|(token, kept)| {
            let used = kept.unwritten()?;
            Some((read(token, &kept.what), used))
        });
        unwritten.collect()
    }

    /// As the store has it. What is known already was used since: nothing else of one changes.
    pub(super) fn put(&self, token: TokenHash, used: Option<Timestamp>, what: impl FnOnce() -> T) {
        let all = self.0.pin();
        let stored = used.map_or(NEVER, |used| used.0);
        match all.get(&token) {
            Some(kept) => {
                kept.used.fetch_max(stored, Ordering::Relaxed);
                kept.written.fetch_max(stored, Ordering::Relaxed);
            }
            None => {
                let (used, written) = (AtomicI64::new(stored), AtomicI64::new(stored));
                all.insert(token, Kept { what: what(), used, written });
            }
        }
    }

    pub(super) fn remove(&self, token: &TokenHash) {
        self.0.pin().remove(token);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
