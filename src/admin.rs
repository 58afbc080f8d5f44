//! The management API: JSON for programs and for the console, under `/api/v1`.
//!
//! Served on a TCP port, where callers are signed-in members, and on `admin.sock` in the data
//! folder, where every caller is the operator of the sidecar and is audited by the user id that the
//! kernel reports for the connection. Each call reads a request, runs a service and renders the
//! result; no business rule lives here. Errors are `application/problem+json`. GET and HEAD change
//! nothing.
//!
//! # Quirks
//! The ids `import`, `export` and `bulk` are taken by calls below `/members/`: a member with such
//! an id is found through the list, with `?email=`.

mod access_review;
mod accounts;
mod api_request;
mod audit;
mod backup;
mod endpoints;
mod events;
mod handlers;
mod if_match;
mod import_export;
mod invites;
mod json_body;
mod mail;
mod me;
mod members;
mod openapi;
mod passkeys;
mod passwords;
mod personal_data;
mod policies;
mod query_params;
mod roles;
mod set_up;
mod sign_in;
mod tokens;
mod two_step;
mod warnings;
mod wire;

use std::sync::Arc;

use self::api_request::{ApiRequest, RequestSource};
use self::endpoints::{Access, BodyKind};
use self::json_body::JsonBody;
use self::query_params::QueryParams;
use crate::app::App;
use crate::browser_security;
use crate::domain::{Failure, Kind};
use crate::http::{Peer, Reply, Request};
use crate::telemetry::log;

/// The status of a successful response.
const OK: u16 = 200;
/// The status of a response about something created.
const CREATED: u16 = 201;
/// The status of a response about something accepted for later.
const ACCEPTED: u16 = 202;

/// Answers one request to the management API. Never fails: a failure becomes a response.
pub async fn route(app: &Arc<App>, mut request: Request) -> Reply {
    let reply = match dispatch(app, &mut request).await {
        Ok(reply) => reply,
        Err(RouteRefusal::Failure(failure)) => {
            log::failed(request.id(), &failure);
            let failure = match request.peer {
                Peer::Unix { .. } => failure.for_operator(),
                Peer::Tcp { .. } => failure,
            };
            Reply::problem(&failure, request.id())
        }
        Err(RouteRefusal::Method { allow }) => {
            let text = format!("this path takes {allow}: use one of them");
            let failure = Failure::new(Kind::MethodNotAllowed, "method_not_allowed", text);
            Reply::problem(&failure, request.id()).header("allow", allow)
        }
    };
    match request.peer {
        Peer::Tcp { .. } => browser_security::dressed(app, reply),
        Peer::Unix { .. } => reply,
    }
}

/// Why a request is refused before its call runs.
#[derive(Debug)]
enum RouteRefusal {
    Failure(Failure),
    /// The path exists, but not with this method.
    Method {
        allow: String,
    },
}

impl From<Failure> for RouteRefusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn unknown_path() -> Failure {
    Failure::new(
        Kind::NotFound,
        Failure::UNKNOWN_PATH,
        "there is nothing at this path: `/api/v1/openapi.json` lists the calls",
    )
}

async fn dispatch(app: &Arc<App>, request: &mut Request) -> Result<Reply, RouteRefusal> {
    browser_security::check_host(app, request)?;
    let path = browser_security::PublicUrl::of(app).below(request.path());
    let (path, id) = endpoints::place(path).ok_or_else(unknown_path)?;
    browser_security::check_origin(app, request)?;
    let entry = endpoints::at(path, request.method)
        .ok_or_else(|| RouteRefusal::Method { allow: endpoints::allowed(path) })?;
    let who = match entry.access {
        Access::Open => None,
        Access::Anyone | Access::Member | Access::Operator => {
            Some(RequestSource::of(app, request)?)
        }
    };
    let params = QueryParams::read(request.query());
    let mut call = ApiRequest { app, request, params, who, id };
    match entry.access {
        Access::Operator => drop(call.uid()?),
        Access::Member => drop(call.member()?),
        Access::Open | Access::Anyone => {}
    }
    if entry.body == BodyKind::Empty {
        JsonBody::nothing(call.request).await?;
    }
    Ok(handlers::answer(entry.operation, &mut call).await?)
}
