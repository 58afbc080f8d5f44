//! The invariants that every path enforces: who may make a change, and that an administrator
//! remains after it.
//!
//! Compares the preconditions with what the transaction finds.

use super::member_rows::{self, OwnedTarget};
use super::row_reads::TableRead;
use super::running_change::ChangeTransaction;
use super::tables::ROLE_COUNTS;
use super::{StoreError, api_token_rows};
use crate::domain::session::ended;
use crate::domain::{AccountSlug, Actor, Failure, Kind, Member, MemberId, Status, Version};
use crate::store::Preconditions;
use crate::store::preconditions::rights_changed;

/// The acting member is active, in the account, and unchanged since the right was checked; an
/// acting token has not ended either.
pub(super) fn preconditions(
    change: &ChangeTransaction<'_>,
    by: &Preconditions,
    account: &AccountSlug,
) -> Result<(), StoreError> {
    if let Actor::Token { id, member } = &by.actor
        && !api_token_rows::still_acts(change, id, member)?
    {
        return Err(rights_changed().into());
    }
    match by.actor.member() {
        Some(member) => check_acting_member(change, member, by.version, account),
        None if by.version.is_some() => Err(rights_changed().into()),
        None => Ok(()),
    }
}

/// The sender of an invite may still send it, as checked.
pub(super) fn check_inviter(
    change: &ChangeTransaction<'_>,
    inviter: &Actor,
    judged: Option<&(MemberId, Version)>,
    account: &AccountSlug,
) -> Result<(), StoreError> {
    match (inviter.member(), judged) {
        (None, None) => Ok(()),
        (Some(member), Some((judged, version))) if member == judged => {
            check_acting_member(change, member, Some(*version), account)
        }
        _ => Err(rights_changed().into()),
    }
}

/// A member is active, in the account, and unchanged since the check.
pub(super) fn check_acting_member(
    change: &ChangeTransaction<'_>,
    id: &MemberId,
    version: Option<Version>,
    account: &AccountSlug,
) -> Result<(), StoreError> {
    let stands = member_rows::read(change.tx, id.as_str())?.is_some_and(|member| {
        member.account == *account
            && member.status == Status::Active
            && version.is_none_or(|version| version == member.version)
    });
    if stands { Ok(()) } else { Err(rights_changed().into()) }
}

/// Nobody may change the own role.
pub(super) fn forbid_own_role_change(
    by: &Preconditions,
    before: &Member,
    after: &Member,
) -> Result<(), StoreError> {
    if before.role == after.role || by.actor.member() != Some(&before.id) {
        return Ok(());
    }
    Err(Failure {
        kind: Kind::Conflict,
        code: "own_role",
        ..Failure::invalid(
            "role",
            "you cannot change your own role: ask another administrator of the team to do it",
        )
    }
    .into())
}

/// The last active administrator stays one; `after` is `None` if the member is removed.
pub(super) fn keep_last_administrator(
    change: &ChangeTransaction<'_>,
    by: &Preconditions,
    before: &Member,
    after: Option<&Member>,
) -> Result<(), StoreError> {
    let administers = |member: &Member| {
        member.status == Status::Active && by.administering.contains(&member.role)
    };
    if !administers(before) || after.is_some_and(administers) {
        return Ok(());
    }
    let counts = change.tx.open_table(ROLE_COUNTS)?;
    let mut administrators = 0;
    for role in &by.administering {
        let key = (before.account.as_str(), role.as_str());
        administrators += counts.get(key)?.map_or(0, |found| found.value());
    }
    if administrators > 1 {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Conflict,
        "last_administrator",
        "this is the last active administrator of the team, and nothing was changed: make somebody else an administrator first",
    )
    .into())
}

/// The member who is signed in and changes something of their own.
pub(super) fn signed_in(
    change: &ChangeTransaction<'_>,
    target: &OwnedTarget,
) -> Result<Member, StoreError> {
    let found = member_rows::read(change.tx, target.id.as_str())?;
    let found =
        found.filter(|member| member.account == target.account && member.status == Status::Active);
    Ok(found.ok_or_else(ended)?)
}
