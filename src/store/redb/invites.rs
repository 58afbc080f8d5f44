//! Invites in the embedded backend.
//!
//! An invite, its link and the letter with it change together, and an open invite reserves its
//! address.

use std::collections::BTreeSet;

use redb::{ReadTransaction, ReadableTable};

use super::leaving::{self, OVER_MS, after};
use super::letters::{self, Outgoing};
use super::members::{Holder, Owner, Side, Tables, all_fields, stale};
use super::rows::Rows;
use super::transition::{Ends, Transition};
use super::{
    ADDRESSES, CALLS, Fault, INVITE_LINKS, INVITE_TOKENS, INVITES, INVITES_BY_ACCOUNT,
    INVITES_BY_INVITER, REMOVED, RedbStore, accounts, guards, members, rates, sessions,
};
use crate::clock;
use crate::domain::fold::Search;
use crate::domain::{
    AccountSlug, Actor, AuditDetail, AuditEvent, DeliveryState, Email, Failure, Fate, Generation,
    IdempotencyKey, Invite, InviteId, InviteState, KeyId, Kind, LetterKind, Member, MemberId,
    RoleId, Row, Status, Timestamp, TokenHash, Version, limits, link,
};
use crate::store::by::moved_on;
use crate::store::invites::{
    Acceptance, Idempotency, InviteEdit, InviteFilter, InviteTarget, InviteView, NewInvite,
    NewInviteLink, OpenInvites,
};
use crate::store::letters::NewLetter;
use crate::store::record::invites::{CallRecord, InviteRecord, InviteTokenRecord};
use crate::store::{By, Committed, Page};

const IDEMPOTENCY_MS: i64 = limits::IDEMPOTENCY_HOURS * 60 * 60 * 1_000;

impl RedbStore {
    pub(in crate::store) async fn invite_create(
        &self,
        by: &By,
        new: NewInvite,
    ) -> Result<Committed<InviteView>, Failure> {
        let by = by.clone();
        self.write(&by.actor.clone(), move |change| {
            guards::by(change, &by, &new.account)?;
            accounts::need(change.tx, &new.account)?;
            if let Some(made) = repeated(change, &new)? {
                return Ok(Ends::AsItWas(view(change.tx, made)?));
            }
            let made = create(change, &by, new)?;
            Ok(Ends::Changed(view(change.tx, made)?))
        })
        .await
    }

    pub(in crate::store) async fn invite(
        &self,
        account: &AccountSlug,
        id: &InviteId,
    ) -> Result<Option<InviteView>, Failure> {
        let (account, id) = (account.clone(), id.clone());
        self.read(move |tx| {
            let found = read(tx, id.as_str())?.map(|record| record.invite);
            found
                .filter(|invite| invite.account == account)
                .map(|found| view(tx, found))
                .transpose()
        })
        .await
    }

    pub(in crate::store) async fn invite_by_token(
        &self,
        token: TokenHash,
    ) -> Result<Option<(Invite, Generation)>, Failure> {
        self.read(move |tx| {
            Ok(by_token(tx, &token)?.map(|(record, generation)| (record.invite, generation)))
        })
        .await
    }

    pub(in crate::store) async fn invites(
        &self,
        account: &AccountSlug,
        filter: &InviteFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<InviteView>, Failure> {
        let after = after.map(Cursor::parse).transpose()?;
        let (account, filter, now) = (account.clone(), filter.clone(), self.0.clock.now());
        self.read(move |tx| {
            let wanted = Wanted::new(&filter, now);
            page(tx, &account, after.as_ref(), |invite| wanted.is(invite), limit)
        })
        .await
    }

    pub(in crate::store) async fn invites_count(
        &self,
        account: &AccountSlug,
        filter: &InviteFilter,
    ) -> Result<usize, Failure> {
        let (account, filter, now) = (account.clone(), filter.clone(), self.0.clock.now());
        self.read(move |tx| count(tx, &account, &Wanted::new(&filter, now))).await
    }

    pub(in crate::store) async fn invites_open(
        &self,
        account: &AccountSlug,
    ) -> Result<OpenInvites, Failure> {
        let (account, now) = (account.clone(), self.0.clock.now());
        self.read(move |tx| open(tx, &account, now)).await
    }

    pub(in crate::store) async fn invite_renew(
        &self,
        by: &By,
        target: InviteTarget<'_>,
        link: NewInviteLink,
    ) -> Result<Committed<InviteView>, Failure> {
        self.change_invite(by, target, move |change, by, mut record| {
            let before = record.invite.expires;
            let email = &record.invite.email;
            rates::invite(change, &by.actor, &record.invite.account, email)?;
            give_link(change, &by.actor, &mut record, link)?;
            let invite = put_changed(change, record)?;
            audit(change, AuditEvent::InviteResent, &invite, new_expiry(before, &invite))?;
            Ok(Ends::Changed(invite))
        })
        .await
    }

    pub(in crate::store) async fn invite_edit(
        &self,
        by: &By,
        target: InviteTarget<'_>,
        edit: InviteEdit,
    ) -> Result<Committed<InviteView>, Failure> {
        self.change_invite(by, target, move |change, by, mut record| {
            let before = record.invite.clone();
            let InviteEdit { first_name, last_name, role, email, link } = edit;
            let invite = &mut record.invite;
            invite.first_name = first_name.unwrap_or_else(|| before.first_name.clone());
            invite.last_name = last_name.unwrap_or_else(|| before.last_name.clone());
            invite.role = role.unwrap_or_else(|| before.role.clone());
            let moves = email.filter(|email| *email != before.email);
            // A member who saw the previous link, or is responsible for it, must not pass on
            // another role with it.
            let gives_more =
                record.invite.role != before.role && !by.actor.is_same(&before.inviter);
            let renews = moves.is_some() || gives_more;
            match moves {
                Some(email) => readdress(change, by, &mut record, email)?,
                None if gives_more => {
                    rates::invite(change, &by.actor, &before.account, &before.email)?;
                }
                None => {}
            }
            if renews {
                give_link(change, &by.actor, &mut record, link.ok_or_else(moved_on)?)?;
            }
            if record.invite == before {
                return Ok(Ends::AsItWas(before));
            }
            let invite = put_changed(change, record)?;
            audit(change, AuditEvent::InviteUpdated, &invite, changed(&before, &invite))?;
            Ok(Ends::Changed(invite))
        })
        .await
    }

    pub(in crate::store) async fn invite_link_shown(
        &self,
        by: &By,
        target: InviteTarget<'_>,
        renewed: Option<NewInviteLink>,
    ) -> Result<Committed<InviteView>, Failure> {
        self.change_invite(by, target, move |change, by, mut record| {
            let before = record.invite.expires;
            let invite = match renewed {
                Some(link) => {
                    give_link(change, &by.actor, &mut record, link)?;
                    put_changed(change, record)?
                }
                // It expired, or was taken over, after the caller's check.
                None if record.invite.needs_own_link(&by.actor, change.now) => {
                    return Err(moved_on().into());
                }
                None => record.invite,
            };
            audit(change, AuditEvent::InviteLinkShown, &invite, new_expiry(before, &invite))?;
            Ok(Ends::Changed(invite))
        })
        .await
    }

    pub(in crate::store) async fn invite_revoke(
        &self,
        by: &By,
        target: InviteTarget<'_>,
    ) -> Result<Committed<InviteView>, Failure> {
        self.change_invite(by, target, move |change, _, record| {
            Tables::open(change)?.release(&record.invite)?;
            Ok(Ends::Changed(revoke(change, record)?))
        })
        .await
    }

    /// A change of an open invite.
    async fn change_invite(
        &self,
        by: &By,
        target: InviteTarget<'_>,
        work: impl FnOnce(&mut Transition<'_>, &By, InviteRecord) -> Result<Ends<Invite>, Fault>
        + Send
        + 'static,
    ) -> Result<Committed<InviteView>, Failure> {
        let by = by.clone();
        let (account, id, expected) = (target.account.clone(), target.id.clone(), target.expected);
        self.write(&by.actor.clone(), move |change| {
            guards::by(change, &by, &account)?;
            let record = read(change.tx, id.as_str())?
                .filter(|record| record.invite.account == account)
                .ok_or_else(|| unknown(&id))?;
            if expected.is_some_and(|expected| expected != record.invite.version) {
                let (version, last) = (record.invite.version, &record.last_change);
                return Err(stale("invite", version, last).into());
            }
            record.invite.may_be_changed()?;
            Ok(match work(change, &by, record)? {
                Ends::Changed(invite) => Ends::Changed(view(change.tx, invite)?),
                Ends::Quietly(invite) => Ends::Quietly(view(change.tx, invite)?),
                Ends::AsItWas(invite) => Ends::AsItWas(view(change.tx, invite)?),
            })
        })
        .await
    }

    pub(in crate::store) async fn invite_accept(
        &self,
        acceptance: Acceptance,
    ) -> Result<Committed<Member>, Failure> {
        self.write(&Actor::System, move |change| {
            let (record, generation) =
                by_token(change.tx, &acceptance.token)?.ok_or_else(link::dead)?;
            change.acts(&Actor::Invitee(record.invite.id.clone()));
            record.invite.may_be_accepted(generation, change.now)?;
            if acceptance.judged.is_some_and(|judged| judged != record.invite.version) {
                return Err(moved_on().into());
            }
            let Invite { inviter, account, .. } = &record.invite;
            guards::inviter(change, inviter, acceptance.inviter.as_ref(), account)?;
            let member = joining(&record.invite, acceptance.member, change.now);
            let mut tables = Tables::open(change)?;
            tables.need_free_id(&member.id)?;
            if !tables.is_held_by(&record.invite)?
                && let Some(holder) = tables.make_way(change, &member.account, &member.email)?
            {
                return Err(holder.refuse_member(&member.email).into());
            }
            tables.put(change, None, &member)?;
            drop(tables);
            sessions::set_password(change, &member.id, acceptance.password)?;
            let fate = Fate::Accepted { member: member.id.clone(), at: change.now };
            let accepted = end(change, record, fate)?;
            let made = ("member".to_owned(), None, Some(member.id.as_str().to_owned()));
            audit(change, AuditEvent::InviteAccepted, &accepted, vec![made])?;
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

    pub(in crate::store) async fn invite_wanted(
        &self,
        token: TokenHash,
        letter: Option<(Member, NewLetter)>,
    ) -> Result<Committed<()>, Failure> {
        self.write(&Actor::System, move |change| {
            let (mut record, _) = by_token(change.tx, &token)?.ok_or_else(link::dead)?;
            change.acts(&Actor::Invitee(record.invite.id.clone()));
            audit(change, AuditEvent::InviteWanted, &record.invite, Vec::new())?;
            if let Some((reader, new)) = letter
                && let Some(reader) = still_reads(change, &record.invite, &reader.id)?
            {
                letters::void(change, record.wanted)?;
                record.wanted = Some(letters::queue(
                    change,
                    Outgoing {
                        account: record.invite.account.clone(),
                        kind: LetterKind::InviteWanted { invite: record.invite.id.clone() },
                        subject: record.invite.id.as_str().to_owned(),
                        to_name: reader.full_name(),
                        to: reader.email,
                        new,
                    },
                )?);
                put(change, &record)?;
            }
            Ok(Ends::Changed(()))
        })
        .await
    }
}

/// Creates an invite, within any transaction.
pub(super) fn create(
    change: &mut Transition<'_>,
    by: &By,
    new: NewInvite,
) -> Result<Invite, Fault> {
    make_way(change, &new.account, &new.email)?;
    rates::invite(change, &by.actor, &new.account, &new.email)?;
    let invite = Invite {
        id: new.id,
        account: new.account,
        email: new.email,
        first_name: new.first_name,
        last_name: new.last_name,
        role: new.role,
        inviter: by.actor.clone(),
        created: change.now,
        sent: change.now,
        expires: change.now,
        // The generation before the first: the link increases it.
        generation: Generation(0),
        key: KeyId(0),
        fate: Fate::Open,
        letter: None,
        version: Version::FIRST,
    };
    let mut record = InviteRecord { invite, wanted: None, last_change: change.as_last() };
    let inviter = record.invite.inviter.clone();
    give_link(change, &inviter, &mut record, new.link)?;
    put(change, &record)?;
    let invite = record.invite;
    Tables::open(change)?.hold(&invite)?;
    let (account, id) = (invite.account.as_str(), invite.id.as_str());
    change.tx.open_table(INVITES_BY_ACCOUNT)?.insert((account, invite.created.0, id), ())?;
    if let Some(inviter) = invite.inviter.member() {
        change.tx.open_table(INVITES_BY_INVITER)?.insert((inviter.as_str(), id), ())?;
    }
    leaving::note(change, forgotten_at(&invite), leaving::Kind::Invite, id)?;
    if let Some(idempotency) = new.idempotency {
        remember(change, &invite, &idempotency)?;
    }
    let fields = texts(&invite).into_iter();
    let fields = fields.map(|(name, text)| (name.to_owned(), None, Some(text.to_owned())));
    audit(change, AuditEvent::InviteCreated, &invite, fields.collect())?;
    Ok(invite)
}

/// Ends an expired invite to an address; refuses if somebody else has the address.
fn make_way(change: &Transition<'_>, account: &AccountSlug, email: &Email) -> Result<(), Fault> {
    match Tables::open(change)?.make_way(change, account, email)? {
        Some(holder) => Err(Holder::refuse_invite(&holder, email).into()),
        None => Ok(()),
    }
}

/// Changes the address of an invite. Another spelling of the same address has no conflict.
fn readdress(
    change: &Transition<'_>,
    by: &By,
    record: &mut InviteRecord,
    email: Email,
) -> Result<(), Fault> {
    let invite = &mut record.invite;
    if email.key() != invite.email.key() {
        make_way(change, &invite.account, &email)?;
    }
    rates::invite(change, &by.actor, &invite.account, &email)?;
    let mut tables = Tables::open(change)?;
    tables.release(invite)?;
    invite.email = email;
    tables.hold(invite)
}

/// Gives an invite its next link, and queues the letter with it; the previous link stops working,
/// and its letter is cancelled if it was not sent.
///
/// The one who gives it becomes responsible for the invite: it ends with the giver's right.
fn give_link(
    change: &mut Transition<'_>,
    giver: &Actor,
    record: &mut InviteRecord,
    link: NewInviteLink,
) -> Result<(), Fault> {
    let invite = &mut record.invite;
    if link.generation != invite.generation.next() {
        return Err(moved_on().into());
    }
    hand_to(change, invite, giver)?;
    letters::void(change, invite.letter)?;
    letters::void(change, record.wanted)?;
    invite.generation = link.generation;
    invite.key = link.key;
    invite.sent = change.now;
    invite.expires = link.expires;
    let id = invite.id.as_str();
    let token =
        InviteTokenRecord { invite: invite.id.clone(), generation: link.generation }.encode();
    let hash = &link.token.0.0;
    change.tx.open_table(INVITE_TOKENS)?.insert(hash, token.as_slice())?;
    change.tx.open_table(INVITE_LINKS)?.insert((id, link.generation.0), hash)?;
    invite.letter = match link.letter {
        Some(new) => Some(letters::queue(
            change,
            Outgoing {
                account: invite.account.clone(),
                kind: LetterKind::Invite { invite: invite.id.clone(), generation: link.generation },
                subject: id.to_owned(),
                to: invite.email.clone(),
                to_name: invite.full_name(),
                new,
            },
        )?),
        None => None,
    };
    Ok(())
}

/// Sets the inviter, whose removal ends the invite.
fn hand_to(change: &Transition<'_>, invite: &mut Invite, giver: &Actor) -> Result<(), Fault> {
    let mut sent = change.tx.open_table(INVITES_BY_INVITER)?;
    if let Some(before) = invite.inviter.member() {
        sent.remove((before.as_str(), invite.id.as_str()))?;
    }
    if let Some(giver) = giver.member() {
        sent.insert((giver.as_str(), invite.id.as_str()), ())?;
    }
    invite.inviter = giver.clone();
    Ok(())
}

fn put(change: &Transition<'_>, record: &InviteRecord) -> Result<(), Fault> {
    let id = record.invite.id.as_str();
    change.tx.open_table(INVITES)?.insert(id, record.encode().as_slice())?;
    Ok(())
}

/// Writes a changed invite with its next version.
fn put_changed(change: &Transition<'_>, mut record: InviteRecord) -> Result<Invite, Fault> {
    record.invite.version = record.invite.version.next();
    record.last_change = change.as_last();
    put(change, &record)?;
    Ok(record.invite)
}

/// Ends an invite, and its unsent letters. The caller may reassign its address.
fn end(change: &Transition<'_>, mut record: InviteRecord, fate: Fate) -> Result<Invite, Fault> {
    letters::void(change, record.invite.letter)?;
    letters::void(change, record.wanted)?;
    if let Some(inviter) = record.invite.inviter.member() {
        let key = (inviter.as_str(), record.invite.id.as_str());
        change.tx.open_table(INVITES_BY_INVITER)?.remove(key)?;
    }
    record.invite.fate = fate;
    put_changed(change, record)
}

/// Revokes an invite. The caller releases its address.
pub(super) fn revoke(change: &Transition<'_>, record: InviteRecord) -> Result<Invite, Fault> {
    let before = record.invite.state(change.now);
    let revoked = end(change, record, Fate::Revoked { at: change.now })?;
    let state = |state: InviteState| Some(state.as_str().to_owned());
    let fields = vec![("state".to_owned(), state(before), state(InviteState::Revoked))];
    audit(change, AuditEvent::InviteRevoked, &revoked, fields)?;
    Ok(revoked)
}

/// Revokes every invite of a member, except those for roles that the member may still give; returns
/// their number.
pub(super) fn revoke_sent_by(
    change: &Transition<'_>,
    inviter: &MemberId,
    keep: &BTreeSet<RoleId>,
) -> Result<u64, Fault> {
    let mut revoked = 0;
    for id in sent_by(change, inviter)? {
        let Some(record) = read(change.tx, &id)? else { continue };
        if keep.contains(&record.invite.role) {
            continue;
        }
        Tables::open(change)?.release(&record.invite)?;
        revoke(change, record)?;
        revoked += 1;
    }
    Ok(revoked)
}

fn sent_by(change: &Transition<'_>, inviter: &MemberId) -> Result<Vec<String>, Fault> {
    let sent = change.tx.open_table(INVITES_BY_INVITER)?;
    let mut ids = Vec::new();
    for row in sent.range((inviter.as_str(), "")..)? {
        let (key, ()) = row.map(|(key, _)| (key, ()))?;
        let (sent_by, id) = key.value();
        if sent_by != inviter.as_str() {
            break;
        }
        ids.push(id.to_owned());
    }
    Ok(ids)
}

fn joining(invite: &Invite, id: MemberId, now: Timestamp) -> Member {
    Member {
        id,
        account: invite.account.clone(),
        email: invite.email.clone(),
        first_name: invite.first_name.clone(),
        last_name: invite.last_name.clone(),
        role: invite.role.clone(),
        status: Status::Active,
        two_step: false,
        joined: now,
        version: Version::FIRST,
    }
}

/// The inviter or another member to write to about an invite, with the current record.
fn still_reads(
    change: &Transition<'_>,
    invite: &Invite,
    reader: &MemberId,
) -> Result<Option<Member>, Fault> {
    let found = members::read(change.tx, reader.as_str())?;
    Ok(found.filter(|found| found.account == invite.account && found.status == Status::Active))
}

/// The invite of an earlier call with the same key.
fn repeated(change: &Transition<'_>, new: &NewInvite) -> Result<Option<Invite>, Fault> {
    let Some(Idempotency { key, request }) = &new.idempotency else { return Ok(None) };
    let key = call_key(&change.actor, &new.account, key);
    let Some(call) = change.tx.record(CALLS, key.as_str(), CallRecord::decode)? else {
        return Ok(None);
    };
    if change.now >= after(call.at, IDEMPOTENCY_MS) {
        return Ok(None);
    }
    if call.request != *request {
        return Err(Failure::new(
            Kind::Conflict,
            "idempotency_key_reused",
            "this idempotency key belongs to another call: repeat that call unchanged, or use a new key",
        )
        .into());
    }
    Ok(read(change.tx, call.invite.as_str())?.map(|record| record.invite))
}

fn remember(
    change: &Transition<'_>,
    invite: &Invite,
    idempotency: &Idempotency,
) -> Result<(), Fault> {
    let key = call_key(&change.actor, &invite.account, &idempotency.key);
    let call =
        CallRecord { request: idempotency.request, invite: invite.id.clone(), at: change.now };
    change.tx.open_table(CALLS)?.insert(key.as_str(), call.encode().as_slice())?;
    leaving::note(change, after(call.at, IDEMPOTENCY_MS), leaving::Kind::Call, &key)
}

/// Each caller has its own keys.
fn call_key(actor: &str, account: &AccountSlug, key: &IdempotencyKey) -> String {
    format!("{account}\0{actor}\0{}", key.digest().hex())
}

/// The caller of such a key.
pub(super) fn called_by(key: &str) -> Option<Actor> {
    key.split('\0').nth(1).and_then(Actor::from_label)
}

/// An invite, of any account.
pub(super) fn read(rows: &impl Rows, id: &str) -> Result<Option<InviteRecord>, Fault> {
    rows.record(INVITES, id, |bytes| InviteRecord::decode(id, bytes))
}

fn by_token(
    rows: &impl Rows,
    token: &TokenHash,
) -> Result<Option<(InviteRecord, Generation)>, Fault> {
    let found = rows.record(INVITE_TOKENS, &token.0.0, InviteTokenRecord::decode)?;
    let Some(InviteTokenRecord { invite, generation }) = found else { return Ok(None) };
    Ok(read(rows, invite.as_str())?.map(|record| (record, generation)))
}

/// An invite with its derived data.
pub(super) fn view(rows: &impl Rows, invite: Invite) -> Result<InviteView, Fault> {
    let letter = match invite.letter {
        Some(letter) => letters::read(rows, letter)?,
        None => None,
    };
    let delivery = letter.map(|record| record.letter.delivery).unwrap_or_default();
    let key = members::address_key(&invite.account, invite.email.key());
    let removed = rows.open(REMOVED)?.get(key.as_str())?.map(|found| Timestamp(found.value()));
    Ok(InviteView { invite, delivery, previously_removed: removed })
}

/// The cursor of a page: after this invite.
struct Cursor {
    created: i64,
    id: InviteId,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self, Failure> {
        let cut = text.split_once('.');
        cut.and_then(|(created, id)| {
            Some(Self { created: created.parse().ok()?, id: InviteId::parse(id)? })
        })
        .ok_or_else(|| {
            Failure::invalid(
                "after",
                "`after` is not a valid cursor: use the `next` of the previous page",
            )
        })
    }

    fn behind(view: &InviteView) -> String {
        format!("{}.{}", view.invite.created.0, view.invite.id)
    }
}

/// A prepared filter.
struct Wanted<'f> {
    filter: &'f InviteFilter,
    search: Option<Search>,
    now: Timestamp,
}

impl<'f> Wanted<'f> {
    fn new(filter: &'f InviteFilter, now: Timestamp) -> Self {
        Self { filter, search: filter.search.as_deref().map(Search::new), now }
    }

    fn is(&self, invite: &Invite) -> bool {
        self.filter.role.as_ref().is_none_or(|role| *role == invite.role)
            && (self.filter.states.is_empty()
                || self.filter.states.contains(&invite.state(self.now)))
            && self
                .search
                .as_ref()
                .is_none_or(|search| search.finds(&invite.email, &invite.full_name()))
    }
}

/// One page, newest first.
fn page(
    tx: &ReadTransaction,
    account: &AccountSlug,
    after: Option<&Cursor>,
    wanted: impl Fn(&Invite) -> bool,
    limit: usize,
) -> Result<Page<InviteView>, Fault> {
    let index = tx.open_table(INVITES_BY_ACCOUNT)?;
    let account = account.as_str();
    // No id sorts behind this one.
    let end = after
        .as_ref()
        .map_or((account, i64::MAX, "~"), |cursor| (account, cursor.created, cursor.id.as_str()));
    let mut page = Page { items: Vec::new(), next: None };
    for row in index.range((account, i64::MIN, "")..end)?.rev() {
        let (key, _) = row?;
        let (_, _, id) = key.value();
        let Some(invite) = read(tx, id)?.map(|record| record.invite) else { continue };
        if !wanted(&invite) {
            continue;
        }
        if page.items.len() == limit {
            page.next = page.items.last().map(Cursor::behind);
            break;
        }
        page.items.push(view(tx, invite)?);
    }
    Ok(page)
}

/// Counts the matches on all pages.
fn count(tx: &ReadTransaction, account: &AccountSlug, wanted: &Wanted<'_>) -> Result<usize, Fault> {
    let index = tx.open_table(INVITES_BY_ACCOUNT)?;
    let account = account.as_str();
    let mut count = 0;
    for row in index.range((account, i64::MIN, "")..(account, i64::MAX, "~"))? {
        let (key, _) = row?;
        let found = read(tx, key.value().2)?;
        count += usize::from(found.is_some_and(|record| wanted.is(&record.invite)));
    }
    Ok(count)
}

/// Counts the open invites: only these reserve their address.
fn open(tx: &ReadTransaction, account: &AccountSlug, now: Timestamp) -> Result<OpenInvites, Fault> {
    let addresses = tx.open_table(ADDRESSES)?;
    let prefix = members::address_key(account, "");
    let mut open = OpenInvites::default();
    for row in addresses.range(prefix.as_str()..)? {
        let (key, bytes) = row?;
        if !key.value().starts_with(&prefix) {
            break;
        }
        let Some(Owner::Invite(id)) = Owner::decode(bytes.value()) else { continue };
        let Some(InviteRecord { invite, .. }) = read(tx, id)? else { continue };
        match invite.state(now) {
            InviteState::Pending => open.pending += 1,
            InviteState::Expired => {
                open.expired += 1;
                continue;
            }
            _ => continue,
        }
        let letter = invite.letter.map(|letter| letters::read(tx, letter)).transpose()?.flatten();
        let state = letter.map(|record| record.letter.delivery.state).unwrap_or_default();
        if matches!(state, DeliveryState::Bounced | DeliveryState::Failed) {
            open.undelivered += 1;
        }
    }
    Ok(open)
}

/// When an invite may be deleted: long after it has ended.
fn forgotten_at(invite: &Invite) -> Timestamp {
    let over = match invite.fate {
        Fate::Open => invite.expires,
        Fate::Accepted { at, .. } | Fate::Revoked { at } => at,
    };
    after(over, OVER_MS)
}

/// Deletes an invite with all its links, unless it is too early.
pub(super) fn forget(change: &Transition<'_>, id: &str) -> Result<Option<Timestamp>, Fault> {
    let Some(record) = read(change.tx, id)? else { return Ok(None) };
    let invite = record.invite;
    let at = forgotten_at(&invite);
    if change.now < at {
        return Ok(Some(at));
    }
    take_away(change, &invite)?;
    Ok(None)
}

/// Deletes an invite with all its links.
pub(super) fn take_away(change: &Transition<'_>, invite: &Invite) -> Result<(), Fault> {
    Tables::open(change)?.release(invite)?;
    let id = invite.id.as_str();
    change.tx.open_table(INVITES)?.remove(id)?;
    let key = (invite.account.as_str(), invite.created.0, id);
    change.tx.open_table(INVITES_BY_ACCOUNT)?.remove(key)?;
    if let Some(inviter) = invite.inviter.member() {
        change.tx.open_table(INVITES_BY_INVITER)?.remove((inviter.as_str(), id))?;
    }
    let mut links = change.tx.open_table(INVITE_LINKS)?;
    let mut tokens = change.tx.open_table(INVITE_TOKENS)?;
    for generation in Generation::FIRST.0..=invite.generation.0 {
        if let Some(hash) = links.remove((id, generation))? {
            tokens.remove(hash.value())?;
        }
    }
    Ok(())
}

/// Deletes an idempotent call, unless its key was used again since.
pub(super) fn forget_call(change: &Transition<'_>, key: &str) -> Result<Option<Timestamp>, Fault> {
    let Some(call) = change.tx.record(CALLS, key, CallRecord::decode)? else { return Ok(None) };
    let over = after(call.at, IDEMPOTENCY_MS);
    if change.now < over {
        return Ok(Some(over));
    }
    change.tx.open_table(CALLS)?.remove(key)?;
    Ok(None)
}

type Fields = Vec<(String, Option<String>, Option<String>)>;

fn audit(
    change: &Transition<'_>,
    event: AuditEvent,
    invite: &Invite,
    fields: Fields,
) -> Result<(), Fault> {
    change.audit(invite.account.as_str(), event, invite.id.as_str(), AuditDetail { fields })
}

/// The editable fields of an invite.
fn texts(invite: &Invite) -> [(&'static str, &str); 4] {
    [
        ("first_name", invite.first_name.as_str()),
        ("last_name", invite.last_name.as_str()),
        ("email", invite.email.as_str()),
        ("role", invite.role.as_str()),
    ]
}

fn changed(before: &Invite, after: &Invite) -> Fields {
    let pairs = texts(before).into_iter().zip(texts(after));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((name, before), (_, after))| {
            (name.to_owned(), Some(before.to_owned()), Some(after.to_owned()))
        })
        .collect()
}

/// What a new link changed, for the audit log; may be nothing.
fn new_expiry(before: Timestamp, invite: &Invite) -> Fields {
    let time = |at: Timestamp| Some(clock::rfc3339(at));
    match before == invite.expires {
        true => Vec::new(),
        false => vec![("expires".to_owned(), time(before), time(invite.expires))],
    }
}

fn unknown(id: &InviteId) -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_invite",
        format!(
            "there is no invite `{id}` in this account: `kwic-team invite list` shows the invites"
        ),
    )
}
