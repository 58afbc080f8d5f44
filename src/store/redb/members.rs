//! Members in the embedded backend.
//!
//! Each change checks, writes, audits and publishes in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use redb::{
    AccessGuard, ReadTransaction, ReadableTable, ReadableTableMetadata, StorageError, Table,
    WriteTransaction,
};
use tokio::sync::mpsc;

use super::rows::Rows;
use super::transition::{Ends, Transition};
use super::{
    ADDRESSES, CREDENTIALS, ERASED, Fault, MEMBERS, REMOVED, ROLE_COUNTS, RedbStore, SIGNED_IN,
    accounts, api_tokens, counts, guards, invites, links, sessions, two_step,
};
use crate::clock;
use crate::domain::{
    AccountSlug, Actor, AuditDetail, AuditEvent, Digest, Email, Failure, Invite, Kind, Member,
    MemberId, RoleId, Row, Status, Version, limits,
};
use crate::store::record::invites::InviteRecord;
use crate::store::record::{LastChange, MemberRecord};
use crate::store::{By, Committed, ImportPart, ImportRow, MemberEdit, Removal, Target};

/// An address of a member: this byte, then the id.
const OF_MEMBER: u8 = b'm';
/// An address of an open invite: this byte, then the id.
const OF_INVITE: u8 = b'i';

/// A target without borrowed data.
pub(super) struct OwnedTarget {
    pub(super) account: AccountSlug,
    pub(super) id: MemberId,
    pub(super) expected: Option<Version>,
}

impl From<Target<'_>> for OwnedTarget {
    fn from(target: Target<'_>) -> Self {
        Self { account: target.account.clone(), id: target.id.clone(), expected: target.expected }
    }
}

impl RedbStore {
    pub(in crate::store) async fn member_create(
        &self,
        actor: &Actor,
        member: Member,
    ) -> Result<Committed<Member>, Failure> {
        self.write(actor, move |change| {
            accounts::need(change.tx, &member.account)?;
            let mut tables = Tables::open(change)?;
            tables.need_free_id(&member.id)?;
            tables.need_free_address(change, &member)?;
            tables.put(change, None, &member)?;
            drop(tables);
            change.audit(
                member.account.as_str(),
                AuditEvent::UserCreated,
                member.id.as_str(),
                all_fields(&member, Side::After),
            )?;
            change.tell(Row::Member(member.clone()));
            Ok(Ends::Changed(member))
        })
        .await
    }

    pub(in crate::store) async fn member(&self, id: &MemberId) -> Result<Option<Member>, Failure> {
        let id = id.clone();
        self.read(move |tx| read(tx, id.as_str())).await
    }

    pub(in crate::store) async fn member_by_email(
        &self,
        account: &AccountSlug,
        email_key: &str,
    ) -> Result<Option<Member>, Failure> {
        let key = address_key(account, email_key);
        self.read(move |tx| {
            let addresses = tx.open_table(ADDRESSES)?;
            let found = addresses.get(key.as_str())?;
            match found.as_ref().and_then(|found| Owner::decode(found.value())) {
                Some(Owner::Member(id)) => read(tx, id),
                _ => Ok(None),
            }
        })
        .await
    }

    pub(in crate::store) async fn member_edit(
        &self,
        by: &By,
        target: Target<'_>,
        edit: MemberEdit,
    ) -> Result<Committed<Member>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            guards::by(change, &by, &target.account)?;
            let before = find(change, &target)?;
            let after = edited(&before, &edit);
            if after == before {
                return Ok(Ends::AsItWas(before));
            }
            guards::own_role(&by, &before, &after)?;
            guards::administrator_stays(change, &by, &before, Some(&after))?;
            if after.email.key() != before.email.key() {
                move_address(change, &before, &after)?;
            }
            Tables::open(change)?.put(change, Some(&before), &after)?;
            audit_edit(change, &before, &after)?;
            if after.role != before.role {
                // A member who could see a link to the password with the previous role must not use
                // it for the new one.
                links::end_all(change, &after.id)?;
                invites::revoke_sent_by(change, &after.id, &edit.still_invites)?;
                api_tokens::revoke_made_by(change, &after, &edit.still_makes_tokens)?;
            }
            change.tell(Row::Member(after.clone()));
            Ok(Ends::Changed(after))
        })
        .await
    }

    pub(in crate::store) async fn member_suspend(
        &self,
        by: &By,
        target: Target<'_>,
    ) -> Result<Committed<Member>, Failure> {
        self.set_status(by, target, Status::Suspended).await
    }

    pub(in crate::store) async fn member_restore(
        &self,
        by: &By,
        target: Target<'_>,
    ) -> Result<Committed<Member>, Failure> {
        self.set_status(by, target, Status::Active).await
    }

    async fn set_status(
        &self,
        by: &By,
        target: Target<'_>,
        status: Status,
    ) -> Result<Committed<Member>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            guards::by(change, &by, &target.account)?;
            let before = find(change, &target)?;
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
            guards::administrator_stays(change, &by, &before, Some(&after))?;
            Tables::open(change)?.put(change, Some(&before), &after)?;
            if status == Status::Suspended {
                sessions::end_all(change, &after.id)?;
                links::end_all(change, &after.id)?;
                api_tokens::revoke_made_by(change, &after, &BTreeSet::new())?;
            }
            let field = |status: Status| Some(status.as_str().to_owned());
            let fields = vec![("status".to_owned(), field(before.status), field(after.status))];
            change.audit(
                after.account.as_str(),
                event,
                after.id.as_str(),
                AuditDetail { fields },
            )?;
            change.tell(Row::Member(after.clone()));
            Ok(Ends::Changed(after))
        })
        .await
    }

    pub(in crate::store) async fn member_remove(
        &self,
        by: &By,
        target: Target<'_>,
    ) -> Result<Committed<Removal>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            guards::by(change, &by, &target.account)?;
            let member = find(change, &target)?;
            guards::administrator_stays(change, &by, &member, None)?;
            Tables::open(change)?.remove(change, &member)?;
            change.tx.open_table(CREDENTIALS)?.remove(member.id.as_str())?;
            two_step::forget(change, &member.id)?;
            change.tx.open_table(SIGNED_IN)?.remove(member.id.as_str())?;
            let key = address_key(&member.account, member.email.key());
            change.tx.open_table(REMOVED)?.insert(key.as_str(), change.now.0)?;
            let sessions_ended = sessions::end_all(change, &member.id)?;
            links::end_all(change, &member.id)?;
            change.audit(
                member.account.as_str(),
                AuditEvent::UserDeleted,
                member.id.as_str(),
                all_fields(&member, Side::Before),
            )?;
            let invites_cancelled = invites::revoke_sent_by(change, &member.id, &BTreeSet::new())?;
            let tokens_revoked = api_tokens::revoke_made_by(change, &member, &BTreeSet::new())?;
            change.tell(Row::MemberGone { id: member.id.clone(), account: member.account.clone() });
            Ok(Ends::Changed(Removal { member, sessions_ended, tokens_revoked, invites_cancelled }))
        })
        .await
    }

    pub(in crate::store) async fn member_import(
        &self,
        actor: &Actor,
        account: &AccountSlug,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Committed<u64>, Failure> {
        let account = account.clone();
        self.write(actor, move |change| {
            accounts::need(change.tx, &account)?;
            let (count, digest) = import(change, parts)?;
            let field = |name: &str, value: String| (name.to_owned(), None, Some(value));
            let fields =
                vec![field("members", count.to_string()), field("file_sha256", digest.hex())];
            change.audit(
                account.as_str(),
                AuditEvent::UsersImported,
                account.as_str(),
                AuditDetail { fields },
            )?;
            Ok(Ends::Changed(count))
        })
        .await
    }
}

/// Receives rows until the end; all conflicts are collected, and any of them refuses the import.
fn import(
    change: &mut Transition<'_>,
    mut parts: mpsc::Receiver<ImportPart>,
) -> Result<(u64, Digest), Fault> {
    let mut faults = Vec::new();
    let mut count = 0;
    let mut held = Held::default();
    while let Some(part) = parts.blocking_recv() {
        let rows = match part {
            ImportPart::Rows(rows) => rows,
            ImportPart::End { digest } if faults.is_empty() => {
                held.write(change.tx)?;
                return Ok((count, digest));
            }
            ImportPart::End { .. } => return Err(refused(faults).into()),
        };
        let mut tables = Tables::open(change)?;
        for ImportRow { line, member } in rows {
            let free = tables.need_free_id(&member.id);
            match free.and_then(|()| tables.need_free_address(change, &member)) {
                Ok(()) => {}
                Err(Fault::Rule(clash)) => {
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
                change.tell(Row::Member(member));
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

/// The number of active members with each role of each account, counted before it is written.
#[derive(Default)]
pub(super) struct Held(BTreeMap<(AccountSlug, RoleId), i64>);

impl Held {
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
    pub(super) fn write(self, tx: &WriteTransaction) -> Result<(), Fault> {
        for ((account, role), by) in self.0.iter().filter(|(_, by)| **by != 0) {
            counts::shift(tx, ROLE_COUNTS, (account.as_str(), role.as_str()), *by)?;
        }
        Ok(())
    }
}

/// The stored owner of an address.
pub(super) enum Owner<'o> {
    Member(&'o str),
    Invite(&'o str),
}

impl<'o> Owner<'o> {
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

/// What is found for an address.
enum Found {
    Nobody,
    Held(Holder),
    Expired(Box<InviteRecord>),
}

/// The one who has an address.
pub(super) enum Holder {
    Member(Box<Member>),
    Invite(Box<Invite>),
}

impl Holder {
    /// The refusal because another member has the address. Names nobody: the caller may not be
    /// allowed to see the team.
    pub(super) fn refuse_member(&self, email: &Email) -> Failure {
        let (code, sentence) = match self {
            Self::Member(_) => (
                "already_member",
                format!(
                    "`{email}` is a member's address in this account already: edit that member instead"
                ),
            ),
            Self::Invite(_) => (
                "already_invited",
                format!(
                    "`{email}` has an open invite to this account: wait until it is accepted, or revoke it"
                ),
            ),
        };
        Failure { kind: Kind::Conflict, code, ..Failure::invalid("email", sentence) }
    }

    /// The refusal of an invite to the address, for callers who may invite: names who has it.
    pub(super) fn refuse_invite(&self, email: &Email) -> Failure {
        let (code, sentence) = match self {
            Self::Member(member) if member.status == Status::Suspended => (
                "suspended_member",
                format!(
                    "`{email}` is the address of {}, a suspended member: restore the member instead",
                    member.full_name()
                ),
            ),
            Self::Member(member) => (
                "already_member",
                format!(
                    "`{email}` is the address of {}, a member with the role `{}`: change that role instead",
                    member.full_name(),
                    member.role
                ),
            ),
            Self::Invite(invite) => (
                "already_invited",
                format!(
                    "`{email}` was invited at {}, and may accept until {}: resend that invite or edit it instead",
                    clock::rfc3339(invite.created),
                    clock::rfc3339(invite.expires)
                ),
            ),
        };
        Failure { kind: Kind::Conflict, code, ..Failure::invalid("email", sentence) }
    }
}

/// The two tables of members. While they are open, nothing else may open them.
pub(super) struct Tables<'t> {
    members: Table<'t, &'static str, &'static [u8]>,
    addresses: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(change: &Transition<'t>) -> Result<Self, Fault> {
        Ok(Self {
            members: change.tx.open_table(MEMBERS)?,
            addresses: change.tx.open_table(ADDRESSES)?,
        })
    }

    pub(super) fn need_free_id(&self, id: &MemberId) -> Result<(), Fault> {
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

    fn need_free_address(&self, change: &Transition<'_>, member: &Member) -> Result<(), Fault> {
        match self.make_way(change, &member.account, &member.email)? {
            Some(holder) => Err(holder.refuse_member(&member.email).into()),
            None => Ok(()),
        }
    }

    fn owner(
        &self,
        change: &Transition<'_>,
        account: &AccountSlug,
        email: &Email,
    ) -> Result<Found, Fault> {
        let found = self.addresses.get(address_key(account, email.key()).as_str())?;
        let Some(found) = found else { return Ok(Found::Nobody) };
        match Owner::decode(found.value()) {
            Some(Owner::Member(id)) => {
                let found = self.members.get(id)?.ok_or_else(damaged_address)?;
                let record = MemberRecord::decode(id, found.value())?;
                Ok(Found::Held(Holder::Member(Box::new(record.member))))
            }
            Some(Owner::Invite(id)) => {
                let record = invites::read(change.tx, id)?.ok_or_else(damaged_address)?;
                Ok(match record.invite.holds_address(change.now) {
                    true => Found::Held(Holder::Invite(Box::new(record.invite))),
                    false => Found::Expired(Box::new(record)),
                })
            }
            None => Err(damaged_address().into()),
        }
    }

    /// The owner of an address; an expired invite does not count.
    pub(super) fn holder(
        &self,
        change: &Transition<'_>,
        account: &AccountSlug,
        email: &Email,
    ) -> Result<Option<Holder>, Fault> {
        Ok(match self.owner(change, account, email)? {
            Found::Held(holder) => Some(holder),
            Found::Nobody | Found::Expired(_) => None,
        })
    }

    /// The owner of an address. If there is none, an expired invite to it is ended, and the caller
    /// must assign the address in the same change.
    pub(super) fn make_way(
        &self,
        change: &Transition<'_>,
        account: &AccountSlug,
        email: &Email,
    ) -> Result<Option<Holder>, Fault> {
        match self.owner(change, account, email)? {
            Found::Held(holder) => return Ok(Some(holder)),
            Found::Nobody => {}
            Found::Expired(record) => {
                invites::revoke(change, *record)?;
            }
        }
        Ok(None)
    }

    /// Assigns an address to an invite.
    pub(super) fn hold(&mut self, invite: &Invite) -> Result<(), Fault> {
        let key = address_key(&invite.account, invite.email.key());
        let owner = Owner::Invite(invite.id.as_str()).encode();
        self.addresses.insert(key.as_str(), owner.as_slice())?;
        Ok(())
    }

    /// Releases an address, if the invite has it.
    pub(super) fn release(&mut self, invite: &Invite) -> Result<(), Fault> {
        if self.is_held_by(invite)? {
            self.addresses.remove(address_key(&invite.account, invite.email.key()).as_str())?;
        }
        Ok(())
    }

    /// Whether an invite has its address.
    pub(super) fn is_held_by(&self, invite: &Invite) -> Result<bool, Fault> {
        let key = address_key(&invite.account, invite.email.key());
        let found = self.addresses.get(key.as_str())?;
        let owner = found.as_ref().and_then(|found| Owner::decode(found.value()));
        Ok(matches!(owner, Some(Owner::Invite(id)) if id == invite.id.as_str()))
    }

    /// Writes a member, new or changed.
    pub(super) fn put(
        &mut self,
        change: &Transition<'_>,
        before: Option<&Member>,
        after: &Member,
    ) -> Result<(), Fault> {
        let mut held = Held::default();
        if let Some(before) = before {
            held.shift(before, -1);
        }
        held.add(after);
        held.write(change.tx)?;
        self.put_row(change, after)
    }

    /// Writes a member whose role is counted elsewhere.
    fn put_row(&mut self, change: &Transition<'_>, member: &Member) -> Result<(), Fault> {
        // An id that is used again is a current member, who is recorded in the log again.
        change.tx.open_table(ERASED)?.remove((member.account.as_str(), member.id.as_str()))?;
        let record = MemberRecord { member: member.clone(), last_change: change.as_last() };
        self.members.insert(member.id.as_str(), record.encode().as_slice())?;
        let key = address_key(&member.account, member.email.key());
        let owner = Owner::Member(member.id.as_str()).encode();
        self.addresses.insert(key.as_str(), owner.as_slice())?;
        Ok(())
    }

    fn remove(&mut self, change: &Transition<'_>, member: &Member) -> Result<(), Fault> {
        let mut held = Held::default();
        held.shift(member, -1);
        held.write(change.tx)?;
        self.members.remove(member.id.as_str())?;
        self.addresses.remove(address_key(&member.account, member.email.key()).as_str())?;
        Ok(())
    }
}

/// The member that a caller means, in the version that the caller has seen.
pub(super) fn find(change: &Transition<'_>, target: &OwnedTarget) -> Result<Member, Fault> {
    let id = target.id.as_str();
    let found = change.tx.record(MEMBERS, id, |bytes| MemberRecord::decode(id, bytes))?;
    let record = found
        .filter(|record| record.member.account == target.account)
        .ok_or_else(|| unknown(&target.id))?;
    if target.expected.is_some_and(|expected| expected != record.member.version) {
        return Err(stale("member", record.member.version, &record.last_change).into());
    }
    Ok(record.member)
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

/// Releases the old address and reserves the new one, which the caller writes. Links that were
/// mailed to the old one stop working.
pub(super) fn move_address(
    change: &mut Transition<'_>,
    before: &Member,
    after: &Member,
) -> Result<(), Fault> {
    let mut tables = Tables::open(change)?;
    tables.need_free_address(change, after)?;
    tables.addresses.remove(address_key(&before.account, before.email.key()).as_str())?;
    drop(tables);
    links::end_all(change, &before.id)
}

pub(super) fn unknown(id: &MemberId) -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_member",
        format!(
            "there is no member `{id}` in this account: `kwic-team member list` shows the members"
        ),
    )
}

/// The refusal of a change to a record that has changed since.
pub(super) fn stale(what: &str, version: Version, last_change: &LastChange) -> Failure {
    let LastChange { actor, at } = last_change;
    Failure::new(
        Kind::Stale,
        "stale",
        format!(
            "this {what} was changed by `{actor}` at {} and is at version {version}: read it again, then repeat your change",
            clock::rfc3339(*at)
        ),
    )
}

/// A change of the role is an event of its own.
pub(super) fn audit_edit(
    change: &Transition<'_>,
    before: &Member,
    after: &Member,
) -> Result<(), Fault> {
    let (chain, target) = (after.account.as_str(), after.id.as_str());
    let field = |name: &str, before: &str, after: &str| {
        (name.to_owned(), Some(before.to_owned()), Some(after.to_owned()))
    };
    if before.role != after.role {
        let fields = vec![field("role", before.role.as_str(), after.role.as_str())];
        let event = AuditEvent::PrivilegePermissionsChanged;
        change.audit(chain, event, target, AuditDetail { fields })?;
    }
    let fields: Vec<_> = texts(before)
        .into_iter()
        .zip(texts(after))
        .filter(|((name, before), (_, after))| *name != "role" && before != after)
        .map(|((name, before), (_, after))| field(name, before, after))
        .collect();
    if !fields.is_empty() {
        change.audit(chain, AuditEvent::UserUpdated, target, AuditDetail { fields })?;
    }
    Ok(())
}

/// Whether a record's fields are before or after the change.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Before,
    After,
}

/// The editable fields of a member, created or removed.
pub(super) fn all_fields(member: &Member, side: Side) -> AuditDetail {
    let fields = texts(member).into_iter().map(|(name, value)| {
        let value = Some(value.to_owned());
        match side {
            Side::Before => (name.to_owned(), value, None),
            Side::After => (name.to_owned(), None, value),
        }
    });
    AuditDetail { fields: fields.collect() }
}

/// What people can change of a member.
fn texts(member: &Member) -> [(&'static str, &str); 4] {
    [
        ("first_name", member.first_name.as_str()),
        ("last_name", member.last_name.as_str()),
        ("email", member.email.as_str()),
        ("role", member.role.as_str()),
    ]
}

/// An address of an unknown owner must not be assigned again.
fn damaged_address() -> Failure {
    Failure::internal("a stored address belongs to nobody: restore a backup")
}

/// The key of an address in its account.
pub(super) fn address_key(account: &AccountSlug, email_key: &str) -> String {
    format!("{account}\0{email_key}")
}

/// A member, of any account.
pub(super) fn read(rows: &impl Rows, id: &str) -> Result<Option<Member>, Fault> {
    let found = rows.record(MEMBERS, id, |bytes| MemberRecord::decode(id, bytes))?;
    Ok(found.map(|record| record.member))
}

/// How many members there are.
pub(super) fn count(tx: &ReadTransaction) -> Result<usize, Fault> {
    let count = tx.open_table(MEMBERS)?.len()?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Reads every member, in no order: one thread from each end of the table, until they meet.
pub(super) fn all(tx: &ReadTransaction, each: impl Fn(Member) + Sync) -> Result<(), Fault> {
    let table = tx.open_table(MEMBERS)?;
    let (left, each) = (&AtomicU64::new(table.len()?), &each);
    let (forwards, backwards) = (table.iter()?, table.iter()?.rev());
    thread::scope(|threads| {
        let other = threads.spawn(move || read_while(left, backwards, each));
        read_while(left, forwards, each)?;
        other.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

type MemberRow<'r> = (AccessGuard<'r, &'static str>, AccessGuard<'r, &'static [u8]>);

/// Reads members as long as `left` says that some are left.
fn read_while<'r>(
    left: &AtomicU64,
    mut rows: impl Iterator<Item = Result<MemberRow<'r>, StorageError>>,
    each: impl Fn(Member),
) -> Result<(), Fault> {
    let take = |left: u64| left.checked_sub(1);
    while left.try_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let Some(row) = rows.next() else { break };
        let (id, bytes) = row?;
        each(MemberRecord::decode(id.value(), bytes.value())?.member);
    }
    Ok(())
}
