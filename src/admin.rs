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
mod events;
mod fleet;
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
mod response_documents;
mod roles;
mod route_matching;
mod set_up;
mod sign_in;
mod tokens;
mod two_step;
mod warnings;
mod who_may;

use std::sync::Arc;

use self::api_request::{ApiRequest, ApiResult, RequestSource};
use self::json_body::JsonBody;
use self::query_params::QueryParams;
use self::route_matching::{Access, BodyKind, Endpoint};
use crate::app::App;
use crate::browser_security;
use crate::domain::{Failure, Kind};
use crate::http::{Method, Peer, Reply, Request};
use crate::telemetry::log;

// Method and path of each call, who may make it, what body it takes, and what answers it. Dispatch,
// `Allow` headers and the `OpenAPI` document all read this one table, so that they cannot differ.
macro_rules! calls {
    ($($operation:ident: $method:ident $path:literal $access:ident $body:ident => $handler:path,)+) => {
        /// Every call there is, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Operation { $($operation),+ }

        /// All calls. If several paths match, the literal one comes first.
        const CALLS: &[Endpoint] = &[$(Endpoint {
            operation: Operation::$operation,
            method: Method::$method,
            path: $path,
            access: Access::$access,
            body: BodyKind::$body,
        }),+];

        impl Operation {
            /// Has the call answered. Boxed, so that no request takes as much room as the largest
            /// handler.
            async fn answer(self, call: &mut ApiRequest<'_>) -> ApiResult {
                match self { $(Self::$operation => Box::pin($handler(call)).await),+ }
            }
        }
    };
}

calls! {
    SignIn: Post "/sign-in" Open Json => sign_in::sign_in,
    SignInSecondFactor: Post "/sign-in/second-factor" Open Json => sign_in::second_factor,
    SignInPasskey: Post "/sign-in/passkey" Open Json => passkeys::ask,
    SignInPasskeyConfirm: Post "/sign-in/passkey/confirm" Open Json => passkeys::sign_in,
    SignInTwoStep: Post "/sign-in/two-step" Open Json => sign_in::begin_by_ticket,
    SignInTwoStepConfirm: Post "/sign-in/two-step/confirm" Open Json => sign_in::confirm_by_ticket,
    SignOut: Post "/sign-out" Open Empty => sign_in::sign_out,
    SetUp: Post "/setup" Open Json => set_up::set_up,

    Me: Get "/me" Member Empty => me::show,
    MeEdit: Patch "/me" Member Json => me::edit,
    MeLeave: Post "/me/leave" Member Json => me::leave,
    MeData: Get "/me/data" Member Empty => personal_data::own,
    MePermissions: Get "/me/permissions" Member Empty => me::permissions,
    MePassword: Post "/me/password" Member Json => passwords::change,
    MeEmail: Post "/me/email" Member Json => me::change_email,
    MeEmailConfirm: Post "/me/email/confirm" Open Json => me::confirm_email,
    TwoStep: Get "/me/two-step" Member Empty => two_step::show,
    TwoStepBegin: Post "/me/two-step" Member Json => two_step::begin,
    TwoStepOff: Delete "/me/two-step" Member Json => two_step::switch_off,
    TwoStepConfirm: Post "/me/two-step/confirm" Member Json => two_step::confirm,
    RecoveryCodes: Post "/me/recovery-codes" Member Json => two_step::recovery_codes,
    PasskeyList: Get "/me/passkeys" Member Empty => passkeys::list,
    PasskeyBegin: Post "/me/passkeys" Member Json => passkeys::begin,
    PasskeyConfirm: Post "/me/passkeys/confirm" Member Json => passkeys::confirm,
    PasskeyRemove: Delete "/me/passkeys/{id}" Member Json => passkeys::remove,
    MeSessions: Get "/me/sessions" Member Empty => me::sessions,
    MeSessionsEnd: Delete "/me/sessions" Member Empty => me::end_others,
    MeSessionEnd: Delete "/me/sessions/{id}" Member Empty => me::end_session,

    PasswordReset: Post "/password-reset" Open Json => passwords::request,
    PasswordResetConfirm: Post "/password-reset/confirm" Open Json => passwords::confirm,
    Recover: Post "/recover" Operator Json => passwords::recover,

    MemberList: Get "/members" Anyone Empty => members::list,
    MemberCreate: Post "/members" Operator Json => members::create,
    MembersImport: Post "/members/import" Operator File => import_export::import,
    MembersExport: Get "/members/export" Anyone Empty => import_export::export,
    MembersReview: Get "/members/review" Anyone Empty => access_review::review,
    MembersChange: Post "/members/bulk" Anyone Json => members::change_several,
    MemberShow: Get "/members/{id}" Anyone Empty => members::show,
    MemberEdit: Patch "/members/{id}" Anyone Json => members::edit,
    MemberRemove: Delete "/members/{id}" Anyone Empty => members::remove,
    MemberSuspend: Post "/members/{id}/suspend" Anyone Empty => members::suspend,
    MemberRestore: Post "/members/{id}/restore" Anyone Empty => members::restore,
    MemberErase: Post "/members/{id}/erase" Anyone Empty => personal_data::erase,
    MemberData: Get "/members/{id}/data" Anyone Empty => personal_data::of_member,
    MemberSessions: Get "/members/{id}/sessions" Anyone Empty => members::sessions,
    MemberSessionsEnd: Post "/members/{id}/end-sessions" Anyone Empty => members::end_sessions,
    MemberPasswordReset: Post "/members/{id}/reset-password" Anyone Empty => passwords::reset,
    MemberTwoStepReset: Post "/members/{id}/reset-two-step" Anyone Json => two_step::reset,
    MemberPermissions: Get "/members/{id}/permissions" Anyone Empty => members::permissions,
    WhatMay: Get "/members/{id}/what-may" Anyone Empty => who_may::what,
    WhoMay: Get "/who-may" Anyone Empty => who_may::who,

    InviteList: Get "/invites" Anyone Empty => invites::list,
    InviteSend: Post "/invites" Anyone Json => invites::send,
    InvitesSend: Post "/invites/bulk" Anyone Json => invites::send_several,
    InviteInspect: Post "/invites/inspect" Open Json => invites::inspect,
    InviteAccept: Post "/invites/accept" Open Json => invites::accept,
    InviteWant: Post "/invites/request-new" Open Json => invites::want,
    InviteShow: Get "/invites/{id}" Anyone Empty => invites::show,
    InviteEdit: Patch "/invites/{id}" Anyone Json => invites::edit,
    InviteRevoke: Delete "/invites/{id}" Anyone Empty => invites::revoke,
    InviteResend: Post "/invites/{id}/resend" Anyone Empty => invites::resend,
    InviteLink: Post "/invites/{id}/link" Anyone Empty => invites::link,

    TokenList: Get "/tokens" Anyone Empty => tokens::list,
    TokenCreate: Post "/tokens" Anyone Json => tokens::create,
    TokenRevoke: Delete "/tokens/{id}" Anyone Empty => tokens::revoke,

    AccountList: Get "/accounts" Operator Empty => accounts::list,
    AccountCreate: Post "/accounts" Operator Json => accounts::create,
    AccountShow: Get "/account" Anyone Empty => accounts::show,
    AccountEdit: Patch "/account" Anyone Json => accounts::edit,

    RoleList: Get "/roles" Anyone Empty => roles::list,
    RoleCompare: Get "/roles/compare" Anyone Empty => roles::compare,
    RoleSuggest: Post "/roles/suggest" Anyone Json => roles::suggest,
    RoleShow: Get "/roles/{id}" Anyone Empty => roles::show,

    Audit: Get "/audit" Anyone Empty => audit::list,
    AuditVerify: Get "/audit/verify" Anyone Empty => audit::verify,
    Events: Get "/events" Anyone Empty => events::listen,

    MailStatus: Get "/mail" Anyone Empty => mail::status,
    MailTest: Post "/mail/test" Anyone Json => mail::test,
    MailResume: Post "/mail/resume" Anyone Empty => mail::resume,
    MailBounce: Post "/bounces" Operator File => mail::bounce,

    Backup: Post "/backup" Operator Json => backup::take,

    FleetShow: Get "/fleet" Operator Empty => fleet::show,
    FleetForget: Delete "/fleet/{id}" Operator Empty => fleet::forget,

    KeysActivate: Post "/keys/activate" Operator Empty => fleet::activate_keys,

    Warnings: Get "/warnings" Operator Empty => warnings::list,

    Policies: Get "/policies" Anyone Empty => policies::show,
    PolicyHistory: Get "/policies/history" Anyone Empty => policies::history,
    PolicySet: Get "/policies/history/{id}" Anyone Empty => policies::history_entry,
    PoliciesShadow: Get "/policies/shadow" Anyone Empty => policies::shadow,
    PoliciesCheck: Post "/policies/check" Anyone Empty => policies::check,
    PoliciesReload: Post "/policies/reload" Anyone Empty => policies::reload,
    PoliciesPublish: Post "/policies/publish" Anyone Json => policies::publish,
    PoliciesApprove: Post "/policies/approve" Anyone Json => policies::approve,
    PoliciesRollback: Post "/policies/rollback" Anyone Json => policies::rollback,
    PoliciesUnpin: Post "/policies/unpin" Anyone Empty => policies::unpin,

    OpenApi: Get "/openapi.json" Open Empty => openapi::show,
}

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
    let (path, id) = route_matching::place(path).ok_or_else(unknown_path)?;
    browser_security::check_origin(app, request)?;
    let entry = route_matching::at(path, request.method)
        .ok_or_else(|| RouteRefusal::Method { allow: route_matching::allowed(path) })?;
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
    Ok(entry.operation.answer(&mut call).await?)
}
