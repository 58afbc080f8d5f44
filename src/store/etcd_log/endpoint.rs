//! One member of the cluster: its connections, and one HTTP exchange on them.
//!
//! Says of each fault whether the request may have arrived: that decides what is known of an append.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::connection_settings::Address;

/// The most bytes of an answer: eight entries of the largest size, in base64, with what is around them.
const ANSWER_BYTES_MAX: usize = 12 << 20;
/// How many connections are kept for later.
const IDLE_MAX: usize = 8;

/// An open connection. It closes with its sender.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Why it broke.
    task: JoinHandle<Result<(), hyper::Error>>,
}

impl Connection {
    /// Why it broke before a request was sent, if that is known.
    async fn fault(self) -> Option<hyper::Error> {
        let Self { sender, task } = self;
        drop(sender);
        task.await.ok()?.err()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ExchangeFault {
    /// Nothing was sent.
    NotSent(String),
    /// It may have arrived.
    NoAnswer(String),
    /// It arrived; the answer is larger than is read.
    TooLarge,
}

/// One request to the gateway.
#[derive(Clone)]
pub(super) struct Call {
    /// Behind `/v3/`.
    pub(super) path: &'static str,
    /// JSON.
    pub(super) body: Bytes,
}

/// A member.
pub(super) struct Endpoint {
    address: Address,
    /// For an address with TLS.
    tls: Option<TlsConnector>,
    connect_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl Endpoint {
    pub(super) fn new(
        address: Address,
        tls: Option<TlsConnector>,
        connect_timeout: Duration,
    ) -> Self {
        Self { address, tls, connect_timeout, idle: Mutex::default() }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// One call, and the whole answer: status and body.
    pub(super) async fn exchange(
        &self,
        call: &Call,
        token: Option<&str>,
        limit: Duration,
    ) -> Result<(u16, Bytes), ExchangeFault> {
        let request = self.request(call, token)?;
        let answered = async {
            let (connection, response) = self.send(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|fault| {
                if fault.is::<LengthLimitError>() {
                    ExchangeFault::TooLarge
                } else {
                    self.broken(fault.as_ref())
                }
            })?;
            self.keep(connection);
            Ok((status, body.to_bytes()))
        };
        timeout(limit, answered).await.unwrap_or_else(|_| {
            Err(ExchangeFault::NoAnswer(format!(
                "no answer within {} ms: has the cluster lost its majority?",
                limit.as_millis()
            )))
        })
    }

    /// One call, on a connection of its own, whose answer does not end.
    pub(super) async fn stream(
        &self,
        call: &Call,
        token: Option<&str>,
    ) -> Result<Stream, ExchangeFault> {
        let request = self.request(call, token)?;
        let mut connection = self.connect().await.map_err(ExchangeFault::NotSent)?;
        let response = connection.sender.send_request(request).await;
        let response = response.map_err(|fault| self.broken(&fault))?;
        Ok(Stream { _connection: connection, response })
    }

    fn request(
        &self,
        call: &Call,
        token: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, ExchangeFault> {
        let Address { host, port, .. } = &self.address;
        let host =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = Request::post(format!("/v3/{}", call.path))
            .header("host", host)
            .header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let request = request.body(Full::new(call.body.clone()));
        request.map_err(|fault| ExchangeFault::NotSent(fault.to_string()))
    }

    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Connection, Response<Incoming>), ExchangeFault> {
        loop {
            // The lock is not held while a request is on its way.
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect().await.map_err(ExchangeFault::NotSent)?,
            };
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((connection, response)),
                // What hyper hands back was not sent.
                Err(mut fault) => match fault.take_message() {
                    Some(unsent) if was_kept => request = unsent,
                    Some(_) => {
                        let cause = connection.fault().await;
                        let cause = cause.as_ref().unwrap_or_else(|| fault.error());
                        return Err(ExchangeFault::NotSent(self.told(cause)));
                    }
                    None => return Err(self.broken(fault.error())),
                },
            }
        }
    }

    /// The connection broke after the request was sent.
    fn broken(&self, fault: &(dyn Error + 'static)) -> ExchangeFault {
        ExchangeFault::NoAnswer(self.told(fault))
    }

    /// Why a connection broke, and what may be wrong.
    fn told(&self, fault: &(dyn Error + 'static)) -> String {
        let text = causes(fault);
        let hint = match &self.tls {
            // A server that speaks TLS only breaks off where it is asked without.
            None => "; where it speaks TLS, write `https://`",
            Some(_) if text.contains("fatal alert") => {
                "; the cluster asks for a certificate of this client, or does not take the one it has"
            }
            Some(_) => "",
        };
        format!("{text}{hint}")
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let opened = async {
            let Address { host, port, .. } = &self.address;
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            let stream = stream.map_err(|fault| fault.to_string())?;
            stream.set_nodelay(true).map_err(|fault| fault.to_string())?;
            let Some(tls) = &self.tls else { return begin(stream).await };
            let name = ServerName::try_from(host.clone())
                .map_err(|_| "no certificate can name such a host".to_owned())?;
            let stream = tls.connect(name, stream).await.map_err(|fault| {
                format!("the TLS handshake failed: {fault}; check the endpoint's scheme and name, its certificate, and `ca_file`")
            })?;
            begin(stream).await
        };
        timeout(self.connect_timeout, opened).await.unwrap_or_else(|_| {
            Err(format!("no connection within {} ms", self.connect_timeout.as_millis()))
        })
    }
}

/// HTTP on a connection.
async fn begin(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Connection, String> {
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = opened.map_err(|fault| causes(&fault))?;
    Ok(Connection { sender, task: tokio::spawn(connection) })
}

/// An answer that does not end.
pub(super) struct Stream {
    /// The connection closes with it.
    _connection: Connection,
    response: Response<Incoming>,
}

impl Stream {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The next bytes; `None` at the end, or when the connection broke.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.response.body_mut().frame().await?.ok()?;
            if let Ok(bytes) = frame.into_data() {
                return Some(bytes);
            }
        }
    }
}

/// A fault with its causes.
fn causes(fault: &(dyn Error + 'static)) -> String {
    let mut text = fault.to_string();
    let mut next = fault.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
