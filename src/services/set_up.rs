//! The first account of an empty store and its first administrator, created with a link that works
//! once.
//!
//! The token is in memory only: a restart prints a new one. Does nothing once there is an account.

use std::sync::{Arc, PoisonError};

use super::client_info::ClientInfo;
use super::detached_changes::run_detached;
use super::{accounts, directory_sync, passwords, roles};
use crate::app::App;
use crate::domain::{
    Account, AccountSlug, Email, Failure, Member, MemberId, Name, RoleId, Status, Token, Version,
    limits, one_time_link,
};
use crate::entropy;
use crate::password::Password;
use crate::store::{Committed, FirstAccount};
use crate::throttle::Quota;

/// The data of the first account.
#[derive(Debug)]
pub struct FirstAccountRequest {
    /// The account's slug.
    pub slug: AccountSlug,
    /// The account's name.
    pub name: String,
    /// The administrator's address.
    pub email: Email,
    /// First name.
    pub first_name: Name,
    /// Last name.
    pub last_name: Name,
    /// The role; by default the only administering one.
    pub role: Option<RoleId>,
}

/// Creates the token of the set-up link, if there is no account yet.
///
/// # Errors
/// `Busy`, when the disk fails; `Internal` without randomness.
pub async fn offer_setup_link(app: &App) -> Result<Option<Token>, Failure> {
    if !app.store.accounts().await?.is_empty() {
        return Ok(None);
    }
    let token = Token::from_bytes(entropy::random()?);
    *app.set_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.hash());
    Ok(Some(token))
}

/// Whether there is a valid set-up link.
#[must_use]
pub fn is_offered(app: &App) -> bool {
    app.set_up.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// The failure for a link that does not open the set-up.
fn dead_link(is_offered: bool) -> Failure {
    let sentence = if is_offered {
        "this link no longer works: each start of KWIC Team prints a new one, so open the newest link in the terminal"
    } else {
        "there is an account already, or this link was used: sign in, or ask an administrator for an invitation"
    };
    Failure { public: sentence.to_owned(), ..one_time_link::dead() }
}

/// Creates the first account and its administrator.
///
/// # Errors
/// `Gone` `link_dead`; `Invalid` for a password that is refused, or `role_missing`; `Conflict`
/// `set_up_already`; `TooMany` `too_many_requests`; `Busy`.
pub async fn set_up(
    app: &Arc<App>,
    token: &str,
    first: FirstAccountRequest,
    password: &str,
    from: &ClientInfo,
) -> Result<Committed<(Account, Member)>, Failure> {
    let now = app.clock.now();
    if let Some(network) = from.place() {
        let quota = Quota {
            of: &[b"set-up from", network.as_bytes()],
            most: limits::SET_UPS_BY_NETWORK_MAX,
            per: limits::SET_UPS_BY_NETWORK_PER,
        };
        app.quotas.take(&[quota], now)?;
    }
    let offered = *app.set_up.lock().unwrap_or_else(PoisonError::into_inner);
    // Hashes are compared, so that timing reveals nothing of the token.
    if Token::parse(token).map(|token| token.hash()).is_none_or(|hash| Some(hash) != offered) {
        return Err(dead_link(offered.is_some()));
    }
    let role = match first.role {
        Some(role) => role,
        None => accounts::only_administering_role(app)?,
    };
    let account = Account {
        slug: first.slug,
        name: first.name,
        created: now,
        invite_lifetime: None,
        two_step_enforced: false,
        version: Version::FIRST,
    };
    let password = Password::parse(password)?;
    let names = [first.first_name.as_str(), first.last_name.as_str()];
    passwords::check(&password, &account, &first.email, names)?;
    let hash = app.hasher.hash(&password).await?;
    let member = Member {
        id: MemberId::from_random(entropy::random()?),
        account: account.slug.clone(),
        email: first.email,
        first_name: first.first_name,
        last_name: first.last_name,
        role,
        status: Status::Active,
        two_step: false,
        joined: now,
        version: Version::FIRST,
    };
    let app = Arc::clone(app);
    run_detached(async move {
        let _giving = roles::lock_role_grants(&app, [&member.role]).await?;
        accounts::must_administer(&app, &member.role)?;
        let (slug, name) = (account.slug.clone(), account.name.clone());
        let done = app.store.set_up(FirstAccount { slug, name, member, password: hash }).await;
        let Committed { revision, value } = directory_sync::wait_until_applied(&app, done).await?;
        *app.set_up.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(Committed { revision, value: (account, value) })
    })
    .await
}
