//! One person's data, and the result of an erasure.
//!
//! Contains only ids of other people. No field holds a token, a password or a hash of either.

use serde::Serialize;

use super::{ApiToken, AuditLogEntry, MemberWithSignIn, Session, TwoStepStatus};
use crate::app::App;
use crate::clock::rfc3339;
use crate::domain::{self, MemberId, SessionId};
use crate::services::personal_data::PersonalData;
use crate::store::types::personal_data as store;

/// The result of an erasure.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Erasure {
    id: String,
    entries_erased: u64,
    invites_erased: u64,
    letters_erased: u64,
}

impl Erasure {
    pub(in crate::admin) fn of(id: &MemberId, erasure: store::Erasure) -> Self {
        Self {
            id: id.to_string(),
            entries_erased: erasure.entries,
            invites_erased: erasure.invites,
            letters_erased: erasure.letters,
        }
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
        let sent = |invite: &domain::Invite| InviteSent {
            id: invite.id.to_string(),
            role: invite.role.to_string(),
            state: invite.state(now).as_str(),
            created: rfc3339(invite.created),
        };
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

/// The invite by which somebody joined, as it was then.
#[derive(Debug, Serialize)]
struct JoinedBy {
    id: String,
    email: String,
    first_name: String,
    last_name: String,
    role: String,
    inviter: String,
    created: String,
    sent: String,
}

impl From<domain::Invite> for JoinedBy {
    fn from(invite: domain::Invite) -> Self {
        Self {
            id: invite.id.to_string(),
            email: invite.email.to_string(),
            first_name: invite.first_name.as_str().to_owned(),
            last_name: invite.last_name.as_str().to_owned(),
            role: invite.role.to_string(),
            inviter: invite.inviter.label(),
            created: rfc3339(invite.created),
            sent: rfc3339(invite.sent),
        }
    }
}

/// An invite to somebody else, without name and address, which are not the sender's data.
#[derive(Debug, Serialize)]
struct InviteSent {
    id: String,
    role: String,
    state: &'static str,
    created: String,
}
