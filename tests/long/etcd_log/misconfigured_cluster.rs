//! What may be wrong with an etcd cluster, or with what is in it, and what is said of it.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kwic_team::store::etcd_log::{ClientCertificate, EtcdLog, EtcdLogin, EtcdSettings, LogId};
use kwic_team::store::shared_log::{
    Appended, ENTRY_BYTES_MAX, EntryId, LogEntry, LogHead, READ_MAX, SharedLog,
};

use super::faulty_proxy::message;
use super::{Deployment, all, cluster, entry, fill, start, unused};
use crate::support::etcd_cluster::{Certificates, ClusterOptions, EtcdCluster};

/// Why an append is refused.
fn refusal(log: &EtcdLog) -> String {
    match log.append(&start(), &entry(&start(), "refused")) {
        Appended::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

/// An append is refused and a read fails, both with the same words in what they say.
fn assert_refused(log: &EtcdLog, words: &[&str]) {
    let (append, read) = (refusal(log), log.read(0, READ_MAX).unwrap_err());
    for word in words {
        assert!(append.contains(word), "{word}: {append}");
        assert!(read.contains(word), "{word}: {read}");
    }
}

fn put(cluster: &EtcdCluster, key: &str, value: &[u8]) {
    let body = format!(r#"{{"key":"{}","value":"{}"}}"#, base64(key.as_bytes()), base64(value));
    assert!(cluster.post(0, "kv/put", &body)["header"].is_object());
}

/// Base64 of RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for piece in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..piece.len()].copy_from_slice(piece);
        let all = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4_usize {
            let digit = DIGITS[(all >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= piece.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[test]
fn a_log_is_created_once_and_only_where_nothing_is() {
    let Some(cluster) = cluster() else { return };
    let fleet = Deployment::of(cluster.endpoints());
    let runtime = || fleet.runtime.handle().clone();
    assert_refused(&fleet.log(), &["no log below `test-", "fleet init"]);
    let found = EtcdLog::find(&fleet.settings, runtime());
    assert!(found.err().unwrap().contains("no log below"));
    let log = fleet.created();
    // A second try of the same call.
    assert_eq!(log.create(&start()), Ok(()));
    let found = EtcdLog::find(&fleet.settings, runtime()).unwrap();
    assert_eq!(found.id(), fleet.id);
    // Another deployment with the same prefix.
    let other = EtcdLog::new(&fleet.settings, LogId([9; 16]), runtime()).unwrap();
    assert!(other.create(&start()).unwrap_err().contains("a log below"));
    assert_refused(&other, &[&fleet.id.to_string(), "a prefix of its own"]);
    assert!(other.trim(0).unwrap_err().contains("a prefix of its own"));
    // A log that has gone on is not created again.
    fill(&log, start(), [b"first".to_vec()]);
    assert!(log.create(&start()).unwrap_err().contains("a log below"));
    // Something else is there.
    let taken = Deployment::of(cluster.endpoints());
    put(&cluster, &format!("{}of-another-program", taken.settings.prefix), b"1");
    assert!(taken.log().create(&start()).unwrap_err().contains("not of a log"));
}

#[test]
fn a_head_of_another_version_or_hand_is_not_followed() {
    let Some(cluster) = cluster() else { return };
    let fleet = Deployment::of(cluster.endpoints());
    let log = fleet.created();
    let head = format!("{}head", fleet.settings.prefix);
    let first = fill(&log, start(), [b"first".to_vec()]);
    put(&cluster, &head, format!("kwic-team-log 2 {} and more", fleet.id).as_bytes());
    assert_refused(&log, &["has format 2", "upgrade this node"]);
    put(&cluster, &head, b"by hand");
    assert_refused(&log, &["not written by kwic-team"]);
    let text =
        |index: &str| format!("kwic-team-log 1 {} {index} {}", fleet.id, first.authenticator.hex());
    put(&cluster, &head, text("01").as_bytes());
    assert_refused(&log, &["not written by kwic-team"]);
    put(&cluster, &head, text("1").as_bytes());
    assert_eq!(log.read(0, READ_MAX).unwrap().entries.len(), 1);
    // An entry that is none, and a key that is none of an entry.
    put(&cluster, &format!("{}entries/0000000000000001", fleet.settings.prefix), b"by hand");
    assert!(log.read(0, READ_MAX).unwrap_err().contains("not written by kwic-team"));
    put(&cluster, &format!("{}entries/1", fleet.settings.prefix), b"by hand");
    assert_eq!(log.trim(1), Ok(1));
    assert!(log.read(1, READ_MAX).unwrap_err().contains("not written by kwic-team"));
}

#[test]
fn settings_that_are_of_no_use_are_refused_before_anything_is_sent() {
    let fleet = Deployment::of(vec![unused()]);
    let with = |change: &dyn Fn(&mut EtcdSettings)| {
        let mut settings = fleet.settings.clone();
        change(&mut settings);
        EtcdLog::new(&settings, fleet.id, fleet.runtime.handle().clone()).err().unwrap()
    };
    assert!(with(&|settings| settings.endpoints.clear()).contains("no endpoint"));
    assert!(with(&|settings| settings.endpoints = vec!["a:1".into()]).contains("`a:1`"));
    assert!(with(&|settings| settings.prefix = "no-slash".into()).contains("`no-slash`"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let tls = |settings: &mut EtcdSettings, path: &str| {
        settings.endpoints = vec!["https://127.0.0.1:1".into()];
        settings.ca_file = Some(path.into());
    };
    assert!(
        with(&|settings| tls(settings, "/none")).contains("`/none` is no file of PEM certificates")
    );
    let path = file.path().to_str().unwrap();
    assert!(with(&|settings| tls(settings, path)).contains("no PEM certificate"));
}

#[test]
fn an_endpoint_where_no_etcd_answers_is_refused_with_the_reason() {
    let fleet = Deployment::of(vec![unused(), unused()]);
    assert_refused(&fleet.log(), &["onnection refused", &fleet.settings.endpoints[1]]);
    let mut named = fleet.settings.clone();
    named.endpoints = vec!["http://etcd.invalid:2379".to_owned()];
    let log = EtcdLog::new(&named, fleet.id, fleet.runtime.handle().clone()).unwrap();
    assert_refused(&log, &["http://etcd.invalid:2379"]);
    // Something else answers: a server that knows no such path, and one whose answer is no JSON.
    let other = OtherServer::answering("404 Not Found");
    assert_refused(&fleet.by(vec![other.endpoint()]), &["is not etcd's gateway", "404"]);
    let other = OtherServer::answering("200 OK");
    let log = fleet.by(vec![other.endpoint()]);
    let outcome = log.append(&start(), &entry(&start(), "x"));
    assert!(
        matches!(&outcome, Appended::Unknown(why) if why.contains("is not etcd")),
        "{outcome:?}"
    );
    assert!(log.read(0, 1).unwrap_err().contains("is not etcd"));
}

/// A server that answers every request alike; its thread ends with it.
struct OtherServer {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl OtherServer {
    fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            is_over: Arc::new(AtomicBool::new(false)),
        };
        let is_over = server.is_over.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let mut stream = BufReader::new(stream.unwrap());
                // What is not read breaks the connection before the answer is heard.
                let _ = message(&mut stream);
                let answer = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"
                );
                let _ = stream.get_mut().write_all(answer.as_bytes());
            }
        });
        server
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for OtherServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes its thread.
        let _ = TcpStream::connect(self.address);
    }
}

#[test]
fn who_may_not_write_is_refused_and_an_expired_token_is_renewed() {
    let one = ClusterOptions { members: 1, ..ClusterOptions::default() };
    let Some(mut cluster) = EtcdCluster::start(&one) else { return };
    let mut fleet = Deployment::of(cluster.endpoints());
    let with = |fleet: &Deployment, user: &str, password: &str| {
        let login = EtcdLogin { user: user.to_owned(), password: password.to_owned() };
        let settings = EtcdSettings { login: Some(login), ..fleet.settings.clone() };
        EtcdLog::new(&settings, fleet.id, fleet.runtime.handle().clone()).unwrap()
    };
    assert_refused(&with(&fleet, "kwic", "right"), &["authentication is not enabled", "leave out"]);
    let (from, to) = (base64(b"test-own/"), base64(b"test-own0"));
    for (path, body) in [
        ("auth/user/add", r#"{"name":"root","password":"root"}"#.to_owned()),
        ("auth/user/grant", r#"{"user":"root","role":"root"}"#.to_owned()),
        ("auth/role/add", r#"{"name":"fleet"}"#.to_owned()),
        (
            "auth/role/grant",
            format!(
                r#"{{"name":"fleet","perm":{{"permType":"READWRITE","key":"{from}","range_end":"{to}"}}}}"#
            ),
        ),
        ("auth/user/add", r#"{"name":"kwic","password":"right"}"#.to_owned()),
        ("auth/user/grant", r#"{"user":"kwic","role":"fleet"}"#.to_owned()),
        ("auth/enable", "{}".to_owned()),
    ] {
        let answer = cluster.post(0, path, &body);
        assert!(answer["header"].is_object(), "{path}: {answer}");
    }
    let foreign = with(&fleet, "kwic", "right");
    assert_refused(&foreign, &["permission denied", "readwrite test-"]);
    assert!(foreign.create(&start()).unwrap_err().contains("permission denied"));
    "test-own/".clone_into(&mut fleet.settings.prefix);
    assert_refused(&fleet.log(), &["user name is empty", "set the user"]);
    assert_refused(&with(&fleet, "kwic", "wrong"), &["check the user and the password"]);
    let log = with(&fleet, "kwic", "right");
    log.create(&start()).unwrap();
    assert!(log.wait_for_change(Duration::from_secs(10)));
    let head = fill(&log, start(), [b"first".to_vec()]);
    assert!(log.wait_for_change(Duration::from_secs(10)));
    // A member forgets its tokens with its process.
    let other = with(&fleet, "kwic", "right");
    assert_eq!(other.read(0, READ_MAX).unwrap().head, head);
    cluster.kill(0);
    cluster.restart(0);
    let head = fill(&other, head, [b"by another".to_vec()]);
    let head = fill(&log, head, [b"second".to_vec()]);
    // A change of any user makes all tokens old.
    let token = cluster.post(0, "auth/authenticate", r#"{"name":"root","password":"root"}"#);
    assert!(token["token"].is_string());
    add_user(&cluster, token["token"].as_str().unwrap());
    let head = fill(&log, head, [b"third".to_vec()]);
    assert_eq!(log.read(0, READ_MAX).unwrap().head, head);
    // The watch went on after the member came back.
    let is_quiet = (0..20).any(|_| !log.wait_for_change(Duration::from_millis(1500)));
    assert!(is_quiet);
    fill(&log, head, [b"fourth".to_vec()]);
    assert!(log.wait_for_change(Duration::from_secs(10)));
}

fn add_user(cluster: &EtcdCluster, token: &str) {
    let body = r#"{"name":"other","password":"other"}"#;
    let mut stream = TcpStream::connect(("127.0.0.1", cluster.port(0))).unwrap();
    write!(
        stream,
        "POST /v3/auth/user/add HTTP/1.0\r\nauthorization: {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
}

#[test]
fn tls_is_checked_on_both_sides_and_a_wrong_scheme_is_told() {
    let Some(certificates) = Certificates::make() else { return };
    let start_one = |name: &str, client_ca: Option<&str>| {
        let mut tls = certificates.server(name);
        tls.client_ca = client_ca.map(|ca| certificates.file(ca));
        EtcdCluster::start(&ClusterOptions {
            members: 1,
            tls: Some(tls),
            ..ClusterOptions::default()
        })
    };
    let Some(sound) = start_one("server", None) else { return };
    let fleet = Deployment::of(sound.endpoints());
    let by = |endpoint: &str, ca: &str| {
        let mut settings = fleet.settings.clone();
        settings.endpoints = vec![endpoint.to_owned()];
        settings.ca_file = Some(certificates.file(ca));
        EtcdLog::new(&settings, fleet.id, fleet.runtime.handle().clone()).unwrap()
    };
    let log = by(&sound.endpoint(0), "ca.pem");
    log.create(&start()).unwrap();
    let head = fill(&log, start(), [b"first".to_vec()]);
    assert_eq!(log.read(0, READ_MAX).unwrap().head, head);
    assert!(log.wait_for_change(Duration::from_secs(10)));
    assert_refused(
        &by(&sound.endpoint(0), "other-ca.pem"),
        &["TLS handshake failed", "UnknownIssuer"],
    );
    let named = sound.endpoint(0).replace("127.0.0.1", "localhost");
    assert_refused(&by(&named, "ca.pem"), &["TLS handshake failed", "not valid for name"]);
    let plain = sound.endpoint(0).replace("https", "http");
    // etcd breaks the connection off and says nothing.
    let log = by(&plain, "ca.pem");
    let outcome = log.append(&start(), &entry(&start(), "x"));
    assert!(
        matches!(&outcome, Appended::Unknown(why) if why.contains("write `https://`")),
        "{outcome:?}"
    );
    assert!(log.read(0, 1).unwrap_err().contains("write `https://`"));
    drop(sound);
    let expired = start_one("expired", None).unwrap();
    assert_refused(&by(&expired.endpoint(0), "ca.pem"), &["TLS handshake failed", "expired"]);
    drop(expired);
    let mutual = start_one("server", Some("ca.pem")).unwrap();
    let without = by(&mutual.endpoint(0), "ca.pem");
    let why = without.read(0, 1).unwrap_err();
    assert!(why.contains("asks for a certificate of this client"), "{why}");
    let outcome = without.append(&start(), &entry(&start(), "x"));
    assert!(!matches!(outcome, Appended::Made | Appended::Moved(_)), "{outcome:?}");
    let mut settings = EtcdSettings::new(mutual.endpoints());
    settings.ca_file = Some(certificates.file("ca.pem"));
    settings.client_certificate = Some(ClientCertificate {
        certificate_file: certificates.file("client.pem"),
        key_file: certificates.file("client.key"),
    });
    let log = EtcdLog::new(&settings, fleet.id, fleet.runtime.handle().clone()).unwrap();
    log.create(&start()).unwrap();
    fill(&log, start(), [b"first".to_vec()]);
    drop(mutual);
    let Some(plain) = cluster() else { return };
    let tls = plain.endpoint(0).replace("http", "https");
    assert_refused(&by(&tls, "ca.pem"), &["TLS handshake failed", "scheme"]);
}

/// The append that fills etcd is made although etcd says that it is full; those after it are not.
#[test]
fn a_full_etcd_refuses_and_no_outcome_is_wrong() {
    let options = ClusterOptions {
        members: 1,
        more: vec!["--quota-backend-bytes=50331648".to_owned()],
        ..ClusterOptions::default()
    };
    let Some(cluster) = EtcdCluster::start(&options) else { return };
    let nodes: Vec<_> = (0..4).map(|_| Deployment::of(cluster.endpoints())).collect();
    // Several logs at once: each finds room before another takes it.
    std::thread::scope(|scope| {
        for fleet in &nodes {
            scope.spawn(|| {
                let log = fleet.created();
                let (mut head, mut made) = (start(), Vec::new());
                let why = loop {
                    let next = entry(&head, vec![7; ENTRY_BYTES_MAX]);
                    match log.append(&head, &next) {
                        Appended::Made => head = next.head,
                        Appended::Refused(why) => break why,
                        other => panic!("{other:?}"),
                    }
                    made.push(next.id);
                    assert!(made.len() < 100, "it is never full");
                };
                assert!(why.contains("etcdctl alarm disarm"), "{why}");
                // What was made is there, and nothing else.
                let found: Vec<EntryId> =
                    all(&log, &start()).into_iter().map(|entry: LogEntry| entry.id).collect();
                assert_eq!(found, made);
                // Room is made also where etcd is full.
                let head: LogHead = log.read(0, 1).unwrap().head;
                assert_eq!(log.trim(head.index), Ok(head.index));
            });
        }
    });
}
