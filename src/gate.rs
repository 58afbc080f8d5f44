//! The gate in a process of its own: a policy folder is tried there before it is loaded here.
//!
//! What Cedar does with a folder can overflow a stack, or take more time and memory than anybody has,
//! in more ways than its text shows. There, it ends a process that nobody needs, and the folder is
//! refused. Only what has passed is loaded here, without what only checks. Understands no policy.

mod process;

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use crate::domain::{Failure, Kind, PolicyFiles, RoleId};
use crate::engine::{Found, Passage, PolicyFault, Snapshot, render};
use crate::policy_folder;
pub use process::run;
use process::{Answer, Bounds, OUT_OF_MEMORY, OUT_OF_TIME, Task, format_one};

/// The command of this program that is the other side.
pub const COMMAND: &str = "gate-process";

/// The program to begin; where there is none, such as in a test, the work is done here.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Most bytes that are read of an answer: twice the largest folder, formatted and quoted.
const ANSWER_BYTES_MAX: u64 = 512 << 20;

/// From here on, folders are tried in processes of this program: for its command line, which
/// knows [`COMMAND`].
pub fn use_processes() {
    // A program that was exchanged on the disk is still the one that runs.
    let own = Path::new("/proc/self/exe");
    let program = if own.exists() { Some(own.to_owned()) } else { std::env::current_exe().ok() };
    if let Some(program) = program {
        let _ = PROGRAM.set(program);
    }
}

/// Takes a folder through the gate; it can cost neither the process nor more than its size allows.
///
/// # Errors
/// `PoliciesRefused` with every fault; `Busy`, when no process can begin.
pub fn load(files: &PolicyFiles, held: &[(RoleId, usize)]) -> Result<Snapshot, Failure> {
    let here = || Snapshot::load(files, held).map_err(|faults| refused(&faults));
    let Some(program) = PROGRAM.get() else { return here() };
    // The shipped set has passed before this program was built.
    if files.digest() == policy_folder::shipped().digest() {
        return here();
    }
    let passage = match ask(program, false, files, held)? {
        Answer::Passed { notes, tests } => Passage::Again(Found { notes, tests }),
        Answer::Refused(faults) => return Err(refused(&faults)),
        Answer::Formatted(_) => return Err(unanswered()),
    };
    Snapshot::pass(files, held, &passage).map_err(|faults| refused(&faults))
}

/// The policy files of a folder as they are formatted, or why not, in the order of their paths.
///
/// # Errors
/// `PoliciesRefused`, where a file cannot be formatted within its bounds; `Busy`, when no process can
/// begin.
pub fn format_all(files: &PolicyFiles) -> Result<Vec<Result<String, String>>, Failure> {
    let Some(program) = PROGRAM.get() else {
        return Ok(files.iter().map(|(_, bytes)| format_one(bytes)).collect());
    };
    match ask(program, true, files, &[])? {
        Answer::Formatted(texts) => Ok(texts),
        Answer::Refused(faults) => Err(refused(&faults)),
        Answer::Passed { .. } => Err(unanswered()),
    }
}

fn refused(faults: &[PolicyFault]) -> Failure {
    Failure::new(Kind::PoliciesRefused, "policies_refused", render(faults))
}

fn unanswered() -> Failure {
    Failure::internal("the process of the gate answered something else than it was asked")
}

/// Begins a process and hands it the work; one that dies has refused.
fn ask(
    program: &Path,
    format: bool,
    files: &PolicyFiles,
    held: &[(RoleId, usize)],
) -> Result<Answer, Failure> {
    let command = Command::new(program)
        .arg(COMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = command.map_err(|fault| {
        Failure::new(
            Kind::Busy,
            "no_process",
            "the policies cannot be checked, since no process can be started for that: see the log and the limits of this host, then reload",
        )
        .logged(fault.to_string())
    })?;
    let task = Task {
        format,
        held: held.iter().map(|(role, members)| (role.to_string(), *members)).collect(),
        files: files.iter().map(|(path, bytes)| (path.to_owned(), bytes.len())).collect(),
        misplaced: files.misplaced().to_vec(),
        notes: files.notes().to_vec(),
    };
    // One that has ended meanwhile says so by its status.
    let _ = hand_over(&mut child, &task, files);
    let (answer, step) = listen(&mut child);
    let answered = answer.is_some();
    if !answered {
        // Whatever it is still at: nobody listens any more.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|fault| Failure::internal(fault.to_string()))?;
    match answer.filter(|_| status.success()) {
        Some(answer) => Ok(answer),
        None if is_from_outside(status) => Err(Failure::new(
            Kind::Busy,
            "gate_ended",
            "the process that checks the policies was ended from outside, perhaps since memory is short: see the log and the memory of this host, then reload",
        )
        .logged(status.to_string())),
        None => {
            let why = how_it_ended(status, &Bounds::of(files));
            let file = files.iter().map(|(path, _)| path).find(|path| *path == step);
            let fault = match file {
                Some(file) => PolicyFault::new(file, why),
                None => PolicyFault::new("", format!("the folder {why}")),
            };
            Ok(Answer::Refused(vec![fault]))
        }
    }
}

fn hand_over(child: &mut Child, task: &Task, files: &PolicyFiles) -> std::io::Result<()> {
    let Some(mut pipe) = child.stdin.take() else { return Ok(()) };
    let head = serde_json::to_vec(task)?;
    pipe.write_all(&head)?;
    pipe.write_all(b"\n")?;
    files.iter().try_for_each(|(_, bytes)| pipe.write_all(bytes))
}

/// The answer, and the step that was told last.
fn listen(child: &mut Child) -> (Option<Answer>, String) {
    let mut step = String::new();
    let Some(pipe) = child.stdout.take() else { return (None, step) };
    // A step is a string in JSON, the answer an object.
    for line in BufReader::new(pipe.take(ANSWER_BYTES_MAX)).lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str::<String>(&line) {
            Ok(told) => step = told,
            Err(_) => return (serde_json::from_str(&line).ok(), step),
        }
    }
    (None, step)
}

/// `SIGKILL` and `SIGTERM`, which no process gets by what it checks.
fn is_from_outside(status: ExitStatus) -> bool {
    matches!(status.signal(), Some(9 | 15))
}

/// What the end of the process says about the file that it was at.
fn how_it_ended(status: ExitStatus, bounds: &Bounds) -> String {
    match (status.code(), status.signal()) {
        (Some(OUT_OF_TIME), _) => format!(
            "takes more than {} s of processor time to check: write fewer or simpler policies, types, entities or tests",
            bounds.seconds
        ),
        (Some(OUT_OF_MEMORY), _) => format!(
            "takes more than {} MiB of memory to check: write fewer or simpler policies, types, entities or tests",
            bounds.mib
        ),
        (_, Some(signal)) => format!(
            "ends the process that checks it (signal {signal}): something in it nests too deep or comes to too much; write it simpler"
        ),
        (code, _) => format!(
            "breaks off the process that checks it (exit code {}): write it in another way, and report it",
            code.unwrap_or_default()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_ended_from_outside_refuses_no_folder() {
        for (status, is_outside) in
            [(9, true), (15, true), (6, false), (11, false), (9 << 8, false)]
        {
            assert_eq!(is_from_outside(ExitStatus::from_raw(status)), is_outside, "{status}");
        }
    }

    #[test]
    fn each_end_of_the_process_is_told() {
        let bounds = Bounds { seconds: 10, mib: 512 };
        for (status, said) in [
            (OUT_OF_TIME << 8, "more than 10 s of processor time"),
            (OUT_OF_MEMORY << 8, "more than 512 MiB of memory"),
            (6, "signal 6"),
            (101 << 8, "exit code 101"),
        ] {
            let told = how_it_ended(ExitStatus::from_raw(status), &bounds);
            assert!(told.contains(said), "{told}");
        }
    }
}
