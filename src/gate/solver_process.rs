//! The solver's process: a `cvc5` that is started, asked, and ended, within limits.
//!
//! Each question has a limit in the solver's own units, so that its answer can be repeated, and all have
//! limits in time, memory, processor time and output; it can write no file, as the process that starts
//! it cannot. One that crashes, hangs, prints what was not asked for, or is another program gives no
//! answer, and is ended with what it has started. Interprets no answer.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};

use crate::clock;
use crate::engine::SmtSolver;

/// The limit of one question, in steps of the solver: about a second.
const STEPS: &str = "--rlimit=200000";
/// Within its limit in steps an answer takes this long only on a machine that is far too busy.
const QUESTION: Duration = Duration::from_secs(5);
/// Most bytes printed for one question.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const MEMORY_BYTES_MAX: u64 = 2 << 30;
const PROCESSOR_SECONDS_MAX: u64 = 60;
/// After so many failures in a row it is not started again.
const FAILURES_MAX: u32 = 3;
/// Most pieces of output that wait to be read, of at most so many bytes.
const PIECES_MAX: usize = 16;
const PIECE: usize = 64 << 10;

/// The known name of the program, as it tells it.
const NAME: &str = "(:name \"cvc5\")";
/// Two questions with known answers: a program that says the same to everything is found out.
const KNOWN: [(&str, &str); 2] = [
    ("(reset)(set-logic ALL)(declare-const x Int)(assert (> x 41))(check-sat)\n", "sat"),
    (
        "(reset)(set-logic ALL)(declare-const x Int)(assert (> x 41))(assert (< x 42))(check-sat)\n",
        "unsat",
    ),
];

/// A solver, which is started when it is asked.
pub(super) struct SolverProcess {
    program: PathBuf,
    until: Instant,
    running: Option<RunningSolver>,
    failures: u32,
    /// The version that it tells.
    version: String,
    /// Why it is asked no more.
    spent: Option<String>,
}

struct RunningSolver {
    child: Child,
    input: Sender<Vec<u8>>,
    output: Receiver<Vec<u8>>,
    /// The number of the last question.
    asked: u64,
}

impl SolverProcess {
    /// A solver that answers until a moment.
    pub(super) fn new(program: PathBuf, until: Instant) -> Self {
        let version = String::new();
        Self { program, until, running: None, failures: 0, version, spent: None }
    }

    /// Its name and version, if it was ever asked successfully.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Starts the process, and makes sure that it is what it should be.
    fn started(&mut self) -> Result<RunningSolver, String> {
        let mut running = RunningSolver::start(&self.program)?;
        let told = running.ask(b"(get-info :name)\n(get-info :version)\n", self.until)?;
        let Some(version) = told.trim().strip_prefix(NAME) else {
            return Err(format!("`{}` is not cvc5", self.program.display()));
        };
        let version = version.split('"').nth(1).unwrap_or_default();
        for (question, answer) in KNOWN {
            if running.ask(question.as_bytes(), self.until)?.trim() != answer {
                return Err(format!("`{}` answers wrongly", self.program.display()));
            }
        }
        let version = version.chars().filter(|c| c.is_ascii_alphanumeric() || ".-+_".contains(*c));
        self.version = format!("cvc5 {}", version.take(32).collect::<String>());
        Ok(running)
    }

    fn failed(&mut self, why: &str) {
        self.running = None;
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            self.spent = Some(why.to_owned());
        }
    }
}

impl SmtSolver for SolverProcess {
    fn answer(&mut self, commands: &[u8]) -> Result<String, String> {
        if let Some(why) = self.spent() {
            return Err(why);
        }
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.started().inspect_err(|why| self.failed(why))?,
        };
        let answer = running.ask(commands, self.until);
        match &answer {
            Ok(_) => {
                self.running = Some(running);
                self.failures = 0;
            }
            Err(why) => self.failed(why),
        }
        answer
    }

    fn spent(&self) -> Option<String> {
        let is_late = clock::monotonic() >= self.until;
        let late = || "the time for all questions is over".to_owned();
        self.spent.clone().or_else(|| is_late.then(late))
    }
}

impl RunningSolver {
    fn start(program: &PathBuf) -> Result<Self, String> {
        let no_solver = |fault: std::io::Error| {
            format!("the solver `{}` cannot be started: {fault}", program.display())
        };
        let mut command = Command::new(program);
        // A group of its own, so that it ends with all that it has started.
        command.args(["--lang", "smt", STEPS]).env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(no_solver)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (input, to_write) = mpsc::channel::<Vec<u8>>();
        let (read, output) = mpsc::sync_channel(PIECES_MAX);
        let running = Self { child, input, output, asked: 0 };
        running.limit().map_err(no_solver)?;
        let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) else {
            return Err("the solver has no input or output".to_owned());
        };
        // Both threads end when the process has ended, or nobody listens to them any more.
        let writer = thread::Builder::new().name("solver-input".to_owned()).spawn(move || {
            for commands in to_write {
                if stdin.write_all(&commands).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        });
        let reader = thread::Builder::new().name("solver-output".to_owned()).spawn(move || {
            let mut piece = vec![0; PIECE];
            while let Ok(length @ 1..) = stdout.read(&mut piece) {
                if read.send(piece.get(..length).unwrap_or_default().to_vec()).is_err() {
                    return;
                }
            }
        });
        writer.and(reader).map_err(no_solver)?;
        Ok(running)
    }

    fn limit(&self) -> std::io::Result<()> {
        let process = Pid::from_child(&self.child);
        for (resource, most) in
            [(Resource::As, MEMORY_BYTES_MAX), (Resource::Cpu, PROCESSOR_SECONDS_MAX)]
        {
            let limit = Rlimit { current: Some(most), maximum: Some(most) };
            prlimit(Some(process), resource, limit)?;
        }
        Ok(())
    }

    /// What is printed for these commands.
    fn ask(&mut self, commands: &[u8], until: Instant) -> Result<String, String> {
        self.asked += 1;
        let end = format!("end of question {}", self.asked);
        let mut sent = commands.to_vec();
        sent.extend_from_slice(format!("(echo \"{end}\")\n").as_bytes());
        let ended = || "the solver has ended: it crashed, or reached a limit".to_owned();
        self.input.send(sent).map_err(|_| ended())?;
        let until = until.min(clock::monotonic() + QUESTION);
        let mut printed = Vec::new();
        loop {
            let left = until.saturating_duration_since(clock::monotonic());
            match self.output.recv_timeout(left) {
                Ok(piece) => printed.extend(piece),
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
                Err(RecvTimeoutError::Timeout) => {
                    return Err("the solver did not answer in time".to_owned());
                }
            }
            if printed.len() > ANSWER_BYTES_MAX {
                return Err("the solver prints too much".to_owned());
            }
            if let Some(answer) = before(&printed, &end) {
                return String::from_utf8(answer.to_vec())
                    .map_err(|_| "the solver prints no text".to_owned());
            }
        }
    }
}

/// The lines before the last one, if that is `end`, with quotes or without.
fn before<'p>(printed: &'p [u8], end: &str) -> Option<&'p [u8]> {
    let lines = printed.strip_suffix(b"\n")?;
    let at = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (answer, last) = lines.split_at_checked(at)?;
    let last = last.trim_ascii();
    let last = last.strip_prefix(b"\"").and_then(|last| last.strip_suffix(b"\"")).unwrap_or(last);
    (last == end.as_bytes()).then_some(answer)
}

impl Drop for RunningSolver {
    fn drop(&mut self) {
        // Not yet waited for, so the number is still that of the process.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("cvc5");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn answer(program: PathBuf, within: Duration) -> Result<String, String> {
        let mut solver = SolverProcess::new(program, clock::monotonic() + within);
        let answer = solver.answer(b"(check-sat)\n");
        // Whatever it is, it is asked no more than a few times.
        for _ in 0..FAILURES_MAX {
            let _ = solver.answer(b"(check-sat)\n");
        }
        assert!(answer.is_ok() || solver.spent().is_some());
        answer
    }

    #[test]
    fn a_bad_solver_gives_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let echo = "while read -r line; do case \"$line\" in *echo*) echo \"$line\" | sed 's/.*echo \\(\".*\"\\).*/\\1/';; esac; done";
        for (text, said) in [
            ("exit 0", "has ended"),
            ("kill -SEGV $$", "has ended"),
            ("yes unsat", "prints too much"),
            ("exec 1>&-; exec sleep 1000", "has ended"),
            (echo, "is not cvc5"),
            ("printf '\\377\\n\"end of question 1\"\\n'; exec sleep 1000", "prints no text"),
        ] {
            let fault = answer(script(folder.path(), text), LONG).unwrap_err();
            assert!(fault.contains(said), "{text}: {fault}");
        }
        for text in [
            "exec cat",
            "exec sleep 1000",
            "sleep 1000 & wait",
            "kill -STOP $$",
            "echo '(:name \"cvc5\")'; exec sleep 1000",
        ] {
            let short = Duration::from_millis(100);
            let fault = answer(script(folder.path(), text), short).unwrap_err();
            assert_eq!(fault, "the solver did not answer in time", "{text}");
        }
        let missing = answer(folder.path().join("none"), LONG).unwrap_err();
        assert!(missing.contains("cannot be started"), "{missing}");
    }

    #[test]
    fn one_that_says_the_same_to_everything_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        for word in ["sat", "unsat", "unknown"] {
            let text = format!(
                "while read -r line; do case \"$line\" in \
                 *:version*) echo '(:name \"cvc5\")';; \
                 *check-sat*) echo {word};; \
                 *echo*) echo \"$line\" | sed 's/.*echo \\(\".*\"\\).*/\\1/';; esac; done"
            );
            let fault = answer(script(folder.path(), &text), LONG).unwrap_err();
            assert!(fault.contains("answers wrongly"), "{word}: {fault}");
        }
    }

    #[test]
    fn only_a_last_line_with_its_number_ends_an_answer() {
        for (printed, answer) in [
            ("unsat\n\"end\"\n", Some("unsat\n")),
            ("unsat\nend\n", Some("unsat\n")),
            ("\"end\"\n", Some("")),
            ("unsat\n\"end\"", None),
            ("\"end\"\nunsat\n", None),
            ("unsat \"end\"\n", None),
            ("", None),
        ] {
            let found = before(printed.as_bytes(), "end");
            assert_eq!(found, answer.map(str::as_bytes), "{printed}");
        }
    }
}
