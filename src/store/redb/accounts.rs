//! Accounts in the embedded backend.
//!
//! Never removes one.

use redb::{ReadTransaction, ReadableTable};

use super::transition::Ends;
use super::{ACCOUNTS, Fault, RedbStore};
use crate::domain::{
    Account, AccountSlug, Actor, AuditDetail, AuditEvent, Failure, Kind, Row, Version,
};
use crate::store::Committed;
use crate::store::record::{decode_account, encode_account};

impl RedbStore {
    pub(in crate::store) async fn account_create(
        &self,
        actor: &Actor,
        slug: AccountSlug,
        name: String,
    ) -> Result<Committed<Account>, Failure> {
        self.write(actor, move |change| {
            let account = Account { slug, name, created: change.now, version: Version::FIRST };
            {
                let mut accounts = change.tx.open_table(ACCOUNTS)?;
                if accounts.get(account.slug.as_str())?.is_some() {
                    return Err(exists(&account.slug).into());
                }
                accounts.insert(account.slug.as_str(), encode_account(&account).as_slice())?;
            }
            let name = ("name".to_owned(), None, Some(account.name.clone()));
            let detail = AuditDetail { fields: vec![name] };
            change.audit("", AuditEvent::AccountCreated, account.slug.as_str(), detail)?;
            change.tell(Row::Account(account.clone()));
            Ok(Ends::Changed(account))
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
        self.read(move |tx| {
            let accounts = tx.open_table(ACCOUNTS)?;
            let found = accounts.get(slug.as_str())?;
            Ok(found.map(|found| decode_account(slug.as_str(), found.value())).transpose()?)
        })
        .await
    }
}

fn exists(slug: &AccountSlug) -> Failure {
    Failure::new(
        Kind::Conflict,
        "account_exists",
        format!("there is an account `{slug}` already: choose another slug"),
    )
}

/// The refusal of an account that nobody made.
pub(super) fn unknown(slug: &AccountSlug) -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_account",
        format!("there is no account `{slug}`: `kwic-team account list` shows which there are"),
    )
}

/// Reads every account, sorted by slug.
pub(super) fn all(tx: &ReadTransaction, mut each: impl FnMut(Account)) -> Result<(), Fault> {
    for row in tx.open_table(ACCOUNTS)?.iter()? {
        let (slug, bytes) = row?;
        each(decode_account(slug.value(), bytes.value())?);
    }
    Ok(())
}
