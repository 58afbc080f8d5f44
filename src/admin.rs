//! The management API: JSON for programs and for the console, under `/api/v1`.
//!
//! Served on a TCP port, where callers are signed-in members, and on `admin.sock` in the data
//! folder, where every caller is the operator of the sidecar and is audited by the user id that the
//! kernel reports for the connection. Each call reads a request, runs a flow and renders the
//! result; no business rule lives here. Errors are `application/problem+json`. GET and HEAD change
//! nothing.
//!
//! # Quirks
//! The ids `import`, `export` and `bulk` are taken by calls below `/members/`: a member with such
//! an id is found through the list, with `?email=`.

mod accounts;
mod audit;
mod backup;
mod call;
mod calls;
mod events;
mod files;
mod form;
mod handlers;
mod invites;
mod mail;
mod me;
mod members;
mod openapi;
mod passkeys;
mod passwords;
mod personal;
mod policies;
mod precondition;
mod query;
mod roles;
mod sign_in;
mod tokens;
mod two_step;
mod warnings;
mod wire;

use std::sync::Arc;

use self::call::{Call, Who};
use self::calls::{Access, Body};
use self::form::Form;
use self::query::Params;
use crate::app::App;
use crate::browser;
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
        Err(Refusal::Failure(failure)) => {
            log::failed(request.id(), &failure);
            let failure = match request.peer {
                Peer::Unix { .. } => failure.for_operator(),
                Peer::Tcp { .. } => failure,
            };
            Reply::problem(&failure, request.id())
        }
        Err(Refusal::Method { allow }) => {
            let text = format!("this path takes {allow}: use one of them");
            let failure = Failure::new(Kind::MethodNotAllowed, "method_not_allowed", text);
            Reply::problem(&failure, request.id()).header("allow", allow)
        }
    };
    match request.peer {
        Peer::Tcp { .. } => browser::dressed(app, reply),
        Peer::Unix { .. } => reply,
    }
}

/// Why a request is refused before its call runs.
#[derive(Debug)]
enum Refusal {
    Failure(Failure),
    /// The path exists, but not with this method.
    Method {
        allow: String,
    },
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn unknown_path() -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_path",
        "there is nothing at this path: `/api/v1/openapi.json` lists the calls",
    )
}

async fn dispatch(app: &Arc<App>, request: &mut Request) -> Result<Reply, Refusal> {
    browser::check_host(app, request)?;
    let path = browser::Outside::of(app).below(request.path());
    let (path, id) = calls::place(path).ok_or_else(unknown_path)?;
    browser::check_origin(app, request)?;
    let entry = calls::at(path, request.method)
        .ok_or_else(|| Refusal::Method { allow: calls::allowed(path) })?;
    let who = match entry.access {
        Access::Open => None,
        Access::Anyone | Access::Member | Access::Operator => Some(Who::of(app, request)?),
    };
    let params = Params::read(request.query());
    let mut call = Call { app, request, params, who, id };
    match entry.access {
        Access::Operator => drop(call.uid()?),
        Access::Member => drop(call.member()?),
        Access::Open | Access::Anyone => {}
    }
    if entry.body == Body::Empty {
        Form::nothing(call.request).await?;
    }
    Ok(handlers::answer(entry.operation, &mut call).await?)
}
