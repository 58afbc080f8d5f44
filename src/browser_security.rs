//! HTTP security for browsers: host and origin checks, the session cookie, and security headers.
//!
//! A browser sends a session's cookie whichever page caused the request. So a call that changes
//! something must come from a page of the console (OWASP CSRF Prevention, fetch metadata), and an
//! unknown host name is refused (DNS rebinding). None of this applies to `admin.sock`, which no
//! browser reaches. Does not check anybody's rights.

mod client_address;

use crate::app::App;
use crate::domain::{Failure, Kind, Token};
use crate::http::{Method, Peer, Reply, Request, SoleHeader, host_name, is_loopback};
use crate::services::session_auth::COOKIE;
use crate::telemetry::log::{self, DueLogLine};

pub use client_address::client;

/// No response is cached, sniffed, framed, or run as a page (OWASP ASVS 5.0, 3.4 and 14.3.2).
/// `Referrer-Policy` is not `no-referrer`, with which browsers send `Origin: null`.
const HEADERS: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
    ),
    ("vary", "Sec-Fetch-Site, Origin"),
];
/// A year, the minimum of ASVS 5.0, 3.4.1. Subdomains may belong to other programs.
const HSTS: [(&str, &str); 1] = [("strict-transport-security", "max-age=31536000")];
/// The cookie with the flash message for the next page of the console.
pub const TOLD: &str = "__Host-kwic_told";

/// The public URL of the console, in parts.
pub struct PublicUrl<'a> {
    ciphered: bool,
    authority: &'a str,
    path: &'a str,
}

impl<'a> PublicUrl<'a> {
    /// The configured URL, else the port that is listened on.
    #[must_use]
    pub fn of(app: &'a App) -> Self {
        let (scheme, rest) = app.links.base().split_once("://").unwrap_or_default();
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or_default();
        Self { ciphered: scheme == "https", authority, path }
    }

    /// A path below the base path, in case the proxy does not remove it.
    #[must_use]
    pub fn below<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(self.path).filter(|rest| rest.starts_with('/')).unwrap_or(path)
    }

    /// The base path of all pages; empty for none, and without a trailing slash.
    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// Whether the whole host is the console's. Below a path, or on another port, it shares the
    /// host with other programs, to which `Strict-Transport-Security` would apply too (RFC 6797
    /// section 8.3: it applies to the host, on every port).
    fn is_whole_host(&self) -> bool {
        self.path.is_empty() && host_name(self.authority) == self.authority
    }

    /// The origin as browsers write it (RFC 6454 section 6.2).
    fn origin(&self) -> String {
        let (scheme, usual) = if self.ciphered { ("https", ":443") } else { ("http", ":80") };
        let authority = self.authority.to_ascii_lowercase();
        format!("{scheme}://{}", authority.strip_suffix(usual).unwrap_or(&authority))
    }
}

/// Refuses a host name that is neither the console's nor this machine's.
///
/// # Errors
/// `Invalid` `no_host`; `Denied` `foreign_host`.
pub fn check_host(app: &App, request: &Request) -> Result<(), Failure> {
    if matches!(request.peer, Peer::Unix { .. }) {
        return Ok(());
    }
    let Some(name) = request.host_name() else {
        return Err(Failure::new(Kind::Invalid, "no_host", "send one `Host` header"));
    };
    if is_loopback(name) || name.eq_ignore_ascii_case(host_name(PublicUrl::of(app).authority)) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Denied,
        FOREIGN_HOST,
        "this `Host` is neither loopback nor that of `console.public_url`: use the console's own address, or set `console.public_url` to this one",
    ))
}

/// The code of a `Host` that is not the console's.
pub const FOREIGN_HOST: &str = "foreign_host";
/// The code of a request that another site sent.
pub const CROSS_SITE: &str = "cross_site";

/// Refuses cross-site requests. Also for calls without a session: otherwise another site could sign
/// its reader in as somebody else.
///
/// # Errors
/// `Denied` `cross_site`.
pub fn check_origin(app: &App, request: &Request) -> Result<(), Failure> {
    let reads = matches!(request.method, Method::Get | Method::Head | Method::Options);
    if reads || matches!(request.peer, Peer::Unix { .. }) {
        return Ok(());
    }
    let site = request.sole_header("sec-fetch-site");
    let origin = request.sole_header("origin");
    let ours = match (site, origin) {
        (SoleHeader::Text("same-origin" | "none"), _) => true,
        (SoleHeader::Absent, SoleHeader::Text(origin)) => is_ours(app, request, origin),
        // Every browser sends at least one of them, and a program has no cookie that it did not
        // send on purpose.
        (SoleHeader::Absent, SoleHeader::Absent) => !request.has_cookie(COOKIE),
        _ => false,
    };
    if ours {
        return Ok(());
    }
    if let Some(DueLogLine { left_out }) = log::due("csrf_refused") {
        tracing::warn!(
            event = "csrf_refused",
            request_id = request.id(),
            path = request.path(),
            site = ?site,
            origin = ?origin,
            left_out,
            "a call from another site was refused"
        );
    }
    Err(Failure::new(
        Kind::Denied,
        CROSS_SITE,
        "this call does not come from a page of the console: open the console and do it there; a program sends `Sec-Fetch-Site: same-origin`, or the console's own address as `Origin`",
    ))
}

fn is_ours(app: &App, request: &Request, origin: &str) -> bool {
    let plain = |host| origin == format!("http://{host}");
    origin == PublicUrl::of(app).origin()
        || request.host().is_some_and(|host| is_loopback(host_name(host)) && plain(host))
}

/// Adds the headers of every response to a browser.
#[must_use]
pub fn dressed(app: &App, reply: Reply) -> Reply {
    let (reply, outside) = (reply.headers(&HEADERS), PublicUrl::of(app));
    if outside.ciphered && outside.is_whole_host() { reply.headers(&HSTS) } else { reply }
}

/// Sets the session cookie. No `Domain` and no lifetime: the name's prefix forbids the first, and
/// the sidecar knows the second.
#[must_use]
pub fn keeping(reply: Reply, token: &Token) -> Reply {
    reply.cookie(&format!("{COOKIE}={}; {ATTRIBUTES}", token.expose()))
}

/// Deletes the session cookie.
#[must_use]
pub fn dropping(reply: Reply) -> Reply {
    reply.cookie(&format!("{COOKIE}=; Max-Age=0; {ATTRIBUTES}"))
}

/// Removes what the browser kept for the session (ASVS 5.0, 14.3.1): the console's cookies. No
/// response is cached and nothing is stored. `Clear-Site-Data` is not used: it would clear the
/// cookies and storage of the whole host and its subdomains, which belong to the product.
#[must_use]
pub fn forgetting(reply: Reply) -> Reply {
    forgetting_told(dropping(reply))
}

/// Sets the flash message of the next page, percent-encoded.
#[must_use]
pub fn telling(reply: Reply, encoded: &str) -> Reply {
    reply.cookie(&format!("{TOLD}={encoded}; Max-Age=60; {TOLD_ATTRIBUTES}"))
}

/// Deletes the flash message.
#[must_use]
pub fn forgetting_told(reply: Reply) -> Reply {
    reply.cookie(&format!("{TOLD}=; Max-Age=0; {TOLD_ATTRIBUTES}"))
}

/// Not `Strict`: the message is also shown after following a link in a mail.
const TOLD_ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

const ATTRIBUTES: &str = "Secure; HttpOnly; SameSite=Strict; Path=/";
