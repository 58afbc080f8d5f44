//! Transitions of accounts, and the set-up of an empty store.
//!
//! Accounts are never removed.

use super::audit_diff;
use super::member_rows::{self, MemberTables};
use super::row_reads::TableRead;
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::tables::ACCOUNTS;
use super::{
    Store, StoreError, account_rows, invariants, invite_rows, invites, password_rows,
    record_version,
};
use crate::domain::{
    Account, AccountSlug, Actor, AuditEvent, ChangedRecord, Failure, FieldChange, Kind, Member,
    Version,
};
use crate::store::records::AccountRecord;
use crate::store::requests_and_views::invites::{InviteView, NewInvite};
use crate::store::{AccountEdit, Committed, FirstAccount, Preconditions};

impl Store {
    /// Creates an account, and optionally the invite of its first member, in one transaction.
    ///
    /// # Errors
    /// `Conflict` `account_exists`; `Busy`, when the disk fails.
    pub async fn account_create(
        &self,
        actor: &Actor,
        slug: AccountSlug,
        name: String,
        first: Option<NewInvite>,
    ) -> Result<Committed<(Account, Option<InviteView>)>, Failure> {
        let by = Preconditions::actor(actor.clone());
        self.write(actor, move |change| {
            let account = create(change, slug, name)?;
            let first = match first {
                Some(new) => {
                    let invite = invites::create(change, &by, new)?;
                    Some(invite_rows::with_delivery(change.tx, invite)?)
                }
                None => None,
            };
            Ok(TransactionEnd::Changed((account, first)))
        })
        .await
    }

    /// Creates the first account and its first member.
    ///
    /// # Errors
    /// `Conflict` `set_up_already`, when there is any account; `Busy`, when the disk fails.
    pub async fn set_up(&self, setup: FirstAccount) -> Result<Committed<Member>, Failure> {
        self.write(&Actor::Setup, move |change| {
            if change.tx.open_table(ACCOUNTS)?.first()?.is_some() {
                return Err(set_up_already().into());
            }
            let FirstAccount { slug, name, member, password } = setup;
            let account = create(change, slug, name)?;
            let member = Member { account: account.slug, ..member };
            MemberTables::open(change)?.put(change, None, &member)?;
            password_rows::set(change, &member.id, password)?;
            member_rows::tell_created(change, &member)?;
            Ok(TransactionEnd::Changed(member))
        })
        .await
    }

    /// Edits an account. An edit that changes nothing returns the account unchanged.
    ///
    /// # Errors
    /// `NotFound` `unknown_account`; `Stale`; `Conflict` `moved_on`; `Busy`, when the disk
    /// fails.
    pub async fn account_edit(
        &self,
        by: &Preconditions,
        slug: &AccountSlug,
        expected: Option<Version>,
        edit: AccountEdit,
    ) -> Result<Committed<Account>, Failure> {
        let (by, slug) = (by.clone(), slug.clone());
        self.write(&by.actor.clone(), move |change| {
            invariants::preconditions(change, &by, &slug)?;
            let record = account_rows::read(change.tx, &slug)?;
            let record = record.ok_or_else(|| account_rows::unknown(&slug))?;
            let AccountRecord { account: before, last_change } = record;
            record_version::need("account", expected, before.version, &last_change)?;
            let mut after = edited(&before, edit);
            if after == before {
                return Ok(TransactionEnd::AsItWas(before));
            }
            after.version = before.version.next();
            account_rows::put(change, &after)?;
            let target = after.slug.as_str();
            let detail = audit_diff::account_edited(&before, &after);
            change.audit(target, AuditEvent::AccountUpdated, target, detail)?;
            change.tell(ChangedRecord::Account(after.clone()));
            Ok(TransactionEnd::Changed(after))
        })
        .await
    }

    /// All accounts, sorted by slug.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn accounts(&self) -> Result<Vec<Account>, Failure> {
        self.read(|tx| {
            let mut accounts = Vec::new();
            account_rows::all(tx, |account| accounts.push(account))?;
            Ok(accounts)
        })
        .await
    }

    /// One account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn account(&self, slug: &AccountSlug) -> Result<Option<Account>, Failure> {
        let slug = slug.clone();
        self.read(move |tx| Ok(account_rows::read(tx, &slug)?.map(|record| record.account))).await
    }
}

/// Creates an account.
fn create(
    change: &mut ChangeTransaction<'_>,
    slug: AccountSlug,
    name: String,
) -> Result<Account, StoreError> {
    let account = Account {
        slug,
        name,
        created: change.now,
        invite_lifetime: None,
        two_step_enforced: false,
        version: Version::FIRST,
    };
    if account_rows::read(change.tx, &account.slug)?.is_some() {
        return Err(exists(&account.slug).into());
    }
    account_rows::put(change, &account)?;
    let detail = vec![FieldChange::added("name", account.name.as_str())];
    change.audit("", AuditEvent::AccountCreated, account.slug.as_str(), detail)?;
    change.tell(ChangedRecord::Account(account.clone()));
    Ok(account)
}

fn edited(before: &Account, edit: AccountEdit) -> Account {
    Account {
        name: edit.name.unwrap_or_else(|| before.name.clone()),
        invite_lifetime: edit.invite_lifetime.or(before.invite_lifetime),
        two_step_enforced: edit.two_step_enforced.unwrap_or(before.two_step_enforced),
        ..before.clone()
    }
}

fn exists(slug: &AccountSlug) -> Failure {
    Failure::new(
        Kind::Conflict,
        "account_exists",
        format!("there is an account `{slug}` already: choose another slug"),
    )
}

fn set_up_already() -> Failure {
    Failure::new(
        Kind::Conflict,
        "set_up_already",
        "there is an account already: sign in, or ask an administrator for an invitation",
    )
}
