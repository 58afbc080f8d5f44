//! Authentication by API token: which program holds a token, and whether the token still counts.
//!
//! Whether the maker may still give the role is asked of the live policies each time.

use super::rights::{may_give, may_give_now};
use crate::app::App;
use crate::domain::api_token::{self, ended};
use crate::domain::{
    AccountSlug, ApiTokenId, Failure, Member, MemberId, MemberView, RoleId, TokenHash,
};

/// The holder of a valid API token. Only created by [`authenticate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHolder {
    id: ApiTokenId,
    token: TokenHash,
    member: MemberId,
    account: AccountSlug,
    role: RoleId,
}

impl TokenHolder {
    /// Which token.
    #[must_use]
    pub fn id(&self) -> &ApiTokenId {
        &self.id
    }

    /// Whom it acts as.
    #[must_use]
    pub fn member(&self) -> &MemberId {
        &self.member
    }

    /// On which account.
    #[must_use]
    pub fn account(&self) -> &AccountSlug {
        &self.account
    }

    /// What it may do.
    #[must_use]
    pub fn role(&self) -> &RoleId {
        &self.role
    }

    /// The creator's record in the store; the creator may still give the role by the live policies.
    ///
    /// # Errors
    /// `Unauthenticated` `token_ended`; `Busy`, when the disk fails.
    pub(super) async fn maker(&self, app: &App) -> Result<Member, Failure> {
        let maker = app.store.member(&self.member).await?;
        let maker = maker.filter(|maker| maker.account == self.account);
        let maker = maker.filter(|maker| may_give(app, maker, &self.role));
        maker.filter(|_| is_live(app, self)).ok_or_else(ended)
    }
}

/// Whether this looks like an API token, valid or not.
#[must_use]
pub fn is_meant(text: &str) -> bool {
    text.starts_with(api_token::PREFIX)
}

/// Authenticates a secret; counts as use of the token. Reads memory only.
#[must_use]
pub fn authenticate(app: &App, text: &str) -> Option<TokenHolder> {
    let token = api_token::parse(text)?.hash();
    let known = app.directory.api_token(&token)?;
    let (id, member, account, role) = (known.id, known.member, known.account, known.role);
    let holder = TokenHolder { id, token, member, account, role };
    if !is_live(app, &holder) || !may_give_now(app, &holder.member, &holder.account, &holder.role) {
        return None;
    }
    app.directory.api_token_used(&token, app.clock.now());
    Some(holder)
}

/// Whether a valid token still is, and its creator is active; does not count as use.
#[must_use]
pub fn is_live(app: &App, holder: &TokenHolder) -> bool {
    let known = app.directory.api_token(&holder.token);
    let lives =
        known.is_some_and(|known| api_token::lives(known.created, known.expires, app.clock.now()));
    let active = |maker: MemberView<'_>| maker.active && maker.account == holder.account.as_str();
    lives && app.directory.with(holder.member.as_str(), active) == Some(true)
}
