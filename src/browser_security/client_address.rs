//! The client address of a call: the peer of the connection, or what trusted proxies report.
//!
//! Only a trusted proxy is believed. What another one reports is kept separately, as a claim. The
//! address of a proxy is never taken for a person's, since everybody behind the proxy would share
//! it.

use std::net::IpAddr;
use std::sync::Once;

use crate::app::App;
use crate::domain::IpNetwork;
use crate::http::{Peer, Request, host_name};
use crate::services::client_info::ClientInfo;

use super::PublicUrl;

/// The client address of a call, as far as it is known.
#[must_use]
pub fn client(app: &App, request: &Request) -> ClientInfo {
    let agent = request.agent();
    let Peer::Tcp { address } = request.peer else {
        return ClientInfo { agent, ..ClientInfo::default() };
    };
    let peer = address.to_canonical();
    let hops = hops(request);
    let trusted = &app.config.console.trusted_proxies;
    let (address, claimed) = behind(trusted, peer, &hops, PublicUrl::of(app).ciphered);
    tell(trusted, peer, address, claimed);
    ClientInfo { address, claimed, agent }
}

/// The trusted address, and the claimed one. `hops` are what proxies report, the nearest first,
/// `None` for what cannot be parsed.
fn behind(
    trusted: &[IpNetwork],
    peer: IpAddr,
    hops: &[Option<IpAddr>],
    ciphered: bool,
) -> (Option<IpAddr>, Option<IpAddr>) {
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        // A local peer is a local user, or a proxy that is not configured: with a public `https`
        // URL there must be one. Remote peers can send such a header at will.
        let proxied = peer.is_loopback() && (ciphered || !hops.is_empty());
        return ((!proxied).then_some(peer), hops.first().copied().flatten());
    }
    // The first hop that is not a trusted proxy; if all are, the last one: a network may contain
    // both.
    let first = hops.iter().find(|hop| hop.is_none_or(|hop| !is_trusted(hop)));
    (first.or(hops.last()).copied().flatten(), None)
}

/// What proxies report, the nearest first. Most append to `X-Forwarded-For`; `Forwarded` (RFC 7239)
/// and `X-Real-IP` are used only without it, since a proxy that does not know one of them passes a
/// stranger's on.
fn hops(request: &Request) -> Vec<Option<IpAddr>> {
    let has = |name| request.lines(name).next().is_some();
    if has("x-forwarded-for") {
        return request.items_from_last("x-forwarded-for").map(address_of).collect();
    }
    if has("forwarded") {
        return forwarded(&request.lines("forwarded").collect::<Vec<_>>().join(","));
    }
    request.lines("x-real-ip").rev().map(address_of).collect()
}

/// The addresses of `Forwarded`, the nearest first; `None` for `unknown`, an obfuscated name, and
/// an element without one.
fn forwarded(text: &str) -> Vec<Option<IpAddr>> {
    let of = |element: &&str| {
        unquoted_parts(element, ';').into_iter().find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("for")
                .then(|| address_of(value.trim().trim_matches('"')))
        })
    };
    unquoted_parts(text, ',').iter().rev().map(|element| of(element).flatten()).collect()
}

/// Splits a text at separators outside quotes.
fn unquoted_parts(text: &str, divider: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == divider && !quoted
    })
    .collect()
}

/// The address of a hop. Some proxies append the port; a bare IPv6 address also contains colons.
fn address_of(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let address = hop.parse().or_else(|_| host_name(hop).parse::<IpAddr>());
    address.ok().map(|address| address.to_canonical())
}

/// Logs, once each, a proxy that is not configured and one that reports nothing.
fn tell(trusted: &[IpNetwork], peer: IpAddr, address: Option<IpAddr>, claimed: Option<IpAddr>) {
    static UNNAMED: Once = Once::new();
    static MUTE: Once = Once::new();
    let near = match peer {
        IpAddr::V4(peer) => peer.is_loopback() || peer.is_private(),
        IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local(),
    };
    if claimed.is_some() && near {
        UNNAMED.call_once(|| tracing::warn!(%peer, "calls come through a proxy that `console.trusted_proxies` does not name: add it, so that callers can be distinguished"));
    }
    if address.is_none() && trusted.iter().any(|network| network.contains(peer)) {
        MUTE.call_once(|| tracing::warn!(%peer, "a trusted proxy does not say where a call comes from: have it set `X-Forwarded-For`, so that callers can be distinguished"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNetwork> {
        texts.iter().filter_map(|text| IpNetwork::parse(text)).collect()
    }

    fn text(address: Option<IpAddr>) -> String {
        address.map(|address| address.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_proxy_is_believed_only_where_it_is_trusted() {
        let trusted = networks(&["10.0.0.0/8", "::1", "::1", "127.0.0.1"]);
        let client = |peer: &str, header: &str| {
            let hops: Vec<_> = header.rsplit(',').map(address_of).collect();
            text(behind(&trusted, peer.parse().unwrap(), &hops, true).0)
        };
        assert_eq!(client("203.0.113.9", "198.51.100.1"), "203.0.113.9", "nobody's proxy");
        assert_eq!(client("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "192.0.2.1, 198.51.100.1"), "198.51.100.1", "made up");
        assert_eq!(client("10.0.0.1", "198.51.100.1, 10.9.9.9"), "198.51.100.1", "two proxies");
        assert_eq!(client("10.0.0.1", "10.0.0.7, 10.0.0.8"), "10.0.0.7", "from the same network");
        assert_eq!(client("10.0.0.1", "198.51.100.1, nobody"), "", "unreadable");
        assert_eq!(client("10.0.0.1", "198.51.100.1, unknown, 10.0.0.2"), "", "unreadable");
        assert_eq!(client("10.0.0.1", ""), "", "the proxy says nothing");
        assert_eq!(client("127.0.0.1", "127.0.0.1"), "127.0.0.1", "from this machine");
        for hop in ["198.51.100.1:4711", "[::ffff:198.51.100.1]:1", "::ffff:198.51.100.1"] {
            assert_eq!(client("::1", hop), "198.51.100.1", "{hop}");
        }
        for hop in ["[2001:db8::1]:4711", "[2001:db8::1]", "2001:db8::1", " 2001:db8::1 "] {
            assert_eq!(client("::1", hop), "2001:db8::1", "{hop}");
        }
        let none = behind(&trusted, "127.0.0.1".parse().unwrap(), &[], true);
        assert_eq!(none, (None, None), "no header at all");
    }

    #[test]
    fn a_proxy_that_is_not_named_is_nobody_either_and_what_it_says_is_a_claim() {
        let of = |peer: &str, hop: Option<&str>, ciphered| {
            let hops: Vec<_> =
                hop.into_iter().flat_map(|hop| hop.rsplit(',')).map(address_of).collect();
            let (address, claimed) = behind(&[], peer.parse().unwrap(), &hops, ciphered);
            [text(address), text(claimed)]
        };
        for peer in ["127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(of(peer, None, false), [peer, ""], "somebody on this machine");
            assert_eq!(of(peer, None, true), ["", ""], "a proxy that says nothing");
            for ciphered in [false, true] {
                assert_eq!(
                    of(peer, Some("192.0.2.1, 198.51.100.1"), ciphered),
                    ["", "198.51.100.1"]
                );
                assert_eq!(of(peer, Some("unknown"), ciphered), ["", ""]);
            }
        }
        // A remote client is not trusted for a header that anybody can send.
        for hop in [None, Some("198.51.100.1"), Some("unknown")] {
            assert_eq!(of("203.0.113.9", hop, true)[0], "203.0.113.9");
        }
    }

    #[test]
    fn forwarded_is_read_as_its_standard_says() {
        for (header, wanted) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", vec!["192.0.2.60"]),
            ("For=\"[2001:db8:cafe::17]:4711\"", vec!["2001:db8:cafe::17"]),
            ("for=192.0.2.43, for=198.51.100.17:80", vec!["198.51.100.17", "192.0.2.43"]),
            ("by=1.2.3.4; FOR = \"192.0.2.43:80\" ;host=\"a,b;for=9.9.9.9\"", vec!["192.0.2.43"]),
            ("for=unknown", vec![""]),
            ("for=_hidden, for=_SEVKISEK", vec!["", ""]),
            ("proto=https", vec![""]),
            ("for=192.0.2.43,", vec!["", "192.0.2.43"]),
            ("", vec![""]),
        ] {
            let found: Vec<_> = forwarded(header).into_iter().map(text).collect();
            assert_eq!(found, wanted, "{header}");
        }
    }
}
