//! Rows of accounts.
//!
//! Accounts are never removed.

use redb::ReadTransaction;

use super::StoreError;
use super::row_reads::{Rows, TableRead};
use super::running_change::ChangeTransaction;
use super::tables::ACCOUNTS;
use crate::domain::{Account, AccountSlug, Failure, Kind};
use crate::store::records::AccountRecord;

pub(super) fn put(change: &ChangeTransaction<'_>, account: &Account) -> Result<(), StoreError> {
    let record = AccountRecord { account: account.clone(), last_change: change.as_last() };
    let mut accounts = change.tx.open_table(ACCOUNTS)?;
    accounts.insert(account.slug.as_str(), record.encode().as_slice())?;
    Ok(())
}

pub(super) fn read(
    rows: &impl Rows,
    slug: &AccountSlug,
) -> Result<Option<AccountRecord>, StoreError> {
    let slug = slug.as_str();
    rows.record(ACCOUNTS, slug, |bytes| AccountRecord::decode(slug, bytes))
}

/// Whether an account requires a second factor.
pub(super) fn asks_two_step(rows: &impl Rows, slug: &AccountSlug) -> Result<bool, StoreError> {
    Ok(read(rows, slug)?.is_some_and(|record| record.account.two_step_enforced))
}

/// Refuses an account that nobody made.
pub(super) fn need(rows: &impl Rows, slug: &AccountSlug) -> Result<(), StoreError> {
    match rows.open(ACCOUNTS)?.get(slug.as_str())? {
        Some(_) => Ok(()),
        None => Err(unknown(slug).into()),
    }
}

pub(super) fn unknown(slug: &AccountSlug) -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_account",
        format!("there is no account `{slug}`: `kwic-team account list` shows the accounts"),
    )
}

/// Reads every account, sorted by slug.
pub(super) fn all(tx: &ReadTransaction, mut each: impl FnMut(Account)) -> Result<(), StoreError> {
    for row in tx.open_table(ACCOUNTS)?.iter()? {
        let (slug, bytes) = row?;
        each(AccountRecord::decode(slug.value(), bytes.value())?.account);
    }
    Ok(())
}
