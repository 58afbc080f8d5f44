//! A PostgreSQL of the tests: a cluster of its own in a temporary folder, on loopback, which ends
//! with its handle.
//!
//! It does not wait for the disk (`fsync` is off): a process that is killed loses nothing by that,
//! and no test cuts the power.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use tempfile::TempDir;

use super::sidecar::{eventually, is_there};

/// The superuser of the cluster, and the password that is asked over TCP.
pub const USER: &str = "team";
pub const PASSWORD: &str = "of-the-tests";

pub struct PostgresServer {
    folder: TempDir,
    pub port: u16,
    options: Vec<String>,
    /// `None` while it is stopped.
    process: Option<Child>,
}

impl PostgresServer {
    /// Starts one with settings (`name=value`); `None` where it is not installed.
    pub fn start(options: &[&str]) -> Option<Self> {
        if !is_there("postgresql", Command::new("test").arg("-x").arg(programs().join("postgres")))
        {
            return None;
        }
        let folder = folder();
        fs::write(folder.path().join("password"), PASSWORD).unwrap();
        let data = folder.path().join("data");
        let init = command("initdb", folder.path())
            .arg("-D")
            .arg(&data)
            .args(["--no-sync", "--locale=C", "--encoding=UTF8", "--username", USER])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile=password"])
            .output()
            .unwrap();
        assert!(init.status.success(), "{init:?}");
        Some(Self::of_folder(folder, options))
    }

    /// One for all tests that leave it as it is and have a schema each.
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start(&[])?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// A standby that follows this one.
    pub fn standby(&self) -> Self {
        let folder = folder();
        let copied = command("pg_basebackup", folder.path())
            .arg("-D")
            .arg(folder.path().join("data"))
            .args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf"])
            .args(["--username", USER, "--port", &self.port.to_string(), "--host"])
            .arg(self.folder.path())
            .output()
            .unwrap();
        assert!(copied.status.success(), "{copied:?}");
        Self::of_folder(folder, &[])
    }

    fn of_folder(folder: TempDir, options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, port, options, process: None };
        server.run();
        server
    }

    /// Starts it where it is stopped.
    pub fn run(&mut self) {
        // What a killed one left may still be ending.
        eventually("PostgreSQL starts", || {
            let mut log = fs::File::options();
            let log = log.create(true).append(true).open(self.path("log")).unwrap();
            let mut postgres = command("postgres", self.folder.path());
            postgres.arg("-D").arg(self.path("data")).arg("-k").arg(self.folder.path());
            postgres.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
            postgres.args(["-c", "fsync=off", "-c", "max_connections=60"]);
            // A session whose client says nothing outlives the server, and keeps it from a new start.
            postgres.args(["-c", "authentication_timeout=10s"]);
            for option in &self.options {
                postgres.args(["-c", option]);
            }
            let mut process = postgres.stderr(log).stdout(Stdio::null()).spawn().unwrap();
            for _ in 0..500 {
                if process.try_wait().unwrap().is_some() {
                    return false;
                }
                if self.is_ready() {
                    self.process = Some(process);
                    return true;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            process.kill().unwrap();
            process.wait().unwrap();
            false
        });
    }

    fn is_ready(&self) -> bool {
        let mut asks = command("pg_isready", self.folder.path());
        asks.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        asks.args(["-d", "postgres"]).output().unwrap().status.success()
    }

    /// Kills the first process of the server; the others end when they notice.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Ends all its processes at once, as `pg_ctl stop -m immediate` does.
    pub fn stop_at_once(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let asked = Command::new("kill").args(["-QUIT", &process.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = process.kill();
        }
        let _ = process.wait();
    }

    /// Keeps a copy of its data, while it is stopped.
    pub fn keep_data(&self) {
        self.copy("data", "kept");
    }

    /// Has it the data of the copy again, while it is stopped.
    pub fn put_data_back(&self) {
        fs::remove_dir_all(self.path("data")).unwrap();
        self.copy("kept", "data");
    }

    fn copy(&self, from: &str, to: &str) {
        let mut copies = Command::new("cp");
        let copied = copies.arg("-a").arg(self.path(from)).arg(self.path(to)).status();
        assert!(copied.unwrap().success());
    }

    /// Makes a standby a server that takes changes.
    pub fn promote(&self) {
        self.sql("SELECT pg_promote()");
    }

    /// A file of its folder, which it may read.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    pub fn url(&self) -> String {
        self.url_by(&format!("127.0.0.1:{}", self.port))
    }

    /// The address by way of hosts.
    pub fn url_by(&self, hosts: &str) -> String {
        format!("postgresql://{USER}:{PASSWORD}@{hosts}/postgres")
    }

    /// Runs statements one by one; what they answer, without decoration.
    pub fn sql(&self, text: &str) -> String {
        let output = self.psql(text).output().unwrap();
        assert!(output.status.success(), "{text}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A client that runs statements, to be started by the caller.
    pub fn psql(&self, text: &str) -> Command {
        let mut psql = command("psql", self.folder.path());
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", "postgres", "-h"]);
        psql.arg(self.folder.path()).args(["-p", &self.port.to_string(), "-c", text]);
        psql
    }

    /// Has it read its settings anew.
    pub fn set(&self, setting: &str) {
        self.sql(&format!("ALTER SYSTEM SET {setting}"));
        self.sql("SELECT pg_reload_conf()");
    }

    /// Gives a file to it that nobody else may read.
    pub fn give(&self, path: &Path) {
        let (user, group) = owner().unzip();
        chown(path, user, group).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop_at_once();
    }
}

/// The folder of its programs, the newest version's: they are not on the path.
fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let list = "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1";
        let found = Command::new("sh").args(["-c", list]).output().unwrap();
        PathBuf::from(String::from_utf8(found.stdout).unwrap().trim())
    })
}

/// A program of it, run as a user that it takes: it refuses the superuser.
fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(programs().join(program));
    command.current_dir(folder).stdin(Stdio::null());
    if let Some((user, group)) = owner() {
        command.uid(user).gid(group);
    }
    command
}

/// The user and group to run it as, where the tests run as the superuser.
fn owner() -> Option<(u32, u32)> {
    let asked = Command::new("id").arg("-u").output().unwrap();
    if asked.stdout.trim_ascii() != b"0" {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = |name: &str| users.lines().find(|line| line.starts_with(&format!("{name}:")));
    let fields: Vec<&str> = line("postgres").or(line("nobody")).unwrap().split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    if let Some((user, group)) = owner() {
        chown(folder.path(), Some(user), Some(group)).unwrap();
    }
    folder
}
