//! The API for services: the OpenID AuthZEN Authorization API 1.0, JSON over HTTP.
//!
//! Parses bodies into queries and renders decisions. Decides nothing, and never reveals what the
//! store knows about a member.

mod evaluation;
mod fast_parser;
mod forward_auth;
mod full_parser;
mod health;
mod metadata;
mod strict_json;

pub use evaluation::{answer, answer_batch, answer_batch_fast, evaluation, evaluations};
pub use forward_auth::forward_auth;
pub use health::{checked, livez, metrics, readyz};
pub use metadata::metadata;

use crate::app::App;
use crate::browser_security::FOREIGN_HOST;
use crate::domain::{Digest, Failure, Kind};
use crate::http::{Peer, Request, SmallRequest, host_name, is_loopback};

/// What a request says about its caller.
#[derive(Clone, Copy, Debug)]
pub struct CallerCredentials<'r> {
    peer: Peer,
    host: Option<&'r str>,
    authorization: Option<&'r str>,
}

impl<'r> From<&'r Request> for CallerCredentials<'r> {
    fn from(request: &'r Request) -> Self {
        let authorization = request.header("authorization");
        Self { peer: request.peer, host: request.host(), authorization }
    }
}

impl<'r> From<&SmallRequest<'r>> for CallerCredentials<'r> {
    fn from(request: &SmallRequest<'r>) -> Self {
        let SmallRequest { peer, host, authorization, .. } = *request;
        Self { peer, host, authorization }
    }
}

/// Checks whether this caller may use the API: the host on TCP, and the key if keys are configured.
///
/// # Errors
/// `Invalid` without a host, `Denied` with a foreign one, `Unauthenticated` without a key.
pub fn admit<'r>(app: &App, caller: impl Into<CallerCredentials<'r>>) -> Result<(), Failure> {
    let caller = caller.into();
    check_host(app, caller)?;
    let keys = app.caller_keys.load();
    if keys.is_empty() {
        return Ok(());
    }
    let given = caller.authorization.and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    // Digests are compared, so that the time taken tells nothing of a key.
    let known = given.map(|(_, key)| Digest::of(&[key.trim().as_bytes()]));
    if known.is_some_and(|known| keys.contains(&known)) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Unauthenticated,
        "key_needed",
        "this sidecar answers only callers with a key: send `Authorization: Bearer KEY` with one of the lines of `decision.keys_file`",
    ))
}

/// Protects against DNS rebinding: a page in a browser can make a host name of its own point here.
///
/// # Errors
/// `Invalid` without a host, `Denied` with a foreign one.
pub fn check_host<'r>(app: &App, caller: impl Into<CallerCredentials<'r>>) -> Result<(), Failure> {
    let CallerCredentials { peer, host, .. } = caller.into();
    if matches!(peer, Peer::Unix { .. }) {
        return Ok(());
    }
    let Some(name) = host.map(host_name) else {
        return Err(Failure::new(Kind::Invalid, "no_host", "send one `Host` header"));
    };
    let decision = &app.config.decision;
    let own = decision.public_url.as_deref().map(host_of);
    let mut allowed = decision.allowed_hosts.iter().map(String::as_str).chain(own);
    if is_loopback(name) || allowed.any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Denied,
        FOREIGN_HOST,
        "this `Host` is neither loopback, nor that of `decision.public_url`, nor in `decision.allowed_hosts`: add it there if callers use it",
    ))
}

/// The host name of an address, without its port.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    host_name(rest.split('/').next().unwrap_or(rest))
}
