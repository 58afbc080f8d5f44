//! The management API over the network: a [`Fixture`] behind a port and a socket, raw bytes on both.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use kwic_team::config::{Config, Mail};
use kwic_team::http::{ConnectionBounds, Listen, Listener, Server};
use kwic_team::mail::Mailer;
use kwic_team::password::PasswordHasher;
use kwic_team::routes;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::support::fixture::{Fixture, PASSWORD};

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
}

impl Answer {
    fn read(bytes: Vec<u8>) -> Self {
        let text = String::from_utf8(bytes).unwrap();
        let (head, text) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), text: text.to_owned() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A header by its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// A problem of this status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.is(status);
        assert_eq!(body["code"], code, "{body}");
        assert!(body["detail"].as_str().unwrap().len() > 15, "{body}");
        body
    }

    /// The token that the answer gives the browser.
    #[track_caller]
    pub fn cookie(&self) -> String {
        let cookie = self.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {self:?}"));
        cookie.split(';').next().unwrap().to_owned()
    }
}

/// A stage with a console's port and an operator's socket.
pub struct ApiFixture {
    pub stage: Fixture,
    pub address: SocketAddr,
    pub server: Server,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

/// A signed-in member who calls over TCP as a page of the console does: with the cookie, from the
/// same origin.
pub struct Person<'c> {
    pub console: &'c ApiFixture,
    pub cookie: String,
}

impl ApiFixture {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_owned();
        let stage = Fixture::with(PasswordHasher::cheap().unwrap(), |config| {
            config.data = data;
            configure(config);
        });
        Self::serving(stage.await, folder).await
    }

    /// One that sends no mail: links are shown instead.
    pub async fn without_mail() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_owned();
        let mut stage =
            Fixture::with(PasswordHasher::cheap().unwrap(), |config| config.data = data).await;
        let app = Arc::get_mut(&mut stage.app).expect("only one handle");
        app.mailer = Mailer::checked(&Mail::default()).unwrap();
        Self::serving(stage, folder).await
    }

    /// One without any account.
    pub async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_owned();
        let stage = Fixture::empty(PasswordHasher::cheap().unwrap(), |config| config.data = data);
        Self::serving(stage.await, folder).await
    }

    async fn serving(stage: Fixture, folder: tempfile::TempDir) -> Self {
        let server = Server::new(ConnectionBounds::default());
        let port = Listen::Tcp("127.0.0.1:0".parse().unwrap()).bind().await.unwrap();
        let Listener::Tcp(listener) = &port else { panic!("a TCP listener") };
        let address = listener.local_addr().unwrap();
        let socket = folder.path().join("admin.sock");
        let listen = Listen::Unix { path: socket.clone(), mode: 0o600 };
        let unix = listen.bind().await.unwrap();
        let (app, own) = (Arc::clone(&stage.app), server.clone());
        tokio::spawn(async move {
            own.serve(&port, move |request| routes::management(Arc::clone(&app), request)).await;
        });
        let (app, own) = (Arc::clone(&stage.app), server.clone());
        tokio::spawn(async move {
            own.serve(&unix, move |request| routes::admin(Arc::clone(&app), request)).await;
        });
        Self { stage, address, server, socket, _folder: folder }
    }

    /// Sends one request over the port, as it is: no header but `Host` is added.
    pub async fn raw(&self, line: &str, headers: &str, body: &str) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let host = if has_host(headers) { "" } else { "host: localhost\r\n" };
        exchange(stream, line, &format!("{host}{headers}"), body).await
    }

    /// The same on the operator's socket.
    pub async fn operator(&self, line: &str, body: &Value) -> Answer {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (headers, body) = as_json(body);
        exchange(stream, line, &format!("host: localhost\r\n{headers}"), &body).await
    }

    /// A program without a cookie.
    pub async fn anybody(&self, line: &str, body: &Value) -> Answer {
        let (headers, body) = as_json(body);
        self.raw(line, &headers, &body).await
    }

    /// Somebody who joined with this role, and is signed in.
    pub async fn person(&self, who: &str, role: &str) -> Person<'_> {
        self.stage.member(who, role).await;
        self.sign_in("acme", who).await
    }

    pub async fn sign_in(&self, account: &str, who: &str) -> Person<'_> {
        let body = json!({"account": account, "email": format!("{who}@example.org"),
            "password": PASSWORD});
        let answer = self.anybody("POST /sign-in", &body).await;
        answer.is(200);
        Person { console: self, cookie: answer.cookie() }
    }

    pub async fn revision(&self) -> u64 {
        self.stage.app.store.revision().await.unwrap().0
    }
}

impl Person<'_> {
    /// Sends one request with further headers.
    pub async fn send(&self, line: &str, headers: &str, body: &Value) -> Answer {
        let (media, body) = as_json(body);
        let own = format!("cookie: {}\r\nsec-fetch-site: same-origin\r\n", self.cookie);
        self.console.raw(line, &format!("{own}{media}{headers}"), &body).await
    }

    pub async fn call(&self, line: &str, body: &Value) -> Answer {
        self.send(line, "", body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(&format!("GET {path}"), &Value::Null).await
    }
}

fn has_host(headers: &str) -> bool {
    headers.lines().any(|line| line.to_ascii_lowercase().starts_with("host:"))
}

/// No body for null, and the header that a body needs.
fn as_json(body: &Value) -> (String, String) {
    match body {
        Value::Null => (String::new(), String::new()),
        body => ("content-type: application/json\r\n".to_owned(), body.to_string()),
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    line: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let (method, path) = line.split_once(' ').unwrap();
    let path = if path.starts_with("/raw/") { &path[4..] } else { &format!("/api/v1{path}") };
    let length = match body.len() {
        0 => String::new(),
        length => format!("content-length: {length}\r\n"),
    };
    let head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n{length}{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    Answer::read(bytes)
}
