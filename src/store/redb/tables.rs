//! The tables of the file.
//!
//! Names and types are the layout on the disk: changing one needs a new [`FORMAT`] and an upgrade.

use redb::{ReadTransaction, TableDefinition, TableError, TableHandle, Value, WriteTransaction};

use super::StoreError;
use super::row_keys::{self, RowKey};
use super::row_values::RowValue;
use crate::domain::Failure;

/// A table of records.
pub(super) type RecordTable<K> = TableDefinition<'static, K, &'static [u8]>;
/// The hash of a token.
type HashKey = &'static [u8; 32];

/// `format`, `revision`, `letter` and `import`: the last id of a letter and of an import, `link_key` and
/// `seal_key`: the keys that the nodes of a fleet use, and `rewrite`: present while freed pages of the
/// file may contain erased data.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// By slug.
pub(super) const ACCOUNTS: RecordTable<&str> = TableDefinition::new("accounts");
/// By id.
pub(super) const MEMBERS: RecordTable<&str> = TableDefinition::new("members");
/// Account, a zero byte, canonical address: the member or the open invite with it.
pub(super) const ADDRESSES: RecordTable<&str> = TableDefinition::new("addresses");
/// By account and role: the number of active members with it; no row for none.
pub(super) const ROLE_COUNTS: TableDefinition<(&str, &str), u64> =
    TableDefinition::new("role_counts");
/// Keys as in addresses: when a member with it was last removed.
pub(super) const REMOVED: TableDefinition<&str, i64> = TableDefinition::new("removed");
/// By member: the password.
pub(super) const CREDENTIALS: RecordTable<&str> = TableDefinition::new("credentials");
/// By member: the second factors.
pub(super) const FACTORS: RecordTable<&str> = TableDefinition::new("factors");
/// By passkey: the member that has it.
pub(super) const PASSKEYS: TableDefinition<&str, &str> = TableDefinition::new("passkeys");
/// By member: the begin of the last session.
pub(super) const SIGNED_IN: TableDefinition<&str, i64> = TableDefinition::new("signed_in");
/// By the hash of the token.
pub(super) const SESSIONS: RecordTable<HashKey> = TableDefinition::new("sessions");
/// Member, when it began, hash.
pub(super) const SESSIONS_BY_MEMBER: TableDefinition<(&str, i64, HashKey), ()> =
    TableDefinition::new("sessions_by_member");
/// By id.
pub(super) const API_TOKENS: RecordTable<&str> = TableDefinition::new("api_tokens");
/// Account, creator, creation, id.
pub(super) const API_TOKENS_BY_MEMBER: TableDefinition<(&str, &str, i64, &str), ()> =
    TableDefinition::new("api_tokens_by_member");
/// By id.
pub(super) const INVITES: RecordTable<&str> = TableDefinition::new("invites");
/// Account, when it was made, id.
pub(super) const INVITES_BY_ACCOUNT: TableDefinition<(&str, i64, &str), ()> =
    TableDefinition::new("invites_by_account");
/// The sender, id; open ones only.
pub(super) const INVITES_BY_INVITER: TableDefinition<(&str, &str), ()> =
    TableDefinition::new("invites_by_inviter");
/// By the hash of the token, including dead links: the invite, and which link it is.
pub(super) const INVITE_TOKENS: RecordTable<HashKey> = TableDefinition::new("invite_tokens");
/// Invite and generation: the hash of the token.
pub(super) const INVITE_LINKS: TableDefinition<(&str, u32), HashKey> =
    TableDefinition::new("invite_links");
/// Account, a zero byte, caller, a zero byte, digest of the idempotency key.
pub(super) const CALLS: RecordTable<&str> = TableDefinition::new("calls");
/// By what is limited: the begin of its window, and the count.
pub(super) const RATES: TableDefinition<&str, (i64, u64)> = TableDefinition::new("rates");
/// By id.
pub(super) const LINKS: RecordTable<&str> = TableDefinition::new("links");
/// By the hash of the token: the link.
pub(super) const LINK_TOKENS: TableDefinition<HashKey, &str> = TableDefinition::new("link_tokens");
/// Member, link.
pub(super) const LINKS_BY_MEMBER: TableDefinition<(&str, &str), ()> =
    TableDefinition::new("links_by_member");
/// By id.
pub(super) const LETTERS: RecordTable<u64> = TableDefinition::new("letters");
/// When a letter is due or its lease ends, and its id.
pub(super) const LETTERS_DUE: TableDefinition<(i64, u64), ()> = TableDefinition::new("letters_due");
/// Account, and the same: so that accounts take turns.
pub(super) const LETTERS_WAITING: TableDefinition<(&str, i64, u64), ()> =
    TableDefinition::new("letters_waiting");
/// Account, id.
pub(super) const LETTERS_BY_ACCOUNT: TableDefinition<(&str, u64), ()> =
    TableDefinition::new("letters_by_account");
/// By account and delivery state: the number of letters; no row for none.
pub(super) const LETTER_COUNTS: TableDefinition<(&str, &str), u64> =
    TableDefinition::new("letter_counts");
/// `stop`: why mail is stopped. `taken`: when a letter was last accepted, and the same for each
/// account.
pub(super) const MAIL: RecordTable<&str> = TableDefinition::new("mail");
/// The earliest time for deleting something, its kind, and its key.
pub(super) const EXPIRY: TableDefinition<(i64, u8, &str), ()> = TableDefinition::new("leaving");
/// By chain (an account's slug; empty for the store's own) and sequence.
pub(super) const AUDIT: RecordTable<(&str, u64)> = TableDefinition::new("audit");
/// The same keys; a missing row is an erased one.
pub(super) const AUDIT_PERSONAL: RecordTable<(&str, u64)> = TableDefinition::new("audit_personal");
/// Chain and target: erased members, of whom nothing personal is recorded any more.
pub(super) const ERASED: TableDefinition<(&str, &str), ()> = TableDefinition::new("erased");
/// By chain.
pub(super) const AUDIT_HEADS: RecordTable<&str> = TableDefinition::new("audit_heads");
/// `last_good`: the last live set. `pending` and `pinned`: the number of such a set in the history.
pub(super) const POLICIES: RecordTable<&str> = TableDefinition::new("policies");
/// `fleet`: which log the file follows, as which node. `applied`: up to where that log is in it.
/// `erased`: the last entry that erased data. `rewritten`: up to where the log was in it when the file
/// was last written anew.
pub(super) const LOG: RecordTable<&str> = TableDefinition::new("log");
/// By id: imports that are staged and not made.
pub(super) const IMPORTS: RecordTable<u64> = TableDefinition::new("imports");
/// By number.
pub(super) const POLICY_HISTORY: RecordTable<u64> = TableDefinition::new("policy_history");
/// By digest: the files of the sets in the history.
pub(super) const POLICY_SETS: RecordTable<HashKey> = TableDefinition::new("policy_sets");

/// `live` and `pending`: what was published to the nodes of a fleet, or waits for approval there;
/// `live_files` and `pending_files`: the files of it.
pub(super) const PUBLICATIONS: RecordTable<&str> = TableDefinition::new("publications");

/// The row of [`MAIL`] that says why mail is stopped.
pub(super) const MAIL_STOP: &str = "stop";
/// The row of [`META`] with the revision.
pub(super) const REVISION: &str = "revision";
/// The row of [`META`] that is present while the file must be rewritten.
pub(super) const REWRITE: &str = "rewrite";

/// The row of [`META`] with the format: the layout, and [`IN_FLEET`].
pub(super) const FORMAT_ROW: &str = "format";
/// The row of [`LOG`] that says which fleet the file is in.
pub(super) const LOG_FLEET: &str = "fleet";
/// The row of [`LOG`] that says up to where the log is in the file.
pub(super) const LOG_APPLIED: &str = "applied";
/// There, while other nodes may believe that this one answers while it is stale.
pub(super) const LOG_ANSWERS: &str = "answers";
/// The row of [`LOG`] that says which entry was the last one that erased data.
pub(super) const LOG_ERASED: &str = "erased";
/// The row of [`LOG`] that says what was in the file when it was last written anew.
pub(super) const LOG_REWRITTEN: &str = "rewritten";

/// The layout of the tables above.
pub const FORMAT: u64 = 4;
/// Set in the format of a file that is in a fleet. A program that knows of no fleet takes it for one
/// of a newer layout, and does not change it alone.
pub(super) const IN_FLEET: u64 = 1 << 32;

/// The layout of a file of this format.
pub(super) const fn layout(format: u64) -> u64 {
    format & !IN_FLEET
}

/// Creates every table, so that a reader never misses one.
pub(super) fn open_all(tx: &WriteTransaction) -> Result<(), StoreError> {
    struct Open<'t>(&'t WriteTransaction);
    impl EachTable for Open<'_> {
        fn table<K: RowKey, V: Value + 'static>(
            &mut self,
            _: u8,
            table: TableDefinition<'static, K, V>,
        ) -> Result<(), StoreError> {
            self.0.open_table(table)?;
            Ok(())
        }
    }
    each_table(&mut Open(tx))
}

/// Whether every table is there.
pub(super) fn has_all(tx: &ReadTransaction) -> Result<bool, StoreError> {
    struct Has<'t>(&'t ReadTransaction, bool);
    impl EachTable for Has<'_> {
        fn table<K: RowKey, V: Value + 'static>(
            &mut self,
            _: u8,
            table: TableDefinition<'static, K, V>,
        ) -> Result<(), StoreError> {
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
    fn table<K: RowKey, V: RowValue>(
        &mut self,
        number: u8,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), StoreError>;
}

/// Every table. The place of a table is its number, for ever: a new one is added at the end.
macro_rules! every_table {
    ($with:ident) => {
        $with!(
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
            EXPIRY,
            AUDIT,
            AUDIT_PERSONAL,
            ERASED,
            AUDIT_HEADS,
            POLICIES,
            LOG,
            IMPORTS,
            POLICY_HISTORY,
            POLICY_SETS,
            PUBLICATIONS,
        )
    };
}

/// Does it to every table there is.
pub(super) fn each_table(work: &mut impl EachTable) -> Result<(), StoreError> {
    macro_rules! each {
        ($($table:ident),* $(,)?) => { $(work.table(number(&$table)?, $table)?;)* };
    }
    every_table!(each);
    Ok(())
}

/// The number of a table.
pub(super) fn number(table: &impl TableHandle) -> Result<u8, StoreError> {
    macro_rules! names {
        ($($table:ident),* $(,)?) => { [$($table.name()),*] };
    }
    let place = every_table!(names).iter().position(|name| *name == table.name());
    let number = place.and_then(|place| u8::try_from(place).ok());
    Ok(number.ok_or_else(|| Failure::internal("a table is not on the list of tables"))?)
}

/// Where what is written to a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The same on all nodes: in entries as a row.
    AllNodes,
    /// Of this node's file alone: in no entry.
    ThisNode,
    /// In entries as the revision of the change.
    EntryRevision,
    /// In entries as a mark, which makes the row on each node.
    EntryRewrite,
}

/// Whether every row of the table with this name belongs to this node alone.
pub(super) fn is_of_one_node(table: &str) -> bool {
    [POLICIES.name(), LOG.name(), POLICY_HISTORY.name(), POLICY_SETS.name()].contains(&table)
}

/// Where a row belongs. Each node has its own live policies and their history: what was published is the
/// same for all.
pub(super) fn home(table: u8, key: &[u8]) -> Result<Home, StoreError> {
    let own = [number(&POLICIES)?, number(&LOG)?, number(&POLICY_HISTORY)?, number(&POLICY_SETS)?];
    if own.contains(&table) {
        return Ok(Home::ThisNode);
    }
    if table != number(&META)? {
        return Ok(Home::AllNodes);
    }
    Ok(match row_keys::decode::<&str>(key)?.as_str() {
        FORMAT_ROW => Home::ThisNode,
        REVISION => Home::EntryRevision,
        REWRITE => Home::EntryRewrite,
        _ => Home::AllNodes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_its_number() {
        struct Names(Vec<String>);
        impl EachTable for Names {
            fn table<K: RowKey, V: Value + 'static>(
                &mut self,
                number: u8,
                table: TableDefinition<'static, K, V>,
            ) -> Result<(), StoreError> {
                self.0.push(format!("{number} {}", table.name()));
                Ok(())
            }
        }
        let mut names = Names(Vec::new());
        each_table(&mut names).unwrap();
        let kept = include_str!("../../../tests/it/golden/table_numbers.txt");
        assert_eq!(names.0, kept.lines().collect::<Vec<_>>());
    }
}
