//! Stopping: no client delays the sidecar, and decisions are answered until everything else has
//! stopped.
//!
//! The drain timeout is far longer than any test waits, so that reaching it would show.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::sidecar::{PATIENCE, Sidecar, Start, command, eventually, question};

const DRAIN: &str = "[limits]\ndrain_ms_max = 600000\n";

/// A mail server of one connection at a time, which stops at one command until it is told to go on.
struct MailServer {
    port: u16,
    /// Told when it stops, and when it took a mail.
    told: Receiver<&'static str>,
    go_on: Sender<()>,
}

/// Stops at this command; at `HELLO` before it greets, at `END` after it was given the mail.
fn mail_server(stops_at: &'static str) -> MailServer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ((tell, told), (go_on, goes_on)) = (channel(), channel());
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that hangs up reconnects.
            let _ = talk(&stream.unwrap(), stops_at, &tell, &goes_on);
        }
    });
    MailServer { port, told, go_on }
}

fn talk(
    mut stream: &TcpStream,
    stops_at: &str,
    tell: &Sender<&'static str>,
    goes_on: &Receiver<()>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let (mut word, mut in_mail) = ("HELLO".to_owned(), false);
    loop {
        if word == stops_at {
            let _ = tell.send("stops");
            let _ = goes_on.recv();
        }
        let answer = match word.as_str() {
            "HELLO" => "220 mail.example.org",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        write!(stream, "{answer}\r\n")?;
        if word == "END" {
            let _ = tell.send("took");
        }
        in_mail |= word == "DATA";
        word = loop {
            let Some(line) = lines.next().transpose()? else { return Ok(()) };
            if !in_mail {
                break line.get(..4).unwrap_or_default().to_ascii_uppercase();
            }
            if line == "." {
                in_mail = false;
                break "END".to_owned();
            }
        };
    }
}

impl MailServer {
    fn sidecar(&self, scheme: &str) -> Sidecar {
        let sidecar = Sidecar::start_with(&Start {
            config: format!(
                "[mail]\nkind = \"smtp\"\nurl = \"{scheme}://127.0.0.1:{}\"\nfrom = \"no-reply@example.org\"\n{DRAIN}",
                self.port
            ),
            console: "public_url = \"http://127.0.0.1:1/team\"".to_owned(),
            environment: vec![("KWIC_TEAM_DECISION_WAIT_MS", "60000".into())],
            ..Start::default()
        });
        sidecar.account("acme");
        sidecar
    }

    #[track_caller]
    fn hears(&self, what: &str) {
        assert_eq!(self.told.recv_timeout(PATIENCE), Ok(what));
    }
}

fn invite(sidecar: &Sidecar) {
    let bo = ["--first-name", "Bo", "--last-name", "Lee", "--role", "operator"];
    let send = ["invite", "send", "--account", "acme", "--email", "bo@example.net"];
    sidecar.ok(&[&send[..], &bo[..]].concat());
}

#[test]
fn a_mail_server_that_is_silent_keeps_nothing_and_the_letter_goes_out_after_the_restart() {
    for (scheme, stops_at) in [
        ("smtp", "HELLO"),
        ("smtps", "HELLO"),
        ("smtp", "EHLO"),
        ("smtp", "MAIL"),
        ("smtp", "RCPT"),
    ] {
        let server = mail_server(stops_at);
        let mut sidecar = server.sidecar(scheme);
        invite(&sidecar);
        server.hears("stops");
        sidecar.signal("TERM");
        assert_eq!(sidecar.wait(), Some(0), "{scheme} {stops_at}");
        if scheme == "smtps" {
            continue;
        }
        let MailServer { told, go_on, .. } = server;
        // From now on it goes on by itself.
        drop(go_on);
        sidecar.restart();
        while told.recv_timeout(PATIENCE).expect("the letter goes out") != "took" {}
        eventually("the letter is handed over", || {
            sidecar.ok(&["invite", "list"]).contains("accepted by the mail server")
        });
    }
}

#[test]
fn a_test_mail_to_a_server_that_is_silent_is_given_up() {
    let server = mail_server("EHLO");
    let mut sidecar = server.sidecar("smtp");
    let mut admin = sidecar.admin();
    let asked = thread::spawn(move || {
        admin.post("/api/v1/mail/test?account=acme", &json!({"to": "bo@example.net"}))
    });
    server.hears("stops");
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait(), Some(0));
    let answer = asked.join().unwrap();
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("stopping")), "{answer:?}");
}

#[test]
fn decisions_are_answered_until_a_letter_that_may_be_taken_is_written_down() {
    let server = mail_server("END");
    let mut sidecar = server.sidecar("smtp");
    sidecar.members("acme", &[("ann", "operator")]);
    let asked = question("ann", "chats:view", ("chat", "c"), "acme");
    let mut warm = sidecar.tcp();
    assert!(warm.allows(&asked));
    invite(&sidecar);
    server.hears("stops");
    sidecar.signal("TERM");
    eventually("management stops", || TcpStream::connect(&sidecar.console).is_err());
    assert!(warm.allows(&asked));
    assert!(sidecar.tcp().allows(&asked));
    assert!(sidecar.unix().allows(&asked));
    // A change that does not come any more is not waited for.
    let headers = "content-type: application/json\r\nx-kwic-at-least: 1000000\r\n";
    let late = warm.send("POST", "/access/v1/evaluation", headers, &asked.to_string());
    assert_eq!(late.status, 503, "{late:?}");
    server.go_on.send(()).unwrap();
    server.hears("took");
    assert_eq!(sidecar.wait(), Some(0));
    assert!(TcpStream::connect(&sidecar.address).is_err());
    sidecar.restart();
    assert!(sidecar.ok(&["invite", "list"]).contains("accepted by the mail server"));
}

/// Sends as much as is taken within a moment.
fn stuff(mut stream: UnixStream, bytes: &[u8]) -> UnixStream {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = stream.write_all(bytes);
    stream
}

#[test]
fn callers_who_are_slow_keep_nothing() {
    let mut sidecar = Sidecar::start_with(&Start { config: DRAIN.to_owned(), ..Start::default() });
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator")]);
    let whole = "POST /access/v1/evaluation HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let mut kept = Vec::new();
    for address in [&sidecar.address, &sidecar.console] {
        for part in ["", &whole[..9], &whole[..whole.len() - 1]] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(part.as_bytes()).unwrap();
            kept.push(stream);
        }
    }
    let socket = |name: &str| UnixStream::connect(sidecar.path(name)).unwrap();
    // Answers that nobody reads, of decisions and of management.
    let unread = stuff(socket("decide.sock"), whole.repeat(20_000).as_bytes());
    let many = "GET /api/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
    let unread = (unread, stuff(socket("data/admin.sock"), many.as_bytes()));
    // Half an upload.
    let upload = "POST /api/v1/members/import?account=acme HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let upload = stuff(socket("data/admin.sock"), upload.as_bytes());
    // Events.
    let mut events = BufReader::new(socket("data/admin.sock"));
    let listen = "GET /api/v1/events?account=acme HTTP/1.1\r\nhost: localhost\r\n\r\n";
    events.get_mut().write_all(listen.as_bytes()).unwrap();
    let mut line = String::new();
    while !line.contains("event: begins") {
        assert!(events.read_line(&mut line).unwrap() > 0, "{line}");
    }
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait(), Some(0));
    drop((kept, unread, upload, events));
}

/// Whether the file of the store says that it was closed, and not left open.
fn is_closed(store: &Path) -> bool {
    // redb's flags; the second bit asks for a repair.
    fs::read(store).unwrap()[9] & 2 == 0
}

#[test]
fn a_stop_closes_the_store_and_a_backup_is_made_of_it() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator")]);
    for count in 0..8 {
        let name = format!("R{count}");
        sidecar.ok(&["member", "edit", "ann", "--first-name", &name]);
        let end = ["TERM", "INT"][count % 2];
        sidecar.signal(end);
        assert_eq!(sidecar.wait(), Some(0));
        assert!(is_closed(&sidecar.path("data/kwic.redb")), "stop {count}, by {end}");
        let backup = sidecar.path(&format!("backup-{count}"));
        sidecar.ok(&["backup", backup.to_str().unwrap()]);
        sidecar.restart();
        assert!(sidecar.ok(&["member", "list"]).contains(&name));
    }
    let log = sidecar.log_text();
    assert!(!log.contains("after a crash") && !log.contains("was not closed"), "{log}");
}

#[test]
fn a_start_that_fails_behind_the_store_closes_it() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.kill();
    assert!(!is_closed(&sidecar.path("data/kwic.redb")));
    fs::remove_file(sidecar.path("data/keys/link-1.key")).unwrap();
    let refused = command(sidecar.home.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(is_closed(&sidecar.path("data/kwic.redb")));
}
