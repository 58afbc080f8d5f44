//! Transitions of links to a new password and to a new address.
//!
//! The holder of a link acts as its member; a link works once.

use super::letter_rows::{self, MailToQueue};
use super::member_rows::{self, MemberTables, OwnedTarget};
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::{
    Store, StoreError, factor_rows, invariants, link_rows, password_rows, second_factor_check,
    session_rows,
};
use crate::clock;
use crate::domain::{
    Actor, AddressSide, AuditEvent, ChangedRecord, Email, Failure, FieldChange, Kind, LinkId,
    LinkPurpose, MailKind, Member, MemberId, OneTimeLink, Status, TokenHash, one_time_link,
};
use crate::store::preconditions::SUSPENDED_MEMBER;
use crate::store::records::one_time_links::OneTimeLinkRecord;
use crate::store::requests_and_views::mail_queue::NewMail;
use crate::store::requests_and_views::one_time_links::{EmailConfirmed, NewOneTimeLink};
use crate::store::requests_and_views::two_step::StepUp;
use crate::store::{Committed, MemberTarget, Preconditions};

impl Store {
    /// Creates a link to a new password; the member's older ones stop working.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Conflict` `suspended_member`, or `moved_on`;
    /// `Busy`, when the disk fails.
    pub async fn reset_begin(
        &self,
        by: &Preconditions,
        target: MemberTarget<'_>,
        new: NewOneTimeLink,
    ) -> Result<Committed<OneTimeLink>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            // Before the caller is checked: a suspended member who asks for a reset is told so.
            let member = find_active(change, &target)?;
            invariants::preconditions(change, &by, &target.account)?;
            link_rows::end_some(change, &member.id, |purpose| {
                *purpose == LinkPurpose::PasswordReset
            })?;
            let link = make(change, &member, LinkPurpose::PasswordReset, new)?;
            audit_made(change, &member, "password_reset", &link)?;
            Ok(TransactionEnd::Changed(link))
        })
        .await
    }

    /// One link.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn link(&self, id: &LinkId) -> Result<Option<OneTimeLink>, Failure> {
        let id = id.clone();
        self.read(move |tx| Ok(link_rows::read(tx, id.as_str())?.map(|record| record.link))).await
    }

    /// The link of a token.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn link_by_token(&self, token: TokenHash) -> Result<Option<OneTimeLink>, Failure> {
        self.read(move |tx| Ok(link_rows::by_token(tx, &token)?.map(|record| record.link))).await
    }

    /// Sets a new password with a link, which ends, as do all sessions; returns the member and the
    /// number of sessions.
    ///
    /// # Errors
    /// `Gone` `link_dead`, `link_expired`; `Conflict` `suspended_member`; `Busy`, when the disk
    /// fails.
    pub async fn reset_end(
        &self,
        token: TokenHash,
        password: String,
        letter: Option<NewMail>,
    ) -> Result<Committed<(Member, u64)>, Failure> {
        self.write(&Actor::System, move |change| {
            let opened = open(change, &token, |purpose| *purpose == LinkPurpose::PasswordReset)?;
            let member = opened.member;
            password_rows::set(change, &member.id, password)?;
            factor_rows::forgive(change, &member.id)?;
            let ended = session_rows::end_all(change, &member.id)?;
            link_rows::end_all(change, &member.id)?;
            password_rows::audit_changed(change, &member, ended)?;
            if let Some(new) = letter {
                password_rows::tell_changed(change, &member, new)?;
            }
            Ok(TransactionEnd::Changed((member, ended)))
        })
        .await
    }

    /// Begins an address change: one link to the current address, one to the new. Older ones stop
    /// working.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Denied` `wrong_code`, `code_missing`; `Conflict`
    /// `already_member`, `already_invited`, `same_address`; `Busy`, when the disk fails.
    pub async fn email_change_begin(
        &self,
        target: MemberTarget<'_>,
        shown: StepUp,
        to: Email,
        [old, new]: [NewOneTimeLink; 2],
    ) -> Result<Committed<()>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = find_active(change, &target)?;
            if to.key() == member.email.key() {
                return Err(same_address(&to).into());
            }
            if let Some(holder) =
                MemberTables::open(change)?.holder(change, &member.account, &to)?
            {
                return Err(holder.refuse_member(&to).into());
            }
            second_factor_check::step_up(change, &member, shown)?;
            link_rows::end_some(change, &member.id, |purpose| {
                *purpose != LinkPurpose::PasswordReset
            })?;
            let purpose = |end| LinkPurpose::EmailChange { to: to.clone(), end };
            make(change, &member, purpose(AddressSide::Old), old)?;
            let link = make(change, &member, purpose(AddressSide::New), new)?;
            audit_made(change, &member, "email_change", &link)?;
            Ok(TransactionEnd::Changed(()))
        })
        .await
    }

    /// Confirms one of the two addresses; the second confirmation makes the change, and notifies
    /// the old address.
    ///
    /// # Errors
    /// `Gone` `link_dead`, `link_expired`; `Conflict` `already_member`, `already_invited` where
    /// somebody took the address meanwhile; `Busy`, when the disk fails.
    pub async fn email_change_confirm(
        &self,
        token: TokenHash,
        letter: Option<NewMail>,
    ) -> Result<Committed<EmailConfirmed>, Failure> {
        self.write(&Actor::System, move |change| {
            let opened = open(change, &token, |purpose| *purpose != LinkPurpose::PasswordReset)?;
            let LinkPurpose::EmailChange { to, end } = opened.record.link.purpose.clone() else {
                return Err(one_time_link::dead().into());
            };
            let other = match end {
                AddressSide::Old => AddressSide::New,
                AddressSide::New => AddressSide::Old,
            };
            let waiting = EmailConfirmed::WaitingFor(other);
            if opened.record.link.confirmed.is_some() {
                return Ok(TransactionEnd::AsItWas(waiting));
            }
            if is_confirmed(change, &opened.member.id, other)? {
                let changed = change_address(change, &opened.member, to, letter)?;
                return Ok(TransactionEnd::Changed(EmailConfirmed::Changed(changed)));
            }
            let mut record = opened.record;
            record.link.confirmed = Some(change.now);
            link_rows::put(change, &record)?;
            audit_confirmed(change, &opened.member, end)?;
            Ok(TransactionEnd::Changed(waiting))
        })
        .await
    }
}

fn find_active(change: &ChangeTransaction<'_>, target: &OwnedTarget) -> Result<Member, StoreError> {
    let member = member_rows::find_target(change, target)?;
    need_active(&member)?;
    Ok(member)
}

fn need_active(member: &Member) -> Result<(), Failure> {
    match member.status {
        Status::Active => Ok(()),
        Status::Suspended => Err(Failure::new(
            Kind::Conflict,
            SUSPENDED_MEMBER,
            "this member is suspended: an administrator of the team must restore the member first (`kwic-team member restore`)",
        )),
    }
}

/// A verified link, and its member.
struct OpenedLink {
    record: OneTimeLinkRecord,
    member: Member,
}

/// Finds the link of a token, of the right purpose and not expired; its holder acts as its member.
fn open(
    change: &mut ChangeTransaction<'_>,
    token: &TokenHash,
    fits: impl Fn(&LinkPurpose) -> bool,
) -> Result<OpenedLink, StoreError> {
    let found = link_rows::by_token(change.tx, token)?.filter(|record| fits(&record.link.purpose));
    let record = found.ok_or_else(one_time_link::dead)?;
    record.link.may_be_used(change.now)?;
    let member = member_rows::read(change.tx, record.link.member.as_str())?
        .ok_or_else(one_time_link::dead)?;
    need_active(&member)?;
    change.acts(&Actor::Member(member.id.clone()));
    Ok(OpenedLink { record, member })
}

/// Creates a link, and queues its letter.
fn make(
    change: &mut ChangeTransaction<'_>,
    member: &Member,
    purpose: LinkPurpose,
    new: NewOneTimeLink,
) -> Result<OneTimeLink, StoreError> {
    let link = OneTimeLink {
        id: new.id,
        account: member.account.clone(),
        member: member.id.clone(),
        purpose,
        key: new.key,
        created: change.now,
        expires: new.expires,
        confirmed: None,
    };
    let letter = match new.letter {
        Some(new) => Some(letter_rows::queue(change, carrying(&link, member, new))?),
        None => None,
    };
    let record = OneTimeLinkRecord { link, token: new.token, letter };
    link_rows::begin(change, &record)?;
    Ok(record.link)
}

fn carrying(link: &OneTimeLink, member: &Member, new: NewMail) -> MailToQueue {
    let id = link.id.clone();
    let kind = match &link.purpose {
        LinkPurpose::PasswordReset => MailKind::PasswordReset { link: id },
        LinkPurpose::EmailChange { .. } => MailKind::EmailChange { link: id },
    };
    let out = MailToQueue::to_member(member, kind, new);
    match &link.purpose {
        LinkPurpose::EmailChange { end: AddressSide::New, to } => {
            MailToQueue { to: to.clone(), ..out }
        }
        _ => out,
    }
}

/// Whether one of the two addresses of a member's address change is confirmed.
fn is_confirmed(
    change: &ChangeTransaction<'_>,
    member: &MemberId,
    wanted: AddressSide,
) -> Result<bool, StoreError> {
    let is_it = |record: &OneTimeLinkRecord| {
        record.link.confirmed.is_some()
            && matches!(&record.link.purpose, LinkPurpose::EmailChange { end, .. } if *end == wanted)
    };
    Ok(link_rows::of_member(change, member)?.iter().any(is_it))
}

/// Sets a member's new address, and notifies the old one.
fn change_address(
    change: &mut ChangeTransaction<'_>,
    before: &Member,
    to: Email,
    letter: Option<NewMail>,
) -> Result<Member, StoreError> {
    let after = Member { email: to, version: before.version.next(), ..before.clone() };
    member_rows::move_address(change, before, &after)?;
    MemberTables::open(change)?.put(change, Some(before), &after)?;
    member_rows::audit_edit(change, before, &after)?;
    if let Some(new) = letter {
        let kind = MailKind::EmailChanged { member: before.id.clone() };
        letter_rows::queue(change, MailToQueue::to_member(before, kind, new))?;
    }
    change.tell(ChangedRecord::Member(after.clone()));
    Ok(after)
}

fn audit_made(
    change: &ChangeTransaction<'_>,
    member: &Member,
    purpose: &str,
    link: &OneTimeLink,
) -> Result<(), StoreError> {
    let expires = clock::rfc3339(link.expires);
    let mut fields =
        vec![FieldChange::added("purpose", purpose), FieldChange::added("expires", expires)];
    if let LinkPurpose::EmailChange { to, .. } = &link.purpose {
        fields.push(FieldChange::changed("email", member.email.as_str(), to.as_str()));
    }
    member_rows::audit(change, member, AuditEvent::AuthnTokenCreated, fields)
}

fn audit_confirmed(
    change: &ChangeTransaction<'_>,
    member: &Member,
    end: AddressSide,
) -> Result<(), StoreError> {
    let which = match end {
        AddressSide::Old => "the old address",
        AddressSide::New => "the new address",
    };
    let fields = vec![FieldChange::added("email_change_confirmed", which)];
    member_rows::audit(change, member, AuditEvent::UserUpdated, fields)
}

fn same_address(email: &Email) -> Failure {
    Failure {
        kind: Kind::Conflict,
        code: "same_address",
        ..Failure::invalid("email", format!("`{email}` is your address already: enter another one"))
    }
}
