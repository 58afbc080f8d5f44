//! Transitions of members.
//!
//! Each change checks, writes, audits and publishes in one transaction.

use std::collections::BTreeSet;

use super::address_index::{self, AddressOwner};
use super::audit_diff;
use super::member_rows::{self, MemberTables, OwnedTarget};
use super::running_change::TransactionEnd;
use super::tables::{ADDRESSES, CREDENTIALS, REMOVED, SIGNED_IN};
use super::{
    Store, account_rows, api_token_rows, factor_rows, invariants, invite_rows, link_rows,
    session_rows,
};
use crate::domain::{
    AccountSlug, Actor, AuditEvent, ChangedRecord, Failure, FieldChange, Kind, Member, MemberId,
    Status,
};
use crate::store::{Committed, MemberEdit, MemberTarget, Preconditions, Removal};

impl Store {
    /// Makes an active member.
    ///
    /// # Errors
    /// `NotFound` `unknown_account`; `Conflict` `id_taken`, `already_member` or `already_invited`;
    /// `Busy`, when the disk fails.
    pub async fn member_create(
        &self,
        actor: &Actor,
        member: Member,
    ) -> Result<Committed<Member>, Failure> {
        self.write(actor, move |change| {
            account_rows::need(change.tx, &member.account)?;
            let mut tables = MemberTables::open(change)?;
            tables.need_free_id(&member.id)?;
            tables.need_free_address(change, &member)?;
            tables.put(change, None, &member)?;
            drop(tables);
            member_rows::tell_created(change, &member)?;
            Ok(TransactionEnd::Changed(member))
        })
        .await
    }

    /// One member, of any account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn member(&self, id: &MemberId) -> Result<Option<Member>, Failure> {
        let id = id.clone();
        self.read(move |tx| member_rows::read(tx, id.as_str())).await
    }

    /// The member of an account who has this canonical address.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn member_by_email(
        &self,
        account: &AccountSlug,
        email_key: &str,
    ) -> Result<Option<Member>, Failure> {
        let key = address_index::key(account, email_key);
        self.read(move |tx| {
            let addresses = tx.open_table(ADDRESSES)?;
            let found = addresses.get(key.as_str())?;
            match found.as_ref().and_then(|found| AddressOwner::decode(found.value())) {
                Some(AddressOwner::Member(id)) => member_rows::read(tx, id),
                _ => Ok(None),
            }
        })
        .await
    }

    /// Edits a member. An edit that changes nothing returns the member unchanged, with the current
    /// revision, and writes no audit entry.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Stale`; `Conflict` `already_member`, `already_invited`,
    /// `own_role`, `last_administrator`, or `moved_on`; `Busy`, when the disk fails.
    pub async fn member_edit(
        &self,
        by: &Preconditions,
        target: MemberTarget<'_>,
        edit: MemberEdit,
    ) -> Result<Committed<Member>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            invariants::preconditions(change, &by, &target.account)?;
            let before = member_rows::find_target(change, &target)?;
            let after = edited(&before, &edit);
            if after == before {
                return Ok(TransactionEnd::AsItWas(before));
            }
            invariants::forbid_own_role_change(&by, &before, &after)?;
            invariants::keep_last_administrator(change, &by, &before, Some(&after))?;
            if after.email.key() != before.email.key() {
                member_rows::move_address(change, &before, &after)?;
            }
            MemberTables::open(change)?.put(change, Some(&before), &after)?;
            member_rows::audit_edit(change, &before, &after)?;
            if after.role != before.role {
                // A member who could see a link to the password with the previous role must not use
                // it for the new one.
                link_rows::end_all(change, &after.id)?;
                invite_rows::revoke_sent_by(change, &after.id, &edit.still_invites)?;
                api_token_rows::revoke_made_by(change, &after, &edit.still_makes_tokens)?;
            }
            change.tell(ChangedRecord::Member(after.clone()));
            Ok(TransactionEnd::Changed(after))
        })
        .await
    }

    /// Suspends a member, and ends the member's sessions, links and API tokens.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Stale`; `Conflict` `already_suspended`, `last_administrator`,
    /// or `moved_on`; `Busy`, when the disk fails.
    pub async fn member_suspend(
        &self,
        by: &Preconditions,
        target: MemberTarget<'_>,
    ) -> Result<Committed<Member>, Failure> {
        self.set_status(by, target, Status::Suspended).await
    }

    /// Restores a suspended member.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Stale`; `Conflict` `already_active`, or `moved_on`;
    /// `Busy`, when the disk fails.
    pub async fn member_restore(
        &self,
        by: &Preconditions,
        target: MemberTarget<'_>,
    ) -> Result<Committed<Member>, Failure> {
        self.set_status(by, target, Status::Active).await
    }

    async fn set_status(
        &self,
        by: &Preconditions,
        target: MemberTarget<'_>,
        status: Status,
    ) -> Result<Committed<Member>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            invariants::preconditions(change, &by, &target.account)?;
            let before = member_rows::find_target(change, &target)?;
            let (event, code) = match status {
                Status::Suspended => (AuditEvent::UserSuspended, "already_suspended"),
                Status::Active => (AuditEvent::UserRestored, "already_active"),
            };
            if before.status == status {
                let sentence =
                    format!("this member is {} already: nothing was changed", status.as_str());
                return Err(Failure::new(Kind::Conflict, code, sentence).into());
            }
            let after = Member { status, version: before.version.next(), ..before.clone() };
            invariants::keep_last_administrator(change, &by, &before, Some(&after))?;
            MemberTables::open(change)?.put(change, Some(&before), &after)?;
            if status == Status::Suspended {
                session_rows::end_all(change, &after.id)?;
                link_rows::end_all(change, &after.id)?;
                api_token_rows::revoke_made_by(change, &after, &BTreeSet::new())?;
            }
            let fields =
                vec![FieldChange::changed("status", before.status.as_str(), after.status.as_str())];
            member_rows::audit(change, &after, event, fields)?;
            change.tell(ChangedRecord::Member(after.clone()));
            Ok(TransactionEnd::Changed(after))
        })
        .await
    }

    /// Removes a member for good, with the member's sessions, links, API tokens and open invites.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Stale`; `Conflict` `last_administrator`, or `moved_on`;
    /// `Busy`, when the disk fails.
    pub async fn member_remove(
        &self,
        by: &Preconditions,
        target: MemberTarget<'_>,
    ) -> Result<Committed<Removal>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            invariants::preconditions(change, &by, &target.account)?;
            let member = member_rows::find_target(change, &target)?;
            invariants::keep_last_administrator(change, &by, &member, None)?;
            MemberTables::open(change)?.remove(change, &member)?;
            change.tx.open_table(CREDENTIALS)?.remove(member.id.as_str())?;
            factor_rows::forget(change, &member.id)?;
            change.tx.open_table(SIGNED_IN)?.remove(member.id.as_str())?;
            let key = address_index::key(&member.account, member.email.key());
            change.tx.open_table(REMOVED)?.insert(key.as_str(), change.now.0)?;
            let sessions_ended = session_rows::end_all(change, &member.id)?;
            link_rows::end_all(change, &member.id)?;
            let fields = audit_diff::member_removed(&member);
            member_rows::audit(change, &member, AuditEvent::UserDeleted, fields)?;
            let invites_cancelled =
                invite_rows::revoke_sent_by(change, &member.id, &BTreeSet::new())?;
            let tokens_revoked = api_token_rows::revoke_made_by(change, &member, &BTreeSet::new())?;
            change.tell(ChangedRecord::MemberGone {
                id: member.id.clone(),
                account: member.account.clone(),
            });
            Ok(TransactionEnd::Changed(Removal {
                member,
                sessions_ended,
                tokens_revoked,
                invites_cancelled,
            }))
        })
        .await
    }
}

fn edited(before: &Member, edit: &MemberEdit) -> Member {
    let mut after = before.clone();
    if let Some(name) = &edit.first_name {
        after.first_name = name.clone();
    }
    if let Some(name) = &edit.last_name {
        after.last_name = name.clone();
    }
    if let Some(email) = &edit.email {
        after.email = email.clone();
    }
    if let Some(role) = &edit.role {
        after.role = role.clone();
    }
    if after != *before {
        after.version = before.version.next();
    }
    after
}
