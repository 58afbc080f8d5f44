//! Rate limiting: growing delays between sign-in attempts, quotas for actions that send mail, and
//! concurrency limits for long-lived streams.
//!
//! Failures are counted per login, whether or not the login exists, so that a response reveals
//! nothing; passwords and second factors share the counter. Nobody is locked out for good: a delay
//! is an hour at most, and a network from which the person signed in before is counted separately,
//! so that a stranger's failures delay only strangers. Everything is in memory and bounded; knows
//! no clock and no password, and keeps digests instead of addresses.
//!
//! # When the table is full
//! A new login replaces the one with the fewest failures and inherits its count (Metwally, Agrawal
//! and El Abbadi, 2005: "space saving"): a count may be too high, never too low. To be forgotten,
//! an attacker needs failures for 100,000 other logins, each of which costs a password hash and,
//! per network, a place in the spray guard; the gain is one attempt, since the login then gets its
//! count back. A restart forgets everything.
//!
//! # In a fleet
//! Each node counts alone, so a guesser gets the tries of each. With n nodes, a node counts each failure
//! n times and makes each delay n times as long: all together allow about what one would.

mod bounded_table;
mod concurrency_limit;
mod failed_sign_ins_by_network;
mod sliding_quota;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::{AccountSlug, Digest, Email, Failure, Timestamp, limits, opaque_debug};
use bounded_table::BoundedTable;
use failed_sign_ins_by_network::{KnownNetworks, Networks};

pub use concurrency_limit::{ConcurrencyLimits, ConcurrencyPermit};
pub use sliding_quota::{Quota, Quotas};

/// This many failures of a login cost nothing: people mistype.
const FREE: u32 = 3;
/// Seconds before each further try. At most 36 failures fit a day, far below the 100 that NIST
/// SP 800-63B-4 section 3.2.2 allows in a row.
const DELAYS: [u64; 11] = [1, 3, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600];
/// Failures are forgotten after this long without another.
const FORGOTTEN_MS: i64 = 24 * 3_600_000;
/// More nodes than this count as so many: with a longer delay, the failure is forgotten meanwhile.
const NODES_MAX: u32 = 24;
/// How often a full table is searched for expired entries.
const SWEEP_MS: i64 = 60_000;

/// A login, existing or not: an account and an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginKey(Digest);

impl LoginKey {
    /// The same login for every spelling of the address.
    #[must_use]
    pub fn new(account: &AccountSlug, email: &Email) -> Self {
        Self(Digest::of(&[b"login", account.as_str().as_bytes(), email.key().as_bytes()]))
    }
}

/// The origin of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptOrigin {
    /// The address; `None` if it is unknown, as behind a proxy that does not report it.
    pub network: Option<IpAddr>,
    /// The address that an untrusted proxy reports. It can only select a known network: a false
    /// claim shares a counter with nobody, or one of the owner's counters with the owner, as a
    /// neighbour does.
    pub claimed: Option<IpAddr>,
}

impl From<Option<IpAddr>> for AttemptOrigin {
    fn from(network: Option<IpAddr>) -> Self {
        Self { network, claimed: None }
    }
}

impl AttemptOrigin {
    /// The networks from which a login is known.
    fn key(self) -> Option<Digest> {
        let network = self.network.map(failed_sign_ins_by_network::key);
        match self.claimed.map(failed_sign_ins_by_network::key) {
            Some(claimed) => {
                Some(Digest::of(&[b"claimed", &network.unwrap_or_default().0, &claimed.0]))
            }
            None => network,
        }
    }
}

/// Counts failed sign-in attempts; clones share the counts.
#[derive(Clone, Default)]
pub struct Throttle(Arc<Mutex<ThrottleState>>);

struct ThrottleState {
    failures: BoundedTable<Failures, ()>,
    swept: Timestamp,
    /// Attempts in progress, by counter: as many as there are concurrent requests.
    under_way: HashMap<Digest, u32>,
    networks: Networks,
    known: KnownNetworks,
    /// The nodes of the fleet that share what is allowed; 1 without one.
    nodes: u32,
}

/// The fewest failures are evicted first, then the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Default for ThrottleState {
    fn default() -> Self {
        Self::new(limits::THROTTLED_LOGINS_MAX)
    }
}

/// An attempt that may be checked. Report how it ended; one that is dropped does not count, as when
/// the hasher was busy.
#[must_use = "a try that is dropped counts for nothing"]
pub struct AdmittedAttempt {
    throttle: Throttle,
    login: LoginKey,
    network: Option<Digest>,
    spot: Option<Digest>,
    /// The login's counter, or the one for a known network.
    counter: Digest,
}

opaque_debug!(Throttle, "Throttle");

opaque_debug!(AdmittedAttempt, "Try");

impl Throttle {
    /// Admits an attempt, or returns how long to wait. Call this before anything is looked up or
    /// hashed.
    ///
    /// # Errors
    /// `TooMany` with the code `too_many_tries`. A try that is refused is not counted.
    pub fn admit(
        &self,
        login: LoginKey,
        from: impl Into<AttemptOrigin>,
        now: Timestamp,
    ) -> Result<AdmittedAttempt, Failure> {
        let from = from.into();
        let (network, spot) = (from.network.map(failed_sign_ins_by_network::key), from.key());
        let mut state = self.state();
        let known = spot.filter(|spot| state.known.knows(login, spot));
        let counter = known.map_or(login.0, |network| from_known(login, network));
        let guarded = if known.is_none() { network } else { None };
        let wait = state
            .wait(&counter, now)
            .max(guarded.map_or(0, |network| state.networks.wait(&network, state.nodes, now)));
        if wait > 0 {
            return Err(too_many("too_many_tries", "tries", wait));
        }
        *state.under_way.entry(counter).or_default() += 1;
        Ok(AdmittedAttempt { throttle: self.clone(), login, network, spot, counter })
    }

    /// Shares what is allowed among so many nodes of a fleet, at least one.
    pub fn share(&self, nodes: usize) {
        let nodes = u32::try_from(nodes).unwrap_or(NODES_MAX).clamp(1, NODES_MAX);
        self.state().nodes = nodes;
    }

    /// Marks a network as known for a login: after a new password was set through a link from mail,
    /// so that a guesser cannot keep the person out, and for each session of the store at a start,
    /// since a restart forgets.
    pub fn recognize(&self, login: LoginKey, network: IpAddr, at: Timestamp) {
        self.remember_network(login, Some(network).into(), at);
    }

    /// The same, where less may be known of the network.
    pub fn remember_network(&self, login: LoginKey, from: AttemptOrigin, at: Timestamp) {
        if let Some(spot) = from.key() {
            self.state().known.remember(login, spot, at);
        }
    }

    /// Until when attempts for a login are refused: from an unknown network, or from the known one
    /// with the longest wait. `None` if it may be tried now.
    #[must_use]
    pub fn waits_until(&self, login: LoginKey, now: Timestamp) -> Option<Timestamp> {
        let state = self.state();
        let known = state.known.networks(login).map(|network| from_known(login, network));
        let waits = known.chain([login.0]).map(|counter| state.delayed(&counter, now));
        let wait = waits.max().filter(|wait| *wait > 0)?;
        Some(Timestamp(now.0.saturating_add(i64::try_from(wait * 1_000).unwrap_or(i64::MAX))))
    }

    /// Forgets the failures of a login, for example after a password reset.
    pub fn forget(&self, login: LoginKey) {
        let state = &mut *self.state();
        state.failures.remove(&login.0);
        for network in state.known.networks(login) {
            state.failures.remove(&from_known(login, network));
        }
    }

    fn state(&self) -> MutexGuard<'_, ThrottleState> {
        // Counts are consistent after every step: a panic elsewhere is no reason to stop counting.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AdmittedAttempt {
    /// It failed; returns the number of failures in a row.
    pub fn failed(self, now: Timestamp) -> u32 {
        let mut state = self.throttle.state();
        if let Some(network) = self.network
            && self.counter == self.login.0
        {
            let nodes = state.nodes;
            state.networks.failed(network, self.login, nodes, now);
        }
        state.count(self.counter, now)
    }

    /// It succeeded; returns the number of failures since the last success, by anybody. From now on
    /// the network is known, and its earlier failures are forgotten; those of strangers stay.
    pub fn succeeded(self, now: Timestamp) -> u32 {
        let mut state = self.throttle.state();
        let before = state.failures(&self.counter, now);
        let strangers =
            if self.counter == self.login.0 { 0 } else { state.failures(&self.login.0, now) };
        state.failures.remove(&self.counter);
        if let Some(network) = self.network {
            state.networks.succeeded(&network, self.login);
        }
        if let Some(spot) = self.spot {
            state.known.remember(self.login, spot, now);
        }
        before.saturating_add(strangers)
    }
}

impl Drop for AdmittedAttempt {
    fn drop(&mut self) {
        let mut state = self.throttle.state();
        if let Some(under_way) = state.under_way.get_mut(&self.counter) {
            *under_way -= 1;
            if *under_way == 0 {
                state.under_way.remove(&self.counter);
            }
        }
    }
}

impl ThrottleState {
    fn new(logins_max: usize) -> Self {
        Self {
            failures: BoundedTable::new(logins_max),
            swept: Timestamp(i64::MIN),
            under_way: HashMap::new(),
            networks: Networks::default(),
            known: KnownNetworks::default(),
            nodes: 1,
        }
    }

    fn failures(&self, counter: &Digest, now: Timestamp) -> u32 {
        match self.failures.get(counter) {
            Some((failures, ())) if !failures.forgotten(now) => failures.count,
            _ => 0,
        }
    }

    /// Seconds to wait. Attempts in progress count as failures; otherwise a thousand concurrent
    /// ones would all count as the first.
    fn wait(&self, counter: &Digest, now: Timestamp) -> u64 {
        let failures = self.failures(counter, now);
        let under_way = self.under_way.get(counter).copied().unwrap_or(0);
        if self.of_fleet(failures.saturating_add(under_way)) < FREE {
            return 0;
        }
        if under_way > 0 { 1 } else { self.delayed(counter, now) }
    }

    /// The remaining seconds of the delay after the failures so far.
    fn delayed(&self, counter: &Digest, now: Timestamp) -> u64 {
        let failures = self.of_fleet(self.failures(counter, now));
        if failures < FREE {
            return 0;
        }
        let last = self.failures.get(counter).map_or(now, |(failures, ())| failures.last);
        left(delay(&DELAYS, failures - FREE) * u64::from(self.nodes), last, now)
    }

    /// How many failures there may be on all nodes, where there are so many on this one.
    fn of_fleet(&self, failures: u32) -> u32 {
        failures.saturating_mul(self.nodes)
    }

    fn count(&mut self, counter: Digest, now: Timestamp) -> u32 {
        let mut before = self.failures(&counter, now);
        if self.failures.get(&counter).is_none() && self.failures.is_full() {
            self.sweep(now);
            if self.failures.is_full() {
                before = self.failures.lowest().map_or(0, |lowest| lowest.count);
            }
        }
        let count = before.saturating_add(1);
        self.failures.put(counter, Failures { count, last: now }, ());
        count
    }

    fn sweep(&mut self, now: Timestamp) {
        if now.0.saturating_sub(self.swept.0) >= SWEEP_MS {
            self.swept = now;
            self.failures.retain(|failures| !failures.forgotten(now));
        }
    }
}

impl Failures {
    fn forgotten(self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.last.0) >= FORGOTTEN_MS
    }
}

/// The counter of a login for attempts from a known network.
fn from_known(login: LoginKey, network: Digest) -> Digest {
    Digest::of(&[b"known", &login.0.0, &network.0])
}

/// The delay of a step; the last one repeats.
fn delay(ladder: &[u64], step: u32) -> u64 {
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    ladder.get(step).or(ladder.last()).copied().unwrap_or(0)
}

/// The remaining whole seconds of a delay; never more than the delay, whatever the clock did.
fn left(delay: u64, last: Timestamp, now: Timestamp) -> u64 {
    let since = u64::try_from(now.0.saturating_sub(last.0)).unwrap_or(0);
    (delay * 1_000).saturating_sub(since).div_ceil(1_000)
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn too_many(code: &'static str, of: &str, wait: u64) -> Failure {
    Failure::too_many(code, format!("too many {of}: wait {}, then try again", in_words(wait)), wait)
}

/// A duration for people, rounded up.
fn in_words(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3_600), "hour"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Kind;

    const HOME: &str = "192.0.2.7";
    const STRANGER: &str = "198.51.100.9";

    fn login(name: &str) -> LoginKey {
        let account = AccountSlug::parse("acme").unwrap();
        LoginKey::new(&account, &Email::parse(&format!("{name}@example.org")).unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn from(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    /// Seconds to wait, or how many failures in a row a wrong try makes.
    fn wrong(throttle: &Throttle, name: &str, address: &str, now: i64) -> Result<u32, u64> {
        let admitted = throttle.admit(login(name), from(address), at(now)).map_err(|failure| {
            assert_eq!((failure.kind, failure.code), (Kind::TooMany, "too_many_tries"));
            failure.retry_after.unwrap()
        })?;
        Ok(admitted.failed(at(now)))
    }

    fn right(throttle: &Throttle, name: &str, address: &str, now: i64) -> u32 {
        throttle.admit(login(name), from(address), at(now)).unwrap().succeeded(at(now))
    }

    #[test]
    fn three_failures_are_free_and_then_delays_grow_to_an_hour() {
        let throttle = Throttle::default();
        let mut now = 0;
        for count in 1..=3 {
            assert_eq!(wrong(&throttle, "ann", STRANGER, now), Ok(count));
        }
        for (step, delay) in (4..).zip(DELAYS.into_iter().chain([3_600, 3_600])) {
            assert_eq!(wrong(&throttle, "ann", STRANGER, now), Err(delay), "try {step}");
            let delay = i64::try_from(delay).unwrap();
            assert_eq!(wrong(&throttle, "ann", STRANGER, now + delay - 1), Err(1), "try {step}");
            now += delay;
            assert_eq!(wrong(&throttle, "ann", STRANGER, now), Ok(step));
        }
    }

    #[test]
    fn some_dozens_of_failures_fit_a_day_and_never_a_hundred() {
        let throttle = Throttle::default();
        let mut count = 0;
        let mut now = 0;
        while now < 24 * 3_600 {
            match wrong(&throttle, "ann", STRANGER, now) {
                Ok(_) => count += 1,
                Err(wait) => now += i64::try_from(wait).unwrap(),
            }
        }
        assert_eq!(count, 36);
    }

    #[test]
    fn all_nodes_of_a_fleet_allow_about_what_one_does() {
        for (nodes, at_most) in [(1, 36), (2, 38), (3, 40), (5, 45), (24, 48)] {
            let throttles: Vec<Throttle> = (0..nodes).map(|_| Throttle::default()).collect();
            let mut count = 0;
            for throttle in &throttles {
                throttle.share(nodes);
                let mut now = 0;
                while now < 24 * 3_600 {
                    match wrong(throttle, "ann", STRANGER, now) {
                        Ok(_) => count += 1,
                        Err(wait) => now += i64::try_from(wait).unwrap(),
                    }
                }
            }
            assert!((nodes..=at_most).contains(&count), "{nodes} nodes: {count}");
        }
        // A node that has left gives back its share.
        let throttle = Throttle::default();
        throttle.share(3);
        assert_eq!(wrong(&throttle, "ann", HOME, 0), Ok(1));
        assert_eq!(wrong(&throttle, "ann", HOME, 0), Err(3));
        throttle.share(0);
        assert_eq!(wrong(&throttle, "ann", HOME, 0), Ok(2));
    }

    #[test]
    fn a_network_has_its_share_on_each_node_and_at_least_one_login() {
        for (nodes, free) in [(1, 15), (3, 5), (20, 1)] {
            let throttle = Throttle::default();
            throttle.share(nodes);
            for number in 0..free {
                let name = format!("x{number}");
                assert_eq!(wrong(&throttle, &name, STRANGER, 0), Ok(1), "{nodes}, {number}");
            }
            let wait = 30 * u64::try_from(nodes).unwrap();
            assert_eq!(wrong(&throttle, "y", STRANGER, 0), Err(wait), "{nodes}");
        }
    }

    #[test]
    fn a_refused_try_is_not_counted_and_moves_nothing() {
        let throttle = Throttle::default();
        for _ in 0..7 {
            let _ = wrong(&throttle, "ann", STRANGER, 0);
        }
        assert_eq!(wrong(&throttle, "ann", STRANGER, 1), Ok(4));
    }

    #[test]
    fn a_success_forgets_and_so_does_a_day_and_so_does_a_reset() {
        let throttle = Throttle::default();
        for _ in 0..3 {
            wrong(&throttle, "ann", STRANGER, 0).unwrap();
        }
        assert_eq!(right(&throttle, "ann", STRANGER, 1), 3);
        assert_eq!(wrong(&throttle, "ann", STRANGER, 1), Ok(1));

        let day = 24 * 3_600;
        assert_eq!(wrong(&throttle, "ann", STRANGER, day), Ok(2));
        assert_eq!(wrong(&throttle, "ann", STRANGER, 2 * day - 1), Ok(3));
        assert_eq!(wrong(&throttle, "ann", STRANGER, 3 * day - 1), Ok(1));

        for _ in 0..2 {
            wrong(&throttle, "bo", HOME, 0).unwrap();
        }
        throttle.recognize(login("bo"), HOME.parse().unwrap(), at(0));
        for _ in 0..3 {
            wrong(&throttle, "bo", HOME, 0).unwrap();
        }
        throttle.forget(login("bo"));
        assert_eq!(wrong(&throttle, "bo", HOME, 0), Ok(1));
        assert_eq!(wrong(&throttle, "bo", STRANGER, 0), Ok(1));
    }

    #[test]
    fn who_has_to_wait_is_known_from_whichever_network_the_failures_came() {
        let throttle = Throttle::default();
        let until = |name: &str, now| throttle.waits_until(login(name), at(now));
        right(&throttle, "ann", HOME, 0);
        for (network, name) in [(STRANGER, "ann"), (STRANGER, "bo")] {
            for _ in 0..3 {
                assert_eq!(until(name, 0), None);
                wrong(&throttle, name, network, 0).unwrap();
            }
            assert_eq!((until(name, 0), until(name, 1)), (Some(at(1)), None), "{name}");
        }
        // The longest of all her counts.
        for second in [0, 0, 0, 1] {
            wrong(&throttle, "ann", HOME, second).unwrap();
        }
        assert_eq!((until("ann", 1), until("ann", 4)), (Some(at(4)), None));
        throttle.forget(login("ann"));
        assert_eq!(until("ann", 1), None);
    }

    #[test]
    fn logins_are_counted_apart_and_however_the_address_is_written() {
        let throttle = Throttle::default();
        for _ in 0..3 {
            wrong(&throttle, "ann", STRANGER, 0).unwrap();
        }
        assert_eq!(wrong(&throttle, "ANN", STRANGER, 0), Err(1));
        assert_eq!(wrong(&throttle, "bo", STRANGER, 0), Ok(1));
        let other = AccountSlug::parse("globex").unwrap();
        let elsewhere = LoginKey::new(&other, &Email::parse("ann@example.org").unwrap());
        assert_eq!(throttle.admit(elsewhere, None, at(0)).unwrap().failed(at(0)), 1);
    }

    #[test]
    fn strangers_never_keep_the_owner_out() {
        let throttle = Throttle::default();
        right(&throttle, "ann", HOME, 0);
        let mut now = 0;
        for _ in 0..20 {
            match wrong(&throttle, "ann", STRANGER, now) {
                Ok(_) => {}
                Err(wait) => now += i64::try_from(wait).unwrap(),
            }
        }
        let strangers = wrong(&throttle, "ann", STRANGER, now).unwrap();
        assert_eq!(wrong(&throttle, "ann", HOME, now), Ok(1), "a counter of its own");
        assert_eq!(right(&throttle, "ann", HOME, now), strangers + 1, "and the owner hears of it");
        assert!(wrong(&throttle, "ann", STRANGER, now).is_err(), "who gained nothing by it");
        assert_eq!(wrong(&throttle, "ann", HOME, now), Ok(1));

        // From home as well only so many.
        for _ in 0..2 {
            wrong(&throttle, "ann", HOME, now).unwrap();
        }
        assert_eq!(wrong(&throttle, "ann", HOME, now), Err(1));
    }

    #[test]
    fn a_thousand_tries_at_once_are_no_thousand_tries() {
        let throttle = Throttle::default();
        let admit = || throttle.admit(login("ann"), None, at(0));
        let mut tries: Vec<AdmittedAttempt> = (0..1_000).filter_map(|_| admit().ok()).collect();
        assert_eq!(tries.len(), 3);
        // One that came to nothing, as where the hasher was busy, makes room.
        tries.pop();
        tries.push(admit().unwrap());
        assert_eq!(admit().err().and_then(|failure| failure.retry_after), Some(1));
        for admitted in tries {
            admitted.failed(at(0));
        }
        assert!(admit().is_err());
        let fourth = throttle.admit(login("ann"), None, at(1)).unwrap();
        assert!(throttle.admit(login("ann"), None, at(100)).is_err(), "one at a time by now");
        drop(fourth);
        assert!(throttle.admit(login("ann"), None, at(1)).is_ok());
        assert!(throttle.state().under_way.is_empty(), "nothing is left behind");
    }

    #[test]
    fn who_floods_the_table_gets_one_try_and_no_new_start() {
        let throttle = Throttle(Arc::new(Mutex::new(ThrottleState::new(100))));
        let flood = |turn: u32| {
            for number in 0..100 {
                let _ = wrong(&throttle, &format!("x{turn}-{number}"), &address(number), 0);
            }
        };
        for count in 1..=3 {
            assert_eq!(wrong(&throttle, "ann", STRANGER, 0), Ok(count));
        }
        for turn in 0..3 {
            flood(turn);
        }
        assert_eq!(wrong(&throttle, "ann", STRANGER, 0), Err(1), "300 failures later");
        flood(3);
        assert_eq!(wrong(&throttle, "ann", STRANGER, 0), Ok(5), "pushed out, and back on top");
        assert_eq!(wrong(&throttle, "ann", STRANGER, 0), Err(5));

        // A day later all is forgotten, and room is made.
        assert_eq!(wrong(&throttle, "new", STRANGER, 24 * 3_600), Ok(1));
        assert_eq!(throttle.state().failures.lowest().map(|lowest| lowest.count), Some(1));
    }

    #[test]
    fn a_spraying_network_waits_and_a_known_login_there_does_not() {
        let throttle = Throttle::default();
        right(&throttle, "ann", STRANGER, 0);
        for number in 0..15 {
            assert_eq!(wrong(&throttle, &format!("x{number}"), STRANGER, 0), Ok(1), "{number}");
        }
        assert_eq!(right(&throttle, "ann", STRANGER, 0), 0, "which clears nobody else");
        let mut now = 0;
        for (number, delay) in [30, 60, 120, 300, 600, 900, 900].into_iter().enumerate() {
            let name = format!("y{number}");
            assert_eq!(wrong(&throttle, &name, STRANGER, now), Err(delay), "{number}");
            assert_eq!(wrong(&throttle, &name, HOME, now), Ok(1), "only there");
            now += i64::try_from(delay).unwrap();
            assert_eq!(wrong(&throttle, &format!("z{number}"), STRANGER, now), Ok(1));
        }
        assert_eq!(wrong(&throttle, "ann", STRANGER, now), Ok(1), "known there");
        assert_eq!(right(&throttle, "ann", STRANGER, now), 1);
        assert_eq!(wrong(&throttle, "bo", STRANGER, now + 3 * 3_600), Ok(1), "hours later");
        assert_eq!(wrong(&throttle, "cy", STRANGER, now + 3 * 3_600), Ok(1), "from the start");
    }

    #[test]
    fn an_office_that_mistypes_is_no_spray() {
        let throttle = Throttle::default();
        for number in 0..40 {
            let name = format!("x{number}");
            assert_eq!(wrong(&throttle, &name, HOME, 0), Ok(1), "{number}");
            assert_eq!(right(&throttle, &name, HOME, 0), 1);
        }
        // The same few logins again and again are theirs to wait for, not the network's.
        for number in 0..18 {
            wrong(&throttle, &format!("y{}", number % 6), HOME, 0).unwrap();
        }
        assert_eq!(wrong(&throttle, "bo", HOME, 0), Ok(1));
    }

    #[test]
    fn an_ipv6_customer_is_one_network() {
        let throttle = Throttle::default();
        right(&throttle, "ann", "2001:db8:1:2::1", 0);
        for _ in 0..3 {
            wrong(&throttle, "ann", STRANGER, 0).unwrap();
        }
        assert_eq!(wrong(&throttle, "ann", "2001:db8:1:2:ffff::9", 0), Ok(1), "the same /64");
        assert_eq!(wrong(&throttle, "ann", "2001:db8:1:3::1", 0), Err(1), "the next one");
        right(&throttle, "bo", "192.0.2.1", 0);
        for _ in 0..3 {
            wrong(&throttle, "bo", STRANGER, 0).unwrap();
        }
        assert_eq!(wrong(&throttle, "bo", "::ffff:192.0.2.1", 0), Ok(1), "IPv4 in IPv6's clothes");
    }

    #[test]
    fn few_networks_are_known_of_a_login() {
        let throttle = Throttle::default();
        // In any order: records of sessions have none.
        for number in (0..9).rev() {
            throttle.recognize(login("ann"), address(number).parse().unwrap(), at(number.into()));
        }
        assert_eq!(limits::KNOWN_NETWORKS_PER_LOGIN_MAX, 8);
        for _ in 0..3 {
            wrong(&throttle, "ann", STRANGER, 9).unwrap();
        }
        assert_eq!(wrong(&throttle, "ann", &address(0), 9), Err(1), "the oldest is not");
        assert_eq!(wrong(&throttle, "ann", &address(1), 9), Ok(1));
        assert_eq!(wrong(&throttle, "ann", &address(8), 9), Ok(1));
    }

    #[test]
    fn behind_a_proxy_that_is_not_named_a_stranger_locks_nobody_out_of_a_known_place() {
        let throttle = Throttle::default();
        let claims = |address: &str| AttemptOrigin { network: None, claimed: from(address) };
        let wrong = |name: &str, spot: AttemptOrigin, now| {
            let admitted = throttle.admit(login(name), spot, at(now));
            admitted.map(|admitted| admitted.failed(at(now))).map_err(|_| ())
        };
        throttle.admit(login("ann"), claims(HOME), at(0)).unwrap().succeeded(at(0));
        for count in 1..=3 {
            assert_eq!(wrong("ann", claims(STRANGER), 0), Ok(count));
        }
        assert_eq!(wrong("ann", claims(STRANGER), 0), Err(()));
        assert_eq!(wrong("ann", claims("192.0.2.99"), 0), Err(()), "whatever is claimed");
        assert_eq!(wrong("ann", AttemptOrigin::default(), 0), Err(()));
        throttle.admit(login("ann"), claims(HOME), at(0)).unwrap().succeeded(at(0));
        // A claim is no network: it is not the same as the address itself, nor the one of a
        // proxy elsewhere, and failures of many logins count for no one.
        assert_eq!(wrong("ann", AttemptOrigin::from(from(HOME)), 0), Err(()));
        let elsewhere = AttemptOrigin { network: from("203.0.113.1"), claimed: from(HOME) };
        assert_eq!(wrong("ann", elsewhere, 0), Err(()));
        for number in 0..40 {
            assert_eq!(wrong(&format!("m{number}"), claims(STRANGER), 0), Ok(1));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_costs_one_delay_at_most() {
        let throttle = Throttle::default();
        for _ in 0..3 {
            wrong(&throttle, "ann", STRANGER, 1_000_000).unwrap();
        }
        assert_eq!(wrong(&throttle, "ann", STRANGER, 0), Err(1));
    }

    #[test]
    fn a_wait_is_told_in_words() {
        let said = [1, 30, 119, 120, 301, 3_600, 7_200].map(in_words);
        let expected = [
            "1 second",
            "30 seconds",
            "119 seconds",
            "2 minutes",
            "6 minutes",
            "60 minutes",
            "2 hours",
        ];
        assert_eq!(said, expected);
        let failure = too_many("too_many_tries", "tries", 30);
        assert_eq!(failure.public, "too many tries: wait 30 seconds, then try again");
    }

    fn address(number: u32) -> String {
        format!("203.0.113.{number}")
    }
}
