//! The table of API calls: method and path, permitted callers, body type and response types.
//!
//! Dispatch, `Allow` headers and the `OpenAPI` document all read this one table, so that they
//! cannot differ.

use super::call::{Answer, Call};
use super::{
    accounts, audit, backup, events, files, invites, mail, me, members, openapi, passkeys,
    passwords, personal, policies, roles, sign_in, tokens, two_step, warnings,
};
use crate::http::Method;
use crate::http::query::decoded;

/// The permitted callers of a call. The flows check what each of them may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody: the authorization is in the call.
    Open,
    /// A member who is signed in, and the operator of the sidecar.
    Anyone,
    /// A member who is signed in.
    Member,
    /// The operator of the sidecar, on `admin.sock`.
    Operator,
}

/// The type of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing, or an empty object.
    Empty,
    /// A JSON object.
    Json,
    /// A file, read piece by piece or whole.
    File,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) operation: Operation,
    pub(super) method: Method,
    /// The path below `/api/v1`; `{id}` is one segment.
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) body: Body,
}

macro_rules! calls {
    ($($operation:ident: $method:ident $path:literal $access:ident $body:ident => $answer:path,)+) => {
        /// Every call there is, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operation { $($operation),+ }

        /// All calls. If several paths match, the literal one comes first.
        pub(super) const CALLS: &[Entry] = &[$(Entry {
            operation: Operation::$operation,
            method: Method::$method,
            path: $path,
            access: Access::$access,
            body: Body::$body,
        }),+];

        impl Operation {
            /// Runs a call.
            pub(super) async fn answer(self, call: &mut Call<'_>) -> Answer {
                match self { $(Self::$operation => Box::pin($answer(call)).await),+ }
            }
        }
    };
}

calls! {
    SignIn: Post "/sign-in" Open Json => sign_in::sign_in,
    SignInSecondFactor: Post "/sign-in/second-factor" Open Json => two_step::second_factor,
    SignInPasskey: Post "/sign-in/passkey" Open Json => passkeys::ask,
    SignInPasskeyConfirm: Post "/sign-in/passkey/confirm" Open Json => passkeys::sign_in,
    SignInTwoStep: Post "/sign-in/two-step" Open Json => two_step::begin_by_ticket,
    SignInTwoStepConfirm: Post "/sign-in/two-step/confirm" Open Json => two_step::confirm_by_ticket,
    SignOut: Post "/sign-out" Open Empty => sign_in::sign_out,
    SetUp: Post "/setup" Open Json => sign_in::set_up,

    Me: Get "/me" Member Empty => me::show,
    MeEdit: Patch "/me" Member Json => me::edit,
    MeLeave: Post "/me/leave" Member Json => me::leave,
    MeData: Get "/me/data" Member Empty => personal::own,
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
    MembersImport: Post "/members/import" Operator File => files::import,
    MembersExport: Get "/members/export" Anyone Empty => files::export,
    MembersReview: Get "/members/review" Anyone Empty => personal::review,
    MembersChange: Post "/members/bulk" Anyone Json => members::change_several,
    MemberShow: Get "/members/{id}" Anyone Empty => members::show,
    MemberEdit: Patch "/members/{id}" Anyone Json => members::edit,
    MemberRemove: Delete "/members/{id}" Anyone Empty => members::remove,
    MemberSuspend: Post "/members/{id}/suspend" Anyone Empty => members::suspend,
    MemberRestore: Post "/members/{id}/restore" Anyone Empty => members::restore,
    MemberErase: Post "/members/{id}/erase" Anyone Empty => personal::erase,
    MemberData: Get "/members/{id}/data" Anyone Empty => personal::of_member,
    MemberSessions: Get "/members/{id}/sessions" Anyone Empty => members::sessions,
    MemberSessionsEnd: Post "/members/{id}/end-sessions" Anyone Empty => members::end_sessions,
    MemberPasswordReset: Post "/members/{id}/reset-password" Anyone Empty => passwords::reset,
    MemberTwoStepReset: Post "/members/{id}/reset-two-step" Anyone Json => two_step::reset,
    MemberPermissions: Get "/members/{id}/permissions" Anyone Empty => members::permissions,

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

    Warnings: Get "/warnings" Operator Empty => warnings::list,

    Policies: Get "/policies" Anyone Empty => policies::show,
    PoliciesCheck: Post "/policies/check" Anyone Empty => policies::check,
    PoliciesReload: Post "/policies/reload" Anyone Empty => policies::reload,

    OpenApi: Get "/openapi.json" Open Empty => openapi::show,
}

/// The path in the table that matches, and the segment for `{id}`.
pub(super) fn place(path: &str) -> Option<(&'static str, String)> {
    let below = path.strip_prefix("/api/v1")?;
    CALLS.iter().find_map(|entry| Some((entry.path, matched(entry.path, below)?)))
}

fn matched(pattern: &str, path: &str) -> Option<String> {
    let mut id = String::new();
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        let given = segments.next()?;
        match wanted {
            "{id}" if !given.is_empty() => id = decoded(given).unwrap_or_default(),
            _ if wanted == given => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some(id)
}

/// The call for a method and a path. HEAD is treated as GET; the response writer leaves out the
/// body.
pub(super) fn at(path: &str, method: Method) -> Option<&'static Entry> {
    let method = if method == Method::Head { Method::Get } else { method };
    CALLS.iter().find(|entry| entry.path == path && entry.method == method)
}

/// The methods of a path, for the `Allow` header.
pub(super) fn allowed(path: &str) -> String {
    let here = CALLS.iter().filter(|entry| entry.path == path);
    let words: Vec<&str> = here
        .map(|entry| match entry.method {
            Method::Get => "GET, HEAD",
            method => method.as_str(),
        })
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<(&'static str, String)> {
        place(&format!("/api/v1{path}"))
    }

    #[test]
    fn a_path_names_a_place_and_an_id_is_decoded() {
        let id = |id: &str| id.to_owned();
        let places = [
            ("/accounts", ("/accounts", id(""))),
            ("/members/import", ("/members/import", id(""))),
            ("/members/m%401", ("/members/{id}", id("m@1"))),
            ("/members/a/suspend", ("/members/{id}/suspend", id("a"))),
            ("/members/%zz", ("/members/{id}", id(""))),
            ("/roles/compare", ("/roles/compare", id(""))),
            ("/roles/w", ("/roles/{id}", id("w"))),
        ];
        for (path, place) in places {
            assert_eq!(found(path), Some(place), "{path}");
        }
    }

    #[test]
    fn what_is_no_place_is_none() {
        for path in ["", "/", "/members/", "/members/a/", "/members/a/fly", "/members//suspend"] {
            assert_eq!(found(path), None, "{path}");
        }
        assert_eq!(place("/members"), None);
        assert_eq!(place("/api/v2/members"), None);
    }

    #[test]
    fn every_call_is_reached_by_its_own_path_and_method() {
        for entry in CALLS {
            let path = entry.path.replace("{id}", "xyz");
            let (place, _) = found(&path).unwrap();
            assert_eq!(place, entry.path, "a line above matches first");
            assert_eq!(at(place, entry.method).unwrap().operation, entry.operation);
        }
        assert_eq!(at("/members", Method::Head).unwrap().operation, Operation::MemberList);
        assert!(at("/members", Method::Put).is_none());
    }

    #[test]
    fn a_path_tells_its_methods() {
        assert_eq!(allowed("/members/{id}"), "GET, HEAD, PATCH, DELETE");
        assert_eq!(allowed("/sign-in"), "POST");
    }
}
