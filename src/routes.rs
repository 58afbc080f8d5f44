//! The routing table: which path is handled where, on which listener.
//!
//! Checks the host and the key of a caller of the decision listener, dispatches, and turns a failure
//! into the response that its listener uses.

use std::sync::Arc;

use crate::admin;
use crate::app::App;
use crate::authzen;
use crate::browser_security;
use crate::console;
use crate::domain::{Digest, Failure, Kind};
use crate::http::{Method, Peer, Reply, Request, Server, SmallRequest, host_name, is_loopback};
use crate::services::access_search::Searched;
use crate::services::permits::StorePermit;
use crate::telemetry::{Route, log};

/// The paths of the decision listener, with their methods.
fn decision_route(path: &str) -> (Route, Method) {
    match path {
        "/access/v1/evaluation" => (Route::Evaluation, Method::Post),
        "/access/v1/evaluations" => (Route::Evaluations, Method::Post),
        "/access/v1/search/subject" | "/access/v1/search/resource" | "/access/v1/search/action" => {
            (Route::Search, Method::Post)
        }
        "/access/v1/plan" => (Route::Plan, Method::Post),
        "/forward-auth" => (Route::ForwardAuth, Method::Get),
        "/livez" | "/readyz" => (Route::Health, Method::Get),
        "/metrics" => (Route::Metrics, Method::Get),
        _ if path.starts_with("/.well-known/authzen-configuration") => {
            (Route::Metadata, Method::Get)
        }
        _ => (Route::Unknown, Method::Get),
    }
}

/// The decision listener.
pub async fn decision_full_path(app: Arc<App>, server: Server, mut request: Request) -> Reply {
    let (route, method) = decision_route(request.path());
    let answered = decision_reply(&app, &server, &mut request, route, method).await;
    let reply = answered.unwrap_or_else(|failure| {
        log::failed(request.id(), &failure);
        let reply = Reply::message(&failure);
        match (failure.kind, method) {
            (Kind::MethodNotAllowed, Method::Post) => reply.header("allow", "POST".to_owned()),
            (Kind::MethodNotAllowed, _) => reply.header("allow", "GET, HEAD".to_owned()),
            _ => reply,
        }
    });
    app.telemetry.answered(route, reply.code());
    reply
}

/// The fast path for a small request to the decision listener, if it does not have to wait; `None`
/// if [`decision_full_path`] must answer it, which reports faults.
#[must_use]
pub fn decision_fast_path(app: &App, request: &SmallRequest<'_>) -> Option<Reply> {
    let (route, _) = decision_route(request.path);
    let limits = &app.config.limits;
    let most = match route {
        Route::Evaluation => limits.evaluation_body_bytes_max,
        Route::Evaluations => limits.batch_body_bytes_max,
        _ => return None,
    };
    if request.body.len() > most {
        return None;
    }
    admit(app, request).ok()?;
    let reply = match route {
        Route::Evaluation => authzen::answer(app, request.body),
        _ => authzen::answer_batch_fast(app, request.body),
    }?;
    app.telemetry.answered(route, reply.code());
    Some(reply)
}

async fn decision_reply(
    app: &Arc<App>,
    server: &Server,
    request: &mut Request,
    route: Route,
    method: Method,
) -> Result<Reply, Failure> {
    match route {
        // Requests with a session need no caller key.
        Route::Health | Route::Unknown | Route::Metadata | Route::ForwardAuth => {
            check_host(app, &*request)?;
        }
        Route::Evaluation | Route::Evaluations | Route::Search | Route::Plan | Route::Metrics => {
            admit(app, &*request)?;
        }
    }
    if route == Route::Unknown {
        return Err(Failure::new(Kind::NotFound, "no_such_path", "there is nothing at this path"));
    }
    if request.method != method && !(method == Method::Get && request.method == Method::Head) {
        return Err(Failure::new(
            Kind::MethodNotAllowed,
            "method",
            match method {
                Method::Post => "this path takes another method: use POST",
                _ => "this path takes another method: use GET",
            },
        ));
    }
    match route {
        Route::Evaluation => authzen::evaluation(app, request).await,
        Route::Evaluations => authzen::evaluations(app, request).await,
        Route::Search => {
            let searched = match request.path() {
                "/access/v1/search/subject" => Searched::Subject,
                "/access/v1/search/resource" => Searched::Resource,
                _ => Searched::Action,
            };
            authzen::search(app, request, searched).await
        }
        Route::Plan => authzen::plan(app, request).await,
        Route::Metadata => authzen::metadata(app, request.path()),
        Route::ForwardAuth => authzen::forward_auth(app, request),
        Route::Metrics => Ok(authzen::metrics(app, server).await),
        Route::Health if request.path() == "/livez" => Ok(authzen::livez()),
        Route::Health | Route::Unknown => Ok(authzen::readyz(app, false).await),
    }
}

/// What a request says about its caller.
#[derive(Clone, Copy, Debug)]
struct CallerCredentials<'r> {
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
fn admit<'r>(app: &App, caller: impl Into<CallerCredentials<'r>>) -> Result<(), Failure> {
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
fn check_host<'r>(app: &App, caller: impl Into<CallerCredentials<'r>>) -> Result<(), Failure> {
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
        browser_security::FOREIGN_HOST,
        "this `Host` is neither loopback, nor that of `decision.public_url`, nor in `decision.allowed_hosts`: add it there if callers use it",
    ))
}

/// The host name of an address, without its port.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    host_name(rest.split('/').next().unwrap_or(rest))
}

/// The console's port: the management API for programs, and pages for people.
pub async fn management(app: Arc<App>, request: Request) -> Reply {
    if browser_security::PublicUrl::of(&app).below(request.path()).starts_with("/api/") {
        admin::route(&app, request).await
    } else {
        console::route(&app, request).await
    }
}

/// `admin.sock`: the management API; one decision for `kwic-team decide`; `/readyz` and `/check` for
/// `kwic-team doctor`.
pub async fn admin(app: Arc<App>, mut request: Request) -> Reply {
    if request.path() == "/access/v1/evaluation" && request.method == Method::Post {
        let answered = authzen::evaluation(&app, &mut request).await;
        return answered.unwrap_or_else(|failure| Reply::problem(&failure, request.id()));
    }
    if request.path() == "/readyz" && request.method == Method::Get {
        return authzen::readyz(&app, true).await;
    }
    if request.path() == "/check"
        && request.method == Method::Get
        && let Peer::Unix { uid } = request.peer
    {
        let checked = authzen::checked(&app, &StorePermit::sidecar(uid)).await;
        return checked
            .unwrap_or_else(|failure| Reply::problem(&failure.for_operator(), request.id()));
    }
    admin::route(&app, request).await
}
