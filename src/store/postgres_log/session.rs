//! One connection to the server of a log: opened and checked before its first use, ended whole.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Connection, SimpleQueryMessage, Statement};

use super::LogId;
use super::connection_settings::{LogHost, LogServer};
use super::log_rows::{self, check_log};
use super::server_faults::{is_missing, said};
use super::tables;

/// A connection on which a statement is durable before it is answered.
pub(super) struct Link {
    pub(super) client: Client,
    /// Carries bytes between client and server. Ended with this: where the other side is silent, it
    /// would wait for it.
    carrier: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl Link {
    /// Connects to the first host that takes changes.
    ///
    /// # Errors
    /// What each of them said.
    pub(super) async fn open(server: &LogServer, wake: &Arc<Notify>) -> Result<Self, String> {
        let mut faults = Vec::new();
        for host in &server.hosts {
            let limit = server.connect_timeout;
            let opened = timeout(limit, Self::to_host(server, host, wake)).await;
            match opened.unwrap_or_else(|_| Err(format!("no answer in {limit:?}"))) {
                Ok(link) => return Ok(link),
                Err(fault) => faults.push(format!("`{}`: {fault}", host.name)),
            }
        }
        Err(format!("the log cannot be reached at {}", faults.join("; ")))
    }

    async fn to_host(
        server: &LogServer,
        host: &LogHost,
        wake: &Arc<Notify>,
    ) -> Result<Self, String> {
        let connected = host.config.connect(server.tls.clone()).await;
        let (client, connection) = connected.map_err(|fault| said(&fault))?;
        let carrier = tokio::spawn(carry(connection, wake.clone())).abort_handle();
        let link = Self { client, carrier };
        link.prepare_session(server.answer_timeout).await?;
        Ok(link)
    }

    /// Bounds what the server does for this session, and refuses one that answers before what it
    /// wrote is durable.
    async fn prepare_session(&self, answer_timeout: Duration) -> Result<(), String> {
        let statement = (answer_timeout / 5 * 4).as_millis();
        let lock = (answer_timeout / 5 * 2).as_millis();
        // What is checked is also fixed for the session: a server that is told otherwise later
        // changes only sessions that it has not been fixed in.
        let settings = format!(
            "SET statement_timeout = {statement};
            SET lock_timeout = {lock};
            SET idle_in_transaction_session_timeout = {statement};
            SET default_transaction_isolation = 'read committed';
            SELECT pg_catalog.set_config('synchronous_commit',
                pg_catalog.current_setting('synchronous_commit'), false)"
        );
        let answers = self.client.simple_query(&settings).await.map_err(|fault| said(&fault))?;
        let durable = answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        match durable {
            Some("on" | "remote_write" | "remote_apply") => Ok(()),
            other => Err(format!(
                "`synchronous_commit` is `{}` there, so that a crash loses changes that were answered: set it to `on` for the user of the log (`ALTER ROLE ... SET synchronous_commit = on`)",
                other.unwrap_or("unknown")
            )),
        }
    }
}

/// Carries bytes until the connection ends. Wakes who waits for a change: at each notification, and
/// when no more can come.
async fn carry<S, T>(mut connection: Connection<S, T>, wake: Arc<Notify>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if matches!(message, AsyncMessage::Notification(_)) {
            wake.notify_one();
        }
    }
    wake.notify_one();
}

/// A connection to a log that is there, and is the expected one.
pub(super) struct Session {
    pub(super) link: Link,
    pub(super) append: Statement,
    pub(super) read: Statement,
    /// Something failed on it.
    is_spent: AtomicBool,
}

impl Session {
    async fn open(
        server: &LogServer,
        log: LogId,
        listens: bool,
        wake: &Arc<Notify>,
    ) -> Result<Self, String> {
        let link = Link::open(server, wake).await?;
        let client = &link.client;
        let schema = &server.schema;
        let no_log = |fault: tokio_postgres::Error| {
            if is_missing(&fault) { log_rows::no_log(schema) } else { said(&fault) }
        };
        let read = client.prepare(&tables::read(schema)).await.map_err(no_log)?;
        let append = client.prepare(&tables::append(schema)).await.map_err(no_log)?;
        let rows = client.query(&read, &[&i64::MAX, &0_i64]).await.map_err(no_log)?;
        check_log(rows.first(), schema, log)?;
        if listens {
            client.batch_execute(&format!("LISTEN \"{schema}\"")).await.map_err(no_log)?;
        }
        Ok(Self { link, append, read, is_spent: AtomicBool::new(false) })
    }

    pub(super) fn client(&self) -> &Client {
        &self.link.client
    }

    /// Has the next call open another one.
    pub(super) fn spend(&self) {
        self.is_spent.store(true, Ordering::Relaxed);
    }

    fn is_usable(&self) -> bool {
        !self.is_spent.load(Ordering::Relaxed) && !self.client().is_closed()
    }
}

/// The place of one session, which is opened when it is needed. Calls share it: none waits for the
/// answer of another.
pub(super) struct Line {
    session: Mutex<Option<Arc<Session>>>,
    listens: bool,
}

impl Line {
    pub(super) fn new(listens: bool) -> Self {
        Self { session: Mutex::default(), listens }
    }

    /// The session; one that ended is replaced once.
    ///
    /// # Errors
    /// Why there is none. Nothing was sent then that changes the log.
    pub(super) async fn session(
        &self,
        server: &LogServer,
        log: LogId,
        wake: &Arc<Notify>,
    ) -> Result<Arc<Session>, String> {
        let patience = server.connect_patience();
        let opened = timeout(patience, async {
            let mut place = self.session.lock().await;
            if let Some(session) = place.as_ref().filter(|session| session.is_usable()) {
                return Ok(session.clone());
            }
            *place = None;
            let session = Arc::new(Session::open(server, log, self.listens, wake).await?);
            *place = Some(session.clone());
            Ok(session)
        });
        opened.await.unwrap_or_else(|_| Err(format!("the log gave no answer in {patience:?}")))
    }
}
