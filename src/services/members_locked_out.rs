//! Members who must wait after failed sign-in attempts: shown to those who may view the team, never
//! to the one who tries.
//!
//! Reads the throttle, and the second factor of one member. Changes nothing.

use std::collections::BTreeMap;

use super::caller::Caller;
use super::members::unknown;
use super::permits::Permit;
use super::rights::Right;
use crate::app::App;
use crate::domain::{Failure, Member, MemberId, Status, Timestamp};
use crate::throttle::LoginKey;

/// What prevents a member from signing in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInLock {
    /// Attempts are refused until then, possibly not from known networks.
    Until(Timestamp),
    /// Codes and passkeys are refused until there is a new password.
    Codes,
}

/// Those of some members of the caller's account who must wait, and until when. From memory,
/// without reading the store.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`.
pub async fn locked_members(
    app: &App,
    caller: Caller,
    members: impl IntoIterator<Item = &Member>,
) -> Result<BTreeMap<MemberId, Timestamp>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    let own = members.into_iter().filter(|member| member.account == *permit.account());
    Ok(own.filter_map(|member| Some((member.id.clone(), until(app, member)?))).collect())
}

/// What prevents one member of the caller's account from signing in, if anything.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_member`; `Busy`.
pub async fn lock_of_member(
    app: &App,
    caller: Caller,
    member: &Member,
) -> Result<Option<SignInLock>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    if member.account != *permit.account() {
        return Err(unknown());
    }
    let factors = app.store.factors(&member.id).await?;
    if factors.may_try().is_err() {
        return Ok(Some(SignInLock::Codes));
    }
    Ok(until(app, member).map(SignInLock::Until))
}

/// A suspended member cannot sign in anyway.
fn until(app: &App, member: &Member) -> Option<Timestamp> {
    let active = Some(member).filter(|member| member.status == Status::Active)?;
    app.throttle.waits_until(LoginKey::new(&active.account, &active.email), app.clock.now())
}
