//! The tables of a log on PostgreSQL, and each statement that touches them.
//!
//! All of them are in one schema, so that several deployments may share a database.
//!
//! | table | rows | columns |
//! | --- | --- | --- |
//! | `head` | exactly one | `log_id` (16 bytes), `format`, `index`, `authenticator` (32 bytes), `entry_id` (16 bytes; null before the first entry) |
//! | `objects` | one for each object beside the log | `name`, `bytes` |
//! | `entries` | one for each entry that is not trimmed | `index`, `id` (16 bytes), `authenticator` (32 bytes), `bytes`, `made_at` (by the server's clock, for people only) |

use crate::domain::Digest;
use crate::store::shared_log::{ENTRY_BYTES_MAX, LogHead, OBJECT_BYTES_MAX};

/// The format of the tables.
pub(super) const FORMAT: i32 = 1;
/// The most bytes of entries that are read at once, beyond the first entry.
pub(super) const READ_BYTES_MAX: usize = 8 << 20;
/// How many entries one statement trims.
pub(super) const TRIM_STEP: i64 = 1_000;

/// Whether a text can be the name of a schema: of what PostgreSQL does not fold, so that people find
/// it by the name that they wrote.
pub(super) fn is_schema_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let goes_on = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    begins && name.chars().all(goes_on) && name.len() <= 63 && !name.starts_with("pg_")
}

/// Makes schema and tables; run as one text, which PostgreSQL makes one transaction of.
///
/// The row of the head is rewritten by each append: its page keeps room for new versions, which then
/// touch no index. Entries are sealed, and do not compress.
pub(super) fn create(
    schema: &str,
    with_schema: bool,
    log_id: &[u8; 16],
    start: &LogHead,
) -> String {
    let new_schema =
        if with_schema { format!("CREATE SCHEMA \"{schema}\";") } else { String::new() };
    let index = start.index;
    let authenticator = start.authenticator.hex();
    let log_id: String = log_id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{new_schema}
        CREATE TABLE \"{schema}\".head (
            only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
            log_id bytea NOT NULL CHECK (octet_length(log_id) = 16),
            format integer NOT NULL,
            index bigint NOT NULL CHECK (index >= 0),
            authenticator bytea NOT NULL CHECK (octet_length(authenticator) = 32),
            entry_id bytea CHECK (octet_length(entry_id) = 16)
        ) WITH (fillfactor = 10);
        CREATE TABLE \"{schema}\".entries (
            index bigint PRIMARY KEY CHECK (index > 0),
            id bytea NOT NULL CHECK (octet_length(id) = 16),
            authenticator bytea NOT NULL CHECK (octet_length(authenticator) = 32),
            bytes bytea NOT NULL,
            made_at timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        ALTER TABLE \"{schema}\".entries ALTER COLUMN bytes SET STORAGE EXTERNAL;
        CREATE TABLE \"{schema}\".objects (
            name text COLLATE \"C\" PRIMARY KEY,
            bytes bytea NOT NULL
        );
        ALTER TABLE \"{schema}\".objects ALTER COLUMN bytes SET STORAGE EXTERNAL;
        INSERT INTO \"{schema}\".head (log_id, format, index, authenticator)
        VALUES (decode('{log_id}', 'hex'), {FORMAT}, {index}, decode('{authenticator}', 'hex'));"
    )
}

/// Moves the head, if it is the one that is named, and puts the entry; answers a row with the id of what
/// was put. Wakes who listens.
///
/// Parameters: index, authenticator of the head before; index, id, authenticator, bytes of the
/// entry; the log's id.
pub(super) fn append(schema: &str) -> String {
    format!(
        "WITH moved AS (
            UPDATE \"{schema}\".head
            SET index = $3::bigint, authenticator = $5::bytea, entry_id = $4::bytea
            WHERE index = $1::bigint AND authenticator = $2::bytea
                AND log_id = $7::bytea AND format = {FORMAT}
            RETURNING index, entry_id, authenticator
        ), made AS (
            INSERT INTO \"{schema}\".entries (index, id, authenticator, bytes)
            SELECT index, entry_id, authenticator, $6::bytea FROM moved
            RETURNING index, id
        )
        SELECT id, pg_catalog.pg_notify('{schema}', index::text) FROM made"
    )
}

/// The head, and entries after an index: one row for each, or one with nulls where there is none.
/// They end before the sum of their bytes is too large; one of too many bytes comes without them.
///
/// Parameters: the index; how many entries.
pub(super) fn read(schema: &str) -> String {
    format!(
        "SELECT head.log_id, head.format, head.index, head.authenticator,
            part.index, part.id, part.authenticator, part.size, part.bytes
        FROM \"{schema}\".head LEFT JOIN (
            SELECT index, id, authenticator, size,
                CASE WHEN size <= {ENTRY_BYTES_MAX} THEN bytes END AS bytes
            FROM (
                SELECT index, id, authenticator, bytes, octet_length(bytes) AS size,
                    sum(octet_length(bytes)) OVER (ORDER BY index) AS total
                FROM (
                    SELECT index, id, authenticator, bytes FROM \"{schema}\".entries
                    WHERE index > $1::bigint ORDER BY index LIMIT $2::bigint
                ) AS next
            ) AS summed
            WHERE total - size < {READ_BYTES_MAX}
        ) AS part ON true
        ORDER BY part.index"
    )
}

/// Removes the first entries up to an index.
///
/// Parameters: the index; how many entries.
pub(super) fn trim(schema: &str) -> String {
    format!(
        "DELETE FROM \"{schema}\".entries WHERE index IN (
            SELECT index FROM \"{schema}\".entries
            WHERE index <= $1::bigint ORDER BY index LIMIT $2::bigint
        )"
    )
}

/// Puts an object in place of the one of its name, where the log is the expected one.
///
/// Parameters: name, bytes; the log's id.
pub(super) fn put_object(schema: &str) -> String {
    format!(
        "INSERT INTO \"{schema}\".objects (name, bytes)
        SELECT $1::text, $2::bytea FROM \"{schema}\".head WHERE log_id = $3::bytea
        ON CONFLICT (name) DO UPDATE SET bytes = EXCLUDED.bytes"
    )
}

/// The bytes of an object, null where they are too many. Parameter: its name.
pub(super) fn object(schema: &str) -> String {
    format!(
        "SELECT CASE WHEN octet_length(bytes) <= {OBJECT_BYTES_MAX} THEN bytes END
        FROM \"{schema}\".objects WHERE name = $1::text"
    )
}

/// The names of objects, sorted. Parameter: what they begin with.
pub(super) fn object_names(schema: &str) -> String {
    format!(
        "SELECT name FROM \"{schema}\".objects
        WHERE pg_catalog.starts_with(name, $1::text) ORDER BY name"
    )
}

/// Removes an object. Parameters: its name; the log's id.
pub(super) fn remove_object(schema: &str) -> String {
    format!(
        "DELETE FROM \"{schema}\".objects WHERE name = $1::text
            AND EXISTS (SELECT 1 FROM \"{schema}\".head WHERE log_id = $2::bytea)"
    )
}

/// A head of columns.
pub(super) fn head(index: i64, authenticator: &[u8]) -> Option<LogHead> {
    let index = u64::try_from(index).ok()?;
    Some(LogHead { index, authenticator: Digest(authenticator.try_into().ok()?) })
}
