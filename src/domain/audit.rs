//! An audit entry: who did what to whom, with the values before and after.
//!
//! An entry is a header, which the hash chain covers, and a separate personal part, so that a
//! person's data can be erased and the chain still verifies. Never contains a secret.

use super::account::AccountSlug;
use super::digest::Digest;
use super::ids::{ApiTokenId, InviteId};
use super::member::MemberId;
use super::revision::{Revision, Timestamp};

/// The actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The operator of the sidecar, by the user id of the connection on `admin.sock`.
    Sidecar {
        /// The peer's user id.
        uid: u32,
    },
    /// The sidecar itself: a reload by file watch or signal, a last good set at start, the mail
    /// that it sends.
    System,
    /// A member, with a session or with a link that was sent to the member.
    Member(MemberId),
    /// A program with an API token, which acts as the member who created it.
    Token {
        /// The token.
        id: ApiTokenId,
        /// Its creator.
        member: MemberId,
    },
    /// The holder of an invite's link.
    Invitee(InviteId),
    /// The holder of the set-up link of an empty store.
    Setup,
}

impl Actor {
    /// The label in the audit log: `sidecar:UID`, `system`, `member:ID`, `token:ID:MEMBER`,
    /// `invite:ID`, `setup`.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Sidecar { uid } => format!("sidecar:{uid}"),
            Self::System => "system".to_owned(),
            Self::Member(id) => format!("member:{id}"),
            Self::Token { id, member } => format!("token:{id}:{member}"),
            Self::Invitee(id) => format!("invite:{id}"),
            Self::Setup => "setup".to_owned(),
        }
    }

    /// Parses a label.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        match label.split_once(':') {
            None if label == "system" => Some(Self::System),
            None if label == "setup" => Some(Self::Setup),
            Some(("sidecar", uid)) => uid.parse().ok().map(|uid| Self::Sidecar { uid }),
            Some(("member", id)) => MemberId::parse(id).ok().map(Self::Member),
            // A token's id has no colon; a member's may.
            Some(("token", rest)) => {
                let (id, member) = rest.split_once(':')?;
                let member = MemberId::parse(member).ok()?;
                Some(Self::Token { id: ApiTokenId::parse(id)?, member })
            }
            Some(("invite", id)) => InviteId::parse(id).map(Self::Invitee),
            _ => None,
        }
    }

    /// Whether both are the same person: a member and the member's tokens are.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self.member(), other.member()) {
            (Some(one), Some(other)) => one == other,
            _ => self == other,
        }
    }

    /// The member, if the actor is one or a token of one.
    #[must_use]
    pub fn member(&self) -> Option<&MemberId> {
        match self {
            Self::Member(id) | Self::Token { member: id, .. } => Some(id),
            _ => None,
        }
    }
}

/// What happened. Names follow the OWASP Logging Vocabulary where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditEvent {
    /// An account was created.
    AccountCreated,
    /// A member was created.
    UserCreated,
    /// A member's name or address changed.
    UserUpdated,
    /// A member's role changed.
    PrivilegePermissionsChanged,
    /// A member was suspended.
    UserSuspended,
    /// A suspended member was restored.
    UserRestored,
    /// A member was removed.
    UserDeleted,
    /// The personal data of a removed member was erased.
    UserErased,
    /// Members were imported: one entry for all.
    UsersImported,
    /// A policy set became live.
    PoliciesReloaded,
    /// A backup was restored.
    StoreRestored,
    /// An invite was created.
    InviteCreated,
    /// An invite got a new link, and the previous one ended.
    InviteResent,
    /// An invite's address, name or role changed.
    InviteUpdated,
    /// The valid link of an invite was shown to somebody.
    InviteLinkShown,
    /// An invite was revoked, or its inviter lost the right to send it.
    InviteRevoked,
    /// Somebody joined with an invite.
    InviteAccepted,
    /// The holder of a dead link asked for a new one.
    InviteWanted,
    /// A mail server accepted a letter.
    MailHandedOver,
    /// A letter was delivered.
    MailDelivered,
    /// A letter bounced.
    MailBounced,
    /// A letter was refused, or given up.
    MailFailed,
    /// Mail was stopped until its configuration is fixed.
    MailStopped,
    /// Mail was resumed.
    MailResumed,
    /// A sign-in.
    AuthnLoginSuccess,
    /// A sign-in after failed attempts.
    AuthnLoginSuccessAfterFail,
    /// Sign-in attempts are delayed.
    AuthnLoginLock,
    /// A password was set or changed.
    AuthnPasswordChange,
    /// A link to a new password or a new address, or an API token, was created: its purpose says
    /// which.
    AuthnTokenCreated,
    /// A member set up an authenticator app.
    TwoStepEnabled,
    /// A member turned two-step verification off.
    TwoStepDisabled,
    /// A member's second factor was reset by somebody else.
    TwoStepReset,
    /// A member created new recovery codes.
    RecoveryCodesCreated,
    /// A member used a recovery code.
    RecoveryCodeUsed,
    /// An API token was revoked, or ended with its creator's right to give its role.
    AuthnTokenRevoked,
    /// A member added a passkey.
    PasskeyAdded,
    /// A member removed a passkey.
    PasskeyRemoved,
    /// A passkey may have been copied, and was refused.
    PasskeyCopied,
    /// Sessions were ended by somebody.
    SessionLogout,
    /// An account's name or settings changed.
    AccountUpdated,
}

impl AuditEvent {
    /// All events.
    pub const ALL: [Self; 40] = [
        Self::AccountCreated,
        Self::UserCreated,
        Self::UserUpdated,
        Self::PrivilegePermissionsChanged,
        Self::UserSuspended,
        Self::UserRestored,
        Self::UserDeleted,
        Self::UserErased,
        Self::UsersImported,
        Self::PoliciesReloaded,
        Self::StoreRestored,
        Self::InviteCreated,
        Self::InviteResent,
        Self::InviteUpdated,
        Self::InviteLinkShown,
        Self::InviteRevoked,
        Self::InviteAccepted,
        Self::InviteWanted,
        Self::MailHandedOver,
        Self::MailDelivered,
        Self::MailBounced,
        Self::MailFailed,
        Self::MailStopped,
        Self::MailResumed,
        Self::AuthnLoginSuccess,
        Self::AuthnLoginSuccessAfterFail,
        Self::AuthnLoginLock,
        Self::AuthnPasswordChange,
        Self::AuthnTokenCreated,
        Self::TwoStepEnabled,
        Self::TwoStepDisabled,
        Self::TwoStepReset,
        Self::RecoveryCodesCreated,
        Self::RecoveryCodeUsed,
        Self::AuthnTokenRevoked,
        Self::PasskeyAdded,
        Self::PasskeyRemoved,
        Self::PasskeyCopied,
        Self::SessionLogout,
        Self::AccountUpdated,
    ];

    /// The event's name in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountCreated => "account_created",
            Self::UserCreated => "user_created",
            Self::UserUpdated => "user_updated",
            Self::PrivilegePermissionsChanged => "privilege_permissions_changed",
            Self::UserSuspended => "user_suspended",
            Self::UserRestored => "user_restored",
            Self::UserDeleted => "user_deleted",
            Self::UserErased => "user_erased",
            Self::UsersImported => "users_imported",
            Self::PoliciesReloaded => "policies_reloaded",
            Self::StoreRestored => "store_restored",
            Self::InviteCreated => "invite_created",
            Self::InviteResent => "invite_resent",
            Self::InviteUpdated => "invite_updated",
            Self::InviteLinkShown => "invite_link_shown",
            Self::InviteRevoked => "invite_revoked",
            Self::InviteAccepted => "invite_accepted",
            Self::InviteWanted => "invite_wanted",
            Self::MailHandedOver => "mail_handed_over",
            Self::MailDelivered => "mail_delivered",
            Self::MailBounced => "mail_bounced",
            Self::MailFailed => "mail_failed",
            Self::MailStopped => "mail_stopped",
            Self::MailResumed => "mail_resumed",
            Self::AuthnLoginSuccess => "authn_login_success",
            Self::AuthnLoginSuccessAfterFail => "authn_login_successafterfail",
            Self::AuthnLoginLock => "authn_login_lock",
            Self::AuthnPasswordChange => "authn_password_change",
            Self::AuthnTokenCreated => "authn_token_created",
            Self::TwoStepEnabled => "two_step_enabled",
            Self::TwoStepDisabled => "two_step_disabled",
            Self::TwoStepReset => "two_step_reset",
            Self::RecoveryCodesCreated => "recovery_codes_created",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::AuthnTokenRevoked => "authn_token_revoked",
            Self::PasskeyAdded => "passkey_added",
            Self::PasskeyRemoved => "passkey_removed",
            Self::PasskeyCopied => "passkey_copied",
            Self::SessionLogout => "session_logout",
            Self::AccountUpdated => "account_updated",
        }
    }
}

/// A field with its text before and after the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Its name.
    pub field: String,
    /// The text before; `None` where there was none.
    pub before: Option<String>,
    /// The text after; `None` where there is none.
    pub after: Option<String>,
}

impl FieldChange {
    /// A field that was not there before.
    #[must_use]
    pub fn added(field: &str, after: impl Into<String>) -> Self {
        Self { field: field.to_owned(), before: None, after: Some(after.into()) }
    }

    /// A field that is not there any more.
    #[must_use]
    pub fn removed(field: &str, before: impl Into<String>) -> Self {
        Self { field: field.to_owned(), before: Some(before.into()), after: None }
    }

    /// A field whose text changed.
    #[must_use]
    pub fn changed(field: &str, before: impl Into<String>, after: impl Into<String>) -> Self {
        Self { before: Some(before.into()), ..Self::added(field, after) }
    }
}

/// One entry, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The account whose chain this is in; `None` is the store's own chain.
    pub account: Option<AccountSlug>,
    /// 1 for a chain's first entry, without gaps.
    pub sequence: u64,
    /// The revision of the change.
    pub revision: Revision,
    /// The time.
    pub at: Timestamp,
    /// The actor, as [`Actor::label`] writes it.
    pub actor: String,
    /// The event, as [`AuditEvent::as_str`] writes it.
    pub event: String,
    /// The id of the target.
    pub target: String,
    /// The chain's hash up to and with this entry.
    pub hash: Digest,
    /// The personal part: names and addresses, before and after; `None` once erased.
    pub detail: Option<Vec<FieldChange>>,
}

impl AuditEntry {
    /// The changed fields; none once erased.
    #[must_use]
    pub fn fields(&self) -> &[FieldChange] {
        self.detail.as_deref().unwrap_or_default()
    }

    /// The text of a field after the change, or before it where the field was removed.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        let change = self.fields().iter().find(|change| change.field == field)?;
        change.after.as_deref().or(change.before.as_deref())
    }
}

/// The result of `audit verify` for one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// The account whose chain this is; `None` is the store's own chain.
    pub account: Option<AccountSlug>,
    /// The number of entries.
    pub entries: u64,
    /// The hash of the last entry: keep it elsewhere, and pass it to `--expect` later.
    pub head: Digest,
    /// The first altered entry, and how; `None` if the chain is intact.
    pub fault: Option<(u64, String)>,
}
