//! Every command has a timeout: for a sidecar that is stopped, sends half a response, or is not
//! one, and for a pipe that nobody writes to.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::fake_sidecar::{FakeSidecar, Ran, command, hear, page};
use crate::support::sidecar::{Sidecar, shipped_policies};

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

/// Commands that run at once: each waits a second for nothing.
const AT_ONCE: usize = 4;

/// Runs several, some at once; what each line did.
fn run_all<'a>(folder: &TempDir, lines: &[&'a str]) -> Vec<(&'a str, Ran)> {
    let run_line = |line: &'a str| (line, run(folder, &line.split(' ').collect::<Vec<_>>()));
    let some_at_once = |lines: &[&'a str]| {
        thread::scope(|scope| {
            let begun: Vec<_> = lines.iter().map(|line| scope.spawn(|| run_line(line))).collect();
            begun.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
        })
    };
    lines.chunks(AT_ONCE).flat_map(some_at_once).collect()
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
    for (line, ran) in run_all(&folder, &lines) {
        assert_eq!(ran.code, 1, "{line}: {}", ran.err);
        for part in ["no answer from the sidecar on", "admin.sock` within 1 s", "--timeout"] {
            assert!(ran.err.contains(part), "{line}: {}", ran.err);
        }
    }
    let told = run(&folder, &["member", "suspend", "ann"]).err;
    assert!(told.contains("(`GET /api/v1/members/ann`, waiting for the answer)"), "{told}");
    let told = run(&folder, &["policy", "reload"]).err;
    assert!(told.contains("may still be carried out"), "{told}");
    let doctor = run(&folder, &["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.err);
    assert!(doctor.out.contains("fail: no answer from the sidecar on"), "{}", doctor.out);
}

#[test]
fn half_an_answer_is_none() {
    let half_a_body: fn(UnixStream) = |stream| {
        begins(
            stream,
            "HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 100\r\n\r\n{\"items\":[",
        );
    };
    let half_a_head: fn(UnixStream) = |stream| begins(stream, "HTTP/1.1 200 OK\r\ncontent-le");
    let half_a_problem: fn(UnixStream) = |stream| {
        begins(
            stream,
            "HTTP/1.1 409 Conflict\r\nx-request-id: 1\r\ncontent-length: 100\r\n\r\n{\"code\":",
        );
    };
    let half_a_stream: fn(UnixStream) = |stream| {
        begins(
            stream,
            "HTTP/1.1 200 OK\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nid,\r\n",
        );
    };
    for with in [half_a_body, half_a_head, half_a_problem, half_a_stream] {
        let folder = listening(with);
        let lines = ["member list", "member export", "doctor", "mail status"];
        for (line, ran) in run_all(&folder, &lines) {
            let said = format!("{}{}", ran.out, ran.err);
            assert_eq!(ran.code, 1, "{line}: {said}");
            assert!(said.contains("no answer from the sidecar on"), "{line}: {said}");
        }
    }
}

/// Answers with a head, then sends a piece again and again, for as long as somebody reads.
fn repeats(mut stream: UnixStream, head: &str, piece: &[u8], every: Duration) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    if hear(&mut reader).is_none() || stream.write_all(head.as_bytes()).is_err() {
        return;
    }
    while stream.write_all(piece).is_ok() {
        thread::sleep(every);
    }
}

#[test]
fn an_answer_that_drips_is_none() {
    let whole: fn(UnixStream) = |stream| {
        let head = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 100000\r\n\r\n";
        repeats(stream, head, b" ", Duration::from_millis(50));
    };
    let pieces: fn(UnixStream) = |stream| {
        let head = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n";
        repeats(stream, head, b"1\r\nx\r\n", Duration::from_millis(50));
    };
    for with in [whole, pieces] {
        let folder = listening(with);
        for (line, ran) in run_all(&folder, &["member list", "member export", "doctor"]) {
            let said = format!("{}{}", ran.out, ran.err);
            assert_eq!(ran.code, 1, "{line}: {said}");
            assert!(said.contains("waiting for the rest"), "{line}: {said}");
            assert!(said.contains("1 s"), "{line}: {said}");
        }
    }
}

#[test]
fn an_answer_without_an_end_is_none() {
    let folder = listening(|stream| {
        let head = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut piece = b"100000\r\n".to_vec();
        piece.resize(piece.len() + (1 << 20), b' ');
        piece.extend(b"\r\n");
        repeats(stream, head, &piece, Duration::ZERO);
    });
    let mut list = command(&["--data"]);
    let ran: Ran = list.arg(folder.path()).args(["member", "list"]).output().unwrap().into();
    let told = ran.complains(1);
    assert!(told.contains("is not kwic-team: its answer to"), "{told}");
    assert!(told.contains("has more than 256 MiB"), "{told}");
}

#[test]
fn what_is_not_kwic_team_is_said_to_be_something_else() {
    type Other = (fn(UnixStream), &'static str);
    let others: [Other; 4] = [
        (|stream| begins(stream, "SSH-2.0-OpenSSH_9.9\r\n"), "its answer is not HTTP"),
        (
            |stream| begins(stream, "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nno\n"),
            "its answer `404 Not Found` has no request id",
        ),
        (
            |stream| {
                let page = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 6\r\n\r\n<html>";
                begins(stream, page);
            },
            "its answer is not JSON",
        ),
        (
            |stream| {
                let page = "HTTP/1.1 502 Bad Gateway\r\nx-request-id: 1\r\ncontent-length: 6\r\n\r\n<html>";
                begins(stream, page);
            },
            "its answer `502 Bad Gateway` does not say what is wrong",
        ),
    ];
    for (other, why) in others {
        let folder = listening(other);
        let told = run(&folder, &["member", "list"]).complains(1);
        let begin = "admin.sock` is not kwic-team: ";
        assert!(told.contains(begin) && told.contains(why), "{told}");
        let doctor = run(&folder, &["doctor"]).ends(1);
        assert!(doctor.contains(begin) && doctor.contains(why), "{doctor}");
    }
    let hangs_up = listening(drop);
    let told = run(&hangs_up, &["member", "list"]).complains(1);
    assert!(told.contains("ended without an answer"), "{told}");
    assert!(!told.contains("the sidecar hung up"), "{told}");
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
    while full.recv_timeout(Duration::from_secs(2)).is_ok() {}
    let told = run(&folder, &["doctor"]);
    assert!(told.out.contains("waiting for a connection"), "{}{}", told.out, told.err);
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
        let head = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let line = format!("{}\n", "x".repeat(0xfff));
        for piece in [line.as_str(), &line, &line, ""] {
            thread::sleep(Duration::from_secs(2));
            let _ = write!(stream, "{:x}\r\n{piece}\r\n", piece.len());
        }
    });
    let mut long = command(&["--timeout", "5", "--data"]);
    let ran: Ran = long.arg(folder.path()).args(["member", "export"]).output().unwrap().into();
    assert_eq!(ran.ends(0).len(), 3 << 12);
}

#[test]
fn a_pipe_that_is_not_written_to_its_end_keeps_no_command_waiting() {
    let folder = listening(silence);
    let policies = shipped_policies();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (silent, dripping) = (at("silent.csv"), at("dripping.csv"));
    for pipe in [&silent, &dripping] {
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    let mut drip = fs::OpenOptions::new().read(true).write(true).open(&dripping).unwrap();
    thread::spawn(move || {
        while drip.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let roles = FakeSidecar::answering(vec![page(&[], None); 2]);
    let socket = roles.folder.path().display().to_string();
    for pipe in [&silent, &dripping] {
        let lines = [
            format!("member import {pipe}"),
            format!("--data {socket} invite send --file {pipe}"),
            format!(
                "decide --policies {} --entities {pipe} --subject user:a --action b --resource c:d",
                policies.display()
            ),
            format!("--config {pipe} serve --check"),
        ];
        for line in lines {
            let arguments: Vec<_> = line.split(' ').collect();
            let mut limited = command(&["--timeout", "1"]);
            if !line.contains("--data") {
                limited.arg("--data").arg(folder.path());
            }
            let told = Ran::from(limited.args(&arguments).output().unwrap()).complains(1);
            assert!(told.contains("was not read to its end within 1 s"), "{line}: {told}");
        }
    }
}

#[test]
fn a_pipe_that_is_written_to_its_end_is_a_file_like_any_other() {
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
