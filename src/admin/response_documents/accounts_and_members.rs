//! Accounts, members, sessions, and the results of ending them.

use std::time::Duration;

use serde::Serialize;

use super::{Invite, List, Seen};
use crate::app::App;
use crate::clock::rfc3339;
use crate::domain::{self, MemberId, Revision, SessionId, Timestamp};
use crate::services::fleet_status::SeenBy;
use crate::services::import::Imported;
use crate::services::session_auth;
use crate::store::{Committed, Removal, requests_and_views::personal_data};

document! {
    pub(in crate::admin) struct Account of(app: &App, account: domain::Account) {
        slug: String = account.slug.to_string(),
        name: String = account.name,
        created: String = rfc3339(account.created),
        invite_lifetime_hours: Hours =
            Hours::of(account.invite_lifetime.unwrap_or(app.config.invite_lifetime)),
        two_step_enforced: bool = account.two_step_enforced,
        version: u64 = account.version.0,
    }
}

/// Hours, as a whole number if possible.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Hours {
    Whole(u64),
    Part(f64),
}

impl Hours {
    fn of(time: Duration) -> Self {
        let seconds = time.as_secs();
        match seconds % 3_600 {
            0 => Self::Whole(seconds / 3_600),
            _ => Self::Part(seconds as f64 / 3_600.0),
        }
    }
}

/// A new account, with the invite of its first administrator.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct AccountWithInvite {
    #[serde(flatten)]
    pub(in crate::admin) account: Account,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::admin) invite: Option<Invite>,
}

/// The first account of an empty store, and its administrator.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct FirstAccount {
    pub(in crate::admin) account: Account,
    pub(in crate::admin) member: Member,
}

document! {
    pub(in crate::admin) struct Member from(member: domain::Member) {
        id: String = member.id.to_string(),
        account: String = member.account.to_string(),
        email: String = member.email.to_string(),
        first_name: String = member.first_name.as_str().to_owned(),
        last_name: String = member.last_name.as_str().to_owned(),
        role: String = member.role.to_string(),
        status: &'static str = member.status.as_str(),
        two_step: bool = member.two_step,
        joined: String = rfc3339(member.joined),
        version: u64 = member.version.0,
    }
}

document! {
    pub(in crate::admin) struct MemberWithSignIn from(seen: personal_data::MemberWithSignIn) {
        #[serde(flatten)]
        member: Member = Member::from(seen.member),
        signed_in: Option<String> = seen.signed_in.map(rfc3339),
    }
}

/// The signed-in member, and the session.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct CurrentMember {
    #[serde(flatten)]
    pub(in crate::admin) member: MemberWithSignIn,
    pub(in crate::admin) session: Session,
}

document! {
    pub(in crate::admin) struct Session of(
        app: &App,
        session: domain::Session,
        current: Option<&SessionId>
    ) {
        id: String = session.id.to_string(),
        created: String = rfc3339(session.created),
        used: String = rfc3339(session.used),
        expires: String = rfc3339(ends(app, &session)),
        address: String = session.address,
        agent: String = session.agent,
        current: bool = current == Some(&session.id),
    }
}

impl Session {
    pub(in crate::admin) fn list(
        app: &App,
        sessions: Vec<domain::Session>,
        current: Option<&SessionId>,
    ) -> List<Self> {
        let items = sessions.into_iter().map(|session| Self::of(app, session, current)).collect();
        List { items, next: None }
    }
}

/// When a session ends unless it is used before.
fn ends(app: &App, session: &domain::Session) -> Timestamp {
    let limits = session_auth::limits(app);
    let after = |from: Timestamp, limit: Duration| {
        Timestamp(from.0.saturating_add(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX)))
    };
    after(session.used, limits.idle).min(after(session.created, limits.absolute))
}

document! {
    /// A member who has signed in. The token is in the cookie.
    pub(in crate::admin) struct SignedIn of(
        app: &App,
        session: &domain::Session,
        member: domain::Member
    ) {
        state: &'static str = "signed_in",
        member: Member = Member::from(member),
        expires: String = rfc3339(ends(app, session)),
    }
}

document! {
    /// A new address.
    pub(in crate::admin) struct EmailChanged of(member: &domain::Member) {
        state: &'static str = "changed",
        email: String = member.email.to_string(),
    }
}

document! {
    pub(in crate::admin) struct RemovalReceipt from(removal: Removal) {
        id: String = removal.member.id.to_string(),
        sessions_ended: u64 = removal.sessions_ended,
        tokens_revoked: u64 = removal.tokens_revoked,
        invites_cancelled: u64 = removal.invites_cancelled,
    }
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct EndedSessions {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    sessions_ended: u64,
    revision: u64,
    /// Which nodes have seen it, where that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
}

impl EndedSessions {
    pub(in crate::admin) fn new(sessions_ended: u64, Revision(revision): Revision) -> Self {
        Self { id: None, sessions_ended, revision, seen: None }
    }

    /// With the nodes that have seen it, where that was waited for.
    pub(in crate::admin) fn seen(self, seen: Option<SeenBy>) -> Self {
        Self { seen: seen.map(Seen::from), ..self }
    }

    pub(in crate::admin) fn of_member(id: &MemberId, ended: &Committed<u64>) -> Self {
        Self { id: Some(id.to_string()), ..Self::new(ended.value, ended.revision) }
    }
}

document! {
    pub(in crate::admin) struct ImportReceipt from(import: Imported) {
        imported: u64 = import.members,
        digest: String = import.digest.hex(),
        /// What is unusual about lines that were imported.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<LineWarning> = import.hints.into_iter().map(LineWarning::from).collect(),
    }
}

document! {
    struct LineWarning from(hint: (u64, String)) {
        line: u64 = hint.0,
        sentence: String = hint.1,
    }
}
