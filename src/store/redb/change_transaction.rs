//! One change: run on rows in memory, written in one transaction, committed, and published.
//!
//! Everything that a change writes goes through here, so that none forgets its audit entry or its
//! subscribers.

use std::sync::atomic::Ordering;

use redb::{Database, ReadableDatabase};

use super::table_reads::TableRead;
use super::tables::META;
use super::workspace::Workspace;
use super::{
    Store, StoreError, Writer, audit, blocking, is_of_disk, not_lasting, revision, unclear,
};
use crate::domain::{
    Actor, AuditEvent, Change, ChangedRecord, Failure, FieldChange, Revision, Timestamp,
};
use crate::store::Committed;
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
        let before = tx.open_table(META)?.get("revision")?.map_or(0, |found| found.value());
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
        self.tx.open_table(META)?.insert("revision", self.revision.0)?;
        Ok(Change { revision: self.revision, rows: self.rows })
    }
}

impl Store {
    /// Runs one change atomically, then publishes it. Once called it runs to its end, even if the
    /// caller stops waiting.
    ///
    /// The change is a value that can be repeated: it owns what it needs, and has no effect but
    /// rows and what it tells, so that one that did not come to be can be run on another state.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        actor: &Actor,
        work: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>
        + Clone
        + Send
        + 'static,
    ) -> Result<Committed<T>, Failure> {
        let (store, actor) = (self.clone(), actor.label());
        blocking(move || store.change(actor, Workspace::staged, work)).await
    }

    /// The same for a change that is too large to be held in memory: it writes to the transaction
    /// itself, and cannot be repeated.
    pub(super) async fn write_direct<T: Send + 'static>(
        &self,
        actor: &Actor,
        work: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>
        + Send
        + 'static,
    ) -> Result<Committed<T>, Failure> {
        let (store, actor) = (self.clone(), actor.label());
        blocking(move || store.change(actor, Workspace::direct, work)).await
    }

    /// A change, on the calling thread.
    pub(super) fn change<T>(
        &self,
        actor: String,
        begin: fn(&Database) -> Result<Workspace, StoreError>,
        work: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>,
    ) -> Result<Committed<T>, Failure> {
        let changed = self.try_to_change(actor, begin, work);
        match &changed {
            Ok(_) => self.0.health.worked(),
            Err(fault) if is_of_disk(fault) && !self.0.health.is_broken() => {
                let cause = fault.private.as_deref().unwrap_or(&fault.public);
                self.0.health.failed(cause);
            }
            Err(_) => {}
        }
        changed
    }

    pub(super) fn try_to_change<T>(
        &self,
        actor: String,
        begin: fn(&Database) -> Result<Workspace, StoreError>,
        work: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>,
    ) -> Result<Committed<T>, Failure> {
        let mut writer = self.writer();
        self.settle(&mut writer)?;
        self.0.health.unbroken()?;
        let now = self.0.clock.now();
        let unsettled = &mut writer.unsettled;
        let mut commit_begun = false;
        let committed = self.guarded(|database| {
            let rows = begin(database)?;
            let mut transition = ChangeTransaction::new(&rows, actor, now)?;
            let ends = work(&mut transition)?;
            // Also before a response that nothing had to change: a restart would make it untrue.
            self.in_place()?;
            let before = transition.before();
            let (value, told) = match ends {
                TransactionEnd::Changed(value) => (value, Some(transition.seal()?)),
                TransactionEnd::Quietly(value) => (value, None),
                TransactionEnd::AsItWas(value) => {
                    return Ok(Committed { revision: before, value });
                }
            };
            let revision = told.as_ref().map_or(before, |change| change.revision);
            let tx = rows.into_transaction(database)?;
            // Before the commit: one that panics has been started, too.
            *unsettled = told;
            commit_begun = true;
            tx.commit()?;
            Ok(Committed { revision, value })
        });
        match committed {
            Ok(committed) => {
                self.tell(&mut writer);
                // The file may have been removed while it was written.
                self.in_place().map_err(|fault| not_lasting(&fault))?;
                Ok(committed)
            }
            Err(fault) if commit_begun => {
                let is_told = writer.unsettled.is_some();
                self.0.unsettled.store(is_told, Ordering::Release);
                // If this fails too, it is retried until the outcome is known.
                let _ = self.settle(&mut writer);
                Err(unclear(&fault))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Resolves a change whose commit failed midway, and publishes it if it was saved, so that
    /// subscribers never know less than the file.
    pub(super) fn settle(&self, writer: &mut Writer) -> Result<(), Failure> {
        let Some(change) = &writer.unsettled else { return Ok(()) };
        let expected = change.revision;
        if self.guarded(|database| revision(&database.begin_read()?))? >= expected {
            self.tell(writer);
        } else {
            writer.unsettled = None;
            self.0.unsettled.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Publishes the change.
    fn tell(&self, writer: &mut Writer) {
        if let Some(change) = writer.unsettled.take() {
            self.0.reached.fetch_max(change.revision.0, Ordering::AcqRel);
            writer.followers.publish(change);
        }
        self.0.unsettled.store(false, Ordering::Release);
    }
}
