//! One write transaction: its rows, its audit entries, its revision.
//!
//! Everything that a change writes goes through here, so that none forgets its audit entry or its
//! subscribers. The store commits it.

use redb::{
    Database, Key, ReadTransaction, ReadableTable, TableDefinition, TableError, Value,
    WriteTransaction,
};

use super::{
    ACCOUNTS, ADDRESSES, API_TOKENS, API_TOKENS_BY_MEMBER, AUDIT, AUDIT_HEADS, AUDIT_PERSONAL,
    CALLS, CREDENTIALS, ERASED, FACTORS, Fault, INVITE_LINKS, INVITE_TOKENS, INVITES,
    INVITES_BY_ACCOUNT, INVITES_BY_INVITER, LEAVING, LETTER_COUNTS, LETTERS, LETTERS_BY_ACCOUNT,
    LETTERS_DUE, LETTERS_WAITING, LINK_TOKENS, LINKS, LINKS_BY_MEMBER, MAIL, MEMBERS, META,
    PASSKEYS, POLICIES, RATES, REMOVED, ROLE_COUNTS, SESSIONS, SESSIONS_BY_MEMBER, SIGNED_IN,
    audit,
};
use crate::domain::{Actor, AuditDetail, AuditEvent, Revision, Row, Timestamp};
use crate::store::record::LastChange;

/// The successful results of a change.
pub(super) enum Ends<T> {
    /// Something changed: commit.
    Changed(T),
    /// Something changed that is not published: commit, without a revision.
    Quietly(T),
    /// Nothing had to change: no revision, no audit entry.
    AsItWas(T),
}

/// One running change.
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

    /// Sets the actor, where that is known only later.
    pub(super) fn acts(&mut self, actor: &Actor) {
        self.actor = actor.label();
    }

    /// This change, for the record's last change.
    pub(super) fn as_last(&self) -> LastChange {
        LastChange { actor: self.actor.clone(), at: self.now }
    }

    /// Adds the new state of a record to the published change.
    pub(super) fn tell(&mut self, row: Row) {
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
        detail: AuditDetail,
    ) -> Result<(), Fault> {
        audit::append(self, self.revision, audit::New { chain, event, target, detail })
    }

    /// Takes the revision; the change is published after the commit.
    pub(super) fn seal(self) -> Result<(Revision, Vec<Row>), Fault> {
        self.tx.open_table(META)?.insert("revision", self.revision.0)?;
        Ok((self.revision, self.rows))
    }
}

/// Begins a transaction: two-phase, since untrusted input is stored, and with the data for a fast
/// start after a crash.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, Fault> {
    let mut tx = database.begin_write()?;
    tx.set_two_phase_commit(true);
    tx.set_quick_repair(true);
    Ok(tx)
}

/// Creates every table, so that a reader never misses one.
pub(super) fn open_all(tx: &WriteTransaction) -> Result<(), Fault> {
    struct Open<'t>(&'t WriteTransaction);
    impl EachTable for Open<'_> {
        fn table<K: Key + 'static, V: Value + 'static>(
            &mut self,
            table: TableDefinition<'static, K, V>,
        ) -> Result<(), Fault> {
            self.0.open_table(table)?;
            Ok(())
        }
    }
    each_table(&mut Open(tx))
}

/// Whether every table exists.
pub(super) fn has_all(tx: &ReadTransaction) -> Result<bool, Fault> {
    struct Has<'t>(&'t ReadTransaction, bool);
    impl EachTable for Has<'_> {
        fn table<K: Key + 'static, V: Value + 'static>(
            &mut self,
            table: TableDefinition<'static, K, V>,
        ) -> Result<(), Fault> {
            match self.0.open_table(table) {
                Ok(_) => {}
                Err(TableError::TableDoesNotExist(_)) => self.1 = false,
                Err(fault) => return Err(fault.into()),
            }
            Ok(())
        }
    }
    let mut all = Has(tx, true);
    each_table(&mut all)?;
    Ok(all.1)
}

/// An operation on a table, of any type.
pub(super) trait EachTable {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), Fault>;
}

/// Applies it to every table.
pub(super) fn each_table(work: &mut impl EachTable) -> Result<(), Fault> {
    macro_rules! each {
        ($($table:ident),* $(,)?) => { $(work.table($table)?;)* };
    }
    each!(
        META,
        ACCOUNTS,
        MEMBERS,
        ADDRESSES,
        ROLE_COUNTS,
        REMOVED,
        CREDENTIALS,
        FACTORS,
        PASSKEYS,
        SIGNED_IN,
        SESSIONS,
        SESSIONS_BY_MEMBER,
        API_TOKENS,
        API_TOKENS_BY_MEMBER,
        INVITES,
        INVITES_BY_ACCOUNT,
        INVITES_BY_INVITER,
        INVITE_TOKENS,
        INVITE_LINKS,
        CALLS,
        RATES,
        LINKS,
        LINK_TOKENS,
        LINKS_BY_MEMBER,
        LETTERS,
        LETTERS_DUE,
        LETTERS_WAITING,
        LETTERS_BY_ACCOUNT,
        LETTER_COUNTS,
        MAIL,
        LEAVING,
        AUDIT,
        AUDIT_PERSONAL,
        ERASED,
        AUDIT_HEADS,
        POLICIES,
    );
    Ok(())
}
