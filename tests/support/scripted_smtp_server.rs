//! A real, scriptable mail server for tests: aiosmtpd.
//!
//! On loopback, in a process that is stopped with its handle.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::support::sidecar::{PATIENCE, is_installed, is_there};

/// A running mail server.
pub struct SmtpServer {
    child: Child,
    script: ChildStdin,
    told: Receiver<Json>,
    mails: Receiver<Json>,
    pub port: u16,
}

impl SmtpServer {
    /// Starts one with the options that `smtp_server.py` takes; `None` where it is not installed.
    pub fn start(options: &Json) -> Option<Self> {
        if !is_there("aiosmtpd", Command::new("python3").args(["-c", "import aiosmtpd"])) {
            return None;
        }
        let mut child = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/smtp_server.py"))
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, told) = channel();
        let (deliver, mails) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line: Json = serde_json::from_str(&line).unwrap();
                let sink = if line["mail"].is_null() { &tell } else { &deliver };
                if sink.send(line).is_err() {
                    return;
                }
            }
        });
        let port = told.recv_timeout(PATIENCE).expect("the mail server names its port");
        let port = u16::try_from(port["port"].as_u64().unwrap()).unwrap();
        Some(Self { script: child.stdin.take().unwrap(), child, told, mails, port })
    }

    /// Replaces what is answered to each command.
    pub fn answer(&mut self, script: &Json) {
        writeln!(self.script, "{script}").unwrap();
        self.told.recv_timeout(PATIENCE).expect("the mail server takes the script");
    }

    /// The next mail that arrived whole, with its envelope.
    pub fn mail(&self) -> Json {
        self.mails.recv_timeout(PATIENCE).expect("a mail arrives")
    }

    /// Whether a mail arrived that nobody has looked at.
    pub fn has_mail(&self) -> bool {
        self.mails.try_recv().is_ok()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority that nobody knows, and a certificate of it for this machine.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes them; `None` where openssl is not installed.
    pub fn make() -> Option<Self> {
        if !is_installed("openssl") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let name = "subjectAltName=IP:127.0.0.1,DNS:localhost";
        std::fs::write(folder.path().join("name"), name).unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for line in [
            &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"),
            &format!("req {key} -keyout key.pem -out request -subj /CN=localhost"),
            "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile name -out certificate.pem",
        ] {
            let output = Command::new("openssl")
                .args(line.split(' '))
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        Some(Self { folder })
    }

    /// The authority's certificate, to be trusted.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The options of a mail server with this certificate: `starttls` or `implicit`.
    pub fn options(&self, tls: &str) -> Json {
        let path = |name| self.folder.path().join(name).display().to_string();
        json!({"tls": tls, "certificate": path("certificate.pem"), "key": path("key.pem")})
    }
}
