//! Transactions of invites: create, resend, edit, revoke, accept.
//!
//! An invite, its link and the letter with it change together, and an open invite reserves its
//! address.

use super::address_index::Addresses;
use super::audit_diff;
use super::letter_rows::{self, MailToQueue};
use super::member_rows::{self, AddressHolder, MemberTables};
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::tables::{INVITE_LINKS, INVITE_TOKENS, INVITES_BY_ACCOUNT, INVITES_BY_INVITER};
use super::{
    Store, StoreError, account_rows, expiry_schedule, idempotency, invariants, invite_rows,
    password_rows, rate_limits, record_version,
};
use crate::clock;
use crate::domain::{
    AccountSlug, Actor, AuditEvent, Email, Failure, FieldChange, Generation, Invite, InviteId,
    InviteOutcome, KeyId, Kind, MailKind, Member, MemberId, Status, Timestamp, TokenHash, Version,
    invite, one_time_link,
};
use crate::store::preconditions::rights_changed;
use crate::store::records::invites::{InviteRecord, InviteTokenRecord};
use crate::store::requests_and_views::invites::{
    Acceptance, InviteEdit, InviteTarget, InviteView, NewInvite, NewInviteLink,
};
use crate::store::requests_and_views::mail_queue::NewMail;
use crate::store::{Committed, Preconditions};

impl Store {
    /// Creates an invite. A repeated call with the same idempotency key returns the existing one,
    /// with the current revision. An expired invite to the address is ended.
    ///
    /// # Errors
    /// `NotFound` `unknown_account`; `Conflict` `already_member`, `suspended_member`,
    /// `already_invited`, `idempotency_key_reused`, or `moved_on`; `TooMany`
    /// `too_many_invites`; `Busy`, when the disk fails.
    pub async fn invite_create(
        &self,
        by: &Preconditions,
        new: NewInvite,
    ) -> Result<Committed<InviteView>, Failure> {
        let by = by.clone();
        self.write(&by.actor.clone(), move |change| {
            invariants::preconditions(change, &by, &new.account)?;
            account_rows::need(change.tx, &new.account)?;
            if let Some(made) = idempotency::repeated(change, &new)? {
                return Ok(TransactionEnd::AsItWas(invite_rows::with_delivery(change.tx, made)?));
            }
            let made = create(change, &by, new)?;
            Ok(TransactionEnd::Changed(invite_rows::with_delivery(change.tx, made)?))
        })
        .await
    }

    /// One invite of an account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invite(
        &self,
        account: &AccountSlug,
        id: &InviteId,
    ) -> Result<Option<InviteView>, Failure> {
        let (account, id) = (account.clone(), id.clone());
        self.read(move |tx| {
            let found = invite_rows::read(tx, id.as_str())?.map(|record| record.invite);
            found
                .filter(|invite| invite.account == account)
                .map(|found| invite_rows::with_delivery(tx, found))
                .transpose()
        })
        .await
    }

    /// The invite of a token, and which of its links it is.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invite_by_token(
        &self,
        token: TokenHash,
    ) -> Result<Option<(Invite, Generation)>, Failure> {
        self.read(move |tx| {
            let found = invite_rows::by_token(tx, &token)?;
            Ok(found.map(|(record, generation)| (record.invite, generation)))
        })
        .await
    }

    /// Gives an invite a new link, with a letter: the previous link stops working.
    ///
    /// # Errors
    /// `NotFound` `unknown_invite`; `Stale`; `Conflict` `invite_accepted`, `invite_revoked`,
    /// `already_member`, `already_invited` where somebody else took the address meanwhile, or
    /// `moved_on`; `TooMany` `too_many_invites`; `Busy`, when the disk fails.
    pub async fn invite_renew(
        &self,
        by: &Preconditions,
        target: InviteTarget<'_>,
        link: NewInviteLink,
    ) -> Result<Committed<InviteView>, Failure> {
        self.change_invite(by, target, move |change, by, mut record| {
            let before = record.invite.expires;
            let email = &record.invite.email;
            rate_limits::invite(change, &by.actor, &record.invite.account, email)?;
            give_link(change, &by.actor, &mut record, link)?;
            let invite = invite_rows::put_changed(change, record)?;
            let fields = new_expiry(before, &invite);
            invite_rows::audit(change, AuditEvent::InviteResent, &invite, fields)?;
            Ok(TransactionEnd::Changed(invite))
        })
        .await
    }

    /// Edits an invite. An edit that changes nothing returns it unchanged.
    ///
    /// # Errors
    /// As [`Self::invite_renew`].
    pub async fn invite_edit(
        &self,
        by: &Preconditions,
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
                    rate_limits::invite(change, &by.actor, &before.account, &before.email)?;
                }
                None => {}
            }
            if renews {
                give_link(change, &by.actor, &mut record, link.ok_or_else(rights_changed)?)?;
            }
            if record.invite == before {
                return Ok(TransactionEnd::AsItWas(before));
            }
            let invite = invite_rows::put_changed(change, record)?;
            let fields = audit_diff::invite_edited(&before, &invite);
            invite_rows::audit(change, AuditEvent::InviteUpdated, &invite, fields)?;
            Ok(TransactionEnd::Changed(invite))
        })
        .await
    }

    /// Records that the valid link was shown; `renewed` is a new one, if [`Invite::needs_own_link`]
    /// requires it.
    ///
    /// # Errors
    /// As [`Self::invite_renew`].
    pub async fn invite_link_shown(
        &self,
        by: &Preconditions,
        target: InviteTarget<'_>,
        renewed: Option<NewInviteLink>,
    ) -> Result<Committed<InviteView>, Failure> {
        self.change_invite(by, target, move |change, by, mut record| {
            let before = record.invite.expires;
            let invite = match renewed {
                Some(link) => {
                    give_link(change, &by.actor, &mut record, link)?;
                    invite_rows::put_changed(change, record)?
                }
                // It expired, or was taken over, after the caller's check.
                None if record.invite.needs_own_link(&by.actor, change.now) => {
                    return Err(rights_changed().into());
                }
                None => record.invite,
            };
            let fields = new_expiry(before, &invite);
            invite_rows::audit(change, AuditEvent::InviteLinkShown, &invite, fields)?;
            Ok(TransactionEnd::Changed(invite))
        })
        .await
    }

    /// Takes an invite back.
    ///
    /// # Errors
    /// `NotFound` `unknown_invite`; `Stale`; `Conflict` `invite_accepted`, `invite_revoked`, or
    /// `moved_on`; `Busy`, when the disk fails.
    pub async fn invite_revoke(
        &self,
        by: &Preconditions,
        target: InviteTarget<'_>,
    ) -> Result<Committed<InviteView>, Failure> {
        self.change_invite(by, target, move |change, _, record| {
            Addresses::open(change)?.release(&record.invite)?;
            Ok(TransactionEnd::Changed(invite_rows::revoke(change, record)?))
        })
        .await
    }

    /// A change of an open invite.
    async fn change_invite(
        &self,
        by: &Preconditions,
        target: InviteTarget<'_>,
        work: impl FnOnce(
            &mut ChangeTransaction<'_>,
            &Preconditions,
            InviteRecord,
        ) -> Result<TransactionEnd<Invite>, StoreError>
        + Clone
        + Send
        + 'static,
    ) -> Result<Committed<InviteView>, Failure> {
        let by = by.clone();
        let (account, id, expected) = (target.account.clone(), target.id.clone(), target.expected);
        self.write(&by.actor.clone(), move |change| {
            invariants::preconditions(change, &by, &account)?;
            let record = invite_rows::read(change.tx, id.as_str())?
                .filter(|record| record.invite.account == account)
                .ok_or_else(|| unknown(&id))?;
            let (version, last_change) = (record.invite.version, &record.last_change);
            record_version::need("invite", expected, version, last_change)?;
            record.invite.may_be_changed()?;
            Ok(match work(change, &by, record)? {
                TransactionEnd::Changed(invite) => {
                    TransactionEnd::Changed(invite_rows::with_delivery(change.tx, invite)?)
                }
                TransactionEnd::Quietly(invite) => {
                    TransactionEnd::Quietly(invite_rows::with_delivery(change.tx, invite)?)
                }
                TransactionEnd::AsItWas(invite) => {
                    TransactionEnd::AsItWas(invite_rows::with_delivery(change.tx, invite)?)
                }
            })
        })
        .await
    }

    /// Creates the member of an invite, with a password, and ends the invite.
    ///
    /// # Errors
    /// `Gone` as [`Invite::may_be_accepted`] says, or `link_dead`; `Conflict` `already_member`,
    /// or `moved_on`; `Busy`, when the disk fails.
    pub async fn invite_accept(
        &self,
        acceptance: Acceptance,
    ) -> Result<Committed<Member>, Failure> {
        self.write(&Actor::System, move |change| {
            let (record, generation) = invite_rows::by_token(change.tx, &acceptance.token)?
                .ok_or_else(one_time_link::dead)?;
            change.acts(&Actor::Invitee(record.invite.id.clone()));
            record.invite.may_be_accepted(generation, change.now)?;
            if acceptance.judged.is_some_and(|judged| judged != record.invite.version) {
                return Err(rights_changed().into());
            }
            let Invite { inviter, account, .. } = &record.invite;
            invariants::check_inviter(change, inviter, acceptance.inviter.as_ref(), account)?;
            let member = joining(&record.invite, acceptance.member, change.now);
            let mut tables = MemberTables::open(change)?;
            tables.need_free_id(&member.id)?;
            if !tables.addresses.is_held_by(&record.invite)?
                && let Some(holder) = tables.make_way(change, &member.account, &member.email)?
            {
                return Err(holder.refuse_joining(&member.email).into());
            }
            tables.put(change, None, &member)?;
            drop(tables);
            password_rows::set(change, &member.id, acceptance.password)?;
            let fate = InviteOutcome::Accepted { member: member.id.clone(), at: change.now };
            let accepted = invite_rows::end(change, record, fate)?;
            let made = vec![FieldChange::added("member", member.id.as_str())];
            invite_rows::audit(change, AuditEvent::InviteAccepted, &accepted, made)?;
            member_rows::tell_created(change, &member)?;
            Ok(TransactionEnd::Changed(member))
        })
        .await
    }

    /// Records that the holder of a dead link asks for a new one, and queues a letter to the
    /// inviter, if there is one.
    ///
    /// # Errors
    /// `Gone` `link_dead`; `Busy`, when the disk fails.
    pub async fn invite_wanted(
        &self,
        token: TokenHash,
        letter: Option<(Member, NewMail)>,
    ) -> Result<Committed<()>, Failure> {
        self.write(&Actor::System, move |change| {
            let (mut record, _) =
                invite_rows::by_token(change.tx, &token)?.ok_or_else(one_time_link::dead)?;
            change.acts(&Actor::Invitee(record.invite.id.clone()));
            invite_rows::audit(change, AuditEvent::InviteWanted, &record.invite, Vec::new())?;
            if let Some((reader, new)) = letter
                && let Some(reader) = still_reads(change, &record.invite, &reader.id)?
            {
                letter_rows::cancel_mail(change, record.wanted)?;
                record.wanted = Some(letter_rows::queue(
                    change,
                    MailToQueue {
                        account: record.invite.account.clone(),
                        kind: MailKind::InviteWanted { invite: record.invite.id.clone() },
                        subject: record.invite.id.as_str().to_owned(),
                        to_name: reader.full_name(),
                        to: reader.email,
                        new,
                    },
                )?);
                invite_rows::put(change, &record)?;
            }
            Ok(TransactionEnd::Changed(()))
        })
        .await
    }
}

/// Creates an invite, within any transaction.
pub(super) fn create(
    change: &mut ChangeTransaction<'_>,
    by: &Preconditions,
    new: NewInvite,
) -> Result<Invite, StoreError> {
    make_way(change, &new.account, &new.email)?;
    rate_limits::invite(change, &by.actor, &new.account, &new.email)?;
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
        fate: InviteOutcome::Open,
        letter: None,
        version: Version::FIRST,
    };
    let mut record = InviteRecord { invite, wanted: None, last_change: change.as_last() };
    let inviter = record.invite.inviter.clone();
    give_link(change, &inviter, &mut record, new.link)?;
    begin(change, &record)?;
    let invite = record.invite;
    if let Some(idempotency) = new.idempotency {
        idempotency::remember(change, &invite, &idempotency)?;
    }
    let fields = audit_diff::invite_created(&invite);
    invite_rows::audit(change, AuditEvent::InviteCreated, &invite, fields)?;
    Ok(invite)
}

/// Writes a new invite, with what it is found by, and gives it its address.
fn begin(change: &ChangeTransaction<'_>, record: &InviteRecord) -> Result<(), StoreError> {
    invite_rows::put(change, record)?;
    let invite = &record.invite;
    Addresses::open(change)?.hold(invite)?;
    let (account, id) = (invite.account.as_str(), invite.id.as_str());
    change.tx.open_table(INVITES_BY_ACCOUNT)?.insert((account, invite.created.0, id), ())?;
    if let Some(inviter) = invite.inviter.member() {
        change.tx.open_table(INVITES_BY_INVITER)?.insert((inviter.as_str(), id), ())?;
    }
    expiry_schedule::schedule(
        change,
        invite_rows::forgotten_at(invite),
        expiry_schedule::ExpiringKind::Invite,
        id,
    )
}

/// Ends an expired invite to an address; refuses if somebody else has the address.
fn make_way(
    change: &ChangeTransaction<'_>,
    account: &AccountSlug,
    email: &Email,
) -> Result<(), StoreError> {
    match MemberTables::open(change)?.make_way(change, account, email)? {
        Some(holder) => Err(AddressHolder::refuse_invite(&holder, email).into()),
        None => Ok(()),
    }
}

/// Changes the address of an invite. Another spelling of the same address has no conflict.
fn readdress(
    change: &ChangeTransaction<'_>,
    by: &Preconditions,
    record: &mut InviteRecord,
    email: Email,
) -> Result<(), StoreError> {
    let invite = &mut record.invite;
    if email.key() != invite.email.key() {
        make_way(change, &invite.account, &email)?;
    }
    rate_limits::invite(change, &by.actor, &invite.account, &email)?;
    let mut addresses = Addresses::open(change)?;
    addresses.release(invite)?;
    invite.email = email;
    addresses.hold(invite)
}

/// Gives an invite its next link, and queues the letter with it; the previous link stops working,
/// and its letter is cancelled if it was not sent.
///
/// The one who gives it becomes responsible for the invite: it ends with the giver's right.
fn give_link(
    change: &mut ChangeTransaction<'_>,
    giver: &Actor,
    record: &mut InviteRecord,
    link: NewInviteLink,
) -> Result<(), StoreError> {
    let invite = &mut record.invite;
    if link.generation != invite.generation.next() {
        return Err(rights_changed().into());
    }
    hand_to(change, invite, giver)?;
    letter_rows::cancel_mail(change, invite.letter)?;
    letter_rows::cancel_mail(change, record.wanted)?;
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
        Some(new) => Some(letter_rows::queue(
            change,
            MailToQueue {
                account: invite.account.clone(),
                kind: MailKind::Invite { invite: invite.id.clone(), generation: link.generation },
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
fn hand_to(
    change: &ChangeTransaction<'_>,
    invite: &mut Invite,
    giver: &Actor,
) -> Result<(), StoreError> {
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
    change: &ChangeTransaction<'_>,
    invite: &Invite,
    reader: &MemberId,
) -> Result<Option<Member>, StoreError> {
    let found = member_rows::read(change.tx, reader.as_str())?;
    Ok(found.filter(|found| found.account == invite.account && found.status == Status::Active))
}

/// What a new link changed, for the audit log; may be nothing.
fn new_expiry(before: Timestamp, invite: &Invite) -> Vec<FieldChange> {
    if before == invite.expires {
        Vec::new()
    } else {
        vec![FieldChange::changed(
            "expires",
            clock::rfc3339(before),
            clock::rfc3339(invite.expires),
        )]
    }
}

fn unknown(id: &InviteId) -> Failure {
    Failure::new(
        Kind::NotFound,
        invite::UNKNOWN,
        format!(
            "there is no invite `{id}` in this account: `kwic-team invite list` shows the invites"
        ),
    )
}
