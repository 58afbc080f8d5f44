//! Authentication by session: who a token stands for, and whether the session still counts.
//!
//! What a session may do is asked of its member each time: the token carries no rights. A token is looked
//! up in memory only.

use crate::app::App;
use crate::domain::{
    AccountSlug, Change, ChangedRecord, Failure, Member, MemberId, SessionId, SessionLimits, Token,
    TokenHash,
};
use crate::store::MemberTarget;

pub use crate::domain::session::ended;

/// The name of the session cookie. The prefix makes browsers require `Secure`, `Path=/` and no
/// `Domain` (RFC 6265bis, section 4.1.3).
pub const COOKIE: &str = "__Host-kwic_session";

/// A signed-in member. Only created by [`authenticate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    session: SessionId,
    token: TokenHash,
    member: MemberId,
    account: AccountSlug,
}

impl SignedIn {
    /// Whether a change ended this session.
    #[must_use]
    pub fn is_ended_by(&self, change: &Change) -> bool {
        change
            .rows
            .iter()
            .any(|row| matches!(row, ChangedRecord::SessionGone(token) if *token == self.token))
    }

    /// Which session.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Who.
    #[must_use]
    pub fn member(&self) -> &MemberId {
        &self.member
    }

    /// On which account.
    #[must_use]
    pub fn account(&self) -> &AccountSlug {
        &self.account
    }

    /// What the session is found by.
    pub(super) fn token(&self) -> TokenHash {
        self.token
    }

    pub(super) fn target(&self) -> MemberTarget<'_> {
        MemberTarget { account: &self.account, id: &self.member, expected: None }
    }

    /// The member's stored record.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`, when there is none; `Busy`, when the disk fails.
    pub async fn record(&self, app: &App) -> Result<Member, Failure> {
        // It may have ended since the request began.
        if !is_live(app, self) {
            return Err(ended());
        }
        app.store.member(&self.member).await?.ok_or_else(ended)
    }
}

/// The configured timeouts of sessions.
#[must_use]
pub fn limits(app: &App) -> SessionLimits {
    SessionLimits { idle: app.config.sessions.idle, absolute: app.config.sessions.absolute }
}

/// Authenticates a token; counts as use of the session.
#[must_use]
pub fn authenticate(app: &App, token: &str) -> Option<SignedIn> {
    let token = Token::parse(token)?.hash();
    let now = app.clock.now();
    let live = app.directory.session(&token, |session| {
        limits(app).lives(session.created, session.used, now).then(|| SignedIn {
            session: session.id.clone(),
            token,
            member: session.member.clone(),
            account: session.account.clone(),
        })
    })??;
    // A suspension ends the sessions; this check also covers the moment in between.
    let active = app.directory.with(live.member.as_str(), |member| member.active);
    if active != Some(true) {
        return None;
    }
    app.directory.session_used(&token, now);
    Some(live)
}

/// Whether a valid session still is; does not count as use.
#[must_use]
pub fn is_live(app: &App, signed_in: &SignedIn) -> bool {
    let now = app.clock.now();
    app.directory
        .session(&signed_in.token, |session| limits(app).lives(session.created, session.used, now))
        .unwrap_or(false)
}
