//! Accounts in the embedded backend.
//!
//! Accounts are never removed.

use redb::{ReadTransaction, ReadableTable};

use super::rows::Rows;
use super::transition::{Ends, Transition};
use super::{ACCOUNTS, Fault, RedbStore, guards, invites, members};
use crate::domain::{
    Account, AccountSlug, Actor, AuditDetail, AuditEvent, Failure, Kind, Row, Version,
};
use crate::store::invites::{InviteView, NewInvite};
use crate::store::record::AccountRecord;
use crate::store::{AccountEdit, By, Committed};

impl RedbStore {
    pub(in crate::store) async fn account_create(
        &self,
        actor: &Actor,
        slug: AccountSlug,
        name: String,
        first: Option<NewInvite>,
    ) -> Result<Committed<(Account, Option<InviteView>)>, Failure> {
        let by = By::actor(actor.clone());
        self.write(actor, move |change| {
            let account = create(change, slug, name)?;
            let first = match first {
                Some(new) => {
                    let invite = invites::create(change, &by, new)?;
                    Some(invites::view(change.tx, invite)?)
                }
                None => None,
            };
            Ok(Ends::Changed((account, first)))
        })
        .await
    }

    pub(in crate::store) async fn account_edit(
        &self,
        by: &By,
        slug: &AccountSlug,
        expected: Option<Version>,
        edit: AccountEdit,
    ) -> Result<Committed<Account>, Failure> {
        let (by, slug) = (by.clone(), slug.clone());
        self.write(&by.actor.clone(), move |change| {
            guards::by(change, &by, &slug)?;
            let record = read(change.tx, &slug)?.ok_or_else(|| unknown(&slug))?;
            let before = record.account;
            if expected.is_some_and(|expected| expected != before.version) {
                let stale = members::stale("account", before.version, &record.last_change);
                return Err(stale.into());
            }
            let mut after = edited(&before, edit);
            if after == before {
                return Ok(Ends::AsItWas(before));
            }
            after.version = before.version.next();
            put(change, &after)?;
            let target = after.slug.as_str();
            let detail = AuditDetail { fields: changed(&before, &after) };
            change.audit(target, AuditEvent::AccountUpdated, target, detail)?;
            change.tell(Row::Account(after.clone()));
            Ok(Ends::Changed(after))
        })
        .await
    }

    pub(in crate::store) async fn accounts(&self) -> Result<Vec<Account>, Failure> {
        self.read(|tx| {
            let mut accounts = Vec::new();
            all(tx, |account| accounts.push(account))?;
            Ok(accounts)
        })
        .await
    }

    pub(in crate::store) async fn account(
        &self,
        slug: &AccountSlug,
    ) -> Result<Option<Account>, Failure> {
        let slug = slug.clone();
        self.read(move |tx| Ok(read(tx, &slug)?.map(|record| record.account))).await
    }
}

/// Creates an account.
pub(super) fn create(
    change: &mut Transition<'_>,
    slug: AccountSlug,
    name: String,
) -> Result<Account, Fault> {
    let account = Account {
        slug,
        name,
        created: change.now,
        invite_lifetime: None,
        two_step_enforced: false,
        version: Version::FIRST,
    };
    if read(change.tx, &account.slug)?.is_some() {
        return Err(exists(&account.slug).into());
    }
    put(change, &account)?;
    let name = ("name".to_owned(), None, Some(account.name.clone()));
    let detail = AuditDetail { fields: vec![name] };
    change.audit("", AuditEvent::AccountCreated, account.slug.as_str(), detail)?;
    change.tell(Row::Account(account.clone()));
    Ok(account)
}

fn put(change: &Transition<'_>, account: &Account) -> Result<(), Fault> {
    let record = AccountRecord { account: account.clone(), last_change: change.as_last() };
    let mut accounts = change.tx.open_table(ACCOUNTS)?;
    accounts.insert(account.slug.as_str(), record.encode().as_slice())?;
    Ok(())
}

fn read(rows: &impl Rows, slug: &AccountSlug) -> Result<Option<AccountRecord>, Fault> {
    let slug = slug.as_str();
    rows.record(ACCOUNTS, slug, |bytes| AccountRecord::decode(slug, bytes))
}

fn edited(before: &Account, edit: AccountEdit) -> Account {
    Account {
        name: edit.name.unwrap_or_else(|| before.name.clone()),
        invite_lifetime: edit.invite_lifetime.or(before.invite_lifetime),
        two_step_enforced: edit.two_step_enforced.unwrap_or(before.two_step_enforced),
        ..before.clone()
    }
}

/// The fields that an edit changed.
fn changed(before: &Account, after: &Account) -> Vec<(String, Option<String>, Option<String>)> {
    let texts = |account: &Account| {
        let lifetime = account.invite_lifetime.map(|time| format!("{} s", time.as_secs()));
        let enforced = account.two_step_enforced.to_string();
        [
            ("name", Some(account.name.clone())),
            ("invite_lifetime", lifetime),
            ("two_step_enforced", Some(enforced)),
        ]
    };
    texts(before)
        .into_iter()
        .zip(texts(after))
        .filter(|((_, before), (_, after))| before != after)
        .map(|((name, before), (_, after))| (name.to_owned(), before, after))
        .collect()
}

/// Whether an account requires a second factor.
pub(super) fn asks_two_step(rows: &impl Rows, slug: &AccountSlug) -> Result<bool, Fault> {
    Ok(read(rows, slug)?.is_some_and(|record| record.account.two_step_enforced))
}

/// Refuses an account that does not exist.
pub(super) fn need(rows: &impl Rows, slug: &AccountSlug) -> Result<(), Fault> {
    match rows.open(ACCOUNTS)?.get(slug.as_str())? {
        Some(_) => Ok(()),
        None => Err(unknown(slug).into()),
    }
}

fn exists(slug: &AccountSlug) -> Failure {
    Failure::new(
        Kind::Conflict,
        "account_exists",
        format!("there is an account `{slug}` already: choose another slug"),
    )
}

fn unknown(slug: &AccountSlug) -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_account",
        format!("there is no account `{slug}`: `kwic-team account list` shows the accounts"),
    )
}

/// Reads every account, sorted by slug.
pub(super) fn all(tx: &ReadTransaction, mut each: impl FnMut(Account)) -> Result<(), Fault> {
    for row in tx.open_table(ACCOUNTS)?.iter()? {
        let (slug, bytes) = row?;
        each(AccountRecord::decode(slug.value(), bytes.value())?.account);
    }
    Ok(())
}
