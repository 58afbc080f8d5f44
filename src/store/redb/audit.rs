//! The audit log: chains of headers, and personal parts beside them.
//!
//! Appends and reads; a header is never changed.

use std::cmp::Ordering;

use super::change_workspace::Workspace;
use super::row_reads::{Rows, TableRead};
use super::tables::{AUDIT, AUDIT_HEADS, AUDIT_PERSONAL, ERASED};
use super::{Store, StoreError};
use crate::domain::audit::ChainReport;
use crate::domain::{
    AccountSlug, AuditEntry, AuditEvent, Digest, Failure, FieldChange, Revision, Timestamp, limits,
};
use crate::entropy;
use crate::store::records::{AuditHead, AuditHeader, PersonalPart};
use crate::store::{AuditFilter, Page};

/// A new entry.
pub(super) struct NewAuditEntry<'n> {
    pub(super) revision: Revision,
    pub(super) at: Timestamp,
    pub(super) actor: &'n str,
    pub(super) chain: &'n str,
    pub(super) event: AuditEvent,
    pub(super) target: &'n str,
    pub(super) detail: Vec<FieldChange>,
}

/// Appends an entry to its chain.
pub(super) fn append(tx: &Workspace, new: NewAuditEntry<'_>) -> Result<(), StoreError> {
    let mut heads = tx.open_table(AUDIT_HEADS)?;
    let head = match heads.get(new.chain)? {
        Some(found) => AuditHead::decode(found.value())?,
        None => AuditHead::default(),
    };
    // Later personal data of an erased member is left out, whatever its source.
    let is_erased = new.event != AuditEvent::UserErased
        && tx.open_table(ERASED)?.get((new.chain, new.target))?.is_some();
    let detail = if is_erased { Vec::new() } else { bounded(new.detail) };
    let personal = PersonalPart { salt: entropy::random()?, detail };
    let header = AuditHeader {
        sequence: head.sequence.saturating_add(1),
        revision: new.revision,
        at: new.at,
        actor: new.actor.to_owned(),
        event: new.event.as_str().to_owned(),
        target: new.target.to_owned(),
        personal: personal.digest(),
    };
    let hash = header.hash(head.hash);
    let key = (new.chain, header.sequence);
    tx.open_table(AUDIT)?.insert(key, header.encode_with(hash).as_slice())?;
    if !is_erased {
        tx.open_table(AUDIT_PERSONAL)?.insert(key, personal.encode().as_slice())?;
    }
    let head = AuditHead { sequence: header.sequence, hash };
    heads.insert(new.chain, head.encode().as_slice())?;
    Ok(())
}

/// A detail, truncated to the limits of an entry.
fn bounded(mut detail: Vec<FieldChange>) -> Vec<FieldChange> {
    let more = detail.len().saturating_sub(limits::AUDIT_FIELDS_MAX);
    detail.truncate(limits::AUDIT_FIELDS_MAX);
    if let (1.., Some(last)) = (more, detail.last()) {
        let told = format!("{more} more, which the log leaves out");
        detail.push(FieldChange::added(&last.field, told));
    }
    let fields = detail.iter_mut();
    let texts = fields.flat_map(|change| [&mut change.before, &mut change.after]).flatten();
    for text in texts {
        if let Some((end, _)) = text.char_indices().nth(limits::AUDIT_TEXT_CHARS_MAX) {
            text.truncate(end);
            text.push('…');
        }
    }
    detail
}

/// The name of a chain: the account's, or empty for the store's own.
fn chain_of(account: Option<&AccountSlug>) -> String {
    account.map(|slug| slug.as_str().to_owned()).unwrap_or_default()
}

/// One chain, open for reading.
pub(super) struct ChainReader<'t, R: Rows + 't> {
    chain: &'t str,
    headers: R::Open<'t, (&'static str, u64), &'static [u8]>,
    personal: R::Open<'t, (&'static str, u64), &'static [u8]>,
}

impl<'t, R: Rows> ChainReader<'t, R> {
    pub(super) fn open(rows: &'t R, chain: &'t str) -> Result<Self, StoreError> {
        Ok(Self { chain, headers: rows.open(AUDIT)?, personal: rows.open(AUDIT_PERSONAL)? })
    }

    /// The headers after a sequence, oldest first, each with the hash of the chain.
    pub(super) fn headers(
        &self,
        after: u64,
    ) -> Result<
        impl DoubleEndedIterator<Item = Result<(AuditHeader, Digest), StoreError>> + '_,
        StoreError,
    > {
        let first = after.saturating_add(1);
        let rows = self.headers.range((self.chain, first)..=(self.chain, u64::MAX))?;
        Ok(rows.map(|row| Ok(AuditHeader::decode(row?.1.value())?)))
    }

    /// The headers before a sequence, newest first, each with the hash of the chain.
    fn headers_before(
        &self,
        before: u64,
    ) -> Result<impl Iterator<Item = Result<(AuditHeader, Digest), StoreError>> + '_, StoreError>
    {
        let rows = self.headers.range((self.chain, 0)..(self.chain, before))?;
        Ok(rows.rev().map(|row| Ok(AuditHeader::decode(row?.1.value())?)))
    }

    /// The personal part of an entry, unless it was erased.
    pub(super) fn personal(&self, sequence: u64) -> Result<Option<PersonalPart>, StoreError> {
        let found = self.personal.get((self.chain, sequence))?;
        Ok(found.map(|found| PersonalPart::decode(found.value())).transpose()?)
    }
}

/// A complete entry.
pub(super) fn entry(
    account: Option<&AccountSlug>,
    header: AuditHeader,
    hash: Digest,
    detail: Option<Vec<FieldChange>>,
) -> AuditEntry {
    AuditEntry {
        account: account.cloned(),
        sequence: header.sequence,
        revision: header.revision,
        at: header.at,
        actor: header.actor,
        event: header.event,
        target: header.target,
        hash,
        detail,
    }
}

/// The invite by which somebody joined, if the entry is about that. It is in the header, so it is
/// kept forever.
pub(super) fn joined_by(header: &AuditHeader) -> Option<&str> {
    if header.event == AuditEvent::UserCreated.as_str() {
        header.actor.strip_prefix("invite:")
    } else {
        None
    }
}

impl Store {
    /// Entries of a chain, oldest first; without an account the store's own chain.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn audit(
        &self,
        account: Option<&AccountSlug>,
        filter: &AuditFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<AuditEntry>, Failure> {
        let (account, filter) = (account.cloned(), filter.clone());
        self.read(move |tx| {
            let chain = chain_of(account.as_ref());
            let reader = ChainReader::open(tx, &chain)?;
            let rows = reader.headers(after.unwrap_or(0))?;
            page(&reader, account.as_ref(), &filter, rows, limit)
        })
        .await
    }

    /// The same, newest first: the entries before the one with sequence `before`.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn audit_latest(
        &self,
        account: Option<&AccountSlug>,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<AuditEntry>, Failure> {
        let (account, filter) = (account.cloned(), filter.clone());
        self.read(move |tx| {
            let chain = chain_of(account.as_ref());
            let reader = ChainReader::open(tx, &chain)?;
            let rows = reader.headers_before(before.unwrap_or(u64::MAX))?;
            page(&reader, account.as_ref(), &filter, rows, limit)
        })
        .await
    }

    /// Which chains there are.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn audit_chains(&self) -> Result<Vec<Option<AccountSlug>>, Failure> {
        self.read(|tx| {
            let mut chains = Vec::new();
            for row in tx.open_table(AUDIT_HEADS)?.iter()? {
                let (chain, _) = row?;
                let name = chain.value();
                chains.push(if name.is_empty() { None } else { Some(AccountSlug::parse(name)?) });
            }
            Ok(chains)
        })
        .await
    }

    /// Verifies a chain from its beginning.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn audit_verify(
        &self,
        account: Option<&AccountSlug>,
    ) -> Result<ChainReport, Failure> {
        let account = account.cloned();
        self.read(move |tx| {
            let chain = chain_of(account.as_ref());
            let headers = tx.open_table(AUDIT)?;
            let personal = tx.open_table(AUDIT_PERSONAL)?;
            let heads = tx.open_table(AUDIT_HEADS)?;
            let mut walk = ChainWalk::default();
            for row in headers.range((chain.as_str(), 0)..=(chain.as_str(), u64::MAX))? {
                let (key, bytes) = row?;
                let (_, stored_at) = key.value();
                let part = personal.get(key.value())?;
                let part = part.map(|part| PersonalPart::decode(part.value())).transpose();
                if let Err(why) = walk.step(stored_at, bytes.value(), part) {
                    return Ok(walk.report(account, Some((stored_at, why))));
                }
            }
            let head = match heads.get(chain.as_str())? {
                Some(found) => AuditHead::decode(found.value())?,
                None => AuditHead::default(),
            };
            let fault = (head.sequence != walk.sequence || head.hash != walk.hash).then(|| {
                let end = head.sequence;
                let why = match end.cmp(&walk.sequence) {
                    Ordering::Greater => {
                        format!("entries after it are missing: the log should end with entry {end}")
                    }
                    Ordering::Less => {
                        format!(
                            "entries were added to the end: the log should end with entry {end}"
                        )
                    }
                    Ordering::Equal => "this last entry is not the one that was written".to_owned(),
                };
                (walk.sequence, why)
            });
            Ok(walk.report(account, fault))
        })
        .await
    }
}

/// As many of the rows as fit on a page, in order.
fn page<'t, R: Rows + 't>(
    reader: &ChainReader<'t, R>,
    account: Option<&AccountSlug>,
    filter: &AuditFilter,
    rows: impl Iterator<Item = Result<(AuditHeader, Digest), StoreError>>,
    limit: usize,
) -> Result<Page<AuditEntry>, StoreError> {
    let mut page = Page { items: Vec::new(), next: None };
    for row in rows {
        let (header, hash) = row?;
        if !matches(filter, &header) {
            continue;
        }
        if page.items.len() == limit {
            page.next = page.items.last().map(|entry: &AuditEntry| entry.sequence.to_string());
            break;
        }
        let detail = reader.personal(header.sequence)?.map(|personal| personal.detail);
        page.items.push(entry(account, header, hash, detail));
    }
    Ok(page)
}

fn matches(filter: &AuditFilter, header: &AuditHeader) -> bool {
    filter.member.as_ref().is_none_or(|member| *member == header.target)
        && filter.event.is_none_or(|event| event.as_str() == header.event)
}

/// The verification of a chain, up to an entry.
#[derive(Default)]
struct ChainWalk {
    sequence: u64,
    hash: Digest,
}

impl ChainWalk {
    /// Verifies the next entry.
    fn step(
        &mut self,
        stored_at: u64,
        bytes: &[u8],
        personal: Result<Option<PersonalPart>, Failure>,
    ) -> Result<(), String> {
        let (header, hash) = AuditHeader::decode(bytes).map_err(|failure| {
            tracing::error!(%failure, entry = stored_at, "an audit entry cannot be read");
            "the entry cannot be read".to_owned()
        })?;
        let expected = self.sequence.saturating_add(1);
        if stored_at != expected || header.sequence != expected {
            return Err(format!("entry {expected} is missing"));
        }
        if header.hash(self.hash) != hash {
            return Err("the entry, or one before it, was changed".to_owned());
        }
        let personal = personal.map_err(|failure| {
            tracing::error!(%failure, entry = expected, "an audit entry cannot be read");
            "the entry cannot be read".to_owned()
        })?;
        if personal.is_some_and(|part| part.digest() != header.personal) {
            return Err("its details were changed".to_owned());
        }
        self.sequence = expected;
        self.hash = hash;
        Ok(())
    }

    fn report(self, account: Option<AccountSlug>, fault: Option<(u64, String)>) -> ChainReport {
        ChainReport { account, entries: self.sequence, head: self.hash, fault }
    }
}
