//! The table of calls: method and path, who may make each, what body it takes.
//!
//! Dispatch, `Allow` headers and the `OpenAPI` document all read this one table, so that they
//! cannot differ.
//! Which function answers each call is in `handlers`.

use crate::http::Method;
use crate::http::query_string::decoded;

/// The permitted callers of a call. The services check what each of them may do.
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
pub(super) enum BodyKind {
    /// Nothing, or an empty object.
    Empty,
    /// A JSON object.
    Json,
    /// A file, read piece by piece or whole.
    File,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) operation: Operation,
    pub(super) method: Method,
    /// The path below `/api/v1`; `{id}` is one segment.
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) body: BodyKind,
}

macro_rules! calls {
    ($($operation:ident: $method:ident $path:literal $access:ident $body:ident,)+) => {
        /// Every call there is, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operation { $($operation),+ }

        /// All calls. If several paths match, the literal one comes first.
        pub(super) const CALLS: &[Endpoint] = &[$(Endpoint {
            operation: Operation::$operation,
            method: Method::$method,
            path: $path,
            access: Access::$access,
            body: BodyKind::$body,
        }),+];
    };
}

calls! {
    SignIn: Post "/sign-in" Open Json,
    SignInSecondFactor: Post "/sign-in/second-factor" Open Json,
    SignInPasskey: Post "/sign-in/passkey" Open Json,
    SignInPasskeyConfirm: Post "/sign-in/passkey/confirm" Open Json,
    SignInTwoStep: Post "/sign-in/two-step" Open Json,
    SignInTwoStepConfirm: Post "/sign-in/two-step/confirm" Open Json,
    SignOut: Post "/sign-out" Open Empty,
    SetUp: Post "/setup" Open Json,

    Me: Get "/me" Member Empty,
    MeEdit: Patch "/me" Member Json,
    MeLeave: Post "/me/leave" Member Json,
    MeData: Get "/me/data" Member Empty,
    MePermissions: Get "/me/permissions" Member Empty,
    MePassword: Post "/me/password" Member Json,
    MeEmail: Post "/me/email" Member Json,
    MeEmailConfirm: Post "/me/email/confirm" Open Json,
    TwoStep: Get "/me/two-step" Member Empty,
    TwoStepBegin: Post "/me/two-step" Member Json,
    TwoStepOff: Delete "/me/two-step" Member Json,
    TwoStepConfirm: Post "/me/two-step/confirm" Member Json,
    RecoveryCodes: Post "/me/recovery-codes" Member Json,
    PasskeyList: Get "/me/passkeys" Member Empty,
    PasskeyBegin: Post "/me/passkeys" Member Json,
    PasskeyConfirm: Post "/me/passkeys/confirm" Member Json,
    PasskeyRemove: Delete "/me/passkeys/{id}" Member Json,
    MeSessions: Get "/me/sessions" Member Empty,
    MeSessionsEnd: Delete "/me/sessions" Member Empty,
    MeSessionEnd: Delete "/me/sessions/{id}" Member Empty,

    PasswordReset: Post "/password-reset" Open Json,
    PasswordResetConfirm: Post "/password-reset/confirm" Open Json,
    Recover: Post "/recover" Operator Json,

    MemberList: Get "/members" Anyone Empty,
    MemberCreate: Post "/members" Operator Json,
    MembersImport: Post "/members/import" Operator File,
    MembersExport: Get "/members/export" Anyone Empty,
    MembersReview: Get "/members/review" Anyone Empty,
    MembersChange: Post "/members/bulk" Anyone Json,
    MemberShow: Get "/members/{id}" Anyone Empty,
    MemberEdit: Patch "/members/{id}" Anyone Json,
    MemberRemove: Delete "/members/{id}" Anyone Empty,
    MemberSuspend: Post "/members/{id}/suspend" Anyone Empty,
    MemberRestore: Post "/members/{id}/restore" Anyone Empty,
    MemberErase: Post "/members/{id}/erase" Anyone Empty,
    MemberData: Get "/members/{id}/data" Anyone Empty,
    MemberSessions: Get "/members/{id}/sessions" Anyone Empty,
    MemberSessionsEnd: Post "/members/{id}/end-sessions" Anyone Empty,
    MemberPasswordReset: Post "/members/{id}/reset-password" Anyone Empty,
    MemberTwoStepReset: Post "/members/{id}/reset-two-step" Anyone Json,
    MemberPermissions: Get "/members/{id}/permissions" Anyone Empty,

    InviteList: Get "/invites" Anyone Empty,
    InviteSend: Post "/invites" Anyone Json,
    InvitesSend: Post "/invites/bulk" Anyone Json,
    InviteInspect: Post "/invites/inspect" Open Json,
    InviteAccept: Post "/invites/accept" Open Json,
    InviteWant: Post "/invites/request-new" Open Json,
    InviteShow: Get "/invites/{id}" Anyone Empty,
    InviteEdit: Patch "/invites/{id}" Anyone Json,
    InviteRevoke: Delete "/invites/{id}" Anyone Empty,
    InviteResend: Post "/invites/{id}/resend" Anyone Empty,
    InviteLink: Post "/invites/{id}/link" Anyone Empty,

    TokenList: Get "/tokens" Anyone Empty,
    TokenCreate: Post "/tokens" Anyone Json,
    TokenRevoke: Delete "/tokens/{id}" Anyone Empty,

    AccountList: Get "/accounts" Operator Empty,
    AccountCreate: Post "/accounts" Operator Json,
    AccountShow: Get "/account" Anyone Empty,
    AccountEdit: Patch "/account" Anyone Json,

    RoleList: Get "/roles" Anyone Empty,
    RoleCompare: Get "/roles/compare" Anyone Empty,
    RoleSuggest: Post "/roles/suggest" Anyone Json,
    RoleShow: Get "/roles/{id}" Anyone Empty,

    Audit: Get "/audit" Anyone Empty,
    AuditVerify: Get "/audit/verify" Anyone Empty,
    Events: Get "/events" Anyone Empty,

    MailStatus: Get "/mail" Anyone Empty,
    MailTest: Post "/mail/test" Anyone Json,
    MailResume: Post "/mail/resume" Anyone Empty,
    MailBounce: Post "/bounces" Operator File,

    Backup: Post "/backup" Operator Json,

    Warnings: Get "/warnings" Operator Empty,

    Policies: Get "/policies" Anyone Empty,
    PoliciesCheck: Post "/policies/check" Anyone Empty,
    PoliciesReload: Post "/policies/reload" Anyone Empty,

    OpenApi: Get "/openapi.json" Open Empty,
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
pub(super) fn at(path: &str, method: Method) -> Option<&'static Endpoint> {
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
