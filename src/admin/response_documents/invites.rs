//! Invites and links, as their senders and their recipients see them.

use serde::Serialize;

use super::roles_and_policies::RoleName;
use crate::app::App;
use crate::clock::rfc3339;
use crate::domain::{self, Actor, InviteOutcome, limits};
use crate::password;
use crate::services::invites;
use crate::services::invites::InviteWithLink;

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Invite {
    id: String,
    account: String,
    email: String,
    first_name: String,
    last_name: String,
    role: String,
    /// Whether the policies no longer have the role of an invite that is not over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    role_removed: bool,
    state: &'static str,
    inviter: Inviter,
    created: String,
    sent: String,
    expires: String,
    version: u64,
    delivery: Delivery,
    /// The resulting member.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// When a member with this address was last removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    previously_removed: Option<String>,
    /// A warning for the one who sends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl Invite {
    pub(in crate::admin) fn of(app: &App, shown: InviteWithLink) -> Self {
        let InviteWithLink { view, inviter, link, warning, repeated: _ } = shown;
        let invite = view.invite;
        let state = invite.state(app.clock.now());
        Self {
            role_removed: state.is_open() && !app.policies.load().has_role(&invite.role),
            state: state.as_str(),
            inviter: Inviter::of(&invite.inviter, inviter.as_ref()),
            id: invite.id.to_string(),
            account: invite.account.to_string(),
            email: invite.email.to_string(),
            first_name: invite.first_name.as_str().to_owned(),
            last_name: invite.last_name.as_str().to_owned(),
            role: invite.role.to_string(),
            created: rfc3339(invite.created),
            sent: rfc3339(invite.sent),
            expires: rfc3339(invite.expires),
            version: invite.version.0,
            delivery: Delivery::from(view.delivery),
            member: match invite.fate {
                InviteOutcome::Accepted { member, .. } => Some(member.to_string()),
                InviteOutcome::Open | InviteOutcome::Revoked { .. } => None,
            },
            link,
            previously_removed: view.previously_removed.map(rfc3339),
            warning,
        }
    }
}

/// The sender of an invite; without a name if the sender is no longer a member.
#[derive(Debug, Serialize)]
struct Inviter {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Inviter {
    fn of(actor: &Actor, member: Option<&domain::Member>) -> Self {
        let kind = match actor {
            Actor::Member(_) | Actor::Token { .. } => "member",
            Actor::Sidecar { .. } => "sidecar",
            Actor::System | Actor::Setup | Actor::Invitee(_) => "system",
        };
        let id = actor.member().map(ToString::to_string);
        Self { kind, id, name: member.map(domain::Member::full_name) }
    }
}

document! {
    /// The delivery status of a mail.
    pub(super) struct Delivery from(delivery: domain::Delivery) {
        state: &'static str = delivery.state.as_str(),
        detail: String = delivery.detail,
        attempts: u32 = delivery.attempts,
        last_attempt: Option<String> = delivery.last_attempt.map(rfc3339),
        next_attempt: Option<String> = delivery.next_attempt.map(rfc3339),
    }
}

document! {
    /// The invitation behind a link. The address is masked: the link may have been passed on.
    pub(in crate::admin) struct InvitePreview of(app: &App, seen: invites::InvitePreview) {
        state: &'static str = seen.invite.state(app.clock.now()).as_str(),
        account: String = seen.account.slug.to_string(),
        account_name: String = seen.account.name,
        email: String = seen.invite.email.masked(),
        first_name: String = seen.invite.first_name.as_str().to_owned(),
        last_name: String = seen.invite.last_name.as_str().to_owned(),
        role: RoleName = RoleName::of(&app.policies.load(), &seen.invite.role),
        #[serde(skip_serializing_if = "Option::is_none")]
        inviter_name: Option<String> = seen.inviter.as_ref().map(domain::Member::full_name),
        expires: String = rfc3339(seen.invite.expires),
        two_step_enforced: bool = seen.account.two_step_enforced,
        // If no second factor is required, the password is the only one.
        password: PasswordLength =
            PasswordLength { min: password::chars_min(false), max: limits::PASSWORD_CHARS_MAX },
    }
}

#[derive(Debug, Serialize)]
struct PasswordLength {
    min: usize,
    max: usize,
}
