//! Links to a new password and to a new address in the embedded backend, and the set-up of an empty
//! store.
//!
//! A link that was used, was replaced or whose member is gone is deleted, with its letter if that
//! was not sent yet.

use redb::ReadableTable;

use super::leaving::{self, OVER_MS, after};
use super::letters::{self, Outgoing};
use super::members::{self, OwnedTarget, Side, Tables, all_fields, audit_edit};
use super::rows::Rows;
use super::transition::{Ends, Transition};
use super::{
    ACCOUNTS, Fault, LINK_TOKENS, LINKS, LINKS_BY_MEMBER, RedbStore, accounts, guards, sessions,
    two_step,
};
use crate::clock;
use crate::domain::{
    Actor, AuditDetail, AuditEvent, Email, EmailEnd, Failure, Kind, LetterKind, Link, LinkId,
    LinkPurpose, Member, MemberId, Row, Status, Timestamp, TokenHash, link,
};
use crate::store::letters::NewLetter;
use crate::store::links::{EmailConfirmed, NewLink, Setup};
use crate::store::record::links::LinkRecord;
use crate::store::two_step::StepUp;
use crate::store::{By, Committed, Target};

impl RedbStore {
    pub(in crate::store) async fn reset_begin(
        &self,
        by: &By,
        target: Target<'_>,
        new: NewLink,
    ) -> Result<Committed<Link>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            // Before the caller is checked: a suspended member who asks for a reset is told so.
            let member = find_active(change, &target)?;
            guards::by(change, &by, &target.account)?;
            end_some(change, &member.id, |purpose| *purpose == LinkPurpose::PasswordReset)?;
            let link = make(change, &member, LinkPurpose::PasswordReset, new)?;
            audit_made(change, &member, "password_reset", &link)?;
            Ok(Ends::Changed(link))
        })
        .await
    }

    pub(in crate::store) async fn link(&self, id: &LinkId) -> Result<Option<Link>, Failure> {
        let id = id.clone();
        self.read(move |tx| Ok(read(tx, id.as_str())?.map(|record| record.link))).await
    }

    pub(in crate::store) async fn link_by_token(
        &self,
        token: TokenHash,
    ) -> Result<Option<Link>, Failure> {
        self.read(move |tx| Ok(by_token(tx, &token)?.map(|record| record.link))).await
    }

    pub(in crate::store) async fn reset_end(
        &self,
        token: TokenHash,
        password: String,
        letter: Option<NewLetter>,
    ) -> Result<Committed<(Member, u64)>, Failure> {
        self.write(&Actor::System, move |change| {
            let opened = open(change, &token, |purpose| *purpose == LinkPurpose::PasswordReset)?;
            let member = opened.member;
            sessions::set_password(change, &member.id, password)?;
            two_step::forgive(change, &member.id)?;
            let ended = sessions::end_all(change, &member.id)?;
            end_all(change, &member.id)?;
            sessions::audit_password(change, &member, ended)?;
            if let Some(new) = letter {
                sessions::tell_of_password(change, &member, new)?;
            }
            Ok(Ends::Changed((member, ended)))
        })
        .await
    }

    pub(in crate::store) async fn email_change_begin(
        &self,
        target: Target<'_>,
        shown: StepUp,
        to: Email,
        [old, new]: [NewLink; 2],
    ) -> Result<Committed<()>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = find_active(change, &target)?;
            if to.key() == member.email.key() {
                return Err(same_address(&to).into());
            }
            if let Some(holder) = Tables::open(change)?.holder(change, &member.account, &to)? {
                return Err(holder.refuse_member(&to).into());
            }
            two_step::step_up(change, &member, shown)?;
            end_some(change, &member.id, |purpose| *purpose != LinkPurpose::PasswordReset)?;
            let purpose = |end| LinkPurpose::EmailChange { to: to.clone(), end };
            make(change, &member, purpose(EmailEnd::Old), old)?;
            let link = make(change, &member, purpose(EmailEnd::New), new)?;
            audit_made(change, &member, "email_change", &link)?;
            Ok(Ends::Changed(()))
        })
        .await
    }

    pub(in crate::store) async fn email_change_confirm(
        &self,
        token: TokenHash,
        letter: Option<NewLetter>,
    ) -> Result<Committed<EmailConfirmed>, Failure> {
        self.write(&Actor::System, move |change| {
            let opened = open(change, &token, |purpose| *purpose != LinkPurpose::PasswordReset)?;
            let LinkPurpose::EmailChange { to, end } = opened.record.link.purpose.clone() else {
                return Err(link::dead().into());
            };
            let other = match end {
                EmailEnd::Old => EmailEnd::New,
                EmailEnd::New => EmailEnd::Old,
            };
            let waiting = EmailConfirmed::WaitingFor(other);
            if opened.record.link.confirmed.is_some() {
                return Ok(Ends::AsItWas(waiting));
            }
            if is_confirmed(change, &opened.member.id, other)? {
                let changed = change_address(change, &opened.member, to, letter)?;
                return Ok(Ends::Changed(EmailConfirmed::Changed(changed)));
            }
            let mut record = opened.record;
            record.link.confirmed = Some(change.now);
            put(change, &record)?;
            audit_confirmed(change, &opened.member, end)?;
            Ok(Ends::Changed(waiting))
        })
        .await
    }

    pub(in crate::store) async fn set_up(
        &self,
        setup: Setup,
    ) -> Result<Committed<Member>, Failure> {
        self.write(&Actor::Setup, move |change| {
            if change.tx.open_table(ACCOUNTS)?.first()?.is_some() {
                return Err(set_up_already().into());
            }
            let Setup { slug, name, member, password } = setup;
            let account = accounts::create(change, slug, name)?;
            let member = Member { account: account.slug, ..member };
            Tables::open(change)?.put(change, None, &member)?;
            sessions::set_password(change, &member.id, password)?;
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
}

fn find_active(change: &Transition<'_>, target: &OwnedTarget) -> Result<Member, Fault> {
    let member = members::find(change, target)?;
    need_active(&member)?;
    Ok(member)
}

fn need_active(member: &Member) -> Result<(), Failure> {
    match member.status {
        Status::Active => Ok(()),
        Status::Suspended => Err(Failure::new(
            Kind::Conflict,
            "suspended_member",
            "this member is suspended: an administrator of the account must restore the member first",
        )),
    }
}

/// A verified link, and its member.
struct Opened {
    record: LinkRecord,
    member: Member,
}

/// Finds the link of a token, of the right purpose and not expired; its holder acts as its member.
fn open(
    change: &mut Transition<'_>,
    token: &TokenHash,
    fits: impl Fn(&LinkPurpose) -> bool,
) -> Result<Opened, Fault> {
    let found = by_token(change.tx, token)?.filter(|record| fits(&record.link.purpose));
    let record = found.ok_or_else(link::dead)?;
    record.link.may_be_used(change.now)?;
    let member = members::read(change.tx, record.link.member.as_str())?.ok_or_else(link::dead)?;
    need_active(&member)?;
    change.acts(&Actor::Member(member.id.clone()));
    Ok(Opened { record, member })
}

/// Creates a link, and queues its letter.
fn make(
    change: &mut Transition<'_>,
    member: &Member,
    purpose: LinkPurpose,
    new: NewLink,
) -> Result<Link, Fault> {
    let link = Link {
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
        Some(new) => Some(letters::queue(change, carrying(&link, member, new))?),
        None => None,
    };
    let record = LinkRecord { link, token: new.token, letter };
    put(change, &record)?;
    let link = record.link;
    let id = link.id.as_str();
    change.tx.open_table(LINK_TOKENS)?.insert(&new.token.0.0, id)?;
    change.tx.open_table(LINKS_BY_MEMBER)?.insert((member.id.as_str(), id), ())?;
    leaving::note(change, after(link.expires, OVER_MS), leaving::Kind::Link, id)?;
    Ok(link)
}

fn carrying(link: &Link, member: &Member, new: NewLetter) -> Outgoing {
    let id = link.id.clone();
    let (kind, to) = match &link.purpose {
        LinkPurpose::PasswordReset => (LetterKind::PasswordReset { link: id }, &member.email),
        LinkPurpose::EmailChange { end: EmailEnd::Old, .. } => {
            (LetterKind::EmailChange { link: id }, &member.email)
        }
        LinkPurpose::EmailChange { end: EmailEnd::New, to } => {
            (LetterKind::EmailChange { link: id }, to)
        }
    };
    Outgoing {
        account: member.account.clone(),
        kind,
        subject: member.id.as_str().to_owned(),
        to: to.clone(),
        to_name: member.full_name(),
        new,
    }
}

fn put(change: &Transition<'_>, record: &LinkRecord) -> Result<(), Fault> {
    let mut links = change.tx.open_table(LINKS)?;
    links.insert(record.link.id.as_str(), record.encode().as_slice())?;
    Ok(())
}

fn read(rows: &impl Rows, id: &str) -> Result<Option<LinkRecord>, Fault> {
    rows.record(LINKS, id, |bytes| LinkRecord::decode(id, bytes))
}

fn by_token(rows: &impl Rows, token: &TokenHash) -> Result<Option<LinkRecord>, Fault> {
    match rows.open(LINK_TOKENS)?.get(&token.0.0)? {
        Some(id) => read(rows, id.value()),
        None => Ok(None),
    }
}

/// Every link of a member.
fn of_member(change: &Transition<'_>, member: &MemberId) -> Result<Vec<LinkRecord>, Fault> {
    let index = change.tx.open_table(LINKS_BY_MEMBER)?;
    let mut found = Vec::new();
    for row in index.range((member.as_str(), "")..)? {
        let (key, _) = row?;
        let (of, id) = key.value();
        if of != member.as_str() {
            break;
        }
        found.extend(read(change.tx, id)?);
    }
    Ok(found)
}

/// Ends every link of a member, and their unsent letters.
pub(super) fn end_all(change: &Transition<'_>, member: &MemberId) -> Result<(), Fault> {
    end_some(change, member, |_| true)
}

/// Ends every link; returns their number.
pub(super) fn end_every(change: &Transition<'_>) -> Result<u64, Fault> {
    let mut links = Vec::new();
    for row in change.tx.open_table(LINKS)?.iter()? {
        let (id, bytes) = row?;
        links.push(LinkRecord::decode(id.value(), bytes.value())?);
    }
    let mut ended = 0;
    for record in &links {
        end(change, record)?;
        ended += 1;
    }
    Ok(ended)
}

fn end_some(
    change: &Transition<'_>,
    member: &MemberId,
    which: impl Fn(&LinkPurpose) -> bool,
) -> Result<(), Fault> {
    for record in of_member(change, member)? {
        if which(&record.link.purpose) {
            end(change, &record)?;
        }
    }
    Ok(())
}

fn end(change: &Transition<'_>, record: &LinkRecord) -> Result<(), Fault> {
    letters::void(change, record.letter)?;
    let id = record.link.id.as_str();
    change.tx.open_table(LINKS)?.remove(id)?;
    change.tx.open_table(LINK_TOKENS)?.remove(&record.token.0.0)?;
    change.tx.open_table(LINKS_BY_MEMBER)?.remove((record.link.member.as_str(), id))?;
    Ok(())
}

/// Whether one of the two addresses of a member's address change is confirmed.
fn is_confirmed(
    change: &Transition<'_>,
    member: &MemberId,
    wanted: EmailEnd,
) -> Result<bool, Fault> {
    let is_it = |record: &LinkRecord| {
        record.link.confirmed.is_some()
            && matches!(&record.link.purpose, LinkPurpose::EmailChange { end, .. } if *end == wanted)
    };
    Ok(of_member(change, member)?.iter().any(is_it))
}

/// Sets a member's new address, and notifies the old one.
fn change_address(
    change: &mut Transition<'_>,
    before: &Member,
    to: Email,
    letter: Option<NewLetter>,
) -> Result<Member, Fault> {
    let after = Member { email: to, version: before.version.next(), ..before.clone() };
    members::move_address(change, before, &after)?;
    Tables::open(change)?.put(change, Some(before), &after)?;
    audit_edit(change, before, &after)?;
    if let Some(new) = letter {
        letters::queue(
            change,
            Outgoing {
                account: before.account.clone(),
                kind: LetterKind::EmailChanged { member: before.id.clone() },
                subject: before.id.as_str().to_owned(),
                to: before.email.clone(),
                to_name: before.full_name(),
                new,
            },
        )?;
    }
    change.tell(Row::Member(after.clone()));
    Ok(after)
}

/// Deletes a link that expired long ago.
pub(super) fn forget(change: &Transition<'_>, id: &str) -> Result<Option<Timestamp>, Fault> {
    if let Some(record) = read(change.tx, id)? {
        end(change, &record)?;
    }
    Ok(None)
}

fn audit_made(
    change: &Transition<'_>,
    member: &Member,
    purpose: &str,
    link: &Link,
) -> Result<(), Fault> {
    let mut fields = vec![
        ("purpose".to_owned(), None, Some(purpose.to_owned())),
        ("expires".to_owned(), None, Some(clock::rfc3339(link.expires))),
    ];
    if let LinkPurpose::EmailChange { to, .. } = &link.purpose {
        let (before, after) = (member.email.as_str().to_owned(), to.as_str().to_owned());
        fields.push(("email".to_owned(), Some(before), Some(after)));
    }
    change.audit(
        member.account.as_str(),
        AuditEvent::AuthnTokenCreated,
        member.id.as_str(),
        AuditDetail { fields },
    )
}

fn audit_confirmed(change: &Transition<'_>, member: &Member, end: EmailEnd) -> Result<(), Fault> {
    let which = match end {
        EmailEnd::Old => "the old address",
        EmailEnd::New => "the new address",
    };
    let fields = vec![("email_change_confirmed".to_owned(), None, Some(which.to_owned()))];
    change.audit(
        member.account.as_str(),
        AuditEvent::UserUpdated,
        member.id.as_str(),
        AuditDetail { fields },
    )
}

fn same_address(email: &Email) -> Failure {
    Failure {
        kind: Kind::Conflict,
        code: "same_address",
        ..Failure::invalid(
            "email",
            format!("`{email}` is this member's address already: write another one"),
        )
    }
}

fn set_up_already() -> Failure {
    Failure::new(
        Kind::Conflict,
        "set_up_already",
        "this store has an account already: sign in, or ask an administrator for an invite",
    )
}
