//! An IP network: a prefix of address bits.
//!
//! Parses and matches networks.

use std::net::IpAddr;

/// An address, or all addresses with a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNetwork {
    address: IpAddr,
    bits: u8,
}

impl IpNetwork {
    /// Parses `ADDRESS` or `ADDRESS/BITS`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = width(address);
        let bits = bits.unwrap_or(most);
        // An IPv4 address may be written as an IPv6 one; it is the same address.
        let (address, bits) = match (address.to_canonical(), bits.checked_sub(96)) {
            (short @ IpAddr::V4(_), Some(bits)) if address.is_ipv6() => (short, bits),
            _ => (address, bits),
        };
        (bits <= width(address)).then_some(Self { address, bits })
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        width(address) == width(self.address)
            && begins(address, self.bits) == begins(self.address, self.bits)
    }
}

/// The number of bits of an address of this family.
const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first bits of an address.
fn begins(address: IpAddr, bits: u8) -> u128 {
    let whole = match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    whole.checked_shr(u32::from(width(address) - bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_like_it() {
        let holds = |network: &str, address: &str| {
            IpNetwork::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("10.0.0.1", "10.0.0.1") && !holds("10.0.0.1", "10.0.0.2"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("2001:db8::/32", "2001:db8:9::1") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("::ffff:10.0.0.1", "10.0.0.1") && holds("::ffff:10.0.0.0/104", "10.9.0.1"));
        assert!(holds("::/0", "2001:db8::1") && holds("::1", "::1"));
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "host"] {
            assert_eq!(IpNetwork::parse(text), None, "{text}");
        }
    }
}
