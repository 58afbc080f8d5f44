//! No command waits without an end: for a sidecar that is stopped, says half of an answer, or is none,
//! and for a pipe that nobody writes to.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

use super::made_up::{Ran, command, hear};
use super::support::Sidecar;

/// A socket whose other end does this with each connection.
fn listening(with: fn(UnixStream)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("admin.sock")).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || with(stream));
        }
    });
    folder
}

/// Says nothing, for as long as somebody waits.
fn silence(mut stream: UnixStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Answers with some bytes, and says nothing more.
fn begins(mut stream: UnixStream, answer: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    if hear(&mut reader).is_some() {
        let _ = stream.write_all(answer.as_bytes());
        silence(stream);
    }
}

fn run(folder: &TempDir, arguments: &[&str]) -> Ran {
    let mut command = command(&["--timeout", "1", "--data"]);
    command.arg(folder.path()).args(arguments).output().unwrap().into()
}

#[test]
fn every_command_ends_beside_a_sidecar_that_says_nothing() {
    let folder = listening(silence);
    let csv = folder.path().join("team.csv");
    fs::write(&csv, "first_name,last_name,email,role\nAnn,Lee,ann@example.org,writer\n").unwrap();
    let csv = csv.to_str().unwrap();
    let backup = folder.path().join("backup");
    let lines = [
        "account list",
        "account create --slug acme --name Acme",
        "account edit --name Acme",
        "member list",
        "member show ann",
        "member suspend ann",
        "member remove ann --yes",
        "member export --output -",
        "member review",
        &format!("member import {csv}"),
        "token list",
        "token revoke t1 --yes",
        "invite list",
        "invite send --email a@example.org --first-name A --last-name B --role writer",
        &format!("invite send --file {csv}"),
        "role list",
        "role compare",
        "policy reload",
        "decide --subject user:ann --action a --resource doc:1",
        "audit list",
        "audit verify",
        "mail status",
        "mail test a@example.org",
        "mail resume",
        "recover --account acme a@example.org",
        &format!("backup {}", backup.display()),
    ];
    for line in lines {
        let ran = run(&folder, &line.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, 1, "{line}: {}", ran.err);
        for part in ["no answer from the sidecar on", "admin.sock` within 1 s", "--timeout"] {
            assert!(ran.err.contains(part), "{line}: {}", ran.err);
        }
    }
    let told = run(&folder, &["member", "suspend", "ann"]).err;
    assert!(told.contains("while waiting for the answer to `GET /api/v1/members/ann`"), "{told}");
    let told = run(&folder, &["policy", "reload"]).err;
    assert!(told.contains("may still be done"), "{told}");
    let doctor = run(&folder, &["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.err);
    assert!(doctor.out.contains("fail: no answer from the sidecar on"), "{}", doctor.out);
}

#[test]
fn half_an_answer_is_none() {
    let half_a_body: fn(UnixStream) = |stream| {
        begins(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"items\":[");
    };
    let half_a_head: fn(UnixStream) = |stream| begins(stream, "HTTP/1.1 200 OK\r\ncontent-le");
    let half_a_problem: fn(UnixStream) = |stream| {
        begins(stream, "HTTP/1.1 409 Conflict\r\ncontent-length: 100\r\n\r\n{\"code\":");
    };
    let half_a_stream: fn(UnixStream) = |stream| {
        begins(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nid,\r\n");
    };
    for with in [half_a_body, half_a_head, half_a_problem, half_a_stream] {
        let folder = listening(with);
        for line in ["member list", "member export", "doctor", "mail status"] {
            let ran = run(&folder, &line.split(' ').collect::<Vec<_>>());
            let said = format!("{}{}", ran.out, ran.err);
            assert_eq!(ran.code, 1, "{line}: {said}");
            assert!(said.contains("no answer from the sidecar on"), "{line}: {said}");
        }
    }
}

#[test]
fn what_is_no_sidecar_is_said_to_be_none() {
    let folder = listening(|stream| begins(stream, "SSH-2.0-OpenSSH_9.9\r\n"));
    let told = run(&folder, &["member", "list"]).complains(1);
    assert!(told.contains("is no sidecar"), "{told}");
}

#[test]
fn a_sidecar_that_takes_no_connections_is_waited_for_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("admin.sock");
    let _never_accepts = UnixListener::bind(&place).unwrap();
    // Until its queue is full: one more would wait without an end.
    let (give, full) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok(stream) = UnixStream::connect(&place) {
            held.push(stream);
            if give.send(()).is_err() {
                return;
            }
        }
    });
    while full.recv_timeout(std::time::Duration::from_secs(2)).is_ok() {}
    let told = run(&folder, &["doctor"]);
    assert!(told.out.contains("while waiting for a connection"), "{}{}", told.out, told.err);
}

#[test]
fn a_stopped_sidecar_is_noticed_and_one_that_goes_on_answers() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.signal("STOP");
    let doctor: Ran = sidecar.run(&["doctor", "--timeout", "1"]).into();
    sidecar.signal("CONT");
    assert_eq!(doctor.code, 1);
    assert!(doctor.out.contains("is it stopped or overloaded?"), "{}", doctor.out);
    sidecar.ok(&["account", "list"]);
}

#[test]
fn a_long_answer_may_take_its_time_as_long_as_it_goes_on() {
    // Three pieces, 2 s apart, with a limit of 5 s for each.
    let folder = listening(|stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        hear(&mut reader);
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        for piece in ["3\r\nid,\r\n", "2\r\nx\n\r\n", "2\r\ny\n\r\n", "0\r\n\r\n"] {
            thread::sleep(std::time::Duration::from_secs(2));
            let _ = stream.write_all(piece.as_bytes());
        }
    });
    let mut long = command(&["--timeout", "5", "--data"]);
    let ran: Ran = long.arg(folder.path()).args(["member", "export"]).output().unwrap().into();
    assert_eq!(ran.ends(0), "id,x\ny\n");
}

#[test]
fn a_pipe_that_nobody_writes_to_keeps_no_command_waiting() {
    let folder = listening(silence);
    let pipe = folder.path().join("team.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let told = run(&folder, &["member", "import", pipe.to_str().unwrap()]).complains(1);
    assert!(told.contains("nothing came from"), "{told}");
    // One that is written to is a file like any other.
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    let mut command = command(&["--data"]);
    command.arg(sidecar.path("data")).args(["member", "import", "--account", "acme"]);
    let mut child = command
        .args(["--format", "csv", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = "first_name,last_name,email,role\nAnn,Lee,ann@example.org,operator\n";
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(said.starts_with("1 member"), "{said}");
}

#[test]
fn a_limit_is_a_number_of_seconds() {
    for limit in ["0", "-1", "x", "1.5", "99999999"] {
        let ran: Ran = command(&["--timeout", limit, "role", "list"]).output().unwrap().into();
        ran.complains(64);
    }
}
