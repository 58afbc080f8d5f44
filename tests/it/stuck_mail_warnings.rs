//! Stuck mail is reported: in `mail status`, `doctor`, the metrics, the API and the console.

use std::net::TcpListener;
use std::thread;

use serde_json::Value as Json;

use serde_json::json;

use crate::support::scripted_smtp_server::SmtpServer;
use crate::support::sidecar::{Sidecar, Start, eventually};

/// A port at which nobody listens.
fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn sidecar(mail: &str) -> Sidecar {
    let console = "public_url = \"https://team.example.org\"\ntrusted_proxies = [\"127.0.0.1\"]";
    let config = format!("[mail]\nfrom = \"no-reply@example.org\"\n{mail}");
    let start = Start { config, console: console.to_owned(), ..Start::default() };
    let sidecar = Sidecar::start_with(&start);
    sidecar.account("acme");
    sidecar
}

fn invite(sidecar: &Sidecar, name: &str) {
    invite_to(sidecar, "acme", name);
}

fn invite_to(sidecar: &Sidecar, account: &str, name: &str) {
    let email = format!("{name}@example.org");
    let names = ["--first-name", "A", "--last-name", "B", "--role", "operator"];
    let to = ["invite", "send", "--account", account, "--email", &email];
    sidecar.ok(&[&to[..], &names[..]].concat());
}

fn status_of(sidecar: &Sidecar, account: &str) -> Json {
    serde_json::from_str(&sidecar.ok(&["mail", "status", "--account", account, "--json"])).unwrap()
}

fn status(sidecar: &Sidecar) -> Json {
    serde_json::from_str(&sidecar.ok(&["mail", "status", "--json"])).unwrap()
}

fn doctor(sidecar: &Sidecar) -> String {
    String::from_utf8(sidecar.run(&["doctor"]).stdout).unwrap()
}

fn metric(sidecar: &Sidecar, name: &str) -> u64 {
    let text = sidecar.tcp().get("/metrics").body;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn a_mail_server_that_is_away_is_seen_at_once_and_with_the_age_of_what_waits() {
    let sidecar = sidecar(&format!("kind = \"smtp\"\nurl = \"smtp://127.0.0.1:{}\"", nobody()));
    assert!(doctor(&sidecar).contains("ok: mail is sent by `smtp`"));
    for name in ["ann", "bo", "cy"] {
        invite(&sidecar, name);
    }
    eventually("the first is tried in vain", || status(&sidecar)["deferred"] == 1);
    let told = status(&sidecar);
    assert_eq!(told["state"], "slow", "{told}");
    assert_eq!(told["last_success"], Json::Null);
    assert!(told["oldest"]["since"].as_str().unwrap().ends_with('Z'), "{told}");
    assert!(told["oldest"]["seconds"].is_u64(), "{told}");
    let detail = told["oldest"]["detail"].as_str().unwrap();
    assert!(detail.contains("could not be reached"), "{detail}");
    let said = sidecar.ok(&["mail", "status"]);
    for part in
        ["\noldest\tsince 2", "\nlast_success\tnever\n", "3 messages wait, the oldest since"]
    {
        assert!(said.contains(part), "{said}");
    }
    let ill = doctor(&sidecar);
    let line = ill.lines().find(|line| line.contains("3 messages wait")).unwrap();
    assert!(line.starts_with("warn: ") && line.contains("no mail has gone out yet"), "{line}");
    assert!(!ill.contains("ok: mail is"), "{ill}");
    eventually("the metrics say so", || metric(&sidecar, "kwic_mail_deferred") == 1);
    eventually("an age", || metric(&sidecar, "kwic_mail_oldest_waiting_seconds") > 0);
    eventually("the others too", || metric(&sidecar, "kwic_mail_queued") == 2);
    assert_eq!(metric(&sidecar, "kwic_mail_last_success_timestamp_seconds"), 0);
}

#[test]
fn what_went_out_is_remembered_over_a_restart() {
    let mut sidecar = sidecar("kind = \"folder\"");
    invite(&sidecar, "ann");
    eventually("it goes out", || status(&sidecar)["last_success"] != Json::Null);
    let told = status(&sidecar);
    assert_eq!((&told["state"], &told["oldest"]), (&"ok".into(), &Json::Null));
    let last = told["last_success"].as_str().unwrap().to_owned();
    assert!(doctor(&sidecar).contains(&format!(
        "ok: mail is written to the folder `outbox`, and sent to nobody; the last one at {last}"
    )));
    sidecar.kill_and_restart();
    assert_eq!(status(&sidecar)["last_success"], last);
    let name = "kwic_mail_last_success_timestamp_seconds";
    eventually("the metrics say so", || metric(&sidecar, name) > 0);
    // A folder that cannot be written: no more mail is sent.
    std::fs::remove_dir_all(sidecar.path("data/outbox")).unwrap();
    std::fs::write(sidecar.path("data/outbox"), "no folder").unwrap();
    // The clock of the store counts whole moments: the next letter is a later one.
    thread::sleep(std::time::Duration::from_millis(5));
    invite(&sidecar, "bo");
    eventually("it is tried in vain", || status(&sidecar)["state"] == "slow");
    let ill = doctor(&sidecar);
    assert!(ill.contains("warn: `acme`: 1 message waits, since 2"), "{ill}");
}

#[test]
fn a_folder_of_bounces_that_cannot_be_read_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let maildir = folder.path().join("bounces");
    std::fs::write(&maildir, "no folder").unwrap();
    let mail = format!("kind = \"folder\"\nbounce_maildir = \"{}\"", maildir.display());
    let sidecar = sidecar(&mail);
    eventually("the metric says so", || metric(&sidecar, "kwic_mail_bounces_unreadable") == 1);
    let ill = sidecar.run(&["doctor"]);
    let told = String::from_utf8(ill.stdout).unwrap();
    assert_eq!(ill.status.code(), Some(1), "{told}");
    assert!(told.contains("fail: returned mail is not read: "), "{told}");
}

#[test]
fn mail_of_one_account_that_does_not_go_out_is_seen_while_that_of_others_does() {
    let Some(mut server) = SmtpServer::start(&json!({})) else { return };
    let sidecar = sidecar(&format!("kind = \"smtp\"\nurl = \"smtp://127.0.0.1:{}\"", server.port));
    sidecar.account("globex");
    server.answer(&json!({"RCPT": "451 4.2.1 try again"}));
    for name in ["ann", "bo"] {
        invite_to(&sidecar, "acme", name);
    }
    eventually("both are put off", || status_of(&sidecar, "acme")["deferred"] == 2);
    server.answer(&json!({}));
    invite_to(&sidecar, "globex", "cy");
    eventually("the other goes out", || status_of(&sidecar, "globex")["handed_over"] == 1);
    let [acme, globex] = ["acme", "globex"].map(|account| status_of(&sidecar, account));
    assert_eq!((&globex["state"], &globex["banner"]), (&"ok".into(), &Json::Null));
    assert!(globex["last_success"].is_string(), "{globex}");
    assert_eq!((&acme["state"], &acme["last_success"]), (&"slow".into(), &Json::Null), "{acme}");
    assert!(acme["banner"].as_str().unwrap().contains("2 messages wait"), "{acme}");
    let ill = doctor(&sidecar);
    assert!(ill.contains("warn: `acme`: 2 messages wait"), "{ill}");
    assert!(!ill.contains("ok: mail is"), "{ill}");
    eventually("the metrics say so", || metric(&sidecar, "kwic_mail_accounts_delayed") == 1);
    assert_eq!(metric(&sidecar, "kwic_mail_accounts_stuck"), 0);
    assert_eq!(sidecar.tcp().get("/readyz").json()["mail"], "slow");
    // Of two accounts whose messages wait, the one that waits longest is named, and how many more.
    server.answer(&json!({"RCPT": "451 4.2.1 try again"}));
    sidecar.account("aaa");
    invite_to(&sidecar, "aaa", "dee");
    eventually("it is put off", || status_of(&sidecar, "aaa")["deferred"] == 1);
    let ill = doctor(&sidecar);
    assert!(ill.contains("warn: `acme`: 2 messages wait"), "{ill}");
    assert!(ill.contains("messages of 1 more account wait, too: `aaa`"), "{ill}");
}
