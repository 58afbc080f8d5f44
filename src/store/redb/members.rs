//! Transitions of members.
//!
//! Each change checks, writes, audits and publishes in one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::addresses::{self, AddressOwner};
use super::audit_diff;
use super::change_transaction::{ChangeTransaction, TransactionEnd};
use super::member_rows::{self, MemberTables, OwnedTarget, RoleCounts};
use super::tables::{ADDRESSES, CREDENTIALS, REMOVED, SIGNED_IN};
use super::{
    Store, StoreError, account_rows, api_token_rows, factor_rows, invariants, invite_rows,
    link_rows, session_rows,
};
use crate::domain::{
    AccountSlug, Actor, AuditEvent, ChangedRecord, Digest, Failure, FieldChange, Kind, Member,
    MemberId, Status, limits,
};
use crate::store::{
    Committed, ImportPart, ImportRow, MemberEdit, MemberTarget, Preconditions, Removal,
};

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
        let key = addresses::key(account, email_key);
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
            let key = addresses::key(&member.account, member.email.key());
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

    /// Creates many members, all or nothing: one revision, one audit entry. Returns their number.
    /// In a fleet they are one entry of the log, so their number has a bound.
    ///
    /// # Errors
    /// `NotFound` `unknown_account`; `Invalid` `import_refused` with a field for each line that
    /// clashes; `TooLarge` `too_large_for_log`; `Busy`, when the disk fails.
    pub async fn member_import(
        &self,
        actor: &Actor,
        account: &AccountSlug,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Committed<u64>, Failure> {
        let account = account.clone();
        if self.0.log.get().is_some() {
            let parts = gathered(parts).await?;
            let import = move |change: &mut ChangeTransaction<'_>| {
                import(change, &account, parts.iter().cloned())
            };
            return self.write(actor, import).await;
        }
        let mut parts = parts;
        let parts = std::iter::from_fn(move || parts.blocking_recv());
        self.write_direct(actor, move |change| import(change, &account, parts)).await
    }
}

/// All rows of an import, for one entry of the log, which may have to be made several times.
async fn gathered(mut parts: mpsc::Receiver<ImportPart>) -> Result<Arc<[ImportPart]>, Failure> {
    let (mut gathered, mut rows) = (Vec::new(), 0);
    while let Some(part) = parts.recv().await {
        if let ImportPart::Rows(some) = &part {
            rows += some.len();
        }
        if rows > limits::FLEET_IMPORT_MAX {
            return Err(Failure::new(
                Kind::TooLarge,
                "too_large_for_log",
                format!(
                    "in a fleet, a file has up to {} members, and nothing was imported: split it",
                    limits::FLEET_IMPORT_MAX
                ),
            ));
        }
        gathered.push(part);
    }
    Ok(gathered.into())
}

fn import(
    change: &mut ChangeTransaction<'_>,
    account: &AccountSlug,
    parts: impl Iterator<Item = ImportPart>,
) -> Result<TransactionEnd<u64>, StoreError> {
    account_rows::need(change.tx, account)?;
    let (count, digest) = import_rows(change, parts)?;
    let fields = vec![
        FieldChange::added("members", count.to_string()),
        FieldChange::added("file_sha256", digest.hex()),
    ];
    let slug = account.as_str();
    change.audit(slug, AuditEvent::UsersImported, slug, fields)?;
    Ok(TransactionEnd::Changed(count))
}

/// Takes rows until the end; all conflicts are collected, and any of them refuses the import.
fn import_rows(
    change: &mut ChangeTransaction<'_>,
    parts: impl Iterator<Item = ImportPart>,
) -> Result<(u64, Digest), StoreError> {
    let mut faults = Vec::new();
    let mut count = 0;
    let mut held = RoleCounts::default();
    for part in parts {
        let rows = match part {
            ImportPart::Rows(rows) => rows,
            ImportPart::End { digest } if faults.is_empty() => {
                held.write(change.tx)?;
                return Ok((count, digest));
            }
            ImportPart::End { .. } => return Err(refused(faults).into()),
        };
        let mut tables = MemberTables::open(change)?;
        for ImportRow { line, member } in rows {
            let free = tables.need_free_id(&member.id);
            match free.and_then(|()| tables.need_free_address(change, &member)) {
                Ok(()) => {}
                Err(StoreError::Rule(clash)) => {
                    if faults.len() < limits::IMPORT_FAULTS_MAX {
                        faults.push((format!("line {line}"), clash.public));
                    }
                    continue;
                }
                Err(disk) => return Err(disk),
            }
            tables.put_row(change, &member)?;
            held.add(&member);
            count += 1;
            if faults.is_empty() {
                change.tell(ChangedRecord::Member(member));
            }
        }
    }
    // The sender of the rows found a fault, which it reports together with these.
    Err(refused(faults).into())
}

fn refused(faults: Vec<(String, String)>) -> Failure {
    Failure {
        fields: faults,
        ..Failure::new(
            Kind::Invalid,
            "import_refused",
            "the import was refused and nothing was changed: fix the lines that are named, then import the whole file again",
        )
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
