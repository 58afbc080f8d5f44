//! Rows of a log on PostgreSQL, read with checks: the owner of the database can write anything there.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::LogId;
use super::tables::{self, FORMAT};
use crate::store::shared_log::{EntryId, LogEntry, LogHead, LogPart};

/// Where the tables are missing.
pub(super) fn no_log(schema: &str) -> String {
    format!(
        "there is no log in the schema `{schema}`: make one with `kwic-team fleet init`, or write the schema and the database that it is in"
    )
}

/// The log that a row is of, and its head.
///
/// # Errors
/// Where there is no row, or one that this version cannot read.
pub(super) fn described(row: Option<&Row>, schema: &str) -> Result<(LogId, LogHead), String> {
    let row = row.ok_or_else(|| altered(schema, "the row of its head is missing"))?;
    let format: i32 = column(row, 1, schema)?;
    if format != FORMAT {
        return Err(format!(
            "the log in the schema `{schema}` is of format {format}, and this version reads {FORMAT}: start the version that the other nodes run"
        ));
    }
    let id: &[u8] = column(row, 0, schema)?;
    let id = id.try_into().map_err(|_| altered(schema, "its id is none"))?;
    let head = tables::head(column(row, 2, schema)?, column(row, 3, schema)?);
    Ok((LogId(id), head.ok_or_else(|| altered(schema, "its head is none"))?))
}

/// The head of a row, which is of the expected log.
///
/// # Errors
/// As [`described`]; where it is another log.
pub(super) fn check_log(row: Option<&Row>, schema: &str, log: LogId) -> Result<LogHead, String> {
    let (found, head) = described(row, schema)?;
    if found != log {
        return Err(format!(
            "the schema `{schema}` holds the log {found:?}, and this node is of {log:?}: two deployments need a schema each"
        ));
    }
    Ok(head)
}

/// What was read after an index.
///
/// # Errors
/// As [`check_log`]; where the rows are no part of a log.
pub(super) fn part(rows: &[Row], after: u64, schema: &str, log: LogId) -> Result<LogPart, String> {
    let head = check_log(rows.first(), schema, log)?;
    let mut entries: Vec<LogEntry> = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(index) = column::<Option<i64>>(row, 4, schema)? else { continue };
        let entry = entry(row, index, schema)?;
        let last = entries.last().map_or(after, |last| last.head.index);
        // Only the first ones can have been trimmed.
        let follows = entry.head.index == last + 1 || entries.is_empty() && entry.head.index > last;
        if !follows || entry.head.index > head.index {
            return Err(altered(schema, &format!("entry {index} has no place after {last}")));
        }
        entries.push(entry);
    }
    Ok(LogPart { entries, head })
}

fn entry(row: &Row, index: i64, schema: &str) -> Result<LogEntry, String> {
    let no_entry = |what: &str| altered(schema, &format!("{what} of entry {index}"));
    let id: &[u8] = column(row, 5, schema)?;
    let id = EntryId(id.try_into().map_err(|_| no_entry("the id"))?);
    let head = tables::head(index, column(row, 6, schema)?);
    let head = head.ok_or_else(|| no_entry("the authenticator"))?;
    let size: i32 = column(row, 7, schema)?;
    let bytes: Option<&[u8]> = column(row, 8, schema)?;
    let bytes = bytes.ok_or_else(|| no_entry(&format!("the size, {size} bytes,")))?;
    Ok(LogEntry { id, head, bytes: bytes.into() })
}

pub(super) fn column<'r, T: FromSql<'r>>(
    row: &'r Row,
    number: usize,
    schema: &str,
) -> Result<T, String> {
    row.try_get(number).map_err(|fault| altered(schema, &fault.to_string()))
}

pub(super) fn altered(schema: &str, what: &str) -> String {
    format!("the log in the schema `{schema}` was altered by hand or is damaged: {what}")
}
