//! The management API: JSON for programs, under `/api/v1`.
//!
//! Spoken on `admin.sock` in the data folder, where every caller is the operator of the sidecar,
//! audited by the user id that the kernel gives for the connection. Reads a request, asks a flow,
//! renders the answer; holds no rule of its own. What is wrong is `application/problem+json`.
//!
//! # Quirks
//! The ids `import` and `export` stand for calls below `/members/`: a member with such an id is
//! shown by the list, with `?email=`.

mod accounts;
mod audit;
mod files;
mod form;
mod members;
mod policies;
mod precondition;
mod query;
mod roles;
mod wire;

use std::sync::Arc;

use self::query::Params;
use crate::app::App;
use crate::domain::{AccountSlug, Failure, Kind, MemberId};
use crate::flows;
use crate::flows::permit::{Permit, StorePermit};
use crate::http::{Method, Peer, Reply, Request};

/// The status of an answer that tells of something made.
const CREATED: u16 = 201;

/// Answers one request to the management API; never fails, since a failure is an answer too.
pub async fn route(app: &Arc<App>, mut request: Request) -> Reply {
    match dispatch(app, &mut request).await {
        Ok(reply) => reply,
        Err(Refusal::Failure(failure)) => {
            if let Some(private) = &failure.private {
                tracing::warn!(request_id = request.id(), code = failure.code, private, "refused");
            }
            Reply::problem(&failure, request.id())
        }
        Err(Refusal::Method { allow }) => {
            let text = format!("this path takes {allow}: use one of them");
            let failure = Failure::new(Kind::MethodNotAllowed, "method_not_allowed", text);
            Reply::problem(&failure, request.id()).header("allow", allow.to_owned())
        }
    }
}

/// Why there is no answer but a problem.
#[derive(Debug)]
enum Refusal {
    Failure(Failure),
    /// The path is known, and takes other methods.
    Method {
        allow: &'static str,
    },
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Every path there is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Accounts,
    Members,
    MembersImport,
    MembersExport,
    Member(MemberId),
    MemberSuspend(MemberId),
    MemberRestore(MemberId),
    Roles,
    RolesCompare,
    Role(String),
    Policies,
    PoliciesReload,
    Audit,
    AuditVerify,
}

impl Place {
    fn of(path: &str) -> Result<Self, Failure> {
        let below = path.strip_prefix("/api/v1/").ok_or_else(unknown_path)?;
        let segments: Vec<&str> = below.split('/').collect();
        Ok(match segments.as_slice() {
            ["accounts"] => Self::Accounts,
            ["members"] => Self::Members,
            ["members", "import"] => Self::MembersImport,
            ["members", "export"] => Self::MembersExport,
            ["members", id] => Self::Member(member_id(id)?),
            ["members", id, "suspend"] => Self::MemberSuspend(member_id(id)?),
            ["members", id, "restore"] => Self::MemberRestore(member_id(id)?),
            ["roles"] => Self::Roles,
            ["roles", "compare"] => Self::RolesCompare,
            ["roles", id] => Self::Role(query::decoded(id).ok_or_else(unknown_path)?),
            ["policies"] => Self::Policies,
            ["policies", "reload"] => Self::PoliciesReload,
            ["audit"] => Self::Audit,
            ["audit", "verify"] => Self::AuditVerify,
            _ => return Err(unknown_path()),
        })
    }

    /// The methods it takes, as the `Allow` header lists them.
    const fn allow(&self) -> &'static str {
        match self {
            Self::Accounts | Self::Members => "GET, HEAD, POST",
            Self::Member(_) => "GET, HEAD, PATCH, DELETE",
            Self::MembersImport
            | Self::MemberSuspend(_)
            | Self::MemberRestore(_)
            | Self::PoliciesReload => "POST",
            Self::MembersExport
            | Self::Roles
            | Self::RolesCompare
            | Self::Role(_)
            | Self::Policies
            | Self::Audit
            | Self::AuditVerify => "GET, HEAD",
        }
    }
}

/// What cannot be an id is an id that nobody has.
fn member_id(segment: &str) -> Result<MemberId, Failure> {
    let id = query::decoded(segment).and_then(|id| MemberId::parse(&id).ok());
    id.ok_or_else(flows::members::unknown)
}

fn unknown_path() -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_path",
        "there is nothing at this path: the README lists the calls under `/api/v1`",
    )
}

async fn dispatch(app: &Arc<App>, request: &mut Request) -> Result<Reply, Refusal> {
    let place = Place::of(request.path())?;
    let caller = Caller::of(request.peer)?;
    // HEAD is answered as GET; whoever writes the answer leaves its body out.
    let method = if request.method == Method::Head { Method::Get } else { request.method };
    let call = Call { app, caller, params: Params::read(request.query()) };
    Ok(match (method, place) {
        (Method::Get, Place::Accounts) => accounts::list(call).await?,
        (Method::Post, Place::Accounts) => accounts::create(call, request).await?,
        (Method::Get, Place::Members) => members::list(call).await?,
        (Method::Post, Place::Members) => members::create(call, request).await?,
        (Method::Post, Place::MembersImport) => files::import(call, request).await?,
        (Method::Get, Place::MembersExport) => files::export(call).await?,
        (Method::Get, Place::Member(id)) => members::show(call, id).await?,
        (Method::Patch, Place::Member(id)) => members::edit(call, request, id).await?,
        (Method::Delete, Place::Member(id)) => members::remove(call, request, id).await?,
        (Method::Post, Place::MemberSuspend(id)) => members::suspend(call, request, id).await?,
        (Method::Post, Place::MemberRestore(id)) => members::restore(call, request, id).await?,
        (Method::Get, Place::Roles) => roles::list(call).await?,
        (Method::Get, Place::RolesCompare) => roles::compare(call).await?,
        (Method::Get, Place::Role(id)) => roles::show(call, &id).await?,
        (Method::Get, Place::Policies) => policies::show(call)?,
        (Method::Post, Place::PoliciesReload) => policies::reload(call).await?,
        (Method::Get, Place::Audit) => audit::list(call).await?,
        (Method::Get, Place::AuditVerify) => audit::verify(call).await?,
        (_, place) => return Err(Refusal::Method { allow: place.allow() }),
    })
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
enum Caller {
    /// The operator of the sidecar, by the user id of the connection.
    Sidecar { uid: u32 },
}

impl Caller {
    fn of(peer: Peer) -> Result<Self, Failure> {
        match peer {
            Peer::Unix { uid } => Ok(Self::Sidecar { uid }),
            Peer::Tcp => Err(Failure::new(
                Kind::Unauthenticated,
                "not_signed_in",
                "nobody is signed in here: the management API is spoken on `admin.sock` in the data folder",
            )),
        }
    }
}

/// One call: who makes it, and with which parameters.
struct Call<'a> {
    app: &'a Arc<App>,
    caller: Caller,
    params: Params,
}

impl Call<'_> {
    /// The end of the parameters of a call about one account: the right to manage that account.
    ///
    /// # Errors
    /// `Invalid` with every faulty parameter; what `flows::accounts::meant` says.
    async fn permit(mut self) -> Result<Permit, Failure> {
        let account = self.params.read_as("account", AccountSlug::parse);
        self.params.done()?;
        let account = flows::accounts::meant(self.app, account).await?;
        let Caller::Sidecar { uid } = self.caller;
        Ok(Permit::sidecar(uid, account))
    }

    /// The end of the parameters of a call about what is one for all accounts.
    ///
    /// # Errors
    /// `Invalid` with every faulty parameter.
    fn store_permit(self) -> Result<StorePermit, Failure> {
        self.params.done()?;
        let Caller::Sidecar { uid } = self.caller;
        Ok(StorePermit::sidecar(uid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MemberId {
        MemberId::parse(text).unwrap()
    }

    #[test]
    fn a_path_names_a_place_and_an_id_is_decoded() {
        let places = [
            ("/api/v1/accounts", Place::Accounts),
            ("/api/v1/members/import", Place::MembersImport),
            ("/api/v1/members/m%401", Place::Member(id("m@1"))),
            ("/api/v1/members/a/suspend", Place::MemberSuspend(id("a"))),
            ("/api/v1/roles/compare", Place::RolesCompare),
            ("/api/v1/roles/w", Place::Role("w".to_owned())),
        ];
        for (path, place) in places {
            assert_eq!(Place::of(path), Ok(place), "{path}");
        }
    }

    #[test]
    fn what_is_no_place_is_not_found() {
        let paths = [
            "/",
            "/api/v1",
            "/api/v1/",
            "/api/v1/members/",
            "/api/v1/members/a/",
            "/api/v2/members",
            "/api/v1/members/a/fly",
            "/api/v1/members/a%2Fb",
            "/api/v1/members/%zz",
        ];
        for path in paths {
            assert_eq!(Place::of(path).unwrap_err().kind, Kind::NotFound, "{path}");
        }
        assert_eq!(Place::of("/api/v1/members/%20").unwrap_err().code, "unknown_member");
    }

    #[test]
    fn only_a_unix_socket_says_who_calls() {
        assert!(Caller::of(Peer::Unix { uid: 7 }).is_ok());
        assert_eq!(Caller::of(Peer::Tcp).unwrap_err().kind, Kind::Unauthenticated);
    }
}
