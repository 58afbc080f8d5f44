//! Extreme numbers in inputs: each is accepted or refused properly, and none causes a crash.

use std::io::Write;

use serde_json::{Value as Json, json};

use crate::support::api_users::{Person, call};
use crate::support::sidecar::{Connection, Sidecar, Start, question};

/// Texts that are numbers for somebody.
const EDGES: [&str; 14] = [
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "4294967296",
    "99999999999999999999999999999999999999999",
    "1e308",
    "1e999",
    "-1",
    "-0",
    "+1",
    "0x10",
    "%20",
];

/// Statuses of a request that was understood, or refused in order.
#[track_caller]
fn in_order(what: &str, status: u16) {
    // 503 is what `x-kwic-at-least` says of a revision that does not come.
    let known = [200, 400, 412, 413, 431, 503];
    assert!(known.contains(&status), "{what}: {status}");
}

fn sidecar() -> Sidecar {
    let longest = "18446744073709551615s";
    let config = format!(
        "[sessions]\nidle = \"213503982334601d\"\nabsolute = \"{longest}\"\n[limits]\nidle_ms_max = 1099511627776\n"
    );
    let sidecar = Sidecar::start_with(&Start { config, ..Start::default() });
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "administrator")]);
    sidecar
}

fn nothing_panicked(sidecar: &Sidecar) {
    let metrics = sidecar.unix().get("/metrics").body;
    assert!(metrics.contains("\nkwic_handler_panics_total 0\n"), "{metrics}");
    let log = sidecar.log_text();
    assert!(!log.contains("panic"), "{log}");
}

#[test]
fn numbers_at_the_edge_are_refused_or_taken_in_order() {
    let sidecar = sidecar();
    let ann = Person::of_import(&sidecar, "acme", "ann");
    assert_eq!(ann.get("/me")["id"], "ann", "a session that lasts for ever");
    for edge in EDGES {
        for path in ["/members?limit=", "/members?after=", "/audit?after=", "/audit?limit="] {
            in_order(edge, ann.call(&format!("GET {path}{edge}"), None).status);
        }
        for page in ["/audit?before=", "/policies?before=", "/team?rows="] {
            let path = format!("{page}{edge}");
            let head = format!("cookie: {}\r\n", ann.cookie);
            let stream = std::net::TcpStream::connect(&sidecar.console).unwrap();
            in_order(&path, Connection::new(stream).send("GET", &path, &head, "").status);
        }
        let head = format!("cookie: {}\r\nsec-fetch-site: same-origin\r\n", ann.cookie);
        let head = format!("{head}if-match: \"{edge}\"\r\n");
        in_order(edge, call(&sidecar, "PATCH /account", &head, Some(&json!({"name": "A"}))).status);
        let Ok(number) = serde_json::from_str::<Json>(edge) else { continue };
        for (line, body) in [
            ("POST /tokens", json!({"name": "a", "role": "operator", "expires_days": number})),
            ("PATCH /account", json!({"invite_lifetime_hours": number})),
        ] {
            let head = format!("{}if-match: *\r\n", head.split("if-match").next().unwrap());
            in_order(line, call(&sidecar, line, &head, Some(&body)).status);
        }
    }
    nothing_panicked(&sidecar);
}

#[test]
fn questions_with_numbers_at_the_edge_are_answered_in_order() {
    let sidecar = sidecar();
    let asked = question("ann", "chats:view", ("chat", "c"), "acme").to_string();
    for edge in EDGES {
        for mut bent in [
            format!("x-kwic-at-least: {edge}\r\ncontent-length: {}\r\n", asked.len()),
            format!("content-length: {edge}\r\n"),
            format!("transfer-encoding: chunked\r\ncontent-length: {edge}\r\n"),
        ] {
            bent.insert_str(0, "POST /access/v1/evaluation HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
            let mut stream = std::net::TcpStream::connect(&sidecar.address).unwrap();
            stream.set_read_timeout(Some(crate::support::sidecar::PATIENCE)).unwrap();
            stream.write_all(format!("{bent}\r\n{asked}").as_bytes()).unwrap();
            in_order(&bent, Connection::new(stream).read(false).status);
        }
        for place in ["subject", "resource", "action"] {
            let member =
                format!("\"{place}\":{{\"properties\":{{\"n\":{edge},\"account\":\"acme\"}},");
            let bent = asked.replacen(&format!("\"{place}\":{{"), &member, 1);
            let headers = "content-type: application/json\r\n";
            let answer = sidecar.tcp().send("POST", "/access/v1/evaluation", headers, &bent);
            in_order(&bent, answer.status);
        }
    }
    assert!(sidecar.tcp().allows(&serde_json::from_str(&asked).unwrap()));
    nothing_panicked(&sidecar);
}

#[test]
fn a_cookie_of_another_application_spoils_no_session_for_a_proxy() {
    let sidecar = sidecar();
    let ann = Person::of_import(&sidecar, "acme", "ann");
    for foreign in [&b"theme=caf\xe9; "[..], b"\xff\xfe=1;", b"flag; ;=x; ", b"big="] {
        let mut head = b"GET /forward-auth HTTP/1.1\r\nhost: localhost\r\ncookie: ".to_vec();
        head.extend_from_slice(foreign);
        if foreign == b"big=" {
            head.extend_from_slice(&[b'x'; 20_000]);
            head.extend_from_slice(b"; ");
        }
        head.extend_from_slice(ann.cookie.as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        let mut stream = std::net::TcpStream::connect(&sidecar.address).unwrap();
        stream.set_read_timeout(Some(crate::support::sidecar::PATIENCE)).unwrap();
        stream.write_all(&head).unwrap();
        let answer = Connection::new(stream).read(false);
        assert_eq!(answer.header("x-kwic-user"), Some("ann"), "{foreign:?}: {answer:?}");
    }
}
