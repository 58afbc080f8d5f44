//! One person's data, and the result of an erasure.
//!
//! Contains only ids of other people. No field holds a token, a password or a hash of either.

use serde::Serialize;

use super::{ApiToken, AuditLogEntry, ErasureReached, MemberWithSignIn, Session, TwoStepStatus};
use crate::app::App;
use crate::clock::rfc3339;
use crate::domain::{self, MemberId, SessionId, Timestamp};
use crate::services::fleet_erasure::ErasureReceipt;
use crate::services::personal_data::PersonalData;
use crate::store::requests_and_views::personal_data as store;

document! {
    pub(in crate::admin) struct Erasure of(id: &MemberId, erasure: store::Erasure, reached: Option<ErasureReceipt>) {
        id: String = id.to_string(),
        entries_erased: u64 = erasure.entries,
        invites_erased: u64 = erasure.invites,
        letters_erased: u64 = erasure.letters,
        /// How far it has come in a fleet, where that was waited for.
        #[serde(skip_serializing_if = "Option::is_none")]
        reached: Option<ErasureReached> = reached.map(ErasureReached::from),
    }
}

/// All data kept about one member. Data of a member that is added elsewhere gets a field here.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct MemberData {
    at: String,
    member: MemberWithSignIn,
    sessions: Vec<Session>,
    tokens: Vec<ApiToken>,
    two_step: TwoStepStatus,
    came_by: Option<JoinedBy>,
    invites_sent: Vec<InviteSent>,
    entries: Vec<AuditLogEntry>,
    cut: bool,
}

impl MemberData {
    pub(in crate::admin) fn of(app: &App, data: PersonalData, current: Option<&SessionId>) -> Self {
        let (now, PersonalData { kept, sessions, tokens, two_step }) = (app.clock.now(), data);
        let sent = |invite| InviteSent::of(invite, now);
        Self {
            at: rfc3339(now),
            sessions: Session::list(app, sessions, current).items,
            tokens: tokens.iter().map(|token| ApiToken::of(app, token)).collect(),
            two_step: TwoStepStatus::from(two_step),
            came_by: kept.came_by.map(JoinedBy::from),
            invites_sent: kept.invites_sent.iter().map(sent).collect(),
            entries: kept.entries.into_iter().map(AuditLogEntry::from).collect(),
            cut: kept.cut,
            member: MemberWithSignIn::from(kept.seen),
        }
    }
}

document! {
    /// The invite by which somebody joined, as it was then.
    struct JoinedBy from(invite: domain::Invite) {
        id: String = invite.id.to_string(),
        email: String = invite.email.to_string(),
        first_name: String = invite.first_name.as_str().to_owned(),
        last_name: String = invite.last_name.as_str().to_owned(),
        role: String = invite.role.to_string(),
        inviter: String = invite.inviter.label(),
        created: String = rfc3339(invite.created),
        sent: String = rfc3339(invite.sent),
    }
}

document! {
    /// An invite to somebody else, without name and address, which are not the sender's data.
    struct InviteSent of(invite: &domain::Invite, now: Timestamp) {
        id: String = invite.id.to_string(),
        role: String = invite.role.to_string(),
        state: &'static str = invite.state(now).as_str(),
        created: String = rfc3339(invite.created),
    }
}
