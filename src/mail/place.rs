//! The address of a mail server: `smtps://USER:PASSWORD@HOST:PORT`.
//!
//! Never repeats an address: it carries a password.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What `mail.url` says.
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) login: Option<Login>,
    pub(super) scheme: Scheme,
}

pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
    /// The password, and the forms in which it goes over the line (RFC 4616, AUTH LOGIN).
    pub(super) secrets: [String; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `smtps://`: TLS from the first byte (RFC 8314 section 3.3).
    Implicit,
    /// `smtp://` with `tls=required`: STARTTLS, or nothing.
    StartTls,
    /// `smtp://` to this machine.
    Open,
}

impl Place {
    /// Reads the address; a sentence that follows `mail.url` and never repeats it, for one that
    /// cannot be used.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (implicit, rest) = match (url.strip_prefix("smtps://"), url.strip_prefix("smtp://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err("must begin with `smtps://` or `smtp://`".to_owned()),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '#']) {
            return Err(
                "has a path: write `%2F` for `/` and `%23` for `#` in a password".to_owned()
            );
        }
        let scheme = match (implicit, query) {
            (true, "") => Scheme::Implicit,
            (false, "tls=required") => Scheme::StartTls,
            (false, "") => Scheme::Open,
            _ => {
                return Err("takes nothing after `?` but `tls=required`, and only with `smtp://`"
                    .to_owned());
            }
        };
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(Login::parse(login)?), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        if scheme == Scheme::Open && !is_loopback(host) {
            return Err(
                "is plain SMTP beyond loopback: use `smtps://`, or `smtp://...?tls=required`"
                    .to_owned(),
            );
        }
        let usual = match scheme {
            Scheme::Implicit => 465,
            Scheme::StartTls => 587,
            Scheme::Open => 25,
        };
        Ok(Self { host: host.to_owned(), port: port.unwrap_or(usual), login, scheme })
    }
}

impl Login {
    fn parse(text: &str) -> Result<Self, String> {
        let (user, password) = text
            .split_once(':')
            .ok_or("names a user without a password: write `USER:PASSWORD@`")?;
        let decode = |part| {
            percent_decoded(part)
                .ok_or("has a `%` that two hexadecimal digits must follow: write `%25` for `%`")
        };
        let (user, password) = (decode(user)?, decode(password)?);
        if user.is_empty() || password.is_empty() {
            return Err("has an empty user or password: write `USER:PASSWORD@`".to_owned());
        }
        let plain = STANDARD.encode(format!("\0{user}\0{password}"));
        let secrets = [plain, STANDARD.encode(&password), password.clone()];
        Ok(Self { user, password, secrets })
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn host_and_port(place: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    let port = port.map(|port| port.parse().map_err(|_| "has a port that is not a number"));
    Ok((host, port.transpose()?))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// RFC 3986 section 2.1.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_and_how() {
        let place = Place::parse("smtps://me%40x:p%3Aw%2F%25@mail.example.org").unwrap();
        let login = place.login.unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("me@x", "p:w/%"));
        assert_eq!((place.host.as_str(), place.port), ("mail.example.org", 465));
        assert_eq!(place.scheme, Scheme::Implicit);
        let place = Place::parse("smtp://mail.example.org?tls=required").unwrap();
        assert_eq!((place.port, place.scheme), (587, Scheme::StartTls));
        let place = Place::parse("smtp://[::1]:2525/").unwrap();
        assert_eq!((place.host.as_str(), place.port), ("::1", 2525));
        assert_eq!(Place::parse("smtp://localhost").unwrap().port, 25);
    }

    #[test]
    fn an_address_that_would_show_a_password_is_refused() {
        for url in [
            "smtp://mail.example.org",
            "smtp://u:p@192.0.2.1:25",
            "smtp://mail.example.org?tls=optional",
            "smtps://mail.example.org?tls=none",
            "http://localhost",
            "smtps://",
            "smtps://u@mail.example.org",
            "smtps://u:%zz@mail.example.org",
            "smtps://u:%4@mail.example.org",
            "smtps://u:a/b@mail.example.org",
            "smtps://mail.example.org:port",
            "smtp://127.0.0.1:25@mail.example.org",
        ] {
            assert!(Place::parse(url).is_err(), "{url}");
        }
    }
}
