//! An audit entry: who did what to whom, with the values before and after.
//!
//! An entry is a header, which the hash chain covers, and a separate personal part, so that a
//! person's data can be erased and the chain still verifies. Never contains a secret.

use super::account::AccountSlug;
use super::digest::Digest;
use super::ids::{ApiTokenId, InviteId};
use super::member::MemberId;
use super::revision_and_timestamp::{Revision, Timestamp};
use super::worded_enum::worded;

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

worded! {
    /// What happened. Names follow the OWASP Logging Vocabulary where it has one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum AuditEvent {
        /// An account was created.
        AccountCreated = "account_created",
        /// A member was created.
        UserCreated = "user_created",
        /// A member's name or address changed.
        UserUpdated = "user_updated",
        /// A member's role changed.
        PrivilegePermissionsChanged = "privilege_permissions_changed",
        /// A member was suspended.
        UserSuspended = "user_suspended",
        /// A suspended member was restored.
        UserRestored = "user_restored",
        /// A member was removed.
        UserDeleted = "user_deleted",
        /// The personal data of a removed member was erased.
        UserErased = "user_erased",
        /// Members were imported: one entry for all.
        UsersImported = "users_imported",
        /// A policy set became live.
        PoliciesReloaded = "policies_reloaded",
        /// A policy set was held for approval, since somebody would gain access by it.
        PoliciesHeld = "policies_held",
        /// A policy set was published to the nodes of a fleet.
        PoliciesPublished = "policies_published",
        /// A pin of a former policy set ended.
        PoliciesUnpinned = "policies_unpinned",
        /// A backup was restored.
        StoreRestored = "store_restored",
        /// New keys were put in use on all nodes of a fleet.
        KeysActivated = "keys_activated",
        /// An invite was created.
        InviteCreated = "invite_created",
        /// An invite got a new link, and the previous one ended.
        InviteResent = "invite_resent",
        /// An invite's address, name or role changed.
        InviteUpdated = "invite_updated",
        /// The valid link of an invite was shown to somebody.
        InviteLinkShown = "invite_link_shown",
        /// An invite was revoked, or its inviter lost the right to send it.
        InviteRevoked = "invite_revoked",
        /// Somebody joined with an invite.
        InviteAccepted = "invite_accepted",
        /// The holder of a dead link asked for a new one.
        InviteWanted = "invite_wanted",
        /// A mail server accepted a letter.
        MailHandedOver = "mail_handed_over",
        /// A letter was delivered.
        MailDelivered = "mail_delivered",
        /// A letter bounced.
        MailBounced = "mail_bounced",
        /// A letter was refused, or given up.
        MailFailed = "mail_failed",
        /// Mail was stopped until its configuration is fixed.
        MailStopped = "mail_stopped",
        /// Mail was resumed.
        MailResumed = "mail_resumed",
        /// A sign-in.
        AuthnLoginSuccess = "authn_login_success",
        /// A sign-in after failed attempts.
        AuthnLoginSuccessAfterFail = "authn_login_successafterfail",
        /// Sign-in attempts are delayed.
        AuthnLoginLock = "authn_login_lock",
        /// A password was set or changed.
        AuthnPasswordChange = "authn_password_change",
        /// A link to a new password or a new address, or an API token, was created: its purpose says
        /// which.
        AuthnTokenCreated = "authn_token_created",
        /// A member set up an authenticator app.
        TwoStepEnabled = "two_step_enabled",
        /// A member turned two-step verification off.
        TwoStepDisabled = "two_step_disabled",
        /// A member's second factor was reset by somebody else.
        TwoStepReset = "two_step_reset",
        /// A member created new recovery codes.
        RecoveryCodesCreated = "recovery_codes_created",
        /// A member used a recovery code.
        RecoveryCodeUsed = "recovery_code_used",
        /// An API token was revoked, or ended with its creator's right to give its role.
        AuthnTokenRevoked = "authn_token_revoked",
        /// A member added a passkey.
        PasskeyAdded = "passkey_added",
        /// A member removed a passkey.
        PasskeyRemoved = "passkey_removed",
        /// A passkey may have been copied, and was refused.
        PasskeyCopied = "passkey_copied",
        /// Sessions were ended by somebody.
        SessionLogout = "session_logout",
        /// An account's name or settings changed.
        AccountUpdated = "account_updated",
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
