//! The fixture for end-to-end tests: starts the real binary, sends requests, runs commands.
//!
//! Everything is on loopback and in a temporary folder; only processes that it started are stopped.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// How long anything that is waited for may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long a command may take: an import of a million members is the longest.
const COMMAND_MAX: Duration = Duration::from_secs(900);

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_kwic-team")
}

/// The shipped policy folder.
pub fn shipped_policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// The shipped policies, and a role that sees everything about the team and changes nothing.
pub fn with_auditor() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&shipped_policies(), folder.path());
    let role = r#"@id("auditor")
@role("auditor")
@title("Auditor")
@summary("Sees the team and its settings, and changes nothing.")
@best_for("Checking who has access.")
permit (
  principal in KWIC::Role::"auditor",
  action in [KWIC::Action::"team:view", KWIC::Action::"settings:view"],
  resource
);
"#;
    fs::write(folder.path().join("roles/auditor.cedar"), role).unwrap();
    let guard = folder.path().join("guards/administrators_manage.cedar");
    let text = fs::read_to_string(&guard).unwrap();
    let is_administrator = "principal in KWIC::Role::\"administrator\" ||";
    let or_auditor = format!("{is_administrator}\n  principal in KWIC::Role::\"auditor\" ||");
    assert!(text.contains(is_administrator), "{text}");
    fs::write(guard, text.replace(is_administrator, &or_auditor)).unwrap();
    folder
}

/// Copies a folder and the folders in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A bounded wait for something that becomes true.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a program is there. A test that needs one that is not says so and passes, except where
/// everything must be there.
pub fn is_installed(program: &str) -> bool {
    is_there(program, Command::new("which").arg(program))
}

/// As [`is_installed`], for what a command finds.
pub fn is_there(what: &str, finds: &mut Command) -> bool {
    let found = finds.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    assert!(found || std::env::var_os("CI").is_none(), "`{what}` is needed and missing");
    if !found {
        eprintln!("skipped: needs {what}");
    }
    found
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The one string that the body of an error of the decision listener is.
    #[track_caller]
    pub fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not one string: {self:?}"))
    }
}

/// A warm connection that speaks HTTP/1.1.
pub struct Connection<S> {
    stream: BufReader<S>,
}

impl<S: Read + Write> Connection<S> {
    pub fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Sends one request with further header lines, each ended by `\r\n`.
    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.try_send(method, path, headers, body).unwrap()
    }

    /// The same to a server that may end meanwhile, or say nothing.
    pub fn try_send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> io::Result<Answer> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.try_read(method == "HEAD")
    }

    pub fn read(&mut self, headless: bool) -> Answer {
        self.try_read(headless).unwrap()
    }

    fn try_read(&mut self, headless: bool) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::Error::other(format!("cut off after {head:?}")));
            }
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let body = if headless || status == 204 {
            Vec::new()
        } else if let Some(length) = answer.header("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut body)?;
            body
        } else {
            self.read_chunks()?
        };
        answer.body = String::from_utf8(body).unwrap();
        Ok(answer)
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    pub fn post(&mut self, path: &str, body: &Json) -> Answer {
        self.send("POST", path, "content-type: application/json\r\n", &body.to_string())
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    /// Asks one question; true is allow.
    pub fn allows(&mut self, question: &Json) -> bool {
        let answer = self.post("/access/v1/evaluation", question);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["decision"].as_bool().unwrap()
    }
}

/// A question about a resource in an account.
pub fn question(member: &str, action: &str, resource: (&str, &str), account: &str) -> Json {
    json!({
        "subject": {"type": "user", "id": member},
        "action": {"name": action},
        "resource": {"type": resource.0, "id": resource.1, "properties": {"account": account}},
    })
}

/// How to start a sidecar.
#[derive(Default)]
pub struct Start {
    /// Lines of configuration beside those that the fixture writes; sections not named twice.
    pub config: String,
    /// Lines of the section `console`.
    pub console: String,
    /// Whether the folder is watched.
    pub unwatched: bool,
    /// The environment variables.
    pub environment: Vec<(&'static str, PathBuf)>,
    /// The policy folder to copy; the shipped one by default.
    pub policies: Option<PathBuf>,
    /// Further arguments of `serve`.
    pub arguments: &'static [&'static str],
    /// What `ulimit` is told beforehand, such as `-n 200` for few open files.
    pub ulimit: Option<&'static str>,
}

/// A running sidecar with a data folder and a policy folder of its own.
pub struct Sidecar {
    child: Child,
    pub home: TempDir,
    pub address: String,
    /// Where the management API is spoken over TCP.
    pub console: String,
    environment: Vec<(&'static str, PathBuf)>,
    arguments: &'static [&'static str],
    ulimit: Option<&'static str>,
    /// What it printed before it was ready.
    pub said: Vec<String>,
    pub log: PathBuf,
}

impl Sidecar {
    /// Starts one with the shipped policies.
    pub fn start() -> Self {
        Self::start_with(&Start::default())
    }

    /// Starts one and waits until it is ready.
    pub fn start_with(start: &Start) -> Self {
        let home = tempfile::tempdir().unwrap();
        let shipped = shipped_policies();
        copy_folder(start.policies.as_deref().unwrap_or(&shipped), &home.path().join("policies"));
        let config = format!(
            "[decision]\nlisten = \"127.0.0.1:0\"\nsocket = \"{0}/decide.sock\"\n\n[console]\nlisten = \"127.0.0.1:0\"\n{3}\n\n[policies]\ndir = \"{0}/policies\"\nwatch = {1}\n\n{2}\n",
            home.path().display(),
            !start.unwatched,
            start.config,
            start.console
        );
        fs::write(home.path().join("kwic-team.toml"), config).unwrap();
        let Launched { child, address, console, said, log } =
            launch(home.path(), &start.environment, start.arguments, start.ulimit);
        let environment = start.environment.clone();
        let (arguments, ulimit) = (start.arguments, start.ulimit);
        Self { child, home, address, console, environment, arguments, ulimit, said, log }
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.home.path().join(inside)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn tcp(&self) -> Connection<TcpStream> {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection::new(stream)
    }

    pub fn unix(&self) -> Connection<UnixStream> {
        self.unix_at("decide.sock")
    }

    pub fn admin(&self) -> Connection<UnixStream> {
        self.unix_at("data/admin.sock")
    }

    fn unix_at(&self, inside: &str) -> Connection<UnixStream> {
        let stream = UnixStream::connect(self.path(inside)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection::new(stream)
    }

    /// Runs a command of the same binary against this sidecar.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.arg("--data").arg(self.path("data")).args(arguments).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let (pid, (ended, ends)) = (child.id(), mpsc::channel::<()>());
        // One that should have been refused may run for ever.
        std::thread::spawn(move || {
            if ends.recv_timeout(COMMAND_MAX) == Err(RecvTimeoutError::Timeout) {
                signal(pid, "KILL");
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        output
    }

    /// Runs a command that must succeed; answers what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes an account.
    pub fn account(&self, slug: &str) {
        self.ok(&["account", "create", "--slug", slug, "--name", slug]);
    }

    /// Makes members: `id,role` each, with an address of their own.
    pub fn members(&self, account: &str, members: &[(&str, &str)]) {
        let mut file = String::from("id,first_name,last_name,email,role\n");
        for (id, role) in members {
            file.push_str(&format!("{id},First,Last,{id}@example.org,{role}\n"));
        }
        let path = self.path("import.csv");
        fs::write(&path, file).unwrap();
        self.ok(&["member", "import", "--account", account, path.to_str().unwrap()]);
    }

    /// Kills it, as a power cut would, and starts it again on the same folders.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    /// Starts it again after it has ended.
    pub fn restart(&mut self) {
        let Launched { child, address, console, said, log } =
            launch(self.home.path(), &self.environment, self.arguments, self.ulimit);
        self.child = child;
        self.address = address;
        self.console = console;
        self.said = said;
        self.log = log;
    }

    /// The same after `ulimit` was told something.
    pub fn restart_within(&mut self, ulimit: &'static str) {
        let usual = self.ulimit.replace(ulimit);
        self.restart();
        self.ulimit = usual;
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the end that a signal asked for; answers the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let mut code = None;
        eventually("the sidecar ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code()
    }

    /// Everything that it leaves on its disk but the keys, and its log, are without what must not
    /// stand there.
    #[track_caller]
    pub fn holds_no_secret(&self, secrets: &[impl AsRef<[u8]>]) {
        let mut files = vec![self.log.clone()];
        let mut folders = vec![self.path("data")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_file() {
                    files.push(entry.path());
                } else if kind.is_dir() && entry.file_name() != "keys" {
                    folders.push(entry.path());
                }
            }
        }
        assert!(files.iter().any(|file| file.ends_with("kwic.redb")), "{files:?}");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            for secret in secrets.iter().map(AsRef::as_ref) {
                let found = bytes.windows(secret.len()).any(|window| window == secret);
                let shown = String::from_utf8_lossy(secret);
                assert!(!found, "`{}` holds `{shown}`", file.display());
            }
        }
    }

    /// The log so far. A thread of its own writes it: what was said before this call is in it.
    pub fn log_text(&self) -> String {
        eventually("the log is written", || !is_writing_its_log(self.pid()));
        fs::read_to_string(&self.log).unwrap()
    }
}

/// Sends a signal by name to a process that the test started.
pub fn signal(pid: u32, name: &str) {
    // The shell's own: a bare machine has no program of that name.
    let line = format!("kill -s {name} {pid}");
    let status = Command::new("sh").args(["-c", &line]).status().unwrap();
    assert!(status.success());
}

/// Whether the thread that writes the log of a process has still something to write: it sleeps
/// where it has not (`proc_pid_stat(5)`). A process that has ended writes nothing.
fn is_writing_its_log(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let stats = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("stat")));
    let mut of_log = stats.flatten().filter(|stat| stat.contains("(log) "));
    of_log.any(|stat| !stat.contains("(log) S "))
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sidecar that is ready.
struct Launched {
    child: Child,
    address: String,
    console: String,
    said: Vec<String>,
    log: PathBuf,
}

/// Starts the binary in a folder; answers once it says that it is ready.
fn launch(
    home: &Path,
    environment: &[(&str, PathBuf)],
    arguments: &[&str],
    ulimit: Option<&'static str>,
) -> Launched {
    let log = home.join("log");
    let sink = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let mut command = bounded(home, ulimit);
    command.envs(environment.iter().cloned()).args(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(sink).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut address, mut console, mut said) = (String::new(), String::new(), Vec::new());
    for line in &mut lines {
        let line = line.unwrap();
        if let Some(at) = line.strip_prefix("decisions on http://") {
            address = at.trim().to_owned();
        }
        if let Some(at) = line.strip_prefix("management on http://") {
            console = at.trim().to_owned();
        }
        if line == "ready" {
            // Read on, so that a line printed later does not break the pipe.
            std::thread::spawn(move || lines.for_each(drop));
            return Launched { child, address, console, said, log };
        }
        said.push(line);
    }
    let status = child.wait().unwrap();
    panic!("not ready, {status}:\n{}", fs::read_to_string(&log).unwrap());
}

/// The command that serves a folder, after `ulimit` was told something.
pub fn bounded(home: &Path, ulimit: Option<&'static str>) -> Command {
    let serve = command(home);
    let Some(ulimit) = ulimit else { return serve };
    let mut bounded = Command::new("sh");
    let line = format!("ulimit {ulimit} && exec \"$0\" \"$@\"");
    bounded.args(["-c", &line]).arg(serve.get_program()).args(serve.get_args()).env_clear();
    bounded
}

/// The command that serves a folder, for tests that expect it to refuse.
pub fn command(home: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .arg("--config")
        .arg(home.join("kwic-team.toml"))
        .arg("--data")
        .arg(home.join("data"))
        .arg("serve")
        .env_clear();
    command
}
