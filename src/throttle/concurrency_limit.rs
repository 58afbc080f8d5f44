//! A concurrency limit: a fixed number of slots.
//!
//! A slot is released when it is dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{Digest, opaque_debug};

/// The slots in use, by name; clones share them.
#[derive(Clone, Default)]
pub struct ConcurrencyLimits(Arc<Mutex<HashMap<Digest, usize>>>);

/// One slot under each name.
#[must_use = "a place that is dropped is free again"]
pub struct ConcurrencyPermit {
    of: ConcurrencyLimits,
    under: Vec<Digest>,
}

impl ConcurrencyLimits {
    /// Takes one slot under each name if none is at its limit, or none.
    ///
    /// # Errors
    /// Which of them is full, the first where there are several.
    pub fn take(&self, bounds: &[(&[&[u8]], usize)]) -> Result<ConcurrencyPermit, usize> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let under: Vec<Digest> = bounds.iter().map(|(name, _)| Digest::of(name)).collect();
        let is_full = |(name, (_, most)): (&Digest, &(_, usize))| {
            taken.get(name).is_some_and(|taken| taken >= most)
        };
        if let Some(full) = under.iter().zip(bounds).position(is_full) {
            return Err(full);
        }
        for name in &under {
            let taken = taken.entry(*name).or_default();
            *taken = taken.saturating_add(1);
        }
        Ok(ConcurrencyPermit { of: self.clone(), under })
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let mut taken = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &self.under {
            if let Some(left) = taken.get_mut(name) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    taken.remove(name);
                }
            }
        }
    }
}

opaque_debug!(ConcurrencyLimits, "Places");

opaque_debug!(ConcurrencyPermit, "Place");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_of_all_kinds_or_none_and_come_back() {
        let places = ConcurrencyLimits::default();
        let take = |who: &str| places.take(&[(&[b"one", who.as_bytes()], 2), (&[b"all"], 3)]);
        let (first, _second) = (take("ann").unwrap(), take("ann").unwrap());
        assert_eq!(take("ann").unwrap_err(), 0);
        let third = take("bo").unwrap();
        assert_eq!(take("cy").unwrap_err(), 1);
        drop(first);
        let _fourth = take("cy").unwrap();
        assert_eq!(take("ann").unwrap_err(), 1, "what was refused took nothing");
        drop(third);
        let _fifth = take("ann").unwrap();
        drop((_second, _fourth, _fifth));
        assert!(places.0.lock().unwrap().is_empty(), "nothing is left behind");
    }
}
