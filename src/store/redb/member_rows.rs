//! Rows of members, with the index of their addresses and the counts of their roles.
//!
//! Checks that ids and addresses are free; does not check rights.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use redb::{AccessGuard, ReadTransaction, ReadableTable, ReadableTableMetadata, StorageError};

use super::address_index::{AddressOwner, Addresses};
use super::audit_diff;
use super::change_workspace::{WorkTable, Workspace};
use super::import_rows::{Seen, UnmadeImports};
use super::row_reads::{Rows, TableRead};
use super::running_change::ChangeTransaction;
use super::tables::{ERASED, MEMBERS, ROLE_COUNTS};
use super::{StoreError, import_rows, invite_rows, link_rows, record_version, row_counts};
use crate::clock;
use crate::domain::{
    AccountSlug, AuditEvent, ChangedRecord, Email, Failure, FieldChange, ImportId, Invite, Kind,
    LoadedRecord, Member, MemberId, RoleId, Status, Version, member,
};
use crate::store::MemberTarget;
use crate::store::preconditions::{ALREADY_INVITED, ALREADY_MEMBER, SUSPENDED_MEMBER};
use crate::store::records::MemberRecord;
use crate::store::records::invites::InviteRecord;

/// A target that outlives its caller.
#[derive(Clone)]
pub(super) struct OwnedTarget {
    pub(super) account: AccountSlug,
    pub(super) id: MemberId,
    pub(super) expected: Option<Version>,
}

impl From<MemberTarget<'_>> for OwnedTarget {
    fn from(target: MemberTarget<'_>) -> Self {
        Self { account: target.account.clone(), id: target.id.clone(), expected: target.expected }
    }
}

/// The number of active members with each role of each account, counted before it is written.
#[derive(Clone, Default)]
pub(super) struct RoleCounts(BTreeMap<(AccountSlug, RoleId), i64>);

impl RoleCounts {
    pub(super) fn add(&mut self, member: &Member) {
        self.shift(member, 1);
    }

    fn shift(&mut self, member: &Member, by: i64) {
        if member.status == Status::Active {
            let key = (member.account.clone(), member.role.clone());
            *self.0.entry(key).or_default() += by;
        }
    }

    /// Adds it to the stored counts.
    pub(super) fn write(self, tx: &Workspace) -> Result<(), StoreError> {
        for ((account, role), by) in self.0.iter().filter(|(_, by)| **by != 0) {
            row_counts::add_to_counter(tx, ROLE_COUNTS, (account.as_str(), role.as_str()), *by)?;
        }
        Ok(())
    }
}

/// What is found under an address.
enum AddressState {
    Nobody,
    Held(AddressHolder),
    Expired(Box<InviteRecord>),
}

/// Who keeps an address from others.
pub(super) enum AddressHolder {
    Member(Box<Member>),
    /// A member of an import that is not made.
    Importing,
    Invite(Box<Invite>),
}

impl AddressHolder {
    /// The refusal of an address for a member. Names nobody: the caller may not be allowed to see
    /// the team.
    pub(super) fn refuse_member(&self, email: &Email) -> Failure {
        self.refused(match self {
            Self::Member(_) => {
                format!("`{email}` is the address of somebody on the team already: use another one")
            }
            Self::Importing => being_imported(email),
            Self::Invite(_) => format!(
                "`{email}` has a pending invite to the team: use another address, or have the invite revoked first"
            ),
        })
    }

    /// The refusal of who joins with the address, and cannot choose another one.
    pub(super) fn refuse_joining(&self, email: &Email) -> Failure {
        self.refused(match self {
            Self::Member(_) => format!(
                "`{email}` is the address of somebody on the team already: ask an administrator of the team"
            ),
            Self::Importing => being_imported(email),
            Self::Invite(_) => format!(
                "`{email}` has another pending invite to the team: ask an administrator of the team"
            ),
        })
    }

    fn refused(&self, sentence: String) -> Failure {
        let code = match self {
            Self::Member(_) | Self::Importing => ALREADY_MEMBER,
            Self::Invite(_) => ALREADY_INVITED,
        };
        Failure { kind: Kind::Conflict, code, ..Failure::invalid("email", sentence) }
    }

    /// The refusal of an invite to the address, for callers who may invite: names who has it.
    pub(super) fn refuse_invite(&self, email: &Email) -> Failure {
        let (code, sentence) = match self {
            Self::Member(member) if member.status == Status::Suspended => (
                SUSPENDED_MEMBER,
                format!(
                    "`{email}` is the address of {}, a suspended member: restore the member instead",
                    member.full_name()
                ),
            ),
            Self::Member(member) => (
                ALREADY_MEMBER,
                format!(
                    "`{email}` is the address of {}, a member with the role `{}`: change that role instead",
                    member.full_name(),
                    member.role
                ),
            ),
            Self::Importing => (ALREADY_MEMBER, being_imported(email)),
            Self::Invite(invite) => (
                ALREADY_INVITED,
                format!(
                    "`{email}` was invited on {}, and may accept until {}: resend that invite or edit it instead",
                    clock::rfc3339(invite.created),
                    clock::rfc3339(invite.expires)
                ),
            ),
        };
        Failure { kind: Kind::Conflict, code, ..Failure::invalid("email", sentence) }
    }
}

fn being_imported(email: &Email) -> String {
    format!(
        "`{email}` is the address of somebody in an import that has not ended: wait for its end"
    )
}

/// The two tables of members. While they are open, nothing else may open them.
pub(super) struct MemberTables<'t> {
    members: WorkTable<'t, &'static str, &'static [u8]>,
    pub(super) addresses: Addresses<'t>,
}

impl<'t> MemberTables<'t> {
    pub(super) fn open(change: &ChangeTransaction<'t>) -> Result<Self, StoreError> {
        Ok(Self { members: change.tx.open_table(MEMBERS)?, addresses: Addresses::open(change)? })
    }

    pub(super) fn need_free_id(&self, id: &MemberId) -> Result<(), StoreError> {
        if self.members.get(id.as_str())?.is_none() {
            return Ok(());
        }
        Err(Failure {
            kind: Kind::Conflict,
            code: "id_taken",
            ..Failure::invalid(
                "id",
                format!("the id `{id}` is taken: an id is unique in the whole store"),
            )
        }
        .into())
    }

    pub(super) fn need_free_address(
        &self,
        change: &ChangeTransaction<'_>,
        member: &Member,
    ) -> Result<(), StoreError> {
        match self.make_way(change, &member.account, &member.email)? {
            Some(holder) => Err(holder.refuse_member(&member.email).into()),
            None => Ok(()),
        }
    }

    fn owner(
        &self,
        change: &ChangeTransaction<'_>,
        account: &AccountSlug,
        email: &Email,
    ) -> Result<AddressState, StoreError> {
        let Some(found) = self.addresses.find(account, email)? else {
            return Ok(AddressState::Nobody);
        };
        match AddressOwner::decode(found.value()) {
            Some(AddressOwner::Member(id)) => {
                let found = self.members.get(id)?.ok_or_else(damaged_address)?;
                let record = MemberRecord::decode(id, found.value())?;
                Ok(AddressState::Held(if import_rows::is_hidden(change.tx, &record)? {
                    AddressHolder::Importing
                } else {
                    AddressHolder::Member(Box::new(record.member))
                }))
            }
            Some(AddressOwner::Invite(id)) => {
                let record = invite_rows::read(change.tx, id)?.ok_or_else(damaged_address)?;
                Ok(if record.invite.holds_address(change.now) {
                    AddressState::Held(AddressHolder::Invite(Box::new(record.invite)))
                } else {
                    AddressState::Expired(Box::new(record))
                })
            }
            None => Err(damaged_address().into()),
        }
    }

    /// The owner of an address; an expired invite does not count.
    pub(super) fn holder(
        &self,
        change: &ChangeTransaction<'_>,
        account: &AccountSlug,
        email: &Email,
    ) -> Result<Option<AddressHolder>, StoreError> {
        Ok(match self.owner(change, account, email)? {
            AddressState::Held(holder) => Some(holder),
            AddressState::Nobody | AddressState::Expired(_) => None,
        })
    }

    /// The owner of an address. If there is none, an expired invite to it is ended, and the caller
    /// must assign the address in the same change.
    pub(super) fn make_way(
        &self,
        change: &ChangeTransaction<'_>,
        account: &AccountSlug,
        email: &Email,
    ) -> Result<Option<AddressHolder>, StoreError> {
        match self.owner(change, account, email)? {
            AddressState::Held(holder) => return Ok(Some(holder)),
            AddressState::Nobody => {}
            AddressState::Expired(record) => {
                invite_rows::revoke(change, *record)?;
            }
        }
        Ok(None)
    }

    /// Writes a member, new or changed.
    pub(super) fn put(
        &mut self,
        change: &ChangeTransaction<'_>,
        before: Option<&Member>,
        after: &Member,
    ) -> Result<(), StoreError> {
        let mut held = RoleCounts::default();
        if let Some(before) = before {
            held.shift(before, -1);
        }
        held.add(after);
        held.write(change.tx)?;
        self.put_row(change, after)
    }

    /// Writes a member whose role is counted elsewhere.
    pub(super) fn put_row(
        &mut self,
        change: &ChangeTransaction<'_>,
        member: &Member,
    ) -> Result<(), StoreError> {
        // An id that is used again is a current member, who is recorded in the log again.
        change.tx.open_table(ERASED)?.remove((member.account.as_str(), member.id.as_str()))?;
        self.write(change, member, None)
    }

    /// Writes a member of an import that is not made: whose role is not counted yet, and whom nobody
    /// sees.
    pub(super) fn put_hidden(
        &mut self,
        change: &ChangeTransaction<'_>,
        member: &Member,
        import: ImportId,
    ) -> Result<(), StoreError> {
        self.write(change, member, Some(import))
    }

    /// Whether a member was staged by this import already.
    pub(super) fn is_staged(&self, member: &Member, import: ImportId) -> Result<bool, StoreError> {
        let id = member.id.as_str();
        let Some(found) = self.members.get(id)? else { return Ok(false) };
        let record = MemberRecord::decode(id, found.value())?;
        Ok(record.import == Some(import) && record.member == *member)
    }

    fn write(
        &mut self,
        change: &ChangeTransaction<'_>,
        member: &Member,
        import: Option<ImportId>,
    ) -> Result<(), StoreError> {
        let last_change = change.as_last();
        let record = MemberRecord { member: member.clone(), last_change, import };
        self.members.insert(member.id.as_str(), record.encode().as_slice())?;
        let owner = AddressOwner::Member(member.id.as_str());
        self.addresses.give(&member.account, &member.email, &owner)
    }

    pub(super) fn remove(
        &mut self,
        change: &ChangeTransaction<'_>,
        member: &Member,
    ) -> Result<(), StoreError> {
        let mut held = RoleCounts::default();
        held.shift(member, -1);
        held.write(change.tx)?;
        self.remove_hidden(member)
    }

    /// Removes a member whose role was not counted.
    pub(super) fn remove_hidden(&mut self, member: &Member) -> Result<(), StoreError> {
        self.members.remove(member.id.as_str())?;
        self.addresses.free(&member.account, &member.email)
    }
}

/// The member that a caller means, in the version that the caller has seen.
pub(super) fn find_target(
    change: &ChangeTransaction<'_>,
    target: &OwnedTarget,
) -> Result<Member, StoreError> {
    let id = target.id.as_str();
    let found = seen(change.tx, id)?;
    let record = found
        .filter(|record| record.member.account == target.account)
        .ok_or_else(|| unknown(&target.id))?;
    let MemberRecord { member, last_change, .. } = record;
    record_version::need("member", target.expected, member.version, &last_change)?;
    Ok(member)
}

/// Releases the old address and reserves the new one, which the caller writes. Links that were
/// mailed to the old one stop working.
pub(super) fn move_address(
    change: &mut ChangeTransaction<'_>,
    before: &Member,
    after: &Member,
) -> Result<(), StoreError> {
    let mut tables = MemberTables::open(change)?;
    tables.need_free_address(change, after)?;
    tables.addresses.free(&before.account, &before.email)?;
    drop(tables);
    link_rows::end_all(change, &before.id)
}

pub(super) fn unknown(id: &MemberId) -> Failure {
    Failure::new(
        Kind::NotFound,
        member::UNKNOWN,
        format!(
            "there is no member `{id}` in this account: `kwic-team member list` shows the members"
        ),
    )
}

/// Writes down and publishes that there is a new member.
pub(super) fn tell_created(
    change: &mut ChangeTransaction<'_>,
    member: &Member,
) -> Result<(), StoreError> {
    audit(change, member, AuditEvent::UserCreated, audit_diff::member_created(member))?;
    change.tell(ChangedRecord::Member(member.clone()));
    Ok(())
}

/// An entry about a member.
pub(super) fn audit(
    change: &ChangeTransaction<'_>,
    member: &Member,
    event: AuditEvent,
    fields: Vec<FieldChange>,
) -> Result<(), StoreError> {
    change.audit(member.account.as_str(), event, member.id.as_str(), fields)
}

/// Entries about an edit: a change of the role is an event of its own.
pub(super) fn audit_edit(
    change: &ChangeTransaction<'_>,
    before: &Member,
    after: &Member,
) -> Result<(), StoreError> {
    let fields = audit_diff::member_edited(before, after);
    let (role, others): (Vec<_>, Vec<_>) =
        fields.into_iter().partition(|change| change.field == "role");
    if !role.is_empty() {
        audit(change, after, AuditEvent::PrivilegePermissionsChanged, role)?;
    }
    if !others.is_empty() {
        audit(change, after, AuditEvent::UserUpdated, others)?;
    }
    Ok(())
}

/// An address of an unknown owner must not be assigned again.
fn damaged_address() -> Failure {
    Failure::internal("a stored address belongs to nobody: restore a backup")
}

/// A member, in whichever account.
pub(super) fn read(rows: &impl Rows, id: &str) -> Result<Option<Member>, StoreError> {
    Ok(seen(rows, id)?.map(|record| record.member))
}

/// The import that staged a member, if it was not changed since.
pub(super) fn import_of(rows: &impl Rows, id: &str) -> Result<Option<ImportId>, StoreError> {
    let found = rows.record(MEMBERS, id, |bytes| MemberRecord::decode(id, bytes))?;
    Ok(found.and_then(|record| record.import))
}

/// The record of a member, unless it is of an import that is not made.
fn seen(rows: &impl Rows, id: &str) -> Result<Option<MemberRecord>, StoreError> {
    match rows.record(MEMBERS, id, |bytes| MemberRecord::decode(id, bytes))? {
        Some(record) if import_rows::is_hidden(rows, &record)? => Ok(None),
        found => Ok(found),
    }
}

/// How many members there are, with those of imports that are not made.
pub(super) fn count(tx: &ReadTransaction) -> Result<usize, StoreError> {
    let count = tx.open_table(MEMBERS)?.len()?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// So many members are handed over at once: those who take them lock once for all.
const LOADED_AT_ONCE: usize = 512;

/// Reads every member: one thread from each end of the table, until they meet. Those that are seen
/// later, too.
pub(super) fn all(
    tx: &ReadTransaction,
    each: &(impl Fn(LoadedRecord) + Sync),
) -> Result<(), StoreError> {
    let table = tx.open_table(MEMBERS)?;
    let unmade = &UnmadeImports::read(tx)?;
    let left = &AtomicU64::new(table.len()?);
    let (forwards, backwards) = (ReadableTable::iter(&table)?, ReadableTable::iter(&table)?.rev());
    thread::scope(|threads| {
        let other = threads.spawn(move || read_while(left, backwards, unmade, each));
        read_while(left, forwards, unmade, each)?;
        other.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

type MemberRow<'r> = (AccessGuard<'r, &'static str>, AccessGuard<'r, &'static [u8]>);

/// Reads members as long as `left` says that some are left.
fn read_while<'r>(
    left: &AtomicU64,
    mut rows: impl Iterator<Item = Result<MemberRow<'r>, StorageError>>,
    unmade: &UnmadeImports,
    each: impl Fn(LoadedRecord),
) -> Result<(), StoreError> {
    let take = |left: u64| left.checked_sub(1);
    let mut members = Vec::new();
    while left.try_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let Some(row) = rows.next() else { break };
        let (id, bytes) = row?;
        let record = MemberRecord::decode(id.value(), bytes.value())?;
        match unmade.seen(&record) {
            Seen::ByAll => members.push(record.member),
            Seen::Later(import) => each(LoadedRecord::Importing(import, record.member)),
            Seen::Never => {}
        }
        if members.len() == LOADED_AT_ONCE {
            each(LoadedRecord::Members(std::mem::take(&mut members)));
        }
    }
    if !members.is_empty() {
        each(LoadedRecord::Members(members));
    }
    Ok(())
}
