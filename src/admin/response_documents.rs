//! The JSON documents of the management API: separate types for serde, beside those of the domain.
//!
//! Names here are a stable contract with programs. No field holds a secret, except a link where the
//! service returns one.

/// A document: each field with its type and its value, and what it is made from. `from` implements
/// the trait; any other name is that of a function.
macro_rules! document {
    ($(#[$meta:meta])* $visible:vis struct $name:ident from($source:ident: $of:ty) {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $value:expr,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Serialize)]
        $visible struct $name {
            $($(#[$field_meta])* $field: $type,)+
        }

        impl From<$of> for $name {
            fn from($source: $of) -> Self {
                Self { $($field: $value,)+ }
            }
        }
    };
    ($(#[$meta:meta])* $visible:vis struct $name:ident $make:ident($($source:ident: $of:ty),+) {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $value:expr,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Serialize)]
        $visible struct $name {
            $($(#[$field_meta])* $field: $type,)+
        }

        impl $name {
            $visible fn $make($($source: $of),+) -> Self {
                Self { $($field: $value,)+ }
            }
        }
    };
}

mod access_review;
mod accounts_and_members;
mod audit_log;
mod backup;
mod events;
mod fleet;
mod invites;
mod mail;
mod passkeys;
mod password_links;
mod personal_data;
mod roles_and_policies;
mod shadow;
mod tokens;
mod two_step;
mod warnings;
mod who_may;

use serde::Serialize;

pub(super) use access_review::Finding;
pub(super) use accounts_and_members::{
    Account, AccountWithInvite, CurrentMember, EmailChanged, EndedSessions, FirstAccount,
    ImportReceipt, Member, MemberWithSignIn, RemovalReceipt, Session, SignedIn,
};
pub(super) use audit_log::{AuditLogEntry, ChainVerification};
pub(super) use backup::Backup;
pub(super) use events::event;
pub(super) use fleet::{ErasureReached, Fleet, ForgottenNode, KeysActivated, Seen};
pub(super) use invites::{Invite, InvitePreview};
pub(super) use mail::{MailReport, MailTest};
pub(super) use passkeys::{Passkey, PasskeyPrompt};
pub(super) use password_links::{AdministratorRecovery, PasswordResetLink};
pub(super) use personal_data::{Erasure, MemberData};
pub(super) use roles_and_policies::{
    Comparison, Permissions, Policies, PoliciesPublished, PolicyHistoryEntry, PolicySet, Reload,
    Role, Suggestion,
};
pub(super) use shadow::Shadow;
pub(super) use tokens::{ApiToken, ApiTokenMade};
pub(super) use two_step::{
    Enrolment, PendingSignIn, RecoveryCodes, TwoStepSignedIn, TwoStepStatus,
};
pub(super) use warnings::Warning;
pub(super) use who_may::{ActionOfMember, MemberWhoMay};

use crate::app::App;
use crate::domain::{Failure, MemberId, Revision};
use crate::http;
use crate::services::bulk_member_changes::ChangeResult;
use crate::services::fleet_status::SeenBy;
use crate::services::invites::InviteWithLink;
use crate::store::{Committed, Page};

/// A list, or one page of it.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

impl<T> List<T> {
    /// A list that has only one page.
    pub(super) fn whole(items: impl IntoIterator<Item = impl Into<T>>) -> Self {
        Self { items: items.into_iter().map(Into::into).collect(), next: None }
    }
}

impl<D, T: From<D>> From<Page<D>> for List<T> {
    fn from(page: Page<D>) -> Self {
        Self { items: page.items.into_iter().map(T::from).collect(), next: page.next }
    }
}

/// What became of each of several changes.
#[derive(Debug, Serialize)]
pub(super) struct SeveralChanged {
    items: Vec<BulkItemOutcome>,
    /// Always null: there is one page.
    next: Option<String>,
    /// Which nodes have seen all that was changed, where that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
}

impl SeveralChanged {
    pub(super) fn new(items: Vec<BulkItemOutcome>, seen: Option<SeenBy>) -> Self {
        Self { items, next: None, seen: seen.map(Seen::from) }
    }
}

/// A changed record, with the revision of the change.
#[derive(Debug, Serialize)]
pub(super) struct Changed<T> {
    #[serde(flatten)]
    record: T,
    revision: u64,
    /// Which nodes have seen it, where that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
}

impl<T> Changed<T> {
    pub(super) fn new(record: T, Revision(revision): Revision) -> Self {
        Self { record, revision, seen: None }
    }

    /// With the nodes that have seen it, where that was waited for.
    pub(super) fn seen(self, seen: Option<SeenBy>) -> Self {
        Self { seen: seen.map(Seen::from), ..self }
    }
}

impl<D, T: From<D>> From<Committed<D>> for Changed<T> {
    fn from(Committed { revision, value }: Committed<D>) -> Self {
        Self::new(T::from(value), revision)
    }
}

/// The result for one of several.
#[derive(Debug, Serialize)]
pub(super) struct BulkItemOutcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    status: u16,
    #[serde(flatten)]
    what: BulkItemBody,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum BulkItemBody {
    Invite(Box<Changed<Invite>>),
    Member(Changed<Member>),
    Receipt(Changed<RemovalReceipt>),
    #[serde(rename = "receipt")]
    Ended(EndedSessions),
    Problem(ItemProblem),
}

/// The fault of one of several.
#[derive(Debug, Serialize)]
struct ItemProblem {
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<ItemField>,
}

#[derive(Debug, Serialize)]
struct ItemField {
    field: String,
    message: String,
}

impl BulkItemOutcome {
    pub(super) fn of_invite(app: &App, sent: Result<Committed<InviteWithLink>, Failure>) -> Self {
        match sent {
            Ok(Committed { revision, value }) => {
                let invite = Changed::new(Invite::of(app, value), revision);
                Self {
                    id: None,
                    status: super::CREATED,
                    what: BulkItemBody::Invite(Box::new(invite)),
                }
            }
            Err(failure) => Self::refused(None, failure),
        }
    }

    pub(super) fn of_member(id: &MemberId, done: Result<ChangeResult, Failure>) -> Self {
        let what = match done {
            Ok(ChangeResult::Member(done)) => BulkItemBody::Member(Changed::from(done)),
            Ok(ChangeResult::Removed(done)) => BulkItemBody::Receipt(Changed::from(done)),
            Ok(ChangeResult::Ended(done)) => {
                BulkItemBody::Ended(EndedSessions::of_member(id, &done))
            }
            Err(failure) => return Self::refused(Some(id.to_string()), failure),
        };
        Self { id: Some(id.to_string()), status: super::OK, what }
    }

    fn refused(id: Option<String>, failure: Failure) -> Self {
        crate::telemetry::log::failed("", &failure);
        let field = |(field, message)| ItemField { field, message };
        Self {
            id,
            status: http::status(failure.kind),
            what: BulkItemBody::Problem(ItemProblem {
                code: failure.code,
                detail: failure.public,
                fields: failure.fields.into_iter().map(field).collect(),
            }),
        }
    }
}
