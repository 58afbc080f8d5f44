//! The console: Settings and Team Management, as web pages.
//!
//! Server-rendered HTML with one stylesheet, one small script, and a second script where a passkey
//! is needed. Every page and every state has a URL; every form except that of a passkey works
//! without a script, which adds dialogs, incremental search and live updates. Each page reads a
//! request, runs a service and renders the result; no business rule lives here, and what a page does
//! not offer the service refuses too.

mod accept_invitation;
mod actor_names;
mod assets;
mod audit;
mod bulk_actions;
mod edit_conflict;
mod form_page;
mod handed_over_link;
mod help;
mod invitations;
mod invite_form;
mod live_updates;
mod mailed_links;
mod member;
mod my_security;
mod own_profile;
mod page_layout;
mod page_request;
mod page_urls;
mod passkeys;
mod policies;
mod policies_compare;
mod policies_guards;
mod policies_history;
mod policies_preview;
mod policies_rollback;
mod policies_shadow;
mod policies_try;
mod role_picker;
mod roles;
mod row_actions;
mod set_up;
mod settings;
mod sign_in;
mod team;
mod team_banners;
mod team_tabs;
mod texts;
mod timestamps;
mod tokens;
mod two_step;
mod user_agent;
mod who_may;

use std::sync::Arc;

use self::page_layout::{message_page, redirect, unknown_path};
use self::page_request::{PageRequest, PageResult};
use crate::app::App;
use crate::browser_security;
use crate::domain::{Failure, Kind, limits};
use crate::http::{Method, Reply, Request, status};
use crate::percent_encoding::decoded;
use crate::telemetry::log;

/// One row of the table of pages.
struct PageRoute {
    page: Page,
    method: Method,
    /// The path below the base path; `{id}` is one segment.
    path: &'static str,
}

macro_rules! pages {
    ($($page:ident: $method:ident $path:literal => $answer:path,)+) => {
        #[derive(Clone, Copy)]
        enum Page { $($page),+ }

        /// All pages and forms. If several paths match, the literal one comes first.
        const PAGES: &[PageRoute] =
            &[$(PageRoute { page: Page::$page, method: Method::$method, path: $path }),+];

        impl Page {
            async fn answer(self, call: &mut PageRequest<'_>) -> PageResult {
                match self { $(Self::$page => Box::pin($answer(call)).await),+ }
            }
        }
    };
}

pages! {
    Home: Get "/" => sign_in::home,
    Help: Get "/help" => help::show,
    Live: Get "/live" => live_updates::follow,
    SignIn: Get "/sign-in" => sign_in::show,
    SignInTry: Post "/sign-in" => sign_in::enter,
    SignInCode: Post "/sign-in/code" => sign_in::second_step,
    SignInPasskey: Post "/sign-in/passkey" => sign_in::by_passkey,
    SignInSetUp: Post "/sign-in/set-up" => sign_in::set_up,
    SignOut: Post "/sign-out" => sign_in::leave,
    SignedOut: Get "/signed-out" => sign_in::signed_out,

    Forgot: Get "/forgot" => mailed_links::forgot,
    ForgotSend: Post "/forgot" => mailed_links::send_link,
    Reset: Get "/reset" => mailed_links::reset,
    ResetSet: Post "/reset" => mailed_links::set,
    ConfirmEmail: Get "/confirm-email" => mailed_links::confirm_email,
    ConfirmEmailDone: Post "/confirm-email" => mailed_links::confirmed_email,

    SetUp: Get "/setup" => set_up::show,
    SetUpDone: Post "/setup" => set_up::done,
    Join: Get "/join" => accept_invitation::show,
    JoinLook: Post "/join/look" => accept_invitation::inspect_link,
    JoinAccept: Post "/join" => accept_invitation::accept,
    JoinWant: Post "/join/request-new" => accept_invitation::ask_new_link,

    Team: Get "/team" => team::show,
    Export: Get "/team/export" => team::export,
    Invite: Get "/team/invite" => invite_form::show,
    InviteSend: Post "/team/invite" => invite_form::send,
    InviteSeveral: Get "/team/invite-several" => invite_form::several,
    InviteSeveralSend: Post "/team/invite-several" => invite_form::send_several,
    Bulk: Post "/team/bulk" => bulk_actions::done,
    BulkAsk: Get "/team/bulk" => bulk_actions::ask,
    Member: Get "/team/members/{id}" => member::show,
    MemberEdit: Get "/team/members/{id}/edit" => member::edit,
    MemberEdited: Post "/team/members/{id}/edit" => member::edited,
    MemberRole: Get "/team/members/{id}/role" => member::role,
    MemberRoleGiven: Post "/team/members/{id}/role" => member::role_given,
    MemberWhatMay: Get "/team/members/{id}/what-may" => who_may::what,
    MemberAsk: Get "/team/members/{id}/{verb}" => member::ask,
    MemberDo: Post "/team/members/{id}/{verb}" => member::done,
    InvitationEdit: Get "/team/invitations/{id}/edit" => invitations::edit,
    InvitationEdited: Post "/team/invitations/{id}/edit" => invitations::edited,
    InvitationAsk: Get "/team/invitations/{id}/{verb}" => invitations::ask,
    InvitationDo: Post "/team/invitations/{id}/{verb}" => invitations::done,

    Roles: Get "/roles" => roles::guide,
    RolesCompare: Get "/roles/compare" => roles::compare,
    RolesSuggest: Get "/roles/suggest" => roles::suggest,

    Security: Get "/me" => my_security::show,
    Password: Get "/me/password" => own_profile::password_form,
    PasswordSet: Post "/me/password" => own_profile::set_password,
    Names: Get "/me/names" => own_profile::name_form,
    NamesSet: Post "/me/names" => own_profile::set_names,
    Email: Get "/me/email" => own_profile::email_form,
    EmailAsked: Post "/me/email" => own_profile::ask_email,
    SessionEnd: Post "/me/sessions/{id}/end" => my_security::end_session,
    SessionsEnd: Post "/me/sessions/end" => my_security::end_others,
    PasskeyNew: Get "/me/passkeys/new" => passkeys::ask,
    PasskeyBegun: Post "/me/passkeys/new" => passkeys::begin,
    PasskeyAdded: Post "/me/passkeys/confirm" => passkeys::confirm,
    PasskeyAsk: Get "/me/passkeys/{id}/remove" => passkeys::ask_remove,
    PasskeyRemoved: Post "/me/passkeys/{id}/remove" => passkeys::remove,
    LeaveAsk: Get "/me/leave" => own_profile::ask_to_leave,
    Left: Post "/me/leave" => own_profile::leave,
    TwoStepBegin: Get "/me/two-step" => two_step::ask,
    TwoStepBegun: Post "/me/two-step" => two_step::begin,
    TwoStepConfirm: Post "/me/two-step/confirm" => two_step::confirm,
    TwoStepOff: Get "/me/two-step/off" => two_step::ask_off,
    TwoStepIsOff: Post "/me/two-step/off" => two_step::off,
    RecoveryCodes: Get "/me/recovery-codes" => two_step::ask_codes,
    RecoveryCodesMade: Post "/me/recovery-codes" => two_step::codes,

    Tokens: Get "/tokens" => tokens::list,
    TokenNew: Get "/tokens/new" => tokens::show,
    TokenMade: Post "/tokens/new" => tokens::make,
    TokenAsk: Get "/tokens/{id}/revoke" => tokens::ask,
    TokenRevoked: Post "/tokens/{id}/revoke" => tokens::revoke,
    Settings: Get "/account" => settings::show,
    SettingsSet: Post "/account" => settings::set,
    MailTest: Post "/account/mail/test" => settings::test_mail,
    MailResume: Post "/account/mail/resume" => settings::resume_mail,
    Audit: Get "/audit" => audit::show,
    Policies: Get "/policies" => policies::show,
    PoliciesReload: Post "/policies/reload" => policies::reload,
    PoliciesApprove: Post "/policies/approve" => policies::approve,
    PoliciesUnpin: Post "/policies/unpin" => policies::unpin,
    PoliciesRollbackAsk: Get "/policies/history/{id}/rollback" => policies_rollback::ask,
    PoliciesRollback: Post "/policies/history/{id}/rollback" => policies_rollback::done,
    PoliciesCompare: Get "/policies/compare" => policies_compare::show,
    PoliciesCheck: Get "/policies/check" => policies_preview::show,
    PoliciesTry: Get "/policies/try" => policies_try::show,
    PoliciesWhoMay: Get "/policies/who-may" => who_may::who,
}

/// The decoded segments for `{id}` and `{verb}`.
#[derive(Default)]
struct PathParams {
    id: String,
    verb: String,
}

fn matched(pattern: &str, path: &str) -> Option<PathParams> {
    let mut named = PathParams::default();
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        let given = segments.next()?;
        match wanted {
            "{id}" if !given.is_empty() => named.id = decoded(given)?,
            "{verb}" if !given.is_empty() => named.verb = decoded(given)?,
            _ if wanted == given => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some(named)
}

/// Whether a path is a page of the console, to which a redirect may lead.
fn is_page(place: &str) -> bool {
    if place.len() > limits::PLACE_BYTES_MAX {
        return false;
    }
    let path = place.split(['?', '#']).next().unwrap_or_default();
    PAGES.iter().any(|entry| entry.method == Method::Get && matched(entry.path, path).is_some())
}

/// Answers one request of a browser. Never fails: a failure becomes a page.
pub async fn route(app: &Arc<App>, mut request: Request) -> Reply {
    if let Some(reply) = assets::asked(app, &request) {
        return reply;
    }
    let told = request.has_cookie(browser_security::TOLD);
    let reply = match dispatch(app, &mut request).await {
        Ok(reply) => reply,
        Err(failure) => refused(app, &request, &failure).await,
    };
    // A flash message is shown once; redirects do not consume it.
    let reply =
        if told && reply.code() != 303 { browser_security::forgetting_told(reply) } else { reply };
    browser_security::dressed(app, reply)
}

/// All entries of the table for a path.
fn places(path: &str) -> Vec<(&'static PageRoute, PathParams)> {
    let matching = |entry: &'static PageRoute| Some((entry, matched(entry.path, path)?));
    PAGES.iter().filter_map(matching).collect()
}

/// The requested path, below the base path. If the base path is also a page, such as `/team`, a
/// proxy that removes it leaves a path that begins like it.
fn page_path<'r>(app: &App, request: &'r Request) -> &'r str {
    let below = browser_security::PublicUrl::of(app).below(request.path());
    if places(below).is_empty() { request.path() } else { below }
}

async fn dispatch(app: &Arc<App>, request: &mut Request) -> PageResult {
    browser_security::check_host(app, request)?;
    let places = places(page_path(app, request));
    if places.is_empty() {
        return Err(unknown_path());
    }
    browser_security::check_origin(app, request)?;
    let method = if request.method == Method::Head { Method::Get } else { request.method };
    let Some((entry, named)) = places.into_iter().find(|(entry, _)| entry.method == method) else {
        let text = "this page can't be opened directly: go back and try again";
        return Err(Failure::new(Kind::MethodNotAllowed, "method_not_allowed", text));
    };
    let PathParams { id, verb } = named;
    entry.page.answer(&mut PageRequest { app, request, id, verb }).await
}

async fn refused(app: &Arc<App>, request: &Request, failure: &Failure) -> Reply {
    log::failed(request.id(), failure);
    let never_here = !request.has_cookie(crate::services::session_auth::COOKIE);
    match failure.kind {
        // Visitors without a session see the sign-in page; those whose session has ended are told
        // so.
        Kind::Unauthenticated if never_here && request.method != Method::Post => {
            redirect(app, &sign_in::place_before(app, request))
        }
        // A page that listens for events may send a token that was just replaced by another page:
        // that one is not deleted.
        Kind::Unauthenticated if page_path(app, request) == live_updates::PATH => {
            sign_in::session_over(app, request)
        }
        Kind::Unauthenticated => browser_security::dropping(sign_in::session_over(app, request)),
        _ => message_page(app, request, failure).await.status(status(failure.kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_page_and_what_it_is_about() {
        let named = matched("/team/members/{id}/{verb}", "/team/members/a%40b/suspend").unwrap();
        assert_eq!((named.id.as_str(), named.verb.as_str()), ("a@b", "suspend"));
        for path in ["/team/members//suspend", "/team/members/a", "/team/members/a/b/c", ""] {
            assert!(matched("/team/members/{id}/{verb}", path).is_none(), "{path}");
        }
    }

    #[test]
    fn nobody_is_sent_to_a_place_that_is_no_page() {
        for path in ["/team", "/team?tab=invitations", "/team/members/m1"] {
            assert!(is_page(path), "{path}");
        }
        for path in
            ["", "//evil.example", "/sign-out", "https://evil.example", "/\\evil", "/nothing"]
        {
            assert!(!is_page(path), "{path}");
        }
        assert!(!is_page(&format!("/team?search={}", "x".repeat(limits::PLACE_BYTES_MAX))));
    }
}
