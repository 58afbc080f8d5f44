//! A scripted sidecar: answers `admin.sock` from a script, so that each text, table and exit code
//! of the command line can be tested without a store.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::support::sidecar::binary;

/// What a command did.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Must end with this code; what was printed on standard output.
    #[track_caller]
    pub fn ends(self, code: i32) -> String {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self.out
    }

    /// Must end with this code; what was printed on standard error.
    #[track_caller]
    pub fn complains(self, code: i32) -> String {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        assert_eq!(self.out, "");
        self.err
    }
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str]) -> Ran {
    command(arguments).output().unwrap().into()
}

/// A request as the made-up sidecar heard it.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    pub line: String,
    pub head: String,
    pub body: String,
}

/// One scripted answer: status, media type, body.
pub type Scripted = (u16, &'static str, String);

pub fn ok(body: &Json) -> Scripted {
    (200, "application/json", body.to_string())
}

pub fn problem(status: u16, body: &Json) -> Scripted {
    (status, "application/problem+json", body.to_string())
}

pub fn unknown_member() -> Scripted {
    let body = json!({"status": 404, "code": "unknown_member", "detail": "there is no such member: `kwic-team member list` shows them"});
    problem(404, &body)
}

/// A socket that answers from a script and remembers what it heard.
pub struct FakeSidecar {
    pub folder: TempDir,
    pub heard: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl FakeSidecar {
    pub fn answering(script: impl IntoIterator<Item = Scripted>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("admin.sock")).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (mut script, kept): (VecDeque<_>, _) = (script.into_iter().collect(), heard.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(request) = hear(&mut stream) {
                    kept.lock().unwrap().push(request);
                    let (status, media, body) = script.pop_front().unwrap_or_else(|| {
                        problem(500, &json!({"code": "internal", "detail": "the script is over"}))
                    });
                    answer(stream.get_mut(), status, media, &body);
                }
            }
        });
        Self { folder, heard }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&[]);
        command.arg("--data").arg(self.folder.path()).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    pub fn heard(&self) -> Vec<ReceivedRequest> {
        self.heard.lock().unwrap().clone()
    }

    /// The request lines, without the version.
    pub fn lines(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.line).collect()
    }
}

pub fn hear(stream: &mut BufReader<UnixStream>) -> Option<ReceivedRequest> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let body = match (field("content-length"), field("transfer-encoding")) {
        (Some(length), _) => {
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).ok()?;
            String::from_utf8(body).unwrap()
        }
        (None, Some(_)) => chunks(stream)?,
        (None, None) => String::new(),
    };
    let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    Some(ReceivedRequest { line, head, body })
}

/// A body in chunks; `None` where it breaks off.
pub fn chunks(stream: &mut BufReader<UnixStream>) -> Option<String> {
    let mut body = String::new();
    loop {
        let mut size = String::new();
        stream.read_line(&mut size).ok().filter(|read| *read > 0)?;
        let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
        stream.read_exact(&mut chunk).ok()?;
        if chunk.len() == 2 {
            return Some(body);
        }
        body.push_str(std::str::from_utf8(&chunk[..chunk.len() - 2]).unwrap());
    }
}

pub fn answer(stream: &mut UnixStream, status: u16, media: &str, body: &str) {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Status\r\nx-request-id: 1\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\r\n"
    );
    // A command that has gone does not want it.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

pub fn member(id: &str, email: &str) -> Json {
    json!({
        "id": id, "account": "acme", "email": email, "first_name": "Ann", "last_name": "Lee",
        "role": "writer", "status": "active", "two_step": false,
        "joined": "2026-01-02T03:04:05Z", "version": 7,
    })
}

pub fn page(items: &[Json], next: Option<&str>) -> Scripted {
    ok(&json!({"items": items, "next": next}))
}
