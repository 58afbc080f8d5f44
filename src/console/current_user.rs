//! The viewer of a page: the signed-in member, the account, and the member's rights.
//!
//! Pages use it to decide what to show; flows never rely on it.

use crate::app::App;
use crate::domain::{Account, Failure, Member};
use crate::http::Request;
use crate::services::accounts;
use crate::services::caller::Caller;
use crate::services::rights::{self, RightsSummary};
use crate::services::session_auth::{self, COOKIE, SignedIn};

/// The signed-in member.
#[derive(Clone, Debug)]
pub(super) struct CurrentUser {
    pub(super) signed_in: SignedIn,
    pub(super) member: Member,
    pub(super) account: Account,
    pub(super) rights: RightsSummary,
}

impl CurrentUser {
    /// Authenticates the viewer; counts as use of the session.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Busy`.
    pub(super) async fn of(app: &App, request: &Request) -> Result<Self, Failure> {
        let token = request.cookie(COOKIE);
        let signed_in = token.and_then(|token| session_auth::authenticate(app, token));
        let signed_in = signed_in.ok_or_else(session_auth::ended)?;
        let member = signed_in.record(app).await?;
        let account = accounts::own(app, &signed_in).await?;
        let rights = rights::of(app, &member);
        Ok(Self { signed_in, member, account, rights })
    }

    /// As the flows know it.
    pub(super) fn caller(&self) -> Caller {
        Caller::Member(self.signed_in.clone())
    }

    pub(super) fn is(&self, member: &Member) -> bool {
        self.member.id == member.id
    }
}
