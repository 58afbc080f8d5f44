//! Quotas: a maximum number of events in any interval of a given length.
//!
//! Exact: a sliding window, not one that restarts each hour.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::bounded_table::BoundedTable;
use super::{ms, too_many};
use crate::domain::{Digest, Failure, Timestamp, limits, opaque_debug};

/// One limit.
#[derive(Clone, Copy, Debug)]
pub struct Quota<'q> {
    /// The subject: a word for the kind, and the rest of the key, such as `reset`, the account and
    /// the address.
    pub of: &'q [&'q [u8]],
    /// The maximum.
    pub most: usize,
    /// The interval.
    pub per: Duration,
}

/// The events of each quota. If there are too many keys, the one that expires first is evicted:
/// evicting a key early needs as many other keys as there is room for.
pub struct Quotas(Mutex<BoundedTable<Timestamp, VecDeque<Timestamp>>>);

impl Default for Quotas {
    fn default() -> Self {
        Self(Mutex::new(BoundedTable::new(limits::QUOTA_KEYS_MAX)))
    }
}

opaque_debug!(Quotas, "Quotas");

impl Quotas {
    /// Takes one of each quota, or of none.
    ///
    /// # Errors
    /// `TooMany` with the code `too_many_requests`, and the wait until all have one to give.
    pub fn take(&self, quotas: &[Quota<'_>], now: Timestamp) -> Result<(), Failure> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove_below(now);
        let wait = quotas
            .iter()
            .map(|quota| quota.wait(taken.get(&quota.key()).map(|(_, taken)| taken), now))
            .max()
            .unwrap_or(0);
        if wait > 0 {
            return Err(too_many("too_many_requests", "requests", wait));
        }
        for quota in quotas {
            let key = quota.key();
            let (_, mut times) = taken.remove(&key).unwrap_or_default();
            while times.len() >= quota.most.max(1) {
                times.pop_front();
            }
            times.push_back(now);
            taken.put(key, Timestamp(now.0.saturating_add(ms(quota.per))), times);
        }
        Ok(())
    }
}

impl Quota<'_> {
    fn key(&self) -> Digest {
        Digest::of(&[&Digest::of(self.of).0, &ms(self.per).to_le_bytes()])
    }

    /// Whole seconds until the next event is allowed: until the one `most` events ago is `per` old.
    fn wait(&self, taken: Option<&VecDeque<Timestamp>>, now: Timestamp) -> u64 {
        let times = taken.map_or(0, VecDeque::len);
        let until = match times.checked_sub(self.most) {
            None => return 0,
            Some(at) => taken.and_then(|taken| taken.get(at)).map_or(now, |at| *at),
        };
        let left = until.0.saturating_add(ms(self.per)).saturating_sub(now.0);
        u64::try_from(left.min(ms(self.per))).map_or(0, |left| left.div_ceil(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Kind;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn wait(taken: Result<(), Failure>) -> u64 {
        let failure = taken.unwrap_err();
        assert_eq!((failure.kind, failure.code), (Kind::TooMany, "too_many_requests"));
        failure.retry_after.unwrap()
    }

    #[test]
    fn so_many_fit_any_stretch_of_so_long() {
        let quotas = Quotas::default();
        let quota = [Quota { of: &[b"reset", b"ann"], most: 3, per: MINUTE }];
        for now in [0, 20, 40] {
            quotas.take(&quota, at(now)).unwrap();
        }
        assert_eq!(wait(quotas.take(&quota, at(40))), 20);
        assert_eq!(wait(quotas.take(&quota, Timestamp(59_999))), 1);
        quotas.take(&quota, at(60)).unwrap();
        assert_eq!(wait(quotas.take(&quota, at(60))), 20, "the window slides");
        let other = [Quota { of: &[b"reset", b"bo"], most: 3, per: MINUTE }];
        quotas.take(&other, at(60)).unwrap();
    }

    #[test]
    fn of_several_quotas_each_is_taken_or_none() {
        let quotas = Quotas::default();
        let minute = Quota { of: &[b"reset", b"ann"], most: 1, per: MINUTE };
        let day = Quota { most: 2, per: DAY, ..minute };
        let network = Quota { of: &[b"network"], most: 3, per: MINUTE };
        let all = [minute, day, network];
        quotas.take(&all, at(0)).unwrap();
        for _ in 0..5 {
            assert_eq!(wait(quotas.take(&all, at(0))), 60);
        }
        quotas.take(&all, at(60)).unwrap();
        assert_eq!(wait(quotas.take(&all, at(120))), 24 * 3_600 - 120, "the longest wait counts");
        quotas.take(&[network], at(60)).unwrap();
    }

    #[test]
    fn nothing_is_kept_of_what_is_over_and_a_quota_of_none_gives_none() {
        let quotas = Quotas::default();
        for number in 0..1_000_u32 {
            let of: &[&[u8]] = &[&number.to_le_bytes()];
            quotas.take(&[Quota { of, most: 5, per: MINUTE }], at(0)).unwrap();
        }
        let none = [Quota { of: &[b"x"], most: 0, per: MINUTE }];
        assert_eq!(wait(quotas.take(&none, at(61))), 60);
        assert_eq!(quotas.0.lock().unwrap().lowest(), None, "all were over");
        let one = [Quota { of: &[b"x"], most: 1, per: MINUTE }];
        quotas.take(&one, at(100)).unwrap();
        assert_eq!(wait(quotas.take(&one, at(0))), 60, "whatever the clock did");
    }
}
