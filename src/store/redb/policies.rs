//! The last good policy set, and the history of the sets.
//!
//! The history has each content once, and is bounded in entries and bytes: the oldest leave. A set
//! that goes live is written in the same transaction as its entry, so the two always agree. Checks
//! no set.

use std::collections::BTreeSet;

use redb::ReadTransaction;

use super::change_workspace::Workspace;
use super::row_reads::{Rows, TableRead};
use super::running_change::TransactionEnd;
use super::tables::{META, POLICIES, POLICY_HISTORY, POLICY_SETS, REVISION};
use super::{Store, StoreError};
use crate::domain::{
    Actor, AuditEvent, Digest, Failure, FieldChange, PolicyCause, PolicyEntry, PolicyOutcome,
    PolicyReport, PolicySetName, Revision, limits,
};
use crate::store::records::policy_history::{
    decode_policy_entry, decode_policy_number, encode_policy_entry, encode_policy_number,
};
use crate::store::records::{decode_policies, encode_policies};
use crate::store::requests_and_views::policies::PolicyState;
use crate::store::{Committed, Page, StoredPolicies};

const LAST_GOOD: &str = "last_good";
/// The number of the entry that waits for approval.
const PENDING: &str = "pending";
/// The number of the entry that is pinned.
const PINNED: &str = "pinned";

impl Store {
    /// The last live policy set.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_last_good(&self) -> Result<Option<StoredPolicies>, Failure> {
        self.read(|tx| tx.record(POLICIES, LAST_GOOD, decode_policies)).await
    }

    /// Saves a policy set that became live; returns its number in the history. Nothing is pending
    /// any more, and the set that the report names is pinned, or none.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_installed(
        &self,
        actor: &Actor,
        policies: StoredPolicies,
        report: PolicyReport,
        detail: Vec<FieldChange>,
    ) -> Result<Committed<u64>, Failure> {
        self.write(actor, move |change| {
            let bytes = encode_policies(&policies);
            let pinned = report.pinned.map(encode_policy_number);
            let mut rows = change.tx.open_table(POLICIES)?;
            rows.insert(LAST_GOOD, bytes.as_slice())?;
            rows.remove(PENDING)?;
            match pinned {
                Some(number) => rows.insert(PINNED, number.as_slice())?,
                None => drop(rows.remove(PINNED)?),
            }
            drop(rows);
            let (outcome, revision) = (PolicyOutcome::Live, change.revision());
            let entry = entry(&change.actor, &policies, report, outcome, revision);
            let number = append(change.tx, entry, &policies)?.number;
            let target = policies.digest.hex();
            change.audit("", AuditEvent::PoliciesReloaded, &target, detail)?;
            Ok(TransactionEnd::Changed(number))
        })
        .await
    }

    /// Keeps a set that did not become live; returns its entry, or the latest one if that says the
    /// same about the same set. Only the set itself is pending then, if it is held.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_set_aside(
        &self,
        actor: &Actor,
        outcome: PolicyOutcome,
        policies: StoredPolicies,
        report: PolicyReport,
    ) -> Result<PolicyEntry, Failure> {
        let done = self.write(actor, move |change| {
            let is_held = outcome == PolicyOutcome::Pending;
            let revision = if is_held { change.revision() } else { change.before() };
            let new = entry(&change.actor, &policies, report, outcome, revision);
            let latest = latest(change.tx)?.filter(|latest| {
                (latest.digest, latest.outcome) == (new.digest, new.outcome)
                    && latest.report.says_the_same(&new.report)
            });
            let waits = change.tx.record(POLICIES, PENDING, decode_policy_number)?;
            let is_known = latest.is_some();
            let entry = match latest {
                Some(latest) => latest,
                None => append(change.tx, new, &policies)?,
            };
            let wanted = is_held.then_some(entry.number);
            if is_known && waits == wanted {
                return Ok(TransactionEnd::AsItWas(entry));
            }
            let mut rows = change.tx.open_table(POLICIES)?;
            match wanted.map(encode_policy_number) {
                Some(number) => rows.insert(PENDING, number.as_slice())?,
                None => drop(rows.remove(PENDING)?),
            }
            drop(rows);
            if !is_held {
                return Ok(TransactionEnd::Quietly(entry));
            }
            let (target, detail) = (entry.digest.hex(), held_detail(&entry.report));
            change.audit("", AuditEvent::PoliciesHeld, &target, detail)?;
            Ok(TransactionEnd::Changed(entry))
        });
        done.await.map(|done| done.value)
    }

    /// Nothing is pending any more.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_none_pending(&self) -> Result<(), Failure> {
        let done = self.write(&Actor::System, |change| {
            let removed = change.tx.open_table(POLICIES)?.remove(PENDING)?;
            let end = if removed { TransactionEnd::Quietly } else { TransactionEnd::AsItWas };
            Ok(end(()))
        });
        done.await.map(|done| done.value)
    }

    /// Ends a pin; returns the number of the set that was pinned, if one was.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_unpinned(
        &self,
        actor: &Actor,
    ) -> Result<Committed<Option<u64>>, Failure> {
        self.write(actor, |change| {
            let pinned = change.tx.record(POLICIES, PINNED, decode_policy_number)?;
            let Some(number) = pinned else { return Ok(TransactionEnd::AsItWas(None)) };
            change.tx.open_table(POLICIES)?.remove(PINNED)?;
            let target = number.to_string();
            change.audit("", AuditEvent::PoliciesUnpinned, &target, Vec::new())?;
            Ok(TransactionEnd::Changed(pinned))
        })
        .await
    }

    /// Which set is pending and which is pinned.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_state(&self) -> Result<PolicyState, Failure> {
        self.read(|tx| {
            let pinned = tx.record(POLICIES, PINNED, decode_policy_number)?;
            let pending = tx.record(POLICIES, PENDING, decode_policy_number)?;
            let pending = pending.map(|number| numbered(tx, number)).transpose()?.flatten();
            Ok(PolicyState { pending, pinned })
        })
        .await
    }

    /// One page of the history, newest first: the entries before the one with number `before`.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policy_history(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<PolicyEntry>, Failure> {
        self.read(move |tx| {
            let mut page = Page { items: Vec::new(), next: None };
            let history = tx.open(POLICY_HISTORY)?;
            for row in history.range(..before.unwrap_or(u64::MAX))?.rev() {
                let (number, bytes) = row?;
                if page.items.len() == limit {
                    page.next = page.items.last().map(|last: &PolicyEntry| last.number.to_string());
                    break;
                }
                page.items.push(decode_policy_entry(number.value(), bytes.value())?);
            }
            Ok(page)
        })
        .await
    }

    /// The entry with a name, or the latest one of several.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policy_entry(&self, name: PolicySetName) -> Result<Option<PolicyEntry>, Failure> {
        self.read(move |tx| match name {
            PolicySetName::Number(number) => numbered(tx, number),
            PolicySetName::Pending => {
                let number = tx.record(POLICIES, PENDING, decode_policy_number)?;
                number.map(|number| numbered(tx, number)).transpose().map(Option::flatten)
            }
            PolicySetName::Live => {
                let live = tx.record(POLICIES, LAST_GOOD, decode_policies)?;
                let Some(live) = live.map(|live| live.digest) else { return Ok(None) };
                newest(tx, |entry| entry.digest == live && entry.outcome == PolicyOutcome::Live)
            }
            PolicySetName::Digest(_) => newest(tx, |entry| name.is_digest(&entry.digest)),
        })
        .await
    }

    /// Whether a set went live, as far as the history goes back.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_were_live(&self, digest: Digest) -> Result<bool, Failure> {
        self.read(move |tx| {
            let live = |entry: &PolicyEntry| {
                entry.digest == digest && entry.outcome == PolicyOutcome::Live
            };
            Ok(newest(tx, live)?.is_some())
        })
        .await
    }

    /// The files of a set in the history.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policy_files(
        &self,
        digest: Digest,
    ) -> Result<Option<Vec<(String, Vec<u8>)>>, Failure> {
        self.read(move |tx| {
            let found = tx.record(POLICY_SETS, &digest.0, decode_policies)?;
            Ok(found.map(|found| found.files))
        })
        .await
    }
}

/// An entry without its number.
fn entry(
    actor: &str,
    policies: &StoredPolicies,
    report: PolicyReport,
    outcome: PolicyOutcome,
    revision: Revision,
) -> PolicyEntry {
    let bytes: usize = policies.files.iter().map(|(path, bytes)| path.len() + bytes.len()).sum();
    PolicyEntry {
        number: 0,
        digest: policies.digest,
        revision,
        at: policies.at,
        actor: actor.to_owned(),
        outcome,
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        report: report.bounded(),
    }
}

fn held_detail(report: &PolicyReport) -> Vec<FieldChange> {
    let cause = report.cause.told().map(|cause| FieldChange::added("cause", cause));
    let lists = [&report.gains, &report.loses, &report.may_gain, &report.may_lose];
    let lines = lists.into_iter().flatten().map(|line| FieldChange::added("change", line));
    cause.into_iter().chain(lines).collect()
}

/// Adds an entry with the next number, and the files of its set; the oldest entries leave.
fn append(
    tx: &Workspace,
    entry: PolicyEntry,
    policies: &StoredPolicies,
) -> Result<PolicyEntry, StoreError> {
    let number = latest(tx)?.map_or(0, |latest| latest.number).saturating_add(1);
    let entry = PolicyEntry { number, ..entry };
    let mut sets = tx.open_table(POLICY_SETS)?;
    if sets.get(&entry.digest.0)?.is_none() {
        sets.insert(&entry.digest.0, encode_policies(policies).as_slice())?;
    }
    drop(sets);
    tx.open_table(POLICY_HISTORY)?.insert(number, encode_policy_entry(&entry).as_slice())?;
    prune(tx)?;
    Ok(entry)
}

fn latest(tx: &Workspace) -> Result<Option<PolicyEntry>, StoreError> {
    let history = tx.open_table(POLICY_HISTORY)?;
    let last = history.iter()?.next_back();
    let Some(row) = last else { return Ok(None) };
    let (number, bytes) = row?;
    Ok(Some(decode_policy_entry(number.value(), bytes.value())?))
}

fn numbered(tx: &ReadTransaction, number: u64) -> Result<Option<PolicyEntry>, StoreError> {
    tx.record(POLICY_HISTORY, number, |bytes| decode_policy_entry(number, bytes))
}

fn newest(
    tx: &ReadTransaction,
    is_meant: impl Fn(&PolicyEntry) -> bool,
) -> Result<Option<PolicyEntry>, StoreError> {
    for row in tx.open(POLICY_HISTORY)?.iter()?.rev() {
        let (number, bytes) = row?;
        let entry = decode_policy_entry(number.value(), bytes.value())?;
        if is_meant(&entry) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// What the history may still keep, from the newest entry to the oldest.
struct Room {
    live: usize,
    others: usize,
    bytes: u64,
    kept: BTreeSet<Digest>,
}

impl Room {
    /// Whether an entry is kept: the newest always is.
    fn takes(&mut self, entry: &PolicyEntry, record: usize) -> bool {
        let count = match entry.outcome {
            PolicyOutcome::Live => &mut self.live,
            PolicyOutcome::Pending | PolicyOutcome::Refused => &mut self.others,
        };
        let files = if self.kept.contains(&entry.digest) { 0 } else { entry.bytes };
        let bytes = files.saturating_add(u64::try_from(record).unwrap_or(u64::MAX));
        let has_room = *count > 0 && bytes <= self.bytes;
        if !has_room && !self.kept.is_empty() {
            // What is older than an entry without room leaves too, if it needs as much.
            return false;
        }
        *count = count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.kept.insert(entry.digest);
        true
    }
}

/// Removes the oldest entries beyond the limits, and the files that no entry has any more.
fn prune(tx: &Workspace) -> Result<(), StoreError> {
    let mut room = Room {
        live: limits::POLICY_HISTORY_LIVE_MAX,
        others: limits::POLICY_HISTORY_OTHERS_MAX,
        bytes: limits::POLICY_HISTORY_BYTES_MAX,
        kept: BTreeSet::new(),
    };
    let mut history = tx.open_table(POLICY_HISTORY)?;
    let mut leaving = Vec::new();
    for row in history.iter()?.rev() {
        let (number, bytes) = row?;
        let entry = decode_policy_entry(number.value(), bytes.value())?;
        if !room.takes(&entry, bytes.value().len()) {
            leaving.push((entry.number, entry.digest));
        }
    }
    let mut sets = tx.open_table(POLICY_SETS)?;
    for (number, digest) in leaving {
        history.remove(number)?;
        if !room.kept.contains(&digest) {
            sets.remove(&digest.0)?;
        }
    }
    Ok(())
}

/// A store from before there was a history begins it with its last good set.
pub(super) fn begin_history(tx: &Workspace) -> Result<(), StoreError> {
    let Some(kept) = tx.record(POLICIES, LAST_GOOD, decode_policies)? else { return Ok(()) };
    if latest(tx)?.is_some() {
        return Ok(());
    }
    let revision = tx.open_table(META)?.get(REVISION)?.map_or(0, |found| found.value());
    let report = PolicyReport { cause: PolicyCause::Start, ..PolicyReport::default() };
    let actor = Actor::System.label();
    let first = entry(&actor, &kept, report, PolicyOutcome::Live, Revision(revision));
    append(tx, first, &kept)?;
    Ok(())
}
