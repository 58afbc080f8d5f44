//! Members in the embedded backend.
//!
//! Each transition checks, writes, audits and tells in one transaction. Never judges who may.

use redb::{ReadTransaction, ReadableTable, Table};
use tokio::sync::mpsc;

use super::transition::{Ends, Transition};
use super::{ACCOUNTS, ADDRESSES, Fault, MEMBERS, RedbStore, accounts};
use crate::clock;
use crate::domain::{
    AccountSlug, Actor, AuditDetail, AuditEvent, Digest, Failure, Kind, Member, MemberId, Row,
    Status, limits,
};
use crate::store::record::{LastChange, MemberRecord};
use crate::store::{
    Committed, ImportPart, ImportRow, MemberEdit, MemberFilter, Page, Removal, Target,
};

/// An address belongs to a member: this byte, then the id.
const OF_MEMBER: u8 = b'm';

/// A target that outlives its caller.
struct OwnedTarget {
    account: AccountSlug,
    id: MemberId,
    expected: Option<crate::domain::Version>,
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
            need_account(change, &member.account)?;
            let mut tables = Tables::open(change)?;
            tables.check_free(&member)?;
            tables.put(change, &member)?;
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
        self.read(move |tx| read_member(tx, id.as_str())).await
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
            match found.as_ref().and_then(|found| owner(found.value())) {
                Some(id) => read_member(tx, id),
                None => Ok(None),
            }
        })
        .await
    }

    pub(in crate::store) async fn members(
        &self,
        account: &AccountSlug,
        filter: &MemberFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>, Failure> {
        let (filter, prefix) = (filter.clone(), address_key(account, ""));
        let after = after.map(|after| address_key(account, after));
        self.read(move |tx| page(tx, &prefix, after.as_deref(), &filter, limit)).await
    }

    pub(in crate::store) async fn member_edit(
        &self,
        actor: &Actor,
        target: Target<'_>,
        edit: MemberEdit,
    ) -> Result<Committed<Member>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(actor, move |change| {
            let mut tables = Tables::open(change)?;
            let before = tables.find(&target)?;
            let mut after = before.clone();
            if let Some(name) = edit.first_name {
                after.first_name = name;
            }
            if let Some(name) = edit.last_name {
                after.last_name = name;
            }
            if let Some(email) = edit.email {
                after.email = email;
            }
            if let Some(role) = edit.role {
                after.role = role;
            }
            if after == before {
                return Ok(Ends::AsItWas(before));
            }
            if after.email.key() != before.email.key() {
                tables.check_address_free(&after)?;
                tables.forget_address(&before)?;
            }
            after.version = before.version.next();
            tables.put(change, &after)?;
            drop(tables);
            audit_edit(change, &before, &after)?;
            change.tell(Row::Member(after.clone()));
            Ok(Ends::Changed(after))
        })
        .await
    }

    pub(in crate::store) async fn member_suspend(
        &self,
        actor: &Actor,
        target: Target<'_>,
    ) -> Result<Committed<Member>, Failure> {
        self.set_status(actor, target, Status::Suspended).await
    }

    pub(in crate::store) async fn member_restore(
        &self,
        actor: &Actor,
        target: Target<'_>,
    ) -> Result<Committed<Member>, Failure> {
        self.set_status(actor, target, Status::Active).await
    }

    async fn set_status(
        &self,
        actor: &Actor,
        target: Target<'_>,
        status: Status,
    ) -> Result<Committed<Member>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(actor, move |change| {
            let mut tables = Tables::open(change)?;
            let before = tables.find(&target)?;
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
            tables.put(change, &after)?;
            drop(tables);
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
        actor: &Actor,
        target: Target<'_>,
    ) -> Result<Committed<Removal>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(actor, move |change| {
            let mut tables = Tables::open(change)?;
            let member = tables.find(&target)?;
            tables.members.remove(member.id.as_str())?;
            tables.forget_address(&member)?;
            drop(tables);
            change.audit(
                member.account.as_str(),
                AuditEvent::UserDeleted,
                member.id.as_str(),
                all_fields(&member, Side::Before),
            )?;
            change.tell(Row::MemberGone(member.id.clone()));
            Ok(Ends::Changed(Removal {
                member,
                sessions_ended: 0,
                tokens_revoked: 0,
                invites_cancelled: 0,
            }))
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
            need_account(change, &account)?;
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

/// Takes rows until the end; every clash is collected, and any one of them refuses all.
fn import(
    change: &mut Transition<'_>,
    mut parts: mpsc::Receiver<ImportPart>,
) -> Result<(u64, Digest), Fault> {
    let mut faults = Vec::new();
    let mut count = 0;
    while let Some(part) = parts.blocking_recv() {
        let rows = match part {
            ImportPart::Rows(rows) => rows,
            ImportPart::End { digest } if faults.is_empty() => return Ok((count, digest)),
            ImportPart::End { .. } => return Err(refused(faults).into()),
        };
        let mut tables = Tables::open(change)?;
        for ImportRow { line, member } in rows {
            match tables.check_free(&member) {
                Ok(()) => {}
                Err(Fault::Rule(clash)) => {
                    if faults.len() < limits::IMPORT_FAULTS_MAX {
                        faults.push((format!("line {line}"), clash.public));
                    }
                    continue;
                }
                Err(disk) => return Err(disk),
            }
            tables.put_as(&change.actor, change.now, &member)?;
            count += 1;
            if faults.is_empty() {
                change.tell(Row::Member(member));
            }
        }
    }
    // Whoever sent the rows found a fault and has its own to report; these go with it.
    Err(refused(faults).into())
}

fn refused(faults: Vec<(String, String)>) -> Failure {
    Failure {
        fields: faults,
        ..Failure::new(
            Kind::Invalid,
            "import_refused",
            "the import was refused and nothing was changed: mend the lines that are named, then import the whole file again",
        )
    }
}

/// The two tables that know a member.
struct Tables<'t> {
    members: Table<'t, &'static str, &'static [u8]>,
    addresses: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    fn open(change: &Transition<'t>) -> Result<Self, Fault> {
        Ok(Self {
            members: change.tx.open_table(MEMBERS)?,
            addresses: change.tx.open_table(ADDRESSES)?,
        })
    }

    /// The member that a caller means, in the state that the caller believes it to be in.
    fn find(&self, target: &OwnedTarget) -> Result<Member, Fault> {
        let found = self.members.get(target.id.as_str())?;
        let record = match found {
            Some(found) => MemberRecord::decode(target.id.as_str(), found.value())?,
            None => return Err(unknown(&target.id).into()),
        };
        if record.member.account != target.account {
            return Err(unknown(&target.id).into());
        }
        match target.expected {
            Some(expected) if expected != record.member.version => Err(stale(&record).into()),
            _ => Ok(record.member),
        }
    }

    fn check_free(&self, member: &Member) -> Result<(), Fault> {
        if self.members.get(member.id.as_str())?.is_some() {
            return Err(Failure {
                kind: Kind::Conflict,
                code: "id_taken",
                ..Failure::invalid(
                    "id",
                    format!("the id `{}` is taken: an id is unique in the whole store", member.id),
                )
            }
            .into());
        }
        self.check_address_free(member)
    }

    fn check_address_free(&self, member: &Member) -> Result<(), Fault> {
        let key = address_key(&member.account, member.email.key());
        if self.addresses.get(key.as_str())?.is_none() {
            return Ok(());
        }
        Err(Failure {
            kind: Kind::Conflict,
            code: "already_member",
            ..Failure::invalid(
                "email",
                format!(
                    "`{}` is a member's address in this account already: edit that member instead",
                    member.email
                ),
            )
        }
        .into())
    }

    fn forget_address(&mut self, member: &Member) -> Result<(), Fault> {
        self.addresses.remove(address_key(&member.account, member.email.key()).as_str())?;
        Ok(())
    }

    fn put(&mut self, change: &Transition<'_>, member: &Member) -> Result<(), Fault> {
        self.put_as(&change.actor, change.now, member)
    }

    fn put_as(
        &mut self,
        actor: &str,
        at: crate::domain::Timestamp,
        member: &Member,
    ) -> Result<(), Fault> {
        let last_change = LastChange { actor: actor.to_owned(), at };
        let record = MemberRecord { member: member.clone(), last_change };
        self.members.insert(member.id.as_str(), record.encode().as_slice())?;
        let mut owner = vec![OF_MEMBER];
        owner.extend_from_slice(member.id.as_str().as_bytes());
        let key = address_key(&member.account, member.email.key());
        self.addresses.insert(key.as_str(), owner.as_slice())?;
        Ok(())
    }
}

fn need_account(change: &Transition<'_>, account: &AccountSlug) -> Result<(), Fault> {
    match change.tx.open_table(ACCOUNTS)?.get(account.as_str())? {
        Some(_) => Ok(()),
        None => Err(accounts::unknown(account).into()),
    }
}

fn unknown(id: &MemberId) -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_member",
        format!(
            "there is no member `{id}` in this account: `kwic-team member list` shows who there is"
        ),
    )
}

fn stale(record: &MemberRecord) -> Failure {
    let LastChange { actor, at } = &record.last_change;
    Failure::new(
        Kind::Stale,
        "stale",
        format!(
            "this member was changed by `{actor}` at {} and is at version {}: read it again, then repeat your change",
            clock::rfc3339(*at),
            record.member.version
        ),
    )
}

/// A change of the role is an event of its own.
fn audit_edit(change: &Transition<'_>, before: &Member, after: &Member) -> Result<(), Fault> {
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

/// Where the fields of a whole record belong.
#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}

fn all_fields(member: &Member, side: Side) -> AuditDetail {
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

fn address_key(account: &AccountSlug, email_key: &str) -> String {
    format!("{account}\0{email_key}")
}

/// The member that an address belongs to.
fn owner(bytes: &[u8]) -> Option<&str> {
    match bytes.split_first() {
        Some((&OF_MEMBER, id)) => std::str::from_utf8(id).ok(),
        _ => None,
    }
}

fn read_member(tx: &ReadTransaction, id: &str) -> Result<Option<Member>, Fault> {
    let members = tx.open_table(MEMBERS)?;
    let found = members.get(id)?;
    Ok(found
        .map(|found| MemberRecord::decode(id, found.value()))
        .transpose()?
        .map(|found| found.member))
}

/// One page in the order of addresses; the cursor is the last address that was looked at.
fn page(
    tx: &ReadTransaction,
    prefix: &str,
    after: Option<&str>,
    filter: &MemberFilter,
    limit: usize,
) -> Result<Page<Member>, Fault> {
    let addresses = tx.open_table(ADDRESSES)?;
    let search = filter.search.as_ref().map(|text| text.to_lowercase());
    let mut page = Page { items: Vec::new(), next: None };
    for row in addresses.range(after.unwrap_or(prefix)..)? {
        let (key, bytes) = row?;
        let Some(email_key) = key.value().strip_prefix(prefix) else { break };
        if after == Some(key.value()) {
            continue;
        }
        let Some(member) =
            owner(bytes.value()).map(|id| read_member(tx, id)).transpose()?.flatten()
        else {
            continue;
        };
        if !wanted(&member, filter, search.as_deref()) {
            continue;
        }
        if page.items.len() == limit {
            page.next = page.items.last().map(|last: &Member| last.email.key().to_owned());
            break;
        }
        debug_assert_eq!(member.email.key(), email_key);
        page.items.push(member);
    }
    Ok(page)
}

fn wanted(member: &Member, filter: &MemberFilter, search: Option<&str>) -> bool {
    let name = || format!("{} {}", member.first_name.as_str(), member.last_name.as_str());
    filter.role.as_ref().is_none_or(|role| *role == member.role)
        && filter.status.is_none_or(|status| status == member.status)
        && search.is_none_or(|search| {
            member.email.key().contains(search) || name().to_lowercase().contains(search)
        })
}

/// Reads every member, in no order.
pub(super) fn all(tx: &ReadTransaction, mut each: impl FnMut(Member)) -> Result<(), Fault> {
    for row in tx.open_table(MEMBERS)?.iter()? {
        let (id, bytes) = row?;
        each(MemberRecord::decode(id.value(), bytes.value())?.member);
    }
    Ok(())
}
