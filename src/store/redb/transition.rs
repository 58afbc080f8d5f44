//! One change under way: its rows, its audit entries, its revision.
//!
//! Whatever a transition writes goes through here or is told here, so that none forgets its
//! audit entry or its followers. Never commits: that is the store's, when all is well.

use redb::{ReadableTable, WriteTransaction};

use super::tables::META;
use super::{Fault, audit};
use crate::domain::{Actor, AuditDetail, AuditEvent, Revision, Row, Timestamp};
use crate::store::record::LastChange;

/// How a transition ended well.
pub(super) enum Ends<T> {
    /// Something changed: commit.
    Changed(T),
    /// Something changed that nobody follows: commit, without a revision.
    Quietly(T),
    /// Nothing had to change: no revision, no audit entry.
    AsItWas(T),
}

/// One change under way.
pub(super) struct Transition<'t> {
    pub(super) tx: &'t WriteTransaction,
    /// As [`crate::domain::Actor::label`] writes it.
    pub(super) actor: String,
    pub(super) now: Timestamp,
    revision: Revision,
    rows: Vec<Row>,
}

impl<'t> Transition<'t> {
    pub(super) fn new(
        tx: &'t WriteTransaction,
        actor: String,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let before = tx.open_table(META)?.get("revision")?.map_or(0, |found| found.value());
        Ok(Self { tx, actor, now, revision: Revision(before).next(), rows: Vec::new() })
    }

    /// The revision before this change.
    pub(super) fn before(&self) -> Revision {
        Revision(self.revision.0.saturating_sub(1))
    }

    /// Says who it is, where that is found out only under way.
    pub(super) fn acts(&mut self, actor: &Actor) {
        self.actor = actor.label();
    }

    /// This change, for whoever comes with an older version.
    pub(super) fn as_last(&self) -> LastChange {
        LastChange { actor: self.actor.clone(), at: self.now }
    }

    /// Says what a record has become.
    pub(super) fn tell(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether followers hear of anything.
    pub(super) fn tells(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Adds an entry to a chain.
    pub(super) fn audit(
        &self,
        chain: &str,
        event: AuditEvent,
        target: &str,
        detail: AuditDetail,
    ) -> Result<(), Fault> {
        let (revision, at, actor) = (self.revision, self.now, self.actor.as_str());
        let new = audit::New { revision, at, actor, chain, event, target, detail };
        audit::append(self.tx, new)
    }

    /// Takes the revision; what was told goes to the followers after the commit.
    pub(super) fn seal(self) -> Result<(Revision, Vec<Row>), Fault> {
        self.tx.open_table(META)?.insert("revision", self.revision.0)?;
        Ok((self.revision, self.rows))
    }
}
