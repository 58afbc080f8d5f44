//! The lookup by token hash, with the last use, which is recorded in memory first.
//!
//! Reads take no lock. Does not check whether what it finds has expired.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::{Timestamp, TokenHash};

/// Before every time: not used yet.
const NEVER: i64 = i64::MIN;

/// Items of one kind.
#[derive(Debug)]
pub(super) struct TokenIndex<T>(papaya::HashMap<TokenHash, TokenIndexEntry<T>>);

#[derive(Debug)]
struct TokenIndexEntry<T> {
    what: T,
    /// The last use, in milliseconds; only increases.
    used: AtomicI64,
    /// The last use that is saved in the store.
    written: AtomicI64,
}

impl<T> TokenIndexEntry<T> {
    fn used(&self) -> Option<Timestamp> {
        let used = self.used.load(Ordering::Relaxed);
        (used > NEVER).then_some(Timestamp(used))
    }

    /// The last use, if it is not saved yet.
    fn unwritten(&self) -> Option<Timestamp> {
        self.used().filter(|used| used.0 > self.written.load(Ordering::Relaxed))
    }
}

impl<T> TokenIndex<T> {
    pub(super) fn new() -> Self {
        Self(papaya::HashMap::new())
    }

    /// Calls `read` with the item of a token and its last use.
    pub(super) fn with<R>(
        &self,
        token: &TokenHash,
        read: impl FnOnce(&T, Option<Timestamp>) -> R,
    ) -> Option<R> {
        self.0.pin().get(token).map(|kept| read(&kept.what, kept.used()))
    }

    /// Records a use; a time before the last one is ignored.
    pub(super) fn note_use(&self, token: &TokenHash, now: Timestamp) {
        if let Some(kept) = self.0.pin().get(token) {
            kept.used.fetch_max(now.0, Ordering::Relaxed);
        }
    }

    /// The items whose last use is not saved yet, with that time.
    pub(super) fn unwritten<R>(&self, read: impl Fn(&TokenHash, &T) -> R) -> Vec<(R, Timestamp)> {
        let all = self.0.pin();
        let unwritten = all.iter().filter_map(|(token, kept)| {
            let used = kept.unwritten()?;
            Some((read(token, &kept.what), used))
        });
        unwritten.collect()
    }

    /// Adds an item from the store. If it is known, only its last use can differ: nothing else of
    /// it changes.
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
                all.insert(token, TokenIndexEntry { what: what(), used, written });
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
