//! Networks: detects guessing across many logins, and remembers the networks of successful
//! sign-ins.
//!
//! An IPv4 address is a network, and so are the 64 leading bits of an IPv6 address, the least that
//! one customer is given (RFC 6177 section 2). Attempts for a login that is known in the network
//! are not counted, so that one bad guest of an office does not lock the office out.

use std::net::IpAddr;

use super::bounded_table::BoundedTable;
use super::{LoginKey, delay, left};
use crate::domain::{Digest, Timestamp, limits};

/// This many logins may fail from one network within [`SPRAY_MS`]: an office on a Monday.
const LOGINS_MAX: usize = 15;
const SPRAY_MS: i64 = 3 * 3_600_000;
/// The delays in seconds before each further attempt from there.
const DELAYS: [u64; 6] = [30, 60, 120, 300, 600, 900];

/// The network of an address.
pub(super) fn key(address: IpAddr) -> Digest {
    match address.to_canonical() {
        IpAddr::V4(address) => Digest::of(&[b"4", &address.octets()]),
        IpAddr::V6(address) => {
            let prefix = address.to_bits() >> 64;
            Digest::of(&[b"6", &prefix.to_be_bytes()])
        }
    }
}

/// Failures by network. If there are too many networks, the one whose last failure is oldest is
/// evicted: an attacker with so many networks does not need one twice.
pub(super) struct Networks(BoundedTable<Timestamp, NetworkFailures>);

#[derive(Default)]
struct NetworkFailures {
    /// Each once, the oldest first, at most [`LOGINS_MAX`].
    logins: Vec<(LoginKey, Timestamp)>,
    /// The number of failures after that.
    over: u32,
}

impl Default for Networks {
    fn default() -> Self {
        Self(BoundedTable::new(limits::THROTTLED_NETWORKS_MAX))
    }
}

impl Networks {
    /// Seconds that a login which is not known there must wait. Attempts in progress do not count:
    /// everybody in an office may sign in at the same time, and the limit of the hasher bounds the
    /// rest.
    pub(super) fn wait(&self, network: &Digest, nodes: u32, now: Timestamp) -> u64 {
        match self.0.get(network) {
            Some((last, failed)) if failed.lately(now) >= share(nodes) => {
                left(delay(&DELAYS, failed.over) * u64::from(nodes), *last, now)
            }
            _ => 0,
        }
    }

    pub(super) fn failed(&mut self, network: Digest, login: LoginKey, nodes: u32, now: Timestamp) {
        let (_, mut failed) = self.0.remove(&network).unwrap_or_default();
        failed.over =
            if failed.lately(now) >= share(nodes) { failed.over.saturating_add(1) } else { 0 };
        failed.logins.retain(|(other, at)| *other != login && is_late(*at, now));
        if failed.logins.len() >= LOGINS_MAX {
            failed.logins.remove(0);
        }
        failed.logins.push((login, now));
        self.0.put(network, now, failed);
    }

    /// Somebody who mistyped and then signed in was not guessing.
    pub(super) fn succeeded(&mut self, network: &Digest, login: LoginKey) {
        if let Some((last, mut failed)) = self.0.remove(network) {
            failed.logins.retain(|(other, _)| *other != login);
            if !failed.logins.is_empty() {
                self.0.put(*network, last, failed);
            }
        }
    }
}

impl NetworkFailures {
    /// How many logins failed recently.
    fn lately(&self, now: Timestamp) -> usize {
        self.logins.iter().filter(|(_, at)| is_late(*at, now)).count()
    }
}

/// How many logins may fail on one of so many nodes.
fn share(nodes: u32) -> usize {
    usize::try_from(nodes).map_or(1, |nodes| LOGINS_MAX / nodes.max(1)).max(1)
}

fn is_late(at: Timestamp, now: Timestamp) -> bool {
    now.0.saturating_sub(at.0) < SPRAY_MS
}

/// The networks from which logins signed in. If there are too many, the oldest are evicted: they
/// are known again after the next sign-in.
pub(super) struct KnownNetworks(BoundedTable<Timestamp, Vec<(Digest, Timestamp)>>);

impl Default for KnownNetworks {
    fn default() -> Self {
        Self(BoundedTable::new(limits::KNOWN_LOGINS_MAX))
    }
}

impl KnownNetworks {
    pub(super) fn knows(&self, login: LoginKey, network: &Digest) -> bool {
        self.networks(login).any(|known| known == *network)
    }

    pub(super) fn networks(&self, login: LoginKey) -> impl Iterator<Item = Digest> + use<'_> {
        self.0.get(&login.0).into_iter().flat_map(|(_, known)| known).map(|(network, _)| *network)
    }

    pub(super) fn remember(&mut self, login: LoginKey, network: Digest, at: Timestamp) {
        let (last, mut known) = self.0.remove(&login.0).unwrap_or((at, Vec::new()));
        known.retain(|(other, _)| *other != network);
        known.push((network, at));
        known.sort_by_key(|(_, at)| *at);
        if known.len() > limits::KNOWN_NETWORKS_PER_LOGIN_MAX {
            known.remove(0);
        }
        self.0.put(login.0, last.max(at), known);
    }
}
