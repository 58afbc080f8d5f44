//! The index of addresses: each address of an account belongs to one member, or to the one open
//! invite to it.
//!
//! Reads and writes the index only; the callers check who may take an address.

use super::StoreError;
use super::change_workspace::WorkTable;
use super::row_reads::{Found, TableRead};
use super::running_change::ChangeTransaction;
use super::tables::ADDRESSES;
use crate::domain::{AccountSlug, Email, Invite};

/// An address of a member: this byte, then the id.
const OF_MEMBER: u8 = b'm';
/// An address of an open invite: this byte, then the id.
const OF_INVITE: u8 = b'i';

/// The stored owner of an address.
pub(super) enum AddressOwner<'o> {
    Member(&'o str),
    Invite(&'o str),
}

impl<'o> AddressOwner<'o> {
    pub(super) fn decode(bytes: &'o [u8]) -> Option<Self> {
        let (kind, id) = bytes.split_first()?;
        let id = std::str::from_utf8(id).ok()?;
        match *kind {
            OF_MEMBER => Some(Self::Member(id)),
            OF_INVITE => Some(Self::Invite(id)),
            _ => None,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let (kind, id) = match self {
            Self::Member(id) => (OF_MEMBER, id),
            Self::Invite(id) => (OF_INVITE, id),
        };
        [&[kind], id.as_bytes()].concat()
    }
}

/// The key of an address in its account.
pub(super) fn key(account: &AccountSlug, email_key: &str) -> String {
    format!("{account}\0{email_key}")
}

/// The open index. While it is open, nothing else may open it.
pub(super) struct Addresses<'t>(WorkTable<'t, &'static str, &'static [u8]>);

impl<'t> Addresses<'t> {
    pub(super) fn open(change: &ChangeTransaction<'t>) -> Result<Self, StoreError> {
        Ok(Self(change.tx.open_table(ADDRESSES)?))
    }

    /// What [`AddressOwner::decode`] reads of an address.
    pub(super) fn find(
        &self,
        account: &AccountSlug,
        email: &Email,
    ) -> Result<Option<Found<'_, &'static [u8]>>, StoreError> {
        self.0.get(key(account, email.key()).as_str())
    }

    /// Assigns an address to a new owner, whether or not it had one before.
    pub(super) fn give(
        &mut self,
        account: &AccountSlug,
        email: &Email,
        owner: &AddressOwner<'_>,
    ) -> Result<(), StoreError> {
        self.0.insert(key(account, email.key()).as_str(), owner.encode().as_slice())?;
        Ok(())
    }

    /// Releases an address, if it has an owner.
    pub(super) fn free(&mut self, account: &AccountSlug, email: &Email) -> Result<(), StoreError> {
        self.0.remove(key(account, email.key()).as_str())?;
        Ok(())
    }

    /// Gives an address to an invite.
    pub(super) fn hold(&mut self, invite: &Invite) -> Result<(), StoreError> {
        self.give(&invite.account, &invite.email, &AddressOwner::Invite(invite.id.as_str()))
    }

    /// Releases an address, if the invite has it.
    pub(super) fn release(&mut self, invite: &Invite) -> Result<(), StoreError> {
        if self.is_held_by(invite)? { self.free(&invite.account, &invite.email) } else { Ok(()) }
    }

    /// Whether an invite has its address.
    pub(super) fn is_held_by(&self, invite: &Invite) -> Result<bool, StoreError> {
        let found = self.find(&invite.account, &invite.email)?;
        let owner = found.as_ref().and_then(|found| AddressOwner::decode(found.value()));
        Ok(matches!(owner, Some(AddressOwner::Invite(id)) if id == invite.id.as_str()))
    }
}
