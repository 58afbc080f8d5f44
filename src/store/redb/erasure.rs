//! Erasing what is personal of a removed member.
//!
//! The data is searched outside the transaction, so that nobody waits while a long log is read; the
//! transaction examines what was added since, and searches everything again if any of that matters.
//! Headers of the log stay, so that every chain still verifies.

use std::collections::BTreeSet;

use redb::{TableDefinition, Value};

use super::audit::{ChainReader, joined_by};
use super::row_reads::{Rows, TableRead};
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::tables::{
    AUDIT_HEADS, AUDIT_PERSONAL, CALLS, ERASED, EXPIRY, LETTERS_BY_ACCOUNT, META, RATES, REMOVED,
};
use super::{
    Store, StoreError, address_index, expiry_schedule, file_rewrite, idempotency, invariants,
    invite_rows, letter_rows, member_rows, rate_limits,
};
use crate::domain::{
    AccountSlug, Actor, AuditEvent, Email, Failure, FieldChange, InviteState, Kind, MailId,
    MailKind, MailStop, MemberId, Timestamp,
};
use crate::store::records::invites::IdempotentCallRecord;
use crate::store::records::queued_mail::QueuedMailRecord;
use crate::store::records::{AuditHead, AuditHeader, PersonalPart};
use crate::store::requests_and_views::personal_data::Erasure;
use crate::store::{Committed, Preconditions};

/// The store's own chain.
const STORE: &str = "";
/// Replaces an address.
const ERASED_WORD: &str = "(erased)";

impl Store {
    /// Erases the personal data of a removed member. If nothing is left of it, nothing changes.
    /// Later entries about the member get no personal part.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`, when no such member was ever removed from the account;
    /// `Conflict` `not_removed`, or `moved_on`; `Busy`, when the disk fails.
    pub async fn member_erase(
        &self,
        by: &Preconditions,
        account: &AccountSlug,
        id: &MemberId,
    ) -> Result<Committed<Erasure>, Failure> {
        let (whom, now) =
            (ErasedMember { account: account.clone(), id: id.clone() }, self.0.clock.now());
        let found = self.read(move |tx| search(tx, whom, now)).await?;
        let by = by.clone();
        self.write(&by.actor.clone(), move |change| {
            invariants::preconditions(change, &by, &found.whom.account)?;
            if is_member(change, &found.whom)? {
                return Err(not_removed().into());
            }
            let found = if found.is_all(change)? {
                found
            } else {
                search(change.tx, found.whom, change.now)?
            };
            if !found.removed {
                return Err(member_rows::unknown(&found.whom.id).into());
            }
            erase(change, &found)
        })
        .await
    }
}

fn is_member(change: &ChangeTransaction<'_>, whom: &ErasedMember) -> Result<bool, StoreError> {
    let found = member_rows::read(change.tx, whom.id.as_str())?;
    Ok(found.is_some_and(|found| found.account == whom.account))
}

/// The member to erase.
#[derive(Clone)]
struct ErasedMember {
    account: AccountSlug,
    id: MemberId,
}

/// The personal data found, and how far the search went.
#[derive(Clone)]
struct ErasurePlan {
    whom: ErasedMember,
    /// Whether the account's log has the removal.
    removed: bool,
    /// The canonical addresses of the person.
    addresses: BTreeSet<String>,
    /// Invites by which the person came; and ended ones to one of the addresses that nobody else
    /// accepted.
    invites: BTreeSet<String>,
    /// Entries of the account's chain, and of the store's, whose personal part is the person's.
    entries: Vec<u64>,
    store_entries: Vec<u64>,
    letters: Vec<MailId>,
    /// The last entry of both chains, and the last letter, that were searched.
    reached: ErasurePosition,
}

#[derive(Clone, PartialEq, Eq)]
struct ErasurePosition {
    entry: u64,
    store_entry: u64,
    letter: u64,
}

impl ErasurePosition {
    fn now(rows: &impl Rows, account: &AccountSlug) -> Result<Self, StoreError> {
        let head = |chain: &str| {
            let found = rows.record(AUDIT_HEADS, chain, AuditHead::decode)?;
            Ok::<_, StoreError>(found.unwrap_or_default().sequence)
        };
        let letter = rows.open(META)?.get("letter")?.map_or(0, |found| found.value());
        Ok(Self { entry: head(account.as_str())?, store_entry: head(STORE)?, letter })
    }
}

/// Searches all personal data of a removed member.
fn search(rows: &impl Rows, whom: ErasedMember, now: Timestamp) -> Result<ErasurePlan, StoreError> {
    let reached = ErasurePosition::now(rows, &whom.account)?;
    let mut found = ErasurePlan {
        whom,
        removed: false,
        addresses: BTreeSet::new(),
        invites: BTreeSet::new(),
        entries: Vec::new(),
        store_entries: Vec::new(),
        letters: Vec::new(),
        reached,
    };
    let of_others = found.take_person(rows)?;
    if found.removed {
        found.take_invites(rows, &of_others, now)?;
        found.take_entries(rows)?;
        found.letters = found.letters_after(rows, 0)?;
    }
    Ok(found)
}

impl ErasurePlan {
    /// Adds the person's addresses and the invites by which the person came. Returns the invites by
    /// which others did.
    fn take_person(&mut self, rows: &impl Rows) -> Result<BTreeSet<String>, StoreError> {
        let mut of_others = BTreeSet::new();
        let reader = ChainReader::open(rows, self.whom.account.as_str())?;
        for row in reader.headers(0)? {
            let (header, _) = row?;
            let invite = joined_by(&header).map(str::to_owned);
            if header.target != self.whom.id.as_str() {
                of_others.extend(invite);
                continue;
            }
            self.invites.extend(invite);
            self.removed |= header.event == AuditEvent::UserDeleted.as_str();
            if let Some(personal) = reader.personal(header.sequence)? {
                self.addresses.extend(values(&personal.detail).filter_map(address));
            }
        }
        // One invite cannot have created two members; contradicting entries are ignored.
        self.invites.retain(|invite| !of_others.contains(invite));
        Ok(of_others)
    }

    /// Adds invites to an address of the person, from the log.
    fn take_invites(
        &mut self,
        rows: &impl Rows,
        of_others: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let reader = ChainReader::open(rows, self.whom.account.as_str())?;
        let mut open = BTreeSet::new();
        for row in reader.headers(0)? {
            let (header, _) = row?;
            let id = &header.target;
            if !header.event.starts_with("invite_")
                || [of_others, &self.invites, &open].iter().any(|known| known.contains(id))
            {
                continue;
            }
            let Some(personal) = reader.personal(header.sequence)? else { continue };
            if !values(&personal.detail).any(|value| self.is_address(value)) {
                continue;
            }
            let record = invite_rows::read(rows, id)?;
            let is_open = record.is_some_and(|it| it.invite.state(now) == InviteState::Pending);
            let kept = if is_open { &mut open } else { &mut self.invites };
            kept.insert(id.clone());
        }
        Ok(())
    }

    fn take_entries(&mut self, rows: &impl Rows) -> Result<(), StoreError> {
        self.entries = self.entries_after(rows, 0)?;
        self.store_entries = self.store_entries_after(rows, 0)?;
        Ok(())
    }

    /// Entries of the account's chain after a sequence with a personal part of the person.
    fn entries_after(&self, rows: &impl Rows, after: u64) -> Result<Vec<u64>, StoreError> {
        let reader = ChainReader::open(rows, self.whom.account.as_str())?;
        let mut found = Vec::new();
        for row in reader.headers(after)? {
            let (header, _) = row?;
            let is_mail = header.event.starts_with("mail_");
            if !self.is_about(&header) && !is_mail {
                continue;
            }
            let Some(personal) = reader.personal(header.sequence)? else { continue };
            if self.is_about(&header) || self.is_to_inviter(&personal.detail) {
                found.push(header.sequence);
            }
        }
        Ok(found)
    }

    fn store_entries_after(&self, rows: &impl Rows, after: u64) -> Result<Vec<u64>, StoreError> {
        let reader = ChainReader::open(rows, STORE)?;
        let mut found = Vec::new();
        for row in reader.headers(after)? {
            let (header, _) = row?;
            let personal = reader.personal(header.sequence)?;
            let mentions = |personal: PersonalPart| {
                values(&personal.detail).any(|value| self.is_mentioned(value))
            };
            if personal.is_some_and(mentions) {
                found.push(header.sequence);
            }
        }
        Ok(found)
    }

    /// Letters of the account after an id that went to the person or are about such an invite.
    fn letters_after(&self, rows: &impl Rows, after: u64) -> Result<Vec<MailId>, StoreError> {
        let account = self.whom.account.as_str();
        let index = rows.open(LETTERS_BY_ACCOUNT)?;
        let mut found = Vec::new();
        let behind = (account, after.saturating_add(1))..=(account, u64::MAX);
        for row in index.range(behind)? {
            let (key, _) = row?;
            let id = MailId(key.value().1);
            if letter_rows::read(rows, id)?.is_some_and(|record| self.is_letter(&record)) {
                found.push(id);
            }
        }
        Ok(found)
    }

    fn is_letter(&self, QueuedMailRecord { letter, subject, .. }: &QueuedMailRecord) -> bool {
        let to_inviter = matches!(letter.kind, MailKind::InviteWanted { .. });
        self.is_id(subject) || (to_inviter && self.addresses.contains(letter.to.key()))
    }

    /// Whether an id is the person's, or that of such an invite.
    fn is_id(&self, id: &str) -> bool {
        id == self.whom.id.as_str() || self.invites.contains(id)
    }

    /// Whether an entry is about the person. The entry of an erasure has only numbers.
    fn is_about(&self, header: &AuditHeader) -> bool {
        self.is_id(&header.target) && header.event != AuditEvent::UserErased.as_str()
    }

    /// Whether an entry is about a letter that asked the person, as inviter, for a new link: in the
    /// log its target is the other one.
    fn is_to_inviter(&self, detail: &[FieldChange]) -> bool {
        let is = |wanted: &str, fits: &dyn Fn(&str) -> bool| {
            detail
                .iter()
                .any(|change| change.field == wanted && change.after.as_deref().is_some_and(fits))
        };
        is("kind", &|kind| kind == "invite_wanted") && is("to", &|to| self.is_address(to))
    }

    fn is_address(&self, text: &str) -> bool {
        address(text).is_some_and(|key| self.addresses.contains(&key))
    }

    /// Whether a mail server's text has an address of the person.
    fn is_mentioned(&self, text: &str) -> bool {
        text.split(is_between_words).any(|word| self.is_address(bare(word)))
    }

    /// A mail server's text without the person's addresses.
    fn without_address(&self, text: &str) -> String {
        let word = |piece: &str| {
            let word = bare(piece.trim_end_matches(is_between_words));
            if self.is_address(word) { piece.replace(word, ERASED_WORD) } else { piece.to_owned() }
        };
        text.split_inclusive(is_between_words).map(word).collect()
    }

    /// Whether nothing relevant was added since the search.
    fn is_all(&self, change: &ChangeTransaction<'_>) -> Result<bool, StoreError> {
        let rows = change.tx;
        let ErasurePosition { entry, store_entry, letter } = &self.reached;
        if ErasurePosition::now(rows, &self.whom.account)? == self.reached {
            return Ok(true);
        }
        Ok(!self.is_named_after(rows, *entry)?
            && self.store_entries_after(rows, *store_entry)?.is_empty()
            && self.letters_after(rows, *letter)?.is_empty())
    }

    /// Whether the account's chain mentions the person, or one of the addresses, after a sequence.
    fn is_named_after(&self, rows: &impl Rows, after: u64) -> Result<bool, StoreError> {
        let reader = ChainReader::open(rows, self.whom.account.as_str())?;
        for row in reader.headers(after)? {
            let (header, _) = row?;
            let personal = reader.personal(header.sequence)?;
            let named = personal.is_some_and(|personal| {
                values(&personal.detail).any(|value| self.is_address(value))
            });
            if named || self.is_about(&header) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn values(detail: &[FieldChange]) -> impl Iterator<Item = &str> {
    let texts = detail.iter().flat_map(|change| [&change.before, &change.after]);
    texts.filter_map(Option::as_deref)
}

/// Text as a canonical address.
fn address(text: &str) -> Option<String> {
    // Most texts are not addresses: this check is cheap.
    if !text.contains('@') {
        return None;
    }
    Email::parse(text).ok().map(|email| email.key().to_owned())
}

fn is_between_words(c: char) -> bool {
    c.is_whitespace() || "<>()[]{},;\"'`".contains(c)
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c| ".:!?".contains(c))
}

/// Erases the data; if there is none, changes nothing.
fn erase(
    change: &mut ChangeTransaction<'_>,
    found: &ErasurePlan,
) -> Result<TransactionEnd<Erasure>, StoreError> {
    let account = found.whom.account.as_str();
    let erased = Erasure {
        entries: take_personal(change, account, &found.entries)?
            + take_personal(change, STORE, &found.store_entries)?,
        invites: take_invites(change, found)?,
        letters: take_letters(change, found)?,
    };
    let further =
        [take_addresses(change, found)?, take_calls(change, found)?, mend_stop(change, found)?];
    if erased == Erasure::default() && further == [false; 3] {
        return Ok(TransactionEnd::AsItWas(erased));
    }
    {
        let mut table = change.tx.open_table(ERASED)?;
        table.insert((account, found.whom.id.as_str()), ())?;
        for invite in &found.invites {
            table.insert((account, invite.as_str()), ())?;
        }
    }
    file_rewrite::request_rewrite(change.tx)?;
    let fields = vec![
        FieldChange::added("entries", erased.entries.to_string()),
        FieldChange::added("invites", erased.invites.to_string()),
        FieldChange::added("letters", erased.letters.to_string()),
    ];
    let id = found.whom.id.as_str();
    change.audit(account, AuditEvent::UserErased, id, fields)?;
    Ok(TransactionEnd::Changed(erased))
}

fn take_personal(
    change: &ChangeTransaction<'_>,
    chain: &str,
    entries: &[u64],
) -> Result<u64, StoreError> {
    let mut table = change.tx.open_table(AUDIT_PERSONAL)?;
    let mut taken = 0;
    for sequence in entries {
        taken += u64::from(table.remove((chain, *sequence))?);
    }
    Ok(taken)
}

fn take_invites(change: &ChangeTransaction<'_>, found: &ErasurePlan) -> Result<u64, StoreError> {
    let mut taken = 0;
    for id in &found.invites {
        if let Some(record) = invite_rows::read(change.tx, id)? {
            invite_rows::take_away(change, &record.invite)?;
            taken += 1;
        }
    }
    Ok(taken)
}

/// Including one that is being sent: its result no longer matters.
fn take_letters(change: &ChangeTransaction<'_>, found: &ErasurePlan) -> Result<u64, StoreError> {
    let mut taken = 0;
    for id in &found.letters {
        taken += u64::from(letter_rows::read(change.tx, *id)?.is_some());
        letter_rows::forget(change, &id.to_string())?;
    }
    Ok(taken)
}

/// Deletes what is kept under an address: that a member had it, and how often it was invited.
fn take_addresses(change: &ChangeTransaction<'_>, found: &ErasurePlan) -> Result<bool, StoreError> {
    let account = &found.whom.account;
    let mut counted = BTreeSet::new();
    let mut taken = false;
    for key in &found.addresses {
        let removed = address_index::key(account, key);
        taken |= change.tx.open_table(REMOVED)?.remove(removed.as_str())?;
        counted.extend(rate_limits::of_address(account, key));
    }
    Ok(take_keys(change, RATES, expiry_schedule::ExpiringKind::Rate, &counted)? || taken)
}

/// Deletes idempotent calls of the person or the person's tokens, and those that created such an
/// invite.
fn take_calls(change: &ChangeTransaction<'_>, found: &ErasurePlan) -> Result<bool, StoreError> {
    let mut keys = BTreeSet::new();
    for row in change.tx.open_table(CALLS)?.iter()? {
        let (key, bytes) = row?;
        let (key, call) = (key.value(), IdempotentCallRecord::decode(bytes.value())?);
        let by = idempotency::called_by(key);
        let own = by.as_ref().and_then(Actor::member) == Some(&found.whom.id);
        if own || found.invites.contains(call.invite.as_str()) {
            keys.insert(key.to_owned());
        }
    }
    take_keys(change, CALLS, expiry_schedule::ExpiringKind::Call, &keys)
}

/// Deletes rows by key, with their retention entries.
fn take_keys<V: Value + 'static>(
    change: &ChangeTransaction<'_>,
    table: TableDefinition<'static, &'static str, V>,
    kind: expiry_schedule::ExpiringKind,
    keys: &BTreeSet<String>,
) -> Result<bool, StoreError> {
    let mut taken = false;
    let mut table = change.tx.open_table(table)?;
    for key in keys {
        taken |= table.remove(key.as_str())?;
    }
    let mut leaving = change.tx.open_table(EXPIRY)?;
    let mut gone = Vec::new();
    for row in leaving.iter()? {
        let (entry, ()) = row.map(|(entry, _)| (entry, ()))?;
        let (at, of, key) = entry.value();
        if of == kind as u8 && keys.contains(key) {
            gone.push((at, key.to_owned()));
        }
    }
    for (at, key) in &gone {
        leaving.remove((*at, kind as u8, key.as_str()))?;
    }
    Ok(taken || !gone.is_empty())
}

/// A mail stop stays until it is fixed; the personal part of its cause does not.
fn mend_stop(change: &mut ChangeTransaction<'_>, found: &ErasurePlan) -> Result<bool, StoreError> {
    let Some(MailStop { cause, since }) = letter_rows::read_mail_stop(change.tx)? else {
        return Ok(false);
    };
    if !found.is_mentioned(&cause) {
        return Ok(false);
    }
    let cause = found.without_address(&cause);
    letter_rows::put_stop(change, &MailStop { cause, since })?;
    Ok(true)
}

fn not_removed() -> Failure {
    Failure::new(
        Kind::Conflict,
        "not_removed",
        "this is a member of the account, and nothing was erased: remove the member first",
    )
}
