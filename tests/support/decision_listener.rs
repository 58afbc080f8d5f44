//! A decision listener in this process, on TCP and on a unix socket, with members in memory and a fixed
//! clock.
//!
//! [`DecisionListener::send`] asks one question by every way through the server, which all answer the same.

use std::net::SocketAddr;
use std::sync::Arc;

use kwic_team::app::App;
use kwic_team::clock::Clock;
use kwic_team::config::Config;
use kwic_team::directory::Directory;
use kwic_team::domain::{
    Account, AccountSlug, LoadedRecord, Member, MemberId, PolicyFiles, Revision, Status, Timestamp,
    Version,
};
use kwic_team::engine::Snapshot;
use kwic_team::http::{ConnectionBounds, Listen, Listener, Server, SmallRequest};
use kwic_team::routes;
use kwic_team::store::Store;
use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::fixture::{email, name, role};
use super::sidecar::{Answer, PATIENCE};

/// The header line of a JSON body.
pub const JSON: &str = "content-type: application/json\r\n";

/// The revision that the members are loaded at.
pub const REVISION: Revision = Revision(7);

pub struct DecisionListener {
    pub app: Arc<App>,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

/// An active member.
pub fn member(id: &str, account: &str, of_role: &str) -> Member {
    Member {
        id: MemberId::parse(id).unwrap(),
        account: AccountSlug::parse(account).unwrap(),
        email: email(id),
        first_name: name("Ann"),
        last_name: name("Lee"),
        role: role(of_role),
        status: Status::Active,
        two_step: false,
        joined: Timestamp(0),
        version: Version(1),
    }
}

impl DecisionListener {
    /// Starts one on these policies, with an account `acme` and these members.
    pub async fn start(
        policies: &PolicyFiles,
        members: impl IntoIterator<Item = Member>,
        change: impl FnOnce(&mut App),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp(1_795_000_000_000));
        let store = Store::in_memory(clock.clone()).await.unwrap();
        let directory = Arc::new(Directory::new());
        directory.load_one(LoadedRecord::Account(Account {
            slug: AccountSlug::parse("acme").unwrap(),
            name: "Acme".to_owned(),
            created: Timestamp(0),
            invite_lifetime: None,
            two_step_enforced: false,
            version: Version(1),
        }));
        for member in members {
            directory.load_one(LoadedRecord::Members(vec![member]));
        }
        directory.loaded(REVISION);
        let policies = Snapshot::load(policies, &[]).unwrap();
        let config = Config::default_for(folder.path().to_owned());
        let mut app = App::new(config, clock, policies, directory, store).unwrap();
        change(&mut app);
        let app = Arc::new(app);
        let server = Server::new(ConnectionBounds::default());
        let tcp = Listen::Tcp("127.0.0.1:0".parse().unwrap()).bind().await.unwrap();
        let Listener::Tcp(socket) = &tcp else { panic!("a TCP listener") };
        let address = socket.local_addr().unwrap();
        let path = folder.path().join("kwic.sock");
        let unix = Listen::Unix { path, mode: 0o600 }.bind().await.unwrap();
        for listener in [tcp, unix] {
            let (app, server) = (Arc::clone(&app), server.clone());
            tokio::spawn(async move {
                let (own, asked) = (server.clone(), Arc::clone(&app));
                let at_once =
                    move |request: &SmallRequest<'_>| routes::decision_fast_path(&asked, request);
                let handler = move |request| {
                    routes::decision_full_path(Arc::clone(&app), own.clone(), request)
                };
                server.serve_with_fast_path(&listener, at_once, handler).await;
            });
        }
        Self { app, address, folder }
    }

    /// Sends bytes over TCP; the answer to the first request in them.
    pub async fn tcp(&self, bytes: impl AsRef<[u8]>) -> Answer {
        exchange(TcpStream::connect(self.address).await.unwrap(), bytes.as_ref()).await
    }

    /// The same over the unix socket.
    pub async fn unix(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let path = self.folder.path().join("kwic.sock");
        exchange(UnixStream::connect(path).await.unwrap(), bytes.as_ref()).await
    }

    /// Sends one request over TCP and over the unix socket, each time as a small request and, because of
    /// an unusual header, through hyper. The answers are the same but for what is made anew for each.
    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let sent = headers.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        let mut answers = Vec::new();
        for unusual in ["", "x-unusual: 1\r\n"] {
            let request = request(method, path, &format!("{headers}{unusual}"), body);
            answers.push(self.tcp(&request).await);
            answers.push(self.unix(&request).await);
        }
        let first = answers.swap_remove(0);
        for other in answers {
            let [expected, found] = [&first, &other].map(|answer| comparable(answer, sent));
            assert_eq!(found, expected, "{path} {headers}{}", String::from_utf8_lossy(body));
        }
        first
    }

    /// Posts JSON text, as [`Self::send`] does.
    pub async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send("POST", path, JSON, body.as_ref()).await
    }

    /// The same where a value is expected.
    pub async fn ask(&self, path: &str, body: &Json) -> Json {
        let answer = self.post(path, body.to_string()).await;
        assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path} {body}");
        answer.json()
    }
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// An answer without what differs between two answers to one question: the time, ids that the server
/// makes, and tokens, which are never the same twice.
fn comparable(answer: &Answer, sent_id: Option<&str>) -> (u16, Vec<String>, String) {
    let field = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("date", _) => None,
            ("x-request-id", id) if sent_id != Some(id) => Some("x-request-id: made".to_owned()),
            (name, value) => Some(format!("{name}: {value}")),
        }
    };
    let mut fields: Vec<String> =
        answer.head.lines().skip(1).filter(|line| !line.is_empty()).filter_map(field).collect();
    fields.sort();
    let mut body = answer.body.clone();
    if let Ok(json) = serde_json::from_str::<Json>(&body)
        && let Some(token) = json["page"]["next_token"].as_str().filter(|token| !token.is_empty())
    {
        body = body.replace(token, "token");
    }
    (answer.status, fields, body)
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Answer {
    let _ = stream.write_all(bytes).await;
    let mut read = Vec::new();
    loop {
        let more = tokio::time::timeout(PATIENCE, stream.read_buf(&mut read)).await;
        let more = more.unwrap_or_else(|_| panic!("no end: {}", String::from_utf8_lossy(&read)));
        let is_end = more.unwrap_or(0) == 0;
        let head_end = read.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(head_end) = head_end else {
            assert!(!is_end, "no head: {}", String::from_utf8_lossy(&read));
            continue;
        };
        let (head, body) = (&read[..head_end], &read[head_end + 4..]);
        let head = String::from_utf8(head.to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = Answer { status, head, body: String::from_utf8_lossy(body).into_owned() };
        let length = answer.header("content-length").map(|text| text.parse::<usize>().unwrap());
        let is_whole = length.is_some_and(|length| body.len() >= length);
        if is_end || is_whole || bytes.starts_with(b"HEAD ") {
            return answer;
        }
    }
}
