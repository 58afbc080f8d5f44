//! Accounts, members, sessions, and the results of ending them.

use serde::Serialize;

use super::{Invite, List};
use crate::app::App;
use crate::clock::rfc3339;
use crate::domain::{self, MemberId, Revision, SessionId, Timestamp};
use crate::services::import::Imported;
use crate::services::session_auth;
use crate::store::{Committed, Removal, types::personal_data};

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Account {
    slug: String,
    name: String,
    created: String,
    invite_lifetime_hours: Hours,
    two_step_enforced: bool,
    version: u64,
}

/// Hours, as a whole number if possible.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Hours {
    Whole(u64),
    Part(f64),
}

impl Account {
    pub(in crate::admin) fn of(app: &App, account: domain::Account) -> Self {
        let seconds = account.invite_lifetime.unwrap_or(app.config.invite_lifetime).as_secs();
        Self {
            slug: account.slug.to_string(),
            name: account.name,
            created: rfc3339(account.created),
            invite_lifetime_hours: match seconds % 3_600 {
                0 => Hours::Whole(seconds / 3_600),
                _ => Hours::Part(seconds as f64 / 3_600.0),
            },
            two_step_enforced: account.two_step_enforced,
            version: account.version.0,
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

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Member {
    id: String,
    account: String,
    email: String,
    first_name: String,
    last_name: String,
    role: String,
    status: &'static str,
    two_step: bool,
    joined: String,
    version: u64,
}

impl From<domain::Member> for Member {
    fn from(member: domain::Member) -> Self {
        Self {
            id: member.id.to_string(),
            account: member.account.to_string(),
            email: member.email.to_string(),
            first_name: member.first_name.as_str().to_owned(),
            last_name: member.last_name.as_str().to_owned(),
            role: member.role.to_string(),
            status: member.status.as_str(),
            two_step: member.two_step,
            joined: rfc3339(member.joined),
            version: member.version.0,
        }
    }
}

/// A member, with the last sign-in.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct MemberWithSignIn {
    #[serde(flatten)]
    member: Member,
    signed_in: Option<String>,
}

impl From<personal_data::MemberWithSignIn> for MemberWithSignIn {
    fn from(seen: personal_data::MemberWithSignIn) -> Self {
        Self { signed_in: seen.signed_in.map(rfc3339), member: Member::from(seen.member) }
    }
}

/// The signed-in member, and the session.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct CurrentMember {
    #[serde(flatten)]
    pub(in crate::admin) member: MemberWithSignIn,
    pub(in crate::admin) session: Session,
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Session {
    id: String,
    created: String,
    used: String,
    expires: String,
    address: String,
    agent: String,
    current: bool,
}

impl Session {
    pub(in crate::admin) fn of(
        app: &App,
        session: domain::Session,
        current: Option<&SessionId>,
    ) -> Self {
        Self {
            created: rfc3339(session.created),
            used: rfc3339(session.used),
            expires: rfc3339(ends(app, &session)),
            current: current == Some(&session.id),
            id: session.id.to_string(),
            address: session.address,
            agent: session.agent,
        }
    }

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
    let after = |from: Timestamp, limit: std::time::Duration| {
        Timestamp(from.0.saturating_add(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX)))
    };
    after(session.used, limits.idle).min(after(session.created, limits.absolute))
}

/// A member who has signed in. The token is in the cookie.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct SignedIn {
    state: &'static str,
    member: Member,
    expires: String,
}

impl SignedIn {
    pub(in crate::admin) fn of(
        app: &App,
        session: &domain::Session,
        member: domain::Member,
    ) -> Self {
        let expires = rfc3339(ends(app, session));
        Self { state: "signed_in", member: Member::from(member), expires }
    }
}

/// A new address.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct EmailChanged {
    state: &'static str,
    email: String,
}

impl EmailChanged {
    pub(in crate::admin) fn of(member: &domain::Member) -> Self {
        Self { state: "changed", email: member.email.to_string() }
    }
}

/// The result of a removal.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct RemovalReceipt {
    id: String,
    sessions_ended: u64,
    tokens_revoked: u64,
    invites_cancelled: u64,
}

impl From<Removal> for RemovalReceipt {
    fn from(removal: Removal) -> Self {
        Self {
            id: removal.member.id.to_string(),
            sessions_ended: removal.sessions_ended,
            tokens_revoked: removal.tokens_revoked,
            invites_cancelled: removal.invites_cancelled,
        }
    }
}

/// The number of sessions that ended.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct EndedSessions {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    sessions_ended: u64,
    revision: u64,
}

impl EndedSessions {
    pub(in crate::admin) fn new(sessions_ended: u64, Revision(revision): Revision) -> Self {
        Self { id: None, sessions_ended, revision }
    }

    pub(in crate::admin) fn of_member(id: &MemberId, ended: &Committed<u64>) -> Self {
        Self { id: Some(id.to_string()), ..Self::new(ended.value, ended.revision) }
    }
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct ImportReceipt {
    imported: u64,
    digest: String,
    /// What is unusual about lines that were imported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<LineWarning>,
}

#[derive(Debug, Serialize)]
struct LineWarning {
    line: u64,
    sentence: String,
}

impl From<Imported> for ImportReceipt {
    fn from(imported: Imported) -> Self {
        let Imported { members, digest, hints } = imported;
        let warnings = hints.into_iter().map(|(line, sentence)| LineWarning { line, sentence });
        Self { imported: members, digest: digest.hex(), warnings: warnings.collect() }
    }
}
