//! What the failures of a server mean: what is certain after one, and the sentences that say it.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::tls_authorities;

/// Whether it is certain that a statement changed nothing: the server says so itself.
///
/// An `ERROR` ends a statement that is a transaction of its own before it is committed: a timeout, a
/// full disk, a read-only server. Everything else leaves it open: no answer; a session that ends
/// (`FATAL`, `PANIC`), which may be told after the commit; and the classes of codes by which servers
/// and the proxies before them say that they do not know.
pub(super) fn is_certain(fault: &Error) -> bool {
    let Some(fault) = fault.as_db_error() else { return false };
    let code = fault.code().code();
    // 08: of connections, with "transaction resolution unknown"; 57P: a server that shuts down.
    let is_open = code.starts_with("08") || code.starts_with("57P");
    fault.parsed_severity() == Some(Severity::Error)
        && !is_open
        && fault.code() != &SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
}

/// Whether the session is as good as before: the statement only waited too long.
pub(super) fn keeps_session(fault: &Error) -> bool {
    fault.code().is_some_and(|code| {
        code == &SqlState::LOCK_NOT_AVAILABLE || code == &SqlState::QUERY_CANCELED
    })
}

/// Whether a table or its schema is missing.
pub(super) fn is_missing(fault: &Error) -> bool {
    fault.code().is_some_and(|code| {
        code == &SqlState::UNDEFINED_TABLE || code == &SqlState::INVALID_SCHEMA_NAME
    })
}

/// Whether what is to be created is there.
pub(super) fn is_there(fault: &Error) -> bool {
    fault.code().is_some_and(|code| {
        // Who creates at the same time meets the unique indexes of the catalogue.
        code == &SqlState::DUPLICATE_TABLE
            || code == &SqlState::DUPLICATE_SCHEMA
            || code == &SqlState::UNIQUE_VIOLATION
    })
}

/// Why a request failed, as a part of a sentence.
pub(super) fn said(fault: &Error) -> String {
    if let Some(fault) = fault.as_db_error() {
        return said_by_server(fault);
    }
    if let Some(said) = tls_authorities::certificate_fault(fault) {
        return said.to_owned();
    }
    let mut text = fault.to_string();
    let mut next = fault.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn said_by_server(fault: &DbError) -> String {
    let (code, message) = (fault.code(), fault.message());
    let remedy = if code == &SqlState::INVALID_PASSWORD
        || code == &SqlState::INVALID_AUTHORIZATION_SPECIFICATION
    {
        ": compare user and password with those of the server, and `pg_hba.conf` there"
    } else if code == &SqlState::INVALID_CATALOG_NAME {
        ": create the database, or write the name of the one that holds the log"
    } else if code == &SqlState::INSUFFICIENT_PRIVILEGE {
        ": let the user of the log own its schema"
    } else if code == &SqlState::READ_ONLY_SQL_TRANSACTION {
        ": the server takes no changes now"
    } else if code == &SqlState::DISK_FULL {
        ": make room on the server's disk"
    } else {
        ""
    };
    format!("{message} ({}){remedy}", code.code())
}
