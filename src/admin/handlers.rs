//! Which function answers each call of the table.

use super::api_request::{ApiRequest, ApiResult};
use super::endpoints::Operation;
use super::{
    access_review, accounts, audit, backup, events, import_export, invites, mail, me, members,
    openapi, passkeys, passwords, personal_data, policies, roles, set_up, sign_in, tokens,
    two_step, warnings,
};

macro_rules! handlers {
    ($($operation:ident => $handler:path,)+) => {
        /// Has the call answered. Boxed, so that no request takes as much room as the largest handler.
        pub(super) async fn answer(operation: Operation, call: &mut ApiRequest<'_>) -> ApiResult {
            match operation { $(Operation::$operation => Box::pin($handler(call)).await),+ }
        }
    };
}

handlers! {
    SignIn => sign_in::sign_in,
    SignInSecondFactor => sign_in::second_factor,
    SignInPasskey => passkeys::ask,
    SignInPasskeyConfirm => passkeys::sign_in,
    SignInTwoStep => sign_in::begin_by_ticket,
    SignInTwoStepConfirm => sign_in::confirm_by_ticket,
    SignOut => sign_in::sign_out,
    SetUp => set_up::set_up,

    Me => me::show,
    MeEdit => me::edit,
    MeLeave => me::leave,
    MeData => personal_data::own,
    MePermissions => me::permissions,
    MePassword => passwords::change,
    MeEmail => me::change_email,
    MeEmailConfirm => me::confirm_email,
    TwoStep => two_step::show,
    TwoStepBegin => two_step::begin,
    TwoStepOff => two_step::switch_off,
    TwoStepConfirm => two_step::confirm,
    RecoveryCodes => two_step::recovery_codes,
    PasskeyList => passkeys::list,
    PasskeyBegin => passkeys::begin,
    PasskeyConfirm => passkeys::confirm,
    PasskeyRemove => passkeys::remove,
    MeSessions => me::sessions,
    MeSessionsEnd => me::end_others,
    MeSessionEnd => me::end_session,

    PasswordReset => passwords::request,
    PasswordResetConfirm => passwords::confirm,
    Recover => passwords::recover,

    MemberList => members::list,
    MemberCreate => members::create,
    MembersImport => import_export::import,
    MembersExport => import_export::export,
    MembersReview => access_review::review,
    MembersChange => members::change_several,
    MemberShow => members::show,
    MemberEdit => members::edit,
    MemberRemove => members::remove,
    MemberSuspend => members::suspend,
    MemberRestore => members::restore,
    MemberErase => personal_data::erase,
    MemberData => personal_data::of_member,
    MemberSessions => members::sessions,
    MemberSessionsEnd => members::end_sessions,
    MemberPasswordReset => passwords::reset,
    MemberTwoStepReset => two_step::reset,
    MemberPermissions => members::permissions,

    InviteList => invites::list,
    InviteSend => invites::send,
    InvitesSend => invites::send_several,
    InviteInspect => invites::inspect,
    InviteAccept => invites::accept,
    InviteWant => invites::want,
    InviteShow => invites::show,
    InviteEdit => invites::edit,
    InviteRevoke => invites::revoke,
    InviteResend => invites::resend,
    InviteLink => invites::link,

    TokenList => tokens::list,
    TokenCreate => tokens::create,
    TokenRevoke => tokens::revoke,

    AccountList => accounts::list,
    AccountCreate => accounts::create,
    AccountShow => accounts::show,
    AccountEdit => accounts::edit,

    RoleList => roles::list,
    RoleCompare => roles::compare,
    RoleSuggest => roles::suggest,
    RoleShow => roles::show,

    Audit => audit::list,
    AuditVerify => audit::verify,
    Events => events::listen,

    MailStatus => mail::status,
    MailTest => mail::test,
    MailResume => mail::resume,
    MailBounce => mail::bounce,

    Backup => backup::take,

    Warnings => warnings::list,

    Policies => policies::show,
    PoliciesCheck => policies::check,
    PoliciesReload => policies::reload,

    OpenApi => openapi::show,
}
