//! Where a call comes from: the address, as far as it can be trusted, and the user agent.

use std::net::IpAddr;

use crate::throttle::AttemptOrigin;

/// Where a call comes from.
#[derive(Clone, Debug, Default)]
pub struct ClientInfo {
    /// The client address, as far as it can be trusted.
    pub address: Option<IpAddr>,
    /// What an untrusted proxy reports: no proof, but enough to recognize a known network.
    pub claimed: Option<IpAddr>,
    /// What the browser calls itself.
    pub agent: String,
}

impl ClientInfo {
    /// The address as text; empty if unknown.
    pub(super) fn network(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }

    /// The network of the caller: an IPv6 host has a whole /64. `None` if unknown: then nobody is
    /// counted, since it would be everybody.
    pub(super) fn place(&self) -> Option<String> {
        self.address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
            IpAddr::V4(address) => address.to_string(),
        })
    }

    /// The same for the throttle.
    pub(super) fn spot(&self) -> AttemptOrigin {
        AttemptOrigin { network: self.address, claimed: self.claimed }
    }
}
