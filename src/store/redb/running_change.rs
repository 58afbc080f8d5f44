//! One running change: what it reads and writes, and what it tells.
//!
//! Everything that a change writes goes through here, so that none forgets its audit entry or its
//! subscribers.

use super::change_workspace::Workspace;
use super::row_reads::TableRead;
use super::tables::{META, REVISION};
use super::{StoreError, audit};
use crate::domain::{Actor, AuditEvent, Change, ChangedRecord, FieldChange, Revision, Timestamp};
use crate::store::records::LastChange;

/// The successful results of a change.
pub(super) enum TransactionEnd<T> {
    /// Something changed: commit.
    Changed(T),
    /// Something changed that is not published: commit, without a revision.
    Quietly(T),
    /// Nothing had to change: no revision, no audit entry.
    AsItWas(T),
}

/// One running change.
pub(super) struct ChangeTransaction<'t> {
    pub(super) tx: &'t Workspace,
    /// As [`crate::domain::Actor::label`] writes it.
    pub(super) actor: String,
    pub(super) now: Timestamp,
    revision: Revision,
    rows: Vec<ChangedRecord>,
}

impl<'t> ChangeTransaction<'t> {
    pub(super) fn new(
        tx: &'t Workspace,
        actor: String,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let before = tx.open_table(META)?.get(REVISION)?.map_or(0, |found| found.value());
        Ok(Self { tx, actor, now, revision: Revision(before).next(), rows: Vec::new() })
    }

    /// The revision before this change.
    pub(super) fn before(&self) -> Revision {
        Revision(self.revision.0.saturating_sub(1))
    }

    /// Sets the actor, where that is known only later.
    pub(super) fn acts(&mut self, actor: &Actor) {
        self.actor = actor.label();
    }

    /// The revision of this change, if it gets one.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// This change, for the record's last change.
    pub(super) fn as_last(&self) -> LastChange {
        LastChange { actor: self.actor.clone(), at: self.now }
    }

    /// Adds the new state of a record to the published change.
    pub(super) fn tell(&mut self, row: ChangedRecord) {
        self.rows.push(row);
    }

    /// Whether anything is to be published.
    pub(super) fn tells(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Adds an entry to a chain.
    pub(super) fn audit(
        &self,
        chain: &str,
        event: AuditEvent,
        target: &str,
        detail: Vec<FieldChange>,
    ) -> Result<(), StoreError> {
        let (revision, at, actor) = (self.revision, self.now, self.actor.as_str());
        let new = audit::NewAuditEntry { revision, at, actor, chain, event, target, detail };
        audit::append(self.tx, new)
    }

    /// Takes the revision; the change is published after the commit.
    pub(super) fn seal(self) -> Result<Change, StoreError> {
        self.tx.open_table(META)?.insert(REVISION, self.revision.0)?;
        Ok(Change { revision: self.revision, rows: self.rows })
    }
}
