//! A shared log on PostgreSQL: the head is a row, and an append is one statement that moves it and
//! puts the entry.
//!
//! The statement is a transaction of its own, so that no lock outlives it, and it compares the whole
//! head: of two appends after the same head the later one waits for the row, then finds another head.
//! Two connections are kept, one for appends and one for reading, so that an append that waits keeps
//! nobody from asking for the head; a third one, where objects are moved and entries are trimmed.
//! Each is opened when it is needed, and replaced at the next call after something failed on it.
//!
//! # What the server must do
//!
//! - `synchronous_commit` other than `off` and `local`, and `fsync` on: what was answered is on disk.
//! - To survive the loss of a server without losing changes that were answered: a standby that is
//!   named in `synchronous_standby_names`. With one that is not, the tail of the log may be lost at a
//!   failover, and nodes that know more stop.
//! - A pooler between must give a session to its client until it ends.
//!
//! # What the outcome of an append is known by
//!
//! | what came back | outcome |
//! | --- | --- |
//! | a row with the id of the entry, and the end of the transaction | made |
//! | a row with another id, as of a pooler that gives a client the answer of another one | unknown |
//! | no row | moved; also where the log is another one, or of another format, which reading says |
//! | no connection | refused: nothing was sent |
//! | an `ERROR`: timeout of the server, read-only, disk full, no rights, ... | refused |
//! | an `ERROR` of the classes 08 and 57P, or 40003; `FATAL`; `PANIC` | unknown |
//! | the end of the connection; no answer in time | unknown |

mod connection_settings;
mod fleet_objects;
mod log_rows;
mod server_faults;
mod session;
mod tables;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use self::connection_settings::LogServer;
use self::server_faults::{is_certain, is_missing, is_there, keeps_session, said};
use self::session::{Line, Link, Session};
use self::tables::TRIM_STEP;
use crate::store::shared_log::{
    Appended, ENTRY_BYTES_MAX, FleetLog, LogEntry, LogHead, LogPart, READ_MAX, SharedLog,
};

pub use self::connection_settings::PostgresSettings;
pub use super::shared_log::LogId;

/// A log on PostgreSQL. Its calls block, for at most the time for a connection at each host and that
/// for an answer, and panic on a thread of a runtime that runs tasks.
pub struct PostgresLog {
    server: LogServer,
    log: LogId,
    runtime: Handle,
    appends: Line,
    reads: Line,
    /// What is long, and nobody waits for.
    bulk: Line,
    /// Told when the log may have changed.
    wake: Arc<Notify>,
}

impl fmt::Debug for PostgresLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLog").field("log", &self.log).finish_non_exhaustive()
    }
}

impl PostgresLog {
    /// Makes the tables of a new log, with a head and no entry. Makes the schema, where it is
    /// missing; takes one that is there, if it has no log.
    ///
    /// # Errors
    /// What is wrong with the settings; why the server cannot be reached; that there is a log. If the
    /// connection is lost meanwhile it may have been made, which [`Self::inspect`] tells.
    pub fn create(
        settings: &PostgresSettings,
        runtime: &Handle,
        log: LogId,
        start: &LogHead,
    ) -> Result<(), String> {
        let server = LogServer::of(settings)?;
        runtime.block_on(create(&server, log, start))
    }

    /// Which log a schema holds, and its head; `None`, where it holds none.
    ///
    /// # Errors
    /// What is wrong with the settings; why the server cannot be reached; that there is a log that this
    /// version cannot read.
    pub fn inspect(
        settings: &PostgresSettings,
        runtime: &Handle,
    ) -> Result<Option<(LogId, LogHead)>, String> {
        let server = LogServer::of(settings)?;
        runtime.block_on(inspect(&server))
    }

    /// A log that is expected to be there. Sends nothing: a node starts while its log is away.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn open(settings: &PostgresSettings, runtime: Handle, log: LogId) -> Result<Self, String> {
        let server = LogServer::of(settings)?;
        let (appends, reads, bulk) = (Line::new(false), Line::new(true), Line::new(false));
        Ok(Self { server, log, runtime, appends, reads, bulk, wake: Arc::default() })
    }

    /// Waits until the log may have changed, or for a time. A hint, for one caller at a time: it may
    /// come without a change, or not at all, as where the connection has ended and [`Self::read`] has
    /// not opened another. So read after each wait.
    pub fn wait_for_change(&self, most: Duration) {
        self.runtime.block_on(async {
            // Where the time is over, nothing was heard.
            let _ = timeout(most, self.wake.notified()).await;
        });
    }

    /// Removes the entries up to an index; answers how many. What others read meanwhile has no gap.
    ///
    /// # Errors
    /// Why the log cannot be reached. A part may be removed.
    pub fn trim(&self, up_to: u64) -> Result<u64, String> {
        let up_to = i64::try_from(up_to).unwrap_or(i64::MAX);
        let statement = tables::trim(&self.server.schema);
        let mut removed = 0;
        loop {
            let step = self.change(&statement, &[&up_to, &TRIM_STEP])?;
            removed += step;
            if step < TRIM_STEP.unsigned_abs() {
                return Ok(removed);
            }
        }
    }

    /// Runs a statement of those that are long; answers how many rows it changed.
    fn change(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, String> {
        self.runtime.block_on(async {
            let session = self.session(&self.bulk).await?;
            let asked = session.client().execute(statement, parameters);
            self.answered(&session, asked).await.map_err(Unanswered::said)
        })
    }

    async fn session(&self, line: &Line) -> Result<Arc<Session>, String> {
        line.session(&self.server, self.log, &self.wake).await
    }

    /// Waits for an answer, for a time. A session that failed is not used again.
    async fn answered<T>(
        &self,
        session: &Session,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Unanswered> {
        let most = self.server.answer_timeout;
        let answer = timeout(most, asked).await;
        let fault = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(fault)) => Unanswered::Fault(fault),
            Err(_) => Unanswered::TimedOut(most),
        };
        if !matches!(&fault, Unanswered::Fault(fault) if keeps_session(fault)) {
            session.spend();
        }
        Err(fault)
    }

    async fn append_after(&self, before: &LogHead, entry: &LogEntry) -> Appended {
        let (Ok(from), Ok(to)) = (i64::try_from(before.index), i64::try_from(entry.head.index))
        else {
            return Appended::Refused("the log has as many entries as it can".to_owned());
        };
        // A gap would be kept for good.
        if from.checked_add(1) != Some(to) {
            return Appended::Refused(format!("entry {to} does not follow {from}"));
        }
        if entry.bytes.len() > ENTRY_BYTES_MAX {
            let size = entry.bytes.len();
            return Appended::Refused(format!(
                "an entry of {size} bytes is larger than {ENTRY_BYTES_MAX}"
            ));
        }
        let session = match self.session(&self.appends).await {
            Ok(session) => session,
            Err(why) => return Appended::Refused(why),
        };
        let parameters: [&(dyn ToSql + Sync); 7] = [
            &from,
            &before.authenticator.0.as_slice(),
            &to,
            &entry.id.0.as_slice(),
            &entry.head.authenticator.0.as_slice(),
            &&*entry.bytes,
            &self.log.0.as_slice(),
        ];
        // The answer is whole only with the end of the transaction.
        let asked = session.client().query(&session.append, &parameters);
        match self.answered(&session, asked).await {
            Ok(rows) => match rows.first().map(|row| row.try_get::<_, &[u8]>(0)) {
                None => Appended::Moved(None),
                Some(Ok(id)) if id == entry.id.0 => Appended::Made,
                Some(_) => {
                    session.spend();
                    Appended::Unknown("the log answered of another entry".to_owned())
                }
            },
            Err(Unanswered::Fault(fault)) if is_certain(&fault) => Appended::Refused(said(&fault)),
            Err(fault) => Appended::Unknown(fault.said()),
        }
    }

    async fn read_after(&self, after: u64, most: usize) -> Result<LogPart, String> {
        // No entry has an index beyond it.
        let from = i64::try_from(after).unwrap_or(i64::MAX);
        let most = i64::try_from(most.min(READ_MAX)).unwrap_or(i64::MAX);
        let session = self.session(&self.reads).await?;
        let parameters: [&(dyn ToSql + Sync); 2] = [&from, &most];
        let asked = session.client().query(&session.read, &parameters);
        let rows: Vec<Row> = self.answered(&session, asked).await.map_err(Unanswered::said)?;
        let part = log_rows::part(&rows, after, &self.server.schema, self.log);
        // The next call checks anew whether it is the log.
        part.inspect_err(|_| session.spend())
    }
}

impl SharedLog for PostgresLog {
    fn append(&self, before: &LogHead, entry: &LogEntry) -> Appended {
        self.runtime.block_on(self.append_after(before, entry))
    }

    /// Reads up to `most` entries after an index: fewer, where they are more than 8 MiB.
    fn read(&self, after: u64, most: usize) -> Result<LogPart, String> {
        self.runtime.block_on(self.read_after(after, most))
    }

    fn objects(&self) -> Option<&dyn FleetLog> {
        Some(self)
    }
}

/// Why a request has no answer.
enum Unanswered {
    Fault(tokio_postgres::Error),
    TimedOut(Duration),
}

impl Unanswered {
    fn said(self) -> String {
        match self {
            Self::Fault(fault) => said(&fault),
            Self::TimedOut(most) => format!("the log gave no answer in {most:?}"),
        }
    }
}

async fn create(server: &LogServer, log: LogId, start: &LogHead) -> Result<(), String> {
    let LogServer { schema, answer_timeout, .. } = server;
    let link = Link::open(server, &Arc::default()).await?;
    let made = timeout(*answer_timeout, async {
        let has_schema = "SELECT pg_catalog.to_regnamespace($1::text) IS NOT NULL";
        let row = link.client.query_one(has_schema, &[schema]).await?;
        let statements = tables::create(schema, !row.try_get::<_, bool>(0)?, &log.0, start);
        link.client.batch_execute(&statements).await
    });
    match made.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fault)) if is_there(&fault) => Err(format!(
            "the schema `{schema}` holds a log already, and nothing was changed: join that one, or write another schema"
        )),
        Ok(Err(fault)) if is_certain(&fault) => {
            Err(format!("the log was not made: {}", said(&fault)))
        }
        Ok(Err(fault)) => Err(format!("the log may have been made: {}", said(&fault))),
        Err(_) => Err(format!("the log may have been made: no answer in {answer_timeout:?}")),
    }
}

async fn inspect(server: &LogServer) -> Result<Option<(LogId, LogHead)>, String> {
    let LogServer { schema, answer_timeout, .. } = server;
    let link = Link::open(server, &Arc::default()).await?;
    let statement = tables::read(schema);
    let parameters: [&(dyn ToSql + Sync); 2] = [&i64::MAX, &0_i64];
    let asked = timeout(*answer_timeout, link.client.query(&statement, &parameters)).await;
    match asked {
        Ok(Ok(rows)) => log_rows::described(rows.first(), schema).map(Some),
        Ok(Err(fault)) if is_missing(&fault) => Ok(None),
        Ok(Err(fault)) => Err(said(&fault)),
        Err(_) => Err(format!("the log gave no answer in {answer_timeout:?}")),
    }
}
