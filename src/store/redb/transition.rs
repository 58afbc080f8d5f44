//! One change under way: its rows, its audit entries, its revision.
//!
//! Whatever a transition writes goes through here or is told here, so that none forgets its
//! audit entry or its followers. Never commits: that is the store's, when all is well.

use redb::{Database, ReadableTable, WriteTransaction};

use super::{
    ACCOUNTS, ADDRESSES, AUDIT, AUDIT_HEADS, AUDIT_PERSONAL, Fault, MEMBERS, META, POLICIES, audit,
};
use crate::domain::{AuditDetail, AuditEvent, Revision, Row, Timestamp};

/// How a transition ended well.
pub(super) enum Ends<T> {
    /// Something changed: commit.
    Changed(T),
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

    /// Says what a record has become.
    pub(super) fn tell(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds an entry to a chain.
    pub(super) fn audit(
        &self,
        chain: &str,
        event: AuditEvent,
        target: &str,
        detail: AuditDetail,
    ) -> Result<(), Fault> {
        audit::append(self, self.revision, audit::New { chain, event, target, detail })
    }

    /// Takes the revision; what was told goes to the followers after the commit.
    pub(super) fn seal<T>(self, value: T) -> Result<(T, Revision, Vec<Row>), Fault> {
        self.tx.open_table(META)?.insert("revision", self.revision.0)?;
        Ok((value, self.revision, self.rows))
    }
}

/// Begins a change: two-phase, since strangers' input is stored, and with what a fast start after
/// a crash needs.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, Fault> {
    let mut tx = database.begin_write()?;
    tx.set_two_phase_commit(true);
    tx.set_quick_repair(true);
    Ok(tx)
}

/// Makes every table, so that reading never meets a missing one.
pub(super) fn open_all(tx: &WriteTransaction) -> Result<(), Fault> {
    tx.open_table(META)?;
    for table in [ACCOUNTS, MEMBERS, ADDRESSES, AUDIT_HEADS, POLICIES] {
        tx.open_table(table)?;
    }
    tx.open_table(AUDIT)?;
    tx.open_table(AUDIT_PERSONAL)?;
    Ok(())
}
